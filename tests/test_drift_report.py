"""All that is known of a window in one report: shares flagged, Holm's correction, groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from indexer.errors import QueryError
from ood.drift import DriftReport, Sample, by_group, window_drift
from ood.shifts import flagged_share
from ood.verdicts import Verdict, alone, holm

PS = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def unit_rows(rng: np.random.Generator, count: int, *, off: float = 0.0) -> np.ndarray:
    """Float32 rows round one direction, moved by ``off`` into another."""
    rows = np.eye(8)[0] + off * np.eye(8)[1] + 0.3 * rng.standard_normal((count, 8))
    unit: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit.astype(np.float32)


def sample(seed: int, count: int, *, risen: float = 0.0, moved: float = 0.0) -> Sample:
    """Scores of two detectors, of which 'knn' may have risen, one column, and embeddings."""
    rng = np.random.default_rng([seed, count])
    return Sample(
        scores={"knn": rng.normal(risen, 1, count), "density": rng.gamma(2, 1, count)},
        p_values={"knn": rng.random(count)},
        columns={"maker": list(rng.choice(["A", "B", "C"], count, p=[0.5, 0.3, 0.2]))},
        embeddings=unit_rows(rng, count, off=moved),
    )


def told(report: DriftReport) -> str:
    return "\n".join(report.sentences)


# shares flagged


@given(st.integers(1, 200), st.floats(0, 1))
def test_the_interval_is_that_of_clopper_and_pearson(window: int, part: float) -> None:
    """At its ends the count that was seen, or one beyond it, has a probability of 2.5 %."""
    flagged = round(part * window)
    found = flagged_share(np.repeat([0.01, 0.5], [flagged, window - flagged]), 0.05)
    assert (found.flagged, found.share) == (flagged, flagged / window)
    assert found.low <= found.share <= found.high
    if flagged:
        assert binom.sf(flagged - 1, window, found.low) == pytest.approx(0.025, rel=1e-4)
    if flagged < window:
        assert binom.cdf(flagged, window, found.high) == pytest.approx(0.025, rel=1e-4)
    assert found.above == (found.low > 0.05)


def test_a_share_above_the_declared_rate_is_told() -> None:
    found = flagged_share(np.repeat([0.05, 0.4], [12, 88]), 0.05, detector="knn")
    assert found.above
    (sentence,) = found.sentences
    assert sentence == (
        "'knn' flags 12 of 100 (12.0%, 95 % interval 6.4% to 20.0%): more than the 5.0% that is "
        "expected without a change"
    )
    assert "not surely more than" in flagged_share(np.full(10, 0.04), 0.9).sentences[0]


def test_conformal_p_values_without_a_change_seldom_flag_too_many() -> None:
    rng = np.random.default_rng(0)
    above = 0
    for _ in range(1_000):
        calibration, scores = np.sort(rng.standard_normal(10_000)), rng.standard_normal(120)
        p = (1 + 10_000 - np.searchsorted(calibration, scores)) / 10_001
        above += flagged_share(p, 0.05).above
    assert above <= binom.ppf(0.999, 1_000, 0.025)
    assert above > 0


def test_what_has_no_share() -> None:
    with pytest.raises(QueryError, match="hand in p-values, not scores"):
        flagged_share(np.array([0.5, 1.5]), 0.05)
    with pytest.raises(QueryError, match="a window needs one value or more"):
        flagged_share(np.zeros(0), 0.05)
    with pytest.raises(QueryError, match="alarm lies between 0 and 1, not 5"):
        flagged_share(np.array([0.5]), 5)


# Holm's correction


@given(PS)
def test_holm_rejects_step_by_step(ps: list[float]) -> None:
    """The smallest against alpha / k, the next against alpha / (k - 1), until one is larger."""
    found = holm([alone(p, 0.05) for p in ps])
    going = True
    for place, index in enumerate(np.argsort(ps, kind="stable")):
        going = going and ps[index] * (len(ps) - place) <= 0.05
        assert found[index].differs == going


@given(PS)
def test_holm_keeps_the_order_and_never_helps(ps: list[float]) -> None:
    found = holm([alone(p, 0.05) for p in ps])
    assert [each.p for each in found] == ps
    assert all(each.p <= each.corrected <= 1 for each in found)
    assert all(each.corrected <= len(ps) * each.p for each in found)
    corrected = np.array([each.corrected for each in found])[np.argsort(ps)]
    assert (np.diff(corrected) >= 0).all()


def test_corrected_figures_are_told() -> None:
    first, second = holm([alone(0.0004, 0.01), alone(0.03, 0.01)])
    assert (first.words, second.words) == (
        "p 0.0004, by Holm's correction 0.0008",
        "p 0.03, by Holm's correction 0.03",
    )
    assert alone(0.00001, 0.01).words == "p below 0.0001"
    assert holm([]) == ()


# the whole report


def test_a_window_without_a_change_has_a_calm_report() -> None:
    report = window_drift(sample(0, 1_000), sample(1, 120))
    assert not report.differs
    assert report.tests == 4
    assert report.sentences[0] == (
        "4 tests were made; by Holm's correction a window without a change is said to differ in "
        "at most 1.0% of cases"
    )
    assert "differ from the reference" in told(report)
    assert "apart from that correction" in report.sentences[-1]


def test_detectors_are_kept_apart() -> None:
    report = window_drift(sample(0, 1_000), sample(1, 120, risen=1.0))
    assert {each.detector: each.verdict.differs for each in report.scores} == {
        "knn": True,
        "density": False,
    }
    assert report.differs
    assert "the scores of 'knn' differ" in told(report)
    assert "the scores of 'density' do not differ" in told(report)


def test_what_a_window_can_see_is_said_for_all_its_tests() -> None:
    """Of four tests the strictest level is a quarter of alpha: less can be seen than by one."""
    reference, window = sample(0, 1_000), sample(1, 120)
    only = window_drift(Sample(scores=reference.scores), Sample(scores=window.scores))
    all_parts = window_drift(reference, window)
    assert all_parts.scores[0].detectable > only.scores[0].detectable


def test_embeddings_alone_can_raise_the_alarm_among_many_tests() -> None:
    def with_fields(whole: Sample, count: int) -> Sample:
        fields = {f"field {each}": whole.columns["maker"] for each in range(count)}
        return Sample(columns=fields, embeddings=whole.embeddings)

    before, now = with_fields(sample(0, 300), 9), with_fields(sample(1, 100, moved=0.8), 9)
    report = window_drift(before, now)
    assert report.tests == 10
    assert report.embeddings is not None
    assert report.embeddings.verdict is not None
    assert report.embeddings.verdict.differs
    assert not any(each.verdict and each.verdict.differs for each in report.columns)


def test_reports_without_a_change_differ_as_seldom_as_stated() -> None:
    rounds, alpha = 200, 0.05
    alarms = sum(
        window_drift(sample(2 * seed, 200), sample(2 * seed + 1, 60), alpha=alpha).differs
        for seed in range(rounds)
    )
    assert alarms <= binom.ppf(0.999, rounds, alpha)
    assert alarms > 0


def test_what_cannot_be_tested_counts_as_no_test() -> None:
    report = window_drift(sample(0, 300), sample(1, 40))
    assert report.tests == 3
    assert "a window of 40 has too few embeddings" in told(report)
    nothing = window_drift(Sample(), Sample())
    assert (nothing.tests, nothing.differs) == (0, False)


def test_a_site_that_drifts_is_told_from_one_that_does_not() -> None:
    reference = sample(0, 1_000)
    now = sample(1, 300)
    sites: Sequence[str | None] = ["north", "south", None] * 100
    risen = now.scores["knn"] + np.array([site == "south" for site in sites])
    window = Sample(scores={"knn": risen, "density": now.scores["density"]}, columns=now.columns)
    base = Sample(scores=reference.scores, columns=reference.columns)
    groups = by_group(window, sites)
    assert [len(each.scores["knn"]) for each in groups.values()] == [100, 100]
    reports = {name: window_drift(base, group) for name, group in groups.items()}
    assert {name: report.differs for name, report in reports.items()} == {
        "north": False,
        "south": True,
    }


@given(st.lists(st.sampled_from(["a", "b", None]), max_size=30))
def test_groups_keep_rows_together(groups: list[str | None]) -> None:
    numbers = np.arange(len(groups))
    whole = Sample(
        scores={"knn": numbers},
        p_values={"knn": numbers},
        columns={"row": [str(each) for each in numbers]},
        embeddings=numbers[:, None].astype(np.float32),
    )
    found = by_group(whole, groups)
    for name, part in found.items():
        rows = [row for row, group in enumerate(groups) if group == name]
        assert part.scores["knn"].tolist() == part.p_values["knn"].tolist() == rows
        assert list(part.columns["row"]) == [str(row) for row in rows]
        assert part.embeddings is not None
        assert part.embeddings[:, 0].tolist() == rows
    assert set(found) == {name for name in groups if name}


def test_samples_that_do_not_fit() -> None:
    whole = sample(0, 60)
    with pytest.raises(QueryError, match=r"different lengths: scores of 'knn' 3, 'maker' 2"):
        Sample(scores={"knn": np.arange(3)}, columns={"maker": ["A", "B"]})
    with pytest.raises(QueryError, match=r"different lengths: .*'groups' 1"):
        by_group(whole, ["a"])
    with pytest.raises(QueryError, match="in the window only: density, embeddings; hand in both"):
        window_drift(whole, Sample(scores={"knn": np.arange(9)}, columns={"maker": ["A"] * 9}))
    with pytest.raises(QueryError, match="alpha lies between 0 and 1, not 0"):
        window_drift(Sample(), Sample(), alpha=0)


def test_a_verdict_is_held_against_its_corrected_figure() -> None:
    assert Verdict(p=0.004, alpha=0.01, corrected=0.012, tests=3).differs is False
    assert Verdict(p=0.003, alpha=0.01, corrected=0.009, tests=3).differs is True
