"""Bars with their intervals, drawn with Pillow in the colours of the contact sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from indexer.evaluating.resampling import Measure

_GROUND, _TRACK, _GRID = (16, 19, 24), (25, 30, 37), (44, 51, 61)
_INK, _SOFT, _FAINT, _MARK = (232, 236, 240), (150, 160, 172), (104, 113, 125), (255, 190, 92)
_COLOURS = ((92, 200, 255), (150, 220, 160), (226, 150, 220), (240, 200, 110), (150, 160, 255))
_WIDTH, _EDGE, _NAMES, _FIGURES, _NOTES = 1480, 48, 280, 220, 210
_BAR, _BETWEEN, _AFTER_ROW = 16, 6, 16
_LINE, _PANEL = 30, 78
MOST_BARS = 400
"""A chart of more would not fit into memory; further rows are left out and counted."""


@dataclass(frozen=True)
class BarRow:
    """One bar for each series.

    Attributes:
        name: what it is of.
        bars: by series, within 0 to 1; None where there is none.
        mark: where chance lies, None if that is not told.
        note: at the right, such as how many; of a row without bars why.
    """

    name: str
    bars: tuple[Measure | None, ...]
    mark: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Panel:
    """Rows under a heading."""

    title: str
    rows: tuple[BarRow, ...]


def bar_chart(
    title: str, lines: Sequence[str], series: Sequence[str], panels: Sequence[Panel]
) -> Image.Image:
    """Draw panels below each other as one RGB picture, 1480 wide.

    Args:
        title: heading of all.
        lines: small lines under it, which are cut to the width.
        series: what the bars of a row are of, in their order.
        panels: what to draw.
    """
    panels = _fitting(panels)
    top = _EDGE + 46 + _LINE * len(lines) + (2 * _LINE if len(series) > 1 else _LINE)
    height = top + sum(_height(panel) for panel in panels) + _EDGE
    picture = Image.new("RGB", (_WIDTH, height), _GROUND)
    draw = ImageDraw.Draw(picture)
    draw.text((_EDGE, _EDGE - 6), _cut(draw, title, _WIDTH - 2 * _EDGE, 32), _INK, _font(32))
    y = _EDGE + 46
    for line in lines:
        draw.text((_EDGE, y), _cut(draw, line, _WIDTH - 2 * _EDGE, 17), _SOFT, _font(17))
        y += _LINE
    _legend(draw, y + 10, series)
    for panel in panels:
        _panel(draw, top, panel)
        top += _height(panel)
    return picture


def _fitting(panels: Sequence[Panel]) -> list[Panel]:
    """The panels with `MOST_BARS` bars at most."""
    left, kept = MOST_BARS, list[Panel]()
    for panel in panels:
        rows = panel.rows[: max(left, 0)]
        if len(rows) < len(panel.rows):
            note = f"{len(panel.rows) - len(rows)} further rows are in the table"
            rows = (*rows, BarRow("", (), note=note))
        kept.append(Panel(panel.title, rows))
        left -= sum(max(len(row.bars), 1) for row in rows)
    return kept


def _height(panel: Panel) -> int:
    return _PANEL + sum(_row_height(row) for row in panel.rows) + 18


def _row_height(row: BarRow) -> int:
    bars = max(len(row.bars), 1)
    return bars * _BAR + (bars - 1) * _BETWEEN + _AFTER_ROW


def _legend(draw: ImageDraw.ImageDraw, y: int, series: Sequence[str]) -> None:
    x = float(_EDGE)
    for number, name in enumerate(series if len(series) > 1 else ()):
        draw.rounded_rectangle((x, y + 4, x + 18, y + 16), 3, _COLOURS[number % len(_COLOURS)])
        draw.text((x + 28, y), name, _INK, _font(17))
        x += 60 + draw.textlength(name, _font(17))
    end = _WIDTH - _EDGE
    words = "line: 95 % interval, for other queries to this gallery   ·   amber: chance"
    draw.text((end - draw.textlength(words, _font(15)), y), words, _FAINT, _font(15))


def _panel(draw: ImageDraw.ImageDraw, top: int, panel: Panel) -> None:
    left, right = _EDGE + _NAMES, _WIDTH - _EDGE - _NOTES - _FIGURES
    draw.text((_EDGE, top + 14), panel.title, _INK, _font(21))
    first, last = top + _PANEL - 8, top + _height(panel) - 26
    for tick in range(5):
        x = left + (right - left) * tick // 4
        draw.line((x, first, x, last), _GRID, 1)
        label = f"{tick / 4:g}"
        draw.text((x - draw.textlength(label, _font(14)) / 2, first - 22), label, _FAINT, _font(14))
    y = top + _PANEL
    for row in panel.rows:
        _row(draw, y, row, (left, right))
        y += _row_height(row)


def _row(draw: ImageDraw.ImageDraw, y: int, row: BarRow, span: tuple[int, int]) -> None:
    left, right = span
    middle = y + (_row_height(row) - _AFTER_ROW) / 2
    name = _cut(draw, row.name, _NAMES - 20, 17)
    drawn = any(bar is not None for bar in row.bars)
    draw.text((_EDGE, middle), name, _INK if drawn else _FAINT, _font(17), anchor="lm")
    draw.text((_WIDTH - _EDGE, middle), row.note, _FAINT, _font(15), anchor="rm")
    for number, bar in enumerate(row.bars):
        place = y + number * (_BAR + _BETWEEN)
        draw.rounded_rectangle((left, place, right, place + _BAR), 4, _TRACK)
        if bar is not None:
            _bar(draw, place, bar, span, _COLOURS[number % len(_COLOURS)])
    if row.mark is not None and drawn:
        x = left + (right - left) * row.mark
        bottom = y + _row_height(row) - _AFTER_ROW
        draw.line((x, y - 4, x, bottom + 4), _MARK, 2)


def _bar(
    draw: ImageDraw.ImageDraw,
    y: int,
    bar: Measure,
    span: tuple[int, int],
    colour: tuple[int, int, int],
) -> None:
    left, right = span

    def place(value: float) -> float:
        return left + (right - left) * min(max(value, 0), 1)

    if place(bar.value) - left >= 1:
        draw.rounded_rectangle((left, y, place(bar.value), y + _BAR), 4, _mixed(colour))
    middle = y + _BAR / 2
    draw.line((place(bar.low), middle, place(bar.high), middle), colour, 2)
    for end in (bar.low, bar.high):
        draw.line((place(end), middle - 5, place(end), middle + 5), colour, 2)
    figure = f"{bar.value:.3f}"
    draw.text((right + 18, middle), figure, _INK, _font(16), anchor="lm")
    shown = f"{bar.low:.2f} to {bar.high:.2f}"
    draw.text((right + 18 + 64, middle), shown, _SOFT, _font(15), anchor="lm")


def _mixed(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    """Half of the way to the ground, so that the interval shows on the bar."""
    red, green, blue = ((ink + ground) // 2 for ink, ground in zip(colour, _GROUND, strict=True))
    return red, green, blue


def _cut(draw: ImageDraw.ImageDraw, text: str, width: int, size: int) -> str:
    text = " ".join(text[:200].split())
    while text and draw.textlength(text, font=_font(size)) > width:
        text = text[:-2].rstrip(" ·…") + "…"
    return text


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
