"""How far a server was brought up to the catalog: a small file beside the library's index."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from indexer.errors import StorageFullError
from indexer.library import Library, SpaceInfo
from indexer.projection import Layer


@dataclass(frozen=True)
class SyncMark:
    """How far a server holds a layer of a space.

    Attributes:
        high_water: every vector up to this ``seq`` is there.
        generation: of the space; what was deleted up to then is not there.
        count: vectors that are there.
        revision: changes of studies up to this one are in the payloads.
    """

    high_water: int
    generation: int
    count: int
    revision: int = 0


def read_mark(library: Library, space: SpaceInfo, layer: Layer) -> SyncMark | None:
    """How far the server was brought; None if that is not known."""
    try:
        stored = json.loads(_mark_path(library, space, layer).read_text(encoding="utf-8"))
        if stored.pop("of") != _identity(library, space):
            return None
        return SyncMark(**stored)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def write_mark(library: Library, space: SpaceInfo, layer: Layer, mark: SyncMark) -> None:
    """Write down how far the server was brought, replacing what was said before at one stroke.

    Raises:
        StorageFullError: it cannot be written.
    """
    path = _mark_path(library, space, layer)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    text = json.dumps({**asdict(mark), "of": _identity(library, space)}, indent=1)
    try:
        path.parent.mkdir(exist_ok=True)
        with temporary.open("w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StorageFullError(
            f"{path.parent} cannot be written: {error.strerror}; free space and run the same again"
        ) from error


def _mark_path(library: Library, space: SpaceInfo, layer: Layer) -> Path:
    return library.index_folder / f"{layer.name}-{space.id}.mark.json"


def _identity(library: Library, space: SpaceInfo) -> dict[str, str | int]:
    """What a mark has to be of to be ours: of this library, space and server."""
    return {
        "library": library.config.id,
        "store": library.config.store,
        "encoder": space.encoder,
        "weights": space.weights,
        "preprocessing": space.preprocessing,
        "dim": space.dim,
    }
