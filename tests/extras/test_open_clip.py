"""The CLIP family: equal to open_clip itself, strict about files, offline, from DICOM to words."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("open_clip", reason="open_clip is not on the path; make test puts it there")

import open_clip
import torch
from models_command import answer, run
from PIL import Image
from tiny_clip import BIN, CLIP_WRITERS, CONFIG, POSITIONS, UNIMED, config_of, reference_folder
from tiny_models import write_json
from torch import Tensor
from typer.testing import CliRunner

from api.cli.main import app
from api.service import checking
from api.service import models as service
from indexer.config import Settings
from indexer.encoders.contract import EncoderContext
from indexer.encoders.open_clip import OpenClip, config_in
from indexer.encoders.weights import read_manifest
from indexer.errors import (
    LicenceError,
    UnknownEncoderError,
    UnsupportedInputError,
    WeightsError,
)
from indexer.phantoms import abdomen_ct, radiograph, write_cohort
from indexer.registry import recipes_of
from indexer.types import ImagePixels, VolumePixels

NAMES = list(CLIP_WRITERS)
TEXTS = ["chest x-ray of the lung", "Pneumonia.", "", "a b c"]
WEIGHTS = dict.fromkeys(NAMES, BIN) | {"unimed-clip-b-16": UNIMED}


def published(name: str, folder: Path) -> Path:
    folder.mkdir(parents=True)
    CLIP_WRITERS[name](folder)
    return folder


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of each model as they are published."""
    folder = tmp_path_factory.mktemp("hub")
    for name in NAMES:
        published(name, folder / name)
    return folder


@pytest.fixture(scope="session")
def models(hub: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of them registered; to be read only."""
    settings = Settings(models=tmp_path_factory.mktemp("models"), device="cpu")
    for name in NAMES:
        added = service.add(settings, name, hub / name, accept_licence=True)
        # Three pictures and a phrase, and a fundus for one that takes it.
        assert added.vectors == (5 if name == "unimed-clip-b-16" else 4)
    return settings.models


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def encoder(name: str, models: Path) -> OpenClip:
    return OpenClip(EncoderContext(name, models, "cpu"))


# -- against open_clip itself ----------------------------------------------------------------------


class Reference:
    """The network, its transform and its tokenizer as open_clip loads them from a folder."""

    def __init__(self, name: str, folder: Path) -> None:
        self.network: Any
        if name == "unimed-clip-b-16":
            made = open_clip.create_model_and_transforms(
                f"local-dir:{folder}", load_weights=False, pretrained_text=False
            )
            run = torch.load(folder / UNIMED, weights_only=False)  # made by this test
            names = {key: key.removeprefix("module.") for key in run["state_dict"]}
            state = {
                ours.replace("text_encoder.", "text."): run["state_dict"][theirs]
                for theirs, ours in names.items()
            }
            state.pop(POSITIONS)
            made[0].load_state_dict(state, strict=True)
        else:
            made = open_clip.create_model_and_transforms(f"local-dir:{folder}")
        self.network, _, self.transform = made
        self.network.eval()
        if name == "unimed-clip-b-16":
            (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
            shutil.copyfile(folder / "text" / "vocab.txt", folder / "vocab.txt")
        self.tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")

    def image(self, picture: Image.Image) -> np.ndarray:
        with torch.inference_mode():
            row = self.network.encode_image(self.transform(picture)[None], normalize=True)
        return np.asarray(row[0])

    def text(self, phrase: str) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(self.network.encode_text(self.tokenizer([phrase]))[0])


@pytest.fixture
def reference(name: str, hub: Path, tmp_path: Path) -> Reference:
    return Reference(name, reference_folder(hub / name, tmp_path / "reference"))


def unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True))


def colour(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Coarse coloured noise."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("size", [(160, 160), (211, 333), (500, 161), (64, 67)])
def test_a_picture_gets_the_vector_that_open_clip_gives_it(
    encoder: OpenClip, reference: Reference, size: tuple[int, int]
) -> None:
    picture = colour(*size)
    row = encoder.embed([encoder.prepare(ImagePixels(picture))])[0]
    np.testing.assert_allclose(unit(row), reference.image(Image.fromarray(picture)), atol=1e-4)


@pytest.mark.parametrize("inverted", [False, True], ids=["as stored", "MONOCHROME1"])
def test_a_radiograph_gets_the_vector_of_its_grey_picture(
    encoder: OpenClip, reference: Reference, inverted: bool
) -> None:
    film = (radiograph(np.random.default_rng(1), size=(301, 222)) * 4000).astype(np.float32)
    low, high = np.percentile(film, (1, 99))
    grey = np.rint(np.clip((film - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    expected = reference.image(Image.fromarray(grey))
    pixels = ImagePixels(4000 - film if inverted else film, modality="DX", inverted=inverted)
    row = encoder.embed([encoder.prepare(pixels)])[0]
    np.testing.assert_allclose(unit(row), expected, atol=1e-4)


def test_a_ct_slice_goes_through_its_window(encoder: OpenClip, reference: Reference) -> None:
    values = abdomen_ct(np.random.default_rng(4), shape=(3, 96, 96))[1].astype(np.float32)
    grey = np.rint(np.clip((values + 160) / 400, 0, 1) * 255).astype(np.uint8)
    row = encoder.embed([encoder.prepare(ImagePixels(values, modality="CT"))])[0]
    np.testing.assert_allclose(unit(row), reference.image(Image.fromarray(grey)), atol=1e-4)


def test_a_volume_is_the_mean_of_its_slices(encoder: OpenClip, reference: Reference) -> None:
    values = abdomen_ct(np.random.default_rng(4), shape=(5, 96, 96)).astype(np.int16)
    volume = VolumePixels(
        values=values,
        modality="CT",
        spacing=(5.0, 3.0, 3.0),
        orientation=(0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0),
        origin=(0.0, 0.0, 0.0),
    )
    greys = np.rint(np.clip((values + 160.0) / 400, 0, 1) * 255).astype(np.uint8)
    rows = [reference.image(Image.fromarray(grey)) for grey in greys]
    found = encoder.embed([encoder.prepare(volume)])[0]
    np.testing.assert_allclose(found, np.mean(rows, axis=0), atol=1e-4)


def test_words_get_the_vectors_that_open_clip_gives_them(
    encoder: OpenClip, reference: Reference
) -> None:
    rows = encoder.embed_text(TEXTS)
    assert rows.shape == (len(TEXTS), encoder.spec.dim)
    for row, text in zip(rows, TEXTS, strict=True):
        np.testing.assert_allclose(row, reference.text(text), atol=1e-5)
    assert encoder.embed_text([]).shape == (0, encoder.spec.dim)


def test_a_long_text_is_cut_and_its_length_told(encoder: OpenClip, reference: Reference) -> None:
    text = "lung " * 2000
    assert len(text) == 10_000
    assert encoder.token_limit == reference.tokenizer.context_length
    assert encoder.text_tokens([text, "lung", ""]) == [2002, 3, 2]
    np.testing.assert_allclose(encoder.embed_text([text])[0], reference.text(text), atol=1e-5)
    more = encoder.embed_text([text + "pneumonia"])
    np.testing.assert_array_equal(more, encoder.embed_text([text]))


def test_the_same_twice_gives_the_same_bits(encoder: OpenClip) -> None:
    prepared = encoder.prepare(ImagePixels(colour(90, 70)))
    np.testing.assert_array_equal(encoder.embed([prepared]), encoder.embed([prepared]))
    np.testing.assert_array_equal(encoder.embed_text(TEXTS), encoder.embed_text(TEXTS))


def test_an_even_picture_is_far_from_noise(encoder: OpenClip) -> None:
    even = np.full((90, 90), 100, np.float32)
    with pytest.raises(UnsupportedInputError, match="constant"):
        encoder.prepare(ImagePixels(even))
    even[40:50, 40:50] = 101
    noise = np.random.default_rng(0).integers(0, 256, (90, 90)).astype(np.float32)
    rows = unit(encoder.embed([encoder.prepare(ImagePixels(v)) for v in (even, noise)]))
    assert float(rows[0] @ rows[1]) < 0.99


def test_what_it_is_stands_in_its_files(encoder: OpenClip, name: str, models: Path) -> None:
    spec, manifest = encoder.spec, read_manifest(models, name)
    assert manifest is not None
    assert (spec.dim, spec.has_text) == (24, True)
    assert spec.weights == manifest.digest
    assert spec.preprocessing.startswith("published-")
    (recipe,) = recipes_of(name, models).values()
    side = 160 if name == "biomedclip" else 64
    assert [step for step in recipe.says() if str(side) in step][:2] == [
        f"resize, bicubic, the shorter side to {side}, proportions kept",
        f"cut out the middle {side} x {side}, half pixels to the even side",
    ]


def test_the_recipe_can_be_named(encoder: OpenClip, models: Path) -> None:
    name = encoder.spec.name
    named = OpenClip(EncoderContext(f"{name}:published", models, "cpu"))
    assert named.spec == replace(encoder.spec, name=f"{name}:published")
    with pytest.raises(UnknownEncoderError, match="has no recipe 'nosuch'; it has: published"):
        OpenClip(EncoderContext(f"{name}:nosuch", models, "cpu"))


def test_what_unimed_clip_does_not_publish_is_as_open_clip_has_it(
    models: Path, tmp_path: Path
) -> None:
    """Without a configuration beside the weights it is ViT-B-16-quickgelu with BiomedBERT."""
    folder = tmp_path / "unimed-clip-b-16"
    shutil.copytree(models / "unimed-clip-b-16", folder)
    (folder / CONFIG).unlink()
    manifest = (folder / "syntopy.json").read_text()
    left = [line for line in manifest.splitlines() if CONFIG not in line]
    (folder / "syntopy.json").write_text("\n".join(left))
    encoder = OpenClip(EncoderContext("unimed-clip-b-16", tmp_path, "cpu"))
    theirs = open_clip.get_model_config("ViT-B-16-quickgelu")
    assert encoder.spec.dim == theirs["embed_dim"]
    assert encoder.token_limit == 256
    assert "224" in " ".join(encoder.recipe.says())
    with pytest.raises(WeightsError, match="of another shape"):
        encoder.embed([encoder.prepare(ImagePixels(colour(50, 50)))])
    ours = config_in(tmp_path, "unimed-clip-b-16")["model_cfg"]
    assert ours["vision_cfg"] == theirs["vision_cfg"]
    assert ours["quick_gelu"] == theirs["quick_gelu"]


# -- files -----------------------------------------------------------------------------------------


def without(state: dict[str, Tensor]) -> None:
    state.pop("visual.head.proj.weight")


def with_more(state: dict[str, Tensor]) -> None:
    state["text.decoder.weight"] = torch.zeros(2)


def of_another_shape(state: dict[str, Tensor]) -> None:
    state["text.proj.0.weight"] = torch.zeros(3, 3)


SPOILT: list[tuple[Callable[[dict[str, Tensor]], None], str]] = [
    (without, r"1 missing \(visual\.head\.proj\.weight\)"),
    (with_more, r"1 unexpected \(text\.decoder\.weight\)"),
    (of_another_shape, r"1 of another shape \(text\.proj\.0\.weight\)"),
]


@pytest.mark.parametrize(("spoil", "said"), SPOILT)
def test_other_weights_are_refused_by_name_and_what_was_there_stays(
    spoil: Callable[[dict[str, Tensor]], None], said: str, hub: Path, tmp_path: Path
) -> None:
    settings = Settings(models=tmp_path / "models", device="cpu")
    good = service.add(settings, "biomedclip", hub / "biomedclip").manifest
    bad = tmp_path / "bad"
    shutil.copytree(hub / "biomedclip", bad)
    state = torch.load(bad / BIN)
    spoil(state)
    torch.save(state, bad / BIN)
    with pytest.raises(WeightsError, match=said):
        service.add(settings, "biomedclip", bad)
    assert read_manifest(settings.models, "biomedclip") == good
    assert [path.name for path in settings.models.iterdir()] == ["biomedclip"]
    assert run_check(settings) == []


def run_check(settings: Settings) -> list[str]:
    return checking.check(settings, "biomedclip").findings


def cut(folder: Path) -> None:
    path = folder / BIN
    path.write_bytes(path.read_bytes()[:-2000])


class Evil:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str, int]]:
        return os.mkdir, (str(self.trace), 0o700)


def with_code(folder: Path) -> None:
    torch.save({"a": Evil(folder / "trace")}, folder / BIN)


def no_words(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{")


def other_towers(folder: Path) -> None:
    write_json(folder / CONFIG, {"model_cfg": {"embed_dim": 24}, "preprocess_cfg": {}})


def unknown_network(folder: Path) -> None:
    config = config_of("biomedclip")
    config["model_cfg"]["vision_cfg"]["timm_model_name"] = "no_such_network"
    write_json(folder / CONFIG, config)


def unknown_setting(folder: Path) -> None:
    write_json(folder / CONFIG, config_of("biomedclip") | {"preprocess_cfg": {"sharpen": 2}})


def no_sizes(folder: Path) -> None:
    (folder / "text" / "config.json").write_text("{}")


SPOILT_FILES = {
    cut: "no readable checkpoint",
    with_code: "nothing of it was executed",
    no_words: "the tokenizer in .* cannot be used",
    other_towers: "is no configuration of open_clip",
    unknown_network: "open_clip cannot build the network",
    unknown_setting: "'sharpen' is not known here",
    no_sizes: "open_clip cannot build the network",
}


@pytest.mark.parametrize("spoil", list(SPOILT_FILES), ids=lambda f: f.__name__)
def test_spoilt_files_are_refused_and_nothing_is_registered(
    spoil: Callable[[Path], None], hub: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad"
    shutil.copytree(hub / "biomedclip", bad)
    spoil(bad)
    settings = Settings(models=tmp_path / "models", device="cpu")
    with pytest.raises(WeightsError, match=SPOILT_FILES[spoil]):
        service.add(settings, "biomedclip", bad)
    assert read_manifest(settings.models, "biomedclip") is None
    assert not (bad / "trace").exists()


def test_a_file_that_lacks_is_named(hub: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    shutil.copytree(hub / "biomedclip", bad)
    (bad / "text" / "config.json").unlink()
    with pytest.raises(WeightsError, match=r"lacks text/config\.json of 'biomedclip'"):
        service.add(Settings(models=tmp_path / "models"), "biomedclip", bad)


def test_nothing_goes_to_the_network(
    encoder: OpenClip, monkeypatch: pytest.MonkeyPatch, models: Path
) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        raise AssertionError(f"a connection to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    fresh = OpenClip(EncoderContext(encoder.spec.name, models, "cpu"))
    assert fresh.embed([fresh.prepare(ImagePixels(colour(80, 80)))]).any()
    assert fresh.embed_text(["lung"]).any()


def test_a_licence_without_commercial_use_is_consented_to_once(hub: Path, tmp_path: Path) -> None:
    settings = Settings(models=tmp_path / "models", device="cpu")
    with pytest.raises(LicenceError, match=r"CC-BY-NC-4\.0.*--accept-licence"):
        service.add(settings, "unimed-clip-b-16", hub / "unimed-clip-b-16")
    registered = service.add(
        settings, "unimed-clip-b-16", hub / "unimed-clip-b-16", accept_licence=True
    )
    assert registered.manifest.accepted == "CC-BY-NC-4.0"
    assert service.explain("unimed-clip-b-16")[-1].endswith("F --accept-licence")


# -- by the commands -------------------------------------------------------------------------------


@pytest.fixture
def workplace(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SYNTOPY_DEVICE", "cpu")
    monkeypatch.setenv("SYNTOPY_MODELS", str(models))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def syntopy(*arguments: object) -> Any:
    result = CliRunner().invoke(app, [*(str(a) for a in arguments), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_from_studies_to_words(workplace: Path) -> None:
    write_cohort(workplace / "studies", 6, 1)
    syntopy("init", "library", "--encoder", "biomedclip")
    done = syntopy("index", workplace / "studies", "-L", "library")
    assert done["items"] >= 6
    long = "pneumonia of the lung " * 400
    found = syntopy("search", "--text", long, "-L", "library", "-k", "3")
    assert len(found["hits"]) == 3
    assert "of 1602 tokens the first 256 count" in " ".join(found["notes"])


def test_list_and_show_say_what_there_is(workplace: Path) -> None:
    states = {model["name"]: model for model in answer("list")["models"]}
    assert {states[name]["state"] for name in NAMES} == {"ready"}
    assert states["unimed-clip-b-16"]["commercial"] is False
    assert all(states[name]["text"] and states[name]["bytes"] for name in NAMES)
    assert "preparation 'published'" in run("show", "biomedclip").stdout


def fits() -> bool:
    """Whether torchvision can be imported as it is."""
    command = [sys.executable, "-c", "import torchvision"]
    done = subprocess.run(command, check=False, capture_output=True)
    return done.returncode == 0


@pytest.mark.skipif(fits(), reason="torchvision fits torch here")
def test_a_torchvision_that_does_not_fit_is_said_plainly(workplace: Path) -> None:
    """In a process where nobody has declared the operators that it lacks."""
    program = "from api.cli.main import run; run()"
    command = [sys.executable, "-c", program, "models", "list", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    states = {model["name"]: model for model in json.loads(done.stdout)["models"]}
    for name in ("biomedclip", "rad-dino"):
        assert states[name]["state"] == "unavailable"
        assert "torchvision does not fit torch" in states[name]["why"]
        assert "install both from the same index" in states[name]["why"]
    assert states["ct-fm"]["state"] == "not here", "MONAI does without it"
