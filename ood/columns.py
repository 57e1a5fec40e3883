"""Rows of two parts: what an encoder made of a picture, and qualities of the picture behind it.

An encoder that scales grey values sees neither contrast nor, at its own resolution, a mild blur;
six numbers do (`indexer.reading.quality`). Each detector looks at one of the two parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from indexer.errors import ReferenceSetError
from indexer.types import Embeddings, Scores
from ood.contract import Classes, Detector
from ood.knn import Knn


@dataclass(frozen=True)
class Columns:
    """A detector that looks at a part of each row; it keeps the contract of the detector.

    A row that lacks its qualities, NaN, is the least unlike of all: its score is -inf, its p-value
    1. Nothing is flagged for what is not known of it.

    Attributes:
        detector: what looks.
        start, stop: the columns that it is given.
    """

    detector: Detector
    start: int | None
    stop: int | None

    @property
    def name(self) -> str:
        """That of the detector."""
        return self.detector.name

    @property
    def notes(self) -> tuple[str, ...]:
        """Those of the detector."""
        return self.detector.notes

    def fit(self, embeddings: Embeddings, classes: Classes | None = None, *, seed: int = 0) -> Self:
        """See `ood.contract.Detector.fit`."""
        detector = self.detector.fit(self._part(embeddings), classes, seed=seed)
        return type(self)(detector, self.start, self.stop)

    def score(self, embeddings: Embeddings) -> Scores:
        """See `ood.contract.Detector.score`."""
        rows = np.asarray(self._part(embeddings))
        if self.start is None:
            return self.detector.score(rows)
        known = np.isfinite(rows).all(axis=1)
        scores = np.full(len(rows), -np.inf, np.float32)
        if known.any():
            scores[known] = self.detector.score(rows[known])
        return scores

    @property
    def k(self) -> int:
        """Which neighbour's distance is the score; of a detector that knows none, 1."""
        return self.detector.k if isinstance(self.detector, Knn) else 1

    def nearest(self, embeddings: Embeddings, k: int) -> tuple[Scores, np.ndarray]:
        """See `ood.knn.Knn.nearest`.

        Raises:
            ReferenceSetError: the detector knows no neighbours.
        """
        if not isinstance(self.detector, Knn):
            raise ReferenceSetError(f"'{self.detector.name}' finds no nearest cases")
        return self.detector.nearest(self._part(embeddings), k)

    def state(self) -> Mapping[str, np.ndarray]:
        """That of the detector."""
        return self.detector.state()

    def _part(self, embeddings: Embeddings) -> Embeddings:
        return embeddings[:, self.start : self.stop]
