"""The members that show what a cluster is: its medoid, some spread out, some at its border."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from clustering.centres import unit
from clustering.columns import aligned, similarities
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
        spread: members of its inner half that differ from each other, the medoid first.
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
    if not len(centres):
        return ()
    own, margin = np.empty(len(labels), np.float32), np.empty(len(labels), np.float32)
    for block, cosines in similarities(embeddings, centres):
        own[block], margin[block] = _own_and_margin(cosines, labels[block])
    found = []
    for cluster in range(len(centres)):
        rows = np.flatnonzero(labels == cluster)
        order = np.argsort(-own[rows], kind="stable")
        medoid, core = int(rows[order[0]]), rows[order[margin[rows[order]] >= 0]]
        spread = _spread(embeddings, medoid, core, count)
        border = rows[np.argsort(margin[rows], kind="stable")][:count]
        found.append(Exemplars(cluster, len(rows), medoid, spread, tuple(map(int, border))))
    return tuple(found)


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


def _spread(embeddings: Embeddings, medoid: int, core: np.ndarray, count: int) -> tuple[int, ...]:
    """From the medoid on, each time the member least like those chosen (Gonzalez 1985).

    Args:
        embeddings: ``(n, dim)``.
        medoid: its row.
        core: members to choose from, those nearest to the middle first.
        count: how many.
    """
    # The outer half would be the least like all others, and shows what is odd about a cluster.
    kept = core[: len(core) - len(core) // 2]
    kept = kept[np.linspace(0, len(kept) - 1, min(len(kept), _COMPARED), dtype=np.int64)]
    rows = np.concatenate([[medoid], kept[kept != medoid]]).astype(np.int64)
    vectors = np.asarray(embeddings[rows], np.float32)
    chosen, nearest = [0], vectors @ vectors[0]
    while len(chosen) < min(count, len(rows)):
        nearest[chosen] = np.inf
        chosen.append(int(nearest.argmin()))
        nearest = np.maximum(nearest, vectors @ vectors[chosen[-1]])
    return tuple(int(rows[place]) for place in chosen)
