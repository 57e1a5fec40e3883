"""From found files to tasks, and from a query file to items."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from indexer.errors import FileRejectedError, QueryError
from indexer.reading.drafts import (
    EarlierSlice,
    FileResult,
    FileTask,
    InstanceDraft,
    ItemDraft,
    ReadOptions,
    SeriesResult,
    SeriesTask,
    SliceRef,
)
from indexer.reading.files import read_file
from indexer.reading.pictures import instance_uid, row_key
from indexer.reading.series import read_series
from indexer.sources.arrays import NpzInfo, describe_npz
from indexer.sources.discover import Problem, SourceFile
from indexer.sources.tables import MetadataTable
from indexer.types import Attributes, Outcome
from indexer.workers import Progress

_ROWS, _ROW_BYTES = 256, 64 << 20
"""Rows of a NumPy archive that are read, encoded and committed together, and their bytes."""


def read_task(
    task: FileTask | SeriesTask | Problem, options: ReadOptions, progress: Progress
) -> FileResult | SeriesResult:
    """What a worker process does with one task."""
    if isinstance(task, SeriesTask):
        return read_series(task, options, progress)
    if isinstance(task, Problem):
        place = SourceFile(path=task.key, member=None, size=0, mtime_ns=0)
        return FileResult(place, Outcome.REJECTED, reason=task.reason, detail=task.detail)
    return read_file(task, options)


def file_tasks(
    file: SourceFile, table: MetadataTable | None, *, explicit: bool
) -> Iterator[FileTask]:
    """What to hand to the workers for one file, with what the table says of it."""
    info = _array_info(file)
    if info is None:
        said = table.lookup(file) if table else None
        is_map = table is not None and table.is_label_map(file)
        yield FileTask(file, said, is_label_map=is_map, explicit=explicit)
        return
    rows = max(1, info.rows)
    largest = max((each.row_bytes for each in info.sets), default=0)
    step = max(1, min(_ROWS, _ROW_BYTES // max(1, largest)))
    for start in range(0, rows, step):
        stop = min(rows, start + step)
        said_rows = tuple(table.lookup(file, row) for row in range(start, stop)) if table else ()
        yield FileTask(file, rows=(start, stop), row_attributes=said_rows, last=stop == rows)


def known_uids(
    file: SourceFile, sha256: str, sop_instance_uid: str, table: MetadataTable
) -> list[tuple[str, Attributes | None]]:
    """SOP Instance UIDs of a file that is in the catalog, each with what the table says of it."""
    info = _array_info(file)
    if info is None:
        return [(sop_instance_uid, table.lookup(file))]
    return [
        (instance_uid(row_key(sha256, row)), table.lookup(file, row)) for row in range(info.rows)
    ]


def earlier_slice(order: int, key: str, sha256: str) -> EarlierSlice:
    """A slice that was read from this ledger key before."""
    path, mark, member = key.partition("!/")
    inside = bool(mark) and not Path(key).exists()
    file = SourceFile(path if inside else key, member if inside else None, 0, 0)
    return EarlierSlice(order, file, sha256)


def read_query(path: Path, options: ReadOptions) -> tuple[InstanceDraft, list[ItemDraft]]:
    """Read a file to search with, as if it were indexed.

    Raises:
        QueryError: the file is missing, or holds no picture.
        FileRejectedError: with the reason that indexing it would give.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise QueryError(f"{path} cannot be read: {error.strerror}") from error
    if not path.is_file():
        raise QueryError(f"{path} is not a file; search with one file")
    source = SourceFile(str(path.absolute()), None, stat.st_size, stat.st_mtime_ns)
    result = read_file(FileTask(source), options)
    if result.waiting is not None:
        draft, header, role = result.waiting
        ref = SliceRef(0, source, result.sha256, draft, header, role)
        series = read_series(
            SeriesTask(draft.series_instance_uid, (ref,)), options, lambda _step: None
        )
        for reason, detail in series.rejected.values():
            raise FileRejectedError(reason, f"{path.name}: {detail}")
        return series.drafts[0], list(series.items)
    if result.outcome is Outcome.REJECTED and result.reason is not None:
        raise FileRejectedError(result.reason, f"{path.name}: {result.detail}")
    if not result.items:
        raise QueryError(f"{path.name} holds no picture to search with ({result.detail})")
    return result.instances[0], list(result.items)


def _array_info(file: SourceFile) -> NpzInfo | None:
    if file.member is not None or not file.name.lower().endswith(".npz"):
        return None
    try:
        return describe_npz(Path(file.path))
    except FileRejectedError:
        return None  # the worker will meet the same trouble and report it
