"""Near-duplicates by vectors and by pixels, and the items that are near to nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import shift
from small_graphs import blobs, graph, unit

from clustering.contract import NOISE
from clustering.duplicates import Kinship, duplicate_threshold, near_duplicates
from clustering.outliers import most_typical, outliers, typicality
from clustering.pixels import pixel_correlation
from indexer.errors import QueryError
from indexer.phantoms import radiograph

PATIENTS = [f"p{row}" for row in range(600)]


def library(copies: int, *, n: int = 600, dim: int = 12, seed: int = 0) -> np.ndarray:
    """Random rows; the last ``copies`` are nearly the first ones."""
    rng = np.random.default_rng(seed)
    rows = unit(rng.standard_normal((n, dim)))
    nearly = rows[:copies] + 1e-3 * rng.standard_normal((copies, dim))
    return np.concatenate([rows[: n - copies], unit(nearly)]) if copies else rows


def four() -> np.ndarray:
    """0, 1 and 2 nearly the same, 3 apart."""
    return unit(np.array([[1, 0], [1, 0.01], [1, 0.02], [0, 1.0]]))


def test_copies_are_found_by_the_librarys_own_distances() -> None:
    found = near_duplicates(graph(library(20), 10), patients=PATIENTS)
    assert {(pair.first, pair.second) for pair in found.pairs} == {
        (row, 580 + row) for row in range(20)
    }
    assert {pair.kinship for pair in found.pairs} == {Kinship.DIFFERENT_PATIENTS}
    assert found.threshold.items == 600


@pytest.mark.parametrize("seed", range(4))
def test_without_copies_about_one_item_is_taken_for_one(seed: int) -> None:
    found = near_duplicates(graph(library(0, seed=seed), 10), patients=PATIENTS)
    assert len(found.pairs) <= 3


@pytest.mark.parametrize("copies", [0, 60, 120, 150])
def test_many_copies_hardly_move_the_threshold(copies: int) -> None:
    usual = duplicate_threshold(graph(library(0), 10)).cosine
    found = duplicate_threshold(graph(library(copies), 10)).cosine
    assert found == pytest.approx(usual, abs=0.03)


def test_copies_among_dense_and_loose_groups() -> None:
    """Four in ten items have a copy; what is near in one group is far in another."""
    rng = np.random.default_rng(0)
    spread = np.repeat([0.3, 0.6, 1.2], 200)[:, None]
    rows = np.repeat(np.eye(48)[:3], 200, axis=0) * 3 + spread * rng.standard_normal((600, 48))
    rows = unit(rows)[rng.permutation(600)]
    rows[480:] = unit(rows[:120] + 0.002 * rng.standard_normal((120, 48)))
    found = near_duplicates(graph(rows, 10), patients=PATIENTS)
    pairs = {(pair.first, pair.second) for pair in found.pairs}
    copies = {(row, 480 + row) for row in range(120)}
    assert copies <= pairs
    assert len(pairs - copies) <= 3


def test_a_patients_own_images_do_not_set_the_threshold() -> None:
    """Each patient has ten images that are all alike."""
    rng = np.random.default_rng(0)
    middles = unit(rng.standard_normal((60, 12)))
    rows = unit(np.repeat(middles, 10, axis=0) + 0.02 * rng.standard_normal((600, 12)))
    patients = [f"p{row // 10}" for row in range(600)]
    rows[599] = rows[0]
    found = near_duplicates(graph(rows, 40), patients=patients)
    strangers = [pair for pair in found.pairs if pair.kinship is Kinship.DIFFERENT_PATIENTS]
    assert (0, 599) in {(pair.first, pair.second) for pair in strangers}
    assert found.pairs[0].kinship is Kinship.DIFFERENT_PATIENTS


def test_groups_and_whose_they_are() -> None:
    found = near_duplicates(
        graph(four(), 3),
        patients=["a", "a", None, "b"],
        studies=["s", "s", "t", "u"],
        threshold=0.99,
    )
    assert found.groups == ((0, 1, 2),)
    kinds = {(pair.first, pair.second): pair.kinship for pair in found.pairs}
    assert kinds == {(0, 1): Kinship.SAME_STUDY, (0, 2): Kinship.UNKNOWN, (1, 2): Kinship.UNKNOWN}
    assert any("not compared" in note for note in found.notes)


def test_pixels_decide() -> None:
    found = near_duplicates(
        graph(four(), 3), threshold=0.99, correlation=lambda i, j: 0.99 if (i, j) == (0, 1) else 0.5
    )
    assert found.groups == ((0, 1),)
    assert [pair.confirmed for pair in found.pairs].count(False) == 2
    assert {pair.group for pair in found.pairs if not pair.confirmed} == {None}


def test_a_full_list_of_neighbours_is_told() -> None:
    found = near_duplicates(graph(four(), 1), threshold=0.99)
    assert any("3 items have 1 or more" in note for note in found.notes)


def test_what_cannot_be_looked_for() -> None:
    few = graph(four(), 3)
    with pytest.raises(QueryError, match="give one"):
        near_duplicates(few)
    with pytest.raises(QueryError, match="threshold is a cosine"):
        near_duplicates(few, threshold=2)
    with pytest.raises(QueryError, match="patients: 1 values for 4 items"):
        near_duplicates(few, threshold=0.9, patients=["a"])


def picture(seed: int) -> np.ndarray:
    return np.asarray(radiograph(np.random.default_rng(seed), size=256), np.float32)


@given(st.floats(0.1, 50), st.floats(-1000, 1000))
def test_brightness_and_contrast_do_not_matter(contrast: float, brightness: float) -> None:
    image = np.random.default_rng(0).random((30, 40), np.float32)
    other = (image * contrast + brightness).astype(np.float32)
    assert pixel_correlation(image, other) == pytest.approx(1, abs=1e-3)


def test_copies_correlate_and_other_patients_do_not() -> None:
    image = picture(0)
    smaller = image[::2, ::2]
    moved = shift(image, (12, -9), mode="nearest")
    assert pixel_correlation(image, smaller) > 0.97
    assert pixel_correlation(image, moved) > 0.97
    assert pixel_correlation(image, picture(1)) < 0.95
    assert pixel_correlation(image, image.max() - image) == pytest.approx(-1)


def test_pictures_that_cannot_be_compared() -> None:
    flat = np.full((8, 8), 3.0, np.float32)
    assert pixel_correlation(flat, picture(0)) == 0.0
    with pytest.raises(QueryError, match="shape"):
        pixel_correlation(np.zeros((4, 4, 3), np.float32), flat)
    with pytest.raises(QueryError, match="NaN"):
        pixel_correlation(np.full((4, 4), np.nan, np.float32), flat)


def test_typicality_by_hand() -> None:
    rows = unit(np.array([[1, 0], [0, 1], [1, 1.0]]))
    near = np.sqrt(2 - np.sqrt(2))
    found = typicality(graph(rows, 2))
    assert found == pytest.approx([2 / (near + np.sqrt(2)), 2 / (near + np.sqrt(2)), 1 / near])


def test_outliers_come_first_and_typical_items_last() -> None:
    rows, _ = blobs([30])
    rows[7] = np.eye(16)[5]
    found = graph(rows, 20)
    assert outliers(found, 1)[0].item == 7
    assert 7 not in {each.item for each in most_typical(found, 29)}
    assert outliers(found, 1)[0].of == 30


def test_outliers_within_clusters_leave_noise_out() -> None:
    rows, own = blobs([12, 9])
    labels = own.copy()
    labels[0] = NOISE
    found = outliers(graph(rows, 15), 2, labels=labels)
    assert [(each.cluster, each.rank, each.of) for each in found] == [
        (0, 1, 11),
        (0, 2, 11),
        (1, 1, 9),
        (1, 2, 9),
    ]
    assert 0 not in {each.item for each in found}


def test_one_item_is_near_to_nothing() -> None:
    assert typicality(graph(np.ones((1, 1), np.float32), 5)).tolist() == [0.0]
    with pytest.raises(QueryError, match="count"):
        outliers(graph(four(), 2), 0)
