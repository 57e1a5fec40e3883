"""What to label next: strategies that choose items for a budget, and how much each covers.

Each is written from its paper: TypiClust (Hacohen, Dekel, Weinshall, ICML 2022), ProbCover (Yehuda,
Dekel, Hacohen, Weinshall, NeurIPS 2022), DropQuery (Gupte, Aklilu, Nirschl, Yeung-Levy, TMLR 2024).
Random choice is what they have to beat; with more than some hundred labels it often wins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from clustering.centres import nearest_centres, train_centres, unit
from clustering.columns import UNKNOWN, Column, aligned, coded, similarities
from clustering.contract import NOISE, Neighbours
from clustering.outliers import typicality
from indexer.errors import QueryError
from indexer.extras import extra
from indexer.types import Embeddings

_MOST_CLUSTERS, _SMALL = 500, 5
_COMPARED = 5_000
"""Items that ProbCover compares with each other."""
_PURE, _STEPS = 0.95, 6
_PASSES, _DROPPED, _CANDIDATES = 3, 0.75, 25

Rows = Int64[np.ndarray, " chosen"]


@dataclass(frozen=True)
class Pool:
    """Items to choose from.

    Attributes:
        embeddings: ``(n, dim)`` unit rows.
        neighbours: of all items.
        clusters: int64 ``(n,)``, a clustering of them.
        given: the labels that items have already; None for those to choose from.
    """

    embeddings: Embeddings
    neighbours: Neighbours
    clusters: np.ndarray
    given: Column


Strategy = Callable[[Pool, int, int], Rows]
"""From a pool, a budget and a seed to rows without a label, the most wanted first."""


def select(pool: Pool, strategy: str, budget: int, *, seed: int = 0) -> Rows:
    """Choose items to label.

    Args:
        pool: see there.
        strategy: one of `STRATEGIES`.
        budget: how many.
        seed: of all that is random.

    Returns:
        int64 ``(budget,)`` rows, the most wanted first.

    Raises:
        QueryError: there is no such strategy, lengths differ, or the budget is below 1 or above the
            number of items without a label.
        MissingExtraError: FAISS or scikit-learn is not installed.
    """
    if strategy not in STRATEGIES:
        raise QueryError(f"there is no strategy '{strategy}'; there are: {', '.join(STRATEGIES)}")
    count = len(pool.embeddings)
    aligned(count, neighbours=pool.neighbours.rows, clusters=pool.clusters, given=pool.given)
    free = len(_free(pool))
    if not 1 <= budget <= free:
        raise QueryError(f"budget: {free:,} items have no label, so 1 to {free:,}, not {budget:,}")
    return STRATEGIES[strategy](pool, budget, seed)


def typiclust(pool: Pool, budget: int, seed: int) -> Rows:
    """The most typical item of the largest clusters that have the fewest labels.

    Clusters by k-means, as many as labels there are and will be, 500 at most; those of five items
    or fewer wait until no other has an item left.
    """
    open_ = np.zeros(len(pool.embeddings), bool)
    open_[_free(pool)] = True
    count = len(open_)
    centres = train_centres(
        pool.embeddings, min(count - int(open_.sum()) + budget, _MOST_CLUSTERS, count), seed=seed
    )
    own = nearest_centres(pool.embeddings, centres)[0][:, 0]
    sizes = np.bincount(own, minlength=len(centres))
    labels = np.bincount(own[~open_], minlength=len(centres))
    typical = typicality(pool.neighbours)
    waiting = {
        int(cluster): iter(rows[np.argsort(-typical[rows], kind="stable")])
        for cluster in np.unique(own[open_])
        for rows in [np.flatnonzero((own == cluster) & open_)]
    }
    chosen: list[int] = []
    while len(chosen) < budget:
        wanted = min(waiting, key=lambda at: (sizes[at] <= _SMALL, labels[at], -sizes[at], at))
        row = next(waiting[wanted], None)
        if row is None:
            del waiting[wanted]
            continue
        labels[wanted] += 1
        chosen.append(int(row))
    return np.array(chosen, np.int64)


def probcover(pool: Pool, budget: int, seed: int) -> Rows:
    """Each time the item with the most items around it that none covers yet.

    An item covers a ball: the largest radius at which 95 % of all balls hold one cluster only.
    Of more than 5,000 items a random part is looked at.
    """
    free, labelled = _free(pool), np.flatnonzero(coded(pool.given)[0] != UNKNOWN)
    rng = np.random.default_rng([seed, 21])
    rows = rng.permutation(free)[: max(_COMPARED - len(labelled), budget, _COMPARED // 2)]
    done = rng.permutation(labelled)[:_COMPARED]
    near = _near(unit(pool.embeddings[rows]), pool.clusters[rows])
    covered = np.zeros(len(rows), bool)
    reach = float(near[1])
    if len(done):
        for block, cosines in similarities(pool.embeddings[rows], unit(pool.embeddings[done])):
            covered[block] = cosines.max(axis=1) >= reach
    return rows[list(_greedy(near[0] >= reach, covered, budget))]


def dropquery(pool: Pool, budget: int, seed: int) -> Rows:
    """The middles of groups of items whose class hangs on a few coordinates.

    A linear classifier learns the labels there are; items whose class changes in most of three
    passes that drop three quarters of the coordinates are candidates (in fewer passes, where these
    are less than 25 for each of the budget), k-means groups them. Before there are two classes, the
    middles of k-means on all items.
    """
    free = _free(pool)
    codes, names = coded(pool.given)
    candidates = free
    if len(names) > 1:
        flips = _flips(pool.embeddings, codes, free, seed)
        enough = min(_CANDIDATES * budget, len(free))
        least = next(at for at in (2, 1, 0) if int((flips >= at).sum()) >= enough)
        candidates = free[flips >= least]
    rows = unit(pool.embeddings[candidates])
    chosen: Rows = candidates[_middles(rows, budget, seed)]
    return chosen


def at_random(pool: Pool, budget: int, seed: int) -> Rows:
    """Any items without a label."""
    return np.random.default_rng([seed, 23]).permutation(_free(pool))[:budget]


STRATEGIES: dict[str, Strategy] = {
    "typiclust": typiclust,
    "probcover": probcover,
    "dropquery": dropquery,
    "random": at_random,
}


def _free(pool: Pool) -> np.ndarray:
    return np.flatnonzero(coded(pool.given)[0] == UNKNOWN)


def _near(rows: Embeddings, clusters: np.ndarray) -> tuple[np.ndarray, float]:
    """Cosines of all with all, and the least at which 95 % of the balls are pure."""
    cosines = rows @ rows.T
    np.fill_diagonal(cosines, 1.0)
    real = clusters != NOISE
    strangers = (clusters[:, None] != clusters) & real[:, None] & real
    # A ball is pure as long as it does not reach the nearest item of another cluster.
    nearest = np.where(strangers, cosines, -np.inf).max(axis=1)[real]
    low, high = 0.0, float(np.sqrt(max(2 - 2 * float(np.median(cosines)), 0.0)))
    for _ in range(_STEPS):
        middle = (low + high) / 2
        pure = float((nearest < 1 - middle**2 / 2).mean()) if len(nearest) else 1.0
        low, high = (middle, high) if pure >= _PURE else (low, middle)
    # Without one pure radius the smallest that was tried.
    radius = low or high
    return cosines, 1 - radius**2 / 2


def _greedy(covers: np.ndarray, covered: np.ndarray, budget: int) -> Iterator[int]:
    gain = covers[:, ~covered].sum(axis=1, dtype=np.int64)
    for _ in range(budget):
        best = int(gain.argmax())
        new = covers[best] & ~covered
        covered = covered | new
        gain -= covers[:, new].sum(axis=1, dtype=np.int64)
        gain[best] = np.iinfo(np.int64).min // 2
        yield best


def _flips(embeddings: Embeddings, codes: np.ndarray, free: np.ndarray, seed: int) -> np.ndarray:
    """In how many of the passes the class of each item changes."""
    linear = extra("sklearn.linear_model")
    known = np.flatnonzero(codes != UNKNOWN)
    model = linear.LogisticRegression(C=10.0, max_iter=2_000)
    model.fit(unit(embeddings[known]), codes[known])
    rng = np.random.default_rng([seed, 22])
    flips = np.zeros(len(free), np.int64)
    step = 8_192
    for start in range(0, len(free), step):
        rows = unit(embeddings[free[start : start + step]])
        usual = model.predict(rows)
        for _ in range(_PASSES):
            kept = (rng.random(rows.shape) >= _DROPPED) / (1 - _DROPPED)
            flips[start : start + step] += model.predict(rows * kept) != usual
    return flips


def _middles(rows: Embeddings, budget: int, seed: int) -> np.ndarray:
    """The row nearest to each of as many k-means centres; none twice."""
    centres = train_centres(rows, budget, seed=seed)
    own, cosines = nearest_centres(rows, centres)
    order = np.lexsort((-cosines[:, 0], own[:, 0]))
    chosen = order[np.unique(own[order, 0], return_index=True)[1]]
    # A centre without any row leaves its place to those that are nearest to theirs.
    rest = np.setdiff1d(np.argsort(-cosines[:, 0], kind="stable"), chosen)
    return np.concatenate([chosen, rest])[:budget]
