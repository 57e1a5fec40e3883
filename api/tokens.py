"""Bearer tokens of an OpenID Connect issuer: who asks with one.

A token is a signed JWT (RFC 7519). Its key is looked up by the ``kid`` of its header in the
issuer's key set (RFC 7517), which OpenID Connect Discovery 1.0 tells the address of. Only
signatures with a public key count: with HMAC anybody who knows that key could sign, and it is
public.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from api.key_sets import KeySet
from api.rights import Principal, Role
from indexer.config import Settings
from indexer.errors import AccessDeniedError, ConfigError, NotAuthenticatedError
from indexer.extras import extra

ALGORITHMS = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
)
_LONGEST = 16_384
_CLAIMS = ["exp", "iat", "iss", "aud", "sub"]


@dataclass(frozen=True)
class TokenRules:
    """Which tokens count, and what they allow.

    Attributes:
        issuer: URL, as it stands in the tokens.
        audience: what the tokens must be made for.
        roles: from a value of the roles claim to a role; of several the highest counts, and
            without any there are no rights.
        libraries: ids of the libraries that every token with a role may reach.
        roles_claim: name of the claim, or a path with dots (``realm_access.roles``); its value is
            a list, or words.
        keys_url: of the key set; from the issuer's discovery document by default.
        leeway: seconds by which clocks may differ.
    """

    issuer: str
    audience: str
    roles: Mapping[str, Role]
    libraries: frozenset[str] = frozenset()
    roles_claim: str = "roles"
    keys_url: str = ""
    leeway: float = 30.0


def token_rules(settings: Settings, libraries: frozenset[str]) -> TokenRules | None:
    """What the settings say of bearer tokens; None where none are accepted.

    Args:
        settings: those that begin with ``oidc``.
        libraries: ids of the libraries that tokens may reach.

    Raises:
        ConfigError: there is an issuer, and neither an audience nor a client id: tokens made for
            others would count; or no roles: the issuer's names would count, whoever has them.
    """
    if not settings.oidc_issuer:
        return None
    if not (settings.oidc_audience or settings.oidc_client_id):
        raise ConfigError(
            "SYNTOPY_OIDC_ISSUER needs beside it SYNTOPY_OIDC_AUDIENCE, for bearer tokens, or "
            "SYNTOPY_OIDC_CLIENT_ID, for people who sign in"
        )
    if not settings.oidc_roles:
        raise ConfigError(
            "SYNTOPY_OIDC_ISSUER needs SYNTOPY_OIDC_ROLES beside it: which of the issuer's names "
            'give which role here, such as {"radiology": "reader"}'
        )
    rules = TokenRules(
        issuer=settings.oidc_issuer,
        audience=settings.oidc_audience,
        roles={value: Role(role) for value, role in settings.oidc_roles.items()},
        libraries=libraries,
        roles_claim=settings.oidc_roles_claim,
        keys_url=settings.oidc_keys_url,
    )
    return rules if rules.audience else None


class TokenVerifier:
    """Recognises tokens of one issuer; safe to share between threads.

    Args:
        rules: which tokens count.
        clock: seconds that only grow; for the age of the key set.

    Raises:
        ConfigError: the issuer is neither https nor on this machine.
        MissingExtraError: the extra ``serve`` is not installed.
    """

    def __init__(self, rules: TokenRules, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rules = rules
        self._jwt = extra("jwt")
        self._keys = KeySet(rules.issuer, rules.keys_url, clock=clock)

    def principal(self, token: str, *, nonce: str = "") -> Principal:
        """Who asks with this token.

        Args:
            token: the whole of it.
            nonce: that it must have, and that it must be made for this audience alone; where
                somebody signs in (OpenID Connect Core 1.0, 3.1.3.7).

        Raises:
            NotAuthenticatedError: it is forged, expired, of another issuer or for another
                audience; the message says which, and never quotes it.
            AccessDeniedError: it is in order, and gives no role.
            IssuerUnavailableError: its key is not known and the issuer does not answer.
        """
        claims = self._claims(token)
        if nonce:
            self._check_sign_in(claims, nonce)
        roles = [self._rules.roles[v] for v in self._said(claims) if v in self._rules.roles]
        if not roles:
            raise AccessDeniedError(
                f"the token gives no role: its claim '{self._rules.roles_claim}' has none of "
                f"{', '.join(sorted(self._rules.roles))}"
            )
        role = max(roles, key=list(Role).index)
        how = f"token:{self._rules.issuer}"
        return Principal(claims["sub"], role, self._rules.libraries, how)

    def _claims(self, token: str) -> dict[str, Any]:
        """What a token says, if its signature, times, issuer and audience are right."""
        jwt = self._jwt
        try:
            if len(token) > _LONGEST:
                raise jwt.DecodeError
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in ALGORITHMS:
                raise jwt.InvalidAlgorithmError
            key = self._keys.find(str(header.get("kid", "")), header["alg"])
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[header["alg"]],
                audience=self._rules.audience,
                issuer=self._rules.issuer,
                leeway=self._rules.leeway,
                options={"require": _CLAIMS},
            )
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise NotAuthenticatedError(f"this token is not accepted: {_why(error)}") from error
        if not claims["sub"].strip():
            raise NotAuthenticatedError("this token is not accepted: it names nobody")
        return claims

    def _check_sign_in(self, claims: Mapping[str, Any], nonce: str) -> None:
        said = claims.get("nonce")
        if not isinstance(said, str) or not hmac.compare_digest(said.encode(), nonce.encode()):
            raise NotAuthenticatedError("this token is not accepted: it is of another sign-in")
        party = claims.get("azp", self._rules.audience)
        if claims["aud"] not in (self._rules.audience, [self._rules.audience]) or (
            party != self._rules.audience
        ):
            raise NotAuthenticatedError("this token is not accepted: it is for others, too")

    def _said(self, claims: Mapping[str, Any]) -> list[str]:
        """The values of the roles claim."""
        value: Any = claims.get(self._rules.roles_claim)
        if value is None:
            value = claims
            for name in self._rules.roles_claim.split("."):
                value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, str):
            return value.split()
        return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


_REASONS = {
    "ExpiredSignatureError": "it has expired; sign in again",
    "ImmatureSignatureError": "it is not valid yet; compare the clocks",
    "InvalidIssuedAtError": "it was issued in the future; compare the clocks",
    "InvalidAudienceError": "it is for another audience",
    "InvalidIssuerError": "it is of another issuer",
    "InvalidSignatureError": "its signature is wrong",
    "InvalidKeyError": "its key is for other ones",
    "InvalidAlgorithmError": "it is not signed with a public key of the issuer",
    "MissingRequiredClaimError": f"it lacks one of the claims {', '.join(_CLAIMS)}",
}


def _why(error: Exception) -> str:
    return _REASONS.get(type(error).__name__, "it is no signed token")
