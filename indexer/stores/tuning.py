"""How much of what exact search finds a structure finds, and how hard it has to look for that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from indexer.stores.contract import NO_ID, unit_length
from indexer.stores.halves import unit_rows
from indexer.stores.rows import Part, Rows
from indexer.stores.scan import MARGIN, exact_scores, nearest
from indexer.stores.structures import Effort, Structure
from indexer.types import Embeddings, ItemIds, Scores

_SAMPLE = 1000
_LEAST_SAMPLE = 100
_COMPARED = 5 * 10**7
"""Pairs compared for the truth; of a large index fewer rows are drawn."""
_LOOKED_AT = 400_000
"""Candidates compared for one measurement; of many for each query, fewer queries are taken."""
_MOVED = 0.3
"""Length of the step that takes a drawn row away from where rows are."""
_ROUNDING = 1e-6
_DEPTHS = (10, 100)


@dataclass(frozen=True)
class Tuned:
    """Least efforts that reach the target, and the recall that was measured with them.

    Attributes:
        effort, effort_100: for up to ten results, and for more.
        recall, recall_100: recall@10 and recall@100 against exact search.
        target: that was aimed for.
        sample: queries it was measured with.
    """

    effort: Effort
    effort_100: Effort
    recall: float
    recall_100: float
    target: float
    sample: int

    def of(self, k: int) -> Effort:
        """What to search k results with; beyond a hundred, as much more as there are."""
        if k <= _DEPTHS[0]:
            return self.effort
        more = max(1, -(-k // _DEPTHS[1]))
        return Effort(self.effort_100.visit * more, self.effort_100.depth)


def candidates_for(k: int, effort: Effort) -> int:
    """Candidates to bring for k results."""
    return max(k * effort.depth, k + MARGIN)


def tune(structure: Structure, target: float) -> Tuned:
    """Raise the effort until the recall is what is aimed for, or cannot be raised further.

    Queries are rows of the index itself, each not counting itself, and as many rows moved by a
    random step, which lie where no row lies.
    """
    sample = _Sample.of(structure.part)
    efforts = structure.efforts()
    found: list[tuple[Effort, float]] = []
    at = 0
    for k in _DEPTHS:
        recall = sample.recall(structure, efforts[at], k)
        while recall < target and at + 1 < len(efforts):
            at += 1
            recall = sample.recall(structure, efforts[at], k)
        found.append((efforts[at], recall))
    (effort, recall), (effort_100, recall_100) = found
    return Tuned(effort, effort_100, recall, recall_100, target, len(sample.queries))


@dataclass(frozen=True)
class _Sample:
    """Queries, for each the row that it is itself or NO_ID, and the scores of its nearest."""

    rows: Rows
    queries: Embeddings
    own: ItemIds
    truth: Scores

    @classmethod
    def of(cls, part: Part) -> _Sample:
        count = len(part.rows)
        rng = np.random.default_rng(count)
        size = min(count, _SAMPLE, max(_LEAST_SAMPLE, min(count // 10, _COMPARED // count)))
        drawn = np.sort(rng.choice(count, size, replace=False))
        units = unit_rows(np.asarray(part.rows[drawn]))
        steps = rng.standard_normal(units.shape).astype(np.float32)
        moved = units + _MOVED * steps / np.linalg.norm(steps, axis=1, keepdims=True)
        queries = np.concatenate([units, unit_length(moved)])
        own = np.concatenate([drawn, np.full(size, NO_ID)])
        rows = Rows(part.rows.shape[1], [part], np.arange(part.start, part.stop))
        truth = _best(*nearest(rows, queries, _DEPTHS[1] + 1, None), own)
        return cls(rows, queries, own, truth)

    def recall(self, structure: Structure, effort: Effort, k: int) -> float:
        """Share of the true k nearest that is found; of copies any will do: scores decide."""
        k = min(k, int((self.truth > -np.inf).sum(axis=1).min()))
        count = candidates_for(k + 1, effort)
        some = slice(None, None, max(1, len(self.queries) * count // _LOOKED_AT))
        queries = self.queries[some]
        numbers = structure.search(queries, count, effort, None)
        scores = exact_scores(self.rows, queries, numbers)
        found = _best(numbers, scores, self.own[some])[:, :k]
        kth = self.truth[some, k - 1 : k]
        return float((found >= kth - _ROUNDING).mean()) if k else 1.0


def _best(numbers: ItemIds, scores: Scores, own: ItemIds) -> Scores:
    """The scores of each query in falling order, its own row left out."""
    scores = np.where(numbers == own[:, None], -np.inf, scores)
    best: Scores = -np.sort(-scores, axis=1)
    return best
