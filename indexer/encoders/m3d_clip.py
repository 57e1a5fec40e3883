"""M3D-CLIP: CT volumes and reports in one space of 768 (Bai et al. 2024, arXiv 2404.00578).

The image tower is a vision transformer over blocks of 4 x 16 x 16 voxels, the text tower BERT; a
vector is the first token, projected. The names of the tensors are MONAI's of 2023. MONAI itself
needs einops for these blocks, so they are written out here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32

from indexer.encoders.contract import EncoderContext
from indexer.encoders.recipe import digest_of
from indexer.encoders.volume import foreground, straight_ct, stretched, turned
from indexer.encoders.weights import (
    load_state,
    load_strictly,
    read_config,
    ready_folder,
    spec_of,
    tensor_shapes,
)
from indexer.errors import UnsupportedInputError, WeightsError
from indexer.kept import once
from indexer.types import Embeddings, Pixels, Prepared, VolumePixels

if TYPE_CHECKING:
    from torch import Tensor, nn

Shades = Float32[np.ndarray, "depth height width"]
_WEIGHTS, _WORDS = "model.safetensors", "language_encoder.embeddings.word_embeddings.weight"


@dataclass(frozen=True)
class GridRecipe:
    """How a scan becomes a grid of fixed size.

    Attributes:
        name: of the recipe.
        shape: voxels along the body, from front to back and from right to left.
    """

    name: str
    shape: tuple[int, int, int]

    @property
    def version(self) -> str:
        """Name and hash: the space's preprocessing version."""
        return f"{self.name}-{digest_of([self])}"

    def says(self) -> list[str]:
        """Each step in a sentence."""
        return [
            "turn so that slices go from feet to head, rows to the back, columns to the left",
            "least to greatest value onto 0 to 1, padding counted as the least that is none",
            "keep the smallest box with all voxels above 0",
            f"resize, linear, to {' x '.join(map(str, self.shape))} voxels, proportions not kept",
        ]


RECIPES = {"m3d-cap": GridRecipe("m3d-cap", (32, 256, 256))}


@dataclass(frozen=True)
class Sizes:
    """Of the image tower, as config.json has them.

    Attributes:
        width: of a token and of a vector.
        inner: of the two layers behind the attention.
        layers, heads: their numbers.
        patch: voxels of a token.
        grid: tokens along the axes.
        text_limit: tokens of a text.
    """

    width: int
    inner: int
    layers: int
    heads: int
    patch: tuple[int, ...]
    grid: tuple[int, ...]
    text_limit: int

    @classmethod
    def read(cls, config: Mapping[str, Any], where: str) -> Sizes:
        """From the configuration.

        Raises:
            WeightsError: it lacks something, or is of volumes of another shape.
        """
        try:
            shape = tuple(int(n) for n in config["img_size"])
            patch = tuple(int(n) for n in config["patch_size"])
            grid = tuple(n // p for n, p in zip(shape, patch, strict=True))
            sizes = cls(
                width=int(config["hidden_size"]),
                inner=int(config["mlp_dim"]),
                layers=int(config["num_layers"]),
                heads=int(config["num_heads"]),
                patch=patch,
                grid=grid,
                text_limit=int(config["max_text_len"]),
            )
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise WeightsError(f"{where} cannot be used: {error!r}") from error
        if shape != RECIPES["m3d-cap"].shape:
            raise WeightsError(
                f"{where} is of volumes of {shape} voxels, and these are prepared "
                f"as {RECIPES['m3d-cap'].shape}"
            )
        return sizes


class M3dClip:
    """Computed tomography volumes and words to 768 numbers."""

    def __init__(self, context: EncoderContext) -> None:
        self._context = context
        self.recipe = context.choose(RECIPES)
        self._folder = ready_folder(context)
        config = self._folder / "config.json"
        self._sizes = Sizes.read(read_config(config), str(config))
        self.spec = spec_of(context, dim=self._sizes.width, preprocessing=self.recipe.version)

    def prepare(self, pixels: Pixels) -> Prepared:
        """Turn, scale, crop and resize: float32 ``(32, 256, 256)`` in 0..1.

        Raises:
            UnsupportedInputError: no CT volume, too few slices, sheared, or nothing in it.
        """
        values, _ = turned(without_padding(straight_ct(pixels)))
        low, high = float(values.min()), float(values.max())
        if low == high:
            raise UnsupportedInputError("constant volume")
        shades = (values.astype(np.float32) - np.float32(low)) / np.float32(high - low)
        return stretched(foreground(shades, 0), self.recipe.shape)

    def embed(self, batch: Sequence[Prepared]) -> Embeddings:
        """First tokens, projected: float32 ``(n, 768)``, of length one."""
        from indexer.encoders.engine import engine_of  # noqa: PLC0415 - torch

        if not batch:
            return np.empty((0, self.spec.dim), np.float32)
        return engine_of(self._context).run(self._image_tower, [one[None] for one in batch])

    def embed_text(self, texts: Sequence[str]) -> Embeddings:
        """Vectors of reports, cut after 128 tokens: float32 ``(n, 768)``, of length one."""
        from indexer.encoders.towers import embed_each  # noqa: PLC0415 - torch

        if not texts:
            return np.empty((0, self.spec.dim), np.float32)
        limit, device = self.token_limit, self._context.device
        return embed_each(self._text_tower, self._tokenizer, texts, limit, device)

    def text_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has; what is beyond `token_limit` is not looked at."""
        from indexer.encoders.towers import count_tokens  # noqa: PLC0415 - torch

        return count_tokens(self._tokenizer, texts)

    @property
    def token_limit(self) -> int:
        """Tokens of a text that count, by config.json."""
        return self._sizes.text_limit

    def _image_tower(self, volumes: Tensor) -> Tensor:
        return image_tower(self._network, volumes, self._sizes)

    def _text_tower(self, ids: Tensor) -> Tensor:
        network = self._network
        first = network.language_encoder(ids).last_hidden_state[:, 0]
        return _unit(network.mm_language_proj(first))

    @once
    def _network(self) -> Any:
        from indexer.encoders.engine import engine_of  # noqa: PLC0415 - torch

        state = load_state(self._folder / _WEIGHTS)
        where = f"{_WEIGHTS} of '{self.spec.name}'"
        network = load_strictly(empty_network(state, self._sizes), state, where)
        return engine_of(self._context).settle(network)

    @once
    def _tokenizer(self) -> Any:
        from indexer.encoders.towers import bert_tokenizer  # noqa: PLC0415 - torch

        words = tensor_shapes(self._folder / _WEIGHTS).get(_WORDS, (0,))[0]
        return bert_tokenizer(self._folder / "vocab.txt", words)


def without_padding(pixels: VolumePixels) -> VolumePixels:
    """Voxels that mark "no image" made as dark as the darkest of the others."""
    if pixels.padding_value is None:
        return pixels
    padding = pixels.values <= pixels.padding_value
    if padding.all() or not padding.any():
        return pixels
    values = np.where(padding, pixels.values[~padding].min(), pixels.values)
    return replace(pixels, values=values)


def empty_network(state: Mapping[str, Tensor], sizes: Sizes) -> nn.Module:
    """Both towers, whose names are the published ones."""
    import torch  # noqa: PLC0415 - heavy
    from torch import nn  # noqa: PLC0415

    from indexer.encoders.towers import empty_bert  # noqa: PLC0415

    width = sizes.width
    with torch.device("meta"):
        vision = nn.Module()
        vision.cls_token = nn.Parameter(torch.empty(1, 1, width))
        vision.patch_embedding = nn.Module()
        tokens = int(np.prod(sizes.grid))
        vision.patch_embedding.position_embeddings = nn.Parameter(torch.empty(1, tokens, width))
        voxels = int(np.prod(sizes.patch))
        # The first of the two cuts the volume into blocks and has no weights.
        vision.patch_embedding.patch_embeddings = nn.Sequential(
            nn.Identity(), nn.Linear(voxels, width)
        )
        vision.blocks = nn.ModuleList(_empty_block(sizes) for _ in range(sizes.layers))
        vision.norm = nn.LayerNorm(width)
        network = nn.Module()
        network.vision_encoder = vision
        network.mm_vision_proj = nn.Linear(width, width)
        network.mm_language_proj = nn.Linear(width, width)
        network.logit_scale = nn.Parameter(torch.empty(()))
    network.language_encoder = empty_bert(state, "language_encoder.")
    return network


def _empty_block(sizes: Sizes) -> nn.Module:
    from torch import nn  # noqa: PLC0415 - heavy

    width, block = sizes.width, nn.Module()
    block.norm1, block.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
    block.attn, block.mlp = nn.Module(), nn.Module()
    block.attn.qkv = nn.Linear(width, 3 * width, bias=False)
    block.attn.out_proj = nn.Linear(width, width)
    block.mlp.linear1 = nn.Linear(width, sizes.inner)
    block.mlp.linear2 = nn.Linear(sizes.inner, width)
    return block


def image_tower(network: Any, volumes: Tensor, sizes: Sizes) -> Tensor:
    """``(n, 1, 32, 256, 256)`` to ``(n, 768)``, of length one."""
    from torch import cat  # noqa: PLC0415 - heavy
    from torch.nn import functional  # noqa: PLC0415

    vision, count = network.vision_encoder, len(volumes)
    sides = [side for pair in zip(sizes.grid, sizes.patch, strict=True) for side in pair]
    blocks = volumes.reshape(count, *sides).permute(0, 1, 3, 5, 2, 4, 6)
    embedding = vision.patch_embedding
    tokens = embedding.patch_embeddings(blocks.reshape(count, int(np.prod(sizes.grid)), -1))
    tokens = tokens + embedding.position_embeddings
    tokens = cat((vision.cls_token.expand(count, -1, -1), tokens), dim=1)
    for block in vision.blocks:
        tokens = tokens + _attention(block.attn, block.norm1(tokens), sizes.heads)
        inner = functional.gelu(block.mlp.linear1(block.norm2(tokens)))
        tokens = tokens + block.mlp.linear2(inner)
    return _unit(network.mm_vision_proj(vision.norm(tokens[:, 0])))


def _attention(layer: Any, tokens: Tensor, heads: int) -> Tensor:
    from torch.nn import functional  # noqa: PLC0415 - heavy

    query, key, value = layer.qkv(tokens).unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    seen = functional.scaled_dot_product_attention(query, key, value)
    mixed: Tensor = layer.out_proj(seen.transpose(1, 2).flatten(2))
    return mixed


def _unit(rows: Tensor) -> Tensor:
    from torch.nn import functional  # noqa: PLC0415 - heavy

    return functional.normalize(rows, dim=-1)
