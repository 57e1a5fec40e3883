"""Vector stores that stay open between searches, brought up to the catalog before each."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, bindparam, func, select

from indexer.catalog.tables import Space
from indexer.index.projection import (
    ITEMS,
    LAYERS,
    Layer,
    catalog_count,
    catalog_ids,
    has_slices,
    open_projection,
    stored_rows,
)
from indexer.library import Library, SpaceInfo
from indexer.stores.contract import VectorStore

_MARKS = {
    layer.name: select(
        Space.generation,
        select(func.max(layer.table.seq))
        .where(layer.table.space_id == bindparam("space"))
        .scalar_subquery(),
    ).where(Space.id == bindparam("space"))
    for layer in LAYERS
}


@dataclass
class OpenStore:
    """A store that equals the catalog as of its mark.

    Attributes:
        store: only to be used while holding ``guard``: another search may bring it up to date.
        note: what had to be done when it was opened.
        sliced: whether the space has slices of volumes too.
        guard: of the space; held while one of its stores is searched or changed.
    """

    store: VectorStore
    note: str
    mark: tuple[int, int]
    sliced: bool
    guard: threading.RLock


class OpenStores:
    """The stores of a library that were asked for.

    A look at two indexes of the catalog tells whether a store is current; if not, what is new is
    added to it and what was deleted is dropped.

    Args:
        library: whose.
        device: where they may search: ``cpu``, ``cuda``, ``cuda:1`` or ``auto``.
    """

    def __init__(self, library: Library, device: str = "cpu") -> None:
        self._library, self._device = library, device
        self._guard = threading.Lock()
        self._opened: dict[tuple[int, str], OpenStore] = {}
        self._guards: dict[int, threading.RLock] = defaultdict(threading.RLock)

    def of(self, db: Connection, space: SpaceInfo, layer: Layer = ITEMS) -> OpenStore:
        """The store of a space, as current as a view of the catalog.

        Raises:
            LibraryCorruptError: a vector is damaged.
            StoreError: the store cannot be opened.
        """
        key, mark = (space.id, layer.name), _mark(db, space, layer)
        with self._guard:
            kept = self._opened.get(key)
            if kept is None:
                kept = self._opened[key] = self._open(space, layer, mark)
        with kept.guard:
            if kept.mark == mark:
                return kept
            if _bring_up(db, space, layer, kept, mark):
                kept.sliced = has_slices(self._library, space)
                return kept
        with self._guard:
            self._opened[key] = self._open(space, layer, mark)
            return self._opened[key]

    def _open(self, space: SpaceInfo, layer: Layer, mark: tuple[int, int]) -> OpenStore:
        projection = open_projection(self._library, space, layer, self._device)
        sliced = has_slices(self._library, space)
        guard = self._guards[space.id]
        return OpenStore(projection.store, projection.note, mark, sliced, guard)


def _mark(db: Connection, space: SpaceInfo, layer: Layer) -> tuple[int, int]:
    """The deletions that a space has seen, and the newest of its vectors."""
    row = db.execute(_MARKS[layer.name], {"space": space.id}).one()
    return int(row[0]), int(row[1] or 0)


def _bring_up(
    db: Connection, space: SpaceInfo, layer: Layer, kept: OpenStore, mark: tuple[int, int]
) -> bool:
    """Change a store to what the catalog holds; False if that needs it to be opened anew."""
    if mark < kept.mark:  # both only grow: another search has a newer view of the catalog
        return True
    generation, newest = kept.mark
    if mark[0] != generation:
        kept.store.delete(np.setdiff1d(kept.store.ids(), catalog_ids(db, space.id, layer)))
    for _, ids, vectors in stored_rows(db, space, newest, layer):
        kept.store.upsert(ids, vectors)
    kept.mark = mark
    return kept.store.count() == catalog_count(db, space.id, layer)
