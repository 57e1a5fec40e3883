"""What schemas share."""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field

from api.service.paging import MOST

_T = TypeVar("_T")


class Asked(BaseModel):
    """A request: fields that are misspelt, and numbers that are none, are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Told(BaseModel):
    """An answer, taken from what a service returns; what is not declared stays inside."""

    model_config = ConfigDict(from_attributes=True)


class Trouble(Told):
    """What is wrong with one field of a request."""

    where: str = Field(examples=["body.k"])
    message: str = Field(examples=["Input should be a valid integer"])


class Problem(Told):
    """An RFC 9457 problem document."""

    type: str = Field(examples=["urn:syntopy:problem:not_found"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["there is no item '3kpic' in the library"])
    code: str = Field(description="Stable, for machines.", examples=["not_found"])
    request_id: str = Field(description="By which the log knows the request.")
    errors: list[Trouble] = Field(default=[], description="Of a request that cannot be read.")
    reason: str = Field(default="", description="Of a file that cannot be used.")
    position: int | None = Field(default=None, description="In a filter, from zero.")
    lines: list[int] = Field(
        default=[], description="Of many lines, those that name nothing, from zero."
    )
    current: object = Field(default=None, description="What there is now, if it was changed.")
    etag: str = Field(default="", description="Of that.")


class PageOf(Told, Generic[_T]):
    """A part of a list."""

    rows: list[_T]
    cursor: str = Field(description="Of the next page; empty at the end.")


Uid = Annotated[
    str,
    Path(
        min_length=1,
        max_length=64,
        description="A DICOM UID, or the id of an item.",
        examples=["1.2.840.113619.2.1"],
    ),
]
FilterParam = Annotated[
    str,
    Query(
        max_length=8000,
        description="Only what passes: docs/search.md has the language.",
        examples=["modality=CT and age>=60"],
    ),
]
SortParam = Annotated[
    str,
    Query(
        max_length=40,
        description="A field to sort by, with - before it for the reverse; empty for the order of "
        "indexing.",
        examples=["-study_date"],
    ),
]
CursorParam = Annotated[
    str, Query(max_length=4000, description="Of the page before; empty for the first.")
]
LimitParam = Annotated[int, Query(ge=1, le=MOST, description="Rows of a page.")]
EncoderParam = Annotated[
    str,
    Query(
        max_length=200,
        description="Whose space; empty takes the library's first that has vectors.",
        examples=["texture"],
    ),
]
