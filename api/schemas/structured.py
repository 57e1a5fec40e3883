"""Structured reports: what can be asked for, and what became of one that was sent."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from api.schemas.common import Asked, Told
from api.service.outgoing.structured import MOST, OodReportRequest, SimilarReportRequest

_References = Annotated[
    bool, Field(description="Name other studies by their UIDs, which lead to their patients.")
]


class OodReportAsked(Asked):
    """What a reference says of the study."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"kind": "ood", "reference": "chest"}]}
    )

    kind: Literal["ood"]
    reference: str = Field(min_length=1, max_length=128)
    alarm: float | None = Field(default=None, gt=0, lt=1, description="False-alarm rate.")
    references: _References = True

    def as_request(self, uid: str) -> OodReportRequest:
        """The request, of a study."""
        return OodReportRequest(uid, self.reference, self.alarm, self.references)


class SimilarReportAsked(Asked):
    """The studies most like the study."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"kind": "similar", "k": 5}]})

    kind: Literal["similar"]
    k: int = Field(default=5, ge=1, le=MOST, description="How many neighbours.")
    filter: str = Field(default="", max_length=900_000)
    encoders: list[str] = Field(default=[], max_length=20)
    references: _References = True

    def as_request(self, uid: str) -> SimilarReportRequest:
        """The request, of a study."""
        return SimilarReportRequest(uid, self.k, self.filter, tuple(self.encoders), self.references)


ReportAsked = Annotated[OodReportAsked | SimilarReportAsked, Field(discriminator="kind")]


class ReportSendAsked(Asked):
    """A report, and where it is to be sent."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"destination": "pacs", "report": {"kind": "ood", "reference": "chest"}}]
        }
    )

    destination: str = Field(
        min_length=1, max_length=64, description="A name that destinations.toml has."
    )
    report: ReportAsked


class ReportSent(Told):
    """A report that its destination has taken."""

    destination: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str


class DestinationNamed(Told):
    """Where reports may be sent."""

    name: str
    kind: str = Field(description="dicomweb or dimse.")
