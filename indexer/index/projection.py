"""The vector store of a space, equal to the catalog: loaded, topped up, or rebuilt in memory.

The files of an index state the highest ``embedding.seq`` they hold and the space's deletion count.
What came later is added, what was deleted is dropped, and files that are damaged or foreign count
for nothing: losing the index costs time, never data. `indexer.index.saving` writes them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import Connection, func, select
from sqlalchemy.orm import InstrumentedAttribute

from indexer.catalog.database import reading
from indexer.catalog.tables import EmbeddingRow, SliceRow, Space
from indexer.errors import (
    IndexCorruptError,
    LibraryCorruptError,
    StorageFullError,
    StoreUnavailableError,
)
from indexer.library import Library, SpaceInfo
from indexer.registry import (
    address_of,
    has_files,
    is_remote,
    kind_of,
    make_store,
    store_class,
)
from indexer.stores.contract import (
    Identity,
    Place,
    RemoteStore,
    StoreStats,
    SyncMark,
    VectorStore,
)
from indexer.stores.contract import renormalised as renormalised  # noqa: PLC0414 - used by many
from indexer.stores.manifest import publish
from indexer.stores.overlay import Overlay
from indexer.types import Embeddings, ItemIds

_BATCH = 20_000
_UNIT = 1e-2
"""How far rounding to float16 may take a vector's length from 1."""


@dataclass(frozen=True)
class Layer:
    """Which vectors of a space lie in a store together.

    Attributes:
        name: begins the names of its files.
        table: where the vectors are.
        key: what a vector is called in the store.
    """

    name: str
    table: type[EmbeddingRow | SliceRow]
    key: InstrumentedAttribute[int]


ITEMS = Layer("space", EmbeddingRow, EmbeddingRow.item_id)
SLICES = Layer("slices", SliceRow, SliceRow.seq)
"""Slices of volumes, by encoders that take them one by one."""
LAYERS = (ITEMS, SLICES)


@dataclass(frozen=True)
class Projection:
    """A store that equals the catalog as of ``high_water``.

    ``note`` says what had to be done for that, ``damaged`` whether a file was not what it should
    be: a missing one is normal after a run that was killed.
    """

    store: VectorStore
    high_water: int
    generation: int
    note: str
    damaged: bool


def open_projection(
    library: Library, space: SpaceInfo, layer: Layer = ITEMS, device: str = "cpu"
) -> Projection:
    """The store of a space, current with the catalog; nothing is written.

    Args:
        library: whose.
        space: which.
        layer: of its items, or of slices.
        device: where it may search: ``cpu``, ``cuda``, ``cuda:1`` or ``auto``.

    Raises:
        StoreUnavailableError: the vectors live in a server that does not answer.
    """
    if is_remote(library.config.store):
        return _over_remote(library, space, layer)
    mark, store, note = _load(library, space, layer, device)
    with reading(library.engine) as db:
        generation = generation_of(db, space)
        high_water = mark.high_water if mark and store is not None else 0
        if store is not None and mark is not None:
            if mark.generation != generation:
                store.delete(np.setdiff1d(store.ids(), catalog_ids(db, space.id, layer)))
            high_water = _top_up(db, space, layer, store, high_water)
            if store.count() != catalog_count(db, space.id, layer):
                # As after putting back an older catalog, which counts on from where it was.
                store, note = None, "the index did not match the catalog and is rebuilt"
        if store is None:
            store = make_store(library.config.store, space.dim)
            high_water = _top_up(db, space, layer, store, 0)
    damaged = bool(note) and mark is not None
    return Projection(store, high_water, generation, note or store.stats().warning, damaged)


def _load(
    library: Library, space: SpaceInfo, layer: Layer, device: str
) -> tuple[SyncMark | None, VectorStore | None, str]:
    """The files of a layer: how far they reach, the store, and why there is none."""
    spec = library.config.store
    chosen = store_class(spec)
    if not has_files(spec):
        return None, None, ""
    path = index_path(library, space, layer)
    found = chosen.read_mark(path)
    if found is None or found[0] != identity(library, space):
        with reading(library.engine) as db:
            empty = catalog_count(db, space.id, layer) == 0
        return None, None, "" if empty else "the index was missing and is rebuilt from the catalog"
    try:
        return found[1], chosen.load(path, space.dim, kind_of(spec), device), ""
    except (OSError, IndexCorruptError):
        return found[1], None, "the index file was damaged and is rebuilt from the catalog"


def _over_remote(library: Library, space: SpaceInfo, layer: Layer) -> Projection:
    """What a server holds, and over it in memory what it does not hold yet."""
    remote = connect(library, space, layer)
    mark = read_mark(library, space, layer)
    store = Overlay(remote, make_store("exact", space.dim))
    damaged, notes = False, list[str]()
    if mark is not None and remote.count() != mark.count:
        damaged = True
        notes.append("the server does not hold what it should: run syntopy verify --repair")
    with reading(library.engine) as db:
        generation = generation_of(db, space)
        if mark is None or mark.generation != generation:
            store.delete(np.setdiff1d(remote.ids(), catalog_ids(db, space.id, layer)))
        before = mark.high_water if mark else 0
        high_water = _top_up(db, space, layer, store, before)
        waiting = catalog_count(db, space.id, layer, since=before)
    if waiting:
        notes.append(f"{waiting} vectors are not in the server yet and are searched in memory")
    return Projection(store, high_water, generation, "; ".join(notes), damaged)


def connect(library: Library, space: SpaceInfo, layer: Layer) -> RemoteStore:
    """The server's part of a layer.

    Raises:
        StoreUnavailableError: it does not answer.
    """
    place = Place(
        library.config.id, space.encoder, space.weights, space.preprocessing, layer.name, space.dim
    )
    store: RemoteStore = store_class(library.config.store).connect(library.config.store, place)
    return store


def read_mark(library: Library, space: SpaceInfo, layer: Layer) -> SyncMark | None:
    """How far a server has been brought; None if it is not known."""
    try:
        stored = json.loads(_mark_path(library, space, layer).read_text(encoding="utf-8"))
        return SyncMark(**stored["mark"]) if stored["of"] == identity(library, space) else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_mark(library: Library, space: SpaceInfo, layer: Layer, mark: SyncMark) -> None:
    """Note how far a server has been brought; after it has confirmed."""
    path = _mark_path(library, space, layer)
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    told = {"of": identity(library, space), "mark": asdict(mark)}
    try:
        temporary.write_text(json.dumps(told, indent=1), encoding="utf-8")
        publish(temporary, path)
    except OSError as error:
        raise StorageFullError(f"{path.parent} cannot be written: {error.strerror}") from error


def forget_mark(library: Library, space: SpaceInfo, layer: Layer) -> None:
    """Say nothing of a server any more, before it comes to hold less than the mark says."""
    if read_mark(library, space, layer) is None:
        return
    path = _mark_path(library, space, layer)
    try:
        path.unlink()
    except OSError as error:
        raise StorageFullError(f"{path.parent} cannot be written: {error.strerror}") from error


def _mark_path(library: Library, space: SpaceInfo, layer: Layer) -> Path:
    return library.index_folder / f"{layer.name}-{space.id}.mark.json"


def layers_of(library: Library, space: SpaceInfo) -> list[Layer]:
    """The layers of a space: that of its items, and if any volume came slice by slice, of these."""
    written = index_path(library, space, SLICES).exists()
    written = written or read_mark(library, space, SLICES) is not None
    return [ITEMS, SLICES] if written or has_slices(library, space) else [ITEMS]


def has_slices(library: Library, space: SpaceInfo) -> bool:
    """Whether a space holds vectors of slices."""
    with reading(library.engine) as db:
        found = db.execute(select(SliceRow.seq).where(SliceRow.space_id == space.id).limit(1))
        return found.scalar() is not None


def _top_up(db: Connection, space: SpaceInfo, layer: Layer, store: VectorStore, since: int) -> int:
    """Add what came after ``since``; returns the new high-water mark."""
    for seqs, ids, vectors in stored_rows(db, space, since, layer):
        store.upsert(ids, vectors)
        since = int(seqs[-1])
    return since


def embeddings(
    db: Connection, space: SpaceInfo, since: int = 0, layer: Layer = ITEMS
) -> Iterator[tuple[np.ndarray, ItemIds, Embeddings]]:
    """As `stored_rows`, with the vectors as float32 unit rows."""
    for seqs, ids, rows in stored_rows(db, space, since, layer):
        yield seqs, ids, renormalised(rows)


def stored_rows(
    db: Connection, space: SpaceInfo, since: int = 0, layer: Layer = ITEMS
) -> Iterator[tuple[np.ndarray, ItemIds, np.ndarray]]:
    """Batches of (seq, id, float16 vector) with ``seq`` above ``since``, for stores.

    The id is that of the layer: of an item, or of a slice's row.

    Raises:
        LibraryCorruptError: a vector is damaged; `indexer.verify` finds and mends it.
    """
    table = layer.table
    query = (
        select(table.seq, layer.key.label("id"), table.vector)
        .where(table.space_id == space.id, table.seq > since)
        .order_by(table.seq)
        .execution_options(yield_per=_BATCH)
    )
    for rows in db.execute(query).partitions():
        yield (
            np.array([r.seq for r in rows], np.int64),
            np.array([r.id for r in rows], np.int64),
            sound_rows([r.vector for r in rows], space),
        )


def sound_vectors(blobs: Sequence[bytes], space: SpaceInfo) -> Embeddings:
    """Stored vectors as float32 unit rows.

    Raises:
        LibraryCorruptError: one is damaged; `indexer.verify` finds and mends it.
    """
    return renormalised(sound_rows(blobs, space))


def sound_rows(blobs: Sequence[bytes], space: SpaceInfo) -> np.ndarray:
    """Stored vectors as float16 rows.

    Raises:
        LibraryCorruptError: one is damaged; `indexer.verify` finds and mends it.
    """
    vectors, sound = stored_vectors(blobs, space.dim)
    if not sound.all():
        raise LibraryCorruptError(
            f"{(~sound).sum()} vectors of '{space.encoder}' are damaged; run: syntopy verify "
            "--repair"
        )
    return vectors


def stored_vectors(blobs: Sequence[bytes], dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Stored vectors as float16 rows, and which of them are what they should be: unit vectors."""
    zeros = bytes(2 * dim)
    joined = b"".join(b if len(b) == len(zeros) else zeros for b in blobs)
    vectors = np.frombuffer(joined, "<f2").reshape(-1, dim)
    finite = np.isfinite(vectors).all(axis=1)
    lengths = np.linalg.norm(np.where(finite[:, None], vectors, 0).astype(np.float32), axis=1)
    return vectors, np.abs(lengths - 1) < _UNIT


def catalog_ids(db: Connection, space_id: int, layer: Layer = ITEMS) -> ItemIds:
    """All ids that have a vector in a space, ascending."""
    query = select(layer.key).where(layer.table.space_id == space_id)
    return np.array(sorted(db.execute(query).scalars()), np.int64)


def catalog_count(db: Connection, space_id: int, layer: Layer = ITEMS, *, since: int = 0) -> int:
    """How many vectors a space has; those above a ``seq`` alone."""
    query = select(func.count()).where(layer.table.space_id == space_id)
    if since:
        query = query.where(layer.table.seq > since)
    return int(db.execute(query).scalar_one())


def index_stats(library: Library, space: SpaceInfo) -> list[tuple[str, StoreStats]]:
    """What the files or the server of a space's layers say of themselves; that of items first.

    Files are not opened for that.
    """
    spec = library.config.store
    named = zip(("items", "slices"), layers_of(library, space), strict=False)
    if is_remote(spec):
        return [(name, _remote_stats(library, space, layer)) for name, layer in named]
    if not has_files(spec):
        return []
    chosen = store_class(spec)
    found = [(name, chosen.read_stats(index_path(library, space, at))) for name, at in named]
    return [(name, stats) for name, stats in found if stats is not None]


def _remote_stats(library: Library, space: SpaceInfo, layer: Layer) -> StoreStats:
    """What a server says; that it does not answer is no error here."""
    try:
        with closing(connect(library, space, layer)) as remote:
            return remote.stats()
    except StoreUnavailableError as error:
        kind = library.config.store.partition(":")[0]
        return StoreStats(kind, 0, 0, None, recall_100=None, exact=False, warning=str(error))


def newest_seq(db: Connection, space: SpaceInfo, layer: Layer) -> int:
    """The highest ``seq`` of a layer; 0 if it has no vectors."""
    query = select(func.max(layer.table.seq)).where(layer.table.space_id == space.id)
    return int(db.execute(query).scalar() or 0)


def generation_of(db: Connection, space: SpaceInfo) -> int:
    """How many deletions a space has seen."""
    return int(db.execute(select(Space.generation).where(Space.id == space.id)).scalar_one())


def index_path(library: Library, space: SpaceInfo, layer: Layer) -> Path:
    """The file that names all others of a layer's index; one for each store and kind."""
    slug = re.sub("[^a-z0-9]+", "-", library.config.store.lower())
    return library.index_folder / f"{layer.name}-{space.id}.{slug}.json"


def identity(library: Library, space: SpaceInfo) -> Identity:
    """What an index has to be of to be ours: row numbers of another library say nothing here."""
    return {
        "library": library.config.id,
        "store": address_of(library.config.store),
        "encoder": space.encoder,
        "weights": space.weights,
        "preprocessing": space.preprocessing,
        "dim": space.dim,
    }
