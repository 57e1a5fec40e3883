"""Items with their vectors, and what is known of each, by columns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, bindparam, func, select
from sqlalchemy.orm import aliased

from indexer.catalog.tables import (
    Instance,
    Item,
    ItemInstance,
    Label,
    Patient,
    Report,
    Series,
    Study,
)
from indexer.evaluating.labelled import age_band, read_vectors
from indexer.filters import parse_filter, sql_condition
from indexer.library import SpaceInfo
from indexer.types import ItemIds, Role

_BATCH = 20_000
_PART = 900
"""Ids in one statement."""
_BESIDE = aliased(Item)
_ACQUIRED = (
    select(
        Item.role, Item.slices, Item.flags, Item.details, Instance.rows, Instance.columns,
        select(func.max(_BESIDE.slices))
        .where(_BESIDE.series_id == Item.series_id)
        .scalar_subquery()
        .label("beside"),
    )
    .select_from(Item)
    .outerjoin(ItemInstance, (ItemInstance.item_id == Item.id) & (ItemInstance.position == 0))
    .outerjoin(Instance, Instance.id == ItemInstance.instance_id)
    .where(Item.id.in_(bindparam("items", expanding=True)))
    .order_by(Item.id)
)  # fmt: skip


@dataclass(frozen=True)
class Gathered:
    """Primary items of a space.

    Attributes:
        ids: ascending.
        vectors: float16 ``(n, dim)`` as stored.
        missing: items that pass the filter and have no vector in the space.
    """

    ids: ItemIds
    vectors: np.ndarray
    missing: int


@dataclass(frozen=True)
class Described:
    """What the catalog knows of n items, each list in the order of the ids asked for.

    Attributes:
        uids: public ids.
        studies: Study Instance UIDs.
        study_ids: private numbers of the studies.
        patients: pseudonyms, "" where the id is missing or shared by strangers.
        fields: by name, of each item its value, None where nothing is known.
    """

    uids: list[str]
    studies: list[str]
    study_ids: list[int]
    patients: list[str]
    fields: dict[str, list[str | None]]


@dataclass(frozen=True)
class Acquired:
    """How an item was taken, as the catalog has it.

    Attributes:
        rows, columns: of its first instance.
        spacing_mm: slice, row and column spacing of a volume, row and column spacing of an image;
            empty where it is not known.
        beside: slices of the longest volume of its series.
        qualities: see `indexer.reading.quality`; empty where it was read before there were any.
    """

    role: str
    slices: int
    flags: tuple[str, ...]
    rows: int | None
    columns: int | None
    spacing_mm: tuple[float, ...]
    beside: int
    qualities: tuple[float, ...]


def gather(db: Connection, space: SpaceInfo, expression: str = "") -> Gathered:
    """Primary items that pass a filter, with their vectors.

    Raises:
        FilterError: the filter cannot be read.
        LibraryCorruptError: a vector is damaged.
    """
    ids = gather_ids(db, expression)
    vectors, present = read_vectors(db, space, ids)
    whole = bool(present.all())
    kept = vectors if whole else vectors[present]
    return Gathered(ids[present], kept, int((~present).sum()))


def gather_ids(db: Connection, expression: str = "") -> ItemIds:
    """Primary items that pass a filter, ascending.

    Raises:
        FilterError: the filter cannot be read.
    """
    query = select(Item.id).where(Item.role == Role.PRIMARY).order_by(Item.id)
    if expression.strip():
        query = query.join(Series).join(Study).join(Patient)
        query = query.where(sql_condition(parse_filter(expression)))
    return np.array(db.execute(query).scalars().all(), np.int64)


def describe(db: Connection, ids: ItemIds, labels: Sequence[str] | None = None) -> Described:
    """What is known of items.

    Args:
        db: the catalog.
        ids: ascending.
        labels: names of the labels that become fields ``label:<name>``; None for all.
    """
    wanted = dict(zip(ids.tolist(), range(len(ids)), strict=True))
    count = len(wanted)
    names = (
        "modality", "body_part", "view", "laterality", "manufacturer", "model", "description",
        "sex", "age", "year", "split", "kind",
    )  # fmt: skip
    fields: dict[str, list[str | None]] = {name: [None] * count for name in names}
    uids, studies, patients = [""] * count, [""] * count, [""] * count
    numbers = [0] * count
    query = (
        select(
            Item.id, Item.uid, Item.kind, Series.modality, Series.body_part, Series.view,
            Series.laterality, Series.manufacturer, Series.model, Series.description, Study.sex,
            Study.age_years, Study.study_date, Study.split, Study.id.label("study"),
            Study.study_instance_uid, Patient.pseudonym, Patient.shared,
        )
        .select_from(Item)
        .join(Series)
        .join(Study)
        .join(Patient)
        .order_by(Item.id)
    )  # fmt: skip
    if count:  # of a few new items, not the whole catalog is read
        query = query.where(Item.id.between(int(ids[0]), int(ids[-1])))
    for row in db.execute(query.execution_options(yield_per=_BATCH)):
        at = wanted.get(row.id)
        if at is None:
            continue
        uids[at], studies[at], numbers[at] = row.uid, row.study_instance_uid, row.study
        patients[at] = "" if row.shared else row.pseudonym
        for name in ("modality", "body_part", "view", "laterality", "description", "sex", "split",
                     "kind"):  # fmt: skip
            fields[name][at] = getattr(row, name) or None
        # Makers write their own names in several ways, as to case.
        fields["manufacturer"][at] = row.manufacturer.strip().upper() or None
        fields["model"][at] = row.model.strip().upper() or None
        fields["age"][at] = age_band(row.age_years) or None
        fields["year"][at] = row.study_date[:4] or None
    fields |= _label_fields(db, wanted, numbers, labels)
    return Described(uids, studies, numbers, patients, fields)


def acquired(db: Connection, ids: ItemIds) -> list[Acquired]:
    """How items were taken, in the order of the ids, which ascend."""
    found: list[Any] = []
    for start in range(0, len(ids), _PART):
        found += db.execute(_ACQUIRED, {"items": ids[start : start + _PART].tolist()}).all()
    return [
        Acquired(
            row.role,
            row.slices,
            tuple(row.flags),
            row.rows,
            row.columns,
            tuple(row.details.get("spacing_mm", ())),
            row.beside,
            tuple(row.details.get("qualities", ())),
        )
        for row in found
    ]


def reports_of(db: Connection, study_ids: Sequence[int]) -> list[str]:
    """The words about each study, "" where there are none."""
    texts: dict[int, list[str]] = defaultdict(list)
    wanted = set(study_ids)
    query = select(Report.study_id, Report.text).order_by(Report.id)
    for study, text in db.execute(query.execution_options(yield_per=_BATCH)):
        if study in wanted:
            texts[study].append(text)
    return [" ".join(texts.get(study, ())) for study in study_ids]


def dates_of(db: Connection, study_ids: Sequence[int]) -> list[str]:
    """The date of each study, ``YYYY-MM-DD``, "" where it is not known."""
    wanted = set(study_ids)
    query = select(Study.id, Study.study_date).where(Study.study_date != "")
    rows = db.execute(query.execution_options(yield_per=_BATCH))
    dates = {row.id: row.study_date for row in rows if row.id in wanted}
    return [dates.get(study, "") for study in study_ids]


def _label_fields(
    db: Connection, wanted: dict[int, int], study_ids: list[int], labels: Sequence[str] | None
) -> dict[str, list[str | None]]:
    query = select(Label.name, Label.study_id, Label.item_id, Label.value).order_by(Label.id)
    if labels is not None:
        query = query.where(Label.name.in_(labels))
    of_study: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    of_item: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for name, study, item, value in db.execute(query.execution_options(yield_per=_BATCH)):
        if item is None:
            of_study[name][study].add(value)
        elif item in wanted:
            of_item[name][item].add(value)
    found: dict[str, list[str | None]] = {}
    for name in sorted({*of_study, *of_item}):
        column: list[str | None] = []
        for item, at in wanted.items():
            own = of_study[name].get(study_ids[at], set()) | of_item[name].get(item, set())
            column.append(" + ".join(sorted(own)) or None)
        found[f"label:{name}"] = column
    return found
