"""A contact sheet: the query left, its neighbours right, score and tags under each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw

from indexer.drawing import (
    ACCENT,
    GROUND,
    INK,
    SOFT,
    WARN,
    cut,
    font,
    joined,
    paste_tile,
)
from indexer.searching.answers import QUERY, SearchAnswer
from indexer.types import Hit

_SIDE, _QUERY, _GAP, _TEXT = 224, 420, 20, 74
_COLUMNS = 5
MOST_TILES = 100
"""A sheet of all that a search can give would not fit into memory."""
MOST_PRIORS = _COLUMNS
"""The latest so many are drawn."""
_LANE = 40
"""Height of the heading over the priors."""


def contact_sheet(answer: SearchAnswer, thumbnails: Mapping[str, bytes]) -> Image.Image:
    """Draw an answer as an RGB picture.

    Args:
        answer: what `indexer.searching.search.search` gave; the first `MOST_TILES` hits are drawn.
        thumbnails: WebP pictures by item id.
    """
    shown, priors = answer.hits[:MOST_TILES], answer.priors[-MOST_PRIORS:]
    rows = max(2, -(-len(shown) // _COLUMNS))
    left = _QUERY + 2 * _GAP
    width = left + _COLUMNS * (_SIDE + _GAP) + _GAP
    row = _SIDE + _TEXT + _GAP
    height = 64 + rows * row + (_LANE + row if priors else 0) + 44
    sheet = Image.new("RGB", (width, height), GROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, 20), "Query", INK, font(24))
    title = f"{len(answer.hits)} nearest of {answer.candidates} candidates"
    draw.text((left + _GAP, 20), title, INK, font(24))
    own = thumbnails.get(answer.queries[0].item, b"") if answer.queries else b""
    paste_tile(sheet, (_GAP, 64), _QUERY, answer.query_thumbnail or own)
    _query(draw, answer)
    copies = Counter(copy.of for copy in answer.linked)
    for number, hit in enumerate(shown):
        place = (left + _GAP + number % _COLUMNS * (_SIDE + _GAP), 64 + number // _COLUMNS * row)
        marks = [f"+{hit.more}" if hit.more else "", f"={copies[hit.id]}" if copies[hit.id] else ""]
        paste_tile(sheet, place, _SIDE, thumbnails.get(hit.id, b""))
        _caption(draw, place, f"{number + 1}", hit, " ".join(filter(None, marks)))
    if priors:
        top = 64 + rows * row
        draw.text(
            (left + _GAP, top), "Other studies of the query's patient, by date", INK, font(20)
        )
        for number, hit in enumerate(priors):
            place = (left + _GAP + number * (_SIDE + _GAP), top + _LANE)
            paste_tile(sheet, place, _SIDE, thumbnails.get(hit.id, b""))
            _caption(draw, place, "", hit, hit.study_date or "no date")
    if answer.notice:
        draw.text((_GAP, height - 34), answer.notice, WARN, font(17))
    return sheet


def _query(draw: ImageDraw.ImageDraw, answer: SearchAnswer) -> None:
    y = 64 + _QUERY + 10
    for query in answer.queries[:1]:
        said = [query.modality, query.body_part, query.description]
        draw.text((_GAP, y), cut(draw, joined(said), _QUERY, 18), INK, font(18))
        draw.text((_GAP, y + 26), cut(draw, _labels(query.labels), _QUERY, 16), ACCENT, font(16))
    own = sum(copy.of == QUERY for copy in answer.linked)
    about = [
        f"encoder: {answer.encoder}" if answer.encoder else "",
        f"{len(answer.queries) - 1} more examples" if len(answer.queries) > 1 else "",
        f"{own} exact copies elsewhere" if own else "",
    ]
    draw.text((_GAP, y + 50), cut(draw, joined(about), _QUERY, 15), SOFT, font(15))


def _caption(
    draw: ImageDraw.ImageDraw, tile: tuple[int, int], number: str, hit: Hit, marks: str
) -> None:
    """Number, score, marks at the right, tags and labels under a tile."""
    x, y = tile[0], tile[1] + _SIDE + 6
    draw.text((x, y), number, SOFT, font(17))
    draw.text((x + 26 if number else x, y), f"{hit.score:.3f}", ACCENT, font(17))
    room = draw.textlength(marks, font=font(15))
    draw.text((x + _SIDE - room, y), marks, SOFT, font(15))
    age = f"{hit.age_years:.0f}y" if hit.age_years is not None else ""
    slice_ = f"slice {hit.match.number}/{hit.match.of}" if hit.match else ""
    tags = joined([hit.modality, hit.body_part, hit.view, slice_, f"{hit.sex}{age}"])
    draw.text((x, y + 24), cut(draw, tags, _SIDE, 15), INK, font(15))
    said = _labels(hit.labels) or hit.description
    draw.text((x, y + 46), cut(draw, said, _SIDE, 15), SOFT, font(15))


def _labels(labels: Mapping[str, Sequence[str]]) -> str:
    return joined(list(dict.fromkeys(v for said in labels.values() for v in said)))
