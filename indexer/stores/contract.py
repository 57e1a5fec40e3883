"""The contract of a vector store. tests/contracts/test_stores.py holds every store to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

import numpy as np

from indexer.errors import VectorError
from indexer.types import Embeddings, ItemIds, Scores

NO_ID = -1
"""Pads a row of results where fewer than k were found; its score is -inf."""


@dataclass(frozen=True)
class StoreStats:
    """What a store says of itself.

    Attributes:
        kind: what answers: ``"exact"``, ``"faiss:hnsw"``, ``"qdrant"``.
        count: vectors held.
        bytes: what they take.
        recall, recall_100: recall@10 and @100 against exact search; 1.0 if exact.
        exact: whether every candidate is compared, so that nothing can be missed.
        target: recall that was aimed for.
        reason: why this kind, in a sentence; may be empty.
        parameters: of the search, by name.
    """

    kind: str
    count: int
    bytes: int
    recall: float
    recall_100: float = 1.0
    exact: bool = True
    target: float = 1.0
    reason: str = ""
    parameters: Mapping[str, float] = field(default_factory=dict)


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


@dataclass(frozen=True)
class Place:
    """Which vectors of which library: a remote store names its collections by these.

    Attributes:
        library: id of the library.
        encoder, weights, preprocessing: identity of the space.
        layer: ``"space"`` for items, ``"slices"`` for slices of volumes.
        dim: length of a vector.
    """

    library: str
    encoder: str
    weights: str
    preprocessing: str
    layer: str
    dim: int


@runtime_checkable
class RemoteStore(VectorStore, Protocol):
    """A store whose vectors live in a server that outlasts the process.

    Contract, beyond that of a vector store:
        - a writer brings it up to the catalog (`indexer.mirror`) and keeps a `SyncMark` of how far
          it got; the mark is written only after the server has confirmed, so it never says more
          than the server holds. Upserts and deletions may be repeated.
        - readers lay over it in memory what the catalog has beyond the mark (`Overlay`).
        - every call may raise StoreUnavailableError; nothing is half done in the process then.
    """

    @classmethod
    def check_spec(cls, spec: str) -> None:
        """ConfigError if a spec such as ``qdrant://host:6333/name`` cannot be understood."""

    @classmethod
    def connect(cls, spec: str, place: Place) -> Self:
        """Reach the server. Nothing is made there; what is not there counts as empty."""

    def prepare(self) -> None:
        """Make what `upsert` needs (collection, payload indexes), if it is not there."""

    def drop(self) -> None:
        """Delete everything that is held for this place."""

    def close(self) -> None:
        """Let go of connections."""


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


def renormalised(vectors: np.ndarray) -> Embeddings:
    """Stored float16 rows as float32 unit rows: the rounding is taken back out of the length."""
    wide = vectors.astype(np.float32)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    return wide
