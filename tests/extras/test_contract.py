"""The encoders of the CLIP family keep the contract of all encoders."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("open_clip", reason="open_clip is not on the path; make test puts it there")

from contracts.test_encoders import (  # noqa: F401 - tests, found here by their names
    test_a_batch_gives_what_each_gives_alone,
    test_a_spot_comes_to_lie_where_the_placement_says,
    test_constant_and_nan_are_refused,
    test_different_pictures_get_different_vectors,
    test_inputs_are_left_alone,
    test_patches_cover_each_picture,
    test_prepare_is_pure,
    test_the_spec_says_what_it_is,
    test_vectors_are_finite_float32_and_not_zero,
)
from tiny_clip import CLIP_WRITERS

from api.service import models as service
from indexer.config import Settings
from indexer.encoders.contract import Encoder, EncoderContext
from indexer.registry import make_encoder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    settings = Settings(models=folder / "models", device="cpu")
    for name, write in CLIP_WRITERS.items():
        published = folder / name
        published.mkdir()
        write(published)
        service.add(settings, name, published, accept_licence=True)
    return settings.models


@pytest.fixture(params=list(CLIP_WRITERS))
def encoder(request: pytest.FixtureRequest, models: Path) -> Encoder:
    return make_encoder(EncoderContext(request.param, models, "cpu"))
