"""Names to detectors: the built-in ones below, third parties' through entry points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from indexer.errors import ConfigError
from indexer.plugins import load, made, parameters_of, targets
from ood.columns import Columns
from ood.contract import Detector, RegisteredDetector
from ood.reduce import Reduced, reduction_of

GROUP = "syntopy.ood"
DETECTORS: dict[str, str] = {
    "knn": "ood.knn:Knn",
    "mahalanobis": "ood.mahalanobis:Mahalanobis",
    "residual": "ood.residual:Residual",
    "quality": "ood.quality:Quality",
}
_LEARNED = {"arrays", "notes"}


@dataclass(frozen=True)
class Recipe:
    """A detector by name, with what is put in front of it.

    Attributes:
        name: of a registered detector.
        options: its parameters; text is read as the number that a parameter is.
        reduction: what is put in front of it, as ``pca:64`` or ``umap:16``; "" for none. The
            detector then takes rows as long as they are, unless its options say otherwise.
    """

    name: str
    options: Mapping[str, object] = field(default_factory=dict)
    reduction: str = ""

    @classmethod
    def named(cls, text: str) -> Recipe:
        """The recipe that ``knn`` or ``pca:64/knn`` means."""
        front, _, name = text.rpartition("/")
        return cls(name, reduction=front)

    @property
    def label(self) -> str:
        """What tells it from others."""
        front = f"{self.reduction}/" if self.reduction else ""
        given = ",".join(f"{key}={value}" for key, value in sorted(self.options.items()))
        return f"{front}{self.name}" + (f"({given})" if given else "")

    @property
    def of_qualities(self) -> bool:
        """Whether it looks at qualities of pictures rather than at embeddings.

        Raises:
            ConfigError: no such detector.
        """
        return bool(getattr(_class_of(self.name), "QUALITIES", False))

    def make(self, qualities: int = 0) -> Detector:
        """The detector, unfitted.

        Args:
            qualities: how many columns at the end of each row are qualities of the picture.

        Raises:
            ConfigError: no such detector, parameter or reduction, or a value that it cannot have;
                the message lists those there are.
        """
        chosen, given = _class_of(self.name), dict(self.options)
        if self.reduction and "normalise" in parameters_of(chosen, _LEARNED):
            # What a reduction gives lies about its own middle: lengths say how far from it.
            given.setdefault("normalise", False)
        detector: Detector = made(chosen, self.name, given, _LEARNED)
        whole = Reduced(reduction_of(self.reduction), detector) if self.reduction else detector
        return self._looking(whole, qualities)

    def rebuilt(self, state: Mapping[str, np.ndarray], qualities: int = 0) -> Detector:
        """The fitted detector that a state was taken of.

        Args:
            state: of it.
            qualities: as for `make`.

        Raises:
            ConfigError: no such detector or reduction.
            ReferenceSetError: an array is missing.
        """
        if not self.reduction:
            return self._looking(_class_of(self.name).from_state(state), qualities)
        front = type(reduction_of(self.reduction)).from_state(part("reduction", state))
        detector = _class_of(self.name).from_state(part("detector", state))
        return self._looking(Reduced(front, detector), qualities)

    def _looking(self, detector: Detector, qualities: int) -> Detector:
        """At its part of the rows."""
        if not qualities:
            return detector
        if self.of_qualities:
            return Columns(detector, -qualities, None)
        return Columns(detector, None, -qualities)


def detector_names() -> list[str]:
    """All registered detectors, sorted."""
    return sorted(targets(GROUP, DETECTORS))


def part(of: str, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays whose names begin with ``of/``, by the rest of their names."""
    return {
        name.removeprefix(f"{of}/"): each
        for name, each in state.items()
        if name.startswith(f"{of}/")
    }


def whole(parts: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays of all parts under names that `part` finds them by."""
    return {f"{of}/{name}": each for of, own in parts.items() for name, each in own.items()}


def _class_of(name: str) -> type[RegisteredDetector]:
    known = targets(GROUP, DETECTORS)
    if name not in known:
        raise ConfigError(f"there is no detector '{name}'; there are: {', '.join(sorted(known))}")
    found: type[RegisteredDetector] = load(known[name])
    return found
