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
from indexer.types import Embedding, Embeddings, Flag, ItemIds, Role
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
        qualities: of its picture; empty where they are not known.
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
    qualities: tuple[float, ...]


def judged_by(sets: Collection[str], profile: Embedding | None) -> str:
    """Which of a reference's sets judges a case: that described as it is, else the other one."""
    own = VECTOR if profile is None else SLICES
    return own if own in sets else next(iter(sets))


def row_in(how: str, vector: Embedding, profile: Embedding | None) -> Embedding:
    """What describes a case among those of a set."""
    if how == VECTOR:
        return vector
    return profile_of(vector[None]) if profile is None else profile


def with_qualities(
    rows: Embeddings, qualities: Sequence[Sequence[float]], columns: int
) -> Embeddings:
    """Rows with the qualities of their pictures behind them, as `ood.columns` takes them.

    Args:
        rows: ``(n, dim)``; the dtype stays.
        qualities: of each; NaN where there are none.
        columns: how many; 0 leaves the rows as they are.
    """
    if not columns:
        return rows
    unknown = [float("nan")] * columns
    behind = [each if len(each) == columns else unknown for each in qualities]
    return np.concatenate([rows, np.array(behind, rows.dtype).reshape(-1, columns)], axis=1)


def qualities_in(details: Mapping[str, object]) -> tuple[float, ...]:
    """Those of an item that was read."""
    said = details.get("qualities")
    return tuple(map(float, said)) if isinstance(said, list) else ()


@dataclass(frozen=True)
class ReadItems:
    """Items of a library with their vectors in a space, what is known of each, how it was taken."""

    space: SpaceInfo
    gathered: Gathered
    known: Described
    taken: Sequence[Acquired]

    @classmethod
    def of(cls, db: Connection, space: SpaceInfo, gathered: Gathered) -> ReadItems:
        """Items whose vectors were read."""
        known = describe(db, gathered.ids, labels=())
        return cls(space, gathered, known, acquired(db, gathered.ids))


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
    return ReadItems.of(db, space, gather(db, space, expression))


def cases_of_items(db: Connection, items: ReadItems, rows: Sequence[int]) -> list[Case]:
    """Some items of a library, by their rows, which ascend."""
    ids, vectors, known = items.gathered.ids, items.gathered.vectors, items.known
    profiles = dict(profiles_of(db, items.space, ids[list(rows)]))
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
            qualities=how.qualities,
        )
        for row, how in ((row, items.taken[row]) for row in rows)
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
            qualities=qualities_in(one.item.details),
            flags=frozenset((*one.draft.flags, *one.item.flags)),
            spacing_mm=_spacing_of(one),
        ),
        beside=beside,
        vector=found.unit,
        profile=None if slices is None or len(slices) < _LEAST_SLICES else profile_of(slices),
        qualities=qualities_in(one.item.details),
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
        qualities=how.qualities,
        flags=frozenset(Flag(each) for each in how.flags),
        spacing_mm=how.spacing_mm,
    )


def _scanner(maker: str, model: str) -> str:
    """Makers write their own names in several ways, as to case."""
    return " ".join(f"{maker} {model}".upper().split())


def _spacing_of(one: QueryItem) -> tuple[float, ...]:
    said = one.item.details.get("spacing_mm")
    return tuple(map(float, said)) if isinstance(said, list) else ()


def keys_of(known: Described) -> list[Key]:
    """What kind of image each item is."""
    columns = [known.fields[level] for level in LEVELS]
    return [key_of(values) for values in zip(*columns, strict=True)]


def owners_of(known: Described) -> list[str]:
    """Whose each item is; of unknown patients each study counts as one."""
    pairs = zip(known.patients, known.studies, strict=True)
    return [patient or f"study {study}" for patient, study in pairs]
