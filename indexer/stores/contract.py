"""The contract of a vector store. tests/contracts/test_stores.py holds every store to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

import numpy as np

from indexer.errors import VectorError
from indexer.types import Embeddings, ItemIds, Scores

NO_ID = -1
"""Pads a row of results where fewer than k were found; its score is -inf."""


@dataclass(frozen=True)
class StoreStats:
    """What a store says of itself; ``recall`` is recall@10 against exact search, 1.0 if exact."""

    kind: str
    count: int
    bytes: int
    recall: float


class VectorStore(Protocol):
    """L2-normalised float32 vectors by item id, searched by inner product (cosine).

    Contract:
        - ids are int64 and not negative; the same id replaces the vector it had.
        - `search` returns ids and scores ``(queries, min(k, candidates))``, nearest first, equal
          scores by ascending id; ``allowed`` restricts the candidates, and is always honoured.
        - NaN, zero-length or wrong-dimension vectors raise VectorError and change nothing.
        - `delete` of an unknown id is no error; `fetch` of one raises KeyError.
        - inputs are never modified.
    """

    dim: int

    def upsert(self, ids: ItemIds, vectors: Embeddings) -> None:
        """Add vectors, or replace those of known ids."""

    def delete(self, ids: ItemIds) -> None:
        """Forget these ids."""

    def search(
        self, queries: Embeddings, k: int, allowed: ItemIds | None = None
    ) -> tuple[ItemIds, Scores]:
        """The k nearest of each query among ``allowed`` (all, where None)."""

    def fetch(self, ids: ItemIds) -> Embeddings:
        """The vectors of these ids, in this order."""

    def ids(self) -> ItemIds:
        """All ids held, ascending."""

    def count(self) -> int:
        """How many vectors are held."""

    def stats(self) -> StoreStats:
        """Kind, size and recall."""


@runtime_checkable
class SnapshotStore(Protocol):
    """A store that can be written to one file and read back faster than it is rebuilt."""

    def snapshot(self, path: Path) -> None:
        """Write everything to ``path``."""

    @classmethod
    def restore(cls, path: Path, dim: int) -> Self:
        """Read a snapshot; IndexCorruptError if it is damaged or of another dimension."""


@runtime_checkable
class AppendableStore(SnapshotStore, Protocol):
    """A store whose file can grow without being loaded: the writer then holds no index."""

    @classmethod
    def append(cls, path: Path, dim: int, ids: ItemIds, vectors: Embeddings) -> None:
        """Add vectors of ids that are not in the file yet; an absent file is begun."""


def checked(ids: ItemIds, vectors: Embeddings, dim: int) -> tuple[ItemIds, Embeddings]:
    """Validate a batch for `upsert`; of an id given twice the last vector counts.

    Raises:
        VectorError: wrong shape, NaN or infinite values, a zero vector, a negative id.
    """
    ids = np.ascontiguousarray(ids, np.int64)
    vectors = checked_queries(vectors, dim)
    if ids.ndim != 1 or len(ids) != len(vectors):
        raise VectorError(f"{len(ids)} ids for {len(vectors)} vectors")
    if len(ids) and ids.min() < 0:
        raise VectorError("ids must not be negative")
    _, last = np.unique(ids[::-1], return_index=True)
    keep = len(ids) - 1 - last
    return ids[keep], vectors[keep]


def checked_queries(vectors: Embeddings, dim: int) -> Embeddings:
    """Validate query vectors as `search` and `upsert` do.

    Raises:
        VectorError: wrong shape, NaN or infinite values, a zero vector.
    """
    vectors = np.ascontiguousarray(vectors, np.float32)
    if vectors.ndim != 2 or vectors.shape[1] != dim:
        raise VectorError(f"expected vectors of shape (n, {dim}), got {vectors.shape}")
    if not np.isfinite(vectors).all():
        raise VectorError("a vector holds NaN or infinite values")
    if len(vectors) and not np.abs(vectors).max(axis=1).all():
        raise VectorError("a vector is all zero")
    return vectors
