"""The one file that names all others of an index, and how files are written and checked."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from indexer.errors import IndexCorruptError
from indexer.stores.contract import Identity, SyncMark
from indexer.stores.structures import Effort
from indexer.stores.tuning import Tuned

FORMAT = 2
_CHUNK = 8 << 20
_READ = 1 << 20
_THREADS = 4


@dataclass(frozen=True)
class StoredFile:
    """A file that never changes. ``digest`` is the SHA-256 of those of its parts of 8 MiB."""

    name: str
    digest: str
    bytes: int


@dataclass(frozen=True)
class StoredRows:
    """A segment: float16 rows, then their ids. ``off``: how far lengths are from one, at most."""

    file: StoredFile
    count: int
    off: float


@dataclass(frozen=True)
class StoredStructure:
    """An approximate structure over the first segment."""

    kind: str
    file: StoredFile
    tuned: Tuned
    parameters: dict[str, float]


@dataclass(frozen=True)
class Manifest:
    """What an index is made of.

    Attributes:
        identity, mark: whose vectors these are, and how far they reach.
        dim: of a vector.
        asked, kind, reason: the kind that was asked for, that was chosen, and why.
        segments: rows, in order.
        dead: file of the numbers of rows that count no more, if there are any.
        dead_count: how many.
        structure: over the first segment, if the kind has one and it is built.
        warning: what is not as it should be, in a sentence.
    """

    identity: Identity
    mark: SyncMark
    dim: int
    asked: str
    kind: str
    reason: str
    segments: tuple[StoredRows, ...] = ()
    dead: StoredFile | None = None
    dead_count: int = 0
    structure: StoredStructure | None = None
    warning: str = ""
    format: int = field(default=FORMAT)

    @property
    def files(self) -> list[StoredFile]:
        """All files that are named."""
        found = [segment.file for segment in self.segments]
        found += [self.dead] if self.dead else []
        return found + ([self.structure.file] if self.structure else [])

    @property
    def rows(self) -> int:
        """Rows of all segments, those that count no more among them."""
        return sum(segment.count for segment in self.segments)


def read_manifest(path: Path) -> Manifest | None:
    """The manifest; None if there is none, or it is of another format or damaged."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["format"] != FORMAT:
            return None
        return Manifest(
            **stored
            | {
                "mark": SyncMark(**stored["mark"]),
                "segments": tuple(_rows(each) for each in stored["segments"]),
                "dead": StoredFile(**stored["dead"]) if stored["dead"] else None,
                "structure": _structure(stored["structure"]) if stored["structure"] else None,
            }
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _rows(stored: dict[str, Any]) -> StoredRows:
    return StoredRows(**stored | {"file": StoredFile(**stored["file"])})


def _structure(stored: dict[str, Any]) -> StoredStructure:
    tuned = stored["tuned"]
    efforts = {name: Effort(**tuned[name]) for name in ("effort", "effort_100")}
    file = StoredFile(**stored["file"])
    return StoredStructure(stored["kind"], file, Tuned(**tuned | efforts), stored["parameters"])


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Replace the manifest: from here on its files are the index."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(asdict(manifest), indent=1), encoding="utf-8")
    publish(temporary, path)


def publish(temporary: Path, path: Path) -> None:
    """Give a finished file its name, so that it is whole even if the power fails now."""
    with temporary.open("rb+") as handle:
        os.fsync(handle.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def published(temporary: Path, path: Path) -> StoredFile:
    """As `publish`, and what the manifest says of the file."""
    stored = StoredFile(path.name, digest(temporary), temporary.stat().st_size)
    publish(temporary, path)
    return stored


def check_files(folder: Path, files: Iterable[StoredFile]) -> None:
    """IndexCorruptError if one is missing, of another size, or not what was written."""
    for file in files:
        path = folder / file.name
        try:
            sound = path.stat().st_size == file.bytes and digest(path) == file.digest
        except OSError as error:
            raise IndexCorruptError(f"{file.name} cannot be read: {error.strerror}") from error
        if not sound:
            raise IndexCorruptError(f"{file.name} does not match its checksum")


def digest(path: Path) -> str:
    """SHA-256 of the SHA-256 of its parts; parts, so that several threads share the work."""
    starts = range(0, max(1, path.stat().st_size), _CHUNK)

    def of_part(start: int) -> bytes:
        found = hashlib.sha256()
        with path.open("rb") as handle:
            handle.seek(start)
            for _ in range(_CHUNK // _READ):
                found.update(handle.read(_READ))
        return found.digest()

    with ThreadPoolExecutor(_THREADS) as pool:
        return hashlib.sha256(b"".join(pool.map(of_part, starts))).hexdigest()


def clean(path: Path, manifest: Manifest | None) -> None:
    """Remove what lies beside a manifest and is not named by it: replaced, or left by a kill."""
    named = {file.name for file in manifest.files} | {path.name} if manifest else set[str]()
    stem = path.name.removesuffix(".json")
    for found in (*path.parent.glob(f"{stem}.*"), *path.parent.glob(f".{stem}.*")):
        if found.name not in named:
            with suppress(OSError):
                found.unlink()
