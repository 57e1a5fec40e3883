"""MedImageInsight: images and words of all modalities in one space of 1024 (Codella et al. 2024).

The image tower is a DaViT (Ding et al., ECCV 2022), which transformers has as the vision backbone
of Florence-2; the text tower is a bidirectional transformer over CLIP's tokens. Both lie in one
file, whose tensors tell the sizes of the network. Each slice of a volume is embedded; the volume's
vector is the mean of its slices' unit vectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from indexer.encoders.contract import EncoderContext
from indexer.encoders.published import LEVELS
from indexer.encoders.recipe import Jpeg, Recipe, Resize, Rgb
from indexer.encoders.slices import MAX_SLICES, SlicedEncoder
from indexer.encoders.weights import (
    in_full_precision,
    load_state,
    load_strictly,
    numbered_parts,
    ready_folder,
    spec_of,
    tensor_shapes,
)
from indexer.errors import WeightsError
from indexer.kept import once
from indexer.types import Embeddings

if TYPE_CHECKING:
    from torch import Tensor, nn

SIDE = 480
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
RECIPES = {
    # Microsoft's service takes 8-bit pictures and passes them through 512 x 512 and JPEG.
    "service": Recipe(
        "service",
        (LEVELS, Resize((512, 512)), Rgb(), Jpeg(75), Resize((SIDE, SIDE))),
        mean=_MEAN,
        std=_STD,
    ),
    # The mirror's own code goes straight to 480 x 480.
    "mirror": Recipe("mirror", (LEVELS, Rgb(), Resize((SIDE, SIDE))), mean=_MEAN, std=_STD),
}
_WEIGHTS = "2024.09.27/vision_model/medimageinsigt-v1.0.0.pt"
_TOKENIZER = "2024.09.27/language_model/clip_tokenizer_4.16.2"
_HEAD_WIDTH, _TEXT_HEAD_WIDTH, _WINDOW = 32, 64, 12
_STRIDES = (4, 2, 2, 2)
_OLD_PREFIXES = {"visual.": "image_encoder.", "text.": "lang_encoder."}
_OLD_NAMES = {"vision_projection": "image_projection", "text_projection": "lang_projection"}


@dataclass(frozen=True)
class Sizes:
    """Of the network, as the shapes of its tensors tell."""

    dims: tuple[int, ...]
    depths: tuple[int, ...]
    patches: tuple[int, ...]
    joint: int
    text_width: int
    text_layers: int
    tokens: int
    vocabulary: int


class MedImageInsight(SlicedEncoder):
    """Images, volumes and words to 1024 numbers."""

    def __init__(self, context: EncoderContext) -> None:
        self._context = context
        self.recipe = context.choose(RECIPES)
        self._folder = ready_folder(context)
        self._sizes = sizes_of(tensor_shapes(self._folder / _WEIGHTS))
        self.spec = spec_of(
            context,
            dim=self._sizes.joint,
            preprocessing=f"{self.recipe.version}-{MAX_SLICES}-slices",
        )

    def embed_text(self, texts: Sequence[str]) -> Embeddings:
        """Vectors of phrases, cut after 77 tokens: float32 ``(n, 1024)``, not normalised."""
        import torch  # noqa: PLC0415 - heavy

        if not texts:
            return np.empty((0, self.spec.dim), np.float32)
        said = self._tokenizer(
            list(texts),
            padding="max_length",
            max_length=self._sizes.tokens,
            truncation=True,
            return_tensors="pt",
        )
        network = self._network
        place = network.logit_scale.device
        with torch.inference_mode():
            rows = text_tower(
                network, said["input_ids"].to(place), said["attention_mask"].to(place)
            )
            found: Embeddings = rows.float().cpu().numpy()
        return found

    def text_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has; what is beyond `token_limit` is not looked at."""
        return [len(self._tokenizer(text, verbose=False)["input_ids"]) for text in texts]

    @property
    def token_limit(self) -> int:
        """Tokens of a text that count."""
        return self._sizes.tokens

    @property
    def temperature(self) -> float:
        """What a cosine is multiplied by before a softmax over phrases; read from the file."""
        return float(self._network.logit_scale.detach().exp())

    def _forward(self, pictures: Tensor) -> Tensor:
        return image_tower(self._network, pictures)

    def _patches(self, pictures: Tensor) -> Tensor:
        return image_places(self._network, pictures)

    @once
    def _network(self) -> Any:
        from indexer.encoders.engine import engine_of  # noqa: PLC0415 - torch

        state = load_state(self._folder / _WEIGHTS)
        network: Any = load_network(state, self._sizes, f"the weights of '{self.spec.name}'")
        return engine_of(self._context).settle(network, busy=network.image)

    @once
    def _tokenizer(self) -> Any:
        return load_tokenizer(self._folder / _TOKENIZER)


def sizes_of(shapes: Mapping[str, tuple[int, ...]]) -> Sizes:
    """The sizes of a network from the shapes of its tensors.

    Raises:
        WeightsError: tensors that tell them are not there.
    """
    shapes = {current_name(name): shape for name, shape in shapes.items()}
    try:
        stems = [shapes[f"image_encoder.convs.{i}.proj.weight"] for i in range(len(_STRIDES))]
        return Sizes(
            dims=tuple(stem[0] for stem in stems),
            depths=tuple(
                numbered_parts(shapes, f"image_encoder.blocks.{i}.") for i in range(len(stems))
            ),
            patches=tuple(stem[2] for stem in stems),
            joint=shapes["image_projection"][1],
            text_width=shapes["lang_projection"][0],
            text_layers=numbered_parts(shapes, "lang_encoder.resblocks."),
            tokens=shapes["lang_encoder.positional_embedding"][0],
            vocabulary=shapes["lang_encoder.token_embedding.weight"][0],
        )
    except (KeyError, IndexError) as error:
        raise WeightsError(f"not the weights of MedImageInsight: {error} is missing") from error


def current_name(name: str) -> str:
    """Names of older checkpoints, which the authors' loader takes too."""
    for old, new in _OLD_PREFIXES.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return _OLD_NAMES.get(name, name)


_RENAMED = (
    (".conv1.fn.dw.", ".conv1."),
    (".conv2.fn.dw.", ".conv2."),
    (".window_attn.norm.", ".norm1."),
    (".window_attn.fn.", ".window_attn."),
    (".channel_attn.norm.", ".norm1."),
    (".channel_attn.fn.", ".channel_attn."),
    (".ffn.norm.", ".norm2."),
    (".ffn.fn.net.", ".ffn."),
    ("lang_encoder.resblocks.", "text.layers."),
    (".attn.in_proj_", ".self_attn.in_proj_"),
    (".attn.out_proj.", ".self_attn.out_proj."),
    (".ln_1.", ".norm1."),
    (".ln_2.", ".norm2."),
    (".mlp.c_fc.", ".linear1."),
    (".mlp.c_proj.", ".linear2."),
    ("lang_encoder.", ""),
    ("image_encoder.norms.", "image_norm."),
    ("image_encoder.", "image."),
)
"""Published names to those of transformers' Florence-2 backbone and torch's own transformer."""


def our_name(name: str) -> str:
    """A published tensor's name in the network of `load_network`."""
    name = current_name(name)
    if name.startswith("image_encoder.convs."):
        name = name.replace(".proj.", ".conv.")
    for old, new in _RENAMED:
        name = name.replace(old, new)
    return name


def load_network(state: Mapping[str, Tensor], sizes: Sizes, where: str) -> nn.Module:
    """Both towers with their weights: every tensor of the file used, none missing.

    Raises:
        WeightsError: the tensors are not those of this network.
    """
    import torch  # noqa: PLC0415 - heavy

    with torch.device("meta"):
        network = _empty_network(sizes)
    renamed = {our_name(name): tensor for name, tensor in state.items()}
    return load_strictly(network, in_full_precision(renamed), where)


def _empty_network(sizes: Sizes) -> nn.Module:
    import torch  # noqa: PLC0415 - heavy
    from torch import nn  # noqa: PLC0415
    from transformers.models.florence2 import (  # noqa: PLC0415
        configuration_florence2,
        modeling_florence2,
    )

    heads = tuple(dim // _HEAD_WIDTH for dim in sizes.dims)
    config = configuration_florence2.Florence2VisionConfig(
        embed_dim=sizes.dims,
        depths=sizes.depths,
        num_heads=heads,
        num_groups=heads,
        patch_size=sizes.patches,
        patch_stride=_STRIDES,
        patch_padding=tuple(size // 2 for size in sizes.patches),
        patch_prenorm=(False, True, True, True),
        window_size=_WINDOW,
        drop_path_rate=0.0,
    )
    network = nn.Module()
    network.image = modeling_florence2.Florence2VisionBackbone(config)
    network.image_norm = nn.LayerNorm(sizes.dims[-1])
    network.image_projection = nn.Parameter(torch.empty(sizes.dims[-1], sizes.joint))
    network.token_embedding = nn.Embedding(sizes.vocabulary, sizes.text_width)
    network.positional_embedding = nn.Parameter(torch.empty(sizes.tokens, sizes.text_width))
    layer = nn.TransformerEncoderLayer(
        sizes.text_width,
        sizes.text_width // _TEXT_HEAD_WIDTH,
        4 * sizes.text_width,
        dropout=0.0,
        activation=_quick_gelu,
        layer_norm_eps=1e-12,
        batch_first=True,
        norm_first=True,
    )
    network.text = nn.TransformerEncoder(layer, sizes.text_layers, enable_nested_tensor=False)
    network.ln_final = nn.LayerNorm(sizes.text_width, eps=1e-12)
    network.lang_projection = nn.Parameter(torch.empty(sizes.text_width, sizes.joint))
    network.logit_scale = nn.Parameter(torch.empty(()))
    return network


def _quick_gelu(values: Tensor) -> Tensor:
    return values * (1.702 * values).sigmoid()


def image_tower(network: Any, pictures: Tensor) -> Tensor:
    """``(n, 3, 480, 480)`` to ``(n, 1024)``, not normalised: mean over places, norm, projection."""
    features: Tensor = network.image(pictures).last_hidden_state
    pooled = network.image_norm(features.mean(dim=(2, 3)))
    projected: Tensor = pooled @ network.image_projection
    return projected


def image_places(network: Any, pictures: Tensor) -> Tensor:
    """``(n, 3, 480, 480)`` to ``(n, 15, 15, 1024)``: norm and projection of each place by itself.

    The image's own vector takes the mean before the norm; so the mean over places is near to it,
    and not the same.
    """
    features: Tensor = network.image(pictures).last_hidden_state
    projected: Tensor = network.image_norm(features.permute(0, 2, 3, 1)) @ network.image_projection
    return projected


def text_tower(network: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """Token ids and attention mask ``(n, 77)`` to ``(n, 1024)``: the first end-of-text counts."""
    hidden = network.token_embedding(ids) + network.positional_embedding
    hidden = network.ln_final(network.text(hidden, src_key_padding_mask=mask == 0))
    last = hidden[range(len(ids)), ids.argmax(dim=-1)]
    projected: Tensor = last @ network.lang_projection
    return projected


def load_tokenizer(folder: Path) -> Any:
    """The CLIP tokenizer from its folder.

    Raises:
        WeightsError: files are not there or damaged.
    """
    from transformers import CLIPTokenizer  # noqa: PLC0415 - optional and heavy

    try:
        return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the reader of its files raises no type of its own
        raise WeightsError(f"the tokenizer in {folder} cannot be used: {error}") from error
