"""What a client of the HTTP service reads of a library beside its lists: pictures, groups, models.

All methods raise `api.client.ApiError` where the service refuses, or cannot be reached.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, Num

from api.client_asking import ApiError, Asking, part
from api.schemas.catalog import Item, Member, Series
from api.schemas.facets import FacetAnswer
from api.schemas.groups import (
    ComparedRuns,
    Map,
    MapItems,
    MapLegend,
    MapMissing,
    MapPlace,
    Method,
    Run,
    RunDetails,
)
from api.schemas.regions import FrameTold, Matched, RegionsFound
from api.schemas.search import ReportsAnswer, SearchAnswer
from api.schemas.system import LibraryInfo, Model, Space, Version
from indexer.types import Box, Window

_Places = Float32[np.ndarray, "n 2"]
_Values = Num[np.ndarray, "n"]
_Mask = Bool[np.ndarray, "n"]


class Reads(Asking):
    """A part of `api.client.Client`."""

    # -- the service and its library

    def version(self) -> Version:
        """What is running there."""
        return self._told(Version, "version")

    def ready(self) -> bool:
        """Whether its indexes are loaded; until then searches wait."""
        try:
            self._ask("GET", "ready")
        except ApiError as error:
            if error.problem is None or error.problem.code != "not_ready":
                raise
            return False
        return True

    def library(self) -> LibraryInfo:
        """The library in figures."""
        return self._told(LibraryInfo, "library")

    def spaces(self) -> list[Space]:
        """The spaces of the library, oldest first."""
        return self._list(Space, "spaces")

    def models(self) -> list[Model]:
        """Encoders that have a name there, and whether they can be used."""
        return self._list(Model, "models")

    def facets(self, filter: str = "") -> FacetAnswer:  # noqa: A002
        """How many of the studies that pass a filter have which value of which field."""
        return self._told(FacetAnswer, "facets", filter=filter)

    def one_series(self, uid: str) -> Series:
        """A series by its UID."""
        return self._told(Series, f"series/{part(uid)}")

    # -- an item: its picture, what is near to it

    def rendered(
        self,
        uid: str,
        *,
        window: Window | None = None,
        slice: int | None = None,  # noqa: A002
        size: int | None = None,
    ) -> bytes:
        """A frame of an item, PNG, drawn from its original.

        Args:
            uid: id of the item.
            window: center and width in modality units; None for the file's own.
            slice: of a volume, from one; None for its middle.
            size: of the longer side, in pixels; None as it is.
        """
        asked: dict[str, str | int] = {}
        if window is not None:
            asked["window"] = f"{window.center},{window.width}"
        asked |= {k: v for k, v in (("slice", slice), ("size", size)) if v is not None}
        return self._ask("GET", f"items/{part(uid)}/rendered", params=asked).content

    def neighbours(
        self,
        uid: str,
        k: int = 10,
        *,
        filter: str = "",  # noqa: A002
        group: Literal["study", "patient", "item"] = "study",
        encoder: str = "",
    ) -> SearchAnswer:
        """What lies nearest to an item, each study, patient or item once."""
        asked = {"k": str(k), "filter": filter, "group": group, "encoder": encoder}
        return self._told(SearchAnswer, f"items/{part(uid)}/neighbours", **asked)

    def reports(
        self, uid: str, k: int = 10, *, encoder: str | None = None, studies: int = 20_000
    ) -> ReportsAnswer:
        """The words of reports that lie near to an image; at most so many studies are compared."""
        asked = {"uid": uid, "k": k, "encoder": encoder, "studies": studies}
        return ReportsAnswer.model_validate_json(self._ask("POST", "reports", json=asked).content)

    # -- places of pictures

    def matching(self, uid: str, hit: str, encoder: str = "") -> Matched:
        """Where two items are alike, place by place; of volumes the two slices most alike."""
        asked = {"with": hit, "encoder": encoder}
        return self._told(Matched, f"items/{part(uid)}/matching", **asked)

    def frame(self, uid: str) -> FrameTold:
        """The size of an item's image, or of its slices: boxes are told in its pixels."""
        return self._told(FrameTold, f"items/{part(uid)}/frame")

    def search_region(
        self,
        uid: str,
        box: Box,
        k: int = 10,
        *,
        number: int | None = None,
        candidates: int = 20,
        filter: str = "",  # noqa: A002
        encoder: str | None = None,
    ) -> RegionsFound:
        """The images that have something like a part of an item's picture, and where.

        Args:
            uid: of the item.
            box: left edge, top edge, width and height in pixels of its frame.
            k: hits wanted.
            number: of a volume the slice, from one.
            candidates: images that are read again, 60 at most.
            filter: that they have to pass.
            encoder: None takes the first that tells places apart.
        """
        asked = {"uid": uid, "box": box, "k": k, "number": number, "candidates": candidates}
        asked |= {"filter": filter, "encoder": encoder}
        answer = self._ask("POST", "search/region", json=asked)
        return RegionsFound.model_validate_json(answer.content)

    # -- clusterings and maps

    def clusterings(self) -> list[Run]:
        """All clusterings, oldest first."""
        return self._list(Run, "clusters")

    def clustering(self, run: str, label: str = "") -> RunDetails:
        """One with its clusters, compared with a label if one is named."""
        return self._told(RunDetails, "clusters/run", run=run, label=label)

    def cluster_items(
        self,
        run: str,
        number: int,
        filter: str = "",  # noqa: A002
        sort: str = "",
    ) -> Iterator[Member]:
        """The items of a cluster (-1: noise) that pass a filter, in an order."""
        asked = {"run": run, "number": str(number), "filter": filter, "sort": sort}
        return self._rows(Member, "clusters/items", asked)

    def cluster_methods(self) -> list[Method]:
        """All ways to cluster, with their options."""
        return self._list(Method, "clusters/methods")

    def compare_clusterings(self, first: str, second: str) -> ComparedRuns:
        """Two clusterings beside each other, over the items that both have."""
        return self._told(ComparedRuns, "clusters/compare", first=first, second=second)

    def items_in_both(self, first: tuple[str, int], second: tuple[str, int]) -> Iterator[Item]:
        """The items in a cluster of one clustering and in one of another, each (run, number)."""
        (name, number), (other_name, other) = first, second
        asked = {"first": name, "second": other_name, "number": str(number), "other": str(other)}
        return self._rows(Item, "clusters/compare/items", asked)

    def maps(self, encoder: str = "") -> list[Map]:
        """All versions of the map of a space, oldest first."""
        return self._list(Map, "maps", encoder=encoder)

    def map_items(self, encoder: str = "", version: int | None = None) -> MapItems:
        """Ids of all items on a map (None: the newest), in the order of its points."""
        return self._told(MapItems, "maps/items", **_map(encoder, version))

    def map_items_at(
        self, at: Sequence[int], tag: str = "", encoder: str = "", version: int | None = None
    ) -> MapItems:
        """Ids of the items at some positions among the points that have this tag ("": any)."""
        asked = _map(encoder, version) | {"points": tag}
        answer = self._ask("POST", "maps/items", params=asked, json={"at": list(at)})
        return MapItems.model_validate_json(answer.content)

    def map_place(
        self, item: str, tag: str = "", encoder: str = "", version: int | None = None
    ) -> MapPlace:
        """The position of an item among the points that have this tag ("": any)."""
        asked = _map(encoder, version) | {"points": tag}
        return self._told(MapPlace, "maps/place", item=item, **asked)

    def map_points(self, encoder: str = "", version: int | None = None, tag: str = "") -> _Places:
        """Where the items on a map lie: float32 (n, 2), x and y of each.

        With the tag of `map_items` they are in the order of its items, or refused.
        """
        asked = _map(encoder, version) | {"points": tag}
        answer = self._ask("GET", "maps/points", params=asked)
        if len(answer.content) % 8:
            raise ApiError("the points of the map are no pairs of float32")
        return np.frombuffer(answer.content, "<f4").reshape(-1, 2).astype(np.float32)

    def map_legend(self, by: str, encoder: str = "", version: int | None = None) -> MapLegend:
        """What the values of the points stand for; ``by`` is such as ``field:modality``."""
        return self._told(MapLegend, "maps/legend", by=by, **_map(encoder, version))

    def map_values(self, legend: MapLegend) -> _Values:
        """The value of each point as a legend says: uint16 of a category, float32 of a number.

        Raises:
            ApiError: they have changed since; ask for the legend again.
        """
        asked = _map(legend.map.encoder, legend.map.version) | {"by": legend.by}
        answer = self._ask("GET", "maps/values", params=asked)
        if answer.headers.get("etag", "").strip('"') != legend.tag:
            raise ApiError("the values have changed since the legend was read")
        kind = "<u2" if legend.kind == "category" else "<f4"
        return np.frombuffer(answer.content, kind)

    def map_mask(
        self,
        filter: str = "",  # noqa: A002
        since: datetime | None = None,
        encoder: str = "",
        version: int | None = None,
    ) -> _Mask:
        """Which points pass a filter and came at a time or later, padded to whole bytes."""
        asked = {"filter": filter} | ({} if since is None else {"since": since.isoformat()})
        answer = self._ask("GET", "maps/mask", params=asked | _map(encoder, version))
        bits = np.unpackbits(np.frombuffer(answer.content, np.uint8), bitorder="little")
        return bits.astype(bool)

    def map_missing(self, encoder: str = "", version: int | None = None) -> MapMissing:
        """How many items came after a map was made, and are not on it."""
        return self._told(MapMissing, "maps/missing", **_map(encoder, version))


def _map(encoder: str, version: int | None) -> dict[str, str]:
    return {"encoder": encoder} | ({} if version is None else {"version": str(version)})
