"""How many clusters: coding length by its formula, all criteria, the answer with its neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from handwriting import digits
from mixtures import mixture

from clustering.count import coding_length, estimate_count, narrowed
from clustering.eigenvectors import cut, leading, similarities
from clustering.neighbours import neighbour_graph

for module in ("sklearn", "umap", "fast_hdbscan"):
    pytest.importorskip(module)


@pytest.mark.parametrize("dim", [3, 40])
def test_coding_length_is_that_of_the_formula_in_whichever_dimension_is_smaller(dim: int) -> None:
    rows, labels = mixture((12, 8, 1), dim=dim)
    naive = 0.0
    for label, size in enumerate([12, 8, 1]):
        its = rows[labels == label].astype(np.float64)
        bits = np.linalg.slogdet(np.eye(dim) + dim / (size * 0.1) * its.T @ its)[1]
        naive += (size + dim) / 2 * bits - size * np.log(size / 21)
    assert coding_length(rows, labels) == pytest.approx(naive, rel=1e-6)


def test_true_clusters_need_fewer_nats_than_any_other_partition() -> None:
    rows, labels = mixture((80,) * 4, dim=8, spread=0.4)
    true = coding_length(rows, labels)
    merged = np.where(labels == 3, 2, labels)
    halved = labels * 2 + (rows[:, 0] > np.median(rows[:, 0]))
    shuffled = np.random.default_rng(0).permutation(labels)
    assert true < min(coding_length(rows, each) for each in (merged, halved, shuffled))


def test_nine_or_ten_clusters_code_the_digits_best() -> None:
    rows, _ = digits()
    vectors = leading(similarities(neighbour_graph(rows, 15)), 30)
    narrow = narrowed(rows)
    nats = {k: coding_length(narrow, cut(vectors, k, tries=2)) for k in (5, 8, 9, 10, 11, 15, 30)}
    assert min(nats, key=lambda k: nats[k]) in {8, 9, 10, 11}
    assert nats[5] > nats[9]
    assert nats[30] > nats[15] > nats[10]


def test_narrowed_rows_are_unit_rows_without_what_all_share() -> None:
    rows, _ = mixture((50,) * 3, dim=64)
    narrow = narrowed(rows + 5, 8)
    assert narrow.shape == (150, 8)
    np.testing.assert_allclose(np.linalg.norm(narrow, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.abs(narrow), np.abs(narrowed(rows, 8)), atol=1e-2)


def test_an_estimate_comes_with_its_neighbours_and_what_each_criterion_says() -> None:
    rows, _ = mixture((70,) * 6, spread=0.7)
    found = estimate_count(rows)
    assert found.n_clusters == 6
    assert found.low < 6 < found.high
    assert (
        set(found.answers) == set(found.curves) == {"coding length", "stability", "density layers"}
    )
    assert "6 clusters were estimated" in found.note
    assert all(number >= 1 for curve in found.curves.values() for number, _ in curve)


def test_the_same_seed_gives_the_same_estimate() -> None:
    rows, _ = mixture((50,) * 3)
    assert estimate_count(rows, seed=3) == estimate_count(rows, seed=3)


@pytest.mark.parametrize("count", [1, 2, 12])
def test_few_rows_are_one_cluster_unless_they_show_more(count: int) -> None:
    rows, _ = mixture((count,))
    found = estimate_count(rows)
    assert found.low <= found.n_clusters <= found.high <= max(count, 2)


def test_a_reader_who_has_seen_enough_stops_it() -> None:
    rows, _ = mixture((50,) * 3)

    def stop(what: str, done: int, total: int) -> None:
        if what == "clustering subsamples":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        estimate_count(rows, progress=stop)
