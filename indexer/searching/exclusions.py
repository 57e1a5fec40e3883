"""Who may not be a hit: the query itself, its patient's other studies, exact copies of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import Connection, Executable, bindparam, select

from indexer.catalog.tables import Item, Patient, Series, Study
from indexer.searching.asking import SearchRequest
from indexer.searching.examples import Subject
from indexer.types import ItemIds

_PART = 500
_OF_PATIENTS = (
    select(Item.id, Study.id.label("study_id"), Study.study_instance_uid)
    .select_from(Item)
    .join(Series)
    .join(Study)
    .join(Patient)
    .where(Patient.pseudonym.in_(bindparam("names", expanding=True)))
)
_OF_STUDIES = (
    select(Item.id, Study.id.label("study_id"), Study.study_instance_uid)
    .select_from(Item)
    .join(Series)
    .join(Study)
    .where(Study.study_instance_uid.in_(bindparam("names", expanding=True)))
)
_COPIES = select(Item.id, Item.uid).where(Item.pixel_hash.in_(bindparam("names", expanding=True)))


@dataclass
class Exclusions:
    """Items that may not be hits.

    Attributes:
        items: all of them, by row number.
        studies: row numbers of the studies that are left out as a whole.
        priors: of these items those of the patients' other studies.
        copies: of these items those that copy the query exactly.
        notes: plain sentences.
    """

    items: set[int] = field(default_factory=set)
    studies: set[int] = field(default_factory=set)
    priors: set[int] = field(default_factory=set)
    copies: set[int] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def within(self, allowed: ItemIds | None) -> int:
        """How many of them are among the items that pass."""
        return len(among(self.items, allowed))


def among(items: set[int], allowed: ItemIds | None) -> list[int]:
    """Those of a few items that are among many, ascending."""
    few = np.array(sorted(items), np.int64)
    if allowed is None or not len(few):
        return [int(item) for item in few]
    if not len(allowed):
        return []
    places = np.minimum(np.searchsorted(allowed, few), len(allowed) - 1)
    inside = allowed[places] == few
    return [int(item) for item in few[inside]]


def exclusions_of(
    db: Connection, request: SearchRequest, subjects: Sequence[Subject]
) -> Exclusions:
    """What the examples exclude.

    Args:
        db: a view of the catalog.
        request: says whether own studies and patients may be hits.
        subjects: who the examples are.
    """
    found = Exclusions()
    studies = {s.study for s in subjects if s.study}
    seen = _exclude_patients(db, request, subjects, studies, found)
    if request.own_study:
        found.items |= {item for s in subjects for item in s.item_ids}
    else:
        for row in _rows(db, _OF_STUDIES, studies - seen):
            found.items.add(row.id)
            found.studies.add(row.study_id)
    hashes = {h for s in subjects for h in s.pixel_hashes if h}
    found.copies = {row.id for row in _rows(db, _COPIES, hashes)} - found.items
    found.items |= found.copies
    return found


def _exclude_patients(
    db: Connection,
    request: SearchRequest,
    subjects: Sequence[Subject],
    studies: set[str],
    found: Exclusions,
) -> set[str]:
    """Leave out the patients' other studies, and their own; which of the own ones that were."""
    seen = set[str]()
    if request.same_patient:
        return seen
    if not all(s.patient_known for s in subjects):
        found.notes.append(
            "the query's patient id is missing or shared by strangers: other studies of the "
            "same person cannot be told apart and may be among the hits"
        )
    for row in _rows(db, _OF_PATIENTS, {s.patient for s in subjects if s.patient_known}):
        if row.study_instance_uid not in studies:
            found.priors.add(row.id)
            found.studies.add(row.study_id)
            found.items.add(row.id)
        elif not request.own_study:
            found.items.add(row.id)
            found.studies.add(row.study_id)
            seen.add(row.study_instance_uid)
    return seen


def _rows(db: Connection, query: Executable, names: set[str]) -> list[Any]:
    wanted = sorted(names - {""})
    found: list[Any] = []
    for start in range(0, len(wanted), _PART):
        found += db.execute(query, {"names": wanted[start : start + _PART]}).all()
    return found
