"""How well scores tell what is out of distribution; out of distribution is the positive class.

FPR95 has two readings. Here, unless asked otherwise: of what is out of distribution, the share that
is accepted where 95 % of what is in distribution is (docs/decisions/0020-fpr95.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from indexer.errors import QueryError
from indexer.types import Scores

_DRAWS = 500


@dataclass(frozen=True)
class Separation:
    """Of one kind of shift; each figure with a 95 % bootstrap interval by cases of both sides.

    Attributes:
        inside, outside: how many cases.
        auroc: chance that a case from outside scores higher than one from inside; 0.5 is none.
        aupr: area under precision and recall (average precision) of what is outside.
        fpr95: of what is outside, the share accepted where 95 % of what is inside is.
        fpr90: of what is inside, the share flagged where 90 % of what is outside is (the reading
            of M. Woodland et al., MELBA 2024).
        auroc_interval, aupr_interval, fpr95_interval, fpr90_interval: low and high.
    """

    inside: int
    outside: int
    auroc: float
    aupr: float
    fpr95: float
    fpr90: float
    auroc_interval: tuple[float, float]
    aupr_interval: tuple[float, float]
    fpr95_interval: tuple[float, float]
    fpr90_interval: tuple[float, float]


def separation(inside: Scores, outside: Scores, *, seed: int = 0) -> Separation:
    """How well scores tell two sets apart.

    Args:
        inside: scores of cases in distribution, ``(n,)``; higher is more unlike.
        outside: of cases out of it, ``(m,)``.
        seed: of the bootstrap.

    Raises:
        QueryError: one of them is empty, or a score is NaN.
    """
    inside, outside = np.asarray(inside, np.float64), np.asarray(outside, np.float64)
    if not len(inside) or not len(outside):
        raise QueryError("there have to be scores both inside and outside the distribution")
    if np.isnan(inside).any() or np.isnan(outside).any():
        raise QueryError("a score is NaN")
    random = np.random.default_rng([seed, 91])
    drawn = np.array(
        [
            _figures(
                inside[random.integers(0, len(inside), len(inside))],
                outside[random.integers(0, len(outside), len(outside))],
            )
            for _ in range(_DRAWS)
        ]
    )
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    intervals = [(float(a), float(b)) for a, b in zip(low, high, strict=True)]
    return Separation(len(inside), len(outside), *_figures(inside, outside), *intervals)


def auroc(inside: np.ndarray, outside: np.ndarray) -> float:
    """Area under the ROC curve by ranks, ties counted half (Mann and Whitney, 1947)."""
    ranks = rankdata(np.concatenate([inside, outside]))
    n, m = len(inside), len(outside)
    return float((ranks[n:].sum() - m * (m + 1) / 2) / (n * m))


def average_precision(inside: np.ndarray, outside: np.ndarray) -> float:
    """Mean of the precision at every case from outside; equal scores are taken together."""
    scores = np.concatenate([inside, outside])
    values, place = np.unique(scores, return_inverse=True)
    found = np.bincount(place[len(inside) :], minlength=len(values))[::-1]
    taken = np.bincount(place, minlength=len(values))[::-1]
    precision = np.cumsum(found) / np.cumsum(taken)
    return float((precision * found).sum() / len(outside))


def accepted_outside(inside: np.ndarray, outside: np.ndarray, share: float = 0.95) -> float:
    """Of ``outside`` the share at or below the score that ``share`` of ``inside`` stays within."""
    limit = np.quantile(inside, share, method="higher")
    return float((outside <= limit).mean())


def flagged_inside(inside: np.ndarray, outside: np.ndarray, share: float = 0.9) -> float:
    """Of ``inside`` the share at or above the score that ``share`` of ``outside`` reaches."""
    limit = np.quantile(outside, 1 - share, method="lower")
    return float((inside >= limit).mean())


def _figures(inside: np.ndarray, outside: np.ndarray) -> tuple[float, float, float, float]:
    return (
        auroc(inside, outside),
        average_precision(inside, outside),
        accepted_outside(inside, outside),
        flagged_inside(inside, outside),
    )
