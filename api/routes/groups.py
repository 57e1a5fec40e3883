"""Clusterings and maps, as they were made."""

from __future__ import annotations

import hashlib
from typing import Annotated

from fastapi import Query, Request
from fastapi.responses import Response

from api.answers import FLOATS, known_already, with_tag
from api.rights import Role
from api.routing import router
from api.schemas.catalog import Member
from api.schemas.common import (
    CursorParam,
    EncoderParam,
    FilterParam,
    LimitParam,
    PageOf,
    SortParam,
)
from api.schemas.groups import Map, MapItems, Run, RunDetails
from api.served import Service
from api.service import browse, cluster, maps
from api.service.paging import Paging

clusters = router("clusters", Role.READER)
on_maps = router("maps", Role.READER)
RunParam = Annotated[
    str, Query(min_length=1, max_length=128, description="Name of a clustering.", examples=["all"])
]
VersionParam = Annotated[
    int | None, Query(ge=1, le=1 << 31, description="Of the map; else the newest.")
]


@clusters.get("/clusters")
def list_clusterings(served: Service) -> list[Run]:
    """All clusterings, oldest first."""
    return [Run.model_validate(each) for each in cluster.runs(served.library)]


@clusters.get("/clusters/run")
def get_clustering(
    served: Service,
    run: RunParam,
    label: Annotated[
        str, Query(max_length=64, description="Compare with this label.", examples=["finding"])
    ] = "",
) -> RunDetails:
    """A clustering with its clusters and their names, and how good it is."""
    return RunDetails.model_validate(cluster.show_run(served.library, run, label))


@clusters.get("/clusters/items")
def list_members(
    served: Service,
    run: RunParam,
    number: Annotated[
        int, Query(ge=-1, le=1 << 31, description="Of the cluster; -1 for noise.", examples=[0])
    ],
    filter: FilterParam = "",
    sort: SortParam = "",
    cursor: CursorParam = "",
    limit: LimitParam = 50,
) -> PageOf[Member]:
    """The items of a cluster, page by page; sorted as items are."""
    found = browse.members(served.library, run, number, Paging(filter, sort, cursor, limit))
    return PageOf[Member].model_validate(served.links.page(found))


@on_maps.get("/maps")
def list_maps(served: Service, encoder: EncoderParam = "") -> list[Map]:
    """All versions of the map of a space, oldest first."""
    return [Map.model_validate(each) for each in maps.versions(served.library, encoder)]


@on_maps.get("/maps/items")
def get_map_items(
    served: Service, encoder: EncoderParam = "", version: VersionParam = None
) -> MapItems:
    """Ids of the items on a map, in the order of its points."""
    return MapItems.model_validate(maps.points(served.library, encoder, version))


@on_maps.get("/maps/points", response_class=Response, responses=FLOATS)
def get_map_points(
    request: Request, served: Service, encoder: EncoderParam = "", version: VersionParam = None
) -> Response:
    """Where the items on a map lie: little-endian float32, x and y of each."""
    packed = maps.points(served.library, encoder, version).places.astype("<f4").tobytes()
    tag = hashlib.sha256(packed).hexdigest()[:32]
    return known_already(request, tag) or with_tag(packed, "application/octet-stream", tag)
