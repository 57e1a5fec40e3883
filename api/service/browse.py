"""Lists of what a library holds, page by page: studies, series, items."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, select
from sqlalchemy.orm import aliased

from api.service.paging import Page, Paging, page_of
from indexer.catalog.database import reading
from indexer.catalog.tables import (
    ClusterAssignment,
    Instance,
    Item,
    Label,
    Patient,
    Report,
    SavedSetItem,
    Series,
    Study,
)
from indexer.errors import ItemNotFoundError
from indexer.filters import parse_filter, sql_condition
from indexer.groups.runs import find_run
from indexer.library import Library
from indexer.searching.hits import describe_items
from indexer.types import Hit, Role

_STUDY: dict[str, Any] = {
    "study_date": Study.study_date,
    "age": func.coalesce(Study.age_years, -1.0),
    "description": Study.description,
    "study": Study.study_instance_uid,
}
_SERIES: dict[str, Any] = {
    "modality": Series.modality,
    "body_part": Series.body_part,
    "description": Series.description,
    "series": Series.series_instance_uid,
    "study_date": Study.study_date,
}
_ITEM: dict[str, Any] = {
    "modality": Series.modality,
    "body_part": Series.body_part,
    "kind": Item.kind,
    "slices": Item.slices,
    "study_date": Study.study_date,
    "age": func.coalesce(Study.age_years, -1.0),
}
_MEMBER: dict[str, Any] = _ITEM | {"confidence": func.coalesce(ClusterAssignment.confidence, 0.0)}
SORTS: Mapping[str, Sequence[str]] = {
    "studies": tuple(_STUDY),
    "series": tuple(_SERIES),
    "items": tuple(_ITEM),
    "members": tuple(_MEMBER),
}
"""What each list can be sorted by, besides the order in which it was indexed."""


@dataclass(frozen=True)
class StudyLine:
    """A study in a list.

    Attributes:
        patient: pseudonym, "" where the id is missing or shared by strangers.
        study_date: ``YYYY-MM-DD``, "" where it is not known.
        series, items, reports: how many it has.
        labels: of the whole study.
        viewer_url: where a viewer shows it; None without one.
    """

    study_instance_uid: str
    patient: str
    study_date: str
    age_years: float | None
    sex: str
    description: str
    split: str
    modalities: tuple[str, ...]
    series: int
    items: int
    reports: int
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    viewer_url: str | None = None


@dataclass(frozen=True)
class SeriesLine:
    """A series in a list; ``items`` and ``instances`` are how many it has."""

    series_instance_uid: str
    study_instance_uid: str
    study_date: str
    modality: str
    body_part: str
    view: str
    laterality: str
    description: str
    manufacturer: str
    model: str
    items: int
    instances: int


def studies(library: Library, paging: Paging) -> Page[StudyLine]:
    """A page of studies.

    Raises:
        FilterError: the filter cannot be read.
        QueryError: no such order, a limit out of range, a cursor of another list.
    """
    query = select(Study.id).select_from(Study)
    with reading(library.engine) as db:
        ids, cursor = page_of(db, query, Study.id, _STUDY, paging)
        return Page(_study_lines(db, ids), cursor)


def series(library: Library, paging: Paging) -> Page[SeriesLine]:
    """A page of series.

    Raises:
        FilterError, QueryError: as `studies`.
    """
    query = select(Series.id).select_from(Series).join(Study)
    with reading(library.engine) as db:
        ids, cursor = page_of(db, query, Series.id, _SERIES, paging)
        return Page(_series_lines(db, Series.id.in_(ids), ids), cursor)


def items(library: Library, paging: Paging) -> Page[Hit]:
    """A page of items of all roles, described as hits are, with a score of 0.

    Raises:
        FilterError, QueryError: as `studies`.
    """
    query = select(Item.id).select_from(Item).join(Series).join(Study)
    with reading(library.engine) as db:
        ids, cursor = page_of(db, query, Item.id, _ITEM, paging)
        return Page(describe_items(db, [(each, 0.0, 0) for each in ids]), cursor)


def members(library: Library, run: str, cluster: int, paging: Paging) -> Page[Hit]:
    """A page of the items of a cluster, -1 for noise; the score is the method's confidence.

    Raises:
        FilterError, QueryError: as `studies`; or there is no such clustering.
    """
    stored = find_run(library, run)
    of_run = and_(ClusterAssignment.run_id == stored.id, ClusterAssignment.cluster == cluster)
    query = (
        select(Item.id)
        .select_from(Item)
        .join(Series)
        .join(Study)
        .join(ClusterAssignment, ClusterAssignment.item_id == Item.id)
        .where(of_run)
    )
    with reading(library.engine) as db:
        ids, cursor = page_of(db, query, Item.id, _MEMBER, paging, scope=f"{run}\0{cluster}")
        sure = select(ClusterAssignment.item_id, ClusterAssignment.confidence).where(
            of_run, ClusterAssignment.item_id.in_(ids)
        )
        confidence = {row.item_id: row.confidence or 0.0 for row in db.execute(sure)}
        return Page(describe_items(db, [(each, confidence[each], 0) for each in ids]), cursor)


def in_both(
    library: Library, first: tuple[str, int], second: tuple[str, int], paging: Paging
) -> Page[Hit]:
    """A page of the items that are in a cluster of one clustering and in one of another.

    Args:
        library: whose.
        first: name of a clustering and number of a cluster, -1 for noise.
        second: the same of the other.
        paging: which part of the list.

    Raises:
        FilterError, QueryError: as `studies`; or there is no such clustering.
    """
    query = select(Item.id).select_from(Item).join(Series).join(Study)
    for run, cluster in (first, second):
        mine = aliased(ClusterAssignment)
        query = query.join(mine, mine.item_id == Item.id)
        query = query.where(mine.run_id == find_run(library, run).id, mine.cluster == cluster)
    scope = f"both\0{first}\0{second}"
    with reading(library.engine) as db:
        ids, cursor = page_of(db, query, Item.id, _ITEM, paging, scope=scope)
        return Page(describe_items(db, [(each, 0.0, 0) for each in ids]), cursor)


def passing(library: Library, expression: str, paging: Paging) -> Page[Hit]:
    """A page of the primary items that pass one filter, and that of the page.

    Raises:
        FilterError, QueryError: as `studies`.
    """
    query = select(Item.id).select_from(Item).join(Series).join(Study).join(Patient)
    query = query.where(Item.role == Role.PRIMARY, sql_condition(parse_filter(expression)))
    with reading(library.engine) as db:
        ids, cursor = page_of(db, query, Item.id, _ITEM, paging, scope=f"passing\0{expression}")
        return Page(describe_items(db, [(each, 0.0, 0) for each in ids]), cursor)


def in_set(library: Library, number: int, paging: Paging) -> Page[Hit]:
    """A page of the items of a saved set of fixed ones, by its row number.

    Raises:
        FilterError, QueryError: as `studies`.
    """
    query = select(Item.id).select_from(Item).join(Series).join(Study)
    query = query.join(SavedSetItem, SavedSetItem.item_id == Item.id)
    query = query.where(SavedSetItem.set_id == number)
    with reading(library.engine) as db:
        ids, cursor = page_of(db, query, Item.id, _ITEM, paging, scope=f"set\0{number}")
        return Page(describe_items(db, [(each, 0.0, 0) for each in ids]), cursor)


def one_series(library: Library, uid: str) -> SeriesLine:
    """A series by its Series Instance UID.

    Raises:
        ItemNotFoundError: there is none.
    """
    with reading(library.engine) as db:
        found = _series_lines(db, Series.series_instance_uid == uid)
    if not found:
        raise ItemNotFoundError(f"there is no series '{uid}' in the library")
    return found[0]


def item(library: Library, uid: str) -> Hit:
    """An item by its public id, described as hits are, with a score of 0.

    Raises:
        ItemNotFoundError: there is none.
    """
    with reading(library.engine) as db:
        number = db.execute(select(Item.id).where(Item.uid == uid)).scalar()
        if number is None:
            raise ItemNotFoundError(f"there is no item '{uid}' in the library")
        return describe_items(db, [(number, 0.0, 0)])[0]


def _study_lines(db: Connection, ids: Sequence[int]) -> list[StudyLine]:
    query = select(Study.__table__, Patient.pseudonym, Patient.shared).join(
        Patient, Patient.id == Study.patient_id
    )
    rows = {row.id: row for row in db.execute(query.where(Study.id.in_(ids)))}
    modalities: dict[int, list[str]] = defaultdict(list)
    kinds = select(Series.study_id, Series.modality).where(Series.study_id.in_(ids)).distinct()
    for study, modality in db.execute(kinds.order_by(Series.modality)):
        modalities[study].append(modality)
    labels: dict[int, dict[str, tuple[str, ...]]] = defaultdict(dict)
    given = select(Label.study_id, Label.name, Label.value).where(
        Label.study_id.in_(ids), Label.item_id.is_(None)
    )
    for study, name, value in db.execute(given.order_by(Label.name, Label.value)):
        labels[study][name] = (*labels[study].get(name, ()), value)
    parts = _count(db, select(Series.study_id, func.count()).where(Series.study_id.in_(ids)))
    told = _count(db, select(Report.study_id, func.count()).where(Report.study_id.in_(ids)))
    within = select(Series.study_id, func.count()).select_from(Item).join(Series)
    held = _count(db, within.where(Series.study_id.in_(ids)))
    return [
        StudyLine(
            study_instance_uid=row.study_instance_uid,
            patient="" if row.shared else row.pseudonym,
            study_date=row.study_date,
            age_years=row.age_years,
            sex=row.sex,
            description=row.description,
            split=row.split,
            modalities=tuple(filter(None, modalities[row.id])),
            series=parts.get(row.id, 0),
            items=held.get(row.id, 0),
            reports=told.get(row.id, 0),
            labels=labels[row.id],
        )
        for row in (rows[each] for each in ids)
    ]


def _series_lines(
    db: Connection, condition: ColumnElement[bool], ids: Sequence[int] = ()
) -> list[SeriesLine]:
    """In the order of ``ids``, else as they were indexed."""
    query = (
        select(Series.__table__, Study.study_instance_uid, Study.study_date)
        .join(Study, Study.id == Series.study_id)
        .where(condition)
        .order_by(Series.id)
    )
    rows = {row.id: row for row in db.execute(query)}
    held = _count(db, select(Item.series_id, func.count()).where(Item.series_id.in_(rows)))
    made_of = select(Instance.series_id, func.count()).where(Instance.series_id.in_(rows))
    instances = _count(db, made_of)
    names = (
        "series_instance_uid", "study_instance_uid", "study_date", "modality", "body_part", "view",
        "laterality", "description", "manufacturer", "model",
    )  # fmt: skip
    return [
        SeriesLine(
            **{name: getattr(rows[each], name) for name in names},
            items=held.get(each, 0),
            instances=instances.get(each, 0),
        )
        for each in (ids or rows)
    ]


def _count(db: Connection, query: Select[int, int]) -> dict[int, int]:
    """How many rows a query of (owner, count) has of each owner."""
    owner = query.selected_columns[0]
    return {row[0]: row[1] for row in db.execute(query.group_by(owner))}
