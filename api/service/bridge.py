"""Words for the spaces of a library that have none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from indexer.bridge import BridgeQuality
from indexer.bridges import make_bridge
from indexer.errors import ConfigError
from indexer.library import Library


@dataclass(frozen=True)
class FittedBridge:
    """A bridge that was made, and how good it is."""

    encoder: str
    version: int
    quality: BridgeQuality


def fit(library: Library, encoders: Sequence[str], *, seed: int = 0) -> list[FittedBridge]:
    """Fit a bridge for each space, or for those of the encoders named.

    Raises:
        QueryError: too few pairs of report and image.
        ConfigError: the library has no space of an encoder named.
    """
    spaces = {space.encoder: space for space in library.spaces()}
    unknown = sorted(set(encoders) - spaces.keys())
    if unknown or not spaces:
        raise ConfigError(
            f"the library has no space of {', '.join(unknown) or 'any encoder'}; it has: "
            f"{', '.join(sorted(spaces)) or 'none, index something first'}"
        )
    fitted = []
    for name in encoders or sorted(spaces):
        bridge, version = make_bridge(library, spaces[name], seed=seed)
        fitted.append(FittedBridge(name, version, bridge.quality))
    return fitted
