"""Weights on disk: read strictly, never run, known by their digest, used as their licence says."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import CT_FM, MEDIMAGEINSIGHT, WRITERS, shared_models, write_published
from torch import Tensor

from api.service import models as service
from indexer.config import Settings
from indexer.encoders.contract import EncoderContext
from indexer.encoders.weights import (
    MANIFEST,
    Manifest,
    card_of,
    damaged_files,
    is_safetensors,
    load_state,
    present,
    read_manifest,
    tensor_shapes,
    write_manifest,
)
from indexer.errors import LicenceError, WeightsError
from indexer.registry import make_encoder

FILES = {
    "ct-fm": "model.safetensors",
    "flair": "model.safetensors",
    "m3d-clip": "model.safetensors",
    "rad-dino": "model.safetensors",
    "medimageinsight": MEDIMAGEINSIGHT,
}
PREPARED = {
    "ct-fm": np.zeros((16, 16, 16), np.int16),
    "flair": np.zeros((512, 512, 3), np.uint8),
    "m3d-clip": np.zeros((32, 256, 256), np.float32),
    "rad-dino": np.zeros((518, 518, 3), np.uint8),
    "medimageinsight": np.zeros((1, 480, 480, 3), np.uint8),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared_models(tmp_path_factory)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A checkpoint of three tensors."""
    path = tmp_path / "small.pt"
    save_file(
        {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4), "c": torch.tensor(2)}, path
    )
    return path


class Evil:
    """An object whose unpickling leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str, int]]:
        return os.mkdir, (str(self.trace), 0o700)


# -- reading ---------------------------------------------------------------------------------------


def test_a_checkpoint_is_read_by_what_it_is_and_not_by_its_name(small: Path) -> None:
    state = load_state(small)
    assert is_safetensors(small)
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == tensor_shapes(small)
    pickled = small.with_name("pickled.safetensors")
    for content in (state, {"state_dict": state, "epoch": 3}):
        torch.save(content, pickled)
        assert not is_safetensors(pickled)
        again = load_state(pickled)
        assert all(torch.equal(again[name], state[name]) for name in state)


@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(small: Path, share: float) -> None:
    content = small.read_bytes()
    small.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(WeightsError, match=r"small.pt is no readable checkpoint"):
        load_state(small)
    with pytest.raises(WeightsError, match=r"small.pt"):
        tensor_shapes(small)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:5eed\nsize 2464060700\n",
        b"<!DOCTYPE html><title>Access denied</title>",
        b"\xff" * 8 + b"{}",
        (20).to_bytes(8, "little") + b'{"a":{"shape":"no"}}',
        (2).to_bytes(8, "little") + b"[]",
    ],
    ids=["empty", "lfs pointer", "web page", "endless header", "odd header", "list"],
)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="no readable checkpoint"):
        load_state(path)
    with pytest.raises(WeightsError, match=r"model\.safetensors"):
        tensor_shapes(path)


def test_something_behind_the_end_is_refused(small: Path) -> None:
    small.write_bytes(small.read_bytes() + b"more")
    with pytest.raises(WeightsError, match="is cut, or has something behind its end"):
        tensor_shapes(small)


@pytest.mark.parametrize("write", [torch.save, lambda o, path: path.write_bytes(pickle.dumps(o))])
def test_code_in_a_checkpoint_does_not_run(
    tmp_path: Path, write: Callable[[object, Path], object]
) -> None:
    trace, path = tmp_path / "trace", tmp_path / "model.pt"
    write({"a": torch.ones(2), "b": Evil(trace)}, path)
    with pytest.raises(WeightsError, match="nothing of it was executed"):
        load_state(path)
    assert not trace.exists()
    pickle.loads(pickle.dumps(Evil(trace)))  # noqa: S301 - it would have
    assert trace.exists()


@pytest.mark.parametrize("content", [[torch.ones(2)], {"a": 3}, torch.ones(2), {"state_dict": 1}])
def test_something_else_than_named_tensors_is_refused(tmp_path: Path, content: object) -> None:
    path = tmp_path / "model.pt"
    torch.save(content, path)
    with pytest.raises(WeightsError, match="something else than named tensors"):
        load_state(path)


# -- by way of the encoders ------------------------------------------------------------------------


def cut(path: Path, folder: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def with_code(path: Path, folder: Path) -> None:
    torch.save({"a": Evil(folder / "trace")}, path)


def state_in(path: Path) -> dict[str, Tensor]:
    """Not mapped to the file, which is written over."""
    return {name: tensor.clone() for name, tensor in load_file(path).items()}


def of_another_shape(path: Path, folder: Path) -> None:
    state = state_in(path)
    name = min(name for name in state if name.endswith("weight") and state[name].ndim > 1)
    save_file(state | {name: torch.zeros(2, 2)}, path, {"format": "pt"})


def with_more(path: Path, folder: Path) -> None:
    save_file(state_in(path) | {"decoder.weight": torch.zeros(2, 2)}, path, {"format": "pt"})


def with_less(path: Path, folder: Path) -> None:
    state = state_in(path)
    state.pop(next(name for name in state if name.endswith("bias")))
    save_file(state, path, {"format": "pt"})


SPOILT = [cut, with_code, of_another_shape, with_more, with_less]


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", list(FILES))
def test_a_spoilt_checkpoint_is_refused_before_it_makes_a_vector(
    name: str, spoil: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    published = write_published(name, tmp_path / "published")
    spoil(published / FILES[name], tmp_path)
    with pytest.raises(WeightsError) as error:
        service.add(Settings(models=tmp_path), name, published)
        make_encoder(EncoderContext(name, tmp_path, "cpu")).embed([PREPARED[name]])
    assert len(str(error.value)) < 500
    assert Path(FILES[name]).name in str(error.value) or name in str(error.value).lower()
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("name", ["ct-fm", "rad-dino"])
def test_a_harmless_pickle_is_taken_or_refused_in_plain_words(name: str, tmp_path: Path) -> None:
    published = write_published(name, tmp_path / "published")
    torch.save(state_in(published / FILES[name]), published / FILES[name])
    try:
        service.add(Settings(models=tmp_path), name, published)
        row = make_encoder(EncoderContext(name, tmp_path, "cpu")).embed([PREPARED[name]])
    except WeightsError as error:
        assert name in str(error) or FILES[name] in str(error)
    else:
        assert np.isfinite(row).all()


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"init_filters": "many"}'])
def test_a_damaged_configuration_is_refused(content: str, tmp_path: Path) -> None:
    published = write_published("ct-fm", tmp_path / "published")
    (published / "config.json").write_text(content)
    with pytest.raises(WeightsError):
        service.add(Settings(models=tmp_path), "ct-fm", published)
        make_encoder(EncoderContext("ct-fm", tmp_path, "cpu")).embed([PREPARED["ct-fm"]])


def test_a_configuration_of_another_size_is_refused(tmp_path: Path) -> None:
    published = write_published("ct-fm", tmp_path / "published")
    (published / "config.json").write_text(json.dumps(CT_FM | {"init_filters": 32}))
    with pytest.raises(WeightsError, match="of another shape"):
        service.add(Settings(models=tmp_path), "ct-fm", published)
        make_encoder(EncoderContext("ct-fm", tmp_path, "cpu")).embed([PREPARED["ct-fm"]])


# -- the manifest ----------------------------------------------------------------------------------


def test_what_is_registered_says_what_it_is(models: Path) -> None:
    for name in WRITERS:
        manifest = read_manifest(models, name)
        assert manifest is not None
        assert manifest.name == name
        assert set(manifest.files) >= {file.path for file in card_of(name).files}
        assert MANIFEST not in manifest.files
        assert list(damaged_files(models, manifest)) == []
        assert make_encoder(EncoderContext(name, models, "cpu")).spec.weights == manifest.digest


def test_the_digest_changes_with_any_file_and_with_nothing_else() -> None:
    first = Manifest("m", "here", "", {"a": "1", "b": "2"})
    for same in (
        replace(first, files={"b": "2", "a": "1"}),
        replace(first, origin="there", revision="main", added="once", accepted="MSRLA"),
    ):
        assert same.digest == first.digest
    others = [{"a": "1", "b": "3"}, {"a": "1"}, {"a": "2", "b": "1"}, {"a": "1", "c": "2"}]
    digests = {replace(first, files=files).digest for files in others}
    assert len(digests | {first.digest}) == 5


def test_a_changed_or_lost_file_is_found(models: Path, tmp_path: Path) -> None:
    shutil.copytree(models / "ct-fm", tmp_path / "ct-fm")
    manifest = present(tmp_path, card_of("ct-fm"))
    weights = tmp_path / "ct-fm" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert list(damaged_files(tmp_path, manifest)) == ["model.safetensors"]
    weights.unlink()
    assert list(damaged_files(tmp_path, manifest)) == ["model.safetensors"]
    with pytest.raises(WeightsError, match=r"model\.safetensors of 'ct-fm' is gone .*models pull"):
        present(tmp_path, card_of("ct-fm"))


def test_absent_weights_say_how_to_get_them(tmp_path: Path) -> None:
    for name in WRITERS:
        with pytest.raises(WeightsError, match=f"syntopy models pull {name} .*--explain"):
            make_encoder(EncoderContext(name, tmp_path, "cpu"))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"name": "ct-fm"}', '{"nosuch": 1}'])
def test_a_damaged_manifest_is_named(content: str, models: Path, tmp_path: Path) -> None:
    shutil.copytree(models / "ct-fm", tmp_path / "ct-fm")
    (tmp_path / "ct-fm" / MANIFEST).write_text(content)
    with pytest.raises(WeightsError, match=r"syntopy\.json cannot be read"):
        present(tmp_path, card_of("ct-fm"))


def test_an_unknown_model_is_refused_with_those_there_are() -> None:
    with pytest.raises(WeightsError, match="no model 'nosuch'; there are: biomedclip, ct-fm, "):
        card_of("nosuch:card")
    assert card_of("rad-dino:pad") is card_of("rad-dino")


# -- adding and licences ---------------------------------------------------------------------------


def test_adding_names_the_files_that_lack(tmp_path: Path) -> None:
    published = write_published("medimageinsight", tmp_path / "published")
    (published / MEDIMAGEINSIGHT).unlink()
    with pytest.raises(WeightsError, match=rf"lacks {MEDIMAGEINSIGHT} of 'medimageinsight'"):
        service.add(Settings(models=tmp_path / "models"), "medimageinsight", published)
    assert read_manifest(tmp_path / "models", "medimageinsight") is None


def test_a_licence_is_consented_to_once(tmp_path: Path) -> None:
    name, settings = "rad-dino-maira-2", Settings(models=tmp_path / "models")
    published = write_published(name, tmp_path / "published")
    with pytest.raises(LicenceError, match=r"MSRLA.*--accept-licence"):
        service.add(settings, name, published)
    assert not settings.models.exists()
    manifest = service.add(settings, name, published, accept_licence=True).manifest
    assert manifest.accepted == "MSRLA"
    make_encoder(EncoderContext(name, settings.models, "cpu"))
    write_manifest(settings.models, replace(manifest, accepted=""))
    with pytest.raises(LicenceError, match="consent once with"):
        present(settings.models, card_of(name))


def test_a_free_licence_needs_no_consent(tmp_path: Path) -> None:
    published = write_published("ct-fm", tmp_path / "published")
    service.add(Settings(models=tmp_path), "ct-fm", published)
    assert present(tmp_path, card_of("ct-fm")).origin == str(published)


def test_adding_from_the_models_folder_itself_keeps_the_files(tmp_path: Path) -> None:
    """Somebody put the files where they belong already."""
    folder = write_published("ct-fm", tmp_path / "ct-fm")
    before = (folder / "model.safetensors").read_bytes()
    service.add(Settings(models=tmp_path), "ct-fm", folder)
    assert (folder / "model.safetensors").read_bytes() == before
    assert present(tmp_path, card_of("ct-fm")).files.keys() == {"config.json", "model.safetensors"}
