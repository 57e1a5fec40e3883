"""The contract of a clustering method; third parties register under ``syntopy.clustering``.

tests/contracts/test_cluster_methods.py holds every method to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np

from indexer.types import Embeddings

NOISE = -1
"""The label of items in no cluster; it is not counted as a cluster."""
NO_ROW = -1
"""Pads the neighbours of a row that has fewer than k."""

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and of how much; what it raises stops the work.
"""


def no_progress(_what: str, _done: int, _total: int) -> None:
    """Nobody is told."""


@dataclass(frozen=True)
class Neighbours:
    """The neighbour graph of n rows, each row's nearest first, itself left out.

    Attributes:
        rows: int32 ``(n, k)`` row numbers, `NO_ROW` where there are fewer.
        scores: float32 ``(n, k)`` cosines, falling; -inf where there is no row.
        recall: share of the true nearest that is in it, measured on a sample; 1.0 if exact.
    """

    rows: np.ndarray
    scores: np.ndarray
    recall: float = 1.0


@dataclass(frozen=True)
class Clustering:
    """A clustering of n items.

    Attributes:
        labels: int64 ``(n,)``, 0 upwards without gaps, the largest cluster first; `NOISE` for
            items in no cluster.
        confidence: float32 ``(n,)`` in 0..1, higher is surer.
        parameters: everything needed to repeat it.
        notes: what a reader should know, in sentences.
        curves: what speaks for the number of clusters, by the name of the criterion: pairs of a
            number of clusters and its value. Empty where the number was given.
    """

    labels: np.ndarray
    confidence: np.ndarray
    parameters: Mapping[str, object]
    notes: tuple[str, ...] = ()
    curves: Mapping[str, tuple[tuple[int, float], ...]] = field(default_factory=dict)

    @property
    def n_clusters(self) -> int:
        """How many clusters there are, noise not counted."""
        return int(self.labels.max(initial=NOISE)) + 1


class ClusterMethod(Protocol):
    """A way to cluster embeddings; no I/O. A frozen dataclass whose fields are its parameters.

    Contract:
        - the same input, parameters and seed give the same answer.
        - no rows: ClusteringError. One row, or rows that are all equal: one cluster, and a note.
        - more clusters wanted than there are different rows: ClusteringError.
        - NaN, infinite or zero rows: VectorError, naming the first.
        - inputs are never modified.
    """

    name: ClassVar[str]

    def fit(
        self,
        embeddings: Embeddings,
        n_clusters: int | None = None,
        *,
        seed: int = 0,
        neighbours: Neighbours | None = None,
        progress: Progress = no_progress,
    ) -> Clustering:
        """Cluster.

        Args:
            embeddings: ``(n, dim)`` of float32 or float16, unit rows; may be a memory map.
            n_clusters: how many; None lets the method find out.
            seed: of all that is random.
            neighbours: the graph of these rows; made anew where it is needed and None.
            progress: see `Progress`.

        Raises:
            ClusteringError: these rows cannot be grouped so.
            VectorError: they are no embeddings.
            MissingExtraError: a package is not installed.
        """
