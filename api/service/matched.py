"""Where two items of a library are alike, as figures that a page can draw."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from api.service import browse
from api.service.options import read_options
from api.service.regions import MatchingRequest, matching_regions
from indexer.config import Settings
from indexer.evidence.matching import Likeness, Matching, Side
from indexer.evidence.originals import read_again
from indexer.evidence.overlay import HIGH, LOW
from indexer.library import Library
from indexer.types import Frame, Hit

_PLAIN = "texture"
"""Takes every item, and is quick to prepare for."""


@dataclass(frozen=True)
class MatchedSide:
    """One of the two.

    Attributes:
        id: of the item; "" of a file that is in no library.
        study_instance_uid: whose it is; "" of such a file.
        slice, slices: of a volume the slice that was compared, from one; of how many.
        frame: size of the image, or of the slices.
        likeness: rows of cells over the frame, -1 to 1; None where the encoder does not look.
    """

    id: str
    study_instance_uid: str
    slice: int | None
    slices: int
    frame: Frame
    likeness: list[list[float | None]]


@dataclass(frozen=True)
class Matched:
    """Both, which encoder compared them, and between which likeness colours lie."""

    query: MatchedSide
    hit: MatchedSide
    encoder: str
    notice: str
    low: float = LOW
    high: float = HIGH


def matched(
    library: Library, query: str, hit: str, encoder: str | None, settings: Settings
) -> Matched:
    """Compare two items place by place.

    Args:
        library: that holds them.
        query: id of an item.
        hit: id of another.
        encoder: which encoder's eyes; None takes the first that has both.
        settings: how files are read.

    Raises:
        ItemNotFoundError, QueryError, SourceError: as `matching_regions`.
    """
    ours, theirs = browse.item(library, query), browse.item(library, hit)
    found = matching_regions(library, MatchingRequest(theirs.id, None, ours.id, encoder), settings)
    return _told(found, (ours.id, ours.study_instance_uid), theirs)


def matched_file(
    library: Library, path: Path, hit: str, encoder: str | None, settings: Settings
) -> Matched:
    """Compare a file, or a folder or archive that is one study, with an item place by place.

    Args:
        library: that holds the item.
        path: the file, folder or archive.
        hit: id of the item.
        encoder: which encoder's eyes; None takes the first that has both.
        settings: how files are read.

    Raises:
        FileRejectedError, ItemNotFoundError, QueryError, SourceError: as `matching_regions`.
    """
    theirs = browse.item(library, hit)
    found = matching_regions(library, MatchingRequest(theirs.id, path, None, encoder), settings)
    return _told(found, ("", ""), theirs)


def frame_of(library: Library, uid: str, settings: Settings) -> Frame:
    """The size of an item's image or slices, its files read again.

    Raises:
        ItemNotFoundError: there is no such item.
        OriginalGoneError: its files are gone, or are not what they were.
    """
    return read_again(library, uid, _PLAIN, read_options(library, settings)).frame


def _told(found: Matching, query: tuple[str, str], hit: Hit) -> Matched:
    return Matched(
        query=_side(found.query, *query),
        hit=_side(found.hit, hit.id, hit.study_instance_uid),
        encoder=found.encoder,
        notice=found.notice,
    )


def _side(side: Side, uid: str, study: str) -> MatchedSide:
    cells = _cells(side.coarse)
    return MatchedSide(uid, study, side.slice_number, side.slices, side.frame, cells)


def _cells(likeness: Likeness) -> list[list[float | None]]:
    return [[None if math.isnan(v) else round(v, 3) for v in row] for row in likeness.tolist()]
