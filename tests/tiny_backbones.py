"""Small random vision backbones of transformers, in files laid out as on the hub."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import (
    ConvNextConfig,
    ConvNextModel,
    Dinov2Config,
    Dinov2Model,
    PreTrainedModel,
    ResNetConfig,
    ResNetForImageClassification,
    SwinConfig,
    SwinModel,
    ViTConfig,
    ViTForImageClassification,
    ViTModel,
)

README = "---\nlicense: apache-2.0\ntags:\n- vision\n---\n# A card\n"
_NORMAL = {"do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "do_resize": True}
_HALVES = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
_VIT = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "image_size": 32}
PROCESSORS: dict[str, dict[str, object]] = {
    "vit": {
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": 32, "width": 32},
        "resample": 2,
        **_NORMAL,
        **_HALVES,
    },
    "old-vit": {
        "feature_extractor_type": "ViTFeatureExtractor",
        "size": 32,
        "resample": 2,
        "do_resize": True,
        "do_normalize": True,
        **_HALVES,
    },
    "bit": {
        "image_processor_type": "BitImageProcessor",
        "size": {"shortest_edge": 40},
        "crop_size": {"height": 28, "width": 28},
        "do_center_crop": True,
        "do_convert_rgb": True,
        "resample": 3,
        **_NORMAL,
        **_IMAGENET,
    },
    "convnext": {
        "image_processor_type": "ConvNextImageProcessor",
        "size": {"shortest_edge": 32},
        "crop_pct": 0.875,
        "resample": 3,
        **_NORMAL,
        **_IMAGENET,
    },
}


def randomised(network: PreTrainedModel) -> PreTrainedModel:
    """Weights large enough that pictures are told apart, the same every time."""
    generator = torch.Generator().manual_seed(7)
    for name, tensor in network.state_dict().items():
        if name.endswith("running_var"):
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
        elif tensor.ndim > 1:
            fan = tensor[0].numel()
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 1.5 * fan**-0.5)
    return network.eval()


def write_backbone(folder: Path, network: PreTrainedModel, processor: str) -> None:
    """What a repository holds."""
    randomised(network).save_pretrained(folder)
    text = json.dumps(PROCESSORS[processor])
    (folder / "preprocessor_config.json").write_text(text, encoding="utf-8")
    (folder / "README.md").write_text(README, encoding="utf-8")


def write_vit(folder: Path) -> None:
    """With a pooler of its own."""
    write_backbone(folder, ViTModel(ViTConfig(**_VIT, patch_size=8)), "vit")


def write_classifier(folder: Path) -> None:
    """A backbone with a head on top, and without a pooler."""
    network = ViTForImageClassification(ViTConfig(**_VIT, patch_size=8, num_labels=3))
    write_backbone(folder, network, "old-vit")


def write_dinov2(folder: Path) -> None:
    sizes = _VIT | {"image_size": 28}
    write_backbone(folder, Dinov2Model(Dinov2Config(**sizes, patch_size=14)), "bit")


def write_convnext(folder: Path) -> None:
    config = ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], image_size=32)
    write_backbone(folder, ConvNextModel(config), "convnext")


def write_resnet(folder: Path) -> None:
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], num_labels=3)
    write_backbone(folder, ResNetForImageClassification(config), "convnext")


def write_swin(folder: Path) -> None:
    config = SwinConfig(
        image_size=32, patch_size=2, embed_dim=12, depths=[1, 1], num_heads=[2, 2], window_size=4
    )
    write_backbone(folder, SwinModel(config), "vit")


BACKBONES: dict[str, Callable[[Path], None]] = {
    "transformers/acme/convnext": write_convnext,
    "transformers/acme/vit": write_vit,
}
"""Registered beside the models of the table for all tests."""
ALL_BACKBONES = BACKBONES | {
    "transformers/acme/classifier": write_classifier,
    "transformers/acme/dinov2": write_dinov2,
    "transformers/acme/resnet": write_resnet,
    "transformers/acme/swin": write_swin,
}
