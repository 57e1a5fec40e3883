"""Vision backbones of transformers, from a folder in the layout of the hub."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from indexer.encoders.published import recipe_of_processor
from indexer.encoders.recipe import Recipe
from indexer.encoders.weights import read_config, refuse_other_network, tensor_shapes
from indexer.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor, nn

_WEIGHTS = "model.safetensors"
_PROCESSOR = "preprocessor_config.json"
HEADS = ("classifier.", "cls_classifier.", "distillation_classifier.")
"""What a checkpoint for classification has on top of its backbone; it is left out."""
_POOLER = "pooler."
_CLASS_TOKENS = {"cls_token", "class_embedding"}


@dataclass(frozen=True)
class Loaded:
    """A network and how its vectors are had.

    Attributes:
        network: with its weights.
        pool: ``(n, 3, h, w)`` to ``(n, dim)``, and how, in a word for the space's version.
        left_out: names in the file that the backbone does not use.
        patches: ``(n, 3, h, w)`` to ``(n, rows, columns, dim)``, None of it where
            the network gives no grid of places.
    """

    network: nn.Module
    pool: Callable[[Tensor], tuple[Tensor, str]]
    left_out: tuple[str, ...]
    patches: Callable[[Tensor], Tensor | None]

    def forward(self, pictures: Tensor) -> Tensor:
        """``(n, 3, h, w)`` to ``(n, dim)``."""
        return self.pool(pictures)[0]


def recipe_in(folder: Path) -> Recipe:
    """The preparation that ``preprocessor_config.json`` states."""
    return recipe_of_processor(read_config(folder / _PROCESSOR), _PROCESSOR)


def load(folder: Path, where: str) -> Loaded:
    """Build the network of ``config.json``, every tensor of the file used but those of a head.

    By transformers' own loading, which knows the names on disk. No code of a repository is run.

    Raises:
        WeightsError: files are damaged, or are not those of one network.
    """
    tensor_shapes(folder / _WEIGHTS)  # says what is wrong with a damaged file
    network, info = _from_pretrained(folder, where)
    missing, unexpected = set(info["missing_keys"]), set(info["unexpected_keys"])
    if missing and all(name.startswith(_POOLER) for name in missing):
        # A pooler that was never trained is none: the checkpoint was made without.
        network, info = _from_pretrained(folder, where, add_pooling_layer=False)
        missing, unexpected = set(info["missing_keys"]), set(info["unexpected_keys"])
    left_out = {name for name in unexpected if name.startswith(HEADS)}
    refuse_other_network(
        where,
        missing=missing,
        unexpected=unexpected - left_out,
        wrong=[key for key, *_ in info["mismatched_keys"]],
    )
    return Loaded(
        network.eval(),
        partial(_pooled, network),
        tuple(sorted(left_out)),
        partial(_patches, network),
    )


def _from_pretrained(folder: Path, where: str, **more: object) -> tuple[Any, Any]:
    from transformers import AutoModel  # noqa: PLC0415 - optional and heavy
    from transformers.utils import logging  # noqa: PLC0415

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    before = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    loading: Any = AutoModel.from_pretrained
    try:
        network, info = loading(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are named and refused
            dtype="float32",
            **more,
        )
    except (OSError, ValueError, RuntimeError, TypeError, KeyError) as error:
        raise WeightsError(f"{where} cannot be used: {error}") from error
    finally:
        logging.set_verbosity(before)
    if network.main_input_name != "pixel_values":
        raise WeightsError(f"{where} takes {network.main_input_name}, and this is for pictures")
    return network, info


def _pooled(network: Any, pictures: Tensor) -> tuple[Tensor, str]:
    """The network's own pooled output, else its CLS token, else the mean over all places."""
    output = network(pictures)
    pooled = getattr(output, "pooler_output", None)
    if pooled is not None:
        # Some keep places of one by one.
        return (pooled.flatten(1) if pooled.shape[2:] == (1, 1) else pooled), "pooled"
    hidden: Tensor = output.last_hidden_state
    if hidden.ndim == 4:
        return hidden.mean(dim=(2, 3)), "mean"
    if _own_parameters(network) & _CLASS_TOKENS:
        return hidden[:, 0], "cls"
    return hidden.mean(dim=1), "mean"


def _patches(network: Any, pictures: Tensor) -> Tensor | None:
    """The last hidden state as a grid, without the tokens that stand for no place."""
    hidden: Tensor = network(pictures).last_hidden_state
    if hidden.ndim == 4:
        return hidden.permute(0, 2, 3, 1)
    own = _own_parameters(network)
    before = len(own & _CLASS_TOKENS) + ("distillation_token" in own)
    before += int(getattr(network.config, "num_register_tokens", 0))
    return grid_of(hidden[:, before:], pictures)


def grid_of(tokens: Tensor, pictures: Tensor) -> Tensor | None:
    """Tokens of a square picture by rows and columns; None where they make no square."""
    side = isqrt(tokens.shape[1])
    square = pictures.shape[2] == pictures.shape[3] and side > 1 and side**2 == tokens.shape[1]
    return tokens.reshape(len(tokens), side, side, -1) if square else None


def _own_parameters(network: Any) -> set[str]:
    return {name.rpartition(".")[2] for name, _ in network.named_parameters()}
