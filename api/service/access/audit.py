"""Writing to the audit, checking it, and giving it away."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TextIO

from sqlalchemy import Connection

from api.service.access.audit_message import audit_message
from api.service.paging import Page, check_limit, number_cursor, read_number_cursor
from indexer import __version__
from indexer.catalog.audit import (
    GENESIS,
    Action,
    AuditEvent,
    AuditRow,
    ChainReport,
    Ending,
    Head,
    Wanted,
    append,
    last_row,
    rows_before,
    rows_since,
    verify_chain,
)
from indexer.catalog.database import reading, transaction
from indexer.errors import ConfigError, QueryError, StorageFullError
from indexer.library import Library

FORMATS = ("jsonl", "dicom")


@dataclass(frozen=True)
class Exported:
    """How many rows were written, and the last row of the chain; keep that elsewhere."""

    rows: int
    head: Head


def record(library: Library, *events: AuditEvent) -> Head:
    """Write events to the audit, all or none, and durably; returns the last row of the chain.

    One call with several events costs hardly more than with one.

    Raises:
        LibraryLockedError, StorageFullError: they cannot be written.
    """
    with transaction(library.engine) as db:
        return append(db, events)


def activity(action: Action, what: str) -> AuditEvent:
    """That a part of the application, such as ``serve``, has started or stopped."""
    return AuditEvent(
        actor="syntopy", action=action, subject={"what": what, "version": __version__}
    )


@contextmanager
def recorded(library: Library, event: AuditEvent) -> Iterator[None]:
    """Write an event before what it tells of begins; if that raises anything, also that it failed.

    So nothing leaves the library that the audit does not tell of, also after kill -9.

    Raises:
        LibraryLockedError, StorageFullError: it cannot be written; then nothing begins.
    """
    record(library, event)
    try:
        yield
    except BaseException:
        record(library, replace(event, outcome=Ending.FAILED))
        raise


class Recorder:
    """Writes events of many threads, those that come at the same time in one transaction.

    A disk takes its time for each transaction and hardly more for a longer one, so that many who
    ask at once wait hardly longer than one does. Close it, or use it in a ``with``.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._waiting: list[tuple[AuditEvent, Future[Head]]] = []
        self._adding = threading.Lock()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="audit")

    def record(self, event: AuditEvent) -> Head:
        """As `record`: returns when the event is written, with the end of the chain by then.

        Raises:
            LibraryLockedError, StorageFullError: it cannot be written.
        """
        written: Future[Head] = Future()
        with self._adding:
            self._waiting.append((event, written))
        self._writer.submit(self._write)
        return written.result()

    def close(self) -> None:
        """Return when all is written."""
        self._writer.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _write(self) -> None:
        """Write all that wait; often that was done together with an earlier one."""
        with self._adding:
            taken, self._waiting = self._waiting, []
        if not taken:
            return
        try:
            head = record(self._library, *(event for event, _ in taken))
        except Exception as error:  # noqa: BLE001 - whoever waits for it raises it
            for _, written in taken:
                written.set_exception(error)
        else:
            for _, written in taken:
                written.set_result(head)


def verify(
    library: Library,
    anchor: Head | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> ChainReport:
    """Look for rows that were changed, taken out or put elsewhere; see `verify_chain`."""
    with reading(library.engine) as db:
        return verify_chain(db, anchor, on_progress)


@dataclass(frozen=True)
class AuditLine:
    """A row of the audit as it is told; ``at`` is ISO, in UTC.

    ``readable`` is false of a row that was tampered with so that nothing can be said of it.
    """

    number: int
    readable: bool
    at: str = ""
    actor: str = ""
    action: str = ""
    outcome: str = ""
    subject: Mapping[str, Any] = field(default_factory=dict)
    patients: tuple[str, ...] = ()
    origin: str = ""
    request_id: str = ""
    hash: str = ""


def page(library: Library, wanted: Wanted, cursor: str = "", limit: int = 50) -> Page[AuditLine]:
    """A page of the audit, the newest rows first.

    Raises:
        QueryError: no such action or outcome, a limit out of range, a cursor that is none.
    """
    for said, kinds in ((wanted.action, Action), (wanted.outcome, Ending)):
        if said and said not in {each.value for each in kinds}:
            raise QueryError(f"'{said[:40]}' is none of {', '.join(kinds)}")
    check_limit(limit)
    before = read_number_cursor("audit", cursor)
    with reading(library.engine) as db:
        found = rows_before(db, wanted, before, limit + 1)
    shown = [_told(number, row) for number, row in found[:limit]]
    more = len(found) > limit
    return Page(shown, number_cursor("audit", shown[-1].number) if more else "")


def _told(number: int, row: AuditRow | None) -> AuditLine:
    if row is None:
        return AuditLine(number, readable=False)
    return AuditLine(
        number,
        readable=True,
        at=row.at.isoformat(timespec="milliseconds"),
        actor=row.actor,
        action=row.action.value,
        outcome=row.outcome.value,
        subject=row.subject,
        patients=row.patients,
        origin=row.origin,
        request_id=row.request_id,
        hash=row.hash,
    )


def lines(
    library: Library, db: Connection, form: str, since: datetime | None = None
) -> Iterator[tuple[int, str]]:
    """Rows of the audit as text, a line each, with their numbers.

    Args:
        library: whose.
        db: a consistent view of its catalog.
        form: ``jsonl``, or ``dicom`` for an XML message of DICOM PS3.15 A.5 each.
        since: the earliest time, in UTC.

    Raises:
        ConfigError: there is no such form.
        LibraryCorruptError: a row cannot be read.
    """
    if form not in FORMATS:
        raise ConfigError(f"the audit is exported as {' or '.join(FORMATS)}, not as '{form}'")
    for row in rows_since(db, since):
        line = _line(row) if form == "jsonl" else audit_message(row, library.config.id)
        yield row.number, f"{line}\n"


def export(
    library: Library,
    out: TextIO,
    *,
    actor: str,
    form: str = "jsonl",
    since: datetime | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Exported:
    """Write rows to a file, one a line; that it was done becomes the next row.

    Args:
        library: whose audit.
        out: is written to.
        actor: who asks for it.
        form: ``jsonl``, or ``dicom`` for an XML message of DICOM PS3.15 A.5 each.
        since: the earliest time, in UTC.
        on_progress: told of the number of the row, and of the last one's.

    Raises:
        ConfigError: there is no such form.
        LibraryCorruptError: a row cannot be read.
    """
    asked = {"what": "export", "format": form, "since": since.isoformat() if since else ""}
    written = 0
    with reading(library.engine) as db:
        head = last_row(db)
        for written, (number, line) in enumerate(lines(library, db, form, since), 1):
            out.write(line)
            if on_progress is not None and written % 1_000 == 0:
                on_progress(number, head.number)
    record(library, AuditEvent(actor=actor, action=Action.AUDIT, subject=asked))
    return Exported(written, head)


def parse_since(text: str) -> datetime:
    """A date or time in ISO 8601; without an offset it is in UTC.

    Raises:
        ConfigError: it is none.
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"'{text}' is no time; write 2026-01-31 or 2026-01-31T08:00") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def write_head(head: Head, file: Path) -> None:
    """Put a head into a file of its own.

    Raises:
        StorageFullError: it cannot be written.
    """
    try:
        file.write_text(json.dumps(asdict(head)) + "\n", encoding="utf-8")
    except OSError as error:
        raise StorageFullError(f"{file} cannot be written: {error.strerror}") from error


def read_head(file: Path) -> Head:
    """The head in such a file.

    Raises:
        ConfigError: it cannot be read, or has none.
    """
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        number, digest = told["number"], told["hash"]
        if type(number) is not int or number < 0 or len(bytes.fromhex(digest)) != len(GENESIS) // 2:
            raise ValueError
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{file} holds no head of an audit; it has a line such as "
            '{"number": 12, "hash": "…"}, as audit export --head writes it'
        ) from error
    return Head(number, digest)


def _line(row: AuditRow) -> str:
    told = asdict(row) | {"at": row.at.isoformat(timespec="microseconds")}
    return json.dumps(told, ensure_ascii=False)
