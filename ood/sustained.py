"""Whether scores stay away from the reference over many windows: an EWMA with honest limits.

The windows share the reference, and with it the error of the reference's mean: `ood.alarms` tells
how much that shortens run lengths. So the limits are widened by as much as that error can have
moved the average, and the stated run length holds for all but a stated share of references.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from ood.alarms import Ewma, standardised_mean
from ood.shifts import reference_scores
from ood.verdicts import checked_share

_WIDE = float(norm.isf(0.025))


@dataclass(frozen=True)
class Step:
    """One window of a watch; figures without cases are None.

    Attributes:
        cases: how many came.
        mean: of their scores less that of the reference, in standard deviations of the reference.
        low, high: 95 % interval of it; both sides of the comparison count.
        level: the moving average after this window; as before where nothing came.
        limit: a level further from 0 is an alarm.
        error: standard deviation of what the error of the reference's mean adds to the level.
        alarm: whether it is.
    """

    cases: int
    mean: float | None
    low: float | None
    high: float | None
    level: float
    limit: float
    error: float
    alarm: bool


def sustained(
    reference: np.ndarray, windows: Sequence[np.ndarray], ewma: Ewma, *, doubt: float = 0.05
) -> tuple[Step, ...]:
    """Follow a score over windows.

    Args:
        reference: ``(n,)`` scores of independent cases.
        windows: the scores of each window, oldest first; empty where nothing came.
        ewma: fresh; its run length is the one that is stated.
        doubt: share of references for which the run length may be shorter than stated.

    Raises:
        ReferenceSetError: fewer than two scores in the reference, all equal, or not finite.
        QueryError: a score of a window is not finite; ``doubt`` is no share.
    """
    checked_share("doubt", doubt)
    before = reference_scores(reference)
    worst = float(norm.isf(doubt / 2))
    level, reach = ewma, ewma.fresh()
    steps = []
    for window in windows:
        if len(window):
            level, _ = level.update(standardised_mean(before, window))
            # The same average, of what the error of the reference's mean adds to each figure.
            reach, _ = reach.update(math.sqrt(len(window) / len(before)))
        limit = ewma.limit + worst * reach.level
        alarm = bool(len(window)) and abs(level.level) > limit
        mean, low, high = _mean(before, window)
        steps.append(Step(len(window), mean, low, high, level.level, limit, reach.level, alarm))
    return tuple(steps)


def began(steps: Sequence[Step], first: int) -> int:
    """The window in which what raised an alarm in window ``first`` is likely to have begun.

    It is the one after the last in which the average was not on the alarm's side of 0 (K. Nishina,
    Quality and Reliability Engineering International 8 (1992) 537), or no further on it than the
    error of the reference's mean is likely to have carried it.
    """
    side = math.copysign(1.0, steps[first].level)
    other = [at for at in range(first) if steps[at].level * side <= steps[at].error]
    start = other[-1] + 1 if other else 0
    return next(at for at in range(start, first + 1) if steps[at].cases)


def _mean(
    reference: np.ndarray, window: np.ndarray
) -> tuple[float, float, float] | tuple[None, None, None]:
    if not len(window):
        return None, None, None
    mean = float((np.mean(window) - reference.mean()) / reference.std(ddof=1))
    half = _WIDE * math.sqrt(1 / len(window) + 1 / len(reference))
    return mean, mean - half, mean + half
