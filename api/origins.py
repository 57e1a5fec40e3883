"""Which site a browser believes to be at, and whether a request comes from a page of it.

A browser sends cookies by itself, also when a page of another site lets it ask. So a cookie counts
where the request was sent to this site by name, and changes something only where a page of this
very site sent it: it says so by ``Sec-Fetch-Site`` or ``Origin``, which no page can set, and by a
header that pages of other sites may not send without being allowed to first, which they are not.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from indexer.errors import AccessDeniedError, ConfigError, NotAuthenticatedError

PAGE_HEADER, PAGE_VALUE = "x-syntopy", "page"
"""What the page sends with everything that changes something."""
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Site:
    """The one site whose pages may ask with a cookie, and this machine.

    Args:
        public_url: as people enter it, such as ``https://images.example.org``; empty where the
            service is used on this machine alone.

    Raises:
        ConfigError: it is no address of a site, or neither https nor on this machine: cookies
            would travel in clear.
    """

    def __init__(self, public_url: str = "") -> None:
        self._origin = checked_origin(public_url, "SYNTOPY_PUBLIC_URL") if public_url else ""

    def origin(self, headers: Mapping[str, str]) -> str:
        """The site that a request was sent to, as the browser calls it.

        Raises:
            NotAuthenticatedError: by another name, which may only pretend to be this site.
        """
        host = headers.get("host", "").lower()
        if self._origin and host == urlsplit(self._origin).netloc:
            return self._origin
        if is_loopback(host_of(f"//{host}")):
            return f"http://{host}"
        raise NotAuthenticatedError(
            "people sign in at the address in SYNTOPY_PUBLIC_URL, and on this machine at "
            "http://127.0.0.1 or http://localhost"
        )

    def from_a_page(self, method: str, headers: Mapping[str, str]) -> None:
        """See that a request which may change something comes from a page of this site.

        Raises:
            AccessDeniedError: it does not say so.
            NotAuthenticatedError: as `origin`.
        """
        if method in _SAFE:
            return
        fetched, came_from = headers.get("sec-fetch-site"), headers.get("origin")
        if fetched is None and came_from is None:
            raise AccessDeniedError("send an Origin, as browsers do")
        if fetched not in (None, "same-origin") or came_from not in (None, self.origin(headers)):
            raise AccessDeniedError("pages of other sites may not ask this service")
        if headers.get(PAGE_HEADER) != PAGE_VALUE:
            raise AccessDeniedError("with a cookie, send the header X-Syntopy: page")


def checked_origin(url: str, setting: str) -> str:
    """The origin of a URL that has nothing else, in the form in which browsers tell it.

    Raises:
        ConfigError: it is none, or neither https nor on this machine.
    """
    try:
        parts = urlsplit(url.lower())
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise ConfigError(f"{setting}: '{url}' is no address") from error
    usual = {"https": 443, "http": 80}.get(parts.scheme)
    named = f"[{host}]" if ":" in host else host
    bare = parts.path in ("", "/") and not (parts.query or parts.fragment or parts.username)
    if usual is None or not host or not bare or not host.isascii():
        raise ConfigError(f"{setting}: '{url}' is not of the form https://images.example.org")
    if parts.scheme == "http" and not is_loopback(host):
        raise ConfigError(f"{setting}: '{url}' is neither https nor on this machine")
    return f"{parts.scheme}://{named}" + ("" if port in (None, usual) else f":{port}")


def is_loopback(host: str) -> bool:
    """Whether a name or an address stands for this machine and nothing else."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_of(url: str) -> str:
    """The name or address in a URL; "" if it cannot be read."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
