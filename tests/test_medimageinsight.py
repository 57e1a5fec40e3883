"""MedImageInsight: equal to the plain implementation, picture by picture and word by word."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import plain_davit
import pytest
import torch
from PIL import Image
from plain_davit import Weights
from safetensors.torch import load_file, save_file
from tiny_models import MEDIMAGEINSIGHT, TOKENIZER, shared_models
from torch import Tensor
from transformers import CLIPTokenizer

from indexer.dicom.render import volume_slice
from indexer.encoders.contract import EncoderContext
from indexer.encoders.medimageinsight import RECIPES, SIDE, MedImageInsight
from indexer.encoders.recipe import network_input
from indexer.encoders.slices import MAX_SLICES
from indexer.errors import UnsupportedInputError, WeightsError
from indexer.phantoms import abdomen_ct, radiograph, ultrasound
from indexer.types import ImagePixels, VolumePixels

TEXTS = ["chest x-ray, lung", "", "Pneumonia of the left lung.", "ü 17 °C", "ray"]
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared_models(tmp_path_factory)


@pytest.fixture(scope="module")
def encoder(models: Path) -> MedImageInsight:
    return MedImageInsight(EncoderContext("medimageinsight", models, "cpu"))


@pytest.fixture(scope="module")
def state(models: Path) -> dict[str, Tensor]:
    return load_file(models / "medimageinsight" / MEDIMAGEINSIGHT)


def scan(slices: int = 5, modality: str = "CT") -> VolumePixels:
    values = abdomen_ct(np.random.default_rng(4), shape=(slices, 96, 96))
    return VolumePixels(
        values=values.astype(np.int16),
        modality=modality,
        spacing=(5.0, 3.0, 3.0),
        orientation=(0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0),
        origin=(0.0, 0.0, 0.0),
    )


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


# -- the towers ------------------------------------------------------------------------------------


def test_both_towers_are_those_of_the_plain_implementation(
    encoder: MedImageInsight, state: dict[str, Tensor], tokenizer: CLIPTokenizer
) -> None:
    weights = Weights(state)
    noise = np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 3), dtype=np.uint8)
    inputs = torch.from_numpy(network_input(noise[0], encoder.recipe))[None]
    expected = unit(plain_davit.image_vectors(weights, inputs).numpy())
    np.testing.assert_allclose(encoder.embed([noise]), expected, atol=1e-5)
    rows = encoder.embed_text(TEXTS)
    assert rows.shape == (len(TEXTS), encoder.spec.dim)
    for row, text in zip(rows, TEXTS, strict=True):
        expected = plain_davit.text_vector(weights, tokenizer(text)["input_ids"]).numpy()
        np.testing.assert_allclose(row, expected, atol=1e-5)
    assert weights.used == set(state) - {"logit_scale"}, "every tensor of the file takes part"


@pytest.fixture(scope="module")
def tokenizer(models: Path) -> CLIPTokenizer:
    """As transformers loads it."""
    folder = models / "medimageinsight" / TOKENIZER
    return CLIPTokenizer.from_pretrained(folder, local_files_only=True)


def test_a_text_alone_is_what_it_is_among_others(encoder: MedImageInsight) -> None:
    """What fills up the shorter ones is not looked at."""
    together = encoder.embed_text(TEXTS)
    for row, text in zip(together, TEXTS, strict=True):
        np.testing.assert_allclose(encoder.embed_text([text])[0], row, atol=1e-5)
    assert len({row.tobytes() for row in together}) == len(TEXTS)


def test_no_texts_give_no_vectors(encoder: MedImageInsight) -> None:
    assert encoder.embed_text([]).shape == (0, encoder.spec.dim)
    assert encoder.text_tokens([]) == []


def test_a_long_text_is_cut_and_its_length_told(
    encoder: MedImageInsight, state: dict[str, Tensor], tokenizer: CLIPTokenizer
) -> None:
    text = "lung " * 2_000
    assert len(text) == 10_000
    ids = tokenizer(text)["input_ids"]
    assert encoder.token_limit == 77
    assert encoder.text_tokens([text, "ray", ""]) == [len(ids), 3, 2]
    assert len(ids) > 2_000
    cut = [*ids[:76], ids[-1]]
    expected = plain_davit.text_vector(Weights(state), cut).numpy()
    np.testing.assert_allclose(encoder.embed_text([text])[0], expected, atol=1e-5)
    np.testing.assert_array_equal(
        encoder.embed_text([text]), encoder.embed_text([text + " and more of it"])
    )


def test_the_temperature_is_read_from_the_file(
    encoder: MedImageInsight, state: dict[str, Tensor]
) -> None:
    assert encoder.temperature == pytest.approx(float(np.exp(float(state["logit_scale"]))))
    assert encoder.temperature != pytest.approx(1, abs=0.5)


def test_the_same_picture_twice_gives_the_same_bits(encoder: MedImageInsight) -> None:
    """In training mode some layers would be left out by chance."""
    prepared = encoder.prepare(scan(2))
    np.testing.assert_array_equal(encoder.embed([prepared]), encoder.embed([prepared]))
    np.testing.assert_array_equal(encoder.embed_text(TEXTS), encoder.embed_text(TEXTS))


# -- files -----------------------------------------------------------------------------------------


def with_state(models: Path, folder: Path, state: dict[str, Tensor]) -> MedImageInsight:
    shutil.copytree(models / "medimageinsight", folder / "medimageinsight")
    save_file(state, folder / "medimageinsight" / MEDIMAGEINSIGHT)
    return MedImageInsight(EncoderContext("medimageinsight", folder, "cpu"))


OLD = {
    "image_encoder.": "visual.",
    "lang_encoder.": "text.",
    "image_projection": "vision_projection",
    "lang_projection": "text_projection",
}


def test_names_of_older_files_are_accepted(
    encoder: MedImageInsight, models: Path, state: dict[str, Tensor], tmp_path: Path
) -> None:
    def old(name: str) -> str:
        new = next((prefix for prefix in OLD if name.startswith(prefix)), "")
        return OLD.get(new, "") + name.removeprefix(new)

    older = with_state(models, tmp_path, {old(name): tensor for name, tensor in state.items()})
    assert older.spec.dim == encoder.spec.dim
    prepared = encoder.prepare(ImagePixels(radiograph(np.random.default_rng(1), size=300)))
    np.testing.assert_array_equal(older.embed([prepared]), encoder.embed([prepared]))
    np.testing.assert_array_equal(older.embed_text(TEXTS), encoder.embed_text(TEXTS))


def test_half_precision_in_the_file_is_run_in_full(
    models: Path, state: dict[str, Tensor], tokenizer: CLIPTokenizer, tmp_path: Path
) -> None:
    half = {name: tensor.half() for name, tensor in state.items()}
    encoder = with_state(models, tmp_path, half)
    expected = plain_davit.text_vector(Weights(half), tokenizer("chest")["input_ids"]).numpy()
    np.testing.assert_allclose(encoder.embed_text(["chest"])[0], expected, atol=1e-5)


Change = Callable[[dict[str, Tensor]], object]
ATTENTION = "image_encoder.blocks.2.1.channel_block.channel_attn.fn.qkv.weight"
CHANGES: dict[str, tuple[Change, str]] = {
    "missing": (lambda s: s.pop(ATTENTION), "1 missing .*blocks.2.1.*channel_attn.qkv.weight"),
    "renamed": (
        lambda s: s.update({"image_encoder.head.weight": s.pop("image_encoder.norms.weight")}),
        "1 missing .*; 1 unexpected .*head.weight",
    ),
    "shape": (lambda s: s.update({ATTENTION: torch.zeros(3, 3)}), "1 of another shape .*blocks.2"),
    "no text": (lambda s: s.pop("lang_projection"), "lang_projection.* is missing"),
    "nothing": (lambda s: [s.pop(name) for name in list(s)[1:]], "is missing"),
}


@pytest.mark.parametrize("change", list(CHANGES))
def test_weights_of_another_network_are_refused_by_name(
    change: str, models: Path, state: dict[str, Tensor], tmp_path: Path
) -> None:
    changed = dict(state)
    spoil, said = CHANGES[change]
    spoil(changed)
    with pytest.raises(WeightsError, match=said):
        with_state(models, tmp_path, changed).embed_text(["chest"])


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt"])
def test_a_damaged_tokenizer_is_refused(name: str, models: Path, tmp_path: Path) -> None:
    shutil.copytree(models / "medimageinsight", tmp_path / "medimageinsight")
    (tmp_path / "medimageinsight" / TOKENIZER / name).write_text('{"cut')
    encoder = MedImageInsight(EncoderContext("medimageinsight", tmp_path, "cpu"))
    with pytest.raises(WeightsError, match=r"tokenizer in .* cannot be used"):
        encoder.embed_text(["chest"])


# -- preparation -----------------------------------------------------------------------------------


def levels(values: np.ndarray) -> np.ndarray:
    """The first to the 99th percentile onto 0 to 255."""
    low, high = (float(v) for v in np.percentile(values, (1, 99)))
    return np.rint(np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def window(values: np.ndarray) -> np.ndarray:
    """40/400 HU."""
    return np.rint(np.clip((values + 160) / 400, 0, 1) * 255).astype(np.uint8)


def by_the_service(picture: Image.Image) -> np.ndarray:
    picture = picture.resize((512, 512), Image.Resampling.BICUBIC).convert("RGB")
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=75)
    with Image.open(out) as sent:
        return np.asarray(sent.resize((480, 480), Image.Resampling.BICUBIC))


def by_the_mirror(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("RGB").resize((480, 480), Image.Resampling.BICUBIC))


PATHS = {"service": by_the_service, "mirror": by_the_mirror}


def pictures() -> dict[str, tuple[ImagePixels, np.ndarray]]:
    """Pixels, and what of them a client would send as 8-bit picture."""
    film = (radiograph(np.random.default_rng(1), size=(500, 700)) * 4000).astype(np.float32)
    frame = (ultrasound(np.random.default_rng(2))[0] * 255).astype(np.uint8)
    frame = np.stack([frame, frame, frame // 2], -1)
    axial = abdomen_ct(np.random.default_rng(4), shape=(3, 96, 128))[1].astype(np.float32)
    padding = np.zeros(film.shape, bool)
    padding[:, :90] = True
    padded = np.where(padding, film[~padding].min(), film)
    low, high = (float(v) for v in np.percentile(film[~padding], (1, 99)))
    shown = np.rint(np.clip((padded - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    return {
        "film": (ImagePixels(film, "DX"), levels(film)),
        "monochrome1": (ImagePixels(film, "CR", inverted=True), levels(-film)),
        "padded": (ImagePixels(np.where(padding, -9e3, film), "DX", padding=padding), shown),
        "colour": (ImagePixels(frame, "US"), frame),
        "axial": (ImagePixels(axial, "CT"), window(axial)),
        "tall pixels": (ImagePixels(film, "MR", aspect=2.0), levels(film)),
    }


@pytest.mark.parametrize("name", list(pictures()))
@pytest.mark.parametrize("recipe", list(RECIPES))
def test_pictures_are_prepared_as_pillow_does_it_step_by_step(
    recipe: str, name: str, models: Path
) -> None:
    encoder = MedImageInsight(EncoderContext(f"medimageinsight:{recipe}", models, "cpu"))
    pixels, picture = pictures()[name]
    expected = PATHS[recipe](Image.fromarray(picture))
    prepared = encoder.prepare(replace(pixels, values=pixels.values.astype(pixels.values.dtype)))
    assert (prepared.shape, prepared.dtype) == ((1, SIDE, SIDE, 3), np.uint8)
    np.testing.assert_array_equal(prepared[0], expected)
    planes = network_input(prepared[0], encoder.recipe)
    np.testing.assert_allclose(planes, np.moveaxis((expected / 255 - MEAN) / STD, -1, 0), atol=1e-5)


def test_the_recipes_differ_by_more_than_rounding() -> None:
    pixels, _ = pictures()["film"]
    service, mirror = (RECIPES[name].picture(pixels).astype(int) for name in PATHS)
    assert np.abs(service - mirror).mean() > 0.2


# -- volumes ---------------------------------------------------------------------------------------


def test_a_volume_is_the_mean_of_the_unit_vectors_of_its_slices(encoder: MedImageInsight) -> None:
    pixels = scan(4)
    volume = encoder.embed([encoder.prepare(pixels)])[0]
    slices = [encoder.prepare(volume_slice(pixels, index)) for index in range(4)]
    rows = encoder.embed(slices)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(volume, rows.mean(axis=0), atol=1e-5)
    assert np.linalg.norm(volume) < 1


def test_a_batch_keeps_each_input_its_slices(encoder: MedImageInsight) -> None:
    batch = [encoder.prepare(scan(n)) for n in (1, 2)]
    found = encoder.embed_slices(batch)
    assert [slices.places for slices in found] == [(0,), (0, 1)]
    np.testing.assert_allclose(encoder.embed_slices(batch[1:2])[0].rows, found[1].rows, atol=1e-5)


def marked(slices: int) -> VolumePixels:
    """A volume each of whose slices tells its number: the width of a bright bar."""
    values = np.zeros((slices, 16, slices + 2), np.int16)
    for number in range(slices):
        values[number, :, : number + 1] = 1000
    return replace(scan(1), values=values, modality="MR")


@pytest.mark.parametrize("count", [1, 23, 24, 25, 60, 111])
def test_slices_are_taken_evenly(count: int, models: Path) -> None:
    encoder = MedImageInsight(EncoderContext("medimageinsight:mirror", models, "cpu"))
    prepared = encoder.prepare(marked(count))
    bright = (prepared[:, SIDE // 2, :, 0] > 127).mean(axis=1)
    numbers = np.rint(bright * (count + 2)).astype(int) - 1
    assert len(numbers) == min(count, MAX_SLICES)
    if count <= MAX_SLICES:
        assert numbers.tolist() == list(range(count))
        return
    gaps = np.diff(numbers)
    assert gaps.max() - gaps.min() <= 1
    assert numbers[0] == count - 1 - numbers[-1], "as far from the feet as from the head"


def test_an_empty_slice_is_left_out_and_an_empty_volume_refused(encoder: MedImageInsight) -> None:
    pixels = scan(4)
    values = pixels.values.copy()
    values[3] = -1000
    prepared = encoder.prepare(replace(pixels, values=values))
    assert not prepared[3].any()
    np.testing.assert_array_equal(prepared[:3], encoder.prepare(pixels)[:3])
    (slices,) = encoder.embed_slices([prepared])
    assert slices.places == (0, 1, 2)
    np.testing.assert_allclose(slices.rows, encoder.embed_slices([prepared[:3]])[0].rows, atol=1e-5)
    with pytest.raises(UnsupportedInputError, match="constant image"):
        encoder.prepare(replace(pixels, values=np.full_like(values, 7)))


def test_a_slice_with_nan_is_not_left_out_silently(encoder: MedImageInsight) -> None:
    values = scan(4).values.astype(np.float32)
    values[2, 5, 5] = np.nan
    with pytest.raises(UnsupportedInputError, match="NaN or infinity"):
        encoder.prepare(replace(scan(4), values=values))
