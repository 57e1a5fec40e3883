"""The vector store of a space, kept equal to the catalog: loaded, topped up, or rebuilt.

A snapshot states the highest ``embedding.seq`` it holds and the space's deletion count. What came
later is added, what was deleted is dropped, and a snapshot that is damaged or foreign is rebuilt:
losing the index costs time, never data.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, select
from sqlalchemy.orm import InstrumentedAttribute

from indexer.catalog.database import reading
from indexer.catalog.tables import EmbeddingRow, SliceRow, Space
from indexer.errors import IndexCorruptError, LibraryCorruptError, StorageFullError
from indexer.library import Library, SpaceInfo
from indexer.registry import make_store, store_class
from indexer.stores.contract import (
    AppendableStore,
    SnapshotStore,
    VectorStore,
    renormalised,
)
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
class Snapshot:
    """The description beside a snapshot file."""

    library: str
    file: str
    sha256: str
    store: str
    encoder: str
    weights: str
    preprocessing: str
    dim: int
    count: int
    high_water: int
    generation: int


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


def open_projection(library: Library, space: SpaceInfo, layer: Layer = ITEMS) -> Projection:
    """The store of a space, current with the catalog; nothing is written."""
    stored = _read_description(library, space, layer)
    store, note = _restore(library, space, layer, stored)
    with reading(library.engine) as db:
        generation = db.execute(select(Space.generation).where(Space.id == space.id)).scalar_one()
        high_water = stored.high_water if stored and store is not None else 0
        if store is not None:
            if stored and stored.generation != generation:
                store.delete(np.setdiff1d(store.ids(), catalog_ids(db, space.id, layer)))
            high_water = _top_up(db, space, layer, store, high_water)
            if store.count() != catalog_count(db, space.id, layer):
                # As after putting back an older catalog, which counts on from where it was.
                store, note = None, "the index did not match the catalog and is rebuilt"
        if store is None:
            store = make_store(library.config.store, space.dim)
            high_water = _top_up(db, space, layer, store, 0)
    damaged = bool(note) and stored is not None
    return Projection(store, high_water, int(generation), note, damaged)


def save_projection(library: Library, space: SpaceInfo) -> None:
    """Bring the snapshots of a space up to the catalog, if its store has any; only a writer should.

    A store that can append never has its index loaded for that: memory stays bounded.
    """
    if not hasattr(store_class(library.config.store), "restore"):
        return
    for layer in layers_of(library, space):
        _save_layer(library, space, layer)


def layers_of(library: Library, space: SpaceInfo) -> list[Layer]:
    """The layers of a space: that of its items, and if any volume came slice by slice, of these."""
    written = _description_path(library, space, SLICES).exists()
    return [ITEMS, SLICES] if written or has_slices(library, space) else [ITEMS]


def has_slices(library: Library, space: SpaceInfo) -> bool:
    """Whether a space holds vectors of slices."""
    with reading(library.engine) as db:
        found = db.execute(select(SliceRow.seq).where(SliceRow.space_id == space.id).limit(1))
        return found.scalar() is not None


def _save_layer(library: Library, space: SpaceInfo, layer: Layer) -> None:
    chosen: type[Any] = store_class(library.config.store)
    stored = _read_description(library, space, layer)
    if hasattr(chosen, "append"):
        if not _append(library, space, layer, chosen, stored):
            _append(library, space, layer, chosen, None)
        return
    projection = open_projection(library, space, layer)
    new, generation = projection.high_water, projection.generation
    known = (stored.high_water, stored.generation) if stored else None
    if (new, generation) == known and not projection.note:
        return
    store = projection.store
    assert isinstance(store, SnapshotStore)  # noqa: S101 - it has `restore`
    _save(
        library,
        space,
        layer,
        store.snapshot,
        count=store.count(),
        high_water=new,
        generation=generation,
    )


def _append(
    library: Library,
    space: SpaceInfo,
    layer: Layer,
    chosen: type[AppendableStore],
    stored: Snapshot | None,
) -> bool:
    """Write what the catalog has beyond ``stored``; False if that cannot be built upon."""
    table = layer.table
    with reading(library.engine) as db:
        generation = int(
            db.execute(select(Space.generation).where(Space.id == space.id)).scalar_one()
        )
        total = catalog_count(db, space.id, layer)
        newest = db.execute(select(func.max(table.seq)).where(table.space_id == space.id)).scalar()
        since, before = (stored.high_water, stored.count) if stored else (0, 0)
        added = int(
            db.execute(
                select(func.count()).where(table.space_id == space.id, table.seq > since)
            ).scalar_one()
        )
        if stored is not None:
            old = library.index_folder / stored.file
            if stored.generation != generation or before + added != total:
                return False
            if not _is_sound(old, stored):
                return False
            if not added:
                return True

        def write(path: Path) -> None:
            if stored is not None:
                shutil.copyfile(library.index_folder / stored.file, path)
            else:
                chosen.append(path, space.dim, np.empty(0, np.int64), _no_vectors(space.dim))
            for _, ids, vectors in embeddings(db, space, since, layer):
                chosen.append(path, space.dim, ids, vectors)

        _save(
            library,
            space,
            layer,
            write,
            count=total,
            high_water=int(newest or 0),
            generation=generation,
        )
    return True


def _no_vectors(dim: int) -> Embeddings:
    return np.empty((0, dim), np.float32)


def _is_sound(path: Path, stored: Snapshot) -> bool:
    try:
        return _sha256(path) == stored.sha256
    except OSError:
        return False


def _top_up(db: Connection, space: SpaceInfo, layer: Layer, store: VectorStore, since: int) -> int:
    """Add what came after ``since``; returns the new high-water mark."""
    for seqs, ids, vectors in embeddings(db, space, since, layer):
        store.upsert(ids, vectors)
        since = int(seqs[-1])
    return since


def embeddings(
    db: Connection, space: SpaceInfo, since: int = 0, layer: Layer = ITEMS
) -> Iterator[tuple[np.ndarray, ItemIds, Embeddings]]:
    """Batches of (seq, id, float32 L2-normalised vectors) with ``seq`` above ``since``.

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
            sound_vectors([r.vector for r in rows], space),
        )


def sound_vectors(blobs: Sequence[bytes], space: SpaceInfo) -> Embeddings:
    """Stored vectors as float32 unit rows.

    Raises:
        LibraryCorruptError: one is damaged; `indexer.verify` finds and mends it.
    """
    vectors, sound = stored_vectors(blobs, space.dim)
    if not sound.all():
        raise LibraryCorruptError(
            f"{(~sound).sum()} vectors of '{space.encoder}' are damaged; run: syntopy verify "
            "--repair"
        )
    return renormalised(vectors)


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


def catalog_count(db: Connection, space_id: int, layer: Layer = ITEMS) -> int:
    """How many vectors a space has."""
    query = select(func.count()).where(layer.table.space_id == space_id)
    return int(db.execute(query).scalar_one())


def rebuild(library: Library) -> None:
    """Delete every index file, whatever it holds, and make them anew; only a writer should."""
    for path in library.index_folder.glob("*"):
        path.unlink(missing_ok=True)
    for space in library.spaces():
        save_projection(library, space)


def _description_path(library: Library, space: SpaceInfo, layer: Layer) -> Path:
    return library.index_folder / f"{layer.name}-{space.id}.json"


def _read_description(library: Library, space: SpaceInfo, layer: Layer) -> Snapshot | None:
    try:
        text = _description_path(library, space, layer).read_text(encoding="utf-8")
        stored = Snapshot(**json.loads(text))
    except (OSError, ValueError, TypeError):
        return None
    mine = _identity(library, space)
    return stored if all(getattr(stored, name) == value for name, value in mine.items()) else None


def _identity(library: Library, space: SpaceInfo) -> dict[str, Any]:
    """What a snapshot has to be of to be ours: row numbers of another library say nothing here."""
    return {
        "library": library.config.id,
        "store": library.config.store,
        "encoder": space.encoder,
        "weights": space.weights,
        "preprocessing": space.preprocessing,
        "dim": space.dim,
    }


def _restore(
    library: Library, space: SpaceInfo, layer: Layer, stored: Snapshot | None
) -> tuple[VectorStore | None, str]:
    chosen: type[Any] = store_class(library.config.store)
    if not hasattr(chosen, "restore"):
        return None, ""
    if stored is None:
        with reading(library.engine) as db:
            empty = catalog_count(db, space.id, layer) == 0
        return None, "" if empty else "the index was missing and is rebuilt from the catalog"
    path = library.index_folder / stored.file
    try:
        if _sha256(path) != stored.sha256:
            raise IndexCorruptError(f"{path.name} does not match its checksum")
        return chosen.restore(path, space.dim), ""
    except (OSError, IndexCorruptError):
        return None, "the index file was damaged and is rebuilt from the catalog"


def _save(
    library: Library,
    space: SpaceInfo,
    layer: Layer,
    write: Callable[[Path], None],
    *,
    count: int,
    high_water: int,
    generation: int,
) -> None:
    """Write snapshot, then its description, each by rename; then drop older snapshots."""
    folder = library.index_folder
    folder.mkdir(exist_ok=True)
    name = f"{layer.name}-{space.id}-{high_water}-{generation}.index"
    temporary = folder / f".{name}.{os.getpid()}"
    try:
        write(temporary)
        description = Snapshot(
            file=name,
            sha256=_sha256(temporary),
            count=count,
            high_water=high_water,
            generation=generation,
            **_identity(library, space),
        )
        _publish(temporary, folder / name)
        temporary.write_text(json.dumps(description.__dict__, indent=1), encoding="utf-8")
        _publish(temporary, _description_path(library, space, layer))
    except (OSError, RuntimeError) as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StorageFullError(
            f"the index cannot be written to {folder}; free space and run: syntopy verify --repair"
        ) from error
    # What a writer left that did not get this far.
    killed = folder.glob(f".{layer.name}-{space.id}-*")
    for old in (*folder.glob(f"{layer.name}-{space.id}-*.index"), *killed):
        if old.name != name:
            old.unlink(missing_ok=True)


def _publish(temporary: Path, path: Path) -> None:
    with temporary.open("rb+") as handle:
        os.fsync(handle.fileno())
    temporary.replace(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
