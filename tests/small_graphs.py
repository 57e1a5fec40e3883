"""Small sets of vectors whose neighbours are known, for what works on the neighbour graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clustering.contract import NO_ROW, Neighbours


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def blobs(
    sizes: Sequence[int], *, dim: int = 16, noise: float = 0.1, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Unit rows around orthogonal directions, and which direction each belongs to."""
    rng = np.random.default_rng(seed)
    own = np.repeat(np.arange(len(sizes)), sizes)
    return unit(np.eye(dim)[own] + noise * rng.standard_normal((len(own), dim))), own


def graph(rows: np.ndarray, k: int) -> Neighbours:
    """The exact neighbours of a few rows."""
    cosines = rows @ rows.T
    np.fill_diagonal(cosines, -np.inf)
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    scores = np.take_along_axis(cosines, order, axis=1)
    found = np.where(np.isfinite(scores), order, NO_ROW)
    return Neighbours(found.astype(np.int32), scores.astype(np.float32))
