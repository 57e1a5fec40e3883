"""Whether vectors tell sites apart: mixing of neighbours, robustness index, linear probe."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from small_graphs import blobs, graph, unit

from clustering.batch import BatchEffect, batch_effects, linear_probe, mean_auroc
from clustering.contract import Neighbours
from clustering.mixing import lisi, robustness_index
from indexer.errors import QueryError


def evenly(count: int, k: int) -> Neighbours:
    """Everyone's neighbours are the next k rows, all as near."""
    rows = (np.arange(count)[:, None] + np.arange(1, k + 1)) % count
    return Neighbours(rows.astype(np.int32), np.full((count, k), 0.5, np.float32))


def shifted(effect: float, seed: int = 0) -> tuple[np.ndarray, list[str | None], list[str | None]]:
    """Two classes at two sites; a site moves all its vectors into one direction."""
    rng = np.random.default_rng(seed)
    rows, own = blobs([100, 100], noise=0.15, seed=seed)
    site = rng.integers(0, 2, 200)
    moved = unit(rows + effect * site[:, None] * np.eye(16)[8])
    return moved, [f"site {each}" for each in site], [f"class {each}" for each in own]


def effect_of(effect: float) -> BatchEffect:
    rows, site, classes = shifted(effect)
    (found,) = batch_effects(rows, graph(rows, 30), {"site": site}, classes=classes)
    return found


def test_lisi_counts_groups() -> None:
    alone = np.arange(40)
    half = np.arange(40) % 2
    assert lisi(evenly(40, 10), half, alone).values == pytest.approx(2)
    assert lisi(evenly(40, 10), np.zeros(40, np.int64), alone).values == pytest.approx(1)
    assert lisi(evenly(40, 8), np.arange(40) % 4, alone).values == pytest.approx(4)


def test_near_neighbours_weigh_more() -> None:
    """The six nearest are of one group, six far away of the other."""
    rows = np.tile(np.arange(1, 13, dtype=np.int32), (13, 1))
    scores = np.tile(np.repeat([0.99, 0.1], 6), (13, 1)).astype(np.float32)
    groups = np.r_[0, np.repeat([0, 1], 6)]
    found = lisi(Neighbours(rows, scores), groups, np.arange(13))
    assert found.values[0] == pytest.approx(1)


def test_unknown_groups_and_the_patients_own_images_do_not_count() -> None:
    groups = np.arange(12) % 2
    groups[3] = -1
    found = lisi(evenly(12, 4), groups, np.arange(12)).values
    assert np.isnan(found[3])
    one_patient = lisi(evenly(12, 4), groups, np.zeros(12, np.int64)).values
    assert np.isnan(one_patient).all()


@given(st.lists(st.integers(-1, 3), min_size=8, max_size=30))
def test_lisi_lies_between_one_and_the_number_of_groups(values: list[int]) -> None:
    groups = np.array(values, np.int64)
    found = lisi(evenly(len(values), 5), groups, np.arange(len(values))).values
    known = found[np.isfinite(found)]
    assert (known >= 1 - 1e-9).all()
    assert (known <= len(set(values) - {-1}) + 1e-9).all()


def test_groups_dealt_out_at_random_mix_evenly() -> None:
    groups = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [600, 300, 100]))
    found = lisi(evenly(1_000, 20), groups, np.arange(1_000))
    simpson = 0.6**2 + 0.3**2 + 0.1**2
    assert found.even[0] == pytest.approx(1 / (simpson + (1 - simpson) / 20))
    assert found.values.mean() == pytest.approx(found.even[0], rel=0.05)


def test_robustness_index_by_hand() -> None:
    """Row 0's neighbours: one shares the class only, two the site only, one both, one neither."""
    site = np.array([0, 1, 0, 0, 0, 1])
    kind = np.array([0, 0, 1, 1, 0, 1])
    rows = np.full((6, 5), -1, np.int32)
    rows[0] = [1, 2, 3, 4, 5]
    scores = np.where(rows >= 0, 0.5, -np.inf).astype(np.float32)
    found = Neighbours(rows, scores)
    assert robustness_index(found, site, kind, np.arange(6)) == 1 / 2
    assert robustness_index(found, site, kind, np.array([0, 1, 0, 3, 4, 5])) == 1.0
    assert robustness_index(found, kind, kind, np.arange(6)) is None


def test_vectors_without_a_site_do_not_tell_it() -> None:
    found = effect_of(0.0)
    assert found.probe is not None
    assert abs(found.probe.auroc - 0.5) < 0.15
    assert found.mixing is not None and found.mixing > 0.8
    assert found.robustness_index is None or found.robustness_index > 5
    assert found.clisi == pytest.approx(1, abs=0.1)
    assert "neighbours" in found.sentences[1]


def test_a_site_that_moves_all_its_vectors_is_told() -> None:
    found = effect_of(3.0)
    assert found.probe is not None
    assert found.probe.auroc > 0.95 > found.probe.chance
    assert found.mixing is not None and found.mixing < 0.2
    assert "site can be told from the vectors" in found.sentences[0]


def test_a_site_heavier_than_the_class() -> None:
    rows, site, classes = shifted(6.0)
    (found,) = batch_effects(rows, graph(rows, 120), {"site": site}, classes=classes)
    assert found.robustness_index is not None and found.robustness_index < 1
    assert "site weighs as much or more" in found.sentences[2]


def test_a_site_of_one_patient_is_not_learnt_from_that_patient() -> None:
    """Every patient looks like itself, and each is at one site: nothing of the site is there."""
    rng = np.random.default_rng(0)
    rows = unit(np.repeat(rng.standard_normal((30, 16)), 10, axis=0))
    patients: list[str | None] = [f"p{row // 10}" for row in range(300)]
    site: list[str | None] = [f"s{row // 10 % 2}" for row in range(300)]
    (found,) = batch_effects(rows, graph(rows, 20), {"site": site}, patients=patients)
    assert found.probe is not None
    assert (found.probe.patients, found.probe.items) == (30, 300)
    assert found.probe.auroc < 0.75


def test_sites_of_one_patient_each_cannot_be_probed() -> None:
    rows, _ = blobs([10, 10])
    assert linear_probe(rows, np.repeat([0, 1], 10), np.repeat([0, 1], 10)) is None
    site: list[str | None] = ["a"] * 10 + ["b"] * 10
    (found,) = batch_effects(rows, graph(rows, 5), {"site": site}, patients=site)
    assert (found.probe, found.robustness_index) == (None, None)
    assert "too few patients" in found.sentences[0]
    assert "without classes" in found.sentences[2]


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 5)), min_size=2, max_size=30))
def test_auroc_is_that_of_scikit_learn(items: list[tuple[int, int]]) -> None:
    truth = np.array([own for own, _ in items])
    if len(set(truth)) == 2:
        scores = np.array([[5 - score, score] for _, score in items]) / 5
        assert mean_auroc(scores, truth) == pytest.approx(roc_auc_score(truth, scores[:, 1]))


def test_what_cannot_be_looked_at() -> None:
    rows, _ = blobs([4])
    near = graph(rows, 2)
    with pytest.raises(QueryError, match="site: two different values are needed, there are 1"):
        batch_effects(rows, near, {"site": ["a"] * 4})
    with pytest.raises(QueryError, match="year: 1 values for 4 items"):
        batch_effects(rows, near, {"year": ["a"]})
