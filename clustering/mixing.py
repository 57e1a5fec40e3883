"""How well groups mix among neighbours: LISI, and whether class or site weighs more.

LISI: Korsunsky et al., Nature Methods 16 (2019) 1289. Robustness index: de Jong, Marcus, Teuwen,
arXiv 2501.18055.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from clustering.columns import UNKNOWN, Codes, distances, same
from clustering.contract import NO_ROW, Neighbours

_STEPS = 60
_PER_PERPLEXITY = 3
"""Neighbours for each unit of perplexity."""
_BLOCK = 65_536

Counted = Bool[np.ndarray, "n k"]
Weights = Float64[np.ndarray, "n k"]


@dataclass(frozen=True)
class Mixing:
    """LISI of each item, NaN where no neighbour counts or the item's own group is not known.

    Attributes:
        values: float64 ``(n,)``, from 1 to the number of groups.
        even: what it would be if the same neighbours' groups were drawn from all items at random.
    """

    values: np.ndarray
    even: np.ndarray


def counted(neighbours: Neighbours, codes: Codes, owners: Codes) -> Counted:
    """Which neighbours are of another patient and have a known value."""
    rows = neighbours.rows
    found: Counted = (rows != NO_ROW) & (codes[rows] != UNKNOWN) & ~same(owners, rows)
    return found


def lisi(neighbours: Neighbours, codes: Codes, owners: Codes) -> Mixing:
    """Effective number of groups among the neighbours of each item.

    Inverse Simpson index of the groups' weights; a neighbour's weight falls with its distance, with
    a perplexity of a third of the neighbours that count.

    Args:
        neighbours: of all items.
        codes: group of each, `UNKNOWN` where it is not known.
        owners: patients; neighbours of the item's own do not count.
    """
    found, even = np.full(len(codes), np.nan), np.full(len(codes), np.nan)
    groups = int(codes.max(initial=UNKNOWN)) + 1
    usual = np.bincount(codes[codes != UNKNOWN], minlength=groups) ** 2
    alike = float(usual.sum() / max(int((codes != UNKNOWN).sum()) ** 2, 1))
    there, apart = counted(neighbours, codes, owners), distances(neighbours)
    for start in range(0, len(codes), _BLOCK):
        block = slice(start, start + _BLOCK)
        weights = _weights(apart[block], there[block])
        shares = np.zeros((len(weights), groups))
        of = np.where(there[block], codes[neighbours.rows[block]], 0)
        np.add.at(shares, (np.arange(len(weights))[:, None], of), weights)
        some = there[block].any(axis=1) & (codes[block] != UNKNOWN)
        found[block][some] = 1 / (shares[some] ** 2).sum(axis=1)
        # Two neighbours drawn at random are alike by chance; one is always like itself.
        even[block][some] = 1 / (alike + (1 - alike) * (weights[some] ** 2).sum(axis=1))
    return Mixing(found, even)


def robustness_index(
    neighbours: Neighbours, batches: Codes, classes: Codes, owners: Codes
) -> float | None:
    """Neighbours that share the class but not the batch, over those that share the batch only.

    Above 1 the class weighs more than the batch. None where there are none of the second kind.

    Args:
        neighbours: of all items.
        batches: batch of each item, `UNKNOWN` where it is not known.
        classes: class of each item, likewise.
        owners: patients; neighbours of the item's own do not count.
    """
    there = counted(neighbours, batches, owners) & counted(neighbours, classes, owners)
    there &= ((batches != UNKNOWN) & (classes != UNKNOWN))[:, None]
    one_batch, one_class = same(batches, neighbours.rows), same(classes, neighbours.rows)
    against = int((there & one_batch & ~one_class).sum())
    return int((there & ~one_batch & one_class).sum()) / against if against else None


def _weights(apart: Weights, there: Counted) -> Weights:
    """Weights that sum to one, ``exp(-beta * distance)``, beta by bisection for the perplexity."""
    many = there.sum(axis=1)
    wanted = np.log(np.maximum(many / _PER_PERPLEXITY, 1))
    nearest = np.where(there, apart, np.inf).min(axis=1, initial=np.inf)
    beyond = np.where(there, apart - np.where(many > 0, nearest, 0)[:, None], 0)
    low, high = np.zeros(len(many)), np.full(len(many), 1e6)
    weights: Weights = there.astype(np.float64)
    for _ in range(_STEPS):
        # Betas differ by orders of magnitude: the geometric mean.
        beta = np.sqrt(np.maximum(low, 1e-6) * high)
        weights = np.where(there, np.exp(-beta[:, None] * beyond), 0)
        weights /= np.maximum(weights.sum(axis=1, keepdims=True), np.finfo(float).tiny)
        logs = np.log(np.where(weights > 0, weights, 1))
        wide = -(weights * logs).sum(axis=1) > wanted
        low, high = np.where(wide, beta, low), np.where(wide, high, beta)
    return weights
