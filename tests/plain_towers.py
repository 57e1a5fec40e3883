"""M3D-CLIP, Merlin and FLAIR written out plainly, in double precision, by their papers and code."""

from __future__ import annotations

from typing import Any

import torch
from plain_davit import Weights
from torch import Tensor
from torch.nn import functional as F  # noqa: N812


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int, allowed: Tensor | None) -> Tensor:
    """Of rows ``(n, width)``, head by head; ``allowed`` tells who may look at whom."""
    found = []
    for q, k, v in zip(*(x.chunk(heads, dim=-1) for x in (query, key, value)), strict=True):
        scores = q @ k.T / q.shape[-1] ** 0.5
        if allowed is not None:
            scores = scores.masked_fill(~allowed, float("-inf"))
        found.append(scores.softmax(dim=-1) @ v)
    return torch.cat(found, dim=-1)


def unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True)


# -- text towers -----------------------------------------------------------------------------------


def bert_layers(
    weights: Weights,
    prefix: str,
    ids: list[int],
    *,
    heads: int,
    eps: float = 1e-12,
    first_place: int = 0,
    window: int | None = None,
) -> list[Tensor]:
    """All hidden states ``(n, width)``, the embeddings first (Devlin et al. 2019).

    With a window it is Longformer (Beltagy et al. 2020) without global tokens: each token looks at
    half a window on either side.
    """
    places = torch.arange(len(ids)) + first_place
    x = weights[f"{prefix}embeddings.word_embeddings.weight"][ids]
    x = x + weights[f"{prefix}embeddings.position_embeddings.weight"][places]
    x = x + weights[f"{prefix}embeddings.token_type_embeddings.weight"][0]
    states = [weights.norm(f"{prefix}embeddings.LayerNorm", x, eps)]
    near = None if window is None else (places[:, None] - places).abs() <= window // 2
    for i in range(weights.count(f"{prefix}encoder.layer.")):
        layer, x = f"{prefix}encoder.layer.{i}", states[-1]
        parts = ("query", "key", "value")
        q, k, v = (weights.linear(f"{layer}.attention.self.{part}", x) for part in parts)
        seen = weights.linear(f"{layer}.attention.output.dense", attend(q, k, v, heads, near))
        x = weights.norm(f"{layer}.attention.output.LayerNorm", x + seen, eps)
        inner = F.gelu(weights.linear(f"{layer}.intermediate.dense", x))
        inner = weights.linear(f"{layer}.output.dense", inner)
        states.append(weights.norm(f"{layer}.output.LayerNorm", x + inner, eps))
    return states


# -- image towers ----------------------------------------------------------------------------------


def m3d_image(weights: Weights, volume: Tensor, *, heads: int, patch: tuple[int, ...]) -> Tensor:
    """``(32, 256, 256)`` to a vector: block by block, then a transformer, then the first token."""
    vision = "vision_encoder."
    blocks = [
        rows.reshape(-1)
        for slab in volume.double().split(patch[0], 0)
        for band in slab.split(patch[1], 1)
        for rows in band.split(patch[2], 2)
    ]
    x = weights.linear(f"{vision}patch_embedding.patch_embeddings.1", torch.stack(blocks))
    x = x + weights[f"{vision}patch_embedding.position_embeddings"][0]
    x = torch.cat([weights[f"{vision}cls_token"][0], x])
    for i in range(weights.count(f"{vision}blocks.")):
        block = f"{vision}blocks.{i}"
        calm = weights.norm(f"{block}.norm1", x, 1e-5)
        q, k, v = (calm @ weights[f"{block}.attn.qkv.weight"].T).chunk(3, dim=-1)
        x = x + weights.linear(f"{block}.attn.out_proj", attend(q, k, v, heads, None))
        calm = weights.norm(f"{block}.norm2", x, 1e-5)
        inner = F.gelu(weights.linear(f"{block}.mlp.linear1", calm))
        x = x + weights.linear(f"{block}.mlp.linear2", inner)
    x = weights.norm(f"{vision}norm", x, 1e-5)
    return unit(weights.linear("mm_vision_proj", x))[0]


def batch_norm(weights: Weights, name: str, x: Tensor) -> Tensor:
    mean, var, scale, shift = (
        weights[f"{name}.{part}"].reshape(1, -1, *[1] * (x.ndim - 2))
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (var + 1e-5).sqrt() * scale + shift


def resnet_features(weights: Weights, prefix: str, x: Tensor) -> Tensor:
    """``(3, ...)`` to its features, averaged over places (He et al. 2016, stride in the middle).

    Of two dimensions, or of three as Merlin inflates it: in depth the first convolution has three
    taps and no stride; everything after it has in depth what it has along rows and columns.
    """
    flat = x.ndim == 3
    pool = F.max_pool2d if flat else F.max_pool3d
    stride, margin = ((2, 2), (3, 3)) if flat else ((1, 2, 2), (1, 3, 3))
    x = convolved(weights, f"{prefix}conv1", x.double()[None], stride, margin)
    x = pool(batch_norm(weights, f"{prefix}bn1", x).relu(), 3, 2, 1)
    for stage in range(1, 5):
        for i in range(weights.count(f"{prefix}layer{stage}.")):
            block = f"{prefix}layer{stage}.{i}"
            step = 2 if i == 0 and stage > 1 else 1
            y = convolved(weights, f"{block}.conv1", x)
            y = batch_norm(weights, f"{block}.bn1", y).relu()
            y = convolved(weights, f"{block}.conv2", y, step, 1)
            y = batch_norm(weights, f"{block}.bn2", y).relu()
            y = batch_norm(weights, f"{block}.bn3", convolved(weights, f"{block}.conv3", y))
            if i == 0:
                x = convolved(weights, f"{block}.downsample.0", x, step)
                x = batch_norm(weights, f"{block}.downsample.1", x)
            x = (x + y).relu()
    return x.flatten(2).mean(dim=2)[0]


def convolved(weights: Weights, name: str, x: Tensor, stride: Any = 1, margin: Any = 0) -> Tensor:
    convolve = F.conv2d if x.ndim == 4 else F.conv3d
    return convolve(x, weights[f"{name}.weight"], None, stride, margin)
