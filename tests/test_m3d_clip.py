"""M3D-CLIP: equal to the plain implementation, prepared as its authors prepared their scans."""

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
from monai.transforms import CropForeground, Orientation, Resize
from plain_davit import Weights
from safetensors.torch import load_file, save_file
from test_ct_fm import AXIAL, NO_CT_VOLUME, ORDERS, Refusal, affine, scan
from tiny_models import shared_models
from tiny_towers import M3D_CLIP, M3D_CLIP_PUBLISHED, WORDS, m3d_clip_shapes
from torch import Tensor

from indexer.encoders.cards import CARDS
from indexer.encoders.contract import EncoderContext
from indexer.encoders.m3d_clip import M3dClip, Sizes, empty_network
from indexer.errors import UnsupportedInputError, WeightsError
from indexer.types import ImagePixels, VolumePixels

TEXTS = ["Lung, no lesions.", "", "liver lesion", "Ünknown words of 17"]
HEADS, PATCH, WIDTH = 4, (4, 16, 16), 128


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared_models(tmp_path_factory)


@pytest.fixture(scope="module")
def encoder(models: Path) -> M3dClip:
    return M3dClip(EncoderContext("m3d-clip", models, "cpu"))


@pytest.fixture(scope="module")
def state(models: Path) -> dict[str, Tensor]:
    return load_file(models / "m3d-clip" / "model.safetensors")


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((32, 256, 256), np.float32)


def tokens(text: str) -> list[int]:
    """WordPiece by hand, of words and signs that are known as a whole or with one ending."""
    found = [WORDS.index("[CLS]")]
    for word in text.lower().replace(",", " ,").replace(".", " .").split():
        if word in WORDS:
            found.append(WORDS.index(word))
        elif word.removesuffix("s") in WORDS:
            found += [WORDS.index(word.removesuffix("s")), WORDS.index("##s")]
        else:
            found.append(WORDS.index("[UNK]"))
    return [*found, WORDS.index("[SEP]")]


def text_vector(weights: Weights, ids: list[int]) -> Tensor:
    (*_, last) = plain_towers.bert_layers(weights, "language_encoder.", ids, heads=WIDTH // 64)
    return plain_towers.unit(weights.linear("mm_language_proj", last[0]))


# -- the towers ------------------------------------------------------------------------------------


def test_both_towers_are_those_of_the_plain_implementation(
    encoder: M3dClip, state: dict[str, Tensor]
) -> None:
    weights = Weights(state)
    volume = noise()
    expected = plain_towers.m3d_image(weights, torch.from_numpy(volume), heads=HEADS, patch=PATCH)
    np.testing.assert_allclose(encoder.embed([volume])[0], expected.numpy(), atol=1e-5)
    rows = encoder.embed_text(TEXTS)
    assert rows.shape == (len(TEXTS), encoder.spec.dim)
    for row, text in zip(rows, TEXTS, strict=True):
        np.testing.assert_allclose(row, text_vector(weights, tokens(text)).numpy(), atol=1e-5)
    idle = {"logit_scale", "language_encoder.pooler.dense.weight"}
    idle |= {"language_encoder.pooler.dense.bias"}
    assert weights.used == set(state) - idle, "every other tensor of the file takes part"


def test_a_long_text_is_cut_and_its_length_told(encoder: M3dClip, state: dict[str, Tensor]) -> None:
    text = "lung " * 300
    assert encoder.token_limit == 128
    assert encoder.text_tokens([text, "lung", ""]) == [302, 3, 2]
    assert encoder.text_tokens([]) == []
    ids = tokens(text)
    expected = text_vector(Weights(state), [*ids[:127], ids[-1]])
    np.testing.assert_allclose(encoder.embed_text([text])[0], expected.numpy(), atol=1e-5)
    np.testing.assert_array_equal(
        encoder.embed_text([text]), encoder.embed_text([text + " and liver"])
    )


def test_the_same_input_twice_gives_the_same_bits(encoder: M3dClip) -> None:
    prepared = [encoder.prepare(scan()), noise()]
    np.testing.assert_array_equal(encoder.embed(prepared), encoder.embed(prepared))
    np.testing.assert_array_equal(encoder.embed_text(TEXTS), encoder.embed_text(TEXTS))
    assert encoder.embed_text([]).shape == (0, encoder.spec.dim)


def test_noise_is_far_from_nothing(encoder: M3dClip) -> None:
    rows = encoder.embed([noise(), np.full((32, 256, 256), 0.5, np.float32)])
    assert rows[0] @ rows[1] < 0.9


def test_the_published_size_has_the_published_number_of_bytes() -> None:
    """792 MB in single precision; the hub's other file of 396 MB is half of that."""
    with torch.device("meta"):
        shapes = m3d_clip_shapes(M3D_CLIP_PUBLISHED, text_layers=12)
        state = {name: torch.empty(shape) for name, shape in shapes}
    assert len(state) == CARDS["m3d-clip"].tensors
    found = empty_network(state, Sizes.read(M3D_CLIP_PUBLISHED, "config.json")).state_dict()
    assert {k: t.shape for k, t in found.items()} == {k: t.shape for k, t in state.items()}
    assert round(4 * sum(tensor.numel() for tensor in state.values()) / 1e6) == 792


# -- preparation -----------------------------------------------------------------------------------


def as_published(pixels: VolumePixels) -> np.ndarray:
    """As the authors' script prepares M3D-Cap, once the scan is turned."""
    values = torch.from_numpy(pixels.values.astype(np.float32))[None]
    image = Orientation("SPL", labels=None)(MetaTensor(values, torch.from_numpy(affine(pixels))))
    image = image.as_tensor() - image.min()
    image = image / image.max()
    resize = Resize((32, 256, 256), mode="trilinear")
    return np.asarray(resize(CropForeground(allow_smaller=True)(image))[0])


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: "".join(map(str, order)))
def test_every_way_a_scan_can_lie_is_prepared_as_monai_does(
    order: tuple[int, int, int], encoder: M3dClip
) -> None:
    for signs in list(product((1, -1), repeat=3))[::3]:
        pixels = scan((13, 27, 22), directions=np.diag(signs)[list(order)].astype(float))
        prepared = encoder.prepare(pixels)
        assert (prepared.shape, prepared.dtype) == ((32, 256, 256), np.float32)
        np.testing.assert_allclose(prepared, as_published(pixels), atol=1e-4)


@pytest.mark.parametrize("shape", [(3, 300, 257), (60, 40, 256), (33, 8, 512)])
def test_any_shape_is_made_larger_or_smaller(shape: tuple[int, int, int], encoder: M3dClip) -> None:
    pixels = scan(shape)
    np.testing.assert_allclose(encoder.prepare(pixels), as_published(pixels), atol=1e-4)


def test_padding_is_as_dark_as_air(encoder: M3dClip) -> None:
    """Else the values of a scanner outside its circle would make all tissue one grey."""
    pixels = scan()
    padded = pixels.values.copy()
    padded[:, :2] = -3024
    clean = np.where(padded == -3024, padded[padded > -3024].min(), padded)
    found = encoder.prepare(replace(pixels, values=padded, padding_value=-3024.0))
    np.testing.assert_array_equal(found, encoder.prepare(replace(pixels, values=clean)))
    assert not np.array_equal(found, encoder.prepare(replace(pixels, values=padded)))


# -- what it does not take -------------------------------------------------------------------------


REFUSED: dict[str, Refusal] = NO_CT_VOLUME | {
    "padding": (lambda p: replace(p, padding_value=4000.0, values=p.values * 0), "constant volume"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_it_was_not_made_for_is_refused(name: str, encoder: M3dClip) -> None:
    change, why = REFUSED[name]
    with pytest.raises(UnsupportedInputError, match=why):
        encoder.prepare(change(scan(directions=AXIAL)))
    with pytest.raises(UnsupportedInputError, match="an image, and it takes volumes"):
        encoder.prepare(ImagePixels(scan().values[5].astype(np.float32), modality="CT"))


Change = Callable[[dict[str, Tensor]], object]
BLOCK = "vision_encoder.blocks.1."
CHANGES: dict[str, tuple[Change, str]] = {
    "missing": (lambda s: s.pop(f"{BLOCK}attn.qkv.weight"), r"1 missing \(vision_encoder\.blocks"),
    "unexpected": (
        lambda s: s.update({f"{BLOCK}norm_cross_attn.weight": torch.zeros(3)}),
        r"1 unexpected \(vision_encoder\.blocks\.1\.norm_cross_attn",
    ),
    "shape": (lambda s: s.update(mm_vision_proj=torch.zeros(3)), "1 unexpected .mm_vision_proj"),
    "text": (
        lambda s: s.pop("language_encoder.embeddings.word_embeddings.weight"),
        r"language_encoder\.embeddings\.word_embeddings\.weight is missing",
    ),
}


def copied(models: Path, to: Path) -> Path:
    shutil.copytree(models / "m3d-clip", to / "m3d-clip")
    return to / "m3d-clip"


@pytest.mark.parametrize("change", list(CHANGES))
def test_weights_of_another_network_are_refused_by_name(
    change: str, models: Path, state: dict[str, Tensor], tmp_path: Path
) -> None:
    changed = dict(state)
    spoil, said = CHANGES[change]
    spoil(changed)
    save_file(changed, copied(models, tmp_path) / "model.safetensors")
    encoder = M3dClip(EncoderContext("m3d-clip", tmp_path, "cpu"))
    with pytest.raises(WeightsError, match=said):
        encoder.embed([noise()])


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"num_layers": "many"}, r"config\.json cannot be used"),
        ({"img_size": [32, 128, 128]}, r"volumes of \(32, 128, 128\) voxels"),
        ({"patch_size": [4, 16]}, r"config\.json cannot be used"),
        ({"hidden_size": 64}, "of another shape"),
        ({"num_layers": 3}, "missing"),
    ],
)
def test_a_configuration_of_another_network_is_refused(
    config: dict[str, object], said: str, models: Path, tmp_path: Path
) -> None:
    (copied(models, tmp_path) / "config.json").write_text(json.dumps(M3D_CLIP | config))
    with pytest.raises(WeightsError, match=said):
        M3dClip(EncoderContext("m3d-clip", tmp_path, "cpu")).embed([noise()])


@pytest.mark.parametrize(
    ("content", "said"), [("not\na list", "has 7 words"), ("\n".join(WORDS[:-4]), "has 15 words")]
)
def test_a_damaged_list_of_words_is_refused(
    content: str, said: str, models: Path, tmp_path: Path
) -> None:
    (copied(models, tmp_path) / "vocab.txt").write_text(content)
    with pytest.raises(WeightsError, match=said):
        M3dClip(EncoderContext("m3d-clip", tmp_path, "cpu")).embed_text(["lung"])
