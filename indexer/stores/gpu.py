"""Exact search on a GPU: rows are held there as float16, and all are compared.

FAISS's GPU indexes ignore selectors without a word, so they are never handed one: searches with a
filter, and those past removed rows, compare the allowed rows on the CPU.
"""

from __future__ import annotations

from threading import Lock

import numpy as np

from indexer.errors import IndexMemoryError
from indexer.stores.halves import decoded, faiss
from indexer.types import Embeddings, ItemIds, Scores

MOST = 2048
"""Results that a GPU index can give for a query."""
ERROR = 1e-3
"""Queries are rounded to float16, which moves a product of unit rows by 2**-11 at most; sums are
in float32."""
_BLOCK = 16_384


def gpu_for(device: str) -> int | None:
    """Number of the GPU that a device setting means; None if FAISS can use none of that number.

    That is no error: the setting is for networks first.
    """
    if device == "cpu" or not hasattr(faiss(), "StandardGpuResources"):
        return None
    number = int(device.partition(":")[2] or 0)
    return number if number < faiss().get_num_gpus() else None


class GpuRows:
    """Rows ``(n, dim)`` of float16 on a GPU. Calls of several threads follow each other.

    Raises:
        IndexMemoryError: they do not fit.
    """

    def __init__(self, rows: np.ndarray, number: int) -> None:
        module = faiss()
        self._lock = Lock()
        self._resources = module.StandardGpuResources()
        config = module.GpuIndexFlatConfig()
        config.device, config.useFloat16 = number, True
        self._index = module.GpuIndexFlatIP(self._resources, rows.shape[1], config)
        try:
            for start in range(0, len(rows), _BLOCK):
                self._index.add(decoded(rows[start : start + _BLOCK]))
        except RuntimeError as error:
            raise IndexMemoryError(
                f"{len(rows):,} vectors do not fit on GPU {number}; set SYNTOPY_DEVICE=cpu"
            ) from error

    def search(self, queries: Embeddings, k: int) -> tuple[Scores, ItemIds]:
        """The k best by rounded scores, and their numbers."""
        with self._lock:
            found: tuple[Scores, ItemIds] = self._index.search(queries, k)
        return found
