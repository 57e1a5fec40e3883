"""The map of a space in two dimensions: fitted once, grown by placing, compared when refitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from api.service.grouping.cluster import chosen_space
from api.service.grouping.neighbours import space_neighbours
from clustering.contract import Progress, no_progress
from clustering.projection import MapModel, displacement, fit_map, model_of
from clustering.tables import write_table
from indexer.catalog.database import reading
from indexer.errors import ClusteringError, QueryError, StorageFullError
from indexer.groups.chart import map_chart
from indexer.groups.items import Gathered, describe, gather
from indexer.groups.maps import (
    Points,
    StoredMap,
    add_points,
    find_map,
    list_maps,
    read_points,
    remove_map,
    save_map,
)
from indexer.groups.runs import assigned, clusters_of, find_run
from indexer.library import Library, SpaceInfo

_FEWEST = 3


@dataclass(frozen=True)
class Placed:
    """What came of placing items on a map.

    Attributes:
        map: as it is now.
        added: items that were placed.
    """

    map: StoredMap
    added: int


def fit(
    library: Library,
    *,
    encoder: str = "",
    expression: str = "",
    sample: int = 200_000,
    seed: int = 0,
    progress: Progress = no_progress,
) -> StoredMap:
    """Fit a new version of the map of a space, and place all of its items on it.

    Versions that there are stay. Raising in ``progress`` stops it; nothing is stored then.

    Args:
        library: whose.
        encoder: whose space; "" takes the library's first that has vectors.
        expression: only items that pass this filter; "" for all primary items.
        sample: the most items that it is fitted on.
        seed: of the draw and of the layout.
        progress: told as `clustering.contract.Progress` says.

    Raises:
        ClusteringError: too few items.
        FilterError: the filter cannot be read.
        MissingExtraError: a package is not installed.
    """
    space = chosen_space(library, encoder)
    progress("reading vectors", 0, 0)
    with reading(library.engine) as db:
        gathered = gather(db, space, expression)
    if len(gathered.ids) < _FEWEST:
        raise ClusteringError(
            f"{len(gathered.ids)} items of '{space.encoder}' make no map; there have to be "
            f"{_FEWEST} or more"
        )
    neighbours = None
    if len(gathered.ids) <= sample:
        neighbours = space_neighbours(library, space, gathered, expression, progress)
    model = fit_map(
        gathered.vectors, sample=sample, neighbours=neighbours, seed=seed, progress=progress
    )
    places, fitted = _all_places(model, gathered, progress)
    points = Points(gathered.ids, places, fitted)
    report = _moved(library, space, points)
    parameters = {"sample": int(fitted.sum()), "seed": seed}
    with library.writing():
        return save_map(
            library, space, points, expression=expression, parameters=parameters, report=report
        )


def place(
    library: Library,
    *,
    encoder: str = "",
    version: int | None = None,
    progress: Progress = no_progress,
) -> Placed:
    """Place the items on a map that are not on it yet; those that are on it do not move.

    Raises:
        QueryError: there is no such map.
        ClusteringError: nothing that it was fitted on is there any more.
    """
    space = chosen_space(library, encoder)
    stored = find_map(library, space, version)
    progress("reading vectors", 0, 0)
    with reading(library.engine) as db:
        gathered = gather(db, space, stored.filter)
        points = read_points(db, stored)
    new = ~np.isin(gathered.ids, points.ids)
    if not new.any():
        return Placed(stored, 0)
    model = _model(gathered, points, stored)
    places = model.place(gathered.vectors[new], progress=progress)
    added = Points(gathered.ids[new], places, np.zeros(int(new.sum()), bool))
    with library.writing():
        add_points(library, stored, added)
    return Placed(find_map(library, space, stored.version), len(added.ids))


def versions(library: Library, encoder: str = "") -> list[StoredMap]:
    """All versions of the map of a space, oldest first."""
    return list_maps(library, chosen_space(library, encoder))


def remove(library: Library, version: int, encoder: str = "") -> None:
    """Delete a version.

    Raises:
        QueryError: there is none of this number.
    """
    stored = find_map(library, chosen_space(library, encoder), version)
    with library.writing():
        remove_map(library, stored)


def export(
    library: Library,
    path: Path,
    *,
    encoder: str = "",
    version: int | None = None,
    run: str = "",
) -> int:
    """Write a map as a table: CSV, Parquet or JSON by the ending; returns the rows.

    Args:
        library: whose.
        path: of the table.
        encoder: whose space.
        version: of the map, None for the newest.
        run: a clustering, whose clusters become a column.

    Raises:
        QueryError: there is no such map or clustering.
        ConfigError: the ending is another.
        StorageFullError: it cannot be written.
    """
    points, known = _told(library, encoder, version)
    clusters = _clusters(library, run, points) if run else None
    rows: list[Mapping[str, Any]] = []
    for at, (uid, (x, y)) in enumerate(zip(known.uids, points.places.tolist(), strict=True)):
        row = {
            "item": uid,
            "study_instance_uid": known.studies[at],
            "x": round(x, 5),
            "y": round(y, 5),
            "fitted": bool(points.fitted[at]),
        }
        rows.append(row | ({"cluster": int(clusters[0][at])} if clusters else {}))
    write_table(rows, path)
    return len(rows)


def draw(
    library: Library,
    path: Path,
    *,
    encoder: str = "",
    version: int | None = None,
    run: str = "",
    colour: str = "modality",
) -> None:
    """Draw a map as PNG, coloured by a field, a label, or the clusters of a run, which are named.

    Raises:
        QueryError: there is no such map, clustering or field.
        StorageFullError: it cannot be written.
    """
    points, known = _told(library, encoder, version)
    if run:
        labels, names = _clusters(library, run, points)
        groups = [names.get(int(label)) for label in labels]
    else:
        found = known.fields.get(colour, known.fields.get(f"label:{colour}"))
        if found is None:
            raise QueryError(f"there is no field '{colour}'; {', '.join(sorted(known.fields))}")
        groups = found
    try:
        map_chart(points.places, groups, named=bool(run)).save(path, "PNG")
    except (OSError, ValueError) as error:
        raise StorageFullError(f"{path} cannot be written: {error}") from error


def _told(library: Library, encoder: str, version: int | None) -> tuple[Points, Any]:
    stored = find_map(library, chosen_space(library, encoder), version)
    with reading(library.engine) as db:
        points = read_points(db, stored)
        return points, describe(db, points.ids)


def _clusters(library: Library, name: str, points: Points) -> tuple[np.ndarray, dict[int, str]]:
    """The cluster of each point, noise where the run does not have it, and the clusters' names."""
    run = find_run(library, name)
    with reading(library.engine) as db:
        items = assigned(db, run)
        names = {each.cluster: each.called for each in clusters_of(db, run) if each.cluster >= 0}
    return items.of(points.ids)[0], names


def _all_places(
    model: MapModel, gathered: Gathered, progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """Positions of all items: those that were fitted as they lie, the others placed."""
    fitted = np.zeros(len(gathered.ids), bool)
    fitted[model.rows] = True
    places = np.empty((len(gathered.ids), 2), np.float32)
    places[model.rows] = model.positions
    if not fitted.all():
        places[~fitted] = model.place(gathered.vectors[~fitted], progress=progress)
    return places, fitted


def _model(gathered: Gathered, points: Points, stored: StoredMap) -> MapModel:
    """The map as it was fitted, from the positions in the catalog and the vectors there."""
    ids = points.ids[points.fitted]
    kept, at, rows = np.intersect1d(ids, gathered.ids, assume_unique=True, return_indices=True)
    if not len(kept):
        raise ClusteringError(
            f"nothing that version {stored.version} of the map was fitted on is in the library any "
            "more; make a new one with: syntopy map fit"
        )
    seed = int(stored.parameters.get("seed", 0))
    return model_of(rows, gathered.vectors[rows], points.places[points.fitted][at], seed=seed)


def _moved(library: Library, space: SpaceInfo, points: Points) -> dict[str, object]:
    """How far the items moved since the newest version; empty if there is none."""
    before = list_maps(library, space)
    if not before:
        return {}
    with reading(library.engine) as db:
        old = read_points(db, before[-1])
    both, first, second = np.intersect1d(
        old.ids, points.ids, assume_unique=True, return_indices=True
    )
    about: dict[str, object] = {"since": before[-1].version, "items": len(both)}
    try:
        found = displacement(old.places[first], points.places[second])
    except ClusteringError:
        return about
    told = asdict(found)
    told.pop("distances")
    return about | told
