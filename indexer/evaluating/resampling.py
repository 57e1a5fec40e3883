"""How sure a figure is: patients drawn with replacement, as one patient's images are alike.

Percentile intervals (Efron, Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13). The
same patients are drawn for every figure, so that differences of figures can be told as well.

Patients are drawn as those who ask; the gallery stays as it is. So an interval says what other
queries would get from this gallery. Another library of the same size would differ by more, as its
gallery would be another too: docs/evaluation.md has figures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

_WEIGHTS = 1 << 24
"""Weights held together: 128 MB."""

Codes = Int64[np.ndarray, " queries"]
Values = Float64[np.ndarray, "measures queries"]
Figures = Float64[np.ndarray, " queries"]
Mask = Bool[np.ndarray, " queries"]
Levels = Float64[np.ndarray, "draws levels"]
Drawn = Float64[np.ndarray, "draws measures"]


@dataclass(frozen=True)
class Measure:
    """A figure with its 95 % interval, for other queries to the same gallery."""

    value: float
    low: float
    high: float


class PatientDraws:
    """Samples of the patients behind some queries.

    Args:
        owners: the patient of each query, as a number.
        draws: how many samples.
        seed: of the samples.
    """

    def __init__(self, owners: Codes, draws: int = 1000, seed: int = 0) -> None:
        names, self._owner = np.unique(owners, return_inverse=True)
        self._patients, self._draws, self._seed = len(names), draws, seed
        self._kept: list[np.ndarray] | None = None

    def means(self, values: Values, among: Mask) -> Drawn:
        """Mean of each measure over some of the queries, in each sample; NaN where none is drawn.

        Args:
            values: of all queries.
            among: which of them count.
        """
        owner, kept = self._owner[among], values[:, among]
        counts = np.bincount(owner, minlength=self._patients).astype(np.float64)
        sums = np.stack([np.bincount(owner, row, self._patients) for row in kept], axis=1)
        parts = []
        for weights in self._weights():
            drawn = (weights @ counts)[:, None]
            empty = np.full((len(weights), values.shape[0]), np.nan)
            parts.append(np.divide(weights @ sums, drawn, out=empty, where=drawn > 0))
        return np.concatenate(parts)

    def medians(self, values: Figures) -> Figures:
        """Median over all queries in each sample; of an even number the lower of the two."""
        order = np.argsort(values, kind="stable")
        parts = []
        for weights in self._weights():
            below = np.cumsum(weights[:, self._owner[order]], axis=1)
            middle = np.argmax(below >= below[:, -1:] / 2, axis=1)
            parts.append(values[order][middle])
        return np.concatenate(parts)

    def aurocs(self, scores: Figures, positive: Mask) -> Figures:
        """Area under the ROC curve in each sample; NaN where a class is not drawn.

        Args:
            scores: of all queries, higher for the positive class.
            positive: which queries are of it.
        """
        _, level = np.unique(scores, return_inverse=True)
        levels = int(level.max()) + 1
        parts = [
            auroc_of_levels(
                *(
                    _by_level(weights[:, self._owner[own]], level[own], levels)
                    for own in (positive, ~positive)
                )
            )
            for weights in self._weights()
        ]
        return np.concatenate(parts)

    def _weights(self) -> Iterator[np.ndarray]:
        """How often each patient is in each sample, ``(draws, patients)`` in parts.

        Kept where they are few; else drawn again, the same by the seed.
        """
        if self._kept is not None:
            yield from self._kept
            return
        rng = np.random.default_rng(self._seed)
        step = max(1, _WEIGHTS // self._patients)
        chance = np.full(self._patients, 1 / self._patients)
        kept = []
        for start in range(0, self._draws, step):
            drawn = min(step, self._draws - start)
            weights = rng.multinomial(self._patients, chance, drawn).astype(np.float64)
            if self._draws <= step:
                kept.append(weights)
            yield weights
        self._kept = kept or None


def auroc(scores: Figures, positive: Mask) -> float:
    """Area under the ROC curve, ties half; NaN where a class is empty (Hanley, McNeil 1982)."""
    _, level = np.unique(scores, return_inverse=True)
    counts = [np.bincount(level[own], minlength=level.max() + 1) for own in (positive, ~positive)]
    return float(auroc_of_levels(counts[0][None].astype(float), counts[1][None].astype(float))[0])


def auroc_of_levels(positives: Levels, negatives: Levels) -> Figures:
    """AUROC from how many of each class lie at each level of the score, ascending."""
    below = np.cumsum(negatives, axis=1) - negatives / 2
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    won = (positives * below).sum(axis=1)
    areas: Figures = np.divide(won, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
    return areas


def _by_level(weights: np.ndarray, level: np.ndarray, levels: int) -> np.ndarray:
    """Sums over columns of the same level."""
    found = np.zeros((len(weights), levels))
    order = np.argsort(level, kind="stable")
    held, first = np.unique(level[order], return_index=True)
    if len(held):
        found[:, held] = np.add.reduceat(weights[:, order], first, axis=1)
    return found


def interval(value: float, drawn: Figures) -> Measure:
    """A figure with the middle 95 % of its samples; those without a value do not count."""
    known = drawn[np.isfinite(drawn)]
    low, high = np.percentile(known, (2.5, 97.5)) if len(known) else (np.nan, np.nan)
    return Measure(float(value), float(low), float(high))


def gap_by_chance(
    values: Figures, owners: Codes, group: Codes, *, draws: int = 1000, seed: int = 0
) -> float:
    """What the gap between the best and the worst of such groups stays below in 95 % of shuffles.

    What a patient has in one group stays together, and is dealt out to the groups at random, as
    many to each as it has (a permutation test; Good, Permutation Tests, 2000). The best and the
    worst of several groups always differ: a gap below this figure says nothing.

    Args:
        values: of the queries.
        owners: their patients.
        group: their groups, from zero.
        draws: shuffles.
        seed: of these.
    """
    units, unit = np.unique(np.stack([group, owners]), axis=1, return_inverse=True)
    unit = unit.reshape(-1)
    counts, sums = np.bincount(unit).astype(float), np.bincount(unit, values)
    rng = np.random.default_rng(seed)
    of_unit, gaps = units[0].copy(), np.empty(draws)
    groups = int(group.max()) + 1
    for draw in range(draws):
        rng.shuffle(of_unit)
        means = np.bincount(of_unit, sums, groups) / np.bincount(of_unit, counts, groups)
        gaps[draw] = means.max() - means.min()
    return float(np.percentile(gaps, 95))
