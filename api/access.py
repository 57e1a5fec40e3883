"""Who may ask what: principals, roles, and the rule that every route declares.

How a request says who it is from is one callable, `Authenticate`: headers in, a `Principal` out, or
`UnauthenticatedError`. While nobody has to say who they are, it is `anyone_on_loopback`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from fastapi import Depends, Request

from indexer.errors import SyntopyError

Role = Literal["reader", "curator", "operator", "admin"]
ROLES: tuple[Role, ...] = ("reader", "curator", "operator", "admin")
"""Each may do what those before it may."""
EVERY_LIBRARY = "*"


class UnauthenticatedError(SyntopyError):
    """The request does not say who it is from, or cannot prove it."""

    code: ClassVar[str] = "unauthenticated"


class ForbiddenError(SyntopyError):
    """Whoever asks may not do this."""

    code: ClassVar[str] = "forbidden"


@dataclass(frozen=True)
class Principal:
    """Who asks.

    Attributes:
        name: for the log; no secret, and no patient's.
        role: the highest that it has.
        libraries: ids of the libraries that it may ask, or `EVERY_LIBRARY`.
    """

    name: str
    role: Role
    libraries: frozenset[str]

    def may(self, role: Role, library: str) -> bool:
        """Whether it has a role, or a higher one, in a library."""
        known = bool(self.libraries & {library, EVERY_LIBRARY})
        return known and ROLES.index(self.role) >= ROLES.index(role)


Authenticate = Callable[[Mapping[str, str]], Principal]
"""From the headers of a request, their names in lower case, to who sent it.

Raises:
    UnauthenticatedError: they do not say, or not believably.
"""


def anyone_on_loopback(headers: Mapping[str, str]) -> Principal:
    """Everyone on this machine, for a service that listens on loopback alone.

    A page of another site that a browser on this machine shows is not: its requests name the
    site, or were sent to a name that only pretends to be this machine.

    Raises:
        UnauthenticatedError: the request comes from such a page.
    """
    origin = headers.get("origin")
    if not is_loopback(_host(f"//{headers.get('host', '')}")):
        raise UnauthenticatedError("ask this service as http://127.0.0.1 or http://localhost")
    if origin is not None and not is_loopback(_host(origin)):
        raise UnauthenticatedError("pages of other sites may not ask this service")
    if headers.get("sec-fetch-site") == "cross-site":
        raise UnauthenticatedError("pages of other sites may not ask this service")
    return Principal("anyone on loopback", "admin", frozenset({EVERY_LIBRARY}))


def is_loopback(host: str) -> bool:
    """Whether a name or an address stands for this machine and nothing else."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


@dataclass(frozen=True)
class Rule:
    """Who may use a route: those who have ``role`` in the library; None lets everybody."""

    role: Role | None

    def check(self, request: Request) -> Principal:
        """Who asks, where that matters.

        Raises:
            UnauthenticatedError, ForbiddenError: it may not.
        """
        assert self.role is not None  # noqa: S101 - else nobody is asked
        authenticate: Authenticate = request.app.state.authenticate
        principal = authenticate(request.headers)
        if not principal.may(self.role, request.app.state.served.library.config.id):
            raise ForbiddenError(f"this needs the role {self.role} in this library")
        return principal

    async def __call__(self, request: Request) -> Principal | None:
        """What `check` found before anything of a body was read; None where all may."""
        found: Principal | None = request.state.principal
        return found


def allowed(role: Role | None) -> Any:
    """The rule of a route, for its ``dependencies``."""
    return Depends(Rule(role))
