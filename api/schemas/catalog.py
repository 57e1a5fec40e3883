"""Studies, series and items."""

from __future__ import annotations

from pydantic import AliasChoices, Field

from api.schemas.common import Told


class Study(Told):
    """A study in a list."""

    study_instance_uid: str
    patient: str = Field(description="Pseudonym; empty where the id is missing or shared.")
    study_date: str = Field(examples=["2024-01-31"])
    age_years: float | None
    sex: str
    description: str
    split: str
    modalities: tuple[str, ...]
    series: int
    items: int
    reports: int
    labels: dict[str, tuple[str, ...]] = Field(
        description="Of the study as a whole, values by name."
    )
    viewer_url: str | None = Field(
        default=None, description="Where a viewer shows it; null without one."
    )


class Series(Told):
    """A series."""

    series_instance_uid: str
    study_instance_uid: str
    study_date: str
    modality: str
    body_part: str
    view: str
    laterality: str
    description: str
    manufacturer: str
    model: str
    items: int
    instances: int


class Item(Told):
    """An image or a volume: what gets a vector."""

    id: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    frame_number: int | None
    kind: str
    role: str
    modality: str
    body_part: str
    view: str
    description: str
    patient: str
    sex: str
    age_years: float | None
    study_date: str
    flags: tuple[str, ...]
    labels: dict[str, tuple[str, ...]] = Field(
        description="Of the item and of its study, values by name."
    )
    viewer_url: str | None = Field(
        default=None, description="Where a viewer shows it; null without one."
    )


class Member(Item):
    """An item of a cluster."""

    confidence: float = Field(
        validation_alias=AliasChoices("score", "confidence"), description="Of the method; 0 to 1."
    )


class LabelGiven(Told):
    """A label of a study as a whole."""

    name: str
    value: str


class ItemDetails(Told):
    """An item, with what was read of its geometry."""

    id: str
    kind: str
    role: str
    frame_number: int | None
    stack: str
    slices: int
    flags: list[str]
    labels: dict[str, tuple[str, ...]] = Field(
        description="Of the item and of its study, values by name."
    )
    details: dict[str, object]


class InstanceDetails(Told):
    """An instance; where its file lies is not told."""

    sop_instance_uid: str
    kind: str
    rows: int | None
    columns: int | None
    frames: int
    decoder: str
    flags: list[str]


class SeriesDetails(Told):
    """A series with all that is in it."""

    series_instance_uid: str
    modality: str
    body_part: str
    view: str
    description: str
    manufacturer: str
    model: str
    items: list[ItemDetails]
    instances: list[InstanceDetails]


class StudyDetails(Told):
    """All that is known of a study, but for its patient's real id and its files."""

    study_instance_uid: str
    patient: str
    patient_shared_by_strangers: bool
    sex: str
    age_years: float | None
    study_date: str
    description: str
    split: str
    labels: list[LabelGiven]
    reports: list[str]
    series: list[SeriesDetails]
    viewer_url: str | None = Field(
        default=None, description="Where a viewer shows it; null without one."
    )
