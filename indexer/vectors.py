"""Whether rows are embeddings."""

from __future__ import annotations

import numpy as np

from indexer.errors import VectorError
from indexer.types import Embeddings

_BLOCK = 65_536


def check_rows(embeddings: Embeddings) -> None:
    """See that rows can be compared.

    Args:
        embeddings: ``(n, dim)``; may be a memory map.

    Raises:
        VectorError: not two dimensions; a row with NaN, with infinite values, or all zero: the
            first is named.
    """
    if embeddings.ndim != 2:
        raise VectorError(f"expected vectors of shape (n, dim), got {embeddings.shape}")
    for start in range(0, len(embeddings), _BLOCK):
        block = np.asarray(embeddings[start : start + _BLOCK])
        wrong = ~np.isfinite(block).all(axis=1) | ~block.any(axis=1)
        if wrong.any():
            row = start + int(np.flatnonzero(wrong)[0])
            raise VectorError(f"vector {row} holds NaN or infinite values, or is all zero")
