"""Charts that wait for a change to last: run lengths by simulation and by published tables."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.errors import QueryError, ReferenceSetError
from ood.alarms import Cusum, Ewma, standardised_mean

FIGURES = st.floats(-8, 8, allow_nan=False)


def first_alarm(chart: Cusum | Ewma, rng: np.random.Generator, shift: float = 0.0) -> int:
    windows, alarm = 0, False
    while not alarm:
        windows += 1
        chart, alarm = chart.update(rng.standard_normal() + shift)
    return windows


def simulated(chart: Cusum | Ewma, runs: int, shift: float = 0.0) -> float:
    rng = np.random.default_rng(7)
    return float(np.mean([first_alarm(chart, rng, shift) for _ in range(runs)]))


@pytest.mark.parametrize(
    "chart",
    [
        Cusum.for_run_length(),
        Cusum.for_run_length(allowance=0.25),
        Ewma.for_run_length(),
        Ewma.for_run_length(weight=0.05),
    ],
)
def test_without_a_change_one_alarm_comes_in_370_windows(chart: Cusum | Ewma) -> None:
    assert simulated(chart, runs=1_500) == pytest.approx(370, rel=0.1)


@pytest.mark.parametrize("shift", [0.25, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("chart", [Cusum.for_run_length(), Ewma.for_run_length()])
def test_run_lengths_after_a_shift_are_those_of_simulation(
    chart: Cusum | Ewma, shift: float
) -> None:
    assert simulated(chart, 1_500, shift) == pytest.approx(chart.run_length(shift), rel=0.1)


def test_run_lengths_are_those_of_the_published_tables() -> None:
    """CUSUM: Lucas, J. Qual. Technol. 8 (1976); EWMA: Lucas and Saccucci 1990, ARL 500."""
    assert Cusum(0.5, 4).run_length() == pytest.approx(336, rel=0.01)
    assert Cusum(0.5, 5).run_length() == pytest.approx(930, rel=0.01)
    assert Cusum(0.5, 4).run_length(1.0) == pytest.approx(8.38, abs=0.01)
    assert Cusum(0.5, 5).run_length(1.0) == pytest.approx(10.4, abs=0.05)
    for weight, width in [(0.1, 2.814), (0.25, 2.998), (0.4, 3.054)]:
        limit = width * math.sqrt(weight / (2 - weight))
        assert Ewma(weight, limit).run_length() == pytest.approx(500, rel=0.002)


def test_an_average_without_memory_is_a_single_limit_at_three_standard_deviations() -> None:
    assert Ewma.for_run_length(370.4, weight=1).limit == pytest.approx(3, abs=1e-4)


@settings(max_examples=25)
@given(st.floats(30, 100_000), st.floats(0.05, 1.5), st.floats(0.01, 1))
def test_the_limit_gives_the_run_length_it_was_chosen_for(
    wanted: float, allowance: float, weight: float
) -> None:
    assert Cusum.for_run_length(wanted, allowance=allowance).run_length() == pytest.approx(wanted)
    assert Ewma.for_run_length(wanted, weight=weight).run_length() == pytest.approx(wanted)


@given(st.lists(FIGURES, min_size=1, max_size=30))
def test_the_sum_is_the_greatest_of_any_last_windows(figures: list[float]) -> None:
    chart, alarm = Cusum(allowance=0.5, limit=4), False
    for figure in figures:
        chart, alarm = chart.update(figure)
    tails = [math.fsum(f - 0.5 for f in figures[start:]) for start in range(len(figures))]
    assert chart.level == pytest.approx(max(0.0, *tails), abs=1e-9)
    assert alarm == (chart.level > 4)


@given(st.lists(FIGURES, min_size=1, max_size=30))
def test_the_average_weighs_old_windows_less_and_less(figures: list[float]) -> None:
    chart, alarm = Ewma(weight=0.2, limit=1), False
    for figure in figures:
        chart, alarm = chart.update(figure)
    weights = 0.2 * 0.8 ** np.arange(len(figures))[::-1]
    assert chart.level == pytest.approx(float(weights @ figures), abs=1e-9)
    assert alarm == (abs(chart.level) > 1)


@given(st.lists(FIGURES, max_size=20), st.lists(FIGURES, min_size=1, max_size=20))
def test_a_chart_that_was_stored_goes_on_where_it_stopped(
    before: list[float], after: list[float]
) -> None:
    cusum, ewma = Cusum(0.5, 4), Ewma(0.2, 1)
    for figure in before:
        (cusum, _), (ewma, _) = cusum.update(figure), ewma.update(figure)
    taken_up = Cusum(**json.loads(json.dumps(asdict(cusum))))
    other = Ewma(**json.loads(json.dumps(asdict(ewma))))
    for figure in after:
        assert taken_up.update(figure) == cusum.update(figure)
        assert other.update(figure) == ewma.update(figure)
        (cusum, _), (ewma, _) = cusum.update(figure), ewma.update(figure)
        (taken_up, _), (other, _) = taken_up.update(figure), other.update(figure)


def test_a_lasting_rise_is_told_and_a_single_high_window_is_not() -> None:
    chart, alarm = Cusum.for_run_length().update(3.0)
    assert not alarm
    assert "no sustained rise: the sum is 2.50, its limit 4.10" in chart.sentences[0]
    for _ in range(4):
        chart, alarm = chart.update(1.0)
    assert alarm
    (sentence,) = chart.sentences
    assert sentence == (
        "a sustained rise: the sum is 4.50, its limit 4.10; without a change one alarm in 370 "
        "windows is expected, after a rise by one standard deviation one within 8.6 on average"
    )
    assert chart.fresh() == Cusum.for_run_length()


def test_the_average_sees_a_fall_too_and_the_sum_does_not() -> None:
    cusum, ewma = Cusum.for_run_length(), Ewma.for_run_length()
    alarms = set()
    for _ in range(20):
        (cusum, rise), (ewma, change) = cusum.update(-1.5), ewma.update(-1.5)
        alarms.add((rise, change))
    assert alarms == {(False, False), (False, True)}
    assert ewma.sentences[0].startswith("a sustained change: the moving average is -1.48")
    assert ewma.fresh().sentences[0].startswith("no sustained change: the moving average is +0.00")


def test_window_means_of_the_reference_are_standard_normal() -> None:
    rng = np.random.default_rng(3)
    reference = rng.gamma(4, 2, 100_000)
    means = [standardised_mean(reference, rng.gamma(4, 2, 50)) for _ in range(400)]
    assert np.mean(means) == pytest.approx(0, abs=0.15)
    assert np.std(means) == pytest.approx(1, abs=0.1)


def test_what_no_chart_can_be_made_of() -> None:
    with pytest.raises(QueryError, match=r"allowance is 0.05 to 5 standard deviations, not 0"):
        Cusum.for_run_length(allowance=0)
    with pytest.raises(QueryError, match=r"weight of the newest figure is 0.01 to 1, not 1.5"):
        Ewma.for_run_length(weight=1.5)
    with pytest.raises(QueryError, match=r"above 3.24 and at most 100,000 windows, not 3"):
        Cusum.for_run_length(3)
    with pytest.raises(QueryError, match="at most 100,000 windows, not 1000000"):
        Ewma.for_run_length(1_000_000)
    with pytest.raises(QueryError, match="finite number, not nan"):
        Cusum.for_run_length().update(math.nan)
    with pytest.raises(QueryError, match="finite number, not inf"):
        Ewma.for_run_length().update(math.inf)
    with pytest.raises(ReferenceSetError, match="all scores of the reference are equal"):
        standardised_mean(np.ones(50), np.ones(5))
