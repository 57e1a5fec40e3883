"""CPP: its formulas against slow ones, digits, samples, stopping."""

from __future__ import annotations

import numpy as np
import pytest
from handwriting import accuracy, digits
from mixtures import mixture

from clustering.cpp import (
    PRECISION,
    Cpp,
    block_diagonal,
    membership,
    rate,
    rate_of_clusters,
    self_expression,
)
from indexer.errors import ConfigError

torch = pytest.importorskip("torch")

QUICK = Cpp(epochs=40, warm_up=20, batch=128, hidden=64, features=16, device="cpu")


def unit(rows: int, dim: int, seed: int = 0) -> np.ndarray:
    made = np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def test_memberships_of_a_row_sum_to_one_and_those_of_a_column_nearly() -> None:
    shares = membership(torch.from_numpy(unit(80, 8)), 0.175).numpy()
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(shares.sum(axis=0), 1, atol=0.1)


def test_memberships_are_those_of_five_plain_half_steps() -> None:
    heads = unit(12, 4)
    plain = np.exp(np.abs(heads @ heads.T).astype(np.float64) / 0.2)
    for half in range(5):
        plain /= plain.sum(axis=1 - half % 2, keepdims=True)
    np.testing.assert_allclose(membership(torch.from_numpy(heads), 0.2), plain, rtol=1e-4)


def test_what_columns_are_divided_by_takes_no_gradient() -> None:
    heads = torch.from_numpy(unit(10, 4)).requires_grad_()
    shares = membership(heads, 0.2)
    logits = (heads @ heads.T).abs() / 0.2
    columns = (shares.log() - logits).detach()
    again = (logits + columns - (columns - columns[:, :1]) * 0).softmax(dim=1)
    goal = torch.from_numpy(unit(10, 10, seed=1))
    one = torch.autograd.grad((shares * goal).sum(), heads, retain_graph=True)[0]
    other = torch.autograd.grad((again * goal).sum(), heads)[0]
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("rows", "dim"), [(20, 6), (6, 20)])
def test_rates_are_those_of_the_formula_in_whichever_dimension_is_smaller(
    rows: int, dim: int
) -> None:
    features = unit(rows, dim)
    shares = np.random.default_rng(1).dirichlet(np.ones(rows), rows).astype(np.float32)

    def bits(scatter: np.ndarray, size: float) -> float:
        return np.linalg.slogdet(np.eye(dim) + dim / (size * PRECISION) * scatter)[1] / 2

    whole = bits(features.T @ features, rows)
    sizes = shares.sum(axis=0)
    parts = sum(
        sizes[j] / rows * bits(features.T @ np.diag(shares[:, j]) @ features, sizes[j])
        for j in range(rows)
    )
    given, weighed = torch.from_numpy(features), torch.from_numpy(shares)
    assert float(rate(given)) == pytest.approx(whole, rel=1e-4)
    assert float(rate_of_clusters(given, weighed)) == pytest.approx(parts, rel=1e-4)


def test_the_prior_is_zero_where_the_membership_falls_into_as_many_blocks() -> None:
    blocks = np.kron(np.eye(3), np.full((4, 4), 0.25)).astype(np.float32)
    assert float(block_diagonal(torch.from_numpy(blocks), 3)) == pytest.approx(0, abs=1e-6)
    assert float(block_diagonal(torch.from_numpy(blocks), 4)) > 0.01


def test_a_row_expressed_by_its_equals_leaves_nothing() -> None:
    features = np.repeat(unit(3, 5), 4, axis=0)
    blocks = np.kron(np.eye(3), np.full((4, 4), 0.25)).astype(np.float32)
    given = torch.from_numpy(features)
    assert float(self_expression(given, torch.from_numpy(blocks))) == pytest.approx(0, abs=1e-6)
    even = torch.full((12, 12), 1 / 12)
    assert float(self_expression(given, even)) > 0.1


@pytest.mark.parametrize("regulariser", ["mlc", "prodsc"])
def test_clusters_that_hardly_overlap_are_found(regulariser: str) -> None:
    rows, truth = mixture((120,) * 4)
    found = Cpp(**{**vars(QUICK), "regulariser": regulariser}).fit(rows, 4)
    assert accuracy(truth, found.labels) > 0.97
    assert found.confidence.min() >= 0
    assert found.confidence.max() <= 1


def test_rows_beyond_the_sample_join_the_clusters_of_their_nearest() -> None:
    rows, truth = mixture((200,) * 4)
    found = Cpp(**{**vars(QUICK), "sample": 300}).fit(rows, 4)
    assert accuracy(truth, found.labels) > 0.95
    assert found.notes == ("learned on 300 of 800 items, the others by vote",)


@pytest.mark.slow
def test_digits_are_told_apart_as_well_as_by_the_published_method() -> None:
    rows, truth = digits()
    found = Cpp(device="cpu").fit(rows, 10)
    assert accuracy(truth, found.labels) >= 0.817


def test_the_same_seed_gives_the_same_answer_and_leaves_the_rows_alone() -> None:
    rows, _ = mixture((50,) * 3)
    before = rows.copy()
    one, two = QUICK.fit(rows, 3, seed=4), QUICK.fit(rows, 3, seed=4)
    np.testing.assert_array_equal(one.labels, two.labels)
    np.testing.assert_array_equal(one.confidence, two.confidence)
    np.testing.assert_array_equal(rows, before)


def test_a_reader_who_has_seen_enough_stops_it() -> None:
    rows, _ = mixture((60,) * 3)

    def stop(what: str, done: int, total: int) -> None:
        if what == "training the network" and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        QUICK.fit(rows, 3, progress=stop)


def test_a_device_that_does_not_exist_is_named() -> None:
    rows, _ = mixture((20,) * 2)
    with pytest.raises(ConfigError, match="abacus"):
        Cpp(device="abacus").fit(rows, 2)
