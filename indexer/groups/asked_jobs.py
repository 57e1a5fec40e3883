"""The queue of jobs: asked for, taken by one worker at a time, told of, ended.

All but reading is done in the caller's transaction. `indexer.catalog.tables.AskedJob` has what a
row means.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, delete, false, func, insert, or_, select, update

from indexer.catalog.tables import AskedJob, now

QUEUED, RUNNING, DONE, FAILED, STOPPED = "queued", "running", "done", "failed", "stopped"
STATES = (QUEUED, RUNNING, DONE, FAILED, STOPPED)
OPEN = (QUEUED, RUNNING)
_TIMES = ("created_at", "started_at", "updated_at", "ended_at")
_MESSAGE = 2_000
_EVENTS = 500


@dataclass(frozen=True)
class StoredJob:
    """A job as the catalog has it; times are in UTC.

    Attributes:
        uid: by which everybody knows it.
        revision: grows with every change.
        what, done, total: its progress; 0 where it is not known.
        result: what came of it, None until it is done.
        error_code, error: why it failed; "" where it did not.
        attempts: how often a worker began it, without those that gave it back in order.
        cancelled: somebody wants it to stop.
        worker: the place of the worker that does it.
        started_at: of the first attempt.
    """

    id: int
    uid: str
    kind: str
    parameters: Mapping[str, Any]
    state: str
    revision: int
    what: str
    done: int
    total: int
    result: Mapping[str, Any] | None
    error_code: str
    error: str
    asked_by: str
    asked_how: str
    idempotency_key: str | None
    attempts: int
    cancelled: bool
    worker: int | None
    created_at: datetime
    started_at: datetime | None
    updated_at: datetime
    ended_at: datetime | None

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.state not in OPEN


def lock_queue(db: Connection) -> None:
    """Take the write lock, so that what is read next stays true until the transaction ends."""
    db.execute(delete(AskedJob).where(false()))


def add_job(
    db: Connection,
    kind: str,
    parameters: Mapping[str, Any],
    *,
    asked_by: str,
    asked_how: str,
    key: str | None = None,
) -> StoredJob:
    """Put a job at the end of the queue."""
    values = {
        "uid": secrets.token_hex(12),
        "kind": kind,
        "parameters": dict(parameters),
        "state": QUEUED,
        "asked_by": asked_by,
        "asked_how": asked_how,
        "idempotency_key": key,
    }
    number = db.execute(insert(AskedJob).values(**values).returning(AskedJob.id)).scalar_one()
    return _one(db, AskedJob.id == number)


def job_of(db: Connection, uid: str) -> StoredJob | None:
    """A job by its public id."""
    return _first(db, AskedJob.uid == uid)


def job_of_key(db: Connection, asked_by: str, asked_how: str, key: str) -> StoredJob | None:
    """The job that somebody asked for with an idempotency key."""
    return _first(
        db,
        AskedJob.asked_by == asked_by,
        AskedJob.asked_how == asked_how,
        AskedJob.idempotency_key == key,
    )


def open_jobs(db: Connection, asked_by: str, asked_how: str) -> int:
    """How many jobs of somebody wait or run."""
    query = select(func.count()).where(
        AskedJob.asked_by == asked_by, AskedJob.asked_how == asked_how, AskedJob.state.in_(OPEN)
    )
    return db.execute(query).scalar_one()


def list_jobs(
    db: Connection,
    *,
    states: Sequence[str] = (),
    kind: str = "",
    kinds: Sequence[str] | None = None,
    or_of: tuple[str, str] = ("", ""),
    before: int | None = None,
    limit: int = 50,
) -> list[StoredJob]:
    """Jobs, the newest first.

    Args:
        db: the catalog.
        states: only those in one of these; none takes all.
        kind: only of this kind; "" takes all.
        kinds: only of these; None takes all.
        or_of: name of somebody, and how they are known; of ``kinds`` or not, theirs are taken.
        before: only those with a lower ``id``.
        limit: at most so many.
    """
    query = select(AskedJob.__table__).order_by(AskedJob.id.desc()).limit(limit)
    if states:
        query = query.where(AskedJob.state.in_(states))
    if kind:
        query = query.where(AskedJob.kind == kind)
    if kinds is not None:
        own = and_(AskedJob.asked_by == or_of[0], AskedJob.asked_how == or_of[1])
        query = query.where(or_(AskedJob.kind.in_(kinds), own))
    if before is not None:
        query = query.where(AskedJob.id < before)
    return [_stored(row) for row in db.execute(query).mappings()]


def jobs_of(db: Connection, uids: Sequence[str]) -> dict[str, StoredJob]:
    """Those of some public ids that there are."""
    found = dict[str, StoredJob]()
    for start in range(0, len(uids), _EVENTS):
        some = AskedJob.uid.in_(uids[start : start + _EVENTS])
        rows = db.execute(select(AskedJob.__table__).where(some)).mappings()
        found |= {row["uid"]: _stored(row) for row in rows}
    return found


def has_waiting(db: Connection) -> bool:
    """Whether a job waits for a worker."""
    query = select(AskedJob.id).where(AskedJob.state == QUEUED).limit(1)
    return db.execute(query).first() is not None


def take_job(db: Connection, worker: int) -> StoredJob | None:
    """Give the oldest job that waits to a worker, None if there is none."""
    oldest = select(func.min(AskedJob.id)).where(AskedJob.state == QUEUED).scalar_subquery()
    moment = now()
    taken = db.execute(
        update(AskedJob)
        .where(AskedJob.id == oldest, AskedJob.state == QUEUED)
        .values(
            state=RUNNING,
            worker=worker,
            attempts=AskedJob.attempts + 1,
            started_at=func.coalesce(AskedJob.started_at, moment),
            updated_at=moment,
            revision=AskedJob.revision + 1,
            what="",
            done=0,
            total=0,
        )
        .returning(AskedJob.id)
    ).scalar()
    return None if taken is None else _one(db, AskedJob.id == taken)


def tell_progress(db: Connection, job: StoredJob, what: str, done: int, total: int) -> None:
    """Note how far a running job is."""
    values = {"what": what[:_MESSAGE], "done": done, "total": total}
    _change(db, job.id, RUNNING, **values)


def end_job(
    db: Connection,
    job: StoredJob,
    state: str,
    *,
    result: Mapping[str, Any] | None = None,
    code: str = "",
    message: str = "",
) -> None:
    """Note how a running job ended."""
    _change(
        db,
        job.id,
        RUNNING,
        state=state,
        result=None if result is None else dict(result),
        error_code=code,
        error=message[:_MESSAGE],
        worker=None,
        ended_at=now(),
    )


def give_back(db: Connection, job: StoredJob) -> None:
    """Put a job that was not finished back into the queue; the attempt does not count."""
    values = {"what": "waiting to go on", "done": 0, "total": 0, "worker": None}
    _change(db, job.id, RUNNING, state=QUEUED, attempts=AskedJob.attempts - 1, **values)


def workers_at_work(db: Connection) -> set[int]:
    """Places of the workers that jobs are said to be done by."""
    query = select(AskedJob.worker).where(AskedJob.state == RUNNING, AskedJob.worker.is_not(None))
    return {each for each in db.execute(query).scalars() if each is not None}


def recover_jobs(db: Connection, worker: int, most: int) -> int:
    """Put jobs whose worker died back into the queue; who does so holds the lock of its place.

    Args:
        db: a transaction.
        worker: its place.
        most: after so many attempts a job has failed; one that was to stop has stopped.

    Returns:
        How many there were.
    """
    of_worker = select(AskedJob.__table__).where(
        AskedJob.state == RUNNING, AskedJob.worker == worker
    )
    found = [_stored(row) for row in db.execute(of_worker).mappings()]
    for job in found:
        if job.cancelled:
            end_job(db, job, STOPPED)
        elif job.attempts >= most:
            told = f"its worker died {job.attempts} times; the log of the worker may say why"
            end_job(db, job, FAILED, code="worker_died", message=told)
        else:
            again = "its worker died; waiting to be done again"
            _change(db, job.id, RUNNING, state=QUEUED, worker=None, what=again, done=0, total=0)
    return len(found)


def cancel_job(db: Connection, job: StoredJob) -> None:
    """Stop a job that waits, and note of one that runs that it is to stop; else nothing."""
    _change(db, job.id, QUEUED, state=STOPPED, cancelled=True, ended_at=now())
    _change(db, job.id, RUNNING, cancelled=True)


def forget_jobs(db: Connection, days: float) -> list[str]:
    """Delete jobs that ended so long ago; their public ids."""
    old = AskedJob.ended_at < now() - timedelta(days=days)
    query = delete(AskedJob).where(AskedJob.state.not_in(OPEN), old)
    return list(db.execute(query.returning(AskedJob.uid)).scalars())


def _change(db: Connection, number: int, of: str, **values: Any) -> None:
    """Change a job that is still in a state."""
    db.execute(
        update(AskedJob)
        .where(AskedJob.id == number, AskedJob.state == of)
        .values(revision=AskedJob.revision + 1, updated_at=now(), **values)
    )


def _first(db: Connection, *conditions: Any) -> StoredJob | None:
    row = db.execute(select(AskedJob.__table__).where(*conditions)).mappings().first()
    return None if row is None else _stored(row)


def _one(db: Connection, condition: Any) -> StoredJob:
    return _stored(db.execute(select(AskedJob.__table__).where(condition)).mappings().one())


def _stored(row: Any) -> StoredJob:
    times = {name: None if row[name] is None else _utc(row[name]) for name in _TIMES}
    return StoredJob(**{**row, **times})


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
