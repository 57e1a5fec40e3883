"""Fetch studies from an archive into a library: safe in its inbox first, then indexed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from api.service.arriving.archives import (
    WAITS,
    Archive,
    ArchiveBusyError,
    ArchiveError,
    ArchiveRefusesError,
    Patience,
    SeriesListed,
    StoppedError,
)
from api.service.arriving.arrival_audit import PullAudit
from api.service.arriving.arrivals import Held, index_arrivals
from indexer.config import Settings
from indexer.errors import LibraryLockedError
from indexer.ingest import IngestProgress, IngestSummary
from indexer.library import Library
from indexer.receiving.inbox import Inbox
from indexer.receiving.known import Known

_INDEX_EVERY = 2_000
"""Instances that came, after which they are indexed before more are fetched."""


@dataclass(frozen=True)
class PullRequest:
    """How studies are fetched.

    Attributes:
        limit: studies at most; None for all that match.
        index: False leaves indexing to another process.
        waits: seconds before each further try of what an archive could not do.
        host: of the archive, and who fetches, ``actor``: so they stand in the audit.
    """

    limit: int | None = None
    index: bool = True
    waits: Sequence[float] = field(default=WAITS)
    host: str = ""
    actor: str = "syntopy"


@dataclass(frozen=True)
class StudyPulled:
    """A study of which all that was asked for is here.

    Attributes:
        study_instance_uid: its UID.
        fetched, known: instances that came now, and that were here before.
    """

    study_instance_uid: str
    fetched: int
    known: int


@dataclass(frozen=True)
class StudyFailed:
    """A study of which something is not here; what came is kept.

    Attributes:
        study_instance_uid: its UID.
        fetched, known: as in `StudyPulled`.
        reason: never a word of the patient.
    """

    study_instance_uid: str
    fetched: int
    known: int
    reason: str


@dataclass(frozen=True)
class IndexedElsewhere:
    """Another process indexes the inbox, and what was fetched, too."""

    reason: str


@dataclass
class PullSummary:
    """How far a run is; instances, but for ``studies`` and ``failed``, which are studies."""

    studies: int = 0
    failed: int = 0
    fetched: int = 0
    known: int = 0
    bytes: int = 0


PullEvent = StudyPulled | StudyFailed | IngestSummary | Held | IndexedElsewhere | PullSummary


def pull(
    library: Library,
    inbox: Inbox,
    archive: Archive,
    request: PullRequest,
    settings: Settings,
    *,
    on_pulled: Callable[[PullSummary], None] | None = None,
    on_indexed: Callable[[IngestProgress], None] | None = None,
    stop: threading.Event,
) -> Iterator[PullEvent]:
    """Fetch the studies of an archive that match and are not here; the last event is the summary.

    What is in the library or its inbox is not fetched again, so that a run that was stopped, or
    killed, is taken up by the next one. A study that fails never stops the run.

    Args:
        library: open.
        inbox: of that library.
        archive: asked for studies; whoever made it closes it.
        request: how.
        settings: how files are read.
        on_pulled: told of what came, often.
        on_indexed: told how far indexing is.
        stop: ends it; what came is safe.

    Raises:
        ArchiveError: studies cannot be listed, or the archive does not know us.
        StorageFullError: the inbox takes nothing, or at the end rows of the audit cannot be
            written; what came is safe.
    """
    audit = PullAudit(library, request.host, request.actor)
    run = _Run(archive, Known(library, inbox), Patience(stop, request.waits), on_pulled)
    pace = _Indexing(library, inbox, settings, on_indexed, stop) if request.index else None
    try:
        for number, study in enumerate(run.studies(), 1):
            yield _recorded(run, study, audit)
            if pace is not None and run.summary.fetched - pace.indexed >= _INDEX_EVERY:
                yield from pace.index(run.summary.fetched)
            if stop.is_set() or number == request.limit:
                break
    except StoppedError:
        pass
    finally:
        audit.close()
    if pace is not None and not stop.is_set():
        yield from pace.index(run.summary.fetched)
    yield run.summary


def _recorded(run: _Run, study: str, audit: PullAudit) -> StudyPulled | StudyFailed:
    """Fetch a study, and record what came of it, also if that ends the run."""
    fetched, known = run.summary.fetched, run.summary.known
    whole = False
    try:
        pulled = run.pull(study)
        whole = isinstance(pulled, StudyPulled)
    finally:
        now = run.summary
        audit.study(study, now.fetched - fetched, now.known - known, whole=whole)
    return pulled


class _Run:
    """One run over the studies of an archive."""

    def __init__(
        self,
        archive: Archive,
        known: Known,
        patience: Patience,
        tell: Callable[[PullSummary], None] | None,
    ) -> None:
        self._archive, self._known, self._patience = archive, known, patience
        self._tell = tell or (lambda _summary: None)
        self.summary = PullSummary()

    def studies(self) -> Iterator[str]:
        """All that match, each once."""
        seen: set[str] = set()
        offset = 0
        while True:
            at = offset
            page = self._patience(lambda: self._archive.studies(at))  # noqa: B023 - called at once
            new = [uid for uid in dict.fromkeys(page) if uid not in seen]
            if not new:
                return
            seen.update(new)
            offset += len(page)
            yield from new

    def pull(self, study: str) -> StudyPulled | StudyFailed:
        """Fetch what is missing of a study."""
        before = (self.summary.fetched, self.summary.known)
        reasons: list[str] = []
        try:
            for series in self._patience(lambda: self._archive.series(study)):
                try:
                    self._fetch(series)
                except ArchiveRefusesError:
                    raise
                except ArchiveError as error:
                    reasons.append(str(error))
        except ArchiveRefusesError:
            raise
        except ArchiveError as error:
            reasons.append(str(error))
        self.summary.studies += 1
        self.summary.failed += bool(reasons)
        self._tell(self.summary)
        fetched, known = self.summary.fetched - before[0], self.summary.known - before[1]
        if reasons:
            return StudyFailed(study, fetched, known, "; ".join(dict.fromkeys(reasons)))
        return StudyPulled(study, fetched, known)

    def _fetch(self, series: SeriesListed) -> None:
        """Fetch what is missing of a series; while something comes, it is tried again."""
        missing = self._known.missing(series.instances)
        self.summary.known += len(series.instances) - len(missing)
        waits = iter(self._patience.waits)
        while missing:
            left, trouble = self._attempt(series, missing)
            if len(left) < len(missing):
                waits = iter(self._patience.waits)
            if left:
                if not isinstance(trouble, ArchiveBusyError) or (wait := next(waits, 0.0)) == 0.0:
                    raise trouble
                self._patience.rest(wait, trouble)
            missing = left

    def _attempt(self, series: SeriesListed, wanted: list[str]) -> tuple[list[str], ArchiveError]:
        """Try to fetch; what is missing then, and why."""
        left, trouble, reason = wanted, None, ""
        try:
            reason = self._archive.fetch(series, wanted, self._heard)
        except ArchiveBusyError as error:
            trouble = error
        finally:
            left = self._known.missing(wanted)
            self.summary.fetched += len(wanted) - len(left)
            self._tell(self.summary)
        told = f": {reason}" if reason else ""
        return left, trouble or ArchiveError(f"{len(left):,} instances did not come{told}")

    def _heard(self, count: int) -> None:
        self.summary.bytes += count
        self._tell(self.summary)


class _Indexing:
    """Indexes what came, unless another process does."""

    def __init__(
        self,
        library: Library,
        inbox: Inbox,
        settings: Settings,
        tell: Callable[[IngestProgress], None] | None,
        stop: threading.Event,
    ) -> None:
        self._library, self._inbox, self._settings = library, inbox, settings
        self._tell, self._stop = tell, stop
        self._elsewhere = False
        self.indexed = 0

    def index(self, fetched: int) -> Iterator[IngestSummary | Held | IndexedElsewhere]:
        """Index what waits; ``fetched`` is how many have come so far."""
        self.indexed = fetched
        if self._elsewhere:
            return
        try:
            yield from index_arrivals(
                self._library,
                self._inbox,
                self._settings,
                once=True,
                on_progress=self._tell,
                stop=self._stop,
            )
        except LibraryLockedError as error:
            self._elsewhere = True
            yield IndexedElsewhere(str(error))
