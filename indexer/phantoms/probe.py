"""A few drawn images with which the vectors of an encoder are compared over time."""

from __future__ import annotations

import numpy as np

from indexer.phantoms.draw_2d import radiograph, ultrasound
from indexer.phantoms.draw_3d import abdomen_ct
from indexer.types import ImagePixels, VolumePixels

_SIZE = 600


def probe_images() -> list[ImagePixels]:
    """Two radiographs, one of them as MONOCHROME1 with unequal sides, and an ultrasound frame."""
    film = radiograph(np.random.default_rng(1), size=_SIZE) * 4000
    other = radiograph(np.random.default_rng(2), "effusion", size=(_SIZE, _SIZE * 3 // 4)) * 4000
    frame = ultrasound(np.random.default_rng(3))[0] * 255
    return [
        ImagePixels(film.astype(np.float32), modality="DX"),
        ImagePixels((4000 - other).astype(np.float32), modality="CR", inverted=True),
        ImagePixels(frame.astype(np.float32), modality="US"),
    ]


def probe_fundus() -> ImagePixels:
    """A colour photograph of an eye's ground: a red disc, the optic disc, and vessels from it."""
    y, x = np.mgrid[:_SIZE, :_SIZE] / (_SIZE / 2) - 1
    far = np.hypot(x + 0.4, y)
    red = 190 * (np.hypot(x, y) < 0.95) - 70 * (np.abs(np.sin(7 * np.arctan2(y, x + 0.4))) < 0.06)
    colour = np.stack([red, red * 0.45 + 120 * (far < 0.15), red * 0.2 + 60 * (far < 0.15)], -1)
    return ImagePixels(colour.clip(0, 255).astype(np.uint8), modality="OP")


def probe_volume() -> VolumePixels:
    """An abdomen of eight slices, small, as each patch of it costs seconds on a CPU."""
    values = abdomen_ct(np.random.default_rng(4), shape=(8, 48, 48))
    return VolumePixels(
        values=values.astype(np.int16),
        modality="CT",
        spacing=(5.0, 4.0, 4.0),
        orientation=(0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0),
        origin=(0.0, 0.0, 0.0),
    )
