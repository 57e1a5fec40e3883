"""Errors as RFC 9457 problem documents, with the codes of `indexer.errors`.

What a client did wrong is told as it stands. Of what went wrong inside, a client hears a request
id; the log has the rest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from api import logs
from api.jobs.errors import JobError, JobNotDoneError, TooManyJobsError
from api.places import without_places
from api.schemas.edited import shown
from api.service.dicomweb.multipart import (
    MultipartError,
    MultipartTooLargeError,
    UnsupportedMediaError,
)
from api.service.dicomweb.qido_keys import MatchingError
from api.service.dicomweb.wado import NotGivenError
from indexer import errors
from indexer.errors import SyntopyError

MEDIA_TYPE = "application/problem+json"
_MOST_ERRORS = 20
_STATUS: Mapping[type[SyntopyError], int] = {
    SyntopyError: 500,
    errors.NotAuthenticatedError: 401,
    errors.AccessDeniedError: 403,
    errors.IssuerUnavailableError: 503,
    errors.ConfigError: 422,
    errors.MissingExtraError: 501,
    errors.SourceError: 422,
    TooManyJobsError: 429,
    JobNotDoneError: 409,
    JobError: 422,
    MultipartError: 400,
    MultipartTooLargeError: 413,
    UnsupportedMediaError: 415,
    MatchingError: 400,
    NotGivenError: 406,
    errors.OriginalGoneError: 410,
    errors.LibraryError: 503,
    errors.LibraryCorruptError: 500,
    errors.StorageFullError: 507,
    errors.EncoderError: 422,
    errors.WeightsError: 503,
    errors.StoreError: 503,
    errors.VectorError: 500,
    errors.ClusteringError: 422,
    errors.ReferenceSetError: 422,
    errors.QueryError: 422,
    errors.NotSentError: 502,
    errors.ItemNotFoundError: 404,
    errors.UnknownNameError: 404,
    errors.EditError: 422,
    errors.ChangedMeanwhileError: 412,
}
_TOLD = (errors.MissingExtraError, errors.NotSentError)
"""Told as they stand, though nothing that a client did is wrong."""
_CODES = {
    400: "bad_request",
    404: "no_such_route",
    405: "method_not_allowed",
    406: "not_acceptable",
    408: "too_slow",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid_request",
    428: "precondition_required",
    429: "too_many_requests",
    500: "internal",
}
_INSIDE = "something went wrong inside; the log has more under this request id"


class ProblemError(HTTPException):
    """A request that cannot be answered, for a reason that only HTTP knows."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, detail, headers)


def quoted(tag: str) -> str:
    """A tag as it stands in ``ETag`` and ``If-Match``; "" where there is none."""
    return f'"{tag}"' if tag else ""


def status_of(error: SyntopyError) -> int:
    """The HTTP status of an error: that of the nearest class above it that has one."""
    return next(_STATUS[each] for each in type(error).__mro__ if each in _STATUS)


def problem(
    status: int,
    detail: str,
    request_id: str,
    *,
    code: str = "",
    headers: Mapping[str, str] | None = None,
    **more: object,
) -> Response:
    """A problem document as a response."""
    code = code or _CODES.get(status, "error")
    document = {
        "type": f"urn:syntopy:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
        **more,
    }
    # All in ASCII: a question may have had half a surrogate pair in it.
    return Response(json.dumps(document), status, headers, MEDIA_TYPE)


def internal_problem(error: Exception, request_id: str) -> Response:
    """What is told of an error that nobody expected; the log gets where, not with what."""
    logs.failed(error, request_id)
    return problem(500, _INSIDE, request_id)


def add_handlers(app: FastAPI) -> None:
    """Have every error of an application answered by a problem document."""
    app.add_exception_handler(SyntopyError, _of_ours)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(ClientDisconnect, _of_disconnect)


def _of_ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, SyntopyError)  # noqa: S101 - registered for nothing else
    status, request_id = status_of(error), request.state.request_id
    detail, more = _without_places(str(error), request), dict[str, object]()
    if status >= 500 and not isinstance(error, _TOLD):
        logs.failed(error, request_id)
        detail = _INSIDE
    if isinstance(error, errors.FileRejectedError):
        more["reason"] = error.reason.value
    if isinstance(error, errors.FilterError):
        more["position"] = error.position
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    if isinstance(error, errors.UnknownLinesError):
        more["lines"] = error.lines
    if isinstance(error, errors.ChangedMeanwhileError):
        more |= {"current": shown(error.current), "etag": quoted(error.tag)}
        headers = {"ETag": quoted(error.tag)} if error.tag else None
    return problem(status, detail, request_id, code=error.code, headers=headers, **more)


def _without_places(said: str, request: Request) -> str:
    """A message without the folders of this machine that it may name."""
    served = request.app.state.served
    return without_places(said, ((served.uploads, "UPLOADS"), (served.library.path, "LIBRARY")))


def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    detail = error.detail
    if not isinstance(error, ProblemError) and error.status_code in (404, 405):
        said = "there is nothing at this address" if error.status_code == 404 else "not this method"
        detail = f"{said}; /v1/openapi.json lists all routes"
    return problem(error.status_code, str(detail), request.state.request_id, headers=error.headers)


def _of_validation(request: Request, error: Exception) -> Response:
    """What is wrong in which field, without the values: they may be a patient's."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for nothing else
    found: Sequence[Any] = error.errors()
    broken = any(each["type"] == "json_invalid" for each in found)
    told = [
        {"where": ".".join(map(str, each["loc"]))[:200], "message": str(each["msg"])[:200]}
        for each in found[:_MOST_ERRORS]
    ]
    detail = f"{told[0]['where']}: {told[0]['message']}"
    return problem(400 if broken else 422, detail, request.state.request_id, errors=told)


def _of_disconnect(request: Request, _error: Exception) -> Response:
    return problem(400, "the request broke off", request.state.request_id)
