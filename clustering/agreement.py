"""How far two groupings of the same items agree: accuracy, NMI, ARI from their table of counts.

Sources: Hubert, Arabie, Comparing partitions, J. Classification 2 (1985) 193, for the adjusted Rand
index; Strehl, Ghosh, JMLR 3 (2002) 583, for normalised mutual information, here divided by the
arithmetic mean of the entropies; Kuhn, Naval Research Logistics Quarterly 2 (1955) 83, for the
matching.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64, Shaped
from scipy.optimize import linear_sum_assignment

from clustering.columns import aligned
from indexer.errors import QueryError

Table = Int64[np.ndarray, "rows columns"]
Labels = Shaped[np.ndarray, " n"]


def counts(first: Labels, second: Labels) -> tuple[np.ndarray, np.ndarray, Table]:
    """How many items lie in each group of one and each group of the other.

    Returns:
        The groups of the first, those of the second, both ascending, and int64
        ``(groups of the first, groups of the second)``.

    Raises:
        QueryError: there are no items, or the two differ in length.
    """
    aligned(len(first), second=second)
    if not len(first):
        raise QueryError("there is nothing to compare: no items")
    rows, row = np.unique(first, return_inverse=True)
    columns, column = np.unique(second, return_inverse=True)
    table = np.bincount(row * len(columns) + column, minlength=len(rows) * len(columns))
    return rows, columns, table.reshape(len(rows), len(columns))


def matched(table: Table) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns paired one to one so that most items lie in pairs (Hungarian method)."""
    rows, columns = linear_sum_assignment(table, maximize=True)
    return np.asarray(rows), np.asarray(columns)


def adjusted_rand(table: Table) -> float:
    """ARI: 1 for equal groupings, 0 on average for random ones; may be below 0."""
    both = _pairs(table).sum()
    rows, columns = _pairs(table.sum(axis=1)).sum(), _pairs(table.sum(axis=0)).sum()
    every = _pairs(table.sum())
    if every == 0 or rows == columns == both:
        return 1.0
    expected = rows * columns / every
    return float((both - expected) / ((rows + columns) / 2 - expected))


def normalised_information(table: Table) -> float:
    """NMI in 0..1 with the arithmetic mean of the entropies; 1 where both are one group."""
    share = table / table.sum()
    rows, columns = share.sum(axis=1), share.sum(axis=0)
    entropies = _entropy(rows) + _entropy(columns)
    if entropies == 0:
        return 1.0
    shared = entropies - _entropy(share.ravel())
    return float(np.clip(2 * shared / entropies, 0, 1))


def ari(first: Labels, second: Labels) -> float:
    """ARI of two groupings of the same items; noise counts as a group.

    Raises:
        QueryError: there are no items, or the two differ in length.
    """
    return adjusted_rand(counts(first, second)[2])


def _pairs(numbers: np.ndarray) -> np.ndarray:
    many = np.asarray(numbers, np.float64)
    return many * (many - 1) / 2


def _entropy(shares: np.ndarray) -> float:
    some = shares[shares > 0]
    return float(-(some * np.log(some)).sum())
