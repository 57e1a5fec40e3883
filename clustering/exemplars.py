"""The members that show what a cluster is: its medoid, some spread out, some at its border."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from clustering.columns import aligned, similarities, unit
from clustering.contract import NOISE
from indexer.types import Embeddings

_SHOWN = 8
_COMPARED = 2_000
"""Members that spread ones are chosen from, at most."""

Labels = Int64[np.ndarray, " n"]
Middles = Float32[np.ndarray, "clusters dim"]


@dataclass(frozen=True)
class Exemplars:
    """Rows that show a cluster.

    Attributes:
        cluster: its number.
        size: how many members it has.
        medoid: the member nearest to the middle.
        spread: members that differ from each other, the medoid first; those that are nearer to
            another middle are left out.
        borderline: members that are nearly as near to another middle, or nearer to it, the least
            sure first; of a single cluster those far from its middle.
    """

    cluster: int
    size: int
    medoid: int
    spread: tuple[int, ...]
    borderline: tuple[int, ...]


def middles(embeddings: Embeddings, labels: Labels) -> Middles:
    """Mean of each cluster's members, brought to length one.

    Args:
        embeddings: ``(n, dim)`` unit rows.
        labels: int64 ``(n,)`` from 0 upwards without gaps; noise is left out.

    Returns:
        float32 ``(clusters, dim)``.

    Raises:
        QueryError: the lengths differ.
    """
    aligned(len(embeddings), labels=labels)
    groups = [np.flatnonzero(labels == cluster) for cluster in range(labels.max(initial=NOISE) + 1)]
    sums = np.stack([_sum(embeddings, rows) for rows in groups] or [np.zeros(embeddings.shape[1])])
    return unit(sums[: len(groups)])


def exemplars(
    embeddings: Embeddings, labels: Labels, *, count: int = _SHOWN
) -> tuple[Exemplars, ...]:
    """Exemplars of every cluster, in the order of the clusters.

    Args:
        embeddings: ``(n, dim)`` unit rows.
        labels: int64 ``(n,)`` from 0 upwards without gaps.
        count: spread and borderline members of each, at most.

    Raises:
        QueryError: the lengths differ.
    """
    centres = middles(embeddings, labels)
    own, margin = np.zeros(len(labels), np.float32), np.zeros(len(labels), np.float32)
    if len(centres):
        for block, cosines in similarities(embeddings, centres):
            own[block], margin[block] = _own_and_margin(cosines, labels[block])
    return tuple(
        _of_cluster(embeddings, cluster, np.flatnonzero(labels == cluster), own, margin, count)
        for cluster in range(len(centres))
    )


def _sum(embeddings: Embeddings, rows: np.ndarray) -> np.ndarray:
    total = np.zeros(embeddings.shape[1])
    for part in np.array_split(rows, len(rows) // _COMPARED + 1):
        total += np.asarray(embeddings[part], np.float64).sum(axis=0)
    return total


def _own_and_margin(cosines: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosine with the own middle, and by how much that is above the best other."""
    rows = np.flatnonzero(labels != NOISE)
    own, other = np.zeros(len(labels), np.float32), np.zeros(len(labels), np.float32)
    own[rows] = cosines[rows, labels[rows]]
    if cosines.shape[1] > 1:
        cosines[rows, labels[rows]] = -np.inf
        other[rows] = cosines[rows].max(axis=1)
    return own, own - other


def _of_cluster(
    embeddings: Embeddings,
    cluster: int,
    rows: np.ndarray,
    own: np.ndarray,
    margin: np.ndarray,
    count: int,
) -> Exemplars:
    medoid = int(rows[own[rows].argmax()])
    core = rows[(margin[rows] >= 0) & (rows != medoid)]
    kept = core[np.argsort(-own[core], kind="stable")]
    # The last tenth may be outliers, which would be the most spread out of all.
    kept = kept[: max(len(kept) - len(kept) // 10, 1)]
    kept = kept[np.linspace(0, len(kept) - 1, min(len(kept), _COMPARED), dtype=np.int64)]
    spread = _spread(embeddings, np.concatenate([[medoid], kept]).astype(np.int64), count)
    border = rows[np.argsort(margin[rows], kind="stable")][:count]
    return Exemplars(cluster, len(rows), medoid, spread, tuple(map(int, border)))


def _spread(embeddings: Embeddings, rows: np.ndarray, count: int) -> tuple[int, ...]:
    """From the first on, each time the row least like those chosen (Gonzalez 1985)."""
    vectors = np.asarray(embeddings[rows], np.float32)
    chosen, nearest = [0], vectors @ vectors[0]
    while len(chosen) < min(count, len(rows)):
        nearest[chosen] = np.inf
        chosen.append(int(nearest.argmin()))
        nearest = np.maximum(nearest, vectors @ vectors[chosen[-1]])
    return tuple(int(rows[place]) for place in chosen)
