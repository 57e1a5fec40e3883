"""Pictures of items: thumbnails, and frames drawn from the originals."""

from __future__ import annotations

import hashlib
import math
from typing import Annotated

from fastapi import Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from api.answers import PNG, WEBP, known_already, with_tag
from api.forms import body_of, read_request
from api.problems import ProblemError
from api.rights import Role
from api.routing import router
from api.schemas.common import Uid
from api.schemas.pictures import FileLook, FileLookAsked
from api.served import Service
from api.service import pictures
from api.service.pictures import LARGEST, SMALLEST, Look
from api.uploads import received
from indexer.types import Window

routes = router("pictures", Role.READER)


@routes.get("/items/{uid}/thumbnail", response_class=Response, responses=WEBP)
def get_thumbnail(request: Request, served: Service, uid: Uid) -> Response:
    """The thumbnail of an item, of at most 256 pixels a side; of a volume its middle slice."""
    picture = pictures.thumbnail(served.library, uid)
    tag = hashlib.sha256(picture).hexdigest()[:32]
    return known_already(request, tag) or with_tag(picture, "image/webp", tag)


@routes.get("/items/{uid}/rendered", response_class=Response, responses=PNG)
def get_rendered(
    request: Request,
    served: Service,
    uid: Uid,
    window: Annotated[
        str,
        Query(
            max_length=60,
            description="Center and width in modality units; empty for the file's own.",
            examples=["40,400"],
        ),
    ] = "",
    slice: Annotated[
        int | None, Query(ge=1, le=1_000_000, description="Of a volume, from one; else its middle.")
    ] = None,
    size: Annotated[
        int | None, Query(ge=SMALLEST, le=LARGEST, description="Of the longer side, in pixels.")
    ] = None,
) -> Response:
    """A frame of an item, drawn from its files as they lie where they were indexed."""
    look = Look(_window(window), slice, size)
    tag = pictures.drawn_as(served.library, uid, look)
    known = known_already(request, tag)
    if known is not None:
        return known
    picture = pictures.rendered(served.library, uid, look, served.settings)
    return with_tag(picture, "image/png", tag)


@routes.post("/files/look", openapi_extra=body_of(FileLookAsked, "A file, or those of one study."))
async def look_at_files(request: Request, served: Service) -> FileLook:
    """A frame of a file that comes with the request, drawn as those of items are; none is kept."""
    async with received(request, served.uploads, served.settings) as body:
        asked = read_request(FileLookAsked, body.request)
        path = body.picture(one_study=asked.one_study)
        found = await run_in_threadpool(
            pictures.look_at_files,
            served.library,
            path,
            asked.as_look(),
            served.settings,
            around=asked.around,
        )
    return FileLook.model_validate(found)


def _window(said: str) -> Window | None:
    if not said:
        return None
    try:
        center, width = (float(part) for part in said.split(","))
    except ValueError:
        center = width = math.nan
    if not (math.isfinite(center) and math.isfinite(width) and abs(center) < 1e9 > width > 0):
        raise ProblemError(422, "window is center and width, such as 40,400; the width above zero")
    return Window(center, width)
