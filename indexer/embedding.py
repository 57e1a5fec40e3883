"""Embedding a batch so that one bad input costs only itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from indexer.encoders.contract import Encoder
from indexer.errors import EncoderError
from indexer.types import Embedding, Prepared


def embed_each(encoder: Encoder, batch: Sequence[Prepared]) -> list[Embedding | str]:
    """Embed inputs, and say of those that fail why.

    Args:
        encoder: whose `prepare` made the inputs.
        batch: the inputs.

    Returns:
        For each input its vector, float32 ``(dim,)``, finite and not zero, not yet normalised; or
        one sentence that says why there is none.

    Raises:
        EncoderError: several inputs, and each of them fails unforeseen: the encoder is at fault.
    """
    if not batch:
        return []
    try:
        rows = encoder.embed(batch)
    except Exception as error:
        if len(batch) == 1:
            return [_word(error)]
        halves = (batch[: len(batch) // 2], batch[len(batch) // 2 :])
        found = [row for half in halves for row in embed_each(encoder, half)]
        if not isinstance(error, EncoderError) and all(isinstance(row, str) for row in found):
            raise EncoderError(f"the encoder '{encoder.spec.name}' fails: {found[0]}") from error
        return found
    sound = np.isfinite(rows).all(axis=1) & rows.any(axis=1)
    return [
        row if good else "its vector is zero or not finite"
        for row, good in zip(rows, sound, strict=True)
    ]


def _word(error: Exception) -> str:
    """What may be said of an error: ours in full; of another its type, as it may quote the file."""
    return str(error) if isinstance(error, EncoderError) else f"unforeseen {type(error).__name__}"
