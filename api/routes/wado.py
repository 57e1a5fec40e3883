"""Originals for standard clients: WADO-RS (PS3.18 section 10.4)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Any

from fastapi import Path, Request
from fastapi.responses import Response, StreamingResponse

from api.accepting import (
    DICOM,
    JSON,
    FramesAs,
    Range,
    file_wanted,
    files_in_parts,
    frames_wanted,
    new_boundary,
    one_of,
    parts,
    related,
)
from api.problems import MEDIA_TYPE, ProblemError
from api.rights import Role
from api.routing import router
from api.schemas.dicomweb import (
    Frames,
    InstancePlace,
    Ranges,
    SeriesPlace,
    StudyPlace,
    root_of,
    warned,
)
from api.served import Served, Service
from api.service.dicomweb.originals_kept import Place, find_kept
from api.service.dicomweb.wado import NATIVE, Wado

routes = router("wado", Role.READER, prefix="/dicomweb")
STUDY, SERIES = "/studies/{uid}", "/studies/{uid}/series/{series}"
INSTANCE = SERIES + "/instances/{instance}"
FRAMES = INSTANCE + "/frames/{frames}"
_AT_ONCE = 1 << 17
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}


def answers(said: str, *media: str) -> dict[str, Any]:
    """The options of a route that gives bytes of one of some media types."""
    responses: dict[int | str, dict[str, Any]] = {
        200: {"description": said, "content": dict.fromkeys(media, _BYTES)},
        400: {"description": "A parameter cannot be read.", "content": _PROBLEM},
        406: {"description": "It is given in no form that is accepted.", "content": _PROBLEM},
        410: {"description": "The file is gone, or is not what it was.", "content": _PROBLEM},
    }
    return {"response_class": Response, "responses": responses}


_FILES = answers("DICOM files, as parts of a body.", "multipart/related", DICOM)
_FILES["responses"][206] = {**_FILES["responses"][200], "description": "Some of them; see Warning."}
_PARTS = answers("Frames, as parts of a body.", "multipart/related", "application/octet-stream")
_TOLD = answers("Headers, in the DICOM JSON model.")
_TOLD["responses"][200]["content"] = {
    JSON: {"schema": {"type": "array", "items": {"type": "object"}}}
}


@routes.get(STUDY, **_FILES)
def retrieve_study(
    request: Request, served: Service, place: StudyPlace, ranges: Ranges
) -> Response:
    """All instances of a study as DICOM files, without who the patient is."""
    return _files(request, served, place, ranges)


@routes.get(SERIES, **_FILES)
def retrieve_series(
    request: Request, served: Service, place: SeriesPlace, ranges: Ranges
) -> Response:
    """All instances of a series as DICOM files."""
    return _files(request, served, place, ranges)


@routes.get(INSTANCE, **_FILES)
def retrieve_instance(
    request: Request, served: Service, place: InstancePlace, ranges: Ranges
) -> Response:
    """An instance as a DICOM file."""
    return _files(request, served, place, ranges)


def _files(request: Request, served: Served, place: Place, ranges: list[Range]) -> Response:
    many = files_in_parts(ranges, one=bool(place.instance))

    def wanted(syntax: str) -> bool | None:
        return file_wanted(ranges, syntax)

    wado, found = _wado(request, served), find_kept(served.library, place)
    given = wado.givable(found, wanted)
    if len(given) == 1:  # what is wrong with it can still be told
        content, syntax = wado.file(given[0], wanted)
        media = f"{DICOM}; transfer-syntax={syntax}"
        if not many:
            return Response(content, media_type=media)
        made: Iterator[tuple[str, bytes]] = iter([(media, content)])
    else:
        files = (wado.file(kept, wanted) for kept in given)
        made = ((f"{DICOM}; transfer-syntax={syntax}", content) for content, syntax in files)
    boundary, left_out = new_boundary(), len(found) - len(given)
    return StreamingResponse(
        parts(boundary, made),
        status_code=206 if left_out else 200,
        headers=_left_out(left_out),
        media_type=related(DICOM, boundary),
    )


@routes.get(STUDY + "/metadata", **_TOLD)
def study_metadata(
    request: Request, served: Service, place: StudyPlace, ranges: Ranges
) -> Response:
    """The headers of all instances of a study."""
    return _metadata(request, served, place, ranges)


@routes.get(SERIES + "/metadata", **_TOLD)
def series_metadata(
    request: Request, served: Service, place: SeriesPlace, ranges: Ranges
) -> Response:
    """The headers of all instances of a series."""
    return _metadata(request, served, place, ranges)


@routes.get(INSTANCE + "/metadata", **_TOLD)
def instance_metadata(
    request: Request, served: Service, place: InstancePlace, ranges: Ranges
) -> Response:
    """The header of an instance."""
    return _metadata(request, served, place, ranges)


def _metadata(request: Request, served: Served, place: Place, ranges: list[Range]) -> Response:
    one_of(ranges, [JSON, "application/json"])
    wado, found = _wado(request, served), find_kept(served.library, place)
    given = wado.readable(found)
    told = (json.dumps(wado.metadata(kept), separators=(",", ":")) for kept in given)
    first = next(told)  # what is wrong with it can still be told
    return StreamingResponse(
        _array(chain([first], told)), headers=_left_out(len(found) - len(given)), media_type=JSON
    )


def _array(told: Iterator[str]) -> Iterator[str]:
    """An array of JSON, handed on in parts of a size that is worth it."""
    part, before = "", "["
    for each in told:
        part += before + each
        before = ","
        if len(part) > _AT_ONCE:
            yield part
            part = ""
    yield part + "]"


@routes.get(FRAMES, **_PARTS)
def retrieve_frames(
    request: Request, served: Service, place: InstancePlace, frames: Frames, ranges: Ranges
) -> Response:
    """Frames of an instance: as they are stored (transfer-syntax=*), or decoded."""
    (kept,) = find_kept(served.library, place)
    form = frames_wanted(ranges, kept.syntax, one=len(frames) == 1)
    return _pixels(form, _wado(request, served).frames(kept, frames, native=form.native))


@routes.get(INSTANCE + "/bulkdata/{tag}", **_PARTS)
def retrieve_bulkdata(
    request: Request,
    served: Service,
    place: InstancePlace,
    tag: Annotated[str, Path(max_length=8, description="Of PixelData.", examples=["7FE00010"])],
    ranges: Ranges,
) -> Response:
    """The pixels of an instance, decoded, all frames one after the other."""
    if tag.upper() != "7FE00010":
        raise ProblemError(404, "only PixelData, 7FE00010, is given by its address")
    (kept,) = find_kept(served.library, place)
    form = frames_wanted(ranges, NATIVE, one=True)
    pixels = _wado(request, served).frames(kept, (), native=True)
    return _pixels(form, [b"".join(pixels)])


def _pixels(form: FramesAs, content: list[bytes]) -> Response:
    media = f"{form.media}; transfer-syntax={form.syntax}"
    if not form.many:
        return Response(content[0], media_type=media)
    boundary = new_boundary()
    body = parts(boundary, ((media, each) for each in content))
    return StreamingResponse(body, media_type=related(form.media, boundary))


def _wado(request: Request, served: Served) -> Wado:
    return Wado(served.library, served.settings, root_of(request))


def _left_out(count: int) -> dict[str, str]:
    if not count:
        return {}
    return warned([f"{count} instances are left out: gone, or not given in this form"])
