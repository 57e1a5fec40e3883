"""From the headers of a request to who asks."""

from __future__ import annotations

from collections.abc import Mapping

from api import cookies
from api.origins import Site
from api.rights import Principal
from api.service.access import sessions
from api.service.access.keys import authenticate
from api.tokens import TokenVerifier
from indexer.config import Settings
from indexer.errors import NotAuthenticatedError
from indexer.library import Library


class Doorkeeper:
    """Recognises API keys of a library, sessions and, if there is an issuer, bearer tokens.

    Keys and tokens come in ``Authorization: Bearer`` (RFC 6750); a key begins with ``syn_``, which
    no token does. Where that header is sent, cookies count for nothing. Safe to share between
    threads.
    """

    def __init__(
        self,
        library: Library,
        tokens: TokenVerifier | None = None,
        *,
        site: Site | None = None,
        settings: Settings | None = None,
    ) -> None:
        self._library, self._tokens = library, tokens
        self._site, self._settings = site or Site(), settings or Settings()

    def who(self, headers: Mapping[str, str]) -> Principal:
        """Who sent a request with these headers, their names in lower case.

        Raises:
            NotAuthenticatedError: they do not say, or what they hold is not accepted.
            AccessDeniedError: a token in order that gives no role.
            IssuerUnavailableError: tokens cannot be checked now.
        """
        if "authorization" in headers:
            return self._by_header(headers["authorization"])
        if "cookie" in headers:
            cookie = cookies.read(headers, cookies.SESSION, self._site.origin(headers))
            if cookie:
                return sessions.recognise(self._library, cookie, self._settings).principal
        raise NotAuthenticatedError("sign in, or send an API key or a token as: " + _FORM)

    def _by_header(self, authorization: str) -> Principal:
        scheme, _, given = authorization.strip().partition(" ")
        given = given.strip()
        if scheme.lower() != "bearer" or not given:
            raise NotAuthenticatedError("send an API key or a token as: " + _FORM)
        if given.startswith("syn_"):
            return authenticate(self._library, given)
        if self._tokens is None:
            raise NotAuthenticatedError("this is no API key, and no issuer of tokens is set up")
        return self._tokens.principal(given)


_FORM = "Authorization: Bearer …"
