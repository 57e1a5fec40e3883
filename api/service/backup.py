"""A copy of a library from which it can be put back, made while it is in use."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import tomllib
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select

from api.service.access.audit import recorded
from indexer.catalog.audit import Action, AuditEvent
from indexer.catalog.database import reading
from indexer.catalog.tables import Instance, Patient, Study
from indexer.errors import ConfigError, LibraryCorruptError, StorageFullError
from indexer.library import Library

_CATALOG, _FILE = "catalog.sqlite", "library.toml"
_LEFT_OUT = frozenset({"index", "tmp"})
"""Made again from the catalog, or of no use later."""


@dataclass(frozen=True)
class BackedUp:
    """What a copy holds.

    Attributes:
        files: beside the catalog.
        copied: of those, that the folder did not have from before.
        forgotten: that it had, and the library has no more.
        bytes: of all.
    """

    files: int
    copied: int
    forgotten: int
    bytes: int


def backup(
    library: Library,
    target: Path,
    on_progress: Callable[[str, int, int], None] | None = None,
    *,
    actor: str,
) -> BackedUp:
    """Copy a library into a folder; one that has an earlier copy of it gets what is new.

    The catalog is copied as it is at one moment, whoever writes to it meanwhile; what was received
    after that moment is copied too, and indexed once the copy is put back. What was removed from
    the library is removed from the copy. The audit tells of it before it begins, with how much the
    catalog holds, and again if it fails. The folder is its owner's alone.

    Args:
        library: open; others may write to it.
        target: new, empty, or an earlier copy.
        on_progress: told what is being copied, how much of it, and of how much (0: not known).
        actor: who asks for it.

    Raises:
        ConfigError: the folder holds something else.
        LibraryLockedError: it cannot be recorded.
        StorageFullError: it cannot be written, or not recorded.
        LibraryCorruptError: the catalog cannot be read.
    """
    target, tell = target.absolute(), on_progress or (lambda _what, _done, _all: None)
    _check(library, target)
    with recorded(library, _event(library, actor)):
        return _copy_all(library, target, tell)


def _copy_all(library: Library, target: Path, tell: Callable[[str, int, int], None]) -> BackedUp:
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_IMODE(target.stat().st_mode) != 0o700:  # it was there
            target.chmod(0o700)
        tell("copying the catalog", 0, 0)
        _copy_catalog(library.path / _CATALOG, target / _CATALOG)
        names = set[Path]()
        copied = 0
        for number, name in enumerate(_files(library.path)):
            if number % 1000 == 0:
                tell("copying files", number, 0)
            with suppress(FileNotFoundError):  # removed meanwhile
                copied += _copy(library.path / name, target / name)
                names.add(name)
        gone = [name for name in _files(target) if name not in names]
        for name in gone:
            (target / name).unlink()
        sizes = [(target / name).stat().st_size for name in (*names, Path(_CATALOG))]
    except OSError as error:
        raise StorageFullError(f"{target} cannot be written: {error.strerror}") from error
    return BackedUp(len(names), copied, len(gone), sum(sizes))


def _event(library: Library, actor: str) -> AuditEvent:
    """That all is copied: how much that is, and nobody by a pseudonym."""
    with reading(library.engine) as db:
        counts = {
            name: db.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in (("patients", Patient), ("studies", Study), ("instances", Instance))
        }
    return AuditEvent(actor=actor, action=Action.EXPORT, subject={"what": "backup", **counts})


def _check(library: Library, target: Path) -> None:
    if target.is_relative_to(library.path) or library.path.is_relative_to(target):
        raise ConfigError(f"{target} is not beside the library; choose another folder")
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    try:
        told = tomllib.loads((target / _FILE).read_text(encoding="utf-8"))
        known = told.get("id")
    except (OSError, ValueError):
        known = None
    if known != library.config.id:
        raise ConfigError(f"{target} holds something else than a copy of this library")


def _copy_catalog(source: Path, target: Path) -> None:
    """All pages as they are at one moment; the copy before it stays until this one is whole."""
    new = target.with_name(f".{target.name}.new")
    _create(new)
    try:
        with (
            closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=30)) as reading,
            closing(sqlite3.connect(new)) as writing,
        ):
            # In one step: in parts it would begin anew whenever another process writes.
            reading.backup(writing, pages=-1)
            writing.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.OperationalError as error:
        raise StorageFullError(f"the catalog cannot be copied: {error}") from error
    except sqlite3.DatabaseError as error:
        raise LibraryCorruptError(f"the catalog cannot be read: {error}") from error
    _sync(new)
    new.replace(target)
    _sync(target.parent)


def _files(folder: Path) -> Iterator[Path]:
    """Names of all files that are neither the catalog's nor made again."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        odd = any(part.startswith(".") for part in name.parts) or path.suffix == ".lock"
        own = name.parts[0].startswith(_CATALOG) or name.parts[0] in _LEFT_OUT
        if path.is_file() and not (odd or own):
            yield name


def _copy(source: Path, target: Path) -> bool:
    """Copy a file unless it is there; whether it was not. What is in the inbox never changes."""
    seen = source.stat()
    with suppress(FileNotFoundError):
        there = target.stat()
        if (there.st_size, there.st_mtime_ns) == (seen.st_size, seen.st_mtime_ns):
            return False
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = target.with_name(f".{target.name}.new")
    _create(new)
    shutil.copy2(source, new)
    _sync(new)
    new.replace(target)
    return True


def _create(path: Path) -> None:
    """An empty file that nobody else may read, in place of what an earlier run left."""
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
