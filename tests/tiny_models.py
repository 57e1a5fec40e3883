"""Small random networks of the true architectures, in files laid out as they are published."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import plain_davit
import pytest
import torch
from made_once import made_once
from monai.networks.nets.segresnet_ds import SegResEncoder
from safetensors.torch import save_file
from tiny_backbones import BACKBONES
from tiny_towers import bytes_as_letters, write_flair, write_m3d_clip, write_merlin
from torch import Tensor, nn
from torch.nn import functional

from api.service import models as service
from indexer.config import Settings

torch.set_num_threads(1)  # of small networks several threads make slow ones

MEDIMAGEINSIGHT = "2024.09.27/vision_model/medimageinsigt-v1.0.0.pt"
TOKENIZER = "2024.09.27/language_model/clip_tokenizer_4.16.2"
MERGES = (
    "c h",
    "ch e",
    "che s",
    "ches t</w>",
    "p n",
    "pn e",
    "r a",
    "ra y</w>",
    "l u",
    "lu ng</w>",
)
"""Of the toy tokenizer; ``ng</w>`` is not made by any merge, so the last one is never used."""

# -- RAD-DINO --------------------------------------------------------------------------------------

PREPROCESSOR = {
    "crop_size": {"height": 518, "width": 518},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.5307, 0.5307, 0.5307],
    "image_processor_type": "BitImageProcessor",
    "image_std": [0.2583, 0.2583, 0.2583],
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": 518},
}
"""The published preprocessor_config.json, without its legacy keys."""


def dinov2_config(width: int = 48, layers: int = 2, heads: int = 3) -> dict[str, object]:
    """The published config.json, of another size."""
    return {
        "architectures": ["Dinov2Model"],
        "model_type": "dinov2",
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "mlp_ratio": 4,
        "patch_size": 14,
        "image_size": 518,
        "num_channels": 3,
        "qkv_bias": True,
        "layer_norm_eps": 1e-6,
        "layerscale_value": 1.0,
        "drop_path_rate": 0.0,
        "hidden_act": "gelu",
        "apply_layernorm": True,
        "reshape_hidden_states": True,
        "use_swiglu_ffn": False,
    }


def dinov2_state(width: int = 48, layers: int = 2, seed: int = 1) -> dict[str, Tensor]:
    """Tensors by their names on disk: 223 of them for twelve layers."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: plain_davit.random_tensor(name, shape, generator)
        for name, shape in _dinov2_shapes(width, layers)
    }


def _dinov2_shapes(width: int, layers: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "embeddings.cls_token", (1, 1, width)
    yield "embeddings.mask_token", (1, width)
    yield "embeddings.position_embeddings", (1, 37 * 37 + 1, width)
    yield "embeddings.patch_embeddings.projection.weight", (width, 3, 14, 14)
    yield "embeddings.patch_embeddings.projection.bias", (width,)
    linears = {
        "attention.attention.query": (width, width),
        "attention.attention.key": (width, width),
        "attention.attention.value": (width, width),
        "attention.output.dense": (width, width),
        "mlp.fc1": (4 * width, width),
        "mlp.fc2": (width, 4 * width),
    }
    for i in range(layers):
        layer = f"encoder.layer.{i}"
        for norm in ("norm1", "norm2"):
            yield f"{layer}.{norm}.weight", (width,)
            yield f"{layer}.{norm}.bias", (width,)
        for name, shape in linears.items():
            yield f"{layer}.{name}.weight", shape
            yield f"{layer}.{name}.bias", shape[:1]
        yield f"{layer}.layer_scale1.lambda1", (width,)
        yield f"{layer}.layer_scale2.lambda1", (width,)
    yield "layernorm.weight", (width,)
    yield "layernorm.bias", (width,)


def write_rad_dino(folder: Path, seed: int = 1) -> None:
    """Files of a RAD-DINO of two layers."""
    write_json(folder / "config.json", dinov2_config())
    write_json(folder / "preprocessor_config.json", PREPROCESSOR)
    save_file(dinov2_state(seed=seed), folder / "model.safetensors", {"format": "pt"})


def write_rad_dino_maira_2(folder: Path) -> None:
    """The same network with other weights."""
    write_rad_dino(folder, seed=2)


# -- MedImageInsight -------------------------------------------------------------------------------


def write_medimageinsight(folder: Path) -> None:
    """The checkpoint of `plain_davit` and a tokenizer that knows a few words."""
    for path in (Path(MEDIMAGEINSIGHT).parent, Path(TOKENIZER)):
        (folder / path).mkdir(parents=True)
    words = write_tokenizer(folder / TOKENIZER)
    build = plain_davit.Build(vocabulary=words)
    save_file(plain_davit.random_state(build), folder / MEDIMAGEINSIGHT)


def write_tokenizer(folder: Path) -> int:
    """CLIP's byte-pair encoding with ten merges; returns the number of tokens."""
    letters = list(bytes_as_letters())
    merged = [merge.replace(" ", "") for merge in MERGES]
    ng = ["ng</w>"]  # in the vocabulary, as the merge that asks for it has to be
    tokens = [*letters, *(letter + "</w>" for letter in letters), *ng, *merged]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    write_json(folder / "vocab.json", {token: i for i, token in enumerate(tokens)})
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *MERGES, ""]), encoding="utf-8")
    special = {"bos_token": "<|startoftext|>"} | dict.fromkeys(
        ("eos_token", "pad_token", "unk_token"), "<|endoftext|>"
    )
    write_json(folder / "special_tokens_map.json", special)
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True}
    write_json(folder / "tokenizer_config.json", special | settings)
    return len(tokens)


# -- CT-FM -----------------------------------------------------------------------------------------

CT_FM = {"blocks_down": [1, 1, 2, 1, 1], "in_channels": 1, "init_filters": 2, "spatial_dims": 3}
CT_FM_PUBLISHED = CT_FM | {"blocks_down": [1, 2, 2, 4, 4], "init_filters": 32}


def ct_fm_network(config: dict[str, object] = CT_FM, *, settled: bool = True) -> SegResEncoder:
    """The encoder of MONAI with random weights, ready for use.

    Its running statistics are those of drawn volumes, as after training; if it is not to be
    ``settled`` they are random.
    """
    network = SegResEncoder(**(config | {"blocks_down": tuple(config["blocks_down"])}))  # type: ignore[arg-type, call-overload]
    generator = torch.Generator().manual_seed(3)
    for name, tensor in network.state_dict().items():
        if name.endswith("running_var"):
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
        elif tensor.is_floating_point():
            tensor.copy_(plain_davit.random_tensor(name, tuple(tensor.shape), generator))
    if settled:
        coarse = torch.rand((6, 1, 4, 5, 5), generator=generator)
        coarse *= torch.linspace(0.2, 1, 6).reshape(6, 1, 1, 1, 1)
        drawn = functional.interpolate(coarse, size=(24, 48, 48), mode="trilinear")
        for module in network.train().modules():
            if isinstance(module, nn.BatchNorm3d):
                module.momentum = 1.0
        with torch.no_grad():
            network(drawn)
    return network.eval()


def write_ct_fm(folder: Path) -> None:
    """Files of a CT-FM that begins with two channels instead of 32."""
    write_json(folder / "config.json", CT_FM)
    save_file(ct_fm_network().state_dict(), folder / "model.safetensors")


# -- all of them -----------------------------------------------------------------------------------

WRITERS: dict[str, Callable[[Path], None]] = {
    "ct-fm": write_ct_fm,
    "flair": write_flair,
    "m3d-clip": write_m3d_clip,
    "medimageinsight": write_medimageinsight,
    "merlin": write_merlin,
    "rad-dino": write_rad_dino,
    "rad-dino-maira-2": write_rad_dino_maira_2,
}
LICENSED = {"rad-dino-maira-2"}
"""Those whose licence has to be consented to."""


def write_published(name: str, folder: Path) -> Path:
    """The files of one model as its authors publish them."""
    folder.mkdir(parents=True, exist_ok=True)
    WRITERS[name](folder)
    return folder


def write_models(folder: Path) -> Path:
    """All models, registered; returns the models folder."""
    settings = Settings(models=folder / "models")
    for name in WRITERS:
        published = write_published(name, folder / "published" / name)
        service.add(settings, name, published, accept_licence=name in LICENSED)
    for name, write in BACKBONES.items():
        published = folder / "published" / name
        published.mkdir(parents=True)
        write(published)
        service.add(settings, name, published)
    return settings.models


def shared_models(factory: pytest.TempPathFactory) -> Path:
    """A models folder for all tests of a run, to be read and not written."""
    return made_once(factory, "tiny", write_models) / "models"


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
