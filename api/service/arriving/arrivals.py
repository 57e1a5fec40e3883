"""Index what was sent to a library, in the order in which it came, while more comes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from api.service.ingest import IndexRequest, ingest_options
from indexer.config import Settings
from indexer.errors import LibraryLockedError, StorageFullError
from indexer.ingest import IngestProgress, IngestSummary, index_found
from indexer.library import Library
from indexer.receiving.backlog import Backlog
from indexer.receiving.inbox import Inbox
from indexer.sources.discover import SourceFile

_COUNT_SECONDS = 10.0
"""Between two counts of what waits, where another process indexes it."""


@dataclass(frozen=True)
class ArrivalPace:
    """When a batch is indexed.

    Attributes:
        quiet: seconds in which nothing came; a series that comes slice by slice is read once then.
        patience: seconds after which a batch is indexed even if more comes.
        batch: files at most; the writer's lock is held for so long.
        poll: seconds between two looks at the inbox.
        retry: seconds until another try where the library is being written, or its disk is full.
    """

    quiet: float = 2.0
    patience: float = 30.0
    batch: int = 2_000
    poll: float = 0.5
    retry: float = 5.0


@dataclass(frozen=True)
class Held:
    """A batch that could not be indexed yet, and why; nothing is lost."""

    waiting: int
    reason: str


def index_arrivals(
    library: Library,
    inbox: Inbox,
    settings: Settings,
    pace: ArrivalPace | None = None,
    *,
    once: bool = False,
    on_progress: Callable[[IngestProgress], None] | None = None,
    stop: threading.Event,
) -> Iterator[IngestSummary | Held]:
    """Index the inbox of a library batch by batch, until ``stop``; it goes on where it ended.

    Files stay in the inbox: they are the library's originals. Slices of a series that has grown
    are read again with their earlier ones, as by any later run over a folder. The writer's lock is
    taken for one batch at a time.

    Args:
        library: open.
        inbox: of that library.
        settings: how files are read.
        pace: when a batch is indexed.
        once: end when nothing waits, and do not wait for more.
        on_progress: told how far a batch is, from this thread.
        stop: ends it after what is in hand.

    Raises:
        LibraryLockedError: another process indexes the inbox.
    """
    pace = pace or ArrivalPace()
    options = ingest_options(library, IndexRequest([]), settings)
    with library.busy_with("arrivals", f"the inbox of {library.path} is being indexed"):
        for batch in _batches(Backlog(library, inbox), pace, stop, once=once):
            try:
                yield index_found(library, batch, options, on_progress=on_progress, stop=stop)
            except (LibraryLockedError, StorageFullError) as error:
                yield Held(len(batch), str(error))
                stop.wait(pace.retry)


def _batches(
    backlog: Backlog, pace: ArrivalPace, stop: threading.Event, *, once: bool
) -> Iterator[list[SourceFile]]:
    """What waits, once it is enough or nothing more comes."""
    seen, came, since = 0, time.monotonic(), time.monotonic()
    while not stop.is_set():
        waiting = backlog.look()
        moment = time.monotonic()
        if not waiting:
            if once:
                return
            seen, since = 0, moment
        elif len(waiting) != seen:
            seen, came = len(waiting), moment
        due = moment - came >= pace.quiet or moment - since >= pace.patience
        if waiting and (once or due or len(waiting) >= pace.batch):
            yield waiting[: pace.batch]
            seen, since = 0, time.monotonic()
        else:
            stop.wait(pace.poll)


def count_waiting(library: Library, inbox: Inbox, stop: threading.Event) -> None:
    """Tell an inbox, again and again until ``stop``, how much waits: another process indexes it."""
    backlog = Backlog(library, inbox)
    while not stop.is_set():
        backlog.look()
        stop.wait(_COUNT_SECONDS)
