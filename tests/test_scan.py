"""SCAN on embeddings: the loss from its formula, digits, long tails, stopping, devices."""

from __future__ import annotations

import numpy as np
import pytest
from handwriting import accuracy, digits
from mixtures import mixture

from clustering.contract import NO_ROW, Neighbours
from clustering.scan import Scan, agreement, divergence, expected_sizes, icon, mined
from indexer.errors import ConfigError

torch = pytest.importorskip("torch")

QUICK = Scan(heads=3, epochs=30, k=10, batch=128, device="cpu")


def chances(rows: int, heads: int, clusters: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.dirichlet(np.full(clusters, 0.5), (rows, heads)).astype(np.float32)


def test_each_row_is_mined_with_itself_and_its_nearest_and_never_with_nobody() -> None:
    graph = Neighbours(
        np.array([[1, 2], [0, NO_ROW], [1, 0]], np.int32), np.zeros((3, 2), np.float32)
    )
    assert mined(graph, 2).tolist() == [[0, 1, 2], [1, 0, 1], [2, 1, 0]]
    assert mined(graph, 1).tolist() == [[0, 1], [1, 0], [2, 1]]


def test_agreement_is_the_mean_of_the_negative_logarithm_of_products() -> None:
    p, q = chances(7, 2, 4, 0), chances(7, 2, 4, 1)
    found = agreement(torch.from_numpy(p), torch.from_numpy(q), weighted=False)
    for head in range(2):
        naive = np.mean([-np.log(p[row, head] @ q[row, head]) for row in range(7)])
        assert float(found[head]) == pytest.approx(naive, rel=1e-5)


def test_a_pair_counts_by_how_surely_all_heads_put_it_together() -> None:
    p, q = chances(7, 2, 4, 0), chances(7, 2, 4, 1)
    weights = np.array(
        [np.mean([p[row, head] @ q[row, head] for head in range(2)]) for row in range(7)]
    )
    found = agreement(torch.from_numpy(p), torch.from_numpy(q), weighted=True)
    for head in range(2):
        lost = np.array([-np.log(p[row, head] @ q[row, head]) for row in range(7)])
        assert float(found[head]) == pytest.approx((lost * weights).sum() / weights.sum(), rel=1e-5)


def test_divergence_from_equal_sizes_is_entropy_but_for_a_constant() -> None:
    shares = chances(1, 3, 5, 2)[0]
    found = divergence(torch.from_numpy(shares), torch.from_numpy(expected_sizes("uniform", 5)))
    entropy = -(shares * np.log(shares)).sum(axis=1)
    np.testing.assert_allclose(found, np.log(5) - entropy, rtol=1e-5)


def test_sizes_are_expected_of_no_cluster_in_particular() -> None:
    expected = torch.from_numpy(expected_sizes("long-tailed", 4))
    same = torch.from_numpy(expected_sizes("long-tailed", 4)[[2, 0, 3, 1]])[None]
    assert float(divergence(same, expected)) == pytest.approx(0, abs=1e-6)
    assert expected.tolist() == pytest.approx([12 / 25, 6 / 25, 4 / 25, 3 / 25])


def test_icon_is_the_cross_entropy_between_smoothed_pairs() -> None:
    p, q = chances(6, 2, 3, 3), chances(6, 2, 3, 4)
    found = icon(torch.from_numpy(p), torch.from_numpy(q))
    for head in range(2):
        sizes = q[:, head].sum(axis=0)
        lost = 0.0
        for row in range(6):
            for other in range(6):
                same = sum(p[row, head, c] * q[other, head, c] / sizes[c] for c in range(3))
                true = 0.4 * (row == other) + 0.6 / 6
                lost -= true * np.log(0.4 * same + 0.6 / 6) / 6
        assert float(found[head]) == pytest.approx(lost, rel=1e-4)


@pytest.mark.parametrize("method", [QUICK, Scan(**{**vars(QUICK), "loss": "icon"})])
def test_clusters_that_hardly_overlap_are_found(method: Scan) -> None:
    rows, truth = mixture((150,) * 5)
    found = method.fit(rows, 5)
    assert accuracy(truth, found.labels) > 0.97
    assert found.confidence.min() >= 0
    assert found.confidence.max() <= 1
    assert found.n_clusters == 5


def test_digits_are_told_apart_as_well_as_by_the_published_method() -> None:
    rows, truth = digits()
    method = Scan(heads=5, epochs=40, device="cpu")
    found = [accuracy(truth, method.fit(rows, 10, seed=seed).labels) for seed in range(3)]
    assert np.mean(found) >= 0.84


def test_a_prior_with_a_long_tail_keeps_large_clusters_whole() -> None:
    rows, truth = mixture((600, 200, 60, 40), spread=1.5)
    given = {**vars(QUICK), "start": "random"}
    found = {
        prior: accuracy(truth, Scan(**{**given, "prior": prior}).fit(rows, 4).labels)
        for prior in ("uniform", "long-tailed", "estimated")
    }
    assert found["uniform"] < 0.7
    assert found["long-tailed"] > 0.8
    assert found["estimated"] > 0.8


def test_labels_that_a_head_is_sure_of_can_be_taught_again() -> None:
    rows, truth = mixture((100,) * 4)
    taught = Scan(**{**vars(QUICK), "self_label": True}).fit(rows, 4)
    assert accuracy(truth, taught.labels) > 0.97
    assert taught.confidence.mean() > QUICK.fit(rows, 4).confidence.mean()


def test_the_same_seed_gives_the_same_answer_and_leaves_the_rows_alone() -> None:
    rows, _ = mixture((60,) * 3)
    before = rows.copy()
    one, two = QUICK.fit(rows, 3, seed=4), QUICK.fit(rows, 3, seed=4)
    np.testing.assert_array_equal(one.labels, two.labels)
    np.testing.assert_array_equal(one.confidence, two.confidence)
    np.testing.assert_array_equal(rows, before)
    assert one.parameters["heads"] == 3
    assert one.parameters["seed"] == 4


def test_a_reader_who_has_seen_enough_stops_it() -> None:
    rows, _ = mixture((60,) * 3)
    told = []

    def stop(what: str, done: int, total: int) -> None:
        told.append((what, done, total))
        if done == 3 and what == "training heads":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        QUICK.fit(rows, 3, progress=stop)
    assert told[-1] == ("training heads", 3, 30)


@pytest.mark.parametrize("device", ["cuda:99", "abacus"])
def test_a_device_that_is_not_there_is_named(device: str) -> None:
    rows, _ = mixture((20,) * 2)
    if device.startswith("cuda") and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(ConfigError, match=device):
        Scan(device=device).fit(rows, 2)
