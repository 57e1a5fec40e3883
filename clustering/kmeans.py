"""Spherical k-means; see `clustering.centres`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clustering.centres import BLOCK, nearest_centres, train_centres, unit
from clustering.checks import by_size, prepared
from clustering.contract import Clustering, Neighbours, Progress, no_progress
from clustering.count import counted
from indexer.types import Embeddings

_PRICE_ROUNDS = 60
_BALANCE_ROUNDS = 10
_PER_CENTRE = 1000
"""Rows to train on for each centre; more change the centres little."""


@dataclass(frozen=True)
class KMeans:
    """Spherical k-means by FAISS, the best of several tries.

    Confidence is 1 - d / e, where d and e are the distances, as 1 - cosine, to the centre of the
    row's cluster and to the nearest other one; 0 where another is nearer.

    Balanced clusters differ by one row at most. Each centre has a price, which rises while more
    than its share of rows prefer it; at the last prices rows go where they fit best, and a centre
    that is full keeps those that gain most by it (D. Gale and L. S. Shapley, College admissions and
    the stability of marriage, Am. Math. Monthly 69, 1962). Centres move to the middle of what they
    got, ten times. It holds all scores, 4 n k bytes.

    Attributes:
        tries: from other beginnings.
        rounds: of Lloyd's algorithm in each try.
        balanced: whether all clusters are to have the same size.
    """

    name: ClassVar[str] = "kmeans"

    tries: int = 3
    rounds: int = 25
    balanced: bool = False

    def fit(
        self,
        embeddings: Embeddings,
        n_clusters: int | None = None,
        *,
        seed: int = 0,
        neighbours: Neighbours | None = None,
        progress: Progress = no_progress,
    ) -> Clustering:
        """Cluster; see `clustering.contract.ClusterMethod.fit`."""
        parameters, answer = prepared(self, embeddings, n_clusters, seed)
        if answer is not None:
            return answer
        n_clusters, notes, curves = counted(embeddings, n_clusters, neighbours, seed, progress)
        progress("training centres", 0, 1)
        centres = train_centres(
            embeddings,
            n_clusters,
            rounds=self.rounds,
            tries=self.tries,
            per_centre=_PER_CENTRE,
            seed=seed,
        )
        if self.balanced:
            labels, centres = _balanced(embeddings, centres, progress)
        else:
            labels = nearest_centres(embeddings, centres, progress=progress)[0][:, 0]
        notes += _notes(labels, n_clusters)
        sure = _margins(embeddings, centres, labels)
        return Clustering(by_size(labels.astype(np.int64)), sure, parameters, notes, curves)


def _notes(labels: np.ndarray, n_clusters: int) -> tuple[str, ...]:
    found = len(np.unique(labels))
    if found == n_clusters:
        return ()
    return (f"{found} clusters, not {n_clusters}: the other centres are nearest to no vector",)


def _margins(embeddings: Embeddings, centres: Embeddings, labels: np.ndarray) -> np.ndarray:
    margins = np.empty(len(labels), np.float32)
    for start in range(0, len(labels), BLOCK):
        own = labels[start : start + BLOCK, None]
        away = np.maximum(1 - unit(embeddings[start : start + BLOCK]) @ centres.T, 0)
        near = np.take_along_axis(away, own, 1)[:, 0]
        np.put_along_axis(away, own, np.inf, axis=1)
        margins[start : start + BLOCK] = 1 - near / np.maximum(away.min(axis=1), 1e-12)
    return np.clip(margins, 0, 1)


def _balanced(
    embeddings: Embeddings, centres: Embeddings, progress: Progress
) -> tuple[np.ndarray, Embeddings]:
    """Labels of equally large clusters, and their centres."""
    count, k = len(embeddings), len(centres)
    room = np.full(k, count // k)
    room[: count % k] += 1
    labels = np.zeros(count, np.int64)
    for number in range(_BALANCE_ROUNDS):
        progress("balancing", number, _BALANCE_ROUNDS)
        scores = np.empty((count, k), np.float32)
        for start in range(0, count, BLOCK):
            scores[start : start + BLOCK] = unit(embeddings[start : start + BLOCK]) @ centres.T
        labels = _admitted(scores - _prices(scores), room)
        centres = _middles(embeddings, labels, k)
    return labels, centres


def _prices(scores: np.ndarray) -> np.ndarray:
    """Prices float32 ``(k,)`` at which about as many rows prefer each centre."""
    count, k = scores.shape
    prices = np.zeros(k, np.float32)
    step = float(scores.std())
    for number in range(_PRICE_ROUNDS):
        wanted = np.bincount((scores - prices).argmax(axis=1), minlength=k)
        excess = np.clip(wanted * k / count - 1, -1, 1)
        prices += np.float32(step / (1 + number)) * excess.astype(np.float32)
    return prices


def _admitted(scores: np.ndarray, room: np.ndarray) -> np.ndarray:
    """Labels such that each centre has exactly as many rows as it has room for.

    All rows without a place ask the best centre that has not turned them away; each centre keeps
    the best of those that it has and those that ask.
    """
    count = len(scores)
    labels = np.full(count, -1, np.int64)
    open_to = scores.copy()
    free = np.arange(count)
    while len(free):
        labels[free] = open_to[free].argmax(axis=1)
        for centre in np.unique(labels[free]):
            held = np.flatnonzero(labels == centre)
            if len(held) > room[centre]:
                order = np.argsort(-scores[held, centre], kind="stable")
                turned = held[order[room[centre] :]]
                labels[turned] = -1
                open_to[turned, centre] = -np.inf
        free = np.flatnonzero(labels < 0)
    return labels


def _middles(embeddings: Embeddings, labels: np.ndarray, k: int) -> Embeddings:
    """Unit means of the rows of each label."""
    sums = np.zeros((k, embeddings.shape[1]))
    for start in range(0, len(labels), BLOCK):
        np.add.at(sums, labels[start : start + BLOCK], unit(embeddings[start : start + BLOCK]))
    return unit(sums)
