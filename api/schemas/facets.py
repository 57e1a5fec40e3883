"""Counts by which a list or a search can be narrowed."""

from __future__ import annotations

from pydantic import Field

from api.schemas.common import Told


class FacetValue(Told):
    """A value of a field."""

    value: str = Field(examples=["CR"])
    studies: int = Field(description="That have it.")


class Facet(Told):
    """A field with its values."""

    field: str = Field(
        description="A field of the filter language, or age in decades, or year, or label:NAME; "
        "word is of reports.",
        examples=["modality"],
    )
    values: tuple[FacetValue, ...] = Field(
        description="The most frequent first; of age and year in their order."
    )
    more: int = Field(description="Values that are not listed.")
    unknown: int = Field(description="Studies without a value; of words, without a report.")


class FacetAnswer(Told):
    """How many studies have which value."""

    studies: int = Field(description="That pass the filter.")
    items: int
    facets: tuple[Facet, ...] = Field(description="Fields of which anything is known.")
