"""What is on both sides of a split: patients, studies, any other owner, and near-duplicates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from clustering.columns import UNKNOWN, Codes, Column, aligned, coded
from indexer.errors import QueryError

DUPLICATES = "near-duplicate"
"""The kind of leak that pairs make."""


@dataclass(frozen=True)
class Leak:
    """What two splits share of one kind; nothing, if ``shared`` is 0.

    Attributes:
        first, second: names of the splits.
        kind: ``patient`` or another owner, or `DUPLICATES`.
        shared: owners on both sides, or pairs across.
        first_items, second_items: rows that are concerned in each.
    """

    first: str
    second: str
    kind: str
    shared: int
    first_items: tuple[int, ...]
    second_items: tuple[int, ...]


def leakage(
    splits: Column, owners: Mapping[str, Column], pairs: Sequence[tuple[int, int]] = ()
) -> tuple[Leak, ...]:
    """Look at each two splits for what they share.

    Args:
        splits: of each item, ``train`` for instance; items without one are left out.
        owners: ``{"patient": …, "study": …}``, whose each item is.
        pairs: rows of near-duplicates.

    Returns:
        For each two splits one row of each kind, those that share nothing included.

    Raises:
        QueryError: fewer than two splits, lengths that differ, or a pair of rows there are not.
    """
    aligned(len(splits), **owners)
    codes, names = coded(splits)
    if len(names) < 2:
        raise QueryError("splits: two or more are needed to look for what they share")
    ends = _ends(pairs, len(splits))
    by_kind = {kind: coded(column)[0] for kind, column in owners.items()}
    leaks = []
    for first, second in combinations(range(len(names)), 2):
        found = {
            kind: _shared(owner, codes == first, codes == second) for kind, owner in by_kind.items()
        }
        found[DUPLICATES] = _across(ends, codes, first, second)
        leaks += [
            Leak(names[first], names[second], kind, shared, mine, theirs)
            for kind, (shared, mine, theirs) in found.items()
        ]
    return tuple(leaks)


def _ends(pairs: Sequence[tuple[int, int]], count: int) -> np.ndarray:
    ends = np.array(pairs, np.int64).reshape(-1, 2)
    if ((ends < 0) | (ends >= count)).any():
        raise QueryError(f"pairs: a row lies outside of the {count:,} items")
    return ends


def _shared(
    owner: Codes, first: np.ndarray, second: np.ndarray
) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    both = np.intersect1d(owner[first], owner[second])
    both = both[both != UNKNOWN]
    concerned = np.isin(owner, both)
    return len(both), _rows(concerned & first), _rows(concerned & second)


def _across(
    ends: np.ndarray, codes: Codes, first: int, second: int
) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    sides = codes[ends]
    across = ends[(sides == (first, second)).all(axis=1) | (sides == (second, first)).all(axis=1)]
    rows = np.unique(across)
    return (
        len(np.unique(np.sort(across, axis=1), axis=0)),
        tuple(map(int, rows[codes[rows] == first])),
        tuple(map(int, rows[codes[rows] == second])),
    )


def _rows(mask: np.ndarray) -> tuple[int, ...]:
    return tuple(map(int, np.flatnonzero(mask)))
