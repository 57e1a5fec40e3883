"""Pixels to what the encoders take, and a thumbnail: the last step inside a worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from indexer.dicom.render import thumbnail
from indexer.errors import FileRejectedError, UnsupportedInputError
from indexer.reading.drafts import ReadOptions
from indexer.reading.quality import qualities_of
from indexer.reading.routing import verdict_on
from indexer.registry import make_encoder
from indexer.types import Flag, Frame, ImagePixels, Pixels, Prepared, Reason


@dataclass(frozen=True)
class PreparedItem:
    """What the encoders take of one image or volume, by encoder, and what must be said of it."""

    tensors: Mapping[str, Prepared]
    thumbnail: bytes
    flags: tuple[Flag, ...]
    frame: Frame
    pixels: Pixels | None
    """Where the options keep them."""
    details: dict[str, object]
    """Qualities of the picture; spacing in mm, where it is known."""


def prepare_item(pixels: Pixels, options: ReadOptions) -> PreparedItem:
    """Prepare one image or volume for every encoder that takes it, and draw its thumbnail.

    Raises:
        FileRejectedError: encoder_failed, when none of the encoders can take it.
    """
    tensors: dict[str, Prepared] = {}
    refusals: list[str] = []
    flags: set[Flag] = set()
    for name in options.encoders:
        chosen = make_encoder(options.context(name))
        verdict = verdict_on(chosen.spec, pixels, options.rules)
        if verdict.refusal:
            refusals.append(f"{name}: {verdict.refusal}")
            continue
        try:
            tensors[name] = chosen.prepare(pixels)
        except UnsupportedInputError as error:
            refusals.append(f"{name}: {error}")
            continue
        flags |= verdict.flags
    if not tensors:
        raise FileRejectedError(Reason.ENCODER_FAILED, "; ".join(refusals) or "no encoder chosen")
    return PreparedItem(
        tensors,
        thumbnail(pixels, options.thumbnail),
        tuple(sorted(flags)),
        _frame_of(pixels),
        pixels if options.keep_pixels else None,
        _details_of(pixels),
    )


def _frame_of(pixels: Pixels) -> Frame:
    """Size of the image, or of each slice of the volume."""
    if isinstance(pixels, ImagePixels):
        return Frame(pixels.values.shape[0], pixels.values.shape[1], pixels.aspect)
    _, rows, columns = pixels.values.shape
    return Frame(rows, columns, pixels.spacing[1] / pixels.spacing[2])


def _details_of(pixels: Pixels) -> dict[str, object]:
    told: dict[str, object] = {"qualities": list(qualities_of(pixels))}
    if pixels.spacing is not None:
        told["spacing_mm"] = [round(each, 5) for each in pixels.spacing]
    return told
