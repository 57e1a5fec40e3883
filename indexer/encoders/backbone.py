"""Any vision backbone by the name of its repository, from transformers or from timm."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from indexer.encoders import timm_backbone, transformers_backbone
from indexer.encoders.contract import EncoderContext
from indexer.encoders.extras import require_extra
from indexer.encoders.open_ended import family_of
from indexer.encoders.recipe import Recipe, network_input
from indexer.encoders.slices import MAX_SLICES, SlicedEncoder
from indexer.encoders.weights import card_of, read_manifest, ready_folder, spec_of
from indexer.errors import WeightsError
from indexer.kept import once
from indexer.types import ImagePixels

if TYPE_CHECKING:
    from torch import Tensor

    from indexer.encoders.transformers_backbone import Loaded

_LIBRARIES: dict[str, Any] = {"timm": timm_backbone, "transformers": transformers_backbone}


class Backbone(SlicedEncoder):
    """Images, and volumes by their slices, to the pooled features of a network."""

    def __init__(self, context: EncoderContext) -> None:
        self._context = context
        self._folder = ready_folder(context)
        self.recipe = context.choose(recipes_in(self._folder, context.name))
        manifest = read_manifest(context.models, card_of(context.name).name)
        facts = manifest.facts if manifest else {}
        if not isinstance(facts.get("dim"), int) or "pooling" not in facts:
            raise WeightsError(
                f"syntopy.json of '{context.name}' lacks what was found when it was registered; "
                "register it again"
            )
        version = f"{self.recipe.version}-{facts['pooling']}-{MAX_SLICES}-slices"
        self._pooling = facts["pooling"]
        self.spec = spec_of(context, dim=facts["dim"], preprocessing=version)

    @property
    def patches_share_space(self) -> bool:
        """Not of a pooler with weights of its own, as far as the word for it tells."""
        return self._pooling in ("avg", "cls", "mean", "token")

    def _forward(self, pictures: Tensor) -> Tensor:
        return self._loaded.forward(pictures)

    def _patches(self, pictures: Tensor) -> Tensor:
        found = self._loaded.patches(pictures)
        return super()._patches(pictures) if found is None else found

    @once
    def _loaded(self) -> Loaded:
        from indexer.encoders.engine import engine_of  # noqa: PLC0415 - torch

        loaded = load(self._folder, self.spec.name)
        engine_of(self._context).settle(loaded.network)
        return loaded


def recipes_in(folder: Path, name: str) -> dict[str, Recipe]:
    """The preparation that a model in a folder was published with."""
    recipe: Recipe = _LIBRARIES[family_of(name)].recipe_in(folder)
    return {recipe.name: recipe}


def load(folder: Path, name: str) -> Loaded:
    """The network of a folder with its weights.

    Raises:
        MissingExtraError: its library is not installed, or cannot be imported.
        WeightsError: files are damaged, or are not those of one network.
    """
    require_extra(card_of(name).extra)
    loaded: Loaded = _LIBRARIES[family_of(name)].load(folder, f"model.safetensors of '{name}'")
    return loaded


def facts_of(folder: Path, name: str) -> dict[str, Any]:
    """What only the network itself tells: length of its vectors, pooling, places, tensors left out.

    Raises:
        MissingExtraError, WeightsError: as `load` does, or it gives no vectors.
    """
    import torch  # noqa: PLC0415 - heavy

    (recipe,) = recipes_in(folder, name).values()
    loaded = load(folder, name)
    ramp = ImagePixels(np.arange(64.0 * 64, dtype=np.float32).reshape(64, 64))
    with torch.inference_mode():
        inputs = torch.from_numpy(network_input(recipe.picture(ramp), recipe))[None]
        try:
            row, pooling = loaded.pool(inputs)
            places = loaded.patches(inputs)
        except (RuntimeError, ValueError, TypeError) as error:
            raise WeightsError(f"'{name}' takes no pictures: {error}") from error
    if row.ndim != 2:
        raise WeightsError(f"'{name}' gives no vectors, but an array of {row.ndim} axes")
    return {
        "dim": row.shape[1],
        "pooling": pooling,
        "patches": places is not None and min(places.shape[1:3]) > 1,
        "left_out": list(loaded.left_out),
    }
