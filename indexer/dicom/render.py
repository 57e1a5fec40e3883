"""One way to show a frame to a person: thumbnails, contact sheets, later the page.

Order of PS3.3 C.11: modality values, then VOI LUT or window, then presentation (inversion).
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from indexer.types import GreyImage, ImagePixels, VolumePixels, Window

CT_WINDOW = Window(40.0, 400.0)
"""Soft tissue, used for a CT without a window of its own."""
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in the brightness of a colour: ITU-R BT.601."""
_SAMPLED = 1 << 18
"""Pixels looked at for percentiles; more changes nothing a person could see."""


def render_frame(pixels: ImagePixels, window: Window | None = None) -> np.ndarray:
    """Draw a frame as uint8, bright means bright: ``(h, w)`` grey or ``(h, w, 3)`` RGB.

    Args:
        pixels: the decoded frame.
        window: overrides the file's own window and VOI LUT.
    """
    if pixels.values.ndim == 3:
        return pixels.values
    shades = _shades(pixels, window)
    if pixels.inverted:
        shades = 1.0 - shades
    if pixels.padding is not None:
        shades = np.where(pixels.padding, 0.0, shades)
    return (shades * 255.0 + 0.5).astype(np.uint8)


def _shades(pixels: ImagePixels, window: Window | None) -> GreyImage:
    """Values mapped to 0..1, before inversion."""
    values = pixels.values
    if window is None and pixels.window is None and pixels.voi_lut is not None:
        first, table = pixels.voi_lut
        index = np.clip(values - first, 0, len(table) - 1).astype(np.intp)
        return table[index]
    chosen = window or pixels.window or (CT_WINDOW if pixels.modality == "CT" else None)
    if chosen is None:
        low, high = robust_range(values, pixels.padding)
        return np.clip((values - low) / (high - low), 0.0, 1.0)
    return apply_window(values, chosen)


def apply_window(values: GreyImage, window: Window) -> GreyImage:
    """VOI window to 0..1: LINEAR, LINEAR_EXACT and SIGMOID of PS3.3 C.11.2.1.2 and C.11.2.1.3."""
    center, width = window.center, window.width
    if window.function == "SIGMOID":
        exponent = np.clip(-4.0 * (values - center) / width, -60.0, 60.0)
        return (1.0 / (1.0 + np.exp(exponent))).astype(np.float32)
    if window.function == "LINEAR_EXACT" or width < 1:
        low, span = center - width / 2, width
    else:
        low, span = center - 0.5 - (width - 1) / 2, width - 1
    return np.clip((values - low) / max(span, 1e-6), 0.0, 1.0).astype(np.float32)


def robust_range(values: GreyImage, padding: np.ndarray | None) -> tuple[float, float]:
    """First and 99th percentile of the pixels that are image, at least a hair apart."""
    seen = values[~padding] if padding is not None else values.ravel()
    step = max(1, seen.size // _SAMPLED)
    low, high = np.percentile(seen[::step], (1.0, 99.0))
    if high <= low:
        low, high = float(seen.min()), float(seen.max())
    return float(low), float(max(high, low + 1e-6))


def middle_slice(volume: VolumePixels) -> ImagePixels:
    """The central slice of a volume as a frame."""
    return volume_slice(volume, len(volume.values) // 2)


def volume_slice(volume: VolumePixels, index: int) -> ImagePixels:
    """One slice of a volume as a frame, ``index`` zero-based."""
    values = volume.values[index].astype(np.float32)
    padding = None if volume.padding_value is None else values <= volume.padding_value
    if padding is not None and (padding.all() or not padding.any()):
        padding = None
    _, row, column = volume.spacing
    return ImagePixels(
        values=values,
        modality=volume.modality,
        body_part=volume.body_part,
        inverted=volume.inverted,
        window=volume.window,
        padding=padding,
        spacing=(row, column),
        aspect=row / column,
    )


def fit_square(picture: np.ndarray, aspect: float, size: int) -> Image.Image:
    """Resize to fit a square of ``size`` pixels, true to the pixel aspect ratio (P12)."""
    height, width = picture.shape[0] * aspect, float(picture.shape[1])
    scale = size / max(height, width)
    target = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = Image.fromarray(picture)
    return image.resize(target, Image.Resampling.LANCZOS, reducing_gap=2.0)


def thumbnail(pixels: ImagePixels | VolumePixels, size: int = 256) -> bytes:
    """A WebP picture of at most ``size`` pixels a side; of a volume, its middle slice."""
    frame = middle_slice(pixels) if isinstance(pixels, VolumePixels) else pixels
    out = io.BytesIO()
    fit_square(render_frame(frame), frame.aspect, size).save(out, "WEBP", quality=82, method=2)
    return out.getvalue()
