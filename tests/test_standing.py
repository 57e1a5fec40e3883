"""Normal scores of strata on one scale, and averages over windows with honest limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from indexer.errors import QueryError, ReferenceSetError
from ood.alarms import Ewma
from ood.calibrate import Calibration
from ood.reference import ReferenceSet
from ood.registry import Recipe
from ood.standing import normal_scores, standing
from ood.sustained import began, sustained


@given(st.integers(2, 60), st.integers(1, 60), st.integers(0, 10**6))
def test_the_statistic_is_that_of_the_scores_themselves(n: int, m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    before, now = np.split(rng.permutation(n + m).astype(np.float32), [n])
    calibration = Calibration.of(before)
    held = normal_scores(calibration, before, calibrates=True)
    new = normal_scores(calibration, now)
    statistics = [
        ks_2samp(*each, method="asymp").statistic for each in ((held, new), (before, now))
    ]
    assert statistics[0] == pytest.approx(statistics[1])
    assert ((held[:, None] < new) == (before[:, None] < now)).all()


@given(st.integers(1, 40), st.integers(1, 5))
def test_calibration_cases_are_standard_normal_whatever_their_scores(n: int, each: int) -> None:
    """Their places are symmetric round the middle, several cases of a patient or one."""
    scores = np.exp(np.arange(n * each, dtype=np.float32) / 10)
    calibration = Calibration.of(scores, np.repeat(np.arange(n), each).tolist())
    held = normal_scores(calibration, scores, calibrates=True)
    assert np.isfinite(held).all() and np.isfinite(normal_scores(calibration, scores)).all()
    assert held == pytest.approx(-held[::-1], abs=1e-6)


def test_strata_are_on_one_scale_and_cases_fitted_on_are_left_out() -> None:
    rng = np.random.default_rng(2)
    keys = [("CR",), ("CT",)] * 300
    spread = np.where(np.arange(600) % 2 == 0, 0.05, 0.5)[:, None]
    rows = np.eye(6)[0] + spread * rng.standard_normal((600, 6))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    patients = [f"p{number}" for number in range(600)]
    made = ReferenceSet.fit(rows, keys, patients, alarm=0.2, recipes=[Recipe("knn")])
    held = standing(made, rows, keys, alarm=0.2, numbers=np.arange(600))
    for key in (("CR",), ("CT",)):
        own = [at for at, row in enumerate(held.rows) if keys[row] == key]
        assert len(own) == made.strata[key].held_out
        assert abs(held.normal["knn"][own].mean()) < 0.01
        assert not set(held.rows[own]) & set(made.strata[key].fitted)
    odd = standing(made, -rows[:4], keys[:4], alarm=0.2)
    assert (odd.normal["knn"] > 1.5).all() and (odd.together < 0.05).all()
    none = standing(made, rows, keys, alarm=0.0001)
    assert len(none.rows) == len(none.together) == len(none.normal["knn"]) == 0


def test_a_reference_that_is_off_by_chance_raises_no_more_alarms_than_stated() -> None:
    """Windows as large as the reference: its error alone would raise alarms in most runs."""
    rng, ewma = np.random.default_rng(0), Ewma.for_run_length(1_000)
    alarmed, bare = 0, 0
    for _ in range(300):
        reference = rng.standard_normal(50)
        steps = sustained(reference, [rng.standard_normal(50) for _ in range(30)], ewma)
        alarmed += any(step.alarm for step in steps)
        bare += any(abs(step.level) > ewma.limit for step in steps)
    assert alarmed <= 300 * (0.05 + 30 / 1_000)
    assert bare > 60


def test_a_lasting_shift_is_alarmed_and_its_beginning_found() -> None:
    rng, ewma = np.random.default_rng(1), Ewma.for_run_length(1_000)
    windows = [rng.normal(0.8 * (week >= 12), 1, 60) for week in range(20)]
    windows[3] = np.zeros(0)
    steps = sustained(rng.standard_normal(300), windows, ewma)
    first = next(at for at, step in enumerate(steps) if step.alarm)
    assert 12 <= first <= 14 and 11 <= began(steps, first) <= 12
    assert steps[3].mean is None and steps[3].level == steps[2].level and not steps[3].alarm
    assert steps[0].low is not None and steps[0].high is not None
    half = (steps[0].high - steps[0].low) / 2
    assert half == pytest.approx(1.96 * math.sqrt(1 / 60 + 1 / 300), rel=1e-3)


def test_what_cannot_be_followed_is_refused() -> None:
    ewma = Ewma.for_run_length(100)
    with pytest.raises(ReferenceSetError, match="all scores of the reference are equal"):
        sustained(np.ones(5), [np.zeros(3)], ewma)
    with pytest.raises(QueryError, match="not finite"):
        sustained(np.arange(5.0), [np.array([np.nan])], ewma)
    with pytest.raises(QueryError, match="doubt"):
        sustained(np.arange(5.0), [np.zeros(3)], ewma, doubt=0)
