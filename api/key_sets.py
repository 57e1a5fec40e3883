"""What an issuer of tokens tells: its public keys, kept for a while and asked for again."""

from __future__ import annotations

import ipaddress
import json
import threading
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from indexer.errors import ConfigError, IssuerUnavailableError, NotAuthenticatedError
from indexer.extras import extra

FRESH_SECONDS = 3_600.0
"""After which the keys are asked for again, so that a withdrawn one goes."""
RETRY_SECONDS = 60.0
"""Between two attempts, whoever causes them."""
_TIMEOUT, _MOST_BYTES = 5.0, 262_144
_WEAKEST_RSA = 2_048
UNUSABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What an answer causes that is not what was asked for."""


class KeySet:
    """The keys of one issuer by their ids; safe to share between threads.

    An unknown id lets the keys be asked for again, but not more than once in `RETRY_SECONDS`, so
    that made-up ids cost the issuer nothing. While it does not answer, the known keys stay.

    Args:
        issuer: URL; ``/.well-known/openid-configuration`` below it tells where the keys are.
        keys_url: where the keys are, if the issuer has no such document.
        clock: seconds that only grow.

    Raises:
        ConfigError: a URL is neither https nor on this machine.
    """

    def __init__(self, issuer: str, keys_url: str = "", *, clock: Callable[[], float]) -> None:
        for url in filter(None, (issuer, keys_url)):
            if not is_safe(url):
                raise ConfigError(
                    f"'{url}' is no https URL; the keys of tokens come over https, or from this "
                    "machine"
                )
        self._issuer, self._keys_url, self._clock = issuer, keys_url, clock
        self._jwt = extra("jwt")
        self._keys: dict[str, dict[str, Any]] = {}
        self._fetched = self._tried = float("-inf")
        self._lock = threading.Lock()

    def find(self, key_id: str, algorithm: str) -> Any:
        """The key of an id, for an algorithm with a public key.

        Raises:
            NotAuthenticatedError: the issuer has no such key, or not for this algorithm.
            IssuerUnavailableError: no keys are known and the issuer does not answer.
        """
        if key_id not in self._keys or self._clock() - self._fetched >= FRESH_SECONDS:
            self._refresh(key_id)
        found = self._keys.get(key_id)
        if found is None:
            raise NotAuthenticatedError("this token is not accepted: the issuer has no such key")
        if found.get("alg", algorithm) != algorithm:
            raise NotAuthenticatedError("this token is not accepted: its key is for other ones")
        return self._jwt.PyJWK(found, algorithm)

    def _refresh(self, key_id: str) -> None:
        """Ask for the keys again, unless that was done a moment ago."""
        # Who has a key does not wait for another thread that is asking.
        if not self._lock.acquire(blocking=key_id not in self._keys):
            return
        try:
            at = self._clock()
            if at - self._tried >= RETRY_SECONDS:
                self._tried = at
                self._keys, self._fetched = self._fetch(), at
        except (OSError, HTTPException, *UNUSABLE) as error:
            if not self._keys:
                raise self._unavailable() from error
        finally:
            self._lock.release()
        if not self._keys:
            raise self._unavailable()

    def _unavailable(self) -> IssuerUnavailableError:
        return IssuerUnavailableError(
            f"the issuer {self._issuer} does not tell its keys, so no token can be checked; it is "
            f"asked again in {RETRY_SECONDS:g} seconds"
        )

    def _fetch(self) -> dict[str, dict[str, Any]]:
        url = self._keys_url or str(discovered(self._issuer)["jwks_uri"])
        return {key["kid"]: key for key in told_by(url)["keys"] if self._usable(key)}

    def _usable(self, key: dict[str, Any]) -> bool:
        """Whether a key has an id and is a public one for signatures, and not a weak one."""
        if not isinstance(key.get("kid"), str) or key.get("use", "sig") != "sig":
            return False
        if key.get("kty") not in ("RSA", "EC", "OKP"):
            return False
        try:
            built = self._jwt.PyJWK(key).key
        except self._jwt.PyJWTError:
            return False
        return key["kty"] != "RSA" or int(built.key_size) >= _WEAKEST_RSA


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect could lead to http, or into the network behind this machine."""

    def redirect_request(self, *_redirect: Any, **_named: Any) -> None:
        return None


def _opener() -> urllib.request.OpenerDirector:
    proxies = urllib.request.getproxies()
    proxies.pop("http", None)  # http stays on this machine
    return urllib.request.build_opener(_NoRedirects, urllib.request.ProxyHandler(proxies))


def discovered(issuer: str) -> dict[str, Any]:
    """What an issuer tells of itself (OpenID Connect Discovery 1.0).

    Raises:
        OSError, HTTPException, ValueError, KeyError, TypeError: it does not answer, or not so.
    """
    told = told_by(issuer.rstrip("/") + "/.well-known/openid-configuration")
    if told["issuer"] != issuer:
        raise ValueError("the document is of another issuer")
    return told


def told_by(
    url: str, form: bytes | None = None, headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The JSON object at an address; redirects are not followed.

    Args:
        url: https, or on this machine.
        form: what is posted there; nothing is asked for with GET.
        headers: of the request.

    Raises:
        OSError, HTTPException, ValueError, TypeError: it does not answer, or not so.
    """
    if not is_safe(url):
        raise ValueError("neither https nor on this machine")
    asked = urllib.request.Request(url, form, dict(headers or {}))  # noqa: S310 - seen to just now
    with _opener().open(asked, timeout=_TIMEOUT) as answer:
        body = answer.read(_MOST_BYTES + 1)
    if len(body) > _MOST_BYTES:
        raise ValueError("far too long for an answer of an issuer")
    told = json.loads(body)
    if not isinstance(told, dict):
        raise TypeError("no JSON object")
    return told


def is_safe(url: str) -> bool:
    """Whether what is sent to an address stays secret: it is https, or on this machine."""
    parts = urlsplit(url)
    if parts.scheme != "http":
        return parts.scheme == "https" and bool(parts.hostname)
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return parts.hostname == "localhost"
