"""What is known of many items at once, one value of each, as a map is coloured by it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, exists, func, select

from indexer.catalog.tables import (
    EmbeddingRow,
    Instance,
    Item,
    ItemInstance,
    Label,
    LedgerRow,
    MapPoint,
    OodScore,
    Patient,
    Series,
    Study,
)
from indexer.errors import QueryError
from indexer.evaluating.labelled import age_band
from indexer.filters import parse_filter, sql_condition
from indexer.groups.maps import StoredMap
from indexer.groups.references import StoredReference
from indexer.library import SpaceInfo
from indexer.types import ItemIds, Role

_BATCH = 20_000
_COLUMNS: dict[str, tuple[Any, Callable[[Any], str]]] = {
    "modality": (Series.modality, str),
    "body_part": (Series.body_part, str),
    "view": (Series.view, str),
    "laterality": (Series.laterality, str),
    # Makers write their own names in several ways, as to case.
    "manufacturer": (Series.manufacturer, lambda said: said.strip().upper()),
    "model": (Series.model, lambda said: said.strip().upper()),
    "series_description": (Series.description, str),
    "study_description": (Study.description, str),
    "sex": (Study.sex, str),
    "age": (Study.age_years, age_band),
    "year": (Study.study_date, lambda said: said[:4]),
    "split": (Study.split, str),
    "kind": (Item.kind, str),
}
FIELDS = tuple(_COLUMNS)


def field_values(db: Connection, ids: ItemIds, field: str) -> list[str]:
    """The value of a field for each item, "" where nothing is known.

    Args:
        db: the catalog.
        ids: ascending.
        field: one of `FIELDS`, or ``label:NAME``; several values of a label are joined by " + ".

    Raises:
        QueryError: there is no such field.
    """
    if field.startswith("label:"):
        return _labels(db, ids, field.removeprefix("label:"))
    if field not in _COLUMNS:
        raise QueryError(f"there is no field '{field}'; there are {', '.join(FIELDS)}, label:NAME")
    column, said = _COLUMNS[field]
    query = select(Item.id, column).select_from(Item).join(Series).join(Study).order_by(Item.id)
    known: dict[Any, str] = {}
    place = dict(zip(ids.tolist(), range(len(ids)), strict=True))
    values = [""] * len(ids)
    for item, value in db.execute(query.execution_options(yield_per=_BATCH)):
        at = place.get(item)
        if at is not None:
            if value not in known:
                known[value] = said(value) or ""
            values[at] = known[value]
    return values


def _labels(db: Connection, ids: ItemIds, name: str) -> list[str]:
    """Labels of the item itself and those of its study."""
    of_study: dict[int, set[str]] = defaultdict(set)
    of_item: dict[int, set[str]] = defaultdict(set)
    query = select(Label.study_id, Label.item_id, Label.value).where(Label.name == name)
    for study, item, value in db.execute(query.execution_options(yield_per=_BATCH)):
        (of_study[study] if item is None else of_item[item]).add(value)
    if not of_study and not of_item:
        raise QueryError(f"there is no label '{name}'")
    place = dict(zip(ids.tolist(), range(len(ids)), strict=True))
    values = [""] * len(ids)
    rows = db.execute(select(Item.id, Series.study_id).select_from(Item).join(Series))
    for item, study in rows:
        at = place.get(item)
        if at is not None:
            own = of_study.get(study, set()) | of_item.get(item, set())
            values[at] = " + ".join(sorted(own))
    return values


def p_values(db: Connection, ids: ItemIds, reference: StoredReference) -> np.ndarray:
    """What a reference last said of each item: float32 ``(n,)``, NaN where it said nothing."""
    query = select(OodScore.item_id, OodScore.p_value).where(
        OodScore.reference_id == reference.id, OodScore.p_value.is_not(None)
    )
    rows = db.execute(query.order_by(OodScore.item_id)).all()
    theirs = np.array([row[0] for row in rows], np.int64)
    said = np.array([row[1] for row in rows], np.float32)
    values = np.full(len(ids), np.nan, np.float32)
    _, mine, its = np.intersect1d(ids, theirs, assume_unique=True, return_indices=True)
    values[mine] = said[its]
    return values


def scores_stamp(db: Connection, reference: StoredReference) -> str:
    """Another text once a reference has said something more."""
    query = select(func.count(), func.max(OodScore.judged_at)).where(
        OodScore.reference_id == reference.id
    )
    count, newest = db.execute(query).one()
    return f"{count} {newest}"


def added_since(db: Connection, since: datetime) -> ItemIds:
    """Items whose (first) file was taken into the library at a time or later, ascending."""
    stored = since.astimezone(UTC).replace(tzinfo=None) if since.tzinfo else since
    query = (
        select(ItemInstance.item_id)
        .join(Instance, Instance.id == ItemInstance.instance_id)
        .join(LedgerRow, LedgerRow.source == Instance.source)
        .where(ItemInstance.position == 0, LedgerRow.seen_at >= stored)
        .order_by(ItemInstance.item_id)
    )
    return np.array(db.execute(query).scalars().all(), np.int64)


def not_on_map(db: Connection, space: SpaceInfo, stored: StoredMap) -> int:
    """How many items of a space a map is of, and are not on it: they came after it was made."""
    query = (
        select(func.count())
        .select_from(EmbeddingRow)
        .join(Item)
        .where(
            EmbeddingRow.space_id == space.id,
            Item.role == Role.PRIMARY,
            ~exists().where(MapPoint.map_id == stored.id, MapPoint.item_id == Item.id),
        )
    )
    if stored.filter.strip():
        query = query.join(Series, Series.id == Item.series_id).join(Study).join(Patient)
        query = query.where(sql_condition(parse_filter(stored.filter)))
    return db.execute(query).scalar_one()
