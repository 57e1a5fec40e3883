"""Places of pictures: where two items are alike, and what is like a part of one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import Query, Request
from fastapi.concurrency import run_in_threadpool

from api.forms import body_of, read_request
from api.rights import Role
from api.routing import router
from api.schemas.common import EncoderParam, Uid
from api.schemas.regions import (
    FrameTold,
    Matched,
    MatchingFilesAsked,
    RegionFilesAsked,
    RegionSearchAsked,
    RegionsFound,
)
from api.served import Served, Service
from api.service import matched as service
from api.service.regions import RegionRequest, search_region
from api.uploads import received
from indexer.searching.region_search import RegionAnswer

routes = router("search", Role.READER)
_FILES = "A file, or those of one study (one_study); several images are refused. None is kept."


@routes.get("/items/{uid}/matching")
def get_matching(
    served: Service,
    uid: Uid,
    hit: Annotated[
        str,
        Query(
            alias="with",
            min_length=1,
            max_length=64,
            description="Id of the other item.",
            examples=["jbolwr6vfuc3cadxsi4shtq3da"],
        ),
    ],
    encoder: EncoderParam = "",
) -> Matched:
    """Where two items are alike, place by place; both are read again from their files.

    Of volumes the two slices that are most alike are compared. Encoders without places are refused.
    """
    found = service.matched(served.library, uid, hit, encoder or None, served.settings)
    return Matched.model_validate(found)


@routes.post("/files/matching", openapi_extra=body_of(MatchingFilesAsked, _FILES))
async def match_files(request: Request, served: Service) -> Matched:
    """Where a file that comes with the request and an item are alike, place by place."""
    async with received(request, served.uploads, served.settings) as body:
        asked = read_request(MatchingFilesAsked, body.request)
        found = await run_in_threadpool(
            service.matched_file,
            served.library,
            body.picture(one_study=asked.one_study),
            asked.hit,
            asked.encoder,
            served.settings,
        )
    return Matched.model_validate(found)


@routes.get("/items/{uid}/frame")
def get_frame(served: Service, uid: Uid) -> FrameTold:
    """The size of an item's image, or of its slices: boxes are told in its pixels."""
    return FrameTold.model_validate(service.frame_of(served.library, uid, served.settings))


@routes.post("/search/region")
def search_by_region(served: Service, asked: RegionSearchAsked) -> RegionsFound:
    """The images that have something like a part of a picture, and where they have it.

    Candidates come by one vector; only they are looked at, place by place.
    """
    wanted = _region(asked, uid=asked.uid)
    return RegionsFound.model_validate(_found(served, wanted))


@routes.post("/search/region/files", openapi_extra=body_of(RegionFilesAsked, _FILES))
async def search_by_region_of_files(request: Request, served: Service) -> RegionsFound:
    """As search/region, with a part of a picture that comes with the request."""
    async with received(request, served.uploads, served.settings) as body:
        asked = read_request(RegionFilesAsked, body.request)
        wanted = _region(asked, image=body.picture(one_study=asked.one_study))
        found = await run_in_threadpool(_found, served, wanted)
    return RegionsFound.model_validate(found)


def _region(
    asked: RegionSearchAsked | RegionFilesAsked, uid: str | None = None, image: Path | None = None
) -> RegionRequest:
    return RegionRequest(
        box=asked.box,
        uid=uid,
        image=image,
        slice_number=asked.number,
        k=asked.k,
        candidates=asked.candidates,
        filter=asked.filter,
        encoder=asked.encoder,
    )


def _found(served: Served, wanted: RegionRequest) -> RegionAnswer:
    stores = served.searcher.stores
    return search_region(served.library, wanted, served.settings, stores=stores)
