"""Studies with what a reference last said of them, as the watch stored it, and their reviews."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, Text, case, func, select, type_coerce

from api.service.paging import Page, Paging, page_of
from indexer.catalog.database import reading
from indexer.catalog.tables import Item, OodScore, Series, Study
from indexer.groups.references import StoredReference, find_reference
from indexer.groups.reviews import StoredReview, of_subjects
from indexer.library import Library

_LAST = 2.0
"""Stands in the order for the p-value of a study that cannot be judged."""


@dataclass(frozen=True)
class ItemScore:
    """What a reference said of one image or volume; see `indexer.catalog.tables.OodScore`."""

    item: str
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
        p_value: of its items together (`ood.calibrate.simes`); None where none can be judged.
        flagged: whether that is at or below the false-alarm rate; None as well.
        judged_at: ISO time in UTC of the latest of its items.
        items: the oddest first, those that cannot be judged last.
        review: of the study in the queue of the reference; None if it is not there.
    """

    study_instance_uid: str
    p_value: float | None
    flagged: bool | None
    judged_at: str
    items: tuple[ItemScore, ...]
    review: StoredReview | None


def queue_of(reference: str) -> str:
    """The queue in which studies that a reference flagged are reviewed."""
    return f"ood:{reference}"


def stored_scores(
    library: Library,
    reference: str,
    paging: Paging,
    *,
    flagged: bool | None = None,
    alarm: float | None = None,
) -> Page[StudyScore]:
    """A page of the studies that a reference was asked about by ``syntopy ood watch``.

    Args:
        library: whose.
        reference: name of it.
        paging: sorted by ``p_value`` or ``judged_at``.
        flagged: only those that are, or that are not; None for all.
        alarm: the false-alarm rate of study flags; None takes that of the reference.

    Raises:
        FilterError: the filter cannot be read.
        QueryError: there is no such reference, or the page is none.
    """
    stored = find_reference(library, reference)
    rate = stored.alarm if alarm is None else alarm
    judged = _by_study(stored).subquery()
    query = select(Study.id).join(judged, judged.c.study_id == Study.id)
    if flagged is not None:
        query = query.where(judged.c.p_value <= rate if flagged else judged.c.p_value > rate)
    sorts = {"p_value": func.coalesce(judged.c.p_value, _LAST), "judged_at": judged.c.judged_at}
    scope = f"{reference}\0{flagged}\0{rate}"
    with reading(library.engine) as db:
        ids, cursor = page_of(db, query, Study.id, sorts, paging, scope=scope)
        return Page(_described(db, stored, ids, rate), cursor)


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
    studies = select(Study.id, Study.study_instance_uid, judged.c.p_value, judged.c.judged_at)
    joined = studies.join(judged, judged.c.study_id == Study.id).where(Study.id.in_(ids))
    rows = {row.id: row for row in db.execute(joined)}
    items: dict[int, list[ItemScore]] = {each: [] for each in ids}
    query = (
        select(Series.study_id, Item.uid, OodScore.__table__)
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
            p_value=row.p_value,
            flagged=None if row.p_value is None else row.p_value <= alarm,
            judged_at=max(item.judged_at for item in items[row.id]),
            items=tuple(items[row.id]),
            review=reviews.get(row.study_instance_uid),
        )
        for row in (rows[each] for each in ids)
    ]
