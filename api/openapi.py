"""The OpenAPI document: that of FastAPI, with problems as they are really answered, and rules."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.problems import MEDIA_TYPE
from api.schemas.common import Problem
from api.schemas.groups import ScoreFilesAsked
from api.schemas.pictures import FileLookAsked
from api.schemas.regions import MatchingFilesAsked, RegionFilesAsked
from api.schemas.search import SearchFilesAsked

_REF = "#/components/schemas/{model}"
_BESIDE: tuple[type[BaseModel], ...] = (
    Problem,
    SearchFilesAsked,
    ScoreFilesAsked,
    FileLookAsked,
    MatchingFilesAsked,
    RegionFilesAsked,
)
"""Schemas that no function of a route names."""
_ALWAYS = {"422": "What is asked cannot be read.", "500": "Something went wrong inside."}
_READER = {
    "400": "The request is malformed.",
    "401": "It does not say believably who asks.",
    "403": "Whoever asks may not.",
    "404": "There is no such thing in the library.",
    "429": "Too many requests at once.",
    "503": "The library, or a part of it, cannot be used just now.",
}
_BODY = {
    "408": "The body came too slowly.",
    "413": "The body is too large.",
    "415": "The body is of another type.",
    "501": "A part of Syntopy that this needs is not installed.",
    "507": "The disk is full.",
}
_CONDITIONAL = {
    "412": "It is not any more what the change was made from; current is what it is now.",
    "428": "It does not say what the change was made from: send If-Match.",
}
_SENT = {"502": "The destination cannot be reached, or did not take it."}
_TAGS = {
    "service": "Whether it lives, and what it is.",
    "session": "Who is signed in with a browser.",
    "library": "What is served.",
    "catalog": "Studies, series and items.",
    "pictures": "Pictures of items.",
    "search": "Neighbours.",
    "clusters": "Clusterings that were made.",
    "maps": "Maps that were made.",
    "labels": "Labels and tags of studies and items.",
    "sets": "Saved sets of items.",
    "reviews": "Queues of work, and what was decided.",
    "ood": "What is unlike a reference.",
    "dicomweb": "Studies that arrive.",
    "qido": "Studies, series and instances for DICOM viewers.",
    "wado": "Their originals, without who the patient is.",
    "jobs": "Long work: asked for, followed, cancelled, read.",
    "exports": "Tables of all that is known, as files.",
    "keys": "API keys.",
    "audit": "Who did what.",
    "structured": "Results as DICOM Structured Reports.",
}


def described(app: FastAPI) -> dict[str, Any]:
    """The document of an application; made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            tags=[{"name": name, "description": said} for name, said in _TAGS.items()],
        )
        _, extra = models_json_schema([(each, "validation") for each in _BESIDE], ref_template=_REF)
        schemas = document["components"]["schemas"]
        for name, schema in extra["$defs"].items():
            schemas.setdefault(name, schema)
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        for path in document["paths"].values():
            for operation in path.values():
                _add_problems(operation)
        app.openapi_schema = document
    return app.openapi_schema


def _add_problems(operation: dict[str, Any]) -> None:
    told = dict(_ALWAYS)
    if operation["tags"] != ["service"]:
        told |= _READER
    elif operation["operationId"] == "ready":
        told |= {"503": "The indexes are being loaded."}
    if operation["operationId"] == "send_report":
        told |= _SENT
    if "requestBody" in operation:
        told |= _BODY
    if any(each["name"] == "if-match" for each in operation.get("parameters", ())):
        told |= _CONDITIONAL | {"507": _BODY["507"]}
    content = {MEDIA_TYPE: {"schema": {"$ref": _REF.format(model="Problem")}}}
    for status, said in sorted(told.items()):
        operation["responses"][status] = {"description": said, "content": content}
