"""Has what arrives changed: scores, embeddings and categories, each by itself.

False alarms are counted over many windows without a change.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from indexer.errors import QueryError, ReferenceSetError, VectorError
from ood.mmd import embedding_drift
from ood.occupancy import Column, occupancy_drift
from ood.shifts import detectable_shift, score_drift

SIZES = st.integers(1, 400)


def within_chance(alarms: int, rounds: int, alpha: float) -> bool:
    """Whether so many false alarms go with ``alpha``; 1 of 1,000 would be taken for too many."""
    return alarms <= int(binom.ppf(0.999, rounds, alpha))


def cloud(count: int, seed: int, *, off: float = 0.0) -> np.ndarray:
    """Unit rows float32 round one direction, moved by ``off`` into another."""
    rng = np.random.default_rng(seed)
    rows = np.eye(16)[0] + off * np.eye(16)[1] + 0.3 * rng.standard_normal((count, 16))
    unit: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit.astype(np.float32)


def drawn(rng: np.random.Generator, count: int, shares: tuple[float, ...]) -> list[str | None]:
    return [f"maker {each}" for each in rng.choice(len(shares), count, p=shares)]


# scores


def test_a_window_like_the_reference_raises_no_alarm() -> None:
    rng = np.random.default_rng(0)
    found = score_drift(rng.gamma(3, 1, 2_000), rng.gamma(3, 1, 120), detector="knn")
    assert not found.verdict.differs
    assert found.sentences[0].startswith("the scores of 'knn' do not differ from the reference")


def test_scores_that_have_risen_are_told() -> None:
    rng = np.random.default_rng(1)
    found = score_drift(rng.standard_normal(2_000), rng.normal(0.6, 1, 120), detector="knn")
    assert found.verdict.differs
    assert found.shift == pytest.approx(0.6, abs=0.25)
    (sentence,) = found.sentences
    assert sentence == (
        f"the scores of 'knn' differ from the reference (KS {found.statistic:.2f}, p below 0.0001; "
        f"the mean has moved by {found.shift:+.2f} standard deviations); a window of 120 can see a "
        "shift of 0.38 standard deviations"
    )


def test_a_wider_spread_is_told_though_the_mean_stays() -> None:
    rng = np.random.default_rng(2)
    found = score_drift(rng.standard_normal(2_000), rng.normal(0, 2, 300))
    assert found.verdict.differs
    assert abs(found.shift) < 0.3


def test_scores_without_a_change_raise_as_many_alarms_as_stated() -> None:
    rng = np.random.default_rng(3)
    ps = [score_drift(rng.gamma(2, 1, 500), rng.gamma(2, 1, 60)).verdict.p for _ in range(1_500)]
    for alpha in (0.01, 0.05, 0.2):
        alarms = int((np.array(ps) <= alpha).sum())
        assert within_chance(alarms, 1_500, alpha)
        assert alarms >= binom.ppf(0.001, 1_500, 0.8 * alpha)  # a test by ranks moves in steps


@pytest.mark.parametrize(("reference", "window"), [(200, 10), (300, 50), (2_000, 120), (500, 500)])
@pytest.mark.parametrize(("alpha", "power"), [(0.01, 0.8), (0.05, 0.5)])
def test_the_shift_said_to_be_seen_is_seen_as_often_as_stated(
    reference: int, window: int, alpha: float, power: float
) -> None:
    rng = np.random.default_rng(4)
    shift = detectable_shift(reference, window, alpha=alpha, power=power)
    seen = [
        score_drift(
            rng.standard_normal(reference), rng.normal(shift, 1, window), alpha=alpha
        ).verdict.differs
        for _ in range(500)
    ]
    assert np.mean(seen) == pytest.approx(power, abs=0.07)


@given(SIZES, SIZES)
def test_larger_windows_and_lower_power_see_smaller_shifts(reference: int, window: int) -> None:
    shift = detectable_shift(reference, window)
    assert detectable_shift(reference, window + 1) < shift
    assert detectable_shift(reference, window, power=0.5) < shift
    assert detectable_shift(reference, window, alpha=0.05) < shift


def test_scores_that_cannot_be_compared() -> None:
    few = np.arange(5.0)
    with pytest.raises(ReferenceSetError, match="two scores or more"):
        score_drift(few[:1], few)
    with pytest.raises(ReferenceSetError, match="all scores of the reference are equal"):
        score_drift(np.ones(9), few)
    with pytest.raises(ReferenceSetError, match="score 1 of the reference is not finite"):
        score_drift(np.array([0, np.nan, 1]), few)
    with pytest.raises(QueryError, match="a window needs one value or more"):
        score_drift(few, few[:0])
    with pytest.raises(QueryError, match="value 0 of the window is not finite"):
        score_drift(few, np.array([np.inf]))
    with pytest.raises(QueryError, match="alpha lies between 0 and 1, not 1"):
        score_drift(few, few, alpha=1)
    with pytest.raises(QueryError, match=r"a power of 0.01 is no more than the false alarms"):
        detectable_shift(100, 100, power=0.01)


# embeddings


def test_the_discrepancy_is_that_of_the_paper() -> None:
    """Lemma 6, pair by pair, with the width that was found."""
    before, now = cloud(50, 0).astype(float), cloud(60, 1, off=0.3).astype(float)
    found = embedding_drift(before.astype(np.float32), now.astype(np.float32))
    both = np.concatenate([before, now])
    apart = np.linalg.norm(both[:, None] - both, axis=2)
    assert found.width == pytest.approx(np.median(apart[np.triu_indices(110, 1)]), rel=1e-6)
    assert found.width is not None
    kernel = np.exp(-(apart**2) / (2 * found.width**2)) - np.eye(110)
    within = kernel[:50, :50].sum() / (50 * 49) + kernel[50:, 50:].sum() / (60 * 59)
    assert found.mmd == pytest.approx(within - 2 * kernel[:50, 50:].mean(), rel=1e-6)


def test_embeddings_that_have_moved_are_told() -> None:
    found = embedding_drift(cloud(400, 0), cloud(80, 1, off=0.4))
    assert found.verdict is not None
    assert found.verdict.p == pytest.approx(1 / 501)
    assert found.sentences[0].startswith("the embeddings differ from the reference (squared MMD 0.")
    assert "80 against 400" in found.sentences[0]


def test_embeddings_without_a_change_raise_as_many_alarms_as_stated() -> None:
    ps = []
    for seed in range(400):
        rows = cloud(170, seed)
        found = embedding_drift(rows[:110], rows[110:], seed, permutations=99)
        assert found.verdict is not None
        ps.append(found.verdict.p)
    for alpha in (0.01, 0.05, 0.2):
        alarms = int((np.array(ps) <= alpha).sum())
        assert within_chance(alarms, 400, alpha)
        assert alarms >= binom.ppf(0.001, 400, alpha)


def test_the_same_seed_gives_the_same_answer_of_a_drawn_part() -> None:
    before, now = cloud(1_200, 0), cloud(1_100, 1)
    found = embedding_drift(before, now, seed=5, permutations=99)
    assert (found.reference, found.window) == (1_000, 1_000)
    assert found == embedding_drift(before, now, seed=5, permutations=99)
    assert found != embedding_drift(before, now, seed=6, permutations=99)


def test_a_small_window_is_said_to_be_too_small() -> None:
    found = embedding_drift(cloud(100, 0), cloud(49, 1))
    assert (found.mmd, found.verdict) == (None, None)
    assert found.sentences == (
        "a window of 49 has too few embeddings to be compared: 50 are needed",
    )


def test_copies_of_the_reference_do_not_differ_from_it() -> None:
    rows = np.tile(cloud(3, 0), (30, 1))
    found = embedding_drift(rows, rows)
    assert found.verdict is not None
    assert found.verdict.p > 0.9


def test_embeddings_that_cannot_be_compared() -> None:
    rows = cloud(60, 0)
    with pytest.raises(ReferenceSetError, match="needs 50 embeddings or more, not 40"):
        embedding_drift(rows[:40], rows)
    with pytest.raises(VectorError, match="length 8 are scored by a reference of vectors of"):
        embedding_drift(rows, rows[:, :8])
    with pytest.raises(VectorError, match="vector 1 holds NaN"):
        embedding_drift(rows, np.where(np.arange(60)[:, None] == 1, np.nan, rows))
    with pytest.raises(QueryError, match=r"50 permutations cannot give a p-value of 0.01: take 99"):
        embedding_drift(rows, rows, permutations=50)


# categories


def test_categories_without_a_change_raise_as_many_alarms_as_stated() -> None:
    rng = np.random.default_rng(6)
    shares = (0.4, 0.3, 0.15, 0.1, 0.03, 0.02)
    ps = []
    for _ in range(300):
        found = occupancy_drift(drawn(rng, 800, shares), drawn(rng, 100, shares))
        assert found.verdict is not None
        ps.append(found.verdict.p)
    for alpha in (0.01, 0.05, 0.2):
        alarms = int((np.array(ps) <= alpha).sum())
        assert within_chance(alarms, 300, alpha)
        assert alarms >= binom.ppf(0.001, 300, alpha)


def test_another_mix_of_makers_is_told_with_the_maker_that_changed_most() -> None:
    before: Column = ["A"] * 500 + ["B"] * 300 + ["C"] * 200
    now: Column = ["A"] * 20 + ["B"] * 60 + ["C"] * 20
    found = occupancy_drift(before, now, field="maker")
    assert found.verdict is not None
    assert found.verdict.differs
    assert found.cramers_v == pytest.approx(np.sqrt(found_statistic(before, now) / 1_100))
    (sentence,) = found.sentences
    assert sentence == (
        f"the values of 'maker' differ from the reference (Cramer's V {found.cramers_v:.2f}, p "
        "below 0.0001); the greatest change is that of 'B', from 30.0% to 60.0%"
    )


def found_statistic(before: Column, now: Column) -> float:
    """Pearson's chi-squared by its definition."""
    total = 0.0
    both = [*before, *now]
    for side in (before, now):
        for value in set(both):
            expected = both.count(value) * len(side) / len(both)
            total += (list(side).count(value) - expected) ** 2 / expected
    return total


def test_a_value_the_reference_never_has_is_named_whatever_the_test_says() -> None:
    mix = ["A"] * 50 + ["B"] * 50
    found = occupancy_drift(mix * 10, [*mix, "new scanner"], field="model")
    assert found.verdict is not None
    assert not found.verdict.differs
    assert found.unseen == (("new scanner", 1),)
    assert "never seen in the reference as a value of 'model': 'new scanner' (1)" in found.sentences


def test_a_new_value_is_told_however_large_the_reference() -> None:
    before: Column = ["A"] * 30_000 + ["B"] * 30_000
    now: Column = ["A"] * 35 + ["B"] * 15 + ["new scanner"] * 10
    found = occupancy_drift(before, now)
    assert found.verdict is not None
    assert found.verdict.differs


def test_a_field_that_is_no_longer_filled_is_a_change() -> None:
    found = occupancy_drift(["A"] * 300 + ["B"] * 300, ["A"] * 30 + [None] * 30)
    assert found.verdict is not None
    assert found.verdict.differs
    assert found.unseen == (("", 30),)
    assert "those not known (30)" in found.sentences[1]


def test_rare_values_are_tested_together() -> None:
    rare: list[str | None] = [f"site {each}" for each in range(100)]
    found = occupancy_drift([*["A"] * 900, *rare], [*["A"] * 90, *rare[:10]])
    assert len(found.together) == 100
    assert found.cramers_v == pytest.approx(0, abs=1e-9)
    assert "100 values of 'field' were too rare to be tested by themselves" in found.sentences[-1]


@pytest.mark.parametrize("window", [["A"] * 40, ["A", "B"]])
def test_one_frequent_value_cannot_be_tested(window: Column) -> None:
    reference: Column = ["A"] * 100 if len(window) == 40 else ["A", "B"] * 50
    found = occupancy_drift(reference, window)
    assert (found.cramers_v, found.verdict) == (None, None)
    assert "cannot be tested: too few are expected of each" in found.sentences[0]


@given(
    st.lists(st.sampled_from(["a", "b", "c", "d", None]), min_size=1, max_size=80),
    st.lists(st.sampled_from(["a", "b", "c", "e", ""]), min_size=1, max_size=80),
)
def test_categories_keep_their_books(before: list[str | None], now: list[str | None]) -> None:
    found = occupancy_drift(before, now)
    assert sum(each.reference for each in found.shares) == pytest.approx(1)
    assert sum(each.window for each in found.shares) == pytest.approx(1)
    assert {name for name, _ in found.unseen} == {v or "" for v in now} - {v or "" for v in before}
    assert found.cramers_v is None or 0 <= found.cramers_v <= 1 + 1e-9
    assert found == occupancy_drift(before[::-1], now[::-1])


def test_columns_without_items_cannot_be_compared() -> None:
    with pytest.raises(ReferenceSetError, match="site: the reference has no items"):
        occupancy_drift([], ["A"], field="site")
    with pytest.raises(QueryError, match="site: the window has no items"):
        occupancy_drift(["A"], [], field="site")
