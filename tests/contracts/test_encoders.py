"""What every encoder must do, and how others add theirs."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from tiny_backbones import BACKBONES
from tiny_models import WRITERS, shared_models

from api.service import ingest, search
from indexer.config import Settings
from indexer.encoders.cards import CARDS
from indexer.encoders.contract import (
    Encoder,
    EncoderContext,
    PatchEncoder,
    SliceEncoder,
    TextEncoder,
)
from indexer.errors import ConfigError, UnknownEncoderError, UnsupportedInputError
from indexer.library import Library
from indexer.registry import (
    encoder_names,
    known_encoder,
    make_encoder,
    make_store,
    recipes_of,
    store_names,
)
from indexer.searching.asking import SearchRequest, like
from indexer.types import Frame, ImagePixels, Pixels, VolumePixels, Window

ENCODERS = [n for n in encoder_names() if n in WRITERS or n not in CARDS] + list(BACKBONES)
"""Those whose packages are here; tests/extras holds the others to the same contract."""
VARIANTS = [
    name if number == 0 else f"{name}:{recipe}"
    for name in ENCODERS
    for number, recipe in enumerate(recipes_of(name) or [""])
]
"""Every encoder with each of its recipes; the first one goes without saying."""


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared_models(tmp_path_factory)


@pytest.fixture(params=VARIANTS)
def encoder(request: pytest.FixtureRequest, models: Path) -> Encoder:
    return make_encoder(EncoderContext(request.param, models=models, device="cpu"))


def scene(height: int = 90, width: int = 120, seed: int = 0) -> np.ndarray:
    """Soft blobs, as float32 between about 0 and 1000."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / max(height, width)
    blobs = [
        np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / size)
        for cx, cy, size in rng.uniform(0.05, 0.8, (5, 3)) * [1, 1, 0.02]
    ]
    return (1000 * np.sum(blobs, axis=0)).astype(np.float32)


def volume(slices: int = 3, modality: str = "CT", seed: int = 0) -> VolumePixels:
    values = np.stack([scene(seed=seed + k) for k in range(slices)]).astype(np.int16)
    return VolumePixels(
        values=values,
        modality=modality,
        spacing=(3.0, 0.7, 0.7),
        orientation=(0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0),
        origin=(0.0, 0.0, 0.0),
        padding_value=-2000.0,
    )


GREY = ImagePixels(scene(), modality="DX", window=Window(500, 900))
COLOUR = ImagePixels((scene()[..., None] / [4.5, 5, 9]).clip(0, 255).astype(np.uint8))
INPUTS: dict[str, Pixels] = {
    "grey": GREY,
    "inverted": replace(GREY, inverted=True),
    "colour": COLOUR,
    "slide": replace(COLOUR, modality="SM"),
    "fundus": ImagePixels(
        np.stack([scene(seed=s) / 5 for s in (5, 6, 7)], -1).clip(0, 255).astype(np.uint8), "OP"
    ),
    "padded": replace(GREY, padding=scene(seed=4) < 10, spacing=(0.2, 0.1), aspect=2.0),
    "tiny": ImagePixels(scene(8, 8), modality="US"),
    "slice": ImagePixels(scene(64, 64) - 500, modality="CT", spacing=(0.8, 0.8)),
    "volume": volume(),
    "volume-of-one": volume(1, "MR"),
}


def kind_of(pixels: Pixels) -> str:
    return "image" if isinstance(pixels, ImagePixels) else "volume"


def taken_by(encoder: Encoder) -> dict[str, Pixels]:
    """What the ingest would give it: inputs of its kinds and, if it names any, its modalities."""
    spec = encoder.spec
    return {
        name: pixels
        for name, pixels in INPUTS.items()
        if kind_of(pixels) in spec.inputs
        and (not spec.modalities or pixels.modality in spec.modalities)
    }


def two_taken_by(encoder: Encoder) -> tuple[Pixels, Pixels]:
    """Two different pictures, or two different volumes, that it takes."""
    if "DX" in encoder.spec.modalities or not encoder.spec.modalities:
        return GREY, replace(GREY, values=scene(seed=9))
    if "image" in encoder.spec.inputs:
        fundus = INPUTS["fundus"]
        return fundus, replace(fundus, values=fundus.values[..., ::-1])
    large = [replace(volume(12, seed=seed), spacing=(6.0, 1.5, 1.1)) for seed in (0, 20)]
    return large[0], large[1]


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownEncoderError, match=r"there are: .*texture"):
        make_encoder(EncoderContext("nosuch"))


def test_the_spec_says_what_it_is(encoder: Encoder) -> None:
    spec = encoder.spec
    assert known_encoder(spec.name)
    assert spec.dim > 0
    assert spec.inputs
    assert spec.inputs <= {"image", "volume"}
    assert spec.weights, "a SHA-256, or builtin-<version>"
    assert spec.preprocessing
    assert spec.licence
    assert spec.has_text == isinstance(encoder, TextEncoder)
    assert isinstance(encoder, PatchEncoder) or not spec.has_patches
    assert all(code == code.upper() for code in spec.modalities)


def test_vectors_are_finite_float32_and_not_zero(encoder: Encoder) -> None:
    prepared = [encoder.prepare(pixels) for pixels in taken_by(encoder).values()]
    rows = encoder.embed(prepared)
    assert rows.shape == (len(prepared), encoder.spec.dim)
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()
    assert (np.linalg.norm(rows, axis=1) > 0).all()
    assert encoder.embed([]).shape == (0, encoder.spec.dim)


def test_prepare_is_pure(encoder: Encoder, models: Path) -> None:
    """The same input gives the same bits, in any order and from another object of the class."""
    first = {name: encoder.prepare(pixels) for name, pixels in taken_by(encoder).items()}
    other = make_encoder(EncoderContext(encoder.spec.name, models=models, device="auto"))
    assert other is not encoder
    for name, pixels in reversed(taken_by(encoder).items()):
        again = other.prepare(copy.deepcopy(pixels))
        np.testing.assert_array_equal(first[name], again)


def test_a_batch_gives_what_each_gives_alone(encoder: Encoder) -> None:
    prepared = [encoder.prepare(pixels) for pixels in taken_by(encoder).values()]
    alone = np.concatenate([encoder.embed([one]) for one in prepared])
    np.testing.assert_allclose(encoder.embed(prepared), alone, atol=1e-5)
    np.testing.assert_allclose(encoder.embed(prepared[::-1]), alone[::-1], atol=1e-5)


def test_of_slices_the_vector_is_the_mean_of_unit_rows(encoder: Encoder) -> None:
    if not isinstance(encoder, SliceEncoder):
        pytest.skip("takes volumes whole")
    batch = [encoder.prepare(volume(slices)) for slices in (3, 30)]
    found = encoder.embed_slices(batch)
    for one, slices, count in zip(encoder.embed(batch), found, (3, 30), strict=True):
        sampled = encoder.sampled_slices(count)
        assert sampled == sorted(set(sampled) & set(range(count)))
        assert slices.places == tuple(range(len(sampled)))
        assert np.linalg.norm(slices.rows, axis=1) == pytest.approx(1, abs=1e-5)
        assert one == pytest.approx(slices.rows.mean(axis=0), abs=1e-5)


def test_patches_cover_each_picture(encoder: Encoder) -> None:
    if not encoder.spec.has_patches:
        pytest.skip("does not tell places apart")
    assert isinstance(encoder, PatchEncoder)
    for pixels in taken_by(encoder).values():
        prepared = encoder.prepare(pixels)
        pictures = encoder.pictures(prepared)
        slices = 1 if isinstance(pixels, ImagePixels) else len(pixels.values)
        assert len(pictures) == len(encoder.sampled_slices(slices))
        grids = encoder.embed_patches(pictures)
        assert grids.dtype == np.float32
        assert np.isfinite(grids).all()
        assert grids.ndim == 4
        assert min(grids.shape[1:3]) > 1
        assert len(grids) == len(pictures)
        if encoder.patches_share_space:
            assert grids.shape[-1] == encoder.spec.dim
        np.testing.assert_allclose(encoder.embed_patches(pictures[-1:])[0], grids[-1], atol=1e-3)


@pytest.mark.parametrize(("shape", "aspect"), [((96, 128), 1.0), ((200, 90), 1.0), ((80, 80), 1.5)])
def test_a_spot_comes_to_lie_where_the_placement_says(
    encoder: Encoder, shape: tuple[int, int], aspect: float
) -> None:
    if not encoder.spec.has_patches:
        pytest.skip("does not tell places apart")
    assert isinstance(encoder, PatchEncoder)
    values = np.add.outer(np.linspace(0, 300, shape[0]), np.linspace(0, 300, shape[1]))
    values[:4], values[-4:] = 0, 1000  # so that both are brought to the same grey
    row, column = shape[0] // 2 + 8, shape[1] // 2 - 10
    marked = values.copy()
    marked[row - 3 : row + 3, column - 3 : column + 3] = 990
    plain, spot = (
        encoder.pictures(
            encoder.prepare(ImagePixels(v.astype(np.float32), modality="DX", aspect=aspect))
        )[0]
        for v in (values, marked)
    )
    change = np.abs(spot.astype(np.float32) - plain.astype(np.float32)).squeeze()
    change = change if change.ndim == 2 else change.mean(axis=-1)
    change *= change > change.max() / 2
    middle = [float((change.sum(axis=1 - a) @ np.arange(n)) / change.sum() + 0.5)
              for a, n in enumerate(change.shape)]  # fmt: skip
    placement = encoder.placement(Frame(*shape, aspect))
    assert placement.size == change.shape
    left, top, width, height = placement.to_picture((column - 3, row - 3, 6, 6))
    assert middle == pytest.approx([top + height / 2, left + width / 2], abs=1.5)
    assert placement.to_frame((left, top, width, height)) == pytest.approx(
        (column - 3, row - 3, 6, 6)
    )


def test_different_pictures_get_different_vectors(encoder: Encoder) -> None:
    rows = encoder.embed([encoder.prepare(pixels) for pixels in two_taken_by(encoder)])
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    assert float(unit[0] @ unit[1]) < 0.999


def test_inputs_are_left_alone(encoder: Encoder) -> None:
    for pixels in taken_by(encoder).values():
        before = pixels.values.copy()
        pixels.values.flags.writeable = False
        prepared = encoder.prepare(pixels)
        kept = prepared.copy()
        encoder.embed([prepared])
        np.testing.assert_array_equal(pixels.values, before)
        np.testing.assert_array_equal(prepared, kept)


def test_constant_and_nan_are_refused(encoder: Encoder) -> None:
    for pixels in taken_by(encoder).values():
        with pytest.raises(UnsupportedInputError):
            encoder.prepare(replace(pixels, values=np.full_like(pixels.values, 9)))
        spoilt = pixels.values.astype(np.float32)
        if spoilt.ndim == 3 and kind_of(pixels) == "image":
            continue  # colour is uint8 and cannot hold NaN
        spoilt.flat[spoilt.size // 2] = np.nan
        with pytest.raises(UnsupportedInputError):
            encoder.prepare(replace(pixels, values=spoilt))


def test_every_recipe_makes_a_space_of_its_own(models: Path) -> None:
    for name in ENCODERS:
        specs = [
            make_encoder(EncoderContext(variant, models=models, device="cpu")).spec
            for variant in VARIANTS
            if variant.partition(":")[0] == name
        ]
        assert len({spec.preprocessing for spec in specs}) == len(specs)
        assert len({(spec.weights, spec.dim) for spec in specs}) == 1


def test_the_default_recipe_can_be_named_and_an_unknown_one_is_refused(models: Path) -> None:
    for name in ENCODERS:
        plain = make_encoder(EncoderContext(name, models=models, device="cpu"))
        for recipe in list(recipes_of(name))[:1]:
            named = make_encoder(EncoderContext(f"{name}:{recipe}", models=models, device="cpu"))
            assert named.spec == replace(plain.spec, name=f"{name}:{recipe}")
        with pytest.raises(UnknownEncoderError, match=f"'{name}' has no recipe 'nosuch'"):
            make_encoder(EncoderContext(f"{name}:nosuch", models=models, device="cpu"))


# -- third parties ---------------------------------------------------------------------------------

MODULE = '''
"""An encoder anybody can compute by hand, and a store that counts its searches."""
import numpy as np
from indexer.errors import UnsupportedInputError
from indexer.stores.exact import ExactStore
from indexer.types import EncoderSpec


class CornersEncoder:
    """Mean grey of the four quarters, and one."""

    spec = EncoderSpec(
        name="corners", dim=5, inputs=frozenset({"image"}), modalities=frozenset(),
        weights="builtin-1", preprocessing="corners-1", licence="MIT", notice="four numbers only",
    )

    def __init__(self, context):
        self.context = context

    def prepare(self, pixels):
        grey = np.asarray(pixels.values, np.float32)
        if np.ptp(grey) == 0 or not np.isfinite(grey).all():
            raise UnsupportedInputError("constant image")
        return grey.mean(axis=2) if grey.ndim == 3 else grey

    def embed(self, batch):
        rows = np.ones((len(batch), 5), np.float32)
        for row, grey in zip(rows, batch):
            y, x = grey.shape[0] // 2, grey.shape[1] // 2
            quarters = grey[:y, :x], grey[:y, x:], grey[y:, :x], grey[y:, x:]
            row[:4] = [quarter.mean() for quarter in quarters]
        return rows


class CountingStore(ExactStore):
    searches = 0

    def search(self, *args, **kwargs):
        CountingStore.searches += 1
        return super().search(*args, **kwargs)
'''

Install = Callable[[str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a package with these entry points on the path, as pip would."""

    def done(entry_points: str) -> None:
        site = tmp_path / "site"
        info = site / "syntopy_corners-1.0.dist-info"
        info.mkdir(parents=True)
        (site / "syntopy_corners.py").write_text(MODULE, "utf-8")
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: syntopy-corners\nVersion: 1\n")
        (info / "entry_points.txt").write_text(entry_points)
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.delitem(sys.modules, "syntopy_corners", raising=False)

    return done


def quarters(path: Path, *greys: int) -> Path:
    values = np.repeat(np.repeat(np.array(greys, np.uint8).reshape(2, 2), 20, 0), 20, 1)
    Image.fromarray(values).save(path)
    return path


def test_a_third_party_encoder_and_store_serve_a_library(install: Install, tmp_path: Path) -> None:
    install(
        "[syntopy.encoders]\ncorners = syntopy_corners:CornersEncoder\n"
        "[syntopy.stores]\ncounting = syntopy_corners:CountingStore\n"
    )
    assert "corners" in encoder_names()
    assert "counting" in store_names()
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    dark = quarters(pictures / "dark.png", 10, 0, 0, 200)
    bright = quarters(pictures / "bright.png", 0, 0, 0, 250)
    other = quarters(pictures / "other.png", 250, 200, 0, 0)
    with Library.create(
        tmp_path / "library", encoders=("corners", "texture"), store="counting"
    ) as library:
        done = ingest.index(library, ingest.IndexRequest([pictures]), Settings(workers=1))
        assert done.items == 3
        assert "four numbers only" in done.notes
        answer = search.search(library, SearchRequest(like(file=dark)), Settings())
        assert (answer.encoder, answer.notice) == ("corners", "four numbers only")
        near, far = (
            np.array(v) / np.linalg.norm(v) for v in ([0, 0, 0, 250, 1], [250, 200, 0, 0, 1])
        )
        query = np.array([10, 0, 0, 200, 1]) / np.linalg.norm([10, 0, 0, 200, 1])
        assert [hit.score for hit in answer.hits] == pytest.approx(
            [query @ near, query @ far], abs=1e-3
        )
        assert type(make_store("counting", 5)).searches > 0
        texture = SearchRequest(like(file=bright), encoders=("texture",))
        assert search.search(library, texture, Settings()).encoder == "texture"
        assert search.search(library, SearchRequest(like(file=other)), Settings()).hits


def test_the_package_of_the_documentation_can_be_installed_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parents[2] / "docs" / "encoders.md").read_text("utf-8")
    example = text[text.index("## An encoder of your own") :]
    project, module = re.findall(r"```(?:toml|python)\n(.*?)```", example, re.DOTALL)
    package, site = tmp_path / "package", tmp_path / "site"
    package.mkdir()
    (package / "pyproject.toml").write_text(project, "utf-8")
    (package / "syntopy_quarters.py").write_text(module, "utf-8")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    alone = ["--no-deps", "--no-index", "--no-build-isolation", "--target", str(site)]
    subprocess.run([*pip, *alone, str(package)], check=True, timeout=120)
    monkeypatch.syspath_prepend(str(site))
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    dark = quarters(pictures / "dark.png", 10, 0, 0, 200)
    quarters(pictures / "bright.png", 0, 0, 0, 250)
    quarters(pictures / "other.png", 250, 200, 0, 0)
    with Library.create(tmp_path / "library", encoders=("quarters",)) as library:
        assert (
            ingest.index(library, ingest.IndexRequest([pictures]), Settings(workers=1)).items == 3
        )
        answer = search.search(library, SearchRequest(like(file=dark)), Settings())
        assert (answer.encoder, answer.notice) == ("quarters", "five numbers, an example")
        assert answer.hits[0].score > 0.99 > answer.hits[1].score


def test_what_the_first_encoder_cannot_take_goes_to_the_next(
    install: Install, tmp_path: Path
) -> None:
    install("[syntopy.encoders]\ncorners = syntopy_corners:CornersEncoder\n")
    volumes = tmp_path / "volumes"
    volumes.mkdir()
    write_nifti(volumes / "a.nii", seed=1)
    write_nifti(volumes / "b.nii", seed=2)
    with Library.create(tmp_path / "library", encoders=("corners", "texture")) as library:
        done = ingest.index(library, ingest.IndexRequest([volumes]), Settings(workers=1))
        assert done.items == 2
        answer = search.search(library, SearchRequest(like(file=volumes / "a.nii")), Settings())
        assert answer.encoder == "texture"
        by_uid = SearchRequest(like(uid=answer.hits[0].id))
        assert search.search(library, by_uid, Settings()).encoder == "texture"


def write_nifti(path: Path, seed: int) -> None:
    values = np.stack([scene(40, 50, seed + 10 * k) for k in range(6)], axis=2)
    nib.Nifti1Image(values.astype(np.int16), np.diag([1.0, 1.0, 3.0, 1.0])).to_filename(path)


def test_two_packages_with_one_name_are_refused(install: Install) -> None:
    install("[syntopy.encoders]\ntexture = syntopy_corners:CornersEncoder\n")
    with pytest.raises(ConfigError, match="two packages register 'texture'"):
        encoder_names()
    assert "exact" in store_names(), "the other group is not touched"


def test_a_package_that_cannot_be_loaded_is_named(install: Install) -> None:
    install(
        "[syntopy.encoders]\nbroken = syntopy_corners:NoSuchEncoder\n"
        "renamed = syntopy_corners:CornersEncoder\n"
        "[syntopy.stores]\nbroken = no_such_module:Store\n"
    )
    with pytest.raises(ConfigError, match="syntopy_corners:NoSuchEncoder cannot be loaded"):
        make_encoder(EncoderContext("broken"))
    with pytest.raises(ConfigError, match="'renamed' calls itself 'corners'"):
        make_encoder(EncoderContext("renamed"))
    with pytest.raises(ConfigError, match="no_such_module:Store cannot be loaded"):
        make_store("broken", 4)
