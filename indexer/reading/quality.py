"""How a picture is exposed and how sharp it is: what encoders that scale grey values do not see."""

from __future__ import annotations

import numpy as np

from indexer.dicom.render import LUMINANCE, robust_range, volume_slice
from indexer.types import GreyImage, ImagePixels, Pixels

QUALITIES = ("range", "level", "rim", "grain", "detail", "coarse detail")
_FINE, _COARSE = 128, 32
_SEEN = 512
_RIM = 0.05
_LEAST = 1e-4
_HOUNSFIELD = 4096.0
_BITS = (8, 10, 12, 14, 16)
_TINY = 1e-6
_SLICES = (0.25, 0.5, 0.75)


def qualities_of(pixels: Pixels) -> tuple[float, ...]:
    """The `QUALITIES` of an image; of a volume the means over three of its slices.

    - range: natural logarithm of the 99th less the 1st percentile, as a share of the scale: 4,096
      Hounsfield units of a CT; else the width of the file's own window; else as far as the fewest
      bits reach, of 8, 10, 12, 14 and 16, that hold the values; else from the least to the greatest
      value. So a film looks alike whether it was stored in 8 bits or in 12.

    The others are relative to the range:

    - level: where the median lies between the two, 0 to 1; bright means shown bright;
    - rim: where the mean of the outermost twentieth lies;
    - grain, detail, coarse detail: natural logarithm of the mean absolute Laplacian, at the scale
      of the pixels in the middle of the picture, and with the picture at 128 and 32 pixels.
    """
    if isinstance(pixels, ImagePixels):
        frames = [pixels]
    else:
        last = len(pixels.values) - 1
        frames = [volume_slice(pixels, round(last * share)) for share in _SLICES]
    rows = np.array([_of_frame(frame) for frame in frames])
    return tuple(round(float(value), 4) for value in rows.mean(axis=0))


def _of_frame(image: ImagePixels) -> list[float]:
    values = np.asarray(image.values, np.float32)
    if values.ndim == 3:
        values = values @ LUMINANCE
    padding = image.padding if image.padding is not None and not image.padding.all() else None
    low, high = robust_range(values, padding)
    if padding is not None:
        values = np.where(padding, low, values)

    def seen(part: GreyImage) -> GreyImage:
        shades = np.clip((part - low) / (high - low), -1, 2)
        return 1 - shades if image.inverted else shades

    whole = seen(_shrunk(values, _SEEN))
    return [
        float(np.log((high - low) / _scale(image, values))),
        float(np.median(whole)),
        _rim(whole),
        _roughness(seen(_middle(values))),
        _roughness(_shrunk(whole, _FINE)),
        _roughness(_shrunk(whole, _COARSE)),
    ]


def _scale(image: ImagePixels, values: GreyImage) -> float:
    """What the range is a share of."""
    if image.modality == "CT":
        return _HOUNSFIELD
    if image.window is not None and image.window.width > 0:
        return float(image.window.width)
    least, most = float(values.min()), float(values.max())
    if least >= 0 and (values == np.rint(values)).all():
        return float(next((2**bits - 1 for bits in _BITS if most < 2**bits), most))
    return max(most - least, _TINY)


def _rim(picture: GreyImage) -> float:
    rows, columns = (max(1, round(_RIM * side)) for side in picture.shape)
    inner = picture[rows:-rows, columns:-columns]
    count = picture.size - inner.size
    return float((picture.sum(dtype=np.float64) - inner.sum(dtype=np.float64)) / max(count, 1))


def _middle(picture: GreyImage) -> GreyImage:
    starts = [max(0, (side - _SEEN) // 2) for side in picture.shape]
    return picture[starts[0] : starts[0] + _SEEN, starts[1] : starts[1] + _SEEN]


def _shrunk(picture: GreyImage, side: int) -> GreyImage:
    """Means over blocks; a smaller picture stays as it is."""
    for axis in (1, 0):  # along the rows first, where pixels lie side by side
        length = picture.shape[axis]
        if length > side:
            begins = np.linspace(0, length, side, endpoint=False).astype(np.intp)
            sizes = np.diff(np.append(begins, length)).astype(np.float32)
            shape = (-1, 1) if axis == 0 else (1, -1)
            picture = np.add.reduceat(picture, begins, axis) / sizes.reshape(shape)
    return picture


def _roughness(picture: GreyImage) -> float:
    if min(picture.shape) < 3:
        return float(np.log(_LEAST))
    centre = picture[1:-1, 1:-1]
    around = picture[:-2, 1:-1] + picture[2:, 1:-1] + picture[1:-1, :-2] + picture[1:-1, 2:]
    return float(np.log(np.abs(4 * centre - around).mean() + _LEAST))
