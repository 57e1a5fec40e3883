"""Rows laid out in few dimensions so that neighbours stay together (UMAP), from their graph.

L. McInnes, J. Healy and J. Melville, UMAP: uniform manifold approximation and projection for
dimension reduction, 2018 (arXiv 1802.03426). The steps are umap-learn's; they begin from principal
components, which keeps what is far apart where it is and needs no eigenvectors of the graph.
"""

from __future__ import annotations

import numpy as np

from clustering.centres import BLOCK, unit
from clustering.contract import Neighbours
from indexer.extras import extra
from indexer.types import Embeddings

_EXTENT = 10.0
_NOISE = 1e-4


def lay_out(
    embeddings: Embeddings,
    graph: Neighbours,
    dimensions: int,
    *,
    n_neighbors: int,
    min_dist: float,
    epochs: int | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Positions of rows, float32 ``(n, dimensions)``; the same for the same graph and seed.

    Args:
        embeddings: ``(n, dim)`` unit rows, three at least; may be a memory map.
        graph: their neighbours, by cosine.
        dimensions: of the positions.
        n_neighbors: how many of the neighbours count, the row itself counted as one.
        min_dist: how near the nearest come to lie.
        epochs: of the optimisation; None for 500 of few rows, 200 above 10,000.
        seed: of its random draws.

    Raises:
        MissingExtraError: umap-learn is not installed.
    """
    umap = extra("umap.umap_")
    random = np.random.RandomState(seed)
    others = min(n_neighbors - 1, graph.rows.shape[1], len(embeddings) - 1)
    own = np.arange(len(embeddings), dtype=np.int32)[:, None]
    rows = np.concatenate([own, graph.rows[:, :others]], axis=1)
    away = np.maximum(1 - graph.scores[:, :others], 0)
    away = np.concatenate([np.zeros_like(own, np.float32), away], axis=1)
    fuzzy, _, _ = umap.fuzzy_simplicial_set(
        embeddings, others + 1, random, "cosine", knn_indices=rows, knn_dists=away
    )
    a, b = umap.find_ab_params(1.0, min_dist)
    positions, _ = umap.simplicial_set_embedding(
        embeddings,
        fuzzy,
        dimensions,
        initial_alpha=1.0,
        a=a,
        b=b,
        gamma=1.0,
        negative_sample_rate=5,
        n_epochs=epochs,
        init=_begin(embeddings, dimensions, random),
        random_state=random,
        metric="cosine",
        metric_kwds={},
        densmap=False,
        densmap_kwds={},
        output_dens=False,
    )
    return np.ascontiguousarray(positions, np.float32)


def _begin(embeddings: Embeddings, dimensions: int, random: np.random.RandomState) -> np.ndarray:
    """Principal components, the widest `_EXTENT` wide, and a little noise."""
    total, products = _moments(embeddings)
    mean = total / len(embeddings)
    spread = products / len(embeddings) - np.outer(mean, mean)
    _, axes = np.linalg.eigh(spread)
    axes = axes[:, ::-1][:, :dimensions]
    # The sign of an axis is free; of each the largest entry counts as positive.
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    shift, axes32 = (mean @ axes).astype(np.float32), axes.astype(np.float32)
    begin = np.zeros((len(embeddings), dimensions), np.float32)
    for start in range(0, len(embeddings), BLOCK):
        block = unit(embeddings[start : start + BLOCK])
        begin[start : start + BLOCK, : axes.shape[1]] = block @ axes32 - shift
    begin *= _EXTENT / max(float(np.abs(begin).max()), 1e-12)
    begin += random.normal(scale=_NOISE, size=begin.shape).astype(np.float32)
    return begin


def _moments(embeddings: Embeddings) -> tuple[np.ndarray, np.ndarray]:
    """Sums of the rows and of their outer products, float64."""
    dim = embeddings.shape[1]
    total, products = np.zeros(dim), np.zeros((dim, dim))
    for start in range(0, len(embeddings), BLOCK):
        block = unit(embeddings[start : start + BLOCK])
        total += block.sum(axis=0, dtype=np.float64)
        products += block.T @ block
    return total, products
