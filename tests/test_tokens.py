"""Bearer tokens: which are accepted, which are not and why, and how keys of an issuer change."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from token_issuer import AUDIENCE, Issuer, issuing, public_pem, rsa_key

from api.app import create_app
from api.doorkeeper import Doorkeeper
from api.key_sets import FRESH_SECONDS, RETRY_SECONDS
from api.rights import Principal, Role
from api.service.access import keys
from api.tokens import TokenRules, TokenVerifier, token_rules
from indexer.config import Settings, load_settings
from indexer.errors import (
    AccessDeniedError,
    ConfigError,
    IssuerUnavailableError,
    NotAuthenticatedError,
)
from indexer.library import Library

KEY, OTHER_KEY = rsa_key(), rsa_key()
LIBRARIES = frozenset({"chest"})
ROLES = {role.value: role for role in Role}


@dataclass
class Clock:
    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as running:
        running.publish("first", KEY)
        yield running


def rules(issuer: Issuer, **changed: Any) -> TokenRules:
    return replace(TokenRules(issuer.url, AUDIENCE, ROLES, LIBRARIES), **changed)


def verifier(issuer: Issuer, clock: Clock | None = None, **changed: Any) -> TokenVerifier:
    return TokenVerifier(rules(issuer, **changed), clock=clock or Clock())


def encoded(part: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


# -- what is accepted -----------------------------------------------------------------------------


def test_a_token_says_who_asks_and_in_which_role(issuer: Issuer) -> None:
    token = issuer.token("first", KEY, roles=["reader", "curator", "staff"])
    found = verifier(issuer).principal(token)
    assert found == Principal("dr-who", Role.CURATOR, LIBRARIES, f"token:{issuer.url}")


def test_keys_of_elliptic_curves_sign_too(issuer: Issuer) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer.publish("curve", key, "ES256")
    assert verifier(issuer).principal(issuer.token("curve", key, "ES256")).name == "dr-who"


def test_the_address_of_the_keys_may_be_told_instead_of_discovered(issuer: Issuer) -> None:
    issuer.said_issuer = "https://elsewhere.example"
    told = verifier(issuer, keys_url=f"{issuer.url}/keys")
    assert told.principal(issuer.token("first", KEY)).name == "dr-who"


@pytest.mark.parametrize(
    ("claim", "said", "role"),
    [
        ("roles", ["reader", "admin"], Role.ADMIN),
        ("roles", "openid reader", Role.READER),
        ("realm_access.roles", ["operator"], Role.OPERATOR),
        ("https://example.org/roles", ["curator"], Role.CURATOR),
    ],
)
def test_the_claim_with_the_roles_has_any_usual_form(
    issuer: Issuer, claim: str, said: object, role: Role
) -> None:
    nested = {"realm_access": {"roles": said}} if claim.startswith("realm") else {claim: said}
    token = issuer.token("first", KEY, **{"roles": None, **nested})
    assert verifier(issuer, roles_claim=claim).principal(token).role is role


def test_values_of_the_claim_are_mapped_to_roles(issuer: Issuer) -> None:
    mapped = verifier(issuer, roles={"radiology": Role.CURATOR})
    assert mapped.principal(issuer.token("first", KEY, roles=["radiology"])).role is Role.CURATOR
    with pytest.raises(AccessDeniedError, match="'roles' has none of radiology"):
        mapped.principal(issuer.token("first", KEY, roles=["admin"]))


@pytest.mark.parametrize("said", [None, [], ["visitor"], {"reader": True}, 4, [["admin"]]])
def test_without_a_role_there_are_no_rights(issuer: Issuer, said: object) -> None:
    with pytest.raises(AccessDeniedError, match="gives no role"):
        verifier(issuer).principal(issuer.token("first", KEY, roles=said))


def test_clocks_may_differ_by_the_leeway(issuer: Issuer) -> None:
    at = int(time.time())
    past = issuer.token("first", KEY, iat=at - 600, exp=at - 10)
    assert verifier(issuer, leeway=60).principal(past).name == "dr-who"
    with pytest.raises(NotAuthenticatedError, match="expired"):
        verifier(issuer, leeway=1).principal(past)


# -- what is not ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"exp": 1_700_000_000}, "expired"),
        ({"nbf": 4_000_000_000}, "not valid yet"),
        ({"iat": 4_000_000_000}, "issued in the future|not valid yet"),
        ({"aud": "another-service"}, "another audience"),
        ({"aud": None}, "lacks|another audience"),
        ({"iss": "https://evil.example"}, "another issuer"),
        ({"iss": None}, "lacks|another issuer"),
        ({"exp": None}, "lacks"),
        ({"sub": None}, "lacks"),
        ({"sub": "  "}, "names nobody"),
    ],
)
def test_a_token_that_is_not_in_order_is_refused_with_the_reason(
    issuer: Issuer, changed: dict[str, object], why: str
) -> None:
    token = issuer.token("first", KEY, **changed)
    with pytest.raises(NotAuthenticatedError, match=why) as refused:
        verifier(issuer).principal(token)
    assert token not in str(refused.value)


def unsigned(issuer: Issuer) -> str:
    return f"{encoded({'alg': 'none', 'kid': 'first'})}.{encoded(issuer.claims())}."


def signed_with_the_public_key(issuer: Issuer) -> str:
    """As if the public key were a secret of HMAC, which everybody knows."""
    head = encoded({"alg": "HS256", "kid": "first", "typ": "JWT"})
    said = f"{head}.{encoded(issuer.claims())}"
    mac = hmac.digest(public_pem(KEY), said.encode(), hashlib.sha256)
    return f"{said}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def with_its_own_key(issuer: Issuer) -> str:
    own = jwt.algorithms.RSAAlgorithm.to_jwk(OTHER_KEY.public_key(), as_dict=True)
    headers = {"kid": "first", "jwk": own, "jku": "https://evil.example/keys"}
    return jwt.encode(issuer.claims(), OTHER_KEY, "RS256", headers=headers)


def in_another_algorithm(issuer: Issuer) -> str:
    return issuer.token("first", KEY, "RS512")


def with_more_rights_put_in(issuer: Issuer) -> str:
    head, _, signature = issuer.token("first", KEY).split(".")
    return f"{head}.{encoded(issuer.claims(roles=['admin']))}.{signature}"


def without_a_key_id(issuer: Issuer) -> str:
    return jwt.encode(issuer.claims(), KEY, "RS256")


def deeply_nested(_issuer: Issuer) -> str:
    head = base64.urlsafe_b64encode(b"[" * 9_000).decode().rstrip("=")
    return f"{head}.e30.AA"


@pytest.mark.parametrize(
    "forge",
    [
        unsigned,
        signed_with_the_public_key,
        with_its_own_key,
        in_another_algorithm,
        with_more_rights_put_in,
        without_a_key_id,
        deeply_nested,
        lambda _: "",
        lambda _: "a.b.c",
        lambda _: "syn_0123456789ab_" + "A" * 43,
        lambda issuer: issuer.token("first", KEY, more="x" * 20_000),
    ],
)
def test_a_forged_token_is_refused(issuer: Issuer, forge: Callable[[Issuer], str]) -> None:
    with pytest.raises(NotAuthenticatedError, match="not accepted"):
        verifier(issuer).principal(forge(issuer))


@pytest.mark.parametrize("changed", [{"use": "enc"}, {"kty": "oct", "k": "c2VjcmV0"}])
def test_keys_for_other_ends_verify_nothing(issuer: Issuer, changed: dict[str, str]) -> None:
    issuer.publish("other", OTHER_KEY, **changed)
    with pytest.raises(NotAuthenticatedError, match="no such key"):
        verifier(issuer).principal(issuer.token("other", OTHER_KEY))


@pytest.mark.filterwarnings("ignore::jwt.InsecureKeyLengthWarning")
def test_a_weak_key_verifies_nothing(issuer: Issuer) -> None:
    weak = rsa_key(1024)
    issuer.publish("weak", weak)
    with pytest.raises(NotAuthenticatedError, match="no such key"):
        verifier(issuer).principal(issuer.token("weak", weak))


@settings(max_examples=60)
@given(st.data())
def test_no_change_of_a_token_is_accepted(data: st.DataObject) -> None:
    with issuing() as issuer:
        issuer.publish("first", KEY)
        token = issuer.token("first", KEY)
        place = data.draw(st.integers(0, len(token) - 1))
        letter = data.draw(st.sampled_from("AZaz09-_.é "))
        changed = token[:place] + letter + token[place + 1 :]
        if _means_the_same(changed, token):
            return
        with pytest.raises((NotAuthenticatedError, AccessDeniedError)):
            verifier(issuer).principal(changed)


def _means_the_same(one: str, other: str) -> bool:
    """The last letter of base64 has bits that count for nothing."""

    def parts(token: str) -> list[bytes]:
        padded = [part + "=" * (-len(part) % 4) for part in token.split(".")]
        return [base64.urlsafe_b64decode(part) for part in padded]

    try:
        return parts(one) == parts(other)
    except ValueError:
        return False


# -- from settings and headers --------------------------------------------------------------------


def test_settings_say_which_tokens_count(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert token_rules(Settings(), LIBRARIES) is None
    monkeypatch.setenv("SYNTOPY_OIDC_ISSUER", issuer.url)
    with pytest.raises(ConfigError, match="SYNTOPY_OIDC_AUDIENCE"):
        token_rules(load_settings(), LIBRARIES)
    monkeypatch.setenv("SYNTOPY_OIDC_AUDIENCE", AUDIENCE)
    with pytest.raises(ConfigError, match="SYNTOPY_OIDC_ROLES"):
        token_rules(load_settings(), LIBRARIES)
    monkeypatch.setenv("SYNTOPY_OIDC_ROLES_CLAIM", "groups")
    monkeypatch.setenv("SYNTOPY_OIDC_ROLES", '{"radiology": "operator"}')
    told = token_rules(load_settings(), LIBRARIES)
    assert told == rules(issuer, roles_claim="groups", roles={"radiology": Role.OPERATOR})
    token = issuer.token("first", KEY, roles=None, groups=["radiology"])
    assert TokenVerifier(told).principal(token).role is Role.OPERATOR


@pytest.mark.parametrize("roles", ["reader", '{"a": "king"}', "[]", '{"a": 1}'])
def test_a_setting_that_maps_no_roles_is_refused(
    roles: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTOPY_OIDC_ROLES", roles)
    with pytest.raises(ConfigError, match="SYNTOPY_OIDC_ROLES"):
        load_settings()


def test_the_door_takes_keys_and_tokens(issuer: Issuer, tmp_path: Path) -> None:
    with Library.create(tmp_path / "library") as library:
        key = keys.create(library, keys.KeyRequest("viewer"), actor="tester").token
        door = Doorkeeper(library, verifier(issuer))
        token = issuer.token("first", KEY)
        assert door.who({"authorization": f"Bearer {key}"}).name == "viewer"
        assert door.who({"authorization": f"bearer  {token} "}).name == "dr-who"
        with pytest.raises(NotAuthenticatedError, match="sign in"):
            door.who({})
        for header in (
            "",
            "Bearer",
            "Bearer ",
            f"Basic {key}",
            key,
            "Bearer syn_",
            "Bearer x",
        ):
            with pytest.raises(NotAuthenticatedError):
                door.who({"authorization": header})
        with pytest.raises(NotAuthenticatedError, match="no issuer of tokens is set up"):
            Doorkeeper(library).who({"authorization": f"Bearer {token}"})


def test_the_names_of_an_issuer_are_no_roles_here_by_themselves(
    issuer: Issuer, tmp_path: Path
) -> None:
    """Whoever an issuer calls admin, for whatever, would be one here."""
    named = Settings(library=tmp_path, oidc_issuer=issuer.url, oidc_audience=AUDIENCE)
    with pytest.raises(ConfigError, match="SYNTOPY_OIDC_ROLES"):
        create_app(named, None)


# -- keys come, change and go ---------------------------------------------------------------------


def test_a_new_key_is_found_when_a_token_names_it(issuer: Issuer) -> None:
    clock = Clock()
    found = verifier(issuer, clock)
    found.principal(issuer.token("first", KEY))
    issuer.keys.clear()
    issuer.publish("second", OTHER_KEY)
    rotated = issuer.token("second", OTHER_KEY)
    clock.seconds += RETRY_SECONDS
    assert found.principal(rotated).name == "dr-who"
    with pytest.raises(NotAuthenticatedError, match="no such key"):
        found.principal(issuer.token("first", KEY))


def test_made_up_keys_let_the_issuer_be_asked_once_a_minute(issuer: Issuer) -> None:
    clock = Clock()
    found = verifier(issuer, clock)
    for second in range(int(3 * RETRY_SECONDS)):
        clock.seconds = second
        with pytest.raises(NotAuthenticatedError, match="no such key"):
            found.principal(issuer.token(f"made-up-{second}", OTHER_KEY))
    assert issuer.asked == 3


def test_known_keys_are_not_asked_for_again_until_they_are_old(issuer: Issuer) -> None:
    clock = Clock()
    found = verifier(issuer, clock)
    token = issuer.token("first", KEY)
    for clock.seconds in (0.0, 100.0, FRESH_SECONDS - 1):
        found.principal(token)
    assert issuer.asked == 1
    issuer.keys.clear()
    issuer.publish("second", OTHER_KEY)
    clock.seconds = FRESH_SECONDS
    with pytest.raises(NotAuthenticatedError, match="no such key"):
        found.principal(token)


def test_known_keys_still_work_while_the_issuer_does_not_answer(issuer: Issuer) -> None:
    clock = Clock()
    found = verifier(issuer, clock)
    token = issuer.token("first", KEY)
    found.principal(token)
    issuer.answering = False
    clock.seconds = 2 * FRESH_SECONDS
    assert found.principal(token).name == "dr-who"
    with pytest.raises(NotAuthenticatedError, match="no such key"):
        found.principal(issuer.token("second", OTHER_KEY))


def test_an_issuer_that_does_not_answer_is_told_apart_and_asked_again(issuer: Issuer) -> None:
    clock = Clock()
    found = verifier(issuer, clock)
    token = issuer.token("first", KEY)
    issuer.answering = False
    for _ in range(3):
        with pytest.raises(IssuerUnavailableError, match="asked again in 60 seconds"):
            found.principal(token)
    issuer.answering = True
    clock.seconds += RETRY_SECONDS
    assert found.principal(token).name == "dr-who"


def test_a_document_of_another_issuer_is_not_believed(issuer: Issuer) -> None:
    issuer.said_issuer = "https://evil.example"
    with pytest.raises(IssuerUnavailableError):
        verifier(issuer).principal(issuer.token("first", KEY))


def test_redirects_are_not_followed(issuer: Issuer) -> None:
    with issuing() as other:
        other.publish("first", KEY)
        issuer.redirect = f"{other.url}/keys"
        with pytest.raises(IssuerUnavailableError):
            verifier(issuer).principal(issuer.token("first", KEY))
        assert other.asked == 0


@pytest.mark.parametrize(
    "url",
    ["http://issuer.example", "ftp://issuer.example", "file:///etc/passwd", "issuer", "https:"],
)
def test_keys_come_over_https_or_from_this_machine(url: str) -> None:
    with pytest.raises(ConfigError, match="https"):
        TokenVerifier(TokenRules(url, AUDIENCE, ROLES))
    with pytest.raises(ConfigError, match="https"):
        TokenVerifier(TokenRules("https://issuer.example", AUDIENCE, ROLES, keys_url=url))
