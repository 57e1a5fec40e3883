"""FLAIR: colour photographs of the fundus and words in one space of 512 (Silva-Rodríguez et al.).

The image tower is a ResNet-50, the text tower Bio_ClinicalBERT, whose words lie in a repository of
their own. Both lie in one file, whose tensors tell the sizes of the networks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from indexer.encoders.contract import EncoderContext
from indexer.encoders.placement import Placement
from indexer.encoders.recipe import Picture, Recipe, network_input
from indexer.encoders.weights import (
    load_state,
    load_strictly,
    ready_folder,
    spec_of,
    tensor_shapes,
)
from indexer.errors import UnsupportedInputError, WeightsError
from indexer.kept import once
from indexer.types import Embeddings, ImagePixels, Pixels, Prepared

if TYPE_CHECKING:
    from torch import Tensor, nn

SIDE = 512
TOKENS = 77
"""After which the authors cut a text, their prompt included."""
PROMPT = "A fundus photograph of {}"
_WEIGHTS = "model.safetensors"
_IMAGES, _TEXTS = "vision_model.model.", "text_model.model."
_IMAGE_HEAD = "vision_model.projection_head_vision.projection.weight"
_WORDS = f"{_TEXTS}embeddings.word_embeddings.weight"


@dataclass(frozen=True)
class Canvas:
    """Into the upper left corner of a black square, proportions kept."""

    side: int

    def says(self) -> str:
        """What it does, in a sentence."""
        return (
            f"resize, bilinear, the longer side to {self.side}, proportions kept; "
            "fill up with black at the bottom and on the right"
        )

    def __call__(self, picture: Picture) -> Picture:
        """Do it."""
        high, wide = picture.values.shape[:2]
        rows, columns = self._target(high, wide, picture.aspect)
        image = Image.fromarray(np.ascontiguousarray(picture.values))
        small = np.asarray(image.resize((columns, rows), Image.Resampling.BILINEAR))
        square = np.pad(small, ((0, self.side - rows), (0, self.side - columns), (0, 0)))
        return replace(picture, values=square, padding=None, aspect=1.0)

    def place(self, placement: Placement) -> Placement:
        """Stretched, with borders below and to the right."""
        target = self._target(*placement.size, placement.aspect)
        return placement.resized(target).cropped((0, 0), (self.side, self.side))

    def _target(self, height: int, width: int, aspect: float) -> tuple[int, int]:
        high, wide = height * aspect, float(width)
        scale = max(high, wide) / self.side
        # The whole part, as the authors take it: of the longer side a row may be lost to rounding.
        rows, columns = int(high / scale), int(wide / scale)
        if not rows or not columns:
            raise UnsupportedInputError("the image is too thin or too small")
        return rows, columns


RECIPES = {"package": Recipe("package", (Canvas(SIDE),))}


class Flair:
    """Colour photographs of the fundus and words to 512 numbers."""

    def __init__(self, context: EncoderContext) -> None:
        self._context = context
        self.recipe = context.choose(RECIPES)
        self._folder = ready_folder(context)
        shapes = tensor_shapes(self._folder / _WEIGHTS)
        if not {_IMAGE_HEAD, _WORDS} <= shapes.keys():
            raise WeightsError(f"{_WEIGHTS} is not the weights of FLAIR: {_IMAGE_HEAD} is missing")
        self._known_words = shapes[_WORDS][0]
        self.spec = spec_of(context, dim=shapes[_IMAGE_HEAD][0], preprocessing=self.recipe.version)

    def prepare(self, pixels: Pixels) -> Prepared:
        """Make the 8-bit picture: uint8 ``(512, 512, 3)``.

        Raises:
            UnsupportedInputError: a volume, a grey image, a constant one.
        """
        if not isinstance(pixels, ImagePixels):
            raise UnsupportedInputError("a volume, and it takes photographs")
        if pixels.values.ndim != 3:
            raise UnsupportedInputError("a grey image, and it takes colour photographs")
        if np.ptp(pixels.values) == 0:
            raise UnsupportedInputError("constant image")  # before black is put around it
        return self.recipe.picture(pixels)

    def embed(self, batch: Sequence[Prepared]) -> Embeddings:
        """Projected features: float32 ``(n, 512)``, of length one."""
        from indexer.encoders.engine import engine_of  # noqa: PLC0415 - torch

        if not batch:
            return np.empty((0, self.spec.dim), np.float32)
        pictures = (network_input(picture, self.recipe) for picture in batch)
        return engine_of(self._context).run(self._image_tower, pictures)

    def embed_text(self, texts: Sequence[str]) -> Embeddings:
        """Vectors of words put into the prompt: float32 ``(n, 512)``, of length one."""
        from indexer.encoders.towers import embed_each  # noqa: PLC0415 - torch

        if not texts:
            return np.empty((0, self.spec.dim), np.float32)
        said, device = [PROMPT.format(text) for text in texts], self._context.device
        return embed_each(self._text_tower, self._tokenizer, said, TOKENS, device)

    def text_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has in the prompt; beyond `token_limit` none is looked at."""
        from indexer.encoders.towers import count_tokens  # noqa: PLC0415 - torch

        return count_tokens(self._tokenizer, [PROMPT.format(text) for text in texts])

    @property
    def token_limit(self) -> int:
        """Tokens of a text that count."""
        return TOKENS

    def _image_tower(self, pictures: Tensor) -> Tensor:
        vision = self._network.vision_model
        return _projected(vision.projection_head_vision, vision.model(pictures))

    def _text_tower(self, ids: Tensor) -> Tensor:
        text = self._network.text_model
        layers = text.model(ids, output_hidden_states=True).hidden_states
        mean = (layers[1] + layers[2] + layers[-1]).mean(dim=1) / 3
        return _projected(text.projection_head_text, mean)

    @once
    def _network(self) -> Any:
        from indexer.encoders.engine import engine_of  # noqa: PLC0415 - torch

        state = load_state(self._folder / _WEIGHTS)
        where = f"{_WEIGHTS} of '{self.spec.name}'"
        network = load_strictly(empty_network(state, self.spec.dim), state, where)
        return engine_of(self._context).settle(network)

    @once
    def _tokenizer(self) -> Any:
        from indexer.encoders.towers import bert_tokenizer  # noqa: PLC0415 - torch

        return bert_tokenizer(self._folder / "vocab.txt", self._known_words)


def empty_network(state: Mapping[str, Tensor], dim: int) -> nn.Module:
    """Both towers, whose names are the published ones."""
    import torch  # noqa: PLC0415 - heavy
    from torch import nn  # noqa: PLC0415

    from indexer.encoders.towers import empty_bert, empty_resnet  # noqa: PLC0415 - torch

    images: Any = empty_resnet(state, _IMAGES)
    words: Any = empty_bert(state, _TEXTS)
    network = nn.Module()
    network.vision_model, network.text_model = nn.Module(), nn.Module()
    network.vision_model.model, network.text_model.model = images, words
    with torch.device("meta"):
        width = images.layer4[-1].conv3.out_channels
        network.vision_model.projection_head_vision = _empty_head(width, dim)
        network.text_model.projection_head_text = _empty_head(words.config.hidden_size, dim)
        network.logit_scale = nn.Parameter(torch.empty(()))
    return network


def _empty_head(width: int, dim: int) -> nn.Module:
    from torch import nn  # noqa: PLC0415 - heavy

    head = nn.Module()
    head.projection = nn.Linear(width, dim, bias=False)
    return head


def _projected(head: Any, rows: Tensor) -> Tensor:
    """Of length one before the projection and after it."""
    from torch.nn import functional  # noqa: PLC0415 - heavy

    return functional.normalize(head.projection(functional.normalize(rows, dim=-1)), dim=-1)
