"""Tables as files."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query, Request
from fastapi.responses import Response

from api.downloads import Download, Downloads
from api.rights import Role
from api.routing import router
from api.schemas.common import EncoderParam, FilterParam
from api.served import Served, Service
from api.service.exports import ExportRequest, open_export
from api.service.table_streams import MEDIA_TYPES, encoded

routes = router("exports", Role.CURATOR)
_FILES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A table.",
        "content": {
            media_type.partition(";")[0]: {"schema": {"type": "string", "format": "binary"}}
            for media_type in MEDIA_TYPES.values()
        },
    }
}
Form = Annotated[
    Literal["csv", "jsonl", "parquet"], Query(description="Of the file.", examples=["csv"])
]


@routes.get("/exports/items", response_class=Response, responses=_FILES)
def export_items(
    request: Request, served: Service, format: Form = "csv", filter: FilterParam = ""
) -> Response:
    """Primary items: what is known of each, its labels, its cluster in each clustering."""
    return _sent(request, served, ExportRequest("items", filter), format)


@routes.get("/exports/studies", response_class=Response, responses=_FILES)
def export_studies(
    request: Request, served: Service, format: Form = "csv", filter: FilterParam = ""
) -> Response:
    """Studies of which an item passes."""
    return _sent(request, served, ExportRequest("studies", filter), format)


@routes.get("/exports/labels", response_class=Response, responses=_FILES)
def export_labels(
    request: Request, served: Service, format: Form = "csv", filter: FilterParam = ""
) -> Response:
    """Labels and tags, one a row."""
    return _sent(request, served, ExportRequest("labels", filter), format)


@routes.get("/exports/clusters", response_class=Response, responses=_FILES)
def export_clusters(
    request: Request,
    served: Service,
    run: Annotated[
        str, Query(min_length=1, max_length=128, description="A clustering.", examples=["all"])
    ],
    number: Annotated[
        int | None, Query(ge=-1, le=1 << 31, description="Only this cluster; -1 for noise.")
    ] = None,
    format: Form = "csv",
    filter: FilterParam = "",
) -> Response:
    """The items of a clustering with their clusters, or those of one cluster."""
    wanted = ExportRequest("clusters", filter, run=run, number=number)
    return _sent(request, served, wanted, format)


@routes.get("/exports/scores", response_class=Response, responses=_FILES)
def export_scores(
    request: Request,
    served: Service,
    reference: Annotated[
        str, Query(min_length=1, max_length=128, description="A reference.", examples=["chest"])
    ],
    format: Form = "csv",
    filter: FilterParam = "",
) -> Response:
    """What a reference last said of items, as far as it was stored."""
    return _sent(request, served, ExportRequest("scores", filter, reference=reference), format)


@routes.get("/exports/map", response_class=Response, responses=_FILES)
def export_map(
    request: Request,
    served: Service,
    format: Form = "csv",
    filter: FilterParam = "",
    encoder: EncoderParam = "",
    version: Annotated[
        int | None, Query(ge=1, le=1 << 31, description="Of the map; else the newest.")
    ] = None,
) -> Response:
    """Where items lie on a map."""
    wanted = ExportRequest("map", filter, encoder=encoder, version=version)
    return _sent(request, served, wanted, format)


@routes.get("/exports/reviews", response_class=Response, responses=_FILES)
def export_reviews(
    request: Request,
    served: Service,
    queue: Annotated[
        str, Query(min_length=1, max_length=160, description="Its name.", examples=["duplicates"])
    ],
    format: Form = "csv",
) -> Response:
    """How the subjects of a queue stand, and what was found of them."""
    return _sent(request, served, ExportRequest("reviews", queue=queue), format)


def _sent(request: Request, served: Served, wanted: ExportRequest, form: str) -> Response:
    """The table as a file, once it is recorded whose data are in it."""
    downloads: Downloads = request.app.state.downloads
    with downloads.enter() as held:
        table = held.enter_context(open_export(served.library, wanted))
        if served.recording is not None:
            served.recording.exported(request, table.patients, table=wanted.what, format=form)
        parts = encoded(form, table.columns, table.batches)
        name = f"{wanted.what}.{form}"
        return Download(parts, held.pop_all(), downloads, name, MEDIA_TYPES[form])
