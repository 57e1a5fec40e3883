"""Graded corruptions of a grey picture, for measuring whether a detector notices.

Five severities, after D. Hendrycks and T. Dietterich, Benchmarking neural network robustness to
common corruptions and perturbations, ICLR 2019 (arXiv 1903.12261), section 3: from barely visible
to a picture that nobody would report. Grey strengths are shares of the picture's own range (1st to
99th percentile), lengths shares of its shorter side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from scipy import ndimage

from indexer.errors import QueryError
from indexer.types import GreyImage
from ood.pixels import ends, grey
from ood.turns import inverted

SEVERITIES = range(1, 6)
UNGRADED = frozenset({"inversion"})
"""Kinds that are the same at each severity."""

_NOISE = (0.02, 0.06, 0.15, 0.35, 0.8)
_BLUR = (0.003, 0.008, 0.016, 0.03, 0.06)
_MOTION = (0.006, 0.015, 0.03, 0.06, 0.12)
_CONTRAST = (0.85, 0.65, 0.4, 0.2, 0.06)
_CROP = (0.95, 0.85, 0.7, 0.5, 0.3)
_DEGREES = (15, 30, 45, 90, 180)
_STREAKS = (0.04, 0.12, 0.3, 0.6, 1.0)
_METAL = (0.008, 0.015, 0.025, 0.04, 0.06)
_COUNTS = (3000, 400, 60, 10, 2)
_NARROW = 0.3
"""Pixels; a Gaussian this narrow hardly leaves its pixel, whatever the size of the picture."""
_SCATTER = 0.05
"""Share of the counts of the brightest pixels that the darkest get as well."""
_WAVES = 12

Wide = np.ndarray
"""float64 ``(h, w)``, not all one value."""


def corrupted(picture: np.ndarray, kind: str, severity: int, *, seed: int) -> GreyImage:
    """A copy of a picture that has lost something.

    The same seed draws the same place and the same pattern for all severities, so that they differ
    by strength alone. Values may leave the range of the picture. A picture that is all one value
    comes back as it is.

    Args:
        picture: ``(h, w)`` of any values.
        kind: one of `CORRUPTIONS`.
        severity: 1 to 5. Inversion is the same at each; rotation is by 15, 30, 45, 90 and
            180 degrees.
        seed: of all that is random, 0 or more.

    Returns:
        float32 ``(h, w)``.

    Raises:
        QueryError: no grey picture, or a kind or a severity that there is not.
    """
    if kind not in CORRUPTIONS:
        raise QueryError(f"no corruption {kind!r}; there are {', '.join(CORRUPTIONS)}")
    if severity not in SEVERITIES:
        raise QueryError(f"severity is 1, 2, 3, 4 or 5, not {severity}")
    grey(picture)
    wide = np.array(picture, np.float64)
    if wide.min() < wide.max():
        wide = CORRUPTIONS[kind](wide, severity - 1, np.random.default_rng([seed, 83]))
    return wide.astype(np.float32)


def _noise(picture: Wide, level: int, rng: np.random.Generator) -> Wide:
    """Gaussian noise, as of electronics."""
    return picture + _NOISE[level] * _range(picture) * rng.standard_normal(picture.shape)


def _blur(picture: Wide, level: int, _: np.random.Generator) -> Wide:
    """Out of focus alike in all directions."""
    blurred: Wide = ndimage.gaussian_filter(picture, _width(picture, _BLUR[level]))
    return blurred


def _motion(picture: Wide, level: int, rng: np.random.Generator) -> Wide:
    """Moved along the rows or the columns while it was taken, longest about the middle."""
    along = int(rng.integers(2))
    moved: Wide = ndimage.gaussian_filter1d(picture, _width(picture, _MOTION[level]), axis=along)
    return moved


def _contrast(picture: Wide, level: int, _: np.random.Generator) -> Wide:
    """All values drawn towards the median."""
    middle = np.median(picture)
    drawn: Wide = middle + _CONTRAST[level] * (picture - middle)
    return drawn


def _crop(picture: Wide, level: int, rng: np.random.Generator) -> Wide:
    """A part of it, brought back to the same rows and columns."""
    share = _CROP[level]
    corner = rng.random(2) * (1 - share) * (np.array(picture.shape) - 1)
    cut: Wide = ndimage.affine_transform(picture, [share, share], corner, order=1, mode="nearest")
    return cut


def _inversion(picture: Wide, _: int, __: np.random.Generator) -> Wide:
    """Black for white."""
    return inverted(picture)


def _rotation(picture: Wide, level: int, _: np.random.Generator) -> Wide:
    """Turned to the left; corners that come in have the median of the outermost pixels."""
    rim = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    turned: Wide = ndimage.rotate(
        picture, _DEGREES[level], reshape=False, order=1, cval=float(np.median(rim))
    )
    return turned


def _streaks(picture: Wide, level: int, rng: np.random.Generator) -> Wide:
    """A piece of metal brighter than all else, bright and dark rays from it that fade outwards."""
    side = min(picture.shape)
    centre = rng.uniform(0.3, 0.7, 2) * picture.shape
    down = (np.arange(picture.shape[0]) + 0.5 - centre[0])[:, None] / side
    right = (np.arange(picture.shape[1]) + 0.5 - centre[1]) / side
    far, angle = np.hypot(down, right), np.arctan2(down, right)
    rays = np.zeros(picture.shape)
    for turns, phase in zip(
        rng.integers(3, 40, _WAVES), rng.uniform(0, 2 * np.pi, _WAVES), strict=True
    ):
        rays += np.cos(turns * angle + phase)
    rays *= np.exp(-2 * far) / np.abs(rays).max()
    _, high = ends(picture)
    # One pixel at least, the one that the centre lies in.
    metal = far <= max(_METAL[level], far.min())
    spread = _range(picture)
    return np.where(metal, high + spread, picture + _STREAKS[level] * spread * rays)


def _low_dose(picture: Wide, level: int, rng: np.random.Generator) -> Wide:
    """Poisson noise of falling counts; brighter pixels count more."""
    low, _ = ends(picture)
    spread, counts = _range(picture), _COUNTS[level]
    expected = counts * (np.maximum((picture - low) / spread, 0) + _SCATTER)
    return picture + spread * (rng.poisson(expected) - expected) / counts


def _width(picture: Wide, share: float) -> float:
    return _NARROW + share * float(min(picture.shape))


def _range(picture: Wide) -> float:
    low, high = ends(picture)
    return high - low


CORRUPTIONS: Mapping[str, Callable[[Wide, int, np.random.Generator], Wide]] = MappingProxyType(
    {
        "noise": _noise,
        "blur": _blur,
        "motion": _motion,
        "contrast": _contrast,
        "crop": _crop,
        "inversion": _inversion,
        "rotation": _rotation,
        "streaks": _streaks,
        "low_dose": _low_dose,
    }
)
"""How each kind is made, from the picture and how strong it is (0 to 4); see `corrupted`."""
