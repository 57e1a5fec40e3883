"""Grey pictures that are taken: looked at, and between which values they lie."""

from __future__ import annotations

import numpy as np

from indexer.errors import QueryError

_TAILS = (1, 99)


def grey(picture: np.ndarray) -> None:
    """Raise QueryError where an array is no grey picture ``(h, w)`` of finite numbers."""
    if picture.ndim != 2 or not picture.size:
        raise QueryError(
            f"a grey picture is of shape (height, width), not {picture.shape}: "
            "hand in one slice, and of colours their brightness"
        )
    if picture.dtype.kind not in "iuf":
        raise QueryError(f"a grey picture holds numbers, not {picture.dtype}")
    if not np.isfinite(picture).all():
        raise QueryError("a grey picture holds NaN or infinite values: fill them before")


def ends(picture: np.ndarray) -> tuple[float, float]:
    """The 1st and 99th percentile of the values; the lowest and highest where these are equal."""
    low, high = np.percentile(picture, _TAILS)
    if low == high:
        low, high = picture.min(), picture.max()
    return float(low), float(high)
