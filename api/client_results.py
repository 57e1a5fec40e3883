"""What a client of the HTTP service is told by reference sets, and reports that go back.

All methods raise `api.client.ApiError` where the service refuses, or cannot be reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from api.client_asking import Asking, part
from api.schemas.flags import GroupStanding, ItemHeat, ScoreCounts
from api.schemas.groups import Reference, ScoreAsked, ScoreFilesAsked, Scores
from api.schemas.structured import (
    DestinationNamed,
    OodReportAsked,
    ReportSendAsked,
    ReportSent,
    SimilarReportAsked,
)


class Results(Asking):
    """A part of `api.client.Client`."""

    # -- out of distribution

    def references(self) -> list[Reference]:
        """All reference sets, oldest first."""
        return self._list(Reference, "ood/references")

    def reference(self, name: str) -> Reference:
        """One with its report."""
        return self._told(Reference, "ood/reference", name=name)

    def score(
        self,
        reference: str,
        filter: str = "",  # noqa: A002
        *,
        alarm: float | None = None,
        limit: int = 100,
        look: bool = True,
    ) -> Scores:
        """What a reference says of items of the library, study by study, of so many at most.

        Args:
            reference: its name.
            filter: of items.
            alarm: false-alarm rate; None for the reference's.
            limit: 1 to 1000 studies; ``more`` tells whether it left some out.
            look: also look for the reason in the pixels of what is flagged.
        """
        asked = ScoreAsked(reference=reference, filter=filter, alarm=alarm, limit=limit, look=look)
        answer = self._ask("POST", "ood/score", json=asked.model_dump())
        return Scores.model_validate_json(answer.content)

    def score_files(
        self,
        reference: str,
        files: Sequence[Path],
        *,
        alarm: float | None = None,
        one_study: bool = False,
    ) -> Scores:
        """What a reference says of files: each is a study, or all together are one.

        Raises:
            QueryError: one of them is a folder, which cannot be sent: send an archive of it.
        """
        asked = ScoreFilesAsked(reference=reference, alarm=alarm, one_study=one_study)
        answer = self._with_files("ood/score/files", asked.model_dump(), files)
        return Scores.model_validate_json(answer.content)

    def count_scores(
        self,
        reference: str,
        filter: str = "",  # noqa: A002
    ) -> ScoreCounts:
        """How many studies were judged as stored, how many are flagged, and what was decided."""
        return self._told(ScoreCounts, "ood/scores/counts", reference=reference, filter=filter)

    def heat(self, item: str, reference: str) -> bytes:
        """Where an item is unlike a reference: RGBA PNG to be laid over its drawn frame."""
        return self._ask("GET", f"items/{part(item)}/heat", params={"reference": reference}).content

    def heat_figures(self, item: str, reference: str) -> ItemHeat:
        """The same in figures."""
        return self._told(ItemHeat, f"items/{part(item)}/heat/figures", reference=reference)

    def drift(self, reference: str) -> list[GroupStanding]:
        """Where the watch for drift stands, by group of studies."""
        return self._list(GroupStanding, "ood/drift", reference=reference)

    # -- structured reports

    def structured_report(self, uid: str, asked: OodReportAsked | SimilarReportAsked) -> bytes:
        """A study reported as a DICOM file (Comprehensive SR), which names the patient."""
        answer = self._ask("POST", f"studies/{part(uid)}/sr", json=asked.model_dump())
        return answer.content

    def send_structured_report(
        self, uid: str, asked: OodReportAsked | SimilarReportAsked, destination: str
    ) -> ReportSent:
        """Have such a report sent; this ends when the destination has taken it."""
        said = ReportSendAsked(destination=destination, report=asked).model_dump()
        answer = self._ask("POST", f"studies/{part(uid)}/sr/send", json=said)
        return ReportSent.model_validate_json(answer.content)

    def destinations(self) -> list[DestinationNamed]:
        """Where reports may be sent."""
        return self._list(DestinationNamed, "destinations")
