"""Figures over windows as lines with their intervals, drawn with Pillow as the sheets are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image, ImageDraw

from indexer.drawing import ACCENT, GROUND, INK, SOFT, WARN, cut, font

_PANEL, _GRID, _FAINT = (22, 26, 33), (44, 51, 61), (104, 113, 125)
_COLOURS = (
    (255, 142, 110), (150, 220, 160), (226, 150, 220), (240, 214, 120), (150, 160, 255),
    (120, 220, 214), (208, 170, 130), (190, 196, 204),
)  # fmt: skip
_WIDTH, _EDGE, _GAP = 1480, 40, 22
_HIGH, _ROW, _AXIS = 190, 290, 46
_SCALE = 2
_FEW = 60
"""Windows that have room for dots and ends of intervals."""

Values = Sequence[float | None]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Line:
    """A figure of each window, None where there is none; ``low`` and ``high`` are its interval."""

    values: Values
    low: Values = ()
    high: Values = ()


@dataclass(frozen=True)
class Plot:
    """One panel.

    Attributes:
        title: heading of it.
        whole: of all.
        groups: of each group, in one order over all panels.
        limits: of the whole: how far to both sides of 0; empty for none.
        mark: a value that is expected, None for none.
        alarms: windows in which the whole is beyond its limits.
        percent: whether figures are shares.
    """

    title: str
    whole: Line
    groups: Sequence[Line] = ()
    limits: Sequence[float] = ()
    mark: float | None = None
    alarms: Sequence[int] = field(default_factory=tuple)
    percent: bool = False


@dataclass(frozen=True)
class _Frame:
    """Where a panel lies and what values it spans."""

    left: float
    top: float
    right: float
    bottom: float
    low: float
    high: float
    count: int

    def x(self, at: float) -> float:
        if self.count == 1:
            return (self.left + self.right) / 2
        return self.left + (self.right - self.left) * at / (self.count - 1)

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.bottom - (self.bottom - self.top) * min(max(share, 0.0), 1.0)


def drift_chart(
    title: str,
    lines: Sequence[str],
    windows: Sequence[str],
    rows: Sequence[tuple[str, Sequence[Plot]]],
    groups: Sequence[str] = (),
) -> Image.Image:
    """Draw rows of panels as one RGB picture, 1480 wide.

    Args:
        title: heading, which is broken into two lines where it is long.
        lines: small lines under it, cut to the width.
        windows: names of the windows, short.
        rows: a name and its panels, as many in each row.
        groups: names, in the order of `Plot.groups`.
    """
    heads = _broken(title, 24, _WIDTH - 2 * _EDGE)
    top = _EDGE + 34 * len(heads) + 24 * len(lines) + 52
    picture = Image.new("RGB", (_WIDTH, top + _ROW * len(rows) + 8), GROUND)
    # Lines are drawn large and made smaller, which smooths them; letters are drawn after that.
    wide = picture.resize((picture.width * _SCALE, picture.height * _SCALE))
    strokes = ImageDraw.Draw(wide, "RGBA")
    frames = [
        (name, plot, _frame(plot, top + _ROW * row, column, len(plots), len(windows)))
        for row, (name, plots) in enumerate(rows)
        for column, plot in enumerate(plots)
    ]
    for _, plot, frame in frames:
        _draw(strokes, plot, frame)
    picture = wide.resize(picture.size, Image.Resampling.LANCZOS)
    texts = ImageDraw.Draw(picture)
    y = _EDGE - 8
    for head in heads:
        texts.text((_EDGE, y), head, INK, font(24))
        y += 34
    for line in lines:
        texts.text((_EDGE, y), cut(texts, line, _WIDTH - 2 * _EDGE, 15), SOFT, font(15))
        y += 24
    _legend(texts, y + 10, groups)
    for name, plot, frame in frames:
        _words(texts, name, plot, frame, windows)
    return picture


def _broken(text: str, size: int, width: int) -> list[str]:
    """A text in at most two lines; the second is cut."""
    draw = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    words, first = text.split(), ""
    while words and draw.textlength(f"{first} {words[0]}", font=font(size)) <= width:
        first = f"{first} {words.pop(0)}".strip()
    return [first, cut(draw, " ".join(words), width, size)] if words else [first]


def _frame(plot: Plot, top: float, column: int, columns: int, count: int) -> _Frame:
    room = (_WIDTH - 2 * _EDGE - (columns - 1) * _GAP) / columns
    left = _EDGE + column * (room + _GAP)
    low, high = _span(plot)
    return _Frame(
        left + _AXIS, top + 44, left + room - 14, top + 44 + _HIGH, low, high, max(count, 1)
    )


def _span(plot: Plot) -> tuple[float, float]:
    values = [
        value for line in (plot.whole, *plot.groups) for value in line.values if value is not None
    ]
    values += [v for part in (plot.whole.low, plot.whole.high) for v in part if v is not None]
    values += [*plot.limits, *(-each for each in plot.limits)]
    values += [plot.mark] if plot.mark is not None else []
    if plot.percent:
        return 0.0, max(0.1, min(1.0, 1.08 * max(values, default=0.1)))
    reach = 1.08 * max((abs(value) for value in values), default=0.0)
    return -max(reach, 1.0), max(reach, 1.0)


def _draw(draw: ImageDraw.ImageDraw, plot: Plot, frame: _Frame) -> None:
    box = (frame.left - _AXIS, frame.top - 40, frame.right + 14, frame.bottom + 38)
    draw.rounded_rectangle(_scaled(box), 8 * _SCALE, _PANEL)
    for value in _ticks(frame):
        strong = value == 0 and not plot.percent
        _stroke(draw, [(frame.left, frame.y(value)), (frame.right, frame.y(value))],
                _FAINT if strong else _GRID, 1)  # fmt: skip
    half = (frame.right - frame.left) / max(frame.count - 1, 1) / 2
    for first, last in _runs(plot.alarms):
        left, right = max(frame.x(first) - half, frame.left), min(frame.x(last) + half, frame.right)
        draw.rectangle(_scaled((left, frame.top, right, frame.bottom)), (*WARN, 34))
    if plot.mark is not None:
        _stroke(
            draw, [(frame.left, frame.y(plot.mark)), (frame.right, frame.y(plot.mark))], WARN, 1
        )
    for side in (1, -1):
        _path(draw, [side * each for each in plot.limits], frame, WARN, 1)
    for number, line in enumerate(plot.groups):
        _path(draw, line.values, frame, _COLOURS[number % len(_COLOURS)], 1.5)
    _band(draw, plot.whole, frame)
    _path(draw, plot.whole.values, frame, ACCENT, 2.5, dots=True)


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of numbers that follow each other."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def _band(draw: ImageDraw.ImageDraw, line: Line, frame: _Frame) -> None:
    """Intervals, with ends where there is room for them."""
    few = frame.count <= _FEW
    for at, (low, high) in enumerate(zip(line.low, line.high, strict=True)):
        if low is not None and high is not None:
            x, ends = frame.x(at), (frame.y(low), frame.y(high))
            _stroke(draw, [(x, ends[0]), (x, ends[1])], (*ACCENT, 120 if few else 50), 1.5)
            for end in ends if few else ():
                _stroke(draw, [(x - 3, end), (x + 3, end)], (*ACCENT, 120), 1.5)


def _path(
    draw: ImageDraw.ImageDraw,
    values: Values,
    frame: _Frame,
    colour: Colour,
    width: float,
    *,
    dots: bool = False,
) -> None:
    """Lines between neighbouring windows; a window without neighbours is a dot."""
    for at, value in enumerate(values):
        if value is None:
            continue
        here = (frame.x(at), frame.y(value))
        after = values[at + 1] if at + 1 < len(values) else None
        alone = after is None and (at == 0 or values[at - 1] is None)
        if after is not None:
            wide = width if frame.count <= _FEW else min(width, 1.5)
            _stroke(draw, [here, (frame.x(at + 1), frame.y(after))], colour, wide)
        if alone or (dots and frame.count <= _FEW):
            x, y = here
            draw.ellipse(_scaled((x - 3, y - 3, x + 3, y + 3)), colour)


def _stroke(
    draw: ImageDraw.ImageDraw,
    points: Sequence[tuple[float, float]],
    colour: tuple[int, ...],
    width: float,
) -> None:
    scaled = [(x * _SCALE, y * _SCALE) for x, y in points]
    draw.line(scaled, colour, round(width * _SCALE), joint="curve")


def _scaled(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    return box[0] * _SCALE, box[1] * _SCALE, box[2] * _SCALE, box[3] * _SCALE


def _ticks(frame: _Frame) -> list[float]:
    """Round values that the panel spans, six at most."""
    span = frame.high - frame.low
    step = next(
        size * 10.0**power for power in range(-3, 6) for size in (1, 2, 5)
        if span / (size * 10.0**power) <= 5.5
    )  # fmt: skip
    first, last = -int(-frame.low // step), int(frame.high // step)
    return [round(number * step, 6) for number in range(first, last + 1)]


def _words(
    draw: ImageDraw.ImageDraw, name: str, plot: Plot, frame: _Frame, windows: Sequence[str]
) -> None:
    left = frame.left - _AXIS + 12
    draw.text((left, frame.top - 34), name, INK, font(16))
    after = left + draw.textlength(name, font=font(16)) + 10
    room = int(frame.right - after)
    draw.text((after, frame.top - 33), cut(draw, plot.title, room, 15), SOFT, font(15))
    for value in _ticks(frame):
        label = f"{value:.0%}" if plot.percent else f"{value:+g}" if value else "0"
        draw.text((frame.left - 7, frame.y(value)), label, _FAINT, font(13), anchor="rm")
    wide = max((draw.textlength(each, font=font(13)) for each in windows), default=1.0) + 18
    shown = max(1, int((frame.right - frame.left) // wide))
    for at in range(0, len(windows), -(-len(windows) // shown)):
        half = draw.textlength(windows[at], font=font(13)) / 2
        x = min(max(frame.x(at), frame.left + half - 8), frame.right - half + 8)
        draw.text((x, frame.bottom + 18), windows[at], _FAINT, font(13), anchor="mm")


def _legend(draw: ImageDraw.ImageDraw, y: float, groups: Sequence[str]) -> None:
    marks = [("all, with 95 % intervals", ACCENT), ("limits of all, or what is expected", WARN)]
    marks += [(name, _COLOURS[at % len(_COLOURS)]) for at, name in enumerate(groups)]
    x, room = float(_EDGE), (_WIDTH - 2 * _EDGE) // max(len(marks), 1) - 50
    for name, colour in marks:
        label = cut(draw, name, max(room, 90), 14)
        draw.line((x, y + 9, x + 20, y + 9), colour, 3)
        draw.text((x + 28, y), label, INK, font(14))
        x += 52 + draw.textlength(label, font=font(14))
    said = "shaded: alarm, of all or of a group"
    if x + draw.textlength(said, font=font(14)) < _WIDTH - _EDGE:
        draw.text((_WIDTH - _EDGE, y), said, SOFT, font(14), anchor="ra")
