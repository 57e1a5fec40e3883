"""One bad input costs only itself, whatever an encoder does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from indexer.embedding import Embedded, embed_each, places_in_volume
from indexer.encoders.contract import Encoder, SliceVectors
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
    found = embed_each(encoder, batch)
    return [one if isinstance(one, str) else one.vector.tolist() for one in found]


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


class Slicing(Doubling):
    """Takes a volume of numbers slice by slice; of 13 the vector is NaN."""

    def sampled_slices(self, slices: int) -> list[int]:
        return list(range(0, slices, 2))

    def embed_slices(self, batch: Sequence[Prepared]) -> list[SliceVectors]:
        angles = [np.where(one == 13, np.nan, one) for one in batch]
        rows = [np.stack([np.cos(a), np.sin(a)], axis=1).astype(np.float32) for a in angles]
        return [SliceVectors(tuple(range(len(r))), r) for r in rows]


def test_of_slices_the_mean_is_the_vector_and_one_that_is_nan_spoils_only_its_volume() -> None:
    good, bad, other = (np.array(a, np.float32) for a in ([0, np.pi / 2], [0, 13], [1, 1]))
    first, second, third = embed_each(Slicing(), [good, bad, other])
    assert second == "its vector is zero or not finite"
    assert isinstance(first, Embedded)
    assert isinstance(third, Embedded)
    assert first.vector == pytest.approx([0.5, 0.5])
    assert first.norm == pytest.approx(0.5**0.5)
    assert first.unit == pytest.approx([0.5**0.5, 0.5**0.5])
    assert first.slices is not None
    assert first.slices.rows == pytest.approx(np.eye(2), abs=1e-6)


def test_places_lead_from_the_slices_that_were_embedded_to_those_of_the_volume() -> None:
    slices = SliceVectors((0, 2), np.eye(2, dtype=np.float32))
    assert places_in_volume(Slicing(), slices, range(6)) == [0, 4]
    assert places_in_volume(Slicing(), slices, [3, 5, 7, 9, 11]) == [3, 11]
