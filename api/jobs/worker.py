"""The worker: takes jobs from the queue, one at a time, and does them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from api import logs
from api.jobs.errors import JobError
from api.jobs.interrupts import Interrupts
from api.jobs.kinds import KINDS
from api.jobs.pulse import Pulse
from api.jobs.results import RowsFile, remove_rows
from api.jobs.work import WAITING, Kind, PatientLibrary, Work
from api.places import of_jobs, without_places
from indexer.catalog.database import reading, transaction
from indexer.config import Settings
from indexer.errors import LibraryLockedError, SyntopyError
from indexer.groups.asked_jobs import (
    DONE,
    FAILED,
    QUEUED,
    STOPPED,
    StoredJob,
    end_job,
    forget_jobs,
    give_back,
    has_waiting,
    recover_jobs,
    take_job,
    workers_at_work,
)
from indexer.library import Library

PLACES = 16
"""Workers of one library at once, at most."""
ATTEMPTS = 3
_POLL_SECONDS, _SWEEP_SECONDS, _AGAIN_SECONDS = 0.25, 5.0, 2.0
_SECONDS_PER_DAY = 86_400.0
_INSIDE = "something went wrong inside; the log of the worker has more under this job"


@dataclass(frozen=True)
class Ended:
    """A job that a worker is through with, and its state by then; ``queued`` if it gave it back."""

    uid: str
    kind: str
    state: str
    message: str = ""


def work(
    settings: Settings, *, once: bool = False, on_end: Callable[[Ended], None] | None = None
) -> bool:
    """Do jobs, in the order in which they were asked for, until a signal ends it.

    Must run in the main thread, as it takes its signals (see `Interrupts`). A job is done by one
    worker at a time, for a worker holds the lock of a place as long as it lives, and whoever gets
    the lock of a place knows that its worker is dead: its jobs go back into the queue.

    Args:
        settings: name the library.
        once: end when no job waits.
        on_end: told of each job that ended.

    Returns:
        Whether a signal ended it.

    Raises:
        LibraryError: the library cannot be opened, or has so many workers already.
    """
    with (
        PatientLibrary.open(settings.library) as library,
        _place(library) as place,
        Interrupts(settings.jobs_grace) as interrupts,
    ):
        worker = _Worker(library, settings, place, interrupts)
        while not interrupts.ending:
            ended = worker.next()
            if ended is not None and on_end is not None:
                on_end(ended)
            if ended is None:
                if once:
                    return False
                time.sleep(_POLL_SECONDS)
        return True


@contextmanager
def _place(library: Library) -> Iterator[int]:
    """Hold the lock of a place that no other worker has.

    Raises:
        LibraryLockedError: all are taken.
    """
    for place in range(PLACES):
        lock = _lock(library, place)
        try:
            lock.__enter__()
        except LibraryLockedError:
            continue
        try:
            yield place
        finally:
            lock.__exit__(None, None, None)
        return
    raise LibraryLockedError(f"{PLACES} workers do the library's jobs already")


def _lock(library: Library, place: int) -> Any:
    return library.busy_with(f"jobs-{place}", "jobs of the library are done")


class _Worker:
    """A worker in its place."""

    def __init__(
        self, library: PatientLibrary, settings: Settings, place: int, interrupts: Interrupts
    ) -> None:
        self._library, self._settings = library, settings
        self._place, self._interrupts = place, interrupts
        self._swept = self._forgot = float("-inf")
        with transaction(library.engine) as db:
            recover_jobs(db, place, ATTEMPTS)

    def next(self) -> Ended | None:
        """Do the next job; None if none waits, or the catalog is busy."""
        try:
            self._sweep()
            self._forget()
            with reading(self._library.engine) as db:
                waits = has_waiting(db)
            if not waits:
                return None
            with transaction(self._library.engine) as db:
                job = take_job(db, self._place)
        except LibraryLockedError:
            return None
        return None if job is None else self._do(job)

    def _sweep(self) -> None:
        """Put jobs of workers that died back into the queue."""
        if time.monotonic() - self._swept < _SWEEP_SECONDS:
            return
        self._swept = time.monotonic()
        with reading(self._library.engine) as db:
            places = workers_at_work(db) - {self._place}
        for place in places:
            with (
                suppress(LibraryLockedError),
                _lock(self._library, place),
                transaction(self._library.engine) as db,
            ):
                recover_jobs(db, place, ATTEMPTS)

    def _forget(self) -> None:
        """Forget jobs that ended long ago."""
        if time.monotonic() - self._forgot < _SECONDS_PER_DAY / 24:
            return
        self._forgot = time.monotonic()
        with transaction(self._library.engine) as db:
            gone = forget_jobs(db, self._settings.jobs_days)
        remove_rows(self._library, gone)

    def _do(self, job: StoredJob) -> Ended:
        logs.noted("job began", job=job.uid, kind=job.kind, attempt=job.attempts)
        ended, result, code = self._outcome(job)
        self._note(job, ended, result, code)
        logs.noted("job ended", job=job.uid, kind=job.kind, state=ended.state, code=code)
        return ended

    def _outcome(self, job: StoredJob) -> tuple[Ended, Mapping[str, Any] | None, str]:
        """Do it; its end, what came of it, and the code of what went wrong."""
        pulse = Pulse(self._library, job, self._interrupts.cancel)
        try:
            result = self._result(job, pulse)
        except KeyboardInterrupt:
            state = STOPPED if pulse.cancelled else QUEUED
            return Ended(job.uid, job.kind, state), None, ""
        except SyntopyError as error:
            return self._failed(job, str(error)), None, error.code
        except Exception as error:  # noqa: BLE001 - a worker outlives whatever a job does
            logs.failed(error, job.uid)
            return self._failed(job, _INSIDE), None, "internal"
        return Ended(job.uid, job.kind, DONE), result, ""

    def _failed(self, job: StoredJob, message: str) -> Ended:
        told = without_places(message, of_jobs(self._library, self._settings))
        return Ended(job.uid, job.kind, FAILED, told)

    def _result(self, job: StoredJob, pulse: Pulse) -> Mapping[str, Any]:
        """What a job found.

        Raises:
            KeyboardInterrupt: it was interrupted.
            SyntopyError: it failed.
        """
        kind, stop = KINDS.get(job.kind), threading.Event()
        if kind is None:
            raise JobError(f"there is no kind of job '{job.kind}' in this version")
        parameters = _parameters(kind, job)
        self._library.tell = pulse.tell
        with pulse, RowsFile(self._library, job.uid) as rows:
            work = Work(self._library, self._settings, job, pulse.tell, rows.add, stop)
            with self._interrupts.running(stop, ends_itself=kind.ends_itself):
                if pulse.cancelled:  # before it could be interrupted
                    raise KeyboardInterrupt
                result = self._run(kind, work, parameters, rows)
            if stop.is_set():
                raise KeyboardInterrupt
            rows.publish()
            return {**result, "rows": rows.rows}

    def _run(
        self, kind: Kind[Any], work: Work, parameters: Any, rows: RowsFile
    ) -> Mapping[str, Any]:
        """Once more, and again, where the catalog stays locked too long for a transaction."""
        while True:
            try:
                return kind.run(work, parameters)
            except LibraryLockedError:
                rows.restart()
                work.tell(WAITING, 0, 0)
                time.sleep(_AGAIN_SECONDS)

    def _note(
        self, job: StoredJob, ended: Ended, result: Mapping[str, Any] | None, code: str
    ) -> None:
        """Write how it ended, however long the catalog is locked."""
        while True:
            try:
                with transaction(self._library.engine) as db:
                    if ended.state == QUEUED:
                        give_back(db, job)
                    else:
                        end_job(
                            db, job, ended.state, result=result, code=code, message=ended.message
                        )
                return
            except LibraryLockedError:
                time.sleep(_AGAIN_SECONDS)


def _parameters(kind: Kind[Any], job: StoredJob) -> Any:
    try:
        return kind.parameters.model_validate(job.parameters)
    except ValidationError as error:
        raise JobError("what it was asked with is not what this version takes") from error
