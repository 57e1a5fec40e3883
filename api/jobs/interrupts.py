"""How a worker is told to end, and how a job that runs is interrupted at once and safely.

A job is interrupted as Ctrl-C would do it: a KeyboardInterrupt in the main thread, which all that
is long here survives without a loss. It comes only while a job runs, never while its end is noted.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

_PATIENCE = 30.0
"""Seconds in which what ends by itself has to do so."""


class Interrupts:
    """Signals of a worker, while this is entered; only in the main thread.

    SIGTERM lets the job that runs go on for the grace time and interrupts it then, SIGINT does so
    at once. In both cases there is no next job.

    Args:
        grace: seconds.

    Attributes:
        ending: whether there is to be no next job.
    """

    def __init__(self, grace: float) -> None:
        self.ending = False
        self._grace, self._running = grace, False
        self._stop: threading.Event | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._main = threading.get_ident()

    def __enter__(self) -> Self:
        for number, handler in (
            (signal.SIGINT, self._now),
            (signal.SIGTERM, self._later),
            (signal.SIGALRM, self._interrupt),
            (signal.SIGUSR1, self._interrupt),
        ):
            self._before[number] = signal.signal(number, handler)
        return self

    def __exit__(self, *_exc: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def running(self, stop: threading.Event, *, ends_itself: bool) -> Iterator[None]:
        """While this is entered, a job runs and may be interrupted.

        Args:
            stop: is set when the job is to end.
            ends_itself: it looks at ``stop``, and is interrupted only if it does not heed it.

        Raises:
            KeyboardInterrupt: it was interrupted.
        """
        signal.setitimer(signal.ITIMER_REAL, 0)  # a timer that was meant for the job before
        self._stop, self._running = stop, not ends_itself
        try:
            if self.ending:
                stop.set()
                raise KeyboardInterrupt
            yield
        finally:
            self._running, self._stop = False, None
            signal.setitimer(signal.ITIMER_REAL, 0)

    def cancel(self) -> None:
        """From another thread: interrupt the job that runs."""
        signal.pthread_kill(self._main, signal.SIGUSR1)

    def _now(self, number: int, frame: FrameType | None) -> None:
        self.ending = True
        self._interrupt(number, frame)

    def _later(self, _number: int, _frame: FrameType | None) -> None:
        self.ending = True
        if self._stop is not None:
            signal.setitimer(signal.ITIMER_REAL, max(self._grace, 0.001))

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        stop = self._stop
        if stop is None:
            return
        if self._running or stop.is_set():
            stop.set()
            self._running = False
            raise KeyboardInterrupt
        stop.set()
        signal.setitimer(signal.ITIMER_REAL, _PATIENCE)
