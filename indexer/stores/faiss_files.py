"""The writer of an index's files: segments are added, tombstones noted, and all merged in time.

What is there is never loaded: new vectors become a new segment, and of the old ones only the ids
are read. When many segments or dead rows have come together, or many rows that the structure does
not cover, the rows are merged into one segment and the structure is built anew. The manifest is
replaced last; until then a reader finds what was there before, and so does the next writer.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from indexer.errors import IndexCorruptError, IndexMemoryError, StorageFullError
from indexer.stores.contract import Changes, IndexOptions, checked
from indexer.stores.gpu import gpu_for, gpu_memory
from indexer.stores.kinds import STRUCTURES, choose, memory_available
from indexer.stores.manifest import (
    Manifest,
    StoredFile,
    StoredStructure,
    check_files,
    clean,
    published,
    read_manifest,
    write_manifest,
)
from indexer.stores.segments import Segment, open_segment, write_segment
from indexer.stores.structures import LEAST
from indexer.stores.tuning import tune
from indexer.types import Embeddings, ItemIds

_SEGMENTS = 8
"""More of them are merged."""
_SHARE = 0.2
"""More dead rows, or rows without structure, than this share are too many."""


def update(path: Path, dim: int, changes: Changes, options: IndexOptions, kind: str) -> None:
    """Change the files of an index, or make them; see `PersistedStore.update`."""
    old = None if changes.anew else read_manifest(path)
    if old is None and not changes.anew:
        raise IndexCorruptError(f"{path.name} is missing or damaged, or of another version")
    if old is not None and (old.dim, old.asked) != (dim, kind):
        raise IndexCorruptError(f"{path.name} is an index of another kind or dimension")
    standing = read_manifest(path)
    try:
        path.parent.mkdir(exist_ok=True)
        if old is not None:
            check_files(path.parent, old.files)
        new = _Draft(path, dim, old, kind, options).write(changes)
        write_manifest(path, new)
        standing = new
    except (OSError, RuntimeError) as error:  # FAISS says so of a full disk
        raise StorageFullError(
            f"the index cannot be written to {path.parent}; free space and run: syntopy reindex"
        ) from error
    finally:
        clean(path, standing)


def open_segments(folder: Path, manifest: Manifest) -> list[Segment]:
    """All segments, with what counts of them."""
    segments = [open_segment(folder, stored, manifest.dim) for stored in manifest.segments]
    if manifest.dead:
        try:
            dead = np.fromfile(folder / manifest.dead.name, "<i8")
        except OSError as error:
            raise IndexCorruptError(f"{manifest.dead.name} cannot be read") from error
        starts = np.cumsum([0, *(segment.stored.count for segment in segments)])
        if len(dead) and not 0 <= dead.min() <= dead.max() < starts[-1]:
            raise IndexCorruptError(f"{manifest.dead.name} names rows that there are not")
        for segment, start in zip(segments, starts, strict=False):
            segment.live[dead[(dead >= start) & (dead < start + len(segment.ids))] - start] = False
    return segments


@dataclass
class _Draft:
    """An index on its way from one manifest to the next."""

    path: Path
    dim: int
    old: Manifest | None
    kind: str
    options: IndexOptions

    def write(self, changes: Changes) -> Manifest:
        """Write the files that are new; returns what names them all."""
        self.segments = open_segments(self.path.parent, self.old) if self.old else []
        self.structure = self.old.structure if self.old else None
        self.warning = self.old.warning if self.old else ""
        added = self._segment(self._added(changes.added))
        if added:
            self.segments.append(added)
        self._bury(changes.keep)
        count = sum(int(segment.live.sum()) for segment in self.segments)
        if count != changes.mark.count:
            raise IndexCorruptError(f"the index would hold {count}, not {changes.mark.count}")
        current = self.old.kind if self.old else ""
        gpu = gpu_for(self.options.device)
        free = None if gpu is None else gpu_memory(gpu)
        kind, reason = choose(self.kind, count, self.dim, gpu_free=free, current=current)
        self._tidy(kind, count, erase=changes.erase)
        dead, dead_count = self._dead()
        return Manifest(
            changes.identity,
            changes.mark,
            self.dim,
            self.kind,
            kind,
            self.old.reason if self.old and kind == current else reason,
            tuple(segment.stored for segment in self.segments),
            dead,
            dead_count,
            self.structure,
            self.warning,
        )

    def _name(self, end: str) -> Path:
        stem = self.path.name.removesuffix(".json")
        return self.path.with_name(f"{stem}.{secrets.token_hex(6)}.{end}")

    def _added(
        self, batches: Iterable[tuple[ItemIds, Embeddings]]
    ) -> Iterator[tuple[ItemIds, np.ndarray]]:
        done = 0
        for ids, vectors in batches:
            yield checked(ids, vectors, self.dim)
            done += len(ids)
            self.options.on_progress("adding vectors", done, 0)

    def _segment(self, batches: Iterable[tuple[ItemIds, np.ndarray]]) -> Segment | None:
        stored = write_segment(self._name("rows"), batches)
        return open_segment(self.path.parent, stored, self.dim) if stored else None

    def _bury(self, keep: ItemIds | None) -> None:
        """Of an id that stands more than once the last row counts; of one that went, none."""
        if not self.segments:
            return
        ids = np.concatenate([segment.ids for segment in self.segments])
        live = np.concatenate([segment.live for segment in self.segments])
        rows = np.flatnonzero(live)
        _, last = np.unique(ids[rows][::-1], return_index=True)
        stays = np.zeros(len(ids), bool)
        stays[rows[len(rows) - 1 - last]] = True
        if keep is not None:
            stays &= np.isin(ids, keep)
        start = 0
        for segment in self.segments:
            segment.live = stays[start : start + len(segment.ids)]
            start += len(segment.ids)

    def _tidy(self, kind: str, count: int, *, erase: bool) -> None:
        """Merge, build and erase as far as it is time to."""
        total = sum(len(segment.ids) for segment in self.segments)
        structured = kind in STRUCTURES and count >= LEAST
        covered = self.segments[0].stored.count if self.structure else 0
        stale = structured and (
            self.structure is None
            or self.structure.kind != kind
            or total - covered > _SHARE * total
        )
        if not structured or stale:
            self.structure = None
        dead = total - count
        if dead > _SHARE * total or (stale and len(self.segments) > 1):
            self._merge(0)
        elif erase and dead:
            self._erase()
        elif len(self.segments) > _SEGMENTS:
            behind = total - self.segments[0].stored.count
            self._merge(1 if self.structure or behind < self.segments[0].stored.count else 0)
        if structured and self.structure is None:
            self._build(kind)

    def _merge(self, first: int) -> None:
        """Make one segment of all from the first on; the structure goes if its rows do."""
        if first == 0:
            self.structure = None
        merged = self._segment(
            chain.from_iterable(each.live_batches() for each in self.segments[first:])
        )
        self.segments = [*self.segments[:first], *([merged] if merged else [])]

    def _erase(self) -> None:
        """Write zeros over dead rows, in the structure too: nothing of them stays in any file."""
        if self.structure is None:
            self._merge(0)
            return
        gone = np.flatnonzero(~self.segments[0].live)
        for number, segment in enumerate(self.segments):
            if segment.live.all():
                continue
            erased = self._segment(segment.erased_batches())
            if erased is not None:
                erased.live = segment.live
                self.segments[number] = erased
        if not len(gone):
            return
        folder, stored = self.path.parent, self.structure
        structure = STRUCTURES[stored.kind].read(
            folder / stored.file.name, self.segments[0].part(0), mapped=False
        )
        structure.erase(gone)
        path = self._name(stored.kind)
        temporary = path.with_name(f".{path.name}")
        structure.write(temporary)
        self.structure = replace(stored, file=published(temporary, path))

    def _build(self, kind: str) -> None:
        """Build and measure the structure over the first segment, which is the only one."""
        chosen, part = STRUCTURES[kind], self.segments[0].part(0)
        self.warning = ""
        needed, there = chosen.bytes_to_build(len(part.rows), self.dim), memory_available()
        if there is not None and needed > there:
            short = (
                f"building '{kind}' of {len(part.rows):,} vectors takes {needed / 2**30:.1f} GB "
                f"of memory, and {there / 2**30:.1f} GB are free"
            )
            if self.options.required:
                raise IndexMemoryError(f"{short}; free some, or take faiss:ivf-pq or faiss:flat")
            self.warning = f"{short}: every vector is compared instead; run: syntopy reindex"
            return
        tell = self.options.on_progress
        structure = chosen.build(part, lambda done, total: tell(f"building {kind}", done, total))
        tell("measuring recall", 0, 0)
        tuned = tune(structure, self.options.recall)
        if tuned.recall < tuned.target:
            self.warning = (
                f"the index finds {tuned.recall:.1%} of the ten nearest, less than the "
                f"{tuned.target:.1%} aimed for; take another kind with: syntopy reindex --store"
            )
        path = self._name(kind)
        temporary = path.with_name(f".{path.name}")
        structure.write(temporary)
        parameters = structure.parameters(tuned.effort, tuned.effort_100)
        self.structure = StoredStructure(kind, published(temporary, path), tuned, parameters)

    def _dead(self) -> tuple[StoredFile | None, int]:
        """Write the numbers of the rows that count no more, if there are any."""
        live = np.concatenate([np.empty(0, bool), *(each.live for each in self.segments)])
        dead = np.flatnonzero(~live).astype("<i8")
        if not len(dead):
            return None, 0
        path = self._name("dead")
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        dead.tofile(temporary)
        return published(temporary, path), len(dead)
