"""What the routes of DICOMweb take and tell, besides the bodies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Path, Query, Request

from api.accepting import Range, accepted
from api.problems import ProblemError
from api.service.dicomweb.originals_kept import Place
from api.service.dicomweb.wado_pictures import LARGEST, Viewport
from indexer.types import Window

_MOST_FRAMES = 10_000
_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
DicomUid = Annotated[
    str,
    Path(
        pattern=r"^[0-9]+(\.[0-9]+)*$",
        max_length=64,
        description="A DICOM UID.",
        examples=["1.2.840.113619.2.1"],
    ),
]


def root_of(request: Request) -> str:
    """URL of the DICOMweb service as whoever asks knows it, without a slash at its end."""
    base = request.base_url
    host: str | None = getattr(request.state, "asked_host", None)  # of a trusted proxy
    return str(base.replace(netloc=host) if host else base).rstrip("/") + "/dicomweb"


def warned(said: Sequence[str]) -> dict[str, str]:
    """Warnings as a header (RFC 7234 section 5.5, as PS3.18 has it); none where there are none."""
    return {"Warning": ", ".join(f'299 syntopy "{each}"' for each in said)} if said else {}


async def _study(uid: DicomUid) -> Place:
    return Place(uid)


async def _series(uid: DicomUid, series: DicomUid) -> Place:
    return Place(uid, series)


async def _instance(uid: DicomUid, series: DicomUid, instance: DicomUid) -> Place:
    return Place(uid, series, instance)


StudyPlace = Annotated[Place, Depends(_study)]
SeriesPlace = Annotated[Place, Depends(_series)]
InstancePlace = Annotated[Place, Depends(_instance)]


async def _ranges(
    request: Request,
    accept: Annotated[
        str,
        Query(max_length=300, description="In place of the header.", examples=["image/png"]),
    ] = "",
) -> list[Range]:
    return accepted(accept or request.headers.get("accept", ""))


Ranges = Annotated[list[Range], Depends(_ranges)]
"""What whoever asks accepts, the most wanted first."""


async def _frames(
    frames: Annotated[
        str,
        Path(
            pattern=r"^[1-9][0-9]{0,6}(,[1-9][0-9]{0,6})*$",
            max_length=8 * _MOST_FRAMES,
            description="Numbers of frames from one, with commas between.",
            examples=["1"],
        ),
    ],
) -> list[int]:
    numbers = [int(each) for each in frames.split(",")]
    if len(numbers) != len(set(numbers)):
        raise ProblemError(400, "a frame is named twice")
    return numbers


Frames = Annotated[list[int], Depends(_frames)]


async def _window(
    window: Annotated[
        str,
        Query(
            max_length=80,
            description="Center, width and function (linear, linear-exact, sigmoid) in modality "
            "units; empty for the file's own.",
            examples=["40,400,linear"],
        ),
    ] = "",
) -> Window | None:
    if not window:
        return None
    parts = window.split(",")
    function = parts.pop().strip().upper().replace("-", "_") if len(parts) == 3 else "LINEAR"
    numbers = _numbers(parts, "window")
    if len(numbers) != 2 or numbers[1] <= 0 or function not in _FUNCTIONS:
        raise ProblemError(
            400, "window is center, width above zero, and linear, linear-exact or sigmoid"
        )
    return Window(numbers[0], numbers[1], function)


ShownWindow = Annotated[Window | None, Depends(_window)]


async def _viewport(
    viewport: Annotated[
        str,
        Query(
            max_length=120,
            description="Width and height that the picture fits in; and, of the part that is "
            "wanted, left, top, width and height in pixels of the original.",
            examples=["512,512"],
        ),
    ] = "",
) -> Viewport | None:
    if not viewport:
        return None
    numbers = _numbers(viewport.split(","), "viewport")
    if len(numbers) not in (2, 6) or not all(1 <= each <= LARGEST for each in numbers[:2]):
        raise ProblemError(400, f"viewport is width, height (1 to {LARGEST}), and perhaps a part")
    part = numbers[2:]
    return Viewport(
        int(numbers[0]), int(numbers[1]), (part[0], part[1], part[2], part[3]) if part else None
    )


ShownViewport = Annotated[Viewport | None, Depends(_viewport)]


def _numbers(parts: Sequence[str], name: str) -> list[float]:
    try:
        found = [float(part) for part in parts]
    except ValueError:
        found = [math.nan]
    if not all(math.isfinite(each) and abs(each) < 1e9 for each in found):
        raise ProblemError(400, f"{name} is numbers with commas between")
    return found
