"""Vision backbones of timm, from a folder in the layout that timm publishes to the hub."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from indexer.encoders.published import recipe_of_timm
from indexer.encoders.recipe import Recipe
from indexer.encoders.transformers_backbone import Loaded, grid_of
from indexer.encoders.weights import in_full_precision, load_state, load_strictly, read_config
from indexer.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

_CONFIG = "config.json"


def recipe_in(folder: Path) -> Recipe:
    """The preparation that the network's ``config.json`` states."""
    return recipe_of_timm(_pretrained(_config(folder)), _CONFIG)


def load(folder: Path, where: str) -> Loaded:
    """Build the network of ``config.json``, every tensor of the file used but its classifier.

    Raises:
        WeightsError: files are damaged, or are not those of one network.
    """
    import timm  # noqa: PLC0415 - optional and heavy

    config = _config(folder)
    arguments = config.get("model_args") or {}
    try:
        network = timm.create_model(
            config["architecture"], pretrained=False, **arguments | {"num_classes": 0}
        )
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise WeightsError(f"timm cannot build the network of {_CONFIG}: {error}") from error
    state = load_state(folder / "model.safetensors")
    heads = _classifiers(_pretrained(config))
    left_out = {name for name in state if name.startswith(heads)} - network.state_dict().keys()
    kept = {name: tensor for name, tensor in state.items() if name not in left_out}
    load_strictly(network, in_full_precision(kept), where)
    # As the network's own forward pools; some architectures have a head of their own for it.
    own = getattr(network, "global_pool", "")
    word = own if isinstance(own, str) and own else "pooled"
    return Loaded(
        network,
        lambda pictures: (network(pictures), word),
        tuple(sorted(left_out)),
        partial(_patches, network),
    )


def _patches(network: Any, pictures: Tensor) -> Tensor | None:
    """The last features as a grid, without the tokens that stand for no place."""
    features: Tensor = network.forward_features(pictures)
    if features.ndim == 3:
        return grid_of(features[:, getattr(network, "num_prefix_tokens", 0) :], pictures)
    if features.ndim != 4:
        return None
    # Some architectures keep channels last.
    last = features.shape[-1] == network.num_features != features.shape[1]
    return features if last else features.permute(0, 2, 3, 1)


def _config(folder: Path) -> dict[str, Any]:
    config = read_config(folder / _CONFIG)
    if not isinstance(config.get("architecture"), str):
        raise WeightsError(f"{folder / _CONFIG}: 'architecture' is not stated")
    return config


def _pretrained(config: dict[str, Any]) -> dict[str, Any]:
    """Older files have the settings at the top."""
    found: Any = config.get("pretrained_cfg", config)
    if not isinstance(found, dict):
        raise WeightsError(f"{_CONFIG}: 'pretrained_cfg' is no table")
    return found


def _classifiers(pretrained: dict[str, Any]) -> tuple[str, ...]:
    """How names of the classifier begin, as the settings tell."""
    named = pretrained.get("classifier") or ()
    return tuple(f"{name}." for name in ([named] if isinstance(named, str) else named))
