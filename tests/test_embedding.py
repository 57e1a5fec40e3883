"""One bad input costs only itself, whatever an encoder does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from indexer.embedding import embed_each
from indexer.encoders.contract import Encoder
from indexer.errors import EncoderError, UnsupportedInputError
from indexer.types import EncoderSpec, Pixels, Prepared


class Doubling:
    """Embeds a number as (number, 2 x number); a batch that holds ``bad`` raises ``error``."""

    spec = EncoderSpec("doubling", 2, frozenset({"image"}), frozenset(), "builtin-1", "1", "MIT")

    def __init__(self, bad: Sequence[float] = (), error: Exception | None = None) -> None:
        self.bad, self.error, self.largest = set(bad), error, 0

    def prepare(self, pixels: Pixels) -> Prepared:
        return np.asarray(pixels.values, np.float32)

    def embed(self, batch: Sequence[Prepared]) -> np.ndarray:
        self.largest = max(self.largest, len(batch))
        if self.error and any(float(x) in self.bad for x in batch):
            raise self.error
        return np.array([(x, 2 * x) for x in batch], np.float32)


def embed(encoder: Encoder, *numbers: float) -> list[list[float] | str]:
    batch = [np.float32(n) for n in numbers]
    return [r if isinstance(r, str) else r.tolist() for r in embed_each(encoder, batch)]


def test_each_input_has_its_row_in_order() -> None:
    assert embed(Doubling(), 1, 2, 3) == [[1, 2], [2, 4], [3, 6]]
    assert embed(Doubling()) == []


def test_an_input_that_the_encoder_refuses_is_named_and_the_others_are_embedded() -> None:
    encoder = Doubling([3], UnsupportedInputError("three is no number for me"))
    assert embed(encoder, 1, 2, 3, 4) == [[1, 2], [2, 4], "three is no number for me", [4, 8]]


def test_of_an_unforeseen_error_only_its_kind_is_told() -> None:
    encoder = Doubling([2], KeyError("Doe^Jane"))
    assert embed(encoder, 1, 2) == [[1, 2], "unforeseen KeyError"]


def test_zero_and_nan_are_no_vectors() -> None:
    unusable = "its vector is zero or not finite"
    assert embed(Doubling(), 0, 1, float("nan"), float("inf")) == [
        unusable,
        [1, 2],
        unusable,
        unusable,
    ]


def test_an_encoder_that_fails_on_everything_ends_the_run() -> None:
    """Else a lost device would have a whole archive rejected, file by file."""
    encoder = Doubling([1, 2], RuntimeError("device lost"))
    with pytest.raises(EncoderError, match="'doubling' fails"):
        embed(encoder, 1, 2)
