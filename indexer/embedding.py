"""Embedding a batch so that one bad input costs only itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from indexer.encoders.contract import Encoder, SliceEncoder, SliceVectors
from indexer.errors import EncoderError
from indexer.types import Embedding, Embeddings, Prepared


@dataclass(frozen=True)
class Embedded:
    """What an encoder made of one input.

    Attributes:
        vector: float32 ``(dim,)``, finite and not zero, not yet normalised.
        slices: of an encoder that takes volumes slice by slice, unit rows; else None.
    """

    vector: Embedding
    slices: SliceVectors | None = None

    @property
    def norm(self) -> float:
        """Length of the vector."""
        return float(np.linalg.norm(self.vector))

    @property
    def unit(self) -> Embedding:
        """The vector, normalised."""
        unit: Embedding = (self.vector / self.norm).astype(np.float32)
        return unit


def embed_each(encoder: Encoder, batch: Sequence[Prepared]) -> list[Embedded | str]:
    """Embed inputs, and say of those that fail why.

    Args:
        encoder: whose `prepare` made the inputs.
        batch: the inputs.

    Returns:
        For each input what was made of it; or one sentence that says why there is nothing.

    Raises:
        EncoderError: several inputs, and each of them fails unforeseen: the encoder is at fault.
    """
    if not batch:
        return []
    try:
        found = _embedded(encoder, batch)
    except Exception as error:
        if len(batch) == 1:
            return [_word(error)]
        halves = (batch[: len(batch) // 2], batch[len(batch) // 2 :])
        both = [row for half in halves for row in embed_each(encoder, half)]
        if not isinstance(error, EncoderError) and all(isinstance(row, str) for row in both):
            raise EncoderError(f"the encoder '{encoder.spec.name}' fails: {both[0]}") from error
        return both
    return [one if _is_sound(one) else "its vector is zero or not finite" for one in found]


def places_in_volume(encoder: SliceEncoder, slices: SliceVectors, used: Sequence[int]) -> list[int]:
    """Where the slices of a volume lie in it.

    Args:
        encoder: that made the slices.
        slices: of the volume.
        used: places of the slices that were handed to the encoder.
    """
    sampled = encoder.sampled_slices(len(used))
    return [used[sampled[place]] for place in slices.places]


def _embedded(encoder: Encoder, batch: Sequence[Prepared]) -> list[Embedded]:
    if isinstance(encoder, SliceEncoder):
        return [Embedded(s.rows.mean(axis=0), s) for s in encoder.embed_slices(batch)]
    rows: Embeddings = encoder.embed(batch)
    return [Embedded(row) for row in rows]


def _is_sound(found: Embedded) -> bool:
    rows = [found.vector, *(found.slices.rows if found.slices else ())]
    return all(bool(np.isfinite(row).all() and row.any()) for row in rows)


def _word(error: Exception) -> str:
    """What may be said of an error: ours in full; of another its type, as it may quote the file."""
    return str(error) if isinstance(error, EncoderError) else f"unforeseen {type(error).__name__}"
