"""Queues of work that several people go through: who is at which subject, and what they decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unicodedata import category

from sqlalchemy import Connection, select

from api.service.curating.choosing import check_known
from api.service.curating.editing import Author, Expected, plain
from api.service.curating.labelling import MOST, Changed
from api.service.paging import Page, Paging, page_of
from clustering.tables import write_table
from indexer.catalog.database import reading, transaction
from indexer.catalog.lookup import pseudonyms_of, study_numbers
from indexer.catalog.tables import Review
from indexer.errors import ItemNotFoundError, QueryError
from indexer.groups.reviews import (
    OPEN,
    STATES,
    VERDICTS,
    Counts,
    StoredEvent,
    StoredReview,
    add_subjects,
    claim_next,
    count_queues,
    decide,
    history_of,
    in_state,
    joined,
    release,
    review_of,
    reviews_where,
    undo,
)
from indexer.library import Library

LONGEST_QUEUE = 160
LONGEST_COMMENT = 4_000
MOST_CLAIMED = 50
LONGEST_CLAIM = 120.0


@dataclass(frozen=True)
class Decision:
    """What somebody says of a subject.

    Attributes:
        verdict: one of `VERDICTS`, or ``""`` to say that it is open.
        comment: why.
        labels: with ``accept``: the values that the label which the finding is about gets.
    """

    verdict: str
    comment: str = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reviewed:
    """A review with all that happened to it, oldest first."""

    review: StoredReview
    history: tuple[StoredEvent, ...]

    @property
    def tag(self) -> str:
        """Changes with each event; that somebody is at it changes nothing."""
        return str(self.review.version)


@dataclass(frozen=True)
class Claimed:
    """Subjects that are the asker's for a while, and how the queue stands then."""

    reviews: tuple[StoredReview, ...]
    counts: Counts


def queues(library: Library) -> list[Counts]:
    """All queues with how many of their subjects are in which state, by name."""
    with reading(library.engine) as db:
        return count_queues(db)


def fill_queue(
    library: Library,
    queue: str,
    subjects: Sequence[Sequence[str]],
    author: Author,
    findings: Sequence[Mapping[str, Any]] = (),
) -> Changed:
    """Put subjects at the end of a queue, all or none; those that it has stay as they are.

    Args:
        library: whose.
        queue: its name, such as ``duplicates`` or ``ood:chest``.
        subjects: of each one or two UIDs: of studies, series or items.
        author: who does it.
        findings: what is said of each; none for none.

    Raises:
        QueryError: too many of them, none or more than two UIDs, or no name of a queue.
        UnknownLinesError: some are not in the library.
    """
    called = plain("the name of a queue", queue, LONGEST_QUEUE)
    if len(subjects) > MOST:
        raise QueryError(f"a queue takes at most {MOST:,} subjects at once: send them in parts")
    if not all(0 < len(set(each)) == len(each) <= 2 for each in subjects):
        raise QueryError("a subject is one UID, or two that differ")
    uids = [uid for each in subjects for uid in each]
    with transaction(library.engine) as db:
        known = study_numbers(db, uids)
        names = [joined(each) for each in subjects]
        check_known(names, [set(each) <= set(known) for each in subjects], "subject")
        added = add_subjects(db, called, subjects, findings)
        author.sign(db, pseudonyms_of(db, sorted(set(uids))), subjects=added)
    return Changed(added, len(set(names)) - added)


def reviews(library: Library, queue: str, state: str, paging: Paging) -> Page[StoredReview]:
    """A page of the subjects of a queue, in its order.

    Args:
        library: whose.
        queue: name of it; "" for all.
        state: one of `STATES`, "" for all.
        paging: without a filter; there is no other order.

    Raises:
        QueryError: there is no such state, or the page is none.
    """
    if state and state not in STATES:
        raise QueryError(f"a review is {', '.join(STATES)}, not '{state}'")
    query = select(Review.id)
    if queue:
        query = query.where(Review.queue == queue)
    if state:
        query = query.where(in_state(state))
    with reading(library.engine) as db:
        numbers, cursor = page_of(db, query, Review.id, {}, paging, scope=f"{queue}\0{state}")
        return Page(reviews_where(db, Review.id.in_(numbers)), cursor)


def review(library: Library, queue: str, subject: str) -> Reviewed:
    """One with its history.

    Raises:
        ItemNotFoundError: the queue has no such subject.
    """
    with reading(library.engine) as db:
        return _reviewed(db, queue, subject)


def put_review(
    library: Library,
    queue: str,
    subject: str,
    decision: Decision,
    *,
    expected: Expected,
    author: Author,
) -> Reviewed:
    """Decide about a subject; one that the queue has not yet is put into it.

    Raises:
        QueryError: there is no such verdict, or the subject or the queue cannot be one; labels
            where the verdict does not accept, or the finding is about none.
        ItemNotFoundError: the queue has no such subject, or the library has not.
        ChangedMeanwhileError: somebody else decided.
    """
    if decision.verdict not in (OPEN, *VERDICTS):
        raise QueryError(f"a verdict is {', '.join(VERDICTS)} or nothing, not '{decision.verdict}'")
    controls = {each for each in decision.comment if category(each) == "Cc"}
    if len(decision.comment) > LONGEST_COMMENT or controls - {"\n", "\r", "\t"}:
        raise QueryError(f"a comment has at most {LONGEST_COMMENT:,} characters, none of control")
    called = plain("the name of a queue", queue, LONGEST_QUEUE)
    with transaction(library.engine) as db:
        before = review_of(db, called, joined(subject.split(",")))
        current = None if before is None else _reviewed(db, called, subject)
        if before is None and not expected.nothing:
            raise _no_review(queue, subject)
        expected.check(f"the review of '{subject}'", current.tag if current else "", current)
        if before is None:
            before = _enter(db, called, subject)
        labels = _labels(decision, before)
        decide(db, before, decision.verdict, author.name, comment=decision.comment, labels=labels)
        return _signed(db, called, subject, author)


def undo_review(
    library: Library, queue: str, subject: str, expected: Expected, author: Author
) -> Reviewed:
    """Take the last verdict back: the one before it holds again.

    Raises:
        ItemNotFoundError: the queue has no such subject.
        QueryError: there is nothing to take back.
        ChangedMeanwhileError: somebody else decided.
    """
    with transaction(library.engine) as db:
        before = _reviewed(db, queue, subject)
        expected.check(f"the review of '{subject}'", before.tag, before)
        if not before.review.undoable:
            raise QueryError(f"nothing was decided of '{subject}' that could be taken back")
        undo(db, before.review, author.name)
        return _signed(db, queue, subject, author)


def next_reviews(
    library: Library, queue: str, author: Author, *, count: int = 1, minutes: float = 5.0
) -> Claimed:
    """Take the next open subjects that nobody is at.

    For so many minutes nobody else is given them; whoever decides all the same may. A verdict ends
    it.

    Raises:
        ItemNotFoundError: there is no such queue.
        QueryError: a number out of range.
    """
    if not 1 <= count <= MOST_CLAIMED:
        raise QueryError(f"1 to {MOST_CLAIMED} subjects are taken at once, not {count}")
    if not 0 < minutes <= LONGEST_CLAIM:
        raise QueryError(f"a subject is taken for up to {LONGEST_CLAIM:g} minutes, not {minutes:g}")
    with transaction(library.engine) as db:
        taken = claim_next(db, queue, author.name, count, minutes)
        counts = _counts(db, queue)
        uids = [part.uid for each in taken for part in each.parts]
        author.sign(db, pseudonyms_of(db, uids), uids=uids)
    return Claimed(tuple(taken), counts)


def release_reviews(
    library: Library, queue: str, subjects: Sequence[str], author: Author
) -> Changed:
    """Let others have subjects that were taken.

    Raises:
        ItemNotFoundError: there is no such queue.
    """
    names = {joined(each.split(",")) for each in subjects}
    with transaction(library.engine) as db:
        _counts(db, queue)
        freed = release(db, queue, author.name, sorted(names))
        author.sign(db, (), subjects=freed)
    return Changed(freed, len(names) - freed)


def export_reviews(library: Library, queue: str, path: Path) -> int:
    """Write how the subjects of a queue stand as CSV, Parquet or JSON; returns the lines.

    Raises:
        ItemNotFoundError: there is no such queue.
        ConfigError: the ending is another.
        StorageFullError: it cannot be written.
    """
    columns = ("queue", "subject", "verdict", "comment", "by", "at")
    with reading(library.engine) as db:
        _counts(db, queue)
        found = reviews_where(db, Review.queue == queue)
    rows = [{name: getattr(each, name) for name in columns} for each in found]
    write_table(rows, path, columns)
    return len(rows)


def _labels(decision: Decision, review: StoredReview) -> list[str]:
    """The values that a decision gives."""
    if decision.labels and not (decision.verdict == "accept" and review.finding.get("label")):
        raise QueryError("labels are given with accept, of a finding that is about a label")
    return sorted({plain("a label", each, 1_000) for each in decision.labels})


def _enter(db: Connection, queue: str, subject: str) -> StoredReview:
    """Put one subject into a queue."""
    uids = subject.split(",")
    if not 0 < len(set(uids)) == len(uids) <= 2:
        raise QueryError("a subject is one UID, or two that differ with a comma between")
    known = study_numbers(db, uids)
    for uid in uids:
        if uid not in known:
            raise ItemNotFoundError(f"there is nothing with the UID '{uid}' in the library")
    add_subjects(db, queue, [uids])
    return _reviewed(db, queue, subject).review


def _signed(db: Connection, queue: str, subject: str, author: Author) -> Reviewed:
    after = _reviewed(db, queue, subject)
    uids = [part.uid for part in after.review.parts]
    author.sign(db, pseudonyms_of(db, uids), uids=uids, verdict=after.review.verdict)
    return after


def _reviewed(db: Connection, queue: str, subject: str) -> Reviewed:
    found = review_of(db, queue, joined(subject.split(",")))
    if found is None:
        raise _no_review(queue, subject)
    return Reviewed(found, tuple(history_of(db, found)))


def _no_review(queue: str, subject: str) -> ItemNotFoundError:
    return ItemNotFoundError(f"the queue '{queue}' has no subject '{subject}'")


def _counts(db: Connection, queue: str) -> Counts:
    found = count_queues(db, queue) if queue else []
    if not found:
        raise ItemNotFoundError(f"there is no queue '{queue}'")
    return found[0]
