"""Maps of a space in the catalog: versions beside each other, points that never move."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, Integer, delete, func, insert, literal_column, select

from indexer.catalog.columns import columns
from indexer.catalog.database import reading, transaction
from indexer.catalog.tables import MapPoint, MapRow, Space
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
class MapState:
    """What tells whether a map is as it was, without a look at its points.

    Numbers of maps and of points are had again by others once the last ones were removed; so all
    of this together is compared.

    Attributes:
        id: private to the catalog.
        newest_point: of all maps, grows with points that are added.
        maps: how many there are, and when the newest was made.
        generation: of the space, grows with every removal of items.
    """

    id: int
    version: int
    created_at: datetime
    newest_point: int
    maps: tuple[int, datetime]
    generation: int


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
    with reading(library.engine) as db:
        return _stored(db, space, _row(db, space, version))


def map_state(db: Connection, space: SpaceInfo, version: int | None = None) -> MapState:
    """What tells whether a version, the newest where none is named, is as it was.

    Raises:
        UnknownNameError: there is none.
    """
    row = _row(db, space, version)
    newest = select(func.max(literal_column("map_point.rowid", Integer))).select_from(MapPoint)
    generation = select(Space.generation).where(Space.id == space.id)
    count, made = db.execute(select(func.count(), func.max(MapRow.created_at))).one()
    return MapState(
        id=row.id,
        version=row.version,
        created_at=row.created_at,
        newest_point=db.execute(newest).scalar() or 0,
        maps=(count, made),
        generation=db.execute(generation).scalar_one(),
    )


def _row(db: Connection, space: SpaceInfo, version: int | None) -> Any:
    query = select(MapRow).where(MapRow.space_id == space.id).order_by(MapRow.version.desc())
    wanted = query if version is None else query.where(MapRow.version == version)
    row = db.execute(wanted.limit(1)).first()
    if row is not None:
        return row
    numbers = sorted(each.version for each in db.execute(query))
    if not numbers:
        raise UnknownNameError(f"'{space.encoder}' has no map yet; make one with: syntopy map fit")
    raise UnknownNameError(
        f"the map of '{space.encoder}' has no version {version}; it has "
        f"{', '.join(map(str, numbers))}"
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
    query = select(MapPoint.item_id, MapPoint.x, MapPoint.y, MapPoint.fitted)
    query = query.where(MapPoint.map_id == stored.id)
    ids, x, y, fitted = columns(db, query, (np.int64, np.float32, np.float32, np.int64))
    order = np.argsort(ids, kind="stable")
    return Points(ids[order], np.column_stack([x, y])[order], fitted[order].astype(bool))


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
