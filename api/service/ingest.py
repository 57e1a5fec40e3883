"""Index files into a library, and ask what became of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select

from api.service.options import index_options, read_options
from api.service.paging import Page, check_limit, number_cursor, read_number_cursor
from indexer.catalog.database import reading
from indexer.catalog.tables import LedgerRow
from indexer.config import Settings
from indexer.errors import ConfigError, QueryError
from indexer.ingest import (
    IngestOptions,
    IngestProgress,
    IngestSummary,
    index_found,
    index_paths,
)
from indexer.library import Library
from indexer.sources.dicomdir import missing
from indexer.sources.discover import discover_on_disk
from indexer.sources.tables import MetadataTable, find_table
from indexer.sources.watch import settled
from indexer.types import Outcome, Reason
from indexer.workers import WorkerLimits


@dataclass(frozen=True)
class IndexRequest:
    """What to index and how.

    Attributes:
        paths: files, folders, archives.
        metadata: a CSV table, or None to look for one beside pictures.
        mapping: our field (or ``label:<name>``) to the table's column.
        retry_rejected: read files again that were rejected before.
    """

    paths: Sequence[Path]
    metadata: Path | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    retry_rejected: bool = False


@dataclass(frozen=True)
class LedgerEntry:
    """What became of one file."""

    source: str
    outcome: str
    reason: str
    detail: str
    seen_at: str


def check_request(request: IndexRequest) -> None:
    """Say what is wrong with a request before a library is made for it.

    Raises:
        SourceError: a path does not exist.
    """
    discover_on_disk(request.paths)


def index(
    library: Library,
    request: IndexRequest,
    settings: Settings,
    *,
    on_progress: Callable[[IngestProgress], None] | None = None,
    stop: threading.Event | None = None,
) -> IngestSummary:
    """Index files, folders and archives; see `indexer.ingest.index_paths` for what it promises."""
    table, explicit = _table(request)
    summary = index_paths(
        library,
        request.paths,
        ingest_options(library, request, settings, table, explicit=explicit),
        on_progress=on_progress,
        stop=stop,
    )
    summary.notes.extend(_notes(library, request, table))
    return summary


def watch(
    library: Library,
    request: IndexRequest,
    settings: Settings,
    *,
    settle_seconds: float = 5.0,
    poll_seconds: float = 2.0,
    stop: threading.Event,
) -> Iterator[IngestSummary]:
    """Index what is in the folders and what arrives later, one summary a batch, until ``stop``."""
    table, explicit = _table(request)
    options = ingest_options(library, request, settings, table, explicit=explicit)
    batches = settled(
        request.paths, settle_seconds=settle_seconds, poll_seconds=poll_seconds, stop=stop
    )
    for batch in batches:
        yield index_found(library, batch, options, stop=stop)


def rejected(
    library: Library, *, everything: bool = False, reason: str = "", limit: int = 0
) -> Iterator[LedgerEntry]:
    """Files that were rejected or in conflict, by path; ``everything`` lists all outcomes.

    Args:
        library: the library.
        everything: all files, whatever became of them.
        reason: only this reason code.
        limit: at most so many, 0 for all.
    """
    query = select(LedgerRow.__table__).order_by(LedgerRow.source)
    if not everything:
        query = query.where(LedgerRow.outcome.in_([Outcome.REJECTED, Outcome.CONFLICT]))
    if reason:
        query = query.where(LedgerRow.reason == reason)
    if limit:
        query = query.limit(limit)
    with reading(library.engine) as db:
        for row in db.execute(query.execution_options(yield_per=1000)):
            yield _entry(row)


def refused_page(
    library: Library, reason: str = "", cursor: str = "", limit: int = 50
) -> Page[LedgerEntry]:
    """A page of the files that were rejected or in conflict, those known last first.

    Args:
        library: the library.
        reason: only this reason code.
        cursor: of the page before.
        limit: rows of a page.

    Raises:
        QueryError: no such reason, a limit out of range, a cursor that is none.
    """
    if reason and reason not in {each.value for each in Reason}:
        raise QueryError(f"'{reason[:40]}' is no reason; docs/reasons.md lists them")
    check_limit(limit)
    before = read_number_cursor("rejected", cursor)
    query = select(LedgerRow.__table__).order_by(LedgerRow.id.desc()).limit(limit + 1)
    query = query.where(LedgerRow.outcome.in_([Outcome.REJECTED, Outcome.CONFLICT]))
    if reason:
        query = query.where(LedgerRow.reason == reason)
    if before is not None:
        query = query.where(LedgerRow.id < before)
    with reading(library.engine) as db:
        found = db.execute(query).all()
    more = number_cursor("rejected", found[limit - 1].id) if len(found) > limit else ""
    return Page([_entry(row) for row in found[:limit]], more)


def _entry(row: Any) -> LedgerEntry:
    return LedgerEntry(
        row.source, row.outcome, row.reason, row.detail, row.seen_at.isoformat(timespec="seconds")
    )


def ingest_options(
    library: Library,
    request: IndexRequest,
    settings: Settings,
    table: MetadataTable | None = None,
    *,
    explicit: bool = False,
) -> IngestOptions:
    """What library, request and settings together say of a run."""
    return IngestOptions(
        workers=settings.worker_count,
        read=read_options(library, settings),
        limits=WorkerLimits(settings.file_seconds, settings.worker_memory_mb << 20),
        table=table,
        explicit_table=explicit,
        retry_rejected=request.retry_rejected,
        index=index_options(settings),
    )


def _table(request: IndexRequest) -> tuple[MetadataTable | None, bool]:
    if request.metadata is not None:
        return MetadataTable.load(request.metadata, request.mapping), True
    folders = [p for p in request.paths if p.is_dir()]
    found = find_table(folders[0]) if len(request.paths) == 1 and folders else None
    if request.mapping and found is None:
        raise ConfigError("--map needs a table: name it with --metadata FILE.csv")
    return (MetadataTable.load(found, request.mapping), False) if found else (None, False)


def _notes(library: Library, request: IndexRequest, table: MetadataTable | None) -> list[str]:
    notes = []
    if table is not None:
        notes.append(f"metadata table: {table.matched} of {table.rows} rows matched a file")
        if table.unused_columns:
            notes.append(f"columns not used: {', '.join(table.unused_columns)}")
    absent = 0
    for path in request.paths:
        listing = path / "DICOMDIR"
        if path.is_dir() and listing.is_file():
            with suppress(OSError):
                absent += len(missing(listing))
    if absent:
        notes.append(f"DICOMDIR names {absent} files that are not there")
    return notes + sorted({space.notice for space in library.spaces() if space.notice})
