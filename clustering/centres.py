"""Centres of spherical k-means, and which are nearest to each row.

I. S. Dhillon and D. S. Modha, Concept decompositions for large sparse text data using clustering,
Machine Learning 42, 2001. FAISS trains them, on the GPU where its build sees one.
"""

from __future__ import annotations

import numpy as np

from clustering.contract import Progress, no_progress
from indexer.extras import extra
from indexer.types import Embeddings

BLOCK = 8192
"""Rows that are widened to float32 at a time."""


def train_centres(
    embeddings: Embeddings,
    n_centres: int,
    *,
    rounds: int = 25,
    tries: int = 1,
    per_centre: int = 256,
    seed: int = 0,
) -> Embeddings:
    """Float32 unit centres ``(n_centres, dim)``, trained on at most ``per_centre`` rows for each.

    Args:
        embeddings: ``(n, dim)`` unit rows, at least as many as centres; may be a memory map.
        n_centres: how many.
        rounds: of Lloyd's algorithm.
        tries: from other beginnings; the one whose rows lie nearest is kept.
        per_centre: rows to train on, drawn without replacement, times centres.
        seed: of the draw and of the beginnings.

    Raises:
        MissingExtraError: FAISS is not installed.
    """
    faiss = extra("faiss")
    count = len(embeddings)
    wanted = n_centres * per_centre
    if count > wanted:
        drawn = np.random.default_rng([seed, 11]).choice(count, wanted, replace=False)
        drawn.sort()
        sample = unit(embeddings[drawn])
    else:
        sample = unit(embeddings)
    kmeans = faiss.Kmeans(
        sample.shape[1],
        n_centres,
        niter=rounds,
        nredo=tries,
        spherical=True,
        seed=seed,
        min_points_per_centroid=1,
        max_points_per_centroid=len(sample),
        gpu=faiss.get_num_gpus() > 0,
    )
    kmeans.train(sample)
    return unit(kmeans.centroids.reshape(n_centres, -1))


def nearest_centres(
    embeddings: Embeddings,
    centres: Embeddings,
    how_many: int = 1,
    *,
    progress: Progress = no_progress,
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest centres of each row, nearest first.

    Returns:
        int32 ``(n, how_many)`` numbers of centres and float32 ``(n, how_many)`` cosines.
    """
    count, how_many = len(embeddings), min(how_many, len(centres))
    numbers = np.empty((count, how_many), np.int32)
    cosines = np.empty((count, how_many), np.float32)
    for start in range(0, count, BLOCK):
        progress("comparing with centres", start, count)
        stop = min(start + BLOCK, count)
        scores = unit(embeddings[start:stop]) @ centres.T
        numbers[start:stop], cosines[start:stop] = _largest(scores, how_many)
    progress("comparing with centres", count, count)
    return numbers, cosines


def unit(rows: np.ndarray) -> Embeddings:
    """Float32 copies of rows, divided by their lengths; rows of zeros stay so."""
    wide = np.array(rows, np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    wide /= np.where(lengths > 0, lengths, 1)[:, None]
    return wide


def _largest(scores: np.ndarray, how_many: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns and values of the largest of each row, falling."""
    if how_many == 1:
        columns = scores.argmax(axis=1)[:, None]
    else:
        columns = np.argpartition(-scores, how_many - 1, axis=1)[:, :how_many]
    values = np.take_along_axis(scores, columns, axis=1)
    order = np.lexsort((columns, -values), axis=1)
    return np.take_along_axis(columns, order, 1), np.take_along_axis(values, order, 1)
