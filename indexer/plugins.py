"""Names to classes: built-in ones, and those that other packages register as entry points."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from pydantic import TypeAdapter, ValidationError

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


def parameters_of(chosen: type[Any], hidden: Collection[str] = ()) -> list[str]:
    """The parameters of a dataclass: its fields, but for those that hold what it has learned."""
    return [each.name for each in fields(chosen) if each.init and each.name not in hidden]


def made(
    chosen: type[Any], name: str, options: Mapping[str, object], hidden: Collection[str] = ()
) -> Any:
    """A dataclass with parameters; text is read as the number that a parameter is.

    Args:
        chosen: the dataclass.
        name: it is registered under.
        options: its parameters by name.
        hidden: fields that are no parameters.

    Raises:
        ConfigError: no such parameter, or a value that it cannot have.
    """
    known = parameters_of(chosen, hidden)
    strange = sorted(set(options) - set(known))
    if strange:
        has = ", ".join(known) or "none"
        raise ConfigError(f"'{name}' has no parameter '{strange[0]}'; it has: {has}")
    try:
        return TypeAdapter(chosen).validate_python(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(f"'{name}', parameter '{where}': {first['msg']}") from error
