"""Items as a person wants to hear of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from indexer.catalog.labels import labels_of_items
from indexer.catalog.tables import Instance, Item, ItemInstance, Patient, Series, Study
from indexer.types import Hit, SliceMatch

_FIRST = (
    select(Instance.sop_instance_uid)
    .join(ItemInstance)
    .where(ItemInstance.item_id == Item.id)
    .order_by(ItemInstance.position)
    .limit(1)
    .scalar_subquery()
)
_ITEMS = (
    select(
        Item.id,
        Item.uid,
        Item.kind,
        Item.role,
        Item.frame_index,
        Item.flags,
        _FIRST.label("sop_instance_uid"),
        Series.series_instance_uid,
        Series.modality,
        Series.body_part,
        Series.view,
        Series.description.label("series_description"),
        Series.study_id,
        Study.study_instance_uid,
        Study.description.label("study_description"),
        Study.sex,
        Study.age_years,
        Study.study_date,
        Patient.pseudonym,
        Patient.shared,
    )
    .select_from(Item)
    .join(Series)
    .join(Study)
    .join(Patient)
    .where(Item.id.in_(bindparam("ids", expanding=True)))
)
"""Built once: to put such a statement together takes longer than to run it."""


def describe_items(
    db: Connection,
    found: Sequence[tuple[int, float, int]],
    matches: Mapping[int, SliceMatch] | None = None,
) -> list[Hit]:
    """Describe items for a person: (item, score, further items of its group), and slices.

    Those that are gone from the catalog are left out.
    """
    rows = {row.id: row for row in db.execute(_ITEMS, {"ids": [item for item, _, _ in found]})}
    labels = labels_of_items(db, {number: row.study_id for number, row in rows.items()})
    return [
        _hit(
            rows[item],
            score,
            more,
            labels.get(item, {}),
            (matches or {}).get(item),
        )
        for item, score, more in found
        if item in rows
    ]


def _hit(
    row: Row[Any],
    score: float,
    more: int,
    labels: Mapping[str, tuple[str, ...]],
    match: SliceMatch | None,
) -> Hit:
    return Hit(
        id=row.uid,
        score=round(float(score), 6),
        study_instance_uid=row.study_instance_uid,
        series_instance_uid=row.series_instance_uid,
        sop_instance_uid=row.sop_instance_uid or "",
        frame_number=None if row.frame_index is None else row.frame_index + 1,
        kind=row.kind,
        modality=row.modality,
        body_part=row.body_part,
        view=row.view,
        description=row.series_description or row.study_description,
        patient="" if row.shared else row.pseudonym,
        sex=row.sex,
        age_years=row.age_years,
        study_date=row.study_date,
        role=row.role,
        flags=tuple(row.flags),
        labels=labels,
        more=more,
        match=match,
    )
