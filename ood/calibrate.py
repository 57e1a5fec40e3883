"""Conformal p-values: how often a case of the reference's own kind would score as high.

V. Vovk, A. Gammerman and G. Shafer, Algorithmic learning in a random world, 2005, chapter 2; S.
Bates, E. Candes, L. Lei, Y. Romano and M. Sesia, Testing for outliers with conformal p-values,
Annals of Statistics 51, 2023 (arXiv 2104.08279). Calibration cases are held out of the fit. Cases
of one patient are alike, so a patient counts once, however many cases it has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats

from indexer.errors import ReferenceSetError, VectorError
from indexer.types import Scores

PER_ALARM = 10
"""Calibration cases for each false alarm that is expected among them: 200 for 5 %, 1,000 for 1 %,
10,000 for 0.1 %."""
_CONFIDENCE = 0.95


def needed(alarm: float) -> int:
    """How many calibration cases a false-alarm rate needs.

    Raises:
        ReferenceSetError: the rate is not between 0 and 1.
    """
    if not 0 < alarm < 1:
        raise ReferenceSetError(f"a false-alarm rate lies between 0 and 1, not at {alarm}")
    return math.ceil(PER_ALARM / alarm - 1e-9)


def simes(p_values: Sequence[float]) -> float:
    """One p-value for several cases: the least of ``p[k] * n / k``, p rising (R. Simes, 1986).

    Never above that of Bonferroni, and not held back by the smallest p-value that a calibration
    can give where all cases are odd. It is valid for conformal p-values of independent cases, which
    depend on one another positively (Bates et al., theorem 2); images of one study do so even more.

    Raises:
        ReferenceSetError: there are none.
    """
    if not len(p_values):
        raise ReferenceSetError("there are no p-values to combine")
    ranked = np.sort(np.asarray(p_values, np.float64))
    return float(min(1.0, (ranked * len(ranked) / np.arange(1, len(ranked) + 1)).min()))


@dataclass(frozen=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Calibration:
    """Scores of cases that were held out, rising, and how much each counts.

    Attributes:
        scores: float32 ``(n,)``, rising.
        weights: float64 ``(n,)``; those of one patient sum to 1.
    """

    scores: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, scores: Scores, patients: Sequence[str | int | None] | None = None) -> Calibration:
        """Calibrate on held-out cases.

        Args:
            scores: of a detector, ``(n,)``.
            patients: whose each case is; None, or one of them None, counts as a patient of its own.

        Raises:
            ReferenceSetError: there are no scores.
            VectorError: a score is not finite.
        """
        scores = np.asarray(scores, np.float32)
        if not len(scores):
            raise ReferenceSetError("there is nothing to calibrate on: no case was held out")
        if not np.isfinite(scores).all():
            raise VectorError("a score to calibrate on is not finite")
        owners = [None] * len(scores) if patients is None else list(patients)
        names = [(0, at) if owner is None else (1, owner) for at, owner in enumerate(owners)]
        number = {name: place for place, name in enumerate(dict.fromkeys(names))}
        own = np.array([number[name] for name in names])
        weights = 1 / np.bincount(own)[own]
        order = np.argsort(scores, kind="stable")
        return cls(scores[order], weights[order])

    @cached_property
    def patients(self) -> int:
        """How many were held out."""
        return round(float(self.weights.sum()))

    def p_values(self, scores: Scores) -> np.ndarray:
        """Float64 ``(n,)``: the share of patients, the new one counted in, that score as high.

        If the new case is of the kind of the reference, p is at most a in at most a share a of
        draws of calibration and case together, for every a.
        """
        at = np.searchsorted(self.scores, np.asarray(scores, np.float32), side="left")
        values: np.ndarray = np.minimum((1 + self._above[at]) / (1 + self.patients), 1.0)
        return values

    @cached_property
    def _above(self) -> np.ndarray:
        """Weight of each score and all that are higher; last that of none."""
        return np.append(np.cumsum(self.weights[::-1])[::-1], 0.0)

    def threshold(self, alarm: float) -> float:
        """The score above which a case is flagged; infinite where so few were held out.

        Raises:
            ReferenceSetError: the rate is not between 0 and 1.
        """
        needed(alarm)
        values = self.p_values(self.scores)
        # p falls as the score rises; a score just above the last that is not flagged is.
        kept = self.scores[values > alarm]
        above = self.p_values(np.array([np.inf], np.float32))[0] <= alarm
        if not above:
            return math.inf
        return float(kept[-1]) if len(kept) else -math.inf

    def alarm_interval(self, alarm: float) -> Interval:
        """Where the false-alarm rate of this very calibration lies, with 95 % probability.

        The rate over many draws is what was declared; one draw of n patients gives a rate that
        follows Beta(l, n + 1 - l), l the whole part of (n + 1) times the declared rate (Vovk,
        Conditional validity of inductive conformal predictors, Machine Learning 92, 2013). With
        several cases a patient, cases of one count as one.

        Raises:
            ReferenceSetError: the rate is not between 0 and 1.
        """
        needed(alarm)
        count = self.patients
        flagged = math.floor((count + 1) * alarm + 1e-9)
        if flagged == 0:
            return Interval(0.0, 0.0)
        rate = stats.beta(flagged, count + 1 - flagged)
        tail = (1 - _CONFIDENCE) / 2
        return Interval(float(rate.ppf(tail)), float(rate.ppf(1 - tail)))

    def enough_for(self, alarm: float) -> bool:
        """Whether so many cases can say anything about this rate; see `PER_ALARM`.

        How sure it then is, the interval says, which counts patients.
        """
        return len(self.scores) >= needed(alarm)


@dataclass(frozen=True)
class Together:
    """Several detectors' p-values as one, valid however they depend on one another.

    The smallest p-value of a case is a score like any other: it is calibrated on the same held-out
    cases, each with its own p-values among the others and itself (the permutation test of the
    minimum: P. Westfall and S. Young, Resampling-based multiple testing, 1993).

    Attributes:
        parts: the detectors' calibrations.
        least: of 1 less the smallest p-value of the held-out cases.
    """

    parts: tuple[Calibration, ...]
    least: Calibration

    @classmethod
    def of(
        cls, scores: Sequence[Scores], patients: Sequence[str | int | None] | None = None
    ) -> Together:
        """Calibrate on the scores of each detector for the same held-out cases, in one order.

        Raises:
            ReferenceSetError: no detectors, no cases, or not the same number of cases.
        """
        if not scores or len({len(each) for each in scores}) != 1:
            raise ReferenceSetError("scores of the same cases by one detector or more are combined")
        parts = tuple(Calibration.of(each, patients) for each in scores)
        # A held-out case is among those it is compared with, and is not to count twice.
        itself = 1 / (1 + parts[0].patients)
        own = [part.p_values(each) - itself for part, each in zip(parts, scores, strict=True)]
        return cls(parts, Calibration.of(1 - np.min(own, axis=0), patients))

    def p_values(self, scores: Sequence[Scores]) -> np.ndarray:
        """Float64 ``(n,)`` of cases whose scores by each detector are given."""
        own = [part.p_values(each) for part, each in zip(self.parts, scores, strict=True)]
        return self.least.p_values(1 - np.min(own, axis=0))
