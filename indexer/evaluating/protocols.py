"""The parts of published protocols that are arithmetic: votes, pairs of text and image, slices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64, Int64

from indexer.evaluating.metrics import precision_at_k
from indexer.evaluating.rankings import Places
from indexer.searching.slices import BROUGHT, RANKINGS, SliceSet
from indexer.types import Embeddings, Scores

TEMPERATURE = 0.07
"""Of the weighted vote (Wu et al., CVPR 2018; Caron et al., DINO, 2021)."""
LISTED = 10
"""Volumes that 3D-MIR looks at."""
_BLOCK = 512
_EQUAL = 1e-6
"""Scores that differ by less are equal, as everywhere."""

Relevance = Bool[np.ndarray, " ranked"]
Shares = Float64[np.ndarray, " values"]
Ranks = Int64[np.ndarray, " n"]


def vote_shares(labels: Sequence[frozenset[str]], scores: Scores, values: Sequence[str]) -> Shares:
    """For each value the share of neighbours that have it, weighted by ``exp(cosine / 0.07)``.

    Args:
        labels: of the neighbours that vote.
        scores: their cosines with the query, ``(k,)``.
        values: in whose order shares are told.
    """
    # Relative to the nearest, which changes no share.
    wide = scores.astype(np.float64)
    weights = np.exp((wide - wide.max()) / TEMPERATURE)
    has = np.array([[value in own for value in values] for own in labels], np.float64)
    shares: Shares = weights @ has / weights.sum()
    return shares


def own_ranks(asked: Embeddings, others: Embeddings) -> Ranks:
    """Rank, from one, of each row's own partner among all partners.

    Of equal scores the own one counts last: texts that are alike must not look like hits. A
    partner of zeros, a text of which no word is known, is last of all.
    """
    silent = np.logical_not(others.any(axis=1))
    ranks = np.empty(len(asked), np.int64)
    for start in range(0, len(asked), _BLOCK):
        scores = asked[start : start + _BLOCK] @ others.T
        scores[:, silent] = -np.inf
        rows = np.arange(len(scores))
        own = scores[rows, start + rows][:, None]
        ranks[start + rows] = (scores >= own - _EQUAL).sum(axis=1)
    return ranks


def order_by_slices(query: SliceSet, gallery: SliceSet, how: str) -> Places:
    """Owners in the gallery, best first: each slice of the query brings its 20 nearest slices.

    Volumes are ranked by `indexer.searching.slices.RANKINGS` over the slices that were brought, of
    equal ones by the sum of their cosines, then by number; a volume of which none was brought is
    not listed (3D-MIR, section 4.1).

    Args:
        query: slices of one volume.
        gallery: slices of all volumes.
        how: ``frequency``, ``max`` or ``sum``.
    """
    brought: dict[int, list[float]] = defaultdict(list)
    most = min(BROUGHT, len(gallery.rows))
    for start in range(0, len(query.rows), _BLOCK):
        scores = query.rows[start : start + _BLOCK] @ gallery.rows.T
        near = np.argpartition(-scores, most - 1, axis=1)[:, :most]
        found = np.take_along_axis(scores, near, 1)
        owners = gallery.owners[near].ravel().tolist()
        for owner, score in zip(owners, found.ravel().tolist(), strict=True):
            brought[owner].append(score)
    ranked = [(RANKINGS[how](own), sum(own), owner) for owner, own in brought.items()]
    ranked.sort(key=lambda each: (-round(each[0], 6), -round(each[1], 6), each[2]))
    return np.array([owner for _, _, owner in ranked], np.int64)


def three_d_mir_row(relevant: Relevance, ks: Sequence[int]) -> tuple[float, ...]:
    """Precision at each k, and average precision as 3D-MIR's own code takes it.

    The latter is over the ten volumes listed, divided by the relevant ones *among these ten*, and
    0 if none is: it does not ask how many relevant volumes there are in the gallery.

    Args:
        relevant: of the volumes in their order.
        ks: cut-offs.
    """
    listed = relevant[:LISTED]
    ranks = np.flatnonzero(listed) + 1
    average = float((np.arange(1, len(ranks) + 1) / ranks).mean()) if len(ranks) else 0.0
    return (*(precision_at_k(relevant, k) for k in ks), average)
