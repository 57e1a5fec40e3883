"""Dense groups of a UMAP layout in ten dimensions (HDBSCAN); the default.

L. McInnes, J. Healy and S. Astels, hdbscan: Hierarchical density based clustering, JOSS 2(11),
2017; R. J. G. B. Campello, D. Moulavi and J. Sander, Density-based clustering based on hierarchical
density estimates, PAKDD 2013. Layout: `clustering.layout`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from typing import ClassVar

import numpy as np

from clustering.centres import unit
from clustering.checks import by_size, prepared
from clustering.contract import NOISE, Clustering, Neighbours, Progress, no_progress
from clustering.layout import lay_out
from clustering.neighbours import neighbour_graph, sample_graph
from clustering.voting import joined_by_vote
from indexer.extras import extra
from indexer.types import Embeddings

_STEP = 2**0.25
"""Between the sizes of smallest clusters that are tried."""
_NEAR_ENOUGH = 0.1
"""Share of the number that was asked for: so many clusters more or fewer count as it."""
_STREAM = 41
_FEW = 8
"""Fewer rows than this have no density to speak of."""


@dataclass(frozen=True)
class Density:
    """UMAP to ten dimensions, then HDBSCAN; rows in no dense group are noise.

    On 20,000 generated rows (30 clusters by Zipf's law) ARI is 0.87 to 0.88 for every smallest size
    from 15 to 200 and 5 to 20 samples, with 2 to 3 % noise. A stop is noticed between the steps, of
    which the layout is the longest.

    Confidence is the membership strength. Above ``fit_up_to`` rows a sample of so many is clustered
    and the others join by the vote of their neighbours, weighted by cosine. Where a number of
    clusters is asked for, the smallest size of a cluster, and whether stable groups or leaves are
    taken, are chosen so that the number is within a tenth of it, or as near as it gets, and of
    such choices the one that leaves least noise. What lies between leaves then joins by vote: on
    10,000 generated rows that were to be 30 clusters, ARI is 0.66 so and 0.33 otherwise.

    Attributes:
        min_cluster_size: rows of the smallest cluster; None for 1/400 of the rows, 5 at least.
        min_samples: neighbours that make a place dense; more leave more noise.
        dimensions: of the layout.
        n_neighbors: of the layout, the row itself counted as one; more show coarser structure.
        fit_up_to: the most rows that are laid out.
    """

    name: ClassVar[str] = "hdbscan"

    min_cluster_size: int | None = None
    min_samples: int = 20
    dimensions: int = 10
    n_neighbors: int = 30
    fit_up_to: int = 200_000

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
        count = len(embeddings)
        if count < _FEW:
            note = f"{count} vectors are too few to tell dense places: all are one cluster"
            return Clustering(
                np.zeros(count, np.int64), np.ones(count, np.float32), parameters, (note,)
            )
        graph = neighbours or neighbour_graph(
            embeddings, self.n_neighbors, seed=seed, progress=progress
        )
        if count <= self.fit_up_to:
            return self._fitted(
                embeddings, graph, n_clusters, parameters, seed=seed, progress=progress
            )
        drawn, sample, within = sample_graph(
            embeddings, self.fit_up_to, self.n_neighbors, _STREAM, seed=seed, progress=progress
        )
        fitted = self._fitted(sample, within, n_clusters, parameters, seed=seed, progress=progress)
        labels, strengths = joined_by_vote(graph, drawn, fitted.labels, fitted.confidence)
        note = f"{self.fit_up_to:,} vectors were clustered, the others joined by their neighbours"
        return replace(
            fitted, labels=by_size(labels), confidence=strengths, notes=(*fitted.notes, note)
        )

    def _fitted(
        self,
        embeddings: Embeddings,
        graph: Neighbours,
        n_clusters: int | None,
        parameters: dict[str, object],
        *,
        seed: int,
        progress: Progress,
    ) -> Clustering:
        warm(progress)
        progress("laying out", 0, 1)
        positions = lay_out(
            embeddings,
            graph,
            self.dimensions,
            n_neighbors=self.n_neighbors,
            min_dist=0.0,
            seed=seed,
        )
        progress("laying out", 1, 1)
        tree = spanning_tree(positions, min(self.min_samples, len(positions) - 1))
        if n_clusters is not None:
            return _with_count(tree, graph, n_clusters, parameters, progress)
        size = self.min_cluster_size or max(5, len(positions) // 400)
        labels, strengths = _cut(tree, size, "eom")
        notes = [f"clusters of {size} vectors or more"]
        if labels.max() < 0:
            notes.append("no group is denser than what is around it: all vectors are noise")
        layers = density_layers(tree, progress)
        return Clustering(by_size(labels), strengths, parameters, tuple(notes), layers)


def warm(progress: Progress = no_progress) -> None:
    """Compile what numba compiles, at first use; it is kept on disk, so later runs only load it.

    Where it is kept says NUMBA_CACHE_DIR; by default beside the code, or in the user's cache.
    """
    if not _compile.cache_info().currsize:
        progress("compiling (once)", 0, 1)
        _compile()
        progress("compiling (once)", 1, 1)


@cache
def _compile() -> None:
    rows = unit(np.random.default_rng(0).standard_normal((200, 8)))
    positions = lay_out(rows, neighbour_graph(rows, 5), 10, n_neighbors=5, min_dist=0.0, epochs=11)
    for method in ("eom", "leaf"):
        _cut(spanning_tree(positions, 5), 5, method)


def spanning_tree(positions: np.ndarray, min_samples: int) -> np.ndarray:
    """Edges ``(n - 1, 3)`` of the tree of least mutual reachability: two rows, and how far."""
    hdbscan = extra("fast_hdbscan.hdbscan")
    tree: np.ndarray = hdbscan.compute_minimum_spanning_tree(
        positions, min_samples=min_samples, reproducible=True
    )[0]
    return tree


def _cut(tree: np.ndarray, min_cluster_size: int, method: str) -> tuple[np.ndarray, np.ndarray]:
    """Labels int64 and membership strengths float32 of HDBSCAN's clusters."""
    hdbscan = extra("fast_hdbscan.hdbscan")
    labels, strengths = hdbscan.clusters_from_spanning_tree(
        tree, min_cluster_size=min_cluster_size, cluster_selection_method=method
    )[:2]
    return labels.astype(np.int64), np.clip(strengths, 0, 1).astype(np.float32)


def _sizes(count: int) -> list[int]:
    """Smallest sizes of a cluster from 2 to half of all, each `_STEP` times the one before."""
    steps = int(np.log(count / 4) / np.log(_STEP)) + 1
    return sorted({round(2 * _STEP**step) for step in range(steps)})


def density_layers(
    tree: np.ndarray, progress: Progress
) -> dict[str, tuple[tuple[int, float], ...]]:
    """Of each number of clusters, over which share of smallest sizes (by ratio) it is found."""
    sizes = [size for size in _sizes(len(tree) + 1) if size >= 5]
    found = Counter[int]()
    for number, size in enumerate(sizes):
        progress("trying smallest sizes", number, len(sizes))
        found[int(_cut(tree, size, "eom")[0].max()) + 1] += 1
    return {
        "density layers": tuple(
            (k, times / len(sizes)) for k, times in sorted(found.items()) if k > 0
        )
    }


def _with_count(
    tree: np.ndarray,
    graph: Neighbours,
    n_clusters: int,
    parameters: dict[str, object],
    progress: Progress,
) -> Clustering:
    """The cut whose number of clusters is nearest; of those near enough that with least noise."""
    best: tuple[tuple[int, float, int], str, int] | None = None
    sizes = _sizes(len(tree) + 1)
    for number, size in enumerate(sizes):
        progress("trying smallest sizes", number, len(sizes))
        for method in ("eom", "leaf"):
            labels, _ = _cut(tree, size, method)
            off = abs(int(labels.max()) + 1 - n_clusters)
            rank = (max(off - int(_NEAR_ENOUGH * n_clusters), 0), float((labels < 0).mean()), off)
            if best is None or rank < best[0]:
                best = rank, method, size
    assert best is not None  # noqa: S101 - there is always one size
    _, method, size = best
    labels, strengths = _cut(tree, size, method)
    how = "stable groups"
    if method == "leaf":
        # What lies between the leaves of a stable group belongs to the nearer one.
        how = "leaves, and what lies between them,"
        known = np.flatnonzero(labels >= 0)
        joined, sure = joined_by_vote(graph, known, labels[known], strengths[known])
        noise = _cut(tree, size, "eom")[0] < 0
        labels, strengths = np.where(noise, NOISE, joined), np.where(noise, 0, sure)
    found = int(labels.max()) + 1
    note = f"{found} clusters: {how} of {size} vectors or more; asked for {n_clusters}"
    return Clustering(by_size(labels), strengths.astype(np.float32), parameters, (note,))
