"""Backbones of transformers by name: equal to transformers itself, with its own preparation."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hub_server import Hub, serve
from models_command import answer, run
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_backbones import ALL_BACKBONES
from transformers import AutoImageProcessor, AutoModel, CLIPConfig, CLIPModel

from api.service import ingest, search
from api.service import models as service
from indexer.config import Settings
from indexer.encoders.backbone import Backbone
from indexer.encoders.contract import EncoderContext
from indexer.encoders.open_ended import family_of, licence_in
from indexer.encoders.recipe import network_input
from indexer.encoders.weights import MANIFEST, read_manifest
from indexer.errors import LicenceError, WeightsError
from indexer.library import Library
from indexer.phantoms import abdomen_ct, radiograph, write_cohort
from indexer.registry import make_encoder
from indexer.searching.asking import SearchRequest, like
from indexer.types import ImagePixels, VolumePixels

NAMES = list(ALL_BACKBONES)
POOLED = {
    "classifier": "cls",
    "convnext": "pooled",
    "dinov2": "pooled",
    "resnet": "pooled",
    "swin": "pooled",
    "vit": "pooled",
}


def published(name: str, folder: Path) -> Path:
    folder.mkdir(parents=True)
    ALL_BACKBONES[name](folder)
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    hub, folder = tmp_path_factory.mktemp("hub"), tmp_path_factory.mktemp("models")
    for name in NAMES:
        service.add(Settings(models=folder, device="cpu"), name, published(name, hub / name))
    return folder


@pytest.fixture(params=NAMES)
def encoder(request: pytest.FixtureRequest, models: Path) -> Backbone:
    return Backbone(EncoderContext(request.param, models, "cpu"))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(models=tmp_path / "models", device="cpu", workers=1)


def unit(row: np.ndarray) -> np.ndarray:
    return np.asarray(row / np.linalg.norm(row))


def expected(folder: Path, picture: Image.Image) -> np.ndarray:
    """The vector that transformers gives a picture, pooled by hand."""
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    network = AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        output = network(**processor(picture, return_tensors="pt"))
    if folder.name in {"vit", "convnext", "swin", "resnet"}:
        return np.asarray(output.pooler_output[0].flatten())
    return np.asarray(output.last_hidden_state[0, 0])


@pytest.mark.parametrize("size", [(32, 32), (61, 90), (120, 47)])
def test_a_picture_gets_the_vector_that_transformers_gives_it(
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


def test_a_volume_is_the_mean_of_its_slices(encoder: Backbone) -> None:
    values = abdomen_ct(np.random.default_rng(4), shape=(5, 96, 96)).astype(np.int16)
    volume = VolumePixels(
        values=values,
        modality="CT",
        spacing=(5.0, 3.0, 3.0),
        orientation=(0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0),
        origin=(0.0, 0.0, 0.0),
    )
    slices = [ImagePixels(v.astype(np.float32), modality="CT") for v in values]
    rows = encoder.embed([encoder.prepare(image) for image in slices])
    found = encoder.embed([encoder.prepare(volume)])[0]
    np.testing.assert_allclose(found, rows.mean(axis=0), atol=1e-5)


def test_the_same_twice_gives_the_same_bits_and_noise_is_far(encoder: Backbone) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (90, 90)).astype(np.float32)
    even = np.full((90, 90), 100, np.float32)
    even[40:50, 40:50] = 101
    prepared = [encoder.prepare(ImagePixels(values)) for values in (noise, even)]
    rows = encoder.embed(prepared)
    np.testing.assert_array_equal(encoder.embed(prepared), rows)
    assert float(unit(rows[0]) @ unit(rows[1])) < 0.99


def test_what_was_found_is_written_down(encoder: Backbone, models: Path) -> None:
    manifest = read_manifest(models, encoder.spec.name)
    assert manifest is not None
    facts, short = manifest.facts, encoder.spec.name.rpartition("/")[2]
    assert facts["dim"] == encoder.spec.dim
    assert facts["pooling"] == POOLED[short]
    assert f"-{POOLED[short]}-24-slices" in encoder.spec.preprocessing
    assert facts["licence"] == encoder.spec.licence == "apache-2.0"
    heads = {"classifier": ["classifier.bias", "classifier.weight"]}
    heads["resnet"] = ["classifier.1.bias", "classifier.1.weight"]
    assert facts["left_out"] == heads.get(short, [])
    assert "README.md" not in manifest.files, "what it says makes no other space"


# -- licences --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("readme", "licence"),
    [
        ("---\nlicense: apache-2.0\n---\n", "apache-2.0"),
        ("---\r\ntags: [a]\r\nlicense: 'MIT' # free\r\n---\r\n", "mit"),
        ("---\nlicense: other\nlicense_name: dinov3-license\n---\n", "dinov3-license"),
        ("---\ntags:\n- a\n---\nlicense: mit\n", "not stated"),
        ("# no head\nlicense: mit\n", "not stated"),
        ("", "not stated"),
    ],
)
def test_the_licence_stands_in_the_head_of_the_readme(
    readme: str, licence: str, tmp_path: Path
) -> None:
    (tmp_path / "README.md").write_text(readme, newline="")
    assert licence_in(tmp_path / "README.md") == licence
    assert licence_in(tmp_path / "no.md") == "not stated"


@pytest.mark.parametrize("licence", ["cc-by-nc-4.0", "other", None])
def test_a_licence_that_does_not_allow_every_use_is_consented_to(
    licence: str | None, settings: Settings, tmp_path: Path
) -> None:
    folder = published("transformers/acme/vit", tmp_path / "usb")
    (folder / "README.md").write_text(f"---\nlicense: {licence}\n---\n" if licence else "# none")
    with pytest.raises(LicenceError, match="--accept-licence"):
        service.add(settings, "transformers/acme/vit", folder)
    assert not settings.models.exists()
    added = service.add(settings, "transformers/acme/vit", folder, accept_licence=True)
    assert added.manifest.accepted == (licence or "not stated")
    context = EncoderContext("transformers/acme/vit", settings.models, "cpu")
    assert make_encoder(context).spec.licence == (licence or "not stated")


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["transformers/a", "transformers/../b", "transformers/a/b/c", "timm/a/b", "timm/..", "x/y"],
)
def test_names_of_another_form_are_none(name: str) -> None:
    assert family_of(name) == ""
    assert "there is no model" in run("show", name).stderr


# -- files -----------------------------------------------------------------------------------------


def with_settings(folder: Path, change: dict[str, Any]) -> None:
    path = folder / "preprocessor_config.json"
    config = json.loads(path.read_text()) | change
    path.write_text(json.dumps({k: v for k, v in config.items() if v != "away"}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"do_sharpen": True}, "'do_sharpen' is not known here"),
        ({"do_pad": True}, "'do_pad' is not known here"),
        ({"image_processor_type": "DonutImageProcessor"}, "'image_processor_type' is none of"),
        ({"resample": 0}, "'resample' is none of"),
        ({"resample": "away"}, "'resample' is none of"),
        ({"size": {"longest_edge": 32}}, "'size' is no size"),
        ({"size": {"height": 32, "width": "wide"}}, "'size' is no size"),
        ({"rescale_factor": 1 / 127.5}, "'rescale_factor' is not 1/255"),
        ({"do_rescale": False}, "'do_rescale' and 'do_normalize' have to be true"),
        ({"do_resize": False}, "'do_resize' is false"),
        ({"image_std": [0.5]}, "'image_std' is no list of three numbers"),
        ({"do_center_crop": True}, "'crop_size' is no size"),
    ],
)
def test_a_setting_that_cannot_be_followed_is_named(
    change: dict[str, Any], said: str, settings: Settings, tmp_path: Path
) -> None:
    folder = published("transformers/acme/vit", tmp_path / "usb")
    with_settings(folder, change)
    with pytest.raises(WeightsError, match=said):
        service.add(settings, "transformers/acme/vit", folder)
    assert read_manifest(settings.models, "transformers/acme/vit") is None


def test_a_setting_that_asks_for_nothing_is_no_trouble(settings: Settings, tmp_path: Path) -> None:
    folder = published("transformers/acme/vit", tmp_path / "usb")
    with_settings(folder, {"do_pad": False, "pad_size": None, "do_convert_rgb": True})
    assert service.add(settings, "transformers/acme/vit", folder).vectors == 3


def spoilt(folder: Path, what: str) -> None:
    path = folder / "model.safetensors"
    state = {name: tensor.clone() for name, tensor in load_file(path).items()}
    if what == "missing":
        state.pop("layernorm.weight")
    if what == "unexpected":
        state["decoder.weight"] = torch.zeros(2)
    if what == "of another shape":
        state["layernorm.weight"] = torch.zeros(3)
    save_file(state, path, {"format": "pt"})
    if what == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    if what == "configuration":
        (folder / "config.json").write_text('{"model_type": "no_such_network"}')
    if what == "code":
        config = json.loads((folder / "config.json").read_text())
        config |= {"model_type": "own", "auto_map": {"AutoModel": "own.Own", "AutoConfig": "own.C"}}
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "own.py").write_text(f"open({str(folder / 'trace')!r}, 'w').close()\n")


SPOILT = {
    "missing": r"1 missing \(layernorm\.weight\)",
    "unexpected": r"1 unexpected \(decoder\.weight\)",
    "of another shape": r"1 of another shape \(layernorm\.weight\)",
    "cut": "is cut",
    "configuration": "cannot be used",
    "code": "cannot be used",
}


@pytest.mark.parametrize("what", list(SPOILT))
def test_other_files_are_refused_and_nothing_is_registered(
    what: str, settings: Settings, tmp_path: Path
) -> None:
    folder = published("transformers/acme/vit", tmp_path / "usb")
    spoilt(folder, what)
    with pytest.raises(WeightsError, match=SPOILT[what]):
        service.add(settings, "transformers/acme/vit", folder)
    assert read_manifest(settings.models, "transformers/acme/vit") is None
    assert not (folder / "trace").exists()


def test_a_network_that_takes_words_is_refused(settings: Settings, tmp_path: Path) -> None:
    folder = published("transformers/acme/vit", tmp_path / "usb")
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    CLIPModel(
        CLIPConfig(text_config=small, vision_config=small | {"image_size": 32, "patch_size": 8})
    ).save_pretrained(folder)
    with pytest.raises(WeightsError, match="and this is for pictures"):
        service.add(settings, "transformers/acme/vit", folder)


def test_other_weights_in_the_same_process_are_other_vectors(
    settings: Settings, tmp_path: Path
) -> None:
    name = "transformers/acme/vit"
    folder = published(name, tmp_path / "usb")
    picture = ImagePixels(radiograph(np.random.default_rng(1), size=80))
    context = EncoderContext(name, settings.models, "cpu")
    service.add(settings, name, folder)
    first = make_encoder(context)
    row = first.embed([first.prepare(picture)])
    assert make_encoder(context) is first
    path = folder / "model.safetensors"
    state = {key: tensor * 1.5 for key, tensor in load_file(path).items()}
    save_file(state, path, {"format": "pt"})
    service.add(settings, name, folder)
    second = make_encoder(context)
    assert second.spec.weights != first.spec.weights
    assert np.abs(second.embed([second.prepare(picture)]) - row).max() > 1e-3


# -- by the commands -------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("SYNTOPY_DEVICE", "cpu")
    monkeypatch.setenv("SYNTOPY_MODELS", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)
    folders = {"acme/vit": published("transformers/acme/vit", tmp_path / "hub")}
    with serve(Hub(folders)) as found:
        monkeypatch.setenv("SYNTOPY_MIRROR", found.url)
        yield found


def test_pull_list_show_check_and_preview(hub: Hub, tmp_path: Path) -> None:
    name = "transformers/acme/vit"
    assert name not in run("list").stdout
    shown = answer("show", name)
    assert {shown["licence"], shown["dim"]} == {"not known before it is here"}
    result = run("pull", name)
    assert result.exit_code == 0, result.output
    assert "embedding drawn images" in result.stderr
    assert f"'{name}' is ready; next: syntopy init LIBRARY --encoder {name}" in result.stdout
    (state,) = (m for m in answer("list")["models"] if m["name"] == name)
    assert (state["state"], state["licence"], state["dim"]) == ("ready", "apache-2.0", 48)
    assert state["bytes"] == sum(
        (hub.folders["acme/vit"] / path).stat().st_size
        for path in ("config.json", "preprocessor_config.json", "model.safetensors")
    )
    shown = answer("show", name)
    assert shown["preparation"]["published"][1:3] == [
        "resize, bilinear, to 32 x 32, proportions not kept",
        "grey into all three channels",
    ]
    assert answer("check", name)["findings"] == []
    Image.fromarray(np.arange(200, dtype=np.uint8).reshape(10, 20)).save("a.png")
    assert answer("preview", name, "a.png")["height"] == 32


def test_consent_comes_before_the_weights(hub: Hub, tmp_path: Path) -> None:
    name, readme = "transformers/acme/vit", hub.folders["acme/vit"] / "README.md"
    readme.write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    assert "is under cc-by-nc-4.0" in run("pull", name).stderr
    readme.unlink()
    assert "states no licence" in run("pull", name).stderr
    assert hub.ranges("model.safetensors") == []
    assert answer("pull", name, "--accept-licence")["accepted"] == "not stated"


def test_a_wrong_network_is_not_registered_and_its_files_are_kept(hub: Hub, tmp_path: Path) -> None:
    name = "transformers/acme/vit"
    spoilt(hub.folders["acme/vit"], "unexpected")
    result = run("pull", name)
    assert result.exit_code == 2
    assert "1 unexpected (decoder.weight)" in result.stderr
    assert (tmp_path / "models" / name / "model.safetensors").is_file()
    assert not (tmp_path / "models" / name / MANIFEST).exists()
    assert name not in run("list").stdout


def test_what_is_explained_is_enough(hub: Hub, tmp_path: Path) -> None:
    lines = answer("pull", "transformers/acme/vit", "--explain")["steps"]
    paths = [line.rpartition("F/")[2] for line in lines if "->" in line]
    usb = tmp_path / "usb"
    usb.mkdir()
    for path in paths:
        shutil.copyfile(hub.folders["acme/vit"] / path, usb / path)
    assert answer("add", "transformers/acme/vit", usb)["facts"]["licence"] == "apache-2.0"


def test_a_library_is_filled_and_searched(models: Path, tmp_path: Path) -> None:
    name = "transformers/acme/vit"
    settings = Settings(models=models, device="cpu", workers=1)
    write_cohort(tmp_path / "studies", 5, 1)
    with Library.create(tmp_path / "library", encoders=(name,)) as library:
        done = ingest.index(library, ingest.IndexRequest([tmp_path / "studies"]), settings)
        assert done.items >= 5
        file = next(path for path in (tmp_path / "studies").rglob("*.dcm"))
        found = search.search(library, SearchRequest(like(file=file), k=3), settings)
        assert found.encoder == name
        assert len(found.hits) == 3


GRIDS = {
    "classifier": (4, 4),
    "convnext": None,
    "dinov2": (2, 2),
    "resnet": (4, 4),
    "swin": (8, 8),
    "vit": (4, 4),
}
"""Places of a picture; of the tiny convnext there is but one, which tells nothing apart."""


def test_patches_are_the_last_hidden_state_without_tokens_of_no_place(
    encoder: Backbone, models: Path
) -> None:
    short = encoder.spec.name.rpartition("/")[2]
    assert encoder.spec.has_patches is (GRIDS[short] is not None)
    film = (radiograph(np.random.default_rng(1), size=200) * 4000).astype(np.float32)
    pictures = encoder.pictures(encoder.prepare(ImagePixels(film, modality="DX")))
    grid = GRIDS[short]
    if grid is None:
        return
    (patches,) = encoder.embed_patches(pictures)
    assert patches.shape[:2] == grid
    network = AutoModel.from_pretrained(models / encoder.spec.name, local_files_only=True).eval()
    inputs = torch.from_numpy(network_input(pictures[0][0], encoder.recipe))[None]
    with torch.inference_mode():
        (hidden,) = network(inputs).last_hidden_state.numpy()
    rows, columns = grid
    places = hidden[-rows * columns :] if hidden.ndim == 2 else hidden.reshape(len(hidden), -1).T
    np.testing.assert_allclose(patches.reshape(rows * columns, -1), places, atol=1e-4)
