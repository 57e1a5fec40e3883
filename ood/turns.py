"""Copies of a picture that undo a common mistake of its orientation or its grey scale.

A copy that lies nearer to the reference than the picture itself tells what is wrong with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from indexer.errors import QueryError
from ood.pixels import grey


def mirrored(picture: np.ndarray) -> np.ndarray:
    """The left column becomes the right one."""
    return _flipped(picture, 1)


def upside_down(picture: np.ndarray) -> np.ndarray:
    """The top row becomes the bottom one; left stays left."""
    return _flipped(picture, 0)


def inverted(picture: np.ndarray) -> np.ndarray:
    """Black for white: the lowest value becomes the highest."""
    grey(picture)
    # Whole numbers that overflow here come back by the second step.
    turned: np.ndarray = picture.min() + (picture.max() - picture)
    return turned


def _flipped(picture: np.ndarray, axis: int) -> np.ndarray:
    grey(picture)
    return np.flip(picture, axis).copy()


def _quarters(count: int) -> Callable[[np.ndarray], np.ndarray]:
    """Turn by so many right angles to the left."""

    def turn(picture: np.ndarray) -> np.ndarray:
        grey(picture)
        return np.rot90(picture, count).copy()

    return turn


TURNS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = MappingProxyType(
    {
        "mirrored left to right": mirrored,
        "upside down": upside_down,
        "turned by 90 degrees to the left": _quarters(1),
        "turned by 90 degrees to the right": _quarters(3),
        "turned by 180 degrees": _quarters(2),
        "inverted in its grey scale": inverted,
    }
)
"""What is done to a grey picture ``(h, w)`` of numbers, by name.

Each gives a new array of the same dtype, ``(w, h)`` of a quarter turn, and raises QueryError for
what is no grey picture.
"""


def best_turn(score: float, copies: Mapping[str, float], margin: float) -> str | None:
    """The copy that is less unlike the reference than the picture itself, by a margin.

    Args:
        score: of the picture as it is; higher is more unlike.
        copies: score of each copy, by the name of what was done.
        margin: by how much a copy has to be lower, in the units of the scores: one interquartile
            range of the scores of the reference, for instance.

    Returns:
        The name of the lowest, the first of equals; None where no copy is lower by more than the
        margin.

    Raises:
        QueryError: a score is NaN or infinite, or the margin is negative.
    """
    for name, value in {"the picture": score, **copies}.items():
        if not math.isfinite(value):
            raise QueryError(f"the score of {name!r} is {value}: scores are finite numbers")
    if not (margin >= 0 and math.isfinite(margin)):
        raise QueryError(f"margin is a finite number of 0 or more, not {margin}")
    if not copies:
        return None
    nearest = min(copies, key=lambda each: copies[each])
    return nearest if score - copies[nearest] > margin else None
