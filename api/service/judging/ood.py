"""References: fitted on part of a library, listed, shown, removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

import indexer
from api.service.grouping.cluster import chosen_space
from api.service.judging.cases import (
    SLICES,
    VECTOR,
    ReadItems,
    keys_of,
    owners_of,
    profiles_of,
    read_items,
    with_qualities,
)
from api.service.judging.reference_report import FittedSet, Spoiling, add_corruptions, report_on
from clustering.contract import Progress, no_progress
from indexer.catalog.database import reading
from indexer.config import Settings
from indexer.errors import ReferenceSetError
from indexer.groups.references import (
    IDS,
    ReferenceDraft,
    StoredReference,
    check_reference_name,
    find_reference,
    list_references,
    remove_reference,
    removed_cases,
    save_reference,
)
from indexer.library import Library
from indexer.reading.quality import QUALITIES
from indexer.types import Embedding, Embeddings
from ood.reference import DEFAULT, ReferenceSet
from ood.registry import Recipe, whole


@dataclass(frozen=True)
class FitRequest:
    """What to make a reference of.

    Attributes:
        name: of the reference.
        filter: only items that pass, ``""`` for all primary items.
        encoder: whose space; empty takes the library's first that has vectors.
        alarm: the false-alarm rate to hold patients out for.
        recipes: of the detectors.
        corruptions: so many held-out items of each kind are corrupted, to say whether that would be
            noticed; 0 for none.
        seed: of all that is random.
    """

    name: str
    filter: str = ""
    encoder: str = ""
    alarm: float = 0.01
    recipes: tuple[Recipe, ...] = DEFAULT
    corruptions: int = 0
    seed: int = 0


def fit_reference(
    library: Library,
    request: FitRequest,
    progress: Progress = no_progress,
    settings: Settings | None = None,
) -> StoredReference:
    """Fit, calibrate and store; raising in ``progress`` stops it, and nothing is stored then.

    Args:
        library: whose items.
        request: what to fit.
        progress: told what is being done.
        settings: how files are read again to be corrupted; None takes those of the environment.

    Raises:
        ConfigError: there is a reference of this name, or no such detector or encoder.
        FilterError: the filter cannot be read.
        ReferenceSetError: too few items.
    """
    check_reference_name(library, request.name)
    space = chosen_space(library, request.encoder)
    progress("reading vectors", 0, 0)
    with reading(library.engine) as db:
        items = read_items(db, space, request.filter)
        progress("describing volumes", 0, 0)
        profiles = dict(profiles_of(db, space, items.gathered.ids))
    sets, notes = _sets(items, profiles, request, progress)
    progress("comparing with other items", 0, 0)
    report = report_on(library, items, sets)
    if request.corruptions:
        spoil = Spoiling(library, items, request.corruptions, request.seed)
        notes += add_corruptions(report, sets, spoil, settings or Settings(), progress)
    missing = items.gathered.missing
    if missing:
        notes.append(f"{missing:,} items have no vector of '{space.encoder}' yet and are left out")
    draft = ReferenceDraft(
        name=request.name,
        filter=request.filter,
        alarm=request.alarm,
        seed=request.seed,
        items=len(items.gathered.ids),
        report=report | {"notes": notes},
        version=indexer.__version__,
        arrays=whole({how: own.made.state() | {IDS: own.ids} for how, own in sets.items()}),
    )
    with library.writing():
        return save_reference(library, space, draft)


def references(library: Library) -> list[StoredReference]:
    """All reference sets, oldest first."""
    return list_references(library)


def show_reference(library: Library, name: str) -> StoredReference:
    """One with its report.

    Raises:
        QueryError: there is none of this name.
    """
    return find_reference(library, name)


def with_removed_cases(library: Library) -> list[str]:
    """References in whose files vectors of removed items still are, in words.

    Those of which the file is damaged are among them, for what it held is not known.
    """
    told = []
    for stored in list_references(library):
        try:
            gone = removed_cases(library, stored)
        except ReferenceSetError as error:
            told.append(str(error))
            continue
        if gone:
            told.append(
                f"the reference '{stored.name}' was made of {gone:,} items that were removed "
                "since, and its file still holds their vectors: fit it again and remove this one"
            )
    return told


def remove(library: Library, name: str) -> StoredReference:
    """Delete one; items and vectors stay.

    Raises:
        QueryError: there is none of this name.
    """
    with library.writing():
        return remove_reference(library, name)


def _sets(
    items: ReadItems, profiles: Mapping[int, Embedding], request: FitRequest, progress: Progress
) -> tuple[dict[str, FittedSet], list[str]]:
    """A reference of volumes described by their slices, and one of all else; and notes.

    Too few volumes for a reference of their own are described by their vectors, as images are.

    Raises:
        ConfigError, ReferenceSetError: as `fit_reference`.
    """
    ids = items.gathered.ids
    sliced = [row for row, item in enumerate(ids.tolist()) if item in profiles]
    sets, notes = dict[str, FittedSet](), list[str]()
    if not _all_known(items):
        notes.append(
            "exposure and sharpness are not judged: some items were indexed before they were "
            "measured; index the files into a new library to measure them"
        )
    if sliced:
        described = np.stack([profiles[int(ids[row])] for row in sliced])
        try:
            sets[SLICES] = _fitted(items, sliced, described, request, progress)
        except ReferenceSetError as error:
            notes.append(
                f"{len(sliced):,} volumes are described by one vector each, not by their slices: "
                f"{error}"
            )
            sliced = []
    other = sorted(set(range(len(ids))) - set(sliced))
    if other or not sets:
        try:
            vectors = items.gathered.vectors
            own = vectors if len(other) == len(ids) else vectors[other]
            sets[VECTOR] = _fitted(items, other, own, request, progress)
        except ReferenceSetError as error:
            if not sets:
                raise
            notes.append(f"{len(other):,} items without slices are left out: {error}")
    return sets, notes


def _fitted(
    items: ReadItems,
    rows: Sequence[int],
    described: Embeddings,
    request: FitRequest,
    progress: Progress,
) -> FittedSet:
    keys, owners = keys_of(items.known), owners_of(items.known)
    qualities = [items.taken[row].qualities for row in rows]
    columns = len(QUALITIES) if _all_known(items) else 0
    made = ReferenceSet.fit(
        with_qualities(described, qualities, columns),
        [keys[row] for row in rows],
        [owners[row] for row in rows],
        alarm=request.alarm,
        recipes=request.recipes,
        qualities=columns,
        seed=request.seed,
        progress=progress,
    )
    return FittedSet(made, rows, items.gathered.ids[list(rows)])


def _all_known(items: ReadItems) -> bool:
    """Whether the qualities of all pictures are."""
    return all(len(each.qualities) == len(QUALITIES) for each in items.taken)
