"""Jobs: long work that is asked for and done by other processes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response

from api.following import EventStream
from api.jobs.kinds import KINDS
from api.problems import MEDIA_TYPE
from api.rights import Role
from api.routing import router
from api.schemas.common import CursorParam, LimitParam, PageOf, Uid
from api.schemas.jobs import JobAsked, JobKind, JobTold, ResultRows
from api.served import Service
from api.service import jobs
from api.service.jobs import JobRequest, ParametersError

routes = router("jobs", Role.CURATOR)
_PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
_NOT_DONE: dict[int | str, dict[str, Any]] = {
    409: {"description": "The job is not done.", "content": _PROBLEM}
}
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events `progress` and `end`; the data of each is the job, its id the "
        "revision.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    },
    204: {"description": "The client knows already how the job ended."},
}


@routes.post("/jobs", status_code=202)
def create_job(
    request: Request,
    response: Response,
    served: Service,
    asked: JobAsked,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=200,
            pattern="^[!-~]+$",
            description="Of the client; sent once more, it finds the same job.",
        ),
    ] = None,
) -> JobTold:
    """Ask for a job; it takes the role of its kind. Location is where it is told of."""
    wanted = JobRequest(asked.kind, asked.parameters, idempotency_key)
    try:
        made = jobs.create(served.library, wanted, served.settings, request.state.principal)
    except ParametersError as error:
        found = error.invalid.errors(include_input=False, include_url=False, include_context=False)
        told = [{**each, "loc": ("body", "parameters", *each["loc"])} for each in found]
        raise RequestValidationError(told) from error
    request.state.about = {"job": made.id, "kind": made.kind}
    response.headers["Location"] = f"/v1/jobs/{made.id}"
    return JobTold.model_validate(made)


@routes.get("/jobs")
def list_jobs(
    request: Request,
    served: Service,
    state: Annotated[
        str,
        Query(max_length=16, description="Only in this state.", examples=["running"]),
    ] = "",
    kind: Annotated[
        str, Query(max_length=32, description="Only of this kind.", examples=["cluster"])
    ] = "",
    cursor: CursorParam = "",
    limit: LimitParam = 50,
) -> PageOf[JobTold]:
    """Jobs of kinds that whoever asks may ask for, and their own; the newest first."""
    asker = request.state.principal
    found = jobs.listed(served.library, asker, state=state, kind=kind, cursor=cursor, limit=limit)
    return PageOf[JobTold].model_validate(found)


@routes.get("/jobs/kinds")
def list_kinds() -> list[JobKind]:
    """All kinds of jobs, with what each is asked with."""
    return [
        JobKind(
            name=kind.name,
            about=kind.about,
            role=kind.role,
            parameters=kind.parameters.model_json_schema(),
        )
        for kind in KINDS.values()
    ]


@routes.get("/jobs/{uid}")
def get_job(request: Request, served: Service, uid: Uid) -> JobTold:
    """A job: how far it is, how it ended."""
    return JobTold.model_validate(jobs.show(served.library, uid, request.state.principal))


@routes.post("/jobs/{uid}/cancel", status_code=202)
def cancel_job(request: Request, served: Service, uid: Uid) -> JobTold:
    """Have a job stopped; whoever asked for it may, and operators."""
    found = jobs.cancel(served.library, uid, request.state.principal)
    return JobTold.model_validate(found)


@routes.get("/jobs/{uid}/result", responses=_NOT_DONE)
def get_result(
    request: Request,
    served: Service,
    uid: Uid,
    cursor: CursorParam = "",
    limit: LimitParam = 50,
) -> ResultRows:
    """The rows that a job found, page by page; 409 while it is not done."""
    found = jobs.result(served.library, uid, request.state.principal, cursor, limit)
    return ResultRows.model_validate(found)


@routes.get("/jobs/{uid}/events", response_class=Response, responses=_EVENTS)
async def follow_job(
    request: Request,
    served: Service,
    uid: Uid,
    last_event_id: Annotated[
        str, Header(max_length=40, description="Of the last event that the client has.")
    ] = "",
) -> Response:
    """The job as server-sent events, now and at every change, until it has ended."""
    asker = request.state.principal
    job = await run_in_threadpool(jobs.show, served.library, uid, asker)
    known = last_event_id.isascii() and last_event_id.isdecimal()
    revision = int(last_event_id) if known else 0
    if job.ended and revision >= job.revision:
        return Response(status_code=204)
    return EventStream(request.app.state.followed, uid, asker, revision, request.state.request_id)
