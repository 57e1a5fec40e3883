"""Eigenvectors of a matrix of similarities, and clusters cut from them.

A. Y. Ng, M. I. Jordan and Y. Weiss, On spectral clustering: analysis and an algorithm, NIPS 2001.
"""

from __future__ import annotations

import warnings

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator, eigsh

from clustering.contract import NO_ROW, Neighbours
from indexer.extras import extra

_DENSE = 2_000
"""Rows up to which a full matrix has all its eigenvectors computed."""


def similarities(graph: Neighbours, n_neighbors: int = 15) -> csr_array:
    """Weights ``(n, n)`` of the nearest of each row: falling with the distance, by its own scale.

    L. Zelnik-Manor and P. Perona, Self-tuning spectral clustering, NIPS 2004.
    """
    rows, scores = graph.rows[:, :n_neighbors], graph.scores[:, :n_neighbors]
    there = rows != NO_ROW
    distances = np.where(there, np.maximum(1 - scores, 0), 0).astype(np.float64)
    scale = np.maximum(distances.sum(axis=1) / np.maximum(there.sum(axis=1), 1), 1e-12)
    other = np.where(there, rows, 0)
    weights = np.exp(-distances / np.sqrt(scale[:, None] * scale[other]))
    own = np.broadcast_to(np.arange(len(rows))[:, None], rows.shape)
    shape = (len(rows), len(rows))
    return csr_array((weights[there].astype(np.float32), (own[there], rows[there])), shape=shape)


def leading(similarities: np.ndarray | csr_array, how_many: int, seed: int = 0) -> np.ndarray:
    """The smoothest eigenvectors ``(n, how_many)`` of the symmetric normalised Laplacian.

    Args:
        similarities: ``(n, n)``, not negative, no row all zero; their symmetric part is taken.
        how_many: eigenvectors, those of the smallest eigenvalues first.
        seed: of the vector that the iteration begins with.
    """
    count = similarities.shape[0]
    degrees = (similarities.sum(axis=0) + similarities.sum(axis=1)) / 2
    roots = (1 / np.sqrt(np.maximum(degrees, 1e-12))).astype(np.float32)
    if count <= _DENSE or how_many >= count - 1:
        full = similarities if isinstance(similarities, np.ndarray) else similarities.toarray()
        scaled = roots[:, None] * (full + full.T) / 2 * roots
        return np.linalg.eigh(scaled)[1][:, ::-1][:, :how_many]

    turned = similarities.T

    def times(vector: np.ndarray) -> np.ndarray:
        scaled = roots * vector.ravel().astype(np.float32)
        product: np.ndarray = roots * (similarities @ scaled + turned @ scaled) / 2
        return product

    begin = np.random.default_rng([seed, 41]).standard_normal((count,)).astype(np.float32)
    operator = LinearOperator((count, count), matvec=times, dtype=np.float32)
    _, vectors = eigsh(operator, how_many, which="LA", v0=begin, tol=1e-4)
    return np.ascontiguousarray(vectors[:, ::-1])


def cut(vectors: np.ndarray, n_clusters: int, seed: int = 0, *, tries: int = 10) -> np.ndarray:
    """Labels by k-means on unit rows of the first ``n_clusters`` eigenvectors.

    Args:
        vectors: of `leading`, ``(n, n_clusters or more)``.
        n_clusters: how many.
        seed: of k-means.
        tries: of k-means, of which the tightest is kept.
    """
    chosen = vectors[:, :n_clusters]
    lengths = np.linalg.norm(chosen, axis=1, keepdims=True)
    means = extra("sklearn.cluster").KMeans(n_clusters, n_init=tries, random_state=seed)
    with warnings.catch_warnings():
        # Rows that are copies of each other may leave fewer places than clusters.
        warnings.simplefilter("ignore", extra("sklearn.exceptions").ConvergenceWarning)
        labels: np.ndarray = means.fit_predict(chosen / np.maximum(lengths, 1e-12))
    return labels.astype(np.int64)
