"""Where a query and a hit are alike, read again from their files and ready to be drawn."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from PIL import Image

from indexer.encoders.contract import Encoder, PatchEncoder
from indexer.encoders.placement import Placement
from indexer.errors import QueryError
from indexer.evidence.regions import Map, patches_from, region_map, seen_pictures
from indexer.reading.drafts import ItemDraft
from indexer.types import Embeddings, Frame, Prepared, RgbImage

Likeness = Float32[np.ndarray, "height width"]
SIDE = 640
"""Longest side of a picture, in pixels."""
COARSE = 48
"""Longest side of a map that others draw, in cells: finer than the places of most encoders."""


@dataclass(frozen=True)
class Side:
    """One of the two that are compared.

    Attributes:
        picture: what is shown: an image as it is; of a volume a slice as the encoder sees it.
        likeness: for each pixel of it, in [-1, 1]; NaN where the encoder does not look.
        slice_number, slices: which slice of how many, from one; None of an image.
        frame: size of the image, or of the slices.
        coarse: the likeness of the whole frame in cells, `COARSE` on its longer side.
    """

    picture: RgbImage
    likeness: Likeness
    slice_number: int | None
    slices: int
    frame: Frame
    coarse: Likeness


@dataclass(frozen=True)
class Matching:
    """A query and a hit side by side."""

    query: Side
    hit: Side
    encoder: str
    notice: str


def match_items(encoder: Encoder, query: ItemDraft, hit: ItemDraft) -> Matching:
    """Compare two items place by place; of volumes the two slices that are most alike.

    Args:
        encoder: whose tensors both have.
        query: an item that was read, its thumbnail of `SIDE` pixels.
        hit: another.

    Raises:
        QueryError: the encoder tells no places apart, or one of the two is empty.
    """
    places = patches_from(encoder)
    name = encoder.spec.name
    ours = seen_pictures(places, query.tensors[name])
    theirs = seen_pictures(places, hit.tensors[name])
    if not ours or not theirs:
        raise QueryError("there is nothing to compare: every picture of an item is empty")
    one, other = _best_pair(encoder, ours, theirs)
    maps = region_map(places, ours[one], theirs[other])
    return Matching(
        query=_side(places, query, one, ours[one], maps[0]),
        hit=_side(places, hit, other, theirs[other], maps[1]),
        encoder=name,
        notice=encoder.spec.notice,
    )


def slice_number(encoder: PatchEncoder, item: ItemDraft, place: int) -> int | None:
    """The slice of a volume, from one, that a prepared picture is of; None of an image."""
    if item.kind != "volume":
        return None
    used = item.used_slices
    return used[encoder.sampled_slices(len(used))[place]] + 1


def picture_of_slice(encoder: PatchEncoder, item: ItemDraft, number: int | None) -> int:
    """The prepared picture nearest to a slice of a volume, numbered from one; 0 of an image.

    Raises:
        QueryError: a volume and no slice is named, or there is no such slice.
    """
    if item.kind != "volume":
        return 0
    if number is None or not 1 <= number <= item.slices:
        raise QueryError(f"name the slice that the region is on: 1 to {item.slices}")
    used = item.used_slices
    sampled = [used[index] + 1 for index in encoder.sampled_slices(len(used))]
    return int(np.argmin(np.abs(np.array(sampled) - number)))


def laid_over(
    encoder: PatchEncoder, item: ItemDraft, place: int, prepared: Prepared, values: Map
) -> tuple[RgbImage, Map]:
    """What is shown of an item, and values of its places laid over that.

    Args:
        encoder: that prepared it.
        item: that was read, its thumbnail of `SIDE` pixels.
        place: which of the pictures prepared of it.
        prepared: that picture.
        values: ``(rows, columns)``, of each place of it.

    Returns:
        An image as it is, of a volume the slice as the encoder sees it; and for each pixel of it
        the value, between places interpolated, NaN where the encoder does not look.
    """
    placement = encoder.placement(item.frame)
    if slice_number(encoder, item, place) is not None:
        seen = _as_rgb(prepared[0])
        return seen, _over(seen.shape, values, Placement(placement.size), placement.size)
    with Image.open(io.BytesIO(item.thumbnail)) as picture:
        shown = np.asarray(picture.convert("RGB"))
    return shown, over_frame(encoder, item, values)


def over_frame(encoder: PatchEncoder, item: ItemDraft, values: Map) -> Map:
    """Values of places at each pixel of a frame of the item as it is drawn, of whichever slice.

    Args:
        encoder: that prepared it.
        item: that was read, its thumbnail of `SIDE` pixels.
        values: ``(rows, columns)``, of each place.

    Returns:
        As large as the thumbnail, and of its proportions, which are those of the frame; NaN where
        the encoder does not look.
    """
    with Image.open(io.BytesIO(item.thumbnail)) as picture:
        shown = np.asarray(picture.convert("RGB"))
    return _over(
        shown.shape, values, encoder.placement(item.frame), (item.frame.rows, item.frame.columns)
    )


def _best_pair(
    encoder: Encoder, ours: Mapping[int, Prepared], theirs: Mapping[int, Prepared]
) -> tuple[int, int]:
    if len(ours) == len(theirs) == 1:
        return next(iter(ours)), next(iter(theirs))
    likeness = _units(encoder, list(ours.values())) @ _units(encoder, list(theirs.values())).T
    one, other = np.unravel_index(int(likeness.argmax()), likeness.shape)
    return list(ours)[one], list(theirs)[other]


def _units(encoder: Encoder, pictures: Sequence[Prepared]) -> Embeddings:
    rows = encoder.embed(pictures)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def _side(
    encoder: PatchEncoder, item: ItemDraft, place: int, prepared: Prepared, likeness: Map
) -> Side:
    picture, laid = laid_over(encoder, item, place, prepared, likeness)
    size = item.frame.rows, item.frame.columns
    rows, columns = (max(1, round(COARSE * each / max(size))) for each in size)
    coarse = _over((rows, columns), likeness, encoder.placement(item.frame), size)
    number = slice_number(encoder, item, place)
    return Side(picture, laid, number, item.slices, item.frame, coarse)


def _over(
    shown: tuple[int, ...], likeness: Map, placement: Placement, frame: tuple[int, int]
) -> Likeness:
    """The map at each pixel of what is shown, between places interpolated; NaN where it has none.

    Args:
        shown: rows and columns in which the whole frame is shown.
        likeness: ``(rows, columns)`` places that cover the prepared picture.
        placement: of the frame in the prepared picture.
        frame: rows and columns of the frame.
    """
    found = []
    outside = []
    for axis in (0, 1):
        pixels = (np.arange(shown[axis]) + 0.5) * frame[axis] / shown[axis]
        inside = pixels * placement.scale[axis] + placement.offset[axis]
        outside.append((inside < 0) | (inside > placement.size[axis]))
        cells = inside * likeness.shape[axis] / placement.size[axis] - 0.5
        found.append(np.clip(cells, 0, likeness.shape[axis] - 1))
    values = _bilinear(likeness, found[0], found[1])
    values[outside[0]] = np.nan
    values[:, outside[1]] = np.nan
    return values


def _bilinear(values: Map, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Values between those of a grid, at every row and column named."""
    for axis, places in ((0, rows), (1, columns)):
        lower = np.floor(places).astype(np.intp)
        upper = np.minimum(lower + 1, values.shape[axis] - 1)
        part = (places - lower).astype(np.float32)
        part = part[:, None] if axis == 0 else part[None]
        values = np.take(values, lower, axis) * (1 - part) + np.take(values, upper, axis) * part
    return np.array(values, np.float32)


def _as_rgb(picture: np.ndarray) -> RgbImage:
    """What an encoder was given, as 8 bits in three channels."""
    if picture.dtype != np.uint8:
        low, high = float(picture.min()), float(picture.max())
        picture = np.rint((picture - low) / max(high - low, 1e-6) * 255).astype(np.uint8)
    return picture if picture.ndim == 3 else np.stack([picture] * 3, axis=-1)
