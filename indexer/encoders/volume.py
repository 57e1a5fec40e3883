"""What encoders of volumes share: refusing, turning, resampling, the box that is not air."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Shaped

from indexer.errors import UnsupportedInputError
from indexer.types import Pixels, VolumePixels

Volume = Shaped[np.ndarray, "depth height width"]
Resampled = Float32[np.ndarray, "depth height width"]
Places = Shaped[np.ndarray, " n"]
MIN_SLICES = 3


def straight_ct(pixels: Pixels) -> VolumePixels:
    """The pixels, if they are a CT volume whose voxels stand upright on each other.

    Raises:
        UnsupportedInputError: no CT volume, too few slices, sheared, or NaN.
    """
    if not isinstance(pixels, VolumePixels):
        raise UnsupportedInputError("an image, and it takes volumes")
    if pixels.modality not in ("CT", ""):
        raise UnsupportedInputError(f"modality {pixels.modality[:16]}, and it takes CT")
    if len(pixels.values) < MIN_SLICES:
        raise UnsupportedInputError(f"{len(pixels.values)} slices, and it takes {MIN_SLICES}")
    if pixels.sheared:
        raise UnsupportedInputError("a tilted gantry, and it takes straight volumes")
    if not np.isfinite(pixels.values).all():
        raise UnsupportedInputError("the pixels hold NaN or infinity")
    return pixels


def turned(pixels: VolumePixels) -> tuple[Volume, tuple[float, float, float]]:
    """The volume with axes towards superior, posterior and left, and its spacing so.

    Axes are exchanged and flipped, nothing is interpolated: an oblique scan keeps its obliqueness.
    """
    directions = np.array(pixels.orientation, np.float64).reshape(3, 3)
    # Rows: axes of the array; columns: left, posterior, superior. Wanted is the other order.
    towards = directions[:, ::-1]
    strength, order = np.abs(towards), [0, 0, 0]
    for _ in range(3):
        axis, wanted = np.unravel_index(np.argmax(strength), (3, 3))
        order[wanted] = int(axis)
        strength[axis, :] = strength[:, wanted] = -1
    values = np.transpose(pixels.values, order)
    back = [wanted for wanted, axis in enumerate(order) if towards[axis, wanted] < 0]
    spacing = tuple(float(pixels.spacing[axis]) for axis in order)
    return np.flip(values, tuple(back)), (spacing[0], spacing[1], spacing[2])


def resampled(values: Volume, spacing: Sequence[float], wanted: Sequence[float]) -> Resampled:
    """Linear interpolation to another spacing, axis by axis; the first voxel stays where it is."""
    for axis, (have, want) in enumerate(zip(spacing, wanted, strict=True)):
        count = values.shape[axis]
        # As many voxels as fit between the first centre and the last, rounded as MONAI does.
        places = np.arange(round((count - 1) * have / want + 1)) * (want / have)
        values = _interpolated(values, axis, places)
    return np.asarray(values, np.float32)


def stretched(values: Volume, shape: Sequence[int]) -> Resampled:
    """Linear interpolation to so many voxels an axis, which cover what the old ones covered."""
    for axis, (have, want) in enumerate(zip(values.shape, shape, strict=True)):
        places = (np.arange(want) + 0.5) * (have / want) - 0.5
        values = _interpolated(values, axis, places)
    return np.asarray(values, np.float32)


def _interpolated(values: Volume, axis: int, places: Places) -> Resampled:
    count = values.shape[axis]
    places = np.clip(places, 0, count - 1)
    lower = np.floor(places).astype(np.intp)
    upper = np.minimum(lower + 1, count - 1)
    shape = [1, 1, 1]
    shape[axis] = -1
    part = (places - lower).astype(np.float32).reshape(shape)
    low = np.take(values, lower, axis).astype(np.float32)
    found: Resampled = low + part * (np.take(values, upper, axis).astype(np.float32) - low)
    return found


def foreground(values: Volume, above: float) -> Volume:
    """The smallest box that holds all voxels above a value; empty where there are none."""
    inside = values > above
    box = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        found = np.flatnonzero(inside.any(axis=others))
        box.append(slice(found[0], found[-1] + 1) if len(found) else slice(0, 0))
    return np.ascontiguousarray(values[tuple(box)])
