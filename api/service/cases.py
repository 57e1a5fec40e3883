"""Cases that a reference is made of, or judges: items of a library, or of files in none."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection

from indexer.embedding import Embedded
from indexer.groups.items import Acquired, Described, Gathered, acquired, describe, gather
from indexer.library import SpaceInfo
from indexer.reading.study import QueryItem
from indexer.searching.slices import slices_of
from indexer.types import Embedding, Flag, ItemIds, Role
from ood.acquisition import Facts
from ood.profile import profile_of
from ood.strata import LEVELS, Key, key_of
from ood.tags import FIELDS

VECTOR, SLICES = "its vector", "its slices"
"""What describes a case: the vector of an item, or the distribution of its slices' vectors."""
_PART = 256
_LEAST_SLICES = 2


@dataclass(frozen=True)
class Case:
    """One image or volume, as a reference looks at it.

    Attributes:
        uid: public id of the item; "" of what is in no library.
        number: private number of it, None of what is in no library.
        study: its Study Instance UID.
        key: what kind of image it is.
        declared: what its header says, by field; None where it says nothing.
        facts: how it was taken.
        beside: slices of the longest volume in its series.
        vector: unit vector ``(dim,)``.
        profile: `ood.profile.profile_of` its slices, None where it has none.
    """

    uid: str
    number: int | None
    study: str
    key: Key
    declared: Mapping[str, str | None]
    facts: Facts
    beside: int
    vector: Embedding
    profile: Embedding | None


def judged_by(sets: Collection[str], profile: Embedding | None) -> str:
    """Which of a reference's sets judges a case: that described as it is, else the other one."""
    own = VECTOR if profile is None else SLICES
    return own if own in sets else next(iter(sets))


def row_in(how: str, vector: Embedding, profile: Embedding | None) -> Embedding:
    """What describes a case among those of a set."""
    if how == VECTOR:
        return vector
    return profile_of(vector[None]) if profile is None else profile


@dataclass(frozen=True)
class ReadItems:
    """Items of a library with their vectors in a space, and what is known of each."""

    space: SpaceInfo
    gathered: Gathered
    known: Described


def profiles_of(db: Connection, space: SpaceInfo, ids: ItemIds) -> Iterator[tuple[int, Embedding]]:
    """Profiles of the volumes among items of which there are slice vectors, by item."""
    for start in range(0, len(ids), _PART):
        found = slices_of(db, space, ids[start : start + _PART].tolist())
        for item, slices in found.items():
            if len(slices.rows) >= _LEAST_SLICES:
                yield item, profile_of(slices.rows)


def read_items(db: Connection, space: SpaceInfo, expression: str = "") -> ReadItems:
    """Primary items that pass a filter and have a vector.

    Raises:
        FilterError: the filter cannot be read.
        LibraryCorruptError: a vector is damaged.
    """
    gathered = gather(db, space, expression)
    return ReadItems(space, gathered, describe(db, gathered.ids, labels=()))


def cases_of_items(db: Connection, items: ReadItems, rows: Sequence[int]) -> list[Case]:
    """Some items of a library, by their rows, which ascend."""
    ids, vectors, known = items.gathered.ids, items.gathered.vectors, items.known
    own = ids[list(rows)]
    profiles = dict(profiles_of(db, items.space, own))
    taken = acquired(db, own)
    return [
        Case(
            uid=known.uids[row],
            number=int(ids[row]),
            study=known.studies[row],
            key=key_of([known.fields[level][row] for level in LEVELS]),
            declared={name: known.fields[name][row] for name in FIELDS},
            facts=facts_of_item(known, row, how),
            beside=how.beside,
            vector=np.asarray(vectors[row], np.float32),
            profile=profiles.get(int(ids[row])),
        )
        for row, how in zip(rows, taken, strict=True)
    ]


def case_of_file(one: QueryItem, found: Embedded, beside: int) -> Case:
    """What was read of a file, and embedded.

    Args:
        one: of a study that was read.
        found: what the encoder made of it.
        beside: slices of the longest volume in its series.
    """
    said = one.draft.attributes
    slices = None if found.slices is None or one.item.kind != "volume" else found.slices.rows
    return Case(
        uid="",
        number=None,
        study=one.draft.study_instance_uid,
        key=key_of([getattr(said, level) for level in LEVELS]),
        declared={name: getattr(said, name) or None for name in FIELDS},
        facts=Facts(
            role=one.item.role,
            laterality=said.laterality,
            description=said.series_description,
            scanner=_scanner(said.manufacturer, said.model),
            rows=one.item.frame.rows,
            columns=one.item.frame.columns,
            slices=one.item.slices,
            flags=frozenset((*one.draft.flags, *one.item.flags)),
            spacing_mm=_spacing_of(one),
        ),
        beside=beside,
        vector=found.unit,
        profile=None if slices is None or len(slices) < _LEAST_SLICES else profile_of(slices),
    )


def facts_of_item(known: Described, row: int, how: Acquired) -> Facts:
    """How an item of a library was taken."""
    fields = {name: own[row] or "" for name, own in known.fields.items()}
    return Facts(
        role=Role(how.role),
        laterality=fields["laterality"],
        description=fields["description"],
        scanner=_scanner(fields["manufacturer"], fields["model"]),
        rows=how.rows,
        columns=how.columns,
        slices=how.slices,
        flags=frozenset(Flag(each) for each in how.flags),
        spacing_mm=how.spacing_mm,
    )


def _scanner(maker: str, model: str) -> str:
    """Makers write their own names in several ways, as to case."""
    return " ".join(f"{maker} {model}".upper().split())


def _spacing_of(one: QueryItem) -> tuple[float, ...]:
    said = one.item.details.get("spacing_mm")
    return tuple(map(float, said)) if isinstance(said, list) else ()
