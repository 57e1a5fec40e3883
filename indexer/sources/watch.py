"""Watch folders and hand over files once nobody writes to them any more."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, MutableMapping, Sequence
from pathlib import Path

from indexer.errors import SourceError
from indexer.sources.discover import Problem, SourceFile, discover, discover_on_disk

_UNFINISHED = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".download", ".filepart", "~")

Stamp = tuple[int, int]
"""Size and modification time (ns) of a file."""


def settled(
    paths: Sequence[Path],
    *,
    settle_seconds: float,
    poll_seconds: float,
    stop: threading.Event,
    seen: MutableMapping[str, Stamp] | None = None,
) -> Iterator[list[SourceFile | Problem]]:
    """Yield the files below `paths` that have come to rest, in batches, until `stop` is set.

    A file is at rest when its size and modification time stayed the same for `settle_seconds` of
    watching. Each is handed over once, and again after it changed. Archives are handed over as
    their members, with a `Problem` for what cannot be read. Hidden files and folders and names
    that downloads have while they last (``.part``, ``.tmp``, ``.crdownload``) are left alone.

    Args:
        paths: files and folders, which have to exist at the start; later they may come and go.
        settle_seconds: how long a file has to stay the same.
        poll_seconds: time between two looks.
        stop: set it to end the watch, at the latest after the look that is under way.
        seen: what was handed over before, by `SourceFile.key`; kept up to date here.

    Raises:
        SourceError: at the first step, where a path does not exist.
    """
    handed_over: MutableMapping[str, Stamp] = {} if seen is None else seen
    since: dict[str, tuple[Stamp, float]] = {}
    files = list(discover_on_disk(paths))
    while True:
        batch = _at_rest(_finished(files, paths), handed_over, since, settle_seconds)
        if batch:
            yield list(_expanded(batch))
        if stop.wait(poll_seconds):
            return
        files = _look_again(paths)


def is_unfinished(name: str) -> bool:
    """Whether a file's name says that it is hidden or still being written."""
    return name.startswith(".") or name.lower().endswith(_UNFINISHED)


def _expanded(batch: list[SourceFile]) -> Iterator[SourceFile | Problem]:
    for source in batch:
        try:
            yield from discover([Path(source.path)])
        except SourceError:  # gone since the last look
            continue


def _look_again(paths: Sequence[Path]) -> list[SourceFile | Problem]:
    try:
        return list(discover_on_disk(paths))
    except SourceError:  # a share that went away for a while
        return []


def _finished(found: list[SourceFile | Problem], paths: Sequence[Path]) -> Iterator[SourceFile]:
    roots = [os.path.abspath(path) for path in paths]  # noqa: PTH100 - as discover does
    for source in found:
        if isinstance(source, SourceFile):
            root = max((r for r in roots if source.path.startswith(r)), key=len, default="")
            folders = Path(source.path[len(root) :]).parent.parts
            hidden = any(part.startswith(".") for part in folders)
            if not hidden and not is_unfinished(source.name):
                yield source


def _at_rest(
    files: Iterator[SourceFile],
    handed_over: MutableMapping[str, Stamp],
    since: dict[str, tuple[Stamp, float]],
    settle_seconds: float,
) -> list[SourceFile]:
    """The files whose time has come; `since` keeps only those that are still waited for."""
    now = time.monotonic()
    waiting: dict[str, tuple[Stamp, float]] = {}
    batch = []
    for source in files:
        stamp = (source.size, source.mtime_ns)
        if handed_over.get(source.key) == stamp:
            continue
        known = since.get(source.key)
        first = known[1] if known is not None and known[0] == stamp else now
        if now - first >= settle_seconds:
            handed_over[source.key] = stamp
            batch.append(source)
        else:
            waiting[source.key] = (stamp, first)
    since.clear()
    since.update(waiting)
    return batch
