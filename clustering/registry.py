"""Names to clustering methods: the built-in ones below, third parties' through entry points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from clustering.contract import ClusterMethod
from indexer.errors import ConfigError
from indexer.plugins import load, made, targets

GROUP = "syntopy.clustering"
METHODS: dict[str, str] = {
    "hdbscan": "clustering.density:Density",
    "kmeans": "clustering.kmeans:KMeans",
    "graph": "clustering.graph:Graph",
    "micro": "clustering.micro:MicroClusters",
    "spectral": "clustering.spectral:Spectral",
    "scan": "clustering.scan:Scan",
    "cpp": "clustering.cpp:Cpp",
}
DEFAULT = "hdbscan"


def method_names() -> list[str]:
    """All registered methods, sorted."""
    return sorted(targets(GROUP, METHODS))


@dataclass(frozen=True)
class MethodTold:
    """A method for who chooses one.

    Attributes:
        name: it is registered under.
        about: what it does, in a sentence.
        options: JSON Schema of its parameters, by name, with what each is unless it is said.
    """

    name: str
    about: str
    options: Mapping[str, Any]


def told_methods() -> list[MethodTold]:
    """All registered methods, the default first, then by name.

    Raises:
        ConfigError: a method of another package cannot be loaded.
    """
    found = targets(GROUP, METHODS)
    told = []
    for name in sorted(found, key=lambda each: (each != DEFAULT, each)):
        method = load(found[name])
        schema = TypeAdapter(method).json_schema()
        about = (method.__doc__ or "").strip().partition("\n")[0]
        told.append(MethodTold(name, about, schema.get("properties", {})))
    return told


def make_method(name: str, options: Mapping[str, object] | None = None) -> ClusterMethod:
    """A method by name, with parameters; text is read as the number that a parameter is.

    Raises:
        ConfigError: no such method or parameter, or a value that it cannot have; the message
            lists those there are.
    """
    known = targets(GROUP, METHODS)
    if name not in known:
        raise ConfigError(
            f"there is no clustering method '{name}'; there are: {', '.join(sorted(known))}"
        )
    method: ClusterMethod = made(load(known[name]), name, options or {})
    return method
