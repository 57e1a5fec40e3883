"""A map as a picture: a dot for each item, coloured by group, groups named beside or on it."""

from __future__ import annotations

import colorsys
from collections import Counter
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from indexer.drawing import GROUND, INK, SOFT, cut, font

_SIDE, _EDGE, _LEGEND, _SCALE = 1000, 30, 330, 2
_LINE = 24
_MOST = 36
"""Groups with a colour of their own; the smaller ones share the last."""
_GREY = (104, 113, 125)
_GOLDEN = 0.61803398875
_NAME = 220
_FEWEST = 0.02
"""Share of the items that a group needs to be named on the map."""


def map_chart(
    places: np.ndarray, groups: Sequence[str | None], *, named: bool = False
) -> Image.Image:
    """Draw a map as an RGB picture.

    Args:
        places: ``(n, 2)`` positions.
        groups: of each item; None for none.
        named: whether large groups are named where they lie, beside the legend.
    """
    counts = Counter(group for group in groups if group)
    order = [name for name, _ in counts.most_common(_MOST)]
    colours = {name: _colour(number) for number, name in enumerate(order)}
    wide = Image.new("RGB", ((_SIDE + _LEGEND) * _SCALE, _SIDE * _SCALE), GROUND)
    at = _pixels(places) * _SCALE
    draw = ImageDraw.Draw(wide)
    radius = max(1.0, min(9.0, 220 / np.sqrt(max(1, len(places))))) * _SCALE / 2
    # The largest groups first, so that the small ones are not hidden.
    ranks = [order.index(group) if group in colours else _MOST for group in groups]
    for row in np.argsort([-1 if rank == _MOST else rank for rank in ranks], kind="stable"):
        x, y = at[row]
        colour = colours.get(groups[row] or "", _GREY)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    picture = wide.resize((_SIDE + _LEGEND, _SIDE), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(picture)
    _legend(draw, order, counts, colours, unnamed=len(groups) - sum(counts.values()))
    if named:
        _names(draw, at / _SCALE, groups, order, counts)
    return picture


def _pixels(places: np.ndarray) -> np.ndarray:
    low, high = places.min(axis=0), places.max(axis=0)
    scale = (_SIDE - 2 * _EDGE) / max(float((high - low).max()), 1e-9)
    inside = (places - (low + high) / 2) * scale
    return np.asarray(inside * [1, -1] + _SIDE / 2)


def _legend(
    draw: ImageDraw.ImageDraw,
    order: Sequence[str],
    counts: Counter[str],
    colours: dict[str, tuple[int, int, int]],
    *,
    unnamed: int,
) -> None:
    x, y = _SIDE + 10, _EDGE
    for name in order:
        draw.ellipse((x, y + 4, x + 11, y + 15), fill=colours[name])
        text = cut(draw, f"{counts[name]:,}  {name}", _LEGEND - 40, 14)
        draw.text((x + 20, y), text, INK, font(14))
        y += _LINE
    others = len(counts) - len(order)
    if others:
        rest = sum(counts.values()) - sum(counts[name] for name in order)
        draw.text((x + 20, y), f"{rest:,}  in {others} more", SOFT, font(14))
        y += _LINE
    if unnamed:
        draw.text((x + 20, y), f"{unnamed:,}  in none", SOFT, font(14))


def _names(
    draw: ImageDraw.ImageDraw,
    at: np.ndarray,
    groups: Sequence[str | None],
    order: Sequence[str],
    counts: Counter[str],
) -> None:
    """Names at the middles of the large groups, left out where they would cover another."""
    taken: list[tuple[float, float, float, float]] = []
    for name in order:
        if counts[name] < _FEWEST * len(groups):
            continue
        x, y = np.median(at[[group == name for group in groups]], axis=0)
        text = cut(draw, name, _NAME, 15)
        width = draw.textlength(text, font=font(15))
        left = min(max(4.0, x - width / 2), _SIDE - width - 4)
        box = (left - 3, y - 11, left + width + 3, y + 11)
        if any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken):
            continue
        taken.append(box)
        draw.text((left, y - 9), text, INK, font(15), stroke_width=3, stroke_fill=GROUND)


def _colour(number: int) -> tuple[int, int, int]:
    """Hues a golden section apart, so that any two that follow each other differ."""
    hue = (0.55 + number * _GOLDEN) % 1
    light = 0.62 if number % 2 == 0 else 0.72
    red, green, blue = colorsys.hls_to_rgb(hue, light, 0.62)
    return round(red * 255), round(green * 255), round(blue * 255)
