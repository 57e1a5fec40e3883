"""Small random networks of the CLIP family, in files laid out as they are published."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from tiny_models import write_json
from torch import Tensor
from transformers import BertTokenizer

CONFIG = "open_clip_config.json"
BIN = "open_clip_pytorch_model.bin"
UNIMED = "unimed-clip-vit-b16.pt"
POSITIONS = "text.transformer.embeddings.position_ids"
PREPROCESS = {
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
}
"""As BiomedCLIP and QuiltNet publish it."""
_WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] chest x - ray lung pneumonia . ##s the of left a b c d e"
_BIOMEDBERT = "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract"


def config_of(name: str) -> dict[str, Any]:
    """The published configuration, with towers of two layers."""
    bert = {
        "hf_model_name": _BIOMEDBERT,
        "hf_tokenizer_name": _BIOMEDBERT,
        "hf_proj_type": "mlp",
        "hf_pooler_type": "cls_last_hidden_state_pooler",
        "context_length": 256,
    }
    plain = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
    trunk = {
        "timm_model_name": "test_vit",
        "timm_model_pretrained": False,
        "timm_pool": "",
        "timm_proj": "linear",
        "image_size": 160,
    }
    side = 32 if name == "quiltnet-b-32" else 16
    own = {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": side}
    towers = {
        "biomedclip": {"vision_cfg": trunk, "text_cfg": bert},
        "quiltnet-b-16": {"vision_cfg": own, "text_cfg": plain},
        "quiltnet-b-32": {"vision_cfg": own, "text_cfg": plain},
        "unimed-clip-b-16": {"quick_gelu": True, "vision_cfg": own, "text_cfg": bert},
    }
    return {"model_cfg": {"embed_dim": 24} | towers[name], "preprocess_cfg": PREPROCESS}


def write_bert(folder: Path) -> None:
    """Sizes and tokenizer of a BERT of two layers, which knows a few words."""
    folder.mkdir(parents=True, exist_ok=True)
    words = _WORDS.split()
    (folder / "vocab.txt").write_text("\n".join([*words, ""]), encoding="utf-8")
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    more = {"intermediate_size": 64, "max_position_embeddings": 256, "vocab_size": len(words)}
    write_json(folder / "config.json", {"model_type": "bert", "pad_token_id": 0} | sizes | more)
    write_json(folder / "tokenizer_config.json", {"do_lower_case": True})


def reference_folder(published: Path, to: Path) -> Path:
    """The same files as open_clip itself loads them offline: the text tower named by its folder."""
    shutil.copytree(published, to)
    config = json.loads((to / CONFIG).read_text(encoding="utf-8"))
    text = config["model_cfg"]["text_cfg"]
    if "hf_model_name" in text:
        text["hf_model_name"] = str(to / "text")
    write_json(to / CONFIG, config)
    return to


def random_state(folder: Path, seed: int) -> dict[str, Tensor]:
    """Tensors of the network that open_clip builds from the files of a folder."""
    network = open_clip.create_model(
        f"local-dir:{folder}", load_weights=False, pretrained_text=False
    )
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, tensor in network.state_dict().items():
        spread = tensor.shape[-1] ** -0.5 * 1.5 if tensor.ndim > 1 else 0.1
        noise = torch.randn(tensor.shape, generator=generator) * spread
        is_scale = tensor.ndim == 1 and name.endswith("weight")
        state[name] = noise + 1 if is_scale else noise
    return state | {"logit_scale": torch.tensor(4.6)}


def write_biomedclip(folder: Path) -> None:
    """With the positions that older transformers wrote down."""
    write_bert(folder / "text")
    write_json(folder / CONFIG, config_of("biomedclip"))
    BertTokenizer(vocab_file=str(folder / "text" / "vocab.txt")).save_pretrained(folder)
    shutil.copyfile(folder / "text" / "vocab.txt", folder / "vocab.txt")
    write_json(folder / "special_tokens_map.json", {"pad_token": "[PAD]", "unk_token": "[UNK]"})
    (folder / "text" / "tokenizer_config.json").unlink()
    (folder / "text" / "vocab.txt").unlink()
    state = _with_reference(folder, seed=1)
    torch.save(state | {POSITIONS: torch.arange(256)[None]}, folder / BIN)


def write_quiltnet_32(folder: Path) -> None:
    write_json(folder / CONFIG, config_of("quiltnet-b-32"))
    torch.save(_with_reference(folder, seed=2), folder / BIN)


def write_quiltnet_16(folder: Path) -> None:
    write_json(folder / CONFIG, config_of("quiltnet-b-16"))
    torch.save(_with_reference(folder, seed=3), folder / BIN)


def write_unimed(folder: Path) -> None:
    """A checkpoint of a training run, by the names of its repository; its sizes beside it."""
    write_bert(folder / "text")
    write_json(folder / CONFIG, config_of("unimed-clip-b-16"))
    state = _with_reference(folder, seed=4)
    theirs = {_unimed_name(name): tensor for name, tensor in state.items()}
    theirs["module.text_encoder.transformer.embeddings.position_ids"] = torch.arange(256)[None]
    run = {"epoch": 3, "best_acc1": np.float64(61.6), "state_dict": theirs}
    torch.save(run, folder / UNIMED)


def _unimed_name(name: str) -> str:
    is_text = name.startswith("text.")
    return "module." + (name.replace("text.", "text_encoder.", 1) if is_text else name)


def _with_reference(folder: Path, seed: int) -> dict[str, Tensor]:
    beside = reference_folder(folder, folder.parent / f"{folder.name}-{seed}-reference")
    state = random_state(beside, seed)
    shutil.rmtree(beside)
    return state


CLIP_WRITERS: dict[str, Callable[[Path], None]] = {
    "biomedclip": write_biomedclip,
    "quiltnet-b-16": write_quiltnet_16,
    "quiltnet-b-32": write_quiltnet_32,
    "unimed-clip-b-16": write_unimed,
}
