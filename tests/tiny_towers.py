"""Small random M3D-CLIP, Merlin and FLAIR, in files laid out as they are published."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import plain_davit
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from indexer.encoders.towers import empty_resnet

Shapes = Iterator[tuple[str, tuple[int, ...]]]
MERLIN = "i3_resnet_clinical_longformer_best_clip_04-02-2024_23-21-36_epoch_99.pt"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "fun", "##dus", "photograph", "of"]
WORDS += ["lung", "liver", "no", "lesion", "##s", "macula", "edema", ".", ","]
"""Of BERT's toy vocabularies."""


def drawn(shapes: Iterable[tuple[str, tuple[int, ...]]], seed: int) -> dict[str, Tensor]:
    """Random tensors; of batch norm not yet the statistics of anything."""
    generator, state = torch.Generator().manual_seed(seed), {}
    for name, shape in shapes:
        tensor = plain_davit.random_tensor(name, shape, generator)
        if name.endswith("running_var"):
            tensor = 0.5 + torch.rand(shape, generator=generator)
        elif name.endswith("running_mean"):
            tensor = 0.1 * tensor
        elif name.endswith("num_batches_tracked"):
            tensor = torch.tensor(1000)
        state[name] = tensor
    return state


def _linear(name: str, inputs: int, outputs: int, *, bias: bool = True) -> Shapes:
    yield f"{name}.weight", (outputs, inputs)
    if bias:
        yield f"{name}.bias", (outputs,)


def _norm(name: str, width: int) -> Shapes:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def bert_shapes(
    prefix: str,
    *,
    words: int,
    width: int,
    layers: int,
    places: int,
    kinds: int = 2,
    parts: tuple[str, ...] = ("query", "key", "value"),
) -> Shapes:
    """Names of `BertModel`, and with more parts of `LongformerModel`."""
    yield f"{prefix}embeddings.word_embeddings.weight", (words, width)
    yield f"{prefix}embeddings.position_embeddings.weight", (places, width)
    yield f"{prefix}embeddings.token_type_embeddings.weight", (kinds, width)
    yield from _norm(f"{prefix}embeddings.LayerNorm", width)
    for i in range(layers):
        layer = f"{prefix}encoder.layer.{i}"
        for part in parts:
            yield from _linear(f"{layer}.attention.self.{part}", width, width)
        yield from _linear(f"{layer}.attention.output.dense", width, width)
        yield from _norm(f"{layer}.attention.output.LayerNorm", width)
        yield from _linear(f"{layer}.intermediate.dense", width, 4 * width)
        yield from _linear(f"{layer}.output.dense", 4 * width, width)
        yield from _norm(f"{layer}.output.LayerNorm", width)
    yield from _linear(f"{prefix}pooler.dense", width, width)


def resnet_shapes(
    prefix: str, kernel: tuple[int, ...], layers: tuple[int, ...], planes: tuple[int, ...]
) -> Shapes:
    """Names of torchvision's residual networks of bottlenecks, without the classifier."""

    def convolution(name: str, inputs: int, outputs: int, side: int) -> Shapes:
        yield f"{prefix}{name}.weight", (outputs, inputs, *(side,) * len(kernel))

    def statistics(name: str, width: int) -> Shapes:
        yield from _norm(f"{prefix}{name}", width)
        yield f"{prefix}{name}.running_mean", (width,)
        yield f"{prefix}{name}.running_var", (width,)
        yield f"{prefix}{name}.num_batches_tracked", ()

    yield f"{prefix}conv1.weight", (planes[0], 3, *kernel)
    yield from statistics("bn1", planes[0])
    width = planes[0]
    for stage, (count, plane) in enumerate(zip(layers, planes, strict=True), start=1):
        for i in range(count):
            block = f"layer{stage}.{i}"
            yield from convolution(f"{block}.conv1", width, plane, 1)
            yield from statistics(f"{block}.bn1", plane)
            yield from convolution(f"{block}.conv2", plane, plane, 3)
            yield from statistics(f"{block}.bn2", plane)
            yield from convolution(f"{block}.conv3", plane, 4 * plane, 1)
            yield from statistics(f"{block}.bn3", 4 * plane)
            if i == 0:
                yield from convolution(f"{block}.downsample.0", width, 4 * plane, 1)
                yield from statistics(f"{block}.downsample.1", 4 * plane)
            width = 4 * plane


def resnet_of(state: dict[str, Tensor], prefix: str) -> Any:
    """MONAI's network with these tensors."""
    network = empty_resnet(state, prefix)
    mine = {name: state[prefix + name] for name in network.state_dict()}
    network.load_state_dict(mine, assign=True)
    return network.eval()


def settled(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The same, with batch norm's statistics those of drawn inputs, as after training.

    With random ones a deep network gives nearly one vector for all inputs.
    """
    network = resnet_of(state, prefix)
    generator, sides = torch.Generator().manual_seed(8), network.conv1.weight.ndim - 2
    coarse = torch.rand((6, 3, *(5,) * sides), generator=generator)
    coarse *= torch.linspace(0.1, 1, 6).reshape(6, *(1,) * (sides + 1))
    for module in network.train().modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    with torch.no_grad():
        network(functional.interpolate(coarse, size=(64,) * sides))
    return state | {prefix + name: tensor for name, tensor in network.state_dict().items()}


def bytes_as_letters() -> Iterator[str]:
    """A visible letter for each byte, as byte-level encodings have it since GPT-2."""
    visible = {*range(33, 127), *range(161, 173), *range(174, 256)}
    hidden = 0
    for byte in range(256):
        yield chr(byte if byte in visible else 256 + hidden)
        hidden += byte not in visible


def write_words(path: Path) -> None:
    path.write_text("\n".join(WORDS) + "\n", encoding="utf-8")


# -- M3D-CLIP --------------------------------------------------------------------------------------

M3D_CLIP = {
    "model_type": "m3d_clip",
    "img_size": [32, 256, 256],
    "patch_size": [4, 16, 16],
    "hidden_size": 128,
    "mlp_dim": 192,
    "num_layers": 2,
    "num_heads": 4,
    "pos_embed": "perceptron",
    "max_text_len": 128,
    "vocab_size": len(WORDS),
}
"""The published config.json, of another size and without what is not looked at."""
M3D_CLIP_PUBLISHED = M3D_CLIP | {
    "hidden_size": 768,
    "mlp_dim": 3072,
    "num_layers": 12,
    "num_heads": 12,
    "vocab_size": 30522,
}


def m3d_clip_shapes(
    config: dict[str, object] = M3D_CLIP, *, text_layers: int = 3, places: int = 512
) -> Shapes:
    """Names on disk: 342 of them for twelve layers in both towers."""
    width, inner = int(config["hidden_size"]), int(config["mlp_dim"])
    vision = "vision_encoder"
    yield f"{vision}.cls_token", (1, 1, width)
    yield f"{vision}.patch_embedding.position_embeddings", (1, 8 * 16 * 16, width)
    yield from _linear(f"{vision}.patch_embedding.patch_embeddings.1", 4 * 16 * 16, width)
    for i in range(int(config["num_layers"])):
        block = f"{vision}.blocks.{i}"
        yield from _linear(f"{block}.mlp.linear1", width, inner)
        yield from _linear(f"{block}.mlp.linear2", inner, width)
        yield from _norm(f"{block}.norm1", width)
        yield from _linear(f"{block}.attn.out_proj", width, width)
        yield from _linear(f"{block}.attn.qkv", width, 3 * width, bias=False)
        yield from _norm(f"{block}.norm2", width)
    yield from _norm(f"{vision}.norm", width)
    words = int(config["vocab_size"])
    yield from bert_shapes(
        "language_encoder.", words=words, width=width, layers=text_layers, places=places
    )
    yield from _linear("mm_vision_proj", width, width)
    yield from _linear("mm_language_proj", width, width)
    yield "logit_scale", ()


def write_m3d_clip(folder: Path) -> None:
    """Files of an M3D-CLIP of two layers."""
    (folder / "config.json").write_text(json.dumps(M3D_CLIP), encoding="utf-8")
    write_words(folder / "vocab.txt")
    state = drawn(m3d_clip_shapes(), 5)
    for name in state:
        if name.endswith(("qkv.weight", "patch_embeddings.1.weight")):
            state[name] *= 4  # else all of 2048 tokens weigh the same, and the sum is one for all
    save_file(state, folder / "model.safetensors", {"format": "pt"})


# -- Merlin ----------------------------------------------------------------------------------------

LONGFORMER = {
    "architectures": ["LongformerForMaskedLM"],
    "model_type": "longformer",
    "attention_mode": "longformer",
    "attention_probs_dropout_prob": 0.1,
    "attention_window": [8, 8],
    "bos_token_id": 0,
    "eos_token_id": 2,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 32,
    "intermediate_size": 128,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 1034,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "pad_token_id": 1,
    "sep_token_id": 2,
    "torch_dtype": "float32",
    "type_vocab_size": 1,
    "vocab_size": 271,
}
"""The config.json of the text tower, of another size."""
LONGFORMER_PUBLISHED = LONGFORMER | {
    "attention_window": [512] * 12,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "max_position_embeddings": 4098,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "vocab_size": 50265,
}


def merlin_shapes(
    text: dict[str, object] = LONGFORMER,
    layers: tuple[int, ...] = (1, 1, 2, 1),
    planes: tuple[int, ...] = (4, 4, 8, 8),
) -> Shapes:
    """Names on disk: 1208 of them for a ResNet-152 and twelve layers of text."""
    images, texts = "encode_image.i3_resnet.", "encode_text."
    yield from resnet_shapes(images, (3, 7, 7), layers, planes)
    for head, outputs in {"classifier": 1692, "contrastive_head": 512}.items():
        yield f"{images}{head}.weight", (outputs, 4 * planes[-1], 1, 1, 1)
        yield f"{images}{head}.bias", (outputs,)
    parts = ("query", "key", "value")
    width = int(text["hidden_size"])
    yield from bert_shapes(
        f"{texts}text_encoder.",
        words=int(text["vocab_size"]),
        width=width,
        layers=int(text["num_hidden_layers"]),
        places=int(text["max_position_embeddings"]),
        kinds=1,
        parts=(*parts, *(f"{part}_global" for part in parts)),
    )
    yield from _linear(f"{texts}linear_layer", width, 512)
    yield "logit_scale", ()


@cache
def merlin_state() -> dict[str, Tensor]:
    """Of an image tower of five blocks and a text tower of two layers."""
    images = "encode_image.i3_resnet."
    state = settled(drawn(merlin_shapes(), 6), images)
    # As training leaves it: a scan's vector is what sets it apart from any other box within air.
    scan = torch.zeros(1, 3, 160, 224, 224)
    scan[:, :, 68:92, 50:174, 30:194] = 0.6
    with torch.no_grad():
        (common,) = resnet_of(state, images)(scan)
    head = state[f"{images}contrastive_head.weight"].flatten(1)
    state[f"{images}contrastive_head.bias"] = -head @ common
    return state


def write_merlin(folder: Path) -> None:
    """Files of a small Merlin; the checkpoint is a pickle."""
    (folder / "config.json").write_text(json.dumps(LONGFORMER), encoding="utf-8")
    write_bytes_as_words(folder)
    torch.save(merlin_state(), folder / MERLIN)


def write_bytes_as_words(folder: Path) -> None:
    """RoBERTa's tokens: five special ones, all bytes, and what a few merges make of them."""
    merges = ["l i", "li v", "e r", "liv er", "Ġ n", "Ġn o", "u n", "l un", "lun g", "Ġ lung"]
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *bytes_as_letters()]
    tokens += [merge.replace(" ", "") for merge in merges] + ["<mask>"]
    vocabulary = json.dumps({token: i for i, token in enumerate(tokens)})
    (folder / "vocab.json").write_text(vocabulary, encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")


# -- FLAIR -----------------------------------------------------------------------------------------


def flair_shapes(
    layers: tuple[int, ...] = (1, 2, 1, 1),
    planes: tuple[int, ...] = (4, 4, 8, 8),
    *,
    words: int = len(WORDS),
    width: int = 128,
    text_layers: int = 4,
    dim: int = 32,
) -> Shapes:
    """Names on disk: 520 of them for a ResNet-50 and twelve layers of text."""
    images, texts = "vision_model", "text_model"
    yield from resnet_shapes(f"{images}.model.", (7, 7), layers, planes)
    yield f"{images}.projection_head_vision.projection.weight", (dim, 4 * planes[-1])
    yield from bert_shapes(
        f"{texts}.model.", words=words, width=width, layers=text_layers, places=512
    )
    yield f"{texts}.projection_head_text.projection.weight", (dim, width)
    yield "logit_scale", ()


def write_flair(folder: Path) -> None:
    """Files of a FLAIR whose towers have five blocks and four layers."""
    write_words(folder / "vocab.txt")
    state = settled(drawn(flair_shapes(), 7), "vision_model.model.")
    save_file(state, folder / "model.safetensors", {"format": "pt"})
