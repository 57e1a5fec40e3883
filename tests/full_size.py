"""Checkpoints of the published size with random weights, laid out as they are published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import plain_davit
from safetensors.torch import save_file
from tiny_models import (
    CT_FM_PUBLISHED,
    MEDIMAGEINSIGHT,
    PREPROCESSOR,
    TOKENIZER,
    ct_fm_network,
    dinov2_config,
    dinov2_state,
    write_json,
    write_tokenizer,
)

from api.service import models as service
from indexer.config import Settings


def write_rad_dino(folder: Path) -> Path:
    write_json(folder / "config.json", dinov2_config(768, 12, 12))
    write_json(folder / "preprocessor_config.json", PREPROCESSOR)
    save_file(dinov2_state(768, 12), folder / "model.safetensors", {"format": "pt"})
    return folder / "model.safetensors"


def write_medimageinsight(folder: Path) -> Path:
    for path in (Path(MEDIMAGEINSIGHT).parent, Path(TOKENIZER)):
        (folder / path).mkdir(parents=True)
    write_tokenizer(folder / TOKENIZER)
    save_file(plain_davit.random_state(plain_davit.PUBLISHED), folder / MEDIMAGEINSIGHT)
    return folder / MEDIMAGEINSIGHT


def write_ct_fm(folder: Path) -> Path:
    write_json(folder / "config.json", CT_FM_PUBLISHED)
    network = ct_fm_network(CT_FM_PUBLISHED, settled=False)
    save_file(network.state_dict(), folder / "model.safetensors")
    return folder / "model.safetensors"


WRITERS: dict[str, Callable[[Path], Path]] = {
    "rad-dino": write_rad_dino,
    "medimageinsight": write_medimageinsight,
    "ct-fm": write_ct_fm,
}
"""Each writes into an empty folder and returns the file of its weights."""


def published_models(folder: Path) -> Path:
    """All of them, registered once; returns the models folder."""
    settings = Settings(models=folder / "models")
    for name, write in WRITERS.items():
        if not (settings.models / name / "syntopy.json").exists():
            published = folder / name
            published.mkdir(parents=True, exist_ok=True)
            weights = write(published)
            service.add(settings, name, published)
            weights.unlink()
    return settings.models
