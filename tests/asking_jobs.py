"""Jobs asked for, done in this process, and read, by a curator and an operator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from api.jobs.worker import Ended, work
from api.rights import EVERY_LIBRARY, Principal, Role
from api.service import jobs
from api.service.jobs import Job, JobRequest
from indexer.config import Settings
from indexer.library import Library

CURATOR = Principal("curator", Role.CURATOR, frozenset({EVERY_LIBRARY}), "test")
OPERATOR = Principal("operator", Role.OPERATOR, frozenset({EVERY_LIBRARY}), "test")


def ask(folder: Path, kind: str, asker: Principal = OPERATOR, **parameters: Any) -> Job:
    return ask_with(folder, JobRequest(kind, parameters), asker)


def ask_with(folder: Path, request: JobRequest, asker: Principal = OPERATOR) -> Job:
    with Library.open(folder) as opened:
        return jobs.create(opened, request, Settings(jobs_waiting=5), asker)


def shown(folder: Path, uid: str) -> Job:
    with Library.open(folder) as opened:
        return jobs.show(opened, uid, OPERATOR)


def do_all(folder: Path, **said: Any) -> list[Ended]:
    """Do what waits, in this process."""
    ended: list[Ended] = []
    work(Settings(library=folder, **said), once=True, on_end=ended.append)
    return ended


def done(folder: Path, kind: str, **parameters: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What came of a job, and its rows."""
    uid = ask(folder, kind, **parameters).id
    do_all(folder)
    job = shown(folder, uid)
    assert job.state == "done", job.error
    with Library.open(folder) as opened:
        rows = jobs.result(opened, uid, OPERATOR, limit=500).rows
    assert job.result is not None and job.result["rows"] >= len(rows)
    return dict(job.result), rows
