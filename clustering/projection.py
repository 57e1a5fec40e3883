"""The map: rows in two dimensions, fitted once; later rows are placed among those.

The fit is UMAP (`clustering.layout`). umap-learn keeps a fitted model only by pickle and moves what
it places at random; so rows are placed by `MapModel` from the fitted rows and their positions,
which are plain arrays: whoever holds them gets the same place for the same row, now and later.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from clustering.centres import nearest_centres, train_centres, unit
from clustering.checks import checked
from clustering.contract import Neighbours, Progress, no_progress
from clustering.layout import lay_out
from clustering.nearest import Nearest
from clustering.neighbours import neighbour_graph, sample_graph
from indexer.errors import ClusteringError, VectorError
from indexer.types import Embeddings

_STREAM = 61
_AMONG = 15
"""Fitted rows that say where a row is placed."""
_ONE_LIST = 20_000
"""With fewer fitted rows than this a row is compared with all."""
_PROBES = 16
_BLOCK = 20_000
_TILE = 2_048
"""Rows compared with as many at a time: what is kept of all scores at first is eight times them."""
_SAME = 1e-6
"""A cosine this near to 1 is the same row."""
_FIELDS = ("rows", "anchors", "positions", "centres", "lists")


@dataclass(frozen=True)
class MapModel:
    """A fitted map.

    A row is placed at the mean of the positions of the fitted rows nearest to it, each weighted by
    ``exp(-(d - d1) / m)``: d is its distance, as 1 - cosine, d1 the least of them and m the mean of
    d - d1. A row that was fitted is placed exactly where it lies. Above 20,000 fitted rows only
    those on the lists of the sixteen nearest centres are looked at.

    Attributes:
        rows: int64 ``(m,)``, which rows were fitted, rising.
        anchors: float16 ``(m, dim)``, those rows.
        positions: float32 ``(m, 2)``.
        centres: float32 ``(lists, dim)``.
        lists: int32 ``(m,)``, the list of each fitted row.
    """

    rows: np.ndarray
    anchors: np.ndarray
    positions: np.ndarray
    centres: np.ndarray
    lists: np.ndarray

    def place(self, embeddings: Embeddings, *, progress: Progress = no_progress) -> np.ndarray:
        """Positions float32 ``(n, 2)``; a row's does not depend on the others.

        Args:
            embeddings: ``(n, dim)`` unit rows; may be a memory map.
            progress: see `Progress`.

        Raises:
            ClusteringError: there are no rows.
            VectorError: rows that are no embeddings, or of another length than the fitted ones.
        """
        checked(embeddings)
        if embeddings.shape[1] != self.anchors.shape[1]:
            raise VectorError(
                f"vectors of length {embeddings.shape[1]} on a map of vectors of length "
                f"{self.anchors.shape[1]}: take the space that the map is of"
            )
        count = len(embeddings)
        placed = np.empty((count, 2), np.float32)
        for start in range(0, count, _BLOCK):
            progress("placing", start, count)
            block = unit(embeddings[start : start + _BLOCK])
            placed[start : start + _BLOCK] = self._placed(self._nearest(block))
        progress("placing", count, count)
        return placed

    def state(self) -> dict[str, np.ndarray]:
        """Everything, as plain arrays by name."""
        return {name: getattr(self, name) for name in _FIELDS}

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray]) -> MapModel:
        """The map that `state` was taken of.

        Raises:
            ClusteringError: an array is missing.
        """
        missing = [name for name in _FIELDS if name not in state]
        if missing:
            raise ClusteringError(f"this is no map: '{missing[0]}' is missing; fit it again")
        return cls(**{name: np.asarray(state[name]) for name in _FIELDS})

    def _nearest(self, block: Embeddings) -> Neighbours:
        """The fitted rows nearest to each row, of those on its lists."""
        best = Nearest(np.full(len(block), -1), min(_AMONG, len(self.anchors)))
        looked_at, _ = nearest_centres(block, self.centres, _PROBES)
        for number in range(len(self.centres)):
            members = np.flatnonzero(self.lists == number)
            asking = np.flatnonzero((looked_at == number).any(axis=1))
            for start in range(0, len(members), _TILE):
                some = members[start : start + _TILE]
                wide = unit(self.anchors[some])
                for begin in range(0, len(asking), _TILE):
                    rows = asking[begin : begin + _TILE]
                    best.offer(rows, some, block[rows] @ wide.T)
        return best.graph()

    def _placed(self, near: Neighbours) -> np.ndarray:
        away = np.maximum(1 - near.scores, 0)
        beyond = away - away[:, :1]
        there = np.isfinite(away)
        mean = np.where(there, beyond, 0).sum(axis=1) / there.sum(axis=1)
        weights = np.exp(-beyond / np.maximum(mean, 1e-12)[:, None])
        same = away <= _SAME
        weights = np.where(
            same.any(axis=1)[:, None], same & (np.cumsum(same, axis=1) == 1), weights
        )
        weights /= weights.sum(axis=1, keepdims=True)
        placed: np.ndarray = np.einsum("ij,ijk->ik", weights, self.positions[near.rows])
        return placed


def fit_map(
    embeddings: Embeddings,
    *,
    sample: int = 200_000,
    n_neighbors: int = 15,
    min_dist: float = 0.1,
    neighbours: Neighbours | None = None,
    seed: int = 0,
    progress: Progress = no_progress,
) -> MapModel:
    """Fit a map on at most ``sample`` rows, drawn without replacement.

    Args:
        embeddings: ``(n, dim)`` of float32 or float16, unit rows; may be a memory map.
        sample: the most rows to fit.
        n_neighbors: of each row, itself counted as one; more show coarser structure.
        min_dist: how near the nearest come to lie.
        neighbours: the graph of these rows; used where all are fitted.
        seed: of the draw and of the layout.
        progress: see `Progress`.

    Raises:
        ClusteringError: there are no rows.
        VectorError: rows that are no embeddings.
        MissingExtraError: umap-learn or FAISS is not installed.
    """
    checked(embeddings)
    count = len(embeddings)
    if count > sample:
        rows, chosen, neighbours = sample_graph(
            embeddings, sample, n_neighbors, _STREAM, seed=seed, progress=progress
        )
    else:
        rows, chosen = np.arange(count), np.asarray(embeddings)
    positions = np.zeros((len(rows), 2), np.float32)
    if len(rows) > 3:
        graph = neighbours or neighbour_graph(
            chosen, n_neighbors, exact_up_to=count, seed=seed, progress=progress
        )
        progress("laying out", 0, 1)
        positions = lay_out(chosen, graph, 2, n_neighbors=n_neighbors, min_dist=min_dist, seed=seed)
    elif len(rows) > 1:
        positions[:, 0] = np.arange(len(rows))
    return model_of(rows, chosen, positions, seed=seed, progress=progress)


def model_of(
    rows: np.ndarray,
    anchors: Embeddings,
    positions: np.ndarray,
    *,
    seed: int = 0,
    progress: Progress = no_progress,
) -> MapModel:
    """The map of rows whose positions are known, as where both are kept elsewhere.

    Args:
        rows: int64 ``(m,)``, which rows they are.
        anchors: ``(m, dim)``, the rows.
        positions: float32 ``(m, 2)``.
        seed: of the lists.
        progress: see `Progress`.
    """
    n_lists = 1 if len(anchors) <= _ONE_LIST else round(math.sqrt(len(anchors)))
    centres = train_centres(anchors, n_lists, rounds=10, per_centre=64, seed=seed)
    lists = nearest_centres(anchors, centres, progress=progress)[0][:, 0]
    return MapModel(rows, anchors.astype(np.float16), positions, centres, lists)


@dataclass(frozen=True)
class Displacement:
    """How far rows lie from where they lay, the new map turned, scaled and shifted onto the old.

    Attributes:
        distances: float32 ``(n,)``, in units of the old map's spread (root mean square distance
            from its middle).
        median, p95: of those.
        explained: share of the old map's variance that the new one reproduces, 0 to 1.
    """

    distances: np.ndarray
    median: float
    p95: float
    explained: float


def displacement(old: np.ndarray, new: np.ndarray) -> Displacement:
    """Compare positions ``(n, 2)`` of the same rows on two maps (orthogonal Procrustes).

    J. C. Gower, Generalized Procrustes analysis, Psychometrika 40, 1975.

    Raises:
        ClusteringError: they are not of the same rows, or fewer than two, or all in one place.
    """
    if old.shape != new.shape or len(old) < 2:
        raise ClusteringError(
            f"positions of the same two rows or more are compared, not {old.shape} and {new.shape}"
        )
    first, second = (_centred(each) for each in (old, new))
    left, strengths, right = np.linalg.svd(second.T @ first)
    fit = float(strengths.sum()) / len(first)
    distances = np.linalg.norm(second @ (left @ right) * fit - first, axis=1)
    return Displacement(
        distances.astype(np.float32),
        float(np.median(distances)),
        float(np.percentile(distances, 95)),
        fit**2,
    )


def _centred(positions: np.ndarray) -> np.ndarray:
    """Positions about their middle, with a root mean square distance of 1 from it."""
    about = positions.astype(np.float64) - positions.mean(axis=0, dtype=np.float64)
    spread = math.sqrt(float((about**2).sum(axis=1).mean()))
    if spread == 0:
        raise ClusteringError("all positions are the same: there is nothing to compare")
    return np.asarray(about / spread)
