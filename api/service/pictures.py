"""Pictures of an item: the thumbnail that is kept, or its pixels read again and drawn."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, replace

from sqlalchemy import bindparam, select

from api.service.options import read_options
from indexer.catalog.database import reading
from indexer.catalog.tables import Item, Thumbnail
from indexer.config import Settings
from indexer.dicom.render import fit_square, render_frame, volume_slice
from indexer.errors import ItemNotFoundError, OriginalGoneError, QueryError
from indexer.evidence.originals import read_again
from indexer.library import Library
from indexer.types import ImagePixels, VolumePixels, Window

SMALLEST, LARGEST = 16, 4096
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
    if look.size is not None and not SMALLEST <= look.size <= LARGEST:
        raise QueryError(f"size is {SMALLEST} to {LARGEST} pixels, not {look.size}")
    options = replace(read_options(library, settings), rules=(), keep_pixels=True)
    pixels = read_again(library, uid, _PLAIN, options).pixels
    if pixels is None:
        raise OriginalGoneError(f"the pixels of item {uid} cannot be read again")
    frame = _frame(pixels, look.slice)
    picture = render_frame(frame, look.window)
    height, width = picture.shape[0] * frame.aspect, picture.shape[1]
    size = look.size or min(LARGEST, round(max(height, width)))
    out = io.BytesIO()
    fit_square(picture, frame.aspect, size).save(out, "PNG", compress_level=3)
    return out.getvalue()


def _frame(pixels: ImagePixels | VolumePixels, number: int | None) -> ImagePixels:
    if isinstance(pixels, ImagePixels):
        if number not in (None, 1):
            raise QueryError(f"the item is one image: it has no slice {number}")
        return pixels
    slices = len(pixels.values)
    number = slices // 2 + 1 if number is None else number
    if not 1 <= number <= slices:
        raise QueryError(f"the item has slices 1 to {slices}, not {number}")
    return volume_slice(pixels, number - 1)
