"""Receive objects over DICOM associations, and index them as they come."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from api.dimse.finding import Finder
from api.dimse.node import AssociationEnded, Node
from api.dimse.options import NodeOptions
from api.service.arriving.arrival_audit import ArrivalAudit
from api.service.arriving.arrivals import ArrivalPace, Held, count_waiting, index_arrivals
from indexer.config import Settings
from indexer.ingest import IngestProgress, IngestSummary
from indexer.library import Library
from indexer.receiving.inbox import Inbox, InboxLimits


@dataclass(frozen=True)
class ListenRequest:
    """How to listen.

    Attributes:
        node: where, and to whom.
        limits: of what is accepted.
        pace: when batches are indexed.
        index: False leaves indexing to another process.
        find: answer C-FIND requests, too.
    """

    node: NodeOptions = field(default_factory=NodeOptions)
    limits: InboxLimits = field(default_factory=InboxLimits)
    pace: ArrivalPace = field(default_factory=ArrivalPace)
    index: bool = True
    find: bool = False


@dataclass(frozen=True)
class Listening:
    """Objects can be sent from now on."""

    ae_title: str
    host: str
    port: int
    tls: bool


ListenEvent = Listening | AssociationEnded | IngestSummary | Held


def listen(
    library: Library,
    request: ListenRequest,
    settings: Settings,
    *,
    on_progress: Callable[[IngestProgress], None] | None = None,
    stop: threading.Event,
) -> Generator[ListenEvent, None, None]:
    """Receive until ``stop``; what was acknowledged is safe, what waits is indexed by the next run.

    Args:
        library: what is received lies in its inbox.
        request: how.
        settings: how files are read.
        on_progress: told how far a batch is, from a thread of its own.
        stop: ends it: no new associations, those that are there may end.

    Raises:
        ConfigError: an option is wrong, or strangers could send.
        LibraryLockedError: another process indexes the inbox.
        StorageFullError: the inbox cannot be written, or at the end rows of the audit cannot.
    """
    inbox = Inbox(library.inbox_folder, request.limits)
    events: queue.Queue[ListenEvent | BaseException] = queue.Queue()
    audit = ArrivalAudit(library)

    def tell(ended: AssociationEnded) -> None:
        audit.ended(ended)
        events.put(ended)

    node = Node(inbox, request.node, tell, Finder(library) if request.find else None, audit.refused)

    def index() -> None:
        try:
            for event in index_arrivals(
                library, inbox, settings, request.pace, on_progress=on_progress, stop=stop
            ):
                events.put(event)
        except BaseException as error:  # noqa: BLE001 - raised again where events are read
            events.put(error)

    def count() -> None:
        count_waiting(library, inbox, stop)

    with audit, _started(node), _running(index if request.index else count, stop):
        audit.started()
        own = request.node
        yield Listening(own.ae_title, own.host, node.port, own.tls is not None)
        while not stop.is_set():
            yield from _next(events)
    while not events.empty():
        yield from _next(events)


def _next(events: queue.Queue[ListenEvent | BaseException]) -> Iterator[ListenEvent]:
    try:
        event = events.get(timeout=0.2)
    except queue.Empty:
        return
    if isinstance(event, BaseException):
        raise event
    yield event


@contextmanager
def _started(node: Node) -> Iterator[None]:
    node.start()
    try:
        yield
    finally:
        node.stop()


@contextmanager
def _running(work: Callable[[], None], stop: threading.Event) -> Iterator[None]:
    """Work beside, in a thread that is waited for."""
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
