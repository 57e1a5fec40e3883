"""Volumes for encoders of pictures: some slices are embedded, their mean stands for the volume.

Where the network tells places apart, each picture has a grid of vectors, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from indexer.dicom.render import volume_slice
from indexer.dicom.sampling import sample_indices
from indexer.encoders.contract import EncoderContext, SliceVectors
from indexer.encoders.placement import Placement
from indexer.encoders.recipe import Recipe, network_input
from indexer.errors import UnsupportedInputError
from indexer.types import (
    Embeddings,
    EncoderSpec,
    Frame,
    ImagePixels,
    Patches,
    Pixels,
    Prepared,
)

if TYPE_CHECKING:
    from torch import Tensor

MAX_SLICES = 24
"""Slices of a volume that are embedded, evenly taken: each costs as much as a radiograph."""


class SlicedEncoder:
    """What encoders of pictures share that also take volumes, slice by slice.

    A subclass sets `spec`, `recipe` and ``_context``, and has `_forward`; where its spec says that
    it has patches, `_patches` too.
    """

    spec: EncoderSpec
    recipe: Recipe
    _context: EncoderContext

    def _forward(self, pictures: Tensor) -> Tensor:
        """The network: ``(n, 3, h, w)`` to ``(n, dim)``."""
        raise NotImplementedError

    def _patches(self, pictures: Tensor) -> Tensor:
        """Vectors of places: ``(n, 3, h, w)`` to ``(n, rows, columns, dim)``."""
        del pictures
        raise UnsupportedInputError(f"'{self.spec.name}' does not tell places of a picture apart")

    def prepare(self, pixels: Pixels) -> Prepared:
        """Make the 8-bit pictures: uint8 ``(n, h, w, 3)``, one for an image.

        Of a volume those of `sampled_slices`; black where a slice is empty, as at its ends.

        Raises:
            UnsupportedInputError: constant, or NaN.
        """
        if isinstance(pixels, ImagePixels):
            return self.recipe.picture(pixels)[None]
        if not np.isfinite(pixels.values).all():
            raise UnsupportedInputError("the pixels hold NaN or infinity")
        sampled = self.sampled_slices(len(pixels.values))
        pictures: dict[int, np.ndarray] = {}
        for place, index in enumerate(sampled):
            try:
                pictures[place] = self.recipe.picture(volume_slice(pixels, index))
            except UnsupportedInputError:
                continue  # an empty slice at the end of a volume is common
        if not pictures:
            raise UnsupportedInputError("constant image")
        black = np.zeros_like(next(iter(pictures.values())))
        return np.stack([pictures.get(place, black) for place in range(len(sampled))])

    def sampled_slices(self, slices: int) -> list[int]:
        """At most 24, the centres of bins of equal width."""
        return sample_indices(slices, MAX_SLICES)

    def embed(self, batch: Sequence[Prepared]) -> Embeddings:
        """Vectors of images, and of volumes the mean of their slices': float32 ``(n, dim)``."""
        if not batch:
            return np.empty((0, self.spec.dim), np.float32)
        return np.stack([slices.rows.mean(axis=0) for slices in self.embed_slices(batch)])

    def embed_slices(self, batch: Sequence[Prepared]) -> list[SliceVectors]:
        """Unit vectors of the slices of each input that are not empty."""
        from indexer.encoders.engine import engine_of  # noqa: PLC0415 - torch

        places = [tuple(np.flatnonzero(one.any(axis=(1, 2, 3))).tolist()) for one in batch]
        inputs = (
            network_input(one[place], self.recipe)
            for one, own in zip(batch, places, strict=True)
            for place in own
        )
        rows = engine_of(self._context).run(self._forward, inputs)
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        ends = np.cumsum([len(own) for own in places])[:-1]
        return [SliceVectors(*each) for each in zip(places, np.split(rows, ends), strict=True)]

    @property
    def patches_share_space(self) -> bool:
        """Whether the mean of patches may be compared with the vectors of the space."""
        return True

    def pictures(self, prepared: Prepared) -> list[Prepared]:
        """The slices, or the image."""
        return [prepared[place : place + 1] for place in range(len(prepared))]

    def placement(self, frame: Frame) -> Placement:
        """As the recipe resizes and crops."""
        return self.recipe.placement(frame)

    def embed_patches(self, batch: Sequence[Prepared]) -> Patches:
        """Vectors of the places of single pictures: float32 ``(n, rows, columns, dim)``.

        Raises:
            UnsupportedInputError: the network tells no places apart.
        """
        from indexer.encoders.engine import engine_of  # noqa: PLC0415 - torch

        inputs = (network_input(picture[0], self.recipe) for picture in batch)
        return engine_of(self._context).run(self._patches, inputs)
