"""The address of a Qdrant server as it stands in a library's ``store``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import parse_qsl, unquote, urlsplit

from indexer.errors import ConfigError

API_KEY = "SYNTOPY_QDRANT_API_KEY"
"""The environment variable with the server's key, which stands nowhere else."""
Quantization = Literal["none", "int8", "binary"]
_SCHEMES = ("qdrant", "qdrant+local")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_OPTIONS = ("tls", "grpc", "grpc_port", "shards", "replicas", "quantization", "exact")


@dataclass(frozen=True)
class QdrantSpec:
    """Where a library's vectors are, as its store says.

    Attributes:
        name: of the collection.
        host, port, grpc_port: of the server; of the local mode there are none.
        folder: of the local mode; None with a server.
        tls: None where nothing is said: no.
        grpc: whether vectors travel by gRPC, which is quicker, instead of JSON.
        shards, replicas: of a collection that is made; 0 leaves them to the server.
        quantization: what the server keeps in memory beside the float16 vectors.
        exact: whether every vector is compared, whatever that costs.
    """

    name: str
    host: str = ""
    port: int = 6333
    folder: Path | None = None
    tls: bool | None = None
    grpc: bool = False
    grpc_port: int = 6334
    shards: int = 0
    replicas: int = 0
    quantization: Quantization = "none"
    exact: bool = False

    @property
    def address(self) -> str:
        """For messages: host and port, or that it is a folder."""
        return f"{self.host}:{self.port}" if self.folder is None else f"folder {self.folder}"

    @property
    def made_with(self) -> str:
        """What a collection gets when it is made, and cannot be changed in it afterwards."""
        return f"shards={self.shards} replicas={self.replicas} quantization={self.quantization}"


def read_spec(spec: str) -> QdrantSpec:
    """Understand ``qdrant://host:6333/collection?…`` or ``qdrant+local:///folder?collection=…``.

    Raises:
        ConfigError: naming the part that is wrong; never with what may be a password.
    """
    scheme, _, rest = spec.partition(":")
    try:
        parts = urlsplit(f"http:{rest}")
        port = parts.port or 6333
    except ValueError as error:
        raise ConfigError(f"the store's URL cannot be read: {_shape(scheme)}") from error
    if scheme not in _SCHEMES or not rest.startswith("//"):
        raise ConfigError(f"the store's URL cannot be read: {_shape(scheme)}")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    secret = any("key" in name.lower() or "token" in name.lower() for name in options)
    if parts.username is not None or secret:
        raise ConfigError(
            f"a key has no place in the store's URL; set {API_KEY} in the environment"
        )
    if scheme == "qdrant+local":
        return _read_local(parts.netloc, parts.path, options)
    name = unquote(parts.path.strip("/"))
    _check_name(name)
    _check_options(options, _OPTIONS)
    quantization = _quantization(options.get("quantization", "none"))
    if not parts.hostname:
        raise ConfigError(f"the store's URL names no host: {_shape(scheme)}")
    return QdrantSpec(
        name=name,
        host=parts.hostname,
        port=port,
        tls=_flag(options, "tls") if "tls" in options else None,
        grpc=_flag(options, "grpc"),
        grpc_port=_number(options, "grpc_port", 6334, most=65_535),
        shards=_number(options, "shards", 0, most=1000),
        replicas=_number(options, "replicas", 0, most=100),
        quantization=quantization,
        exact=_flag(options, "exact"),
    )


def _read_local(host: str, path: str, options: dict[str, str]) -> QdrantSpec:
    _check_options(options, ("collection", "exact"))
    name = options.get("collection", "syntopy")
    _check_name(name)
    if host or path in ("", "/"):
        raise ConfigError(f"the store's URL cannot be read: {_shape('qdrant+local')}")
    return QdrantSpec(name=name, folder=Path(unquote(path)), exact=_flag(options, "exact"))


def _shape(scheme: str) -> str:
    if scheme == "qdrant+local":
        return "it is like qdrant+local:///folder?collection=name, with a folder from the root on"
    return "it is like qdrant://host:6333/collection?tls=1"


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ConfigError(
            "the store's URL ends in the name of a collection: letters, digits, '_', '-' and '.'"
        )


def _check_options(options: dict[str, str], known: tuple[str, ...]) -> None:
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ConfigError(
            f"unknown option {', '.join(unknown)} in the store's URL; there are {', '.join(known)}"
        )


def _quantization(value: str) -> Quantization:
    for known in get_args(Quantization):
        if value == known:
            kind: Quantization = known
            return kind
    raise ConfigError(f"quantization is one of {', '.join(get_args(Quantization))}")


def _flag(options: dict[str, str], name: str) -> bool:
    value = options.get(name, "0")
    if value not in ("0", "1"):
        raise ConfigError(f"{name} in the store's URL is 0 or 1, not '{value}'")
    return value == "1"


def _number(options: dict[str, str], name: str, default: int, *, most: int) -> int:
    value = options.get(name, "")
    if not value:
        return default
    if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= most:
        raise ConfigError(f"{name} in the store's URL is a number from 1 to {most}")
    return int(value)
