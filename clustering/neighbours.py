"""The neighbour graph of a space: each row's nearest others by cosine.

Up to ``exact_up_to`` rows every pair is compared, once for both, by products of blocks. Above, rows
are put on the lists of their nearest centre (spherical k-means, about two lists for each root of n)
and each row is compared with the lists of its ``probes`` nearest centres: all rows that look at a
list, against that list, in one product, whose scores serve both sides. How many lists are needed is
read off a sample whose true neighbours are looked up among all rows; the recall that is stated is
measured on that sample in the end. (Lists: H. Jégou, M. Douze and C. Schmid, Product quantization
for nearest neighbor search, IEEE TPAMI 33, 2011.)
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from clustering.centres import nearest_centres, train_centres, unit
from clustering.checks import checked
from clustering.contract import NO_ROW, Neighbours, Progress, no_progress
from clustering.nearest import Nearest
from indexer.types import Embeddings

_EXACT_SAMPLE = 50_000
"""Up to here a sample's own graph is exact, where a method looks at a sample only: what is lost by
lists above is little beside what a sample loses."""
_TILE = 2048
_SAMPLE = 1000
_MARGIN = 0.01
"""More recall than was asked for is aimed at, as the sample's own is known to a per cent only."""
_MOST_PROBES = 512


def neighbour_graph(
    embeddings: Embeddings,
    k: int = 50,
    *,
    exact_up_to: int = 200_000,
    recall: float = 0.95,
    seed: int = 0,
    progress: Progress = no_progress,
) -> Neighbours:
    """Find the k nearest others of each row; equal scores in the order of row numbers.

    Args:
        embeddings: ``(n, dim)`` of float32 or float16, unit rows; may be a memory map.
        k: neighbours of each; fewer rows leave `NO_ROW`.
        exact_up_to: the most rows of which all pairs are compared.
        recall: share of the true neighbours that an approximate graph should hold.
        seed: of the lists and the sample, where the graph is approximate.
        progress: see `Progress`.

    Raises:
        ClusteringError: there are no rows.
        VectorError: rows that are no embeddings.
        MissingExtraError: FAISS is not installed and the graph is approximate.
    """
    checked(embeddings)
    if len(embeddings) <= exact_up_to:
        return _exact(embeddings, k, progress)
    return _approximate(embeddings, k, recall, seed, progress)


def extended(
    graph: Neighbours, embeddings: Embeddings, *, progress: Progress = no_progress
) -> Neighbours:
    """The graph of rows of which the first are those of ``graph``, and the rest are new.

    New rows are compared with all, so that of an exact graph comes an exact one; the recall of an
    approximate one is stated as it was, for its old rows miss what they missed.

    Args:
        graph: of the first rows.
        embeddings: all rows.
        progress: see `Progress`.

    Raises:
        ClusteringError: there are no rows.
        VectorError: rows that are no embeddings.
    """
    checked(embeddings)
    known = len(graph.rows)
    best = Nearest.of(graph, len(embeddings))
    _compare(embeddings, best, known, progress)
    return replace(best.graph(), recall=graph.recall)


def sample_graph(
    embeddings: Embeddings,
    size: int,
    k: int,
    stream: int,
    *,
    seed: int = 0,
    progress: Progress = no_progress,
) -> tuple[np.ndarray, Embeddings, Neighbours]:
    """So many rows, drawn without replacement, and their own graph.

    Args:
        embeddings: ``(n, dim)``, more rows than are drawn; may be a memory map.
        size: how many are drawn.
        k: neighbours of each.
        stream: tells draws of the same seed apart.
        seed: of the draw.
        progress: see `Progress`.

    Returns:
        Row numbers, rising, the rows, and the graph, in which rows count from 0.
    """
    drawn = np.random.default_rng([seed, stream]).choice(len(embeddings), size, replace=False)
    drawn.sort()
    sample = np.asarray(embeddings[drawn])
    graph = neighbour_graph(sample, k, exact_up_to=_EXACT_SAMPLE, seed=seed, progress=progress)
    return drawn, sample, graph


def _exact(embeddings: Embeddings, k: int, progress: Progress) -> Neighbours:
    best = Nearest(np.arange(len(embeddings)), k)
    _compare(embeddings, best, 0, progress)
    return best.graph()


def _compare(embeddings: Embeddings, best: Nearest, known: int, progress: Progress) -> None:
    """Compare all pairs of rows, but those of the first ``known`` with one another."""
    count = len(embeddings)
    begins = [*range(0, known, _TILE), *range(known, count, _TILE)]
    tiles = [np.arange(begin, end) for begin, end in zip(begins, [*begins[1:], count], strict=True)]
    old = -(-known // _TILE)
    # Each tile with itself first: what is near within it keeps out most of what comes later.
    total = len(tiles) - old + math.comb(len(tiles), 2) - math.comb(old, 2)
    done = 0
    for rows in tiles[old:]:
        progress("comparing rows", done, total)
        wide = unit(embeddings[rows])
        best.offer(rows, rows, wide @ wide.T)
        done += 1
    for number, rows in enumerate(tiles):
        wide = unit(embeddings[rows])
        for others in tiles[max(number + 1, old) :]:
            progress("comparing rows", done, total)
            scores = wide @ unit(embeddings[others]).T
            best.offer(rows, others, scores)
            best.offer(others, rows, scores.T)
            done += 1
    progress("comparing rows", total, total)


def _approximate(
    embeddings: Embeddings, k: int, recall: float, seed: int, progress: Progress
) -> Neighbours:
    count = len(embeddings)
    n_lists = round(2 * math.sqrt(count))
    progress("training centres", 0, 1)
    centres = train_centres(embeddings, n_lists, rounds=10, per_centre=50, seed=seed)
    most = min(_MOST_PROBES, n_lists)
    sample = np.random.default_rng([seed, 12]).choice(count, min(_SAMPLE, count), replace=False)
    sample.sort()
    truth = _true_neighbours(embeddings, sample, k, progress)
    probes = _probes_for(embeddings, centres, sample, truth, most=most, recall=recall + _MARGIN)
    lists, _ = nearest_centres(embeddings, centres, probes, progress=progress)
    best = Nearest(np.arange(count), k)
    _compare_lists(embeddings, best, lists, n_lists, progress)
    found = best.graph()
    return replace(found, recall=_recall(found.rows[sample], truth))


def _true_neighbours(
    embeddings: Embeddings, sample: np.ndarray, k: int, progress: Progress
) -> np.ndarray:
    """Row numbers ``(len(sample), k)`` of their true nearest."""
    count = len(embeddings)
    best, places, wide = Nearest(sample, k), np.arange(len(sample)), unit(embeddings[sample])
    for start in range(0, count, _TILE):
        progress("looking up a sample's neighbours", start, count)
        rows = np.arange(start, min(start + _TILE, count))
        best.offer(places, rows, wide @ unit(embeddings[rows]).T)
    return best.graph().rows


def _probes_for(
    embeddings: Embeddings,
    centres: Embeddings,
    sample: np.ndarray,
    truth: np.ndarray,
    *,
    most: int,
    recall: float,
) -> int:
    """The fewest lists with which the sample's neighbours are met from one side or the other."""
    own, _ = nearest_centres(embeddings[sample], centres, most)
    theirs, _ = nearest_centres(embeddings[truth.ravel()], centres, most)
    theirs = theirs.reshape(*truth.shape, most)
    needed = np.full(truth.shape, most + 1)
    for side, other in ((own[:, None, :], theirs[..., :1]), (theirs, own[:, None, :1])):
        same = side == other
        place = np.where(same.any(axis=2), same.argmax(axis=2) + 1, most + 1)
        needed = np.minimum(needed, place)
    enough = math.ceil(recall * needed.size) - 1
    return int(min(np.partition(needed, enough, axis=None)[enough], most))


def _compare_lists(
    embeddings: Embeddings, best: Nearest, lists: np.ndarray, n_lists: int, progress: Progress
) -> None:
    """Compare each row with the rows of its lists, of which the first is the one it stands on."""
    probes = lists.shape[1]
    home = lists[:, 0]
    standing, looking = _grouped(home, n_lists), _grouped(lists.ravel(), n_lists)
    for number, members in enumerate(standing):
        progress("comparing rows", number, n_lists)
        if not len(members):
            continue
        wide = unit(embeddings[members])
        marked = np.zeros((len(members), n_lists), bool)
        np.put_along_axis(marked, lists[members].astype(np.int64), values=True, axis=1)
        asking = looking[number] // probes
        for start in range(0, len(asking), _TILE):
            rows = asking[start : start + _TILE]
            scores = unit(embeddings[rows]) @ wide.T
            best.offer(rows, members, scores)
            # A member that looks at the list of a row meets it there.
            best.offer(members, rows, scores.T, (marked, home[rows]))
    progress("comparing rows", n_lists, n_lists)


def _grouped(lists: np.ndarray, n_lists: int) -> list[np.ndarray]:
    """Of each list the places, rising, at which it stands in ``lists``."""
    ends = np.cumsum(np.bincount(lists, minlength=n_lists))
    return np.split(np.argsort(lists, kind="stable"), ends[:-1])


def _recall(found: np.ndarray, truth: np.ndarray) -> float:
    """Share of the true neighbours that were found."""
    shared = [len(np.intersect1d(a, b)) for a, b in zip(found, truth, strict=True)]
    return float(np.sum(shared) / (truth != NO_ROW).sum())
