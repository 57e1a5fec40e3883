"""Whether two pictures show the same: correlation of their pixels."""

from __future__ import annotations

import numpy as np
from PIL import Image

from indexer.errors import QueryError
from indexer.types import GreyImage

SIZE = 128
"""Rows and columns that both are brought to."""
_SHIFT = SIZE // 8
"""The largest shift that is looked for."""


def pixel_correlation(first: GreyImage, second: GreyImage) -> float:
    """Pearson correlation of two grey pictures after a shift is undone, in -1..1.

    Both are brought to `SIZE` rows and columns, whatever their proportions, so another size,
    brightness or contrast changes nothing. A shift of up to an eighth is found by phase correlation
    (Kuglin, Hines, Proc. IEEE Cybernetics and Society 1975, 163) and undone. An inverted copy has
    -1; a picture that is all one value has 0 with every other.

    Args:
        first: ``(height, width)`` of any values.
        second: the other.

    Raises:
        QueryError: not two dimensions, no pixels, or values that are not finite.
    """
    one, other = _small(first), _small(second)
    row, column = _shift(one, other)
    return max(_pearson(one, other), _pearson(*_overlap(one, other, row, column)), key=abs)


def _small(image: GreyImage) -> np.ndarray:
    if image.ndim != 2 or not image.size:
        raise QueryError(f"a grey picture is of shape (height, width), not {image.shape}")
    if not np.isfinite(image).all():
        raise QueryError("a grey picture holds NaN or infinite values")
    small = Image.fromarray(np.asarray(image, np.float32)).resize(
        (SIZE, SIZE), Image.Resampling.BILINEAR
    )
    return np.asarray(small, np.float64)


def _shift(one: np.ndarray, other: np.ndarray) -> tuple[int, int]:
    """Rows and columns by which ``other`` lies lower and further right."""
    # A window that fades at the edges: they would match themselves, at no shift.
    fade = np.outer(np.hanning(SIZE), np.hanning(SIZE))
    spectra = [np.fft.rfft2((image - image.mean()) * fade) for image in (one, other)]
    cross = np.conj(spectra[0]) * spectra[1]
    peaks = np.fft.irfft2(cross / np.maximum(np.abs(cross), np.finfo(float).tiny), (SIZE, SIZE))
    shifts = (np.arange(SIZE) + SIZE // 2) % SIZE - SIZE // 2
    allowed = np.abs(shifts) <= _SHIFT
    peaks = np.where(allowed[:, None] & allowed, np.abs(peaks), -1)
    row, column = np.unravel_index(int(peaks.argmax()), peaks.shape)
    return int(shifts[row]), int(shifts[column])


def _overlap(
    one: np.ndarray, other: np.ndarray, row: int, column: int
) -> tuple[np.ndarray, np.ndarray]:
    """The parts of both that show the same place."""
    rows, columns = SIZE - abs(row), SIZE - abs(column)
    mine = one[max(-row, 0) :, max(-column, 0) :][:rows, :columns]
    theirs = other[max(row, 0) :, max(column, 0) :][:rows, :columns]
    return mine, theirs


def _pearson(one: np.ndarray, other: np.ndarray) -> float:
    mine, theirs = one - one.mean(), other - other.mean()
    lengths = float(np.linalg.norm(mine) * np.linalg.norm(theirs))
    scale = max(float(np.abs(one).max() * np.abs(other).max()), np.finfo(float).tiny)
    if lengths <= 1e-9 * scale:
        return 0.0
    return float(np.clip((mine * theirs).sum() / lengths, -1, 1))
