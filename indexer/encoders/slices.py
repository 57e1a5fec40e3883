"""Volumes for encoders of images: some slices are embedded, their mean stands for the volume."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from indexer.dicom.render import volume_slice
from indexer.dicom.sampling import sample_indices
from indexer.encoders.recipe import Recipe, network_input
from indexer.errors import UnsupportedInputError
from indexer.types import Embeddings, ImagePixels, Pixels, Prepared

if TYPE_CHECKING:
    from torch import Tensor

MAX_SLICES = 24
"""Slices of a volume that are embedded, evenly taken: each costs as much as a radiograph."""


def slice_pictures(pixels: Pixels, recipe: Recipe) -> Prepared:
    """The 8-bit pictures of an image or volume: uint8 ``(n, h, w, 3)``, one for an image.

    Raises:
        UnsupportedInputError: constant, or NaN.
    """
    if isinstance(pixels, ImagePixels):
        return recipe.picture(pixels)[None]
    if not np.isfinite(pixels.values).all():
        raise UnsupportedInputError("the pixels hold NaN or infinity")
    pictures = []
    for index in sample_indices(len(pixels.values), MAX_SLICES):
        try:
            pictures.append(recipe.picture(volume_slice(pixels, index)))
        except UnsupportedInputError:
            continue  # an empty slice at the end of a volume is common
    if not pictures:
        raise UnsupportedInputError("constant image")
    return np.stack(pictures)


def slice_vectors(
    batch: Sequence[Prepared], recipe: Recipe, forward: Callable[[Tensor], Tensor], device: str
) -> list[Embeddings]:
    """Unit vectors of the slices of each input: float32 ``(slices, dim)``.

    Args:
        batch: what `slice_pictures` made, at least one.
        recipe: by which it was made.
        forward: of the network, ``(n, 3, h, w)`` to ``(n, dim)``.
        device: where the network is.
    """
    from indexer.encoders.engine import Engine  # noqa: PLC0415 - torch

    pictures = [network_input(picture, recipe) for one in batch for picture in one]
    rows = Engine(device).run(forward, pictures)
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    ends = np.cumsum([len(one) for one in batch])[:-1]
    return np.split(rows, ends)
