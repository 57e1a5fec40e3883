"""Running networks: batches that fit, half precision within its bounds, compiled ones."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import shared_models
from torch import Tensor

from indexer.encoders.contract import Encoder, EncoderContext
from indexer.encoders.engine import TOLERANCE, Engine
from indexer.errors import ConfigError
from indexer.phantoms import probe_images, probe_volume
from indexer.registry import make_encoder
from indexer.types import ImagePixels

CPU = Engine("cpu")
NETWORKS = ["ct-fm", "medimageinsight", "rad-dino"]


def numbers(count: int) -> list[np.ndarray]:
    return [np.full((2, 3), number, np.float32) for number in range(count)]


def means(batch: Tensor) -> Tensor:
    return batch.mean(dim=(1, 2), keepdim=False)[:, None]


@pytest.mark.parametrize("count", [1, 4, 5, 11])
def test_each_input_has_its_row_in_order(count: int) -> None:
    assert CPU.run(means, numbers(count)).ravel().tolist() == list(range(count))


@pytest.mark.parametrize("fitting", [1, 2, 3])
def test_what_does_not_fit_into_memory_is_halved_until_it_does(fitting: int) -> None:
    sizes = []

    def forward(batch: Tensor) -> Tensor:
        sizes.append(len(batch))
        if len(batch) > fitting:
            raise torch.OutOfMemoryError("of the device")
        return means(batch)

    assert CPU.run(forward, numbers(7)).ravel().tolist() == list(range(7))
    assert max(sizes) > fitting


def test_one_input_that_does_not_fit_is_an_error() -> None:
    def forward(_batch: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("of the device")

    with pytest.raises(torch.OutOfMemoryError):
        CPU.run(forward, numbers(2))


def test_inputs_are_made_as_they_are_needed_and_one_batch_ahead() -> None:
    made, most = 0, 0
    lock = threading.Lock()

    def inputs() -> Iterator[np.ndarray]:
        nonlocal made
        for each in numbers(100):
            with lock:
                made += 1
            yield each

    def forward(batch: Tensor) -> Tensor:
        nonlocal made, most
        with lock:
            most = max(most, made)
            made -= len(batch)
        return means(batch)

    assert len(CPU.run(forward, inputs())) == 100
    assert most <= 12


def test_what_cannot_be_read_is_not_lost_in_the_thread_that_reads() -> None:
    def inputs() -> Iterator[np.ndarray]:
        yield from numbers(6)
        raise ValueError("the seventh")

    with pytest.raises(ValueError, match="the seventh"):
        CPU.run(means, inputs())


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="'cuda' is not there; set SYNTOPY_DEVICE=cpu"):
        Engine("cuda").run(means, numbers(1))
    with pytest.raises(ConfigError, match="'abacus' is no device"):
        Engine("abacus").run(means, numbers(1))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared_models(tmp_path_factory)


def vectors(context: EncoderContext) -> np.ndarray:
    encoder: Encoder = make_encoder(context)
    images = [probe_volume()] if "image" not in encoder.spec.inputs else list(probe_images())
    grey = [p for p in images if not isinstance(p, ImagePixels) or p.values.ndim == 2]
    rows = encoder.embed([encoder.prepare(pixels) for pixels in grey])
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("name", NETWORKS)
def test_half_precision_stays_within_its_tolerance(name: str, models: Path) -> None:
    plain = vectors(EncoderContext(name, models, "cpu"))
    half = vectors(EncoderContext(name, models, "cpu", precision="bfloat16"))
    assert (plain * half).sum(axis=1).min() > TOLERANCE
    assert not np.array_equal(plain, half)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's compiler, of its own parts
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling needs a C++ compiler")
def test_a_compiled_network_gives_the_same_vectors(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    context = EncoderContext("rad-dino", models, "cpu")
    compiled = replace(context, compile=True)
    assert vectors(compiled) == pytest.approx(vectors(context), abs=1e-5)
