"""The map: fitted once, kept as arrays, later rows placed among the fitted ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mixtures import mixture

from clustering.projection import MapModel, displacement, fit_map
from indexer.errors import ClusteringError, VectorError

pytest.importorskip("umap", reason="needs the extra 'clusters'")

ROWS, GROUPS = mixture((150, 100, 80, 70))
FITTED = slice(0, 300)


@pytest.fixture(scope="module")
def model() -> MapModel:
    return fit_map(ROWS[FITTED])


def test_groups_lie_apart(model: MapModel) -> None:
    middles = np.array([model.positions[GROUPS[FITTED] == g].mean(axis=0) for g in range(4)])
    away = np.linalg.norm(model.positions[:, None] - middles, axis=2)
    assert (away.argmin(axis=1) == GROUPS[FITTED]).mean() > 0.98


def test_rows_that_were_fitted_do_not_move(model: MapModel) -> None:
    np.testing.assert_array_equal(model.place(ROWS[FITTED]), model.positions)


def test_new_rows_are_placed_with_their_own(model: MapModel) -> None:
    middles = np.array([model.positions[GROUPS[FITTED] == g].mean(axis=0) for g in range(4)])
    away = np.linalg.norm(model.place(ROWS[300:])[:, None] - middles, axis=2)
    assert (away.argmin(axis=1) == GROUPS[300:]).mean() > 0.95


def test_a_row_is_placed_the_same_alone_tomorrow_and_among_others(
    model: MapModel, tmp_path: Path
) -> None:
    np.savez(tmp_path / "map.npz", **model.state())
    with np.load(tmp_path / "map.npz", allow_pickle=False) as state:
        kept = MapModel.from_state(state)
    together = model.place(ROWS[300:])
    np.testing.assert_array_equal(kept.place(ROWS[300:]), together)
    np.testing.assert_allclose(kept.place(ROWS[350:351])[0], together[50], atol=1e-4)


def test_the_same_seed_gives_the_same_map(model: MapModel) -> None:
    np.testing.assert_array_equal(fit_map(ROWS[FITTED]).positions, model.positions)


def test_of_many_rows_a_sample_is_fitted() -> None:
    model = fit_map(ROWS, sample=120)
    assert len(model.rows) == len(model.positions) == 120
    np.testing.assert_array_equal(model.place(ROWS[model.rows]), model.positions)
    assert model.place(ROWS).shape == (400, 2)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_few_rows_have_places(count: int) -> None:
    model = fit_map(ROWS[:count])
    assert np.isfinite(model.positions).all()
    np.testing.assert_array_equal(model.place(ROWS[:count]), model.positions)


def test_equal_rows_lie_together() -> None:
    assert np.isfinite(fit_map(np.repeat(ROWS[:2], 20, axis=0)).positions).all()


def test_another_space_is_refused(model: MapModel) -> None:
    with pytest.raises(VectorError, match="length 8 on a map of vectors of length 32"):
        model.place(ROWS[:, :8])


def test_what_is_no_map_is_refused() -> None:
    with pytest.raises(ClusteringError, match="'anchors' is missing"):
        MapModel.from_state({"rows": np.arange(3)})


def test_turning_and_scaling_displaces_nothing_and_a_moved_row_is_seen() -> None:
    old = np.random.default_rng(0).standard_normal((200, 2))
    turn = np.array([[0.0, -3.0], [3.0, 0.0]])
    new = old @ turn + 5
    same = displacement(old, new)
    assert same.p95 < 1e-6 and same.explained == pytest.approx(1)
    new[7] += 30
    assert displacement(old, new).distances.argmax() == 7


def test_maps_of_other_rows_are_not_compared() -> None:
    with pytest.raises(ClusteringError, match="same two rows"):
        displacement(np.zeros((3, 2)), np.zeros((4, 2)))
    with pytest.raises(ClusteringError, match="all positions are the same"):
        displacement(np.zeros((3, 2)), np.zeros((3, 2)))
