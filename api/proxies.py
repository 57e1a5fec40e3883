"""What a proxy in front says of whoever asks; of others it is not believed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from indexer.errors import ConfigError

Network = IPv4Network | IPv6Network
_HOST = r"([A-Za-z0-9.-]{1,253}|\[[0-9a-fA-F:.]{2,45}\])(:[0-9]{1,5})?"
_BELIEVED = {
    "x-request-id": ("request_id", re.compile("[0-9a-f]{32}")),
    "x-forwarded-host": ("asked_host", re.compile(_HOST)),
}
"""Headers, what they become in the state of the request, and their form."""
_WITH_PORT = re.compile(r"\[([^\]]+)\](?::\d+)?|([0-9.]+):\d+")


def trusted_networks(setting: str) -> tuple[Network, ...]:
    """Addresses and networks, divided by commas.

    Raises:
        ConfigError: one is none, or is everybody's.
    """
    found = []
    for word in filter(None, (each.strip() for each in setting.split(","))):
        try:
            network = ip_network(word)
        except ValueError as error:
            raise ConfigError(
                f"SYNTOPY_TRUSTED_PROXIES takes addresses and networks such as 10.1.2.3 or "
                f"10.1.2.0/24, not '{word}'"
            ) from error
        if network.prefixlen == 0:
            raise ConfigError(f"SYNTOPY_TRUSTED_PROXIES would believe everybody: {word}")
        found.append(network)
    return tuple(found)


class Proxied:
    """Of requests that come from a trusted proxy, takes the client's address from its headers.

    ``X-Forwarded-For`` is read from its end: the last address that is no trusted proxy's is the
    client. ``X-Forwarded-Proto`` tells how the client asked, and ``X-Request-Id`` (32 hex digits,
    as nginx makes them) becomes the id of the request. ``X-Forwarded-Host`` is the name
    in the addresses that DICOMweb tells; no rights hang on it. From anybody else they mean nothing.
    ``by_proxy`` in the state of a request says that it came so.

    Args:
        app: what is within.
        trusted: addresses of proxies.
    """

    def __init__(self, app: ASGIApp, trusted: Sequence[Network]) -> None:
        self._app, self._trusted = app, trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and self._trusted and scope.get("client"):
            peer = _address(scope["client"][0])
            if peer is not None and self._is_trusted(peer):
                self._believe(scope, str(peer))
        await self._app(scope, receive, send)

    def _believe(self, scope: Scope, peer: str) -> None:
        headers, state = Headers(scope=scope), scope.setdefault("state", {})
        state["by_proxy"] = True
        named = ",".join(headers.getlist("x-forwarded-for")).split(",")
        client = peer
        for word in reversed(named):
            found = _address(word.strip())
            if found is None:  # what comes before it nobody vouches for
                break
            client = str(found)
            if not self._is_trusted(found):
                break
        scope["client"] = (client, 0)
        if headers.get("x-forwarded-proto") in ("http", "https"):
            scope["scheme"] = headers["x-forwarded-proto"]
        for name, (kept, form) in _BELIEVED.items():
            said = headers.get(name, "")
            if form.fullmatch(said):
                state[kept] = said

    def _is_trusted(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._trusted)


def _address(word: str) -> IPv4Address | IPv6Address | None:
    """An address, with or without a port; IPv4 also where it is written as IPv6."""
    with_port = _WITH_PORT.fullmatch(word)
    if with_port:
        word = with_port[1] or with_port[2]
    try:
        found = ip_address(word)
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        return found.ipv4_mapped or (None if found.scope_id else found)
    return found
