"""FAISS behind the store contract: exact over float16, or by graph, lists or codes.

FAISS knows neither replacement nor honest padding (the same id twice is two rows; missing results
come back as -1 with ±3.4e38), so both are settled here. What is added stands in memory behind the
rows on disk and is compared exactly; what is removed is passed by.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np

from indexer.errors import IndexCorruptError
from indexer.stores.contract import (
    NO_ID,
    Changes,
    Identity,
    IndexOptions,
    StoreStats,
    SyncMark,
    checked,
    checked_queries,
    ranked,
)
from indexer.stores.faiss_files import open_segments, update
from indexer.stores.gpu import gpu_for
from indexer.stores.halves import faiss, unit_rows
from indexer.stores.kinds import EXACT, STRUCTURES, checked_kind
from indexer.stores.manifest import Manifest, check_files, read_manifest
from indexer.stores.rows import Rows, Selection
from indexer.stores.scan import (
    MARGIN,
    exact_scores,
    nearest,
    scanned,
    stacked,
    stacked_scores,
)
from indexer.stores.structures import Effort, Structure
from indexer.stores.tuning import Tuned, candidates_for
from indexer.types import Embeddings, ItemIds, Scores


class FaissStore:
    """Vectors in memory and, once `load`ed, on disk.

    Args:
        dim: of a vector.
        kind: see `indexer.stores.kinds`; without files it is searched exactly whatever its kind.
    """

    def __init__(self, dim: int, kind: str = "") -> None:
        self.dim, self._kind = dim, checked_kind(kind)
        faiss()
        self._rows = Rows(dim, wide=self._kind == "flat-f32")
        self._structure: tuple[Structure, Tuned] | None = None
        self._manifest: Manifest | None = None

    @classmethod
    def check_spec(cls, spec: str) -> None:
        """ConfigError if what stands after the colon is no kind."""
        checked_kind(spec.partition(":")[2])

    def upsert(self, ids: ItemIds, vectors: Embeddings) -> None:
        """Add vectors, or replace those of known ids; they are kept in memory."""
        self._rows.add(*checked(ids, vectors, self.dim))

    def delete(self, ids: ItemIds) -> None:
        """Forget these ids."""
        self._rows.remove(ids)

    def search(
        self, queries: Embeddings, k: int, allowed: ItemIds | None = None
    ) -> tuple[ItemIds, Scores]:
        """The k nearest of each query among ``allowed`` (all, where None).

        An ``allowed`` that cannot be written (``flags.writeable`` is false) is worked through once
        and remembered for as long as it lives.
        """
        queries = checked_queries(queries, self.dim)
        chosen = self._rows.select(allowed)
        k = min(max(k, 0), self._rows.count if chosen is None else chosen.count)
        if k == 0 or not len(queries):
            return np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
        numbers, scores = self._candidates(queries, k, chosen)
        return ranked(self._rows.ids_of(numbers), scores, k)

    def _candidates(
        self, queries: Embeddings, k: int, chosen: Selection | None
    ) -> tuple[ItemIds, Scores]:
        if self._structure is not None:
            structure, tuned = self._structure
            effort = tuned.of(k)
            if structure.serves(candidates_for(k, effort), effort, chosen):
                return self._approximate(structure, effort, queries, k, chosen)
        return nearest(self._rows, queries, k, chosen)

    def _approximate(
        self,
        structure: Structure,
        effort: Effort,
        queries: Embeddings,
        k: int,
        chosen: Selection | None,
    ) -> tuple[ItemIds, Scores]:
        """Candidates by the structure, and those of the rows that it does not cover."""
        found = [structure.search(queries, candidates_for(k, effort), effort, chosen)]
        behind = [part for part in self._rows.parts if part.start >= structure.part.stop]
        found += [numbers for _, numbers, _ in scanned(behind, queries, k + MARGIN, chosen)]
        numbers = np.concatenate(found, axis=1)
        scores = exact_scores(self._rows, queries, numbers)
        short = (numbers != NO_ID).sum(axis=1) < k
        if not short.any():
            return numbers, scores
        # The structure came to an end before it had k: for these queries all rows are compared.
        more, more_scores = nearest(self._rows, queries[short], k, chosen)
        order = np.argsort(np.concatenate([np.flatnonzero(~short), np.flatnonzero(short)]))
        return (
            stacked([numbers[~short], more])[order],
            stacked_scores([scores[~short], more_scores])[order],
        )

    def fetch(self, ids: ItemIds) -> Embeddings:
        """The vectors of these ids, in this order."""
        rows = self._rows.find(ids)
        missing = int((rows == NO_ID).sum())
        if missing:
            raise KeyError(f"{missing} of {len(rows)} ids are not in the store")
        return unit_rows(self._rows.gather(rows))

    def ids(self) -> ItemIds:
        """All ids held, ascending."""
        return self._rows.ids()

    def count(self) -> int:
        """How many vectors are held."""
        return self._rows.count

    def stats(self) -> StoreStats:
        """Kind, size, recall and why."""
        if self._manifest is None:
            kind = self._kind if self._kind == "flat-f32" else "flat"
            return StoreStats(
                f"faiss:{kind}", self.count(), _size(kind, self._rows.total, self.dim), 1.0
            )
        more = self._rows.total - self._manifest.rows
        stored = _stats(self._manifest)
        size = stored.bytes + _size(self._manifest.kind, more, self.dim)
        return replace(stored, count=self.count(), bytes=size)

    # -- files ------------------------------------------------------------------------------------

    @classmethod
    def read_mark(cls, path: Path) -> tuple[Identity, SyncMark] | None:
        """What the files hold; None if there are none, or ``path`` cannot be read."""
        manifest = read_manifest(path)
        return (manifest.identity, manifest.mark) if manifest else None

    @classmethod
    def read_stats(cls, path: Path) -> StoreStats | None:
        """What the store says of itself when it is opened; None as above."""
        manifest = read_manifest(path)
        return _stats(manifest) if manifest else None

    @classmethod
    def load(cls, path: Path, dim: int, kind: str = "", device: str = "cpu") -> Self:
        """Open the files, memory-mapped, having compared their checksums.

        On a GPU the first segment of a ``flat`` index is held there, or the lists of another.

        Raises:
            IndexCorruptError: they are damaged, or of another kind or dimension.
            IndexMemoryError: they do not fit on the GPU.
        """
        store = cls(dim, kind)
        manifest = read_manifest(path)
        if manifest is None:
            raise IndexCorruptError(f"{path.name} is missing or damaged, or of another version")
        if (manifest.dim, manifest.asked) != (dim, store._kind):
            raise IndexCorruptError(f"{path.name} is an index of another kind or dimension")
        check_files(path.parent, manifest.files)
        segments = open_segments(path.parent, manifest)
        wide = manifest.kind == "flat-f32"
        gpu = gpu_for(device)
        held_on = f"cuda:{gpu}" if gpu is not None and manifest.kind == "flat" else ""
        starts = np.cumsum([0, *(segment.stored.count for segment in segments)])
        parts = [
            part
            for each, start in zip(segments, starts, strict=False)
            for part in each.parts(int(start), wide=wide, device="" if start else held_on)
        ]
        ids = np.concatenate([np.empty(0, np.int64), *(each.ids for each in segments)])
        live = np.concatenate([np.empty(0, bool), *(each.live for each in segments)])
        store._manifest = manifest
        store._rows = Rows(dim, parts, ids, np.flatnonzero(~live), wide=wide)
        if not store._rows.distinct():
            raise IndexCorruptError(f"{path.name} holds an id twice")
        if manifest.structure:
            chosen = STRUCTURES[manifest.structure.kind]
            structure = chosen.read(path.parent / manifest.structure.file.name, segments[0].part(0))
            if gpu is not None:
                structure.hold_on(gpu)
            store._structure = structure, manifest.structure.tuned
        return store

    @classmethod
    def update(
        cls, path: Path, dim: int, changes: Changes, options: IndexOptions, kind: str = ""
    ) -> None:
        """Change the files, or make them; see `indexer.stores.faiss_files`."""
        update(path, dim, changes, options, checked_kind(kind))


def _stats(manifest: Manifest) -> StoreStats:
    """What a manifest says of the store that it is of."""
    count, found = manifest.rows - manifest.dead_count, manifest.structure
    size = _size(manifest.kind, manifest.rows, manifest.dim)
    if found is None:
        kind = manifest.kind if manifest.kind in EXACT else "flat"
        return StoreStats(
            f"faiss:{kind}", count, size, 1.0, reason=manifest.reason, warning=manifest.warning
        )
    return StoreStats(
        f"faiss:{found.kind}",
        count,
        size + found.file.bytes,
        found.tuned.recall,
        recall_100=found.tuned.recall_100,
        exact=False,
        target=found.tuned.target,
        reason=manifest.reason,
        warning=manifest.warning,
        parameters=found.parameters,
    )


def _size(kind: str, rows: int, dim: int) -> int:
    """Bytes of rows and ids, as they are scanned."""
    return rows * (2 * dim + 8 + (4 * dim if kind == "flat-f32" else 0))
