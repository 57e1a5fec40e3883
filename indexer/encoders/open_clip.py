"""The CLIP family through open_clip: images and words in one space.

Which network it is, its size, its words and its preparation stand in the published
``open_clip_config.json``; open_clip builds it. Everything is read from the model's own folder: a
text tower from transformers finds its sizes in ``text/config.json`` there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from indexer.encoders.cards import WeightFile
from indexer.encoders.contract import EncoderContext
from indexer.encoders.extras import require_extra
from indexer.encoders.published import recipe_of_open_clip
from indexer.encoders.recipe import Recipe
from indexer.encoders.slices import MAX_SLICES, SlicedEncoder
from indexer.encoders.transformers_backbone import grid_of
from indexer.encoders.weights import (
    card_of,
    in_full_precision,
    load_state,
    load_strictly,
    read_config,
    ready_folder,
    spec_of,
)
from indexer.errors import WeightsError
from indexer.kept import once
from indexer.types import Embeddings

if TYPE_CHECKING:
    from torch import Tensor, nn

Config = Mapping[str, Any]
_CONFIG = "open_clip_config.json"
_TEXT = "text"
"""Folder of a text tower's sizes, and of its tokenizer where that is not beside the weights."""
_UNPUBLISHED: dict[str, Config] = {
    # As the repository of UniMed-CLIP builds it, which publishes no such file: open_clip's
    # ViT-B-16-quickgelu with BiomedBERT for words.
    "unimed-clip-b-16": {
        "model_cfg": {
            "embed_dim": 512,
            "quick_gelu": True,
            "vision_cfg": {"image_size": 224, "layers": 12, "width": 768, "patch_size": 16},
            "text_cfg": {
                "hf_model_name": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract",
                "hf_tokenizer_name": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract",
                "hf_proj_type": "mlp",
                "hf_pooler_type": "cls_last_hidden_state_pooler",
                "context_length": 256,
            },
        },
        "preprocess_cfg": {
            "mean": [0.48145466, 0.4578275, 0.40821073],
            "std": [0.26862954, 0.26130258, 0.27577711],
        },
    },
}
_RENAMED = {"module.": "", "text_encoder.": "text."}
"""Beginnings of names in checkpoints of a training run, and of UniMed-CLIP's text tower."""
_COUNTERS = "text.transformer.embeddings.position_ids"
"""0, 1, 2 …: older transformers wrote them down, newer ones count by themselves."""
_WEIGHT_ENDINGS = (".safetensors", ".bin", ".pt")


class OpenClip(SlicedEncoder):
    """Images, volumes and words to vectors of one space."""

    def __init__(self, context: EncoderContext) -> None:
        self._context = context
        self._folder = ready_folder(context)
        self._config = config_in(self._folder, card_of(context.name).name)
        self.recipe = context.choose(recipes_in(self._folder, context.name))
        dim = self._config["model_cfg"].get("embed_dim")
        if not isinstance(dim, int) or dim < 1:
            raise WeightsError(f"{self._folder / _CONFIG}: 'embed_dim' is no number")
        self.spec = spec_of(
            context, dim=dim, preprocessing=f"{self.recipe.version}-{MAX_SLICES}-slices"
        )

    def _forward(self, pictures: Tensor) -> Tensor:
        rows: Tensor = self._network.encode_image(pictures)
        return rows

    def _patches(self, pictures: Tensor) -> Tensor:
        found = grid_of(patch_tokens(self._network.visual, pictures), pictures)
        return super()._patches(pictures) if found is None else found

    def embed_text(self, texts: Sequence[str]) -> Embeddings:
        """Vectors of phrases, cut after `token_limit` tokens: float32 ``(n, dim)``."""
        import torch  # noqa: PLC0415 - heavy

        if not texts:
            return np.empty((0, self.spec.dim), np.float32)
        place = self._network.logit_scale.device
        with torch.inference_mode():
            rows = self._network.encode_text(self._tokenizer(list(texts)).to(place))
            found: Embeddings = rows.float().cpu().numpy()
        return found

    def text_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has; what is beyond `token_limit` is not looked at."""
        words = self._tokenizer
        if hasattr(words, "tokenizer"):  # one of transformers within open_clip's
            said = [words.tokenizer(words.clean_fn(text), verbose=False) for text in texts]
            return [len(tokens["input_ids"]) for tokens in said]
        return [len(words.encode(text)) + 2 for text in texts]  # with its begin and its end

    @property
    def token_limit(self) -> int:
        """Tokens of a text that count."""
        return int(self._text_config.get("context_length", 77))

    @property
    def _text_config(self) -> Config:
        text: Config = self._config["model_cfg"]["text_cfg"]
        return text

    @once
    def _network(self) -> Any:
        from indexer.encoders.engine import engine_of  # noqa: PLC0415 - torch

        where = f"the weights of '{self.spec.name}'"
        weights = self._folder / weight_file(self.spec.name).path
        state = {our_name(name): tensor for name, tensor in load_state(weights).items()}
        state.pop(_COUNTERS, None)
        network = empty_network(self._config["model_cfg"], self._folder)
        return engine_of(self._context).settle(
            load_strictly(network, in_full_precision(state), where)
        )

    @once
    def _tokenizer(self) -> Any:
        require_extra("open-clip")
        from open_clip.tokenizer import (  # noqa: PLC0415 - optional and heavy
            HFTokenizer,
            SimpleTokenizer,
        )

        settings = dict(self._text_config.get("tokenizer_kwargs") or {})
        if not self._text_config.get("hf_tokenizer_name"):
            return SimpleTokenizer(context_length=self.token_limit, **settings)
        beside = (self._folder / "tokenizer_config.json").is_file()
        folder = self._folder if beside else self._folder / _TEXT
        settings |= {"context_length": self.token_limit, "local_files_only": True}
        try:
            return HFTokenizer(str(folder), **settings)
        except Exception as error:  # the reader of its files raises no type of its own
            raise WeightsError(f"the tokenizer in {folder} cannot be used: {error}") from error


def weight_file(name: str) -> WeightFile:
    """The one of a model's files that holds the weights."""
    return next(file for file in card_of(name).files if file.path.endswith(_WEIGHT_ENDINGS))


def config_in(folder: Path, name: str) -> Config:
    """What ``open_clip_config.json`` says, or its stand-in for a model that is published without.

    Raises:
        WeightsError: it cannot be read, or lacks the parts that are needed.
    """
    path = folder / _CONFIG
    config = _UNPUBLISHED.get(name) if not path.is_file() else None
    config = config or read_config(path)
    model, parts = config.get("model_cfg"), [config.get("preprocess_cfg")]
    if isinstance(model, dict):
        parts += [model.get("vision_cfg"), model.get("text_cfg")]
    if len(parts) < 3 or not all(isinstance(part, dict) for part in parts):
        raise WeightsError(f"{folder / _CONFIG} is no configuration of open_clip")
    return config


def recipes_in(folder: Path, name: str) -> dict[str, Recipe]:
    """The preparation that a model in a folder was published with."""
    config = config_in(folder, card_of(name).name)
    size = config["model_cfg"]["vision_cfg"].get("image_size", 224)
    recipe = recipe_of_open_clip(config["preprocess_cfg"], size, _CONFIG)
    return {recipe.name: recipe}


def patch_tokens(visual: Any, pictures: Tensor) -> Tensor:
    """Tokens of the places by the last norm and projection: ``(n, places, dim)``.

    The same way as the token that stands for the image goes; training compared that one alone with
    words.
    """
    if hasattr(visual, "trunk"):
        tokens = visual.trunk.forward_features(pictures)[:, visual.trunk.num_prefix_tokens :]
        projected: Tensor = visual.head(tokens)
        return projected
    hidden = visual.ln_post(visual.transformer(visual._embeds(pictures)))
    places: Tensor = hidden[:, 1:] @ visual.proj
    return places


def our_name(name: str) -> str:
    """A published tensor's name in open_clip's network."""
    for old, new in _RENAMED.items():
        if name.startswith(old):
            name = new + name.removeprefix(old)
    return name


def empty_network(model: Config, folder: Path) -> nn.Module:
    """The network of a configuration as open_clip builds it, its weights yet to come.

    Raises:
        MissingExtraError: open_clip is not installed, or cannot be imported.
        WeightsError: open_clip knows no such network.
    """
    require_extra("open-clip")
    import open_clip  # noqa: PLC0415 - optional and heavy

    build = {key: value for key, value in model.items() if key != "custom_text"}
    vision, text = dict(build["vision_cfg"]), dict(build["text_cfg"])
    if vision.get("timm_model_name"):
        vision["timm_model_pretrained"] = False
    if text.get("hf_model_name"):
        # Only its sizes are wanted, and those are here.
        text |= {"hf_model_name": str(folder / _TEXT), "hf_model_pretrained": False}
    # As open_clip itself chooses.
    custom = model.get("custom_text") or text.get("hf_model_name")
    made = open_clip.CustomTextCLIP if custom else open_clip.CLIP
    try:
        network: nn.Module = made(**build | {"vision_cfg": vision, "text_cfg": text})
    except (TypeError, ValueError, KeyError, RuntimeError, OSError) as error:
        raise WeightsError(f"open_clip cannot build the network of {_CONFIG}: {error}") from error
    return network
