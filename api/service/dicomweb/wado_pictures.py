"""Instances as pictures (PS3.18 section 8.3.5): rendered in a window and a viewport, thumbnails."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image
from sqlalchemy import select

from api.service import pictures
from api.service.dicomweb.originals_kept import Kept, Place
from api.service.dicomweb.wado import NotGivenError
from indexer.catalog.database import reading
from indexer.catalog.lookup import ITEMS_UNDER
from indexer.catalog.tables import Instance, Item, ItemInstance, Thumbnail
from indexer.config import Settings
from indexer.dicom.opening import tolerant
from indexer.dicom.pixels import FrameReader
from indexer.dicom.render import render_frame
from indexer.dicom.stored import lone_frame, read_header
from indexer.errors import FileRejectedError, ItemNotFoundError
from indexer.library import Library
from indexer.types import Role, Window

JPEG, PNG, WEBP = "image/jpeg", "image/png", "image/webp"
FORMS = (JPEG, PNG, WEBP)
_NAMES = {JPEG: "JPEG", PNG: "PNG", WEBP: "WEBP"}
_QUALITY = 90
LARGEST = 4096
"""Of the sides of a viewport, in pixels."""


@dataclass(frozen=True)
class Viewport:
    """Where a picture is to fit, and which part of it is wanted.

    Attributes:
        width, height: in pixels; the picture fits in, true to its shape.
        part: left, top, width and height of the part in pixels of the original; None for all.
            A width or height below zero mirrors it.
    """

    width: int
    height: int
    part: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class Shown:
    """How a picture is to be drawn.

    Attributes:
        media: one of `FORMS`.
        frame: from one; None for the middle one.
        window: in modality units; None for the file's own.
        viewport: None for the size of the original.
        quality: of JPEG and WebP, 1 to 100.
    """

    media: str
    frame: int | None = None
    window: Window | None = None
    viewport: Viewport | None = None
    quality: int = _QUALITY


def rendered(library: Library, kept: Kept, shown: Shown, settings: Settings) -> bytes:
    """A frame of an instance as a picture.

    Raises:
        NotGivenError: it has nothing to see, or cannot be decoded.
        ItemNotFoundError: it has no such frame.
        OriginalGoneError: its file is gone, or is not what it was.
    """
    if not kept.has_pixels:
        raise NotGivenError(f"instance {kept.identity.instance} has nothing to be seen")
    picture, aspect = (
        _frame(kept, shown, settings) if kept.is_dicom else _item(library, kept, shown, settings)
    )
    return _encoded(_fitted(picture, aspect, shown.viewport), shown)


def _frame(kept: Kept, shown: Shown, settings: Settings) -> tuple[Image.Image, float]:
    file_bytes, pixel_bytes = settings.max_file_mb << 20, settings.max_pixel_mb << 20
    try:
        with tolerant(set()), kept.stream(file_bytes) as stream:
            header = read_header(stream)
            frames = header.frames
            number = frames // 2 + 1 if shown.frame is None else shown.frame
            if not 1 <= number <= frames:
                raise ItemNotFoundError(f"the instance has frames 1 to {frames}, not {number}")
            alone = lone_frame(stream, header, number - 1)
            reader = FrameReader(alone or kept.opened(file_bytes), pixel_bytes)
            stored = next(reader.frames([0 if alone else number - 1]))
            image = reader.image(stored, number - 1)
    except FileRejectedError as error:
        raise NotGivenError(
            f"instance {kept.identity.instance} cannot be drawn: {error.detail}"
        ) from error
    return Image.fromarray(render_frame(image, shown.window)), image.aspect


def _item(
    library: Library, kept: Kept, shown: Shown, settings: Settings
) -> tuple[Image.Image, float]:
    """A picture or volume that is no DICOM file; the slices of a volume are its frames."""
    query = (
        select(Item.uid, Item.frame_index)
        .join(ItemInstance, ItemInstance.item_id == Item.id)
        .join(Instance, Instance.id == ItemInstance.instance_id)
        .where(Instance.sop_instance_uid == kept.identity.instance)
        .order_by(Item.id)
    )
    with reading(library.engine) as db:
        items = db.execute(query).all()
    if not items:
        raise NotGivenError(f"instance {kept.identity.instance} has nothing to be seen")
    look = pictures.Look(shown.window, None if len(items) > 1 else shown.frame)
    number = (shown.frame or len(items) // 2 + 1) if len(items) > 1 else 1
    if not 1 <= number <= len(items):
        raise ItemNotFoundError(f"the instance has frames 1 to {len(items)}, not {number}")
    drawn = pictures.rendered(library, items[number - 1].uid, look, settings)
    return Image.open(io.BytesIO(drawn)), 1.0


def thumbnail(library: Library, place: Place, shown: Shown) -> bytes:
    """The picture that is kept of a study, a series, or an instance that is an item of its own.

    Raises:
        ItemNotFoundError: there is none.
    """
    uid = place.instance or place.series or place.study
    query = (
        select(Thumbnail.webp)
        .join(Item, Item.id == Thumbnail.item_id)
        .where(Item.id.in_(ITEMS_UNDER))
        .order_by(Item.role != Role.PRIMARY, Item.id)
        .limit(1)
    )
    with reading(library.engine) as db:
        webp = db.execute(query, {"uid": uid}).scalar()
    if webp is None:
        raise ItemNotFoundError(f"there is no picture of '{uid}' in the library")
    with Image.open(io.BytesIO(webp)) as picture:
        return _encoded(_fitted(picture.convert("RGB"), 1.0, shown.viewport), shown)


def _fitted(picture: Image.Image, aspect: float, viewport: Viewport | None) -> Image.Image:
    """A picture with square pixels, cut out and scaled as a viewport asks."""
    box = None
    if viewport is not None and viewport.part is not None:
        picture, box = _part(picture, viewport.part)
    left, top, right, bottom = box or (0.0, 0.0, float(picture.width), float(picture.height))
    width, height = right - left, (bottom - top) * aspect
    # A file may say that its pixels are any shape: that alone makes no picture huge.
    scale = min(1.0, max(LARGEST, *picture.size) / max(width, height))
    if viewport is not None:
        scale = min(viewport.width / width, viewport.height / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if size == picture.size and box is None:
        return picture
    return picture.resize(size, Image.Resampling.LANCZOS, box=box)


def _part(
    picture: Image.Image, part: tuple[float, float, float, float]
) -> tuple[Image.Image, tuple[float, float, float, float]]:
    left, top, width, height = part
    if width < 0:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if height < 0:
        picture = picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    right, bottom = left + abs(width), top + abs(height)
    if not (0 <= left < right <= picture.width and 0 <= top < bottom <= picture.height):
        raise NotGivenError("the viewport lies outside the picture")
    return picture, (left, top, right, bottom)


def _encoded(picture: Image.Image, shown: Shown) -> bytes:
    out = io.BytesIO()
    name = _NAMES[shown.media]
    picture.save(out, name, **({} if name == "PNG" else {"quality": shown.quality}))
    return out.getvalue()
