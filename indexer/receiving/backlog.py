"""What lies in the inbox and is not indexed yet, in the order in which it came."""

from __future__ import annotations

import os
import time
from itertools import islice

from sqlalchemy import select

from indexer.catalog.database import reading
from indexer.catalog.tables import LedgerRow
from indexer.library import Library
from indexer.receiving.inbox import Inbox
from indexer.sources.discover import SourceFile

_PART = 500
_COARSE = 5_000_000_000
"""Nanoseconds within which a change may leave a folder's time as it was."""


class Backlog:
    """Looks again and again; what is known to be indexed is not looked at twice.

    Args:
        library: whose ledger tells what is indexed.
        inbox: of that library.
    """

    def __init__(self, library: Library, inbox: Inbox) -> None:
        self._library, self._inbox = library, inbox
        self._settled: dict[str, set[str]] = {}
        """Of each day the names that the ledger knows."""
        self._done: dict[str, int] = {}
        """When the folders changed last in which nothing waits any more, in nanoseconds."""

    def look(self) -> list[SourceFile]:
        """The files that wait, oldest first; the inbox is told how many there are."""
        found = []
        for folder in self._inbox.days():
            day, changed = str(folder), folder.stat().st_mtime_ns
            if self._done.get(day) == changed:
                continue
            began, settled = time.time_ns(), self._settled.setdefault(day, set())
            with os.scandir(day) as entries:
                new = {e.name: e for e in entries if e.name not in settled}
            known = self._known([f"{day}/{name}" for name in new])
            settled |= {path.rpartition("/")[2] for path in known}
            waiting = [entry for name, entry in new.items() if name not in settled]
            for entry in waiting:
                status = entry.stat()
                found.append(SourceFile(entry.path, None, status.st_size, status.st_mtime_ns))
            if not waiting and began - changed > _COARSE:
                self._done[day] = changed
        self._inbox.tell_waiting(len(found))
        return sorted(found, key=lambda file: (file.mtime_ns, file.path))

    def _known(self, paths: list[str]) -> list[str]:
        """Those that the ledger has."""
        known: list[str] = []
        remaining = iter(paths)
        with reading(self._library.engine) as db:
            while part := list(islice(remaining, _PART)):
                query = select(LedgerRow.source).where(LedgerRow.source.in_(part))
                known += db.execute(query).scalars()
        return known
