"""The worker pool: results in order, and a task that crashes, hangs or swells costs only itself."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from indexer.types import Reason
from indexer.workers import Failure, Progress, WorkerLimits, WorkerPool

LIMITS = WorkerLimits(seconds=1.5, memory=400 << 20)


def work(task: tuple[str, Any], context: str, progress: Progress) -> str:
    """What the workers of these tests do; the task says it."""
    kind, value = task
    progress(7)
    if kind == "sleep":
        time.sleep(value)
    elif kind == "die":
        os.kill(os.getpid(), value)
    elif kind == "swell":
        len(bytearray(value))
    elif kind == "raise":
        raise RuntimeError(f"a secret: {value}")
    elif kind == "steps":
        for step in range(value):
            progress(step)
            time.sleep(0.5)
    return f"{context}{value}"


def run(
    tasks: list[tuple[str, Any]], workers: int = 2, limits: WorkerLimits = LIMITS
) -> list[str | Failure]:
    with WorkerPool(work, "did ", workers=workers, limits=limits) as pool:
        return [result for _, result in pool.run(tasks)]


def test_results_come_in_the_order_of_the_tasks() -> None:
    tasks = [("sleep", 0.4), ("say", 1), ("sleep", 0.2), *(("say", n) for n in range(40))]
    patient = WorkerLimits(seconds=60, memory=LIMITS.memory)  # this is not about limits
    assert run(tasks, workers=3, limits=patient) == [f"did {value}" for _, value in tasks]


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        (("die", signal.SIGKILL), Reason.WORKER_DIED),
        (("die", signal.SIGSEGV), Reason.WORKER_DIED),
        (("sleep", 60), Reason.TIMEOUT),
        (("swell", 2 << 30), Reason.OUT_OF_MEMORY),
        (("raise", "Mustermann"), Reason.INTERNAL_ERROR),
    ],
)
def test_a_bad_task_costs_only_itself(task: tuple[str, Any], reason: Reason) -> None:
    results = run([("say", 1), task, ("say", 2), ("say", 3)])
    failure = results.pop(1)
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.step) == (reason, 7)
    assert "Mustermann" not in failure.detail, "messages may quote the file"
    assert results == ["did 1", "did 2", "did 3"]


def test_the_time_limit_is_for_one_step_not_for_the_whole_task() -> None:
    assert run([("steps", 5)]) == ["did 5"], "2.5 s in steps of 0.5 s, with a limit of 1.5 s"


class SlowToLoad:
    """A context that takes as long to arrive in the new process as loading modules may."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __reduce__(self) -> tuple[Any, ...]:
        return arrive, (self.seconds,)

    def __str__(self) -> str:
        return "did "


def arrive(seconds: float) -> SlowToLoad:
    time.sleep(seconds)
    return SlowToLoad(seconds)


def test_the_start_of_a_process_is_not_time_of_its_first_task() -> None:
    with WorkerPool(work, SlowToLoad(2.5), workers=2, limits=LIMITS) as pool:
        results = [result for _, result in pool.run([("say", 1), ("sleep", 60), ("say", 2)])]
    assert results[::2] == ["did 1", "did 2"]
    assert isinstance(results[1], Failure)
    assert results[1].reason is Reason.TIMEOUT, "the limit holds once it has started"


def test_no_tasks_no_results() -> None:
    assert run([]) == []


def test_a_pool_is_used_again_after_a_run_was_dropped() -> None:
    with WorkerPool(work, "", workers=2, limits=LIMITS) as pool:
        first = pool.run([("sleep", 0.1)] * 50)
        next(first)
        first.close()
        assert [r for _, r in pool.run([("say", 1), ("say", 2)])] == ["1", "2"]


def test_tasks_are_taken_no_faster_than_results_are() -> None:
    taken = 0

    def tasks() -> Iterator[tuple[str, Any]]:
        nonlocal taken
        for number in range(1000):
            taken += 1
            yield "say", number

    with WorkerPool(work, "", workers=2, limits=LIMITS) as pool:
        results = pool.run(tasks())
        for _ in range(3):
            next(results)
        time.sleep(0.3)
        assert taken < 20
        results.close()


def test_an_error_while_making_tasks_reaches_the_caller() -> None:
    def tasks() -> Iterator[tuple[str, Any]]:
        yield "say", 1
        raise OSError("the disk went away")

    with (
        WorkerPool(work, "", workers=1, limits=LIMITS) as pool,
        pytest.raises(OSError, match="went away"),
    ):
        list(pool.run(tasks()))
