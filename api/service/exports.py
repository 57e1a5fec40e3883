"""Tables of what a library knows, read from one consistent view of it, batch by batch."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, func, or_, select

from api.service.grouping.cluster import chosen_space
from indexer.catalog.database import reading
from indexer.catalog.labels import labels_of_items
from indexer.catalog.tables import (
    ClusterAssignment,
    ClusterRun,
    Item,
    Label,
    MapPoint,
    OodScore,
    Patient,
    Review,
    Series,
    Study,
)
from indexer.errors import ItemNotFoundError, QueryError
from indexer.filters import parse_filter, sql_condition
from indexer.groups.maps import find_map
from indexer.groups.references import find_reference
from indexer.groups.reviews import count_queues
from indexer.groups.runs import clusters_of, find_run
from indexer.library import Library
from indexer.types import Role

BATCH = 1_000
_MOST_LABELS = 500
_TEXT = ("modality", "body_part", "view", "laterality", "manufacturer", "model")


@dataclass(frozen=True)
class ExportRequest:
    """What is wanted.

    Attributes:
        what: ``items``, ``studies``, ``labels``, ``clusters``, ``scores``, ``map`` or
            ``reviews``.
        filter: only of primary items that pass, and of their studies.
        run: the clustering, of ``clusters``.
        number: only this cluster of it, -1 for noise; None for all.
        reference: of ``scores``.
        encoder, version: of ``map``; the newest where no version is named.
        queue: of ``reviews``.
    """

    what: str
    filter: str = ""
    run: str = ""
    number: int | None = None
    reference: str = ""
    encoder: str = ""
    version: int | None = None
    queue: str = ""


@dataclass(frozen=True)
class Export:
    """A table that is about to be read.

    Attributes:
        columns: names in their order, and what a cell holds, or nothing.
        patients: pseudonyms of all in it, sorted.
        batches: of at most `BATCH` rows with all columns.
    """

    columns: Mapping[str, type]
    patients: list[str]
    batches: Iterator[list[dict[str, Any]]]


@dataclass(frozen=True)
class _Table:
    """How a table is read: its columns, a query of rows, and what is made of a batch of them.

    ``owners`` is a query of the patients in it, where that of the rows does not tell all.
    """

    columns: dict[str, type]
    query: Any
    told: Callable[[Connection, Sequence[Any]], list[dict[str, Any]]]
    owners: Any = None


@contextmanager
def open_export(library: Library, request: ExportRequest) -> Iterator[Export]:
    """A table, readable while this is entered; what is written meanwhile is not in it.

    Args:
        library: whose.
        request: what is wanted.

    Raises:
        QueryError: there is no such clustering, reference, map or table.
        FilterError: the filter cannot be read.
    """
    make = _TABLES.get(request.what)
    if make is None:
        raise QueryError(f"there is no such table; there are: {', '.join(_TABLES)}")
    with reading(library.engine) as db:
        table = make(library, db, request)
        owned = table.query if table.owners is None else table.owners
        distinct = owned.with_only_columns(Patient.pseudonym)
        patients = db.execute(distinct.order_by(None).distinct()).scalars()
        batches = _batches(db, table)
        try:
            yield Export(table.columns, sorted(patients), batches)
        finally:
            batches.close()


def _batches(db: Connection, table: _Table) -> Generator[list[dict[str, Any]], None, None]:
    with db.execute(table.query.execution_options(yield_per=BATCH)) as found:
        for rows in found.partitions():
            yield table.told(db, rows)


def _of_items(request: ExportRequest, *columns: Any) -> Select[Any]:
    """Primary items that pass, in the order in which they were indexed."""
    query = select(*columns).select_from(Item).join(Series).join(Study).join(Patient)
    query = query.where(Item.role == Role.PRIMARY)
    if request.filter.strip():
        query = query.where(sql_condition(parse_filter(request.filter)))
    return query.order_by(Item.id)


def _items(_library: Library, db: Connection, request: ExportRequest) -> _Table:
    """As the table that ``syntopy export`` writes, without where files lie."""
    labels = list(db.execute(select(Label.name).distinct().order_by(Label.name)).scalars())
    runs = dict(db.execute(select(ClusterRun.id, ClusterRun.name).order_by(ClusterRun.id)).all())
    columns: dict[str, type] = {
        "item": str,
        "study_instance_uid": str,
        "series_instance_uid": str,
        "patient": str,
        "kind": str,
        **dict.fromkeys(_TEXT, str),
        "slices": int,
        "study_date": str,
        "age_years": float,
        "sex": str,
        "split": str,
    }
    more = {f"label:{name}": name for name in labels[:_MOST_LABELS]}
    in_runs = [f"cluster:{name}" for name in runs.values()]

    def told(db: Connection, rows: Sequence[Any]) -> list[dict[str, Any]]:
        given = labels_of_items(db, {row.number: row.study for row in rows})
        grouped = _clusters_of(db, rows)
        return [
            {
                **_known(row, columns),
                **{each: "; ".join(given.get(row.number, {}).get(name, ())) or None
                   for each, name in more.items()},
                **{each: grouped[row.number].get(run)
                   for run, each in zip(runs, in_runs, strict=True)},
            }
            for row in rows
        ]  # fmt: skip

    query = _of_items(
        request, Item.id.label("number"), Study.id.label("study"), Item.uid.label("item"),
        Item.kind, Item.slices, Study.study_instance_uid, Series.series_instance_uid,
        *(getattr(Series, name) for name in _TEXT), *_STUDY, *_PATIENT,
    )  # fmt: skip
    every = columns | dict.fromkeys(more, str) | dict.fromkeys(in_runs, int)
    return _Table(every, query, told)


_STUDY = (Study.study_date, Study.age_years, Study.sex, Study.split)
_PATIENT = (Patient.pseudonym, Patient.shared)


def _known(row: Any, columns: Mapping[str, type]) -> dict[str, Any]:
    """The columns that a row has itself; an empty text is nothing."""
    told = {name: getattr(row, name) for name in columns if name != "patient"}
    told = {name: None if each == "" else each for name, each in told.items()}
    if "patient" in columns:
        told["patient"] = None if row.shared else row.pseudonym
    return told


def _clusters_of(db: Connection, rows: Sequence[Any]) -> dict[int, dict[int, int]]:
    """Of each item its cluster, by number of the run."""
    wanted = ClusterAssignment.item_id.in_([row.number for row in rows])
    columns = (ClusterAssignment.item_id, ClusterAssignment.run_id, ClusterAssignment.cluster)
    found: dict[int, dict[int, int]] = defaultdict(dict)
    for item, run, cluster in db.execute(select(*columns).where(wanted)):
        found[item][run] = cluster
    return found


def _studies(_library: Library, _db: Connection, request: ExportRequest) -> _Table:
    columns: dict[str, type] = {
        "study_instance_uid": str,
        "patient": str,
        "study_date": str,
        "age_years": float,
        "sex": str,
        "description": str,
        "split": str,
    }
    passing = _of_items(request, Study.id).order_by(None)
    query = (
        select(Study.id.label("study"), Study.study_instance_uid, Study.description, *_STUDY,
               *_PATIENT)
        .select_from(Study)
        .join(Patient)
        .where(Study.id.in_(passing.correlate(None)))
        .order_by(Study.id)
    )  # fmt: skip

    def told(db: Connection, rows: Sequence[Any]) -> list[dict[str, Any]]:
        studies = Series.study_id.in_([row.study for row in rows])
        modalities: dict[int, list[str]] = defaultdict(list)
        kinds = select(Series.study_id, Series.modality).where(studies).distinct()
        for study, modality in db.execute(kinds.order_by(Series.modality)):
            modalities[study].append(modality)
        counted = select(Series.study_id, func.count()).join(Item).where(studies)
        items = dict(db.execute(counted.group_by(Series.study_id)).all())
        return [
            _known(row, columns)
            | {
                "modalities": "; ".join(filter(None, modalities[row.study])) or None,
                "items": items.get(row.study, 0),
            }
            for row in rows
        ]

    return _Table(columns | {"modalities": str, "items": int}, query, told)


def _labels(_library: Library, _db: Connection, request: ExportRequest) -> _Table:
    """As ``syntopy labels export``; with a filter, those of items that pass and their studies."""
    columns: dict[str, type] = {"uid": str, "name": str, "value": str, "study": str}
    query = (
        select(
            func.coalesce(Item.uid, Study.study_instance_uid).label("uid"),
            Label.name, Label.value, Study.study_instance_uid.label("study"),
        )
        .select_from(Label)
        .join(Study, Study.id == Label.study_id)
        .join(Patient, Patient.id == Study.patient_id)
        .outerjoin(Item, Item.id == Label.item_id)
        .order_by(Label.id)
    )  # fmt: skip
    if request.filter.strip():
        of_items = _of_items(request, Item.id).order_by(None).correlate(None)
        of_studies = _of_items(request, Study.id).order_by(None).correlate(None)
        whole = and_(Label.item_id.is_(None), Label.study_id.in_(of_studies))
        query = query.where(or_(Label.item_id.in_(of_items), whole))
    return _Table(columns, query, _plain(columns))


def _clusters(library: Library, db: Connection, request: ExportRequest) -> _Table:
    """As ``syntopy cluster export``."""
    run = find_run(library, request.run)
    names = {each.cluster: each.called for each in clusters_of(db, run)}
    columns: dict[str, type] = {
        "item": str,
        "study_instance_uid": str,
        "cluster": int,
        "confidence": float,
        **dict.fromkeys(("modality", "body_part", "view", "manufacturer", "split"), str),
    }
    query = _of_items(
        request, Item.uid.label("item"), Study.study_instance_uid, ClusterAssignment.cluster,
        ClusterAssignment.confidence, Series.modality, Series.body_part, Series.view,
        Series.manufacturer, Study.split,
    ).join(ClusterAssignment, ClusterAssignment.item_id == Item.id)  # fmt: skip
    query = query.where(ClusterAssignment.run_id == run.id)
    if request.number is not None:
        query = query.where(ClusterAssignment.cluster == request.number)

    def told(_db: Connection, rows: Sequence[Any]) -> list[dict[str, Any]]:
        return [_known(row, columns) | {"name": names.get(row.cluster, "")} for row in rows]

    return _Table(columns | {"name": str}, query, told)


def _scores(library: Library, _db: Connection, request: ExportRequest) -> _Table:
    """What a reference last said of each item; ``verdicts`` and ``findings`` are JSON."""
    reference = find_reference(library, request.reference)
    columns: dict[str, type] = {
        "item": str,
        "study_instance_uid": str,
        "score": float,
        "p_value": float,
        "flagged": bool,
        "stratum": str,
    }
    query = _of_items(
        request, Item.uid.label("item"), Study.study_instance_uid, OodScore.score,
        OodScore.p_value, OodScore.flagged, OodScore.stratum, OodScore.verdicts,
        OodScore.findings, OodScore.judged_at,
    ).join(OodScore, OodScore.item_id == Item.id)  # fmt: skip
    query = query.where(OodScore.reference_id == reference.id)

    def told(_db: Connection, rows: Sequence[Any]) -> list[dict[str, Any]]:
        return [
            _known(row, columns)
            | {
                "verdicts": json.dumps(row.verdicts),
                "findings": json.dumps(row.findings),
                "judged_at": row.judged_at.isoformat(timespec="seconds"),
            }
            for row in rows
        ]

    more = dict.fromkeys(("verdicts", "findings", "judged_at"), str)
    return _Table(columns | more, query, told)


def _map(library: Library, _db: Connection, request: ExportRequest) -> _Table:
    """As ``syntopy map export``."""
    stored = find_map(library, chosen_space(library, request.encoder), request.version)
    columns: dict[str, type] = {
        "item": str,
        "study_instance_uid": str,
        "x": float,
        "y": float,
        "fitted": bool,
    }
    query = _of_items(
        request, Item.uid.label("item"), Study.study_instance_uid, MapPoint.x, MapPoint.y,
        MapPoint.fitted,
    ).join(MapPoint, MapPoint.item_id == Item.id)  # fmt: skip
    return _Table(columns, query.where(MapPoint.map_id == stored.id), _plain(columns))


def _reviews(_library: Library, db: Connection, request: ExportRequest) -> _Table:
    """As ``syntopy reviews export``, with what the finding said, as JSON."""
    if not count_queues(db, request.queue):
        raise ItemNotFoundError(f"there is no queue '{request.queue}'")
    names = ("queue", "subject", "verdict", "labels", "comment", "by", "at")
    columns: dict[str, type] = dict.fromkeys(names, str)
    mine = Review.queue == request.queue
    both = or_(Study.id == Review.study_id, Study.id == Review.other_study_id)
    owners = select(Patient.pseudonym).select_from(Review).join(Study, both).join(Patient)

    def told(_db: Connection, rows: Sequence[Any]) -> list[dict[str, Any]]:
        return [
            {name: getattr(row, name) or None for name in columns}
            | {
                "labels": "; ".join(row.labels or ()) or None,
                "at": row.at and row.at.isoformat(timespec="seconds"),
                "finding": json.dumps(row.finding or {}),
            }
            for row in rows
        ]

    query = select(*Review.__table__.columns).where(mine).order_by(Review.id)
    return _Table({**columns, "finding": str}, query, told, owners.where(mine))


def _plain(
    columns: Mapping[str, type],
) -> Callable[[Connection, Sequence[Any]], list[dict[str, Any]]]:
    """Rows as they are."""

    def told(_db: Connection, rows: Sequence[Any]) -> list[dict[str, Any]]:
        return [_known(row, columns) for row in rows]

    return told


_TABLES: Mapping[str, Callable[[Library, Connection, ExportRequest], _Table]] = {
    "items": _items,
    "studies": _studies,
    "labels": _labels,
    "clusters": _clusters,
    "scores": _scores,
    "map": _map,
    "reviews": _reviews,
}
TABLES = tuple(_TABLES)
