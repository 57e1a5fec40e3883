"""Where results may be sent: named in a file of the library, never by a request."""

from __future__ import annotations

import ipaddress
import os
import ssl
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from indexer.errors import ConfigError, QueryError
from indexer.library import Library

FILE = "destinations.toml"
_SECONDS = 10.0
Title = Annotated[str, Field(pattern=r"^(?! )[ -\[\]-~]{1,16}(?<! )$")]
"""An AE title: 1 to 16 ASCII characters without a backslash."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]


class _Destination(BaseModel):
    """What all have.

    Attributes:
        insecure: it may be sent to without TLS beyond this machine.
        ca: file of the CA that it shows a certificate of; else those that this machine trusts.
        certificate, key: files of ours, where it wants one.
        timeout: seconds of silence until it is given up.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, regex_engine="python-re")

    name: Name
    insecure: bool = False
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    timeout: float = Field(default=_SECONDS, gt=0, le=120)

    def context(self) -> ssl.SSLContext:
        """How connections to it are made: TLS 1.2 or newer, its certificate checked.

        Raises:
            ConfigError: a file cannot be used.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except OSError as error:  # an error of ssl is one, too
            raise ConfigError(
                f"the TLS files of the destination '{self.name}' cannot be used: "
                f"{error.strerror or type(error).__name__}; they are PEM, the key without a "
                "password"
            ) from error
        return context


class WebDestination(_Destination):
    """A DICOMweb service (STOW-RS).

    Attributes:
        url: of the service; ``/studies`` is added.
        token: name of the environment variable with its bearer token; "" for none.
    """

    kind: Literal["dicomweb"]
    url: str
    token: str = Field(default="", pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$")

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            parts = urlsplit(self.url)
            fine = parts.port != 0 and self.url.isascii() and self.url.isprintable()
            fine = fine and parts.scheme in ("http", "https") and bool(parts.hostname)
        except ValueError:
            fine = False
        if not fine:
            raise ValueError("url is as https://host/dicom-web")
        parts = urlsplit(self.url)
        if parts.username is not None or parts.password is not None or parts.query:
            raise ValueError("url has no name, password or question mark in it")
        if parts.scheme == "http" and not (self.insecure or is_this_machine(parts.hostname or "")):
            raise ValueError("beyond this machine url is https; insecure = true allows http")
        if self.token.upper().startswith("SYNTOPY_"):
            raise ValueError("SYNTOPY_… are settings: name another variable for the token")
        return self

    def secret(self) -> str:
        """The token; "" for none.

        Raises:
            ConfigError: its variable is not set.
        """
        found = os.environ.get(self.token, "") if self.token else ""
        if self.token and not (found.isascii() and found.isprintable() and found):
            raise ConfigError(
                f"the destination '{self.name}' takes its token from the environment variable "
                f"{self.token}, which is not set, or is no token"
            )
        return found


class NodeDestination(_Destination):
    """A DICOM node (C-STORE).

    Attributes:
        called, calling: AE titles, its and ours.
        tls: talk TLS to it.
    """

    kind: Literal["dimse"]
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,253}$")]
    port: int = Field(ge=1, le=65_535)
    called: Title
    calling: Title = "SYNTOPY"
    tls: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not (self.tls or self.insecure or is_this_machine(self.host)):
            raise ValueError(
                "beyond this machine set tls = true; insecure = true allows it in the clear"
            )
        return self


Destination = WebDestination | NodeDestination
_READ: TypeAdapter[Destination] = TypeAdapter(Annotated[Destination, Field(discriminator="kind")])


def destinations(library: Library) -> list[Destination]:
    """All that the library's ``destinations.toml`` names, by name; none without such a file.

    Raises:
        ConfigError: the file cannot be read, or an entry is wrong.
    """
    path = library.path / FILE
    try:
        with path.open("rb") as handle:
            told = tomllib.load(handle)
    except FileNotFoundError:
        return []
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else error  # else with the folder
        raise ConfigError(f"{FILE} of the library cannot be read: {said}") from error
    return [_read(name, told[name]) for name in sorted(told)]


@dataclass(frozen=True)
class Named:
    """A destination as it may be told: its name, kind and address, nothing secret."""

    name: str
    kind: str
    where: str


def named(library: Library) -> list[Named]:
    """All destinations, to be told.

    Raises:
        ConfigError: as `destinations`.
    """
    return [
        Named(
            each.name,
            each.kind,
            each.url
            if isinstance(each, WebDestination)
            else f"{each.called}@{each.host}:{each.port}",
        )
        for each in destinations(library)
    ]


def find_destination(library: Library, name: str) -> Destination:
    """The destination of a name.

    Raises:
        QueryError: there is none; the message lists those there are.
        ConfigError: as `destinations`.
    """
    known = destinations(library)
    for each in known:
        if each.name == name:
            return each
    there = f"there are: {', '.join(each.name for each in known)}" if known else f"{FILE} has none"
    raise QueryError(f"there is no destination '{name}' for results; {there}")


def is_this_machine(host: str) -> bool:
    """Whether a name or an address stands for this machine and nothing else."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read(name: str, entry: object) -> Destination:
    try:
        return _READ.validate_python({**entry, "name": name} if isinstance(entry, dict) else entry)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        what = first["msg"].removeprefix("Value error, ")
        said = f"{where}: {what}" if where else what
        raise ConfigError(f"{FILE} of the library, [{name}]: {said}") from error
