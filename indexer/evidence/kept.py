"""Figures of a space that are kept beside its index; they can be made again from the catalog.

One ``.npz`` a kind, written beside its place and renamed. It says which library and space it is
of, what state of it, and what its arrays hash to; a file that is foreign, damaged or of an older
form counts as none.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, select

from indexer.catalog.tables import EmbeddingRow, Label, Space
from indexer.errors import StorageFullError
from indexer.index.projection import catalog_count
from indexer.library import Library, SpaceInfo

_ABOUT = "about"
_GROWTH = 1.25


@dataclass(frozen=True)
class Mark:
    """A state of a space that is quick to read: it changes with every write that counts.

    Attributes:
        generation: grows with deletions.
        high_water: highest number of a vector.
        labels: highest number of a label.
    """

    generation: int
    high_water: int
    labels: int


@dataclass(frozen=True)
class State:
    """What a space held when figures were made of it."""

    generation: int
    items: int
    labels: int

    def still_serves(self, now: State) -> bool:
        """Whether nothing was deleted since, and neither items nor labels grew by a quarter."""
        return (
            self.generation == now.generation
            and now.items <= self.items * _GROWTH
            and now.labels <= self.labels * _GROWTH
        )


def mark_of(db: Connection, space: SpaceInfo) -> Mark:
    """The state of a space by three looks at indexes."""
    mine = select(func.max(EmbeddingRow.seq)).where(EmbeddingRow.space_id == space.id)
    generation = select(Space.generation).where(Space.id == space.id)
    return Mark(
        int(db.execute(generation).scalar_one()),
        int(db.execute(mine).scalar() or 0),
        int(db.execute(select(func.max(Label.id))).scalar() or 0),
    )


def state_of(db: Connection, space: SpaceInfo) -> State:
    """What a space holds now."""
    generation = db.execute(select(Space.generation).where(Space.id == space.id)).scalar_one()
    labels = db.execute(select(func.count()).select_from(Label)).scalar_one()
    return State(int(generation), catalog_count(db, space.id), int(labels))


def read_kept(
    library: Library, space: SpaceInfo, kind: str, version: int
) -> tuple[State, dict[str, np.ndarray]] | None:
    """What was kept of a kind, and of which state of the space; None if there is nothing sound."""
    try:
        data = (library.index_folder / _name(space, kind)).read_bytes()
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        about = json.loads(str(arrays.pop(_ABOUT)))
        state = State(**about.pop("state"))
    except (OSError, EOFError, ValueError, TypeError, KeyError, zipfile.BadZipFile):
        return None
    return (state, arrays) if about == _about(library, space, version, arrays) else None


def stamp_of(library: Library, space: SpaceInfo, kind: str) -> int:
    """Changes when a writer keeps it anew; 0 where nothing is kept."""
    try:
        return (library.index_folder / _name(space, kind)).stat().st_mtime_ns
    except OSError:
        return 0


def keep(
    library: Library,
    space: SpaceInfo,
    kind: str,
    version: int,
    *,
    state: State,
    arrays: Mapping[str, np.ndarray],
) -> None:
    """Write figures into the index folder; only a writer should.

    Raises:
        StorageFullError: they cannot be written.
    """
    about = _about(library, space, version, arrays) | {"state": asdict(state)}
    out = io.BytesIO()
    np.savez(out, **{_ABOUT: np.array(json.dumps(about))}, **arrays)  # type: ignore[arg-type]
    path = library.index_folder / _name(space, kind)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(exist_ok=True)
        with temporary.open("wb") as handle:
            handle.write(out.getvalue())
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
        for left in path.parent.glob(f".{path.name}.*"):  # by a writer that was killed
            left.unlink(missing_ok=True)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StorageFullError(
            f"{path.name} cannot be written to {path.parent}; free space and index again"
        ) from error


def _name(space: SpaceInfo, kind: str) -> str:
    return f"{kind}-{space.id}.npz"


def _about(
    library: Library, space: SpaceInfo, version: int, arrays: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode() + b"\0" + np.ascontiguousarray(arrays[name]).tobytes())
    return {
        "library": library.config.id,
        "encoder": space.encoder,
        "weights": space.weights,
        "preprocessing": space.preprocessing,
        "dim": space.dim,
        "version": version,
        "sha256": digest.hexdigest(),
    }
