"""Names to clustering methods: the built-in ones below, third parties' through entry points."""

from __future__ import annotations

from collections.abc import Mapping

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
