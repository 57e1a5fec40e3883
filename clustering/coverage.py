"""How much of a library the items chosen for labelling stand for, strategy beside strategy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clustering.centres import unit
from clustering.columns import UNKNOWN, coded, similarities
from clustering.contract import NOISE, Neighbours
from clustering.outliers import NEIGHBOURS
from clustering.selection import STRATEGIES, Pool, Rows, select
from indexer.errors import QueryError

_TOGETHER = 4_096
"""Labelled items that all others are compared with at a time."""


@dataclass(frozen=True)
class CoverageCurve:
    """What the items that a strategy chooses cover, together with those that have a label.

    Attributes:
        strategy: its name.
        chosen: rows, in the order of the choice.
        items: share of all items within the similarity, after none, one, two … of them.
        clusters: share of the clusters that have a chosen or labelled item, likewise.
        similarity: the least cosine with a chosen item that counts.
    """

    strategy: str
    chosen: tuple[int, ...]
    items: tuple[float, ...]
    clusters: tuple[float, ...]
    similarity: float


def usual_similarity(neighbours: Neighbours) -> float:
    """Median cosine of an item with its 20th neighbour, or the last there is.

    Raises:
        QueryError: no item has a neighbour.
    """
    scores = neighbours.scores[:, :NEIGHBOURS]
    last = np.where(np.isfinite(scores), scores, np.inf).min(axis=1, initial=np.inf)
    last = last[np.isfinite(last)]
    if not len(last):
        raise QueryError("similarity: no item has a neighbour to tell it from; give one")
    return float(np.median(last))


def coverage_curves(
    pool: Pool,
    budget: int,
    *,
    strategies: Sequence[str] = tuple(STRATEGIES),
    similarity: float | None = None,
    seed: int = 0,
) -> tuple[CoverageCurve, ...]:
    """Let strategies choose, and look at what they cover.

    Args:
        pool: see there.
        budget: how many items each chooses.
        strategies: names.
        similarity: cosine from which on an item stands for another; `usual_similarity` if None.
        seed: of all that is random.

    Raises:
        QueryError: as `select`, and `usual_similarity`.
        MissingExtraError: FAISS or scikit-learn is not installed.
    """
    least = usual_similarity(pool.neighbours) if similarity is None else similarity
    curves = []
    for name in strategies:
        chosen = select(pool, name, budget, seed=seed)
        items, clusters = _covered(pool, chosen, least)
        curves.append(CoverageCurve(name, tuple(map(int, chosen)), items, clusters, least))
    return tuple(curves)


def _covered(pool: Pool, chosen: Rows, least: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    labelled = np.flatnonzero(coded(pool.given)[0] != UNKNOWN)
    budget = len(chosen)
    first = np.full(len(pool.embeddings), budget + 1)
    for block, cosines in similarities(pool.embeddings, unit(pool.embeddings[chosen])):
        near = cosines >= least
        first[block] = np.where(near.any(axis=1), near.argmax(axis=1) + 1, budget + 1)
    for start in range(0, len(labelled), _TOGETHER):
        some = unit(pool.embeddings[labelled[start : start + _TOGETHER]])
        for block, cosines in similarities(pool.embeddings, some):
            first[block][cosines.max(axis=1) >= least] = 0
    clusters = np.unique(pool.clusters[pool.clusters != NOISE])
    of_cluster = np.full(len(clusters), budget + 1)
    for place in range(budget, -1, -1):
        rows = labelled if place == 0 else chosen[place - 1 : place]
        of_cluster[np.isin(clusters, pool.clusters[rows])] = place
    return _shares(first, budget), _shares(of_cluster, budget)


def _shares(first: np.ndarray, budget: int) -> tuple[float, ...]:
    """Share that is covered after 0, 1, … of the budget, from when each is covered first."""
    counts = np.bincount(first, minlength=budget + 2)[: budget + 1]
    return tuple(float(share) for share in np.cumsum(counts) / max(len(first), 1))
