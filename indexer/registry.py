"""Names to implementations: the built-in ones below, third parties' through entry points.

A new encoder or store is one module and one line here, or one entry point in another package; both
are loaded by the same code, on demand.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Protocol

from indexer.encoders.contract import Encoder, EncoderContext
from indexer.errors import ConfigError, UnknownEncoderError
from indexer.stores.contract import VectorStore

ENCODERS = {
    "ct-fm": "indexer.encoders.ct_fm:CtFm",
    "flair": "indexer.encoders.flair:Flair",
    "m3d-clip": "indexer.encoders.m3d_clip:M3dClip",
    "medimageinsight": "indexer.encoders.medimageinsight:MedImageInsight",
    "merlin": "indexer.encoders.merlin:Merlin",
    "rad-dino": "indexer.encoders.rad_dino:RadDino",
    "rad-dino-maira-2": "indexer.encoders.rad_dino:RadDino",
    "texture": "indexer.encoders.texture:TextureEncoder",
}
STORES = {
    "exact": "indexer.stores.exact:ExactStore",
    "faiss": "indexer.stores.faiss_flat:FaissFlatStore",
}


def encoder_names() -> list[str]:
    """All registered encoders, sorted."""
    return sorted(_targets("syntopy.encoders", ENCODERS))


def store_names() -> list[str]:
    """All registered stores, sorted."""
    return sorted(_targets("syntopy.stores", STORES))


def known_encoder(name: str) -> bool:
    """Whether an encoder of this name is registered; a recipe after a colon does not count."""
    return name.partition(":")[0] in _targets("syntopy.encoders", ENCODERS)


def make_encoder(context: EncoderContext) -> Encoder:
    """Build an encoder; in one process the same context gives the same object.

    Raises:
        UnknownEncoderError: no such encoder or recipe; the message lists those there are.
        WeightsError: its weights are not there.
        ConfigError: it cannot be loaded, or its spec has another name.
    """
    targets = _targets("syntopy.encoders", ENCODERS)
    base = context.name.partition(":")[0]
    if base not in targets:
        raise UnknownEncoderError(
            f"there is no encoder '{base}'; there are: {', '.join(sorted(targets))}"
        )
    return _made(targets[base], context)


def recipes_of(name: str) -> Mapping[str, Recipe]:
    """The recipes of a built-in encoder by name, the default first; empty if it has but one."""
    target = ENCODERS.get(name.partition(":")[0], "")
    module = import_module(target.partition(":")[0]) if target else None
    found: Mapping[str, Recipe] = getattr(module, "RECIPES", {})
    return found


class Recipe(Protocol):
    """A named way of preparing what an encoder sees."""

    @property
    def name(self) -> str:
        """After the colon in an encoder's name."""

    def says(self) -> list[str]:
        """Each step in a sentence."""


@cache
def _made(target: str, context: EncoderContext) -> Encoder:
    """Weights are big: they are loaded once, however often an encoder is asked for."""
    encoder: Encoder = _load(target)(context)
    if encoder.spec.name != context.name:
        raise ConfigError(
            f"the encoder '{context.name}' calls itself '{encoder.spec.name}' in its spec"
        )
    return encoder


def store_class(name: str) -> type[Any]:
    """The class of the store of this name; called with the dimension it makes an empty store.

    Raises:
        ConfigError: no such store; the message lists those there are. Or it cannot be loaded.
    """
    targets = _targets("syntopy.stores", STORES)
    if name not in targets:
        raise ConfigError(f"there is no store '{name}'; there are: {', '.join(sorted(targets))}")
    return _load(targets[name])


def make_store(name: str, dim: int) -> VectorStore:
    """An empty store of this name."""
    store: VectorStore = store_class(name)(dim)
    return store


def _targets(group: str, built_in: dict[str, str]) -> dict[str, str]:
    targets = dict(built_in)
    for entry in entry_points(group=group):
        if entry.name in targets and targets[entry.name] != entry.value:
            raise ConfigError(
                f"two packages register '{entry.name}' in {group}: {targets[entry.name]} and "
                f"{entry.value}; uninstall one"
            )
        targets[entry.name] = entry.value
    return targets


def _load(target: str) -> type[Any]:
    module, _, attribute = target.partition(":")
    try:
        loaded: type[Any] = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{target} cannot be loaded: {error}") from error
    return loaded
