"""A store, and over it in memory what it does not hold yet: nobody waits for a server."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from indexer.filter_tree import Filter
from indexer.stores.contract import FilteringStore, StoreStats, VectorStore, checked_queries
from indexer.types import Embeddings, ItemIds, Scores


class Overlay:
    """``base`` without the ids in ``hidden``, and ``tail``; changes are made to these two alone.

    Args:
        base: a store, which is only read.
        tail: an empty store in memory; what is added goes there.
    """

    def __init__(self, base: VectorStore, tail: VectorStore) -> None:
        self.dim = base.dim
        self._base, self._tail = base, tail
        self._hidden = np.empty(0, np.int64)

    def upsert(self, ids: ItemIds, vectors: Embeddings) -> None:
        """Add vectors, or replace those of known ids; they are kept in memory."""
        self._tail.upsert(ids, vectors)
        self._hidden = np.union1d(self._hidden, np.asarray(ids, np.int64))

    def delete(self, ids: ItemIds) -> None:
        """Forget these ids, here alone."""
        self._tail.delete(ids)
        self._hidden = np.union1d(self._hidden, np.asarray(ids, np.int64))

    def search(
        self, queries: Embeddings, k: int, allowed: ItemIds | None = None
    ) -> tuple[ItemIds, Scores]:
        """The k nearest of each query among ``allowed`` (all, where None)."""
        queries = checked_queries(queries, self.dim)
        if allowed is None:
            # Those that are hidden can take the place of no more than so many others.
            ids, scores = self._base.search(queries, max(k, 0) + len(self._hidden))
        else:
            ids, scores = self._base.search(queries, k, np.setdiff1d(allowed, self._hidden))
        scores = np.where(np.isin(ids, self._hidden), -np.inf, scores).astype(np.float32)
        more, more_scores = self._tail.search(queries, k, allowed)
        ids = np.concatenate([ids, more], axis=1)
        scores = np.concatenate([scores, more_scores], axis=1)
        order = np.lexsort((ids, -scores), axis=1)[:, : max(k, 0)]
        ids, scores = np.take_along_axis(ids, order, 1), np.take_along_axis(scores, order, 1)
        found = np.isfinite(scores).sum(axis=1).max(initial=0)
        return ids[:, :found], scores[:, :found]

    def search_where(
        self, queries: Embeddings, k: int, tree: Filter
    ) -> tuple[ItemIds, Scores] | None:
        """As the base answers; None if that evaluates no filters, or if anything lies over it."""
        if len(self._hidden) or not isinstance(self._base, FilteringStore):
            return None
        return self._base.search_where(queries, k, tree)

    def fetch(self, ids: ItemIds) -> Embeddings:
        """The vectors of these ids, in this order."""
        ids = np.asarray(ids, np.int64)
        found = np.empty((len(ids), self.dim), np.float32)
        over = np.isin(ids, self._hidden)
        found[over] = self._tail.fetch(ids[over])
        found[~over] = self._base.fetch(ids[~over])
        return found

    def ids(self) -> ItemIds:
        """All ids held, ascending."""
        return np.union1d(np.setdiff1d(self._base.ids(), self._hidden), self._tail.ids())

    def count(self) -> int:
        """How many vectors are held."""
        if not len(self._hidden):
            return self._base.count()
        return len(self.ids())

    def stats(self) -> StoreStats:
        """Those of the base, with the count of both."""
        stats = self._base.stats()
        return replace(stats, count=self.count(), bytes=stats.bytes + self._tail.stats().bytes)
