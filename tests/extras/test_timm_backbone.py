"""Backbones of timm by name: equal to timm itself, with its own preparation and pooling."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("timm", reason="timm is not on the path; make test puts it there")

import timm
import torch
from models_command import answer, run
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.data import create_transform, resolve_data_config
from timm.models import save_for_hf
from tiny_models import write_json
from torch import nn

from api.service import models as service
from indexer.config import Settings
from indexer.encoders.backbone import Backbone
from indexer.encoders.contract import EncoderContext
from indexer.encoders.weights import read_manifest
from indexer.errors import LicenceError, WeightsError
from indexer.phantoms import radiograph
from indexer.types import ImagePixels

NAMES = ["timm/test_vit.r160_in1k", "timm/test_resnet.r160_in1k", "timm/test_convnext.r160_in1k"]
README = "---\ntags:\n- timm\nlicense: apache-2.0\nlibrary_name: timm\n---\n# A card\n"


def network_of(name: str) -> nn.Module:
    """With random weights, and statistics of the batch norms as after training."""
    torch.manual_seed(5)
    network = timm.create_model(name.removeprefix("timm/").partition(".")[0], pretrained=False)
    generator = torch.Generator().manual_seed(5)
    for key, tensor in network.state_dict().items():
        if key.endswith("running_var"):
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
        elif tensor.ndim > 1:
            fan = tensor[0].numel()
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 1.5 * fan**-0.5)
    return network.eval()


def published(name: str, folder: Path) -> Path:
    """As timm itself writes what it publishes."""
    save_for_hf(network_of(name), folder, safe_serialization=True)
    (folder / "README.md").write_text(README)
    return folder


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    hub, folder = tmp_path_factory.mktemp("timm-hub"), tmp_path_factory.mktemp("timm-models")
    for name in NAMES:
        service.add(
            Settings(models=folder, device="cpu"), name, published(name, hub / name.split("/")[1])
        )
    return folder


@pytest.fixture(params=NAMES)
def encoder(request: pytest.FixtureRequest, models: Path) -> Backbone:
    return Backbone(EncoderContext(request.param, models, "cpu"))


def expected(folder: Path, picture: Image.Image) -> np.ndarray:
    """The vector that timm gives a picture, from the same files."""
    config = json.loads((folder / "config.json").read_text())
    network = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0).eval()
    transform = create_transform(**resolve_data_config(pretrained_cfg=config["pretrained_cfg"]))
    with torch.inference_mode():
        return np.asarray(network(transform(picture)[None])[0])  # type: ignore[index]


def unit(row: np.ndarray) -> np.ndarray:
    return np.asarray(row / np.linalg.norm(row))


@pytest.mark.parametrize("size", [(160, 160), (301, 222), (168, 171)])
def test_a_picture_gets_the_vector_that_timm_gives_it(
    encoder: Backbone, models: Path, size: tuple[int, int]
) -> None:
    coarse = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    row = encoder.embed([encoder.prepare(ImagePixels(np.asarray(picture)))])[0]
    assert row.shape == (encoder.spec.dim,)
    folder = models / encoder.spec.name
    np.testing.assert_allclose(row, unit(expected(folder, picture)), atol=1e-4)


def test_a_radiograph_gets_the_vector_of_its_grey_picture(encoder: Backbone, models: Path) -> None:
    film = (radiograph(np.random.default_rng(1), size=(301, 222)) * 4000).astype(np.float32)
    low, high = np.percentile(film, (1, 99))
    grey = np.rint(np.clip((film - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    picture = Image.fromarray(np.stack([grey] * 3, -1))
    row = encoder.embed([encoder.prepare(ImagePixels(film, modality="DX"))])[0]
    folder = models / encoder.spec.name
    np.testing.assert_allclose(row, unit(expected(folder, picture)), atol=1e-4)


def test_the_same_twice_gives_the_same_bits(encoder: Backbone) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    prepared = encoder.prepare(ImagePixels(noise))
    np.testing.assert_array_equal(encoder.embed([prepared]), encoder.embed([prepared]))


def test_what_was_found_is_written_down(encoder: Backbone, models: Path) -> None:
    manifest = read_manifest(models, encoder.spec.name)
    assert manifest is not None
    assert manifest.facts["licence"] == encoder.spec.licence == "apache-2.0"
    features = json.loads((models / encoder.spec.name / "config.json").read_text())["num_features"]
    assert manifest.facts["dim"] == encoder.spec.dim == features
    heads = manifest.facts["left_out"]
    assert len(heads) == 2
    assert all(name.rpartition(".")[0] in {"head", "head.fc", "fc"} for name in heads)
    pooling = {"vit": "token", "resnet": "pooled", "convnext": "pooled"}
    kind = encoder.spec.name.partition("test_")[2].partition(".")[0]
    assert manifest.facts["pooling"] == pooling[kind]
    assert f"-{manifest.facts['pooling']}-" in encoder.spec.preprocessing


def test_list_show_and_check(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNTOPY_MODELS", str(models))
    monkeypatch.setenv("SYNTOPY_DEVICE", "cpu")
    states = {model["name"]: model for model in answer("list")["models"]}
    assert {states[name]["state"] for name in NAMES} == {"ready"}
    assert states[NAMES[0]]["licence"] == "apache-2.0"
    assert "cut out the middle 160 x 160" in run("show", NAMES[0]).stdout
    assert answer("check", NAMES[0])["findings"] == []


def test_a_licence_that_is_not_stated_is_consented_to(tmp_path: Path) -> None:
    folder = published(NAMES[0], tmp_path / "published")
    (folder / "README.md").unlink()
    settings = Settings(models=tmp_path / "models", device="cpu")
    with pytest.raises(LicenceError, match="states no licence"):
        service.add(settings, NAMES[0], folder)
    added = service.add(settings, NAMES[0], folder, accept_licence=True)
    assert added.manifest.accepted == "not stated"
    assert any("head of a classifier" in note for note in added.notes)


def changed(folder: Path, **settings: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["pretrained_cfg"] |= settings
    write_json(folder / "config.json", config)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"crop_mode": "border"}, "'crop_mode' is none of center, squash"),
        ({"interpolation": "random"}, "'interpolation' is none of"),
        ({"input_size": [1, 160, 160]}, "'input_size' is not 3 channels"),
        ({"crop_pct": 0}, "'crop_pct' is no share"),
        ({"mean": None}, "'mean' is no list of three numbers"),
    ],
)
def test_settings_that_cannot_be_followed_are_named(
    settings: dict[str, Any], said: str, tmp_path: Path
) -> None:
    folder = published(NAMES[0], tmp_path / "published")
    changed(folder, **settings)
    with pytest.raises(WeightsError, match=said):
        service.add(Settings(models=tmp_path / "models", device="cpu"), NAMES[0], folder)


@pytest.mark.parametrize("spoil", ["missing", "unexpected", "cut", "architecture"])
def test_other_weights_are_refused(spoil: str, tmp_path: Path) -> None:
    folder = published(NAMES[0], tmp_path / "published")
    path = folder / "model.safetensors"
    state = {name: tensor.clone() for name, tensor in load_file(path).items()}
    if spoil == "missing":
        state.pop("norm.weight")
    if spoil == "unexpected":
        state["decoder.weight"] = torch.zeros(2)
    save_file(state, path)
    if spoil == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    if spoil == "architecture":
        config = json.loads((folder / "config.json").read_text())
        write_json(folder / "config.json", config | {"architecture": "no_such_network"})
    said = {
        "missing": r"1 missing \(norm\.weight\)",
        "unexpected": r"1 unexpected \(decoder\.weight\)",
        "cut": "model.safetensors",
        "architecture": "timm cannot build the network",
    }
    settings = Settings(models=tmp_path / "models", device="cpu")
    with pytest.raises(WeightsError, match=said[spoil]):
        service.add(settings, NAMES[0], folder)
    assert read_manifest(settings.models, NAMES[0]) is None
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("name", "grid"), [(NAMES[0], (10, 10)), (NAMES[1], (5, 5)), (NAMES[2], (5, 5))]
)
def test_patches_are_the_last_features_of_the_network(
    name: str, grid: tuple[int, int], models: Path
) -> None:
    encoder = Backbone(EncoderContext(name, models, "cpu"))
    assert encoder.spec.has_patches
    pixels = ImagePixels((radiograph(np.random.default_rng(1), size=200) * 4000).astype(np.float32))
    (patches,) = encoder.embed_patches(encoder.pictures(encoder.prepare(pixels)))
    assert patches.shape[:2] == grid
    assert patches.std(axis=(0, 1)).max() > 0.01
