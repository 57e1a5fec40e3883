"""Two clusterings of the same items beside each other: what stayed together and what moved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from clustering.agreement import adjusted_rand, counts, matched, normalised_information
from clustering.contract import NOISE

Labels = Int64[np.ndarray, " n"]
Table = Int64[np.ndarray, "first second"]


@dataclass(frozen=True)
class Overlap:
    """How many items lie in a cluster of one run and in a cluster of the other."""

    first: int
    second: int
    items: int


@dataclass(frozen=True)
class Match:
    """A cluster of one run and the cluster of the other that it became.

    Attributes:
        first, second: the clusters; None where there is no counterpart.
        shared: items in both.
        jaccard: these, as a share of the items in either.
    """

    first: int | None
    second: int | None
    shared: int
    jaccard: float


@dataclass(frozen=True)
class Comparison:
    """Two runs over the same items.

    Attributes:
        overlaps: the confusion matrix without its zeros, `NOISE` included.
        matches: clusters matched one to one, most shared items first, then those that have no
            counterpart.
        moved: rows of the items whose cluster in the second run does not match theirs in the first;
            noise matches noise.
        ari, nmi: noise counts as a group.
    """

    overlaps: tuple[Overlap, ...]
    matches: tuple[Match, ...]
    moved: np.ndarray
    ari: float
    nmi: float


def compare(first: Labels, second: Labels) -> Comparison:
    """Compare two clusterings.

    Args:
        first: int64 ``(n,)``.
        second: of the same items in the same order.

    Raises:
        QueryError: there are no items, or the two differ in length.
    """
    rows, columns, table = counts(first, second)
    overlaps = tuple(
        Overlap(int(rows[row]), int(columns[column]), int(table[row, column]))
        for row, column in np.argwhere(table)
    )
    matches = _matches(rows, columns, table)
    became = {match.first: match.second for match in matches} | {NOISE: NOISE}
    expected = np.array([_number(became[int(row)]) for row in rows])
    moved = np.flatnonzero(expected[np.searchsorted(rows, first)] != second)
    return Comparison(overlaps, matches, moved, adjusted_rand(table), normalised_information(table))


def _matches(rows: np.ndarray, columns: np.ndarray, table: Table) -> tuple[Match, ...]:
    from_row, to_column = np.flatnonzero(rows != NOISE), np.flatnonzero(columns != NOISE)
    core = table[np.ix_(from_row, to_column)]
    pairs = [
        (from_row[row], to_column[column])
        for row, column in zip(*matched(core), strict=True)
        if core[row, column]
    ]
    pairs.sort(key=lambda pair: -int(table[pair]))
    found = [
        Match(
            int(rows[row]),
            int(columns[column]),
            int(table[row, column]),
            float(
                table[row, column]
                / (table[row].sum() + table[:, column].sum() - table[row, column])
            ),
        )
        for row, column in pairs
    ]
    gone = sorted({*from_row} - {row for row, _ in pairs})
    new = sorted({*to_column} - {column for _, column in pairs})
    found += [Match(int(rows[row]), None, 0, 0.0) for row in gone]
    found += [Match(None, int(columns[column]), 0, 0.0) for column in new]
    return tuple(found)


def _number(cluster: int | None) -> int:
    """A cluster that no item of the second run has stands for no counterpart."""
    return NOISE - 1 if cluster is None else cluster
