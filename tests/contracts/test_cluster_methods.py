"""What every clustering method promises (`clustering.contract`)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from mixtures import long_tail, mixture

from clustering.contract import NOISE, ClusterMethod
from clustering.neighbours import neighbour_graph
from clustering.registry import METHODS, make_method
from indexer.errors import ClusteringError, ConfigError, VectorError

pytest.importorskip("umap", reason="needs the extra 'clusters'")
pytest.importorskip("fast_hdbscan", reason="needs the extra 'clusters'")
metrics = pytest.importorskip("sklearn.metrics", reason="needs the extra 'clusters'")

ROWS, GROUPS = mixture((120, 80, 60, 40))
THERE = [name for name, target in METHODS.items() if find_spec(target.partition(":")[0])]
FINDS_OUT = [name for name in THERE if name in {"hdbscan", "graph", "micro"}]


BRIEF = {"cpp": {"epochs": 40, "warm_up": 20, "batch": 128, "hidden": 64, "features": 16}}
"""What is promised holds for any parameters; those of long training are for its own tests."""


@pytest.fixture(params=THERE)
def method(request: pytest.FixtureRequest) -> ClusterMethod:
    return make_method(request.param, BRIEF.get(request.param))


def test_separated_groups_are_found(method: ClusterMethod) -> None:
    found = method.fit(ROWS, 4)
    assert metrics.adjusted_rand_score(GROUPS, found.labels) > 0.98
    assert found.n_clusters == 4
    assert found.labels.dtype == np.int64 and found.confidence.dtype == np.float32
    sizes = np.bincount(found.labels[found.labels != NOISE])
    assert (np.diff(sizes) <= 0).all(), "the largest cluster comes first"
    assert ((found.confidence >= 0) & (found.confidence <= 1)).all()


@pytest.mark.parametrize("name", FINDS_OUT)
def test_the_number_of_groups_need_not_be_given(name: str) -> None:
    rows, groups = mixture(long_tail(600, 6), seed=3)
    found = make_method(name).fit(rows)
    assert metrics.adjusted_rand_score(groups, found.labels) > 0.95
    assert found.n_clusters == pytest.approx(6, abs=1)


def test_the_same_seed_gives_the_same_answer(method: ClusterMethod) -> None:
    first, second = (method.fit(ROWS, 4, seed=7) for _ in range(2))
    np.testing.assert_array_equal(first.labels, second.labels)
    np.testing.assert_array_equal(first.confidence, second.confidence)
    assert first.parameters == second.parameters
    assert first.parameters["seed"] == 7


def test_a_memory_map_of_halves_is_read_and_left_as_it_is(
    method: ClusterMethod, tmp_path: Path
) -> None:
    halves = np.memmap(tmp_path / "rows.f16", np.float16, "w+", shape=ROWS.shape)
    halves[:] = ROWS
    halves.flush()
    before = (tmp_path / "rows.f16").read_bytes()
    found = method.fit(np.memmap(tmp_path / "rows.f16", np.float16, "r", shape=ROWS.shape), 4)
    assert metrics.adjusted_rand_score(GROUPS, found.labels) > 0.98
    assert (tmp_path / "rows.f16").read_bytes() == before


def test_a_graph_that_is_given_is_used_and_left_as_it_is(method: ClusterMethod) -> None:
    graph = neighbour_graph(ROWS, 50)
    rows, scores, before = graph.rows.copy(), graph.scores.copy(), ROWS.copy()
    found = method.fit(ROWS, 4, neighbours=graph)
    assert metrics.adjusted_rand_score(GROUPS, found.labels) > 0.98
    np.testing.assert_array_equal(graph.rows, rows)
    np.testing.assert_array_equal(graph.scores, scores)
    np.testing.assert_array_equal(ROWS, before)


def test_nothing_cannot_be_clustered(method: ClusterMethod) -> None:
    with pytest.raises(ClusteringError, match="nothing to cluster"):
        method.fit(np.empty((0, 8), np.float32))


def test_one_row_is_one_cluster(method: ClusterMethod) -> None:
    found = method.fit(ROWS[:1])
    assert found.labels.tolist() == [0]
    assert found.notes


def test_two_rows_are_answered(method: ClusterMethod) -> None:
    found = method.fit(ROWS[:2], 2)
    assert found.labels.shape == (2,)
    assert found.n_clusters == 2 or found.notes


def test_equal_rows_are_one_cluster(method: ClusterMethod) -> None:
    found = method.fit(np.repeat(ROWS[:1], 40, axis=0))
    assert found.n_clusters == 1
    assert "equal" in found.notes[0]


def test_few_different_rows_many_times(method: ClusterMethod) -> None:
    found = method.fit(np.repeat(ROWS[:3], 30, axis=0), 3)
    assert len(set(zip(found.labels.tolist(), np.repeat(range(3), 30), strict=True))) == 3


def test_more_clusters_than_different_rows_are_refused(method: ClusterMethod) -> None:
    with pytest.raises(ClusteringError, match=r"4 clusters of 60 vectors, of which 3 differ"):
        method.fit(np.repeat(ROWS[:3], 20, axis=0), 4)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 0.0])
def test_a_row_that_is_no_embedding_is_named(method: ClusterMethod, wrong: float) -> None:
    rows = ROWS.copy()
    rows[17] = wrong
    with pytest.raises(VectorError, match="vector 17"):
        method.fit(rows, 4)


def test_what_progress_raises_stops_the_work(method: ClusterMethod) -> None:
    def stop(_what: str, _done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        method.fit(ROWS, 4, progress=stop)


def test_a_parameter_that_there_is_not_is_named() -> None:
    with pytest.raises(ConfigError, match="'kmeans' has no parameter 'depth'; it has: tries"):
        make_method("kmeans", {"depth": 3})
