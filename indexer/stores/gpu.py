"""Search on a GPU: rows held there as float16 and all compared, or the lists of an index.

FAISS's GPU indexes ignore selectors without a word, so they are never handed one. Exact search is
PyTorch's, which gathers the allowed rows where they lie; lists answer only searches of all rows.
"""

from __future__ import annotations

from threading import Lock
from typing import Any

import numpy as np

from indexer.errors import IndexMemoryError, MissingExtraError
from indexer.stores.contract import NO_ID
from indexer.stores.halves import faiss
from indexer.types import Embeddings, ItemIds, Scores

MOST = 2048
"""Results that a GPU index of FAISS can give for a query, and lists that it can look through."""
ERROR = 2e-3
"""Queries are rounded to float16, which moves a product of unit rows by 2**-11 at most; partial
sums may be rounded so once more."""
_BLOCK = 131_072
_QUERIES = 256


def gpu_for(device: str) -> int | None:
    """Number of the GPU that a device setting means; None if FAISS can use none of that number.

    That is no error: the setting is for networks first.
    """
    if device == "cpu" or not hasattr(faiss(), "StandardGpuResources"):
        return None
    number = int(device.partition(":")[2] or 0)
    return number if number < faiss().get_num_gpus() else None


def gpu_memory(number: int) -> int:
    """Bytes that are free on a GPU."""
    return int(_torch().cuda.mem_get_info(number)[0])


class GpuRows:
    """Rows ``(n, dim)`` of float16 on a device of PyTorch.

    Raises:
        IndexMemoryError: they do not fit.
    """

    def __init__(self, rows: np.ndarray, device: str) -> None:
        self._torch = module = _torch()
        try:
            self._rows = module.empty(rows.shape, dtype=module.float16, device=device)
            for start in range(0, len(rows), _BLOCK):
                block = np.array(rows[start : start + _BLOCK])
                self._rows[start : start + _BLOCK] = module.from_numpy(block)
        except module.OutOfMemoryError as error:
            raise _too_large(len(rows), device) from error

    def search(
        self, queries: Embeddings, k: int, only: ItemIds | None = None
    ) -> tuple[Scores, ItemIds]:
        """The k best by rounded scores ``(queries, k)``, and their numbers.

        Args:
            queries: unit rows.
            k: how many, as many as there are rows to compare at most.
            only: numbers of the rows to compare, ascending; None for all.
        """
        place = None if only is None else self._torch.from_numpy(only).to(self._rows.device)
        asked = self._torch.from_numpy(queries).to(self._rows.device, self._torch.float16)
        found = [self._best(some, k, place) for some in asked.split(_QUERIES)]
        scores = self._torch.cat([each[0] for each in found]).cpu().numpy()
        rows = self._torch.cat([each[1] for each in found]).cpu().numpy()
        return scores, rows if only is None else only[rows]

    def _best(self, asked: Any, k: int, only: Any) -> tuple[Any, Any]:
        count = len(self._rows) if only is None else len(only)
        best = asked.new_empty((len(asked), 0), dtype=self._torch.float32)
        rows = asked.new_empty((len(asked), 0), dtype=self._torch.int64)
        for start in range(0, count, _BLOCK):
            part = slice(start, min(count, start + _BLOCK))
            block = self._rows[part] if only is None else self._rows[only[part]]
            scores = self._products(asked, block)
            some, at = scores.topk(min(k, scores.shape[1]), dim=1)
            best = self._torch.cat([best, some], dim=1)
            rows = self._torch.cat([rows, at + start], dim=1)
            best, order = best.topk(min(k, best.shape[1]), dim=1)
            rows = rows.gather(1, order)
        return best, rows

    def _products(self, asked: Any, block: Any) -> Any:
        if block.is_cuda:
            return self._torch.mm(asked, block.T, out_dtype=self._torch.float32)
        return asked.float() @ block.float().T


class GpuLists:
    """The inverted lists of a FAISS index, copied to a GPU. Calls of several threads wait in line.

    Args:
        index: of FAISS, on the CPU.
        number: of the GPU.

    Raises:
        IndexMemoryError: it does not fit.
    """

    def __init__(self, index: Any, number: int) -> None:
        module = faiss()
        self._lock = Lock()
        self._resources = module.StandardGpuResources()
        options = module.GpuClonerOptions()
        options.useFloat16 = True  # without it a table of 96 codes does not fit a GPU's cache
        try:
            self._index = module.index_cpu_to_gpu(self._resources, number, index, options)
        except RuntimeError as error:
            raise _too_large(index.ntotal, f"cuda:{number}") from error

    def search(self, queries: Embeddings, count: int, visit: int) -> ItemIds:
        """Numbers ``(queries, count)`` of the nearest rows of so many lists, NO_ID for none."""
        with self._lock:
            params = faiss().SearchParametersIVF(nprobe=visit)
            _, rows = self._index.search(queries, count, params=params)
        return np.where(rows < 0, NO_ID, rows)


def _torch() -> Any:
    try:
        import torch  # noqa: PLC0415 - slow to load, and a library without a GPU does without
    except ImportError as error:
        raise MissingExtraError("search on a GPU needs: pip install 'syntopy[gpu]'") from error
    return torch


def _too_large(count: int, device: str) -> IndexMemoryError:
    return IndexMemoryError(f"{count:,} vectors do not fit on {device}; set SYNTOPY_DEVICE=cpu")
