"""References: fitted on part of a library, listed, shown, removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection

import indexer
from api.service.cases import (
    SLICES,
    VECTOR,
    ReadItems,
    facts_of_item,
    profiles_of,
    read_items,
    with_qualities,
)
from api.service.cluster import chosen_space
from clustering.contract import Progress, no_progress
from indexer.catalog.database import reading
from indexer.errors import ReferenceSetError
from indexer.evaluating.labelled import read_vectors
from indexer.groups.items import Described, acquired, describe, gather_ids
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
from indexer.types import Embedding, Embeddings, ItemIds
from ood.acquisition import Usual
from ood.calibrate import PER_ALARM
from ood.measures import separation
from ood.reference import DEFAULT, ReferenceSet, Stratum
from ood.registry import Recipe, whole
from ood.strata import LEVELS, Key, key_of, said

_OTHERS = 5_000
"""Items of other strata that a stratum is set against at most."""


@dataclass(frozen=True)
class FitRequest:
    """What to make a reference of.

    Attributes:
        name: of the reference.
        filter: only items that pass, ``""`` for all primary items.
        encoder: whose space; empty takes the library's first that has vectors.
        alarm: the false-alarm rate to hold patients out for.
        recipes: of the detectors.
        seed: of all that is random.
    """

    name: str
    filter: str = ""
    encoder: str = ""
    alarm: float = 0.01
    recipes: tuple[Recipe, ...] = DEFAULT
    seed: int = 0


def fit_reference(
    library: Library, request: FitRequest, progress: Progress = no_progress
) -> StoredReference:
    """Fit, calibrate and store; raising in ``progress`` stops it, and nothing is stored then.

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
    report: dict[str, Any] = _report(library, items, sets)
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


@dataclass(frozen=True)
class _Set:
    """Cases that are described alike, and the reference that was made of them."""

    made: ReferenceSet
    rows: Sequence[int]
    ids: ItemIds


def _sets(
    items: ReadItems, profiles: Mapping[int, Embedding], request: FitRequest, progress: Progress
) -> tuple[dict[str, _Set], list[str]]:
    """A reference of volumes described by their slices, and one of all else; and notes.

    Too few volumes for a reference of their own are described by their vectors, as images are.

    Raises:
        ConfigError, ReferenceSetError: as `fit_reference`.
    """
    ids = items.gathered.ids
    sliced = [row for row, item in enumerate(ids.tolist()) if item in profiles]
    sets, notes = dict[str, _Set](), list[str]()
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
) -> _Set:
    keys, owners = _keys(items.known), _owners(items.known)
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
    return _Set(made, rows, items.gathered.ids[list(rows)])


def _all_known(items: ReadItems) -> bool:
    """Whether the qualities of all pictures are."""
    return all(len(each.qualities) == len(QUALITIES) for each in items.taken)


def _keys(known: Described) -> list[Key]:
    columns = [known.fields[level] for level in LEVELS]
    return [key_of(values) for values in zip(*columns, strict=True)]


def _owners(known: Described) -> list[str]:
    """Whose each item is; of unknown patients each study counts as one."""
    pairs = zip(known.patients, known.studies, strict=True)
    return [patient or f"study {study}" for patient, study in pairs]


def _report(library: Library, items: ReadItems, sets: Mapping[str, _Set]) -> dict[str, Any]:
    """Of each stratum its size, how its cases were taken, and how it tells other items apart."""
    strata, refused = list[dict[str, Any]](), list[dict[str, Any]]()
    for how, own in sets.items():
        with reading(library.engine) as db:
            others = _Others.of(db, items, how, own.made.qualities)
        facts = [facts_of_item(items.known, row, items.taken[row]) for row in own.rows]
        keys = _keys(items.known)
        keys = [keys[row] for row in own.rows]
        for key, stratum in own.made.strata.items():
            inside = [each for each, of in zip(facts, keys, strict=True) if of[: len(key)] == key]
            strata.append(
                {
                    "stratum": said(key),
                    "described_by": how,
                    "fitted": len(stratum.fitted),
                    "held_out": stratum.held_out,
                    "patients": stratum.patients,
                    "least_alarm": PER_ALARM / stratum.held_out,
                    "usual": asdict(Usual.of(inside)),
                    "notes": [n for each in stratum.detectors.values() for n in each.notes],
                    "against_other_items": others.against(key, stratum),
                }
            )
        refused += [
            {
                "stratum": said(each.key),
                "described_by": how,
                "cases": each.cases,
                "patients": each.patients,
                "why": each.why,
            }
            for each in own.made.refused
        ]
    return {"strata": strata, "refused": refused}


@dataclass(frozen=True)
class _Others:
    """Items that are not in a reference: what describes each, and what kind it is."""

    described: Embeddings
    keys: Sequence[Key]

    @classmethod
    def of(cls, db: Connection, items: ReadItems, how: str, columns: int) -> _Others:
        """Some of the library's, drawn at random if there are many."""
        ids = np.setdiff1d(gather_ids(db), items.gathered.ids, assume_unique=True)
        if len(ids) > _OTHERS:
            ids = np.sort(np.random.default_rng(0).choice(ids, _OTHERS, replace=False))
        if how == SLICES:
            found = dict(profiles_of(db, items.space, ids))
            ids = np.array(sorted(found), np.int64)
            described = np.stack([found[each] for each in ids.tolist()]) if found else None
        else:
            vectors, present = read_vectors(db, items.space, ids)
            ids, described = ids[present], np.asarray(vectors[present], np.float32)
        keys = _keys(describe(db, ids, labels=()))
        if described is None:
            return cls(np.empty((0, 1), np.float32), keys)
        qualities = [each.qualities for each in acquired(db, ids)]
        return cls(with_qualities(described, qualities, columns), keys)

    def against(self, key: Key, stratum: Stratum) -> dict[str, Any]:
        """How each detector of a stratum tells those of other kinds from its calibration cases."""
        rows = [row for row, other in enumerate(self.keys) if other[: len(key)] != key]
        if not rows:
            return {}
        pairs = zip(stratum.detectors.items(), stratum.together.parts, strict=True)
        return {
            name: asdict(separation(calibration.scores, detector.score(self.described[rows])))
            for (name, detector), calibration in pairs
        }
