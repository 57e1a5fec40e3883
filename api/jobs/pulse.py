"""What a worker does beside the job that it runs: it tells how far it is, and hears of a cancel."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Self

from indexer.catalog.database import reading, transaction
from indexer.errors import SyntopyError
from indexer.groups.asked_jobs import StoredJob, job_of, tell_progress
from indexer.library import Library

_SECONDS = 0.5


class Pulse:
    """A thread beside a job, while this is entered.

    Args:
        library: whose job.
        job: that runs.
        cancel: is called once when somebody cancels it.

    Attributes:
        cancelled: whether somebody did.
    """

    def __init__(self, library: Library, job: StoredJob, cancel: Callable[[], None]) -> None:
        self._library, self._job, self._cancel = library, job, cancel
        self._told: tuple[str, int, int] | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="pulse", daemon=True)
        self.cancelled = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._over.set()
        self._thread.join()

    def tell(self, what: str, done: int, total: int) -> None:
        """How far the job is; costs next to nothing."""
        self._told = (what, done, total)

    def _beat(self) -> None:
        while not self._over.wait(_SECONDS):
            try:
                self._look()
                self._write()
            except SyntopyError:
                continue  # the catalog is busy or full: the next beat tells more

    def _look(self) -> None:
        if self.cancelled:
            return
        with reading(self._library.engine) as db:
            found = job_of(db, self._job.uid)
        if found is not None and found.cancelled and not self._over.is_set():
            self.cancelled = True
            self._cancel()

    def _write(self) -> None:
        told, self._told = self._told, None
        if told is not None:
            with transaction(self._library.engine) as db:
                tell_progress(db, self._job, *told)
