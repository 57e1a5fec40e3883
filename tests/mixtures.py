"""Generated embeddings with known groups, for tests of clustering."""

from __future__ import annotations

import numpy as np


def mixture(
    sizes: tuple[int, ...], dim: int = 32, spread: float = 0.25, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Unit rows float32 about as many random directions as there are sizes, and their groups.

    Rows lie about ``spread`` of a direction's length off it, and all directions share a part, as
    those of encoders do.
    """
    random = np.random.default_rng([seed, len(sizes)])
    middles = random.standard_normal((len(sizes), dim)) + 0.5 * random.standard_normal(dim)
    middles /= np.linalg.norm(middles, axis=1, keepdims=True)
    groups = random.permutation(np.repeat(np.arange(len(sizes)), sizes))
    rows = middles[groups] + spread * random.standard_normal((len(groups), dim)) / np.sqrt(dim)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32), groups


def long_tail(n: int, groups: int) -> tuple[int, ...]:
    """Sizes by Zipf's law that add up to about ``n``."""
    share = 1 / np.arange(1, groups + 1)
    return tuple(int(size) for size in np.maximum(n * share / share.sum(), 20))
