"""Places of pictures: where two items are alike, and what is like a part of one."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from api.rights import Role
from api.routing import router
from api.schemas.common import EncoderParam, Uid
from api.schemas.regions import FrameTold, Matched, RegionSearchAsked, RegionsFound
from api.served import Service
from api.service import matched as service
from api.service.regions import RegionRequest, search_region

routes = router("search", Role.READER)


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


@routes.get("/items/{uid}/frame")
def get_frame(served: Service, uid: Uid) -> FrameTold:
    """The size of an item's image, or of its slices: boxes are told in its pixels."""
    return FrameTold.model_validate(service.frame_of(served.library, uid, served.settings))


@routes.post("/search/region")
def search_by_region(served: Service, asked: RegionSearchAsked) -> RegionsFound:
    """The images that have something like a part of a picture, and where they have it.

    Candidates come by one vector; only they are looked at, place by place.
    """
    found = search_region(
        served.library,
        RegionRequest(
            box=asked.box,
            uid=asked.uid,
            slice_number=asked.number,
            k=asked.k,
            candidates=asked.candidates,
            filter=asked.filter,
            encoder=asked.encoder,
        ),
        served.settings,
        stores=served.searcher.stores,
    )
    return RegionsFound.model_validate(found)
