"""What is told of a reference: how large its strata are, and what they tell apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection

from api.service.judging.cases import (
    SLICES,
    ReadItems,
    facts_of_item,
    keys_of,
    profiles_of,
    with_qualities,
)
from api.service.judging.corrupted import WORST, spoilt_items
from clustering.contract import Progress
from indexer.catalog.database import reading
from indexer.config import Settings
from indexer.evaluating.labelled import read_vectors
from indexer.groups.items import acquired, describe, gather_ids
from indexer.library import Library
from indexer.types import Embeddings, ItemIds
from ood.acquisition import Usual
from ood.calibrate import PER_ALARM
from ood.measures import auroc, separation
from ood.reference import ReferenceSet, Stratum
from ood.strata import Key, said

_OTHERS = 5_000
"""Items of other strata that a stratum is set against at most."""
_FEWEST = 5
"""Copies of one kind, of which less says nothing."""


@dataclass(frozen=True)
class FittedSet:
    """Cases that are described alike, and the reference that was made of them.

    Attributes:
        made: of them.
        rows: which of the items that were read.
        ids: of the items.
    """

    made: ReferenceSet
    rows: Sequence[int]
    ids: ItemIds


@dataclass(frozen=True)
class Spoiling:
    """What is corrupted to see whether a reference notices.

    Attributes:
        library: whose items.
        items: that the reference is of.
        count: of each kind of image.
        seed: of the choice.
    """

    library: Library
    items: ReadItems
    count: int
    seed: int


def report_on(library: Library, items: ReadItems, sets: Mapping[str, FittedSet]) -> dict[str, Any]:
    """Of each stratum its size, how its cases were taken, and how it tells other items apart."""
    strata, refused = list[dict[str, Any]](), list[dict[str, Any]]()
    for how, own in sets.items():
        with reading(library.engine) as db:
            others = _Others.of(db, items, how, own.made.qualities)
        facts = [facts_of_item(items.known, row, items.taken[row]) for row in own.rows]
        keys = keys_of(items.known)
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
        keys = keys_of(describe(db, ids, labels=()))
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


def add_corruptions(
    report: dict[str, Any],
    sets: Mapping[str, FittedSet],
    spoiling: Spoiling,
    settings: Settings,
    progress: Progress,
) -> list[str]:
    """Say of each finest stratum how well it tells corrupted copies of held-out items.

    Put into the report is the AUROC of each detector by kind of corruption, at its top severity,
    against the calibration cases. Files are read again.

    Returns:
        What was left out, in sentences.
    """
    notes = list[str]()
    finest = {how: dict(_finest(own.made)) for how, own in sets.items()}
    for told in report["strata"]:
        told["against_corruptions"] = {}
        own = sets[told["described_by"]]
        stratum = finest[told["described_by"]].get(told["stratum"])
        if stratum is None:
            continue
        if told["described_by"] == SLICES:
            notes.append(f"{told['stratum']}: volumes by their slices were not corrupted")
            continue
        found, lost = _noticed(own, stratum, spoiling, settings, progress)
        told["against_corruptions"] = found
        notes += [f"{told['stratum']}: {count:,} {why}" for why, count in lost.items()]
    return notes


def _finest(made: ReferenceSet) -> list[tuple[str, Stratum]]:
    """Strata that no other is within, by their names in words."""
    return [
        (said(key), stratum)
        for key, stratum in made.strata.items()
        if not any(len(other) > len(key) and other[: len(key)] == key for other in made.strata)
    ]


def _noticed(
    own: FittedSet,
    stratum: Stratum,
    spoiling: Spoiling,
    settings: Settings,
    progress: Progress,
) -> tuple[dict[str, dict[str, float]], Mapping[str, int]]:
    """AUROC of each detector by kind of corruption, and what gave no copies."""
    items = spoiling.items
    keys = keys_of(items.known)
    learned = {own.rows[number] for number in stratum.fitted.tolist()}
    held_out = [
        row
        for row in own.rows
        if row not in learned and keys[row][: len(stratum.key)] == stratum.key
    ]
    random = np.random.default_rng([spoiling.seed, 85])
    chosen = random.choice(held_out, min(spoiling.count, len(held_out)), replace=False)
    uids = [items.known.uids[row] for row in np.sort(chosen).tolist()]
    spoilt = spoilt_items(spoiling.library, items.space, uids, settings, progress, variants=WORST)
    found = {}
    for (kind, severity), vectors in spoilt.rows.items():
        if len(vectors) < _FEWEST:
            continue
        behind = spoilt.qualities[kind, severity]
        rows = with_qualities(vectors, behind, own.made.qualities)
        pairs = zip(stratum.detectors.items(), stratum.together.parts, strict=True)
        found[kind] = {
            name: round(auroc(calibration.scores, detector.score(rows)), 4)
            for (name, detector), calibration in pairs
        }
    return found, spoilt.lost
