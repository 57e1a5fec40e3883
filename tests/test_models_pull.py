"""`syntopy models pull` against a server of our own; nothing here goes to the internet."""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hub_server import Hub, serve
from models_command import answer, run
from tiny_models import MEDIMAGEINSIGHT, TOKENIZER, WRITERS, write_published

from indexer.encoders.cards import CARDS, ModelCard, WeightFile
from indexer.encoders.weights import damaged_files, file_sha256, read_manifest

WEIGHTS = "model.safetensors"


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("SYNTOPY_DEVICE", "cpu")
    monkeypatch.setenv("SYNTOPY_MODELS", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "models"


@pytest.fixture
def hub(tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    folders = {CARDS[n].repo: write_published(n, tmp_path / "hub" / n) for n in WRITERS}
    for card in (CARDS[name] for name in WRITERS):
        for file in card.files:
            repo = repository(card, file)
            if repo != card.repo:
                folder = folders.setdefault(repo, tmp_path / "hub" / repo)
                folder.mkdir(parents=True, exist_ok=True)
                (folders[card.repo] / file.path).rename(folder / file.path)
    with serve(Hub(folders)) as found:
        monkeypatch.setenv("SYNTOPY_MIRROR", found.url)
        yield found


def repository(card: ModelCard, file: WeightFile) -> str:
    return card.address(file).partition("/resolve/")[0]


def refusal(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    said = result.stderr[result.stderr.index("error: ") :]
    return re.sub(r"\s+", " ", said)


@pytest.mark.parametrize("name", ["ct-fm", "merlin", "rad-dino"])
def test_pull_fetches_registers_and_says_what_is_next(name: str, hub: Hub, models: Path) -> None:
    result = run("pull", name)
    assert result.exit_code == 0, result.output
    assert f"'{name}' is ready; next: syntopy init LIBRARY --encoder {name}" in result.stdout
    for file in CARDS[name].files:
        assert f"fetching {file.path}" in result.stderr
        theirs = hub.folders[repository(CARDS[name], file)] / file.path
        assert file_sha256(models / name / file.path) == file_sha256(theirs)
    manifest = read_manifest(models, name)
    assert manifest is not None
    assert (manifest.origin, manifest.revision) == (CARDS[name].repo, CARDS[name].revision)
    assert list(damaged_files(models, manifest)) == []
    (state,) = (m for m in answer("list")["models"] if m["name"] == name)
    assert (state["state"], state["why"]) == ("ready", "")


def start_of(asked: str) -> int:
    return int(asked.removeprefix("bytes=").partition("-")[0])


def test_a_broken_transfer_goes_on_where_it_broke(hub: Hub, models: Path) -> None:
    theirs = hub.folders[CARDS["ct-fm"].repo] / WEIGHTS
    hub.breaks[WEIGHTS] = 1
    answer("pull", "ct-fm")
    first, again = hub.ranges(WEIGHTS)
    assert first == ""
    assert start_of(again) == theirs.stat().st_size // 2
    manifest = read_manifest(models, "ct-fm")
    assert manifest is not None
    assert manifest.files[WEIGHTS] == file_sha256(theirs)


def test_another_call_goes_on_too(hub: Hub, models: Path) -> None:
    theirs = hub.folders[CARDS["ct-fm"].repo] / WEIGHTS
    hub.breaks[WEIGHTS] = 10_000
    refusal("pull", "ct-fm")
    before = len(hub.ranges(WEIGHTS))
    hub.breaks.clear()
    answer("pull", "ct-fm")
    (last,) = hub.ranges(WEIGHTS)[before:]
    assert start_of(last) > theirs.stat().st_size // 2
    assert file_sha256(models / "ct-fm" / WEIGHTS) == file_sha256(theirs)


def test_the_rest_of_another_version_is_not_put_behind_what_has_arrived(
    hub: Hub, models: Path
) -> None:
    theirs = hub.folders[CARDS["ct-fm"].repo] / WEIGHTS
    hub.breaks[WEIGHTS] = 10_000
    refusal("pull", "ct-fm")
    hub.breaks.clear()
    other = bytearray(theirs.read_bytes())
    other[-100:] = bytes(100)
    theirs.write_bytes(other)
    answer("pull", "ct-fm")
    assert hub.ranges(WEIGHTS)[-1] == "", "fetched from the start"
    assert file_sha256(models / "ct-fm" / WEIGHTS) == file_sha256(theirs)


def test_the_same_command_again_fetches_only_what_is_not_there(hub: Hub, models: Path) -> None:
    theirs = hub.folders[CARDS["ct-fm"].repo]
    (theirs / WEIGHTS).rename(theirs / "away")
    assert "not have it" in refusal("pull", "ct-fm")
    assert read_manifest(models, "ct-fm") is None, "half a model is not registered"
    (theirs / "away").rename(theirs / WEIGHTS)
    answer("pull", "ct-fm")
    answer("pull", "ct-fm")
    assert hub.ranges("config.json") == [""]
    assert hub.ranges(WEIGHTS) == [""]


def test_a_changed_file_is_fetched_anew(hub: Hub, models: Path) -> None:
    answer("pull", "ct-fm")
    theirs = hub.folders[CARDS["ct-fm"].repo] / "config.json"
    theirs.write_text(theirs.read_text() + " ")
    answer("pull", "ct-fm")
    assert (models / "ct-fm" / "config.json").read_text() == theirs.read_text()


def test_other_weights_than_were_published_are_removed(hub: Hub, models: Path) -> None:
    """The digest of these is known, and the tiny ones have another."""
    said = refusal("pull", "medimageinsight")
    assert f"{MEDIMAGEINSIGHT} of 'medimageinsight' is not what was published" in said
    assert "it was removed, fetch it again" in said
    assert not (models / "medimageinsight" / MEDIMAGEINSIGHT).exists()
    assert (models / "medimageinsight" / TOKENIZER / "vocab.json").exists()
    assert read_manifest(models, "medimageinsight") is None


def test_the_published_weights_are_taken(
    hub: Hub, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = CARDS["medimageinsight"]
    digest = file_sha256(hub.folders[card.repo] / MEDIMAGEINSIGHT)
    files = tuple(replace(f, sha256=digest) if f.sha256 else f for f in card.files)
    monkeypatch.setitem(CARDS, card.name, replace(card, files=files))
    manifest = answer("pull", "medimageinsight")
    assert manifest["files"][MEDIMAGEINSIGHT] == digest


def test_a_file_of_another_size_than_announced_is_no_fault_of_the_disk(
    hub: Hub, models: Path
) -> None:
    hub.claims[WEIGHTS] = 99
    said = refusal("pull", "ct-fm")
    assert "cannot be written" not in said
    assert read_manifest(models, "ct-fm") is None


def test_a_server_that_goes_away_in_the_middle_is_told_in_plain_words(
    hub: Hub, models: Path
) -> None:
    hub.breaks[WEIGHTS] = 10_000
    said = refusal("pull", "ct-fm")
    assert hub.url in said
    assert "models add ct-fm F" in said
    assert read_manifest(models, "ct-fm") is None


def test_consent_comes_before_any_transfer(hub: Hub, models: Path) -> None:
    said = refusal("pull", "rad-dino-maira-2")
    assert "is under MSRLA" in said
    assert "--accept-licence" in said
    assert hub.log == []
    assert answer("pull", "rad-dino-maira-2", code=2)["error"]["code"] == "licence"
    assert answer("pull", "rad-dino-maira-2", "--accept-licence")["accepted"] == "MSRLA"


@pytest.mark.parametrize("name", ["ct-fm", "medimageinsight"])
def test_offline_it_says_which_files_to_copy_where(
    name: str, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        mirror = f"http://127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.setenv("SYNTOPY_MIRROR", mirror)
    said = refusal("pull", name)
    assert mirror in said
    assert "cannot be reached" in said
    for file in CARDS[name].files:
        assert f"{file.path} -> F/{file.path}" in said
    assert f"syntopy models add {name} F" in said


@pytest.mark.parametrize("name", list(WRITERS))
def test_the_explanation_is_enough_to_bring_a_model_here(
    name: str, tmp_path: Path, models: Path
) -> None:
    result = run("pull", name, "--explain")
    assert result.exit_code == 0
    assert not models.exists()
    published = write_published(name, tmp_path / "hub")
    card, folder = CARDS[name], tmp_path / "F"
    for url, path in re.findall(r"(https://\S+)\s+->\s+F/(\S+)", result.stdout):
        (file,) = (file for file in card.files if file.path == path)
        assert url == f"https://huggingface.co/{card.address(file)}"
        assert card.address(file).endswith(f"/{path}")
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(published / path, folder / path)
    (command,) = re.findall(r"syntopy models (add .*)", result.stdout)
    added = run(*command.replace(" F", f" {folder}").split())
    assert added.exit_code == 0, added.output
    assert answer("pull", name, "--explain")["steps"] == result.stdout.splitlines()
    if "medimageinsight" in name:
        from indexer.encoders.medimageinsight import load_tokenizer  # noqa: PLC0415

        assert load_tokenizer(models / name / TOKENIZER)("ray")["input_ids"]


@pytest.mark.parametrize("name", ["biomedclip", "unimed-clip-b-16"])
def test_files_of_another_repository_are_explained_with_their_address(
    name: str, models: Path
) -> None:
    steps = answer("pull", name, "--explain")["steps"]
    bert = "https://huggingface.co/microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract/resolve/"
    (line,) = (step for step in steps if step.endswith("F/text/config.json"))
    assert line.strip().startswith(bert)
    assert line.split()[0].endswith("/config.json")
