"""Reductions in front of a detector, fitted on the reference alone.

M. Woodland et al., Dimensionality reduction and nearest neighbors for improving out-of-distribution
detection in medical image segmentation, MELBA 2024 (arXiv 2408.02761). There UMAP and t-SNE were
fitted on reference and test images together; what comes one at a time has to do without.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol, Self

import numpy as np

from indexer.errors import ConfigError, ReferenceSetError
from indexer.extras import extra
from indexer.types import Embeddings, Patches, Scores
from ood.contract import Classes, Detector
from ood.knn import Knn
from ood.learned import Learned
from ood.principal import moments
from ood.rows import BLOCK, reference_rows, scored_rows, wide

_AMONG = 15
"""Rows of the reference that say where UMAP would lay a row."""


class Reduction(Protocol):
    """Fewer numbers for each row, learned from the reference."""

    def fit(self, embeddings: Embeddings, *, seed: int = 0) -> Self:
        """A fitted copy."""

    def apply(self, embeddings: Embeddings) -> Embeddings:
        """Float32 ``(n, fewer)``."""

    def state(self) -> Mapping[str, np.ndarray]:
        """All that is needed to rebuild it."""


@dataclass(frozen=True)
class Pca(Learned):
    """Principal components of unit rows, not whitened.

    Attributes:
        dimensions: how many; at most as many as rows have.
    """

    ARRAYS: ClassVar[tuple[str, ...]] = ("mean", "axes")

    dimensions: int = 64

    def fit(self, embeddings: Embeddings, *, seed: int = 0) -> Self:  # noqa: ARG002 - nothing is random
        """Learn the axes."""
        reference_rows(embeddings)
        mean, _, axes = moments(embeddings, normalise=True)
        return self.fitted({"mean": mean, "axes": axes[:, : self.dimensions]})

    def apply(self, embeddings: Embeddings) -> Embeddings:
        """Places on the axes."""
        mean, axes = self.array("mean"), self.array("axes")
        scored_rows(embeddings, len(mean))
        starts = range(0, len(embeddings), BLOCK)
        blocks = (wide(embeddings[start : start + BLOCK], normalise=True) for start in starts)
        made = [((block - mean) @ axes).astype(np.float32) for block in blocks]
        return np.concatenate([np.empty((0, axes.shape[1]), np.float32), *made])


@dataclass(frozen=True)
class Umap(Learned):
    """UMAP (McInnes, Healy and Melville, 2018, arXiv 1802.03426) of the reference alone.

    A later row lies at the mean of the places of its fifteen nearest in the reference, weighted by
    ``exp(-(d - d1) / m)``, d1 the least distance and m the mean of d - d1: what is far from all
    lands among them too, so that a detector behind it is blind to how far.

    Attributes:
        dimensions: of the layout.
        n_neighbors: of the layout.
    """

    ARRAYS: ClassVar[tuple[str, ...]] = ("reference", "places")

    dimensions: int = 16
    n_neighbors: int = 15

    def fit(self, embeddings: Embeddings, *, seed: int = 0) -> Self:
        """Lay the reference out.

        Raises:
            MissingExtraError: umap-learn is not installed.
            ReferenceSetError: it has no more rows than a layout of so many dimensions needs.
        """
        reference_rows(embeddings)
        if len(embeddings) < self.dimensions + 3:
            raise ReferenceSetError(
                f"{len(embeddings)} vectors cannot be laid out in {self.dimensions} dimensions"
            )
        rows = wide(embeddings[:], normalise=True)
        umap = extra("umap.umap_")
        places = umap.UMAP(
            n_components=self.dimensions,
            n_neighbors=min(self.n_neighbors, len(rows) - 1),
            min_dist=0.0,
            metric="cosine",
            random_state=seed,
            n_jobs=1,
        ).fit_transform(rows)
        return self.fitted({"reference": rows, "places": places.astype(np.float32)})

    def apply(self, embeddings: Embeddings) -> Embeddings:
        """Places among the reference."""
        reference, places = self.array("reference"), self.array("places")
        scored_rows(embeddings, reference.shape[1])
        made = np.empty((len(embeddings), places.shape[1]), np.float32)
        for start in range(0, len(embeddings), BLOCK):
            rows = embeddings[start : start + BLOCK]
            away, near = self._among.nearest(rows, min(_AMONG, len(reference)))
            beyond = away - away[:, :1]
            weights = np.exp(-beyond / np.maximum(beyond.mean(axis=1, keepdims=True), 1e-12))
            weights /= weights.sum(axis=1, keepdims=True)
            made[start : start + BLOCK] = np.einsum("ij,ijk->ik", weights, places[near])
        return made

    @cached_property
    def _among(self) -> Knn:
        """Finds the nearest of the reference."""
        return Knn(exact=True).fit(self.array("reference"))


REDUCTIONS: dict[str, type[Pca | Umap]] = {"pca": Pca, "umap": Umap}


@dataclass(frozen=True)
class Reduced:
    """A detector behind a reduction; it keeps the contract of the detector.

    Attributes:
        reduction: fitted on the reference first.
        detector: fitted on what comes of it.
    """

    reduction: Pca | Umap
    detector: Detector

    @property
    def name(self) -> str:
        """Of both."""
        kind = next(name for name, made in REDUCTIONS.items() if isinstance(self.reduction, made))
        return f"{self.detector.name} after {kind} {self.reduction.dimensions}"

    @property
    def notes(self) -> tuple[str, ...]:
        """Of both."""
        return (*self.reduction.notes, *self.detector.notes)

    def fit(self, embeddings: Embeddings, classes: Classes | None = None, *, seed: int = 0) -> Self:
        """Fit both; see `ood.contract.Detector.fit`."""
        reduction = self.reduction.fit(embeddings, seed=seed)
        detector = self.detector.fit(reduction.apply(embeddings), classes, seed=seed)
        return type(self)(reduction, detector)

    def score(self, embeddings: Embeddings) -> Scores:
        """See `ood.contract.Detector.score`."""
        return self.detector.score(self.reduction.apply(embeddings))

    def state(self) -> Mapping[str, np.ndarray]:
        """Of both, names with what they are of in front."""
        parts = {"reduction": self.reduction.state(), "detector": self.detector.state()}
        return {f"{of}/{name}": each for of, own in parts.items() for name, each in own.items()}


def reduction_of(text: str) -> Pca | Umap:
    """The reduction that ``pca:64`` or ``umap:16`` means.

    Raises:
        ConfigError: it means none.
    """
    kind, _, dimensions = text.partition(":")
    if kind not in REDUCTIONS or not dimensions.isdecimal() or int(dimensions) < 1:
        raise ConfigError(f"'{text}' is no reduction: write pca:64 or umap:16")
    return REDUCTIONS[kind](dimensions=int(dimensions))


def pooled(patches: Patches, size: int, step: int) -> Embeddings:
    """Maps of patch vectors, averaged over squares and laid flat: pooling in front of a detector.

    Args:
        patches: ``(n, rows, columns, dim)``.
        size: side of a square, in patches.
        step: from a square to the next.

    Returns:
        Float32 ``(n, squares * dim)``.

    Raises:
        ReferenceSetError: the map is smaller than a square.
    """
    if min(patches.shape[1:3]) < size:
        raise ReferenceSetError(f"maps of {patches.shape[1:3]} patches have no square of {size}")
    windows = np.lib.stride_tricks.sliding_window_view(patches, (size, size), axis=(1, 2))
    means = windows[:, ::step, ::step].mean(axis=(-2, -1), dtype=np.float32)
    return np.asarray(means.reshape(len(patches), -1), np.float32)
