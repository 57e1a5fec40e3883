"""The neighbour graph cut into as many parts as are asked for; see `clustering.eigenvectors`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clustering.checks import by_size, prepared
from clustering.communities import belonging, shared_neighbour_graph
from clustering.contract import Clustering, Neighbours, Progress, no_progress
from clustering.count import counted
from clustering.eigenvectors import cut, leading, similarities
from clustering.neighbours import neighbour_graph, sample_graph
from clustering.voting import joined_by_vote
from indexer.types import Embeddings

_STREAM = 71


@dataclass(frozen=True)
class Spectral:
    """Spectral clustering of the neighbour graph, each row's distances by its own scale.

    L. Zelnik-Manor and P. Perona, Self-tuning spectral clustering, NIPS 2004, with k-means on the
    eigenvectors in place of their rotation. Above ``fit_up_to`` rows a sample of so many is cut and
    the others join by the vote of their neighbours.

    Confidence is the share of a row's weight in the graph, by shared neighbours, that stays in its
    cluster; of rows that joined, that of those they joined.

    Attributes:
        n_neighbors: how many neighbours of each row count.
        tries: of k-means, of which the tightest is kept.
        fit_up_to: the most rows that are cut.
    """

    name: ClassVar[str] = "spectral"

    n_neighbors: int = 15
    tries: int = 10
    fit_up_to: int = 100_000

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
        graph = neighbours or neighbour_graph(
            embeddings, self.n_neighbors, seed=seed, progress=progress
        )
        clusters, notes, curves = counted(embeddings, n_clusters, graph, seed, progress)
        if len(embeddings) <= self.fit_up_to:
            labels, sure = self._cut(graph, clusters, seed, progress)
        else:
            drawn, _, within = sample_graph(
                embeddings, self.fit_up_to, self.n_neighbors, _STREAM, seed=seed, progress=progress
            )
            labels, sure = self._cut(within, clusters, seed, progress)
            labels, sure = joined_by_vote(graph, drawn, labels, sure)
            notes += (f"{len(drawn):,} vectors were cut, the others joined by their neighbours",)
        return Clustering(by_size(labels), sure, parameters, notes, curves)

    def _cut(
        self, graph: Neighbours, n_clusters: int, seed: int, progress: Progress
    ) -> tuple[np.ndarray, np.ndarray]:
        """Labels of the rows of a graph, and how sure they are."""
        progress("cutting the neighbour graph", 0, 1)
        vectors = leading(similarities(graph, self.n_neighbors), n_clusters, seed)
        labels = cut(vectors, n_clusters, seed, tries=self.tries)
        progress("cutting the neighbour graph", 1, 1)
        return labels, belonging(shared_neighbour_graph(graph, self.n_neighbors), labels)
