"""A copy of a library from which it can be put back, made while it is in use."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tomllib
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

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
    library: Library, target: Path, on_progress: Callable[[str, int, int], None] | None = None
) -> BackedUp:
    """Copy a library into a folder; one that has an earlier copy of it gets what is new.

    The catalog is copied as it is at one moment, whoever writes to it meanwhile; what was received
    after that moment is copied too, and indexed once the copy is put back. What was removed from
    the library is removed from the copy.

    Args:
        library: open; others may write to it.
        target: new, empty, or an earlier copy.
        on_progress: told what is being copied, how much of it, and of how much (0: not known).

    Raises:
        ConfigError: the folder holds something else.
        StorageFullError: it cannot be written.
        LibraryCorruptError: the catalog cannot be read.
    """
    target, tell = target.absolute(), on_progress or (lambda _what, _done, _all: None)
    _check(library, target)
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
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
    new.unlink(missing_ok=True)
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
    new.chmod(0o600)
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
    shutil.copy2(source, new)
    _sync(new)
    new.replace(target)
    return True


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
