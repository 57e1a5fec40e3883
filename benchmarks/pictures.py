"""Pictures with labels, and what the built-in encoder makes of them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from indexer.encoders.contract import EncoderContext
from indexer.errors import UnsupportedInputError
from indexer.registry import make_encoder
from indexer.types import ImagePixels


def read(path: str) -> tuple[Sequence[np.ndarray], np.ndarray]:
    """Grey pictures and their labels."""
    table, _, column = path.partition("#")
    if not column:
        with np.load(path, allow_pickle=False) as archive:
            return archive["images"], archive["labels"]
    with Path(table).open(newline="") as file:
        lines = list(csv.DictReader(file))
    files = [Path(table).parent / line["image"] for line in lines]
    return [np.asarray(Image.open(file).convert("L")) for file in files], np.array(
        [line[column] for line in lines]
    )


def encoded(
    images: Sequence[np.ndarray], labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Rows, their labels, and which pictures they are of: blank ones have no embedding."""
    encoder = make_encoder(EncoderContext("texture"))
    prepared, kept = [], []
    for number, image in enumerate(images):
        with suppress(UnsupportedInputError):
            prepared.append(encoder.prepare(ImagePixels(image.astype(np.float32))))
            kept.append(number)
    return encoder.embed(prepared), labels[kept], kept
