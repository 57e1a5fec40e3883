"""Words for the spaces of a library: fit bridges, list them, choose among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from api.service.encoders import ModelState, list_models
from api.service.options import read_options
from indexer.config import Settings
from indexer.errors import ConfigError
from indexer.library import Library, SpaceInfo
from indexer.texts.bridge import BridgeAbout
from indexer.texts.bridges import (
    BridgeVersion,
    bridge_versions,
    make_bridge,
    remove_bridge,
    use_bridge,
)
from indexer.texts.towers import open_tower

TFIDF, AUTO = "tfidf", "auto"
_GENERAL = "medimageinsight"
"""Its text tower knows words of all modalities; those of others know one field."""
_READY = ("ready", "built in")


@dataclass(frozen=True)
class FitRequest:
    """What to fit.

    Attributes:
        encoders: whose spaces; none takes all without a text tower of their own.
        features: ``auto``, ``tfidf``, or an encoder whose text tower reads the texts.
        labels: whether labels count as words.
        seed: of folds and draws.
    """

    encoders: tuple[str, ...] = ()
    features: str = AUTO
    labels: bool = True
    seed: int = 0


@dataclass(frozen=True)
class FittedBridge:
    """A bridge that was made, and how good it is.

    Attributes:
        encoder, version: of which space, and its number there.
        about: how it was made, and its quality.
        why: why these features.
        left_out: studies that were not drawn, as there are more than are needed.
    """

    encoder: str
    version: int
    about: BridgeAbout
    why: str
    left_out: int


def fit(
    library: Library,
    request: FitRequest,
    settings: Settings,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[FittedBridge]:
    """Fit a bridge for each space asked for.

    Args:
        library: whose reports, labels and vectors.
        request: what to fit.
        settings: say where models lie.
        on_progress: called with texts embedded by a text tower, and all there are to embed.

    Raises:
        QueryError: too few pairs of text and image.
        ConfigError: the library has no space of an encoder named, or there are no such features.
    """
    states = {state.name: state for state in list_models(settings)}
    spaces = _asked(library, request, states)
    features, why = choose_features(library, request.features, states)
    options = read_options(library, settings)
    tower = None
    if features != TFIDF:
        tower = open_tower(library, options.context(features), on_progress)
    fitted = []
    for space in spaces:
        bridge, version, pairs = make_bridge(
            library, space, tower, labels=request.labels, seed=request.seed
        )
        fitted.append(FittedBridge(space.encoder, version, bridge.about, why, pairs.left_out))
    return fitted


def choose_features(
    library: Library, wanted: str, states: dict[str, ModelState]
) -> tuple[str, str]:
    """Which features of texts to take, and why.

    Args:
        library: whose own encoders come first.
        wanted: ``auto``, ``tfidf`` or an encoder.
        states: of all models.

    Raises:
        ConfigError: the encoder has no text tower, or is not ready.
    """
    if wanted == TFIDF:
        return TFIDF, "as asked for"
    if wanted != AUTO:
        state = states.get(_base(wanted))
        with_text = ", ".join(name for name, each in states.items() if each.text) or "none"
        if state is None or not state.text:
            raise ConfigError(
                f"--features is {AUTO}, {TFIDF} or an encoder with a text tower ({with_text}), not "
                f"'{wanted}'"
            )
        if state.state not in _READY:
            raise ConfigError(f"the text tower of '{wanted}' cannot be used: {state.why}")
        return wanted, "as asked for"
    for name in library.config.encoders:
        if _can_read(states.get(_base(name))):
            return name, "the text tower of one of the library's encoders"
    if _can_read(states.get(_GENERAL)):
        return _GENERAL, "the library's encoders have no text tower, and this model is ready"
    return TFIDF, f"neither the library's encoders nor '{_GENERAL}' have a text tower ready"


def _can_read(state: ModelState | None) -> bool:
    return state is not None and state.text and state.state in _READY


def _base(name: str) -> str:
    return name.partition(":")[0]


def _asked(library: Library, request: FitRequest, states: dict[str, ModelState]) -> list[SpaceInfo]:
    """The spaces to fit for."""
    if request.encoders:
        return [space_of(library, name) for name in request.encoders]
    spaces = {space.encoder: space for space in library.spaces()}
    if not spaces:
        raise ConfigError("the library has no space of any encoder; index something first")
    mute = [n for n in sorted(spaces) if not ((s := states.get(_base(n))) and s.text)]
    if not mute:
        raise ConfigError(
            f"every encoder of the library has a text tower ({', '.join(sorted(spaces))}); name "
            "one with --encoder to fit a bridge all the same"
        )
    return [spaces[name] for name in mute]


def space_of(library: Library, encoder: str) -> SpaceInfo:
    """The newest space of an encoder.

    Raises:
        ConfigError: the library has none.
    """
    spaces = {space.encoder: space for space in library.spaces()}
    if encoder not in spaces:
        raise ConfigError(
            f"the library has no space of '{encoder}'; it has: "
            f"{', '.join(sorted(spaces)) or 'none, index something first'}"
        )
    return spaces[encoder]


def show(library: Library, version: int, encoder: str = "") -> BridgeVersion:
    """One bridge.

    Raises:
        ConfigError: there is none of this number, or several encoders have bridges and none is
            named.
    """
    space = _bridged_space(library, encoder)
    for found in bridge_versions(library):
        if (found.encoder, found.version) == (space.encoder, version):
            return found
    raise ConfigError(f"the bridge for '{space.encoder}' has no version {version}")


def use(library: Library, version: int, encoder: str = "") -> str:
    """Let words go by a version from now on; returns the encoder. Raises as `show` does."""
    space = _bridged_space(library, encoder)
    use_bridge(library, space, version)
    return space.encoder


def remove(library: Library, version: int, encoder: str = "") -> tuple[str, int]:
    """Delete a version; returns the encoder and the version in use then. Raises as `show` does."""
    space = _bridged_space(library, encoder)
    return space.encoder, remove_bridge(library, space, version)


def _bridged_space(library: Library, encoder: str) -> SpaceInfo:
    """The space named, or the only one that has bridges."""
    if encoder:
        return space_of(library, encoder)
    names = sorted({found.encoder for found in bridge_versions(library)})
    if len(names) != 1:
        raise ConfigError(
            f"name one of {', '.join(names)} with --encoder"
            if names
            else "the library has no bridge; fit one with: syntopy bridge fit"
        )
    return space_of(library, names[0])
