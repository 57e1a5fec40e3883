"""Studies with what a reference last said of them, as the watch stored it, and their reviews."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Text,
    and_,
    case,
    func,
    select,
    type_coerce,
)

from api.service.paging import Page, Paging, page_of, passing
from indexer.catalog.database import reading
from indexer.catalog.tables import Item, OodScore, Review, Series, Study
from indexer.groups.references import StoredReference, find_reference
from indexer.groups.reviews import OPEN, StoredReview, of_subjects
from indexer.library import Library

_LAST = 2.0
"""Stands in the order for the p-value of a study that cannot be judged."""
_OF_SERIES = ("modality", "body_part", "view", "description", "manufacturer", "model")


@dataclass(frozen=True)
class ItemScore:
    """What a reference said of one image or volume; see `indexer.catalog.tables.OodScore`.

    Attributes:
        modality, body_part, view, description, manufacturer, model: of its series.
    """

    item: str
    modality: str
    body_part: str
    view: str
    description: str
    manufacturer: str
    model: str
    p_value: float | None
    flagged: bool | None
    score: float
    stratum: str
    verdicts: Mapping[str, Mapping[str, float]]
    findings: Sequence[Mapping[str, Any]]
    judged_at: str


@dataclass(frozen=True)
class StudyScore:
    """What a reference said of a study.

    Attributes:
        study_instance_uid: of it.
        study_date, sex, age_years: of it.
        p_value: of its items together (`ood.calibrate.simes`); None where none can be judged.
        flagged: whether that is at or below the false-alarm rate; None as well.
        judged_at: ISO time in UTC of the latest of its items.
        items: the oddest first, those that cannot be judged last.
        review: of the study in the queue of the reference; None if it is not there.
    """

    study_instance_uid: str
    study_date: str
    sex: str
    age_years: float | None
    p_value: float | None
    flagged: bool | None
    judged_at: str
    items: tuple[ItemScore, ...]
    review: StoredReview | None


@dataclass(frozen=True)
class ScoreCounts:
    """How many studies a reference was asked about, and what came of them.

    Attributes:
        studies: all of them.
        flagged: at or below the false-alarm rate.
        cannot_be_judged: of which no item can be.
        open: flagged, and without a verdict.
        accepted, rejected: with that verdict, flagged or not.
        alarm: the rate that was taken.
    """

    studies: int
    flagged: int
    cannot_be_judged: int
    open: int
    accepted: int
    rejected: int
    alarm: float


def queue_of(reference: str) -> str:
    """The queue in which studies that a reference flagged are reviewed."""
    return f"ood:{reference}"


def stored_scores(
    library: Library,
    reference: str,
    paging: Paging,
    *,
    flagged: bool | None = None,
    judged: bool | None = None,
    decided: bool | None = None,
    alarm: float | None = None,
) -> Page[StudyScore]:
    """A page of the studies that a reference was asked about by ``syntopy ood watch``.

    Args:
        library: whose.
        reference: name of it.
        paging: sorted by ``p_value`` or ``judged_at``.
        flagged: only those that are, or that are not; None for all.
        judged: only those that can be judged, or that cannot; None for all.
        decided: only those with a verdict, or without one; None for all.
        alarm: the false-alarm rate of study flags; None takes that of the reference.

    Raises:
        FilterError: the filter cannot be read.
        QueryError: there is no such reference, or the page is none.
    """
    stored = find_reference(library, reference)
    rate = stored.alarm if alarm is None else alarm
    scores = _by_study(stored).subquery()
    known = scores.c.p_value
    query = select(Study.id).join(scores, scores.c.study_id == Study.id)
    if flagged is not None:
        query = query.where(known <= rate if flagged else known > rate)
    if judged is not None:
        query = query.where(known.is_not(None) if judged else known.is_(None))
    if decided is not None:
        there = Study.study_instance_uid.in_(_decided(reference))
        query = query.where(there if decided else ~there)
    sorts = {"p_value": func.coalesce(known, _LAST), "judged_at": scores.c.judged_at}
    scope = f"{reference}\0{flagged}\0{judged}\0{decided}\0{rate}"
    with reading(library.engine) as db:
        ids, cursor = page_of(db, query, Study.id, sorts, paging, scope=scope)
        return Page(_described(db, stored, ids, rate), cursor)


def count_scores(
    library: Library, reference: str, expression: str = "", alarm: float | None = None
) -> ScoreCounts:
    """How many studies were judged, and what came of them.

    Args:
        library: whose.
        reference: name of it.
        expression: only studies of which an item passes this filter.
        alarm: the false-alarm rate of study flags; None takes that of the reference.

    Raises:
        FilterError: the filter cannot be read.
        QueryError: there is no such reference.
    """
    stored = find_reference(library, reference)
    rate = stored.alarm if alarm is None else alarm
    scores = _by_study(stored).subquery()
    verdict = func.coalesce(Review.verdict, OPEN)
    flagged = scores.c.p_value <= rate
    mine = and_(Review.queue == queue_of(reference), Review.subject == Study.study_instance_uid)
    query = (
        select(
            func.count(),
            _how_many(flagged),
            _how_many(scores.c.p_value.is_(None)),
            _how_many(and_(flagged, verdict == OPEN)),
            _how_many(verdict == "accept"),
            _how_many(verdict == "reject"),
        )
        .select_from(Study)
        .join(scores, scores.c.study_id == Study.id)
        .outerjoin(Review, mine)
    )
    if expression.strip():
        query = query.where(Study.id.in_(passing(Study.id, expression)))
    with reading(library.engine) as db:
        return ScoreCounts(*db.execute(query).one(), rate)


def _how_many(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def _decided(reference: str) -> Select[Any]:
    """Subjects of the queue of a reference that have a verdict."""
    mine = and_(Review.queue == queue_of(reference), Review.verdict != OPEN)
    return select(Review.subject).where(mine)


def _by_study(reference: StoredReference) -> Select[Any]:
    """Of each study the p-value of its items together: the least of ``p[k] * n / k``, p rising."""
    mine = OodScore.reference_id == reference.id
    ranked = (
        select(
            Series.study_id,
            OodScore.p_value,
            OodScore.judged_at,
            func.row_number()
            .over(partition_by=Series.study_id, order_by=OodScore.p_value.nulls_last())
            .label("k"),
            func.count(OodScore.p_value).over(partition_by=Series.study_id).label("n"),
        )
        .select_from(OodScore)
        .join(Item)
        .join(Series)
        .where(mine)
        .subquery()
    )
    together = func.min(ranked.c.p_value * ranked.c.n / ranked.c.k)
    return select(
        ranked.c.study_id,
        case((together > 1, 1.0), else_=together).label("p_value"),
        func.max(type_coerce(ranked.c.judged_at, Text)).label("judged_at"),
    ).group_by(ranked.c.study_id)


def _described(
    db: Connection, reference: StoredReference, ids: Sequence[int], alarm: float
) -> list[StudyScore]:
    judged = _by_study(reference).subquery()
    told = (Study.study_instance_uid, Study.study_date, Study.sex, Study.age_years)
    studies = select(Study.id, *told, judged.c.p_value, judged.c.judged_at)
    joined = studies.join(judged, judged.c.study_id == Study.id).where(Study.id.in_(ids))
    rows = {row.id: row for row in db.execute(joined)}
    items: dict[int, list[ItemScore]] = {each: [] for each in ids}
    query = (
        select(Series.study_id, Item.uid, *(getattr(Series, name) for name in _OF_SERIES), OodScore)
        .select_from(OodScore)
        .join(Item)
        .join(Series)
        .where(OodScore.reference_id == reference.id, Series.study_id.in_(ids))
        .order_by(OodScore.p_value.nulls_last(), Item.id)
    )
    for row in db.execute(query):
        items[row.study_id].append(
            ItemScore(
                item=row.uid,
                **{name: getattr(row, name) for name in _OF_SERIES},
                p_value=row.p_value,
                flagged=row.flagged,
                score=row.score,
                stratum=row.stratum,
                verdicts=row.verdicts,
                findings=row.findings,
                judged_at=row.judged_at.isoformat(timespec="seconds"),
            )
        )
    uids = [rows[each].study_instance_uid for each in ids]
    reviews = of_subjects(db, queue_of(reference.name), uids)
    return [
        StudyScore(
            study_instance_uid=row.study_instance_uid,
            study_date=row.study_date,
            sex=row.sex,
            age_years=row.age_years,
            p_value=row.p_value,
            flagged=None if row.p_value is None else row.p_value <= alarm,
            judged_at=max(item.judged_at for item in items[row.id]),
            items=tuple(items[row.id]),
            review=reviews.get(row.study_instance_uid),
        )
        for row in (rows[each] for each in ids)
    ]
