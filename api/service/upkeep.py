"""How a library does just now, and when files came into it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select

from api.service.figures import IndexFigures, LibraryFigures
from api.service.paging import Page, check_limit, number_cursor, read_number_cursor
from indexer.catalog.database import reading
from indexer.catalog.tables import AskedJob, Job
from indexer.library import Library


@dataclass(frozen=True)
class LibraryState:
    """What changes by the minute, without a patient in it.

    Attributes:
        library: id of it, as keys name it.
        rows: studies, series, instances and items, by these names.
        files: that were handed in, by what became of them.
        refused: files that are no items, by reason.
        waiting: objects that arrived and are not indexed yet.
        oldest_seconds: for how long the first of them has waited.
        deliveries: messages for webhooks, by state.
        jobs: that were asked for, by state.
        jobs_changed_at: when one of them last did: ISO, UTC; "" without jobs.
        last_run: number of the newest run of indexing; 0 without one.
        index: of each space.
        disk_bytes, disk_free_bytes: of the disk that the library is on.
    """

    library: str
    rows: Mapping[str, int]
    files: Mapping[str, int]
    refused: Mapping[str, int]
    waiting: int
    oldest_seconds: float
    deliveries: Mapping[str, int]
    jobs: Mapping[str, int]
    jobs_changed_at: str
    last_run: int
    index: tuple[IndexFigures, ...]
    disk_bytes: int
    disk_free_bytes: int


@dataclass(frozen=True)
class Run:
    """A run of indexing, however it was started; times are ISO, in UTC.

    Attributes:
        number: grows with every run.
        state: running, done, stopped or failed; one that was killed stays ``running``.
        files, items: that it has read, and made.
        outcomes: files by what became of them.
    """

    number: int
    state: str
    started_at: str
    ended_at: str
    files: int
    items: int
    outcomes: Mapping[str, int]


def state(library: Library, figures: LibraryFigures) -> LibraryState:
    """How a library does, from figures that were just read.

    Raises:
        LibraryError: the catalog cannot be read.
    """
    by_state = select(AskedJob.state, func.count(), func.max(AskedJob.updated_at))
    with reading(library.engine) as db:
        asked = db.execute(by_state.group_by(AskedJob.state)).all()
        last_run = db.execute(select(func.max(Job.id))).scalar() or 0
    return LibraryState(
        library=library.config.id,
        rows=figures.rows,
        files=figures.files,
        refused=figures.refused,
        waiting=figures.waiting,
        oldest_seconds=round(figures.oldest_seconds, 1),
        deliveries=figures.deliveries,
        jobs={name: number for name, number, _ in asked},
        jobs_changed_at=max((_iso(at, "microseconds") for _, _, at in asked), default=""),
        last_run=last_run,
        index=figures.index,
        disk_bytes=figures.disk_bytes,
        disk_free_bytes=figures.disk_free_bytes,
    )


def runs(library: Library, cursor: str = "", limit: int = 50) -> Page[Run]:
    """A page of the runs of indexing, the newest first.

    Raises:
        QueryError: a limit out of range, a cursor that is none.
    """
    check_limit(limit)
    before = read_number_cursor("runs", cursor)
    query = select(Job.__table__).order_by(Job.id.desc()).limit(limit + 1)
    if before is not None:
        query = query.where(Job.id < before)
    with reading(library.engine) as db:
        found = db.execute(query).all()
    more = number_cursor("runs", found[limit - 1].id) if len(found) > limit else ""
    return Page([_run(row) for row in found[:limit]], more)


def _run(row: Any) -> Run:
    told = row.summary
    return Run(
        row.id,
        row.state,
        _iso(row.started_at),
        _iso(row.ended_at),
        int(told.get("files", 0)),
        int(told.get("items", 0)),
        {str(name): int(number) for name, number in told.get("outcomes", {}).items()},
    )


def _iso(at: datetime | None, to: str = "seconds") -> str:
    return "" if at is None else at.replace(tzinfo=UTC).isoformat(timespec=to)
