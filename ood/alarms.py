"""Sustained change over many windows: CUSUM and EWMA with limits for a stated false-alarm rate.

Both take one standardised figure a window, which without a change is normal with mean 0 and
standard deviation 1 and independent of the windows before. The average run length (ARL) is the
number of windows to the first alarm, on average, from a fresh start.

Means of skewed scores are not quite normal, and the CUSUM minds: of exponential scores, windows of
30 shorten an ARL of 370 to 247, windows of 100 to 298 (allowance 0.5). The EWMA keeps 348 and 359
(weight 0.2), or all of it (weight 0.05).

E. Page, Biometrika 41 (1954) 100 (CUSUM); S. Roberts, Technometrics 1 (1959) 239 (EWMA); J. Lucas
and M. Saccucci, Technometrics 32 (1990) 1 (run lengths of the EWMA). Run lengths solve integral
equations by Gauss-Legendre quadrature, to which the Markov chains of D. Brook and D. Evans
(Biometrika 59 (1972) 539) are a coarser approximation: A. Goel and S. Wu, Technometrics 13 (1971)
221; S. Crowder, Technometrics 29 (1987) 401.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64
from scipy.optimize import brentq
from scipy.stats import norm

from indexer.errors import QueryError
from ood.shifts import reference_scores, window_scores

RUN_LENGTH = 370.0
"""Windows between false alarms on average: those of a single limit at three standard deviations."""
_LONGEST = 100_000.0
_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(96)
_NARROWEST = 1e-9

Square = Float64[np.ndarray, "nodes nodes"]


@dataclass(frozen=True)
class Cusum:
    """One-sided cumulative sum: what each figure has above an allowance adds up, never below 0.

    All attributes are plain numbers: ``Cusum(**stored)`` takes up what ``asdict`` has stored.

    Attributes:
        allowance: taken off each figure; half the shift that should be found soonest.
        limit: a sum above it is an alarm.
        level: the sum so far.
    """

    allowance: float
    limit: float
    level: float = 0.0

    @classmethod
    def for_run_length(cls, run_length: float = RUN_LENGTH, *, allowance: float = 0.5) -> Cusum:
        """A fresh one whose ARL without a change is ``run_length`` windows.

        Args:
            run_length: at most 100,000.
            allowance: 0.05 to 5, in standard deviations of the figure.

        Raises:
            QueryError: they are out of range, or alarms come less often without any limit.
        """
        if not 0.05 <= allowance <= 5:
            raise QueryError(f"the allowance is 0.05 to 5 standard deviations, not {allowance}")
        limit = _limit(lambda each: cls(allowance, each).run_length(), run_length)
        return cls(allowance, limit)

    def update(self, value: float) -> tuple[Cusum, bool]:
        """Take the figure of one more window.

        After an alarm the sum goes on; start again from `fresh` once the cause is mended.

        Returns:
            The next state, and whether it is an alarm.

        Raises:
            QueryError: the figure is not finite.
        """
        level = max(0.0, self.level + _finite(value) - self.allowance)
        return replace(self, level=level), level > self.limit

    def fresh(self) -> Cusum:
        """The same limit with nothing added up yet."""
        return replace(self, level=0.0)

    def run_length(self, shift: float = 0.0) -> float:
        """ARL from a fresh start if all figures are shifted by so many standard deviations."""
        nodes, weights = _quadrature(0.0, self.limit)
        move = self.allowance - shift - nodes[:, None]
        kernel = weights * norm.pdf(nodes + move)
        kernel[:, 0] = norm.cdf(move[:, 0])  # the sum falls back to 0 with a probability of its own
        return _run_length(kernel)

    @property
    def sentences(self) -> tuple[str, ...]:
        """Where it stands, in words."""
        state = "a sustained rise" if self.level > self.limit else "no sustained rise"
        told = (
            f"{state}: the sum is {self.level:.2f}, its limit {self.limit:.2f}; without a change "
            f"one alarm in {self.run_length():.0f} windows is expected, after a rise by one "
            f"standard deviation one within {self.run_length(1.0):.1f} on average"
        )
        return (told,)


@dataclass(frozen=True)
class Ewma:
    """Exponentially weighted moving average, for changes in both directions.

    All attributes are plain numbers: ``Ewma(**stored)`` takes up what ``asdict`` has stored.

    Attributes:
        weight: of the newest figure, 1 for no memory.
        limit: an average further from 0 is an alarm.
        level: the average so far.
    """

    weight: float
    limit: float
    level: float = 0.0

    @classmethod
    def for_run_length(cls, run_length: float = RUN_LENGTH, *, weight: float = 0.2) -> Ewma:
        """A fresh one whose ARL without a change is ``run_length`` windows.

        Args:
            run_length: above 1, at most 100,000.
            weight: 0.01 to 1.

        Raises:
            QueryError: they are out of range.
        """
        if not 0.01 <= weight <= 1:
            raise QueryError(f"the weight of the newest figure is 0.01 to 1, not {weight}")
        settled = math.sqrt(weight / (2 - weight))  # standard deviation of the average, in the end
        limit = _limit(lambda each: cls(weight, each * settled).run_length(), run_length)
        return cls(weight, limit * settled)

    def update(self, value: float) -> tuple[Ewma, bool]:
        """Take the figure of one more window.

        Returns:
            The next state, and whether it is an alarm.

        Raises:
            QueryError: the figure is not finite.
        """
        level = (1 - self.weight) * self.level + self.weight * _finite(value)
        return replace(self, level=level), abs(level) > self.limit

    def fresh(self) -> Ewma:
        """The same limit with no figure taken yet."""
        return replace(self, level=0.0)

    def run_length(self, shift: float = 0.0) -> float:
        """ARL from a fresh start if all figures are shifted by so many standard deviations."""
        nodes, weights = _quadrature(-self.limit, self.limit)
        value = (nodes - (1 - self.weight) * nodes[:, None]) / self.weight
        return _run_length(weights * norm.pdf(value - shift) / self.weight)

    @property
    def sentences(self) -> tuple[str, ...]:
        """Where it stands, in words."""
        state = "a sustained change" if abs(self.level) > self.limit else "no sustained change"
        told = (
            f"{state}: the moving average is {self.level:+.2f}, its limits are {self.limit:.2f} to "
            f"both sides; without a change one alarm in {self.run_length():.0f} windows is "
            f"expected, after a shift by one standard deviation one within "
            f"{self.run_length(1.0):.1f} on average"
        )
        return (told,)


def standardised_mean(reference: np.ndarray, window: np.ndarray) -> float:
    """The mean of a window as `Cusum` and `Ewma` take it.

    It is ``(mean(window) - mean(reference)) * sqrt(m) / std(reference)``.

    The mean of the reference is itself uncertain, by ``sqrt(m / n)`` of these units, and all
    windows share that error. Where it points upwards, a CUSUM with an ARL of 370 has one of 193
    with a reference of 100 windows, and of 59 with one of 10 (`Cusum.run_length` of that shift).

    Args:
        reference: ``(n,)`` scores.
        window: ``(m,)`` scores, independent of each other; about 30 or more make a normal mean.

    Raises:
        ReferenceSetError: fewer than two scores in the reference, all equal, or not finite.
        QueryError: an empty window, or one with values that are not finite.
    """
    before, now = reference_scores(reference), window_scores(window)
    return float((now.mean() - before.mean()) * math.sqrt(len(now)) / before.std(ddof=1))


def normal_score(p_value: float, patients: int) -> float:
    """A conformal p-value as a figure that is standard normal for usual cases, higher if more odd.

    Of n calibration patients there are p-values on n + 1 steps up to 1. The middle of the step is
    taken: the figure is finite, and its mean over usual cases is 0.

    Args:
        p_value: as `ood.calibrate` gives it.
        patients: that it was calibrated on.

    Raises:
        QueryError: it is no such p-value.
    """
    middle = p_value - 0.5 / (patients + 1)
    if not 0 < middle < 1:
        raise QueryError(f"{p_value} is no p-value of {patients} calibration patients")
    return float(norm.isf(middle))


def window_figure(scores: np.ndarray, patients: np.ndarray, weight: float) -> float:
    """The mean of a window of normal scores as `Ewma` of this weight takes it.

    With m scores and n calibration patients, the mean of a window varies by ``1 / m``, and all
    windows share the error of the calibration, ``1 / n``. In a settled average of weight w the
    first shrinks to ``w / (2 - w) / m``, the second does not shrink. The mean is divided so that
    the average varies in all as one of standard normal figures does: a change that is no larger
    than what the calibration leaves open is no alarm.

    Args:
        scores: ``(m,)``, see `normal_score`; independent of each other.
        patients: ``(m,)``, how many each was calibrated on.
        weight: of the newest figure.

    Raises:
        QueryError: an empty window, or one with values that are not finite.
    """
    now = window_scores(scores)
    shared = (2 - weight) / weight * float(np.mean(1 / np.asarray(patients)))
    return float(now.mean() / math.sqrt(1 / len(now) + shared))


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise QueryError(f"the figure of a window is a finite number, not {value}")
    return float(value)


def _quadrature(low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights, after the start at 0, which has no weight."""
    half = (high - low) / 2
    return np.r_[0.0, low + half * (_POINTS + 1)], np.r_[0.0, half * _WEIGHTS]


def _run_length(kernel: Square) -> float:
    """ARL from the first node; ``kernel[i, j]`` is the chance to go from i to j without alarm."""
    return float(np.linalg.solve(np.eye(len(kernel)) - kernel, np.ones(len(kernel)))[0])


def _limit(run_length: Callable[[float], float], wanted: float) -> float:
    least = run_length(_NARROWEST)
    if not least < wanted <= _LONGEST:
        raise QueryError(
            f"the average run length is above {least:.2f} and at most {_LONGEST:,.0f} windows, "
            f"not {wanted}"
        )
    high = 1.0
    while run_length(high) < wanted:
        high *= 1.2  # far above the limit wanted the equations become singular
    found: float = brentq(lambda each: math.log(run_length(each) / wanted), _NARROWEST, high)
    return found
