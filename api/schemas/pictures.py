"""Pictures of files that come with a request."""

from __future__ import annotations

import base64
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from api.schemas.common import Asked, Told
from api.schemas.regions import FrameTold
from api.service.pictures import LARGEST, LARGEST_AROUND, MOST_AROUND, SMALLEST, Look
from indexer.types import Window

_BOUND = 1e9


def _decoded(said: object) -> object:
    return base64.b64decode(said, validate=True) if isinstance(said, str) else said


def _encoded(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


Png = Annotated[
    bytes,
    BeforeValidator(_decoded),
    PlainSerializer(_encoded, return_type=str, when_used="json"),
    WithJsonSchema(
        {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/png"}
    ),
]


class FileLookAsked(Asked):
    """Which frame of the files is shown, and how."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"size": 512}]})

    slice: int | None = Field(
        default=None, ge=1, le=1_000_000, description="Of a volume, from one; else its middle."
    )
    window: (
        tuple[
            Annotated[float, Field(gt=-_BOUND, lt=_BOUND)], Annotated[float, Field(gt=0, lt=_BOUND)]
        ]
        | None
    ) = Field(
        default=None,
        description="Center and width in modality units; null for the file's own.",
        examples=[[40, 400]],
    )
    size: int | None = Field(
        default=None, ge=SMALLEST, le=LARGEST, description="Of the longer side, in pixels."
    )
    around: int = Field(
        default=0,
        ge=0,
        le=MOST_AROUND,
        description="Of a volume, how many slices on either side come, too; with a `size` of at "
        f"most {LARGEST_AROUND}.",
    )
    one_study: bool = Field(default=False, description="The files are one study.")

    def as_look(self) -> Look:
        """The same, as pictures are asked for."""
        return Look(Window(*self.window) if self.window else None, self.slice, self.size)


class FileLook(Told):
    """A frame of files that are in no library; of several pictures it is the middle one."""

    modality: str
    slice: int | None = Field(description="Of a volume which slice this is, from one.")
    slices: int
    frame: FrameTold
    picture: Png = Field(description="PNG in Base64.")
    around: dict[int, Png] = Field(description="The slices `around` it, by number, drawn alike.")
