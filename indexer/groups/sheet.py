"""Contact sheets: of a cluster, and of the items that a report names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from indexer.drawing import ACCENT, GROUND, INK, SOFT, WARN, cut, font, paste_tile
from indexer.groups.runs import NamedCluster, StoredRun

_SIDE, _GAP, _COLUMNS, _HEAD, _LANE, _LINE = 224, 20, 4, 78, 44, 24
_CLOSE, _ABREAST = 4, 6
_WIDTH = _COLUMNS * (_SIDE + _GAP) + _GAP


@dataclass(frozen=True)
class Tile:
    """One entry of a sheet: the pictures of its items side by side, and a line below.

    Attributes:
        items: ids.
        line: what is said of them.
    """

    items: tuple[str, ...]
    line: str


def report_sheet(
    title: str, tiles: Sequence[Tile], pictures: Mapping[str, bytes], left_out: int = 0
) -> Image.Image:
    """Draw the items that a report names as an RGB picture.

    Args:
        title: of the sheet.
        tiles: its entries, with as many items each as the first; one at least.
        pictures: WebP thumbnails by item id.
        left_out: entries that are not on the sheet.
    """
    each = len(tiles[0].items)
    columns = max(1, _ABREAST // each)
    wide = each * _SIDE + (each - 1) * _CLOSE
    rows = -(-len(tiles) // columns)
    width = columns * (wide + _GAP) + _GAP
    sheet = Image.new("RGB", (width, _LANE + rows * (_SIDE + _LINE + _GAP) + _GAP), GROUND)
    draw = ImageDraw.Draw(sheet)
    rest = f" ({left_out:,} more are not shown)" if left_out else ""
    draw.text((_GAP, 12), cut(draw, title + rest, width - 2 * _GAP, 18), INK, font(18))
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        x, y = _GAP + column * (wide + _GAP), _LANE + row * (_SIDE + _LINE + _GAP)
        for place, uid in enumerate(tile.items):
            paste_tile(sheet, (x + place * (_SIDE + _CLOSE), y), _SIDE, pictures.get(uid, b""))
        draw.text((x, y + _SIDE + 4), cut(draw, tile.line, wide, 15), SOFT, font(15))
    return sheet


def cluster_sheet(
    run: StoredRun, cluster: NamedCluster, pictures: Mapping[str, bytes]
) -> Image.Image:
    """Draw a cluster as an RGB picture.

    Args:
        run: that it is of.
        cluster: with the ids of its exemplars and borderline members.
        pictures: WebP thumbnails by item id; what is gone is left out.
    """
    lanes = [
        ("exemplars", [uid for uid in cluster.about.get("exemplars", ()) if uid in pictures]),
        ("borderline", [uid for uid in cluster.about.get("borderline", ()) if uid in pictures]),
    ]
    told = [*((line, INK) for line in cluster.about.get("told", ()))]
    told += [(line, WARN) for line in cluster.about.get("warnings", ())]
    height = _HEAD + _LINE * len(told) + sum(_height(uids) for _, uids in lanes) + _GAP
    sheet = Image.new("RGB", (_WIDTH, height), GROUND)
    draw = ImageDraw.Draw(sheet)
    room = _WIDTH - 2 * _GAP
    draw.text(
        (_GAP, 16), cut(draw, f"{cluster.cluster}  {cluster.called}", room, 24), INK, font(24)
    )
    share = cluster.size / max(1, run.items)
    about = f"{run.name}: {cluster.size:,} of {run.items:,} items ({share:.1%}), {run.method}"
    draw.text((_GAP, 48), cut(draw, about, room, 16), SOFT, font(16))
    y = _HEAD
    for line, colour in told:
        draw.text((_GAP, y), cut(draw, line, room, 16), colour, font(16))
        y += _LINE
    for title, uids in lanes:
        draw.text((_GAP, y + 14), title if uids else f"no {title}", ACCENT, font(18))
        for number, uid in enumerate(uids):
            row, column = divmod(number, _COLUMNS)
            place = (_GAP + column * (_SIDE + _GAP), y + _LANE + row * (_SIDE + _GAP))
            paste_tile(sheet, place, _SIDE, pictures[uid])
        y += _height(uids)
    return sheet


def _height(uids: Sequence[str]) -> int:
    return _LANE + -(-len(uids) // _COLUMNS) * (_SIDE + _GAP)
