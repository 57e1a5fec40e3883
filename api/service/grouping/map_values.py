"""By what the points of a map are coloured and filtered: one value a point, in their order."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial
from typing import Literal

import numpy as np
from sqlalchemy import Connection

from api.service.grouping.cluster import chosen_space
from api.service.grouping.kept_maps import KeptMap, KeptMaps
from indexer.catalog.database import reading
from indexer.errors import QueryError
from indexer.groups.items import gather_ids
from indexer.groups.maps import StoredMap
from indexer.groups.point_values import (
    added_since,
    field_values,
    not_on_map,
    p_values,
    scores_stamp,
)
from indexer.groups.references import StoredReference, find_reference
from indexer.groups.runs import NOISE, assigned, named_clusters, run_named
from indexer.kept import Kept
from indexer.library import Library
from indexer.searching.gallery import revision_of
from indexer.types import ItemIds

MOST_LISTED = 1000
"""Values that a legend lists; points with any other share one number."""
_MOST_VALUES, _MOST_MASKS = 12, 64
"""That are kept: of a million points 2 or 4 MB each, and 125 kB."""
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
class _Values:
    """Values as they are sent, and what a `Legend` says of them but for names."""

    kind: Literal["category", "number"]
    packed: bytes = field(repr=False)
    unknown: int
    values: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    more: int = 0
    more_points: int = 0

    @cached_property
    def tag(self) -> str:
        return hashlib.sha256(self.packed).hexdigest()[:32]


@dataclass(frozen=True)
class Packed:
    """What is sent of the points, and its tag."""

    content: bytes = field(repr=False)
    tag: str


class MapValues:
    """Values of the points of a library's maps; it may be used by several threads.

    What was read is kept until the catalog changes. Wherever a tag of points is taken, "" is any
    (see `KeptMaps.of`).

    Args:
        library: whose.
        maps: of it.
    """

    def __init__(self, library: Library, maps: KeptMaps) -> None:
        self._library, self._maps = library, maps
        self._values: Kept[_Values] = Kept(_MOST_VALUES)
        self._masks: Kept[np.ndarray] = Kept(_MOST_MASKS)

    def legend(self, encoder: str, version: int | None, by: str, tag: str = "") -> Legend:
        """What the values stand for.

        Raises:
            QueryError: there is no such map, field, clustering or reference.
            ChangedMeanwhileError: the map has other points.
        """
        found = self._maps.of(encoder, version, tag)
        values, names = self._read(found, by)
        listed = tuple(
            LegendValue(value, names.get(value, value), count)
            for value, count in zip(values.values, values.counts, strict=True)
        )
        return Legend(
            map=found.stored,
            by=by,
            kind=values.kind,
            ordered=values.kind == "number" or by.removeprefix("field:") in _IN_ORDER,
            values=listed,
            more=values.more,
            more_points=values.more_points,
            unknown=values.unknown,
            tag=values.tag,
        )

    def packed(self, encoder: str, version: int | None, by: str, tag: str = "") -> Packed:
        """The values: little-endian uint16 of a category, float32 of a number.

        Raises:
            QueryError, ChangedMeanwhileError: as `legend`.
        """
        values, _ = self._read(self._maps.of(encoder, version, tag), by)
        return Packed(values.packed, values.tag)

    def mask(
        self,
        encoder: str,
        version: int | None,
        expression: str,
        since: datetime | None,
        tag: str = "",
    ) -> Packed:
        """Which points pass a filter and came at a time or later: a bit each, lowest first.

        Raises:
            QueryError: there is no such map.
            FilterError: the filter cannot be read.
            ChangedMeanwhileError: the map has other points.
        """
        found = self._maps.of(encoder, version, tag)
        ids = found.points.ids
        with reading(self._library.engine) as db:
            passes = self._masks.get(
                (found.stored.id, expression.strip()),
                (found.tag, revision_of(db)),
                lambda: _passing(db, ids, expression),
            )
            if since is not None:  # of a file that is taken in again the time is another
                passes = passes & np.packbits(
                    np.isin(ids, added_since(db, since)), bitorder="little"
                )
        content = passes.tobytes()
        return Packed(content, hashlib.sha256(content).hexdigest()[:32])

    def missing(self, encoder: str, version: int | None) -> Missing:
        """How many items a map lacks that came after it was made.

        Raises:
            QueryError: there is no such map.
        """
        stored = self._maps.of(encoder, version).stored
        space = chosen_space(self._library, encoder)
        with reading(self._library.engine) as db:
            return Missing(stored, not_on_map(db, space, stored))

    def _read(self, found: KeptMap, by: str) -> tuple[_Values, dict[str, str]]:
        """Values, and the names of those that have others than themselves."""
        kind, _, name = by.partition(":")
        ids = found.points.ids
        names: dict[str, str] = {}
        with reading(self._library.engine) as db:
            if kind == "field" and name:
                state: object = revision_of(db)
                load = partial(_field, db, ids, name)
            elif kind == "cluster" and name:
                state, told = named_clusters(db, name)
                names = {str(number): called for number, called in told.items() if number != NOISE}
                load = partial(_clusters, db, name, ids)
            elif kind == "score" and name:
                reference = find_reference(self._library, name)
                state = f"{reference.id} {reference.sha256} {scores_stamp(db, reference)}"
                load = partial(_scores, db, ids, reference)
            else:
                raise QueryError(
                    "say by what: field:NAME, cluster:NAME of a clustering, score:NAME of a "
                    "reference"
                )
            return self._values.get((found.stored.id, by), (found.tag, state), load), names


def _passing(db: Connection, ids: ItemIds, expression: str) -> np.ndarray:
    passes = np.ones(len(ids), bool)
    if expression.strip():
        passes = np.isin(ids, gather_ids(db, expression))
    return np.packbits(passes, bitorder="little")


def _field(db: Connection, ids: ItemIds, name: str) -> _Values:
    return _coded(field_values(db, ids, name), name in _IN_ORDER)


def _scores(db: Connection, ids: ItemIds, reference: StoredReference) -> _Values:
    found = p_values(db, ids, reference)
    return _Values("number", found.astype("<f4").tobytes(), int(np.isnan(found).sum()))


def _coded(said: Sequence[str], ordered: bool) -> _Values:
    """Numbers for texts: the most frequent first, or in the order of their first number."""
    counts = Counter(said)
    unknown = counts.pop("", 0)
    frequent = sorted(counts, key=lambda value: (-counts[value], value))
    listed = frequent[:MOST_LISTED]
    if ordered:
        listed.sort(key=_first_number)
    number = dict.fromkeys(frequent, len(listed) + 1)
    number |= {value: at for at, value in enumerate(listed, start=1)} | {"": 0}
    codes = np.fromiter((number[value] for value in said), "<u2", len(said))
    listed_counts = tuple(counts[value] for value in listed)
    return _Values(
        "category",
        codes.tobytes(),
        unknown,
        tuple(listed),
        listed_counts,
        more=len(counts) - len(listed),
        more_points=len(said) - unknown - sum(listed_counts),
    )


def _first_number(value: str) -> tuple[int, str]:
    found = _FIRST_NUMBER.match(value)
    return (int(found[0]) if found else 0, value)


def _clusters(db: Connection, name: str, ids: ItemIds) -> _Values:
    """The cluster of each point; nothing is known of points that the run does not have."""
    labels, there = assigned(db, run_named(db, name)).of(ids)
    found, own = np.unique(labels, return_inverse=True)
    said = np.array([str(label) for label in found.tolist()], object)[own]
    said[~there] = ""
    return _coded(said.tolist(), ordered=False)
