"""Where two pictures are alike, and what is alike to a part of one: arithmetic on patch vectors.

Patch vectors of one picture share most of their direction, and what differs lies along a few axes
that every picture has (bright against dark, edge against even ground): compared as they are,
everything is like everything. So the mean over the places is taken away, and what is common along
an axis is divided by its spread (whitening, with shrinkage), as exemplars were made into detectors
by Hariharan, Malik and Ramanan (ECCV 2012). What is left of an even ground is short and points
anywhere; vectors shorter than the usual one (root of the mean square) count for as much less.
Values are therefore cosines of what is particular, and lower where little is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from jaxtyping import Float32

from indexer.encoders.contract import Encoder, PatchEncoder
from indexer.errors import QueryError
from indexer.types import Box, Embedding, Frame, Prepared

Grid = Float32[np.ndarray, "rows columns dim"]
Map = Float32[np.ndarray, "rows columns"]
SCALES = (0.7, 1.0, 1.4)
"""Sides of the windows that a region is compared with, to its own."""
SHRINKAGE = 0.1
"""Share of the mean spread that is added along every axis before it is divided by."""
LEAST_LENGTH = 0.5
"""Of a window's mean: a shorter one, of places that contradict each other, counts for less."""
_FLAT = 1e-3
_TINY = 1e-9


@dataclass(frozen=True)
class Whitening:
    """What is particular in patch vectors: without their mean, common axes made weak.

    Attributes:
        mean: ``(dim,)``.
        axes: ``(dim, dim)``, by which vectors are multiplied.
        usual: length of a usual vector after that.
    """

    mean: np.ndarray
    axes: np.ndarray
    usual: float

    @classmethod
    def of(cls, vectors: np.ndarray) -> Whitening:
        """Of the places ``(n, dim)`` of one picture, or of those that are compared."""
        mean = vectors.mean(axis=0)
        rest = (vectors - mean).astype(np.float64)
        spread, axes = np.linalg.eigh(rest.T @ rest / len(rest))
        spread = np.maximum(spread, 0)
        axes = axes / np.sqrt(spread + SHRINKAGE * max(float(spread.mean()), _TINY))
        white = rest @ axes
        usual = max(float(np.sqrt(np.mean(np.sum(white**2, axis=-1)))), _TINY)
        return cls(mean, axes.astype(np.float32), usual)

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """Of length one where there is as much as usual, shorter where there is less."""
        white = (vectors - self.mean) @ self.axes
        lengths = np.linalg.norm(white, axis=-1, keepdims=True)
        return np.asarray(white / np.maximum(lengths, self.usual), np.float32)


@dataclass(frozen=True)
class Window:
    """The part of a picture that is most like a region.

    Attributes:
        score: cosine of what is particular in both, in [-1, 1].
        box: in pixels of the frame, not reaching beyond it.
        picture: which of the pictures prepared of the item.
    """

    score: float
    box: Box
    picture: int


def patches_from(encoder: Encoder) -> PatchEncoder:
    """The encoder, if it tells the places of a picture apart.

    Raises:
        QueryError: it does not.
    """
    if not encoder.spec.has_patches:
        raise QueryError(
            f"'{encoder.spec.name}' does not tell the places of a picture apart; take an encoder "
            "with regions (syntopy models list)"
        )
    return cast(PatchEncoder, encoder)


def seen_pictures(encoder: PatchEncoder, prepared: Prepared) -> dict[int, Prepared]:
    """The single pictures of a prepared input that are not empty, by their place among all."""
    pictures = enumerate(encoder.pictures(prepared))
    return {place: picture for place, picture in pictures if float(np.ptp(picture)) >= _FLAT}


def region_map(encoder: PatchEncoder, query: Prepared, hit: Prepared) -> tuple[Map, Map]:
    """For each place of either picture how like it the most similar place of the other is.

    Args:
        encoder: that prepared both.
        query: a single picture, see `PatchEncoder.pictures`.
        hit: another.

    Returns:
        Two float32 maps of ``(rows, columns)`` places, values in [-1, 1].
    """
    one, other = encoder.embed_patches([query, hit])
    particular = Whitening.of(np.concatenate([_flat(one), _flat(other)]))
    likeness = _flat(particular(one)) @ _flat(particular(other)).T
    return (
        likeness.max(axis=1).reshape(one.shape[:2]),
        likeness.max(axis=0).reshape(other.shape[:2]),
    )


def region_vector(
    encoder: PatchEncoder, prepared: Prepared, box: Box, frame: Frame, *, picture: int = 0
) -> Embedding:
    """A part of a picture as a unit vector: the mean of its places' unit vectors, normalised.

    Args:
        encoder: that prepared the picture.
        prepared: of the image or volume.
        box: in pixels of the frame.
        frame: size of the image, or of the slices.
        picture: which of the pictures in ``prepared``.

    Raises:
        QueryError: the box lies outside of the frame, or of what the encoder sees of it.
    """
    (grid,) = encoder.embed_patches([_picture(encoder, prepared, picture)])
    rows, columns = places_of(encoder, grid.shape[:2], box, frame)
    vectors = _flat(grid[rows, columns])
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), _TINY)
    return _unit((vectors / lengths).mean(axis=0))


class RegionMatcher:
    """Compares a part of one picture with the parts of others.

    Args:
        encoder: that prepares all of them.
        prepared, box, frame, picture: as of `region_vector`.

    Raises:
        QueryError: as `region_vector`.
    """

    def __init__(
        self,
        encoder: PatchEncoder,
        prepared: Prepared,
        box: Box,
        frame: Frame,
        *,
        picture: int = 0,
    ) -> None:
        self._encoder = encoder
        (grid,) = encoder.embed_patches([_picture(encoder, prepared, picture)])
        rows, columns = places_of(encoder, grid.shape[:2], box, frame)
        self._particular = Whitening.of(_flat(grid))
        part = self._particular(grid)[rows, columns]
        self._size = part.shape[:2]
        self._region = _unit(_flat(part).mean(axis=0))

    def best(self, prepared: Prepared, frame: Frame) -> Window | None:
        """The window of an image, or of all slices of a volume, that is most like the region.

        Windows have the proportions of the region and three sizes, in places of the encoder's
        grid; each is the mean over its places. None where every picture is empty.
        """
        placement = self._encoder.placement(frame)
        best: Window | None = None
        for place, picture in seen_pictures(self._encoder, prepared).items():
            (grid,) = self._encoder.embed_patches([picture])
            cell = (placement.size[0] / grid.shape[0], placement.size[1] / grid.shape[1])
            for row, column, size, score in self._windows(self._particular(grid)):
                if best is None or score > best.score:
                    area = (
                        column * cell[1],
                        row * cell[0],
                        size[1] * cell[1],
                        size[0] * cell[0],
                    )
                    best = Window(score, within(placement.to_frame(area), frame), place)
        return best

    def _windows(self, grid: Grid) -> Iterator[tuple[int, int, tuple[int, int], float]]:
        """Of each size the best: row and column where it begins, its size, its cosine."""
        sums = np.pad(grid, ((1, 0), (1, 0), (0, 0))).cumsum(axis=0).cumsum(axis=1)
        for size in self._sizes(grid.shape[:2]):
            high, wide = size
            total = (
                sums[high:, wide:]
                - sums[:-high, wide:]
                - sums[high:, :-wide]
                + sums[:-high, :-wide]
            ) / (high * wide)
            lengths = np.linalg.norm(total, axis=-1)
            # As of single places: a window with little in it counts for less.
            cosines = total @ self._region / np.maximum(lengths, LEAST_LENGTH)
            row, column = np.unravel_index(int(cosines.argmax()), cosines.shape)
            yield int(row), int(column), size, float(cosines[row, column])

    def _sizes(self, most: Sequence[int]) -> list[tuple[int, int]]:
        sizes = {
            (_clip(self._size[0] * scale, most[0]), _clip(self._size[1] * scale, most[1]))
            for scale in SCALES
        }
        return sorted(sizes)


def places_of(
    encoder: PatchEncoder, grid: tuple[int, int], box: Box, frame: Frame
) -> tuple[slice, slice]:
    """Rows and columns of the grid that a box of the frame covers, at least one of each.

    Raises:
        QueryError: the box lies outside of the frame, or of what the encoder sees of it.
    """
    x, y, width, height = box
    if not (np.isfinite(box).all() and width > 0 and height > 0):
        raise QueryError("a region is left edge, top edge, width and height, the last two above 0")
    if x < 0 or y < 0 or x + width > frame.columns or y + height > frame.rows:
        raise QueryError(
            f"the region {x:g},{y:g},{width:g},{height:g} reaches beyond the image of "
            f"{frame.columns} x {frame.rows} pixels"
        )
    placement = encoder.placement(frame)
    left, top, wide, high = placement.to_picture(box)
    found = [
        _covered(start, length, size, count)
        for start, length, size, count in (
            (top, high, placement.size[0], grid[0]),
            (left, wide, placement.size[1], grid[1]),
        )
    ]
    rows, columns = found
    if rows is None or columns is None:
        raise QueryError("the region lies where the preparation of this encoder cuts the image off")
    return rows, columns


def _covered(start: float, length: float, size: int, count: int) -> slice | None:
    """Places whose middle is covered; else the one that the middle of the box lies in."""
    cell = size / count
    middle = (start + length / 2) / cell
    if not 0 <= middle < count:
        return None
    first, last = np.ceil(start / cell - 0.5), np.ceil((start + length) / cell - 0.5)
    first, last = max(int(first), 0), min(int(last), count)
    return slice(first, last) if last > first else slice(int(middle), int(middle) + 1)


def within(box: Box, frame: Frame) -> Box:
    """A box cut off at the edges of the frame."""
    x, y, width, height = box
    left, top = max(x, 0.0), max(y, 0.0)
    right, bottom = min(x + width, float(frame.columns)), min(y + height, float(frame.rows))
    return left, top, max(right - left, 0.0), max(bottom - top, 0.0)


def _picture(encoder: PatchEncoder, prepared: Prepared, number: int) -> Prepared:
    pictures = encoder.pictures(prepared)
    if not 0 <= number < len(pictures):
        raise QueryError(f"there is no picture {number + 1} of {len(pictures)}")
    return pictures[number]


def _flat(grid: np.ndarray) -> np.ndarray:
    return grid.reshape(-1, grid.shape[-1])


def _unit(vector: np.ndarray) -> Embedding:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), _TINY), np.float32)


def _clip(value: float, most: int) -> int:
    return min(max(round(value), 1), most)
