"""Exact search in NumPy: the reference that every other store is compared with."""

from __future__ import annotations

import numpy as np

from indexer.stores.contract import StoreStats, checked, checked_queries
from indexer.types import Embeddings, ItemIds, Scores

_ROWS = 16_384
"""Vectors compared at a time, so that the wide copies stay small."""


class ExactStore:
    """All vectors in one array, every query against every vector."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._ids = np.empty(0, np.int64)
        self._vectors = np.empty((0, dim), np.float32)

    def upsert(self, ids: ItemIds, vectors: Embeddings) -> None:
        """Add vectors, or replace those of known ids."""
        ids, vectors = checked(ids, vectors, self.dim)
        keep = ~np.isin(self._ids, ids)
        all_ids = np.concatenate([self._ids[keep], ids])
        order = np.argsort(all_ids)
        self._ids = all_ids[order]
        self._vectors = np.concatenate([self._vectors[keep], vectors])[order]

    def delete(self, ids: ItemIds) -> None:
        """Forget these ids."""
        keep = ~np.isin(self._ids, ids)
        self._ids, self._vectors = self._ids[keep], self._vectors[keep]

    def search(
        self, queries: Embeddings, k: int, allowed: ItemIds | None = None
    ) -> tuple[ItemIds, Scores]:
        """The k nearest of each query among ``allowed`` (all, where None)."""
        queries = checked_queries(queries, self.dim)
        ids, vectors = self._ids, self._vectors
        if allowed is not None:
            keep = np.isin(ids, allowed)
            ids, vectors = ids[keep], vectors[keep]
        scores = _products(queries, vectors)
        # A stable sort over ascending ids settles ties by id.
        order = np.argsort(-scores, axis=1, kind="stable")[:, : max(k, 0)]
        return ids[order], np.take_along_axis(scores, order, axis=1)

    def fetch(self, ids: ItemIds) -> Embeddings:
        """The vectors of these ids, in this order."""
        at = np.searchsorted(self._ids, ids)
        known = at < len(self._ids)
        known[known] = self._ids[at[known]] == np.asarray(ids)[known]
        if not known.all():
            raise KeyError(f"{(~known).sum()} of {len(known)} ids are not in the store")
        return self._vectors[at]

    def ids(self) -> ItemIds:
        """All ids held, ascending."""
        return self._ids.copy()

    def count(self) -> int:
        """How many vectors are held."""
        return len(self._ids)

    def stats(self) -> StoreStats:
        """Kind, size and recall."""
        return StoreStats("exact", len(self._ids), self._vectors.nbytes + self._ids.nbytes, 1.0)


def _products(queries: Embeddings, vectors: Embeddings) -> Scores:
    """Inner products ``(queries, vectors)``, summed in double precision.

    In single precision BLAS gives equal vectors scores that differ in the last bit, depending on
    their place in the array: ties would not be ties.
    """
    wide = queries.astype(np.float64)
    scores = np.empty((len(queries), len(vectors)), np.float32)
    for start in range(0, len(vectors), _ROWS):
        part = slice(start, start + _ROWS)
        scores[:, part] = wide @ vectors[part].astype(np.float64).T
    return scores
