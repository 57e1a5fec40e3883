"""Communities of a weighted graph by modularity (Louvain).

V. D. Blondel, J.-L. Guillaume, R. Lambiotte and E. Lefebvre, Fast unfolding of communities in large
networks, J. Stat. Mech. 2008; the resolution as in J. Reichardt and S. Bornholdt, Statistical
mechanics of community detection, Phys. Rev. E 74, 2006. Nodes are visited in a seeded order and
again only where a neighbour has moved (V. A. Traag, Faster unfolding of communities, Phys. Rev. E
92, 2015).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from scipy import sparse

from clustering.contract import NO_ROW, Neighbours, Progress, no_progress
from indexer.extras import extra

_ROUNDS = 2
"""The whole is done again from what it has found, as nodes may then move one by one once more."""
_TRIES = 14
_WIDEST = 2.0**12
"""Resolutions are looked for between one over this and this."""


def shared_neighbour_graph(graph: Neighbours, n_neighbors: int) -> sparse.csr_matrix:
    """Neighbours joined by as much as they have in common.

    The weight is the share of neighbours that two rows have both, themselves counted (Jaccard), so
    that a bridge of chance between two groups weighs little. R. A. Jarvis and E. A. Patrick,
    Clustering using a similarity measure based on shared near neighbors, IEEE Trans. Computers
    C-22, 1973.

    Args:
        graph: of n rows.
        n_neighbors: how many neighbours of each count.

    Returns:
        float64 ``(n, n)``, symmetric, nothing on the diagonal.
    """
    count = len(graph.rows)
    rows = graph.rows[:, :n_neighbors]
    there = rows != NO_ROW
    own = np.repeat(np.arange(count), there.sum(axis=1))
    ones = np.ones(len(own))
    joined = sparse.csr_matrix((ones, (own, rows[there])), shape=(count, count))
    members = (joined + sparse.identity(count, format="csr")).sorted_indices()
    either = (joined + joined.T).tocsr()
    either.data = _kernel(_overlaps)(either.indptr, either.indices, members.indptr, members.indices)
    return either


def communities(
    graph: sparse.csr_matrix,
    *,
    resolution: float = 1.0,
    seed: int = 0,
    progress: Progress = no_progress,
) -> np.ndarray:
    """Number of its community for each node, int64 ``(n,)``.

    Args:
        graph: symmetric weights of n nodes; the diagonal counts as loops.
        resolution: above 1 gives more and smaller communities.
        seed: of the order in which nodes are visited.
        progress: see `Progress`.
    """
    labels = np.arange(graph.shape[0])
    random = np.random.default_rng([seed, 21])
    for number in range(_ROUNDS):
        progress("finding communities", number, _ROUNDS)
        labels = _unfold(graph, labels, resolution, random)
    progress("finding communities", _ROUNDS, _ROUNDS)
    return labels


def counted_communities(
    graph: sparse.csr_matrix,
    n_clusters: int,
    *,
    seed: int = 0,
    progress: Progress = no_progress,
) -> tuple[np.ndarray, float]:
    """Communities whose number is as near to ``n_clusters`` as halving the resolution comes.

    Returns:
        labels as of `communities`, and the resolution that gave them.
    """
    low, high = 1 / _WIDEST, _WIDEST
    best, best_resolution = np.zeros(graph.shape[0], np.int64), low
    for number in range(_TRIES):
        progress("looking for the resolution", number, _TRIES)
        middle = float(np.sqrt(low * high)) if number else 1.0
        labels = communities(graph, resolution=middle, seed=seed)
        found = int(labels.max()) + 1
        if abs(found - n_clusters) < abs(int(best.max()) + 1 - n_clusters):
            best, best_resolution = labels, middle
        if found == n_clusters:
            break
        low, high = (middle, high) if found < n_clusters else (low, middle)
    return best, best_resolution


def between(graph: sparse.csr_matrix, labels: np.ndarray, n_labels: int) -> sparse.csr_matrix:
    """Weights between groups of nodes, ``(n_labels, n_labels)``; those within are its loops."""
    count = len(labels)
    belongs = sparse.csr_matrix(
        (np.ones(count), (np.arange(count), labels)), shape=(count, n_labels)
    )
    joined: sparse.csr_matrix = (belongs.T @ graph @ belongs).tocsr()
    return joined


def belonging(graph: sparse.csr_matrix, labels: np.ndarray) -> np.ndarray:
    """Share of each node's weight that stays in its community, float32 ``(n,)``; 1 of no weight."""
    own = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))
    inside = graph.data * (labels[own] == labels[graph.indices])
    total = np.bincount(own, graph.data, graph.shape[0])
    kept = np.bincount(own, inside, graph.shape[0])
    return np.where(total > 0, kept / np.where(total > 0, total, 1), 1).astype(np.float32)


def _unfold(
    graph: sparse.csr_matrix, labels: np.ndarray, resolution: float, random: np.random.Generator
) -> np.ndarray:
    """Move nodes, then the communities as nodes, and so on until nothing moves."""
    labels = _moved(graph, labels, resolution, random)
    while True:
        small = between(graph, labels, int(labels.max()) + 1)
        merged = _moved(small, np.arange(small.shape[0]), resolution, random)
        if merged.max() + 1 == small.shape[0]:
            return labels
        labels = merged[labels]


def _moved(
    graph: sparse.csr_matrix, labels: np.ndarray, resolution: float, random: np.random.Generator
) -> np.ndarray:
    strength = np.asarray(graph.sum(axis=1), np.float64).ravel()
    total = strength.sum()
    if total == 0:
        return labels
    order = random.permutation(graph.shape[0])
    moved = labels.astype(np.int64)
    _kernel(_move)(
        graph.indptr, graph.indices, graph.data, strength, order, resolution / total, moved
    )
    return np.unique(moved, return_inverse=True)[1].astype(np.int64)


@cache
def _kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function compiled by numba, kept on disk for later runs."""
    compiled: Callable[..., Any] = extra("numba").njit(cache=True)(function)
    return compiled


def _overlaps(
    indptr: np.ndarray, indices: np.ndarray, member_ptr: np.ndarray, members: np.ndarray
) -> np.ndarray:
    """Shares of members that both ends of each edge have; members are sorted."""
    shares = np.empty(len(indices))
    for node in range(len(indptr) - 1):
        for edge in range(indptr[node], indptr[node + 1]):
            other = indices[edge]
            at, end = member_ptr[node], member_ptr[node + 1]
            there, last = member_ptr[other], member_ptr[other + 1]
            either = (end - at) + (last - there)
            both = 0
            while at < end and there < last:
                if members[at] == members[there]:
                    both += 1
                    at += 1
                    there += 1
                elif members[at] < members[there]:
                    at += 1
                else:
                    there += 1
            shares[edge] = both / (either - both)
    return shares


def _move(  # noqa: PLR0917 - numba takes no keywords here
    indptr: np.ndarray,
    indices: np.ndarray,
    weights: np.ndarray,
    strength: np.ndarray,
    order: np.ndarray,
    price: float,
    labels: np.ndarray,
) -> None:
    """Move nodes to the community that gains most, until none gains; changes ``labels``."""
    count = len(order)
    mass = np.zeros(count)
    for node in range(count):
        mass[labels[node]] += strength[node]
    queue, waiting = order.copy(), np.ones(count, np.bool_)
    head, filled = 0, count
    towards, touched = np.zeros(count), np.empty(count, np.int64)
    while filled:
        node = queue[head]
        head = (head + 1) % count
        filled -= 1
        waiting[node] = False
        home = labels[node]
        mass[home] -= strength[node]
        seen = 0
        for edge in range(indptr[node], indptr[node + 1]):
            other = indices[edge]
            if other == node:
                continue
            label = labels[other]
            if towards[label] == 0:
                touched[seen] = label
                seen += 1
            towards[label] += weights[edge]
        best = home
        best_gain = towards[home] - price * strength[node] * mass[home]
        for place in range(seen):
            label = touched[place]
            gain = towards[label] - price * strength[node] * mass[label]
            # Gains of rounding alone would move nodes for ever.
            if gain > best_gain + 1e-12:
                best, best_gain = label, gain
        for place in range(seen):
            towards[touched[place]] = 0
        mass[best] += strength[node]
        labels[node] = best
        if best != home:
            for edge in range(indptr[node], indptr[node + 1]):
                other = indices[edge]
                if labels[other] != best and not waiting[other]:
                    waiting[other] = True
                    queue[(head + filled) % count] = other
                    filled += 1
