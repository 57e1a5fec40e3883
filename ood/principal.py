"""Principal axes of rows, block by block."""

from __future__ import annotations

import numpy as np

from indexer.types import Embeddings
from ood.rows import BLOCK, wide


def moments(
    embeddings: Embeddings, *, normalise: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean ``(dim,)``, variances falling ``(dim,)``, and axes ``(dim, dim)`` as columns.

    All float64. The sign of an axis is free; its largest entry is made positive.

    Args:
        embeddings: ``(n, dim)``; may be a memory map.
        normalise: whether rows are divided by their lengths.
    """
    count, dim = embeddings.shape
    total, products = np.zeros(dim), np.zeros((dim, dim))
    for start in range(0, count, BLOCK):
        rows = wide(embeddings[start : start + BLOCK], normalise=normalise)
        total += rows.sum(axis=0, dtype=np.float64)
    mean = total / count
    for start in range(0, count, BLOCK):
        about = wide(embeddings[start : start + BLOCK], normalise=normalise) - mean
        products += about.T @ about
    values, axes = np.linalg.eigh(products / count)
    values, axes = values[::-1], axes[:, ::-1]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(dim)])
    return mean, np.maximum(values, 0), axes
