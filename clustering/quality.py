"""How good a clustering is: against given labels, and by itself.

Against labels: accuracy, NMI and ARI. Without: silhouette (Rousseeuw, J. Comput. Appl. Math. 20
(1987) 53), how far repetitions agree (Ben-Hur, Elisseeff, Guyon, PSB 2002), and the methods' own
confidence. No figure without labels says that the groups mean something to a radiologist.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Int64

from clustering.agreement import adjusted_rand, ari, counts, matched, normalised_information
from clustering.columns import UNKNOWN, Column, aligned, coded, similarities
from clustering.contract import NOISE, Clustering
from indexer.errors import QueryError
from indexer.types import Embeddings

Labels = Int64[np.ndarray, " n"]
Rows = Int64[np.ndarray, " n"]
Fit = Callable[[Rows, int], Labels]
"""From the rows to cluster and a seed to their labels."""
_UNSURE = 0.5


@dataclass(frozen=True)
class Agreement:
    """A clustering beside given labels.

    Attributes:
        acc: share of items whose cluster is matched with their class, clusters and classes paired
            one to one; items in no cluster count as wrong.
        nmi, ari: noise counts as a group.
        core_ari: of the items that are in a cluster; None if there are none.
        n_clusters, n_classes: noise and missing labels not counted.
        noise_share: of the items with a label.
        labelled, unlabelled: items that were looked at, and that have no label.
    """

    acc: float
    nmi: float
    ari: float
    core_ari: float | None
    n_clusters: int
    n_classes: int
    noise_share: float
    labelled: int
    unlabelled: int


@dataclass(frozen=True)
class Silhouette:
    """Mean silhouette by cosine distance, in -1..1, higher is better; ``items`` were sampled."""

    value: float
    items: int


@dataclass(frozen=True)
class Stability:
    """How far repetitions agree: ARI of each two, 1 if they are the same.

    Attributes:
        mean, lowest: over all pairs.
        repetitions: how many.
    """

    mean: float
    lowest: float
    repetitions: int


@dataclass(frozen=True)
class Confidence:
    """The confidences of a clustering: mean, quartiles, and the share below one half."""

    mean: float
    lower_quartile: float
    median: float
    upper_quartile: float
    unsure_share: float


def against(labels: Labels, given: Column) -> Agreement:
    """Compare a clustering with given labels; items without one are left out.

    Args:
        labels: int64 ``(n,)``, see `Clustering`.
        given: the class of each item.

    Raises:
        QueryError: the lengths differ, or no item has a label.
    """
    aligned(len(labels), given=given)
    codes, names = coded(given)
    known = codes != UNKNOWN
    if not known.any():
        raise QueryError("given: no item has a label to compare with")
    clusters, _, table = counts(labels[known], codes[known])
    real = clusters != NOISE
    core = table[real]
    paired = matched(core)
    return Agreement(
        acc=float(core[paired].sum() / table.sum()),
        nmi=normalised_information(table),
        ari=adjusted_rand(table),
        core_ari=adjusted_rand(core) if core.size else None,
        n_clusters=int(real.sum()),
        n_classes=len(names),
        noise_share=float(table[~real].sum() / table.sum()),
        labelled=int(known.sum()),
        unlabelled=int((~known).sum()),
    )


def sampled(labels: Labels, *, sample: int = 5_000, seed: int = 0) -> np.ndarray:
    """Rows of items that are in a cluster, ascending; of more than ``sample`` so many by chance."""
    rows = np.flatnonzero(labels != NOISE)
    if len(rows) > sample:
        rows = np.sort(np.random.default_rng(seed).choice(rows, sample, replace=False))
    return rows


def silhouette(
    embeddings: Embeddings, labels: Labels, *, sample: int = 5_000, seed: int = 0
) -> Silhouette | None:
    """Silhouette of a sample of the items that are in a cluster; None with fewer than two clusters.

    Args:
        embeddings: ``(n, dim)`` unit rows.
        labels: int64 ``(n,)``.
        sample: items that are compared with each other at most.
        seed: of the sample.

    Raises:
        QueryError: the lengths differ.
    """
    aligned(len(embeddings), labels=labels)
    rows = sampled(labels, sample=sample, seed=seed)
    found, own, sizes = np.unique(labels[rows], return_inverse=True, return_counts=True)
    if len(found) < 2:
        return None
    picked = np.asarray(embeddings[rows], np.float32)
    member = np.zeros((len(rows), len(found)))
    member[np.arange(len(rows)), own] = 1
    values = np.empty(len(rows))
    for block, cosines in similarities(picked, picked):
        apart = np.maximum(1 - cosines.astype(np.float64), 0)
        apart[np.arange(len(apart)), np.arange(block.start, block.stop)] = 0
        values[block] = _silhouettes(apart @ member, own[block], sizes)
    return Silhouette(float(values.mean()), len(rows))


def _silhouettes(sums: np.ndarray, own: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """From each item's summed distances to the clusters; 0 for an item alone in its cluster."""
    at = np.arange(len(sums)), own
    within = sums[at] / np.maximum(sizes[own] - 1, 1)
    means = sums / sizes
    means[at] = np.inf
    nearest = means.min(axis=1)
    larger = np.maximum(within, nearest)
    worth = (sizes[own] > 1) & (larger > 0)
    return np.where(worth, (nearest - within) / np.where(larger > 0, larger, 1), 0.0)


def stability(repetitions: Sequence[Labels]) -> Stability:
    """How far clusterings of the same items, of other seeds for instance, agree.

    Raises:
        QueryError: fewer than two, or of different lengths.
    """
    every = [(np.arange(len(labels)), labels) for labels in repetitions]
    if len({len(labels) for labels in repetitions}) > 1:
        raise QueryError("repetitions: they are of different numbers of items")
    return _agreement_of(every)


def subsample_stability(
    fit: Fit, count: int, *, share: float = 0.8, repetitions: int = 5, seed: int = 0
) -> Stability:
    """How far clusterings of random parts agree on the items that two parts share.

    Args:
        fit: clusters the rows it is given.
        count: items there are.
        share: of the items in each part, above 0.5 so that any two parts overlap.
        repetitions: parts.
        seed: of the parts; each is clustered with a seed of its own.

    Raises:
        QueryError: fewer than two repetitions or items, or a share outside of 0.5..1.
    """
    if not 0.5 < share <= 1:
        raise QueryError(f"share is above 0.5 and at most 1, not {share:g}")
    if count < 2:
        raise QueryError(f"subsamples of {count} items cannot be compared: two are needed")
    rng = np.random.default_rng(seed)
    size = max(round(share * count), count // 2 + 1)
    parts = []
    for number in range(repetitions):
        rows = np.sort(rng.choice(count, size, replace=False))
        parts.append((rows, fit(rows, seed + number)))
    return _agreement_of(parts)


def _agreement_of(parts: Sequence[tuple[Rows, Labels]]) -> Stability:
    if len(parts) < 2:
        raise QueryError("repetitions: two or more are needed to compare")
    values = []
    for (rows, labels), (others, their_labels) in combinations(parts, 2):
        _, here, there = np.intersect1d(rows, others, assume_unique=True, return_indices=True)
        values.append(ari(labels[here], their_labels[there]))
    return Stability(float(np.mean(values)), float(np.min(values)), len(parts))


def confidence_of(clustering: Clustering) -> Confidence:
    """Summary of how sure the method is of its own labels; no probability of being right.

    Raises:
        QueryError: there are no items.
    """
    sure = clustering.confidence
    if not len(sure):
        raise QueryError("there is no confidence to summarise: no items")
    lower, median, upper = np.percentile(sure, (25, 50, 75))
    unsure = float((sure < _UNSURE).mean())
    return Confidence(float(sure.mean()), float(lower), float(median), float(upper), unsure)
