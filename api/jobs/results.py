"""The rows that a job found: a JSON-lines file beside the catalog, read page by page."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from pydantic_core import to_json

from indexer.errors import QueryError, StorageFullError
from indexer.library import Library

_FOLDER, _ENDING = "jobs", ".jsonl"
MOST = 500
"""Rows of a page."""
_CURSOR = re.compile(r"[0-9]{1,15}", re.ASCII)
_STRANGE = "the cursor is not of this result: take it from the page before, or leave it out"


@dataclass(frozen=True)
class ResultPage:
    """A part of the rows, and the cursor of what comes after it; "" at the end."""

    rows: list[dict[str, Any]]
    cursor: str


class RowsFile:
    """Takes the rows of one attempt; they are there once it is `published`.

    Args:
        library: whose job.
        uid: of the job.

    Raises:
        StorageFullError: it cannot be written; so do all methods.
    """

    def __init__(self, library: Library, uid: str) -> None:
        self._path = _path(library, uid)
        self._temporary = self._path.with_suffix(".writing")
        self.rows = 0
        try:
            self._path.parent.mkdir(exist_ok=True)
            self._file = self._temporary.open("wb")
        except OSError as error:
            raise _full(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._file.close()
            self._temporary.unlink(missing_ok=True)

    def add(self, row: object) -> None:
        """Write one row: a mapping or a dataclass."""
        try:
            self._file.write(to_json(row, inf_nan_mode="null", fallback=_plain) + b"\n")
        except OSError as error:
            raise _full(error) from error
        self.rows += 1

    def restart(self) -> None:
        """Drop what was written, for it is written once more."""
        try:
            self._file.seek(0)
            self._file.truncate()
        except OSError as error:
            raise _full(error) from error
        self.rows = 0

    def publish(self) -> None:
        """Put the file into its place, whole."""
        try:
            self._file.close()
            self._temporary.replace(self._path)
        except OSError as error:
            raise _full(error) from error


def read_rows(library: Library, uid: str, cursor: str, limit: int) -> ResultPage:
    """A page of the rows of a job that is done.

    Raises:
        QueryError: a cursor of another list, a limit out of range, or the file is gone.
    """
    if not 1 <= limit <= MOST:
        raise QueryError(f"limit is 1 to {MOST}, not {limit}")
    if cursor and not _CURSOR.fullmatch(cursor):
        raise QueryError(_STRANGE)
    start, path = int(cursor or 0), _path(library, uid)
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, start - 1))
            if start > size or (start and file.read(1) != b"\n"):
                raise QueryError(_STRANGE)
            rows = list[dict[str, Any]]()
            while len(rows) < limit and (line := file.readline()):
                rows.append(json.loads(line))
            end = file.tell()
    except OSError as error:
        raise QueryError(f"the rows of the job '{uid}' are gone") from error
    return ResultPage(rows, str(end) if end < size else "")


def remove_rows(library: Library, uids: Sequence[str]) -> None:
    """Delete the rows of jobs that are forgotten."""
    for uid in uids:
        with suppress(OSError):
            _path(library, uid).unlink(missing_ok=True)


def _path(library: Library, uid: str) -> Path:
    return library.path / _FOLDER / f"{uid}{_ENDING}"


def _full(error: OSError) -> StorageFullError:
    return StorageFullError(f"the rows of the job cannot be written: {error.strerror}")


def _plain(value: object) -> object:
    """What numpy has, as what JSON knows."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    return str(value)
