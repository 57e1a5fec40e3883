"""Exposure and sharpness of pictures: measured when they are read, judged beside embeddings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from placed_library import Placed, on_circle, place
from scipy import ndimage
from told_library import Told, make_told

from api.service.judging import ood
from api.service.judging.judge import Judge, StudyAnswer
from indexer.library import Library
from indexer.reading.quality import QUALITIES, qualities_of
from indexer.types import ImagePixels, VolumePixels, Window
from ood.columns import Columns
from ood.knn import Knn
from ood.quality import Quality
from ood.reference import ReferenceSet
from ood.registry import Recipe

RANDOM = np.random.default_rng(8)
GREY = ndimage.gaussian_filter(RANDOM.normal(0, 1, (160, 200)), 3) * 900 + 400
PICTURE = ImagePixels(GREY.astype(np.float32))


def quality(pixels: ImagePixels | VolumePixels, name: str) -> float:
    return qualities_of(pixels)[QUALITIES.index(name)]


@given(gain=st.floats(0.05, 50), offset=st.floats(-1000, 1000))
def test_the_unit_of_the_values_does_not_count(gain: float, offset: float) -> None:
    scaled = replace(PICTURE, values=(GREY * gain + offset).astype(np.float32))
    np.testing.assert_allclose(qualities_of(scaled), qualities_of(PICTURE), atol=0.02)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_nor_do_the_bits_that_a_film_was_stored_in(bits: int) -> None:
    share = (GREY - GREY.min()) / np.ptp(GREY) * 0.8 + 0.1
    stored = ImagePixels(np.rint(share * (2**bits - 1)).astype(np.float32))
    flat = replace(stored, values=np.rint(stored.values * 0.1 + 0.8 * stored.values.max()))
    eight = ImagePixels(np.rint(share * 255).astype(np.float32))
    assert quality(stored, "range") == pytest.approx(quality(eight, "range"), abs=0.01)
    assert quality(flat, "range") == pytest.approx(quality(eight, "range") + np.log(0.1), abs=0.05)


def test_the_range_of_a_ct_is_in_hounsfield_units_and_of_others_in_their_window() -> None:
    ct = replace(PICTURE, modality="CT", window=Window(40, 80))
    low, high = np.percentile(GREY, (1, 99))
    assert quality(ct, "range") == pytest.approx(np.log((high - low) / 4096), abs=0.01)
    shown = replace(PICTURE, modality="MR", window=Window(400, 2000))
    assert quality(shown, "range") == pytest.approx(np.log((high - low) / 2000), abs=0.01)


def test_blur_takes_detail_away_and_noise_adds_grain() -> None:
    blurred = replace(PICTURE, values=ndimage.gaussian_filter(PICTURE.values, 4))
    noise = RANDOM.normal(0, 100, GREY.shape).astype(np.float32)
    noisy = replace(PICTURE, values=PICTURE.values + noise)
    for name in ("grain", "detail"):
        assert quality(blurred, name) < quality(PICTURE, name) < quality(noisy, name)


def test_an_inverted_picture_is_measured_as_it_is_shown() -> None:
    negative = replace(PICTURE, values=-PICTURE.values, inverted=True)
    np.testing.assert_allclose(qualities_of(negative), qualities_of(PICTURE), atol=0.01)
    shown = replace(PICTURE, inverted=True)
    assert quality(shown, "level") == pytest.approx(1 - quality(PICTURE, "level"), abs=0.01)


def test_padding_does_not_count_for_the_range() -> None:
    padding = np.zeros(GREY.shape, bool)
    padding[:40] = True
    padded = np.where(padding, -30_000, GREY).astype(np.float32)
    seen = replace(PICTURE, values=padded, padding=padding)
    assert quality(seen, "range") == pytest.approx(quality(PICTURE, "range"), abs=0.1)


def test_volumes_colours_and_small_pictures_have_qualities_too() -> None:
    volume = VolumePixels(
        np.stack([GREY] * 9).astype(np.int16), "CT", (1.0, 1.0, 1.0), (1.0, 0, 0) * 3, (0, 0, 0)
    )
    colours = ImagePixels(RANDOM.integers(0, 255, (40, 30, 3)).astype(np.uint8))
    tiny = ImagePixels(np.array([[1, 2], [3, 4]], np.float32))
    for each in (volume, colours, tiny):
        assert np.isfinite(qualities_of(each)).all() and len(qualities_of(each)) == len(QUALITIES)


# -- the detector --------------------------------------------------------------------------------

ROWS = RANDOM.normal(0, 1, (300, 3)) * [1, 1000, 0.01] + [5, 0, 2]


def test_units_of_qualities_do_not_count() -> None:
    rows, other = ROWS.astype(np.float32), (ROWS * [7, 0.1, 300]).astype(np.float32)
    plain = Quality().fit(rows[:200]).score(rows[200:])
    np.testing.assert_allclose(Quality().fit(other[:200]).score(other[200:]), plain, rtol=1e-3)


def test_each_detector_looks_at_its_part_of_a_row() -> None:
    vectors = RANDOM.normal(0, 1, (300, 8)).astype(np.float32)
    rows = np.concatenate([vectors, ROWS], axis=1).astype(np.float32)
    by_vector = Recipe("knn").make(3).fit(rows[:200])
    by_quality = Recipe("quality").make(3).fit(rows[:200])
    np.testing.assert_array_equal(
        by_vector.score(rows[200:]), Knn().fit(vectors[:200]).score(vectors[200:])
    )
    plain = Quality().fit(ROWS[:200].astype(np.float32))
    np.testing.assert_array_equal(
        by_quality.score(rows[200:]), plain.score(ROWS[200:].astype(np.float32))
    )
    assert isinstance(by_vector, Columns)
    assert by_vector.nearest(rows[:1], 1)[1].tolist() == [[0]]


def test_what_is_not_known_of_a_picture_never_flags_it() -> None:
    vectors = RANDOM.normal(0, 1, (400, 8)).astype(np.float32)
    rows = np.concatenate([vectors, RANDOM.normal(0, 1, (400, 6))], axis=1).astype(np.float32)
    made = ReferenceSet.fit(rows, [()] * 400, [str(n) for n in range(400)], alarm=0.1, qualities=6)
    assert set(made.strata[()].detectors) == {"knn", "mahalanobis", "residual", "quality"}
    unknown = rows[:1].copy()
    unknown[:, -6:] = np.nan
    odd = rows[:1].copy()
    odd[:, -6:] = 40
    (first, second) = made.judge(np.concatenate([unknown, odd]), [(), ()], alarm=0.1)
    assert not first.flagged and "quality" not in first.verdicts
    assert second.flagged
    assert min(second.verdicts, key=lambda name: second.verdicts[name].p_value) == "quality"
    again = ReferenceSet.from_state(made.state())
    assert again.judge(odd, [()], alarm=0.1)[0].p_value == second.p_value


# -- in a library --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, StudyAnswer]:
    """What a reference says of a usual picture, one of little contrast, and a blurred one."""
    folder = tmp_path_factory.mktemp("qualities")
    picture = Told(901, "lying", "left").picture()
    pictures = {
        "usual": picture,
        "flat": 110 + (picture - 110) * 0.12,
        "blurred": ndimage.gaussian_filter(picture, 1.5),
    }
    for name, each in pictures.items():
        Image.fromarray(np.rint(each).astype(np.uint8)).save(folder / f"{name}.png")
    with Library.open(make_told(folder / "told", 160)) as library:
        ood.fit_reference(library, ood.FitRequest("lines", alarm=0.15))
        found = Judge(library, "lines").of_files([folder / f"{name}.png" for name in pictures])
        return dict(zip(pictures, found, strict=True))


def test_too_little_contrast_is_flagged_and_named(answers: dict[str, StudyAnswer]) -> None:
    flat = answers["flat"]
    assert flat.flagged and "low_contrast" in {each.code for each in flat.findings}
    assert "grey values reach over" in flat.reason and "reference cases" in flat.reason


def test_a_blurred_picture_is_flagged_and_named(answers: dict[str, StudyAnswer]) -> None:
    blurred = answers["blurred"]
    assert blurred.flagged and "unsharp" in {each.code for each in blurred.findings}


def test_a_usual_picture_is_neither(answers: dict[str, StudyAnswer]) -> None:
    assert not answers["usual"].findings and not answers["usual"].flagged


def test_a_library_without_qualities_is_judged_without_and_that_is_said(tmp_path: Path) -> None:

    items = [Placed(f"p{n}", (*on_circle(n / 9), float(RANDOM.normal()))) for n in range(200)]
    with Library.open(place(tmp_path / "library", items)) as library:
        stored = ood.fit_reference(library, ood.FitRequest("old", alarm=0.2))
        (first, *_) = Judge(library, "old").of_items("")
    assert "exposure and sharpness are not judged" in stored.report["notes"][0]
    assert "quality" not in first.items[0].verdicts
