"""The neighbour graph: exact, approximate, topped up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mixtures import long_tail, mixture

from clustering.contract import NO_ROW
from clustering.neighbours import extended, neighbour_graph
from indexer.errors import ClusteringError, VectorError

pytest.importorskip("faiss", reason="needs FAISS")


def by_hand(rows: np.ndarray, k: int) -> np.ndarray:
    """Row numbers of the nearest others, by sorting all cosines."""
    scores = rows @ rows.T
    np.fill_diagonal(scores, -np.inf)
    return np.argsort(-scores, axis=1, kind="stable")[:, : min(k, len(rows) - 1)]


def signs(count: int, dim: int, seed: int) -> np.ndarray:
    """Rows whose cosines are exact in float32, so that many are equal."""
    return np.random.default_rng(seed).choice([-1, 1], (count, dim)).astype(np.float32) / 4


@settings(max_examples=25)
@given(count=st.integers(1, 90), k=st.integers(1, 12), seed=st.integers(0, 99))
def test_it_is_what_sorting_all_cosines_gives(count: int, k: int, seed: int) -> None:
    rows = signs(count, 16, seed)
    graph, nearest = neighbour_graph(rows, k), by_hand(rows, k)
    there = nearest.shape[1]
    np.testing.assert_array_equal(graph.rows[:, :there], nearest)
    assert (graph.rows[:, there:] == NO_ROW).all()
    assert np.isneginf(graph.scores[:, there:]).all()
    assert graph.recall == 1
    assert graph.rows.dtype == np.int32 and graph.scores.dtype == np.float32


def test_blocks_meet_each_other() -> None:
    rows = signs(5000, 16, 1)
    graph = neighbour_graph(rows, 5)
    some = np.arange(0, 5000, 61)
    scores = rows[some] @ rows.T
    scores[np.arange(len(some)), some] = -np.inf
    np.testing.assert_array_equal(
        graph.rows[some], np.argsort(-scores, axis=1, kind="stable")[:, :5]
    )
    assert (np.diff(graph.scores, axis=1) <= 0).all()


@settings(max_examples=15)
@given(old=st.integers(1, 60), new=st.integers(0, 60), seed=st.integers(0, 99))
def test_topped_up_it_is_as_if_made_anew(old: int, new: int, seed: int) -> None:
    rows = signs(old + new, 16, seed)
    grown, anew = extended(neighbour_graph(rows[:old], 7), rows), neighbour_graph(rows, 7)
    np.testing.assert_array_equal(grown.rows, anew.rows)
    np.testing.assert_array_equal(grown.scores, anew.scores)


def test_above_the_limit_it_is_approximate_and_says_how_well() -> None:
    rows, _ = mixture(long_tail(6000, 12), spread=0.8)
    graph = neighbour_graph(rows, 10, exact_up_to=1000, recall=0.95)
    exact = neighbour_graph(rows, 10)
    shared = [len(np.intersect1d(a, b)) for a, b in zip(graph.rows, exact.rows, strict=True)]
    assert np.sum(shared) / exact.rows.size == pytest.approx(graph.recall, abs=0.02)
    assert 0.95 <= graph.recall < 1
    assert all(len(set(row)) == 10 for row in graph.rows.tolist()), "no neighbour twice"
    assert (graph.rows != np.arange(len(rows))[:, None]).all(), "nobody is its own neighbour"


def test_topped_up_an_approximate_graph_keeps_its_recall() -> None:
    rows, _ = mixture(long_tail(4000, 12), spread=0.8)
    graph = neighbour_graph(rows[:-100], 10, exact_up_to=1000)
    grown, exact = extended(graph, rows), neighbour_graph(rows, 10)
    assert grown.recall == graph.recall
    np.testing.assert_array_equal(grown.rows[-100:], exact.rows[-100:])


def test_a_memory_map_of_halves_is_read(tmp_path: Path) -> None:
    rows = signs(300, 16, 4)
    halves = np.memmap(tmp_path / "rows.f16", np.float16, "w+", shape=rows.shape)
    halves[:] = rows
    np.testing.assert_array_equal(neighbour_graph(halves, 5).rows, neighbour_graph(rows, 5).rows)


def test_bad_rows_are_refused() -> None:
    with pytest.raises(ClusteringError, match="no vectors"):
        neighbour_graph(np.empty((0, 4), np.float32))
    rows = signs(20, 16, 0)
    rows[3] = np.nan
    with pytest.raises(VectorError, match="vector 3"):
        neighbour_graph(rows)


def test_what_progress_raises_stops_the_work() -> None:
    def stop(_what: str, _done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        neighbour_graph(signs(20, 16, 0), progress=stop)
