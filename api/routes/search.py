"""Searching: like what is in the library, like words, like files; and the words of reports."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from fastapi import Query, Request
from fastapi.concurrency import run_in_threadpool

from api.forms import body_of, read_request
from api.rights import Role
from api.routing import router
from api.schemas.common import EncoderParam, FilterParam, Uid
from api.schemas.search import (
    ReferenceSaid,
    ReportsAnswer,
    ReportsAsked,
    SearchAnswer,
    SearchAsked,
    SearchFilesAsked,
)
from api.served import Served, Service
from api.service import reports as words
from api.service.judging import unlike
from api.uploads import received
from indexer.searching.asking import SearchRequest, like
from indexer.texts.reports import ReportsRequest

routes = router("search", Role.READER)
_FILES = (
    "Files as syntopy index takes them: DICOM, PNG, NIfTI …; an archive is one study. Nothing of "
    "them is kept."
)


@routes.post("/search")
def search(served: Service, asked: SearchAsked) -> SearchAnswer:
    """The studies most like examples that the library has, like words, unlike others.

    The examples' own studies are left out; their patients' other studies are listed apart.
    """
    return SearchAnswer.model_validate(served.search(asked.as_request()))


@routes.post("/search/files", openapi_extra=body_of(SearchFilesAsked, _FILES))
async def search_files(request: Request, served: Service) -> SearchAnswer:
    """As search, with files; the part request is the same JSON, and may be left out."""
    async with received(request, served.uploads, served.settings) as body:
        asked = read_request(SearchFilesAsked, body.request)
        wanted = asked.as_request(body.files, one_study=asked.one_study)
        # Each needs the files; one after the other, for both compute.
        answer = SearchAnswer.model_validate(await run_in_threadpool(served.search, wanted))
        if asked.judge and body.files:
            paths = [body.folder] if asked.one_study else list(body.files)
            answer.said = await run_in_threadpool(_said, served, paths)
    return answer


def _said(served: Served, paths: list[Path]) -> list[ReferenceSaid]:
    found = unlike.said_of_files(served.library, paths, served.settings, served.references.sets)
    return [ReferenceSaid.model_validate(each) for each in found]


@routes.get("/items/{uid}/neighbours")
def neighbours(
    served: Service,
    uid: Uid,
    k: Annotated[int, Query(ge=1, le=10_000, description="How many.")] = 10,
    filter: FilterParam = "",
    group: Annotated[
        Literal["study", "patient", "item"], Query(description="What is listed once.")
    ] = "study",
    encoder: EncoderParam = "",
) -> SearchAnswer:
    """What lies nearest to an item: a search with nothing but its id."""
    asked = SearchRequest(
        like(uid=uid),
        k=k,
        filter=filter,
        group=group,
        encoders=(encoder,) if encoder else (),
        evidence=True,
    )
    return SearchAnswer.model_validate(served.search(asked))


@routes.post("/reports")
def reports(served: Service, asked: ReportsAsked) -> ReportsAnswer:
    """The words of reports that lie near to an image: of its neighbours, and by their own words."""
    wanted = ReportsRequest(uid=asked.uid, k=asked.k, encoder=asked.encoder, studies=asked.studies)
    return ReportsAnswer.model_validate(words.reports(served.library, wanted, served.settings))
