"""Reference sets, and what they say of items and of files."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Annotated

from fastapi import Query, Request
from fastapi.concurrency import run_in_threadpool

from api.forms import body_of, read_request
from api.problems import ProblemError
from api.rights import Role
from api.routing import router
from api.schemas.common import CursorParam, FilterParam, LimitParam, PageOf
from api.schemas.flags import GroupStanding, ScoreCounts, StudyScore
from api.schemas.groups import Reference, ScoreAsked, ScoreFilesAsked, Scores, StudyJudged
from api.served import Served, Service
from api.service.drifting import arrival_windows
from api.service.judging import flags, ood
from api.service.judging.judge import Judge, StudyAnswer
from api.service.paging import Paging
from api.uploads import received

routes = router("ood", Role.READER)
NameParam = Annotated[
    str, Query(min_length=1, max_length=128, description="Of the set.", examples=["chest"])
]
AlarmParam = Annotated[
    float | None, Query(gt=0, lt=1, description="False-alarm rate; else the reference's.")
]


@routes.get("/ood/references")
def list_references(served: Service) -> list[Reference]:
    """All reference sets, oldest first."""
    return [Reference.model_validate(each) for each in ood.references(served.library)]


@routes.get("/ood/reference")
def get_reference(
    served: Service,
    name: NameParam,
) -> Reference:
    """A reference set with its report."""
    return Reference.model_validate(ood.show_reference(served.library, name))


@routes.get("/ood/scores")
def list_scores(
    served: Service,
    reference: NameParam,
    flagged: Annotated[
        bool | None, Query(description="Only those that are, or that are not; else all.")
    ] = None,
    judged: Annotated[
        bool | None, Query(description="Only those that can be, or that cannot; else all.")
    ] = None,
    decided: Annotated[
        bool | None, Query(description="Only those with a verdict, or without; else all.")
    ] = None,
    alarm: AlarmParam = None,
    filter: FilterParam = "",
    sort: Annotated[
        str,
        Query(
            max_length=40,
            description="p_value or judged_at; with - the reverse.",
            examples=["p_value"],
        ),
    ] = "",
    cursor: CursorParam = "",
    limit: LimitParam = 50,
) -> PageOf[StudyScore]:
    """Studies with what a reference last said of them, as ``syntopy ood watch`` stored it.

    Sorted by p_value or judged_at. Each has its review of the queue ood:REFERENCE, if any.
    """
    found = flags.stored_scores(
        served.library,
        reference,
        Paging(filter, sort, cursor, limit),
        flagged=flagged,
        judged=judged,
        decided=decided,
        alarm=alarm,
    )
    return PageOf[StudyScore].model_validate(found)


@routes.get("/ood/scores/counts")
def count_scores(
    served: Service, reference: NameParam, filter: FilterParam = "", alarm: AlarmParam = None
) -> ScoreCounts:
    """How many studies were judged, how many of them are flagged, and what was decided."""
    found = flags.count_scores(served.library, reference, filter, alarm)
    return ScoreCounts.model_validate(found)


@routes.get("/ood/drift")
def get_drift(served: Service, reference: NameParam) -> list[GroupStanding]:
    """Where the watch for drift stands, by group of studies, as ``syntopy ood watch`` left it."""
    found = arrival_windows.standings(served.library, reference)
    return [GroupStanding.model_validate(each) for each in found]


@routes.post("/ood/score")
def score(served: Service, asked: ScoreAsked) -> Scores:
    """What a reference says of items of the library, study by study; nothing is stored."""
    judge = _judge(served, asked, look=asked.look)
    return _scores(served, judge.of_items(asked.filter), asked.limit)


@routes.post(
    "/ood/score/files",
    openapi_extra=body_of(ScoreFilesAsked, "Each file, or each archive, is a study."),
)
async def score_files(request: Request, served: Service) -> Scores:
    """What a reference says of files, which need not be in the library; nothing is stored."""
    async with received(request, served.uploads, served.settings) as body:
        asked = read_request(ScoreFilesAsked, body.request)
        if not body.files:
            raise ProblemError(422, "send at least one part 'file'")
        paths = [body.folder] if asked.one_study else list(body.files)
        return await run_in_threadpool(_of_files, served, asked, paths)


def _of_files(served: Served, asked: ScoreFilesAsked, paths: list[Path]) -> Scores:
    return _scores(served, _judge(served, asked).of_files(paths), len(paths))


def _judge(served: Served, asked: ScoreAsked | ScoreFilesAsked, *, look: bool = True) -> Judge:
    return Judge(
        served.library,
        asked.reference,
        asked.alarm,
        settings=served.settings,
        look=look,
        fitted=served.references.sets,
    )


def _scores(served: Served, answers: Iterable[StudyAnswer], limit: int) -> Scores:
    """As many as were asked for, and whether there is one more."""
    found = list(islice(answers, limit + 1))
    told = [StudyJudged.model_validate(each) for each in served.links.each(found[:limit])]
    return Scores(studies=told, more=len(found) > limit)
