"""Preparation as data: what happens to an image before a network sees it, step by step.

A recipe is a chain of small steps. Each can say in words what it does (for a radiologist to read)
and as plain values (hashed into the space: vectors made by different recipes are never compared).
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float32, Shaped
from PIL import Image

from indexer.encoders.placement import Placement
from indexer.errors import UnsupportedInputError
from indexer.types import Frame, ImagePixels

Values = Shaped[np.ndarray, "height width *channels"]
Mask = Bool[np.ndarray, "height width"]
Network = Float32[np.ndarray, "channels height width"]
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
"""ITU-R BT.601."""
_WIDEST = 1e38
_THINNEST = 64
"""Times its width that a picture may be high, or the other way round."""
_FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True)
class Picture:
    """An image on its way through a recipe.

    Attributes:
        values: float32 ``(h, w)`` in modality units, or uint8 ``(h, w)`` or ``(h, w, 3)``.
        modality: DICOM modality code.
        padding: bool ``(h, w)``, True where there is no image, or None.
        aspect: height of a pixel divided by its width.
    """

    values: Values
    modality: str
    padding: Mask | None
    aspect: float


class Step(Protocol):
    """One step of a recipe: a frozen dataclass whose fields are all it depends on."""

    def says(self) -> str:
        """What it does, in a sentence."""

    def __call__(self, picture: Picture) -> Picture:
        """Do it."""

    def place(self, placement: Placement) -> Placement:
        """Where it puts what was placed so before."""


class InPlace:
    """A step that moves no pixel."""

    def place(self, placement: Placement) -> Placement:
        """Where everything was."""
        return placement


@dataclass(frozen=True)
class Recipe:
    """A named chain of steps from the decoded frame to the 8-bit picture, and the last scaling.

    Attributes:
        name: of the recipe, such as ``card``.
        steps: in order.
        mean, std: of each channel, for values scaled to 0..1; applied on the way into the network.
    """

    name: str
    steps: tuple[Step, ...]
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    @property
    def version(self) -> str:
        """Name and hash: the space's preprocessing version."""
        return f"{self.name}-{digest_of(self.steps, self.mean, self.std)}"

    def says(self) -> list[str]:
        """Each step in a sentence."""
        last = "divide by 255"
        if (*self.mean, *self.std) != (0.0, 1.0):
            last += f", then subtract {_list(self.mean)} and divide by {_list(self.std)}"
        return [*(step.says() for step in self.steps), last]

    def picture(self, pixels: ImagePixels) -> np.ndarray:
        """The exact picture the network sees: uint8 ``(h, w)`` or ``(h, w, 3)``.

        Raises:
            UnsupportedInputError: the image is constant, holds NaN, or is too small.
        """
        picture = start(pixels)
        for step in self.steps:
            picture = step(picture)
        if picture.values.dtype != np.uint8:
            raise TypeError(f"the recipe '{self.name}' does not end in 8 bits")
        if np.ptp(picture.values) == 0:
            raise UnsupportedInputError("constant image")
        return picture.values

    def placement(self, frame: Frame) -> Placement:
        """Where a frame of this size lies in the `picture` made of it."""
        placement = Placement.of(frame)
        for step in self.steps:
            placement = step.place(placement)
        return placement


def network_input(picture: np.ndarray, recipe: Recipe) -> Network:
    """The 8-bit picture as the float32 ``(channels, h, w)`` that goes into the network."""
    values = picture.astype(np.float32) / 255.0
    planes = values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0)
    mean = np.array(recipe.mean, np.float32)[:, None, None]
    std = np.array(recipe.std, np.float32)[:, None, None]
    return np.ascontiguousarray((planes - mean) / std, np.float32)


def digest_of(steps: Sequence[object], *more: object) -> str:
    """Ten hexadecimal digits that change with any step or value."""
    said = [[type(step).__name__, asdict(step)] for step in steps]  # type: ignore[call-overload]
    text = json.dumps([said, list(more)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def start(pixels: ImagePixels) -> Picture:
    """A decoded frame made ready: bright is dense, exactly once; padding is darkest.

    Raises:
        UnsupportedInputError: NaN or infinity.
    """
    values, padding = pixels.values, pixels.padding
    if values.dtype == np.uint8 and values.ndim == 3:
        return Picture(values, pixels.modality, None, pixels.aspect)
    grey = np.array(values, np.float32)
    if not np.isfinite(grey).all():
        raise UnsupportedInputError("the pixels hold NaN or infinity")
    if padding is not None and padding.all():
        raise UnsupportedInputError("the image is nothing but padding")
    if pixels.inverted:
        grey = -grey
    if padding is not None:
        grey[padding] = grey[~padding].min()
    return Picture(grey, pixels.modality, padding, pixels.aspect)


@dataclass(frozen=True)
class Levels(InPlace):
    """Modality values to 8 bits.

    CT by a fixed window in HU where one is given; everything else linearly between two percentiles
    of what is not padding (0 and 100 are the least and the greatest value). Colour stays.
    """

    low: float = 0.0
    high: float = 100.0
    ct_window: tuple[float, float] | None = None

    def says(self) -> str:
        """What it does, in a sentence."""
        rest = (
            "least to greatest value onto 0 to 255"
            if (self.low, self.high) == (0.0, 100.0)
            else f"{self.low:g}th to {self.high:g}th percentile onto 0 to 255, clipped"
        )
        rest = f"{rest}, padding left out, MONOCHROME1 inverted"
        if self.ct_window is None:
            return rest
        center, width = self.ct_window
        return f"CT: window {center:g}/{width:g} HU onto 0 to 255; else {rest}"

    def __call__(self, picture: Picture) -> Picture:
        """Do it."""
        values = picture.values
        if values.dtype == np.uint8 and values.ndim == 3:
            return picture
        if picture.modality == "CT" and self.ct_window is not None:
            center, width = self.ct_window
            low, high = center - width / 2, center + width / 2
        else:
            seen = values if picture.padding is None else values[~picture.padding]
            with np.errstate(over="ignore", invalid="ignore"):  # refused below
                low, high = (float(v) for v in np.percentile(seen, (self.low, self.high)))
            if high <= low:  # a small bright thing on an even ground: then all of it counts
                low, high = float(seen.min()), float(seen.max())
        if not 0 < high - low < _WIDEST:
            raise UnsupportedInputError("constant image")
        shades = np.clip((values - low) / (high - low), 0, 1) * 255
        return replace(picture, values=np.rint(shades).astype(np.uint8))


@dataclass(frozen=True)
class Resize:
    """To a size: ``shortest`` keeps the proportions, ``(height, width)`` does not.

    Pillow's filters, which look at every pixel when making smaller (anti-aliased); pixels that are
    not square count as they are in mm where the proportions are kept.
    """

    size: int | tuple[int, int]
    filter: str = "bicubic"

    def says(self) -> str:
        """What it does, in a sentence."""
        if isinstance(self.size, int):
            return f"resize, {self.filter}, the shorter side to {self.size}, proportions kept"
        height, width = self.size
        return f"resize, {self.filter}, to {height} x {width}, proportions not kept"

    def __call__(self, picture: Picture) -> Picture:
        """Do it."""
        height, width = self._target(
            picture.values.shape[0], picture.values.shape[1], picture.aspect
        )
        values = _resized(picture.values, (height, width), self.filter)
        # Padding was made darkest at the start; its mask would not fit any more.
        return replace(picture, values=values, padding=None, aspect=1.0)

    def place(self, placement: Placement) -> Placement:
        """The picture stretched."""
        return placement.resized(self._target(*placement.size, placement.aspect))

    def _target(self, rows: int, columns: int, aspect: float) -> tuple[int, int]:
        """Rows and columns of the result."""
        if not isinstance(self.size, int):
            return self.size
        tall, wide = rows * aspect, float(columns)
        scale = self.size / min(tall, wide)
        # Of the longer side the processors of transformers take the whole part.
        height = self.size if tall <= wide else int(self.size * tall / wide)
        width = self.size if wide <= tall else int(self.size * wide / tall)
        if max(height, width) > _THINNEST * self.size or scale > self.size:
            raise UnsupportedInputError("the image is too thin or too small")
        return height, width


def _resized(values: Values, size: tuple[int, int], name: str) -> Values:
    height, width = size
    if values.shape[:2] == size:
        return values
    image = Image.fromarray(np.ascontiguousarray(values))
    return np.asarray(image.resize((width, height), _FILTERS[name]))


@dataclass(frozen=True)
class CentreCrop:
    """Cut the middle out; what is smaller is padded with black."""

    size: tuple[int, int]

    def says(self) -> str:
        """What it does, in a sentence."""
        return f"cut out the middle {self.size[0]} x {self.size[1]}"

    def __call__(self, picture: Picture) -> Picture:
        """Do it."""
        values = picture.values
        for axis, wanted in enumerate(self.size):
            have, first = values.shape[axis], self._start(values.shape[axis], wanted)
            if have >= wanted:
                values = np.take(values, range(first, first + wanted), axis)
            else:
                around = [(0, 0)] * values.ndim
                around[axis] = (-first, wanted - have + first)
                values = np.pad(values, around)
        return replace(picture, values=values, padding=None)

    def place(self, placement: Placement) -> Placement:
        """The window moved to the middle."""
        rows, columns = placement.size
        first = (self._start(rows, self.size[0]), self._start(columns, self.size[1]))
        return placement.cropped(first, self.size)

    def _start(self, have: int, wanted: int) -> int:
        """The first row or column of the result; negative where it is padded."""
        return self._first(have - wanted) if have >= wanted else -((wanted - have) // 2)

    def _first(self, spare: int) -> int:
        """Rows or columns that are left out before the middle; of an odd number the fewer."""
        return spare // 2


@dataclass(frozen=True)
class RoundedCentreCrop(CentreCrop):
    """As torchvision places it: half of an odd number is rounded to the even one."""

    def says(self) -> str:
        """What it does, in a sentence."""
        return f"{super().says()}, half pixels to the even side"

    def _first(self, spare: int) -> int:
        return round(spare / 2)


@dataclass(frozen=True)
class PadSquare:
    """Black on both sides of what is shorter in mm, so that nothing is cut off."""

    def says(self) -> str:
        """What it does, in a sentence."""
        return "pad with black to a square, so that nothing is cut off"

    def __call__(self, picture: Picture) -> Picture:
        """Do it."""
        return self._crop(picture.values.shape[0], picture.values.shape[1], picture.aspect)(picture)

    def place(self, placement: Placement) -> Placement:
        """Borders put around."""
        return self._crop(*placement.size, placement.aspect).place(placement)

    def _crop(self, height: int, width: int, aspect: float) -> CentreCrop:
        tall, wide = height * aspect, float(width)
        if max(tall, wide) > _THINNEST * min(tall, wide):
            raise UnsupportedInputError("the image is too thin or too small")
        side = max(tall, wide)
        return CentreCrop((max(height, round(side / aspect)), max(width, round(side))))


@dataclass(frozen=True)
class Jpeg(InPlace):
    """Through JPEG and back, as a service does that takes its pictures so."""

    quality: int

    def says(self) -> str:
        """What it does, in a sentence."""
        return f"compress as JPEG of quality {self.quality} and decode again"

    def __call__(self, picture: Picture) -> Picture:
        """Do it."""
        out = io.BytesIO()
        Image.fromarray(picture.values).save(out, "JPEG", quality=self.quality)
        with Image.open(out) as image:
            return replace(picture, values=np.asarray(image))


@dataclass(frozen=True)
class Rgb(InPlace):
    """Grey three times, as the network was made for colour."""

    def says(self) -> str:
        """What it does, in a sentence."""
        return "grey into all three channels"

    def __call__(self, picture: Picture) -> Picture:
        """Do it."""
        values = picture.values
        return picture if values.ndim == 3 else replace(picture, values=np.stack([values] * 3, -1))


@dataclass(frozen=True)
class Grey(InPlace):
    """Colour to luminance (ITU-R BT.601)."""

    def says(self) -> str:
        """What it does, in a sentence."""
        return "colour to luminance"

    def __call__(self, picture: Picture) -> Picture:
        """Do it."""
        if picture.values.ndim == 2:
            return picture
        grey = np.rint(picture.values.astype(np.float32) @ _LUMINANCE).astype(np.uint8)
        return replace(picture, values=grey)


def _list(values: Sequence[float]) -> str:
    return " / ".join(f"{value:g}" for value in dict.fromkeys(values))
