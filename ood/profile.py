"""A volume described by the distribution of its slice vectors, so that partial coverage shows.

A mean alone hides which part of a body is missing. Beside it stand the spread of each coordinate
and the extremes along fixed directions: quantiles along random directions describe a distribution
as the sliced Wasserstein distance compares it (N. Bonneel et al., Sliced and Radon Wasserstein
barycenters of measures, 2015; S. Kolouri et al., Generalized sliced Wasserstein distances, NeurIPS
2019). Of the quantiles tried the extremes tell missing slices best (docs/ood.md).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from indexer.errors import VectorError
from indexer.types import Embedding, Embeddings

DIRECTIONS = 64


def profile_of(slices: Embeddings) -> Embedding:
    """Mean, spread and extremes of the vectors of a volume's slices.

    Args:
        slices: ``(slices, dim)`` unit rows, in any order.

    Returns:
        Float32 ``(2 * dim + 2 * 64,)``, not normalised: means, standard deviations, then the lowest
        and the highest value along each direction, in the scale of a coordinate.

    Raises:
        VectorError: there are none.
    """
    rows = np.asarray(slices, np.float32)
    if rows.ndim != 2 or not rows.size:
        raise VectorError(f"slice vectors are of shape (slices, dim), not {rows.shape}")
    along = rows @ _directions(rows.shape[1])
    parts = (rows.mean(axis=0), rows.std(axis=0), along.min(axis=0), along.max(axis=0))
    return np.concatenate(parts).astype(np.float32)


@lru_cache(maxsize=8)
def _directions(dim: int) -> np.ndarray:
    """Random directions ``(dim, 64)``, the same for ever; at right angles where there is room."""
    drawn = np.random.default_rng([dim, 67]).normal(size=(dim, DIRECTIONS))
    if dim >= DIRECTIONS:
        drawn, _ = np.linalg.qr(drawn)
        return np.asarray(drawn * np.sqrt(dim / DIRECTIONS), np.float32)
    return np.asarray(drawn / np.linalg.norm(drawn, axis=0), np.float32)
