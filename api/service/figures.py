"""A library in figures that change by the minute, for whoever watches it: cheap, and no patients.

Other processes receive and index, so all that they did is read from what they left: the ledger,
the inbox, the index files.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from indexer.catalog.database import reading
from indexer.catalog.tables import Audit, Delivery, Instance, Item, Job, LedgerRow, Series, Study
from indexer.index.projection import ITEMS, SLICES, catalog_count, index_stats
from indexer.library import Library
from indexer.receiving.backlog import Backlog
from indexer.receiving.inbox import Inbox


@dataclass(frozen=True)
class IndexFigures:
    """One layer of a space.

    Attributes:
        encoder: of the space.
        of: ``items`` or ``slices``.
        vectors: in the catalog.
        recall: at 10 against exact search, as measured when the index was built; 1 where every
            vector is compared, None where it was not measured.
        target: that it should reach.
    """

    encoder: str
    of: str
    vectors: int
    recall: float | None
    target: float


@dataclass(frozen=True)
class LibraryFigures:
    """What is there, and what waits.

    Attributes:
        rows: studies, series, instances and items, by these names.
        files: of the ledger, by outcome.
        refused: files that are no items, by reason.
        waiting: objects in the inbox that are not indexed yet.
        oldest_seconds: for how long the first of them has waited; 0 if none waits.
        deliveries, jobs: by state.
        audit_rows: in the chain.
        index: of each space.
        disk_bytes, disk_free_bytes: of the disk that the library is on.
    """

    rows: Mapping[str, int]
    files: Mapping[str, int]
    refused: Mapping[str, int]
    waiting: int
    oldest_seconds: float
    deliveries: Mapping[str, int]
    jobs: Mapping[str, int]
    audit_rows: int
    index: tuple[IndexFigures, ...]
    disk_bytes: int
    disk_free_bytes: int


class FiguresReader:
    """Reads the figures of a library again and again; files once known to be indexed stay known.

    Args:
        library: open as long as this is used.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._backlog: Backlog | None = None

    def read(self) -> LibraryFigures:
        """The figures as they are now.

        Raises:
            LibraryError: the catalog cannot be read.
            OSError: the disk cannot be asked.
        """
        waiting, oldest = self._waiting()
        with reading(self._library.engine) as db:
            files, refused = _ledger(db)
            tables = {"studies": Study, "series": Series, "instances": Instance, "items": Item}
            rows = {name: _count(db, table) for name, table in tables.items()}
            deliveries, jobs = _by(db, Delivery.state), _by(db, Job.state)
            audit_rows = int(db.execute(select(func.max(Audit.id))).scalar() or 0)
        disk = shutil.disk_usage(self._library.path)
        return LibraryFigures(
            rows=rows,
            files=files,
            refused=refused,
            waiting=waiting,
            oldest_seconds=oldest,
            deliveries=deliveries,
            jobs=jobs,
            audit_rows=audit_rows,
            index=self._index(),
            disk_bytes=disk.total,
            disk_free_bytes=disk.free,
        )

    def _waiting(self) -> tuple[int, float]:
        if self._backlog is None:
            if not self._library.inbox_folder.is_dir():
                return 0, 0.0
            self._backlog = Backlog(self._library, Inbox(self._library.inbox_folder))
        files = self._backlog.look()
        oldest = max(0.0, time.time() - files[0].mtime_ns / 1e9) if files else 0.0
        return len(files), oldest

    def _index(self) -> tuple[IndexFigures, ...]:
        found = []
        for space in self._library.spaces():
            for of, stats in index_stats(self._library, space):
                layer = ITEMS if of == "items" else SLICES
                with reading(self._library.engine) as db:
                    vectors = catalog_count(db, space.id, layer)
                recall = 1.0 if stats.exact else stats.recall
                found.append(IndexFigures(space.encoder, of, vectors, recall, stats.target))
        return tuple(found)


class KeptFigures:
    """The figures of a library for many who look at them: read again only after some seconds.

    Args:
        library: open as long as this is used.
        seconds: for how long they are told again.
    """

    def __init__(self, library: Library, seconds: float = 3.0) -> None:
        self._reader, self._seconds = FiguresReader(library), seconds
        self._reading = threading.Lock()
        self._kept: tuple[float, LibraryFigures] | None = None

    def read(self) -> LibraryFigures:
        """As `FiguresReader.read`; one thread reads while the others wait for it."""
        with self._reading:
            if self._kept is None or time.monotonic() - self._kept[0] > self._seconds:
                self._kept = time.monotonic(), self._reader.read()
            return self._kept[1]


def _ledger(db: Connection) -> tuple[Counter[str], Counter[str]]:
    """Files by outcome, and those with a reason by that; goes by one index."""
    query = select(LedgerRow.outcome, LedgerRow.reason, func.count())
    files, refused = Counter[str](), Counter[str]()
    for outcome, reason, number in db.execute(query.group_by(LedgerRow.outcome, LedgerRow.reason)):
        files[outcome] += number
        if reason:
            refused[reason] += number
    return files, refused


def _count(db: Connection, table: Any) -> int:
    return int(db.execute(select(func.count()).select_from(table)).scalar_one())


def _by(db: Connection, column: Any) -> dict[str, int]:
    query = select(column, func.count()).group_by(column)
    return {str(value): int(number) for value, number in db.execute(query)}
