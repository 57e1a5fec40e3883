"""Names to detectors: the built-in ones below, third parties' through entry points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from indexer.errors import ConfigError
from indexer.plugins import load, targets
from ood.contract import Detector, RegisteredDetector
from ood.reduce import Reduced, reduction_of

GROUP = "syntopy.ood"
DETECTORS: dict[str, str] = {
    "knn": "ood.knn:Knn",
    "mahalanobis": "ood.mahalanobis:Mahalanobis",
    "residual": "ood.residual:Residual",
}
_LEARNED = {"arrays", "notes"}


def detector_names() -> list[str]:
    """All registered detectors, sorted."""
    return sorted(targets(GROUP, DETECTORS))


def make_detector(
    name: str, options: Mapping[str, object] | None = None, *, reduction: str = ""
) -> Detector:
    """A detector by name, with parameters; text is read as the number that a parameter is.

    Args:
        name: of a registered detector.
        options: its parameters.
        reduction: what is put in front of it, as ``pca:64`` or ``umap:16``; "" for none. The
            detector then takes rows as long as they are, unless its options say otherwise.

    Raises:
        ConfigError: no such detector, parameter or reduction, or a value that it cannot have; the
            message lists those there are.
    """
    chosen: Any = _class_of(name)
    given = dict(options or {})
    known = [each.name for each in fields(chosen) if each.init and each.name not in _LEARNED]
    strange = sorted(set(given) - set(known))
    if strange:
        has = ", ".join(known) or "none"
        raise ConfigError(f"'{name}' has no parameter '{strange[0]}'; it has: {has}")
    if reduction and "normalise" in known:
        # What a reduction gives lies about its own middle: lengths say how far from it.
        given.setdefault("normalise", False)
    try:
        made: Detector = TypeAdapter(chosen).validate_python(given)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise ConfigError(f"'{name}', parameter '{field}': {first['msg']}") from error
    return Reduced(reduction_of(reduction), made) if reduction else made


def detector_from(name: str, state: Mapping[str, np.ndarray], *, reduction: str = "") -> Detector:
    """The fitted detector that a state was taken of.

    Raises:
        ConfigError: no such detector or reduction.
        ReferenceSetError: an array is missing.
    """
    if not reduction:
        return _class_of(name).from_state(state)
    front = type(reduction_of(reduction)).from_state(_part("reduction", state))
    return Reduced(front, _class_of(name).from_state(_part("detector", state)))


def _part(of: str, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(f"{of}/"): each
        for name, each in state.items()
        if name.startswith(f"{of}/")
    }


def _class_of(name: str) -> type[RegisteredDetector]:
    known = targets(GROUP, DETECTORS)
    if name not in known:
        raise ConfigError(f"there is no detector '{name}'; there are: {', '.join(sorted(known))}")
    found: type[RegisteredDetector] = load(known[name])
    return found
