"""The audit: who did what to which patients' data, when, from where, and how it ended.

Rows are numbered from 1 without gaps, and each has the hash of the row before it, so that a row
that was changed, taken out or put elsewhere shows. The hashes have no secret: who can write the
whole file can also write a new chain. Against that, keep the number and hash of a late row (a
`Head`) somewhere else; a chain without that very row is not the one that was there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Text,
    delete,
    false,
    func,
    insert,
    select,
    type_coerce,
)

from indexer.catalog.tables import Audit, now
from indexer.errors import LibraryCorruptError

GENESIS = "0" * 64
"""What the first row has for the hash of the row before it."""
_AT_ONCE = 1_000


class Action(StrEnum):
    """What was done."""

    QUERY = "query"
    VIEW = "view"
    EXPORT = "export"
    ARRIVE = "arrive"
    CHANGE = "change"
    REMOVE = "remove"
    LOGIN = "login"
    LOGOUT = "logout"
    REFUSE = "refuse"
    """Something was asked for that the asker has no right to."""
    KEYS = "keys"
    """A key was made or revoked."""
    AUDIT = "audit"
    """The audit itself was read."""
    START = "start"
    STOP = "stop"


class Ending(StrEnum):
    """How it ended: done, not allowed, or not possible."""

    SUCCESS = "success"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class AuditEvent:
    """What is to be recorded.

    Attributes:
        actor: name of the person, key or program.
        action: what was done.
        subject: what JSON knows; UIDs, pseudonyms, counts, codes, names of routes. Never words of
            a query, patient ids, names or paths of files.
        patients: pseudonyms of those whose data it was.
        outcome: how it ended.
        origin: address that it was asked from; empty for a command on this machine.
        request_id: of the request, by which the log can be found.

    Raises:
        TypeError, ValueError: the subject is nothing that JSON knows.
    """

    actor: str
    action: Action
    subject: Mapping[str, Any] = field(default_factory=dict)
    patients: tuple[str, ...] = ()
    outcome: Ending = Ending.SUCCESS
    origin: str = ""
    request_id: str = ""

    def __post_init__(self) -> None:
        # Here, so that in writing several one cannot fail for all. As it will be read again:
        # JSON has no tuples, and no names that are numbers.
        plain = json.loads(json.dumps(dict(self.subject), allow_nan=False))
        object.__setattr__(self, "subject", plain)


@dataclass(frozen=True)
class AuditRow:
    """A row of the audit; ``number`` is its place, ``at`` in UTC to the microsecond."""

    number: int
    at: datetime
    actor: str
    action: Action
    subject: Mapping[str, Any]
    patients: tuple[str, ...]
    outcome: Ending
    origin: str
    request_id: str
    previous_hash: str
    hash: str


@dataclass(frozen=True)
class Wanted:
    """Which rows are looked for; what is empty takes all.

    Attributes:
        since: the earliest time, in UTC.
        actor: exactly this name.
        action: of `Action`.
        outcome: of `Ending`.
    """

    since: datetime | None = None
    actor: str = ""
    action: str = ""
    outcome: str = ""


@dataclass(frozen=True)
class Head:
    """A row by number and hash; that before the first row is 0 and `GENESIS`."""

    number: int
    hash: str


@dataclass(frozen=True)
class Finding:
    """What is wrong at a number of the chain."""

    number: int
    problem: str


@dataclass(frozen=True)
class ChainReport:
    """What became of a check: the rows there are, the last of them, and what is wrong."""

    rows: int
    head: Head
    findings: tuple[Finding, ...]


def append(db: Connection, events: Sequence[AuditEvent]) -> Head:
    """Add rows at the end, in the caller's transaction; returns the last row of the chain.

    Nobody else can append until that transaction ends, so the chain never forks. Control
    characters and what is no Unicode are written as escapes, and what is too long for its column
    is cut, as a record of something odd is worth more than none.
    """
    # Takes the write lock before the last row is looked at; there is no such row.
    db.execute(delete(Audit).where(false()))
    last = last_row(db)
    rows = []
    for event in events:
        row = _columns(event, last)
        row["hash"] = row_hash(row)
        last = Head(row["id"], row["hash"])
        rows.append(row)
    if rows:
        db.execute(insert(Audit), rows)
    return last


def last_row(db: Connection) -> Head:
    """The end of the chain."""
    query = select(Audit.id, Audit.hash).order_by(Audit.id.desc()).limit(1)
    row = db.execute(query).first()
    return Head(0, GENESIS) if row is None else Head(row.id, row.hash)


def row_hash(columns: Mapping[str, Any]) -> str:
    """SHA-256, in hex, of a row as canonical JSON.

    That is an object of all columns but ``hash``, names sorted, no white space, ASCII alone;
    ``at`` is ISO 8601 in UTC with microseconds.
    """
    told = {name: value for name, value in columns.items() if name != "hash"}
    told["at"] = told["at"].replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    canonical = json.dumps(told, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def rows_since(db: Connection, since: datetime | None = None) -> Iterator[AuditRow]:
    """Rows from a time on (in UTC), in their order.

    Raises:
        LibraryCorruptError: a row cannot be read.
    """
    for number, _, row in _stored(db, since):
        if row is None:
            raise LibraryCorruptError(
                f"row {number} of the audit cannot be read; see: syntopy audit verify"
            )
        yield row


def rows_before(
    db: Connection, wanted: Wanted, before: int | None, limit: int
) -> list[tuple[int, AuditRow | None]]:
    """Rows with their numbers, the newest first; no row where it cannot be read.

    Args:
        db: the catalog.
        wanted: which of them.
        before: only those of a lower number.
        limit: at most so many.
    """
    conditions: list[ColumnElement[bool]] = []
    if wanted.since is not None:
        conditions.append(Audit.at >= _plain(wanted.since))
    told = {Audit.actor: wanted.actor, Audit.action: wanted.action, Audit.outcome: wanted.outcome}
    conditions += [column == value for column, value in told.items() if value]
    if before is not None:
        conditions.append(Audit.id < before)
    query = _columns_as_stored().where(*conditions).order_by(Audit.id.desc()).limit(limit)
    return [(number, row) for number, _, row in _read(db, query)]


def verify_chain(
    db: Connection,
    anchor: Head | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> ChainReport:
    """Look for rows that were changed, taken out or put elsewhere.

    Args:
        db: a consistent view for reading.
        anchor: a row that was the last at some time and is kept elsewhere; with it an end that
            was cut off shows, and a chain that was written anew.
        on_progress: told of how many rows are checked, and of how many.
    """
    total = db.execute(select(func.count()).select_from(Audit)).scalar_one()
    last, findings, at_anchor = Head(0, GENESIS), [], GENESIS
    for done, (number, hashed, row) in enumerate(_stored(db)):
        if on_progress and done % _AT_ONCE == 0:
            on_progress(done, total)
        findings += [Finding(number, problem) for problem in _problems(number, row, last)]
        last = Head(number, hashed)
        if anchor is not None and number == anchor.number:
            at_anchor = last.hash
    if anchor is not None and anchor.number > last.number:
        findings.append(Finding(anchor.number, f"missing: the end after row {last.number} is gone"))
    elif anchor is not None and at_anchor != anchor.hash:
        findings.append(Finding(anchor.number, "is not the row that the head was kept of"))
    return ChainReport(total, last, tuple(findings))


def _problems(number: int, row: AuditRow | None, last: Head) -> Iterator[str]:
    """What is wrong with a row that comes after another."""
    if number != last.number + 1:
        yield f"row {last.number} is followed by this one; rows between them are missing"
    elif row is not None and row.previous_hash != last.hash:
        yield "does not follow the row before it"
    if row is None:
        yield "cannot be read"
    elif row_hash(_columns_of(row)) != row.hash:
        yield "was changed"


def _columns(event: AuditEvent, last: Head) -> dict[str, Any]:
    return {
        "id": last.number + 1,
        "at": now().replace(tzinfo=None),
        "actor": _text(event.actor, 128),
        "action": event.action.value,
        "subject": event.subject,
        "patients": [_text(pseudonym, 32) for pseudonym in event.patients],
        "outcome": event.outcome.value,
        "origin": _text(event.origin, 128),
        "request_id": _text(event.request_id, 64),
        "previous_hash": last.hash,
    }


def _text(value: str, limit: int) -> str:
    escaped = "".join(c if c.isprintable() else repr(c)[1:-1] for c in value)
    return escaped if len(escaped) <= limit else escaped[: limit - 1] + "…"


def _columns_of(row: AuditRow) -> dict[str, Any]:
    columns = dict(vars(row))
    columns["id"] = columns.pop("number")
    return columns


def _stored(
    db: Connection, since: datetime | None = None
) -> Iterator[tuple[int, str, AuditRow | None]]:
    """Numbers, hashes and rows in order; no row where a column does not hold what it should."""
    query = _columns_as_stored().order_by(Audit.id)
    if since is not None:
        query = query.where(Audit.at >= _plain(since))
    return _read(db, query)


def _plain(since: datetime) -> datetime:
    return since.astimezone(UTC).replace(tzinfo=None)


def _columns_as_stored() -> Select[*tuple[Any, ...]]:
    # Read as text: a column that was tampered with must not end the whole check.
    raw = (type_coerce(column, Text) for column in (Audit.at, Audit.subject, Audit.patients))
    words = (Audit.actor, Audit.action, Audit.outcome, Audit.origin, Audit.request_id)
    return select(Audit.id, *raw, *words, Audit.previous_hash, Audit.hash)


def _read(db: Connection, query: Select[Any]) -> Iterator[tuple[int, str, AuditRow | None]]:
    for number, *columns in db.execute(query).yield_per(_AT_ONCE):
        try:
            row = _row(number, columns)
        except (TypeError, ValueError, RecursionError):
            row = None
        yield number, str(columns[-1]), row


def _row(number: int, columns: Sequence[Any]) -> AuditRow:
    if not all(isinstance(column, str) for column in columns):
        raise TypeError
    at, told, patients, actor, action, outcome, *texts = columns
    subject = _json(told)
    if not isinstance(subject, dict):
        raise TypeError
    about = subject, tuple(_json(patients))
    return AuditRow(number, _time(at), actor, Action(action), *about, Ending(outcome), *texts)


def _time(stored: str) -> datetime:
    at = datetime.fromisoformat(stored)
    if at.isoformat(" ", "microseconds") != stored:
        raise ValueError
    return at.replace(tzinfo=UTC)


def _json(stored: str) -> Any:
    value = json.loads(stored)
    if (
        json.dumps(value, allow_nan=False) != stored
    ):  # as it was not written by us: spaces, a name twice
        raise ValueError
    return value
