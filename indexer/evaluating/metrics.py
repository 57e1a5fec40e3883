"""What a ranking is worth: precision, recall, average precision and their kin, one query at a time.

A ranking is what one query got, nearest first, without the query itself and all else of its
patient. An item is relevant if it shares a label with the query; its gain is the number of labels
that it shares. Pure: arrays in, figures out. Ranks begin at one.

Sources: Manning, Raghavan, Schuetze, Introduction to Information Retrieval (2008), chapter 8, for
precision, recall, average precision and R-precision; Voorhees, TREC-8 Question Answering (1999),
for the reciprocal rank; Jaervelin, Kekaelaeinen, ACM TOIS 20 (2002) 422, for nDCG.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int64

NEIGHBOURS = 5
"""Of the vote behind kNN accuracy."""
KS = (1, 5, 10)
"""Cut-offs that are told unless others are asked for."""

Relevance = Bool[np.ndarray, " ranked"]
Gains = Int64[np.ndarray, " ranked"]


def precision_at_k(relevant: Relevance, k: int) -> float:
    """Share of the nearest k that are relevant; of fewer candidates, of those there are."""
    return float(relevant[:k].mean()) if len(relevant) else 0.0


def recall_at_k(relevant: Relevance, k: int, total: int) -> float:
    """Share of the ``total`` relevant candidates that are among the nearest k."""
    return float(relevant[:k].sum() / total)


def hit_rate_at_k(relevant: Relevance, k: int) -> float:
    """1 if any of the nearest k is relevant, else 0; "Recall@K" in metric learning."""
    return float(relevant[:k].any())


def average_precision(relevant: Relevance, total: int) -> float:
    """Mean of the precisions at the ranks of all ``total`` relevant candidates.

    One that the ranking does not reach counts as 0, so over a ranking that is cut the figure is
    lower than over the whole. The mean over queries is mAP, without cut-off.
    """
    ranks = np.flatnonzero(relevant) + 1
    return float((np.arange(1, len(ranks) + 1) / ranks).sum() / total)


def r_precision(relevant: Relevance, total: int) -> float:
    """Share of relevant ones among the nearest ``total``: where precision equals recall."""
    return float(relevant[:total].sum() / total)


def reciprocal_rank(relevant: Relevance) -> float:
    """1 / rank of the nearest relevant one, 0 if there is none; its mean over queries is MRR."""
    return float(1 / (1 + np.argmax(relevant))) if relevant.any() else 0.0


def ndcg_at_k(gains: Gains, ideal: Gains, k: int) -> float:
    """Discounted cumulative gain of the nearest k over that of the best possible order.

    The gain counts as it is, divided by ``log2(rank + 1)``: linear, as in Jaervelin and
    Kekaelaeinen and in scikit-learn, not ``2**gain - 1``.

    Args:
        gains: of the ranking.
        ideal: the greatest gains among all candidates, descending, k at least where there are.
        k: cut-off.
    """
    return _dcg(gains[:k]) / _dcg(ideal[:k])


def _dcg(gains: Gains) -> float:
    return float((gains / np.log2(np.arange(2, len(gains) + 2))).sum())


def measure_names(ks: Sequence[int]) -> tuple[str, ...]:
    """What `measure` gives, in its order."""
    at_k = ("precision_at_{}", "recall_at_{}", "hit_rate_at_{}", "ndcg_at_{}", "graded_ndcg_at_{}")
    return (
        *(name.format(k) for name in at_k for k in ks),
        "map",
        "r_precision",
        "mrr",
        "chance",
    )


def measure(
    gains: Gains, *, total: int, ideal: Gains, candidates: int, ks: Sequence[int]
) -> tuple[float, ...]:
    """All measures of one query, as `measure_names` calls them.

    Args:
        gains: of the ranking, which may be cut.
        total: relevant candidates, those included that the ranking does not reach; at least one.
        ideal: the greatest gains among all candidates, descending.
        candidates: how many there are; ``chance``, the precision of a random order, is
            ``total / candidates``.
        ks: cut-offs.
    """
    relevant: Relevance = gains > 0
    plain, best = relevant.astype(np.int64), np.minimum(ideal, 1)
    return (
        *(precision_at_k(relevant, k) for k in ks),
        *(recall_at_k(relevant, k, total) for k in ks),
        *(hit_rate_at_k(relevant, k) for k in ks),
        *(ndcg_at_k(plain, best, k) for k in ks),
        *(ndcg_at_k(gains, ideal, k) for k in ks),
        average_precision(relevant, total),
        r_precision(relevant, total),
        reciprocal_rank(relevant),
        total / candidates,
    )


def vote(labels: Sequence[frozenset[str]], k: int = NEIGHBOURS) -> str:
    """The label that most of the nearest k have; of equal votes that of the nearer one; "" of none.

    Args:
        labels: of the ranking.
        k: neighbours that vote, one vote for each label they have.
    """
    votes = Counter(label for own in labels[:k] for label in sorted(own))
    return votes.most_common(1)[0][0] if votes else ""
