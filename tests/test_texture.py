"""The built-in encoder: what moves its vector and what must not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.encoders.texture import TextureEncoder
from indexer.encoders.texture_blocks import WEIGHTS, built_in
from indexer.errors import UnsupportedInputError
from indexer.phantoms import abdomen_ct, radiograph, ultrasound
from indexer.types import ImagePixels, Pixels, VolumePixels

encoder = TextureEncoder()


def disc(x: float = 0.0, y: float = 0.0, size: int = 200) -> np.ndarray:
    """A bright disc with a soft rim."""
    line = np.linspace(-1, 1, size)
    distance = np.hypot(line[None] - x, line[:, None] - y)
    return np.asarray(800 / (1 + np.exp(30 * (distance - 0.4))), dtype=np.float32)


def stripes(size: int = 200) -> np.ndarray:
    row = 500 * np.sin(np.arange(size) / 6)
    return np.tile(row, (size, 1)).astype(np.float32)


def image(values: np.ndarray, **other: object) -> ImagePixels:
    return replace(ImagePixels(values=values, modality="MR"), **other)  # type: ignore[arg-type]


def volume(values: np.ndarray, **other: object) -> VolumePixels:
    pixels = VolumePixels(
        values=values,
        modality="MR",
        spacing=(2.0, 1.0, 1.0),
        orientation=(0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0),
        origin=(0.0, 0.0, 0.0),
    )
    return replace(pixels, **other)  # type: ignore[arg-type]


def vector(pixels: Pixels) -> np.ndarray:
    row = encoder.embed([encoder.prepare(pixels)])[0]
    return np.asarray(row / np.linalg.norm(row))


def cosine(a: Pixels, b: Pixels) -> float:
    return float(vector(a) @ vector(b))


# -- the contract -----------------------------------------------------------------------------


def test_shapes_and_types() -> None:
    flat = encoder.prepare(image(disc()))
    deep = encoder.prepare(volume(np.stack([disc(), stripes()])))
    assert flat.shape == (1, 128, 128)
    assert deep.shape == (2, 128, 128)
    rows = encoder.embed([flat, deep])
    assert rows.shape == (2, encoder.spec.dim)
    assert {flat.dtype, deep.dtype, rows.dtype} == {np.dtype(np.float32)}
    assert encoder.embed([]).shape == (0, encoder.spec.dim)


def test_same_pixels_same_bits_and_the_input_is_left_alone() -> None:
    values = disc()
    before = values.copy()
    first = encoder.embed([encoder.prepare(image(values))])
    second = TextureEncoder().embed([TextureEncoder().prepare(image(values))])
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(values, before)


def test_a_batch_gives_what_each_gives_alone() -> None:
    batch = [encoder.prepare(image(v)) for v in (disc(), stripes(), disc(0.3))]
    alone = np.concatenate([encoder.embed([one]) for one in batch])
    np.testing.assert_array_equal(encoder.embed(batch), alone)
    np.testing.assert_array_equal(encoder.embed(batch[::-1]), alone[::-1])


@given(st.integers(3, 60), st.integers(3, 60), st.integers(0, 2**32 - 1), st.floats(0.05, 20))
@settings(max_examples=60)
def test_any_image_gives_a_finite_vector(h: int, w: int, seed: int, aspect: float) -> None:
    values = np.random.default_rng(seed).normal(size=(h, w)).astype(np.float32)
    row = vector(image(values, aspect=aspect))
    assert np.isfinite(row).all()
    assert np.linalg.norm(row) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("slices", [1, 2, 23, 24, 25, 100])
def test_volumes_of_any_length(slices: int) -> None:
    values = np.stack([disc(x, size=64) for x in np.linspace(-0.4, 0.4, slices)])
    prepared = encoder.prepare(volume(values))
    assert prepared.shape == (min(slices, 24), 128, 128)
    assert np.isfinite(encoder.embed([prepared])).all()


def test_a_volume_of_one_slice_is_that_image() -> None:
    assert cosine(volume(disc()[None]), image(disc())) == pytest.approx(1, abs=1e-6)


def test_empty_slices_do_not_spoil_a_volume() -> None:
    empty = np.zeros((200, 200), dtype=np.float32)
    assert cosine(volume(np.stack([empty, disc(), empty])), volume(disc()[None])) > 0.99


# -- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pixels",
    [
        image(np.full((50, 60), 7, dtype=np.float32)),
        image(np.full((50, 60), -3000, dtype=np.float32), modality="CT"),
        image(np.full((50, 60, 3), 9, dtype=np.uint8)),
        image(disc(size=50), padding=np.ones((50, 50), dtype=bool)),
        volume(np.zeros((4, 50, 50), dtype=np.int16)),
    ],
)
def test_a_constant_image_is_refused(pixels: Pixels) -> None:
    with pytest.raises(UnsupportedInputError, match="constant image"):
        encoder.prepare(pixels)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_are_refused(bad: float) -> None:
    values = disc()
    values[3, 4] = bad
    with pytest.raises(UnsupportedInputError, match="NaN or infinity"):
        encoder.prepare(image(values))
    with pytest.raises(UnsupportedInputError, match="NaN or infinity"):
        encoder.prepare(volume(values[None]))


def test_embed_refuses_what_prepare_did_not_make() -> None:
    with pytest.raises(UnsupportedInputError, match="not a prepared input"):
        encoder.embed([np.zeros((128, 128), dtype=np.float32)])
    with pytest.raises(UnsupportedInputError, match="without any edge"):
        encoder.embed([np.zeros((1, 128, 128), dtype=np.float32)])


# -- grey values ------------------------------------------------------------------------------


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 300.0), (2.5, 0.0), (0.01, -4.0)])
def test_brightness_and_gain_hardly_matter(gain: float, offset: float) -> None:
    assert cosine(image(disc()), image(disc() * np.float32(gain) + np.float32(offset))) > 0.9999


def test_inverted_is_undone_exactly_once() -> None:
    shown = image(disc())
    np.testing.assert_allclose(
        encoder.prepare(shown), encoder.prepare(image(-disc(), inverted=True)), atol=1e-5
    )
    assert cosine(shown, image(-disc(), inverted=True)) > 0.9999
    assert np.abs(encoder.prepare(shown) - encoder.prepare(image(-disc()))).max() > 0.5


def test_a_few_extreme_pixels_do_not_darken_the_rest() -> None:
    hot = disc()
    hot[:3, :3] = 1e6
    assert cosine(image(disc()), image(hot)) > 0.95


def test_a_small_thing_on_an_even_ground_is_seen() -> None:
    values = np.zeros((300, 300), dtype=np.float32)
    values[100:110, 100:110] = 5
    assert encoder.prepare(image(values)).max() > 0.9


def test_ct_keeps_its_scale_and_other_modalities_do_not() -> None:
    low, high = disc() - 400, disc()
    assert not np.allclose(
        encoder.prepare(image(low, modality="CT")), encoder.prepare(image(high, modality="CT"))
    )
    np.testing.assert_allclose(encoder.prepare(image(low)), encoder.prepare(image(high)), atol=1e-4)


def test_ct_shows_lung_soft_tissue_and_bone_apart() -> None:
    tissues = np.repeat([-1000, -850, -100, 0, 60, 300, 900], 40).astype(np.float32)
    prepared = encoder.prepare(image(np.tile(tissues, (280, 1)), modality="CT"))
    greys = prepared[0, 64, 9::18][:7]
    assert (np.diff(greys) > 0.02).all()


def test_padding_neither_scales_nor_shows() -> None:
    values = disc()
    padding = np.zeros_like(values, dtype=bool)
    padding[:, :60] = True
    for junk in (-9999.0, 30000.0):
        values[padding] = junk
        prepared = encoder.prepare(image(values, padding=padding))
        assert prepared[0, :, :36].max() == 0
        assert prepared.max() > 0.95
    deep = encoder.prepare(volume(values[None].astype(np.int16), padding_value=30000.0))
    assert deep[0, :, :36].max() == 0


def test_colour_becomes_luminance() -> None:
    grey = np.clip(disc() / 4 + 30, 0, 255).astype(np.uint8)
    assert cosine(image(np.stack([grey] * 3, axis=-1)), image(grey.astype(np.float32))) > 0.999
    green = np.zeros((*grey.shape, 3), dtype=np.uint8)
    green[..., 1] = grey
    assert cosine(image(green), image(grey.astype(np.float32))) > 0.99


# -- shapes -----------------------------------------------------------------------------------


def test_pixel_aspect_and_volume_spacing_are_honoured() -> None:
    squeezed = disc()[::2]  # pixels twice as high as wide
    assert cosine(image(squeezed, aspect=2.0), image(disc())) > 0.98
    assert cosine(image(squeezed), image(disc())) < 0.8
    assert cosine(volume(squeezed[None], spacing=(5.0, 2.0, 1.0)), volume(disc()[None])) > 0.98


def test_proportions_are_kept_and_margins_make_no_edges() -> None:
    prepared = encoder.prepare(image(stripes()[:100]))[0]
    np.testing.assert_array_equal(prepared[0], prepared[64])
    np.testing.assert_array_equal(prepared[-1], prepared[64])


def test_resolution_hardly_matters() -> None:
    assert cosine(image(disc(size=512)), image(disc(size=140))) > 0.99


def test_a_small_shift_changes_little_and_another_picture_much() -> None:
    assert cosine(image(disc()), image(disc(0.03))) > 0.9
    assert cosine(image(disc()), image(disc(0.4, -0.4))) < 0.6
    assert cosine(image(disc()), image(stripes())) < 0.3


def test_pictures_of_one_kind_are_near_and_other_kinds_far() -> None:
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:150, :150]
    drawn = {
        "film": [radiograph(np.random.default_rng(i), size=200) for i in range(5)],
        "sonogram": [ultrasound(np.random.default_rng(i))[0] for i in range(5)],
        "CT": [abdomen_ct(np.random.default_rng(i))[12] for i in range(5)],
        "noise": [rng.normal(size=(150, 150)) for _ in range(5)],
        "stripes": [np.sin((x * np.cos(a) + y * np.sin(a)) / 3) for a in rng.uniform(0, 3, 5)],
    }
    rows = {
        kind: np.stack([vector(image(np.asarray(each, np.float32))) for each in pictures])
        for kind, pictures in drawn.items()
    }
    others = ~np.eye(5, dtype=bool)
    for kind, own in rows.items():
        within = float((own @ own.T)[others].mean())
        assert within > 0.25
        for other, theirs in rows.items():
            if other != kind:
                between = float((own @ theirs.T).mean())
                assert between < min(0.5, within), f"{kind} against {other}"


def test_the_weights_are_small_and_come_from_the_training_script() -> None:
    assert WEIGHTS.stat().st_size < 5 << 20
    fitted = built_in()
    dims = [axes.shape[1] for axes in (fitted.edges_axes, fitted.relations_axes, fitted.words_axes)]
    assert sum(dims) == encoder.spec.dim
