"""`syntopy models` list, show, add, check and preview; pull is tested by itself."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models_command import answer, run
from PIL import Image
from safetensors.torch import save_file
from tiny_backbones import BACKBONES
from tiny_models import (
    LICENSED,
    WRITERS,
    dinov2_state,
    shared_models,
    write_published,
)
from typer.testing import CliRunner

from api.cli.main import app as cli
from indexer.encoders.cards import CARDS
from indexer.encoders.rad_dino import RECIPES
from indexer.encoders.weights import MANIFEST, read_manifest
from indexer.phantoms import radiograph
from indexer.registry import encoder_names, recipes_of
from indexer.types import ImagePixels

WEIGHTS = "model.safetensors"
QUILTNET = {
    "model_cfg": {"embed_dim": 512, "vision_cfg": {"image_size": 224}, "text_cfg": {}},
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.3, 0.3, 0.3]},
}


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty models folder of its own."""
    monkeypatch.setenv("SYNTOPY_DEVICE", "cpu")
    monkeypatch.setenv("SYNTOPY_MODELS", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "models"


@pytest.fixture
def ready(
    models: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """All models, to be read only."""
    shared = shared_models(tmp_path_factory)
    monkeypatch.setenv("SYNTOPY_MODELS", str(shared))
    return shared


def refusal(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr
    return result.stderr


# -- list and show ---------------------------------------------------------------------------------


def states() -> dict[str, dict[str, Any]]:
    return {model["name"]: model for model in answer("list")["models"]}


def test_list_without_weights_says_how_to_get_them(models: Path) -> None:
    found = states()
    assert sorted(found) == encoder_names()
    assert found["texture"]["state"] == "built in"
    for name, card in CARDS.items():
        if name in WRITERS:
            assert found[name]["state"] == "not here"
            assert f"syntopy models pull {name}" in found[name]["why"]
        assert found[name]["recipes"] == list(recipes_of(name))
        assert found[name]["licence"] == card.licence
    assert not models.exists(), "looking makes nothing"


def test_list_tells_what_is_ready(ready: Path) -> None:
    found = states()
    assert {found[name]["state"] for name in (*WRITERS, *BACKBONES)} == {"ready"}
    assert found["medimageinsight"]["bytes"] < 10_000_000, "of the files that are here"
    result = run("list")
    assert result.exit_code == 0
    for name in encoder_names():
        assert name in result.stdout
    assert "MSRLA (not commercial)" in result.stdout


def test_show_tells_every_step_of_every_recipe(models: Path) -> None:
    for name, card in CARDS.items():
        shown = answer("show", name)
        assert shown["licence"] == card.licence
        assert shown["digest"] == "not here"
        recipes = {r.name: r.says() for r in recipes_of(name).values()}
        absent = "published with the weights, which are not here"
        assert shown["preparation"] == (recipes or absent)
        text = run("show", name).stdout
        for recipe in recipes_of(name).values():
            assert f"preparation '{recipe.name}'" in text
    only = answer("show", "rad-dino:pad")
    assert list(only["preparation"]) == ["pad"]


def test_show_of_a_model_that_is_here_has_its_digest(ready: Path) -> None:
    manifest = read_manifest(ready, "ct-fm")
    assert manifest is not None
    assert answer("show", "ct-fm")["digest"] == manifest.digest


@pytest.mark.parametrize("command", ["show", "pull", "check"])
def test_an_unknown_model_is_refused_with_those_there_are(command: str, models: Path) -> None:
    assert "there is no model 'nosuch'; there are: biomedclip, ct-fm, " in refusal(
        command, "nosuch"
    )


def test_an_unknown_recipe_is_refused_with_those_there_are(models: Path) -> None:
    assert "'rad-dino' has no recipe 'nosuch'; it has: card, pad" in refusal(
        "show", "rad-dino:nosuch"
    )


# -- add -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(WRITERS))
def test_add_copies_and_says_what_is_next(name: str, tmp_path: Path, models: Path) -> None:
    published = write_published(name, tmp_path / "usb")
    consent = ["--accept-licence"] * (name in LICENSED)
    result = run("add", name, published, *consent)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"'{name}' is ready; next: syntopy init LIBRARY --encoder {name}\n"
    assert "embedding drawn images" in result.stderr
    published_sizes = [file for file in CARDS[name].files if file.size]
    assert result.stderr.count(" were published\n") == len(published_sizes), "these are smaller"
    shutil.rmtree(published)
    assert states()[name]["state"] == "ready"


def test_add_without_consent_or_files_adds_nothing(tmp_path: Path, models: Path) -> None:
    published = write_published("rad-dino-maira-2", tmp_path / "usb")
    assert "is under MSRLA" in refusal("add", "rad-dino-maira-2", published)
    assert "lacks config.json" in refusal("add", "ct-fm", tmp_path)
    assert not models.exists()


def test_list_says_that_consent_is_missing(tmp_path: Path, models: Path) -> None:
    name = "rad-dino-maira-2"
    published = write_published(name, tmp_path / "usb")
    run("add", name, published, "--accept-licence")
    manifest = models / name / MANIFEST
    manifest.write_text(manifest.read_text().replace('"accepted": "MSRLA"', '"accepted": ""'))
    assert states()[name]["state"] == "licence"
    assert "--accept-licence" in states()[name]["why"]


# -- check -----------------------------------------------------------------------------------------


def added(name: str, folder: Path) -> None:
    published = folder / "usb" / name
    if not published.exists():
        write_published(name, published)
    assert run("add", name, published).exit_code == 0


@pytest.mark.parametrize("name", ["rad-dino", "medimageinsight", "m3d-clip", "merlin", "flair"])
def test_vectors_are_recorded_when_a_model_is_added_and_compared_later(
    name: str, tmp_path: Path, models: Path
) -> None:
    added(name, tmp_path)
    report = answer("check", name)
    assert report["findings"] == []
    assert not report["recorded"]
    assert report["vectors"] >= 2
    (models / name / "expected.json").unlink()
    assert answer("check", name)["recorded"]


def test_check_finds_another_vector(tmp_path: Path, models: Path) -> None:
    added("rad-dino", tmp_path)
    answer("check", "rad-dino")
    path = models / "rad-dino" / "expected.json"
    expected = json.loads(path.read_text())
    expected["rad-dino"]["image 1"][0] += 3
    path.write_text(json.dumps(expected))
    report = answer("check", "rad-dino", code=2)
    assert report["findings"] == ["the vector of probe 'image 1' is not the one recorded here"]


def test_check_finds_a_changed_file(tmp_path: Path, models: Path) -> None:
    added("rad-dino", tmp_path)
    save_file(dinov2_state(seed=9), models / "rad-dino" / WEIGHTS, {"format": "pt"})
    report = answer("check", "rad-dino", code=2)
    assert report["findings"] == [f"{WEIGHTS} has changed"]
    result = run("check", "rad-dino")
    assert f"wrong: {WEIGHTS} has changed" in result.stdout
    assert "not as it was" in result.stdout


def test_check_of_a_model_that_is_not_here(models: Path) -> None:
    assert "syntopy models pull ct-fm" in refusal("check", "ct-fm")


def test_adding_again_after_a_check_leaves_nothing_to_find(tmp_path: Path, models: Path) -> None:
    """What a check writes down is no file of the model."""
    added("rad-dino", tmp_path)
    digest = read_manifest(models, "rad-dino")
    assert answer("check", "rad-dino:pad")["recorded"]
    added("rad-dino", tmp_path)
    again = read_manifest(models, "rad-dino")
    assert digest is not None
    assert again is not None
    assert again.digest == digest.digest, "the same weights make the same space"
    kept = answer("check", "rad-dino:pad")
    assert (kept["findings"], kept["recorded"]) == ([], False)
    report = answer("check", "rad-dino")
    assert (report["findings"], report["recorded"]) == ([], False)
    assert "compared with those recorded: as it was" in run("check", "rad-dino").stdout


def test_vectors_of_other_weights_are_not_compared(tmp_path: Path, models: Path) -> None:
    added("rad-dino", tmp_path)
    assert answer("check", "rad-dino:pad")["recorded"]
    path = tmp_path / "usb" / "rad-dino" / WEIGHTS
    save_file(dinov2_state(seed=9), path, {"format": "pt"})
    added("rad-dino", tmp_path)
    assert answer("check", "rad-dino")["findings"] == []
    report = answer("check", "rad-dino:pad")
    assert (report["findings"], report["recorded"]) == ([], True)


def test_a_wrong_network_leaves_what_was_there(tmp_path: Path, models: Path) -> None:
    added("rad-dino", tmp_path)
    before = read_manifest(models, "rad-dino")
    path = tmp_path / "usb" / "rad-dino" / WEIGHTS
    save_file(dinov2_state(layers=3), path, {"format": "pt"})
    result = run("add", "rad-dino", tmp_path / "usb" / "rad-dino")
    assert result.exit_code == 2
    assert "18 unexpected (encoder.layer.2." in result.stderr
    assert read_manifest(models, "rad-dino") == before
    assert answer("check", "rad-dino")["findings"] == []


def test_a_model_whose_packages_are_not_here_is_added_unchecked(
    tmp_path: Path, models: Path
) -> None:
    """And said to be unavailable, before anything is indexed with it."""
    if importlib.util.find_spec("open_clip") is not None:
        pytest.skip("open_clip is here")
    for file in CARDS["quiltnet-b-16"].files:
        (tmp_path / file.path).write_text(json.dumps(QUILTNET))
    found = answer("add", "quiltnet-b-16", tmp_path)
    assert found["vectors"] == 0
    wanted = "open_clip not installed; run: pip install 'syntopy[open-clip]'"
    assert wanted in found["notes"][-1]
    assert found["notes"][-1].startswith("not checked: ")
    state = states()["quiltnet-b-16"]
    assert state["state"] == "unavailable"
    assert wanted in state["why"]
    assert state["recipes"] == ["published"]
    (tmp_path / "a.png").write_bytes(b"")
    for command in (
        ["init", "library", "--encoder", "quiltnet-b-16"],
        ["index", tmp_path / "a.png", "-L", "library"],
    ):
        result = CliRunner().invoke(cli, [str(word) for word in command])
    assert result.exit_code == 2
    assert wanted in result.stderr


# -- preview ---------------------------------------------------------------------------------------


def test_preview_is_exactly_what_the_network_sees(tmp_path: Path, ready: Path) -> None:
    values = (radiograph(np.random.default_rng(1), size=(300, 400)) * 255).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "film.png")
    for recipe in RECIPES.values():
        seen = tmp_path / f"{recipe.name}.png"
        said = answer("preview", f"rad-dino:{recipe.name}", tmp_path / "film.png", "--out", seen)
        assert (said["height"], said["width"]) == (518, 518)
        expected = recipe.picture(ImagePixels(values.astype(np.float32)))
        with Image.open(seen) as shown:
            np.testing.assert_array_equal(np.asarray(shown), expected)


def test_preview_of_a_volume_is_its_middle(tmp_path: Path, ready: Path) -> None:
    import nibabel as nib  # noqa: PLC0415

    values = np.full((40, 50, 9), -1000, np.int16)
    values[5:35, 5:45] = np.arange(9) * 100 + 50
    path = tmp_path / "scan.nii"
    nib.Nifti1Image(values, np.diag([1.0, 1.0, 3.0, 1.0])).to_filename(path)
    seen = tmp_path / "seen.png"
    answer("preview", "ct-fm", path, "--out", seen)
    with Image.open(seen) as shown:
        found = np.asarray(shown)
    assert found.shape == (40, 30)
    assert set(np.unique(found)) == {int((450 + 1024) / 3072 * 255)}


def test_preview_refuses_what_the_encoder_does_not_take(tmp_path: Path, ready: Path) -> None:
    Image.fromarray(np.arange(200, dtype=np.uint8).reshape(10, 20)).save(tmp_path / "a.png")
    assert "takes no image" in refusal("preview", "ct-fm", tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    assert refusal("preview", "rad-dino", tmp_path / "b.png")
    said = refusal("preview", "rad-dino", tmp_path / "a.png", "--out", tmp_path / "no" / "b.png")
    assert "cannot be written" in said
