"""What references said of studies, as it was stored, and where the watch for drift stands."""

from __future__ import annotations

from pydantic import Field

from api.schemas.common import Told
from api.schemas.edited import Review


class ItemScore(Told):
    """What a reference said of one image or volume."""

    item: str
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
    p_value: float | None = Field(description="Of its items together.")
    flagged: bool | None = Field(description="null where it cannot be judged.")
    judged_at: str = Field(description="ISO time in UTC.")
    items: list[ItemScore] = Field(description="The oddest first.")
    review: Review | None = Field(description="In the queue ood:REFERENCE, if it is there.")


class GroupStanding(Told):
    """Where the watch over one group of what arrives stands."""

    group: str
    windows: int = Field(description="That are full.")
    waiting: int = Field(description="Studies in the one that fills.")
    moving_average: float = Field(description="Of scores that are 0 on average without a change.")
    limit: float = Field(description="An average further from 0 is an alarm.")
    alarm: bool
