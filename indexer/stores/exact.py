"""Exact search in NumPy: the reference that every other store is compared with."""

from __future__ import annotations

import numpy as np

from indexer.stores.contract import (
    StoreStats,
    checked,
    checked_queries,
    cosines,
    ranked,
    renormalised,
)
from indexer.types import Embeddings, ItemIds, Scores

_ROWS = 1024


class ExactStore:
    """All vectors in one array, every query against every vector."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._ids = np.empty(0, np.int64)
        self._rows = np.empty((0, dim), np.float16)

    def upsert(self, ids: ItemIds, vectors: Embeddings) -> None:
        """Add vectors, or replace those of known ids."""
        ids, rows = checked(ids, vectors, self.dim)
        keep = ~np.isin(self._ids, ids)
        all_ids = np.concatenate([self._ids[keep], ids])
        order = np.argsort(all_ids)
        self._ids = all_ids[order]
        self._rows = np.concatenate([self._rows[keep], rows])[order]

    def delete(self, ids: ItemIds) -> None:
        """Forget these ids."""
        keep = ~np.isin(self._ids, ids)
        self._ids, self._rows = self._ids[keep], self._rows[keep]

    def search(
        self, queries: Embeddings, k: int, allowed: ItemIds | None = None
    ) -> tuple[ItemIds, Scores]:
        """The k nearest of each query among ``allowed`` (all, where None)."""
        queries = checked_queries(queries, self.dim)
        ids, rows = self._ids, self._rows
        if allowed is not None:
            keep = np.isin(ids, allowed)
            ids, rows = ids[keep], rows[keep]
        scores = np.empty((len(queries), len(rows)), np.float32)
        for start in range(0, len(rows), _ROWS):
            part = slice(start, start + _ROWS)
            scores[:, part] = cosines(queries, renormalised(rows[part]))
        return ranked(np.broadcast_to(ids, scores.shape), scores, min(max(k, 0), len(ids)))

    def fetch(self, ids: ItemIds) -> Embeddings:
        """The vectors of these ids, in this order."""
        at = np.searchsorted(self._ids, ids)
        known = at < len(self._ids)
        known[known] = self._ids[at[known]] == np.asarray(ids)[known]
        if not known.all():
            raise KeyError(f"{(~known).sum()} of {len(known)} ids are not in the store")
        return renormalised(self._rows[at])

    def ids(self) -> ItemIds:
        """All ids held, ascending."""
        return self._ids.copy()

    def count(self) -> int:
        """How many vectors are held."""
        return len(self._ids)

    def stats(self) -> StoreStats:
        """Kind, size and recall."""
        return StoreStats("exact", len(self._ids), self._rows.nbytes + self._ids.nbytes, 1.0)
