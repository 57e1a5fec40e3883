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
BLOCK = 8192
ENOUGH = 64
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
        # Lists lose the rows that were erased; nothing else has fewer.
        if index.ntotal > len(part.rows) or index.d != part.rows.shape[1]:
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

    def hold_on(self, gpu: int) -> None:  # noqa: B027 - only lists can be searched there
        """Copy it to the GPU of this number, for what can be searched there.

        Raises:
            IndexMemoryError: it does not fit.
        """

    def erase(self, rows: ItemIds) -> None:  # noqa: B027 - a graph holds no vectors
        """Take out what the structure itself holds of these rows."""

    @classmethod
    def bytes_to_build(cls, count: int, dim: int) -> int:
        """Memory needed to build it, beyond the rows."""
        return count * dim * 2 + 2 * BLOCK * dim * 4


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
        add_rows(index, part, on_progress)
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
        # The fewer are allowed, the further away are those that are to be found.
        share = 1.0 if chosen is None else chosen.share
        params.efSearch = max(int(effort.visit / np.sqrt(share)), wide)
        _, found = self.index.search(queries, wide, params=params)
        rows = np.asarray(found, np.int64)
        return rows if chosen is None else allowed_first(rows, self._mask(chosen), count)

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
        wanted = min(count, ENOUGH * 256)
        sample = np.sort(np.random.default_rng(0).choice(count, wanted, replace=False))
        index.train(unit_rows(np.asarray(part.rows[sample])))
        add_rows(index, part, on_progress)
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


def allowed_first(rows: ItemIds, mask: np.ndarray, count: int) -> ItemIds:
    """Of rows nearest first, the first that are allowed, filled up with NO_ID."""
    kept = np.where(mask[rows] & (rows != NO_ID), rows, NO_ID)
    order = np.argsort(kept == NO_ID, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(kept, order, 1)


def add_rows(index: Any, part: Part, on_progress: Progress) -> None:
    """Add all rows of a part to an empty index."""
    count = len(part.rows)
    for start in range(0, count, BLOCK):
        on_progress(start, count)
        index.add(unit_rows(np.asarray(part.rows[start : start + BLOCK])))
    on_progress(count, count)
