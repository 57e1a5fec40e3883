"""Where slices wait for their series: a scratch file, so that memory stays bounded."""

from __future__ import annotations

import pickle
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from indexer.errors import StorageFullError
from indexer.reading.drafts import SliceRef
from indexer.sources.discover import Problem, SourceFile


class Waiting:
    """Slices by series, in the order in which they came. Used by both threads of a run.

    Raises:
        StorageFullError: from every method, when the scratch file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._lock = threading.Lock()
        self._next = 0
        for statement in (
            "PRAGMA journal_mode=OFF",
            "PRAGMA synchronous=OFF",
            "CREATE TABLE slice (n INTEGER PRIMARY KEY, series TEXT, ref BLOB)",
            "CREATE INDEX by_series ON slice (series, n)",
        ):
            self._run(statement)

    def add(self, make: Callable[[int], SliceRef], series: str) -> None:
        """Keep the slice that ``make`` gives for its number in the run."""
        blob = pickle.dumps(make(self._next))
        self._run("INSERT INTO slice VALUES (?, ?, ?)", (self._next, series, blob))
        self._next += 1

    def series(self) -> list[str]:
        """Names of the waiting series, in the order in which their first slices came."""
        rows = self._run("SELECT series FROM slice GROUP BY series ORDER BY MIN(n)")
        return [row[0] for row in rows]

    def slices(self, series: str) -> list[SliceRef]:
        """The slices of one series, in the order in which they came."""
        rows = self._run("SELECT ref FROM slice WHERE series = ? ORDER BY n", (series,))
        return [pickle.loads(row[0]) for row in rows]  # noqa: S301 - our own scratch file

    def clear(self) -> None:
        """Forget all slices; numbers go on."""
        self._run("DELETE FROM slice")

    def close(self) -> None:
        """Let go of the file; its folder is emptied by the library."""
        self._db.close()

    def _run(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        try:
            with self._lock:
                return self._db.execute(statement, values).fetchall()
        except sqlite3.OperationalError as error:
            raise StorageFullError(
                "the library's tmp folder cannot be written: disk full or read-only; free space "
                "and run the same command again, what was committed is safe"
            ) from error


def rounds_of(
    found: Iterator[SourceFile | Problem], size: int
) -> Iterator[Iterator[SourceFile | Problem]]:
    """Cut the stream into rounds of about ``size`` files that end where the folder changes."""
    head = list(islice(found, 1))

    def part() -> Iterator[SourceFile | Problem]:
        count, folder = 0, ""
        while head:
            if count >= size and _folder(head[0]) != folder:
                return
            file = head.pop()
            count, folder = count + 1, _folder(file)
            yield file
            head.extend(islice(found, 1))

    while head:
        yield part()


def _folder(file: SourceFile | Problem) -> str:
    return file.key.rpartition("/")[0]
