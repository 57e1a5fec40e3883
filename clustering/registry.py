"""Names to clustering methods: the built-in ones below, third parties' through entry points."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from pydantic import TypeAdapter, ValidationError

from clustering.contract import ClusterMethod
from indexer.errors import ConfigError
from indexer.plugins import load, targets

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
    chosen, given = load(known[name]), dict(options or {})
    fields = [each.name for each in dataclasses.fields(chosen)]
    strange = sorted(set(given) - set(fields))
    if strange:
        has = ", ".join(fields) or "none"
        raise ConfigError(f"'{name}' has no parameter '{strange[0]}'; it has: {has}")
    try:
        made: ClusterMethod = TypeAdapter(chosen).validate_python(given)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise ConfigError(f"'{name}', parameter '{field}': {first['msg']}") from error
    return made
