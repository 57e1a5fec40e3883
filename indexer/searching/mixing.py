"""Several examples to one vector: Rocchio's relevance feedback, arrays in, array out.

``q = alpha * q0 + beta * mean(liked) - gamma * mean(unlike)`` (Rocchio 1971; Manning, Raghavan and
Schütze, Introduction to Information Retrieval, 2008, section 9.1.1). All are unit vectors, each
multiplied by its own weight, and what comes out is a unit vector again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from indexer.errors import QueryError
from indexer.types import Embedding, Embeddings

_LEAST = 1e-4


def centre(rows: Embeddings) -> Embedding:
    """The middle of unit rows ``(n, dim)``, as a unit vector; the first row if they cancel out."""
    middle = rows.mean(axis=0)
    length = float(np.linalg.norm(middle))
    return np.asarray(middle / length if length > _LEAST else rows[0], np.float32)


def rocchio(
    vectors: Sequence[Embedding],
    weights: Sequence[float],
    *,
    alpha: float,
    beta: float,
    gamma: float,
) -> Embedding:
    """One unit vector for all of them.

    Args:
        vectors: unit vectors ``(dim,)``.
        weights: of each; the first vector with one above zero is the query.
        alpha: weight of the query.
        beta: weight of the mean of the other vectors with a weight above zero.
        gamma: weight of the mean of those with one below zero, which is taken away.

    Raises:
        QueryError: nothing is left of them together.
    """
    liked = [w * v for v, w in zip(vectors, weights, strict=True) if w > 0]
    unlike = [-w * v for v, w in zip(vectors, weights, strict=True) if w < 0]
    mixed = alpha * liked[0]
    if liked[1:]:
        mixed = mixed + beta * np.mean(liked[1:], axis=0)
    if unlike:
        mixed = mixed - gamma * np.mean(unlike, axis=0)
    length = float(np.linalg.norm(mixed))
    if length < _LEAST:
        raise QueryError("what hits should be like and unlike cancel each other out")
    return np.asarray(mixed / length, np.float32)


def said(weights: Sequence[float], *, alpha: float, beta: float, gamma: float) -> str:
    """How they were mixed, in a sentence."""
    liked, unlike = sum(w > 0 for w in weights) - 1, sum(w < 0 for w in weights)
    parts = [f"{alpha:g} x the first example"]
    if liked:
        parts.append(f"+ {beta:g} x the mean of {liked} more")
    if unlike:
        parts.append(f"- {gamma:g} x the mean of {unlike} unlike")
    own = ", each times its own weight" if any(abs(w) != 1 for w in weights) else ""
    return f"examples mixed by Rocchio: {' '.join(parts)}{own}"
