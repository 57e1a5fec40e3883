"""Conformal p-values: that they hold what they promise, on patients never seen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from indexer.errors import ReferenceSetError, VectorError
from ood.calibrate import Calibration, Together, needed, simes

DRAWS = 400


def scores(random: np.random.Generator, count: int) -> np.ndarray:
    return random.gamma(2.0, size=count).astype(np.float32)


def two_scores(random: np.random.Generator, count: int) -> list[np.ndarray]:
    """Of two detectors that agree in part."""
    return list((random.standard_normal((count, 2)) @ np.array([[1, 0.6], [0, 0.8]])).T)


def test_a_p_value_is_the_share_that_scores_as_high_the_new_case_counted_in() -> None:
    made = Calibration.of(np.array([1, 2, 3, 4], np.float32))
    np.testing.assert_allclose(made.p_values(np.array([0, 2, 2.5, 9])), [1, 0.8, 0.6, 0.2])


def test_a_patient_counts_once_however_many_cases_it_has() -> None:
    made = Calibration.of(np.array([1, 5, 5, 5], np.float32), ["a", "b", "b", "b"])
    assert made.patients == 2
    np.testing.assert_allclose(made.p_values(np.array([4.0, 6.0])), [2 / 3, 1 / 3])
    unknown = Calibration.of(np.array([1, 5, 5, 5], np.float32), [None, "b", None, None])
    assert unknown.patients == 4, "nobody's cases are not one patient's"


@given(
    drawn=st.lists(st.floats(0, 50, width=32), min_size=1, max_size=60),
    alarm=st.floats(0.01, 0.9),
    new=st.lists(st.floats(0, 50, width=32), min_size=1, max_size=20),
)
@settings(max_examples=200)
def test_above_the_threshold_is_what_a_p_value_flags(
    drawn: list[float], alarm: float, new: list[float]
) -> None:
    made, cases = Calibration.of(np.array(drawn, np.float32)), np.array(new, np.float32)
    flagged = made.p_values(cases) <= alarm
    np.testing.assert_array_equal(cases > made.threshold(alarm), flagged)


@pytest.mark.parametrize(("alarm", "count"), [(0.01, 1_000), (0.05, 300)])
def test_over_many_calibrations_alarms_are_as_frequent_as_declared(
    alarm: float, count: int
) -> None:
    rates = []
    for seed in range(DRAWS):
        random = np.random.default_rng([1, seed])
        made = Calibration.of(scores(random, count))
        rates.append(float((made.p_values(scores(random, 2_000)) <= alarm).mean()))
    sure = 4 * np.std(rates) / math.sqrt(DRAWS)
    assert np.mean(rates) == pytest.approx(math.floor((count + 1) * alarm) / (count + 1), abs=sure)


@pytest.mark.parametrize(("alarm", "count"), [(0.01, 1_000), (0.05, 200)])
def test_the_rate_of_one_calibration_lies_in_its_interval_19_times_in_20(
    alarm: float, count: int
) -> None:
    inside = 0
    for seed in range(DRAWS):
        random = np.random.default_rng([2, seed])
        made = Calibration.of(scores(random, count))
        true = float(stats.gamma(2.0).sf(made.threshold(alarm)))
        interval = made.alarm_interval(alarm)
        inside += interval.low <= true <= interval.high
    assert stats.binomtest(inside, DRAWS, 0.95).pvalue > 0.001


def test_patients_with_many_cases_do_not_make_the_rate_look_surer() -> None:
    inside = 0
    for seed in range(DRAWS):
        random = np.random.default_rng([3, seed])
        owners = np.repeat(np.arange(250), random.integers(1, 6, 250))
        drawn = scores(random, 250)[owners]
        made = Calibration.of(drawn, owners.tolist())
        true = float(stats.gamma(2.0).sf(made.threshold(0.05)))
        interval = made.alarm_interval(0.05)
        inside += interval.low <= true <= interval.high
    assert stats.binomtest(inside, DRAWS, 0.95).pvalue > 0.001


def test_several_detectors_together_raise_no_more_alarms_than_declared() -> None:
    rates, power = [], []
    for seed in range(DRAWS):
        random = np.random.default_rng([4, seed])
        together = Together.of(two_scores(random, 300))
        rates.append(float((together.p_values(two_scores(random, 1_000)) <= 0.05).mean()))
        usual = two_scores(random, 200)
        odd = [each + shift for each, shift in zip(usual, (0.0, 4.0), strict=True)]
        power.append(float((together.p_values(odd) <= 0.05).mean()))
    assert np.mean(rates) < 0.05 + 4 * np.std(rates) / math.sqrt(DRAWS)
    assert np.mean(rates) > 0.035, "not so careful that nothing is found"
    assert np.mean(power) > 0.9, "what one of them sees is seen"


def test_how_many_cases_a_rate_needs() -> None:
    assert [needed(each) for each in (0.05, 0.01, 0.001)] == [200, 1_000, 10_000]
    few = Calibration.of(np.arange(199, dtype=np.float32))
    assert not few.enough_for(0.05)
    assert Calibration.of(np.arange(200, dtype=np.float32)).enough_for(0.05)
    assert Calibration.of(np.arange(5, dtype=np.float32)).threshold(0.01) == math.inf


def test_what_cannot_be_calibrated_on_is_refused() -> None:
    with pytest.raises(ReferenceSetError, match="no case was held out"):
        Calibration.of(np.empty(0, np.float32))
    with pytest.raises(VectorError, match="not finite"):
        Calibration.of(np.array([1, np.nan], np.float32))
    with pytest.raises(ReferenceSetError, match="between 0 and 1"):
        needed(1.0)
    with pytest.raises(ReferenceSetError, match="same cases"):
        Together.of([np.zeros(3), np.zeros(4)])


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=30))
def test_a_study_is_never_less_odd_than_bonferroni_says_nor_odder_than_its_oddest_image(
    p_values: list[float],
) -> None:
    least = min(p_values)
    assert least - 1e-12 <= simes(p_values) <= min(1, least * len(p_values)) + 1e-12
    assert simes([least] * 7) == pytest.approx(least)


@pytest.mark.parametrize("alike", [0.0, 0.5, 0.95])
def test_studies_of_usual_images_raise_no_more_alarms_than_declared(alike: float) -> None:
    random = np.random.default_rng(4)
    alarms = []
    for _ in range(DRAWS):
        made = Calibration.of(random.standard_normal(400).astype(np.float32))
        own, shared = random.standard_normal(8), random.standard_normal()
        images = np.sqrt(1 - alike) * own + np.sqrt(alike) * shared
        alarms.append(simes(made.p_values(images.astype(np.float32)).tolist()) <= 0.05)
    assert stats.binomtest(sum(alarms), DRAWS, 0.05, alternative="greater").pvalue > 0.01


def test_no_p_values_are_no_study() -> None:
    with pytest.raises(ReferenceSetError, match="no p-values"):
        simes([])
