"""Pictures of an item: the thumbnail that is kept, or its pixels read again and drawn."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import bindparam, select

from api.service.options import read_options
from indexer.catalog.database import reading
from indexer.catalog.tables import Item, Thumbnail
from indexer.config import Settings
from indexer.dicom.render import fit_square, render_frame, volume_slice
from indexer.errors import ItemNotFoundError, OriginalGoneError, QueryError
from indexer.evidence.originals import read_again
from indexer.library import Library
from indexer.reading.study import read_study
from indexer.types import Frame, ImagePixels, Pixels, VolumePixels, Window

SMALLEST, LARGEST = 16, 4096
MOST_AROUND, LARGEST_AROUND = 16, 1024
"""Slices on either side that come with one, and of what size: they are made in memory."""
_PLAIN = "texture"
"""The encoder that items are prepared for when they are read: quick, and it takes all of them."""
_THUMBNAIL = select(Thumbnail.webp).join(Item).where(Item.uid == bindparam("uid"))
"""Built once: building it anew took twice as long as asking it."""


@dataclass(frozen=True)
class Look:
    """How an item is to be drawn.

    Attributes:
        window: in modality units; None for the file's own.
        slice: of a volume, from one; None for its middle.
        size: of the longer side in pixels, 16 to 4096; None for that of the original, at most 4096.
    """

    window: Window | None = None
    slice: int | None = None
    size: int | None = None


@dataclass(frozen=True)
class FileLook:
    """A frame of files that are in no library.

    Attributes:
        modality: as they say, "" where they do not.
        slice, slices: of a volume which slice this is, from one; of how many.
        frame: size of the image, or of the slices.
        picture: PNG, grey values those of the window, bright is bright.
        around: the slices beside it that were asked for, by number, drawn alike.
    """

    modality: str
    slice: int | None
    slices: int
    frame: Frame
    picture: bytes
    around: dict[int, bytes]


def thumbnail(library: Library, uid: str) -> bytes:
    """The WebP thumbnail of an item.

    Raises:
        ItemNotFoundError: there is no such item.
    """
    with reading(library.engine) as db:
        found = db.execute(_THUMBNAIL, {"uid": uid}).scalar()
    if found is None:
        raise ItemNotFoundError(f"there is no item '{uid}' with a thumbnail in the library")
    return found


def drawn_as(library: Library, uid: str, look: Look) -> str:
    """What tells a drawn picture of an item from all others: a digest, hexadecimal.

    Raises:
        ItemNotFoundError: there is no such item.
    """
    with reading(library.engine) as db:
        pixels = db.execute(select(Item.pixel_hash).where(Item.uid == uid)).scalar()
    if pixels is None:
        raise ItemNotFoundError(f"there is no item '{uid}' in the library")
    return hashlib.sha256(f"{uid} {pixels} {look}".encode()).hexdigest()[:32]


def rendered(library: Library, uid: str, look: Look, settings: Settings) -> bytes:
    """An item as PNG, its files read again; grey values are those of the window, bright is bright.

    Raises:
        ItemNotFoundError: there is no such item.
        OriginalGoneError: its files are gone, or are not what they were.
        QueryError: it has no such slice, or the size is out of range.
    """
    _check_size(look)
    options = replace(read_options(library, settings), rules=(), keep_pixels=True)
    pixels = read_again(library, uid, _PLAIN, options).pixels
    if pixels is None:
        raise OriginalGoneError(f"the pixels of item {uid} cannot be read again")
    return _drawn(pixels, look)


def look_at_files(
    library: Library, path: Path, look: Look, settings: Settings, *, around: int = 0
) -> FileLook:
    """A frame of a file, or of a folder or archive that is one study; nothing of it is kept.

    Of several images or volumes it is the middle one, which `matching_regions` compares, too.
    Whoever leafs through a volume asks for slices around, for each request brings it all again.

    Args:
        library: how it reads files.
        path: the file, folder or archive.
        look: which frame, and how it is drawn.
        settings: how files are read.
        around: of a volume, how many slices on either side come, too, at most 16.

    Raises:
        FileRejectedError: the file cannot be used.
        QueryError: there is no picture or no such slice, or the size is out of range, which
            with slices around ends at 1024 and has to be given.
    """
    _check_size(look)
    _check_around(look, around)
    options = replace(
        read_options(library, settings), encoders=(_PLAIN,), rules=(), keep_pixels=True
    )
    read = [
        (each.draft.attributes.modality, each.item, each.item.pixels)
        for each in read_study(path, options).items
        if each.item.pixels is not None
    ]
    if not read:
        raise QueryError(f"{path.name} holds no picture that can be shown")
    modality, item, pixels = read[len(read) // 2]
    number = _slice_of(pixels, look.slice) if isinstance(pixels, VolumePixels) else None
    beside = range(number - around, number + around + 1) if number is not None else ()
    return FileLook(
        modality=modality,
        slice=number,
        slices=item.slices,
        frame=item.frame,
        picture=_drawn(pixels, look),
        around={
            each: _drawn(pixels, replace(look, slice=each))
            for each in beside
            if each != number and 1 <= each <= item.slices
        },
    )


def _check_size(look: Look) -> None:
    if look.size is not None and not SMALLEST <= look.size <= LARGEST:
        raise QueryError(f"size is {SMALLEST} to {LARGEST} pixels, not {look.size}")


def _check_around(look: Look, around: int) -> None:
    if not 0 <= around <= MOST_AROUND:
        raise QueryError(f"around is 0 to {MOST_AROUND} slices, not {around}")
    if around and (look.size is None or look.size > LARGEST_AROUND):
        raise QueryError(f"slices around one are drawn in a size of at most {LARGEST_AROUND}")


def _drawn(pixels: Pixels, look: Look) -> bytes:
    frame = _frame(pixels, look.slice)
    picture = render_frame(frame, look.window)
    height, width = picture.shape[0] * frame.aspect, picture.shape[1]
    size = look.size or min(LARGEST, round(max(height, width)))
    out = io.BytesIO()
    fit_square(picture, frame.aspect, size).save(out, "PNG", compress_level=3)
    return out.getvalue()


def _frame(pixels: Pixels, number: int | None) -> ImagePixels:
    if isinstance(pixels, ImagePixels):
        if number not in (None, 1):
            raise QueryError(f"the item is one image: it has no slice {number}")
        return pixels
    return volume_slice(pixels, _slice_of(pixels, number) - 1)


def _slice_of(pixels: VolumePixels, number: int | None) -> int:
    """The slice that is meant, from one: the middle one, if none is named."""
    slices = len(pixels.values)
    number = slices // 2 + 1 if number is None else number
    if not 1 <= number <= slices:
        raise QueryError(f"the item has slices 1 to {slices}, not {number}")
    return number
