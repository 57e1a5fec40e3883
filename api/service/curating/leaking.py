"""Leaks between splits as pairs that a person can look at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from clustering.leakage import DUPLICATES, Leak
from indexer.groups.items import Described


def leaking_pairs(
    leaked: Sequence[Leak],
    known: Described,
    splits: Sequence[str | None],
    near: Mapping[tuple[int, int], float],
) -> list[dict[str, Any]]:
    """Near-duplicates across splits, then of each patient or study one item of either side.

    Args:
        leaked: what each two splits share.
        known: of all items.
        splits: of each item.
        near: cosines of pairs of near-duplicates, by their rows.

    Returns:
        rows with ``first`` in ``split`` and ``second`` in ``other_split``, and how many items of
        the patient or study are in either (``items``, ``other_items``).
    """
    found: list[dict[str, Any]] = []
    for leak in sorted(leaked, key=lambda leak: leak.kind != DUPLICATES):
        if leak.kind == DUPLICATES:
            found += _across(leak, known, splits, near)
        else:
            owners = known.patients if leak.kind == "patient" else known.studies
            found += _shared(leak, known, owners)
    return found


def _across(
    leak: Leak,
    known: Described,
    splits: Sequence[str | None],
    near: Mapping[tuple[int, int], float],
) -> list[dict[str, Any]]:
    pairs = []
    for (one, other), cosine in sorted(near.items(), key=lambda each: -each[1]):
        first, second = (one, other) if splits[one] == leak.first else (other, one)
        if (splits[first], splits[second]) == (leak.first, leak.second):
            pairs.append(_pair(leak, known, first, second) | {"cosine": round(cosine, 5)})
    return pairs


def _shared(leak: Leak, known: Described, owners: Sequence[str]) -> list[dict[str, Any]]:
    sides: dict[str, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for at, rows in enumerate((leak.first_items, leak.second_items)):
        for row in rows:
            sides[owners[row]][at].append(row)
    return [
        _pair(leak, known, mine[0], theirs[0]) | {"items": len(mine), "other_items": len(theirs)}
        for mine, theirs in sides.values()
    ]


def _pair(leak: Leak, known: Described, first: int, second: int) -> dict[str, Any]:
    return {
        "kind": leak.kind,
        "split": leak.first,
        "other_split": leak.second,
        "first": known.uids[first],
        "second": known.uids[second],
    }
