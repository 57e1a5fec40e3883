"""From the header of a request to who asks."""

from __future__ import annotations

from api.rights import Principal
from api.service.keys import authenticate
from api.tokens import TokenVerifier
from indexer.errors import NotAuthenticatedError
from indexer.library import Library


class Doorkeeper:
    """Recognises API keys of a library and, if there is an issuer, bearer tokens.

    Both come in ``Authorization: Bearer`` (RFC 6750); a key begins with ``syn_``, which no token
    does. Safe to share between threads.
    """

    def __init__(self, library: Library, tokens: TokenVerifier | None = None) -> None:
        self._library, self._tokens = library, tokens

    def who(self, authorization: str | None) -> Principal:
        """Who sent the header ``Authorization``.

        Raises:
            NotAuthenticatedError: there is none, or what it holds is not accepted.
            AccessDeniedError: a token in order that gives no role.
            IssuerUnavailableError: tokens cannot be checked now.
        """
        scheme, _, given = (authorization or "").strip().partition(" ")
        given = given.strip()
        if scheme.lower() != "bearer" or not given:
            raise NotAuthenticatedError("send an API key or a token as: Authorization: Bearer …")
        if given.startswith("syn_"):
            return authenticate(self._library, given)
        if self._tokens is None:
            raise NotAuthenticatedError("this is no API key, and no issuer of tokens is set up")
        return self._tokens.principal(given)
