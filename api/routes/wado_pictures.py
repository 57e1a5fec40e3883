"""Originals as pictures for standard clients: rendered, and thumbnails (PS3.18 section 10.4)."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from fastapi.responses import Response

from api.accepting import one_of
from api.problems import ProblemError
from api.rights import Role
from api.routes.wado import FRAMES, INSTANCE, SERIES, STUDY, answers
from api.routing import router
from api.schemas.dicomweb import (
    Frames,
    InstancePlace,
    Ranges,
    SeriesPlace,
    ShownViewport,
    ShownWindow,
    StudyPlace,
)
from api.served import Served, Service
from api.service.dicomweb import wado_pictures
from api.service.dicomweb.originals_kept import Place, find_kept
from api.service.dicomweb.wado_pictures import FORMS, Shown, Viewport

routes = router("wado", Role.READER, prefix="/dicomweb")
_PICTURE = answers("A picture.", *FORMS)
_THUMBNAIL = Viewport(128, 128)
Quality = Annotated[int, Query(ge=1, le=100, description="Of JPEG and WebP.")]


@routes.get(INSTANCE + "/rendered", **_PICTURE)
def rendered_instance(
    served: Service,
    place: InstancePlace,
    ranges: Ranges,
    window: ShownWindow,
    viewport: ShownViewport,
    quality: Quality = 90,
) -> Response:
    """An instance as a picture; of several frames the middle one."""
    shown = Shown(one_of(ranges, FORMS), None, window, viewport, quality)
    return _drawn(served, place, shown)


@routes.get(FRAMES + "/rendered", **_PICTURE)
def rendered_frame(
    served: Service,
    place: InstancePlace,
    frames: Frames,
    ranges: Ranges,
    window: ShownWindow,
    viewport: ShownViewport,
    quality: Quality = 90,
) -> Response:
    """A frame of an instance as a picture; one at a time."""
    shown = Shown(one_of(ranges, FORMS), _one(frames), window, viewport, quality)
    return _drawn(served, place, shown)


@routes.get(INSTANCE + "/thumbnail", **_PICTURE)
def instance_thumbnail(
    served: Service, place: InstancePlace, ranges: Ranges, viewport: ShownViewport
) -> Response:
    """A small picture of an instance; of several frames the middle one."""
    return _drawn(served, place, Shown(one_of(ranges, FORMS), viewport=viewport or _THUMBNAIL))


@routes.get(FRAMES + "/thumbnail", **_PICTURE)
def frame_thumbnail(
    served: Service,
    place: InstancePlace,
    frames: Frames,
    ranges: Ranges,
    viewport: ShownViewport,
) -> Response:
    """A small picture of a frame."""
    shown = Shown(one_of(ranges, FORMS), _one(frames), viewport=viewport or _THUMBNAIL)
    return _drawn(served, place, shown)


@routes.get(SERIES + "/thumbnail", **_PICTURE)
def series_thumbnail(
    served: Service, place: SeriesPlace, ranges: Ranges, viewport: ShownViewport
) -> Response:
    """A small picture that stands for a series: one that is kept in the catalog."""
    shown = Shown(one_of(ranges, FORMS), viewport=viewport or _THUMBNAIL)
    return _kept_picture(served, place, shown)


@routes.get(STUDY + "/thumbnail", **_PICTURE)
def study_thumbnail(
    served: Service, place: StudyPlace, ranges: Ranges, viewport: ShownViewport
) -> Response:
    """A small picture that stands for a study: one that is kept in the catalog."""
    shown = Shown(one_of(ranges, FORMS), viewport=viewport or _THUMBNAIL)
    return _kept_picture(served, place, shown)


def _kept_picture(served: Served, place: Place, shown: Shown) -> Response:
    find_kept(served.library, place)
    return Response(wado_pictures.thumbnail(served.library, place, shown), media_type=shown.media)


def _drawn(served: Served, place: Place, shown: Shown) -> Response:
    (kept,) = find_kept(served.library, place)
    content = wado_pictures.rendered(served.library, kept, shown, served.settings)
    return Response(content, media_type=shown.media)


def _one(frames: list[int]) -> int:
    if len(frames) > 1:
        raise ProblemError(406, "several frames are no picture: ask for one at a time")
    return frames[0]
