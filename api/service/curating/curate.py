"""Look after a library: copies, leaks between splits, odd items, what to label next, and more.

Every report is rows of a table, which can be written as CSV, Parquet or JSON; nothing is changed.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from api.service.curating.leaking import leaking_pairs
from api.service.grouping.cluster import chosen_space
from api.service.grouping.neighbours import space_neighbours
from clustering.batch import BatchEffect, batch_effects
from clustering.contract import Neighbours, Progress, no_progress
from clustering.coverage import CoverageCurve, coverage_curves
from clustering.duplicates import Kinship, near_duplicates
from clustering.label_errors import label_errors
from clustering.leakage import leakage
from clustering.outliers import Standing, most_typical, outliers
from clustering.pixels import pixel_correlation
from clustering.registry import make_method
from clustering.selection import STRATEGIES, Pool
from clustering.subset import balanced_subset
from indexer.catalog.database import reading
from indexer.errors import ClusteringError, QueryError, StorageFullError
from indexer.groups.items import Described, Gathered, describe, gather
from indexer.groups.runs import assigned, find_run
from indexer.groups.sheet import Tile, report_sheet
from indexer.library import Library, SpaceInfo
from indexer.searching.search import thumbnails

_KEPT_PICTURES = 512
_SITES = ("manufacturer", "model", "year")
_CLASSES = 300
_DRAWN = 80


@dataclass(frozen=True)
class Scope:
    """Which items to look at.

    Attributes:
        encoder: whose space; empty takes the library's first that has vectors.
        filter: only items that pass, ``""`` for all primary items.
    """

    encoder: str = ""
    filter: str = ""


@dataclass(frozen=True)
class Report:
    """What was found.

    Attributes:
        summary: sentences that a reader should see first.
        rows: of the table, the most important first.
        notes: what else should be known.
        about: figures by name.
        tiles: what can be drawn of the rows, in their order; empty where rows are no items.
        pairs: what people are to look at, where that is not the rows: as they, but with ``first``
            and ``second``.
    """

    summary: list[str]
    rows: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)
    about: Mapping[str, Any] = field(default_factory=dict)
    tiles: list[Tile] = field(default_factory=list)
    pairs: list[dict[str, Any]] | None = None


@dataclass(frozen=True)
class _Material:
    """What every report works on."""

    space: SpaceInfo
    gathered: Gathered
    known: Described
    neighbours: Neighbours

    def item(self, row: int) -> dict[str, Any]:
        """What names an item in a table."""
        return {
            "item": self.known.uids[row],
            "study_instance_uid": self.known.studies[row],
            "modality": self.known.fields["modality"][row],
            "body_part": self.known.fields["body_part"][row],
        }

    def column(self, name: str) -> list[str | None]:
        """A field or a label by its name.

        Raises:
            QueryError: there is none; the message lists those there are.
        """
        fields = self.known.fields
        found = fields.get(name, fields.get(f"label:{name}"))
        if found is None or not any(found):
            there = [key for key, column in fields.items() if any(column)]
            raise QueryError(f"no item has a '{name}'; there are: {', '.join(sorted(there))}")
        return found

    def notes(self) -> list[str]:
        """What is to be said of the items."""
        missing = self.gathered.missing
        said = f"{missing:,} items have no vector of '{self.space.encoder}' yet and are left out"
        return [said] if missing else []


def duplicates(
    library: Library,
    scope: Scope,
    *,
    threshold: float | None = None,
    pixels: bool = True,
    progress: Progress = no_progress,
) -> Report:
    """Near-duplicates: of one patient they are expected, of two they are a leak or an error.

    Args:
        library: whose items.
        scope: which.
        threshold: cosine; None tells it from the library's own distances.
        pixels: whether the thumbnails of each pair are compared, too.
        progress: told as `clustering.contract.Progress` says.

    Raises:
        QueryError: a threshold cannot be told from so few items, or is out of range.
        FilterError: the filter cannot be read.
    """
    material = _material(library, scope, progress)
    progress("comparing pixels" if pixels else "comparing", 0, 0)
    found = near_duplicates(
        material.neighbours,
        patients=material.known.patients,
        studies=material.known.studies,
        threshold=threshold,
        correlation=_correlation(library, material) if pixels else None,
    )
    rows = [
        {
            "kinship": pair.kinship.value,
            "cosine": round(pair.cosine, 5),
            "correlation": None if pair.correlation is None else round(pair.correlation, 4),
            "confirmed": pair.confirmed,
            "group": pair.group,
            "first": material.known.uids[pair.first],
            "second": material.known.uids[pair.second],
            "first_study": material.known.studies[pair.first],
            "second_study": material.known.studies[pair.second],
        }
        for pair in sorted(found.pairs, key=lambda pair: not pair.confirmed)
    ]
    strangers = [
        pair
        for pair in found.pairs
        if pair.confirmed and pair.kinship is Kinship.DIFFERENT_PATIENTS
    ]
    sure = sum(pair.confirmed for pair in found.pairs)
    cosine = f"a cosine of {found.threshold.cosine:.4f}"
    summary = [
        f"{sure:,} near-duplicate pairs in {len(found.groups):,} groups, from {cosine} on",
        f"{len(strangers):,} of them are of different patients: a leak, or an error of identity"
        if strangers
        else "none of them is of different patients",
    ]
    about = {
        "threshold": found.threshold.cosine,
        "reason": found.threshold.reason,
        "groups": [[material.known.uids[row] for row in rows_] for rows_ in found.groups],
    }
    notes = [*material.notes(), found.threshold.reason, *found.notes]
    tiles = [
        Tile((str(row["first"]), str(row["second"])), f"{row['kinship']}, cosine {row['cosine']}")
        for row in rows
    ]
    confirmed = [row for row in rows if row["confirmed"]]
    return Report(summary, rows, notes, about, tiles, confirmed)


def leaks(
    library: Library,
    scope: Scope,
    *,
    split: str = "split",
    progress: Progress = no_progress,
) -> Report:
    """Patients, studies and near-duplicates that are on both sides of a split.

    Raises:
        QueryError: no item has a split, or all have the same.
        FilterError: the filter cannot be read.
    """
    material = _material(library, scope, progress)
    splits = material.column(split)
    notes = material.notes()
    near: dict[tuple[int, int], float] = {}
    try:
        found = near_duplicates(
            material.neighbours,
            patients=material.known.patients,
            correlation=_correlation(library, material),
        )
        near = {(pair.first, pair.second): pair.cosine for pair in found.pairs if pair.confirmed}
    except QueryError as error:
        notes.append(f"near-duplicates were not looked for: {error}")
    leaked = leakage(
        splits,
        {"patient": material.known.patients, "study": material.known.studies},
        list(near),
    )
    rows = [
        {
            "kind": leak.kind,
            "split": name,
            "other_split": other,
            **material.item(row),
        }
        for leak in leaked
        for name, other, items in (
            (leak.first, leak.second, leak.first_items),
            (leak.second, leak.first, leak.second_items),
        )
        for row in items
    ]
    summary = [
        f"{leak.first} and {leak.second} share {leak.shared:,} {leak.kind}s"
        f" ({len(leak.first_items):,} and {len(leak.second_items):,} items)"
        if leak.shared
        else f"{leak.first} and {leak.second} share no {leak.kind}"
        for leak in leaked
    ]
    tiles = [Tile((row["item"],), f"{row['split']}: {row['kind']}") for row in rows]
    pairs = leaking_pairs(leaked, material.known, splits, near)
    return Report(summary, rows, notes, tiles=tiles, pairs=pairs)


def odd_ones(
    library: Library,
    scope: Scope,
    *,
    count: int = 50,
    run: str = "",
    typical: bool = False,
    progress: Progress = no_progress,
) -> Report:
    """The least typical items, or the most; within each cluster of a run if one is named.

    Raises:
        QueryError: no such clustering, or the count is below 1.
        FilterError: the filter cannot be read.
    """
    material = _material(library, scope, progress)
    labels = _labels_of(library, material, run) if run else None
    find: Callable[..., Sequence[Standing]] = most_typical if typical else outliers
    found = find(material.neighbours, count, labels=labels)
    rows = [
        {
            **({"cluster": each.cluster} if run else {}),
            "rank": each.rank,
            "typicality": round(each.typicality, 4),
            **material.item(each.item),
        }
        for each in found
    ]
    what = "most typical" if typical else "least typical"
    within = f" of each cluster of '{run}'" if run else ""
    summary = [f"the {what} items{within}: {len(rows):,} of {len(material.gathered.ids):,}"]
    tiles = [
        Tile((row["item"],), f"{_of_cluster(row)}{row['rank']}: typicality {row['typicality']}")
        for row in rows
    ]
    return Report(summary, rows, material.notes(), tiles=tiles)


def label_next(
    library: Library,
    scope: Scope,
    *,
    label: str = "",
    budget: int = 20,
    strategy: str = "typiclust",
    run: str = "",
    seed: int = 0,
    progress: Progress = no_progress,
) -> Report:
    """What to label next, and how much every strategy would cover.

    Args:
        library: whose items.
        scope: which.
        label: items that carry it count as labelled; "" for none.
        budget: how many items.
        strategy: one of `clustering.selection.STRATEGIES`.
        run: a clustering that says which kinds there are; "" takes k-means with as many clusters
            as the budget.
        seed: of all that is random.
        progress: told as `clustering.contract.Progress` says.

    Raises:
        QueryError: no such strategy, label or clustering; a budget that cannot be had.
        FilterError: the filter cannot be read.
    """
    if strategy not in STRATEGIES:
        raise QueryError(f"there is no strategy '{strategy}'; there are: {', '.join(STRATEGIES)}")
    material = _material(library, scope, progress)
    count = len(material.gathered.ids)
    given: list[str | None] = [None] * count
    if label:
        given = material.column(label)
    if run:
        clusters = _labels_of(library, material, run)
    else:
        wanted = max(1, min(budget, count // 5, _CLASSES))
        made = make_method("kmeans").fit(material.gathered.vectors, wanted, seed=seed)
        clusters = made.labels
    pool = Pool(material.gathered.vectors, material.neighbours, clusters, given)
    progress("choosing", 0, 0)
    curves = coverage_curves(pool, budget, seed=seed)
    own = next(curve for curve in curves if curve.strategy == strategy)
    rows = [
        {"rank": rank, **material.item(row), "covered": round(own.items[rank], 4)}
        for rank, row in enumerate(own.chosen, 1)
    ]
    summary = [_covers(curve) for curve in sorted(curves, key=lambda c: c.strategy != strategy)]
    about = {
        "strategy": strategy,
        "similarity": own.similarity,
        "curves": {
            curve.strategy: {"items": list(curve.items), "clusters": list(curve.clusters)}
            for curve in curves
        },
    }
    tiles = [Tile((row["item"],), f"{row['rank']}: {row['covered']:.1%} covered") for row in rows]
    return Report(summary, rows, material.notes(), about, tiles)


def suspects(
    library: Library,
    scope: Scope,
    *,
    label: str,
    classifier: str = "linear",
    seed: int = 0,
    progress: Progress = no_progress,
) -> Report:
    """Labels that may be wrong, for review.

    Raises:
        QueryError: no such label, or too few classes and patients.
        FilterError: the filter cannot be read.
    """
    material = _material(library, scope, progress)
    given = material.column(label)
    progress("reviewing labels", 0, 0)
    found = label_errors(
        material.gathered.vectors,
        given,
        material.neighbours,
        patients=material.known.patients,
        classifier=classifier,
        seed=seed,
    )
    rows = [
        {
            **material.item(each.item),
            "given": each.given,
            "suggested": each.suggested,
            "quality": round(each.quality, 4),
            "confident": each.confident,
            "disagreeing": [material.known.uids[row] for row in each.disagreeing],
        }
        for each in found.suspects
    ]
    sure = sum(each.confident for each in found.suspects)
    summary = (
        f"{len(rows):,} of {found.reviewed:,} labels are less probable than another class, of "
        f"which confident learning suspects {sure:,}"
    )
    tiles = [Tile((row["item"],), f"{row['given']}, or {row['suggested']}?") for row in rows]
    return Report([summary], rows, [*material.notes(), *found.notes], tiles=tiles)


def batch(
    library: Library,
    scope: Scope,
    *,
    by: Sequence[str] = (),
    label: str = "",
    seed: int = 0,
    progress: Progress = no_progress,
) -> Report:
    """Whether the vectors tell sites, makers or years apart.

    Args:
        library: whose items.
        scope: which.
        by: fields or labels; none takes manufacturer, model and year, as far as they differ.
        label: what the images show, to compare with.
        seed: of all that is random.
        progress: told as `clustering.contract.Progress` says.

    Raises:
        QueryError: no such field, or it has one value only.
        FilterError: the filter cannot be read.
    """
    material = _material(library, scope, progress)
    names = list(by) or [
        name
        for name in _SITES
        if len({value for value in material.known.fields[name] if value}) > 1
    ]
    if not names:
        raise QueryError("neither manufacturer, model nor year differs: name a field with --by")
    batches = {name: material.column(name) for name in names}
    progress("looking at " + ", ".join(names), 0, 0)
    found = batch_effects(
        material.gathered.vectors,
        material.neighbours,
        batches,
        classes=material.column(label) if label else None,
        patients=material.known.patients,
        seed=seed,
    )
    summary = [f"{each.field}: {sentence}" for each in found for sentence in each.sentences]
    return Report(summary, [_effect_row(each) for each in found], material.notes())


def subset(
    library: Library,
    scope: Scope,
    *,
    size: int = 500,
    seed: int = 0,
    progress: Progress = no_progress,
) -> Report:
    """A part of the items in which frequent kinds do not outnumber rare ones.

    Raises:
        ClusteringError: there are fewer items.
        FilterError: the filter cannot be read.
    """
    material = _material(library, scope, progress)
    chosen = balanced_subset(material.gathered.vectors, size, seed=seed, progress=progress)
    rows = [material.item(row) for row in chosen.tolist()]
    count = len(material.gathered.ids)
    summary = f"{len(rows):,} of {count:,} items, spread evenly over what they show"
    tiles = [Tile((row["item"],), row["modality"] or "") for row in rows]
    return Report([summary], rows, material.notes(), tiles=tiles)


def write_sheet(library: Library, report: Report, title: str, path: Path) -> int:
    """Draw the first items of a report as a PNG.

    Returns:
        How many rows of the table are on it.

    Raises:
        QueryError: it names no items.
        StorageFullError: it cannot be written there.
    """
    tiles = report.tiles[:_DRAWN]
    if not tiles:
        raise QueryError("the report names no items: there is nothing to draw")
    pictures = thumbnails(library, [uid for tile in tiles for uid in tile.items])
    sheet = report_sheet(title, tiles, pictures, len(report.tiles) - len(tiles))
    try:
        sheet.save(path, "PNG")
    except (OSError, ValueError) as error:
        raise StorageFullError(f"{path} cannot be written: {error}") from error
    return len(tiles)


def _material(library: Library, scope: Scope, progress: Progress) -> _Material:
    space = chosen_space(library, scope.encoder)
    progress("reading vectors", 0, 0)
    with reading(library.engine) as db:
        gathered = gather(db, space, scope.filter)
        known = describe(db, gathered.ids)
    if len(gathered.ids) < 2:
        raise ClusteringError(
            f"{len(gathered.ids)} items of '{space.encoder}' are to be compared; there have to be "
            "two or more"
        )
    neighbours = space_neighbours(library, space, gathered, scope.filter, progress)
    return _Material(space, gathered, known, neighbours)


def _labels_of(library: Library, material: _Material, name: str) -> np.ndarray:
    """The clusters of the items; those that the run does not have count as noise."""
    run = find_run(library, name)
    with reading(library.engine) as db:
        items = assigned(db, run)
    return items.of(material.gathered.ids)[0]


def _correlation(library: Library, material: _Material) -> Callable[[int, int], float]:
    """Compares the thumbnails of two rows; one that cannot be had correlates with nothing."""
    kept: dict[int, np.ndarray | None] = {}

    def grey(row: int) -> np.ndarray | None:
        if row not in kept:
            if len(kept) >= _KEPT_PICTURES:
                kept.pop(next(iter(kept)))
            uid = material.known.uids[row]
            data = thumbnails(library, [uid]).get(uid)
            kept[row] = None if data is None else _grey(data)
        return kept[row]

    def compare(first: int, second: int) -> float:
        one, other = grey(first), grey(second)
        return 0.0 if one is None or other is None else pixel_correlation(one, other)

    return compare


def _grey(webp: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(webp)) as picture:
        return np.asarray(picture.convert("L"), np.float32)


def _of_cluster(row: Mapping[str, Any]) -> str:
    return f"cluster {row['cluster']}, " if "cluster" in row else ""


def _covers(curve: CoverageCurve) -> str:
    chosen = len(curve.chosen)
    return (
        f"{curve.strategy}: {chosen} items stand for {curve.items[-1]:.1%} of all (before: "
        f"{curve.items[0]:.1%}) and are in {curve.clusters[-1]:.1%} of the kinds"
    )


def _effect_row(each: BatchEffect) -> dict[str, Any]:
    probe = each.probe
    return {
        "field": each.field,
        "items": each.items,
        "values": each.values,
        "ilisi": each.ilisi,
        "even_ilisi": each.even_ilisi,
        "mixing": each.mixing,
        "clisi": each.clisi,
        "robustness_index": each.robustness_index,
        "probe_auroc": probe.auroc if probe else None,
        "probe_chance": probe.chance if probe else None,
    }
