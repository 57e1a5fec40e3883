"""Workers beside ``syntopy serve``: started with it, again after a crash, and never without it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from served_library import own_copy

_PATIENCE = 60.0


@pytest.fixture
def library(served: Path, tmp_path: Path) -> Path:
    return own_copy(served, tmp_path)


@contextmanager
def service(library: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "api.cli.main", "serve", "-L", str(library), "--port", "0"]
    told = {**os.environ, **environment}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=told) as process:
        try:
            assert process.stderr is not None
            found = re.search(r"http://127\.0\.0\.1:\d+", process.stderr.readline())
            assert found
            yield process, found[0]
        finally:
            process.kill()


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + _PATIENCE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def worker_of(library: Path) -> int:
    """The process in the first place, 0 if there is none that lives."""
    lock = library / "jobs-0.lock"
    said = lock.read_text() if lock.exists() else ""
    return int(said) if said and lives(int(said)) else 0


def lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def do_one(address: str) -> None:
    asked = {"kind": "curate-subset", "parameters": {"size": 3}}
    uid = httpx.post(f"{address}/v1/jobs", json=asked, timeout=60).json()["id"]
    path = f"{address}/v1/jobs/{uid}"
    with httpx.stream("GET", f"{path}/events", timeout=60) as answer:
        names = [line for line in answer.iter_lines() if line.startswith("event: ")]
    assert names[-1] == "event: end"
    assert httpx.get(path, timeout=60).json()["state"] == "done"


def test_a_worker_that_crashed_is_started_again_and_ends_with_the_service(library: Path) -> None:
    with service(library) as (process, address):
        until(lambda: worker_of(library))
        first = worker_of(library)
        os.kill(first, signal.SIGKILL)
        do_one(address)
        assert worker_of(library) not in (0, first)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=_PATIENCE)
        assert process.returncode == 128 + signal.SIGTERM
        assert not worker_of(library), "the service ends after its workers"


def test_a_worker_does_not_outlive_a_service_that_was_killed(library: Path) -> None:
    with service(library) as (process, _):
        until(lambda: worker_of(library))
        process.kill()
        process.wait(_PATIENCE)
    until(lambda: not worker_of(library))


def test_a_service_may_leave_jobs_to_others(library: Path) -> None:
    with service(library, SYNTOPY_JOBS_WORKERS="0") as (_, address):
        assert httpx.get(f"{address}/v1/health", timeout=60).status_code == 200
        assert not (library / "jobs-0.lock").exists()
