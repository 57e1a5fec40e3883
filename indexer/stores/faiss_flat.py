"""FAISS, flat: exact inner product over float32, in the embedded engine that also runs on GPUs.

FAISS knows neither replacement nor honest padding (the same id twice is two rows; missing results
come back as -1 with ±3.4e38), so both are settled here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np

from indexer.errors import IndexCorruptError, MissingExtraError
from indexer.stores.contract import NO_ID, StoreStats, checked, checked_queries
from indexer.types import Embeddings, ItemIds, Scores

_MAGIC = b"SYNFLAT1"
_HEAD, _COUNT = struct.Struct("<8sI"), struct.Struct("<Q")
"""A snapshot is a head with the dimension, then blocks: a count, so many ids, so many vectors.

Not FAISS's own format, which cannot grow: an index of millions would have to be held by the writer.
"""
_BLOCK = 20_000
_TIE_MARGIN = 16
"""Extra neighbours fetched, so that ties at the k-th place are settled by id, not by chance."""


def _faiss() -> Any:
    try:
        import faiss  # noqa: PLC0415 - optional, and slow to load
    except ImportError as error:
        raise MissingExtraError(
            "the FAISS store needs an extra: pip install 'syntopy[cpu]' or 'syntopy[gpu]' "
            "(or create the library with --store exact)"
        ) from error
    return faiss


class FaissFlatStore:
    """``IndexIDMap2(IndexFlatIP)`` behind the store contract."""

    def __init__(self, dim: int, index: Any = None) -> None:
        faiss = _faiss()
        self.dim = dim
        self._index = index or faiss.IndexIDMap2(faiss.IndexFlatIP(dim))

    def upsert(self, ids: ItemIds, vectors: Embeddings) -> None:
        """Add vectors, or replace those of known ids."""
        ids, vectors = checked(ids, vectors, self.dim)
        if len(ids):
            self._index.remove_ids(ids)
            self._index.add_with_ids(vectors, ids)

    def delete(self, ids: ItemIds) -> None:
        """Forget these ids."""
        self._index.remove_ids(np.ascontiguousarray(ids, np.int64))

    def search(
        self, queries: Embeddings, k: int, allowed: ItemIds | None = None
    ) -> tuple[ItemIds, Scores]:
        """The k nearest of each query among ``allowed`` (all, where None)."""
        faiss = _faiss()
        queries = checked_queries(queries, self.dim)
        params, candidates = None, self.count()
        if allowed is not None:
            wanted = np.intersect1d(allowed, self.ids())
            params = faiss.SearchParameters(sel=faiss.IDSelectorBatch(wanted))
            candidates = len(wanted)
        k = min(max(k, 0), candidates)
        if k == 0 or not len(queries):
            return np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
        wide = min(k + _TIE_MARGIN, candidates)
        scores, ids = self._index.search(queries, wide, params=params)
        while wide < candidates and (scores[:, wide - 1] == scores[:, k - 1]).any():
            wide = min(4 * wide, candidates)  # the ties go on beyond what was fetched
            scores, ids = self._index.search(queries, wide, params=params)
        scores = np.where(ids == NO_ID, -np.inf, scores)
        order = np.lexsort((ids, -scores), axis=1)[:, :k]
        return np.take_along_axis(ids, order, 1), np.take_along_axis(scores, order, 1)

    def fetch(self, ids: ItemIds) -> Embeddings:
        """The vectors of these ids, in this order."""
        ids = np.ascontiguousarray(ids, np.int64)
        missing = ~np.isin(ids, self.ids())
        if missing.any():
            raise KeyError(f"{missing.sum()} of {len(ids)} ids are not in the store")
        found = np.empty((len(ids), self.dim), np.float32)
        for row, item_id in enumerate(ids):
            found[row] = self._index.reconstruct(int(item_id))
        return found

    def ids(self) -> ItemIds:
        """All ids held, ascending."""
        return np.sort(_faiss().vector_to_array(self._index.id_map))

    def count(self) -> int:
        """How many vectors are held."""
        return int(self._index.ntotal)

    def stats(self) -> StoreStats:
        """Kind, size and recall."""
        return StoreStats("faiss-flat", self.count(), self.count() * (4 * self.dim + 8), 1.0)

    def snapshot(self, path: Path) -> None:
        """Write everything to ``path``."""
        path.unlink(missing_ok=True)
        ids = self.ids()
        for start in range(0, max(1, len(ids)), _BLOCK):
            part = ids[start : start + _BLOCK]
            self.append(path, self.dim, part, self.fetch(part))

    @classmethod
    def append(cls, path: Path, dim: int, ids: ItemIds, vectors: Embeddings) -> None:
        """Add vectors of ids that are not in the file yet; an absent file is begun."""
        ids, vectors = checked(ids, vectors, dim)
        with path.open("ab") as file:
            if not file.tell():
                file.write(_HEAD.pack(_MAGIC, dim))
            file.write(_COUNT.pack(len(ids)))
            file.write(ids.astype("<i8").tobytes())
            file.write(vectors.astype("<f4").tobytes())

    @classmethod
    def restore(cls, path: Path, dim: int) -> Self:
        """Read a snapshot; IndexCorruptError if it is damaged or of another dimension."""
        store = cls(dim)
        try:
            with path.open("rb") as file:
                for ids, vectors in _blocks(file, path.name, dim):
                    store._index.add_with_ids(vectors, ids)
        except OSError as error:
            raise IndexCorruptError(f"{path.name} cannot be read: {error.strerror}") from error
        if len(np.unique(store.ids())) != store.count():
            raise IndexCorruptError(f"{path.name} holds an id twice")
        return store


def _blocks(file: BinaryIO, name: str, dim: int) -> Iterator[tuple[ItemIds, Embeddings]]:
    """The parts of a snapshot in the order in which they were written."""
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size or _HEAD.unpack(head) != (_MAGIC, dim):
        raise IndexCorruptError(f"{name} is an index of another kind or dimension")
    while count_bytes := file.read(_COUNT.size):
        if len(count_bytes) < _COUNT.size:
            raise IndexCorruptError(f"{name} is cut")
        (count,) = _COUNT.unpack(count_bytes)
        size = count * (8 + 4 * dim)
        data = file.read(size)
        if len(data) < size:
            raise IndexCorruptError(f"{name} is cut")
        ids = np.frombuffer(data, "<i8", count).astype(np.int64)
        vectors = np.frombuffer(data, "<f4", count * dim, 8 * count).reshape(count, dim)
        yield ids, np.ascontiguousarray(vectors, np.float32)
