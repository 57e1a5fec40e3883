"""What to label next, and how much of a library that covers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_graphs import blobs, graph, unit

from clustering.coverage import coverage_curves, usual_similarity
from clustering.selection import STRATEGIES, Pool, select
from indexer.errors import QueryError

every_strategy = pytest.mark.parametrize("strategy", sorted(STRATEGIES))


def pool(sizes: tuple[int, ...] = (60, 30, 20), *, labelled: int = 0, noise: float = 0.1) -> Pool:
    """Blobs that are their own clusters; the first rows of the first one may have a label."""
    rows, own = blobs(sizes, noise=noise)
    given_labels: list[str | None] = [None] * len(rows)
    given_labels[:labelled] = ["first"] * labelled
    return Pool(rows, graph(rows, 25), own, given_labels)


@every_strategy
def test_rows_without_a_label_none_twice_and_the_same_again(strategy: str) -> None:
    items = pool(labelled=10)
    once = select(items, strategy, 12, seed=1)
    assert len(set(once.tolist())) == 12
    assert once.min() >= 10
    assert np.array_equal(once, select(items, strategy, 12, seed=1))


@every_strategy
def test_the_whole_pool(strategy: str) -> None:
    items = pool((7, 4), labelled=2)
    assert sorted(select(items, strategy, 9).tolist()) == list(range(2, 11))


@pytest.mark.parametrize("strategy", ["typiclust", "probcover", "dropquery"])
def test_three_items_show_three_clusters(strategy: str) -> None:
    items = pool()
    assert set(items.clusters[select(items, strategy, 3)]) == {0, 1, 2}


@pytest.mark.parametrize("strategy", ["typiclust", "probcover"])
def test_a_cluster_that_has_labels_waits(strategy: str) -> None:
    items = pool(labelled=1)
    assert set(items.clusters[select(items, strategy, 2)]) == {1, 2}


def test_typiclust_takes_the_typical_and_leaves_outliers() -> None:
    items = pool((40, 40))
    items.embeddings[0] = np.eye(16)[9]
    again = Pool(items.embeddings, graph(items.embeddings, 25), items.clusters, items.given)
    assert 0 not in select(again, "typiclust", 10)


def test_probcover_begins_where_most_lie() -> None:
    items = pool()
    chosen = select(items, "probcover", 3)
    assert items.clusters[chosen].tolist() == [0, 1, 2]


def test_dropquery_asks_where_classes_meet() -> None:
    """Points on an arc from class a to class b: those between are less sure."""
    rng = np.random.default_rng(0)
    turn = np.linspace(0, np.pi / 2, 400)
    axes = np.linalg.qr(rng.standard_normal((32, 2)))[0]
    rows = unit(np.stack([np.cos(turn), np.sin(turn)], axis=1) @ axes.T)
    given_labels: list[str | None] = [None] * 400
    given_labels[:20], given_labels[-20:] = ["a"] * 20, ["b"] * 20
    items = Pool(rows, graph(rows, 25), np.repeat([0, 1], 200), given_labels)
    chosen = select(items, "dropquery", 4)
    assert np.abs(chosen - 199.5).max() < 150


@given(st.integers(1, 20), st.integers(0, 5))
@settings(max_examples=15)
def test_any_budget_and_seed(budget: int, seed: int) -> None:
    items = pool((10, 6, 5), labelled=1)
    for strategy in STRATEGIES:
        assert len(set(select(items, strategy, budget, seed=seed).tolist())) == budget


def test_what_cannot_be_chosen() -> None:
    items = pool(labelled=10)
    with pytest.raises(QueryError, match="100 items have no label, so 1 to 100, not 101"):
        select(items, "random", 101)
    with pytest.raises(QueryError, match="not 0"):
        select(items, "random", 0)
    with pytest.raises(QueryError, match="there are: typiclust, probcover, dropquery, random"):
        select(items, "best", 3)
    with pytest.raises(QueryError, match="given: 1 values for 110 items"):
        select(Pool(items.embeddings, items.neighbours, items.clusters, ["a"]), "random", 3)


def test_coverage_by_hand() -> None:
    rows = unit(np.array([[1, 0], [1, 0.01], [0, 1], [0.01, 1.0]]))
    items = Pool(rows, graph(rows, 3), np.array([0, 0, 1, 1]), ["a", None, None, None])
    (curve,) = coverage_curves(items, 2, strategies=["probcover"], similarity=0.99)
    assert curve.items == (0.5, 1.0, 1.0)
    assert curve.clusters == (0.5, 1.0, 1.0)
    assert curve.chosen[0] in {2, 3}


def test_all_strategies_side_by_side() -> None:
    items = pool()
    curves = {curve.strategy: curve for curve in coverage_curves(items, 6)}
    assert set(curves) == set(STRATEGIES)
    for curve in curves.values():
        assert len(curve.items) == 7
        assert list(curve.items) == sorted(curve.items)
        assert curve.items[0] == 0.0
    assert curves["probcover"].clusters[3] == 1.0
    assert curves["random"].similarity == usual_similarity(items.neighbours)


def test_no_neighbours_no_usual_similarity() -> None:
    with pytest.raises(QueryError, match="give one"):
        usual_similarity(graph(np.ones((1, 2), np.float32), 3))
