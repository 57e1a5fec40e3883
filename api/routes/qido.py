"""Studies, series and instances found by standard clients: QIDO-RS (PS3.18 section 10.6)."""

from __future__ import annotations

import json
from typing import Any

from fastapi import Depends, Request
from fastapi.responses import Response

from api.accepting import JSON, accepted, one_of
from api.problems import MEDIA_TYPE
from api.rights import Principal, Role
from api.routing import query_of_its_own, router
from api.schemas.dicomweb import DicomUid, root_of, warned
from api.served import Served, Service
from api.service.dicomweb.originals_kept import Place
from api.service.dicomweb.qido import find, read_query
from api.service.dicomweb.qido_keys import ATTRIBUTES, Level, keyword_of

routes = router("qido", Role.READER, prefix="/dicomweb")
_LISTED = {"type": "array", "items": {"type": "object"}}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "What was found; a Warning header tells what was not done.",
        "content": {JSON: {"schema": _LISTED}},
    },
    204: {"description": "Nothing was found."},
    400: {
        "description": "A parameter that is none, or a value that cannot be matched.",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    },
}


def _parameter(name: str, said: str, example: object, kind: str = "string") -> dict[str, Any]:
    schema = {"type": kind}
    return {"name": name, "in": "query", "description": said, "schema": schema, "example": example}


def _parameters(level: Level) -> dict[str, Any]:
    """What may be asked at a level, for the document."""
    return {
        "parameters": [
            _parameter("limit", "How many, at most 1000.", 25, "integer"),
            _parameter("offset", "How many are passed over before.", 0, "integer"),
            _parameter("includefield", "Attributes told besides the usual ones; all.", "all"),
            _parameter("fuzzymatching", "Is not done; a Warning says so.", "false"),
            *(
                _parameter(keyword_of(tag), "Only what has this.", "*")
                for tag, attribute in ATTRIBUTES.items()
                if attribute.match is not None and attribute.level <= level
            ),
        ]
    }


def _options(level: Level) -> dict[str, Any]:
    return {
        "response_class": Response,
        "responses": _ANSWERS,
        "openapi_extra": _parameters(level),
        "dependencies": [Depends(query_of_its_own)],
    }


@routes.get("/studies", **_options(Level.STUDY))
def find_studies(request: Request, served: Service) -> Response:
    """Studies by their attributes, newest first."""
    return _found(request, served, Level.STUDY, Place(""))


@routes.get("/series", **_options(Level.SERIES))
def find_series(request: Request, served: Service) -> Response:
    """Series of all studies by their attributes."""
    return _found(request, served, Level.SERIES, Place(""))


@routes.get("/instances", **_options(Level.INSTANCE))
def find_instances(request: Request, served: Service) -> Response:
    """Instances of all studies by their attributes."""
    return _found(request, served, Level.INSTANCE, Place(""))


@routes.get("/studies/{uid}/series", **_options(Level.SERIES))
def find_series_of_study(request: Request, served: Service, uid: DicomUid) -> Response:
    """Series of a study by their attributes."""
    return _found(request, served, Level.SERIES, Place(uid))


@routes.get("/studies/{uid}/instances", **_options(Level.INSTANCE))
def find_instances_of_study(request: Request, served: Service, uid: DicomUid) -> Response:
    """Instances of a study by their attributes."""
    return _found(request, served, Level.INSTANCE, Place(uid))


@routes.get("/studies/{uid}/series/{series}/instances", **_options(Level.INSTANCE))
def find_instances_of_series(
    request: Request, served: Service, uid: DicomUid, series: DicomUid
) -> Response:
    """Instances of a series by their attributes."""
    return _found(request, served, Level.INSTANCE, Place(uid, series))


def _found(request: Request, served: Served, level: Level, within: Place) -> Response:
    asked = request.query_params.multi_items()
    forms = ",".join(value for name, value in asked if name == "accept")
    one_of(accepted(forms or request.headers.get("accept", "")), [JSON, "application/json"])
    query = read_query(level, within, [pair for pair in asked if pair[0] != "accept"])
    who: Principal = request.state.principal
    found = find(served.library, query, root_of(request), real_ids=who.role.includes(Role.OPERATOR))
    headers = warned(found.warnings)
    if not found.rows:
        return Response(status_code=204, headers=headers)
    # Compact, so that the audit finds the studies in it.
    body = json.dumps(found.rows, separators=(",", ":"))
    return Response(body, headers=headers, media_type=JSON)
