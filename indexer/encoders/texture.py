"""The built-in encoder: edges, textures and patches of a grey picture, laid out over it.

It needs no download and no GPU, gives the same vector everywhere, and is the yardstick any learned
encoder has to beat. What it compares is in `indexer.encoders.texture_blocks`; nothing of it was
fitted on a photograph or a patient's image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float32, Shaped
from PIL import Image

from indexer.dicom.sampling import sample_indices
from indexer.encoders.contract import EncoderContext
from indexer.encoders.placement import Placement
from indexer.encoders.texture_blocks import built_in, describe, describe_places
from indexer.errors import UnsupportedInputError
from indexer.types import (
    Embeddings,
    EncoderSpec,
    Frame,
    ImagePixels,
    Patches,
    Pixels,
    Prepared,
    VolumePixels,
)

Slices = Float32[np.ndarray, "slices height width"]
Picture = Float32[np.ndarray, "size size"]
Grey = Float32[np.ndarray, "height width"]
Weights = Float32[np.ndarray, "cells size"]
Vector = Float32[np.ndarray, " dim"]
Channels = Float32[np.ndarray, "bins rows columns"]
Mask = Bool[np.ndarray, "slices height width"]
Raw = Shaped[np.ndarray, "slices height width"]

SIZE = 128
"""Side of a prepared picture."""
MAX_SLICES = 24
"""Slices of a volume that are looked at."""
PERCENTILES = (1.0, 99.0)
SAMPLE = 65_536
"""Values that percentiles are taken from, at most."""
HU_WINDOWS = ((40.0, 400.0, 0.5), (0.0, 2000.0, 0.5))
"""CT: centre, width (HU) and share: soft tissue at good contrast, lung and bone still seen."""
MAX_SPAN = 1e38
"""Beyond this float32 cannot scale; no modality has such values."""
FLAT = 1e-3
"""A prepared picture with a smaller range of grey is constant."""


class TextureEncoder:
    """Encode the layout of edges in an image, or on average in a volume's slices."""

    spec = EncoderSpec(
        name="texture",
        dim=768,
        inputs=frozenset({"image", "volume"}),
        modalities=frozenset(),
        weights="builtin-2",
        preprocessing="texture-1",
        licence="Apache-2.0",
        notice="built-in encoder, not clinical",
        has_patches=True,
    )
    patches_share_space = False

    def __init__(self, context: EncoderContext | None = None) -> None:
        """Of the context it needs nothing: there are no weights, and one recipe."""
        if context is not None and ":" in context.name:
            context.choose({})

    def prepare(self, pixels: Pixels) -> Prepared:
        """Scale to grey 0..1 and fit into a square.

        CT: the mean of two fixed windows (40/400 and 0/2000 HU). Anything else: linear between
        the 1st and 99th percentile of what is not padding. Colour becomes luminance (ITU-R
        BT.601); ``inverted`` is applied once. The square keeps the physical proportions; borders
        continue the outermost pixels, which makes no edges.

        Returns:
            float32 ``(n, 128, 128)``: one slice for an image, up to 24 evenly taken ones for a
            volume.

        Raises:
            UnsupportedInputError: the pixels are constant or not finite.
        """
        if isinstance(pixels, ImagePixels):
            values, padding, aspect = _of_image(pixels)
        else:
            values, padding, aspect = _of_volume(pixels)
        if not np.isfinite(values).all():
            raise UnsupportedInputError("the pixels hold NaN or infinity")
        grey = _window(values, padding, pixels.modality)
        if pixels.inverted:
            grey = 1 - grey
        if padding is not None:
            grey[padding] = 0
        prepared = np.stack([_fit(picture, aspect) for picture in grey])
        if float(np.ptp(prepared, axis=(1, 2)).max()) < FLAT:
            raise UnsupportedInputError("constant image")
        return prepared

    def embed(self, batch: Sequence[Prepared]) -> Embeddings:
        """Embed prepared inputs; a volume's vector is the mean of its slices' unit vectors.

        Args:
            batch: arrays from `prepare`.

        Returns:
            float32 ``(len(batch), dim)``, finite and not zero.

        Raises:
            UnsupportedInputError: an input is not what `prepare` returns.
        """
        rows = np.empty((len(batch), self.spec.dim), dtype=np.float32)
        for index, prepared in enumerate(batch):
            if prepared.ndim != 3 or prepared.shape[1:] != (SIZE, SIZE):
                raise UnsupportedInputError(f"not a prepared input: shape {prepared.shape}")
            seen = [p for p in prepared if float(np.ptp(p)) >= FLAT]  # of NaN it is no number
            if not seen:
                raise UnsupportedInputError("an input without any edge, or with NaN")
            rows[index] = np.mean([describe(picture, built_in()) for picture in seen], axis=0)
        if not np.isfinite(rows).all() or not rows.any(axis=1).all():
            raise UnsupportedInputError("an input without any edge, or with NaN")
        return rows

    def sampled_slices(self, slices: int) -> list[int]:
        """At most 24, the centres of bins of equal width."""
        return sample_indices(slices, MAX_SLICES)

    def pictures(self, prepared: Prepared) -> list[Prepared]:
        """The slices, or the image."""
        return [prepared[place : place + 1] for place in range(len(prepared))]

    def placement(self, frame: Frame) -> Placement:
        """Resized into the middle of the square."""
        height, width = _size_within(frame.rows, frame.columns, frame.aspect)
        top, left = (SIZE - height) // 2, (SIZE - width) // 2
        return Placement.of(frame).resized((height, width)).cropped((-top, -left), (SIZE, SIZE))

    def embed_patches(self, batch: Sequence[Prepared]) -> Patches:
        """What the places of single pictures look like: float32 ``(n, 16, 16, 231)``.

        They are made in another way than the vectors of its space, and not to be compared with
        those.
        """
        return np.stack([describe_places(picture[0], built_in()) for picture in batch])


def _of_image(pixels: ImagePixels) -> tuple[Slices, Mask | None, float]:
    values = pixels.values
    if values.ndim == 3:
        values = values.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    padding = None if pixels.padding is None else pixels.padding[None]
    return np.asarray(values, dtype=np.float32)[None], padding, pixels.aspect


def _of_volume(pixels: VolumePixels) -> tuple[Slices, Mask | None, float]:
    raw: Raw = pixels.values[sample_indices(len(pixels.values), MAX_SLICES)]
    padding = None if pixels.padding_value is None else raw == pixels.padding_value
    return raw.astype(np.float32), padding, pixels.spacing[1] / pixels.spacing[2]


def _window(values: Slices, padding: Mask | None, modality: str) -> Slices:
    """Map to 0..1; one scale for all slices of a volume. Always a new array."""
    grey: Slices = np.zeros_like(values)
    if modality == "CT":
        for center, width, share in HU_WINDOWS:
            bottom = center - width / 2
            grey += np.float32(share) * np.clip((values - bottom) / width, 0, 1)
    else:
        low, high = _range(values, padding)
        grey += (np.clip(values, low, high) - low) / (high - low)
    return grey


def _range(values: Slices, padding: Mask | None) -> tuple[np.float32, np.float32]:
    """Return the robust darkest and brightest value, which differ."""
    step = int(np.ceil(np.sqrt(max(1.0, values.size / SAMPLE))))
    chosen = values[:, ::step, ::step]
    if padding is not None:
        chosen = chosen[~padding[:, ::step, ::step]]
    # A small bright thing on an even ground has less than a percent of the pixels: then all count.
    everything = values if padding is None else values[~padding]
    for seen, limits in ((chosen, PERCENTILES), (everything, (0.0, 100.0))):
        if seen.size:
            low, high = np.percentile(seen, limits).astype(np.float32)
            if 0 < float(high) - float(low) < MAX_SPAN:
                return low, high
    raise UnsupportedInputError("constant image")


def _fit(picture: Grey, aspect: float) -> Picture:
    """Resize, anti-aliased, to the square; the proportions in mm stay."""
    height, width = _size_within(picture.shape[0], picture.shape[1], aspect)
    resized = Image.fromarray(np.ascontiguousarray(picture)).resize(
        (width, height), Image.Resampling.BILINEAR
    )
    top, left = (SIZE - height) // 2, (SIZE - width) // 2
    margins = ((top, SIZE - height - top), (left, SIZE - width - left))
    return np.pad(np.asarray(resized, dtype=np.float32), margins, mode="edge")


def _size_within(rows: int, columns: int, aspect: float) -> tuple[int, int]:
    """Rows and columns of a picture within the square."""
    tall, wide = rows * aspect, float(columns)
    scale = SIZE / max(tall, wide)
    return max(1, round(tall * scale)), max(1, round(wide * scale))
