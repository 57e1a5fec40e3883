"""The contract of a vector store. tests/contracts/test_stores.py holds every store to it.

All stores hold vectors as the catalog does, as float16, and compare the same numbers: rows brought
back to length one in float32, products summed in float64. So all give the same scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

import numpy as np

from indexer.errors import VectorError
from indexer.filter_tree import Filter
from indexer.types import Embeddings, ItemIds, Scores

NO_ID = -1
"""Pads a row of results where fewer than k were found; its score is -inf."""
_BLOCK = 1024
"""Vectors compared at a time, so that the wide copies stay small."""


@dataclass(frozen=True)
class StoreStats:
    """What a store says of itself.

    Attributes:
        kind: what answers: ``"exact"``, ``"faiss:hnsw"``, ``"qdrant"``.
        count: vectors held.
        bytes: what they take.
        recall, recall_100: recall@10 and @100 against exact search; 1.0 if exact, None where they
            have not been measured.
        exact: whether every candidate is compared, so that nothing can be missed.
        target: recall that was aimed for.
        reason: why this kind, in a sentence; may be empty.
        warning: what is not as it should be, in a sentence; may be empty.
        parameters: of the search, by name.
    """

    kind: str
    count: int
    bytes: int
    recall: float | None
    recall_100: float | None = 1.0
    exact: bool = True
    target: float = 1.0
    reason: str = ""
    warning: str = ""
    parameters: Mapping[str, float] = field(default_factory=dict)


class VectorStore(Protocol):
    """Unit vectors by item id, searched by inner product (cosine).

    Contract:
        - vectors are handed in L2-normalised, in float32 or the catalog's float16. They are kept
          as float16 and given back as `renormalised` float32; scores are those of `cosines`, the
          same numbers in every store.
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
class SyncMark:
    """How far into the catalog reaches what a file or a server holds.

    Attributes:
        high_water: highest ``seq`` of the layer's table that was seen.
        generation: deletions the space had seen.
        revision: of what is told of the studies; 0 where nothing is.
        count: vectors held.
    """

    high_water: int
    generation: int
    count: int
    revision: int = 0


Identity = Mapping[str, str | int]
"""Whose vectors these are: library, space, store. What is of another identity is foreign."""


@dataclass(frozen=True)
class Changes:
    """What a writer brings to the files of a store.

    Attributes:
        identity, mark: what the files hold afterwards.
        added: batches of ids and vectors; an id that is held is replaced.
        keep: all ids that shall be held afterwards, ascending; None if none went.
        anew: whether what the files held before counts for nothing.
        erase: whether what went may not stay in any file, not even unreachably.
    """

    identity: Identity
    mark: SyncMark
    added: Iterable[tuple[ItemIds, Embeddings]]
    keep: ItemIds | None = None
    anew: bool = False
    erase: bool = False


def no_progress(_what: str, _done: int, _total: int) -> None:
    """Nobody is told."""


@dataclass(frozen=True)
class IndexOptions:
    """How an index is built and searched.

    Attributes:
        recall: recall@10 aimed for.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"auto"``.
        on_progress: is told what is being done, how much of it is done, and of how much. What it
            raises stops the work; the files stay as they were.
        required: whether an approximate structure that cannot be built is an error; otherwise the
            index is written without it, and says so.
    """

    recall: float = 0.98
    device: str = "cpu"
    on_progress: Callable[[str, int, int], None] = no_progress
    required: bool = False


@runtime_checkable
class PersistedStore(VectorStore, Protocol):
    """A store with files: a writer changes them without loading them, readers open them.

    Contract, beyond that of a vector store:
        - ``path`` is the one file that names all others; these lie beside it, and their names
          begin with its own name without the extension and a dot. It is replaced by renaming, last
          of all: a writer that is killed leaves what was there before.
        - an open store goes on answering while a writer replaces its files.
    """

    @classmethod
    def read_mark(cls, path: Path) -> tuple[Identity, SyncMark] | None:
        """What the files hold; None if there are none, or ``path`` cannot be read."""

    @classmethod
    def read_stats(cls, path: Path) -> StoreStats | None:
        """What the store says of itself when it is opened; None as above."""

    @classmethod
    def load(cls, path: Path, dim: int, kind: str = "", device: str = "cpu") -> Self:
        """Open the files; IndexCorruptError if they are damaged or of another kind or dimension.

        ``kind`` is what stands after the colon in the library's choice of a store; ``device`` is
        where it may search: ``cpu``, ``cuda``, ``cuda:1`` or ``auto``.
        """

    @classmethod
    def update(
        cls, path: Path, dim: int, changes: Changes, options: IndexOptions, kind: str = ""
    ) -> None:
        """Change the files, or make them.

        Raises:
            IndexCorruptError: there are files that cannot be built upon; bring all anew.
            StorageFullError: they cannot be written.
            IndexMemoryError: too little memory, where a structure is required.
        """


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
        - a writer brings it up to the catalog (`indexer.index.mirror`) and keeps a `SyncMark` of
          how far it got; the mark is written only after the server has confirmed, so it never says
          more than the server holds. Upserts and deletions may be repeated.
        - readers lay over it in memory what the catalog has beyond the mark (`Overlay`).
        - every call may raise StoreUnavailableError; nothing is half done in the process then.
    """

    @classmethod
    def check_spec(cls, spec: str) -> None:
        """ConfigError if a spec such as ``qdrant://host:6333/name`` cannot be understood."""

    @classmethod
    def address(cls, spec: str) -> str:
        """Where a spec leads: the same for all specs that lead to the same vectors."""

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
class FilteringStore(Protocol):
    """A store that evaluates filters itself, over payloads that were kept with the vectors."""

    def search_where(
        self, queries: Embeddings, k: int, tree: Filter
    ) -> tuple[ItemIds, Scores] | None:
        """As `VectorStore.search` among the items that pass; None if the filter is beyond it."""


def search_among(
    store: VectorStore,
    queries: Embeddings,
    k: int,
    allowed: ItemIds | None,
    where: Filter | None,
) -> tuple[ItemIds, Scores]:
    """As `VectorStore.search`, by the store's own filter where it has one and can.

    Args:
        store: to be searched.
        queries: as in its `search`.
        k: as in its `search`.
        allowed: ids that may be found; None means all.
        where: the filter that passes just these; None if the store may not evaluate it.
    """
    found = None
    if where is not None and isinstance(store, FilteringStore):
        found = store.search_where(queries, k, where)
    return found or store.search(queries, k, allowed)


def renormalised(rows: np.ndarray) -> Embeddings:
    """Stored float16 rows as float32 unit rows: the rounding is taken back out of the length."""
    return unit_length(rows.astype(np.float32))


def unit_length(rows: Embeddings) -> Embeddings:
    """Rows of float32, brought to length one where they lie."""
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def cosines(queries: Embeddings, rows: Embeddings) -> Scores:
    """Inner products ``(queries, rows)`` of float32 rows, summed in double precision.

    In single precision BLAS gives equal vectors scores that differ in the last bit, depending on
    their place in the array: ties would not be ties.
    """
    wide = queries.astype(np.float64)
    scores = np.empty((len(queries), len(rows)), np.float32)
    for start in range(0, len(rows), _BLOCK):
        part = slice(start, start + _BLOCK)
        scores[:, part] = wide @ rows[part].astype(np.float64).T
    return scores


def ranked(ids: ItemIds, scores: Scores, k: int) -> tuple[ItemIds, Scores]:
    """The best k of each row ``(queries, n)``, equal scores by ascending id.

    Places without an id have NO_ID and -inf and come last; what no row has any more is cut.
    """
    order = np.lexsort((ids, -scores), axis=1)[:, : max(k, 0)]
    ids, scores = np.take_along_axis(ids, order, 1), np.take_along_axis(scores, order, 1)
    found = int((ids != NO_ID).sum(axis=1).max(initial=0))
    return ids[:, :found], scores[:, :found]


def checked(ids: ItemIds, vectors: Embeddings, dim: int) -> tuple[ItemIds, np.ndarray]:
    """A batch for `upsert`, validated, as float16; of an id given twice the last vector counts.

    Raises:
        VectorError: wrong shape, NaN or infinite values, a zero vector, a negative id, a vector
            so far from length one that float16 cannot hold it.
    """
    ids = np.ascontiguousarray(ids, np.int64)
    vectors = checked_queries(vectors, dim)
    if ids.ndim != 1 or len(ids) != len(vectors):
        raise VectorError(f"{len(ids)} ids for {len(vectors)} vectors")
    if len(ids) and ids.min() < 0:
        raise VectorError("ids must not be negative")
    _, last = np.unique(ids[::-1], return_index=True)
    keep = len(ids) - 1 - last
    with np.errstate(over="ignore"):
        rows = vectors[keep].astype(np.float16)
    largest = np.abs(rows).max(axis=1, initial=0)
    if not (np.isfinite(largest) & (largest > 0)).all():
        raise VectorError("a vector is far from length one: normalise it")
    return ids[keep], rows


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
