"""RAD-DINO: equal to transformers' network and to the published processor."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_models import PREPROCESSOR, shared_models
from torch import Tensor
from transformers import Dinov2Model
from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil

from indexer.encoders.contract import EncoderContext
from indexer.encoders.rad_dino import RECIPES, RadDino, load_dinov2
from indexer.encoders.recipe import network_input
from indexer.errors import UnsupportedInputError, WeightsError
from indexer.phantoms import radiograph
from indexer.types import ImagePixels, VolumePixels

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SIDE = 518
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared_models(tmp_path_factory)


@pytest.fixture(scope="module")
def encoder(models: Path) -> RadDino:
    return RadDino(EncoderContext("rad-dino", models, "cpu"))


@pytest.fixture(scope="module")
def processor() -> BitImageProcessorPil:
    return BitImageProcessorPil(**PREPROCESSOR)


def published(processor: BitImageProcessorPil, picture: Image.Image) -> np.ndarray:
    """What the published processor makes of an 8-bit picture: ``(3, 518, 518)``."""
    found: np.ndarray = processor(picture, return_tensors="np")["pixel_values"][0]
    return found


def film(seed: int = 1, size: int | tuple[int, int] = 600) -> ImagePixels:
    drawn = radiograph(np.random.default_rng(seed), size=size)
    return ImagePixels((drawn * 4000).astype(np.float32), modality="DX")


def stored(pixels: ImagePixels) -> Image.Image:
    """The 8-bit picture of the model card: shorter side to 518, then least to greatest value."""
    height, width = pixels.values.shape
    scale = SIDE / min(height, width)
    size = (max(SIDE, int(width * scale)), max(SIDE, int(height * scale)))
    if width == height:
        size = (SIDE, SIDE)
    resized = Image.fromarray(pixels.values).resize(size, Image.Resampling.BICUBIC)
    values = np.asarray(resized)
    values = (values - values.min()) / (values.max() - values.min()) * 255
    return Image.fromarray(np.rint(values).astype(np.uint8))


# -- the network -----------------------------------------------------------------------------------


def test_vectors_are_the_class_tokens_of_transformers(
    encoder: RadDino, models: Path, processor: BitImageProcessorPil
) -> None:
    network = Dinov2Model.from_pretrained(models / "rad-dino", local_files_only=True).eval()
    films = [film(seed, size) for seed, size in enumerate([600, (518, 700), (640, 560)])]
    inputs = [published(processor, stored(pixels)) for pixels in films]
    with torch.inference_mode():
        tokens = network(torch.tensor(np.stack(inputs))).last_hidden_state.numpy()
    prepared = [encoder.prepare(pixels) for pixels in films]
    rows, patches = encoder.embed(prepared), encoder.embed_patches(prepared)
    assert rows.shape == (3, encoder.spec.dim)
    assert patches.shape == (3, 37, 37, encoder.spec.dim)
    np.testing.assert_allclose(rows, tokens[:, 0], atol=1e-5)
    for place in range(37 * 37):
        patch = patches[:, place // 37, place % 37]
        np.testing.assert_allclose(patch, tokens[:, 1 + place], atol=1e-5)


def test_every_tensor_of_the_file_arrives(models: Path) -> None:
    """By the names on disk; transformers has others in memory, and fills up what it misses."""
    state = load_file(models / "rad-dino" / WEIGHTS)
    network = load_dinov2(models / "rad-dino", "rad-dino")
    assert not network.training
    assert len(state) == 5 + 2 * 18 + 2
    loaded = {name: tensor.numpy().tobytes() for name, tensor in network.state_dict().items()}
    assert len(loaded) == len(state)
    assert {t.numpy().tobytes() for t in state.values()} == set(loaded.values())
    names = {"query": "q_proj", "key": "k_proj", "value": "v_proj"}
    for old, new in names.items():
        ours = loaded[f"encoder.layer.1.attention.{new}.weight"]
        assert state[f"encoder.layer.1.attention.attention.{old}.weight"].numpy().tobytes() == ours


def test_the_same_picture_twice_gives_the_same_bits(encoder: RadDino) -> None:
    prepared = encoder.prepare(film())
    first, again = encoder.embed([prepared]), encoder.embed([prepared])
    np.testing.assert_array_equal(first, again)


def test_an_even_picture_and_noise_are_far_apart(encoder: RadDino) -> None:
    """A picture that is rescaled twice would look even whatever it shows."""
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    rows = encoder.embed([noise, np.full_like(noise, 128)])
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    assert float(unit[0] @ unit[1]) < 0.95


def test_a_patch_token_belongs_to_its_place(encoder: RadDino) -> None:
    """A change in the third row of patches, fifth from the left, shows most there."""
    plain = np.full((SIDE, SIDE, 3), 90, np.uint8)
    marked = plain.copy()
    marked[2 * 14 : 3 * 14, 4 * 14 : 5 * 14] = 250
    one, other = encoder.embed_patches([plain, marked])
    change = np.linalg.norm(one - other, axis=-1)
    assert np.unravel_index(int(change.argmax()), change.shape) == (2, 4)


# -- preparation -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [600, (518, 518), (700, 530), (530, 701), (518, 777), (300, 411)])
def test_the_default_is_the_card_and_then_the_published_processor(
    size: int | tuple[int, int], encoder: RadDino, processor: BitImageProcessorPil
) -> None:
    pixels = film(3, size)
    ours = network_input(encoder.prepare(pixels), encoder.recipe)
    np.testing.assert_allclose(ours, published(processor, stored(pixels)), atol=1e-6)


def test_a_picture_of_the_right_size_and_full_range_goes_through_unchanged(
    encoder: RadDino, processor: BitImageProcessorPil
) -> None:
    values = np.random.default_rng(1).integers(0, 256, (SIDE, 640), dtype=np.uint8)
    ours = network_input(encoder.prepare(ImagePixels(values.astype(np.float32))), encoder.recipe)
    np.testing.assert_allclose(ours, published(processor, Image.fromarray(values)), atol=1e-6)


def real_films() -> Iterator[tuple[str, np.ndarray]]:
    for path in islice(sorted((DATA / "cxr").rglob("*.jp*g")), 0, None, 30):
        with Image.open(path) as image:
            yield path.name, np.asarray(image.convert("L"))


@pytest.mark.skipif(not (DATA / "cxr").is_dir(), reason=f"the real radiographs of {DATA} are away")
def test_real_radiographs_are_prepared_as_published(
    encoder: RadDino, processor: BitImageProcessorPil
) -> None:
    """Exactly as card and processor together; and nearly as the processor alone makes them.

    Alone it clips what overshoots at sharp edges; the card stretches after resizing.
    """
    seen = 0
    for name, values in real_films():
        pixels = ImagePixels(values.astype(np.float32), modality="DX")
        ours = network_input(encoder.prepare(pixels), encoder.recipe)
        both = published(processor, stored(pixels))
        np.testing.assert_allclose(ours, both, atol=1e-6, err_msg=name)
        alone = published(processor, Image.fromarray(values))
        assert np.corrcoef(ours.ravel(), alone.ravel())[0, 1] > 0.999, name
        if np.ptp(values) == 255:
            assert np.abs(ours - alone).mean() < 0.3, name
        seen += 1
    assert seen > 10


def test_the_other_recipe_keeps_the_whole_film(models: Path) -> None:
    encoder = RadDino(EncoderContext("rad-dino:pad", models, "cpu"))
    values = np.full((200, 400), 500, np.float32)
    values[:, :20], values[:, -20:] = 0, 1000
    shown = encoder.prepare(ImagePixels(values, modality="DX"))
    assert shown.shape == (SIDE, SIDE, 3)
    assert (shown[:100] == 0).all()
    assert (shown[-100:] == 0).all()
    assert shown[SIDE // 2, 2, 0] == 0
    assert shown[SIDE // 2, -3, 0] == 255
    assert shown[SIDE // 2, SIDE // 2, 0] == 128
    with pytest.raises(UnsupportedInputError, match="constant image"):  # both ends are cut off
        RECIPES["card"].picture(ImagePixels(values, modality="DX"))


@pytest.mark.parametrize("recipe", list(RECIPES))
def test_monochrome1_gives_the_picture_of_its_inverse(recipe: str, models: Path) -> None:
    encoder = RadDino(EncoderContext(f"rad-dino:{recipe}", models, "cpu"))
    shown = film(4, (600, 520))
    inverse = replace(shown, values=4000 - shown.values, inverted=True)
    difference = np.abs(encoder.prepare(shown).astype(int) - encoder.prepare(inverse))
    assert difference.max() <= 1, "rounding"
    forgotten = encoder.prepare(replace(inverse, inverted=False))
    assert np.abs(encoder.prepare(shown).astype(int) - forgotten).mean() > 30


@pytest.mark.parametrize("junk", [-9999.0, 60000.0])
@pytest.mark.parametrize("recipe", list(RECIPES))
def test_padding_neither_scales_nor_shows(junk: float, recipe: str, models: Path) -> None:
    encoder = RadDino(EncoderContext(f"rad-dino:{recipe}", models, "cpu"))
    pixels = film(5, SIDE)
    padding = np.zeros((SIDE, SIDE), bool)
    padding[:, :60] = True
    clean, spoilt = pixels.values.copy(), pixels.values.copy()
    clean[padding] = pixels.values[~padding].min()
    spoilt[padding] = junk
    found = encoder.prepare(replace(pixels, values=spoilt, padding=padding))
    np.testing.assert_array_equal(found, encoder.prepare(replace(pixels, values=clean)))
    assert found[:, :60].max() == 0


def volume() -> VolumePixels:
    orientation = (0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0)
    values = np.stack([film().values] * 3)
    return VolumePixels(values, "DX", (1.0, 1.0, 1.0), orientation, (0.0, 0.0, 0.0))


def with_nan() -> ImagePixels:
    values = film().values.copy()
    values[3, 4] = np.nan
    return ImagePixels(values, modality="DX")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: ImagePixels(np.zeros((9, 9, 3), np.uint8)), "a colour image"),
        (volume, "a volume"),
        (lambda: ImagePixels(np.full((600, 500), 7, np.float32)), "constant image"),
        (with_nan, "NaN or infinity"),
    ],
)
def test_what_it_was_not_made_for_is_refused(
    make: Callable[[], ImagePixels | VolumePixels], why: str, encoder: RadDino
) -> None:
    with pytest.raises(UnsupportedInputError, match=why):
        encoder.prepare(make())


# -- files that are not right ----------------------------------------------------------------------

Change = Callable[[dict[str, Tensor]], object]


def renamed(state: dict[str, Tensor]) -> None:
    name = "encoder.layer.1.attention.attention.value.weight"
    state[name.replace("value", "worth")] = state.pop(name)


CHANGES: dict[str, tuple[Change, str]] = {
    "renamed": (renamed, r"1 missing \(encoder\.layer\.1\.attention\..*worth"),
    "missing": (lambda state: state.pop("layernorm.bias"), r"1 missing \(layernorm\.bias\)"),
    "more": (lambda state: state.update(head=torch.zeros(3)), r"1 unexpected \(head\)"),
    "shape": (
        lambda state: state.update({"layernorm.weight": torch.zeros(47)}),
        r"layernorm\.weight",
    ),
}


@pytest.mark.parametrize("change", list(CHANGES))
def test_weights_of_another_network_are_refused_by_name(
    change: str, models: Path, tmp_path: Path
) -> None:
    shutil.copytree(models / "rad-dino", tmp_path / "rad-dino")
    state = load_file(models / "rad-dino" / WEIGHTS)
    spoil, said = CHANGES[change]
    spoil(state)
    save_file(state, tmp_path / "rad-dino" / WEIGHTS, {"format": "pt"})
    encoder = RadDino(EncoderContext("rad-dino", tmp_path, "cpu"))
    with pytest.raises(WeightsError, match=said):
        encoder.embed([np.zeros((SIDE, SIDE, 3), np.uint8)])


def test_the_sibling_is_another_space(models: Path, encoder: RadDino) -> None:
    sibling = RadDino(EncoderContext("rad-dino-maira-2", models, "cpu"))
    assert sibling.spec.weights != encoder.spec.weights
    assert sibling.spec.licence == "MSRLA"
    prepared = encoder.prepare(film())
    assert np.abs(sibling.embed([prepared]) - encoder.embed([prepared])).max() > 0.1


@pytest.mark.parametrize("width", ["wide", None, 0])
def test_a_width_that_is_no_number_is_refused(models: Path, tmp_path: Path, width: object) -> None:
    shutil.copytree(models / "rad-dino", tmp_path / "rad-dino")
    path = tmp_path / "rad-dino" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"hidden_size": width}))
    with pytest.raises(WeightsError, match=r"config\.json: 'hidden_size' is no number"):
        RadDino(EncoderContext("rad-dino", tmp_path, "cpu"))
