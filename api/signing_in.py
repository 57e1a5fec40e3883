"""People sign in with an issuer: the authorization code flow of OpenID Connect, with PKCE.

Nothing is kept between the two requests but a secret in a cookie of the browser: state, nonce and
code verifier are HMACs of it, so that an answer counts only in the browser that asked for it, and
somebody who sees the cookie or the addresses can make none of them (RFC 6749 section 10.12, RFC
7636, OpenID Connect Core 1.0 section 3.1).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode

from api.key_sets import FRESH_SECONDS, UNUSABLE, discovered, is_safe, told_by
from api.rights import Principal
from api.tokens import TokenRules, TokenVerifier, token_rules
from indexer.config import Settings
from indexer.errors import IssuerUnavailableError, NotAuthenticatedError, QueryError
from indexer.library import Library

LONGEST_SECONDS = 600
"""For which somebody may be with the issuer before they have to begin again."""
_AGAIN_SECONDS = 10.0
_MOST_ANSWERED = 10_000
_STARTED = re.compile(r"([A-Za-z0-9_-]{43})\.([0-9]{1,12})\.([A-Za-z0-9_-]{0,700})")
_NEXT = re.compile(r"/(?:[A-Za-z0-9#?&=._~%:-][A-Za-z0-9#?&=._~%:/-]{0,498})?")
_NOT_AS_ASKED = "this answer of the issuer is none to this browser, or a late or second one"
_FAILED = (OSError, HTTPException, *UNUSABLE)


@dataclass(frozen=True)
class Started:
    """Where a browser is sent to, and the cookie that it keeps meanwhile."""

    url: str
    cookie: str = field(repr=False)


@dataclass(frozen=True)
class SignedIn:
    """Who came back from the issuer, and the page of this site that they came for."""

    principal: Principal
    next: str


class SigningIn:
    """Signs people in with one issuer; safe to share between threads.

    Args:
        settings: those that begin with ``oidc``.
        library: which tokens open, and whose key file makes the secrets.
        clock: seconds since 1970.
    """

    def __init__(
        self, settings: Settings, library: Library, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings, self._clock = settings, clock
        self._key = hmac.digest(library.key, b"syntopy sign-in", "sha256")
        self._verifier = TokenVerifier(_rules(settings, library))
        self._told: dict[str, Any] = {}
        self._fresh_until = self._again_at = 0.0
        self._answered: OrderedDict[str, None] = OrderedDict()
        self._lock, self._asking = threading.Lock(), threading.Lock()

    def start(self, redirect_uri: str, next_: str) -> Started:
        """Where to send somebody who wants to sign in.

        Args:
            redirect_uri: where the issuer sends them back to.
            next_: path of this site to go on to.

        Raises:
            QueryError: it is no such path, or could be read as one of another site.
            IssuerUnavailableError: it does not tell where.
        """
        if not is_path(next_):
            raise QueryError("'next' is a path of this site, such as /#/search")
        place = self._endpoint("authorization_endpoint")
        secret = secrets.token_urlsafe(32)
        cookie = f"{secret}.{int(self._clock())}.{_packed(next_.encode())}"
        verifier = self._derived("verifier", cookie)
        asked = {
            "response_type": "code",
            "client_id": self._settings.oidc_client_id,
            "redirect_uri": redirect_uri,
            "scope": self._settings.oidc_scope,
            "state": self._derived("state", cookie),
            "nonce": self._derived("nonce", cookie),
            "code_challenge": _packed(hashlib.sha256(verifier.encode()).digest()),
            "code_challenge_method": "S256",
        }
        return Started(f"{place}{'&' if '?' in place else '?'}{urlencode(asked)}", cookie)

    def finish(self, cookie: str, answer: Mapping[str, str], redirect_uri: str) -> SignedIn:
        """Who came back.

        Args:
            cookie: that `start` made.
            answer: parameters of the issuer: ``state``, ``code`` or ``error``, ``iss``.
            redirect_uri: as for `start`.

        Raises:
            NotAuthenticatedError: the answer is not to this browser, was given before, or says no;
                the issuer does not take its code, or its token is not in order.
            AccessDeniedError: the token gives no role.
            IssuerUnavailableError: it does not answer, or does not know us.
        """
        parts = _STARTED.fullmatch(cookie)
        state = self._derived("state", cookie)
        if parts is None or not hmac.compare_digest(state, _ascii(answer.get("state", ""))):
            raise NotAuthenticatedError(_NOT_AS_ASKED)
        age = self._clock() - int(parts[2])
        if not 0 <= age + 1 <= LONGEST_SECONDS or self._was_answered(state):
            raise NotAuthenticatedError(_NOT_AS_ASKED)
        if answer.get("iss") not in (None, self._settings.oidc_issuer):  # RFC 9207
            raise NotAuthenticatedError(_NOT_AS_ASKED)
        if answer.get("error") or not answer.get("code"):
            raise NotAuthenticatedError("the issuer did not sign you in; try again")
        token = self._token(answer["code"], self._derived("verifier", cookie), redirect_uri)
        principal = self._verifier.principal(token, nonce=self._derived("nonce", cookie))
        plain = base64.urlsafe_b64decode(parts[3] + "=" * (-len(parts[3]) % 4)).decode()
        return SignedIn(principal, plain)

    def _derived(self, what: str, cookie: str) -> str:
        """One of the values that only this service can make from a cookie."""
        return _packed(hmac.digest(self._key, f"{what} {_ascii(cookie)}".encode(), "sha256"))

    def _was_answered(self, state: str) -> bool:
        with self._lock:
            before = state in self._answered
            self._answered[state] = None
            if len(self._answered) > _MOST_ANSWERED:
                self._answered.popitem(last=False)
        return before

    def _token(self, code: str, verifier: str, redirect_uri: str) -> str:
        """The id token that the issuer gives for a code."""
        client, secret = self._settings.oidc_client_id, self._settings.oidc_client_secret
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        headers = {"Accept": "application/json"}
        if secret.get_secret_value():  # RFC 6749 section 2.3.1: encoded each for itself
            pair = f"{quote(client, safe='')}:{quote(secret.get_secret_value(), safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form["client_id"] = client
        try:
            told = told_by(self._endpoint("token_endpoint"), urlencode(form).encode(), headers)
            return str(told["id_token"])
        except _FAILED as error:
            if isinstance(error, HTTPError) and error.code == 400:  # RFC 6749 section 5.2
                raise NotAuthenticatedError(
                    "the issuer does not take what you came back with; try again"
                ) from error
            raise IssuerUnavailableError(
                f"the issuer {self._settings.oidc_issuer} does not say who you are; try again, and "
                "if that does not help, see to SYNTOPY_OIDC_CLIENT_ID and _SECRET"
            ) from error

    def _endpoint(self, name: str) -> str:
        """Where the issuer does something, as it told within the last hour."""
        with self._asking:
            at = self._clock()
            if at >= self._fresh_until and at >= self._again_at:
                self._again_at = at + _AGAIN_SECONDS
                try:
                    self._told = discovered(self._settings.oidc_issuer)
                    self._fresh_until = at + FRESH_SECONDS
                except _FAILED:
                    pass  # what is known stays
            found = self._told.get(name)
        if not isinstance(found, str) or not is_safe(found):
            raise IssuerUnavailableError(
                f"the issuer {self._settings.oidc_issuer} does not tell where to sign in; it is "
                f"asked again in {_AGAIN_SECONDS:g} seconds"
            )
        return found


def signing_in(settings: Settings, library: Library) -> SigningIn | None:
    """What the settings say of people who sign in with an issuer; None if they cannot."""
    named = settings.oidc_issuer and settings.oidc_client_id
    return SigningIn(settings, library) if named else None


def is_path(said: str) -> bool:
    """Whether something is a path of this site, and leads to no other, however it is read."""
    return _NEXT.fullmatch(said) is not None


def _rules(settings: Settings, library: Library) -> TokenRules:
    made_for_us = settings.model_copy(update={"oidc_audience": settings.oidc_client_id})
    rules = token_rules(made_for_us, frozenset({library.config.id}))
    assert rules is not None  # noqa: S101 - there is an issuer and an audience
    return rules


def _packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _ascii(said: str) -> str:
    return said if said.isascii() else ""
