"""Volumes described by how the vectors of their slices are distributed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.errors import VectorError
from ood.profile import DIRECTIONS, profile_of

DIM = 96


def slices(count: int, seed: int = 0) -> np.ndarray:
    """A path through the space, as slices go through a body."""
    random = np.random.default_rng(seed)
    ends = np.linalg.qr(random.normal(size=(DIM, 2)))[0].T
    angles = np.linspace(0, np.pi / 2, count)[:, None]
    path = (
        np.cos(angles) * ends[0] + np.sin(angles) * ends[1] + random.normal(0, 0.01, (count, DIM))
    )
    return np.asarray(path / np.linalg.norm(path, axis=1, keepdims=True), np.float32)


def test_a_profile_is_mean_spread_and_extremes() -> None:
    rows = slices(40)
    made = profile_of(rows)
    assert made.shape == (2 * DIM + 2 * DIRECTIONS,) and made.dtype == np.float32
    np.testing.assert_allclose(made[:DIM], rows.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(made[DIM : 2 * DIM], rows.std(axis=0), atol=1e-6)
    low, high = made[2 * DIM :].reshape(2, DIRECTIONS)
    assert (low < high).all()


def test_half_a_volume_is_further_away_than_another_whole_one() -> None:
    whole, other, half = slices(40), slices(60), slices(40)[:20]
    usual = np.linalg.norm(profile_of(other) - profile_of(whole))
    assert np.linalg.norm(profile_of(half) - profile_of(whole)) > 5 * usual


def test_one_slice_has_no_spread() -> None:
    (row,) = slices(1)
    made = profile_of(row[None])
    assert (made[DIM : 2 * DIM] == 0).all()
    low, high = made[2 * DIM :].reshape(2, DIRECTIONS)
    np.testing.assert_array_equal(low, high)


@given(st.integers(0, 20), st.integers(1, 30))
def test_the_order_of_slices_does_not_count(seed: int, count: int) -> None:
    rows = slices(count, seed)
    mixed = np.random.default_rng(seed).permutation(rows)
    np.testing.assert_allclose(profile_of(rows), profile_of(mixed), atol=1e-5)


def test_no_slices_are_refused() -> None:
    with pytest.raises(VectorError, match=r"\(slices, dim\)"):
        profile_of(np.empty((0, DIM), np.float32))
