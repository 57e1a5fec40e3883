"""Which items may be hits, and whose they are: kept in memory between searches.

Of each item its study, patient and role are held as numbers, 17 bytes an item; answers to filters
are remembered. Every change that a filter can see gives the catalog a new revision (see
``study_change``), so what is held is renewed when, and only when, the asking view is of another
one, whoever wrote it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, Select, case, func, select

from indexer.catalog.columns import columns
from indexer.catalog.tables import Item, Patient, Series, Study, StudyChange
from indexer.filters import Filter, sql_condition
from indexer.library import Library
from indexer.types import ItemIds, Role

MOST_FILTERS, MOST_BYTES = 64, 128 << 20
"""How many answers are remembered, and how large they may be together."""
_FEW = 20_000
"""Changed studies that are read by themselves; of more, everything is read anew."""
_ROLES = {role: code for code, role in enumerate(Role)}
_ROLE = case({role.value: code for role, code in _ROLES.items()}, value=Item.role, else_=-1)
_REVISION = "SELECT seq FROM sqlite_sequence WHERE name = 'study_change'"


@dataclass(frozen=True)
class Allowed:
    """Items that pass a filter.

    Attributes:
        ids: ascending and read-only; None means every item of the catalog.
        count: how many.
        total: items of the catalog, whether they pass or not.
    """

    ids: ItemIds | None
    count: int
    total: int


@dataclass(frozen=True)
class _Items:
    """Of every item, ascending by id: its study and patient (row numbers) and role (code)."""

    ids: ItemIds
    study: np.ndarray
    patient: np.ndarray
    role: np.ndarray

    @property
    def bytes(self) -> int:
        return sum(a.nbytes for a in (self.ids, self.study, self.patient, self.role))


class Gallery:
    """Answers for one library; it may be used by several threads.

    Every answer is of the catalog view that it is asked with. Ask within `reading`, so that all
    answers for one search are of the same.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._lock = threading.Lock()
        self._revision = -1
        self._items: _Items | None = None
        self._answers: OrderedDict[tuple[Filter | None, frozenset[Role]], Allowed] = OrderedDict()

    def allowed(self, db: Connection, tree: Filter | None, roles: frozenset[Role]) -> Allowed:
        """Items of these roles that pass a filter; None lets every item pass.

        The same question gets the very same array, as long as nothing changes and not too much
        else was asked since: stores remember by it what they prepared.
        """
        with self._lock:
            items, current = self._at(db)
            if not current:
                return _answer(db, items, tree, roles)
            found = self._answers.get((tree, roles))
            if found is None:
                found = self._answers[tree, roles] = _answer(db, items, tree, roles)
            self._answers.move_to_end((tree, roles))
            self._forget()
            return found

    def study_of(self, db: Connection, items: ItemIds) -> ItemIds:
        """Row number of the study of each item, -1 of an item that is not in the catalog."""
        with self._lock:
            held, _ = self._at(db)
        return _looked_up(held.ids, held.study, items)

    def patient_of(self, db: Connection, items: ItemIds) -> ItemIds:
        """Row number of the patient of each item, -1 of an item that is not in the catalog."""
        with self._lock:
            held, _ = self._at(db)
        return _looked_up(held.ids, held.patient, items)

    @property
    def bytes(self) -> int:
        """Size of the arrays that are held."""
        with self._lock:
            return self._answer_bytes() + (self._items.bytes if self._items else 0)

    def _at(self, db: Connection) -> tuple[_Items, bool]:
        """The items as this view has them, and whether they are what is held now."""
        if db.engine is not self._library.engine:
            raise ValueError("this is a view of another library: its row numbers mean nothing here")
        revision = revision_of(db)
        if self._items is not None and revision == self._revision:
            return self._items, True
        if revision < self._revision:  # a view from before the last renewal
            return _read_items(db), False
        renewed = _renewed(db, self._items, self._revision) if self._items is not None else None
        self._items = renewed or _read_items(db)
        self._revision = revision
        self._answers.clear()
        return self._items, True

    def _forget(self) -> None:
        """Drop the answers that were asked for longest ago, if there are too many."""
        while len(self._answers) > 1 and (
            len(self._answers) > MOST_FILTERS or self._answer_bytes() > MOST_BYTES
        ):
            self._answers.popitem(last=False)

    def _answer_bytes(self) -> int:
        return sum(a.ids.nbytes for a in self._answers.values() if a.ids is not None)


def revision_of(db: Connection) -> int:
    """What grows with every change of the catalog that a filter can see."""
    return int(db.exec_driver_sql(_REVISION).scalar() or 0)


def _answer(db: Connection, items: _Items, tree: Filter | None, roles: frozenset[Role]) -> Allowed:
    fits = np.isin(items.role, [_ROLES[role] for role in roles])
    if tree is not None:
        query = select(Item.id).select_from(Item).join(Series).join(Study).join(Patient)
        (passing,) = columns(db, query.where(sql_condition(tree)))
        passes = np.zeros(len(fits), bool)
        passes[np.searchsorted(items.ids, passing)] = True
        fits &= passes
    if fits.all():
        return Allowed(None, len(fits), len(fits))
    ids = items.ids[fits]
    ids.flags.writeable = False
    return Allowed(ids, len(ids), len(fits))


def _looked_up(ids: ItemIds, values: np.ndarray, wanted: ItemIds) -> ItemIds:
    """The value of each wanted id, -1 where there is none."""
    if not len(ids):
        return np.full(len(wanted), -1, np.int64)
    places = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
    return np.where(ids[places] == wanted, values[places], -1).astype(np.int64)


def _read_items(db: Connection) -> _Items:
    """All items. Each query finds all in an index, which joining the levels would not."""
    ids, series = _ascending(db, select(Item.id, Item.series_id))
    _, role = _ascending(db, select(Item.id, _ROLE))
    study = _looked_up(*_ascending(db, select(Series.id, Series.study_id)), series)
    patient = _looked_up(*_ascending(db, select(Study.id, Study.patient_id)), study)
    return _Items(ids, _compact(study), _compact(patient), role.astype(np.int8))


def _renewed(db: Connection, old: _Items, since: int) -> _Items | None:
    """The items with those of changed studies read again; None if that is not enough."""
    (changed,) = columns(db, select(StudyChange.study_id).where(StudyChange.revision > since))
    if len(changed) > _FEW:
        return None
    query = (
        select(Item.id, Series.study_id, Study.patient_id, _ROLE)
        .select_from(Item)
        .join(Series)
        .join(Study)
        .where(
            Study.id.in_(select(StudyChange.study_id).where(StudyChange.revision > since)),
        )
    )
    ids, study, patient, role = columns(db, query)
    kept = ~np.isin(old.study, changed)
    total = db.execute(select(func.count()).select_from(Item)).scalar_one()
    if np.count_nonzero(kept) + len(ids) != total:
        return None  # a study was removed, and nobody noted which
    joined = np.concatenate([old.ids[kept], ids])
    order = np.argsort(joined, kind="stable")
    return _Items(
        joined[order],
        _compact(np.concatenate([old.study[kept], study])[order]),
        _compact(np.concatenate([old.patient[kept], patient])[order]),
        np.concatenate([old.role[kept], role.astype(np.int8)])[order],
    )


def _compact(numbers: ItemIds) -> np.ndarray:
    """Row numbers in 32 bits, if they fit."""
    small = not len(numbers) or numbers.max() <= np.iinfo(np.int32).max
    return numbers.astype(np.int32) if small else numbers


def _ascending(db: Connection, query: Select[int, int]) -> tuple[ItemIds, ItemIds]:
    """Two columns of whole numbers, ascending by the first."""
    keys, values = columns(db, query)
    order = np.argsort(keys, kind="stable")
    return keys[order], values[order]
