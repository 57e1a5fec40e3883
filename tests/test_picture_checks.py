"""What is told of one picture alone: blank, clipped, lettered, cut off, noise."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from indexer.errors import QueryError
from ood.picture_checks import look_at

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
real = pytest.mark.skipif(not DATA.is_dir(), reason=f"the real pictures of {DATA} are away")
SEEDS = st.integers(0, 10_000)


def chest(seed: int = 0, side: int = 256) -> np.ndarray:
    """A bright body with two dark lungs, grained, from about 20 to 200 of 255."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side] / side
    body = (rows - 0.6) ** 2 / 0.3 + (columns - 0.5) ** 2 / 0.16 < 1
    lungs = (rows - 0.5) ** 2 / 0.08 + (np.abs(columns - 0.5) - 0.18) ** 2 / 0.014 < 1
    drawn = ndimage.gaussian_filter(20 + 160 * body - 90 * (lungs & body), side / 60)
    grained = drawn + 4 * ndimage.gaussian_filter(rng.standard_normal((side, side)), 0.7)
    return np.clip(grained, 1, 250).astype(np.uint8)


def lettered(picture: np.ndarray, text: str, size: int, corner: tuple[int, int]) -> np.ndarray:
    image = Image.fromarray(picture)
    font = ImageFont.load_default(size)
    ImageDraw.Draw(image).text(corner, text, font=font, fill=255)
    return np.asarray(image)


def codes(picture: np.ndarray, bits: int | None = None) -> list[str]:
    return [found.code for found in look_at(picture, bits)]


@settings(max_examples=20)
@given(SEEDS)
def test_nothing_is_wrong_with_a_usual_picture(seed: int) -> None:
    assert look_at(chest(seed)) == []
    assert look_at(chest(seed).astype(np.float32) * 10 - 1000) == []
    assert look_at(chest(seed), bits=8) == []


@pytest.mark.parametrize("picture", [np.zeros((9, 9)), np.full((50, 60), 7), np.ones((1, 1))])
def test_one_value_is_blank(picture: np.ndarray) -> None:
    assert codes(picture) == ["blank"]


def test_a_few_bright_pixels_leave_a_picture_blank() -> None:
    picture = np.zeros((64, 64), np.uint8)
    picture[10, 10:15] = 255
    assert codes(picture) == ["blank"]


def test_known_bits_tell_faint_grain_from_contrast() -> None:
    grain = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((64, 64)), 2)
    picture = np.round(2000 + 10 * grain).astype(np.uint16)
    assert codes(picture) == []
    assert codes(picture, bits=12) == ["blank"]


def test_a_picture_too_bright_is_clipped() -> None:
    bright = np.clip(chest().astype(float) * 2 - 60, 0, 255).astype(np.uint8)
    (found,) = look_at(bright)
    assert found.code == "saturated_high"
    assert found.value > 0.2
    assert f"{found.value:.0%}" in found.sentence


def test_dark_holes_within_the_body_are_clipped() -> None:
    picture = chest().astype(float)
    rows, columns = np.mgrid[:256, :256]
    picture[np.hypot(rows - 150, columns - 128) < 70] = 0
    assert codes(picture) == ["saturated_low"]


def test_air_and_frames_are_not_clipped() -> None:
    """Black air round the body, a black frame round a white one."""
    air = np.where(chest() < 60, 0, chest())
    assert codes(air) == []
    framed = np.pad(np.pad(chest(), 30, constant_values=255), 30)
    assert codes(framed) == []


def test_a_surround_as_bright_as_can_be_is_not_clipped() -> None:
    rows, columns = np.mgrid[:200, :200]
    inside = np.hypot(rows - 100, columns - 100) < 80
    assert codes(np.where(inside, chest(side=200), 255)) == []


def test_a_mask_is_not_clipped() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[:, :30] = 1
    assert "saturated_high" not in codes(mask)


def test_the_brightest_pixels_below_the_limit_of_the_bits_are_not_clipped() -> None:
    bright = np.clip(chest().astype(float) * 2 - 60, 0, 255).astype(np.uint16)
    assert codes(bright, bits=8) == ["saturated_high"]
    assert codes(bright, bits=12) == []


@settings(max_examples=15)
@given(
    size=st.integers(12, 18),
    across=st.integers(2, 60),
    down=st.integers(2, 30),
    text=st.sampled_from(["DOE JANE 12.03.1961", "PORTABLE AP", "Musterkrankenhaus 4711"]),
)
def test_a_line_of_letters_is_text(size: int, across: int, down: int, text: str) -> None:
    assert codes(lettered(chest(), text, size, (across, down))) == ["burned_in_text"]


def test_the_letters_of_a_line_are_counted() -> None:
    (found,) = look_at(lettered(chest(), "A B C D E F", 18, (20, 4)))
    assert found.value == 6
    assert found.sentence.startswith("6 bright marks")


def test_a_letter_for_the_side_is_no_text() -> None:
    assert codes(lettered(chest(), "L", 18, (20, 20))) == []


def test_dots_that_are_strewn_are_no_text() -> None:
    """Calcifications, bright and small as letters, but in no row."""
    picture = chest().astype(float)
    rows, columns = np.mgrid[:256, :256]
    for row, column in [(60, 60), (90, 180), (130, 40), (150, 128), (200, 90), (220, 200)]:
        picture[np.hypot(rows - row, columns - column) < 4] = 255
    assert codes(picture) == []


def test_rows_by_chance_among_hundreds_of_blobs_are_no_text() -> None:
    blobs = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((600, 600)), 1)
    assert codes((blobs > blobs.std()).astype(np.uint8)) == []


@settings(max_examples=25)
@given(
    seed=SEEDS, kept=st.floats(0.45, 0.88), fill=st.sampled_from([0, 255]), sideways=st.booleans()
)
def test_a_file_cut_off_is_truncated(seed: int, kept: float, fill: int, sideways: bool) -> None:
    cut = chest(seed).ravel()
    cut[int(kept * cut.size) :] = fill
    picture = cut.reshape(256, 256)
    found = look_at(picture.T if sideways else picture)
    (lost,) = (each.value for each in found if each.code == "truncated")
    assert lost == pytest.approx(1 - kept, abs=1 / 256)


def test_a_round_field_of_view_is_not_truncated() -> None:
    rows, columns = np.mgrid[:256, :256]
    picture = np.where(np.hypot(rows - 110, columns - 110) < 100, chest(), 0)
    assert codes(picture) == []


def test_a_frame_is_not_truncated() -> None:
    assert codes(np.pad(chest(), ((40, 40), (0, 0)))) == []


@settings(max_examples=20)
@given(seed=SEEDS, poisson=st.booleans())
def test_unrelated_neighbours_are_noise(seed: int, poisson: bool) -> None:
    rng = np.random.default_rng(seed)
    picture = rng.poisson(50, (64, 64)) if poisson else rng.uniform(0, 4095, (64, 64))
    (found,) = look_at(picture)
    assert found.code == "noise"
    assert abs(found.value) < 0.1


def test_pixels_in_another_order_are_noise() -> None:
    assert codes(np.random.default_rng(0).permutation(chest().ravel()).reshape(256, 256)) == [
        "noise"
    ]


def test_a_grainy_picture_is_no_noise() -> None:
    grain = np.random.default_rng(0).normal(0, 30, (256, 256))
    assert codes(chest() + grain) == []


@settings(max_examples=50)
@given(
    arrays.arrays(
        st.sampled_from([np.uint8, np.int16, np.float32]),
        arrays.array_shapes(min_dims=2, max_dims=2, max_side=90),
        elements=st.integers(0, 100),
        fill=st.just(0),
    )
)
def test_any_picture_is_looked_at_and_left_as_it_is(picture: np.ndarray) -> None:
    before = picture.copy()
    assert all(np.isfinite(found.value) for found in look_at(picture))
    np.testing.assert_array_equal(picture, before)


@pytest.mark.parametrize(
    ("picture", "bits", "told"),
    [
        (np.zeros((4, 4, 3)), None, "shape"),
        (np.full((4, 4), np.inf), None, "infinite"),
        (np.full((4, 4), 300), 8, "0 to 255"),
        (np.full((4, 4), -1), 8, "leave the bits out"),
        (np.zeros((4, 4)), 0, "1 to 32"),
    ],
)
def test_what_cannot_be_looked_at_is_refused(
    picture: np.ndarray, bits: int | None, told: str
) -> None:
    with pytest.raises(QueryError, match=told):
        look_at(picture, bits)


@real
def test_false_alarms_among_small_real_pictures_are_few() -> None:
    """One head CT is truly blank; two are white all over, two hands have a white frame."""
    pictures = np.load(DATA / "mednist" / "mednist64.npz")["images"]
    found = Counter(code for picture in pictures for code in codes(picture, bits=8))
    assert found <= Counter(blank=1, saturated_high=2, saturated_low=2)


@real
def test_of_real_chest_films_nothing_is_told_but_their_words() -> None:
    """Every eighth of 426; the words are PORTABLE, SEMI-ERECT, Bettaufnahme and the like."""
    found: Counter[str] = Counter()
    for path in sorted((DATA / "cxr" / "images").glob("*.jpg"))[::8]:
        found.update(codes(np.asarray(Image.open(path)), bits=8))
    assert set(found) == {"burned_in_text"}
    assert 1 <= found["burned_in_text"] <= 10
