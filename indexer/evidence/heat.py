"""Drawing where a picture is unlike a reference: as it is on the left, with heat on the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32
from PIL import Image, ImageDraw

from indexer.drawing import GROUND, INK, SOFT, WARN, cut, font, paste_picture, ramp
from indexer.types import RgbImage

Heat = Float32[np.ndarray, "height width"]
_COLOURS = np.array([(70, 40, 130), (200, 50, 110), (255, 130, 40), (255, 240, 150)], np.float32)
"""From as odd as some usual places to odder than all: violet, red, orange, light yellow."""
_STRONGEST = 0.72
_BEGINS = 1
"""Which level colour begins at: below it are nearly all places of usual pictures."""
_SIDE, _GAP, _HEAD, _FOOT, _BAR = 640, 20, 56, 118, 400


@dataclass(frozen=True)
class HeatMap:
    """Where a picture is unlike a reference.

    Attributes:
        picture: what is shown: an image as it is; of a volume a slice as the encoder sees it.
        oddness: for each pixel of it; NaN where the encoder does not look.
        over_frame: the same for each pixel of the frame as the service draws it.
        levels: shares of places of usual pictures, rising, and the oddness they do not reach; the
            last is of all that were looked at.
        item: its id; "" of what is in no library.
        study_instance_uid: of it.
        reference: name of what it is unlike.
        stratum: of the reference that it is compared with, in words.
        highest: oddness of the oddest place of all slices.
        p_value: share of usual pictures, this one counted in, with a place as odd.
        usual_pictures: how many those are.
        unlike_share: share of the places seen that are odder than 99 % of places of usual pictures
            of the stratum; of the slice that is shown.
        slice_number, slices: which slice of how many, from one; None of an image.
        encoder, notice: what looked, and what must be said about it.
        notes: what a reader should know, in sentences.
    """

    picture: RgbImage = field(repr=False)
    oddness: Heat = field(repr=False)
    over_frame: Heat = field(repr=False)
    levels: tuple[tuple[float, float], ...]
    item: str
    study_instance_uid: str
    reference: str
    stratum: str
    highest: float
    p_value: float
    usual_pictures: int
    unlike_share: float
    slice_number: int | None
    slices: int
    encoder: str
    notice: str
    notes: tuple[str, ...] = ()


def draw_heat(heat: HeatMap) -> Image.Image:
    """An RGB picture: what was looked at, and beside it the same under heat."""
    width, height = 2 * _SIDE + 3 * _GAP, _HEAD + _SIDE + _FOOT
    sheet = Image.new("RGB", (width, height), GROUND)
    draw = ImageDraw.Draw(sheet)
    slice_ = "" if heat.slice_number is None else f", slice {heat.slice_number}/{heat.slices}"
    unlike = f"Unlike {heat.reference}: {heat.stratum}"
    shown = (("Picture" + slice_, heat.picture), (unlike, heated(heat)))
    for number, (title, picture) in enumerate(shown):
        left = _GAP + number * (_SIDE + _GAP)
        draw.text((left, 16), cut(draw, title, _SIDE, 22), INK, font(22))
        paste_picture(sheet, (left, _HEAD), _SIDE, Image.fromarray(picture))
    top = _HEAD + _SIDE + 16
    _legend(sheet, draw, heat.levels, top)
    left = 2 * _GAP + _SIDE
    for line, (said, colour) in enumerate(_lines(heat)):
        draw.text((left, top - 2 + 24 * line), cut(draw, said, _SIDE, 15), colour, font(15))
    return sheet


def heated(heat: HeatMap) -> RgbImage:
    """The picture with colour where it is odd."""
    strength = _strength(heat.oddness, heat.levels)
    opacity = (_STRONGEST * np.minimum(1, 2 * strength))[..., None]
    mixed = heat.picture * (1 - opacity) + ramp(_COLOURS, strength) * opacity
    return np.asarray(np.rint(mixed), np.uint8)


def overlay(heat: HeatMap) -> Image.Image:
    """An RGBA picture with nothing but the colours, to be laid over the frame as it is drawn."""
    strength = _strength(heat.over_frame, heat.levels)
    colours = np.rint(ramp(_COLOURS, strength)).astype(np.uint8)
    opacity = np.rint(255 * np.minimum(1, 2 * strength)).astype(np.uint8)
    return Image.fromarray(np.dstack([colours, opacity]))


def _strength(oddness: Heat, levels: Sequence[tuple[float, float]]) -> np.ndarray:
    """0 where colour begins, 1 where all usual places are less odd; even steps from level to level.

    Steps are even because each level is about ten times as rare as the one before it.
    """
    values = [value for _, value in levels[_BEGINS:]]
    steps = np.linspace(0, 1, len(values))
    strength: np.ndarray = np.interp(np.nan_to_num(oddness, nan=-np.inf), values, steps)
    return strength


def _lines(heat: HeatMap) -> list[tuple[str, tuple[int, int, int]]]:
    odd = f"{heat.unlike_share:.1%} of it is odder than 99 % of places of usual pictures"
    usual = (
        f"a place as odd as its oddest: in {heat.p_value:.1%} of usual pictures "
        f"(of {heat.usual_pictures:,})"
    )
    lines = [(odd, INK), (usual, INK), (f"encoder: {heat.encoder}", SOFT)]
    return [*lines, (heat.notice, WARN)] if heat.notice else lines


def _legend(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, levels: Sequence[tuple[float, float]], top: int
) -> None:
    draw.text((_GAP, top - 2), "as odd as one in so many places of usual pictures", SOFT, font(15))
    bar = np.tile(ramp(_COLOURS, np.linspace(0, 1, _BAR)), (14, 1, 1))
    sheet.paste(Image.fromarray(np.rint(bar).astype(np.uint8)), (_GAP, top + 26))
    shares = [share for share, _ in levels[_BEGINS:]]
    for place, share in zip(np.linspace(0, _BAR - 1, len(shares)), shares, strict=True):
        x = _GAP + round(float(place))
        draw.line([(x, top + 26), (x, top + 46)], SOFT)
        said = f"1 in {round(1 / (1 - share)):,}" if share < 1 else "odder than all"
        anchor = "la" if x == _GAP else "ma"
        draw.text((x, top + 50), said, SOFT, font(14), anchor=anchor)
