"""How good a space is at putting like beside like: precision, average precision, kNN accuracy.

Every item asks once, against all items of other patients, by cosine. Pure: arrays in, figures out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from indexer.errors import QueryError
from indexer.types import Embeddings

_ROWS = 256
"""Queries whose scores are held together."""
NEIGHBOURS = 5
"""Of the vote behind kNN accuracy."""

Labels = Sequence[frozenset[str]]
Relevance = Bool[np.ndarray, " ranked"]
Values = Float64[np.ndarray, "measures queries"]
Codes = Int64[np.ndarray, " n"]


@dataclass(frozen=True)
class Measure:
    """A mean over queries with its 95 % interval, patients drawn with replacement."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class RetrievalReport:
    """How well neighbours share a label.

    Attributes:
        precision_at_1, precision_at_5, precision_at_10: share of the nearest k that are relevant;
            where there are fewer than k candidates, of those there are.
        map: mean average precision over the whole ranking, divided by all relevant candidates.
        knn_accuracy: share of queries whose label wins the vote of their five nearest; of equal
            votes the label of the nearer one wins.
        chance: mean share of relevant items among a query's candidates: what a random order gives
            as precision.
        n_queries: queries that have at least one relevant candidate; only these count.
        n_items: items compared.
        n_patients: patients among the queries.
    """

    precision_at_1: Measure
    precision_at_5: Measure
    precision_at_10: Measure
    map: Measure
    knn_accuracy: Measure
    chance: float
    n_queries: int
    n_items: int
    n_patients: int


def retrieval(
    vectors: Embeddings,
    labels: Labels,
    patients: Sequence[str],
    *,
    queries: int = 0,
    draws: int = 1000,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> RetrievalReport:
    """Measure retrieval, leaving out the query and everything of its patient.

    Args:
        vectors: L2-normalised, float32 ``(n, dim)``.
        labels: of each item; two items are relevant to each other if they share one.
        patients: of each item; "" is a patient that nobody else is.
        queries: at most so many, drawn by the seed; 0 asks with all.
        draws: of the bootstrap.
        seed: of both.
        on_progress: called with (done, all).

    Raises:
        QueryError: no item has a relevant one of another patient.
    """
    n = len(vectors)
    rng = np.random.default_rng(seed)
    asked = np.arange(n)
    if 0 < queries < n:
        asked = np.sort(rng.choice(n, queries, replace=False))
    groups = _groups(patients)
    shared = _sharing(labels)
    rows: list[tuple[float, ...]] = []
    owners: list[int] = []
    for start in range(0, len(asked), _ROWS):
        part = asked[start : start + _ROWS]
        scores = vectors[part] @ vectors.T
        for query, row in zip(part.tolist(), scores, strict=True):
            candidates = np.flatnonzero(groups != groups[query])
            order = candidates[np.argsort(-row[candidates], kind="stable")]
            relevant = shared(query, order)
            if relevant.any():
                rows.append(_of_one(relevant, _vote(labels, order) in labels[query]))
                owners.append(int(groups[query]))
        if on_progress:
            on_progress(min(start + _ROWS, len(asked)), len(asked))
    if not rows:
        raise QueryError("no item shares a label with an item of another patient")
    values = np.array(rows).T
    at_1, at_5, at_10, average, vote = _with_intervals(values[:-1], np.array(owners), draws, rng)
    return RetrievalReport(
        precision_at_1=at_1,
        precision_at_5=at_5,
        precision_at_10=at_10,
        map=average,
        knn_accuracy=vote,
        chance=float(values[-1].mean()),
        n_queries=len(rows),
        n_items=n,
        n_patients=len(set(owners)),
    )


def _groups(patients: Sequence[str]) -> Codes:
    """Patients as numbers; one that is not known gets a number of its own."""
    known: dict[str, int] = {}
    return np.array(
        [known.setdefault(p, len(known)) if p else -1 - i for i, p in enumerate(patients)], np.int64
    )


def _sharing(labels: Labels) -> Callable[[int, Codes], Relevance]:
    """Which of some items share a label with a query."""
    holders: dict[str, np.ndarray] = {
        label: np.array([label in own for own in labels], bool)
        for label in sorted({label for own in labels for label in own})
    }

    def shared(query: int, order: Codes) -> Relevance:
        relevant = np.zeros(len(order), bool)
        for label in labels[query]:
            relevant |= holders[label][order]
        return relevant

    return shared


def _of_one(relevant: Relevance, voted: bool) -> tuple[float, ...]:
    """Precision at 1, 5 and 10, average precision, whether the vote was right, chance."""
    ranks = np.flatnonzero(relevant) + 1
    average = float(np.mean(np.arange(1, len(ranks) + 1) / ranks))
    precisions = [float(relevant[:k].mean()) for k in (1, 5, 10)]
    return (*precisions, average, float(voted), float(relevant.mean()))


def _vote(labels: Labels, order: Codes) -> str:
    votes = Counter(label for item in order[:NEIGHBOURS] for label in sorted(labels[item]))
    return votes.most_common(1)[0][0] if votes else ""


def _with_intervals(
    values: Values, owners: Codes, draws: int, rng: np.random.Generator
) -> list[Measure]:
    """Means over queries; patients, not queries, are drawn, as one patient's images are alike."""
    names, group = np.unique(owners, return_inverse=True)
    counts = np.bincount(group, minlength=len(names)).astype(np.float64)
    sums = np.stack([np.bincount(group, row, len(names)) for row in values])
    chosen = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), draws)
    means = (chosen @ sums.T) / np.maximum(chosen @ counts, 1)[:, None]
    lows, highs = np.percentile(means, (2.5, 97.5), axis=0)
    return [
        Measure(float(mean), float(low), float(high))
        for mean, low, high in zip(values.mean(axis=1), lows, highs, strict=True)
    ]
