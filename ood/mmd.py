"""Whether embeddings of a window come from another distribution than those of the reference.

A. Gretton, K. Borgwardt, M. Rasch, B. Schölkopf and A. Smola, A kernel two-sample test, JMLR 13
(2012) 723.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from indexer.errors import QueryError, ReferenceSetError
from indexer.types import Embeddings
from ood.rows import reference_rows, scored_rows
from ood.verdicts import ALPHA, Verdict, alone, checked_share

FEWEST = 50
"""Rows of either side that can be compared."""
MOST = 1_000
"""Rows of either side that are compared; of more, a random part."""
PERMUTATIONS = 500
_ROUNDING = 1e-12

Kernel = Float64[np.ndarray, "n n"]
Orders = Bool[np.ndarray, "orders n"]


@dataclass(frozen=True)
class EmbeddingDrift:
    """The embeddings of a window against those of the reference.

    Attributes:
        reference, window: rows that were compared.
        mmd: unbiased squared maximum mean discrepancy, about 0 without a change, and then as often
            below it as above; None where the window is too small.
        width: of the kernel, a Euclidean distance; None where the window is too small.
        verdict: of the test; None where the window is too small.
    """

    reference: int
    window: int
    mmd: float | None
    width: float | None
    verdict: Verdict | None

    @property
    def sentences(self) -> tuple[str, ...]:
        """What that means, in words."""
        if self.verdict is None:
            told = (
                f"a window of {self.window} has too few embeddings to be compared: {FEWEST} are "
                "needed"
            )
            return (told,)
        differ = "differ" if self.verdict.differs else "do not differ"
        told = (
            f"the embeddings {differ} from the reference (squared MMD {self.mmd:.2g}, "
            f"{self.verdict.words}; {self.window} against {self.reference})"
        )
        return (told,)


def embedding_drift(
    reference: Embeddings,
    window: Embeddings,
    seed: int = 0,
    *,
    permutations: int = PERMUTATIONS,
    alpha: float = ALPHA,
) -> EmbeddingDrift:
    """Squared MMD with a Gaussian kernel, unbiased (lemma 6), and its p-value by permutations.

    The kernel is as wide as the median distance of two different rows (section 8). The p-value
    counts the given order among the permutations, so it is at least ``1 / (permutations + 1)`` and
    never too small.

    Args:
        reference: ``(n, dim)`` unit rows, 50 or more; of more than 1,000 a random part is taken.
        window: ``(m, dim)`` unit rows; fewer than 50 are said to be too few.
        seed: of the part taken and of the permutations.
        permutations: how many.
        alpha: share of false alarms.

    Raises:
        ReferenceSetError: the reference has fewer than 50 rows, or all are equal.
        VectorError: rows are no embeddings, or of two lengths.
        QueryError: so few permutations that no p-value can reach ``alpha``.
    """
    checked_share("alpha", alpha)
    if (permutations + 1) * alpha < 1:
        raise QueryError(
            f"{permutations} permutations cannot give a p-value of {alpha}: take "
            f"{int(np.ceil(1 / alpha)) - 1} or more"
        )
    before = reference_rows(reference)
    now = scored_rows(window, before.shape[1])
    if len(before) < FEWEST:
        raise ReferenceSetError(f"a reference needs {FEWEST} embeddings or more, not {len(before)}")
    if len(now) < FEWEST:
        return EmbeddingDrift(len(before), len(now), mmd=None, width=None, verdict=None)
    rng = np.random.default_rng([seed, 53])
    before, now = _part(before, rng), _part(now, rng)
    kernel, width = _kernel(np.concatenate([before, now]).astype(np.float64))
    given = np.arange(len(kernel)) >= len(before)
    orders = rng.permuted(np.tile(given, (permutations, 1)), axis=1)
    found = _unbiased(kernel, np.concatenate([given[None], orders]))
    reached = int((found >= found[0] - _ROUNDING).sum())
    verdict = alone(reached / (permutations + 1), alpha)
    return EmbeddingDrift(len(before), len(now), float(found[0]), width, verdict)


def _part(rows: Embeddings, rng: np.random.Generator) -> Embeddings:
    drawn = np.sort(rng.permutation(len(rows))[:MOST])
    return np.asarray(rows[drawn])


def _kernel(rows: np.ndarray) -> tuple[Kernel, float]:
    """Kernel of all pairs, 0 where a row meets itself, and its width."""
    lengths = np.einsum("ij,ij->i", rows, rows)
    squared = np.maximum(lengths[:, None] + lengths - 2 * rows @ rows.T, 0)
    pairs = squared[np.triu_indices(len(rows), 1)]
    apart = pairs[pairs > _ROUNDING]
    if not len(apart):
        raise ReferenceSetError("all embeddings drawn are equal: nothing can be compared")
    width = float(np.sqrt(np.median(apart)))
    kernel = np.exp(squared / (-2 * width**2))
    np.fill_diagonal(kernel, 0)
    return kernel, width


def _unbiased(kernel: Kernel, orders: Orders) -> np.ndarray:
    """Squared MMD of each order, float64; an order says which rows are the window's.

    The sums within and across follow from those of the window: the kernel is symmetric.
    """
    window = orders.astype(np.float64)
    sums = window @ kernel
    inside = np.einsum("ij,ij->i", sums, window)
    across = sums.sum(axis=1) - inside
    outside = kernel.sum() - 2 * across - inside
    m = int(orders[0].sum())
    n = len(kernel) - m
    found: np.ndarray = inside / (m * (m - 1)) + outside / (n * (n - 1)) - 2 * across / (n * m)
    return found
