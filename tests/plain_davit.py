"""MedImageInsight written out plainly and slowly, in double precision: what ours has to equal.

From the equations of DaViT (Ding et al., ECCV 2022) and of the transformer, one window, one head,
one group of channels, one text at a time. Nothing of it is shared with the encoder but the names of
the tensors, which are those of the published file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

WINDOW, HEAD, TEXT_HEAD = 12, 32, 64
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Build:
    """How big a network is: per stage its channels, pairs of blocks and patch; then the text."""

    dims: tuple[int, ...] = (32, 64, 64, 96)
    depths: tuple[int, ...] = (1, 1, 2, 1)
    patches: tuple[int, ...] = (7, 3, 3, 3)
    joint: int = 40
    width: int = 128
    layers: int = 2
    tokens: int = 77
    vocabulary: int = 600


TINY = Build()
PUBLISHED = Build((256, 512, 1024, 2048), (1, 1, 9, 1), (7, 3, 3, 3), 1024, 1024, 16, 77, 49_408)


# -- names and shapes ------------------------------------------------------------------------------


def shapes(build: Build) -> dict[str, Shape]:
    """Every tensor of the published file."""
    return dict([*_image_shapes(build), *_text_shapes(build), *_joint_shapes(build)])


def _image_shapes(build: Build) -> Iterator[tuple[str, Shape]]:
    before = 3
    for i, (dim, depth, patch) in enumerate(
        zip(build.dims, build.depths, build.patches, strict=True)
    ):
        stem = f"image_encoder.convs.{i}"
        yield f"{stem}.proj.weight", (dim, before, patch, patch)
        yield f"{stem}.proj.bias", (dim,)
        yield from _norm(f"{stem}.norm", before if i else dim)
        for j in range(depth):
            for kind, attention in (("spatial", "window"), ("channel", "channel")):
                block = f"image_encoder.blocks.{i}.{j}.{kind}_block"
                for conv in ("conv1", "conv2"):
                    yield f"{block}.{conv}.fn.dw.weight", (dim, 1, 3, 3)
                    yield f"{block}.{conv}.fn.dw.bias", (dim,)
                yield from _norm(f"{block}.{attention}_attn.norm", dim)
                yield from _linear(f"{block}.{attention}_attn.fn.qkv", dim, 3 * dim)
                yield from _linear(f"{block}.{attention}_attn.fn.proj", dim, dim)
                yield from _norm(f"{block}.ffn.norm", dim)
                yield from _linear(f"{block}.ffn.fn.net.fc1", dim, 4 * dim)
                yield from _linear(f"{block}.ffn.fn.net.fc2", 4 * dim, dim)
        before = dim
    yield from _norm("image_encoder.norms", before)


def _text_shapes(build: Build) -> Iterator[tuple[str, Shape]]:
    width = build.width
    yield "lang_encoder.token_embedding.weight", (build.vocabulary, width)
    yield "lang_encoder.positional_embedding", (build.tokens, width)
    for i in range(build.layers):
        block = f"lang_encoder.resblocks.{i}"
        yield f"{block}.attn.in_proj_weight", (3 * width, width)
        yield f"{block}.attn.in_proj_bias", (3 * width,)
        yield from _linear(f"{block}.attn.out_proj", width, width)
        yield from _norm(f"{block}.ln_1", width)
        yield from _linear(f"{block}.mlp.c_fc", width, 4 * width)
        yield from _linear(f"{block}.mlp.c_proj", 4 * width, width)
        yield from _norm(f"{block}.ln_2", width)
    yield from _norm("lang_encoder.ln_final", width)


def _joint_shapes(build: Build) -> Iterator[tuple[str, Shape]]:
    yield "image_projection", (build.dims[-1], build.joint)
    yield "lang_projection", (build.width, build.joint)
    yield "logit_scale", ()


def _norm(name: str, dim: int) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.weight", (dim,)
    yield f"{name}.bias", (dim,)


def _linear(name: str, inner: int, outer: int) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.weight", (outer, inner)
    yield f"{name}.bias", (outer,)


def random_state(build: Build, seed: int = 0) -> dict[str, Tensor]:
    """Values that keep signals at their size, and no two tensors alike: a swapped name shows."""
    generator = torch.Generator().manual_seed(seed)
    return {name: random_tensor(name, shape, generator) for name, shape in shapes(build).items()}


def random_tensor(name: str, shape: Shape, generator: torch.Generator) -> Tensor:
    """Biases are small, scales near one, weights as large as the number of inputs allows."""
    noise = torch.randn(shape, generator=generator)
    if name == "logit_scale":
        return 2.0 + 0.1 * noise
    if name.endswith("bias"):
        return 0.1 * noise
    if len(shape) == 1:
        return 1.0 + 0.2 * noise
    if "position" in name or "token" in name:
        return 0.3 * noise
    inner = shape[0] if name.endswith("_projection") else math.prod(shape[1:])
    return noise * (inner**-0.5)


class Weights:
    """Named tensors, and which of them were asked for."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self._state = state
        self.used: set[str] = set()

    def __getitem__(self, name: str) -> Tensor:
        self.used.add(name)
        return self._state[name].double()

    def count(self, prefix: str) -> int:
        """How many numbers follow a prefix."""
        return len(
            {n.removeprefix(prefix).split(".")[0] for n in self._state if n.startswith(prefix)}
        )

    def linear(self, name: str, values: Tensor) -> Tensor:
        return values @ self[f"{name}.weight"].T + self[f"{name}.bias"]

    def norm(self, name: str, values: Tensor, eps: float) -> Tensor:
        """Layer norm over the last axis."""
        centred = values - values.mean(dim=-1, keepdim=True)
        variance = (centred**2).mean(dim=-1, keepdim=True)
        scaled = centred / torch.sqrt(variance + eps)
        return scaled * self[f"{name}.weight"] + self[f"{name}.bias"]


# -- the image tower -------------------------------------------------------------------------------


def image_vectors(weights: Weights, pictures: Tensor) -> Tensor:
    """``(n, 3, h, w)`` to ``(n, joint)``, not normalised."""
    maps = pictures.double().movedim(1, -1)  # places first, channels last, throughout
    for stage in range(weights.count("image_encoder.convs.")):
        maps = _embedded(weights, stage, maps)
        for pair in range(weights.count(f"image_encoder.blocks.{stage}.")):
            block = f"image_encoder.blocks.{stage}.{pair}"
            maps = _block(weights, f"{block}.spatial_block", maps, "window_attn")
            maps = _block(weights, f"{block}.channel_block", maps, "channel_attn")
    pooled = weights.norm("image_encoder.norms", maps.mean(dim=(1, 2)), 1e-5)
    return pooled @ weights["image_projection"]


def _embedded(weights: Weights, stage: int, maps: Tensor) -> Tensor:
    """A convolution that makes the map smaller; normed before it, but in the first stage after."""
    name = f"image_encoder.convs.{stage}"
    kernel = weights[f"{name}.proj.weight"]
    if stage > 0:
        maps = weights.norm(f"{name}.norm", maps, 1e-5)
    maps = functional.conv2d(
        maps.movedim(-1, 1),
        kernel,
        weights[f"{name}.proj.bias"],
        stride=4 if stage == 0 else 2,
        padding=kernel.shape[-1] // 2,
    ).movedim(1, -1)
    return maps if stage > 0 else weights.norm(f"{name}.norm", maps, 1e-5)


def _block(weights: Weights, name: str, maps: Tensor, kind: str) -> Tensor:
    attend = _in_windows if kind == "window_attn" else _among_channels
    maps = maps + _around(weights, f"{name}.conv1.fn.dw", maps)
    normed = weights.norm(f"{name}.{kind}.norm", maps, 1e-5)
    maps = maps + attend(weights, f"{name}.{kind}.fn", normed)
    maps = maps + _around(weights, f"{name}.conv2.fn.dw", maps)
    normed = weights.norm(f"{name}.ffn.norm", maps, 1e-5)
    hidden = weights.linear(f"{name}.ffn.fn.net.fc1", normed)
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
    return maps + weights.linear(f"{name}.ffn.fn.net.fc2", hidden)


def _around(weights: Weights, name: str, maps: Tensor) -> Tensor:
    """Each channel with its eight neighbours, black beyond the edge."""
    kernel = weights[f"{name}.weight"]
    _, height, width, _ = maps.shape
    padded = functional.pad(maps, (0, 0, 1, 1, 1, 1))
    found = weights[f"{name}.bias"].expand_as(maps).clone()
    for dy in range(3):
        for dx in range(3):
            found += padded[:, dy : dy + height, dx : dx + width] * kernel[:, 0, dy, dx]
    return found


def _attention(queries: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
    """Rows look at rows: ``(..., n, c)``."""
    return torch.softmax(scale * (queries @ keys.mT), dim=-1) @ values


def _in_windows(weights: Weights, name: str, maps: Tensor) -> Tensor:
    """Within windows of 12 x 12; the last ones are filled with zeros, which are looked at too."""
    n, height, width, dim = maps.shape
    padded = functional.pad(maps, (0, 0, 0, -width % WINDOW, 0, -height % WINDOW))
    places = [
        (slice(None), slice(top, top + WINDOW), slice(left, left + WINDOW))
        for top in range(0, height, WINDOW)
        for left in range(0, width, WINDOW)
    ]
    windows = torch.stack([padded[place].reshape(n, WINDOW * WINDOW, dim) for place in places])
    queries, keys, values = weights.linear(f"{name}.qkv", windows).split(dim, dim=-1)
    seen = torch.empty_like(queries)
    for first in range(0, dim, HEAD):
        head = slice(first, first + HEAD)
        seen[..., head] = _attention(
            queries[..., head], keys[..., head], values[..., head], HEAD**-0.5
        )
    found = torch.zeros_like(padded)
    for place, window in zip(places, weights.linear(f"{name}.proj", seen), strict=True):
        found[place] = window.reshape(n, WINDOW, WINDOW, dim)
    return found[:, :height, :width]


def _among_channels(weights: Weights, name: str, maps: Tensor) -> Tensor:
    """Channels of a group look at one another, over all places."""
    n, height, width, dim = maps.shape
    places = maps.reshape(n, height * width, dim)
    queries, keys, values = weights.linear(f"{name}.qkv", places).split(dim, dim=-1)
    seen = torch.empty_like(queries)
    for first in range(0, dim, HEAD):
        group = slice(first, first + HEAD)
        seen[..., group] = _attention(
            queries[..., group].mT,
            keys[..., group].mT,
            values[..., group].mT,
            len(places[0]) ** -0.5,
        ).mT
    return weights.linear(f"{name}.proj", seen).reshape(maps.shape)


# -- the text tower --------------------------------------------------------------------------------


def text_vector(weights: Weights, ids: list[int]) -> Tensor:
    """One text of so many tokens, without any padding: ``(joint,)``, not normalised."""
    hidden = weights["lang_encoder.token_embedding.weight"][ids]
    hidden = hidden + weights["lang_encoder.positional_embedding"][: len(ids)]
    width = hidden.shape[-1]
    for layer in range(weights.count("lang_encoder.resblocks.")):
        name = f"lang_encoder.resblocks.{layer}"
        normed = weights.norm(f"{name}.ln_1", hidden, 1e-12)
        mixed = normed @ weights[f"{name}.attn.in_proj_weight"].T
        mixed = mixed + weights[f"{name}.attn.in_proj_bias"]
        queries, keys, values = mixed.split(width, dim=-1)
        seen = torch.cat(
            [
                _attention(q, k, v, TEXT_HEAD**-0.5)
                for q, k, v in zip(
                    queries.split(TEXT_HEAD, -1),
                    keys.split(TEXT_HEAD, -1),
                    values.split(TEXT_HEAD, -1),
                    strict=True,
                )
            ],
            dim=-1,
        )
        hidden = hidden + weights.linear(f"{name}.attn.out_proj", seen)
        normed = weights.norm(f"{name}.ln_2", hidden, 1e-12)
        inner = weights.linear(f"{name}.mlp.c_fc", normed)
        inner = inner / (1 + torch.exp(-1.702 * inner))
        hidden = hidden + weights.linear(f"{name}.mlp.c_proj", inner)
    hidden = weights.norm("lang_encoder.ln_final", hidden, 1e-12)
    return hidden[ids.index(max(ids))] @ weights["lang_projection"]
