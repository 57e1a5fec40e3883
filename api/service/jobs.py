"""Jobs: asked for, listed, cancelled, and read. Workers (`api.jobs.worker`) do them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from api.jobs.errors import JobError, JobNotDoneError, TooManyJobsError
from api.jobs.kinds import KINDS
from api.jobs.results import ResultPage, read_rows
from api.jobs.work import Kind
from api.rights import Principal, Role, permitted
from api.service.paging import check_limit, number_cursor, read_number_cursor
from indexer.catalog.database import reading, transaction
from indexer.config import Settings
from indexer.errors import AccessDeniedError, ConfigError, ItemNotFoundError, QueryError
from indexer.groups.asked_jobs import (
    DONE,
    STATES,
    StoredJob,
    add_job,
    cancel_job,
    job_of,
    job_of_key,
    list_jobs,
    lock_queue,
    open_jobs,
)
from indexer.library import Library


@dataclass(frozen=True)
class JobRequest:
    """A job to be done.

    Attributes:
        kind: of `api.jobs.kinds.KINDS`.
        parameters: of it.
        key: of whoever asks; the same key once more finds the same job. None for none.
    """

    kind: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    key: str | None = None


@dataclass(frozen=True)
class Job:
    """A job as it is told; times are ISO, in UTC.

    Attributes:
        id: by which everybody knows it.
        state: queued, running, done, failed or stopped.
        revision: grows with every change.
        what, done, total: how far it is; ``total`` is 0 where that is not known.
        result: what came of it, without its rows; None until it is done.
        code, error: why it failed; "" where it did not.
        asked_by: name of who did.
        attempts: how often it was begun, but for those that were given back in order.
        cancelled: whether somebody wants it to stop.
    """

    id: str
    kind: str
    parameters: Mapping[str, Any]
    state: str
    revision: int
    what: str
    done: int
    total: int
    result: Mapping[str, Any] | None
    code: str
    error: str
    asked_by: str
    attempts: int
    cancelled: bool
    created_at: str
    started_at: str
    updated_at: str
    ended_at: str

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return bool(self.ended_at)


@dataclass(frozen=True)
class JobPage:
    """A part of a list of jobs, and the cursor of what comes after it; "" at the end."""

    rows: list[Job]
    cursor: str


class ParametersError(JobError):
    """A job was asked with something that its kind does not take; ``invalid`` says what."""

    code = "job_parameters"

    def __init__(self, invalid: ValidationError) -> None:
        first = invalid.errors(include_input=False, include_url=False)[0]
        where = ".".join(("parameters", *map(str, first["loc"])))
        super().__init__(f"{where}: {first['msg']}")
        self.invalid = invalid


def create(library: Library, request: JobRequest, settings: Settings, asker: Principal) -> Job:
    """Put a job into the queue.

    Raises:
        ConfigError, QueryError: there is no such kind, or it cannot be done so.
        ParametersError: its parameters are wrong.
        AccessDeniedError: whoever asks may not ask for this kind.
        TooManyJobsError: so many of theirs wait or run already.
    """
    kind = find_kind(request.kind)
    permitted(asker, kind.role, library.config.id)
    try:
        parameters = kind.parameters.model_validate(dict(request.parameters))
    except ValidationError as error:
        raise ParametersError(error) from error
    said = parameters.model_dump(mode="json")
    known = _known(library, request, said, asker)
    if known is not None:
        return known
    if kind.check is not None:
        kind.check(library, settings, parameters)
    with transaction(library.engine) as db:
        lock_queue(db)
        if request.key is not None:
            stored = job_of_key(db, asker.name, asker.how, request.key)
            if stored is not None:  # came at the same time
                return _same(stored, request, said, asker)
        if open_jobs(db, asker.name, asker.how) >= settings.jobs_waiting:
            raise TooManyJobsError(
                f"{settings.jobs_waiting} of your jobs wait or run already; ask again when one "
                "has ended, or cancel one"
            )
        stored = add_job(
            db, kind.name, said, asked_by=asker.name, asked_how=asker.how, key=request.key
        )
    return told_job(stored, asker)


def find_kind(name: str) -> Kind[Any]:
    """The kind of a name.

    Raises:
        ConfigError: there is none.
    """
    kind = KINDS.get(name)
    if kind is None:
        raise ConfigError(f"there is no such kind of job; there are: {', '.join(KINDS)}")
    return kind


def listed(
    library: Library,
    asker: Principal,
    *,
    state: str = "",
    kind: str = "",
    cursor: str = "",
    limit: int = 50,
) -> JobPage:
    """A page of the jobs that somebody may know of, the newest first.

    These are their own, and those of kinds that they may ask for.

    Raises:
        QueryError: no such state, a limit out of range, a cursor that is none.
        ConfigError: no such kind.
    """
    if state and state not in STATES:
        raise QueryError(f"state is one of {', '.join(STATES)}")
    if kind:
        find_kind(kind)
    check_limit(limit)
    before = read_number_cursor("jobs", cursor)
    with reading(library.engine) as db:
        states = (state,) if state else ()
        found = list_jobs(
            db,
            states=states,
            kind=kind,
            kinds=_kinds(asker),
            or_of=(asker.name, asker.how),
            before=before,
            limit=limit + 1,
        )
    more = number_cursor("jobs", found[limit - 1].id) if len(found) > limit else ""
    return JobPage([told_job(each, asker) for each in found[:limit]], more)


def show(library: Library, uid: str, asker: Principal) -> Job:
    """One job.

    Raises:
        ItemNotFoundError: there is none.
        AccessDeniedError: it is of a kind that takes another role, and somebody else's.
    """
    return told_job(_open_to(asker, _stored(library, uid)), asker)


def cancel(library: Library, uid: str, asker: Principal) -> Job:
    """Stop a job that waits, or have one stopped that runs; one that has ended is left.

    Raises:
        ItemNotFoundError: there is none.
        AccessDeniedError: somebody else asked for it, and this is no operator.
    """
    stored = _stored(library, uid)
    if not _own(stored, asker) and not asker.role.includes(Role.OPERATOR):
        raise AccessDeniedError("a job is cancelled by whoever asked for it, or by an operator")
    with transaction(library.engine) as db:
        cancel_job(db, stored)
    return show(library, uid, asker)


def result(
    library: Library, uid: str, asker: Principal, cursor: str = "", limit: int = 50
) -> ResultPage:
    """A page of the rows that a job found.

    Raises:
        ItemNotFoundError: there is no such job.
        AccessDeniedError: it is of a kind that takes another role, and somebody else's.
        JobNotDoneError: it has not ended, or not well.
        QueryError: a limit out of range, a cursor that is none, or the rows are gone.
    """
    stored = _open_to(asker, _stored(library, uid))
    if stored.state != DONE:
        raise JobNotDoneError(f"the job is {stored.state}; there is a result when it is done")
    return read_rows(library, uid, cursor, limit)


def _known(
    library: Library, request: JobRequest, said: Mapping[str, Any], asker: Principal
) -> Job | None:
    if request.key is None:
        return None
    with reading(library.engine) as db:
        stored = job_of_key(db, asker.name, asker.how, request.key)
    return None if stored is None else _same(stored, request, said, asker)


def _same(stored: StoredJob, request: JobRequest, said: Mapping[str, Any], asker: Principal) -> Job:
    if (stored.kind, stored.parameters) != (request.kind, said):
        raise QueryError("this idempotency key was sent with another job; take a new one")
    return told_job(stored, asker)


def _stored(library: Library, uid: str) -> StoredJob:
    with reading(library.engine) as db:
        found = job_of(db, uid)
    if found is None:
        raise ItemNotFoundError(f"there is no job '{uid}'")
    return found


def _own(stored: StoredJob, asker: Principal) -> bool:
    return (stored.asked_by, stored.asked_how) == (asker.name, asker.how)


def _role_of(kind: str) -> Role:
    """The role that a kind takes; a kind of another version may be any."""
    return KINDS[kind].role if kind in KINDS else Role.ADMIN


def _kinds(asker: Principal) -> list[str] | None:
    """Kinds whose jobs somebody may know of; None for all."""
    if asker.role.includes(Role.ADMIN):
        return None
    return [kind.name for kind in KINDS.values() if asker.role.includes(kind.role)]


def _open_to(asker: Principal, stored: StoredJob) -> StoredJob:
    """The job, if somebody may know of it."""
    role = _role_of(stored.kind)
    if not _own(stored, asker) and not asker.role.includes(role):
        raise AccessDeniedError(
            f"a job of this kind takes the role {role.value}; {asker.name} is {asker.role.value}"
        )
    return stored


def _parameters(stored: StoredJob, asker: Principal) -> Mapping[str, Any]:
    kind = KINDS.get(stored.kind)
    if kind is None or asker.role.includes(kind.role):
        return stored.parameters
    return {name: said for name, said in stored.parameters.items() if name not in kind.withheld}


def told_job(stored: StoredJob, asker: Principal) -> Job:
    """A job as it is told to somebody who may know of it."""
    return Job(
        id=stored.uid,
        kind=stored.kind,
        parameters=_parameters(stored, asker),
        state=stored.state,
        revision=stored.revision,
        what=stored.what,
        done=stored.done,
        total=stored.total,
        result=stored.result,
        code=stored.error_code,
        error=stored.error,
        asked_by=stored.asked_by,
        attempts=stored.attempts,
        cancelled=stored.cancelled,
        created_at=_iso(stored.created_at),
        started_at=_iso(stored.started_at),
        updated_at=_iso(stored.updated_at),
        ended_at=_iso(stored.ended_at),
    )


def _iso(moment: datetime | None) -> str:
    return "" if moment is None else moment.isoformat(timespec="milliseconds")
