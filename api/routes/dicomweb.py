"""Studies that arrive over HTTP: STOW-RS (PS3.18 section 10.5)."""

from __future__ import annotations

import json
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from api.problems import ProblemError
from api.rights import Role
from api.routing import router
from api.schemas.common import Uid
from api.schemas.dicomweb import root_of
from api.served import Served, Service
from api.service.dicomweb.stow import StowRequest, stow_async

routes = router("dicomweb", Role.OPERATOR, prefix="/dicomweb")
_JSON = "application/dicom+json"
_TOLD = {_JSON: {"schema": {"type": "object"}}}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "All instances are stored.", "content": _TOLD},
    202: {"description": "Some are stored; the others are named, with the reason.",
          "content": _TOLD},
    409: {"description": "None is stored; each is named, with the reason.", "content": _TOLD},
}  # fmt: skip
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/related": {
                "schema": {"type": "string", "format": "binary"},
                "example": "parts of application/dicom",
            }
        },
    }
}


@routes.post("/studies", response_class=Response, responses=_ANSWERS, openapi_extra=_BODY)
async def store(request: Request, served: Service) -> Response:
    """Store instances: each is answered for by itself, and safe on the disk when it is.

    They are indexed by themselves, in the order in which they came.
    """
    return await _stored(request, served, "")


@routes.post("/studies/{uid}", response_class=Response, responses=_ANSWERS, openapi_extra=_BODY)
async def store_in_study(request: Request, served: Service, uid: Uid) -> Response:
    """As store; instances of other studies are refused."""
    return await _stored(request, served, uid)


async def _stored(request: Request, served: Served, study: str) -> Response:
    if served.inbox is None:
        raise ProblemError(404, "this service takes no studies; syntopy serve --receive does")
    asked = StowRequest(request.headers.get("content-type", ""), study, root_of(request))
    answer = await stow_async(served.inbox, asked, request.stream())
    served.metrics.received("stow", stored=answer.stored, refused=answer.failed)
    return Response(json.dumps(answer.body), answer.status, media_type=_JSON)
