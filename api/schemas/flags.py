"""What references said of studies, as it was stored, and where the watch for drift stands."""

from __future__ import annotations

from pydantic import Field

from api.schemas.common import Told
from api.schemas.edited import Review


class ItemScore(Told):
    """What a reference said of one image or volume."""

    item: str
    modality: str
    body_part: str
    view: str
    description: str
    manufacturer: str
    model: str
    p_value: float | None
    flagged: bool | None = Field(description="null where it cannot be judged.")
    score: float = Field(description="Of the detector that finds it oddest.")
    stratum: str
    verdicts: dict[str, dict[str, float]]
    findings: list[dict[str, object]] = Field(description="Each code, sentence and value.")
    judged_at: str = Field(description="ISO time in UTC.")


class StudyScore(Told):
    """What a reference said of a study."""

    study_instance_uid: str
    study_date: str
    sex: str
    age_years: float | None
    p_value: float | None = Field(description="Of its items together.")
    flagged: bool | None = Field(description="null where it cannot be judged.")
    judged_at: str = Field(description="ISO time in UTC.")
    items: list[ItemScore] = Field(description="The oddest first.")
    review: Review | None = Field(description="In the queue ood:REFERENCE, if it is there.")


class ScoreCounts(Told):
    """How many studies a reference was asked about, and what came of them."""

    studies: int
    flagged: int
    cannot_be_judged: int
    open: int = Field(description="Flagged, and without a verdict.")
    accepted: int = Field(description="With that verdict, flagged or not.")
    rejected: int
    alarm: float = Field(description="False-alarm rate that was taken.")


class HeatLevel(Told):
    """Of usual pictures this share of places is less odd, and how odd that is."""

    share: float
    oddness: float


class ItemHeat(Told):
    """Where an item is unlike a reference, in figures."""

    item: str
    study_instance_uid: str
    reference: str
    stratum: str = Field(description="That it is compared with.")
    highest: float = Field(description="Oddness of its oddest place.")
    p_value: float = Field(description="Share of usual pictures with a place as odd.")
    usual_pictures: int
    unlike_share: float = Field(description="Share of it that is odder than 99 % of usual places.")
    slice_number: int | None = Field(description="Of a volume, which slice; from one.")
    slices: int
    levels: list[HeatLevel]
    encoder: str
    notice: str
    notes: list[str]


class GroupStanding(Told):
    """Where the watch over one group of what arrives stands."""

    group: str
    windows: int = Field(description="That are full.")
    waiting: int = Field(description="Studies in the one that fills.")
    moving_average: float = Field(description="Of scores that are 0 on average without a change.")
    limit: float = Field(description="An average further from 0 is an alarm.")
    alarm: bool
