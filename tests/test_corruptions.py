"""Graded corruptions of grey pictures, and the turns that undo mistakes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from indexer.errors import QueryError
from ood.corruptions import CORRUPTIONS, SEVERITIES, corrupted
from ood.turns import TURNS, best_turn

KINDS = tuple(CORRUPTIONS)
SEEDS = st.integers(0, 10_000)
PICTURES = arrays.arrays(
    st.sampled_from([np.uint8, np.int16, np.uint16]),
    arrays.array_shapes(min_dims=2, max_dims=2, max_side=7),
)


def smooth(seed: int, shape: tuple[int, int] = (48, 40)) -> np.ndarray:
    """Hills of several sizes, from -1,000 to about 2,000 as in CT."""
    rng = np.random.default_rng(seed)
    hills = np.zeros(shape)
    for size in (1.5, 3, 6):
        hills += size * ndimage.gaussian_filter(rng.standard_normal(shape), size)
    scaled = (hills - hills.min()) / np.ptp(hills) * 3000 - 1000
    return np.asarray(scaled, np.float32)


def changes(picture: np.ndarray, kind: str, seed: int) -> list[float]:
    """Root mean square of what each severity changes."""
    copies = [corrupted(picture, kind, severity, seed=seed) for severity in SEVERITIES]
    return [float(np.sqrt(np.square(copy - picture).mean())) for copy in copies]


@pytest.mark.parametrize("kind", ["noise", "blur", "motion", "contrast", "streaks", "low_dose"])
@settings(max_examples=25)
@given(seed=SEEDS)
def test_a_higher_severity_changes_more(kind: str, seed: int) -> None:
    found = changes(smooth(seed), kind, seed)
    assert found[0] > 0
    assert (np.diff(found) > 0).all()


@settings(max_examples=25)
@given(down=st.floats(0.1, 1), right=st.floats(0.1, 1), seed=SEEDS)
def test_a_smaller_part_changes_a_slope_more(down: float, right: float, seed: int) -> None:
    rows, columns = np.mgrid[:40, :50]
    assert (np.diff(changes(down * rows + right * columns, "crop", seed)) > 0).all()


@pytest.mark.parametrize("kind", ["noise", "blur", "motion", "contrast", "streaks", "low_dose"])
def test_the_lowest_severity_is_slight_and_the_highest_is_not(kind: str) -> None:
    picture = smooth(0)
    spread = picture.std()
    found = changes(picture, kind, 0)
    assert found[0] < 0.25 * spread
    assert found[4] > 0.4 * spread


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15)
@given(rows=st.integers(1, 30), columns=st.integers(1, 30), seed=SEEDS)
def test_every_shape_stays_as_it_is(kind: str, rows: int, columns: int, seed: int) -> None:
    picture = smooth(seed, (rows, columns)) if rows * columns > 1 else np.zeros((1, 1))
    before = picture.copy()
    for severity in SEVERITIES:
        found = corrupted(picture, kind, severity, seed=seed)
        assert found.shape == (rows, columns)
        assert found.dtype == np.float32
        assert np.isfinite(found).all()
    np.testing.assert_array_equal(picture, before)


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides(kind: str) -> None:
    first, again = (corrupted(smooth(1), kind, 3, seed=5) for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("kind", ["noise", "motion", "crop", "streaks", "low_dose"])
def test_other_seeds_corrupt_otherwise(kind: str) -> None:
    copies = [corrupted(smooth(1), kind, 3, seed=seed) for seed in range(12)]
    assert any((copy != copies[0]).any() for copy in copies)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [-1000.0, 0.0, 0.1])
def test_a_picture_of_one_value_comes_back_as_it_is(kind: str, value: float) -> None:
    picture = np.full((20, 30), value, np.float32)
    np.testing.assert_array_equal(corrupted(picture, kind, 5, seed=0), picture)


@pytest.mark.parametrize("kind", KINDS)
def test_another_scale_of_grey_values_changes_nothing_else(kind: str) -> None:
    picture = smooth(2)
    found = corrupted(picture, kind, 3, seed=4)
    other = corrupted(picture.astype(np.float64) * 0.01 + 7, kind, 3, seed=4)
    # A count may fall to the other side where the rounding of an expectation differs.
    assert np.mean(np.abs(found * 0.01 + 7 - other) < 1e-3) > 0.99


def test_a_small_bright_thing_on_black_is_corrupted_too() -> None:
    """99 % of the pixels are equal, so that the percentiles are."""
    picture = np.zeros((64, 64), np.float32)
    picture[30:33, 30:33] = 1
    assert min(min(changes(picture, kind, 0)) for kind in ("noise", "streaks", "low_dose")) > 0


def test_streaks_hold_something_brighter_than_all_else() -> None:
    picture = smooth(3)
    found = corrupted(picture, "streaks", 2, seed=0)
    assert found.max() > picture.max() + 0.5 * np.ptp(picture)


def test_rotation_is_by_the_stated_angles() -> None:
    picture = smooth(4, (40, 40))
    left = TURNS["turned by 90 degrees to the left"](picture)
    np.testing.assert_allclose(corrupted(picture, "rotation", 4, seed=0), left, atol=0.01)
    around = TURNS["turned by 180 degrees"](picture)
    np.testing.assert_allclose(corrupted(picture, "rotation", 5, seed=0), around, atol=0.01)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_inversion_is_whole_at_every_severity(severity: int) -> None:
    picture = smooth(5)
    found = corrupted(picture, "inversion", severity, seed=0)
    np.testing.assert_allclose(found, TURNS["inverted in its grey scale"](picture), atol=0.01)


@pytest.mark.parametrize(
    ("picture", "told"),
    [
        (np.zeros((4, 4, 3)), "shape"),
        (np.zeros((0, 4)), "shape"),
        (np.full((4, 4), np.nan), "NaN"),
        (np.zeros((4, 4), bool), "numbers"),
    ],
)
def test_what_is_no_grey_picture_is_refused(picture: np.ndarray, told: str) -> None:
    with pytest.raises(QueryError, match=told):
        corrupted(picture, "blur", 1, seed=0)
    for turn in TURNS.values():
        with pytest.raises(QueryError, match=told):
            turn(picture)


def test_unknown_kinds_and_severities_are_named() -> None:
    with pytest.raises(QueryError, match="low_dose"):
        corrupted(np.eye(4), "fog", 1, seed=0)
    with pytest.raises(QueryError, match="not 6"):
        corrupted(np.eye(4), "blur", 6, seed=0)


@given(PICTURES)
def test_what_is_undone_gives_the_picture_back(picture: np.ndarray) -> None:
    before = picture.copy()
    for name, turn in TURNS.items():
        back = name
        if name.startswith("turned by 90"):
            back = (
                name.replace("left", "right") if "left" in name else name.replace("right", "left")
            )
        found = TURNS[back](turn(picture))
        np.testing.assert_array_equal(found, before)
        assert found.dtype == picture.dtype
    np.testing.assert_array_equal(picture, before)


def test_turns_do_what_they_are_called() -> None:
    picture = np.array([[1, 2], [3, 4]], np.uint8)
    wanted = {
        "mirrored left to right": [[2, 1], [4, 3]],
        "upside down": [[3, 4], [1, 2]],
        "turned by 90 degrees to the left": [[2, 4], [1, 3]],
        "turned by 90 degrees to the right": [[3, 1], [4, 2]],
        "turned by 180 degrees": [[4, 3], [2, 1]],
        "inverted in its grey scale": [[4, 3], [2, 1]],
    }
    assert {name: turn(picture).tolist() for name, turn in TURNS.items()} == wanted


def test_changing_a_copy_leaves_the_picture() -> None:
    for turn in TURNS.values():
        picture = np.ones((1, 3), np.float32)
        turn(picture)[:] = 7
        assert (picture == 1).all()


def test_the_copy_that_is_much_nearer_is_named() -> None:
    scores = {"upside down": 0.4, "mirrored left to right": 0.7}
    assert best_turn(0.9, scores, 0.3) == "upside down"
    assert best_turn(0.9, scores, 0.5) is None
    assert best_turn(0.3, scores, 0) is None
    assert best_turn(0.9, {}, 0) is None


def test_an_equal_copy_is_not_nearer() -> None:
    assert best_turn(0.5, {"upside down": 0.5}, 0) is None


def test_scores_that_are_no_numbers_are_named() -> None:
    with pytest.raises(QueryError, match="upside down"):
        best_turn(0.5, {"upside down": float("nan")}, 0)
    with pytest.raises(QueryError, match="the picture"):
        best_turn(float("inf"), {}, 0)
    with pytest.raises(QueryError, match="margin"):
        best_turn(0.5, {}, -1)
