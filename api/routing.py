"""What every route does before its function runs: who asks, and whether it can be read at all."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import re
from collections.abc import Callable, Coroutine
from typing import Any, get_type_hints

import numpy as np
from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.dependencies.models import Dependant
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter

from api.access import AT_ONCE, Rule, allowed
from api.problems import ProblemError
from api.recording import Recording
from api.rights import Role
from api.served import Served
from indexer.errors import AccessDeniedError, NotAuthenticatedError

_NO_LETTER = "\ufffd"
"""What stands for bytes of an address that are no UTF-8: two names must not become one."""
MOST_DEEP = 32
"""Levels of lists and objects that a JSON body may have."""
_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_STEPS = np.zeros(256, np.int32)
_STEPS[list(b"[{")] = 1
_STEPS[list(b"]}")] = -1


def query_of_its_own() -> None:
    """Among the ``dependencies`` of a route: it reads and checks its query parameters itself.

    For protocols in which any attribute is a parameter, and some repeat.
    """


class Route(APIRoute):
    """A route that asks its rule first, and refuses what it would else pass over in silence."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, _packing(endpoint, options.get("status_code") or 200), **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The checks, and then what any route does."""
        handle = super().get_route_handler()
        rule = next(
            (d.dependency for d in self.dependencies if isinstance(d.dependency, Rule)), None
        )
        if rule is None:
            raise TypeError(f"the route {self.path} declares no rule; see api.access.allowed")
        known = _query_names(self.dependant)
        takes_json = self.body_field is not None
        own_query = any(d.dependency is query_of_its_own for d in self.dependencies)

        async def answered(request: Request) -> Response:
            if _NO_LETTER in request.scope["path"]:
                raise ProblemError(400, "the address is not in UTF-8")
            if not own_query:
                _check_query(request, known)
            if takes_json:
                _check_type(request, "application/json")
                check_depth(await request.body())
            return await handle(request)

        async def checked(request: Request) -> Response:
            if rule.role is None:  # whoever asks how it is gets an answer from a busy service
                return await answered(request)
            served: Served = request.app.state.served
            if request.app.state.authenticate in AT_ONCE:
                _let_in(request, rule, served)
            else:
                await run_in_threadpool(_let_in, request, rule, served)
            if served.recording is None or not rule.recorded:
                return await answered(request)
            return await _recorded(request, served.recording, answered)

        return checked


def _packing(endpoint: Callable[..., Any], status: int) -> Callable[..., Any]:
    """A function whose model becomes JSON in the thread that made it.

    FastAPI would go to a second thread to see that a model is one, and wait longer for each.
    Functions that set headers of their answers are left to it.
    """
    told = get_type_hints(endpoint)
    model = told.pop("return", None)
    if (
        inspect.iscoroutinefunction(endpoint)
        or not (isinstance(model, type) and issubclass(model, BaseModel))
        or Response in told.values()
    ):
        return endpoint
    adapter: TypeAdapter[Any] = TypeAdapter(model)

    def made(named: dict[str, Any]) -> bytes:
        return adapter.dump_json(endpoint(**named), by_alias=True)

    @functools.wraps(endpoint)
    async def packed(**named: Any) -> Response:
        within = contextvars.copy_context()  # which trace this belongs to
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(None, within.run, made, named)
        return Response(answer, status, media_type="application/json")

    return packed


async def _recorded(
    request: Request,
    recording: Recording,
    answered: Callable[[Request], Coroutine[Any, Any, Response]],
) -> Response:
    """What is answered, once it stands in the audit."""
    try:
        response = await answered(request)
    except AccessDeniedError:  # of what is asked for in the body
        await run_in_threadpool(recording.refused, request)
        raise
    except Exception:
        await run_in_threadpool(recording.failed, request)
        raise
    await run_in_threadpool(recording.answered, request, response)
    return response


def _let_in(request: Request, rule: Rule, served: Served) -> None:
    """See that whoever asks may, and not too often.

    Raises:
        AccessError: it may not.
        ProblemError: it asks too often.
    """
    try:
        asker = rule.check(request)
    except (NotAuthenticatedError, AccessDeniedError):
        if served.recording is not None:
            served.recording.refused(request)
        raise
    if served.rates is not None:
        served.rates.take(asker)


def router(tag: str, role: Role | None, prefix: str = "/v1", *, recorded: bool = True) -> APIRouter:
    """Routes of one kind, all under one rule."""
    rule = allowed(role, recorded=recorded)
    return APIRouter(prefix=prefix, tags=[tag], route_class=Route, dependencies=[rule])


def check_depth(body: bytes) -> None:
    """See that JSON is not nested deeper than anything that is asked here.

    Raises:
        ProblemError: it is.
    """
    bare = np.frombuffer(_STRINGS.sub(b"", body), np.uint8)
    if bare.size and _STEPS[bare].cumsum().max() > MOST_DEEP:
        raise ProblemError(400, f"the body is nested deeper than {MOST_DEEP} levels")


def _query_names(dependant: Dependant) -> set[str]:
    """The query parameters of a function and of all that it depends on."""
    own = {field.alias for field in dependant.query_params}
    return own.union(*(_query_names(each) for each in dependant.dependencies))


def _check_query(request: Request, known: set[str]) -> None:
    """A parameter that is misspelt must not pass for one that was not given."""
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        there = f"; there are {', '.join(sorted(known))}" if known else ""
        raise ProblemError(422, f"unknown parameter '{unknown[0][:40]}'{there}")
    twice = [name for name in known if len(request.query_params.getlist(name)) > 1]
    if twice:
        raise ProblemError(422, f"the parameter '{twice[0]}' is given more than once")


def _check_type(request: Request, wanted: str) -> None:
    found = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if found != wanted:
        raise ProblemError(415, f"send {wanted}, not '{found[:60] or 'nothing'}'")
