"""The contract of an encoder. tests/contracts/test_encoders.py holds every encoder to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from indexer.types import Embeddings, EncoderSpec, Pixels, Prepared


class Encoder(Protocol):
    """Pixels to vectors.

    Contract:
        - `prepare` is pure and runs in worker processes, without the weights; it raises
          UnsupportedInputError for what the encoder cannot take (see ``spec.inputs``), for constant
          images and for NaN, and never answers with something else in their place.
        - `embed` gives one finite, non-zero float32 row per prepared input, in order; the same
          input gives the same row, alone or in any batch, to 1e-5. The caller normalises.
        - inputs are never modified.
    """

    spec: EncoderSpec

    def prepare(self, pixels: Pixels) -> Prepared:
        """Turn one image or volume into what `embed` takes."""

    def embed(self, batch: Sequence[Prepared]) -> Embeddings:
        """Embed prepared inputs: ``(n, dim)`` float32, not yet normalised."""


@runtime_checkable
class TextEncoder(Protocol):
    """An encoder whose space also holds words."""

    def embed_text(self, texts: Sequence[str]) -> Embeddings:
        """Embed phrases: ``(n, dim)`` float32, not yet normalised."""


@runtime_checkable
class PatchEncoder(Protocol):
    """An encoder that can say where in the image it saw what."""

    def embed_patches(self, batch: Sequence[Prepared]) -> Embeddings:
        """Embed regions: ``(n, h, w, dim)`` float32."""
