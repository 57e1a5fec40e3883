"""Workers in processes of their own: one at a time does a job, whatever becomes of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from asking_jobs import CURATOR, OPERATOR, ask, do_all, shown
from served_library import RUN, own_copy

from api.service import jobs
from api.service.jobs import Job
from indexer.catalog.database import transaction
from indexer.errors import AccessDeniedError
from indexer.groups.asked_jobs import recover_jobs, take_job
from indexer.groups.runs import list_runs
from indexer.library import Library

SYNTOPY = [sys.executable, "-m", "api.cli.main"]
_PATIENCE = 60.0


@pytest.fixture
def library(served: Path, tmp_path: Path) -> Path:
    """A library of drawn pictures of its own."""
    return own_copy(served, tmp_path)


# -- one worker at a time, and none is lost --------------------------------------------------------


LONG = {"label": "finding", "draws": 100_000}
"""A measurement that takes long, and tells how far it is."""


def worker(folder: Path, *more: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*SYNTOPY, "jobs", "work", "--json", "-L", str(folder), *more],
        stdout=subprocess.PIPE, text=True, env={**os.environ, **environment},
    )  # fmt: skip


def wait_until(folder: Path, uid: str, state: str) -> Job:
    until = time.monotonic() + _PATIENCE
    while (job := shown(folder, uid)).state != state:
        assert time.monotonic() < until, f"still {job.state}: {job.what}"
        assert not job.ended, f"{job.state}: {job.error}"
        time.sleep(0.05)
    return job


def wait_until_ended(folder: Path, uid: str) -> None:
    until = time.monotonic() + _PATIENCE
    while not shown(folder, uid).ended:
        assert time.monotonic() < until
        time.sleep(0.05)


def ended(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """What a worker says that has ended, or ends now."""
    said, _ = process.communicate(timeout=_PATIENCE)
    return [json.loads(line) for line in said.splitlines()]


def test_a_job_of_a_worker_that_was_killed_is_done_again(library: Path) -> None:
    uid = ask(library, "evaluate-retrieval", **LONG).id
    with worker(library) as process:
        wait_until(library, uid, "running")
        process.kill()
    assert shown(library, uid).state == "running", "nobody has noticed yet"
    with Library.open(library) as opened, worker(library) as process:
        until = time.monotonic() + _PATIENCE
        while shown(library, uid).attempts < 2:
            assert time.monotonic() < until
            time.sleep(0.05)
        jobs.cancel(opened, uid, OPERATOR)
        wait_until_ended(library, uid)
        process.kill()
    assert shown(library, uid).state == "stopped"


def test_a_job_that_kills_its_workers_is_given_up(library: Path) -> None:
    uid = ask(library, "map").id
    with Library.open(library) as opened:
        for attempt in (1, 2, 3):
            with transaction(opened.engine) as db:
                taken = take_job(db, worker=9)  # in a place that nobody holds: its worker is dead
            assert taken is not None and taken.attempts == attempt
            with transaction(opened.engine) as db:
                assert recover_jobs(db, worker=9, most=3) == 1
    assert do_all(library) == []
    job = shown(library, uid)
    assert (job.state, job.code, job.attempts) == ("failed", "worker_died", 3)


def test_a_job_that_runs_is_stopped_soon(library: Path) -> None:
    uid = ask(library, "evaluate-retrieval", **LONG).id
    with worker(library, "--once") as process:
        wait_until(library, uid, "running")
        with Library.open(library) as opened:
            assert jobs.cancel(opened, uid, OPERATOR).cancelled
        (told,) = ended(process)
    assert (told["uid"], told["state"], process.returncode) == (uid, "stopped", 0)
    assert not list((library / "jobs").iterdir()), "no rows are left"


def test_a_worker_that_is_told_to_end_gives_its_job_back(library: Path) -> None:
    uid = ask(library, "evaluate-retrieval", **LONG).id
    for number, grace in ((signal.SIGINT, "60"), (signal.SIGTERM, "0.2")):
        with worker(library, SYNTOPY_JOBS_GRACE=grace) as process:
            wait_until(library, uid, "running")
            process.send_signal(number)
            (told,) = ended(process)
        assert (told["state"], process.returncode) == ("queued", 130)
        job = shown(library, uid)
        assert (job.state, job.attempts, job.cancelled) == ("queued", 0, False)


def test_a_worker_that_has_time_finishes_its_job_and_takes_no_other(library: Path) -> None:
    first = ask(library, "cluster", name="late", method="kmeans", n_clusters=2).id
    second = ask(library, "map").id
    with worker(library, SYNTOPY_JOBS_GRACE="60") as process:
        with Library.open(library) as opened, opened.writing():
            wait_until(library, first, "running")
            process.send_signal(signal.SIGTERM)
        (told,) = ended(process)
    assert (told["uid"], told["state"], process.returncode) == (first, "done", 130)
    assert shown(library, second).state == "queued"


def test_a_job_that_waits_is_stopped_at_once_and_by_its_owner_alone(library: Path) -> None:
    uid = ask(library, "map").id
    with Library.open(library) as opened:
        with pytest.raises(AccessDeniedError):
            jobs.cancel(opened, uid, CURATOR)
        assert jobs.cancel(opened, uid, OPERATOR).state == "stopped"
        assert jobs.cancel(opened, uid, OPERATOR).state == "stopped", "and again is as good"
    assert do_all(library) == []


def test_two_workers_never_do_the_same(library: Path) -> None:
    uids = {ask(library, "curate-subset", size=3, seed=n).id for n in range(5)}
    with worker(library, "--once") as one, worker(library, "--once") as other:
        told = [*ended(one), *ended(other)]
    assert sorted(each["uid"] for each in told) == sorted(uids)
    assert {shown(library, uid).attempts for uid in uids} == {1}


def test_a_job_waits_for_another_writer_and_says_so(library: Path) -> None:
    uid = ask(library, "cluster", name="late", method="kmeans", n_clusters=2).id
    with worker(library, "--once") as process:
        with Library.open(library) as opened, opened.writing():
            until = time.monotonic() + _PATIENCE
            while "another process writes" not in shown(library, uid).what:
                assert time.monotonic() < until
                time.sleep(0.05)
            assert (shown(library, uid).state, process.poll()) == ("running", None)
        (told,) = ended(process)
    assert told["state"] == "done"


def test_what_was_stored_before_its_worker_died_is_not_made_again(library: Path) -> None:
    uid = ask(library, "cluster", name="once", method="kmeans", n_clusters=2).id
    do_all(library)
    with Library.open(library) as opened, transaction(opened.engine) as db:
        # As if the last word of the first attempt had been lost.
        db.exec_driver_sql("UPDATE asked_job SET state = 'running', ended_at = NULL, worker = 9")
    (told,) = do_all(library)
    assert (told.uid, told.state) == (uid, "done")
    with Library.open(library) as opened:
        assert [run.name for run in list_runs(opened)] == [RUN, "once"]


def test_jobs_are_forgotten_some_time_after_they_ended(library: Path) -> None:
    old, new = (ask(library, "curate-subset", size=size).id for size in (3, 4))
    do_all(library)
    with Library.open(library) as opened, transaction(opened.engine) as db:
        db.exec_driver_sql(
            "UPDATE asked_job SET ended_at = '2020-01-01 00:00:00.000000' WHERE uid = ?", (old,)
        )
    do_all(library)
    with Library.open(library) as opened:
        assert [job.id for job in jobs.listed(opened, OPERATOR).rows] == [new]
    assert [path.name for path in (library / "jobs").iterdir()] == [f"{new}.jsonl"]
