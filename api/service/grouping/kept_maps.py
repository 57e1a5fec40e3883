"""Maps that stay in memory between requests, and the items at places of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, select

from api.service.grouping.cluster import chosen_space
from indexer.catalog.database import reading
from indexer.catalog.tables import Item, MapPoint
from indexer.errors import ChangedMeanwhileError, QueryError
from indexer.groups.maps import MapState, Points, StoredMap, find_map, map_state, read_points
from indexer.kept import Kept
from indexer.library import Library

_PART = 900
"""Ids in one statement."""


@dataclass(frozen=True)
class KeptMap:
    """A map as it was read.

    Attributes:
        stored: which.
        points: its items and their places, 17 bytes a point.
        tag: another one for other points. Positions are only right with the tag that they were
            made from.
    """

    stored: StoredMap
    points: Points
    tag: str

    def packed(self) -> bytes:
        """Little-endian float32, x and y of each point."""
        return self.points.places.astype("<f4").tobytes()


@dataclass(frozen=True)
class MapItems:
    """Items on a map.

    Attributes:
        map: which.
        tag: of its points.
        items: public ids.
    """

    map: StoredMap
    tag: str
    items: list[str]


@dataclass(frozen=True)
class MapPlace:
    """The position of an item among the points of a map, from zero; None where it is not on it."""

    map: StoredMap
    tag: str
    at: int | None


class KeptMaps:
    """The maps of a library; it may be used by several threads.

    A map is read once, and again when points were added to it or items removed.

    Args:
        library: whose.
        most: how many are kept; that which was not asked for longest goes.
    """

    def __init__(self, library: Library, most: int = 2) -> None:
        self._library = library
        self._kept: Kept[KeptMap] = Kept(most)

    def of(self, encoder: str = "", version: int | None = None, tag: str = "") -> KeptMap:
        """A map, the newest of the space where no version is named.

        Args:
            encoder: whose space; "" takes the library's first that has vectors.
            version: of the map.
            tag: of the points that whoever asks has; "" for any.

        Raises:
            UnknownNameError: there is no such map.
            ChangedMeanwhileError: it has other points than those.
        """
        space = chosen_space(self._library, encoder)
        with reading(self._library.engine) as db:
            state = map_state(db, space, version)
            found = self._kept.get(
                state.id,
                state,
                lambda: _read(db, find_map(self._library, space, state.version), state),
            )
        if tag and tag != found.tag:
            raise ChangedMeanwhileError(
                "the map has other points by now: ask for them again", tag=found.tag
            )
        return found

    def items(
        self, encoder: str, version: int | None, at: Sequence[int] | None, tag: str = ""
    ) -> MapItems:
        """The items at some positions, in their order; at all where none are named.

        Raises:
            UnknownNameError, ChangedMeanwhileError: as `of`.
            QueryError: there is no such position.
        """
        found = self.of(encoder, version, tag)
        ids = found.points.ids
        wanted = np.arange(len(ids)) if at is None else np.array(at, np.int64)
        if len(wanted) and wanted.max() >= len(ids):
            raise QueryError(f"there is no point {wanted.max()}: the map has {len(ids)}, from 0")
        with reading(self._library.engine) as db:
            known = _all_uids(db, found.stored) if at is None else _uids(db, ids[wanted])
        uids = [known.get(item, "") for item in ids[wanted].tolist()]
        if not all(uids):
            raise ChangedMeanwhileError("items of the map were just removed: ask for it again")
        return MapItems(found.stored, found.tag, uids)

    def place(self, item: str, encoder: str, version: int | None, tag: str = "") -> MapPlace:
        """The position of an item.

        Raises:
            UnknownNameError, ChangedMeanwhileError: as `of`.
        """
        found = self.of(encoder, version, tag)
        with reading(self._library.engine) as db:
            number = db.execute(select(Item.id).where(Item.uid == item)).scalar()
        at = np.flatnonzero(found.points.ids == (-1 if number is None else number))
        return MapPlace(found.stored, found.tag, int(at[0]) if len(at) else None)


def _read(db: Connection, stored: StoredMap, state: MapState) -> KeptMap:
    points = read_points(db, stored)
    digest = hashlib.sha256(f"{state.id} {state.created_at} ".encode())
    digest.update(points.ids.tobytes())
    digest.update(points.places.tobytes())
    return KeptMap(stored, points, digest.hexdigest()[:32])


def _uids(db: Connection, ids: np.ndarray) -> dict[int, str]:
    found: dict[int, str] = {}
    for start in range(0, len(ids), _PART):
        part = ids[start : start + _PART].tolist()
        rows = db.execute(select(Item.id, Item.uid).where(Item.id.in_(part)))
        found |= {row.id: row.uid for row in rows}
    return found


def _all_uids(db: Connection, stored: StoredMap) -> dict[int, str]:
    mine = MapPoint.map_id == stored.id
    rows = db.execute(
        select(Item.id, Item.uid).join(MapPoint, MapPoint.item_id == Item.id).where(mine)
    )
    return {row.id: row.uid for row in rows}
