"""Segments: files of rows that never change. Float16 rows one after the other, then their ids."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from indexer.errors import IndexCorruptError
from indexer.stores.halves import deviation
from indexer.stores.manifest import StoredRows, published
from indexer.stores.rows import Part
from indexer.types import ItemIds

_BLOCK = 16_384
_LEAST = 20_000
"""Fewer rows are not worth a thread of their own."""


@dataclass
class Segment:
    """A segment that is open.

    Attributes:
        stored: what the manifest says of it.
        rows: memory map ``(n, dim)`` of float16.
        ids: of the rows.
        live: which of them count.
    """

    stored: StoredRows
    rows: np.ndarray
    ids: ItemIds
    live: np.ndarray

    def live_batches(self) -> Iterator[tuple[ItemIds, np.ndarray]]:
        """The rows that count, some at a time."""
        for start in range(0, len(self.ids), _BLOCK):
            part = slice(start, start + _BLOCK)
            yield self.ids[part][self.live[part]], np.asarray(self.rows[part])[self.live[part]]

    def erased_batches(self) -> Iterator[tuple[ItemIds, np.ndarray]]:
        """All rows, with zeros for those that do not count, so that numbers stay."""
        for start in range(0, len(self.ids), _BLOCK):
            part = slice(start, start + _BLOCK)
            yield self.ids[part], np.where(self.live[part][:, None], self.rows[part], 0)

    def part(self, start: int) -> Part:
        """As a part of a store, its first row having this number."""
        return Part(self.rows, start, self.stored.off)

    def parts(self, start: int, *, wide: bool, device: str = "") -> list[Part]:
        """As parts of a store, as many as there are CPUs: each is scanned by one thread.

        With a ``device`` of PyTorch one part, held and compared there.
        """
        if device:
            return [Part(self.rows, start, self.stored.off, device=device)]
        number = max(1, min(len(os.sched_getaffinity(0)), len(self.ids) // _LEAST))
        ends = np.linspace(0, len(self.ids), number + 1).astype(int)
        return [
            Part(self.rows[first:last], start + int(first), self.stored.off, wide=wide)
            for first, last in itertools.pairwise(ends)
        ]


def write_segment(path: Path, batches: Iterable[tuple[ItemIds, np.ndarray]]) -> StoredRows | None:
    """Write batches of ids and float16 rows; None if there are none."""
    temporary = path.with_name(f".{path.name}")
    ids, off = [np.empty(0, np.int64)], 0.0
    with temporary.open("wb") as file:
        for some, rows in batches:
            file.write(np.ascontiguousarray(rows, "<f2").data)
            ids.append(some)
            counted = rows[rows.any(axis=1)]  # erased rows have no length
            off = max(off, deviation(counted))
        every = np.concatenate(ids).astype("<i8")
        file.write(every.data)
    if not len(every):
        temporary.unlink()
        return None
    return StoredRows(published(temporary, path), len(every), off)


def open_segment(folder: Path, stored: StoredRows, dim: int) -> Segment:
    """Map a segment into memory; its checksum is not looked at.

    Raises:
        IndexCorruptError: it cannot be read, or is not as large as so many rows are.
    """
    path, count = folder / stored.file.name, stored.count
    size = 2 * count * dim
    try:
        if path.stat().st_size != size + 8 * count:
            raise IndexCorruptError(f"{path.name} is not as large as {count} rows of {dim} are")
        rows = np.memmap(path, "<f2", "r", shape=(count, dim))
        ids = np.fromfile(path, "<i8", count, offset=size).astype(np.int64, copy=False)
    except OSError as error:
        raise IndexCorruptError(f"{path.name} cannot be read: {error.strerror}") from error
    return Segment(stored, rows, ids, np.ones(count, bool))
