"""Bright letters that were drawn into a picture."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from indexer.types import GreyImage
from ood.pixels import ends

_TALLEST, _SMALLEST = 0.08, 5
_BRIGHTER = 0.35
_WIDEST, _NARROWEST = 1.6, 0.08
_FILLED = (0.2, 0.95)
_ALIKE, _LEVEL, _GAP = 1.4, 0.3, 1.2
_MOST = 0.03
"""Of all marks; where marks are everywhere, some stand in rows by chance."""

Boxes = Float64[np.ndarray, "marks 4"]
"""Top, left, height, width of each mark, in pixels."""


def letters_in_rows(picture: GreyImage, least: int) -> int:
    """How many marks stand in rows of at least so many, as letters do.

    A mark is brighter than all that surrounds it by a third of the range (white top-hat: Serra,
    Image Analysis and Mathematical Morphology, 1982, chapter XII), 5 pixels or more but at most
    8 % of the shorter side tall, and compact. Marks of a row are of about one height, on one level
    and close together. Text that runs upwards is not found, nor dark text, nor letters that touch,
    nor a few letters among hundreds of other marks.

    Args:
        picture: ``(h, w)``.
        least: marks of a row.
    """
    tallest = int(_TALLEST * min(picture.shape))
    if tallest < _SMALLEST:
        return 0
    marks = _marks(picture, tallest)
    if len(marks) < least:
        return 0
    sizes = _row_sizes(marks)
    count = int(sizes[sizes >= least].sum())
    return count if count >= _MOST * len(marks) else 0


def _marks(picture: GreyImage, tallest: int) -> Boxes:
    low, high = ends(picture)
    opened = ndimage.grey_opening(picture, size=(tallest + 1, tallest + 1))
    labels, _ = ndimage.label(picture - opened > _BRIGHTER * (high - low), np.ones((3, 3)))
    areas = np.bincount(labels.ravel())[1:]
    found = [
        (down.start, right.start, down.stop - down.start, right.stop - right.start)
        for down, right in ndimage.find_objects(labels)
    ]
    boxes = np.array(found, np.float64).reshape(-1, 4)
    tall, wide = boxes[:, 2], boxes[:, 3]
    filled = areas / (tall * wide)
    fits = (tall >= _SMALLEST) & (tall <= tallest)
    fits &= (wide <= _WIDEST * tall) & (wide >= _NARROWEST * tall)
    # Thin strokes fill a part of their box, only an I fills it all.
    fits &= (filled >= _FILLED[0]) & ((filled <= _FILLED[1]) | (wide < 0.4 * tall))
    return boxes[fits]


def _row_sizes(marks: Boxes) -> np.ndarray:
    """Number of marks of each row."""
    top, left, tall, wide = marks.T
    # Letters stand on one line, so their lower ends are compared.
    foot, middle = top + tall, left + wide / 2
    reach = tall.max() * (_GAP + _WIDEST)
    first, second = cKDTree(np.stack([foot, middle], 1)).query_pairs(reach, output_type="ndarray").T
    small, large = np.minimum(tall[first], tall[second]), np.maximum(tall[first], tall[second])
    gap = np.abs(middle[first] - middle[second]) - (wide[first] + wide[second]) / 2
    near = (large <= _ALIKE * small) & (gap <= _GAP * large)
    near &= np.abs(foot[first] - foot[second]) <= _LEVEL * small
    links = coo_array((near[near], (first[near], second[near])), (len(marks), len(marks)))
    _, row = connected_components(links, directed=False)
    return np.bincount(row)
