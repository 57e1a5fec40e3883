"""Items as a person wants to hear of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, and_, select

from indexer.catalog.tables import (
    Instance,
    Item,
    ItemInstance,
    Label,
    Patient,
    Series,
    Study,
)
from indexer.types import Hit, SliceMatch


def describe_items(
    db: Connection,
    found: Sequence[tuple[int, float, int]],
    matches: Mapping[int, SliceMatch] | None = None,
) -> list[Hit]:
    """Describe items for a person: (item, score, further items of its study), and slices."""
    ids = [item for item, _, _ in found]
    first = (
        select(Instance.sop_instance_uid)
        .join(ItemInstance)
        .where(ItemInstance.item_id == Item.id)
        .order_by(ItemInstance.position)
        .limit(1)
        .scalar_subquery()
    )
    query = (
        select(
            Item.id,
            Item.uid,
            Item.kind,
            Item.role,
            Item.frame_index,
            Item.flags,
            first.label("sop_instance_uid"),
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
        .where(Item.id.in_(ids))
    )
    rows = {row.id: row for row in db.execute(query)}
    labels = _labels(db, {row.study_id for row in rows.values()})
    return [
        replace(
            _hit(rows[item], score, more, labels.get(rows[item].study_id, {})),
            match=(matches or {}).get(item),
        )
        for item, score, more in found
        if item in rows
    ]


def _hit(row: Row[Any], score: float, more: int, labels: Mapping[str, tuple[str, ...]]) -> Hit:
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
        more_in_study=more,
    )


def _labels(db: Connection, studies: set[int]) -> dict[int, dict[str, tuple[str, ...]]]:
    found: dict[int, dict[str, tuple[str, ...]]] = defaultdict(dict)
    rows = db.execute(
        select(Label.study_id, Label.name, Label.value)
        .where(and_(Label.study_id.in_(studies), Label.item_id.is_(None)))
        .order_by(Label.name, Label.value)
    )
    for study, name, value in rows:
        found[study][name] = (*found[study].get(name, ()), value)
    return found
