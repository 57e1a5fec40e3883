"""Clusterings and maps as jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import Field

from api.jobs.work import Encoder, Filter, Kind, Name, Parameters, Seed, Work
from api.rights import Role
from api.service.grouping import cluster, maps
from clustering.registry import DEFAULT, make_method
from indexer.config import Settings
from indexer.errors import QueryError
from indexer.groups.maps import StoredMap
from indexer.groups.runs import StoredRun, check_name, find_run
from indexer.library import Library

Option = str | int | float | bool | None


class ClusterParameters(Parameters):
    """What to cluster, and how; docs/clustering.md has methods and options."""

    name: Name = Field(description="Of the clustering.", examples=["all"])
    method: Annotated[str, Field(max_length=64)] = DEFAULT
    options: dict[str, Option] = Field(default={}, max_length=64)
    n_clusters: Annotated[int | None, Field(ge=1, le=100_000)] = None
    encoder: Encoder = ""
    filter: Filter = ""
    seed: Seed = 0


class StabilityParameters(Parameters):
    """Which clustering is to be done again, and how often."""

    run: Name = Field(description="Of the clustering.", examples=["all"])
    repetitions: Annotated[
        int, Field(ge=2, le=50, description="With other seeds, and again as many on parts of it.")
    ] = 3


class MapParameters(Parameters):
    """Which space a map is to be made of."""

    encoder: Encoder = ""
    filter: Filter = ""
    sample: Annotated[
        int, Field(ge=3, le=10_000_000, description="The most items that it is fitted on.")
    ] = 200_000
    seed: Seed = 0


class PlaceParameters(Parameters):
    """On which map new items are to be placed."""

    encoder: Encoder = ""
    version: Annotated[int | None, Field(ge=1, le=1 << 31)] = None


def _check_cluster(library: Library, _settings: Settings, asked: ClusterParameters) -> None:
    check_name(library, asked.name)
    make_method(asked.method, asked.options)
    cluster.chosen_space(library, asked.encoder)


def _cluster(work: Work, asked: ClusterParameters) -> Mapping[str, Any]:
    stored = _made_before(work, asked.name)
    if stored is None:
        request = cluster.ClusterRequest(**asked.model_dump())
        stored = cluster.run_clustering(work.library, request, work.settings, work.tell)
    return {"run": stored.name, "clusters": stored.clusters} | _of(stored, "items", "noise")


def _made_before(work: Work, name: str) -> StoredRun | None:
    try:
        stored = find_run(work.library, name)
    except QueryError:
        return None
    return stored if work.made_before(stored.created_at) else None


def _check_stability(library: Library, _settings: Settings, asked: StabilityParameters) -> None:
    find_run(library, asked.run)


def _stability(work: Work, asked: StabilityParameters) -> Mapping[str, Any]:
    found = cluster.run_stability(work.library, asked.run, asked.repetitions, work.tell)
    for each in found.clusters:
        work.row(each)
    return {
        "run": asked.run,
        "stored": found.stored,
        "seeds": asdict(found.seeds),
        "subsamples": asdict(found.subsamples),
    }


def _check_map(library: Library, _settings: Settings, asked: MapParameters) -> None:
    cluster.chosen_space(library, asked.encoder)


def _map(work: Work, asked: MapParameters) -> Mapping[str, Any]:
    stored = maps.fit(
        work.library,
        encoder=asked.encoder,
        expression=asked.filter,
        sample=asked.sample,
        seed=asked.seed,
        progress=work.tell,
    )
    return _of(stored, "encoder", "version", "points", "fitted")


def _place(work: Work, asked: PlaceParameters) -> Mapping[str, Any]:
    placed = maps.place(
        work.library, encoder=asked.encoder, version=asked.version, progress=work.tell
    )
    return {"added": placed.added} | _of(placed.map, "encoder", "version", "points")


def _of(stored: StoredRun | StoredMap, *names: str) -> dict[str, Any]:
    told = asdict(stored)
    return {name: told[name] for name in names}


KINDS: tuple[Kind[Any], ...] = (
    Kind(
        "cluster",
        "Cluster the items of a space, and store the clustering.",
        Role.CURATOR,
        ClusterParameters,
        _cluster,
        _check_cluster,
    ),
    Kind(
        "cluster-stability",
        "Do a clustering again with other seeds and on parts of its items: does it come out alike?",
        Role.CURATOR,
        StabilityParameters,
        _stability,
        _check_stability,
    ),
    Kind(
        "map",
        "Fit a new version of the map of a space.",
        Role.CURATOR,
        MapParameters,
        _map,
        _check_map,
    ),
    Kind(
        "map-place",
        "Place the items on a map that are not on it yet.",
        Role.CURATOR,
        PlaceParameters,
        _place,
    ),
)
