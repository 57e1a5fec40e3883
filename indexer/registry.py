"""Names to implementations: the built-in ones below, third parties' through entry points.

A new encoder or store is one module and one line here, or one entry point in another package; both
are loaded by the same code, on demand.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from indexer.encoders.contract import Encoder
from indexer.errors import ConfigError, UnknownEncoderError
from indexer.stores.contract import VectorStore

ENCODERS = {"texture": "indexer.encoders.texture:TextureEncoder"}
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


def make_encoder(name: str) -> Encoder:
    """Build the encoder of this name.

    Raises:
        UnknownEncoderError: no such encoder; the message lists those there are.
        ConfigError: it cannot be loaded, or its spec has another name.
    """
    targets = _targets("syntopy.encoders", ENCODERS)
    if name not in targets:
        raise UnknownEncoderError(
            f"there is no encoder '{name}'; there are: {', '.join(sorted(targets))}"
        )
    encoder: Encoder = _load(targets[name])()
    if encoder.spec.name != name:
        raise ConfigError(f"the encoder '{name}' calls itself '{encoder.spec.name}' in its spec")
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
