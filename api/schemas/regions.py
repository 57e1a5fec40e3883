"""Where two items are alike, and what is like a part of one."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from api.schemas.common import Asked, Told
from indexer.searching.region_search import CANDIDATES
from indexer.types import Hit

MOST_LOOKED_AT = 60
"""Images that one request may have read again: more are for ``syntopy regions``."""
_FILTER = 8000


class FrameTold(Told):
    """Size of an image, or of the slices of a volume: that in which boxes are told."""

    rows: int
    columns: int
    aspect: float = Field(description="Height of a pixel divided by its width.")


class MatchedSide(Told):
    """One of the two that are compared."""

    id: str
    study_instance_uid: str
    slice: int | None = Field(description="Of a volume the slice that was compared, from one.")
    slices: int
    frame: FrameTold
    likeness: list[list[float | None]] = Field(
        description="Rows of cells that cover the frame: how like each is the most similar place "
        "of the other, -1 to 1; null where the encoder does not look.",
        examples=[[[0.31, 0.78], [None, 0.12]]],
    )


class Matched(Told):
    """Two items, place by place; of volumes the two slices that are most alike."""

    query: MatchedSide
    hit: MatchedSide
    encoder: str
    notice: str = Field(description="What must be said about what made the vectors.")
    low: float = Field(description="Likeness at which colour begins, the same for every pair.")
    high: float = Field(description="Likeness at which it is full.")


class MatchingFilesAsked(Asked):
    """With what files are compared."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"hit": "k5txw2r4n7"}]})

    hit: str = Field(min_length=1, max_length=64, description="Id of an item.")
    encoder: str | None = Field(
        default=None, max_length=200, description="Null takes the first that tells places apart."
    )
    one_study: bool = Field(default=False, description="The files are one study.")


class _RegionAsked(Asked):
    """A part of a picture, and among what something like it is looked for."""

    box: tuple[float, float, float, float] = Field(
        description="Left edge, top edge, width and height in pixels.",
        examples=[[420, 310, 120, 90]],
    )
    number: int | None = Field(default=None, ge=1, description="Of a volume the slice, from one.")
    k: int = Field(default=10, ge=1, le=MOST_LOOKED_AT, description="How many hits.")
    candidates: int = Field(
        default=CANDIDATES,
        ge=1,
        le=MOST_LOOKED_AT,
        description="Images that are read again and looked at place by place; at least k are.",
    )
    filter: str = Field(default="", max_length=_FILTER, examples=["modality=CT and age>=60"])
    encoder: str | None = Field(
        default=None, max_length=200, description="Null takes the first that tells places apart."
    )


class RegionSearchAsked(_RegionAsked):
    """A part of an item's picture."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"uid": "k5txw2r4n7", "box": [420, 310, 120, 90], "filter": "modality=CR"}]
        }
    )

    uid: str = Field(min_length=1, max_length=64, description="Of an item, or of what has one.")


class RegionFilesAsked(_RegionAsked):
    """A part of the picture that comes with it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"box": [20, 20, 40, 40], "k": 5}]})

    one_study: bool = Field(default=False, description="The files are one study.")


class RegionFound(Told):
    """An image with something like the region."""

    hit: Hit
    score: float = Field(description="Cosine of what is particular in both, -1 to 1.")
    box: tuple[float, float, float, float] = Field(description="In pixels of the hit's frame.")
    slice_number: int | None = Field(description="Of a volume the slice it is on, from one.")
    frame: FrameTold


class RegionsFound(Told):
    """What was found among the candidates, the most similar part first."""

    hits: list[RegionFound]
    looked_at: int = Field(description="Candidates that were read again.")
    by: str = Field(description="What brought the candidates: region, or whole image.")
    encoder: str
    notice: str
    notes: list[str]
    seconds: float
