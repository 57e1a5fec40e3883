"""Merlin: equal to the plain implementation, prepared as the transforms of its package do it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import plain_towers
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import (
    CenterSpatialCropd,
    Compose,
    Orientationd,
    ScaleIntensityRanged,
    Spacingd,
    SpatialPadd,
)
from plain_davit import Weights
from test_ct_fm import NO_CT_VOLUME, ORDERS, Refusal, affine, scan
from tiny_models import shared_models
from tiny_towers import LONGFORMER, LONGFORMER_PUBLISHED, MERLIN, merlin_shapes
from torch import Tensor
from transformers import RobertaTokenizer

from indexer.encoders.cards import CARDS
from indexer.encoders.contract import EncoderContext
from indexer.encoders.merlin import Merlin, empty_network, in_plain_words, network_input
from indexer.errors import UnsupportedInputError, WeightsError
from indexer.types import ImagePixels, VolumePixels

TEXTS = ["Liver: no lesions.", "", "LUNG", "The lung is normal, as is the liver; 17 mm (ü)."]
HEADS, WINDOW, PADDING = 2, 8, 1
IMAGES, TEXT = "encode_image.i3_resnet.", "encode_text."


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared_models(tmp_path_factory)


@pytest.fixture(scope="module")
def encoder(models: Path) -> Merlin:
    return Merlin(EncoderContext("merlin", models, "cpu"))


@pytest.fixture(scope="module")
def state(models: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = torch.load(models / "merlin" / MERLIN, weights_only=True)
    return found


def noise(seed: int = 0) -> np.ndarray:
    """Hounsfield units, uneven so that exchanged axes would be seen."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(-1000, 1001, (20, 28, 56)).repeat(8, 0).repeat(8, 1).repeat(4, 2)
    return coarse.astype(np.int16)


@pytest.fixture(scope="module")
def tokenizer(models: Path) -> RobertaTokenizer:
    """As transformers loads it."""
    return RobertaTokenizer.from_pretrained(models / "merlin", local_files_only=True)


def text_vector(weights: Weights, ids: list[int]) -> Tensor:
    (*_, last) = plain_towers.bert_layers(
        weights,
        f"{TEXT}text_encoder.",
        ids,
        heads=HEADS,
        eps=1e-5,
        first_place=PADDING + 1,
        window=WINDOW,
    )
    return weights.linear(f"{TEXT}linear_layer", last[0])


# -- the towers ------------------------------------------------------------------------------------


def test_the_image_tower_is_that_of_the_plain_implementation(
    encoder: Merlin, state: dict[str, Tensor]
) -> None:
    """Of a corner, as the plain one is slow; the network takes any size."""
    weights, corner = Weights(state), noise()[:40, :62, :73]
    volume = torch.from_numpy(network_input(corner, encoder.recipe))
    features = plain_towers.resnet_features(weights, IMAGES, volume.expand(3, -1, -1, -1))
    head = weights[f"{IMAGES}contrastive_head.weight"].flatten(1)
    expected = head @ features + weights[f"{IMAGES}contrastive_head.bias"]
    row = encoder.embed([corner])[0]
    assert row.shape == (encoder.spec.dim,) == (512,)
    np.testing.assert_allclose(row, expected.numpy(), atol=1e-5 * float(expected.abs().max()))
    idle = {n for n in state if "num_batches" in n or n.startswith(f"{IMAGES}classifier")}
    assert weights.used == {n for n in state if n.startswith(IMAGES)} - idle


def test_the_text_tower_is_that_of_the_plain_implementation(
    encoder: Merlin, state: dict[str, Tensor], tokenizer: RobertaTokenizer
) -> None:
    """Texts shorter and longer than a window, and by chance none a whole number of them."""
    weights = Weights(state)
    rows = encoder.embed_text(TEXTS)
    for row, text in zip(rows, TEXTS, strict=True):
        ids = tokenizer(in_plain_words(text))["input_ids"]
        np.testing.assert_allclose(row, text_vector(weights, ids).numpy(), atol=1e-5)
    assert len({row.tobytes() for row in rows}) == len(TEXTS)
    assert len(tokenizer(in_plain_words(TEXTS[-1]))["input_ids"]) > 3 * WINDOW
    idle = {n for n in state if n.startswith(TEXT) and ("_global" in n or "pooler" in n)}
    assert weights.used == {n for n in state if n.startswith(TEXT)} - idle


@pytest.mark.parametrize("count", [WINDOW - 2, 2 * WINDOW - 2])
def test_a_text_that_fills_its_windows(
    count: int, encoder: Merlin, state: dict[str, Tensor], tokenizer: RobertaTokenizer
) -> None:
    text = "x" * count
    ids = tokenizer(text)["input_ids"]
    assert len(ids) % WINDOW == 0
    expected = text_vector(Weights(state), ids).numpy()
    np.testing.assert_allclose(encoder.embed_text([text])[0], expected, atol=1e-5)


def test_words_are_made_plain(encoder: Merlin, tokenizer: RobertaTokenizer) -> None:
    assert in_plain_words("Liver: NO lesions (3.5 mm)!?") == "liver : no lesions ( 3 . 5 mm )!?"
    assert tokenizer.convert_ids_to_tokens(tokenizer("liver no lung")["input_ids"]) == [
        "<s>",
        "liver",
        "Ġno",
        "Ġlung",
        "</s>",
    ]
    np.testing.assert_array_equal(*encoder.embed_text(["Lung,no", "lung ,  NO"]))


def test_a_long_text_is_cut_and_its_length_told(
    encoder: Merlin, state: dict[str, Tensor], tokenizer: RobertaTokenizer
) -> None:
    text = "lung " * 1200
    assert encoder.token_limit == 1024
    assert encoder.text_tokens([text, "lung", ""]) == [1202, 3, 2]
    assert encoder.text_tokens([]) == []
    ids = tokenizer(in_plain_words(text), verbose=False)["input_ids"]
    expected = text_vector(Weights(state), [*ids[:1023], ids[-1]]).numpy()
    np.testing.assert_allclose(encoder.embed_text([text])[0], expected, atol=1e-5)


def test_the_same_input_twice_gives_the_same_bits(encoder: Merlin) -> None:
    prepared = [encoder.prepare(scan()), noise()]
    np.testing.assert_array_equal(encoder.embed(prepared), encoder.embed(prepared))
    np.testing.assert_array_equal(encoder.embed_text(TEXTS), encoder.embed_text(TEXTS))
    assert encoder.embed_text([]).shape == (0, encoder.spec.dim)


def test_noise_is_far_from_nothing(encoder: Merlin) -> None:
    rows = encoder.embed([noise(), np.zeros_like(noise())])
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    assert unit[0] @ unit[1] < 0.9


def test_the_network_of_the_published_size_takes_every_tensor() -> None:
    """ResNet-152 and twelve layers of text; of two heads one has the 1692 phenotypes."""
    with torch.device("meta"):
        shapes = merlin_shapes(LONGFORMER_PUBLISHED, (3, 8, 36, 3), (64, 128, 256, 512))
        state = {name: torch.empty(shape) for name, shape in shapes}
    assert len(state) == CARDS["merlin"].tensors
    found = empty_network(state, LONGFORMER_PUBLISHED, CARDS["merlin"].dim).state_dict()
    assert {k: t.shape for k, t in found.items()} == {k: t.shape for k, t in state.items()}


# -- preparation -----------------------------------------------------------------------------------

IMAGE = {"keys": ["image"]}
AS_PUBLISHED = Compose(
    [
        Orientationd(**IMAGE, axcodes="RAS", labels=None),
        Spacingd(**IMAGE, pixdim=(1.5, 1.5, 3), mode="bilinear"),
        ScaleIntensityRanged(**IMAGE, a_min=-1000, a_max=1000, b_min=0.0, b_max=1.0, clip=True),
        SpatialPadd(**IMAGE, spatial_size=[224, 224, 160]),
        CenterSpatialCropd(**IMAGE, roi_size=[224, 224, 160]),
    ]
)


def as_published(pixels: VolumePixels) -> np.ndarray:
    """By the steps of the package; its network then takes slices first."""
    values = torch.from_numpy(pixels.values.astype(np.float32))[None]
    image = MetaTensor(values, affine=torch.from_numpy(affine(pixels)))
    return np.moveaxis(np.asarray(AS_PUBLISHED({"image": image})["image"][0]), 2, 0)


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: "".join(map(str, order)))
def test_every_way_a_scan_can_lie_is_prepared_as_monai_does(
    order: tuple[int, int, int], encoder: Merlin
) -> None:
    for signs in list(product((1, -1), repeat=3))[::3]:
        directions = np.diag(signs)[list(order)].astype(float)
        pixels = scan((13, 27, 22), (2.5, 3.1, 4.2), directions=directions)
        prepared = encoder.prepare(pixels)
        assert (prepared.shape, prepared.dtype) == ((160, 224, 224), np.int16)
        found = network_input(prepared, encoder.recipe)[0]
        np.testing.assert_allclose(found, as_published(pixels), atol=3e-4)


@pytest.mark.parametrize("shape", [(5, 250, 251), (163, 90, 225), (170, 227, 31)])
def test_what_is_too_long_is_cut_and_what_is_too_short_filled_up(
    shape: tuple[int, int, int], encoder: Merlin
) -> None:
    pixels = scan(shape, (3.0, 1.5, 1.5))
    found = network_input(encoder.prepare(pixels), encoder.recipe)[0]
    np.testing.assert_allclose(found, as_published(pixels), atol=3e-4)


def test_left_and_right_are_told_apart(encoder: Merlin) -> None:
    pixels = scan()
    mirrored = encoder.prepare(replace(pixels, values=pixels.values[..., ::-1]))
    assert not np.array_equal(mirrored, encoder.prepare(pixels))


# -- what it does not take -------------------------------------------------------------------------


REFUSED: dict[str, Refusal] = NO_CT_VOLUME | {
    "air": (lambda p: replace(p, values=p.values // 20 - 2000), "constant volume, or nothing"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_it_was_not_made_for_is_refused(name: str, encoder: Merlin) -> None:
    change, why = REFUSED[name]
    with pytest.raises(UnsupportedInputError, match=why):
        encoder.prepare(change(scan()))
    with pytest.raises(UnsupportedInputError, match="an image, and it takes volumes"):
        encoder.prepare(ImagePixels(scan().values[5].astype(np.float32), modality="CT"))


def test_nothing_in_the_middle_is_refused(encoder: Merlin) -> None:
    """Two legs beside the table, far apart: the box between them is air."""
    values = np.full((5, 40, 40), -1000, np.int16)
    values[:, :, :2] = values[:, :, -2:] = 50
    with pytest.raises(UnsupportedInputError, match="nothing in the middle"):
        encoder.prepare(replace(scan(), values=values, spacing=(3.0, 10.0, 20.0)))


Change = Callable[[dict[str, Tensor]], object]
CHANGES: dict[str, tuple[Change, str]] = {
    "missing": (lambda s: s.pop(f"{IMAGES}layer3.1.bn2.running_var"), "1 missing"),
    "unexpected": (
        lambda s: s.update({f"{IMAGES}fc.weight": torch.zeros(3)}),
        r"1 unexpected \(encode_image\.i3_resnet\.fc\.weight\)",
    ),
    "two dimensions": (
        lambda s: s.update({f"{IMAGES}conv1.weight": torch.zeros(4, 3, 7, 7)}),
        "of another shape",
    ),
    "another space": (
        lambda s: s.update({f"{IMAGES}contrastive_head.bias": torch.zeros(2048)}),
        r"of another shape \(encode_image\.i3_resnet\.contrastive_head\.bias\)",
    ),
    "text": (
        lambda s: [s.pop(name) for name in list(s) if name.startswith(TEXT)],
        r"missing \(encode_text\.linear_layer\.bias",
    ),
    "images": (
        lambda s: [s.pop(name) for name in list(s) if name.startswith(IMAGES)],
        r"encode_image\.i3_resnet\.conv1\.weight is missing",
    ),
}


def copied(models: Path, to: Path) -> Path:
    shutil.copytree(models / "merlin", to / "merlin")
    return to / "merlin"


@pytest.mark.parametrize("change", list(CHANGES))
def test_weights_of_another_network_are_refused_by_name(
    change: str, models: Path, state: dict[str, Tensor], tmp_path: Path
) -> None:
    changed = dict(state)
    spoil, said = CHANGES[change]
    spoil(changed)
    torch.save(changed, copied(models, tmp_path) / MERLIN)
    with pytest.raises(WeightsError, match=said):
        Merlin(EncoderContext("merlin", tmp_path, "cpu")).embed([noise()])


def test_a_cut_checkpoint_and_one_with_code_are_refused(models: Path, tmp_path: Path) -> None:
    path = copied(models, tmp_path) / MERLIN
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(WeightsError, match=r"\.pt is no readable checkpoint"):
        Merlin(EncoderContext("merlin", tmp_path, "cpu")).embed([noise()])
    torch.save({"state_dict": np.random.default_rng}, path)
    with pytest.raises(WeightsError, match="nothing of it was executed"):
        Merlin(EncoderContext("merlin", tmp_path, "cpu")).embed([noise()])


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"num_hidden_layers": "many"}, r"config\.json of the text tower cannot be used"),
        ({"hidden_size": 64}, "of another shape"),
        ({"num_hidden_layers": 3, "attention_window": [8, 8, 8]}, "missing"),
    ],
)
def test_a_configuration_of_another_text_tower_is_refused(
    config: dict[str, object], said: str, models: Path, tmp_path: Path
) -> None:
    (copied(models, tmp_path) / "config.json").write_text(json.dumps(LONGFORMER | config))
    with pytest.raises(WeightsError, match=said):
        Merlin(EncoderContext("merlin", tmp_path, "cpu")).embed_text(["lung"])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("vocab.json", '{"cut', "cannot be used"),
        ("merges.txt", "cut off here", "cannot be used"),
        ("vocab.json", '{"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}', "cannot be used"),
    ],
)
def test_a_damaged_tokenizer_is_refused(
    name: str, content: str, said: str, models: Path, tmp_path: Path
) -> None:
    (copied(models, tmp_path) / name).write_text(content)
    with pytest.raises(WeightsError, match=said):
        Merlin(EncoderContext("merlin", tmp_path, "cpu")).embed_text(["lung"])
