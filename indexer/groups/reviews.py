"""Reviews: queues of subjects, what people decided of each, how they came to it, who is at which.

A review is a row that says how things stand, and a history of events that can only grow. A verdict
lies on the one before it; an undo takes the topmost away, which is an event as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, func, insert, select, update

from indexer.catalog.lookup import study_numbers
from indexer.catalog.tables import Review, ReviewEvent, Study, now
from indexer.groups.review_labels import Given, give_back, give_values

OPEN = ""
VERDICTS = ("accept", "reject", "skip")
STATES = ("open", "claimed", "decided", *VERDICTS)
"""What reviews can be asked for by: without a verdict (``claimed``: and somebody is at it), with
any, with one."""
_PART = 300


@dataclass(frozen=True)
class Part:
    """One of the one or two things that a subject is, and the study that it belongs to."""

    uid: str
    study_instance_uid: str


@dataclass(frozen=True)
class StoredReview:
    """How a review stands.

    Attributes:
        id: private to the catalog.
        queue, subject: which.
        parts: what the subject is.
        verdict: one of `VERDICTS`, or `OPEN`.
        comment, by, at: of the verdict; ISO time in UTC, "" before there was any event.
        version: how many events there were.
        undoable: whether there is a verdict to take back.
        claimed_by, claimed_until: who is at it, and until when that counts; "" for nobody.
        finding: what was said of it when it was put into the queue.
        labels: values that the verdict gave to the label that the finding is about.
    """

    id: int = field(repr=False)
    queue: str
    subject: str
    parts: tuple[Part, ...]
    verdict: str
    comment: str
    by: str
    at: str
    version: int
    undoable: bool
    claimed_by: str
    claimed_until: str
    finding: Mapping[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class StoredEvent:
    """A verdict, or with ``undo`` that one was taken back; all else as it was after it."""

    number: int
    undo: bool
    verdict: str
    comment: str
    by: str
    at: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Counts:
    """How many subjects of a queue are in each state; ``claimed`` are part of ``open``."""

    queue: str
    open: int
    claimed: int
    accept: int
    reject: int
    skip: int


def joined(uids: Sequence[str]) -> str:
    """The name of a subject: a UID, or two in an order that does not depend on who says them."""
    return ",".join(sorted(uids))


def add_subjects(
    db: Connection,
    queue: str,
    subjects: Sequence[Sequence[str]],
    findings: Sequence[Mapping[str, Any]] = (),
) -> int:
    """Put subjects at the end of a queue; those that it has stay as they are. How many are new.

    Args:
        db: a transaction.
        queue: its name; a queue is there as long as it has subjects.
        subjects: each one or two UIDs that the library knows.
        findings: what is said of each; none for none.
    """
    said = {joined(each): one for each, one in zip(subjects, findings, strict=False)}
    studies = study_numbers(db, [uid for each in subjects for uid in each])
    wanted = {joined(each): sorted(each) for each in subjects}
    names, there = list(wanted), set[str]()
    for start in range(0, len(names), _PART):
        mine = and_(Review.queue == queue, Review.subject.in_(names[start : start + _PART]))
        there |= set(db.execute(select(Review.subject).where(mine)).scalars())
    rows = [
        {
            "queue": queue,
            "subject": name,
            "study_id": studies[uids[0]],
            "other_study_id": studies[uids[1]] if len(uids) > 1 else None,
            "finding": dict(said.get(name, {})),
        }
        for name, uids in wanted.items()
        if name not in there
    ]
    if rows:
        db.execute(insert(Review), rows)
    return len(rows)


def review_of(db: Connection, queue: str, subject: str) -> StoredReview | None:
    """One; None if the queue has no such subject."""
    mine = and_(Review.queue == queue, Review.subject == subject)
    found = reviews_where(db, mine)
    return found[0] if found else None


def reviews_where(db: Connection, *conditions: ColumnElement[bool]) -> list[StoredReview]:
    """Those for which all of it holds, in the order in which they were put into their queues."""
    rows = db.execute(select(Review).where(*conditions).order_by(Review.id)).all()
    numbers = {each for row in rows for each in (row.study_id, row.other_study_id) if each}
    query = select(Study.id, Study.study_instance_uid)
    asked, studies = sorted(numbers), dict[int, str]()
    for start in range(0, len(asked), _PART):
        some = db.execute(query.where(Study.id.in_(asked[start : start + _PART])))
        studies |= {row.id: row.study_instance_uid for row in some}
    return [_stored(row, studies) for row in rows]


def decide(
    db: Connection,
    review: StoredReview,
    verdict: str,
    by: str,
    *,
    comment: str = "",
    labels: Sequence[str] = (),
) -> None:
    """Put a verdict on top; it ends whatever claim there is.

    Args:
        db: a transaction.
        review: as it stands.
        verdict: what is decided.
        by: who decides.
        comment: why.
        labels: values that the label which the finding is about gets; those of the verdict before
            are taken back.
    """
    stands = db.execute(select(Review.stands).where(Review.id == review.id)).scalar_one()
    if stands:
        give_back(db, review.finding, _given(_event(db, review, stands)))
    replaced = give_values(db, review.finding, review.parts[0].uid, labels) if labels else None
    told = {"verdict": verdict, "comment": comment, "labels": list(labels)}
    _happened(db, review, by, told, beneath=stands, replaced=replaced)


def undo(db: Connection, review: StoredReview, by: str) -> None:
    """Take the topmost verdict away, and the label that it gave; there has to be one."""
    stands = db.execute(select(Review.stands).where(Review.id == review.id)).scalar_one()
    top = _event(db, review, stands)
    give_back(db, review.finding, _given(top))
    told: dict[str, Any] = {"verdict": OPEN, "comment": "", "labels": []}
    if top.beneath:
        before = _event(db, review, top.beneath)
        told = {name: getattr(before, name) for name in told}
        if before.labels:
            give_values(db, review.finding, review.parts[0].uid, before.labels)
    _happened(db, review, by, told, back_to=top.beneath)


def _event(db: Connection, review: StoredReview, number: int) -> Any:
    mine = and_(ReviewEvent.review_id == review.id, ReviewEvent.number == number)
    return db.execute(select(ReviewEvent).where(mine)).one()


def _given(event: Any) -> Given | None:
    """The label that an event gave."""
    return Given(tuple(event.labels), event.replaced) if event.labels else None


def _happened(
    db: Connection,
    review: StoredReview,
    by: str,
    said: Mapping[str, Any],
    *,
    beneath: int = 0,
    back_to: int | None = None,
    replaced: Mapping[str, Any] | None = None,
) -> None:
    number = review.version + 1
    told = {**said, "by": by, "at": now()}
    more = {"undo": back_to is not None, "beneath": beneath, "replaced": replaced}
    db.execute(insert(ReviewEvent).values(review_id=review.id, number=number, **more, **told))
    stands = number if back_to is None else back_to
    free = {"claimed_by": "", "claimed_until": None}
    values = {**told, **free, "version": number, "stands": stands}
    db.execute(update(Review).where(Review.id == review.id).values(values))


def history_of(db: Connection, review: StoredReview) -> list[StoredEvent]:
    """All that happened to it, oldest first."""
    query = select(ReviewEvent).where(ReviewEvent.review_id == review.id)
    return [
        StoredEvent(
            row.number, row.undo, row.verdict, row.comment, row.by, _time(row.at),
            tuple(row.labels or ()),
        )
        for row in db.execute(query.order_by(ReviewEvent.number))
    ]  # fmt: skip


def claim_next(
    db: Connection, queue: str, by: str, count: int, minutes: float
) -> list[StoredReview]:
    """The next open subjects that nobody is at; from now on somebody is."""
    free = and_(Review.queue == queue, Review.verdict == OPEN, ~claimed())
    query = select(Review.id).where(free).order_by(Review.id).limit(count)
    numbers = db.execute(query).scalars().all()
    until = now() + timedelta(minutes=minutes)
    mine = Review.id.in_(numbers)
    db.execute(update(Review).where(mine).values(claimed_by=by, claimed_until=until))
    return reviews_where(db, mine)


def release(db: Connection, queue: str, by: str, subjects: Sequence[str]) -> int:
    """End somebody's claims; how many there were."""
    mine = and_(
        Review.queue == queue, Review.subject.in_(subjects), Review.claimed_by == by, claimed()
    )
    values = {"claimed_by": "", "claimed_until": None}
    return db.execute(update(Review).where(mine).values(values)).rowcount


def claimed() -> ColumnElement[bool]:
    """Whether somebody is at a subject now."""
    return func.coalesce(Review.claimed_until > now(), False)


def in_state(state: str) -> ColumnElement[bool]:
    """The condition of one of `STATES`."""
    if state == "open":
        return Review.verdict == OPEN
    if state == "claimed":
        return and_(Review.verdict == OPEN, claimed())
    return Review.verdict != OPEN if state == "decided" else Review.verdict == state


def count_queues(db: Connection, queue: str = "") -> list[Counts]:
    """All queues, or one, by name."""
    sums = [func.sum(case((in_state(each), 1), else_=0)) for each in
            ("open", "claimed", *VERDICTS)]  # fmt: skip
    query = select(Review.queue, *sums).group_by(Review.queue).order_by(Review.queue)
    if queue:
        query = query.where(Review.queue == queue)
    return [Counts(*row) for row in db.execute(query)]


def of_subjects(db: Connection, queue: str, subjects: Sequence[str]) -> Mapping[str, StoredReview]:
    """The reviews of some subjects, by subject; those that the queue has not are left out."""
    mine = and_(Review.queue == queue, Review.subject.in_(subjects))
    return {each.subject: each for each in reviews_where(db, mine)}


def _stored(row: Any, studies: Mapping[int, str]) -> StoredReview:
    uids = row.subject.split(",")
    owners = (row.study_id, row.other_study_id or row.study_id)
    ended = row.claimed_until is None or row.claimed_until <= now().replace(tzinfo=None)
    return StoredReview(
        id=row.id,
        queue=row.queue,
        subject=row.subject,
        parts=tuple(Part(uid, studies[study]) for uid, study in zip(uids, owners, strict=False)),
        verdict=row.verdict,
        comment=row.comment,
        by=row.by,
        at=_time(row.at),
        version=row.version,
        undoable=row.stands > 0,
        claimed_by="" if ended else row.claimed_by,
        claimed_until="" if ended else _time(row.claimed_until),
        finding=row.finding or {},
        labels=tuple(row.labels or ()),
    )


def _time(at: datetime | None) -> str:
    return "" if at is None else at.isoformat(timespec="seconds")
