"""Where a frame comes to lie in the picture that an encoder prepared, and the way back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from indexer.types import Box, Frame


@dataclass(frozen=True)
class Placement:
    """A frame within a picture: ``place in picture = place in frame * scale + offset``.

    Each step of a preparation that moves pixels takes a placement and gives the next one.

    Attributes:
        size: rows and columns of the picture.
        scale: rows, columns of the picture to one of the frame.
        offset: row and column of the picture where the frame begins; negative where it is cut.
        aspect: height of a pixel of the picture divided by its width.
    """

    size: tuple[int, int]
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)
    aspect: float = 1.0

    @classmethod
    def of(cls, frame: Frame) -> Self:
        """The frame as it is, before any step."""
        return cls((frame.rows, frame.columns), aspect=frame.aspect)

    def resized(self, size: tuple[int, int]) -> Placement:
        """The picture brought to a size; its pixels count as square from then on."""
        by = (size[0] / self.size[0], size[1] / self.size[1])
        return replace(
            self,
            size=size,
            scale=(self.scale[0] * by[0], self.scale[1] * by[1]),
            offset=(self.offset[0] * by[0], self.offset[1] * by[1]),
            aspect=1.0,
        )

    def cropped(self, first: tuple[int, int], size: tuple[int, int]) -> Placement:
        """A window that begins at a row and a column; negative ones are borders put around."""
        offset = (self.offset[0] - first[0], self.offset[1] - first[1])
        return replace(self, size=size, offset=offset)

    def to_picture(self, box: Box) -> Box:
        """A box of the frame as a box of the picture; it may reach beyond it."""
        x, y, width, height = box
        (down, right), (top, left) = self.scale, self.offset
        return x * right + left, y * down + top, width * right, height * down

    def to_frame(self, box: Box) -> Box:
        """A box of the picture as a box of the frame; it may reach beyond it."""
        x, y, width, height = box
        (down, right), (top, left) = self.scale, self.offset
        return (x - left) / right, (y - top) / down, width / right, height / down
