"""DICOMDIR files: which files a medium should have. A hint only; the files speak for themselves."""

from __future__ import annotations

import warnings
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.multival import MultiValue


def referenced_files(path: Path) -> list[Path]:
    """The files that a DICOMDIR names, in its order, each once.

    Names are compared without case, as media are often copied to other file systems; a file that
    is there is given by its name on disk. A DICOMDIR that cannot be read names no files.
    """
    names = list(dict.fromkeys(_file_ids(path)))
    listings: dict[Path, dict[str, Path]] = {}
    return [_on_disk(path.parent, name, listings) for name in names]


def missing(path: Path) -> list[Path]:
    """Those of `referenced_files` that are not there."""
    return [file for file in referenced_files(path) if not file.is_file()]


def _file_ids(path: Path) -> list[tuple[str, ...]]:
    """Referenced File IDs as path components; those that lead elsewhere are left out."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = dcmread(path)
            found = [_components(record) for record in dataset.get("DirectoryRecordSequence") or []]
    except Exception:  # noqa: BLE001 - damaged files make pydicom raise anything; this is a hint
        return []
    return [components for components in found if all(map(_is_plain, components))]


def _components(record: Dataset) -> tuple[str, ...]:
    value = record.get("ReferencedFileID")
    parts = value if isinstance(value, MultiValue) else str(value or "").split("\\")
    return tuple(str(part).strip() for part in parts)


def _is_plain(part: str) -> bool:
    return part not in ("", ".", "..") and not any(mark in part for mark in ("/", "\0", ":"))


def _on_disk(
    folder: Path, components: tuple[str, ...], listings: dict[Path, dict[str, Path]]
) -> Path:
    place = folder
    for part in components:
        if place not in listings:
            listings[place] = _listing(place)
        place = listings[place].get(part.lower(), place / part)
    return place


def _listing(folder: Path) -> dict[str, Path]:
    """Entries by name in lower case, also without what ISO 9660 appends (``;1``, a bare dot)."""
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return {}
    plain = {entry.name.lower().partition(";")[0].rstrip("."): entry for entry in entries}
    return {**plain, **{entry.name.lower(): entry for entry in entries}}
