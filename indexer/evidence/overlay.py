"""Drawing where two pictures are alike: side by side, the query left."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from indexer.drawing import GROUND, INK, SOFT, WARN, font, paste_picture, ramp
from indexer.evidence.matching import Likeness, Matching, Side
from indexer.types import RgbImage

_COLOURS = np.array([(38, 84, 124), (64, 150, 160), (240, 190, 96)], np.float32)
"""From little alike to much: blue, teal, amber."""
LOW, HIGH = 0.25, 0.8
"""Likeness at which colour begins, and at which it is full: the same for every picture."""
_STRONGEST = 0.55
_SIDE, _GAP, _HEAD, _FOOT = 640, 20, 56, 64


def draw_matching(matching: Matching) -> Image.Image:
    """An RGB picture of both, coloured where each is like something in the other."""
    width, height = 2 * _SIDE + 3 * _GAP, _HEAD + _SIDE + _FOOT
    sheet = Image.new("RGB", (width, height), GROUND)
    draw = ImageDraw.Draw(sheet)
    for number, (title, side) in enumerate((("Query", matching.query), ("Hit", matching.hit))):
        left = _GAP + number * (_SIDE + _GAP)
        draw.text((left, 16), title + _slice(side), INK, font(22))
        shown = Image.fromarray(coloured(side.picture, side.likeness))
        paste_picture(sheet, (left, _HEAD), _SIDE, shown)
    _legend(sheet, draw, _HEAD + _SIDE + 14)
    said = f"encoder: {matching.encoder}"
    draw.text((_GAP, _HEAD + _SIDE + 36), said, SOFT, font(15))
    if matching.notice:
        draw.text((_GAP + _SIDE, _HEAD + _SIDE + 36), matching.notice, WARN, font(15))
    return sheet


def coloured(picture: RgbImage, likeness: Likeness) -> RgbImage:
    """A picture with colour laid over it where it is like the other one."""
    strength = np.clip((np.nan_to_num(likeness, nan=-1.0) - LOW) / (HIGH - LOW), 0, 1)
    opacity = (_STRONGEST * strength)[..., None]
    mixed = picture * (1 - opacity) + ramp(_COLOURS, strength) * opacity
    return np.asarray(np.rint(mixed), np.uint8)


def _slice(side: Side) -> str:
    return "" if side.slice_number is None else f", slice {side.slice_number}/{side.slices}"


def _legend(sheet: Image.Image, draw: ImageDraw.ImageDraw, top: int) -> None:
    bar = np.tile(ramp(_COLOURS, np.linspace(0, 1, 160)), (10, 1, 1))
    sheet.paste(Image.fromarray(np.rint(bar).astype(np.uint8)), (_GAP, top + 4))
    said = f"how like the most similar place of the other picture: {LOW:g} to {HIGH:g} and more"
    draw.text((_GAP + 174, top), said, SOFT, font(15))
