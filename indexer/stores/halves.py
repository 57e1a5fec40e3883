"""What FAISS does with rows of float16: look at them where they lie, scan them, decode them."""

from __future__ import annotations

from typing import Any

import numpy as np

from indexer.blas import kernels_of_this_cpu
from indexer.errors import MissingExtraError
from indexer.stores.contract import unit_length
from indexer.types import Embeddings

SUM_ERROR = 2e-5
"""How far a sum of products in float32 may be from the true one, for rows of length one.

Bound of the rounding of ``n / 16`` partial sums (Higham, Accuracy and Stability of Numerical
Algorithms, section 3.1): below this for 5,000 numbers a row.
"""


def faiss() -> Any:
    """The module.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        with kernels_of_this_cpu():
            import faiss as module  # noqa: PLC0415 - optional, and slow to load
    except ImportError as error:
        raise MissingExtraError(
            "the FAISS store needs an extra: pip install 'syntopy[cpu]' or 'syntopy[gpu]' "
            "(or create the library with --store exact)"
        ) from error
    return module


class HalfView:
    """A flat FAISS index over float16 rows ``(n, dim)`` that are left where they lie.

    The rows may be a memory map: nothing is copied. Scores are those of the rows as stored,
    lengths included.
    """

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = rows  # the index below only points at them
        module = faiss()
        half = module.ScalarQuantizer.QT_fp16
        self.index = module.IndexScalarQuantizer(rows.shape[1], half, module.METRIC_INNER_PRODUCT)
        data = rows.reshape(-1).view(np.uint8)
        if len(rows):
            self.index.codes = module.MaybeOwnedVectorUInt8.create_view(
                module.swig_ptr(data), data.size, self.index.codes.owner
            )
        self.index.ntotal = len(rows)
        self.index.is_trained = True


def decoded(rows: np.ndarray) -> Embeddings:
    """Rows of float16 as float32; NumPy takes eight times as long."""
    if not rows.size:
        return rows.astype(np.float32)
    module = faiss()
    codec = module.IndexScalarQuantizer(rows.shape[1], module.ScalarQuantizer.QT_fp16)
    codec.is_trained = True
    found: Embeddings = codec.sa_decode(
        np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
    )
    return found


def unit_rows(rows: np.ndarray) -> Embeddings:
    """As `indexer.stores.contract.renormalised`, to the last bit."""
    return unit_length(decoded(rows))


def selector(mask: np.ndarray) -> Any:
    """FAISS's word for: only rows where ``mask`` is true."""
    return faiss().IDSelectorBitmap(np.packbits(mask, bitorder="little"))


def deviation(rows: np.ndarray) -> float:
    """How far the lengths of stored rows are from one, at most."""
    lengths = np.linalg.norm(decoded(rows), axis=1)
    return float(np.abs(lengths - 1).max(initial=0))
