"""Arithmetic of a search: Rocchio, reciprocal rank fusion, groups, copies, diversity."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.errors import QueryError
from indexer.searching.fusion import reciprocal_ranks
from indexer.searching.grouping import Group, grouped, spread_out, without_copies
from indexer.searching.mixing import centre, rocchio, said

X, Y, Z = np.eye(3, dtype=np.float32)
SHARES = {"alpha": 1.0, "beta": 0.75, "gamma": 0.15}


def unit_rows(n: int, dim: int = 8, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


# -- Rocchio ---------------------------------------------------------------------------------------


def test_the_first_that_is_liked_is_the_query_and_the_others_are_feedback() -> None:
    mixed = rocchio([Z, X, Y, X], [-1, 1, 1, 1], **SHARES)
    wanted = X + 0.75 * (Y + X) / 2 - 0.15 * Z
    assert mixed == pytest.approx(wanted / np.linalg.norm(wanted), abs=1e-6)


def test_weights_multiply_what_they_are_of() -> None:
    mixed = rocchio([X, Y, Z], [2, 0.5, -4], **SHARES)
    wanted = 2 * X + 0.75 * 0.5 * Y - 0.15 * 4 * Z
    assert mixed == pytest.approx(wanted / np.linalg.norm(wanted), abs=1e-6)


def test_what_cancels_out_is_refused() -> None:
    with pytest.raises(QueryError, match="cancel each other out"):
        rocchio([X, X], [1, -1], alpha=1, beta=1, gamma=1)


def test_the_mix_is_said_in_words() -> None:
    assert said([1, 1, 1, -1], **SHARES) == (
        "examples mixed by Rocchio: 1 x the first example + 0.75 x the mean of 2 more - 0.15 x the "
        "mean of 1 unlike"
    )
    assert said([1, 0.5], **SHARES).endswith(", each times its own weight")


def test_the_centre_of_opposite_rows_is_the_first() -> None:
    assert centre(np.stack([X, Y])) == pytest.approx((X + Y) / np.sqrt(2))
    assert centre(np.stack([X, -X])) == pytest.approx(X)


# -- fusion ----------------------------------------------------------------------------------------

rankings = st.lists(st.lists(st.integers(0, 30), unique=True, max_size=20), max_size=4)


@given(rankings)
def test_fusion_adds_reciprocal_ranks(lists: list[list[int]]) -> None:
    fused = reciprocal_ranks(lists)
    everyone = {one for ranking in lists for one in ranking}
    slowly = {
        one: sum(1 / (60 + ranking.index(one) + 1) for ranking in lists if one in ranking)
        for one in everyone
    }
    assert dict(fused) == pytest.approx(slowly)
    assert [one for one, _ in fused] == sorted(
        everyone, key=lambda one: (-round(slowly[one], 12), one)
    )


@given(st.lists(st.integers(0, 30), unique=True, max_size=20))
def test_one_ranking_stays_as_it_is(ranking: list[int]) -> None:
    assert [one for one, _ in reciprocal_ranks([ranking])] == ranking


# -- groups and copies -----------------------------------------------------------------------------


def test_a_group_is_listed_by_its_best_item_and_the_others_are_counted() -> None:
    ranked = [(5, 0.9), (7, 0.8), (6, 0.8), (9, 0.7), (8, 0.1)]
    assert grouped(ranked, {5: 1, 6: 1, 7: 2, 8: 1}) == [Group(1, 5, 0.9, 2), Group(2, 7, 0.8, 0)]


def test_of_copies_the_first_stays_and_the_others_name_it() -> None:
    groups = [Group(n, n, 1.0 - n / 10, 0) for n in range(5)]
    kept, copies = without_copies(groups, {0: "a", 1: "b", 2: "a", 3: "", 4: ""})
    assert [group.item for group in kept] == [0, 1, 3, 4]
    assert copies == {2: 0}


# -- diversity -------------------------------------------------------------------------------------


def slowly_spread(
    relevance: np.ndarray, vectors: np.ndarray, count: int, trade: float
) -> list[int]:
    """Maximal marginal relevance by its definition."""
    chosen: list[int] = []
    while len(chosen) < count:
        worth = {
            n: trade * relevance[n]
            - (1 - trade) * max((float(vectors[n] @ vectors[c]) for c in chosen), default=0.0)
            for n in range(len(relevance))
            if n not in chosen
        }
        chosen.append(max(worth, key=lambda n: (round(worth[n], 9), -n)))
    return chosen


@given(st.integers(1, 12), st.floats(0, 1), st.integers(0, 1000))
def test_spreading_out_is_maximal_marginal_relevance(n: int, trade: float, seed: int) -> None:
    vectors = unit_rows(n, 4, seed)
    relevance = np.sort(np.random.default_rng(seed + 1).uniform(0, 1, n))[::-1]
    chosen = spread_out(relevance.tolist(), vectors, n, trade=trade)
    assert sorted(chosen) == list(range(n))
    wanted = slowly_spread(relevance, vectors, n, trade)
    worth_of = [relevance[i] for i in chosen]
    assert worth_of == pytest.approx([relevance[i] for i in wanted], abs=1e-4)


def test_with_lambda_one_the_order_stays_and_with_less_copies_come_last() -> None:
    vectors = np.stack([X, X, X, Y])
    relevance = [0.9, 0.89, 0.88, 0.5]
    assert spread_out(relevance, vectors, 4, trade=1.0) == [0, 1, 2, 3]
    assert spread_out(relevance, vectors, 2, trade=0.5) == [0, 3]
