"""Processes beside the service: started with it, started again if they crash, ended with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import NoReturn

from api import logs
from indexer.config import Settings

_GRACE_SECONDS = 30.0
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_LIVED_SECONDS = 60.0
"""Who lived so long begins anew with the shortest pause."""
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class Child:
    """A command of ``syntopy`` to run beside the service.

    Attributes:
        arguments: of it.
        end: the signal that tells it to end when it has finished what is in hand.
        environment: over that of the service.
        grace: seconds until it is killed.
    """

    arguments: Sequence[str]
    end: signal.Signals = signal.SIGINT
    environment: Mapping[str, str] = field(default_factory=dict)
    grace: float = _GRACE_SECONDS


def arrivals(settings: Settings) -> Child:
    """Indexes what arrives, so that it takes no time from answers."""
    return Child(("arrivals", "--follow", "--json", "-L", str(settings.library)))


def job_workers(settings: Settings) -> list[Child]:
    """Do jobs; numeric libraries leave the service its share of the CPUs."""
    threads = settings.jobs_threads or max(1, len(os.sched_getaffinity(0)) // 2)
    environment = {name: str(threads) for name in _THREADS if name not in os.environ}
    arguments = ("jobs", "work", "--log", "--json", "-L", str(settings.library))
    grace = settings.jobs_grace + _GRACE_SECONDS
    child = Child(arguments, signal.SIGTERM, environment, grace)
    return [child] * settings.jobs_workers


@contextmanager
def beside(children: Sequence[Child]) -> Iterator[None]:
    """Run children as long as this is entered; at the end all are told to end, and waited for.

    They end with this process also when it is killed. What they had not finished waits for the
    next.
    """
    # A server passes the signal on that ended it, and its default would end this process at once.
    signal.signal(signal.SIGTERM, _ended)
    kept = [_Kept(child) for child in children]
    try:
        yield
    finally:
        for each in kept:
            each.end()
        for each in kept:
            each.join()


def _ended(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


class _Kept:
    """A child that is kept running, by a thread."""

    def __init__(self, child: Child) -> None:
        self._child, self._over = child, threading.Event()
        self._guard = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._until = float("inf")
        self._thread = threading.Thread(target=self._keep, name="child")
        self._thread.start()

    def end(self) -> None:
        """Tell it to end."""
        with self._guard:
            self._until = time.monotonic() + self._child.grace
            self._over.set()
            if self._process is not None:
                self._process.send_signal(self._child.end)

    def join(self) -> None:
        """Wait until it has ended."""
        self._thread.join()

    def _keep(self) -> None:
        pause = _FIRST_PAUSE
        while (process := self._start()) is not None:
            began = time.monotonic()
            self._wait(process)
            if self._over.is_set():
                return
            lived = time.monotonic() - began
            pause = _FIRST_PAUSE if lived > _LIVED_SECONDS else min(2 * pause, _LONGEST_PAUSE)
            name = self._child.arguments[0]
            logs.noted("child ended", child=name, code=process.returncode, again_in=pause)
            self._over.wait(pause)

    def _start(self) -> subprocess.Popen[bytes] | None:
        command = [sys.executable, "-m", "api.child", *self._child.arguments]
        with self._guard:
            if self._over.is_set():
                return None
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                command,
                stdin=subprocess.PIPE,  # whose end tells it that we are gone
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for us, and we tell it
                env={**os.environ, **self._child.environment},
            )
            return self._process

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        """Until it has ended, which it is made to when its grace is over."""
        with process:
            while True:
                try:
                    process.wait(timeout=0.2)
                    return
                except subprocess.TimeoutExpired:
                    if time.monotonic() > self._until:
                        process.kill()
