"""All rows of a store: parts on disk, memory-mapped, and one part in memory that grows."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from indexer.stores.contract import NO_ID
from indexer.stores.gpu import ERROR, GpuRows
from indexer.stores.halves import (
    SUM_ERROR,
    HalfView,
    decoded,
    deviation,
    faiss,
    selector,
    unit_rows,
)
from indexer.types import Embeddings, ItemIds, Scores

_REMEMBERED = 64
_BLOCK = 16_384
_MANY = 128
_DENSE = 0.2
"""Share of rows allowed from which on all are multiplied."""
_ON_GPU = 512
_PRODUCTS = 8192
"""Rows in one matrix product."""
_EPSILON = 2.0**-24
"""Rounding of one number of float32: a sum of n products is off by n times as much at most."""


class Part:
    """Rows ``(n, dim)`` of float16 that lie together, and what scans them.

    Args:
        rows: they are not copied.
        start: number of the first among all rows of the store.
        off: how far their lengths are from one, at most.
        wide: whether to hold them as float32 too, and scan these.
        device: of PyTorch, to hold them there too and compare them there.
    """

    def __init__(
        self,
        rows: np.ndarray,
        start: int,
        off: float,
        *,
        wide: bool = False,
        device: str = "",
    ) -> None:
        self._gpu = GpuRows(rows, device) if device else None
        self.rows, self.start, self._wide = rows, start, wide
        self.off = 0.0 if wide else off
        self.stop = start + len(rows)

    @cached_property
    def view(self) -> HalfView:
        """The rows as FAISS sees them."""
        return HalfView(self.rows)

    @cached_property
    def _scanner(self) -> Any:
        if not self._wide:
            return self.view.index
        index = faiss().IndexFlatIP(self.rows.shape[1])
        for start in range(0, len(self.rows), _BLOCK):
            index.add(unit_rows(self.rows[start : start + _BLOCK]))
        return index

    def scan(
        self, queries: Embeddings, k: int, chosen: Selection | None
    ) -> tuple[Scores, ItemIds, float]:
        """The k best by scores that are near the true ones, their numbers in the store, how near.

        Many queries go through matrix products, block by block; few are compared row by row.
        """
        k = min(k, len(self.rows))
        if self._gpu is not None:
            only = None if chosen is None else chosen.among(self)
            # Its rounding is coarse: with more candidates a second scan is rarely needed.
            count = min(len(self.rows) if only is None else len(only), max(k, _ON_GPU))
            scores, rows = self._gpu.search(queries, count, only)
            if only is not None and count == len(only):  # that there are no more has to be seen
                scores = np.pad(scores, ((0, 0), (0, 1)), constant_values=-np.inf)
                rows = np.pad(rows, ((0, 0), (0, 1)), constant_values=NO_ID)
            return scores, np.where(rows == NO_ID, NO_ID, rows + self.start), ERROR
        many = len(queries) >= _MANY and not self._wide
        if many and (chosen is None or chosen.share > _DENSE):
            mask = None if chosen is None else chosen.mask[self.start : self.stop]
            scores, rows = self._products(queries, k, mask)
            rows = np.where(rows == NO_ID, NO_ID, rows + self.start)
            return scores, rows, queries.shape[1] * _EPSILON
        params = chosen.params(self) if chosen else None
        scores, rows = self._scanner.search(queries, k, params=params)
        return scores, np.where(rows == NO_ID, NO_ID, rows + self.start), SUM_ERROR

    def _products(
        self, queries: Embeddings, k: int, mask: np.ndarray | None
    ) -> tuple[Scores, ItemIds]:
        """The k best by products of whole blocks with all queries, -inf and NO_ID for none."""
        module = faiss()
        best = module.ResultHeap(len(queries), k, keep_max=True)
        for start in range(0, len(self.rows), _PRODUCTS):
            block = self.rows[start : start + _PRODUCTS]
            numbers = np.arange(start, start + len(block))
            if mask is not None:
                allowed = mask[start : start + len(block)]
                block, numbers = block[allowed], numbers[allowed]
            if len(block):
                scores, at = module.knn(
                    queries, decoded(block), min(k, len(block)), module.METRIC_INNER_PRODUCT
                )
                best.add_result(scores, numbers[at])
        best.finalize()
        none = best.I < 0
        return np.where(none, -np.inf, best.D), np.where(none, NO_ID, best.I)

    def above(self, query: Embeddings, score: float, chosen: Selection | None) -> ItemIds:
        """All rows whose true score may be this or more."""
        radius = float(np.float32(score - self.error(score, SUM_ERROR) - SUM_ERROR))
        params = chosen.params(self) if chosen else None
        _, _, rows = self._scanner.range_search(query[None], radius, params=params)
        return np.asarray(rows, np.int64) + self.start

    def error(self, score: Any, sums: float) -> Any:
        """How far the true score may be from one that was scanned, given the error of sums."""
        return sums + 1.02 * self.off * np.abs(score)


class Selection:
    """Rows that may be found. Made once for a filter, used by many queries."""

    def __init__(self, mask: np.ndarray) -> None:
        self.mask = mask
        self.count = int(np.count_nonzero(mask))
        self._params: dict[int, Any] = {}
        self.remembered: dict[str, np.ndarray] = {}
        """What a structure has worked out of it."""

    @cached_property
    def rows(self) -> ItemIds:
        """Their numbers, ascending."""
        return np.flatnonzero(self.mask)

    @property
    def share(self) -> float:
        """Of all rows."""
        return self.count / max(1, len(self.mask))

    def params(self, part: Part) -> Any:
        """For a search of FAISS among the rows of a part."""
        if part.start not in self._params:
            allowed = selector(self.mask[part.start : part.stop])
            self._params[part.start] = faiss().SearchParameters(sel=allowed)
        return self._params[part.start]

    def among(self, part: Part) -> ItemIds:
        """Those of a part, numbered from its first row, ascending."""
        return np.flatnonzero(self.mask[part.start : part.stop])


class Rows:
    """Rows by number, their ids, and which of them count.

    Args:
        dim: length of a row.
        parts: rows on disk, in order.
        ids: of all of them; the array is kept.
        dead: numbers of rows that count no more.
        wide: whether they are scanned as float32.
    """

    def __init__(
        self,
        dim: int,
        parts: Sequence[Part] = (),
        ids: ItemIds | None = None,
        dead: ItemIds | None = None,
        *,
        wide: bool = False,
    ) -> None:
        self.dim, self._wide = dim, wide
        self.fixed = list(parts)
        self._ids = np.empty(0, np.int64) if ids is None else ids
        self._live = np.ones(len(self._ids), bool)
        if dead is not None:
            self._live[dead] = False
        self.count = int(np.count_nonzero(self._live))
        self._first = len(self._ids)  # number of the first row in memory
        self._used = self._first
        self._memory = np.empty((0, dim), np.float16)
        self._off = 0.0
        self._forget()

    def _forget(self) -> None:
        self._tail: Part | None = None
        self._sorted: tuple[ItemIds, ItemIds] | None = None
        self._everything: Selection | None = None
        self._known: OrderedDict[int, tuple[weakref.ref[np.ndarray], Selection]] = OrderedDict()

    @property
    def total(self) -> int:
        """Rows of all parts, those that count no more among them."""
        return self._used

    @property
    def parts(self) -> list[Part]:
        """All parts that have rows."""
        size = self._used - self._first
        if size and self._tail is None:
            self._tail = Part(self._memory[:size], self._first, self._off, wide=self._wide)
        return [part for part in (*self.fixed, self._tail) if part is not None and len(part.rows)]

    def add(self, ids: ItemIds, rows: np.ndarray) -> None:
        """Add rows of float16; the rows that had these ids count no more."""
        if not len(ids):
            return
        self.remove(ids)
        size, more = self._used - self._first, len(ids)
        if size + more > len(self._memory):
            room = max(size + more, 2 * len(self._memory))
            self._memory = _grown(self._memory, room)
            self._ids = _grown(self._ids, self._first + room)
            self._live = _grown(self._live, self._first + room)
        self._memory[size : size + more] = rows
        self._ids[self._used : self._used + more] = ids
        self._live[self._used : self._used + more] = True
        self._off = max(self._off, deviation(rows))
        self._used += more
        self.count += more
        self._forget()

    def remove(self, ids: ItemIds) -> None:
        """These count no more; ids that are not held are no error."""
        gone = np.unique(self.find(ids))
        gone = gone[gone != NO_ID]
        if len(gone):
            self._live[gone] = False
            self.count -= len(gone)
            self._forget()

    def ids_of(self, rows: ItemIds) -> ItemIds:
        """Ids of rows; NO_ID stays what it is."""
        return np.where(rows == NO_ID, NO_ID, self._ids[rows])

    def _by_id(self) -> tuple[ItemIds, ItemIds]:
        """Ids that count, ascending, and their rows."""
        if self._sorted is None:
            rows = np.flatnonzero(self._live[: self._used])
            whole = len(rows) == self._used
            ids = self._ids[: self._used] if whole else self._ids[rows]
            if len(ids) > 1 and not (ids[1:] > ids[:-1]).all():
                order = np.argsort(ids, kind="stable")
                ids, rows = ids[order], rows[order]
            self._sorted = ids, rows
        return self._sorted

    def ids(self) -> ItemIds:
        """All ids that count, ascending."""
        return self._by_id()[0].copy()

    def distinct(self) -> bool:
        """Whether no id counts twice, as it should be."""
        known, _ = self._by_id()
        return bool((known[1:] > known[:-1]).all())

    def find(self, ids: ItemIds) -> ItemIds:
        """The rows of ids; NO_ID where there is none."""
        ids = np.asarray(ids, np.int64)
        known, rows = self._by_id()
        if not len(known):
            return np.full(len(ids), NO_ID)
        at = np.minimum(np.searchsorted(known, ids), len(known) - 1)
        return np.where(known[at] == ids, rows[at], NO_ID)

    def select(self, allowed: ItemIds | None) -> Selection | None:
        """Which rows may be found; None if all may.

        An array that cannot be written is remembered for as long as it lives.
        """
        if allowed is None:
            if self.count == self._used:
                return None
            if self._everything is None:
                self._everything = Selection(self._live[: self._used].copy())
            return self._everything
        kept = self._known.get(id(allowed))
        if kept is not None and kept[0]() is allowed:
            return kept[1]
        rows = self.find(allowed)
        mask = np.zeros(self._used, bool)
        mask[rows[rows != NO_ID]] = True
        made = Selection(mask)
        if not allowed.flags.writeable:
            self._known[id(allowed)] = (weakref.ref(allowed), made)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return made

    def gather(self, rows: ItemIds) -> np.ndarray:
        """Stored rows by number, as float16."""
        found = np.empty((len(rows), self.dim), np.float16)
        for part in self.parts:
            mine = (rows >= part.start) & (rows < part.stop)
            if mine.all():
                return np.asarray(part.rows[rows - part.start])
            found[mine] = part.rows[rows[mine] - part.start]
        return found


def _grown(array: np.ndarray, size: int) -> np.ndarray:
    larger = np.zeros((size, *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger
