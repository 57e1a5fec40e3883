"""The audit: read page by page, and given away as a file, by administrators."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Query, Request
from fastapi.responses import Response
from sqlalchemy import Connection

from api.downloads import Download, Downloads
from api.recording import asked_event
from api.rights import Role
from api.routing import router
from api.schemas.common import CursorParam, LimitParam, PageOf
from api.schemas.upkeep import AuditRow
from api.served import Served, Service
from api.service.access import audit
from indexer.catalog.audit import Wanted
from indexer.catalog.database import reading

routes = router("audit", Role.ADMIN)
_MEDIA_TYPES = {"jsonl": "application/jsonl", "dicom": "application/xml-seq"}
_FILES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A row a line.",
        "content": {each: {"schema": {"type": "string"}} for each in _MEDIA_TYPES.values()},
    }
}
Since = Annotated[
    str,
    Query(
        max_length=40,
        description="From this date or time on, in UTC.",
        examples=["2026-01-01"],
    ),
]


@routes.get("/audit")
def list_audit(
    served: Service,
    since: Since = "",
    actor: Annotated[str, Query(max_length=128, description="Exactly this name.")] = "",
    action: Annotated[
        str, Query(max_length=16, description="What was done.", examples=["query"])
    ] = "",
    outcome: Annotated[
        str, Query(max_length=16, description="How it ended.", examples=["refused"])
    ] = "",
    cursor: CursorParam = "",
    limit: LimitParam = 50,
) -> PageOf[AuditRow]:
    """Rows of the audit, the newest first. That it was read becomes one of them."""
    wanted = Wanted(_since(since), actor, action, outcome)
    return PageOf[AuditRow].model_validate(audit.page(served.library, wanted, cursor, limit))


@routes.get("/audit/export", response_class=Response, responses=_FILES)
def export_audit(
    request: Request,
    served: Service,
    format: Annotated[
        Literal["jsonl", "dicom"],
        Query(description="JSON, or XML of DICOM PS3.15 A.5.", examples=["jsonl"]),
    ] = "jsonl",
    since: Since = "",
) -> Response:
    """The audit as a file, a row a line, in order. That it was given away becomes a row first."""
    start = _since(since)
    downloads: Downloads = request.app.state.downloads
    with downloads.enter() as held:
        about = {"what": "export", "format": format, "since": start.isoformat() if start else ""}
        audit.record(served.library, asked_event(request, **about))
        request.state.recorded = True
        db = held.enter_context(reading(served.library.engine))
        parts = _parts(served, db, format, start)
        name = f"audit.{'jsonl' if format == 'jsonl' else 'xml'}"
        return Download(parts, held.pop_all(), downloads, name, _MEDIA_TYPES[format])


def _since(said: str) -> datetime | None:
    return audit.parse_since(said) if said else None


def _parts(served: Served, db: Connection, form: str, since: datetime | None) -> Iterator[bytes]:
    for _, line in audit.lines(served.library, db, form, since):
        yield line.encode()
