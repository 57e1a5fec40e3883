"""Pixels to what the encoders take, and a thumbnail: the last step inside a worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from indexer.dicom.render import thumbnail
from indexer.errors import FileRejectedError, UnsupportedInputError
from indexer.reading.drafts import ReadOptions
from indexer.registry import make_encoder
from indexer.types import EncoderSpec, Flag, ImagePixels, Pixels, Prepared, Reason


@dataclass(frozen=True)
class PreparedItem:
    """What the encoders take of one image or volume, by encoder, and what must be said of it."""

    tensors: Mapping[str, Prepared]
    thumbnail: bytes
    flags: tuple[Flag, ...]


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
        refusal = not_made_for(chosen.spec, pixels)
        if refusal:
            refusals.append(f"{name}: {refusal}")
            continue
        try:
            tensors[name] = chosen.prepare(pixels)
        except UnsupportedInputError as error:
            refusals.append(f"{name}: {error}")
            continue
        if chosen.spec.modalities and not pixels.modality:
            flags.add(Flag.MODALITY_UNKNOWN)
    if not tensors:
        raise FileRejectedError(Reason.ENCODER_FAILED, "; ".join(refusals) or "no encoder chosen")
    return PreparedItem(tensors, thumbnail(pixels, options.thumbnail), tuple(sorted(flags)))


def not_made_for(spec: EncoderSpec, pixels: Pixels) -> str:
    """Why an encoder must not get an image or volume; "" where it may.

    What is not stated speaks against nothing: many archives have no body part, and pictures have no
    modality. Of the latter a flag tells.
    """
    kind = "image" if isinstance(pixels, ImagePixels) else "volume"
    if kind not in spec.inputs:
        return f"takes no {kind}"
    if spec.modalities and pixels.modality and pixels.modality not in spec.modalities:
        return f"made for {', '.join(sorted(spec.modalities))}, not {pixels.modality[:16]}"
    if spec.body_parts and pixels.body_part and not _one_of(pixels.body_part, spec.body_parts):
        return f"made for {', '.join(sorted(spec.body_parts))}, not {pixels.body_part[:16]}"
    return ""


def _one_of(body_part: str, wanted: frozenset[str]) -> bool:
    """Body parts come with additions, as in ``CHEST ABDOMEN``."""
    return any(word in body_part for word in wanted)
