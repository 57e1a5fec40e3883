"""What a running service holds: the library, what answers searches, and whether it is ready."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from api import logs
from api.metrics import Metrics
from api.origins import Site
from api.recording import Rates, Recording
from api.service.access.audit import Recorder, activity
from api.service.arriving.arrivals import count_waiting
from api.service.facets import FacetCounts
from api.service.figures import FiguresReader, KeptFigures
from api.service.grouping.kept_maps import KeptMaps
from api.service.grouping.map_values import MapValues
from api.service.grouping.run_quality import KeptQualities
from api.service.judging.heat_kept import KeptHeat
from api.service.judging.kept_references import KeptReferences
from api.service.links import Links
from api.service.search import open_searcher
from api.signing_in import SigningIn, signing_in
from api.uploads import uploads_folder
from indexer.catalog.audit import Action
from indexer.config import Settings
from indexer.errors import SyntopyError
from indexer.library import Library
from indexer.receiving.inbox import Inbox
from indexer.searching.answers import SearchAnswer
from indexer.searching.asking import SearchRequest
from indexer.searching.search import Searcher

_AGAIN_SECONDS = 5.0


@dataclass(frozen=True)
class Served:
    """A library that is being served.

    Attributes:
        library: open as long as the service runs.
        searcher: keeps its indexes open between searches.
        settings: as the service was started with.
        uploads: folder of what comes with requests.
        references: stay loaded between judgements.
        heat: is kept for a while.
        metrics: what is counted for whoever watches it.
        facets: counts by which lists and searches are narrowed.
        figures: of the library, that change by the minute.
        maps: stay in memory, a few.
        map_values: of their points.
        qualities: of clusterings, measured once.
        ready: set when the indexes have been loaded.
        recording: of every request; None where nobody has to say who they are.
        rates: how often each may ask; None as well.
        inbox: of studies that are sent; None where none are taken.
        site: whose pages may ask with a cookie.
        signing_in: people, with the issuer; None where they cannot.
    """

    library: Library
    searcher: Searcher
    settings: Settings
    uploads: Path
    references: KeptReferences
    heat: KeptHeat
    metrics: Metrics
    facets: FacetCounts
    figures: KeptFigures
    maps: KeptMaps
    map_values: MapValues
    qualities: KeptQualities
    ready: threading.Event = field(default_factory=threading.Event)
    recording: Recording | None = None
    rates: Rates | None = None
    inbox: Inbox | None = None
    site: Site = field(default_factory=Site)
    signing_in: SigningIn | None = None

    def search(self, asked: SearchRequest) -> SearchAnswer:
        """Search, count that somebody did, and add the addresses of a viewer.

        Raises:
            SyntopyError: as `Searcher.search`.
        """
        self.metrics.searched(asked)
        return self.links.answer(self.searcher.search(asked))

    @property
    def links(self) -> Links:
        """Adds the addresses of a viewer to answers."""
        return Links(self.settings)


@contextmanager
def serving(
    settings: Settings, metrics: Metrics, *, guarded: bool, receive: bool
) -> Iterator[Served]:
    """Open the library and begin to load its indexes; everything is closed at the end.

    Args:
        settings: of the service.
        metrics: that count what it does.
        guarded: everyone has to say who they are: what they ask is recorded, and counted.
        receive: take studies; another process indexes them.

    Raises:
        LibraryError: the library cannot be opened.
        StorageFullError: there is no place for uploads, or for the audit.
    """
    with (
        Library.open(settings.library) as library,
        uploads_folder() as uploads,
        ExitStack() as closing,
    ):
        recording = rates = None
        if guarded:
            recorder = closing.enter_context(Recorder(library))
            closing.enter_context(_noted(recorder))
            recording = Recording(library, recorder)
            rates = Rates(settings.serve_rate, settings.serve_burst)
        maps = KeptMaps(library)
        served = Served(
            library,
            open_searcher(library, settings),
            settings,
            uploads,
            KeptReferences(library),
            KeptHeat(library, settings),
            metrics,
            FacetCounts(library),
            KeptFigures(library),
            maps,
            MapValues(library, maps),
            KeptQualities(library),
            recording=recording,
            rates=rates,
            inbox=Inbox(library.inbox_folder) if receive else None,
            site=Site(settings.public_url),
            signing_in=signing_in(settings, library) if guarded else None,
        )
        metrics.watch(FiguresReader(library).read, served.ready.is_set)
        stop = threading.Event()
        if served.inbox is not None:
            waiting = (library, served.inbox, stop)
            closing.callback(
                _joined(threading.Thread(target=count_waiting, args=waiting, name="counting"))
            )
            closing.callback(stop.set)
        loading = threading.Thread(target=_load, args=(served, stop), name="loading")
        loading.start()
        try:
            yield served
        finally:
            stop.set()
            loading.join()


@contextmanager
def _noted(recorder: Recorder) -> Iterator[None]:
    """The audit says when the service was there; it does not end worse because it cannot."""
    recorder.record(activity(Action.START, "serve"))
    try:
        yield
    finally:
        try:
            recorder.record(activity(Action.STOP, "serve"))
        except SyntopyError as error:
            logs.noted("the end is not recorded", code=error.code)


def _joined(thread: threading.Thread) -> Callable[[], None]:
    """Start a thread; what is given back waits for its end."""
    thread.start()
    return thread.join


def _load(served: Served, stop: threading.Event) -> None:
    """Load the indexes, again and again while a server of vectors does not answer."""
    while not stop.is_set():
        try:
            served.searcher.load()
        except SyntopyError as error:
            logs.noted("indexes are not loaded", code=error.code)
            stop.wait(_AGAIN_SECONDS)
        else:
            served.ready.set()
            served.facets.count()  # so that nobody waits for it
            return


async def _of(request: Request) -> Served:
    found: Served = request.app.state.served
    return found


Service = Annotated[Served, Depends(_of)]
"""A parameter of a route: what is being served."""
