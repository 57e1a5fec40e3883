"""What all drawings share: soft shapes, smooth noise and the pose of one examination.

A drawing takes two random generators. ``patient`` decides the anatomy: a generator of the same
seed gives the same person again. ``rng`` decides what differs between two examinations of one
person: position, exposure, noise. Coordinates run from -1 to 1 across the longest side, ``x`` to
the right of the picture, ``y`` downwards and ``z`` from the feet to the head.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Field = npt.NDArray[np.floating[Any]]
"""Values over a grid of pixels or voxels; float32 always, though NumPy's stubs do not see that a
Python number times float32 stays float32."""


@dataclass(frozen=True)
class Pose:
    """How the patient lies in one examination.

    Attributes:
        shift: displacement along x and y, in units of half the longest side.
        scale: magnification.
        angle: rotation in the picture plane, in radians.
    """

    shift: tuple[float, float]
    scale: float
    angle: float

    @classmethod
    def draw(cls, rng: np.random.Generator, amount: float = 1.0) -> Pose:
        """Draw a pose as it varies from one examination to the next.

        Args:
            rng: generator of the examination.
            amount: factor on all deviations; 1 is what a careful radiographer achieves.

        Returns:
            A pose near the ideal one.
        """
        dx, dy, zoom, turn = (float(v) for v in rng.uniform(-1, 1, 4))
        return cls(
            (0.015 * amount * dx, 0.015 * amount * dy),
            1 + 0.015 * amount * zoom,
            0.015 * amount * turn,
        )


def plane(shape: tuple[int, int], pose: Pose) -> tuple[Field, Field]:
    """Anatomical coordinates of every pixel.

    Args:
        shape: rows and columns.
        pose: how the patient lies.

    Returns:
        ``x`` and ``y``, each float32 of ``shape``. The longest side spans -1..1.
    """
    rows, columns = shape
    longest = max(shape)
    y = ((np.arange(rows, dtype=np.float32) + 0.5) * 2 - rows) / longest
    x = ((np.arange(columns, dtype=np.float32) + 0.5) * 2 - columns) / longest
    x = x - np.float32(pose.shift[0])
    y = y - np.float32(pose.shift[1])
    cos, sin = math.cos(pose.angle) / pose.scale, math.sin(pose.angle) / pose.scale
    return (
        cos * x[None, :] + sin * y[:, None],
        cos * y[:, None] - sin * x[None, :],
    )


def soft(field: Field, width: float) -> Field:
    """A step from 0 (negative field) to 1 (positive field), ``width`` wide and smooth.

    Args:
        field: float32, any shape: a signed distance or anything that crosses 0 at the edge.
        width: from where it is 0 to where it is 1, in units of ``field``.

    Returns:
        float32 in 0..1 of the same shape.
    """
    # In place, as most of the time of a drawing goes here.
    step = field * np.float32(1 / width)
    step += np.float32(0.5)
    np.clip(step, 0, 1, out=step)
    result = step * step
    step *= np.float32(-2)
    step += np.float32(3)
    result *= step
    return result


def bump(field: Field, width: float) -> Field:
    """A smooth bell: 1 where ``field`` is 0, about 0.6 at ``width``.

    Args:
        field: float32, any shape.
        width: standard deviation in units of ``field``.

    Returns:
        float32 in 0..1 of the same shape.
    """
    scaled = field * np.float32(math.sqrt(0.5) / width)
    scaled *= scaled
    np.negative(scaled, out=scaled)
    np.exp(scaled, out=scaled)
    return scaled


def ellipse(
    x: Field, y: Field, centre: tuple[float, float], radii: tuple[float, float], angle: float = 0.0
) -> Field:
    """Approximate signed distance to an ellipse, positive inside.

    Args:
        x: float32 coordinates.
        y: float32 coordinates, broadcastable with ``x``.
        centre: of the ellipse, in the same units.
        radii: half axes, in the same units.
        angle: turns the ellipse clockwise in the picture, in radians.

    Returns:
        float32, 0 on the edge, the smaller radius at the centre.
    """
    cos, sin = math.cos(angle), math.sin(angle)
    dx, dy = x - np.float32(centre[0]), y - np.float32(centre[1])
    u = cos / radii[0] * dx + sin / radii[0] * dy
    v = cos / radii[1] * dy - sin / radii[1] * dx
    return _from_squares(u * u + v * v, None, min(radii))


def ellipsoid(
    space: tuple[Field, Field, Field],
    centre: tuple[float, float, float],
    radii: tuple[float, float, float],
    warp: Field | None = None,
) -> Field:
    """Approximate signed distance to an ellipsoid, positive inside.

    Args:
        space: x, y and z, float32, broadcastable to ``(slices, rows, columns)``.
        centre: in the units of ``space``.
        radii: half axes in the same units.
        warp: added to the relative radius, which makes the outline uneven.

    Returns:
        float32 of the broadcast shape, the smallest radius at the centre.
    """
    squares = [
        ((axis - np.float32(c)) * np.float32(1 / r)) ** 2
        for axis, c, r in zip(space, centre, radii, strict=True)
    ]
    return _from_squares(squares[0] + squares[1] + squares[2], warp, min(radii))


def _from_squares(squares: Field, warp: Field | None, radius: float) -> Field:
    """Distance to where the sum of ``squares`` is 1; the argument is used up."""
    distance = np.sqrt(squares, out=squares)
    if warp is not None:
        distance = distance - warp
    np.subtract(np.float32(1), distance, out=distance)
    distance *= np.float32(radius)
    return distance


def resize(field: Field, shape: tuple[int, ...]) -> Field:
    """Sample a field on a finer grid, linear between its values.

    Args:
        field: float32, any number of axes.
        shape: of the result.

    Returns:
        float32 of ``shape``.
    """
    for axis, size in enumerate(shape):
        count = field.shape[axis]
        if count == size:
            continue
        place = np.clip((np.arange(size) + 0.5) * (count / size) - 0.5, 0, count - 1)
        below = place.astype(np.intp)
        share = (place - below).astype(np.float32)
        share = share.reshape([-1 if a == axis else 1 for a in range(field.ndim)])
        first = field.take(below, axis)
        field = first + (field.take(np.minimum(below + 1, count - 1), axis) - first) * share
    return field


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, ...], cells: int | tuple[int, ...]
) -> Field:
    """Smooth random texture; the random draws do not depend on ``shape``.

    Args:
        rng: generator.
        shape: of the result.
        cells: random values along every axis (or one number for all): more means finer.

    Returns:
        float32 of ``shape``, mean near 0, standard deviation near 0.5.
    """
    counts = (cells,) * len(shape) if isinstance(cells, int) else cells
    coarse = rng.standard_normal(counts, dtype=np.float32)
    middle = tuple(min(n, 3 * c) for n, c in zip(shape, counts, strict=True))
    # A linear ramp between cells shows as a lattice: a blur of half a cell hides it.
    sigma = [0.5 * n / c if n > c else 0.0 for n, c in zip(middle, counts, strict=True)]
    blurred = ndimage.gaussian_filter(resize(coarse, middle), sigma, truncate=2.0)
    return resize(np.asarray(blurred, dtype=np.float32), shape)


def blend(base: Field, value: Field | float, share: Field) -> Field:
    """Replace ``base`` by ``value`` where ``share`` is 1, and mix in between."""
    mixed = value - base
    mixed = mixed * share
    mixed += base
    return mixed


def require_finding(finding: str, known: tuple[str, ...]) -> None:
    """Raise ValueError where ``finding`` is not one that the drawing knows."""
    if finding not in known:
        raise ValueError(f"unknown finding {finding!r}: expected one of {', '.join(known)}")
