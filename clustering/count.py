"""How many clusters there are, by three criteria side by side.

Each reads a partition for every number of clusters of a grid: spectral clustering of the neighbour
graph, whose eigenvectors are computed once.

- ``coding length``: nats to code rows and labels, lowest is best (Y. Ma, H. Derksen, W. Hong and
  J. Wright, Segmentation of multivariate mixed data via lossy data coding and compression, IEEE
  TPAMI 29, 2007; as CPP uses it, arXiv 2306.05272).
- ``stability``: mean adjusted Rand index between clusterings of overlapping subsamples; the last
  high peak is best (A. Ben-Hur, A. Elisseeff and I. Guyon, A stability based method for discovering
  structure in clustered data, PSB 2002).
- ``density layers``: over how wide a range of least cluster sizes HDBSCAN finds that number, on ten
  dimensions of UMAP, widest is best (L. McInnes, J. Healy and S. Astels, hdbscan: hierarchical
  density based clustering, JOSS 2, 2017).

The answer is that of the density layers where one of them is clearly wide, for on generated sets of
3 to 60 clusters (benchmarks/cluster_count.py) it was right most often; else the middle of the
three. The others are given with it. Where groups have groups in them it may be the number of
either; the others then say that there is another level to look at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.sparse import csr_array

from clustering.agreement import ari
from clustering.checks import checked
from clustering.contract import Neighbours, Progress, no_progress
from clustering.density import density_layers, spanning_tree, warm
from clustering.eigenvectors import cut, leading, similarities
from clustering.layout import lay_out
from clustering.neighbours import neighbour_graph
from indexer.types import Embeddings

Curve = tuple[tuple[int, float], ...]

_MOST_ROWS = 5_000
_MOST_CLUSTERS = 100
_PER_CLUSTER = 10
"""Rows for each cluster at least, on average; the grid ends there."""
_GRAPH = 15
_DIMENSIONS = 32
_DISTORTION = 0.1
_SUBSAMPLES, _KEPT = 4, 0.8
_LAYOUT, _EPOCHS = 10, 200
_MIN_SAMPLES = 5
_STABLE, _LOWER = 0.85, 0.1
"""A peak is high from here on, and if it is not so much lower than the highest."""
_CLEAR = 0.2
"""Share of least sizes that give the same number from which on that number is the answer."""
_FEWEST_TRIED = 3
"""Fewer numbers of clusters make no curve."""


@dataclass(frozen=True)
class CountEstimate:
    """A number of clusters, and what speaks for it.

    Attributes:
        n_clusters: the number.
        low: what another criterion says, or one fewer; a reader should look at it too.
        high: what another criterion says, or one more.
        answers: what each criterion says alone.
        curves: of each criterion, pairs of a number of clusters and its value.
    """

    n_clusters: int
    low: int
    high: int
    answers: Mapping[str, int]
    curves: Mapping[str, Curve]

    @property
    def note(self) -> str:
        """The answer in a sentence, with its neighbours and every criterion's own."""
        if not self.answers:
            return "too few items, or no dense group among them, to tell clusters: all are one"
        said = ", ".join(f"{name} {number}" for name, number in self.answers.items())
        return (
            f"{self.n_clusters} clusters were estimated; {self.low} and {self.high} are worth a "
            f"look too ({said})"
        )


def estimate_count(
    embeddings: Embeddings,
    *,
    neighbours: Neighbours | None = None,
    seed: int = 0,
    progress: Progress = no_progress,
) -> CountEstimate:
    """Estimate the number of clusters, on a sample of at most 5,000 rows.

    Args:
        embeddings: ``(n, dim)`` unit rows.
        neighbours: their graph; it is of use where no sample is drawn.
        seed: of the sample and of all that is random.
        progress: see `Progress`.

    Raises:
        ClusteringError: no rows.
        VectorError: rows that are no embeddings.
        MissingExtraError: a package is not installed.
    """
    checked(embeddings)
    rows, graph = _sampled(embeddings, neighbours, seed, progress)
    grid = _grid(len(rows))
    if len(grid) < _FEWEST_TRIED:
        return CountEstimate(1, 1, min(2, len(rows)), {}, {})
    similar = similarities(graph)
    progress("cutting the neighbour graph", 0, 1)
    vectors = leading(similar, grid[-1], seed)
    parts = {number: cut(vectors, number, seed, tries=1) for number in grid}
    narrow = narrowed(rows)
    layers = _layers(rows, graph, seed, progress)
    if not layers:
        return CountEstimate(1, 1, 2, {}, {})
    curves = {
        "coding length": tuple((k, coding_length(narrow, part)) for k, part in parts.items()),
        "stability": _stability(similar, grid, seed, progress),
        "density layers": layers,
    }
    return _agreed(curves)


def counted(
    embeddings: Embeddings,
    n_clusters: int | None,
    neighbours: Neighbours | None,
    seed: int,
    progress: Progress,
) -> tuple[int, tuple[str, ...], dict[str, Curve]]:
    """The number that was asked for, or else an estimate, with the note and curves to it."""
    if n_clusters is not None:
        return n_clusters, (), {}
    found = estimate_count(embeddings, neighbours=neighbours, seed=seed, progress=progress)
    return found.n_clusters, (found.note,), dict(found.curves)


def coding_length(features: np.ndarray, labels: np.ndarray) -> float:
    """Nats to code unit rows, cluster by cluster, and which cluster each is in.

    Of a cluster of ``m`` rows the determinant is taken in the smaller of ``m`` and ``dim``.

    Args:
        features: unit rows ``(n, dim)``.
        labels: ``(n,)``.
    """
    count, dim = features.shape
    total = 0.0
    for label in np.unique(labels):
        its = features[labels == label].astype(np.float64)
        product = its.T @ its if dim <= len(its) else its @ its.T
        scaled = product * (dim / (len(its) * _DISTORTION))
        logdet = np.linalg.slogdet(np.eye(len(scaled)) + scaled)[1]
        total += (len(its) + dim) / 2 * logdet - len(its) * np.log(len(its) / count)
    return float(total)


def narrowed(embeddings: Embeddings, dimensions: int = _DIMENSIONS) -> np.ndarray:
    """Principal components of the rows, as unit rows ``(n, dimensions or fewer)``.

    What all rows share, and the many directions of noise, cost the same in every partition and
    drown what partitions differ in.
    """
    wide = np.asarray(embeddings, np.float32)
    wide = wide - wide.mean(axis=0)
    _, vectors = np.linalg.eigh(wide.T @ wide)
    narrow = wide @ vectors[:, ::-1][:, :dimensions]
    lengths = np.linalg.norm(narrow, axis=1, keepdims=True)
    unit: np.ndarray = narrow / np.maximum(lengths, 1e-12)
    return unit


def _sampled(
    embeddings: Embeddings, neighbours: Neighbours | None, seed: int, progress: Progress
) -> tuple[np.ndarray, Neighbours]:
    """Rows to look at, and their graph."""
    count = len(embeddings)
    if count <= _MOST_ROWS:
        rows = np.asarray(embeddings, np.float32)
        if neighbours is not None and neighbours.rows.shape[1] >= min(_GRAPH, count - 1):
            return rows, neighbours
    else:
        drawn = np.random.default_rng([seed, 51]).choice(count, _MOST_ROWS, replace=False)
        drawn.sort()
        rows = np.asarray(embeddings[drawn], np.float32)
    return rows, neighbour_graph(rows, _GRAPH, seed=seed, progress=progress)


def _grid(count: int) -> list[int]:
    """Numbers of clusters that are tried: each of the first, then steps of a twelfth."""
    most = min(_MOST_CLUSTERS, count // _PER_CLUSTER)
    grid = [2]
    while grid[-1] < most:
        grid.append(max(grid[-1] + 1, round(grid[-1] * 13 / 12)))
    return [number for number in grid if number <= most]


def _stability(similar: csr_array, grid: list[int], seed: int, progress: Progress) -> Curve:
    """Mean agreement of pairs of subsamples on the rows that they share."""
    random = np.random.default_rng([seed, 52])
    count = similar.shape[0]
    drawn, parts = [], []
    for number in range(_SUBSAMPLES):
        progress("clustering subsamples", number, _SUBSAMPLES)
        rows = np.flatnonzero(random.permutation(count) < _KEPT * count)
        vectors = leading(similar[rows][:, rows], grid[-1], seed)
        labels = np.full((len(grid), count), -1)
        labels[:, rows] = [cut(vectors, each, seed, tries=1) for each in grid]
        drawn.append(rows)
        parts.append(labels)
    curve = []
    for place, number in enumerate(grid):
        values = [
            ari(one[place, shared], other[place, shared])
            for one, other in combinations(parts, 2)
            for shared in [(one[place] >= 0) & (other[place] >= 0)]
        ]
        curve.append((number, float(np.mean(values))))
    return tuple(curve)


def _layers(rows: np.ndarray, graph: Neighbours, seed: int, progress: Progress) -> Curve:
    """Of each number of clusters the share of least sizes of a cluster that gives it."""
    warm(progress)
    progress("laying rows out", 0, 1)
    places = lay_out(
        rows, graph, _LAYOUT, n_neighbors=_GRAPH, min_dist=0.0, epochs=_EPOCHS, seed=seed
    )
    return density_layers(spanning_tree(places, _MIN_SAMPLES), progress)["density layers"]


def _agreed(curves: Mapping[str, Curve]) -> CountEstimate:
    """The answer, between those that are next to it."""
    layers = curves["density layers"]
    widest, width = max(layers, key=lambda point: (point[1], -point[0]))
    answers = {
        "coding length": min(curves["coding length"], key=lambda point: point[1])[0],
        "stability": _last_peak(curves["stability"]),
        "density layers": widest,
    }
    answer = widest if width >= _CLEAR else sorted(answers.values())[1]
    low = max((each for each in answers.values() if each < answer), default=max(answer - 1, 1))
    high = min((each for each in answers.values() if each > answer), default=answer + 1)
    return CountEstimate(answer, low, high, answers, curves)


def _last_peak(curve: Curve) -> int:
    """The largest number at which the curve peaks and is high; where it never is, its maximum.

    Groups of groups are as stable as the groups in them, and there are fewer of them: the highest
    peak would be theirs.
    """
    values = np.array([-1.0, *(value for _, value in curve), -1.0])
    here = values[1:-1]
    high = max(_STABLE, float(here.max()) - _LOWER)
    peaks = (here >= values[:-2]) & (here >= values[2:]) & (here >= high)
    place = np.flatnonzero(peaks)[-1] if peaks.any() else here.argmax()
    return curve[place][0]
