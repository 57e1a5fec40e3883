"""FLAIR: equal to the plain implementation, photographs prepared as its authors do it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import plain_towers
import pytest
import torch
from plain_davit import Weights
from safetensors.torch import load_file, save_file
from tiny_models import shared_models
from tiny_towers import WORDS, flair_shapes
from torch import Tensor
from torch.nn import functional

from indexer.encoders.cards import CARDS
from indexer.encoders.contract import EncoderContext
from indexer.encoders.flair import PROMPT, SIDE, Flair, empty_network
from indexer.encoders.recipe import network_input
from indexer.errors import UnsupportedInputError, WeightsError
from indexer.phantoms import probe_fundus
from indexer.types import ImagePixels, VolumePixels

TEXTS = ["no lesions", "", "Macula edema.", "lesion of lung, liver and something else"]
IMAGES, TEXT = "vision_model.", "text_model."


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared_models(tmp_path_factory)


@pytest.fixture(scope="module")
def encoder(models: Path) -> Flair:
    return Flair(EncoderContext("flair", models, "cpu"))


@pytest.fixture(scope="module")
def state(models: Path) -> dict[str, Tensor]:
    return load_file(models / "flair" / "model.safetensors")


def photograph(height: int = 90, width: int = 120, seed: int = 0) -> ImagePixels:
    colours = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return ImagePixels(colours, modality="OP")


def tokens(text: str) -> list[int]:
    """WordPiece by hand, in the prompt, of words and signs known whole or with one ending."""
    found = [WORDS.index(word) for word in ("[CLS]", "a", "fun", "##dus", "photograph", "of")]
    for word in text.lower().replace(",", " ,").replace(".", " .").split():
        if word in WORDS:
            found.append(WORDS.index(word))
        elif word.removesuffix("s") in WORDS:
            found += [WORDS.index(word.removesuffix("s")), WORDS.index("##s")]
        else:
            found.append(WORDS.index("[UNK]"))
    return [*found, WORDS.index("[SEP]")]


def text_vector(weights: Weights, ids: list[int]) -> Tensor:
    """The mean over all tokens and over the first, the second and the last layer."""
    layers = plain_towers.bert_layers(weights, f"{TEXT}model.", ids, heads=2)
    mean = torch.stack([layers[1], layers[2], layers[-1]]).mean(dim=(0, 1))
    head = weights[f"{TEXT}projection_head_text.projection.weight"]
    return plain_towers.unit(head @ plain_towers.unit(mean))


# -- the towers ------------------------------------------------------------------------------------


def test_both_towers_are_those_of_the_plain_implementation(
    encoder: Flair, state: dict[str, Tensor]
) -> None:
    weights = Weights(state)
    prepared = encoder.prepare(photograph(600, 700))
    pixels = torch.from_numpy(network_input(prepared, encoder.recipe))
    features = plain_towers.resnet_features(weights, f"{IMAGES}model.", pixels)
    head = weights[f"{IMAGES}projection_head_vision.projection.weight"]
    expected = plain_towers.unit(head @ plain_towers.unit(features))
    np.testing.assert_allclose(encoder.embed([prepared])[0], expected.numpy(), atol=1e-5)
    rows = encoder.embed_text(TEXTS)
    assert rows.shape == (len(TEXTS), encoder.spec.dim)
    for row, text in zip(rows, TEXTS, strict=True):
        np.testing.assert_allclose(row, text_vector(weights, tokens(text)).numpy(), atol=1e-5)
    idle = {name for name in state if "num_batches" in name or "pooler" in name}
    assert weights.used == set(state) - idle - {"logit_scale"}


def test_a_long_text_is_cut_and_its_length_told(encoder: Flair, state: dict[str, Tensor]) -> None:
    """The prompt counts too."""
    text = "lesion " * 100
    assert encoder.token_limit == 77
    assert encoder.text_tokens([text, "lesion", ""]) == [107, 8, 7]
    assert encoder.text_tokens([]) == []
    ids = tokens(text)
    expected = text_vector(Weights(state), [*ids[:76], ids[-1]])
    np.testing.assert_allclose(encoder.embed_text([text])[0], expected.numpy(), atol=1e-5)


def test_a_text_alone_is_what_it_is_among_others(encoder: Flair) -> None:
    """The mean is over all tokens: any that only fill up the shorter texts would be in it."""
    together = encoder.embed_text(TEXTS)
    for row, text in zip(together, TEXTS, strict=True):
        np.testing.assert_array_equal(encoder.embed_text([text])[0], row)
    assert len({row.tobytes() for row in together}) == len(TEXTS)
    assert PROMPT.format("{0}") == "A fundus photograph of {0}"
    assert np.isfinite(encoder.embed_text(["{0} {lung}"])).all()


def test_the_same_input_twice_gives_the_same_bits(encoder: Flair) -> None:
    prepared = [encoder.prepare(photograph()), encoder.prepare(probe_fundus())]
    np.testing.assert_array_equal(encoder.embed(prepared), encoder.embed(prepared))
    np.testing.assert_array_equal(encoder.embed_text(TEXTS), encoder.embed_text(TEXTS))
    assert encoder.embed_text([]).shape == (0, encoder.spec.dim)


def test_noise_is_far_from_nothing(encoder: Flair) -> None:
    rows = encoder.embed(
        [encoder.prepare(photograph(512, 512)), np.full((SIDE, SIDE, 3), 9, np.uint8)]
    )
    assert rows[0] @ rows[1] < 0.9


def test_the_published_size_has_the_published_number_of_bytes(tmp_path: Path) -> None:
    """533.3 MB, the names and shapes at the start of the file counted in."""
    shapes = dict(
        flair_shapes(
            (3, 4, 6, 3), (64, 128, 256, 512), words=28996, width=768, text_layers=12, dim=512
        )
    )
    with torch.device("meta"):
        state = {name: torch.empty(shape) for name, shape in shapes.items()}
    assert len(state) == CARDS["flair"].tensors
    found = empty_network(state, CARDS["flair"].dim).state_dict()
    assert {k: t.shape for k, t in found.items()} == {k: t.shape for k, t in state.items()}
    counted = {name for name in shapes if name.endswith("num_batches_tracked")}
    numbers = sum(8 if name in counted else 4 * t.numel() for name, t in state.items())
    # Names, shapes and places of so many tensors, measured on a file of the same names.
    header = header_bytes(tmp_path / "small.safetensors", state)
    assert round((numbers + header) / 1e6, 1) == 533.3


def header_bytes(path: Path, state: dict[str, Tensor]) -> int:
    """Of a file of one number a tensor: a little less than of the full one."""
    save_file({name: torch.zeros(1) for name in state}, path)
    return int.from_bytes(path.read_bytes()[:8], "little") + 8


# -- preparation -----------------------------------------------------------------------------------


def as_published(colours: np.ndarray) -> np.ndarray:
    """By the steps of the package, on numbers of full precision."""
    image = torch.from_numpy(np.moveaxis(colours, -1, 0) / np.float32(255))[None]
    height, width = colours.shape[:2]
    scale = max(height, width) / SIDE
    size = (int(height / scale), int(width / scale))
    small = functional.interpolate(image, size, mode="bilinear", antialias=True)
    return functional.pad(small, (0, SIDE - size[1], 0, SIDE - size[0]))[0].numpy()


SIZES = [(512, 512), (600, 801), (1200, 900), (90, 120), (77, 513), (511, 130), (1000, 30)]


@pytest.mark.parametrize("size", SIZES)
def test_a_photograph_lies_in_the_upper_left_corner_of_a_black_square(
    size: tuple[int, int], encoder: Flair
) -> None:
    pixels = photograph(*size)
    prepared = encoder.prepare(pixels)
    assert (prepared.shape, prepared.dtype) == ((SIDE, SIDE, 3), np.uint8)
    found = network_input(prepared, encoder.recipe)
    np.testing.assert_allclose(found, as_published(pixels.values), atol=1.01 / 255)
    assert found.max() <= 1


def test_pixels_that_are_not_square_count_as_they_are_in_mm(encoder: Flair) -> None:
    prepared = encoder.prepare(replace(photograph(100, 100), aspect=2.0))
    assert prepared[:, :256].any(axis=2).mean() > 0.99
    assert not prepared[:, 256:].any()


# -- what it does not take -------------------------------------------------------------------------

VOLUME = VolumePixels(
    values=np.arange(60, dtype=np.int16).reshape(3, 4, 5),
    modality="OPT",
    spacing=(1.0, 1.0, 1.0),
    orientation=(0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0),
    origin=(0.0, 0.0, 0.0),
)


def test_what_it_was_not_made_for_is_refused(encoder: Flair) -> None:
    colours = photograph().values
    with pytest.raises(UnsupportedInputError, match="a volume, and it takes photographs"):
        encoder.prepare(VOLUME)
    with pytest.raises(UnsupportedInputError, match="a grey image, and it takes colour"):
        encoder.prepare(ImagePixels(colours[..., 0].astype(np.float32), modality="OP"))
    with pytest.raises(UnsupportedInputError, match="constant image"):
        encoder.prepare(ImagePixels(np.full_like(colours, 40), modality="OP"))
    with pytest.raises(UnsupportedInputError, match="too thin or too small"):
        encoder.prepare(photograph(1, 600))


Change = Callable[[dict[str, Tensor]], object]
CHANGES: dict[str, tuple[Change, str]] = {
    "missing": (lambda s: s.pop(f"{IMAGES}model.bn1.running_mean"), r"1 missing \(vision_model\."),
    "unexpected": (
        lambda s: s.update({f"{IMAGES}model.fc.weight": torch.zeros(3)}),
        r"1 unexpected \(vision_model\.model\.fc\.weight\)",
    ),
    "shape": (
        lambda s: s.update({f"{TEXT}projection_head_text.projection.weight": torch.zeros(3, 3)}),
        r"1 of another shape \(text_model\.projection",
    ),
    "flat": (
        lambda s: s.update({f"{IMAGES}model.conv1.weight": torch.zeros(4, 147)}),
        r"conv1\.weight has the shape \(4, 147\)",
    ),
    "no head": (
        lambda s: s.pop(f"{IMAGES}projection_head_vision.projection.weight"),
        r"projection_head_vision\.projection\.weight is missing",
    ),
}


def copied(models: Path, to: Path) -> Path:
    shutil.copytree(models / "flair", to / "flair")
    return to / "flair"


@pytest.mark.parametrize("change", list(CHANGES))
def test_weights_of_another_network_are_refused_by_name(
    change: str, models: Path, state: dict[str, Tensor], tmp_path: Path
) -> None:
    changed = dict(state)
    spoil, said = CHANGES[change]
    spoil(changed)
    save_file(changed, copied(models, tmp_path) / "model.safetensors")
    with pytest.raises(WeightsError, match=said):
        Flair(EncoderContext("flair", tmp_path, "cpu")).embed_text(["lung"])


def test_places_that_an_old_transformers_wrote_into_the_file_are_taken(
    encoder: Flair, models: Path, state: dict[str, Tensor], tmp_path: Path
) -> None:
    places = {f"{TEXT}model.embeddings.position_ids": torch.arange(512)[None]}
    save_file(state | places, copied(models, tmp_path) / "model.safetensors")
    older = Flair(EncoderContext("flair", tmp_path, "cpu"))
    np.testing.assert_array_equal(older.embed_text(TEXTS), encoder.embed_text(TEXTS))


def test_another_list_of_words_is_refused(models: Path, tmp_path: Path) -> None:
    (copied(models, tmp_path) / "vocab.txt").write_text("\n".join(WORDS[:-4]))
    with pytest.raises(WeightsError, match="has 15 words, and the network 19"):
        Flair(EncoderContext("flair", tmp_path, "cpu")).embed_text(["lung"])
