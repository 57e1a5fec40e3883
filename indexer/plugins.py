"""Names to classes: built-in ones, and those that other packages register as entry points."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from indexer.errors import ConfigError


def targets(group: str, built_in: Mapping[str, str]) -> dict[str, str]:
    """All names of a group, and as ``module:Class`` what they mean.

    Raises:
        ConfigError: two packages register the same name for different things.
    """
    found = dict(built_in)
    for entry in entry_points(group=group):
        if entry.name in found and found[entry.name] != entry.value:
            raise ConfigError(
                f"two packages register '{entry.name}' in {group}: {found[entry.name]} and "
                f"{entry.value}; uninstall one"
            )
        found[entry.name] = entry.value
    return found


def load(target: str) -> type[Any]:
    """The class that ``module:Class`` names.

    Raises:
        ConfigError: it cannot be loaded.
    """
    module, _, attribute = target.partition(":")
    try:
        loaded: type[Any] = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{target} cannot be loaded: {error}") from error
    return loaded
