"""Maps of a space in the catalog: versions beside each other, points that never move."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import Connection, delete, func, insert, select

from indexer.catalog.database import reading, transaction
from indexer.catalog.tables import MapPoint, MapRow
from indexer.errors import UnknownNameError
from indexer.library import Library, SpaceInfo
from indexer.types import ItemIds

_BATCH = 10_000


@dataclass(frozen=True)
class StoredMap:
    """A version of the map of a space.

    Attributes:
        id: private to the catalog.
        filter: which items it is of.
        points: items that lie on it; ``fitted`` of them made it, the others were placed.
        report: how far items moved since the version before; empty for the first.
    """

    id: int = field(repr=False)
    encoder: str
    version: int
    filter: str
    parameters: Mapping[str, Any]
    report: Mapping[str, Any]
    points: int
    fitted: int
    created_at: str


@dataclass(frozen=True)
class Points:
    """Items on a map.

    Attributes:
        ids: ascending.
        places: float32 ``(n, 2)``.
        fitted: bool ``(n,)``.
    """

    ids: ItemIds
    places: np.ndarray
    fitted: np.ndarray


def list_maps(library: Library, space: SpaceInfo) -> list[StoredMap]:
    """All versions, oldest first."""
    query = select(MapRow).where(MapRow.space_id == space.id).order_by(MapRow.version)
    with reading(library.engine) as db:
        return [_stored(db, space, row) for row in db.execute(query).all()]


def find_map(library: Library, space: SpaceInfo, version: int | None = None) -> StoredMap:
    """A version, the newest where none is named.

    Raises:
        UnknownNameError: there is none.
    """
    maps = list_maps(library, space)
    if not maps:
        raise UnknownNameError(f"'{space.encoder}' has no map yet; make one with: syntopy map fit")
    if version is None:
        return maps[-1]
    for found in maps:
        if found.version == version:
            return found
    numbers = ", ".join(str(found.version) for found in maps)
    raise UnknownNameError(
        f"the map of '{space.encoder}' has no version {version}; it has {numbers}"
    )


def save_map(
    library: Library,
    space: SpaceInfo,
    points: Points,
    *,
    expression: str,
    parameters: Mapping[str, object],
    report: Mapping[str, object],
) -> StoredMap:
    """Store a new version, all of it or nothing; only a writer should."""
    with transaction(library.engine) as db:
        newest = select(func.max(MapRow.version)).where(MapRow.space_id == space.id)
        version = (db.execute(newest).scalar() or 0) + 1
        number = db.execute(
            insert(MapRow)
            .values(
                space_id=space.id,
                version=version,
                filter=expression,
                parameters=dict(parameters),
                report=dict(report),
            )
            .returning(MapRow.id)
        ).scalar_one()
        _insert(db, number, points)
    return find_map(library, space, version)


def add_points(library: Library, stored: StoredMap, points: Points) -> None:
    """Put items onto a map that are not on it yet; only a writer should."""
    with transaction(library.engine) as db:
        _insert(db, stored.id, points)


def read_points(db: Connection, stored: StoredMap) -> Points:
    """All items on a map that are there still."""
    query = (
        select(MapPoint.item_id, MapPoint.x, MapPoint.y, MapPoint.fitted)
        .where(MapPoint.map_id == stored.id)
        .order_by(MapPoint.item_id)
    )
    rows = db.execute(query).all()
    return Points(
        np.array([row.item_id for row in rows], np.int64),
        np.array([(row.x, row.y) for row in rows], np.float32).reshape(-1, 2),
        np.array([row.fitted for row in rows], bool),
    )


def remove_map(library: Library, stored: StoredMap) -> None:
    """Delete a version; only a writer should."""
    with transaction(library.engine) as db:
        db.execute(delete(MapRow).where(MapRow.id == stored.id))


def _insert(db: Connection, number: int, points: Points) -> None:
    rows = zip(points.ids.tolist(), points.places.tolist(), points.fitted.tolist(), strict=True)
    values = [
        {"map_id": number, "item_id": item, "x": x, "y": y, "fitted": fitted}
        for item, (x, y), fitted in rows
    ]
    for start in range(0, len(values), _BATCH):
        db.execute(insert(MapPoint), values[start : start + _BATCH])


def _stored(db: Connection, space: SpaceInfo, row: Any) -> StoredMap:
    mine = select(func.count()).select_from(MapPoint).where(MapPoint.map_id == row.id)
    return StoredMap(
        id=row.id,
        encoder=space.encoder,
        version=row.version,
        filter=row.filter,
        parameters=row.parameters,
        report=row.report,
        points=db.execute(mine).scalar_one(),
        fitted=db.execute(mine.where(MapPoint.fitted)).scalar_one(),
        created_at=row.created_at.isoformat(timespec="seconds"),
    )
