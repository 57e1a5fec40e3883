"""Searching: what can be asked, and what is answered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field

from api.problems import ProblemError
from api.schemas.common import Asked, Told
from indexer.searching.answers import LinkedCopy, SpaceUse
from indexer.searching.asking import Described, Example, Region, Rocchio, SearchRequest
from indexer.types import Hit, LabelVote
from indexer.types import Role as ItemRole

_REPORT, _WORDS = 100_000, 10_000
_FILTER = 900_000


class RegionAsked(Asked):
    """A part of one picture."""

    box: tuple[float, float, float, float] = Field(
        description="Left edge, top edge, width and height in pixels.",
        examples=[[420, 310, 120, 90]],
    )
    number: int | None = Field(default=None, description="Frame or slice, from one.")


class ExampleAsked(Asked):
    """One thing that hits should be like, or unlike: a UID, a text, a report or a file."""

    uid: str = Field(default="", max_length=64, description="Of a study, series, instance or item.")
    text: str = Field(default="", max_length=_WORDS, examples=["large pleural effusion"])
    report: str = Field(default="", max_length=_REPORT, description="The words of a report.")
    file: int | None = Field(
        default=None, ge=0, description="Number of a file that comes with the request, from zero."
    )
    region: RegionAsked | None = None
    weight: float = Field(default=1.0, description="Below zero for unlike.")

    def as_example(self, files: Sequence[Path]) -> Example:
        """The example, its file taken from those that came.

        Raises:
            ProblemError: it names a file that did not come.
        """
        if self.file is not None and self.file >= len(files):
            raise ProblemError(422, f"an example names file {self.file}; {len(files)} came")
        region = self.region
        return Example(
            file=None if self.file is None else files[self.file],
            uid=self.uid,
            text=self.text.strip(),
            report=self.report.strip(),
            region=Region(region.box, region.number) if region else None,
            weight=self.weight,
        )


class MixAsked(Asked):
    """Weights of several examples: of the first, of what else is liked, of what is not."""

    alpha: float = 1.0
    beta: float = 0.75
    gamma: float = 0.15


class SearchAsked(Asked):
    """What is asked. Without an example, keywords alone."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"examples": [{"uid": "1.2.840.113619.2.1"}], "k": 5},
                {
                    "examples": [{"uid": "1.2.840.113619.2.1"}],
                    "keywords": "effusion",
                    "filter": "modality=CR and age>=60",
                    "group": "patient",
                },
                {"keywords": 'effus* "left lung" -nodule'},
            ]
        }
    )

    examples: list[ExampleAsked] = Field(default=[], max_length=100)
    k: int = Field(default=10, ge=1, le=10_000, description="How many neighbours.")
    filter: str = Field(default="", max_length=_FILTER, examples=["modality=CT and age>=60"])
    keywords: str | None = Field(
        default=None,
        max_length=_WORDS,
        description="Words to look up; null takes those of texts and reports, '' none.",
    )
    encoders: list[str] = Field(
        default=[], max_length=20, description="Whose spaces; several are fused, 'all' takes all."
    )
    own_study: bool = Field(default=False, description="Let the examples' studies be hits.")
    same_patient: bool = Field(default=False, description="Let the examples' patients be hits.")
    roles: list[ItemRole] | None = Field(
        default=None, description="Item roles; null takes primary images and the examples' own."
    )
    group: Literal["study", "patient", "item"] = "study"
    min_score: float | None = Field(default=None, ge=-1, le=1, description="Lowest cosine.")
    diversity: float = Field(default=0.0, ge=0, le=1)
    rank: Literal["pooled", "late", "frequency", "max", "sum"] = "pooled"
    pooling: Literal["mean", "median", "max", "min"] = "mean"
    mix: MixAsked = MixAsked()
    evidence: bool = Field(default=True, description="Also tell what speaks for each hit.")

    def as_request(self, files: Sequence[Path] = (), *, one_study: bool = False) -> SearchRequest:
        """The request; files that no example names come first, each an example.

        Args:
            files: that came with it.
            one_study: they lie in one folder, which is read as one study.
        """
        if one_study and files:
            if any(each.file for each in self.examples):
                raise ProblemError(422, "the files are one study, which is file 0")
            files = [files[0].parent]
        named = {each.file for each in self.examples}
        return SearchRequest(
            examples=(
                *(Example(file=path) for at, path in enumerate(files) if at not in named),
                *(each.as_example(files) for each in self.examples),
            ),
            k=self.k,
            filter=self.filter,
            keywords=self.keywords,
            encoders=tuple(self.encoders),
            own_study=self.own_study,
            same_patient=self.same_patient or self.own_study,
            roles=None if self.roles is None else frozenset(self.roles),
            group=self.group,
            min_score=self.min_score,
            diversity=self.diversity,
            rank=self.rank,
            pooling=self.pooling,
            mix=Rocchio(self.mix.alpha, self.mix.beta, self.mix.gamma),
            evidence=self.evidence,
        )


class SearchFilesAsked(SearchAsked):
    """What is asked with files; those that no example names are liked, each for itself."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"k": 5, "one_study": True}]})

    one_study: bool = Field(default=False, description="All files together are one study.")
    judge: bool = Field(default=False, description="Also tell what references say of the files.")


class ReferenceSaid(Told):
    """What a reference says of files that were searched with."""

    reference: str = Field(examples=["chest"])
    flagged: bool
    p_value: float = Field(description="Of the file that it finds oddest.")
    reason: str = Field(description="Why that was flagged; empty where it was not.")


class SearchAnswer(Told):
    """What was found, and how far it can be trusted."""

    queries: list[Described]
    mix: str = Field(description="How several examples were mixed.")
    hits: list[Hit] = Field(description="Nearest first.")
    priors: list[Hit] = Field(description="Other studies of the examples' patients, by date.")
    linked: list[LinkedCopy]
    passed: int = Field(description="Items that pass the filter.")
    candidates: int
    fused: bool = Field(description="Whether scores are sums of reciprocal ranks.")
    exact: bool
    spaces: list[SpaceUse]
    votes: list[LabelVote]
    notes: list[str]
    notice: str = Field(description="What must be said about what made the vectors.")
    said: list[ReferenceSaid] = Field(
        default=[], description="With judge: the newest references that can judge the files."
    )
    seconds: float


class ReportsAsked(Asked):
    """An image to be answered with the words of reports."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"uid": "1.2.840.113619.2.1", "k": 5}]}
    )

    uid: str = Field(min_length=1, max_length=64)
    k: int = Field(default=10, ge=1, le=1000)
    encoder: str | None = Field(default=None, max_length=200)
    studies: int = Field(default=20_000, ge=1, le=1_000_000, description="Compared in words.")


class ReportFound(Told):
    """A report or a sentence."""

    voice: str = Field(description="neighbour or text.")
    score: float
    text: str
    studies: int
    study_instance_uid: str


class ReportsAnswer(Told):
    """Words of reports that lie near to an image."""

    query: Described
    neighbours: list[ReportFound]
    reports: list[ReportFound]
    sentences: list[ReportFound]
    words: str = Field(description="How texts reached the space; empty if they cannot.")
    encoder: str
    notice: str
    notes: list[str]
    seconds: float
