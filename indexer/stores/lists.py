"""Inverted lists: rows grouped round centres, as float16 or as product codes."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np

from indexer.stores.contract import NO_ID
from indexer.stores.gpu import MOST, GpuLists
from indexer.stores.halves import faiss, unit_rows
from indexer.stores.rows import Part, Selection
from indexer.stores.structures import (
    ENOUGH,
    Effort,
    Progress,
    Structure,
    add_rows,
    allowed_first,
)
from indexer.types import Embeddings, ItemIds

_BY_LISTS, _BY_QUERIES = 1, 3


class Lists(Structure):
    """Inverted lists: rows grouped round centres; of a query's nearest lists all are looked at."""

    _ELSEWHERE: ClassVar[float] = 0.8
    """Of the rows round a query that would be allowed if these were anywhere: with fewer they are
    elsewhere."""
    _MORE: ClassVar[float] = 2.0
    """Times as many are looked at where they are elsewhere: the centres tell less of them."""
    _RARE: ClassVar[float] = 0.007
    """Where a smaller share is allowed, all of it is compared: finding its lists costs as much, and
    misses some."""
    _DENSE: ClassVar[float] = 0.3
    """Share of rows allowed from which on those that are not are left out afterwards."""

    def __init__(self, index: Any, part: Part) -> None:
        super().__init__(index, part)
        self._gpu: GpuLists | None = None
        self._sizes: np.ndarray | None = None
        self._list_of: np.ndarray | None = None

    @classmethod
    def _flags(cls) -> int:
        return int(faiss().IO_FLAG_MMAP)

    @classmethod
    def build(cls, part: Part, on_progress: Progress) -> Lists:
        """Make it for all rows of a part."""
        count, dim = part.rows.shape
        lists = max(1, min(int(2 * np.sqrt(count)), count // 39))
        index = cls._empty(dim, lists)
        index.cp.min_points_per_centroid = 1
        index.cp.max_points_per_centroid = ENOUGH
        wanted = min(count, max(ENOUGH * lists, ENOUGH * 256))
        sample = np.sort(np.random.default_rng(0).choice(count, wanted, replace=False))
        on_progress(0, count)
        index.train(unit_rows(np.asarray(part.rows[sample])))
        add_rows(index, part, on_progress)
        return cls(index, part)

    @classmethod
    @abstractmethod
    def _empty(cls, dim: int, lists: int) -> Any:
        """An index of this kind without rows."""

    @property
    def sizes(self) -> np.ndarray:
        """Rows of each list."""
        if self._sizes is None:
            lists = self.index.invlists
            self._sizes = np.array([lists.list_size(i) for i in range(lists.nlist)])
        return self._sizes

    @property
    def list_of(self) -> np.ndarray:
        """The list of each row."""
        if self._list_of is None:
            module, lists = faiss(), self.index.invlists
            found = np.zeros(len(self.part.rows), np.int32)
            for number, size in enumerate(self.sizes.tolist()):
                if size:
                    rows = module.rev_swig_ptr(lists.get_ids(number), size)
                    found[rows] = number
            self._list_of = found
        return self._list_of

    def hold_on(self, gpu: int) -> None:
        """Copy the lists to the GPU of this number; see `Structure.hold_on`."""
        self._gpu = GpuLists(self.index, gpu)

    def efforts(self) -> list[Effort]:
        """Ways to search, the cheapest first."""
        doubled = [2**i for i in range(16)]
        return [Effort(n) for n in doubled if n == 1 or 2 * n <= len(self.sizes)]

    def search(
        self, queries: Embeddings, count: int, effort: Effort, chosen: Selection | None
    ) -> ItemIds:
        """Numbers ``(queries, count)`` of candidate rows, NO_ID where there are fewer.

        With a filter the nearest lists are looked through that hold enough allowed rows, those
        that hold none passed by.
        """
        visit = self._visit(effort, count)
        if chosen is None:
            if self._gpu is not None and max(visit, count) <= MOST:
                return self._gpu.search(queries, count, visit)
            near, lists = self.index.quantizer.search(queries, visit)
            return self._search_lists(queries, count, lists, near, None)
        near, lists, take, elsewhere = self._lists_holding(queries, visit, count, chosen)
        widest = max(1, int(take.sum(axis=1).max()))
        first = np.argsort(~take, axis=1, kind="stable")[:, :widest]
        taken = np.take_along_axis(take, first, 1)
        lists = np.where(taken, np.take_along_axis(lists, first, 1), NO_ID)
        near = np.take_along_axis(near, first, 1)
        if chosen.share < self._DENSE or elsewhere:
            return self._search_lists(queries, count, lists, near, chosen)
        # FAISS goes through a list three times faster if it need not look whether a row is allowed.
        wide = int(1.5 * count / chosen.share)
        rows = self._search_lists(queries, wide, lists, near, None)
        return allowed_first(rows, self._mask(chosen), count)

    def _lists_holding(
        self, queries: Embeddings, visit: int, count: int, chosen: Selection
    ) -> tuple[np.ndarray, ItemIds, np.ndarray, bool]:
        """For each query its nearest lists and which of them to look through.

        The fewer rows are allowed, the further away are the nearest, and the fewer of a list have
        to be compared: so many allowed rows are looked at as there are rows, allowed or not, in
        the lists without a filter, times the root of the share that is allowed.

        Returns:
            Products with the centres, lists, whether to take each, and whether round any query
            fewer rows are allowed than elsewhere.
        """
        allowed = self._allowed_sizes(chosen)
        look = int(4 * visit / np.sqrt(chosen.share))
        while True:
            near, lists = self.index.quantizer.search(queries, min(look, len(self.sizes)))
            held = allowed[lists]
            passed = self.sizes[lists[:, :visit]].sum(axis=1)
            expected = self._ELSEWHERE * chosen.share * passed
            elsewhere = held[:, :visit].sum(axis=1) < expected
            wanted = np.sqrt(chosen.share) * passed * np.where(elsewhere, self._MORE, 1.0)
            wanted = np.maximum(wanted, 4 * count)
            if look >= len(self.sizes) or (held.sum(axis=1) >= wanted).all():
                break
            look *= 4
        take = (held > 0) & (np.cumsum(held, axis=1) - held < wanted[:, None])
        return near, lists, take, bool(elsewhere.any())

    def _search_lists(
        self,
        queries: Embeddings,
        count: int,
        lists: ItemIds,
        near: np.ndarray,
        chosen: Selection | None,
    ) -> ItemIds:
        """Look through lists; FAISS's own search would begin a thread for each list on disk first.

        Threads share the lists of one query, or the queries of many.
        """
        self.index.parallel_mode = _BY_LISTS if len(queries) == 1 else _BY_QUERIES
        module = faiss()
        queries = np.ascontiguousarray(queries, np.float32)
        lists, near = np.ascontiguousarray(lists), np.ascontiguousarray(near, np.float32)
        scores = np.empty((len(queries), count), np.float32)
        rows = np.empty((len(queries), count), np.int64)
        allowed = chosen.params(self.part).sel if chosen else None
        params = module.SearchParametersIVF(nprobe=lists.shape[1], sel=allowed)
        self.index.search_preassigned_c(
            len(queries),
            module.swig_ptr(queries),
            count,
            module.swig_ptr(lists),
            module.swig_ptr(near),
            module.swig_ptr(scores),
            module.swig_ptr(rows),
            False,
            params,
        )
        return rows

    def _visit(self, effort: Effort, count: int) -> int:
        """Lists to look through: they have to hold what is wanted."""
        least = int(np.ceil(2 * count / max(1.0, float(self.sizes.mean()))))
        return min(max(effort.visit, least), len(self.sizes))

    def _allowed_sizes(self, chosen: Selection) -> np.ndarray:
        """Allowed rows of each list; counted once a selection."""
        key = "lists"
        if key not in chosen.remembered:
            own = self.list_of[self._mask(chosen)]
            chosen.remembered[key] = np.bincount(own, minlength=len(self.sizes))
        return chosen.remembered[key]

    def serves(self, count: int, effort: Effort, chosen: Selection | None) -> bool:
        """Whether fewer rows are looked at than there are."""
        visit = self._visit(effort, count)
        if chosen is not None:
            wanted = np.sqrt(chosen.share) * visit * float(self.sizes.mean())
            least = max(self._RARE * len(self.part.rows), 2 * wanted, 8 * count)
            return bool(least < chosen.count)
        return 2 * visit * float(self.sizes.mean()) < len(self.part.rows)

    def parameters(self, effort: Effort, effort_100: Effort) -> dict[str, float]:
        """What a search is made with, by FAISS's names, for ten results and for a hundred."""
        own = {"nlist": len(self.sizes), "nprobe": effort.visit, "nprobe_100": effort_100.visit}
        return own | super().parameters(effort, effort_100)

    def erase(self, rows: ItemIds) -> None:
        """Take the codes of these rows out of their lists."""
        module = faiss()
        self.index.remove_ids(module.IDSelectorBatch(np.asarray(rows, np.int64)))


class ListsFlat(Lists):
    """Lists of float16 vectors (IVF: Sivic and Zisserman, 2003)."""

    kind = "ivf-flat"

    @classmethod
    def _empty(cls, dim: int, lists: int) -> Any:
        module = faiss()
        centres = module.IndexFlatIP(dim)
        index = module.IndexIVFScalarQuantizer(
            centres,
            dim,
            lists,
            module.ScalarQuantizer.QT_fp16,
            module.METRIC_INNER_PRODUCT,
            False,
        )
        index.referenced_objects = [centres]
        return index


class ListsCoded(Lists):
    """Lists of product codes (Jégou, Douze and Schmid, 2011): a byte for eight numbers."""

    kind = "ivf-pq"
    _DENSE: ClassVar[float] = np.inf
    """To look whether a row is allowed costs less than to sum up its code."""

    @classmethod
    def _empty(cls, dim: int, lists: int) -> Any:
        module = faiss()
        centres = module.IndexFlatIP(dim)
        index = module.IndexIVFPQ(
            centres, dim, lists, code_bytes(dim), 8, module.METRIC_INNER_PRODUCT
        )
        index.pq.cp.min_points_per_centroid = 1
        index.referenced_objects = [centres]
        return index

    @classmethod
    def bytes_to_build(cls, count: int, dim: int) -> int:
        """Memory needed to build it, beyond the rows: codes, and what they are learned from."""
        sample = min(count, max(ENOUGH * int(2 * np.sqrt(count)), ENOUGH * 256))
        return count * (code_bytes(dim) + 8) + 2 * sample * dim * 4

    def efforts(self) -> list[Effort]:
        """Ways to search, the cheapest first: more lists and more candidates by turns."""
        found, visit, depth = list[Effort](), 2, 8
        while not found or 2 * visit <= len(self.sizes):
            found.append(Effort(visit, depth))
            if depth < 256:
                depth *= 2
                found.append(Effort(visit, depth))
            visit *= 2
        return found


def code_bytes(dim: int) -> int:
    """Bytes of a product code: the most that divide the dimension, with eight numbers or more."""
    return max(m for m in range(1, max(1, dim // 8) + 1) if dim % m == 0)
