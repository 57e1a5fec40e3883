"""What every method does before it begins: look at the rows, answer what needs no method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from clustering.contract import NOISE, Clustering
from indexer.errors import ClusteringError
from indexer.types import Embeddings
from indexer.vectors import check_rows

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_BLOCK = 65_536


def checked(embeddings: Embeddings, n_clusters: int | None = None) -> Embeddings:
    """Rows that can be clustered; they are given back as they are.

    Raises:
        VectorError: not two dimensions; a row with NaN, with infinite values, or all zero.
        ClusteringError: no rows, or more clusters wanted than there are different rows.
    """
    check_rows(embeddings)
    count = len(embeddings)
    if not count:
        raise ClusteringError("there is nothing to cluster: no vectors")
    if n_clusters is None:
        return embeddings
    if n_clusters < 1:
        raise ClusteringError(f"n_clusters is 1 or more, not {n_clusters}")
    if n_clusters > 1:
        different = _different(embeddings, n_clusters)
        if different < n_clusters:
            raise ClusteringError(
                f"{n_clusters} clusters of {count:,} vectors, of which {different:,} differ: ask "
                f"for {different:,} or fewer"
            )
    return embeddings


def prepared(
    method: DataclassInstance, embeddings: Embeddings, n_clusters: int | None, seed: int
) -> tuple[dict[str, object], Clustering | None]:
    """Everything needed to repeat a run, and its answer where that needs no method.

    Raises:
        VectorError, ClusteringError: as `checked`.
    """
    checked(embeddings, n_clusters)
    parameters = {**asdict(method), "n_clusters": n_clusters, "seed": seed}
    return parameters, _needs_no_method(embeddings, n_clusters, parameters)


def _needs_no_method(
    embeddings: Embeddings, n_clusters: int | None, parameters: Mapping[str, object]
) -> Clustering | None:
    """One cluster of all, where one was asked for or nothing can be told apart; else None."""
    if n_clusters == 1:
        note = "one cluster was asked for"
    elif n_clusters is None and _different(embeddings, 2) == 1:
        note = "one vector" if len(embeddings) == 1 else "all vectors are equal"
    else:
        return None
    labels = np.zeros(len(embeddings), np.int64)
    sure = np.ones(len(embeddings), np.float32)
    return Clustering(labels, sure, dict(parameters), (f"{note}: all are one cluster",))


def by_size(labels: np.ndarray) -> np.ndarray:
    """Labels counted anew from 0, the largest cluster first; of equal ones the first to appear."""
    found, first, counts = np.unique(labels, return_index=True, return_counts=True)
    real = found != NOISE
    order = np.lexsort((first[real], -counts[real]))
    number = np.full(len(found), NOISE, np.int64)
    number[np.flatnonzero(real)[order]] = np.arange(len(order))
    renamed: np.ndarray = number[np.searchsorted(found, labels)]
    return renamed


def _different(embeddings: Embeddings, enough: int) -> int:
    """How many different rows there are; counting stops at ``enough``."""
    seen = set[bytes]()
    for start in range(0, len(embeddings), _BLOCK):
        block = np.ascontiguousarray(embeddings[start : start + _BLOCK])
        for row in block:
            seen.add(row.tobytes())
            if len(seen) >= enough:
                return enough
    return len(seen)
