"""The most and the least typical items: those in the thick of others, and those far from all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from clustering.columns import aligned, distances
from clustering.contract import NO_ROW, NOISE, Neighbours
from indexer.errors import QueryError

NEIGHBOURS = 20
"""Of typicality, unless another number is given."""
_SAME = 1e-3
"""The least mean distance: the rounding of stored vectors makes as much."""

Typicality = Float64[np.ndarray, " n"]
Labels = Int64[np.ndarray, " n"]


@dataclass(frozen=True)
class Standing:
    """How typical an item is among those it is ranked with.

    Attributes:
        item: its row.
        cluster: it is ranked within, None among all.
        rank: from 1.
        of: how many are ranked.
        typicality: see `typicality`; 0 without any neighbour.
    """

    item: int
    cluster: int | None
    rank: int
    of: int
    typicality: float


def typicality(
    neighbours: Neighbours, *, k: int = NEIGHBOURS, labels: Labels | None = None
) -> Typicality:
    """Inverse mean Euclidean distance to the k nearest (Hacohen, Dekel, Weinshall, ICML 2022).

    Args:
        neighbours: of all items; of fewer than k those there are.
        k: neighbours.
        labels: int64 ``(n,)``; only neighbours in the same cluster count then.

    Returns:
        float64 ``(n,)``, higher is more typical; 0 without any neighbour.

    Raises:
        QueryError: k is below 1, or the lengths differ.
    """
    aligned(len(neighbours.rows), labels=labels)
    if k < 1:
        raise QueryError(f"k is 1 or more, not {k}")
    there = neighbours.rows != NO_ROW
    if labels is not None:
        there &= labels[neighbours.rows] == labels[:, None]
    there &= np.cumsum(there, axis=1) <= k
    found = there.sum(axis=1)
    sums = np.where(there, distances(neighbours), 0.0).sum(axis=1)
    means = np.maximum(sums / np.maximum(found, 1), _SAME)
    result: Typicality = np.where(found > 0, 1 / means, 0.0)
    return result


def outliers(
    neighbours: Neighbours, count: int, *, k: int = NEIGHBOURS, labels: Labels | None = None
) -> tuple[Standing, ...]:
    """The least typical items first; with labels, of each cluster, noise left out.

    Args:
        neighbours: of all items.
        count: how many, of each cluster where there are labels; all if there are fewer.
        k: neighbours of `typicality`.
        labels: int64 ``(n,)``.

    Raises:
        QueryError: count or k is below 1, or the lengths differ.
    """
    return _ranked(neighbours, count, k, labels, 1)


def most_typical(
    neighbours: Neighbours, count: int, *, k: int = NEIGHBOURS, labels: Labels | None = None
) -> tuple[Standing, ...]:
    """The most typical items first; otherwise as `outliers`."""
    return _ranked(neighbours, count, k, labels, -1)


def _ranked(
    neighbours: Neighbours, count: int, k: int, labels: Labels | None, sign: int
) -> tuple[Standing, ...]:
    if count < 1:
        raise QueryError(f"count is 1 or more, not {count}")
    values = typicality(neighbours, k=k, labels=labels)
    if labels is None:
        return _standings(values, np.arange(len(values)), None, count, sign)
    found: list[Standing] = []
    for cluster in np.unique(labels[labels != NOISE]):
        rows = np.flatnonzero(labels == cluster)
        found += _standings(values, rows, int(cluster), count, sign)
    return tuple(found)


def _standings(
    values: Typicality, rows: np.ndarray, cluster: int | None, count: int, sign: int
) -> tuple[Standing, ...]:
    order = rows[np.argsort(sign * values[rows], kind="stable")][:count]
    return tuple(
        Standing(int(row), cluster, rank, len(rows), float(values[row]))
        for rank, row in enumerate(order, 1)
    )
