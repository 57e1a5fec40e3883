"""CT-FM: equal to MONAI's transforms, splitter and network, whichever way the scan lies."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SlidingWindowSplitter
from monai.networks.nets.segresnet_ds import SegResEncoder
from monai.transforms import (
    Compose,
    CropForegroundd,
    Orientationd,
    ScaleIntensityRanged,
    Spacingd,
)
from safetensors.torch import load_file, save_file
from scipy import ndimage
from tiny_models import CT_FM, shared_models
from torch.nn import functional

from indexer.encoders.contract import EncoderContext
from indexer.encoders.ct_fm import (
    AIR,
    RECIPES,
    TOP,
    CtFm,
    VolumeRecipe,
    foreground,
    patches_of,
    resampled,
    turned,
)
from indexer.errors import UnsupportedInputError, WeightsError
from indexer.types import ImagePixels, VolumePixels

MIR = RECIPES["3d-mir"]
SIGNS = list(product((1, -1), repeat=3))
ORDERS = list(permutations(range(3)))
AXIAL = np.eye(3)[::-1]
"""Rows: along slices, rows and columns; towards the head, the back and the left."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared_models(tmp_path_factory)


@pytest.fixture(scope="module")
def encoder(models: Path) -> CtFm:
    return CtFm(EncoderContext("ct-fm", models, "cpu"))


def scan(
    shape: tuple[int, int, int] = (13, 27, 22),
    spacing: tuple[float, float, float] = (2.5, 0.8, 0.9),
    directions: np.ndarray = AXIAL,
    seed: int = 0,
) -> VolumePixels:
    """Soft tissue and bone in a box of its own within air, smooth."""
    noise = np.random.default_rng(seed).normal(size=shape)
    values = 4000 * ndimage.gaussian_filter(noise, 1.2) + 300
    margin = tuple(slice(count // 8, count - count // 6) for count in shape)
    found = np.full(shape, -1000.0)
    found[margin] = values[margin]
    return VolumePixels(
        values=np.clip(np.rint(found), -1024, 3000).astype(np.int16),
        modality="CT",
        spacing=spacing,
        orientation=tuple(float(v) for v in directions.ravel()),
        origin=(-20.0, 30.0, 400.0),
    )


def affine(pixels: VolumePixels) -> np.ndarray:
    """Of NIfTI and MONAI: right to left and back to front turn round, compared with DICOM."""
    found = np.eye(4)
    directions = np.array(pixels.orientation).reshape(3, 3)
    found[:3, :3] = (directions * np.array(pixels.spacing)[:, None]).T
    found[:3, 3] = pixels.origin
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ found


STEPS = {
    "orient": Orientationd(keys="image", axcodes="SPL", labels=None),
    "space": Spacingd(keys="image", pixdim=(3, 1, 1), mode="bilinear"),
    "crop": CropForegroundd(keys="image", source_key="image", allow_smaller=False),
    "scale": ScaleIntensityRanged(keys="image", a_min=AIR, a_max=TOP, b_min=0, b_max=1, clip=True),
}


def by_monai(pixels: VolumePixels, *steps: str) -> np.ndarray:
    values = torch.from_numpy(pixels.values.astype(np.float32))[None]
    image = MetaTensor(values, affine=torch.from_numpy(affine(pixels)))
    found = Compose([STEPS[step] for step in steps])({"image": image})["image"]
    return np.asarray(found[0])


def scaled(values: np.ndarray) -> np.ndarray:
    return np.clip((values.astype(np.float32) - AIR) / (TOP - AIR), 0, 1)


# -- preparation -----------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: "".join(map(str, order)))
def test_every_way_a_scan_can_lie_is_prepared_as_monai_does(
    order: tuple[int, int, int], encoder: CtFm
) -> None:
    for signs in SIGNS:
        directions = np.diag(signs)[list(order)].astype(float)
        pixels = scan(directions=directions, seed=sum(signs) + 3)
        values, spacing = turned(pixels)
        np.testing.assert_array_equal(values, by_monai(pixels, "orient"))
        spaced = resampled(values, spacing, (3.0, 1.0, 1.0))
        expected = by_monai(pixels, "orient", "space")
        assert spaced.shape == expected.shape
        np.testing.assert_allclose(spaced, expected, atol=0.5)
        prepared = encoder.prepare(pixels)
        assert prepared.dtype == np.int16
        expected = by_monai(pixels, "orient", "space", "crop", "scale")
        assert prepared.shape == expected.shape
        np.testing.assert_allclose(scaled(prepared), expected, atol=1e-3)


@pytest.mark.parametrize("degrees", [8.0, 20.0])
@pytest.mark.parametrize("axis", range(3))
def test_an_oblique_scan_keeps_its_obliqueness(axis: int, degrees: float, encoder: CtFm) -> None:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.insert(np.insert(np.array([[c, -s], [s, c]]), axis, 0, 0), axis, 0, 1)
    turn[axis, axis] = 1
    pixels = scan(directions=AXIAL @ turn, seed=4)
    expected = by_monai(pixels, "orient", "space", "crop", "scale")
    prepared = encoder.prepare(pixels)
    assert prepared.shape == expected.shape
    np.testing.assert_allclose(scaled(prepared), expected, atol=1e-3)


@pytest.mark.parametrize("count", range(3, 14))
@pytest.mark.parametrize("have", [0.5, 0.625, 1.5, 2.5, 3.0, 4.5, 5.0, 7.5])
def test_the_number_of_voxels_is_monais(count: int, have: float) -> None:
    """Also where the distance of the outer voxels is a whole number of new ones and a half."""
    pixels = scan((count, 12, 14), (have, 0.8, 0.9))
    values, spacing = turned(pixels)
    expected = by_monai(pixels, "orient", "space")
    found = resampled(values, spacing, (3.0, 1.0, 1.0))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=0.5)


def test_the_other_recipes(models: Path) -> None:
    pixels = scan(directions=-AXIAL[[1, 0, 2]])
    card = CtFm(EncoderContext("ct-fm:card", models, "cpu"))
    expected = by_monai(pixels, "orient", "scale", "crop")
    np.testing.assert_allclose(scaled(card.prepare(pixels)), expected, atol=1e-3)
    training = CtFm(EncoderContext("ct-fm:pretraining", models, "cpu"))
    expected = by_monai(pixels, "orient", "space", "crop", "scale")
    np.testing.assert_allclose(scaled(training.prepare(pixels)), expected, atol=1e-3)


def test_the_box_is_the_smallest_with_all_that_is_dense() -> None:
    values = np.full((5, 6, 7), -1000, np.int16)
    values[2, 3, 1], values[3, 3, 5] = 1, 700
    values[0, 0, 0] = 0
    assert foreground(values, 0).shape == (2, 1, 5)
    assert foreground(values, -1).shape == (4, 4, 6)
    assert foreground(values, 700).size == 0


# -- patches ---------------------------------------------------------------------------------------


def whole(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1100, 2200, shape).astype(np.int16)


SHAPES = [(24, 128, 128), (25, 128, 177), (33, 176, 130), (60, 129, 128)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["3d-mir", "pretraining"])
def test_patches_are_those_of_the_sliding_window(name: str, shape: tuple[int, int, int]) -> None:
    recipe = replace(RECIPES[name], budget=10_000)
    assert recipe.patch is not None
    shape = tuple(max(*pair) for pair in zip(shape, recipe.patch, strict=True))  # type: ignore[assignment]
    values = whole(shape)
    splitter = SlidingWindowSplitter(recipe.patch, recipe.overlap)
    expected = [
        part.numpy()[0] for part, _ in splitter(torch.from_numpy(scaled(values))[None, None])
    ]
    found = list(patches_of(values, recipe))
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_a_small_volume_is_filled_up_with_air() -> None:
    values = whole((10, 40, 130))
    patches = list(patches_of(values, MIR))
    assert [patch.shape for patch in patches] == [(1, 24, 128, 128)] * 2
    np.testing.assert_allclose(patches[0][0, :10, :40], scaled(values)[..., :128], atol=1e-6)
    assert patches[0][0, 10:].max() == 0
    assert patches[0][0, :, 40:].max() == 0
    assert patches[1][0, :, :, 82:].max() == 0
    (card,) = patches_of(values, RECIPES["card"])
    assert card.shape == (1, 16, 40, 130)


def test_no_more_patches_than_the_budget_evenly_taken() -> None:
    recipe = VolumeRecipe("mine", None, 0, (16, 16, 16), 0.0, "min", budget=9)
    values = np.repeat(np.arange(100, dtype=np.int16) * 10, 16)[:, None, None]
    values = np.broadcast_to(values, (1600, 16, 16))
    taken = [round(float(p.max()) * (TOP - AIR) + AIR) // 10 for p in patches_of(values, recipe)]
    assert len(taken) == 9
    assert set(np.diff(taken)) <= {11, 12}
    assert taken[0] + taken[-1] == 99
    assert len(list(patches_of(values, replace(recipe, budget=100)))) == 100
    assert all(recipe.budget == 64 for recipe in RECIPES.values())


# -- vectors ---------------------------------------------------------------------------------------


def reference(models: Path) -> SegResEncoder:
    """The network as the script of the authors makes it: the last map, averaged over places."""
    network = SegResEncoder(
        init_filters=CT_FM["init_filters"],
        blocks_down=tuple(CT_FM["blocks_down"]),
        head_module=lambda maps: functional.adaptive_avg_pool3d(maps[-1], 1).flatten(1),
    )
    network.load_state_dict(load_file(models / "ct-fm" / "model.safetensors"))
    return network.eval()


def test_a_vector_is_the_least_over_patches_of_the_averaged_last_map(
    encoder: CtFm, models: Path
) -> None:
    pixels = scan((26, 132, 150), (3.1, 1.5, 1.4), -AXIAL[[0, 2, 1]])
    values = torch.from_numpy(by_monai(pixels, "orient", "space", "crop", "scale"))[None, None]
    network = reference(models)
    with torch.inference_mode():
        parts = [network(part) for part, _ in SlidingWindowSplitter((24, 128, 128), 0.625)(values)]
    expected = torch.cat(parts).min(dim=0).values.numpy()
    row = encoder.embed([encoder.prepare(pixels)])[0]
    assert len(parts) > 2
    assert row.shape == (encoder.spec.dim,) == (32,)
    np.testing.assert_allclose(row, expected, atol=2e-3 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["pretraining", "card"])
def test_the_other_recipes_average(name: str, models: Path) -> None:
    encoder = CtFm(EncoderContext(f"ct-fm:{name}", models, "cpu"))
    prepared = encoder.prepare(scan((14, 60, 150), (3.0, 1.0, 1.0)))
    parts = encoder.embed_patches_of(prepared)
    np.testing.assert_allclose(encoder.embed([prepared])[0], parts.mean(axis=0), atol=1e-6)
    with torch.inference_mode():
        first = torch.from_numpy(next(patches_of(prepared, encoder.recipe)))[None]
        expected = reference(models)(first).numpy()
    np.testing.assert_allclose(parts[:1], expected, atol=1e-5)


def test_the_same_scan_twice_gives_the_same_bits(encoder: CtFm) -> None:
    prepared = encoder.prepare(scan())
    np.testing.assert_array_equal(encoder.embed([prepared]), encoder.embed([prepared]))


def test_how_a_scan_is_stored_does_not_matter(encoder: CtFm) -> None:
    """Feet first or head first, slices last or first: it is one patient."""
    pixels = scan(shape=(15, 30, 30), spacing=(3.0, 1.0, 1.0))
    directions = np.array(pixels.orientation).reshape(3, 3)
    flipped = replace(
        pixels,
        values=pixels.values[::-1, :, ::-1],
        orientation=tuple((directions * np.array([[-1], [1], [-1]])).ravel()),
    )
    last = replace(
        pixels,
        values=np.moveaxis(pixels.values, 0, 2),
        spacing=(1.0, 1.0, 3.0),
        orientation=tuple(directions[[1, 2, 0]].ravel()),
    )
    prepared = encoder.prepare(pixels)
    np.testing.assert_array_equal(encoder.prepare(flipped), prepared)
    np.testing.assert_array_equal(encoder.prepare(last), prepared)
    mirrored = encoder.prepare(replace(pixels, values=pixels.values[..., ::-1]))
    assert not np.array_equal(mirrored, prepared)


Change = Callable[[dict[str, torch.Tensor]], object]


def without_statistics(state: dict[str, torch.Tensor]) -> None:
    for name in [name for name in state if "running" in name or "num_batches" in name]:
        del state[name]


CHANGES: dict[str, tuple[Change, str]] = {
    "statistics": (without_statistics, r"36 missing .*norm1\.num_batches_tracked"),
    "decoder": (lambda s: s.update({"up_layers.0.weight": torch.zeros(3)}), r"1 unexpected \(up_"),
    "shape": (
        lambda s: s.update({"conv_init.weight": torch.zeros(3)}),
        r"another shape \(conv_ini",
    ),
    "prefix": (
        lambda s: s.update({"encoder.conv_init.weight": s.pop("conv_init.weight")}),
        r"1 missing \(conv_init\.weight\); 1 unexpected \(encoder\.conv_init\.weight\)",
    ),
}


@pytest.mark.parametrize("change", list(CHANGES))
def test_weights_of_another_network_are_refused_by_name(
    change: str, models: Path, tmp_path: Path
) -> None:
    """Without running statistics batch norm would work, and give other vectors."""
    shutil.copytree(models / "ct-fm", tmp_path / "ct-fm")
    state = load_file(models / "ct-fm" / "model.safetensors")
    spoil, said = CHANGES[change]
    spoil(state)
    save_file(state, tmp_path / "ct-fm" / "model.safetensors")
    encoder = CtFm(EncoderContext("ct-fm", tmp_path, "cpu"))
    with pytest.raises(WeightsError, match=said):
        encoder.embed([encoder.prepare(scan())])


# -- what it does not take -------------------------------------------------------------------------


def with_nan(pixels: VolumePixels) -> VolumePixels:
    values = pixels.values.astype(np.float32)
    values[2, 3, 4] = np.nan
    return replace(pixels, values=values)


Refusal = tuple[Callable[[VolumePixels], VolumePixels], str]
NO_CT_VOLUME: dict[str, Refusal] = {
    "magnetic resonance": (lambda p: replace(p, modality="MR"), "modality MR, and it takes CT"),
    "two slices": (lambda p: replace(p, values=p.values[:2]), "2 slices, and it takes 3"),
    "tilted": (lambda p: replace(p, sheared=True), "a tilted gantry"),
    "constant": (lambda p: replace(p, values=np.full_like(p.values, 40)), "constant volume"),
    "nan": (with_nan, "NaN or infinity"),
}
"""What every encoder of CT volumes refuses."""
REFUSED: dict[str, Refusal] = NO_CT_VOLUME | {
    "air": (lambda p: replace(p, values=np.minimum(p.values, 0)), "no voxel above 0 HU"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_it_was_not_made_for_is_refused(name: str, encoder: CtFm) -> None:
    change, why = REFUSED[name]
    with pytest.raises(UnsupportedInputError, match=why):
        encoder.prepare(change(scan()))


def test_an_image_is_refused(encoder: CtFm) -> None:
    with pytest.raises(UnsupportedInputError, match="an image, and it takes volumes"):
        encoder.prepare(ImagePixels(scan().values[5].astype(np.float32), modality="CT"))


@pytest.mark.parametrize("extreme", [-1e6, 40_000.0, 3e38])
def test_values_far_beyond_hounsfield_units_stay_at_the_end_they_are(
    extreme: float, encoder: CtFm
) -> None:
    """Metal, or padding of a scanner: beyond what int16 holds they must not turn round."""
    pixels = scan(spacing=(3.0, 1.0, 1.0))
    values = pixels.values.astype(np.float32)
    values[6, 10, 10] = extreme
    cut = np.clip(values, -30_000, 30_000)
    found = encoder.prepare(replace(pixels, values=values))
    expected = encoder.prepare(replace(pixels, values=cut))
    np.testing.assert_allclose(scaled(found), scaled(expected), atol=1e-3)
