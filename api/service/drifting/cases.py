"""The two sides of a drift report: held-out cases of a reference, and what arrived since."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection

from api.service.judging.cases import (
    SLICES,
    VECTOR,
    judged_by,
    keys_of,
    owners_of,
    profiles_of,
    row_in,
    with_qualities,
)
from api.service.judging.fitted import fitted_sets
from clustering.contract import Progress
from indexer.catalog.database import reading
from indexer.errors import QueryError, ReferenceSetError
from indexer.evaluating.labelled import read_vectors
from indexer.groups.items import Described, acquired, dates_of, describe, gather
from indexer.groups.references import StoredReference, find_reference
from indexer.groups.runs import assigned, clusters_of, find_run
from indexer.library import Library, SpaceInfo
from indexer.types import Embeddings, ItemIds
from ood.drift import Sample
from ood.standing import Standing, standing
from ood.strata import Key

TOGETHER = "all detectors"
"""Name of the p-values of all detectors together."""
FEWEST = 20
"""Fewer patients held out are no reference to compare with."""
GROUPINGS = ("manufacturer", "model", "description")
_LABEL = "label:"
_COLUMNS = ("modality", "body_part", "view", "manufacturer", "model", "sex", "age")


@dataclass(frozen=True)
class Side:
    """Items with all that is compared of them, one row each.

    Attributes:
        sample: normal scores of each detector, p-values, columns, embeddings.
        owners: whose each is; of unknown patients each study counts as one.
        studies, dates: of each its study, and the date of that, "" where it is not known.
        groups: the group of each, None where it is not known.
        order: places in which one image of each patient is chosen, int64 ``(n,)``.
    """

    sample: Sample
    owners: Sequence[str]
    studies: Sequence[str]
    dates: Sequence[str]
    groups: Sequence[str | None]
    order: np.ndarray

    def one_each(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Of these rows one of each patient, int64 ``(m,)``, rising.

        Which one depends on its id and the seed alone: images of a patient are alike, and tests
        take cases to be independent.
        """
        chosen: dict[str, int] = {}
        for row in sorted((int(row) for row in rows), key=lambda each: int(self.order[each])):
            chosen.setdefault(self.owners[row], row)
        return np.array(sorted(chosen.values()), np.int64)


@dataclass(frozen=True)
class _Rows:
    """Items by their ids, which ascend, with their vectors and what kind of image each is."""

    ids: ItemIds
    vectors: Embeddings
    keys: Sequence[Key]


class Sides:
    """A reference that was loaded, ready to be compared with what arrived.

    Args:
        library: whose.
        name: of the reference.
        by: `GROUPINGS`, ``label:NAME``, or "" for no groups.
        run: a clustering of the same space; each item counts to the cluster whose mean is nearest,
            whether it was there when that was made or not. "" for none.
        alarm: the false-alarm rate; None takes the one that the reference was fitted for.
        seed: of the choice of one image of each patient.

    Raises:
        QueryError: there is no such reference, grouping or clustering.
        ReferenceSetError: the reference's file is gone or damaged.
    """

    def __init__(
        self, library: Library, name: str, *, by: str, run: str, alarm: float | None, seed: int
    ) -> None:
        if by and by not in GROUPINGS and not by.startswith(_LABEL):
            raise QueryError(
                f"'{by}' is no grouping: take {', '.join(GROUPINGS)} or label:NAME, as label:site"
            )
        self.stored: StoredReference = find_reference(library, name)
        self.alarm = self.stored.alarm if alarm is None else alarm
        self._fitted = fitted_sets(library, self.stored)
        self._ids: ItemIds = np.sort(np.concatenate([each.ids for each in self._fitted.values()]))
        some = next(iter(self._fitted.values()))
        self.detectors = tuple(each.label for each in some.reference.recipes)
        self.space = next(each for each in library.spaces() if each.id == self.stored.space_id)
        self._by, self._seed = by, seed
        self._run = _Clusters.of(library, run, self.space) if run else None
        with reading(library.engine) as db:
            self._known = describe(db, self._ids, labels=self._labels())
        learned = frozenset[int]().union(*(each.learned for each in self._fitted.values()))
        # What was removed since is described by nothing, and is nobody's.
        self._learned_of = {
            owner
            for owner, item, uid in zip(
                owners_of(self._known), self._ids.tolist(), self._known.uids, strict=True
            )
            if uid and item in learned
        }

    def held_out(self, db: Connection, progress: Progress) -> Side:
        """Cases that the stratum judging their kind was calibrated on, and not fitted on.

        Raises:
            ReferenceSetError: too few of them are left in the library.
        """
        vectors, present = read_vectors(db, self.space, self._ids)
        numbers = np.flatnonzero(present)
        keys, owners = keys_of(self._known), owners_of(self._known)
        held_out = _Rows(
            self._ids[numbers], vectors[numbers], [keys[at] for at in numbers.tolist()]
        )
        stood = self._stood(db, held_out, progress, "scoring held-out cases", calibrates=True)
        patients = len({owners[at] for at in numbers[stood.rows]})
        if patients < FEWEST:
            raise ReferenceSetError(
                f"the reference '{self.stored.name}' has {patients:,} held-out patients that a "
                f"rate of {self.alarm:g} can be judged with, {FEWEST} are needed: fit one of more "
                "studies, or take a higher --alarm"
            )
        return self._side(db, self._known, numbers, vectors[numbers], stood)

    def arrived(
        self, db: Connection, expression: str, progress: Progress
    ) -> tuple[Side, tuple[str, ...]]:
        """Items that pass a filter, and what has to be said of those that are left out.

        Left out is what is part of the reference, and other images
        of patients that detectors were fitted on: they look more usual than those of new patients.

        Raises:
            FilterError: the filter cannot be read.
            QueryError: none is left.
        """
        gathered = gather(db, self.space, expression)
        if not len(gathered.ids):
            raise QueryError("no item with a vector passes the filter")
        known = describe(db, gathered.ids, labels=self._labels())
        part = np.isin(gathered.ids, self._ids)
        familiar = ~part & np.array([owner in self._learned_of for owner in owners_of(known)], bool)
        kept = np.flatnonzero(~part & ~familiar)
        left_out = [
            (int(part.sum()), "are part of the reference"),
            (int(familiar.sum()), "are of patients that it was fitted on"),
            (gathered.missing, f"have no vector of '{self.space.encoder}' yet"),
        ]
        if not len(kept):
            raise QueryError(
                f"all {len(part):,} items that pass the filter are part of the reference "
                f"'{self.stored.name}' or of patients that it was fitted on: name what arrived "
                'later, as --where "study_date>=2026-10-01"'
            )
        keys = keys_of(known)
        rows = _Rows(gathered.ids[kept], gathered.vectors[kept], [keys[at] for at in kept.tolist()])
        stood = self._stood(db, rows, progress, "scoring what arrived", calibrates=False)
        if not len(stood.rows):
            some = next(iter(self._fitted.values()))
            _, why = some.reference.stratum_for(rows.keys[0], self.alarm)
            raise QueryError(f"nothing that passes the filter can be judged: {why}")
        left_out.append((len(kept) - len(stood.rows), "cannot be judged by any stratum"))
        notes = tuple(f"left out: {count:,} items {why}" for count, why in left_out if count)
        return self._side(db, known, kept, gathered.vectors[kept], stood), notes

    def _stood(
        self, db: Connection, rows: _Rows, progress: Progress, what: str, *, calibrates: bool
    ) -> Standing:
        """Where cases stand in the set of the reference that judges each."""
        profiles = dict(profiles_of(db, self.space, rows.ids)) if SLICES in self._fitted else {}
        of_set: dict[str, list[int]] = {name: [] for name in self._fitted}
        for at, item in enumerate(rows.ids.tolist()):
            of_set[judged_by(self._fitted, profiles.get(item))].append(at)
        found, places = [], []
        for name, own in of_set.items():
            if not own:
                continue
            fitted, ids = self._fitted[name], rows.ids[own]
            described = rows.vectors[own] if name == VECTOR else np.stack(
                [
                    row_in(name, rows.vectors[at], profiles.get(item))
                    for at, item in zip(own, ids.tolist(), strict=True)
                ]
            )  # fmt: skip
            columns = fitted.reference.qualities
            qualities = [each.qualities for each in acquired(db, ids)] if columns else []
            stood = standing(
                fitted.reference,
                with_qualities(described, qualities, columns),
                [rows.keys[at] for at in own],
                alarm=self.alarm,
                numbers=np.searchsorted(fitted.ids, ids) if calibrates else None,
                progress=lambda done, total: progress(what, done, total),
            )
            found.append(stood)
            places.append(np.array(own, np.int64)[stood.rows])
        return Standing.joined(found, places)

    def _side(
        self,
        db: Connection,
        known: Described,
        numbers: np.ndarray,
        vectors: Embeddings,
        stood: Standing,
    ) -> Side:
        """The rows of `known` that were judged; ``vectors`` are those of ``numbers``."""
        rows = numbers[stood.rows].tolist()
        embeddings = vectors[stood.rows]
        columns = {name: [known.fields[name][row] for row in rows] for name in _COLUMNS}
        if self._run is not None:
            columns["cluster"] = self._run.nearest(embeddings)
        groups = known.fields.get(self._by, [None] * len(known.uids))
        owners = owners_of(known)
        return Side(
            Sample(stood.normal, {**stood.p_values, TOGETHER: stood.together}, columns, embeddings),
            [owners[row] for row in rows],
            [known.studies[row] for row in rows],
            dates_of(db, [known.study_ids[row] for row in rows]),
            [groups[row] for row in rows],
            _places([known.uids[row] for row in rows], self._seed),
        )

    def _labels(self) -> tuple[str, ...]:
        return (self._by.removeprefix(_LABEL),) if self._by.startswith(_LABEL) else ()


@dataclass(frozen=True)
class _Clusters:
    """Means of the clusters of a run, float32 ``(k, dim)`` unit rows, and their names."""

    means: np.ndarray
    names: tuple[str, ...]

    @classmethod
    def of(cls, library: Library, name: str, space: SpaceInfo) -> _Clusters:
        run = find_run(library, name)
        if run.space_id != space.id:
            raise QueryError(
                f"the clustering '{name}' is of '{run.encoder}', the reference of "
                f"'{space.encoder}': take one of the same space"
            )
        with reading(library.engine) as db:
            members = assigned(db, run)
            vectors, present = read_vectors(db, space, members.ids)
            named = {each.cluster: f"{each.cluster} {each.called}" for each in clusters_of(db, run)}
        labels = np.where(present, members.labels, -1)
        numbers = [number for number in sorted(named) if number >= 0 and (labels == number).any()]
        if not numbers:
            raise QueryError(f"the clustering '{name}' has no clusters to count in")
        means = np.stack(
            [vectors[labels == each].mean(axis=0, dtype=np.float32) for each in numbers]
        )
        means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
        return cls(means, tuple(named[number] for number in numbers))

    def nearest(self, embeddings: Embeddings) -> list[str | None]:
        at = (np.asarray(embeddings, np.float32) @ self.means.T).argmax(axis=1)
        return [self.names[each] for each in at]


def _places(uids: Sequence[str], seed: int) -> np.ndarray:
    """The places of items in an order that does not go with anything."""
    digests = [hashlib.sha256(f"{seed}:{uid}".encode()).digest() for uid in uids]
    places = np.empty(len(uids), np.int64)
    places[sorted(range(len(uids)), key=lambda at: (digests[at], at))] = np.arange(len(uids))
    return places
