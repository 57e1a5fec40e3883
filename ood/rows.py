"""Rows that detectors take: looked at, widened, made unit."""

from __future__ import annotations

import numpy as np

from indexer.errors import ReferenceSetError, VectorError
from indexer.types import Embeddings
from indexer.vectors import check_rows

BLOCK = 8192
"""Rows that are widened to float32 at a time."""


def reference_rows(embeddings: Embeddings) -> Embeddings:
    """Rows to learn from; they are given back as they are.

    Raises:
        VectorError: not two dimensions; a row with NaN, with infinite values, or all zero.
        ReferenceSetError: fewer than two rows, or all are equal.
    """
    check_rows(embeddings)
    if len(embeddings) < 2:
        raise ReferenceSetError(f"a reference needs two vectors or more, not {len(embeddings)}")
    first = np.asarray(embeddings[:1])
    for start in range(0, len(embeddings), BLOCK):
        if (np.asarray(embeddings[start : start + BLOCK]) != first).any():
            return embeddings
    raise ReferenceSetError("all vectors of the reference are equal: nothing is unlike them")


def scored_rows(embeddings: Embeddings, dim: int) -> Embeddings:
    """Rows to score; they are given back as they are.

    Raises:
        VectorError: as `reference_rows`, or they are not of length ``dim``.
    """
    check_rows(embeddings)
    if embeddings.shape[1] != dim:
        raise VectorError(
            f"vectors of length {embeddings.shape[1]} are scored by a reference of vectors of "
            f"length {dim}: it was fitted in another space"
        )
    return embeddings


def wide(rows: np.ndarray, *, normalise: bool) -> Embeddings:
    """Float32 copies of rows, divided by their lengths where that is asked for."""
    made = np.array(rows, np.float32)
    if normalise:
        made /= np.sqrt(np.einsum("ij,ij->i", made, made))[:, None]
    return made
