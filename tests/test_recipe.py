"""Preparation as data: what each step does, and that any change makes another space."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from indexer.encoders import ct_fm, flair, m3d_clip, medimageinsight, merlin, rad_dino
from indexer.encoders.recipe import (
    CentreCrop,
    Grey,
    Jpeg,
    Levels,
    PadSquare,
    Picture,
    Recipe,
    Resize,
    Rgb,
    Step,
    network_input,
    start,
)
from indexer.errors import UnsupportedInputError
from indexer.types import ImagePixels

sizes = st.integers(1, 60)
seeds = st.integers(0, 2**32 - 1)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(300, 100, (height, width))
    return values.astype(np.float32)


def picture(values: np.ndarray, **other: Any) -> Picture:
    return replace(Picture(values, modality="DX", padding=None, aspect=1.0), **other)


def grey8(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def colour(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


# -- versions --------------------------------------------------------------------------------------

VERSIONS = {
    "rad-dino": ["card-9d68334df6", "pad-2acd1751db"],
    "medimageinsight": ["service-50b554b046", "mirror-5bd22b6d56"],
    "ct-fm": ["3d-mir-91f1c8fa88", "pretraining-774660ccf7", "card-c968eaf58e"],
    "flair": ["package-c9578d2977"],
    "m3d-clip": ["m3d-cap-d3e91d8416"],
    "merlin": ["package-5250839f34"],
}
"""Vectors in libraries carry these: whoever changes one makes those libraries index again."""


def versions() -> dict[str, list[str]]:
    modules = {"rad-dino": rad_dino, "medimageinsight": medimageinsight, "ct-fm": ct_fm}
    modules |= {"flair": flair, "m3d-clip": m3d_clip, "merlin": merlin}
    return {name: [r.version for r in m.RECIPES.values()] for name, m in modules.items()}


def test_versions_are_those_in_libraries() -> None:
    assert versions() == VERSIONS


def test_another_process_gives_the_same_versions() -> None:
    code = "import test_recipe; print(test_recipe.versions())"
    folder = Path(__file__).parent
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": f"{folder}:{Path.cwd()}"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(VERSIONS)


OTHER: list[tuple[Step, dict[str, object]]] = [
    (Levels(), {"low": 1.0, "high": 99.0, "ct_window": (40.0, 400.0)}),
    (Resize(518), {"size": (518, 518), "filter": "bilinear"}),
    (CentreCrop((518, 518)), {"size": (518, 517)}),
    (Jpeg(75), {"quality": 76}),
    (flair.Canvas(512), {"side": 256}),
]


@pytest.mark.parametrize(("step", "others"), OTHER)
def test_any_field_of_a_step_changes_the_version(step: Any, others: dict[str, object]) -> None:
    assert {field.name for field in fields(step)} == set(others)
    chains = [(step,), (step, step), *((replace(step, **{k: v}),) for k, v in others.items())]
    assert len({Recipe("same", chain).version for chain in chains}) == len(chains)


def test_steps_their_order_and_the_last_scaling_change_the_version() -> None:
    recipes = [
        Recipe("same", (Levels(), PadSquare())),
        Recipe("same", (PadSquare(), Levels())),
        Recipe("same", (Levels(), Rgb())),
        Recipe("same", (Levels(), Grey())),
        Recipe("same", (Levels(), Rgb()), mean=(0.5,)),
        Recipe("same", (Levels(), Rgb()), std=(0.5,)),
        Recipe("same", (Levels(), Rgb()), mean=(0.5,), std=(0.5,)),
        Recipe("other", (Levels(), Rgb())),
    ]
    assert len({recipe.version for recipe in recipes}) == len(recipes)


def test_any_field_of_a_volume_recipe_changes_the_version() -> None:
    first = ct_fm.RECIPES["3d-mir"]
    others: dict[str, Any] = {
        "name": "mine",
        "spacing": None,
        "above": -1,
        "patch": None,
        "overlap": 0.5,
        "pooling": "mean",
        "budget": 63,
    }
    assert {field.name for field in fields(first)} == set(others)
    changed = [replace(first, **{name: value}) for name, value in others.items()]
    assert len({recipe.version for recipe in [first, *changed]}) == len(others) + 1


def test_any_field_of_a_box_or_grid_changes_the_version() -> None:
    box, grid = merlin.RECIPES["package"], m3d_clip.RECIPES["m3d-cap"]
    others: list[dict[str, Any]] = [
        {"name": "mine", "spacing": (3.0, 1.0, 1.0), "low": -999, "high": 999, "shape": (9, 9, 9)},
        {"name": "mine", "shape": (32, 256, 128)},
    ]
    for recipe, changes in zip((box, grid), others, strict=True):
        assert {field.name for field in fields(recipe)} == set(changes)
        changed = [replace(recipe, **{name: value}) for name, value in changes.items()]
        assert len({each.version for each in [recipe, *changed]}) == len(changes) + 1


def test_every_recipe_says_each_of_its_steps() -> None:
    for recipe in [*rad_dino.RECIPES.values(), *medimageinsight.RECIPES.values()]:
        said = recipe.says()
        assert len(said) == len(recipe.steps) + 1
        assert all(said)
    assert "JPEG of quality 75" in " ".join(medimageinsight.RECIPES["service"].says())
    assert "0.5307" in rad_dino.RECIPES["card"].says()[-1]
    assert flair.RECIPES["package"].says()[-1] == "divide by 255"
    assert "-1000 to 1000 HU" in " ".join(merlin.RECIPES["package"].says())
    assert "32 x 256 x 256 voxels" in " ".join(m3d_clip.RECIPES["m3d-cap"].says())
    assert "overlapping by 62.5%" in " ".join(ct_fm.RECIPES["3d-mir"].says())


# -- the start -------------------------------------------------------------------------------------


def test_bright_is_dense_exactly_once() -> None:
    values = noise(9, 7)
    shown = start(ImagePixels(values, modality="CR", inverted=True))
    np.testing.assert_array_equal(shown.values, -values)
    np.testing.assert_array_equal(start(ImagePixels(values, modality="CR")).values, values)


@pytest.mark.parametrize("inverted", [False, True])
def test_padding_becomes_the_darkest_of_the_rest(inverted: bool) -> None:
    values = noise(9, 7)
    padding = np.zeros((9, 7), bool)
    padding[:, :2] = True
    values[padding] = -9999
    shown = start(ImagePixels(values, padding=padding, inverted=inverted)).values
    rest = -values[~padding] if inverted else values[~padding]
    assert (shown[padding] == rest.min()).all()
    np.testing.assert_array_equal(shown[~padding], rest)
    assert (values[padding] == -9999).all(), "the input is left alone"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused(bad: float) -> None:
    values = noise(9, 7)
    values[3, 4] = bad
    with pytest.raises(UnsupportedInputError, match="NaN or infinity"):
        start(ImagePixels(values))


def test_nothing_but_padding_is_refused() -> None:
    with pytest.raises(UnsupportedInputError, match="nothing but padding"):
        start(ImagePixels(noise(9, 7), padding=np.ones((9, 7), bool)))


# -- levels ----------------------------------------------------------------------------------------


@given(sizes, sizes, seeds, st.floats(0.01, 1000), st.floats(-3000, 3000))
@settings(max_examples=60)
def test_levels_span_everything_whatever_gain_and_offset(
    h: int, w: int, seed: int, gain: float, offset: float
) -> None:
    values = np.random.default_rng(seed).integers(0, 4096, (h, w + 1)).astype(np.float32)
    values.flat[0], values.flat[1] = 0, 4095
    shades = Levels()(picture(values)).values
    assert (shades.dtype, shades.min(), shades.max()) == (np.uint8, 0, 255)
    order = np.argsort(values, axis=None)
    assert (np.diff(shades.flat[order].astype(int)) >= 0).all()
    other = Levels()(picture(values * np.float32(gain) + np.float32(offset))).values
    assert np.abs(other.astype(int) - shades).max() <= 1


def test_levels_cut_the_extremes_and_leave_padding_out() -> None:
    values = np.linspace(0, 1000, 1001, dtype=np.float32).reshape(7, 143)
    shades = Levels(1, 99)(picture(values)).values
    np.testing.assert_array_equal(
        shades, np.rint(np.clip((values - 10) / 980, 0, 1) * 255).astype(np.uint8)
    )
    padding = values >= 900
    values[padding] = 1e6
    seen = Levels()(picture(values, padding=padding)).values
    assert (seen[padding] == 255).all()
    assert seen[~padding].max() == 255
    assert seen[~padding].min() == 0


def test_ct_is_seen_through_the_window_and_nothing_else_is() -> None:
    values = np.array([[-161, -160, -60, 40, 140, 240, 3000]], np.float32)
    step = Levels(ct_window=(40, 400))
    shades = step(picture(values, modality="CT")).values
    assert shades.tolist() == [[0, 0, 64, 128, 191, 255, 255]]
    assert step(picture(values, modality="MR")).values.tolist()[0][-2:] != [255, 255]


def test_a_small_thing_on_an_even_ground_is_seen() -> None:
    values = np.zeros((100, 100), np.float32)
    values[50, 50:53] = 7
    shades = Levels(1, 99)(picture(values)).values
    assert shades[50, 51] == 255
    assert shades[0, 0] == 0


def test_colour_keeps_its_levels() -> None:
    values = colour(5, 6)
    assert Levels(1, 99)(picture(values)).values is values


@pytest.mark.parametrize("values", [np.full((4, 4), 7.0), np.array([[-3e38, 3e38]])])
def test_levels_refuse_what_has_no_range(values: np.ndarray) -> None:
    with pytest.raises(UnsupportedInputError, match="constant image"):
        Levels()(picture(values.astype(np.float32)))


# -- sizes -----------------------------------------------------------------------------------------


@given(st.integers(2, 60), st.integers(2, 60), seeds, st.sampled_from([np.uint8, np.float32]))
@settings(max_examples=40)
def test_the_shorter_side_gets_the_size_as_pillow_does_it(
    h: int, w: int, seed: int, kind: type[np.generic]
) -> None:
    values = grey8(h, w, seed).astype(kind)
    found = Resize(30)(picture(values)).values
    tall, wide = (30, int(30 * w / h)) if h <= w else (int(30 * h / w), 30)
    assert found.shape == (tall, wide)
    assert found.dtype == kind
    shown = Image.fromarray(values).resize((wide, tall), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(found, np.asarray(shown))


def test_a_size_without_proportions_and_the_filters() -> None:
    values = colour(31, 47)
    filters = {"bicubic": 3, "bilinear": 2, "lanczos": 1}
    for name, number in filters.items():
        found = Resize((20, 10), name)(picture(values)).values
        shown = Image.fromarray(values).resize((10, 20), Image.Resampling(number))
        np.testing.assert_array_equal(found, np.asarray(shown))


def test_making_smaller_looks_at_every_pixel() -> None:
    values = np.zeros((300, 300), np.float32)
    values[150, 150] = 1000
    assert Resize(30)(picture(values)).values.max() > 1


def test_pixel_aspect_is_honoured_where_proportions_are_kept() -> None:
    """A film of 40 x 60 pixels that are twice as high as wide is 80 x 60."""
    found = Resize(30)(picture(noise(40, 60), aspect=2.0))
    assert found.values.shape == (40, 30)
    assert found.aspect == 1.0
    found = Resize(30)(picture(noise(40, 60), aspect=0.5))
    assert found.values.shape == (30, 90)


def disc(rows: int, columns: int) -> np.ndarray:
    y = np.linspace(-1, 1, rows, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, columns, dtype=np.float32)[None]
    return np.asarray(1000 / (1 + np.exp(20 * (np.hypot(x, y) - 0.5))), np.float32)


@pytest.mark.parametrize("name", list(rad_dino.RECIPES))
@pytest.mark.parametrize(("rows", "columns"), [(150, 300), (300, 150)])
def test_pixels_that_are_not_square_show_the_same_film(name: str, rows: int, columns: int) -> None:
    recipe = rad_dino.RECIPES[name]
    square = recipe.picture(ImagePixels(disc(300, 300), modality="DX"))
    pixels = ImagePixels(disc(rows, columns), modality="DX", aspect=columns / rows)
    difference = np.abs(recipe.picture(pixels).astype(int) - square)
    assert difference.mean() < 2


@pytest.mark.parametrize("name", list(rad_dino.RECIPES))
def test_a_film_far_too_thin_is_refused(name: str) -> None:
    with pytest.raises(UnsupportedInputError, match="too thin or too small"):
        rad_dino.RECIPES[name].picture(ImagePixels(noise(4, 2000), modality="DX"))


@pytest.mark.parametrize(
    "recipe", [*rad_dino.RECIPES.values(), *medimageinsight.RECIPES.values()], ids=lambda r: r.name
)
@pytest.mark.parametrize(("height", "width"), [(8, 8), (2, 3), (1, 20), (600, 20)])
def test_small_and_narrow_pictures_are_taken(recipe: Recipe, height: int, width: int) -> None:
    side = 518 if recipe.name in rad_dino.RECIPES else 480
    shown = recipe.picture(ImagePixels(noise(height, width), modality="DX"))
    assert (shown.shape, shown.dtype) == ((side, side, 3), np.uint8)


@given(sizes, sizes, sizes, sizes)
@settings(max_examples=60)
def test_the_middle_is_cut_out_and_black_is_put_around(h: int, w: int, th: int, tw: int) -> None:
    values = grey8(h, w)
    found = CentreCrop((th, tw))(picture(values)).values
    assert found.shape == (th, tw)
    wide = np.pad(values, ((th, th), (tw, tw)))
    top = th + ((h - th) // 2 if h >= th else -((th - h) // 2))
    left = tw + ((w - tw) // 2 if w >= tw else -((tw - w) // 2))
    np.testing.assert_array_equal(found, wide[top : top + th, left : left + tw])


def test_a_square_loses_nothing() -> None:
    values = grey8(20, 31) | np.uint8(1)
    found = PadSquare()(picture(values)).values
    assert found.shape == (31, 31)
    np.testing.assert_array_equal(found[5:25], values)
    assert found.sum() == values.sum()


# -- colours ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [grey8(33, 40), colour(33, 40)], ids=["grey", "colour"])
def test_jpeg_is_pillows(values: np.ndarray) -> None:
    out = io.BytesIO()
    Image.fromarray(values).save(out, "JPEG", quality=75)
    with Image.open(out) as image:
        np.testing.assert_array_equal(Jpeg(75)(picture(values)).values, np.asarray(image))


def test_grey_in_three_channels_and_back() -> None:
    values = grey8(5, 6)
    shown = Rgb()(picture(values))
    assert shown.values.shape == (5, 6, 3)
    np.testing.assert_array_equal(shown.values, np.stack([values] * 3, -1))
    np.testing.assert_array_equal(Grey()(shown).values, values)
    assert Rgb()(shown) is shown
    green = np.zeros((1, 1, 3), np.uint8)
    green[..., 1] = 100
    assert Grey()(picture(green)).values.tolist() == [[59]]


# -- the whole -------------------------------------------------------------------------------------


def test_the_network_gets_it_scaled_per_channel() -> None:
    recipe = Recipe("r", (Levels(), Rgb()), mean=(0.5, 0.4, 0.3), std=(0.5, 0.25, 0.2))
    shown = recipe.picture(ImagePixels(np.array([[0, 255], [51, 102]], np.float32)))
    planes = network_input(shown, recipe)
    assert (planes.shape, planes.dtype) == ((3, 2, 2), np.float32)
    np.testing.assert_allclose(planes[0], [[-1, 1], [-0.6, -0.2]], atol=1e-6)
    np.testing.assert_allclose(planes[1], [[-1.6, 2.4], [-0.8, 0]], atol=1e-6)
    np.testing.assert_allclose(planes[2], [[-1.5, 3.5], [-0.5, 0.5]], atol=1e-6)
    assert network_input(shown[..., 0], Recipe("g", ())).shape == (1, 2, 2)


def test_a_recipe_has_to_end_in_eight_bits() -> None:
    with pytest.raises(TypeError, match="does not end in 8 bits"):
        Recipe("raw", (Resize(8),)).picture(ImagePixels(noise(9, 9)))


def test_what_the_crop_leaves_constant_is_refused() -> None:
    values = np.zeros((10, 100), np.float32)
    values[:, 0] = 1
    with pytest.raises(UnsupportedInputError, match="constant image"):
        Recipe("r", (Levels(), CentreCrop((10, 10)))).picture(ImagePixels(values))
