"""Group what is in a library: run a method, store the run whole, read it, compare, export."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from api.service.bridge import space_of
from api.service.grouping.naming import told_clusters
from api.service.grouping.neighbours import space_neighbours
from api.service.grouping.run_quality import RunQuality, measured
from clustering.agreement import ari
from clustering.comparison import Match, compare
from clustering.contract import Progress, no_progress
from clustering.quality import (
    Agreement,
    Confidence,
    Silhouette,
    Stability,
    against,
    stability,
    subsample_stability,
)
from clustering.recurrence import Recurrence, recurrence
from clustering.registry import DEFAULT, make_method
from clustering.tables import write_table
from indexer.catalog.database import reading, transaction
from indexer.config import Settings
from indexer.errors import ClusteringError, ConfigError, QueryError, StorageFullError
from indexer.evaluating.labelled import read_vectors
from indexer.groups.items import describe, gather
from indexer.groups.runs import (
    NOISE,
    NamedCluster,
    RunDraft,
    StoredRun,
    assigned,
    check_name,
    clusters_of,
    find_run,
    list_runs,
    name_cluster,
    remove_run,
    run_named,
    save_run,
)
from indexer.groups.sheet import cluster_sheet
from indexer.library import Library, SpaceInfo
from indexer.searching.search import thumbnails


@dataclass(frozen=True)
class ClusterRequest:
    """What to cluster, and how.

    Attributes:
        name: of the run.
        method: see `clustering.registry.method_names`.
        options: its parameters by name.
        n_clusters: how many; None lets the method find out.
        encoder: whose space; empty takes the library's first that has vectors.
        filter: only items that pass, ``""`` for all primary items.
        seed: of all that is random.
    """

    name: str
    method: str = DEFAULT
    options: Mapping[str, object] = field(default_factory=dict)
    n_clusters: int | None = None
    encoder: str = ""
    filter: str = ""
    seed: int = 0


@dataclass(frozen=True)
class ShownRun:
    """A run with its clusters, and how good it is.

    Attributes:
        run: as it was stored.
        clusters: by number, noise last.
        n_clusters: how many, noise not counted.
        acc, nmi, ari: against the label asked for, else None.
        agreement: all that was compared with the label.
        silhouette: mean of a sample of the items, None with fewer than two clusters.
        confidence: of the method in its own labels.
        notes: what a reader should know.
    """

    run: StoredRun
    clusters: list[NamedCluster]
    n_clusters: int
    acc: float | None
    nmi: float | None
    ari: float | None
    agreement: Agreement | None
    silhouette: Silhouette | None
    confidence: Confidence | None
    notes: list[str]


@dataclass(frozen=True)
class RunStability:
    """How far a run comes out alike when it is done again.

    Attributes:
        stored: of the stored run with those of other seeds, mean ARI.
        seeds: of runs over all its items, the stored one among them, each with another seed.
        subsamples: of runs over four fifths of the items, on those that two have.
        clusters: how surely each cluster of the stored run comes back in all of these.
    """

    name: str
    stored: float
    seeds: Stability
    subsamples: Stability
    clusters: list[Recurrence]


@dataclass(frozen=True)
class ComparedClusters:
    """A cluster of one run, and the cluster of the other that it became.

    Attributes:
        first, second: numbers and names; None where there is no counterpart.
        match: how much they share.
    """

    first: str | None
    second: str | None
    match: Match


@dataclass(frozen=True)
class ComparedRuns:
    """Two runs over the items that both have.

    Attributes:
        items: in both; ``only_first`` and ``only_second`` are in one.
        moved: items whose cluster in the second does not match theirs in the first.
        confusion: items by cluster of the first and cluster of the second, zeros left out.
    """

    first: str
    second: str
    items: int
    only_first: int
    only_second: int
    ari: float
    nmi: float
    moved: int
    clusters: list[ComparedClusters]
    confusion: list[tuple[int, int, int]]


def run_clustering(
    library: Library,
    request: ClusterRequest,
    settings: Settings,
    progress: Progress = no_progress,
) -> StoredRun:
    """Cluster and store; raising in ``progress`` stops it, and nothing is stored then.

    Raises:
        ConfigError: no such method, parameter or encoder, or there is a run of this name.
        FilterError: the filter cannot be read.
        ClusteringError: the items cannot be grouped so.
        MissingExtraError: a package is not installed.
    """
    check_name(library, request.name)
    method = make_method(request.method, request.options)
    space = chosen_space(library, request.encoder)
    start = time.perf_counter()
    progress("reading vectors", 0, 0)
    with reading(library.engine) as db:
        gathered = gather(db, space, request.filter)
        described = describe(db, gathered.ids)
    if not len(gathered.ids):
        raise ClusteringError(_nothing(space, request.filter, gathered.missing))
    neighbours = space_neighbours(library, space, gathered, request.filter, progress)
    made = method.fit(
        gathered.vectors,
        request.n_clusters,
        seed=request.seed,
        neighbours=neighbours,
        progress=progress,
    )
    progress("naming clusters", 0, 0)
    clusters, said = told_clusters(
        library, space, made, gathered=gathered, described=described, settings=settings
    )
    draft = RunDraft(
        name=request.name,
        method=request.method,
        parameters=made.parameters,
        seed=request.seed,
        filter=request.filter,
        ids=gathered.ids,
        labels=made.labels,
        confidence=made.confidence,
        notes=[*_notes(gathered.missing, space, neighbours.recall), *made.notes, *said],
        curves=made.curves,
        clusters=clusters,
        seconds=time.perf_counter() - start,
    )
    with library.writing():
        return save_run(library, space, draft)


def show_run(
    library: Library,
    name: str,
    label: str = "",
    quality: Callable[[StoredRun], RunQuality] | None = None,
) -> ShownRun:
    """A run with its clusters.

    Args:
        library: whose.
        name: of the run.
        label: to compare with: a label's name, or a field such as modality or body_part.
        quality: tells how good the run is; None measures it.

    Raises:
        QueryError: there is no such run or label.
    """
    run = find_run(library, name)
    agreement = None
    with reading(library.engine) as db:
        clusters = clusters_of(db, run)
        if label:
            items = assigned(db, run)
            fields = describe(db, items.ids).fields
            given = fields.get(label, fields.get(f"label:{label}"))
            if given is None:
                known = ", ".join(sorted(fields))
                raise QueryError(f"no item carries a label '{label}'; there are: {known}")
            agreement = against(items.labels, given)
    found = (quality or partial(measured, library))(run)
    notes = list(run.notes)
    if run.left < run.items:
        notes.append(f"{run.items - run.left:,} items were removed from the library since")
    return ShownRun(
        run,
        clusters,
        run.clusters,
        agreement.acc if agreement else None,
        agreement.nmi if agreement else None,
        agreement.ari if agreement else None,
        agreement,
        found.silhouette,
        found.confidence,
        notes,
    )


def run_stability(
    library: Library, name: str, repetitions: int = 3, progress: Progress = no_progress
) -> RunStability:
    """Do a run again with other seeds and on other parts of its items; nothing is stored.

    Args:
        library: whose.
        name: of the run.
        repetitions: with other seeds, and again as many on parts; two at least.
        progress: see `run_clustering`.

    Raises:
        QueryError: there is no such run, or fewer than two repetitions.
        ClusteringError: its items cannot be grouped any more.
        MissingExtraError: a package is not installed.
    """
    run = find_run(library, name)
    asked = run.parameters.get("n_clusters")
    count = asked if isinstance(asked, int) else None
    own = {"n_clusters", "seed"}
    method = make_method(run.method, {k: v for k, v in run.parameters.items() if k not in own})
    with reading(library.engine) as db:
        items = assigned(db, run)
        vectors, present = read_vectors(db, _space(library, run), items.ids)
    labels, vectors = items.labels[present], vectors[present]
    if repetitions < 2:
        raise QueryError("repetitions: two or more are needed to compare")
    parts = list[tuple[np.ndarray, np.ndarray]]()

    def again(rows: np.ndarray, seed: int) -> np.ndarray:
        progress("clustering again", len(parts), 2 * repetitions)
        found = method.fit(vectors[rows], count, seed=seed).labels
        parts.append((rows, found))
        return found

    every = np.arange(len(vectors))
    others = [again(every, run.seed + 1 + number) for number in range(repetitions)]
    subsamples = subsample_stability(
        again, len(vectors), repetitions=repetitions, seed=run.seed + 1
    )
    return RunStability(
        name,
        float(np.mean([ari(labels, other) for other in others])),
        stability([labels, *others]),
        subsamples,
        recurrence(labels, parts),
    )


def compare_runs(library: Library, first: str, second: str) -> ComparedRuns:
    """Two runs beside each other, over the items that both have.

    Raises:
        QueryError: there is no such run, or they have no item in common.
    """
    runs = find_run(library, first), find_run(library, second)
    with reading(library.engine) as db:
        items = [assigned(db, run) for run in runs]
        names = [{each.cluster: each.called for each in clusters_of(db, run)} for run in runs]
    both, at_first, at_second = np.intersect1d(
        items[0].ids, items[1].ids, assume_unique=True, return_indices=True
    )
    if not len(both):
        raise QueryError(f"'{first}' and '{second}' have no item in common")
    found = compare(items[0].labels[at_first], items[1].labels[at_second])
    return ComparedRuns(
        first,
        second,
        len(both),
        len(items[0].ids) - len(both),
        len(items[1].ids) - len(both),
        found.ari,
        found.nmi,
        len(found.moved),
        [
            ComparedClusters(_called(names[0], m.first), _called(names[1], m.second), m)
            for m in found.matches
        ],
        [(each.first, each.second, each.items) for each in found.overlaps],
    )


def export_run(library: Library, name: str, path: Path) -> int:
    """Write the items of a run as a table: CSV, Parquet or JSON by the ending; returns the rows.

    Raises:
        QueryError: there is no such run.
        ConfigError: the ending is another.
        StorageFullError: it cannot be written.
    """
    run = find_run(library, name)
    with reading(library.engine) as db:
        items = assigned(db, run)
        names = {each.cluster: each.called for each in clusters_of(db, run)}
        known = describe(db, items.ids)
    columns = zip(
        known.uids, known.studies, items.labels.tolist(), items.confidence.tolist(), strict=True
    )
    fields = ("modality", "body_part", "view", "manufacturer", "split")
    rows = [
        {
            "item": uid,
            "study_instance_uid": study,
            "cluster": cluster,
            "name": names.get(cluster, ""),
            "confidence": round(sure, 4),
        }
        | {field: known.fields[field][at] for field in fields}
        for at, (uid, study, cluster, sure) in enumerate(columns)
    ]
    write_table(rows, path)
    return len(rows)


def write_sheets(library: Library, name: str, folder: Path) -> list[Path]:
    """Write a contact sheet PNG for each cluster: exemplars and borderline members.

    Raises:
        QueryError: there is no such run.
        StorageFullError: a picture cannot be written there.
    """
    run = find_run(library, name)
    with reading(library.engine) as db:
        clusters = [each for each in clusters_of(db, run) if each.cluster != NOISE]
    written = []
    for each in clusters:
        shown = [*each.about.get("exemplars", ()), *each.about.get("borderline", ())]
        path = folder / f"cluster-{each.cluster:03d}.png"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            sheet = cluster_sheet(run, each, thumbnails(library, shown))
            sheet.save(path, "PNG")
        except (OSError, ValueError) as error:
            raise StorageFullError(f"{path} cannot be written: {error}") from error
        written.append(path)
    return written


def rename(library: Library, name: str, cluster: int, called: str) -> None:
    """Give a cluster a name; ``""`` brings back the one that was found.

    Raises:
        QueryError: there is no such run or cluster.
    """
    with transaction(library.engine) as db:
        name_cluster(db, run_named(db, name), cluster, called)


def remove(library: Library, name: str) -> StoredRun:
    """Delete a run; items and vectors stay.

    Raises:
        QueryError: there is none of this name.
    """
    with library.writing():
        return remove_run(library, name)


def runs(library: Library) -> list[StoredRun]:
    """All runs, oldest first."""
    return list_runs(library)


def chosen_space(library: Library, encoder: str) -> SpaceInfo:
    """The newest space of an encoder, or of the library's first that has one.

    Raises:
        ConfigError: there is none.
    """
    if encoder:
        return space_of(library, encoder)
    there = {space.encoder for space in library.spaces()}
    for name in library.config.encoders:
        if name in there:
            return space_of(library, name)
    if there:
        return space_of(library, min(there))
    raise ConfigError("the library has no vectors yet: index something first")


def _space(library: Library, run: StoredRun) -> SpaceInfo:
    return next(space for space in library.spaces() if space.id == run.space_id)


def _nothing(space: SpaceInfo, expression: str, missing: int) -> str:
    if missing:
        return f"none of {missing:,} items has a vector of '{space.encoder}' yet: index on"
    passes = " passes the filter" if expression.strip() else " is in the library"
    return f"there is nothing to cluster: no primary item{passes}"


def _notes(missing: int, space: SpaceInfo, recall: float) -> list[str]:
    notes = []
    if missing:
        notes.append(
            f"{missing:,} items have no vector of '{space.encoder}' yet and are left out; index on "
            "and run it again"
        )
    if recall < 1:
        notes.append(f"the neighbour graph holds {recall:.1%} of the true nearest")
    return notes


def _called(names: Mapping[int, str], cluster: int | None) -> str | None:
    if cluster is None:
        return None
    return "noise" if cluster == NOISE else f"{cluster} {names.get(cluster, '')}".strip()
