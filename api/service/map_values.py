"""By what the points of a map are coloured and filtered: one value a point, in their order."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
from sqlalchemy import Connection

from api.service.cluster import chosen_space
from indexer.catalog.database import reading
from indexer.errors import QueryError
from indexer.groups.items import gather_ids
from indexer.groups.maps import Points, StoredMap, find_map, read_points
from indexer.groups.point_values import (
    added_since,
    field_values,
    not_on_map,
    p_values,
    scores_stamp,
)
from indexer.groups.references import find_reference
from indexer.groups.runs import NOISE, assigned, clusters_of, run_named
from indexer.library import Library
from indexer.searching.gallery import revision_of

MOST_LISTED = 1000
"""Values that a legend lists; points with any other share one number."""
_MOST_KEPT = 12
_IN_ORDER = frozenset({"age", "year"})
_FIRST_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True)
class LegendValue:
    """A value, what it is called, and how many points have it."""

    value: str
    name: str
    points: int


@dataclass(frozen=True)
class Legend:
    """What the values of the points stand for.

    Attributes:
        map: whose points.
        by: what was asked for.
        kind: ``category``: each point has a number, 0 where nothing is known, n for the nth of
            ``values``, and one more than there are for any other; ``number``: the value itself,
            NaN where nothing is known.
        ordered: whether the values have an order of their own; else the most frequent is first.
        values: at most `MOST_LISTED`.
        more: values that are not listed; ``more_points`` have one of them.
        unknown: points of which nothing is known.
        tag: of the values that this belongs to.
    """

    map: StoredMap
    by: str
    kind: Literal["category", "number"]
    ordered: bool
    values: tuple[LegendValue, ...]
    more: int
    more_points: int
    unknown: int
    tag: str


@dataclass(frozen=True)
class Missing:
    """How many items of its space are not on a map."""

    map: StoredMap
    missing: int


@dataclass(frozen=True)
class _Coded:
    """Values by number, as `Legend` says, in the order of its values."""

    codes: np.ndarray
    values: tuple[str, ...]
    counts: tuple[int, ...]
    more: int


class MapValues:
    """Values of the points of a library's maps; it may be used by several threads.

    What was read is kept until the catalog changes.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._lock = threading.Lock()
        self._points: tuple[object, Points] | None = None
        self._kept: OrderedDict[object, _Coded | np.ndarray] = OrderedDict()

    def legend(self, encoder: str, version: int | None, by: str) -> Legend:
        """What the values stand for.

        Raises:
            QueryError: there is no such map, field, clustering or reference.
        """
        stored, found, names = self._read(encoder, version, by)
        packed = _packed(found)
        tag = hashlib.sha256(packed).hexdigest()[:32]
        if isinstance(found, np.ndarray):
            unknown = int(np.isnan(found).sum())
            return Legend(stored, by, "number", True, (), 0, 0, unknown, tag)
        values = tuple(
            LegendValue(value, names.get(value, value), count)
            for value, count in zip(found.values, found.counts, strict=True)
        )
        unknown = int((found.codes == 0).sum())
        rest = len(found.codes) - unknown - sum(found.counts)
        ordered = by.removeprefix("field:") in _IN_ORDER
        return Legend(stored, by, "category", ordered, values, found.more, rest, unknown, tag)

    def packed(self, encoder: str, version: int | None, by: str) -> bytes:
        """The values: little-endian uint16 of a category, float32 of a number.

        Raises:
            QueryError: as `legend`.
        """
        return _packed(self._read(encoder, version, by)[1])

    def mask(
        self, encoder: str, version: int | None, expression: str, since: datetime | None
    ) -> np.ndarray:
        """Which points pass a filter and came at a time or later: bool ``(n,)``.

        Raises:
            QueryError: there is no such map.
            FilterError: the filter cannot be read.
        """
        stored = find_map(self._library, chosen_space(self._library, encoder), version)
        with self._lock, reading(self._library.engine) as db:
            ids = self._points_of(db, stored).ids
            passes = np.ones(len(ids), bool)
            if expression.strip():
                passes &= np.isin(ids, gather_ids(db, expression))
            if since is not None:
                passes &= np.isin(ids, added_since(db, since))
            return passes

    def missing(self, encoder: str, version: int | None) -> Missing:
        """How many items a map lacks that came after it was made.

        Raises:
            QueryError: there is no such map.
        """
        space = chosen_space(self._library, encoder)
        stored = find_map(self._library, space, version)
        with reading(self._library.engine) as db:
            return Missing(stored, not_on_map(db, space, stored))

    def _read(
        self, encoder: str, version: int | None, by: str
    ) -> tuple[StoredMap, _Coded | np.ndarray, dict[str, str]]:
        """The map, its values, and the names of those that have others than themselves."""
        kind, _, name = by.partition(":")
        stored = find_map(self._library, chosen_space(self._library, encoder), version)
        names: dict[str, str] = {}
        with self._lock, reading(self._library.engine) as db:
            points = self._points_of(db, stored)
            if kind == "field" and name:
                found = self._keeping(
                    (by, ""), lambda: _coded(field_values(db, points.ids, name), name in _IN_ORDER)
                )
            elif kind == "cluster" and name:
                run = run_named(db, name)
                names = {str(each.cluster): each.called for each in clusters_of(db, run)}
                names.pop(str(NOISE), None)
                found = self._keeping((by, str(run.id)), lambda: _clusters(db, name, points))
            elif kind == "score" and name:
                reference = find_reference(self._library, name)
                stamp = f"{reference.id} {scores_stamp(db, reference)}"
                found = self._keeping((by, stamp), lambda: p_values(db, points.ids, reference))
            else:
                raise QueryError(
                    "say by what: field:NAME, cluster:NAME of a clustering, score:NAME of a "
                    "reference"
                )
        return stored, found, names

    def _points_of(self, db: Connection, stored: StoredMap) -> Points:
        """The points of a map; those of one map are kept, with what is known of them."""
        key = (stored.id, stored.points, revision_of(db))
        if self._points is None or self._points[0] != key:
            self._points = (key, read_points(db, stored))
            self._kept.clear()
        return self._points[1]

    def _keeping(self, key: object, read: Callable[[], _Coded | np.ndarray]) -> _Coded | np.ndarray:
        if key not in self._kept:
            self._kept[key] = read()
        self._kept.move_to_end(key)
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]


def _packed(found: _Coded | np.ndarray) -> bytes:
    return (found.astype("<f4") if isinstance(found, np.ndarray) else found.codes).tobytes()


def _coded(said: Sequence[str], ordered: bool) -> _Coded:
    """Numbers for texts: the most frequent first, or in the order of their first number."""
    counts = Counter(said)
    counts.pop("", None)
    frequent = sorted(counts, key=lambda value: (-counts[value], value))
    listed = frequent[:MOST_LISTED]
    if ordered:
        listed.sort(key=_first_number)
    number = dict.fromkeys(frequent, len(listed) + 1)
    number |= {value: at for at, value in enumerate(listed, start=1)} | {"": 0}
    codes = np.fromiter((number[value] for value in said), "<u2", len(said))
    return _Coded(
        codes, tuple(listed), tuple(counts[value] for value in listed), len(counts) - len(listed)
    )


def _first_number(value: str) -> tuple[int, str]:
    found = _FIRST_NUMBER.match(value)
    return (int(found[0]) if found else 0, value)


def _clusters(db: Connection, name: str, points: Points) -> _Coded:
    """The cluster of each point; nothing is known of points that the run does not have."""
    labels, there = assigned(db, run_named(db, name)).of(points.ids)
    said = np.where(there, labels, np.iinfo(np.int64).min).tolist()
    nothing = np.iinfo(np.int64).min
    return _coded(["" if label == nothing else str(label) for label in said], ordered=False)
