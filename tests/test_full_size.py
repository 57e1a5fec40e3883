"""Networks of the published size with random weights: count, bytes, loading, one forward pass."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from full_size import WRITERS

from api.service import models as service
from indexer.config import Settings
from indexer.encoders.cards import CARDS
from indexer.encoders.contract import EncoderContext
from indexer.encoders.weights import tensor_shapes
from indexer.registry import ENCODERS

WANTED = "SYNTOPY_TEST_FULL_SIZE"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(WANTED not in os.environ, reason=f"{WANTED} is not set: 3 GB, minutes"),
]


CASES = {
    "rad-dino": (223, 346_345_912, np.ones((518, 518, 3), np.uint8)),
    "medimageinsight": (601, 2_464_060_700, np.ones((1, 480, 480, 3), np.uint8)),
    "ct-fm": (161, 311_116_176, np.zeros((24, 128, 128), np.int16)),
}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Emptied afterwards: pytest keeps the folders of its last three runs."""
    yield tmp_path
    for path in tmp_path.rglob("*"):
        if path.is_file():
            path.unlink()
    gc.collect()


@pytest.mark.parametrize("name", list(CASES))
def test_a_network_of_the_published_size_is_loaded_and_gives_a_vector(
    name: str, folder: Path
) -> None:
    tensors, size, prepared = CASES[name]
    published, models = folder / "published", folder / "models"
    published.mkdir()
    weights = WRITERS[name](published)
    assert len(tensor_shapes(weights)) == tensors == CARDS[name].tensors
    assert weights.stat().st_size == size
    assert size in {file.size for file in CARDS[name].files}
    service.add(Settings(models=models), name, published)
    module, _, made = ENCODERS[name].partition(":")  # the registry itself would keep it in memory
    encoder = getattr(import_module(module), made)(EncoderContext(name, models, "cpu"))
    assert encoder.spec.dim == CARDS[name].dim
    rows = encoder.embed([prepared])
    assert rows.shape == (1, CARDS[name].dim)
    assert np.isfinite(rows).all()
    assert rows.any()
