"""Several rankings to one: reciprocal rank fusion.

The score of a candidate is the sum over rankings of ``1 / (60 + rank)``, rank from one (Cormack,
Clarke and Büttcher, Reciprocal rank fusion outperforms Condorcet and individual rank learning
methods, SIGIR 2009). Only places count, so that cosines of different spaces and BM25 need not be
made comparable; a candidate that a ranking does not have gets nothing from it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

K = 60
"""As in the paper."""


def reciprocal_ranks(rankings: Sequence[Sequence[int]]) -> list[tuple[int, float]]:
    """Fuse rankings of candidates, each best first and naming none twice.

    Returns:
        (candidate, score), best first; equal scores by the candidate's number.
    """
    scores: dict[int, float] = defaultdict(float)
    for ranking in rankings:
        for place, candidate in enumerate(ranking, 1):
            scores[candidate] += 1 / (K + place)
    return sorted(scores.items(), key=lambda pair: (-round(pair[1], 12), pair[0]))
