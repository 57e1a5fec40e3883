"""What finds candidates without comparing every row: graphs, inverted lists, codes of 8 bits.

A structure lies over the rows of one part and holds them only by number, or as codes. What it
brings is compared exactly afterwards, so a structure can miss a neighbour, but never give it a
wrong score.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from indexer.errors import IndexCorruptError
from indexer.stores.contract import NO_ID
from indexer.stores.halves import faiss, unit_rows
from indexer.stores.rows import Part, Selection
from indexer.types import Embeddings, ItemIds

Progress = Callable[[int, int], None]
LEAST = 256
"""With fewer rows there is no structure: comparing them all is quicker."""
_BLOCK = 8192
_ENOUGH = 64
"""Rows a list or a code is trained on."""


@dataclass(frozen=True)
class Effort:
    """How hard a structure looks.

    Attributes:
        visit: of a graph, the candidates kept while walking (efSearch); of lists, how many are
            looked through (nprobe).
        depth: candidates compared exactly for each result wanted.
    """

    visit: int
    depth: int = 1


class Structure(ABC):
    """An approximate index over the rows of one part.

    Args:
        index: of FAISS.
        part: the rows it is of.
    """

    kind: ClassVar[str]

    def __init__(self, index: Any, part: Part) -> None:
        self.index, self.part = index, part

    @classmethod
    @abstractmethod
    def build(cls, part: Part, on_progress: Progress) -> Structure:
        """Make it for all rows of a part."""

    @classmethod
    def read(cls, path: Path, part: Part, *, mapped: bool = True) -> Structure:
        """Open a file, memory-mapped or to change it; IndexCorruptError if it is of other rows."""
        try:
            index = faiss().read_index(str(path), cls._flags() if mapped else 0)
        except RuntimeError as error:
            raise IndexCorruptError(f"{path.name} cannot be read as a FAISS index") from error
        if index.ntotal != len(part.rows) or index.d != part.rows.shape[1]:
            raise IndexCorruptError(f"{path.name} is an index of other rows")
        return cls(index, part)

    @classmethod
    def _flags(cls) -> int:
        return int(faiss().IO_FLAG_MMAP_IFC)

    def write(self, path: Path) -> None:
        """Write it to a file."""
        faiss().write_index(self.index, str(path))

    @abstractmethod
    def efforts(self) -> list[Effort]:
        """Ways to search, the cheapest first."""

    @abstractmethod
    def search(
        self, queries: Embeddings, count: int, effort: Effort, chosen: Selection | None
    ) -> ItemIds:
        """Numbers ``(queries, count)`` of candidate rows, NO_ID where there are fewer."""

    @abstractmethod
    def serves(self, count: int, effort: Effort, chosen: Selection | None) -> bool:
        """Whether it is to be asked for so many candidates; otherwise all rows are compared."""

    def parameters(self, effort: Effort, effort_100: Effort) -> dict[str, float]:
        """What a search is made with, by FAISS's names, for ten results and for a hundred."""
        return {"depth": effort.depth, "depth_100": effort_100.depth}

    def _mask(self, chosen: Selection) -> np.ndarray:
        """Which rows of the part are allowed."""
        return chosen.mask[self.part.start : self.part.stop]

    def erase(self, rows: ItemIds) -> None:  # noqa: B027 - a graph holds no vectors
        """Take out what the structure itself holds of these rows."""

    @classmethod
    def bytes_to_build(cls, count: int, dim: int) -> int:
        """Memory needed to build it, beyond the rows."""
        return count * dim * 2 + 2 * _BLOCK * dim * 4


class Graph(Structure):
    """HNSW (Malkov and Yashunin, 2018, arXiv:1603.09320): links alone; the rows are the part's."""

    kind = "hnsw"
    LINKS: ClassVar[int] = 32
    CONSTRUCTION: ClassVar[int] = 100
    _WALKED: ClassVar[int] = 12
    """Rows compared for each candidate kept, roughly."""
    _LEAST_SHARE: ClassVar[float] = 0.3
    """Of rows that are allowed. Below this too many would have to be brought."""

    @classmethod
    def build(cls, part: Part, on_progress: Progress) -> Graph:
        """Make it for all rows of a part."""
        module = faiss()
        index = module.IndexHNSWSQ(
            part.rows.shape[1],
            module.ScalarQuantizer.QT_fp16,
            cls.LINKS,
            module.METRIC_INNER_PRODUCT,
        )
        index.train(unit_rows(np.asarray(part.rows[:1])))
        index.hnsw.efConstruction = cls.CONSTRUCTION
        _add(index, part, on_progress)
        return cls(index, part)

    def __init__(self, index: Any, part: Part) -> None:
        super().__init__(index, part)
        if index.storage is None:
            index.storage = part.view.index
            index.own_fields = False

    @classmethod
    def _flags(cls) -> int:
        return int(faiss().IO_FLAG_MMAP_IFC | faiss().IO_FLAG_SKIP_STORAGE)

    def write(self, path: Path) -> None:
        """Write the links to a file."""
        faiss().write_index(self.index, str(path), faiss().IO_FLAG_SKIP_STORAGE)

    def efforts(self) -> list[Effort]:
        """Ways to search, the cheapest first."""
        return [Effort(visit) for visit in (24, 48, 96, 192, 384, 768, 1536)]

    def search(
        self, queries: Embeddings, count: int, effort: Effort, chosen: Selection | None
    ) -> ItemIds:
        """Numbers ``(queries, count)`` of candidate rows, NO_ID where there are fewer.

        With a filter more are brought, and those that are not allowed left out. Where hardly any
        round the query are allowed, too few remain; then all that are allowed get compared.
        """
        wide = self._wide(count, chosen)
        params = faiss().SearchParametersHNSW()
        params.efSearch = max(effort.visit, wide)
        _, found = self.index.search(queries, wide, params=params)
        rows = np.asarray(found, np.int64)
        return rows if chosen is None else _allowed_first(rows, self._mask(chosen), count)

    def _wide(self, count: int, chosen: Selection | None) -> int:
        """Rows to bring, so that there are enough allowed ones among them."""
        if chosen is None:
            return count
        return min(len(self.part.rows), int(1.5 * count / max(chosen.share, 1e-3)))

    def serves(self, count: int, effort: Effort, chosen: Selection | None) -> bool:
        """Whether the walk is cheaper than comparing all rows, and keeps its recall."""
        if chosen is not None and chosen.share < self._LEAST_SHARE:
            return False
        candidates = len(self.part.rows) if chosen is None else chosen.count
        return self._WALKED * max(effort.visit, self._wide(count, chosen)) < candidates

    def parameters(self, effort: Effort, effort_100: Effort) -> dict[str, float]:
        """What a search is made with, by FAISS's names, for ten results and for a hundred."""
        return {"M": self.LINKS, "efSearch": effort.visit, "efSearch_100": effort_100.visit}


class Lists(Structure):
    """Inverted lists: rows grouped round centres; of a query's nearest lists all are looked at."""

    _LOST: ClassVar[float] = 0.8
    """Where the lists round a query hold less than this of the allowed rows they should hold."""

    def __init__(self, index: Any, part: Part) -> None:
        super().__init__(index, part)
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
        index.cp.max_points_per_centroid = _ENOUGH
        wanted = min(count, max(_ENOUGH * lists, _ENOUGH * 256))
        sample = np.sort(np.random.default_rng(0).choice(count, wanted, replace=False))
        on_progress(0, count)
        index.train(unit_rows(np.asarray(part.rows[sample])))
        _add(index, part, on_progress)
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

    def efforts(self) -> list[Effort]:
        """Ways to search, the cheapest first."""
        doubled = [2**i for i in range(16)]
        return [Effort(n) for n in doubled if n == 1 or 2 * n <= len(self.sizes)]

    def search(
        self, queries: Embeddings, count: int, effort: Effort, chosen: Selection | None
    ) -> ItemIds:
        """Numbers ``(queries, count)`` of candidate rows, NO_ID where there are fewer.

        With a filter lists without allowed rows are passed by, and twice as many allowed rows are
        looked at as there would be rows without. Where hardly any round the query are allowed, the
        nearest may be anywhere: nothing is brought, so that all that are allowed get compared.
        """
        visit = self._visit(effort, count)
        if chosen is None:
            near, lists = self.index.quantizer.search(queries, visit)
            return self._search_lists(queries, count, lists, near, None)
        sizes = self._allowed_sizes(chosen)
        wanted = max(int(2 * visit * self.sizes.mean()), 4 * count)
        near, lists, held = self._lists_holding(queries, wanted, visit, sizes)
        # A list counts if it holds any allowed row, and the nearer ones hold too few.
        take = (held > 0) & (np.cumsum(held, axis=1) - held < wanted)
        round_it = held[:, :visit].sum(axis=1) / self.sizes[lists[:, :visit]].sum(axis=1)
        take[round_it < self._LOST * chosen.share] = False
        widest = max(1, int(take.sum(axis=1).max()))
        first = np.argsort(~take, axis=1, kind="stable")[:, :widest]
        lists = np.where(
            np.take_along_axis(take, first, 1), np.take_along_axis(lists, first, 1), NO_ID
        )
        near = np.take_along_axis(near, first, 1)
        return self._search_lists(queries, count, lists, near, chosen)

    def _lists_holding(
        self, queries: Embeddings, wanted: int, visit: int, sizes: np.ndarray
    ) -> tuple[np.ndarray, ItemIds, np.ndarray]:
        """For each query its nearest lists, so many that they hold ``wanted`` allowed rows."""
        look = 4 * visit
        while True:
            near, lists = self.index.quantizer.search(queries, min(look, len(sizes)))
            held = sizes[lists]
            if look >= len(sizes) or (held.sum(axis=1) >= wanted).all():
                return near, lists, held
            look *= 4

    def _search_lists(
        self,
        queries: Embeddings,
        count: int,
        lists: ItemIds,
        near: np.ndarray,
        chosen: Selection | None,
    ) -> ItemIds:
        """Look through lists. FAISS's own search begins a thread for each list on disk first."""
        module = faiss()
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
        candidates = len(self.part.rows) if chosen is None else chosen.count
        return self._visit(effort, count) * float(self.sizes.mean()) < candidates / 2

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
        sample = min(count, max(_ENOUGH * int(2 * np.sqrt(count)), _ENOUGH * 256))
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


class Bytes(Structure):
    """Eight bits a number, all rows scanned: half the memory to pass through of float16."""

    kind = "flat-8bit"

    @classmethod
    def build(cls, part: Part, on_progress: Progress) -> Bytes:
        """Make it for all rows of a part."""
        module = faiss()
        count, dim = part.rows.shape
        index = module.IndexScalarQuantizer(
            dim, module.ScalarQuantizer.QT_8bit, module.METRIC_INNER_PRODUCT
        )
        wanted = min(count, _ENOUGH * 256)
        sample = np.sort(np.random.default_rng(0).choice(count, wanted, replace=False))
        index.train(unit_rows(np.asarray(part.rows[sample])))
        _add(index, part, on_progress)
        return cls(index, part)

    def efforts(self) -> list[Effort]:
        """Ways to search, the cheapest first."""
        return [Effort(0, depth) for depth in (2, 4, 8, 16, 32, 64)]

    def search(
        self,
        queries: Embeddings,
        count: int,
        effort: Effort,  # noqa: ARG002 - all codes are scanned
        chosen: Selection | None,
    ) -> ItemIds:
        """Numbers ``(queries, count)`` of candidate rows, NO_ID where there are fewer."""
        params = None if chosen is None else chosen.params(self.part)
        _, rows = self.index.search(queries, count, params=params)
        return np.asarray(rows, np.int64)

    def serves(
        self,
        count: int,
        effort: Effort,  # noqa: ARG002 - as above
        chosen: Selection | None,
    ) -> bool:
        """Whether there is more to scan than to compare exactly."""
        candidates = len(self.part.rows) if chosen is None else chosen.count
        return 4 * count < candidates

    def erase(self, rows: ItemIds) -> None:
        """Blank the codes of these rows."""
        module = faiss()
        codes = module.rev_swig_ptr(self.index.codes.data(), self.index.codes.size())
        codes.reshape(len(self.part.rows), -1)[rows] = 0


STRUCTURES: dict[str, type[Structure]] = {
    each.kind: each for each in (Graph, ListsFlat, ListsCoded, Bytes)
}


def _allowed_first(rows: ItemIds, mask: np.ndarray, count: int) -> ItemIds:
    """Of rows nearest first, the first that are allowed, filled up with NO_ID."""
    kept = np.where(mask[rows] & (rows != NO_ID), rows, NO_ID)
    order = np.argsort(kept == NO_ID, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(kept, order, 1)


def code_bytes(dim: int) -> int:
    """Bytes of a product code: the most that divide the dimension, with eight numbers or more."""
    return max(m for m in range(1, max(1, dim // 8) + 1) if dim % m == 0)


def _add(index: Any, part: Part, on_progress: Progress) -> None:
    count = len(part.rows)
    for start in range(0, count, _BLOCK):
        on_progress(start, count)
        index.add(unit_rows(np.asarray(part.rows[start : start + _BLOCK])))
    on_progress(count, count)
