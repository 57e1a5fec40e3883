"""Who may ask what: how a request says who it is from, and the rule that every route declares.

How a request says so is one callable, `Authenticate`: headers in, a `Principal` out. While nobody
has to say who they are, it is `anyone_on_loopback`; else it is that of `known_by`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Depends, Request

from api.doorkeeper import Doorkeeper
from api.origins import host_of, is_loopback
from api.rights import EVERY_LIBRARY, Principal, Role, permitted
from indexer.errors import NotAuthenticatedError

Authenticate = Callable[[Mapping[str, str]], Principal]
"""From the headers of a request, their names in lower case, to who sent it.

Raises:
    NotAuthenticatedError: they do not say, or not believably.
"""


def anyone_on_loopback(headers: Mapping[str, str]) -> Principal:
    """Everyone on this machine, for a service that listens on loopback alone.

    A page of another site that a browser on this machine shows is not: its requests name the
    site, or were sent to a name that only pretends to be this machine.

    Raises:
        NotAuthenticatedError: the request comes from such a page.
    """
    origin = headers.get("origin")
    if not is_loopback(host_of(f"//{headers.get('host', '')}")):
        raise NotAuthenticatedError("ask this service as http://127.0.0.1 or http://localhost")
    if origin is not None and not is_loopback(host_of(origin)):
        raise NotAuthenticatedError("pages of other sites may not ask this service")
    if headers.get("sec-fetch-site") == "cross-site":
        raise NotAuthenticatedError("pages of other sites may not ask this service")
    everything = frozenset({EVERY_LIBRARY})
    return Principal("anyone on loopback", Role.ADMIN, everything, "loopback")


def anyone(_headers: Mapping[str, str]) -> Principal:
    """Everyone who can reach the service, wherever they are: for closed networks alone."""
    return Principal("anyone", Role.ADMIN, frozenset({EVERY_LIBRARY}), "insecure")


AT_ONCE = frozenset({anyone_on_loopback, anyone})
"""These wait for nothing, and need no thread."""


def known_by(doorkeeper: Doorkeeper) -> Authenticate:
    """Those who send an API key or a bearer token, or who have signed in."""
    return doorkeeper.who


@dataclass(frozen=True)
class Rule:
    """Who may use a route: those who have ``role`` in the library; None lets everybody.

    ``recorded``: whether the audit tells that it was used; of refusals it always tells.
    """

    role: Role | None
    recorded: bool = True

    def check(self, request: Request) -> Principal:
        """Who asks, where that matters.

        Raises:
            AccessError: it may not, or tokens cannot be checked now.
        """
        assert self.role is not None  # noqa: S101 - else nobody is asked
        authenticate: Authenticate = request.app.state.authenticate
        principal = authenticate(request.headers)
        # Known from here on to the log, and to the record of what is refused.
        request.state.principal = principal
        if principal.by_cookie:
            request.app.state.served.site.from_a_page(request.method, request.headers)
        permitted(principal, self.role, request.app.state.served.library.config.id)
        return principal

    async def __call__(self, request: Request) -> Principal | None:
        """What `check` found before anything of a body was read; None where all may."""
        found: Principal | None = request.state.principal
        return found


def allowed(role: Role | None, *, recorded: bool = True) -> Any:
    """The rule of a route, for its ``dependencies``."""
    return Depends(Rule(role, recorded))
