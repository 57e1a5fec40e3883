"""What a search is asked: plain data, and the checks that need no library."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from indexer.errors import QueryError
from indexer.searching.slices import POOLINGS, RANKINGS
from indexer.types import Box, Role

MAX_K = 10_000
MOST_DIVERSE = 200
"""Hits that can be diversified: each is compared with all before it."""
GROUPS = ("study", "patient", "item")
LATE = "late"
ALL = "all"
"""Instead of the names of encoders."""
_MOST_EXAMPLES = 100


@dataclass(frozen=True)
class Region:
    """A part of one picture.

    Attributes:
        box: left edge, top edge, width and height in pixels of the picture as it is shown.
        number: of a volume the slice, of several frames the frame, from one; else None.
    """

    box: Box
    number: int | None = None


@dataclass(frozen=True)
class Example:
    """One thing that hits should be like, or unlike: exactly one of the first four.

    Attributes:
        file: DICOM, PNG, NIfTI …; a folder or an archive is read as one study.
        uid: a study, series, SOP instance UID or item id of the library.
        text: a phrase.
        report: the text of a report.
        region: a part of the file's, or the UID's, only picture.
        weight: above zero for like, below for unlike; see `Rocchio`.
    """

    file: Path | None = None
    uid: str = ""
    text: str = ""
    report: str = ""
    region: Region | None = None
    weight: float = 1.0

    @property
    def kind(self) -> str:
        """``file``, ``uid``, ``text`` or ``report``."""
        kinds = [name for name in ("file", "uid", "text", "report") if getattr(self, name)]
        return kinds[0] if kinds else ""

    @property
    def name(self) -> str:
        """What may be said of it in a sentence: never more of a path than its last part."""
        if self.file is not None:
            return self.file.name or "the folder"
        if self.report:
            return "the report"
        words = " ".join((self.uid or self.text).split())
        return words if len(words) <= 60 else f"{words[:59]}…"


def like(
    *,
    file: Path | None = None,
    uid: str = "",
    text: str = "",
    report: str = "",
    region: Region | None = None,
) -> tuple[Example, ...]:
    """The everyday case: one example, as `SearchRequest` wants it."""
    return (Example(file=file, uid=uid, text=text, report=report, region=region),)


@dataclass(frozen=True)
class Rocchio:
    """Weights by which examples are mixed: Rocchio's relevance feedback.

    The defaults are those named as reasonable by Manning, Raghavan and Schütze, Introduction to
    Information Retrieval (2008), section 9.1.1.

    Attributes:
        alpha: of the first example with a weight above zero: the query.
        beta: of the mean of all further ones that are liked.
        gamma: of the mean of those that are not.
    """

    alpha: float = 1.0
    beta: float = 0.75
    gamma: float = 0.15


@dataclass(frozen=True)
class SearchRequest:
    """What is asked.

    Attributes:
        examples: what hits should be like, and unlike; see `like` for one alone.
        k: neighbours wanted, 1 to 10,000.
        filter: an expression of `indexer.filters`, ``""`` for none.
        keywords: words to look up in descriptions, reports and labels, see
            `indexer.searching.keywords`; None takes those of the phrases and reports that are
            liked, ``""`` looks up none.
        encoders: which spaces; several are fused, ``all`` takes every one that can, and none
            the library's first that can take the examples.
        own_study, same_patient: whether the examples' own studies, their patients, may be hits.
        roles: item roles to look at; None takes primary images and the examples' own roles.
        group: ``"study"`` and ``"patient"`` list each once by its best item, ``"item"`` all items.
        min_score: hits of a space have at least this cosine; None cuts nothing.
        diversity: 0 to 1, how far hits shall differ from each other, see
            `indexer.searching.grouping`.
        rank: ``"pooled"`` compares one vector an item; ``"late"`` compares studies part by part,
            see `indexer.searching.late`; ``"frequency"``, ``"max"`` and ``"sum"`` rank by slices,
            see `indexer.searching.slices`.
        pooling: how the slices of a volume make its one vector: ``"mean"``, which is stored, or
            ``"median"``, ``"max"``, ``"min"``.
        mix: weights of several examples.
        evidence: whether what speaks for each hit, and the votes on labels, are wanted.
    """

    examples: tuple[Example, ...]
    k: int = 10
    filter: str = ""
    keywords: str | None = None
    encoders: tuple[str, ...] = ()
    own_study: bool = False
    same_patient: bool = False
    roles: frozenset[Role] | None = None
    group: str = "study"
    min_score: float | None = None
    diversity: float = 0.0
    rank: str = "pooled"
    pooling: str = "mean"
    mix: Rocchio = Rocchio()
    evidence: bool = False

    def check(self) -> None:
        """See that it can be asked at all.

        Raises:
            QueryError: naming the field that is wrong.
        """
        if not self.examples and not (self.keywords or "").strip():
            raise QueryError("search with a file, a UID, a text, a report or keywords")
        if len(self.examples) > _MOST_EXAMPLES:
            raise QueryError(f"at most {_MOST_EXAMPLES} examples, not {len(self.examples)}")
        for example in self.examples:
            _check_example(example)
        if self.examples and all(example.weight < 0 for example in self.examples):
            raise QueryError("name at least one thing that hits should be like, not only unlike")
        if not 1 <= self.k <= MAX_K:
            raise QueryError(f"k is 1 to {MAX_K}, not {self.k}")
        _check_choices(self)
        _check_numbers(self)


def _check_example(example: Example) -> None:
    given = sum((example.file is not None, *map(bool, (example.uid, example.text, example.report))))
    if given != 1:
        raise QueryError(
            "an example is either a file or a UID, or a text, or a report; one of them"
        )
    if not math.isfinite(example.weight) or not example.weight:
        raise QueryError(
            f"the weight of an example is a number above zero for like, below zero for unlike, "
            f"not {example.weight:g}"
        )
    region = example.region
    if region is None:
        return
    if example.kind not in ("file", "uid"):
        raise QueryError("a region is on a picture: it goes with a file or a UID")
    if not all(map(math.isfinite, region.box)) or min(region.box[2:]) <= 0:
        raise QueryError("a region is left edge, top edge, width and height, the last two above 0")
    if region.number is not None and region.number < 1:
        raise QueryError(f"frames and slices are numbered from 1, not {region.number}")


def _check_choices(request: SearchRequest) -> None:
    for name, asked_for, known in (
        ("group", request.group, GROUPS),
        ("rank", request.rank, ("pooled", LATE, *RANKINGS)),
        ("pooling", request.pooling, tuple(POOLINGS)),
    ):
        if asked_for not in known:
            raise QueryError(f"{name} is one of {', '.join(known)}, not '{asked_for}'")
    if request.rank != "pooled" and request.pooling != "mean":
        raise QueryError(f"rank {request.rank} goes by slices: leave out pooling")
    if request.rank == LATE and request.group == "item":
        raise QueryError("rank late compares studies: group by study or patient")
    parts = (request.rank, request.pooling) != ("pooled", "mean")
    if parts and (len(request.examples) > 1 or any(e.region for e in request.examples)):
        what = f"rank {request.rank}" if request.rank != "pooled" else f"pooling {request.pooling}"
        raise QueryError(f"{what} takes one example alone, and no region")


def _check_numbers(request: SearchRequest) -> None:
    if request.min_score is not None and not -1 <= request.min_score <= 1:
        raise QueryError(f"min_score is a cosine, -1 to 1, not {request.min_score:g}")
    if request.min_score is not None and request.rank in ("frequency", "sum"):
        raise QueryError(f"min_score is a cosine, and rank {request.rank} counts something else")
    if not 0 <= request.diversity <= 1:
        raise QueryError(f"diversity is 0 to 1, not {request.diversity:g}")
    if request.diversity and request.k > MOST_DIVERSE:
        raise QueryError(f"at most {MOST_DIVERSE} hits can be diversified, not {request.k}")
    weights = (request.mix.alpha, request.mix.beta, request.mix.gamma)
    if not all(math.isfinite(w) and w >= 0 for w in weights) or not request.mix.alpha:
        raise QueryError("weights of a mix are numbers from zero, that of the query above zero")


@dataclass(frozen=True)
class Described:
    """An example as a person wants to hear of it; what is not known is empty.

    Attributes:
        kind: ``file``, ``uid``, ``text`` or ``report``.
        item: public id of its middle image or volume, where the library has it.
        description: of the image; of a phrase or report its words.
        items: how many images or volumes it has that count.
        weight: as asked.
    """

    kind: str
    item: str = ""
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    sop_instance_uid: str = ""
    modality: str = ""
    body_part: str = ""
    description: str = ""
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    items: int = 1
    weight: float = 1.0
    region: Region | None = None
