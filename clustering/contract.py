"""The contract of a clustering method; third parties register under ``syntopy.clustering``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from indexer.types import Embeddings

NOISE = -1
"""The label of items in no cluster; it is not counted as a cluster."""


@dataclass(frozen=True)
class Clustering:
    """A clustering of n items.

    Attributes:
        labels: int64 ``(n,)``, 0 upwards, `NOISE` for items in no cluster.
        confidence: float32 ``(n,)`` in 0..1, higher is surer.
        parameters: everything needed to repeat it.
        notes: what a reader should know, in sentences.
    """

    labels: np.ndarray
    confidence: np.ndarray
    parameters: Mapping[str, object]
    notes: tuple[str, ...] = field(default=())


class ClusterMethod(Protocol):
    """A way to cluster embeddings; pure, seeded, no I/O."""

    name: str

    def fit(
        self,
        embeddings: Embeddings,
        n_clusters: int | None = None,
        seed: int = 0,
        progress: Callable[[float], None] | None = None,
    ) -> Clustering:
        """Cluster; ``progress`` is called with the share done and may raise to stop."""
