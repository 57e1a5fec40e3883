"""Merlin: abdominal CT and reports in one space of 512 (Blankemeier et al., Nature 2026).

The image tower is a ResNet-152 whose convolutions were given a third dimension, the text tower
Clinical-Longformer, whose sizes and words lie in a repository of their own. A vector is what the
authors' contrastive heads give; their vector of 2048 numbers is of another space, without words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32, Int16

from indexer.encoders.contract import EncoderContext
from indexer.encoders.recipe import digest_of
from indexer.encoders.volume import resampled, straight_ct, turned
from indexer.encoders.weights import (
    card_of,
    load_state,
    load_strictly,
    read_config,
    ready_folder,
    spec_of,
)
from indexer.errors import UnsupportedInputError, WeightsError
from indexer.kept import once
from indexer.types import Embeddings, Pixels, Prepared

if TYPE_CHECKING:
    from torch import Tensor, nn

Hounsfield = Int16[np.ndarray, "superior right anterior"]
Shades = Float32[np.ndarray, "1 superior right anterior"]
TOKENS = 1024
"""After which the authors cut a report."""
_WEIGHTS = "i3_resnet_clinical_longformer_best_clip_04-02-2024_23-21-36_epoch_99.pt"
_WORD = re.compile(r"\w+|[^\w\s]+")


@dataclass(frozen=True)
class BoxRecipe:
    """How a scan becomes a box of fixed extent.

    Attributes:
        name: of the recipe.
        spacing: mm a voxel towards the head, the right and the front.
        low, high: HU that become 0 and 1.
        shape: voxels of the box, in the same order.
    """

    name: str
    spacing: tuple[float, float, float]
    low: int
    high: int
    shape: tuple[int, int, int]

    @property
    def version(self) -> str:
        """Name and hash: the space's preprocessing version."""
        return f"{self.name}-{digest_of([self])}"

    def says(self) -> list[str]:
        """Each step in a sentence."""
        spacing = " x ".join(f"{mm:g}" for mm in self.spacing)
        voxels = " x ".join(map(str, self.shape))
        extent = " x ".join(f"{n * mm:g}" for n, mm in zip(self.shape, self.spacing, strict=True))
        return [
            "turn so that slices go from feet to head, rows to the right, columns to the front",
            f"resample, linear, to {spacing} mm",
            f"{self.low} to {self.high} HU onto 0 to 1, clipped",
            f"fill up with 0 on both sides to {voxels} voxels ({extent} mm), or cut out the middle",
        ]


RECIPES = {"package": BoxRecipe("package", (3.0, 1.5, 1.5), -1000, 1000, (160, 224, 224))}


class Merlin:
    """Computed tomography volumes and words to 512 numbers."""

    def __init__(self, context: EncoderContext) -> None:
        self._context = context
        self.recipe = context.choose(RECIPES)
        self._folder = ready_folder(context)
        self._config = read_config(self._folder / "config.json")
        dim = card_of(context.name).dim
        self.spec = spec_of(context, dim=dim, preprocessing=self.recipe.version)

    def prepare(self, pixels: Pixels) -> Prepared:
        """Turn, resample, pad and crop: int16 HU ``(160, 224, 224)``.

        Raises:
            UnsupportedInputError: no CT volume, too few slices, sheared, or nothing in the middle.
        """
        recipe = self.recipe
        values, (up, back, left) = turned(straight_ct(pixels))
        # Which voxel is the first matters: it is the one that stays where it is.
        values = np.flip(np.swapaxes(values, 1, 2), (1, 2))
        values = resampled(values, (up, left, back), recipe.spacing)
        values = np.rint(np.clip(values, recipe.low, recipe.high)).astype(np.int16)
        values = middle(values, recipe.shape)
        if np.ptp(values) == 0:
            raise UnsupportedInputError("constant volume, or nothing in the middle of it")
        return filled_up(values, recipe.shape, recipe.low)

    def embed(self, batch: Sequence[Prepared]) -> Embeddings:
        """What the contrastive head gives: float32 ``(n, 512)``, not normalised.

        One scan after the other, as each takes gigabytes.
        """
        from indexer.encoders.engine import engine_of  # noqa: PLC0415 - torch

        if not batch:
            return np.empty((0, self.spec.dim), np.float32)
        engine = engine_of(self._context)
        rows = [engine.run(self._image_tower, [network_input(v, self.recipe)]) for v in batch]
        return np.concatenate(rows)

    def embed_text(self, texts: Sequence[str]) -> Embeddings:
        """Vectors of reports, cut after 1024 tokens: float32 ``(n, 512)``, not normalised."""
        from indexer.encoders.towers import embed_each  # noqa: PLC0415 - torch

        if not texts:
            return np.empty((0, self.spec.dim), np.float32)
        said, device = [in_plain_words(text) for text in texts], self._context.device
        return embed_each(self._text_tower, self._tokenizer, said, TOKENS, device)

    def text_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has; what is beyond `token_limit` is not looked at."""
        from indexer.encoders.towers import count_tokens  # noqa: PLC0415 - torch

        return count_tokens(self._tokenizer, [in_plain_words(text) for text in texts])

    @property
    def token_limit(self) -> int:
        """Tokens of a text that count."""
        return TOKENS

    def _image_tower(self, volumes: Tensor) -> Tensor:
        network = self._network.encode_image.i3_resnet
        pooled = network(volumes.expand(-1, 3, -1, -1, -1))
        projected: Tensor = network.contrastive_head(pooled[..., None, None, None]).flatten(1)
        return projected

    def _text_tower(self, ids: Tensor) -> Tensor:
        from torch.nn import functional  # noqa: PLC0415 - heavy

        tower = self._network.encode_text
        config, count = tower.text_encoder.config, ids.shape[1]
        # The network takes whole windows; itself it would pad as well, and warn each time.
        lacking = -count % max(config.attention_window)
        mask = functional.pad(ids.new_ones(ids.shape), (0, lacking))
        ids = functional.pad(ids, (0, lacking), value=config.pad_token_id)
        first = tower.text_encoder(ids, attention_mask=mask).last_hidden_state[:, 0]
        projected: Tensor = tower.linear_layer(first)
        return projected

    @once
    def _network(self) -> Any:
        from indexer.encoders.engine import engine_of  # noqa: PLC0415 - torch

        state = load_state(self._folder / _WEIGHTS)
        network = load_strictly(
            empty_network(state, self._config, self.spec.dim),
            state,
            f"the weights of '{self.spec.name}'",
        )
        return engine_of(self._context).settle(network)

    @once
    def _tokenizer(self) -> Any:
        from transformers import RobertaTokenizer  # noqa: PLC0415 - optional and heavy

        from indexer.encoders.towers import made_tokenizer  # noqa: PLC0415 - torch

        vocabulary, merges = self._folder / "vocab.json", self._folder / "merges.txt"
        return made_tokenizer(
            lambda: RobertaTokenizer(vocab=str(vocabulary), merges=str(merges)),
            vocabulary,
            int(self._config.get("vocab_size", 0)),
        )


def middle(values: Hounsfield, shape: Sequence[int]) -> Hounsfield:
    """The middle of a volume, of what is longer; MONAI takes the latter of two voxels for it."""
    firsts = [max(have // 2 - want // 2, 0) for have, want in zip(values.shape, shape, strict=True)]
    box = tuple(slice(first, first + want) for first, want in zip(firsts, shape, strict=True))
    return values[box]


def filled_up(values: Hounsfield, shape: Sequence[int], padding: int) -> Hounsfield:
    """A volume with as much around it as it lacks, of an odd number the more behind."""
    lacking = [want - have for have, want in zip(values.shape, shape, strict=True)]
    around = [(count // 2, count - count // 2) for count in lacking]
    return np.pad(values, around, constant_values=padding)


def network_input(values: Hounsfield, recipe: BoxRecipe) -> Shades:
    """Hounsfield units as the float32 ``(1, 160, 224, 224)`` in 0..1 that the network takes."""
    shades = (values.astype(np.float32) - recipe.low) / np.float32(recipe.high - recipe.low)
    return np.asarray(shades[None], np.float32)


def in_plain_words(text: str) -> str:
    """Lower case, with a space between words and signs, as the authors prepare reports."""
    return " ".join(_WORD.findall(text.lower()))


def empty_network(state: Mapping[str, Tensor], config: Mapping[str, Any], dim: int) -> nn.Module:
    """Both towers, whose names are the published ones.

    Raises:
        WeightsError: the configuration of the text tower cannot be used.
    """
    import torch  # noqa: PLC0415 - heavy
    from torch import nn  # noqa: PLC0415
    from transformers import LongformerConfig, LongformerModel  # noqa: PLC0415 - optional, heavy

    from indexer.encoders.towers import empty_resnet  # noqa: PLC0415 - torch

    images: Any = empty_resnet(state, "encode_image.i3_resnet.")
    kinds = state.get("encode_image.i3_resnet.classifier.bias")
    with torch.device("meta"):
        try:
            words: Any = LongformerModel(LongformerConfig(**config))
        except Exception as error:  # whatever its checks raise
            raise WeightsError(f"config.json of the text tower cannot be used: {error}") from error
        network = nn.Module()
        network.encode_image, network.encode_text = nn.Module(), nn.Module()
        width = images.layer4[-1].conv3.out_channels
        # Of the phenotypes, learned together with the space; here it only has to be complete.
        images.classifier = nn.Conv3d(width, 0 if kinds is None else len(kinds), 1)
        images.contrastive_head = nn.Conv3d(width, dim, 1)
        network.encode_image.i3_resnet = images
        network.encode_text.text_encoder = words
        network.encode_text.linear_layer = nn.Linear(words.config.hidden_size, dim)
        network.logit_scale = nn.Parameter(torch.empty(()))
    return network
