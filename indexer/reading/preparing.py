"""Pixels to what the encoders take, and a thumbnail: the last step inside a worker."""

from __future__ import annotations

from collections.abc import Mapping

from indexer.dicom.render import thumbnail
from indexer.errors import FileRejectedError, UnsupportedInputError
from indexer.reading.drafts import ReadOptions
from indexer.registry import make_encoder
from indexer.types import ImagePixels, Pixels, Prepared, Reason


def prepare_item(pixels: Pixels, options: ReadOptions) -> tuple[Mapping[str, Prepared], bytes]:
    """Prepare one image or volume for every encoder that takes it, and draw its thumbnail.

    Raises:
        FileRejectedError: encoder_failed, when none of the encoders can take it.
    """
    kind = "image" if isinstance(pixels, ImagePixels) else "volume"
    tensors: dict[str, Prepared] = {}
    refusals: list[str] = []
    for name in options.encoders:
        chosen = make_encoder(options.context(name))
        if kind not in chosen.spec.inputs:
            refusals.append(f"{name}: takes no {kind}")
            continue
        try:
            tensors[name] = chosen.prepare(pixels)
        except UnsupportedInputError as error:
            refusals.append(f"{name}: {error}")
    if not tensors:
        raise FileRejectedError(Reason.ENCODER_FAILED, "; ".join(refusals) or "no encoder chosen")
    return tensors, thumbnail(pixels, options.thumbnail)
