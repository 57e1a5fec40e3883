"""Worker processes that may crash, hang or run out of memory without harming anything but one task.

The standard library's pool is broken as a whole when one process dies. Here each worker has a pipe
of its own, a supervising thread feeds them, and results are handed on in the order of the tasks, so
that a run does not depend on which worker was faster.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import queue
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from threadpoolctl import threadpool_limits

from indexer.types import Reason

Task = TypeVar("Task")
Result = TypeVar("Result")
Progress = Callable[[int], None]
"""Called by a task with the number of the step it begins; restarts the clock of its time limit."""
Handler = Callable[[Any, Any, Progress], Any]


_NICE = 5
_START_SECONDS = 120.0
"""A new process may take this long to load its modules, from a disk that others are reading too."""


@dataclass(frozen=True)
class Failure:
    """A task that came to nothing: ``reason``, and the last step it had begun, if it told."""

    reason: Reason
    detail: str
    step: int | None


@dataclass(frozen=True)
class WorkerLimits:
    """What one step of a task may use: seconds of wall time, bytes of private memory.

    The time that a process takes to start is not of any task.
    """

    seconds: float = 120.0
    memory: int = 1400 << 20


class _Worker(Generic[Task]):
    """One process and what it is doing."""

    def __init__(self, handler: Handler, context: Any, limits: WorkerLimits) -> None:
        spawn = mp.get_context("spawn")  # no inherited locks, no inherited pipes
        self.pipe, theirs = spawn.Pipe()
        self.process: BaseProcess = spawn.Process(
            target=_serve, args=(theirs, handler, context, limits.memory), daemon=True
        )
        self.process.start()
        theirs.close()
        self.limit = limits.seconds
        self.started = False
        self.task: tuple[int, Task] | None = None
        self.step: int | None = None
        self.deadline = time.monotonic() + _START_SECONDS

    def give(self, number: int, task: Task) -> None:
        self.task, self.step = (number, task), None
        if self.started:
            self.wind()
        # A worker that died since is noticed by its closed pipe, with this task in its hands.
        with suppress(BrokenPipeError):
            self.pipe.send(task)

    def wind(self) -> None:
        """The clock of one step begins."""
        self.deadline = time.monotonic() + self.limit

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


class WorkerPool(Generic[Task, Result]):
    """Runs ``handler(task, context, progress)`` for many tasks in ``workers`` processes.

    Args:
        handler: a module-level function; its result is pickled back.
        context: sent to each worker once.
        limits: of one step; a task that reports no steps is one step.
    """

    def __init__(
        self,
        handler: Callable[[Task, Any, Progress], Result],
        context: Any,
        *,
        workers: int,
        limits: WorkerLimits | None = None,
    ) -> None:
        self._handler, self._context = handler, context
        self._limits = limits or WorkerLimits()
        self._count = max(1, workers)
        self._window = 4 * self._count
        self._workers: list[_Worker[Task]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        for worker in self._workers:
            worker.stop()
        self._workers.clear()

    def run(self, tasks: Iterable[Task]) -> Generator[tuple[Task, Result | Failure], None, None]:
        """Yield each task with its result, in the order of the tasks; closing it drops the rest.

        At most four tasks a worker are under way or waiting to be taken, so memory stays bounded.
        ``tasks`` is consumed in another thread. One run at a time.
        """
        run = _Run[Task](iter(tasks), self._window)
        thread = threading.Thread(target=self._supervise, args=(run,), daemon=True)
        thread.start()
        ready: dict[int, tuple[Task, Any]] = {}
        expected = 0
        try:
            while True:
                message = run.done.get()
                if isinstance(message, BaseException):
                    raise message
                if message is None:
                    return
                number, task, result = message
                ready[number] = (task, result)
                while expected in ready:
                    yield ready.pop(expected)
                    expected += 1
                    run.free.release()
        finally:
            run.stop.set()
            thread.join()

    def _supervise(self, run: _Run[Task]) -> None:
        try:
            self._loop(run)
            run.done.put(None)
        except BaseException as error:  # noqa: BLE001 - handed to the consumer's thread
            run.done.put(error)
        finally:
            for worker in [w for w in self._workers if w.task is not None]:
                self._workers.remove(worker)
                worker.stop()

    def _loop(self, run: _Run[Task]) -> None:
        number, exhausted = 0, False
        while not run.stop.is_set():
            while not exhausted and self._has_room() and run.free.acquire(blocking=False):
                task = next(run.tasks, None)
                if task is None:
                    exhausted = True
                    break
                self._idle_worker().give(number, task)
                number += 1
            busy = [w for w in self._workers if w.task is not None]
            if busy:
                self._collect(busy, run.done)
            elif exhausted:
                return
            else:
                time.sleep(0.005)  # the consumer is behind; wait for it to take a result

    def _has_room(self) -> bool:
        return len(self._workers) < self._count or any(w.task is None for w in self._workers)

    def _idle_worker(self) -> _Worker[Task]:
        for worker in self._workers:
            if worker.task is None:
                return worker
        worker = _Worker[Task](self._handler, self._context, self._limits)
        self._workers.append(worker)
        return worker

    def _collect(self, busy: list[_Worker[Task]], done: queue.Queue[Any]) -> None:
        """Take what has arrived within a moment, and bury the dead and the stalled."""
        heard: list[Any] = wait([w.pipe for w in busy], timeout=0.05)
        for worker in busy:
            if worker.pipe in heard:
                self._hear(worker, done)
            elif time.monotonic() > worker.deadline:
                late = f"took more than {worker.limit:g} s"
                if not worker.started:
                    late = f"its process did not start within {_START_SECONDS:g} s"
                self._fail(worker, done, Reason.TIMEOUT, late)

    def _hear(self, worker: _Worker[Task], done: queue.Queue[Any]) -> None:
        try:
            kind, content = worker.pipe.recv()
        except (EOFError, ConnectionResetError):
            worker.process.join()
            code = worker.process.exitcode
            self._fail(worker, done, Reason.WORKER_DIED, f"the decoder crashed (exit {code})")
            return
        if kind in ("started", "step"):
            worker.started, worker.step = True, content
            worker.wind()
            return
        assert worker.task is not None  # noqa: S101 - only busy workers are heard
        number, task = worker.task
        worker.task = None
        if kind == "failure":
            reason, detail = content
            content = Failure(reason, detail, worker.step)
        done.put((number, task, content))

    def _fail(
        self, worker: _Worker[Task], done: queue.Queue[Any], reason: Reason, detail: str
    ) -> None:
        self._workers.remove(worker)
        worker.stop()
        if worker.task is not None:
            number, task = worker.task
            done.put((number, task, Failure(reason, detail, worker.step)))


class _Run(Generic[Task]):
    """What the consumer and the supervising thread of one run share."""

    def __init__(self, tasks: Iterator[Task], window: int) -> None:
        self.tasks = tasks
        self.done: queue.Queue[Any] = queue.Queue()
        self.free = threading.Semaphore(window)
        self.stop = threading.Event()


def _serve(pipe: Connection, handler: Handler, context: Any, memory: int) -> None:
    """The worker process: one task after the other until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    _limit_memory(memory)
    threadpool_limits(1)  # there is a process a core already
    # What the results wait for goes first: a network whose threads wait for each other loses more
    # than the time that a worker takes from one of them.
    os.nice(_NICE)
    _silence()
    pipe.send(("started", None))
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer = ("result", handler(task, context, lambda step: pipe.send(("step", step))))
        except MemoryError:
            answer = ("failure", (Reason.OUT_OF_MEMORY, "needs more memory than is allowed"))
        except Exception as error:  # noqa: BLE001 - a bug met by one file must not stop the others
            answer = ("failure", (Reason.INTERNAL_ERROR, _where(error)))
        try:
            pipe.send(answer)
        except (BrokenPipeError, OSError):
            return


def _where(error: Exception) -> str:
    """Type and place of an unforeseen error; not its message, which may quote the file."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    name = f"{Path(last.filename).parent.name}/{Path(last.filename).name}"
    return f"unforeseen {type(error).__name__} in {name}:{last.lineno}; please report it"


def _limit_memory(limit: int) -> None:
    """Private memory only (RLIMIT_DATA): mapped files and shared libraries are not counted."""
    if sys.platform == "linux":
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _silence() -> None:
    """Codecs print on the terminal, and what they print can come from the file."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)
