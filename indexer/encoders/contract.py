"""The contract of an encoder. tests/contracts/test_encoders.py holds every encoder to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from indexer.encoders.placement import Placement
from indexer.errors import UnknownEncoderError
from indexer.types import Embeddings, EncoderSpec, Frame, Patches, Pixels, Prepared

Choice = TypeVar("Choice")


@dataclass(frozen=True)
class EncoderContext:
    """What an encoder is made with.

    Attributes:
        name: as it was asked for: the registered name, and after a colon one of the encoder's
            recipes (``medimageinsight:mirror``). Its ``spec`` has this name.
        models: folder of model weights.
        device: where networks run: ``cpu``, ``cuda``, ``cuda:1`` or ``auto``.
        precision: of their arithmetic: ``float32``, ``bfloat16``, or ``auto``, which is the latter
            on a GPU and the former elsewhere.
        compile: whether networks are compiled before they run.
    """

    name: str
    models: Path = Path("models")
    device: str = "auto"
    precision: str = "auto"
    compile: bool = False

    def choose(self, recipes: Mapping[str, Choice]) -> Choice:
        """The recipe that the name asks for; the first one if it asks for none.

        Raises:
            UnknownEncoderError: there is no such recipe; the message lists those there are.
        """
        base, _, wanted = self.name.partition(":")
        wanted = wanted or next(iter(recipes), "")
        if wanted not in recipes:
            raise UnknownEncoderError(
                f"'{base}' has no recipe '{wanted}'; it has: {', '.join(recipes) or 'none'}"
            )
        return recipes[wanted]


class Encoder(Protocol):
    """Pixels to vectors.

    Contract:
        - it is made by calling the registered class or function with an `EncoderContext`; that
          is quick and loads no weights, so that `spec` and `prepare` are had without them.
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
    """An encoder whose space also holds words.

    Attributes:
        token_limit: tokens of a text that count; what is beyond is not looked at.
    """

    @property
    def token_limit(self) -> int:
        """Tokens of a text that count."""

    def text_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has."""

    def embed_text(self, texts: Sequence[str]) -> Embeddings:
        """Embed phrases: ``(n, dim)`` float32, not yet normalised."""


@dataclass(frozen=True)
class SliceVectors:
    """Vectors of the slices of one input.

    Attributes:
        places: of each row, which of the prepared slices it is of; empty slices have none.
        rows: float32 ``(slices, dim)``, unit rows.
    """

    places: tuple[int, ...]
    rows: Embeddings


@runtime_checkable
class SliceEncoder(Protocol):
    """An encoder of pictures that takes a volume slice by slice.

    What its `embed` gives is the mean over the rows of `embed_slices`.
    """

    def sampled_slices(self, slices: int) -> list[int]:
        """Which slices of a volume of so many are prepared, ascending: its stated rule."""

    def embed_slices(self, batch: Sequence[Prepared]) -> list[SliceVectors]:
        """The slices of each input; of an image it is one."""


@runtime_checkable
class PatchEncoder(Protocol):
    """An encoder that can say where in the image it saw what; ``spec.has_patches`` says whether.

    Attributes:
        patches_share_space: whether the mean of a picture's patches may be compared with the
            vectors of its space.
    """

    @property
    def patches_share_space(self) -> bool:
        """Whether the mean of patches lies in the encoder's space."""

    def sampled_slices(self, slices: int) -> list[int]:
        """Which slices of a volume of so many are prepared, ascending; of an image the first."""

    def pictures(self, prepared: Prepared) -> list[Prepared]:
        """The single pictures in a prepared input, each an input again: slices, or the image."""

    def placement(self, frame: Frame) -> Placement:
        """Where a frame, or a slice, of this size lies in the picture prepared of it."""

    def embed_patches(self, batch: Sequence[Prepared]) -> Patches:
        """Embed the places of single pictures: ``(n, rows, columns, dim)``, not normalised.

        The grid covers the whole picture, each place an equal share. ``dim`` may differ from that
        of the space.
        """
