"""Reference sets of a library: a row of the catalog, and a file with what was learned.

A file is whole before the row names it, and its digest stands in the row; a file that no row names
is left from a run that was killed, and goes with the next that is stored. Patches, by which it is
said where a picture is unlike the reference, have a file of their own, and may come later.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from sqlalchemy import delete, insert, select, update

from indexer.catalog.database import reading, transaction
from indexer.catalog.tables import Item, Reference
from indexer.errors import (
    ConfigError,
    QueryError,
    ReferenceSetError,
    StorageFullError,
    UnknownNameError,
)
from indexer.library import Library, SpaceInfo

IDS = "ids"
"""Name of the array of item numbers in each part of a file."""
_LONGEST = 128


@dataclass(frozen=True)
class StoredReference:
    """A reference set as it was stored.

    Attributes:
        id, space_id: private to the catalog.
        filter: which items it was made of.
        alarm: the false-alarm rate that patients were held out for.
        items: how many it was made of.
        report: of each stratum, and of what has none.
        patches: file, digest and report of its patches; None where none were fitted.
    """

    id: int = field(repr=False)
    space_id: int = field(repr=False)
    name: str
    encoder: str
    filter: str
    alarm: float
    seed: int
    items: int
    report: Mapping[str, Any]
    version: str
    created_at: str
    file: str = field(repr=False)
    sha256: str = field(repr=False)
    patches: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def heat(self) -> Mapping[str, Any] | None:
        """The report of its patches, by which heat is drawn; None where none were fitted."""
        return None if self.patches is None else self.patches["report"]


@dataclass(frozen=True)
class ReferenceDraft:
    """What is to be stored; as `StoredReference`."""

    name: str
    filter: str
    alarm: float
    seed: int
    items: int
    report: Mapping[str, Any]
    version: str
    arrays: Mapping[str, np.ndarray]


def check_reference_name(library: Library, name: str) -> None:
    """See that a reference set may have this name.

    Raises:
        ConfigError: it is empty or too long, or there is one.
    """
    if not name.strip() or len(name) > _LONGEST or not name.isprintable():
        raise ConfigError(f"a reference needs a name of 1 to {_LONGEST} printable characters")
    if any(each.name == name for each in list_references(library)):
        raise ConfigError(
            f"there is a reference '{name}', which is never changed: take another name, or remove "
            f"it with: syntopy ood remove {name}"
        )


def list_references(library: Library) -> list[StoredReference]:
    """All, oldest first."""
    encoders = {space.id: space.encoder for space in library.spaces()}
    with reading(library.engine) as db:
        rows = db.execute(select(Reference).order_by(Reference.id)).all()
    return [_stored(row, encoders) for row in rows]


def find_reference(library: Library, name: str) -> StoredReference:
    """The one of a name.

    Raises:
        UnknownNameError: there is none; the message lists those there are.
    """
    known = list_references(library)
    for each in known:
        if each.name == name:
            return each
    if not known:
        raise UnknownNameError(
            "there is no reference yet; make it with: syntopy ood fit --name NAME"
        )
    there = ", ".join(each.name for each in known)
    raise UnknownNameError(f"there is no reference '{name}'; there are: {there}")


def save_reference(library: Library, space: SpaceInfo, draft: ReferenceDraft) -> StoredReference:
    """Store a reference set, all of it or nothing; only a writer should.

    Raises:
        ConfigError: there is one of this name.
        StorageFullError: the disk is full.
    """
    check_reference_name(library, draft.name)
    _tidy(library)
    path = _write(library, "", draft.arrays)
    definition = {
        "filter": draft.filter,
        "alarm": draft.alarm,
        "seed": draft.seed,
        "items": draft.items,
        "report": dict(draft.report),
        "version": draft.version,
        "file": path.name,
        "sha256": _digest(path),
    }
    with transaction(library.engine) as db:
        db.execute(
            insert(Reference).values(name=draft.name, space_id=space.id, definition=definition)
        )
    return find_reference(library, draft.name)


def load_reference(library: Library, stored: StoredReference) -> dict[str, np.ndarray]:
    """The arrays that were stored.

    Raises:
        ReferenceSetError: the file is gone, or not as it was written.
    """
    return _read(library, stored.file, stored.sha256, _broken(stored))


def save_patches(
    library: Library,
    stored: StoredReference,
    arrays: Mapping[str, np.ndarray],
    report: Mapping[str, Any],
) -> StoredReference:
    """Store patches of a reference, in place of those it has; only a writer should.

    Raises:
        QueryError: the reference is not there any more.
        StorageFullError: the disk is full.
    """
    _tidy(library)
    path = _write(library, "-patches", arrays)
    patches = {"file": path.name, "sha256": _digest(path), "report": dict(report)}
    with transaction(library.engine) as db:
        one = Reference.id == stored.id
        told = db.execute(select(Reference.definition).where(one)).scalar()
        if told is not None:
            db.execute(update(Reference).where(one).values(definition=told | {"patches": patches}))
    _tidy(library)
    return find_reference(library, stored.name)


def load_patches(library: Library, stored: StoredReference) -> dict[str, np.ndarray]:
    """The arrays of a reference's patches.

    Raises:
        QueryError: none were fitted.
        ReferenceSetError: the file is gone, or not as it was written.
    """
    mend = f"syntopy ood patches {stored.name}"
    if stored.patches is None:
        raise QueryError(f"the reference '{stored.name}' has no patches yet: {mend} fits them")
    broken = (
        f"the file of the patches of '{stored.name}' is gone or damaged: fit them again with: "
        f"{mend}"
    )
    return _read(library, stored.patches["file"], stored.patches["sha256"], broken)


def removed_cases(library: Library, stored: StoredReference) -> int:
    """How many of its cases are in the library no more; their vectors are still in its file.

    Raises:
        ReferenceSetError: the file is gone, or no file of arrays.
    """
    try:
        with np.load(_folder(library) / stored.file, allow_pickle=False) as arrays:
            parts = [arrays[name] for name in arrays.files if name.endswith(f"/{IDS}")]
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ReferenceSetError(_broken(stored)) from error
    with reading(library.engine) as db:
        there = np.array(db.execute(select(Item.id)).scalars().all(), np.int64)
    return int(sum((~np.isin(ids, there)).sum() for ids in parts))


def remove_reference(library: Library, name: str) -> StoredReference:
    """Delete one; only a writer should.

    Raises:
        QueryError: there is none of this name.
    """
    stored = find_reference(library, name)
    with transaction(library.engine) as db:
        db.execute(delete(Reference).where(Reference.id == stored.id))
    for file in _files(stored):
        (_folder(library) / file).unlink(missing_ok=True)
    return stored


def _folder(library: Library) -> Path:
    return library.path / "references"


def _files(stored: StoredReference) -> list[str]:
    return [stored.file, *([stored.patches["file"]] if stored.patches else [])]


def _tidy(library: Library) -> None:
    named = {name for each in list_references(library) for name in _files(each)}
    for path in _folder(library).glob("*.npz"):
        if path.name not in named:
            path.unlink(missing_ok=True)


def _write(library: Library, ending: str, arrays: Mapping[str, np.ndarray]) -> Path:
    """A new file with these arrays, whole on the disk."""
    path = _folder(library) / f"{uuid4().hex}{ending}.npz"
    try:
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, **dict(arrays))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise StorageFullError(f"the reference cannot be written: {error.strerror}") from error
    return path


def _read(library: Library, name: str, sha256: str, broken: str) -> dict[str, np.ndarray]:
    path = _folder(library) / name
    try:
        sound = _digest(path) == sha256
    except OSError as error:
        raise ReferenceSetError(broken) from error
    if not sound:
        raise ReferenceSetError(broken)
    with np.load(path, allow_pickle=False) as arrays:
        return {each: arrays[each] for each in arrays.files}


def _broken(stored: StoredReference) -> str:
    mend = f"remove it with: syntopy ood remove {stored.name}, and fit it again"
    return f"the file of the reference '{stored.name}' is gone or damaged: {mend}"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stored(row: Any, encoders: Mapping[int, str]) -> StoredReference:
    told = row.definition
    return StoredReference(
        id=row.id,
        space_id=row.space_id,
        name=row.name,
        encoder=encoders.get(row.space_id, ""),
        filter=told["filter"],
        alarm=told["alarm"],
        seed=told["seed"],
        items=told["items"],
        report=told["report"],
        version=told["version"],
        created_at=row.created_at.isoformat(timespec="seconds"),
        file=told["file"],
        sha256=told["sha256"],
        patches=told.get("patches"),
    )
