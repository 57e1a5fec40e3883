"""Distance to the k-th nearest of the reference, in units of the reference's own spread.

As `ood.knn`, after whitening (each axis of the covariance divided by its spread): for few numbers
of different units, such as the qualities of a picture; usual pictures may form several groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np

from indexer.types import Embeddings, Scores
from ood.contract import Classes
from ood.knn import Knn
from ood.learned import Learned
from ood.rows import BLOCK, reference_rows, scored_rows, wide

_SHRINKAGE = 1e-3
"""Share of the mean variance that is added to each: what hardly varies is not to decide alone."""


@dataclass(frozen=True)
class Quality(Learned):
    """Euclidean distance to the k-th nearest row of the whitened reference.

    Attributes:
        k: which neighbour; where the reference has fewer rows, the last.
    """

    name: ClassVar[str] = "quality"
    QUALITIES: ClassVar[bool] = True
    """Where rows have qualities, it is given them in place of the embedding."""
    ARRAYS: ClassVar[tuple[str, ...]] = ("mean", "axes", *Knn.ARRAYS)

    k: int = 5

    def fit(self, embeddings: Embeddings, classes: Classes | None = None, *, seed: int = 0) -> Self:  # noqa: ARG002 - of the contract
        """Learn the spread, keep the reference; see `ood.contract.Detector.fit`."""
        reference_rows(embeddings)
        rows = wide(embeddings[:], normalise=False).astype(np.float64)
        mean = rows.mean(axis=0)
        spread = (rows - mean).std(axis=0)
        # Units differ by orders: each column is scaled first, so that the shrinkage means the same.
        scale = np.where(spread > 0, spread, 1.0)
        scaled = (rows - mean) / scale
        covariance = scaled.T @ scaled / len(rows)
        covariance[np.diag_indices(len(covariance))] += _SHRINKAGE
        axes = np.linalg.inv(np.linalg.cholesky(covariance)).T / scale[:, None]
        near = Knn(k=self.k, normalise=False).fit(_white(rows, mean, axes), seed=seed)
        return self.fitted({"mean": mean, "axes": axes, **near.arrays})

    def score(self, embeddings: Embeddings) -> Scores:
        """See `ood.contract.Detector.score`."""
        mean, axes = self.array("mean"), self.array("axes")
        scored_rows(embeddings, len(mean))
        scores = np.empty(len(embeddings), np.float32)
        for start in range(0, len(embeddings), BLOCK):
            rows = wide(embeddings[start : start + BLOCK], normalise=False)
            scores[start : start + BLOCK] = self._near.score(_white(rows, mean, axes))
        return scores

    @cached_property
    def _near(self) -> Knn:
        """Finds the nearest of the whitened reference."""
        arrays = {name: self.array(name) for name in Knn.ARRAYS}
        return Knn(k=self.k, normalise=False).fitted(arrays)


def _white(rows: np.ndarray, mean: np.ndarray, axes: np.ndarray) -> Embeddings:
    """Float32; with a column of ones, as a row of zeros is no vector."""
    white = (rows - mean) @ axes
    return np.concatenate([white, np.ones((len(rows), 1))], axis=1).astype(np.float32)
