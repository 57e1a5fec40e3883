"""How surely each cluster comes back when a clustering is done again.

C. Hennig, Cluster-wise assessment of cluster stability, Comput. Stat. Data Anal. 52 (2007) 258:
the similarity of a cluster to the most similar one of a repetition, by Jaccard's coefficient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from clustering.agreement import counts
from clustering.contract import NOISE

Labels = Int64[np.ndarray, " n"]
Rows = Int64[np.ndarray, " m"]


@dataclass(frozen=True)
class Recurrence:
    """How surely a cluster comes back.

    Attributes:
        cluster: its number.
        size: items that it has.
        mean, lowest: over the repetitions, the share that it has in common with the cluster most
            like it, of the items in either; 1 where it came back as it was, 0 where it did not.
        repetitions: in which any of its items were.
    """

    cluster: int
    size: int
    mean: float
    lowest: float
    repetitions: int


def recurrence(labels: Labels, repetitions: Sequence[tuple[Rows, Labels]]) -> list[Recurrence]:
    """How surely each cluster comes back in repetitions, which may be of a part of the items.

    Args:
        labels: int64 ``(n,)`` of the clustering; noise is no cluster.
        repetitions: of each the rows that were clustered again, and their labels then.
    """
    found: dict[int, list[float]] = {}
    for rows, again in repetitions:
        if not len(rows):
            continue
        own, other, table = counts(labels[rows], again)
        union = table.sum(axis=1)[:, None] + table.sum(axis=0)[None, :] - table
        alike = np.where(other != NOISE, table / union, 0.0).max(axis=1)
        for cluster, value in zip(own.tolist(), alike.tolist(), strict=True):
            found.setdefault(cluster, []).append(value)
    numbers, sizes = np.unique(labels[labels != NOISE], return_counts=True)
    told = zip(numbers.tolist(), sizes.tolist(), strict=True)
    return [
        Recurrence(number, size, float(np.mean(values)), min(values), len(values))
        for number, size in told
        if (values := found.get(number, []))
    ]
