"""Who lies nearest to whom: all items ranked for each query, exactly or as a store answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from jaxtyping import Float, Int64

from indexer.stores.contract import NO_ID, VectorStore
from indexer.types import Embeddings, ItemIds

_SCORES = 1 << 26
"""Scores held together: 256 MB."""
_MOST_ROWS = 256
_BLOCK = 1 << 14
"""Items whose vectors are widened together."""
_DIGITS = 1e6
"""Scores count to six digits, as a search shows them; ties go by place."""
_PLACE_BITS = 40

Vectors = Float[np.ndarray, "n dim"]
Places = Int64[np.ndarray, " n"]
Cosines = Float[np.ndarray, "queries n"]


class Ranking(Protocol):
    """Ranks items by place, from zero, for queries that are items too."""

    def __call__(self, queries: Places) -> Iterator[Places]:
        """For each query the places of items, nearest first, the query's own among them."""


class ExactRanking:
    """Every item, by cosine; equal ones (to six digits) by place.

    Takes ``queries * n`` products of ``dim`` and as many sorts of n. In memory are the vectors, as
    they are given, and `_SCORES` scores.

    Args:
        vectors: L2-normalised, float32 or as stored (float16), ``(n, dim)``.
    """

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors

    def __call__(self, queries: Places) -> Iterator[Places]:
        """For each query the places of all items, nearest first."""
        together = max(1, min(_MOST_ROWS, _SCORES // max(len(self._vectors), 1)))
        for start in range(0, len(queries), together):
            part = queries[start : start + together]
            for scores in cosines(unit_rows(self._vectors[part]), self._vectors):
                yield by_score(scores)


class StoreRanking:
    """What a vector store finds, with whatever it misses.

    Args:
        store: of the space.
        ids: of the items, ascending: nothing else may be found.
        vectors: of the items, ``(n, dim)``.
        depth: how many a query asks for.
    """

    def __init__(self, store: VectorStore, ids: ItemIds, vectors: Vectors, depth: int) -> None:
        self._store, self._ids, self._vectors, self._depth = store, ids, vectors, depth
        self._allowed: ItemIds | None = None
        if not np.array_equal(store.ids(), ids):
            self._allowed = ids.copy()
            # A store may remember what it made of an array that nobody can change.
            self._allowed.flags.writeable = False

    def __call__(self, queries: Places) -> Iterator[Places]:
        """For each query the places of the items that the store finds, nearest first."""
        for start in range(0, len(queries), _MOST_ROWS):
            rows = unit_rows(self._vectors[queries[start : start + _MOST_ROWS]])
            found, scores = self._store.search(rows, self._depth, self._allowed)
            for ids, own in zip(found, scores, strict=True):
                places = np.searchsorted(self._ids, ids[ids != NO_ID])
                # Equal to six digits is equal here too.
                distance = _distance(own[ids != NO_ID])
                yield places[np.lexsort((places, distance))]


def unit_rows(vectors: Vectors) -> Embeddings:
    """Float32 rows; the rounding of stored ones is taken out of their length."""
    if vectors.dtype == np.float32:
        return vectors
    wide = vectors.astype(np.float32)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    return wide


def cosines(queries: Embeddings, vectors: Vectors) -> Cosines:
    """Float32 products of unit rows, the vectors widened block by block."""
    scores = np.empty((len(queries), len(vectors)), np.float32)
    for start in range(0, len(vectors), _BLOCK):
        part = slice(start, start + _BLOCK)
        scores[:, part] = queries @ unit_rows(vectors[part]).T
    return scores


def by_score(scores: np.ndarray) -> Places:
    """Places in descending order of their scores; equal ones, to six digits, ascending.

    One sort of whole numbers, with the place in the lower bits: several times faster than a stable
    sort of the scores.
    """
    keys = (_distance(scores) << _PLACE_BITS) | np.arange(len(scores))
    keys.sort()
    places: Places = keys & ((1 << _PLACE_BITS) - 1)
    return places


def _distance(scores: np.ndarray) -> Places:
    """Whole millionths from one."""
    distance: Places = np.rint((1 - scores.astype(np.float64)) * _DIGITS).astype(np.int64)
    return distance
