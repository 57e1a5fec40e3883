"""What single methods promise beyond the contract."""

from __future__ import annotations

import numpy as np
import pytest
from mixtures import long_tail, mixture

from clustering.contract import NOISE
from clustering.density import Density, _compile, warm
from clustering.graph import Graph
from clustering.kmeans import KMeans
from clustering.subset import balanced_subset
from indexer.errors import ClusteringError, ConfigError

pytest.importorskip("umap", reason="needs the extra 'clusters'")
pytest.importorskip("fast_hdbscan", reason="needs the extra 'clusters'")
metrics = pytest.importorskip("sklearn.metrics", reason="needs the extra 'clusters'")
base = pytest.importorskip("sklearn.base", reason="needs the extra 'clusters'")

ROWS, GROUPS = mixture(long_tail(1200, 12), spread=0.5)


def test_balanced_clusters_are_equally_large() -> None:
    found = KMeans(balanced=True).fit(ROWS, 7)
    sizes = np.bincount(found.labels)
    assert sizes.max() - sizes.min() <= 1
    assert sizes.sum() == len(ROWS)


def test_balanced_clusters_are_the_groups_where_those_are_equal() -> None:
    rows, groups = mixture((50, 50, 50, 50))
    assert metrics.adjusted_rand_score(groups, KMeans(balanced=True).fit(rows, 4).labels) == 1


def test_kmeans_is_less_sure_between_two_centres() -> None:
    rows, groups = mixture((60, 60), seed=2)
    first, second = (rows[groups == group].mean(axis=0) for group in (0, 1))
    between = (first + second) / np.linalg.norm(first + second)
    found = KMeans().fit(np.vstack([rows, between[None]]).astype(np.float32), 2)
    assert found.confidence.argmin() == len(rows)


def test_density_finds_a_long_tail_better_than_kmeans() -> None:
    density = metrics.adjusted_rand_score(GROUPS, Density().fit(ROWS).labels)
    assert density > 0.9
    assert density > metrics.adjusted_rand_score(GROUPS, KMeans().fit(ROWS, 12).labels)


def test_density_says_for_which_sizes_a_number_of_clusters_holds() -> None:
    layers = dict(Density().fit(ROWS).curves["density layers"])
    assert max(layers, key=lambda count: layers[count]) == pytest.approx(12, abs=2)
    assert sum(layers.values()) <= 1 + 1e-9


def test_density_tells_that_it_compiles() -> None:
    _compile.cache_clear()
    told = []
    for _ in range(2):
        warm(lambda what, _done, _total: told.append(what))
    assert told == ["compiling (once)"] * 2, "begun and done, the first time only"


def test_density_tells_how_near_it_came_to_the_number_asked_for() -> None:
    found = Density().fit(ROWS, 12)
    assert found.notes[0].startswith(f"{found.n_clusters} clusters: ")
    assert "asked for 12" in found.notes[0]
    assert found.n_clusters == pytest.approx(12, abs=1)


def test_density_clusters_a_sample_of_many_and_the_others_join() -> None:
    found = Density(fit_up_to=600).fit(ROWS)
    assert metrics.adjusted_rand_score(GROUPS, found.labels) > 0.85
    assert "600 vectors were clustered" in found.notes[-1]


def test_scattered_rows_are_noise_or_unsure() -> None:
    scattered = np.random.default_rng(1).standard_normal((40, ROWS.shape[1]))
    scattered /= np.linalg.norm(scattered, axis=1, keepdims=True)
    found = Density().fit(np.vstack([ROWS, scattered]).astype(np.float32))
    last = found.labels[len(ROWS) :]
    own = len(np.unique(last[last != NOISE]))
    assert (last == NOISE).any() or own < found.n_clusters


def test_a_higher_resolution_gives_more_communities() -> None:
    rows, _ = mixture(long_tail(1200, 12), spread=2.0)
    few, many = (Graph(resolution=resolution).fit(rows) for resolution in (0.2, 10.0))
    assert few.n_clusters < Graph().fit(rows).n_clusters < many.n_clusters


def test_graph_reaches_the_number_asked_for() -> None:
    assert Graph().fit(ROWS, 12).n_clusters == 12


def test_a_balanced_subset_is_flatter_than_chance() -> None:
    chosen = balanced_subset(ROWS, 120)
    assert len(np.unique(chosen)) == 120
    of_all, of_chosen = (np.bincount(some) / len(some) for some in (GROUPS, GROUPS[chosen]))
    assert of_chosen.max() < 0.7 * of_all.max()
    assert len(of_chosen) == 12 and (of_chosen > 0).all()
    np.testing.assert_array_equal(chosen, balanced_subset(ROWS, 120))


def test_a_subset_of_all_is_all() -> None:
    np.testing.assert_array_equal(balanced_subset(ROWS[:50], 50), np.arange(50))


def test_a_subset_larger_than_all_is_refused() -> None:
    with pytest.raises(ClusteringError, match="between 1 and the 50 vectors"):
        balanced_subset(ROWS[:50], 51)
    with pytest.raises(ClusteringError, match="do not fall"):
        balanced_subset(ROWS[:50], 5, levels=(5, 10))


def test_any_method_is_a_scikit_learn_estimator() -> None:
    from clustering.estimator import Clusterer  # noqa: PLC0415 - it needs scikit-learn

    clusterer = Clusterer("graph", n_clusters=12, options={"n_neighbors": 10})
    copy = base.clone(clusterer).set_params(random_state=3)
    assert copy.get_params()["options"] == {"n_neighbors": 10}
    labels = copy.fit_predict(3 * ROWS)
    np.testing.assert_array_equal(labels, copy.labels_)
    assert copy.result_.parameters["seed"] == 3
    with pytest.raises(ConfigError, match="no clustering method"):
        Clusterer("tarot").fit(ROWS)
