"""Measures of a ranking, against scikit-learn, slow plain versions and by hand."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score, roc_auc_score

from indexer.evaluating.metrics import (
    average_precision,
    hit_rate_at_k,
    measure,
    measure_names,
    ndcg_at_k,
    precision_at_k,
    r_precision,
    recall_at_k,
    reciprocal_rank,
    vote,
)
from indexer.evaluating.protocols import own_ranks, three_d_mir_row, vote_shares
from indexer.evaluating.rankings import ExactRanking, StoreRanking, by_score, unit_rows
from indexer.evaluating.resampling import PatientDraws, auroc, gap_by_chance, interval
from indexer.stores.contract import renormalised
from indexer.stores.exact import ExactStore

gains = st.lists(st.integers(0, 3), min_size=1, max_size=25)
ks = st.integers(1, 30)


def relevance(own: list[int]) -> np.ndarray:
    return np.array(own) > 0


def best(own: list[int]) -> np.ndarray:
    return np.array(sorted(own, reverse=True))


def falling(n: int) -> np.ndarray:
    """Scores of a ranking of n, best first."""
    return np.arange(n, 0, -1)


def test_by_hand() -> None:
    ranked = relevance([0, 1, 0, 1])
    assert precision_at_k(ranked, 2) == 1 / 2
    assert precision_at_k(ranked, 10) == 2 / 4
    assert recall_at_k(ranked, 2, total=4) == 1 / 4
    assert (hit_rate_at_k(ranked, 1), hit_rate_at_k(ranked, 2)) == (0, 1)
    assert average_precision(ranked, total=2) == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert average_precision(ranked, total=4) == pytest.approx((1 / 2 + 2 / 4) / 4)
    assert r_precision(ranked, total=2) == 1 / 2
    assert reciprocal_rank(ranked) == 1 / 2
    ideal = (2 + 1 / math.log2(3)) + 0
    found = 0 + 1 / math.log2(3) + 2 / math.log2(4)
    assert ndcg_at_k(np.array([0, 1, 2]), np.array([2, 1, 0]), 3) == pytest.approx(found / ideal)


@given(gains)
def test_average_precision_is_that_of_scikit_learn(own: list[int]) -> None:
    assume(any(own))
    ranked = relevance(own)
    expected = average_precision_score(ranked, falling(len(own)))
    assert average_precision(ranked, int(ranked.sum())) == pytest.approx(expected)


@given(gains, ks)
def test_ndcg_is_that_of_scikit_learn(own: list[int], k: int) -> None:
    assume(any(own) and len(own) > 1)
    expected = ndcg_score([own], [falling(len(own))], k=k)
    assert ndcg_at_k(np.array(own), best(own), k) == pytest.approx(expected)


@given(gains, ks)
def test_figures_keep_their_bounds_and_relations(own: list[int], k: int) -> None:
    assume(any(own))
    ranked, total = relevance(own), sum(gain > 0 for gain in own)
    names = measure_names((k,))
    row = measure(np.array(own), total=total, ideal=best(own), candidates=len(own), ks=(k,))
    found = dict(zip(names, row, strict=True))
    assert all(0 <= value <= 1 + 1e-12 for value in row)
    assert found[f"hit_rate_at_{k}"] >= found[f"recall_at_{k}"]
    assert found[f"precision_at_{k}"] * min(k, len(own)) == pytest.approx(
        found[f"recall_at_{k}"] * total
    )
    assert precision_at_k(ranked, total) == pytest.approx(found["r_precision"])
    assert found["mrr"] >= found["map"] / total
    assert found["chance"] == total / len(own)
    perfect = dict(
        zip(
            names,
            measure(best(own), total=total, ideal=best(own), candidates=len(own), ks=(k,)),
            strict=True,
        )
    )
    for name in ("map", "mrr", "r_precision", f"ndcg_at_{k}", f"graded_ndcg_at_{k}"):
        assert perfect[name] == pytest.approx(1)
        assert found[name] <= perfect[name] + 1e-12


@given(gains, st.integers(0, 24))
def test_a_cut_ranking_finds_no_more(own: list[int], depth: int) -> None:
    assume(any(own))
    total = int(relevance(own).sum())
    whole, cut = relevance(own), relevance(own)[:depth]
    assert average_precision(cut, total) <= average_precision(whole, total) + 1e-12
    assert recall_at_k(cut, 10, total) <= recall_at_k(whole, 10, total)
    assert reciprocal_rank(cut) in (0, reciprocal_rank(whole))


@given(st.lists(st.sampled_from(["a", "b", "c", "a|b", ""]), max_size=12), st.integers(1, 8))
def test_the_vote_goes_by_number_then_by_nearness(words: list[str], k: int) -> None:
    near = [frozenset(word.split("|")) - {""} for word in words]
    said = vote(near, k)
    counts = Counter(label for own in near[:k] for label in own)
    if not counts:
        assert not said
        return
    assert counts[said] == max(counts.values())
    first = next(i for i, own in enumerate(near) if said in own)
    for label, count in counts.items():
        if count == counts[said]:
            assert next(i for i, own in enumerate(near) if label in own) >= first


scores = st.lists(st.integers(-9, 9), min_size=1, max_size=40)


@given(scores)
def test_the_order_is_a_stable_sort(drawn: list[int]) -> None:
    values = np.array(drawn, np.float32) / 10
    assert by_score(values).tolist() == np.argsort(-values, kind="stable").tolist()


def vectors_of(n: int, dim: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    return unit_rows(rows.astype(np.float16))


@given(st.integers(1, 60), st.integers(0, 5))
def test_block_by_block_and_one_by_one_are_the_same(n: int, seed: int) -> None:
    rows = vectors_of(n, 8, seed)
    ranking = ExactRanking(rows)
    together = [order.tolist() for order in ranking(np.arange(n))]
    alone = [next(ranking(np.array([i]))).tolist() for i in range(n)]
    assert together == alone
    for query, order in enumerate(together):
        near = np.round(rows[order] @ rows[query], 5)
        assert (np.diff(near) <= 2e-5).all()


def test_a_store_that_misses_nothing_ranks_like_all_vectors() -> None:
    rows = renormalised(vectors_of(50, 16, 3).astype(np.float16))  # as catalog and stores keep them
    ids = np.arange(50) * 7 + 2
    store = ExactStore(16)
    store.upsert(ids, rows)
    store.upsert(np.array([1, 400]), rows[:2])  # of others: never found
    asked = np.arange(50)
    exact = [order.tolist() for order in ExactRanking(rows)(asked)]
    through = [order.tolist() for order in StoreRanking(store, ids, rows, 20)(asked)]
    assert through == [order[:20] for order in exact]


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_the_area_under_the_curve_is_that_of_scikit_learn(drawn: list[tuple[int, bool]]) -> None:
    values, positive = (np.array(each) for each in zip(*drawn, strict=True))
    if positive.all() or not positive.any():
        assert math.isnan(auroc(values.astype(float), positive))
        return
    assert auroc(values.astype(float), positive) == pytest.approx(roc_auc_score(positive, values))


def test_what_is_drawn_is_what_weights_give() -> None:
    rng = np.random.default_rng(5)
    owners = rng.integers(0, 8, 60)
    values, positive = rng.integers(0, 6, 60).astype(float), rng.random(60) < 0.4
    draws = PatientDraws(owners, draws=25, seed=3)
    chances = np.full(8, 1 / 8)
    weights = np.random.default_rng(3).multinomial(8, chances, 25)
    means, medians = draws.means(values[None], positive)[:, 0], draws.medians(values)
    areas = draws.aurocs(values, positive)
    for at, times in enumerate(weights):
        drawn = np.repeat(np.arange(60), times[owners])
        own = drawn[positive[drawn]]
        assert means[at] == pytest.approx(values[own].mean())
        assert medians[at] == np.sort(values[drawn])[(len(drawn) - 1) // 2]
        assert areas[at] == pytest.approx(roc_auc_score(positive[drawn], values[drawn]))


def test_intervals_widen_when_patients_are_alike() -> None:
    rng = np.random.default_rng(1)
    of_patient = rng.random(20)
    owners = np.repeat(np.arange(20), 10)
    values, every = of_patient[owners], np.ones(200, bool)
    alike = PatientDraws(owners).means(values[None], every)[:, 0]
    apart = PatientDraws(np.arange(200)).means(values[None], every)[:, 0]
    told, narrow = interval(values.mean(), alike), interval(values.mean(), apart)
    assert told.low < told.value < told.high
    assert told.high - told.low > 2 * (narrow.high - narrow.low)


def test_groups_that_are_alike_stay_below_the_gap_by_chance() -> None:
    rng = np.random.default_rng(2)
    owners, below = np.arange(300), 0
    for seed in range(40):
        values, group = rng.random(300), rng.integers(0, 3, 300)
        means = [values[group == g].mean() for g in range(3)]
        limit = gap_by_chance(values, owners, group, draws=200, seed=seed)
        below += max(means) - min(means) <= limit
    assert below >= 34
    values[group == 0] += 0.3
    means = [values[group == g].mean() for g in range(3)]
    assert max(means) - min(means) > gap_by_chance(values, owners, group, draws=200)


def test_the_protocols_arithmetic_by_hand() -> None:
    # Two of ten listed are relevant, at ranks 2 and 4; the eleventh is not listed.
    listed = np.array([0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1], bool)
    row = three_d_mir_row(listed, (3, 5, 10))
    assert row == pytest.approx((1 / 3, 2 / 5, 2 / 10, (1 / 2 + 2 / 4) / 2))
    assert three_d_mir_row(np.zeros(4, bool), (3,)) == (0, 0)
    # Of two texts that are alike neither finds its image first; a silent one is last.
    images = np.eye(3, dtype=np.float32)
    texts = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0]], np.float32)
    assert own_ranks(texts, images).tolist() == [1, 2, 3]
    assert own_ranks(images, texts).tolist() == [2, 1, 3]
    shares = vote_shares(
        [frozenset("a"), frozenset("b"), frozenset("ab")],
        np.array([0.9, 0.9, 0.9], np.float32),
        ["a", "b", "c"],
    )
    assert shares == pytest.approx([2 / 3, 2 / 3, 0])
    near, far = vote_shares(
        [frozenset("a"), frozenset("b")], np.array([0.97, 0.9], np.float32), ["a", "b"]
    )
    assert near / far == pytest.approx(math.e, rel=1e-5)
