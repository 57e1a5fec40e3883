"""Clusterings and maps, as they were made."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import Query, Request
from fastapi.responses import Response

from api.answers import BITS, FLOATS, NUMBERS, known_already, with_tag
from api.rights import Role
from api.routing import router
from api.schemas.catalog import Item, Member
from api.schemas.common import (
    CursorParam,
    EncoderParam,
    FilterParam,
    LimitParam,
    PageOf,
    SortParam,
)
from api.schemas.edited import ClusterName
from api.schemas.edits import ClusterNameAsked
from api.schemas.groups import (
    ComparedRuns,
    Map,
    MapItems,
    MapItemsAsked,
    MapLegend,
    MapMissing,
    MapPlace,
    Method,
    Run,
    RunDetails,
)
from api.served import Service
from api.service import browse
from api.service.grouping import cluster, cluster_names, maps
from api.service.grouping.map_values import Packed
from api.service.paging import Paging
from api.writing import TAGGED, MadeFrom, Writer, give_tag
from clustering.registry import told_methods

clusters = router("clusters", Role.READER)
naming = router("clusters", Role.CURATOR)
on_maps = router("maps", Role.READER)
RunParam = Annotated[
    str, Query(min_length=1, max_length=128, description="Name of a clustering.", examples=["all"])
]
NumberParam = Annotated[
    int, Query(ge=-1, le=1 << 31, description="Of the cluster; -1 for noise.", examples=[0])
]
VersionParam = Annotated[
    int | None, Query(ge=1, le=1 << 31, description="Of the map; else the newest.")
]
PointsParam = Annotated[
    str,
    Query(
        max_length=64,
        description="ETag of the points that whoever asks has, without its quotes; 412 where the "
        "map has others by now.",
    ),
]
ByParam = Annotated[
    str,
    Query(
        min_length=1,
        max_length=200,
        description="field:NAME, field:label:NAME, cluster:NAME of a clustering, score:NAME of a "
        "reference.",
        examples=["field:modality"],
    ),
]
SinceParam = Annotated[
    datetime | None, Query(description="Only items that came then or later; UTC unless it says.")
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
    found = cluster.show_run(served.library, run, label, served.qualities.of)
    return RunDetails.model_validate(found)


@clusters.get("/clusters/items")
def list_members(
    served: Service,
    run: RunParam,
    number: NumberParam,
    filter: FilterParam = "",
    sort: SortParam = "",
    cursor: CursorParam = "",
    limit: LimitParam = 50,
) -> PageOf[Member]:
    """The items of a cluster, page by page; sorted as items are, or by confidence."""
    found = browse.members(served.library, run, number, Paging(filter, sort, cursor, limit))
    return PageOf[Member].model_validate(served.links.page(found))


@clusters.get("/clusters/methods")
def list_methods() -> list[Method]:
    """All ways to cluster, the usual one first, with their options."""
    return [Method.model_validate(each) for each in told_methods()]


@clusters.get("/clusters/compare")
def compare_clusterings(served: Service, first: RunParam, second: RunParam) -> ComparedRuns:
    """Two clusterings beside each other: what stayed together and what moved."""
    return ComparedRuns.model_validate(cluster.compare_runs(served.library, first, second))


@clusters.get("/clusters/compare/items")
def list_items_in_both(
    served: Service,
    first: RunParam,
    second: RunParam,
    number: NumberParam,
    other: NumberParam,
    filter: FilterParam = "",
    sort: SortParam = "",
    cursor: CursorParam = "",
    limit: LimitParam = 50,
) -> PageOf[Item]:
    """The items in cluster ``number`` of the first that are in ``other`` of the second."""
    found = browse.in_both(
        served.library, (first, number), (second, other), Paging(filter, sort, cursor, limit)
    )
    return PageOf[Item].model_validate(served.links.page(found))


@clusters.get("/clusters/name", responses=TAGGED)
def get_cluster_name(
    served: Service, response: Response, run: RunParam, number: NumberParam
) -> ClusterName:
    """What a cluster is called: the name that was found, and that of a person."""
    return _named(cluster_names.cluster_name(served.library, run, number), response)


@naming.patch("/clusters/name", responses=TAGGED)
def name_cluster(
    served: Service,
    author: Writer,
    expected: MadeFrom,
    response: Response,
    run: RunParam,
    number: NumberParam,
    asked: ClusterNameAsked,
) -> ClusterName:
    """Give a cluster a name; the one that was found stays beside it."""
    done = cluster_names.call_cluster(
        served.library, run, number, asked.given_name, expected=expected, author=author
    )
    return _named(done, response)


def _named(found: cluster_names.ClusterName, response: Response) -> ClusterName:
    give_tag(response, found.tag)
    return ClusterName.model_validate(found)


@on_maps.get("/maps")
def list_maps(served: Service, encoder: EncoderParam = "") -> list[Map]:
    """All versions of the map of a space, oldest first."""
    return [Map.model_validate(each) for each in maps.versions(served.library, encoder)]


@on_maps.get("/maps/items")
def get_map_items(
    served: Service,
    encoder: EncoderParam = "",
    version: VersionParam = None,
    points: PointsParam = "",
) -> MapItems:
    """Ids of all items on a map, in the order of its points: 26 MB of a million.

    Whoever needs a few of them asks with POST.
    """
    return MapItems.model_validate(served.maps.items(encoder, version, None, points))


@on_maps.post("/maps/items")
def find_map_items(
    served: Service,
    asked: MapItemsAsked,
    encoder: EncoderParam = "",
    version: VersionParam = None,
    points: PointsParam = "",
) -> MapItems:
    """Ids of the items at some positions among the points of a map."""
    return MapItems.model_validate(served.maps.items(encoder, version, asked.at, points))


@on_maps.get("/maps/place")
def get_map_place(
    served: Service,
    item: Annotated[
        str,
        Query(
            min_length=1,
            max_length=64,
            description="Id of an item.",
            examples=["jbolwr6vfuc3cadxsi4shtq3da"],
        ),
    ],
    encoder: EncoderParam = "",
    version: VersionParam = None,
    points: PointsParam = "",
) -> MapPlace:
    """The position of an item among the points of a map."""
    return MapPlace.model_validate(served.maps.place(item, encoder, version, points))


@on_maps.get("/maps/points", response_class=Response, responses=FLOATS)
def get_map_points(
    request: Request,
    served: Service,
    encoder: EncoderParam = "",
    version: VersionParam = None,
    points: PointsParam = "",
) -> Response:
    """Where the items on a map lie: little-endian float32, x and y of each."""
    found = served.maps.of(encoder, version, points)
    known = known_already(request, found.tag)
    return known or with_tag(found.packed(), "application/octet-stream", found.tag)


@on_maps.get("/maps/legend")
def get_map_legend(
    served: Service,
    by: ByParam,
    encoder: EncoderParam = "",
    version: VersionParam = None,
    points: PointsParam = "",
) -> MapLegend:
    """What the values of the points stand for, and how many have each."""
    return MapLegend.model_validate(served.map_values.legend(encoder, version, by, points))


@on_maps.get("/maps/values", response_class=Response, responses=NUMBERS)
def get_map_values(
    request: Request,
    served: Service,
    by: ByParam,
    encoder: EncoderParam = "",
    version: VersionParam = None,
    points: PointsParam = "",
) -> Response:
    """One value a point, in the order of the points; the legend says what it is."""
    return _tagged(request, served.map_values.packed(encoder, version, by, points))


@on_maps.get("/maps/mask", response_class=Response, responses=BITS)
def get_map_mask(
    request: Request,
    served: Service,
    filter: FilterParam = "",
    since: SinceParam = None,
    encoder: EncoderParam = "",
    version: VersionParam = None,
    points: PointsParam = "",
) -> Response:
    """Which points pass a filter, and came at a time or later: one bit each, lowest first."""
    return _tagged(request, served.map_values.mask(encoder, version, filter, since, points))


@on_maps.get("/maps/missing")
def get_map_missing(
    served: Service, encoder: EncoderParam = "", version: VersionParam = None
) -> MapMissing:
    """How many items came after a map was made, and are not on it; the job map-place puts them."""
    return MapMissing.model_validate(served.map_values.missing(encoder, version))


def _tagged(request: Request, packed: Packed) -> Response:
    known = known_already(request, packed.tag)
    return known or with_tag(packed.content, "application/octet-stream", packed.tag)
