"""Clusters as communities of the neighbour graph; see `clustering.communities`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from clustering.checks import by_size, prepared
from clustering.communities import (
    belonging,
    communities,
    counted_communities,
    shared_neighbour_graph,
)
from clustering.contract import Clustering, Neighbours, Progress, no_progress
from clustering.neighbours import neighbour_graph
from indexer.types import Embeddings


@dataclass(frozen=True)
class Graph:
    """Louvain on neighbours weighted by what they share; needs no layout, leaves no noise.

    On 20,000 generated rows (30 clusters by Zipf's law) ARI is 0.93 with shared neighbours as
    weights and 0.75 with equal ones; 30 neighbours in place of 15 give 0.82.

    Confidence is the share of a row's weight that stays in its cluster.

    Attributes:
        n_neighbors: how many neighbours of each row count.
        resolution: above 1 gives more and smaller clusters; not used where a number is asked for.
    """

    name: ClassVar[str] = "graph"

    n_neighbors: int = 15
    resolution: float = 1.0

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
        joined = shared_neighbour_graph(graph, self.n_neighbors)
        notes: tuple[str, ...] = ()
        if n_clusters is None:
            labels = communities(joined, resolution=self.resolution, seed=seed, progress=progress)
        else:
            labels, resolution = counted_communities(
                joined, n_clusters, seed=seed, progress=progress
            )
            found = int(labels.max()) + 1
            notes = (f"{found} clusters, at resolution {resolution:.4g}; asked for {n_clusters}",)
        return Clustering(by_size(labels), belonging(joined, labels), parameters, notes)
