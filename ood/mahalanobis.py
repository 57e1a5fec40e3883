"""Squared Mahalanobis distance to the reference, or to the nearest of its classes.

K. Lee, K. Lee, H. Lee and J. Shin, A simple unified framework for detecting out-of-distribution
samples and adversarial attacks, NeurIPS 2018 (arXiv 1807.03888). Unit rows: M. Mueller and M. Hein,
Mahalanobis++, ICML 2025 (arXiv 2505.18032). Relative: J. Ren et al., A simple fix to Mahalanobis
distance for improving near-OOD detection, 2021 (arXiv 2106.09022).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import numpy as np

from indexer.errors import ReferenceSetError
from indexer.types import Embeddings, Scores
from ood.contract import Classes
from ood.learned import Learned
from ood.rows import BLOCK, reference_rows, scored_rows, wide

_MANY = 10
"""Rows for each dimension from which on the sample's covariance is taken as it is."""
_FLAT = 1e-9
"""An eigenvalue this much smaller than the largest is none."""


@dataclass(frozen=True)
class Mahalanobis(Learned):
    """Squared distance in units of the reference's own spread.

    The covariance is tied: that of rows about the means of their classes. With fewer than ten rows
    for each dimension, or where it is singular, it is shrunk towards a multiple of the identity.

    Attributes:
        normalise: whether rows are divided by their lengths (Mahalanobis++).
        covariance: ``empirical``; shrunk, ``ledoit-wolf`` or ``oas``; or ``auto``.
        relative: less the distance to the whole reference as one class; needs real classes, for
            with made-up ones it tells nothing.
    """

    name: ClassVar[str] = "mahalanobis"
    ARRAYS: ClassVar[tuple[str, ...]] = ("means", "whitening", "mean", "whitening_of_all")

    normalise: bool = True
    covariance: Literal["auto", "empirical", "ledoit-wolf", "oas"] = "auto"
    relative: bool = False

    def fit(self, embeddings: Embeddings, classes: Classes | None = None, *, seed: int = 0) -> Self:  # noqa: ARG002 - nothing is random
        """Learn means and covariance; see `ood.contract.Detector.fit`.

        Raises:
            ReferenceSetError: relative, and no classes; or a covariance that was asked for as it
                is, and is singular.
        """
        reference_rows(embeddings)
        if self.relative and (classes is None or len(np.unique(classes)) < 2):
            raise ReferenceSetError(
                "the relative distance needs two real classes or more: take relative=false"
            )
        own = np.zeros(len(embeddings), np.int64) if classes is None else np.asarray(classes)
        means, whitening, notes = self._spread(embeddings, own)
        mean, of_all = np.empty((0, 0)), np.empty((0, 0))
        if self.relative:
            mean, of_all, more = self._spread(embeddings, np.zeros_like(own))
            notes += tuple(note for note in more if note not in notes)
        arrays = {"means": means, "whitening": whitening, "mean": mean, "whitening_of_all": of_all}
        return self.fitted(arrays, notes)

    def score(self, embeddings: Embeddings) -> Scores:
        """Squared distances; see `ood.contract.Detector.score`."""
        scored_rows(embeddings, self.array("means").shape[1])
        scores = np.empty(len(embeddings), np.float32)
        for start in range(0, len(embeddings), BLOCK):
            rows = wide(embeddings[start : start + BLOCK], normalise=self.normalise)
            away = _least(rows, self.array("means"), self.array("whitening"))
            if self.relative:
                away = away - _least(rows, self.array("mean"), self.array("whitening_of_all"))
            scores[start : start + BLOCK] = away
        return scores

    def _spread(
        self, embeddings: Embeddings, classes: Classes
    ) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
        """Means ``(classes, dim)``, what whitens ``(dim, dim)``, and notes."""
        count, dim = embeddings.shape
        known, own = np.unique(classes, return_inverse=True)
        sums = np.zeros((len(known), dim))
        for start, rows in self._blocks(embeddings):
            np.add.at(sums, own[start : start + len(rows)], rows)
        means = sums / np.bincount(own)[:, None]
        products, fourth = np.zeros((dim, dim)), 0.0
        for start, rows in self._blocks(embeddings):
            about = rows - means[own[start : start + len(rows)]]
            products += about.T @ about
            fourth += float(np.square(np.square(about).sum(axis=1)).sum())
        sample = products / count
        shrink, notes = self._shrinkage(sample, count, fourth / count)
        shrunk = (1 - shrink) * sample
        shrunk[np.diag_indices(dim)] += shrink * np.trace(sample) / dim
        return means, np.linalg.inv(np.linalg.cholesky(shrunk)).T, notes

    def _shrinkage(
        self, sample: np.ndarray, count: int, fourth: float
    ) -> tuple[float, tuple[str, ...]]:
        """How far to shrink, 0 to 1, and what is to be said of it."""
        dim = len(sample)
        values = np.linalg.eigvalsh(sample)
        singular = bool(values[0] <= _FLAT * values[-1])
        if self.covariance == "empirical" and singular:
            raise ReferenceSetError(
                f"the covariance of {count:,} vectors of length {dim} is singular: take "
                "covariance=ledoit-wolf"
            )
        if self.covariance == "empirical" or (
            self.covariance == "auto" and count >= _MANY * dim and not singular
        ):
            return 0.0, ()
        oas = self.covariance == "oas"
        shrink = _oas(sample, count) if oas else _ledoit_wolf(sample, count, fourth)
        why = "is singular" if singular else f"is of {count:,} vectors of length {dim}"
        return shrink, (f"the covariance {why}: it was shrunk by {shrink:.3g}",)

    def _blocks(self, embeddings: Embeddings) -> Iterator[tuple[int, np.ndarray]]:
        for start in range(0, len(embeddings), BLOCK):
            yield start, wide(embeddings[start : start + BLOCK], normalise=self.normalise)


def _least(rows: np.ndarray, means: np.ndarray, whitening: np.ndarray) -> np.ndarray:
    """Squared distance to the nearest mean, from differences of whitened rows."""
    turned, centres = rows @ whitening, means @ whitening
    least = np.full(len(rows), np.inf)
    for centre in centres:
        np.minimum(least, np.square(turned - centre).sum(axis=1), out=least)
    return least


def _ledoit_wolf(sample: np.ndarray, count: int, fourth: float) -> float:
    """The weight of the identity that leaves least squared error, estimated.

    O. Ledoit and M. Wolf, A well-conditioned estimator for large-dimensional covariance matrices,
    J. Multivariate Analysis 88, 2004, section 3.3.

    Args:
        sample: covariance of n rows, divided by n.
        count: n.
        fourth: mean fourth power of the rows' lengths.
    """
    dim = len(sample)
    squared = float(np.square(sample).sum())
    wrong = (fourth - squared) / count
    spread = squared - np.trace(sample) ** 2 / dim
    return float(np.clip(wrong / spread, 0, 1)) if spread > 0 else 1.0


def _oas(sample: np.ndarray, count: int) -> float:
    """The same for normal rows.

    Y. Chen, A. Wiesel, Y. C. Eldar and A. O. Hero, Shrinkage algorithms for MMSE covariance
    estimation, IEEE Trans. Signal Processing 58, 2010, equation 23, for many dimensions.
    """
    dim = len(sample)
    squared, trace = float(np.square(sample).sum()), float(np.trace(sample))
    spread = (count + 1) * (squared - trace**2 / dim)
    return float(np.clip((squared + trace**2) / spread, 0, 1)) if spread > 0 else 1.0
