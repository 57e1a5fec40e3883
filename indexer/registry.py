"""Names to implementations: the built-in ones below, third parties' through entry points.

A new encoder or store is one module and one line here, or one entry point in another package; both
are loaded by the same code, on demand.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from indexer.encoders.cards import CARDS
from indexer.encoders.contract import Encoder, EncoderContext
from indexer.encoders.extras import require_extra
from indexer.encoders.open_ended import OPEN_NAMES, family_of
from indexer.encoders.weights import MANIFEST, card_of, model_folder, read_manifest
from indexer.errors import ConfigError, UnknownEncoderError
from indexer.kept import Kept
from indexer.plugins import load, targets
from indexer.stores.contract import VectorStore

ENCODERS = {
    "biomedclip": "indexer.encoders.open_clip:OpenClip",
    "ct-fm": "indexer.encoders.ct_fm:CtFm",
    "flair": "indexer.encoders.flair:Flair",
    "m3d-clip": "indexer.encoders.m3d_clip:M3dClip",
    "medimageinsight": "indexer.encoders.medimageinsight:MedImageInsight",
    "merlin": "indexer.encoders.merlin:Merlin",
    "quiltnet-b-16": "indexer.encoders.open_clip:OpenClip",
    "quiltnet-b-32": "indexer.encoders.open_clip:OpenClip",
    "rad-dino": "indexer.encoders.rad_dino:RadDino",
    "rad-dino-maira-2": "indexer.encoders.rad_dino:RadDino",
    "texture": "indexer.encoders.texture:TextureEncoder",
    "unimed-clip-b-16": "indexer.encoders.open_clip:OpenClip",
}
BACKBONE = "indexer.encoders.backbone:Backbone"
"""Of all names like ``transformers/OWNER/NAME`` and ``timm/NAME``."""
STORES = {
    "exact": "indexer.stores.exact:ExactStore",
    "faiss": "indexer.stores.faiss_store:FaissStore",
    "qdrant": "indexer.stores.qdrant:QdrantStore",
    "qdrant+local": "indexer.stores.qdrant:QdrantStore",
}


def encoder_names() -> list[str]:
    """All registered encoders, sorted."""
    return sorted(targets("syntopy.encoders", ENCODERS))


def store_names() -> list[str]:
    """All registered stores, sorted."""
    return sorted(targets("syntopy.stores", STORES))


def known_encoder(name: str) -> bool:
    """Whether an encoder of this name is registered; a recipe after a colon does not count."""
    return bool(family_of(name)) or name.partition(":")[0] in targets("syntopy.encoders", ENCODERS)


def make_encoder(context: EncoderContext) -> Encoder:
    """Build an encoder; in one process, in all its threads, the same context gives the same object.

    Raises:
        UnknownEncoderError: no such encoder or recipe; the message lists those there are.
        WeightsError: its weights are not there.
        ConfigError: it cannot be loaded, or its spec has another name.
    """
    return _KEPT.get(context, _stamp(context), partial(build_encoder, context))


def usable_encoder(context: EncoderContext) -> Encoder:
    """As `make_encoder`, having seen that it can embed: that its packages are here and can be used.

    Raises:
        MissingExtraError: they are not; the message says which and what to do.
    """
    encoder = make_encoder(context)
    base = context.name.partition(":")[0]
    if base in CARDS or family_of(base):
        card = card_of(base)
        require_extra(card.extra, vision=card.vision)
    return encoder


def build_encoder(context: EncoderContext) -> Encoder:
    """As `make_encoder`, but a new object, which nobody keeps."""
    base = context.name.partition(":")[0]
    known = targets("syntopy.encoders", ENCODERS)
    target = BACKBONE if family_of(base) else known.get(base)
    if target is None:
        names = ", ".join([*sorted(known), *OPEN_NAMES])
        raise UnknownEncoderError(f"there is no encoder '{base}'; there are: {names}")
    encoder: Encoder = load(target)(context)
    if encoder.spec.name != context.name:
        raise ConfigError(
            f"the encoder '{context.name}' calls itself '{encoder.spec.name}' in its spec"
        )
    return encoder


_KEPT: Kept[Encoder] = Kept(most=16)
"""Weights are big: they are loaded once, however often an encoder is asked for. No library has so
many encoders, but a process that tries one after the other must not hold all of them."""


def _stamp(context: EncoderContext) -> tuple[int, ...]:
    """Changes when a model is registered anew; empty for an encoder without files."""
    base = context.name.partition(":")[0]
    try:
        state = (model_folder(context.models, base) / MANIFEST).stat()
    except OSError:
        return ()
    return (state.st_mtime_ns, state.st_ino, state.st_size)


def recipes_of(name: str, models: Path | None = None) -> Mapping[str, Recipe]:
    """The recipes of a built-in encoder by name, the default first; empty if it has but one.

    Args:
        name: of the encoder; a recipe after a colon does not count.
        models: folder of weights. Some recipes are published with the weights, and are known once
            those are here.
    """
    base = name.partition(":")[0]
    target = BACKBONE if family_of(base) else ENCODERS.get(base, "")
    if not target:
        return {}
    module: Any = import_module(target.partition(":")[0])
    found: Mapping[str, Recipe] = getattr(module, "RECIPES", {})
    if hasattr(module, "recipes_in") and models is not None and read_manifest(models, base):
        found = module.recipes_in(model_folder(models, base), base)
    return found


class Recipe(Protocol):
    """A named way of preparing what an encoder sees."""

    @property
    def name(self) -> str:
        """After the colon in an encoder's name."""

    def says(self) -> list[str]:
        """Each step in a sentence."""


def store_class(spec: str) -> type[Any]:
    """The class of a store; the part of a spec before the first colon is its name.

    Raises:
        ConfigError: no such store; the message lists those there are. Or it cannot be loaded.
    """
    name, known = spec.partition(":")[0], targets("syntopy.stores", STORES)
    if name not in known:
        raise ConfigError(f"there is no store '{name}'; there are: {', '.join(sorted(known))}")
    return load(known[name])


def check_store(spec: str) -> None:
    """Look at a spec such as ``faiss``, ``faiss:hnsw`` or a URL; nothing is opened.

    Raises:
        ConfigError: no such store, or none of that kind.
    """
    chosen = store_class(spec)
    if hasattr(chosen, "check_spec"):
        chosen.check_spec(spec)
    elif ":" in spec:
        raise ConfigError(f"the store '{spec.partition(':')[0]}' has no kinds: leave out the colon")


def is_remote(spec: str) -> bool:
    """Whether the vectors of a store live in a server."""
    return hasattr(store_class(spec), "connect")


def address_of(spec: str) -> str:
    """Where the vectors of a store lie: of a server without what else a spec says of it."""
    return str(store_class(spec).address(spec)) if is_remote(spec) else spec


def has_files(spec: str) -> bool:
    """Whether a store keeps files, so that it is opened faster than it is rebuilt."""
    return hasattr(store_class(spec), "read_mark")


def kind_of(spec: str) -> str:
    """What a spec says after the first colon."""
    return spec.partition(":")[2]


def make_store(spec: str, dim: int) -> VectorStore:
    """An empty store in memory; of a store that lives in a server, one that stands for it.

    A class is called with the dimension, and with the kind if the spec has one.
    """
    if is_remote(spec):
        return make_store("exact", dim)
    check_store(spec)
    kind = kind_of(spec)
    store: VectorStore = store_class(spec)(dim, kind) if kind else store_class(spec)(dim)
    return store
