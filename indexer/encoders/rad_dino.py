"""RAD-DINO: DINOv2 ViT-B/14 for chest radiographs, by microsoft (Nature Machine Intelligence 2025).

The network is transformers' own `Dinov2Model`, which alone knows how the names in the file map to
those in memory. A vector is the CLS token after the last layer norm (768); regions are the 37 x 37
patch tokens. The published processor rescales by 1/255 whatever it is given, so pictures have to be
8-bit before: the recipe sees to that.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from indexer.encoders.contract import EncoderContext
from indexer.encoders.placement import Placement
from indexer.encoders.recipe import (
    CentreCrop,
    Levels,
    PadSquare,
    Recipe,
    Resize,
    Rgb,
    network_input,
)
from indexer.encoders.weights import (
    read_config,
    ready_folder,
    refuse_other_network,
    spec_of,
    tensor_shapes,
)
from indexer.errors import UnsupportedInputError, WeightsError
from indexer.kept import once
from indexer.types import Embeddings, Frame, ImagePixels, Patches, Pixels, Prepared

if TYPE_CHECKING:
    from torch import Tensor, nn

SIDE = 518
_MEAN, _STD = (0.5307,) * 3, (0.2583,) * 3
RECIPES = {
    # As the model card prepares DICOM files (shorter side to 518, then least to greatest value),
    # and then the published processor; Pillow's bicubic stands in for the card's B-spline.
    "card": Recipe(
        "card",
        (Resize(SIDE), Levels(), CentreCrop((SIDE, SIDE)), Rgb()),
        mean=_MEAN,
        std=_STD,
    ),
    # The crop loses the ends of the longer side; this keeps all of a film that is not square.
    "pad": Recipe(
        "pad",
        (Levels(), PadSquare(), Resize((SIDE, SIDE)), Rgb()),
        mean=_MEAN,
        std=_STD,
    ),
}


class RadDino:
    """Chest radiographs to 768 numbers."""

    def __init__(self, context: EncoderContext) -> None:
        self._context = context
        self.recipe = context.choose(RECIPES)
        self._folder = ready_folder(context)
        dim = read_config(self._folder / "config.json").get("hidden_size")
        if not isinstance(dim, int) or dim < 1:
            raise WeightsError(f"{self._folder / 'config.json'}: 'hidden_size' is no number")
        self.spec = spec_of(context, dim=dim, preprocessing=self.recipe.version)

    def prepare(self, pixels: Pixels) -> Prepared:
        """Make the 8-bit picture: uint8 ``(518, 518, 3)``.

        Raises:
            UnsupportedInputError: a volume, a colour image, a constant one, NaN.
        """
        if not isinstance(pixels, ImagePixels):
            raise UnsupportedInputError("a volume, and it takes radiographs")
        if pixels.values.ndim == 3:
            raise UnsupportedInputError("a colour image, and it takes grey radiographs")
        return self.recipe.picture(pixels)

    def embed(self, batch: Sequence[Prepared]) -> Embeddings:
        """CLS tokens: float32 ``(n, 768)``, not normalised."""
        if not batch:
            return np.empty((0, self.spec.dim), np.float32)
        return self._run(batch, lambda hidden: hidden[:, 0])

    @property
    def patches_share_space(self) -> bool:
        """Patch tokens pass the same last layer norm as the CLS token."""
        return True

    def sampled_slices(self, slices: int) -> list[int]:
        """It takes no volumes: the image."""
        return list(range(min(slices, 1)))

    def pictures(self, prepared: Prepared) -> list[Prepared]:
        """The image."""
        return [prepared]

    def placement(self, frame: Frame) -> Placement:
        """As the recipe resizes and crops."""
        return self.recipe.placement(frame)

    def embed_patches(self, batch: Sequence[Prepared]) -> Patches:
        """Patch tokens: float32 ``(n, 37, 37, 768)``, rows from top to bottom."""
        tokens = self._run(batch, lambda hidden: hidden[:, 1:])
        side = round(tokens.shape[1] ** 0.5)
        return tokens.reshape(len(batch), side, side, -1)

    def _run(self, batch: Sequence[Prepared], pick: Any) -> Embeddings:
        from indexer.encoders.engine import engine_of  # noqa: PLC0415 - torch

        def forward(inputs: Tensor) -> Tensor:
            tokens: Tensor = pick(self._network(inputs).last_hidden_state)
            return tokens

        inputs = (network_input(picture, self.recipe) for picture in batch)
        return engine_of(self._context).run(forward, inputs)

    @once
    def _network(self) -> nn.Module:
        from indexer.encoders.engine import engine_of  # noqa: PLC0415 - torch

        return engine_of(self._context).settle(load_dinov2(self._folder, self.spec.name))


def load_dinov2(folder: Path, name: str) -> nn.Module:
    """Build `Dinov2Model` from a folder in the published layout, every tensor of the file used.

    By transformers' own loading, which renames: the attention's parts have other names in memory
    than on disk, and reading the file by hand leaves 96 of 223 tensors random without a word.

    Raises:
        WeightsError: files are damaged, or are not those of this network.
    """
    from transformers import Dinov2Model  # noqa: PLC0415 - optional and heavy
    from transformers.utils import logging  # noqa: PLC0415

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]

    tensor_shapes(folder / "model.safetensors")  # says what is wrong with a damaged file
    try:
        loading: Any = Dinov2Model.from_pretrained  # its type leaves out what is asked for here
        network, info = loading(
            folder,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are named and refused below
            torch_dtype="float32",
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise WeightsError(f"the files of '{name}' cannot be used: {error}") from error
    refuse_other_network(
        f"model.safetensors of '{name}'",
        missing=info["missing_keys"],
        unexpected=info["unexpected_keys"],
        wrong=[key for key, *_ in info["mismatched_keys"]],
    )
    loaded: nn.Module = network
    return loaded
