"""People sign in with a key or with an issuer; what a cookie is worth then, and what not."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from served_library import own_copy, serving
from token_issuer import Issuer, issuing, rsa_key
from typer.testing import CliRunner

from api.app import create_app
from api.cli.main import app as command
from api.rights import Role
from api.service.access import keys, sessions
from api.signing_in import is_path
from indexer.catalog.audit import Action, AuditRow, Ending, rows_since, verify_chain
from indexer.catalog.database import reading, transaction
from indexer.catalog.tables import now
from indexer.config import Settings
from indexer.errors import ConfigError, NotAuthenticatedError
from indexer.library import Library

KEY = rsa_key()
CLIENT = "syntopy-page"
PUBLIC = "https://images.example.org"


class Browser(httpx.Client):
    """Keeps cookies, and asks from an address of its own: the audit tells its requests apart."""

    _numbers = itertools.count(1)

    def __init__(self, url: httpx.URL) -> None:
        self.address = f"127.2.{next(self._numbers)}.1"
        transport = httpx.HTTPTransport(local_address=self.address)
        super().__init__(base_url=url, transport=transport, timeout=60)


@contextmanager
def asking(library: Path, **said: Any) -> Iterator[Browser]:
    settings = Settings(library=library, **said)
    with serving(settings, create_app(settings, None)) as client, Browser(client.base_url) as own:
        yield own


@pytest.fixture(scope="module")
def library(served: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own_copy(served, tmp_path_factory.mktemp("sessions"))


@pytest.fixture(scope="module")
def address(library: Path) -> Iterator[httpx.URL]:
    with asking(library) as client:
        yield client.base_url


@pytest.fixture
def client(address: httpx.URL) -> Iterator[Browser]:
    with Browser(address) as client:
        yield client


def make_key(library: Path, name: str = "dr-who", **said: Any) -> keys.NewKey:
    with Library.open(library) as opened:
        return keys.create(opened, keys.KeyRequest(name, **said), actor="test")


def page(client: Browser, **changed: str | None) -> dict[str, str]:
    """What a page of the service sends with a request that changes something."""
    own = f"{client.base_url.scheme}://{client.base_url.netloc.decode()}"
    told = {"Origin": own, "Sec-Fetch-Site": "same-origin", "X-Syntopy": "page"}
    told |= {name.replace("_", "-"): value for name, value in changed.items()}  # type: ignore[misc]
    return {name: value for name, value in told.items() if value is not None}


def sign_in(client: Browser, key: keys.NewKey) -> dict[str, Any]:
    answer = client.post("/v1/session", json={"key": key.token}, headers=page(client))
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def recorded(library: Path, client: Browser) -> list[AuditRow]:
    with Library.open(library) as opened, reading(opened.engine) as db:
        assert not verify_chain(db).findings
        return [row for row in rows_since(db) if row.origin == client.address]


# -- signing in with a key ------------------------------------------------------------------------


def test_somebody_signs_in_asks_and_signs_out(library: Path, client: Browser) -> None:
    key = make_key(library, role=Role.CURATOR)
    nobody = client.get("/v1/session").json()
    assert (nobody["signed_in"], nobody["role"], nobody["ways"]) == (False, "", ["key"])
    told = sign_in(client, key)
    assert (told["name"], told["role"], told["signed_in"]) == ("dr-who", "curator", True)
    assert told["how"] == f"session:key:{key.key.prefix}"
    assert client.get("/v1/session").json() == told
    assert client.get("/v1/studies?limit=1").status_code == 200
    asked = client.post("/v1/search", json={"keywords": "lines"}, headers=page(client))
    assert asked.status_code == 200, asked.text
    cookie = client.cookies["syntopy"]
    assert client.delete("/v1/session", headers=page(client)).status_code == 204
    assert not client.cookies, "the browser was told to forget it"
    again = client.get("/v1/library", headers={"Cookie": f"syntopy={cookie}"})
    assert again.status_code == 401, "and it would be worth nothing"
    rows = recorded(library, client)
    assert [row.action for row in rows] == [
        Action.LOGIN, Action.QUERY, Action.QUERY, Action.LOGOUT, Action.REFUSE,
    ]  # fmt: skip
    assert {row.actor for row in rows[:4]} == {"dr-who"}
    assert rows[1].subject["how"] == told["how"]
    assert cookie not in str(rows) and key.token not in str(rows)


def test_the_cookie_cannot_be_read_by_scripts_or_sent_from_elsewhere(
    library: Path, client: Browser
) -> None:
    answer = client.post("/v1/session", json={"key": make_key(library).token}, headers=page(client))
    said = answer.headers["set-cookie"].lower()
    assert "httponly" in said and "samesite=strict" in said and "path=/" in said
    assert "max-age" not in said, "it goes when the browser is closed"
    assert "domain" not in said


def test_over_https_the_cookie_is_of_that_host_alone(library: Path) -> None:
    with asking(library, public_url=PUBLIC) as client:
        headers = page(client, Host="images.example.org", Origin=PUBLIC)
        key = {"key": make_key(library).token}
        answer = client.post("/v1/session", json=key, headers=headers)
        assert answer.status_code == 200, answer.text
        said = answer.headers["set-cookie"]
        name, value = said.partition(";")[0].split("=")
        assert name == "__Host-syntopy" and "; Secure" in said
        host = {"Host": "images.example.org"}
        for given, status in ((name, 200), ("syntopy", 401)):
            asked = client.get("/v1/library", headers={**host, "Cookie": f"{given}={value}"})
            assert asked.status_code == status
        twice = {**host, "Cookie": f"{name}=x; {name}={value}"}
        assert client.get("/v1/library", headers=twice).status_code == 401


@pytest.mark.parametrize("key", ["", "syn_", "syn_0123456789ab_" + "A" * 43, "x" * 201, "\0", 5])
def test_a_wrong_key_signs_nobody_in_and_is_not_repeated(
    library: Path, client: Browser, key: object
) -> None:
    answer = client.post("/v1/session", json={"key": key}, headers=page(client))
    assert answer.status_code in (401, 422)
    assert "set-cookie" not in answer.headers
    assert not key or len(str(key)) < 5 or str(key) not in answer.text


def test_who_guesses_keys_is_told_to_wait_and_recorded(library: Path, client: Browser) -> None:
    wrong = {"key": "syn_0123456789ab_" + "A" * 43}
    codes = set[int]()
    for _ in range(300):  # a busy machine asks slowly, and gets further tries meanwhile
        codes.add(client.post("/v1/session", json=wrong, headers=page(client)).status_code)
        if 429 in codes:
            break
    assert codes == {401, 429}
    assert {row.action for row in recorded(library, client)} == {Action.REFUSE}


def test_who_asks_whether_a_key_is_one_is_recorded_and_told_to_wait(
    library: Path, client: Browser
) -> None:
    wrong = {"Authorization": "Bearer syn_0123456789ab_" + "A" * 43}
    codes = set[int]()
    for _ in range(300):
        answer = client.get("/v1/session", headers=wrong)
        codes.add(answer.status_code)
        if 429 in codes:
            break
        assert answer.json()["role"] == ""
    assert codes == {200, 429}
    rows = recorded(library, client)
    assert {(row.action, row.outcome) for row in rows} == {(Action.REFUSE, Ending.REFUSED)}
    assert client.get("/v1/session").status_code == 200, "who sends none is told how to sign in"
    assert len(recorded(library, client)) == len(rows)


def test_who_has_a_key_asks_for_the_session_as_often_as_for_all_else(library: Path) -> None:
    with asking(library, serve_rate=0.01, serve_burst=2) as client:
        own = {"Authorization": f"Bearer {make_key(library).token}"}
        codes = [client.get("/v1/session", headers=own).status_code for _ in range(3)]
    assert codes == [200, 200, 429]


def test_who_only_reads_is_recognised_while_another_writes(
    library: Path, client: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.catalog.database._BUSY_MS", 50)
    sign_in(client, make_key(library))
    cookie, late = client.cookies["syntopy"], now() + timedelta(minutes=5)
    with Library.open(library) as opened, transaction(opened.engine):
        found = sessions.recognise(opened, cookie, Settings(), at=late)
    assert found.principal.name == "dr-who"


def test_a_key_of_another_library_signs_nobody_in(library: Path, client: Browser) -> None:
    key = make_key(library, libraries=("another",))
    answer = client.post("/v1/session", json={"key": key.token}, headers=page(client))
    assert (answer.status_code, answer.json()["code"]) == (403, "access_denied")
    assert "set-cookie" not in answer.headers


def test_signing_in_again_changes_the_cookie_and_ends_the_one_before(
    library: Path, client: Browser
) -> None:
    key = make_key(library)
    sign_in(client, key)
    before = client.cookies["syntopy"]
    sign_in(client, key)
    assert client.cookies["syntopy"] != before
    old = client.get("/v1/library", headers={"Cookie": f"syntopy={before}"})
    assert old.status_code == 401


def test_a_cookie_that_somebody_planted_is_not_taken_over(library: Path, client: Browser) -> None:
    planted = "0123456789ab_" + "A" * 43
    client.cookies.set("syntopy", planted, domain="127.0.0.1")
    answer = client.post("/v1/session", json={"key": make_key(library).token}, headers=page(client))
    assert planted not in answer.headers["set-cookie"]


def test_where_nobody_has_to_sign_in_everyone_is_told_so(served: Path) -> None:
    with serving(Settings(library=served)) as client:
        told = client.get("/v1/session").json()
        assert (told["role"], told["how"], told["ways"]) == ("admin", "loopback", [])
        answer = client.post("/v1/session", json={"key": "x"}, headers=page(client))
        assert answer.status_code == 409
        rebound = client.get("/v1/session", headers={"Host": "evil.example"}).json()
        assert rebound["role"] == ""


# -- pages of other sites -------------------------------------------------------------------------


PAGES = [
    ({"Origin": "https://evil.example"}, 403),
    ({"Origin": "null"}, 403),
    ({"Origin": None, "Sec_Fetch_Site": None}, 403),
    ({"Sec_Fetch_Site": "same-site"}, 403),
    ({"Sec_Fetch_Site": "cross-site"}, 403),
    ({"Sec_Fetch_Site": "none"}, 403),
    ({"X_Syntopy": None}, 403),
    ({"X_Syntopy": "1"}, 403),
    ({"Host": "evil.example", "Origin": "http://evil.example"}, 401),
    ({"Origin": None}, 200),
    ({"Sec_Fetch_Site": None}, 200),
]


def test_with_a_cookie_only_the_page_itself_changes_anything(
    library: Path, client: Browser
) -> None:
    key = make_key(library)
    for changed, status in PAGES:
        sign_in(client, key)
        headers = page(client, **changed)  # type: ignore[arg-type]
        headers["Cookie"] = f"syntopy={client.cookies['syntopy']}"
        asked = client.post("/v1/search", json={"keywords": "x"}, headers=headers)
        assert asked.status_code == status, changed
        again = client.post("/v1/session", json={"key": key.token}, headers=headers)
        assert again.status_code == status, "nor signs it anybody in"
        out = client.delete("/v1/session", headers=headers)
        assert out.status_code == (204 if status == 200 else status), "nor out"


def test_a_key_in_the_header_needs_no_page_and_makes_the_cookie_worthless(
    library: Path, client: Browser
) -> None:
    key = make_key(library)
    sign_in(client, key)
    bearer = {"Authorization": f"Bearer {key.token}"}
    asked = client.post("/v1/search", json={"keywords": "x"}, headers=bearer)
    assert asked.status_code == 200
    wrong = client.get("/v1/library", headers={"Authorization": "Bearer x"})
    assert wrong.status_code == 401
    assert client.get("/v1/session", headers=bearer).json()["how"] == f"key:{key.key.prefix}"


def test_a_form_of_another_site_is_not_even_read(library: Path, client: Browser) -> None:
    sign_in(client, make_key(library))
    form = {"Content-Type": "text/plain"}
    answer = client.post("/v1/search", content=b'{"keywords": "x"}', headers=page(client) | form)
    assert answer.status_code == 415


def test_pages_of_named_sites_may_ask_with_a_key_but_not_with_a_cookie(library: Path) -> None:
    ohif = "https://ohif.example.org"
    with asking(library, cors_origins=(ohif,)) as client:
        asked = {
            "Origin": ohif,
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "authorization",
        }
        allowed = client.options("/v1/studies", headers=asked)
        assert allowed.headers["access-control-allow-origin"] == ohif
        assert "access-control-allow-credentials" not in allowed.headers
        bearer = {"Authorization": f"Bearer {make_key(library).token}", "Origin": ohif}
        answer = client.get("/v1/library", headers=bearer)
        assert answer.headers["access-control-allow-origin"] == ohif
        for other in ("https://ohif.example.org.evil.example", "http://ohif.example.org", "null"):
            answer = client.get("/v1/library", headers={**bearer, "Origin": other})
            assert "access-control-allow-origin" not in answer.headers
        headers = {**asked, "Access-Control-Request-Headers": "x-syntopy"}
        assert client.options("/v1/session", headers=headers).status_code == 400


# -- how long, and against whom it holds ----------------------------------------------------------


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Library]:
    with Library.create(tmp_path / "library") as opened:
        yield opened


def begun(library: Library, **said: Any) -> tuple[sessions.NewSession, keys.NewKey]:
    key = keys.create(library, keys.KeyRequest("dr-who", **said), actor="test")
    principal = keys.authenticate(library, key.token)
    return sessions.start(library, principal, Settings()), key


def test_a_session_ends_when_it_is_not_used_and_in_any_case_after_a_day(opened: Library) -> None:
    new, _ = begun(opened)
    settings = Settings(session_minutes=60, session_hours=12)
    start = now()
    for minutes in range(50, 12 * 60, 50):
        found = sessions.recognise(
            opened, new.cookie, settings, at=start + timedelta(minutes=minutes)
        )
        assert found.principal.name == "dr-who"
    with pytest.raises(NotAuthenticatedError, match="sign in again"):
        sessions.recognise(opened, new.cookie, settings, at=start + timedelta(hours=12, seconds=2))
    unused, _ = begun(opened)
    with pytest.raises(NotAuthenticatedError):
        sessions.recognise(opened, unused.cookie, settings, at=start + timedelta(minutes=61))


def test_asking_who_is_signed_in_keeps_nobody_signed_in(opened: Library) -> None:
    new, _ = begun(opened)
    start = now()
    for minutes in range(10, 60, 10):
        at = start + timedelta(minutes=minutes)
        sessions.recognise(opened, new.cookie, Settings(), use=False, at=at)
    with pytest.raises(NotAuthenticatedError):
        sessions.recognise(opened, new.cookie, Settings(), at=start + timedelta(minutes=61))


def test_a_session_lasts_no_longer_than_its_key(opened: Library) -> None:
    settings = Settings(session_hours=168, session_minutes=1440)
    key = keys.create(opened, keys.KeyRequest("dr-who", days=1), actor="test")
    new = sessions.start(opened, keys.authenticate(opened, key.token), settings)
    assert new.session.expires_at == key.key.expires_at


def test_a_revoked_key_ends_its_sessions_and_begins_no_more(opened: Library) -> None:
    new, key = begun(opened)
    principal = keys.authenticate(opened, key.token)
    keys.revoke(opened, key.key.prefix, actor="test")
    with pytest.raises(NotAuthenticatedError):
        sessions.recognise(opened, new.cookie, Settings())
    with pytest.raises(NotAuthenticatedError):
        sessions.start(opened, principal, Settings())


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE session SET role = 'admin'",
        "UPDATE session SET libraries = '[\"*\"]'",
        "UPDATE session SET name = 'another'",
        "UPDATE session SET via = 'token:https://issuer.example'",
        "UPDATE session SET expires_at = '2099-01-01 00:00:00.000000'",
        "DELETE FROM api_key",
    ],
)
def test_rights_that_were_changed_in_the_catalog_end_the_session(
    opened: Library, change: str
) -> None:
    new, _ = begun(opened)
    with sqlite3.connect(opened.path / "catalog.sqlite") as db:
        db.execute(change)
    db.close()
    with pytest.raises(NotAuthenticatedError):
        sessions.recognise(opened, new.cookie, Settings())


def test_nothing_of_a_cookie_is_stored_but_its_name(opened: Library) -> None:
    new, _ = begun(opened)
    secret = new.cookie.partition("_")[2].encode()
    for path in opened.path.glob("catalog.sqlite*"):
        assert secret not in path.read_bytes()
    assert new.cookie not in repr(new)


@pytest.mark.parametrize("cookie", ["", "x", "0123456789ab_" + "A" * 43, "\u00e9" * 56, "a" * 9999])
def test_what_is_no_cookie_of_a_session_is_nobodys(opened: Library, cookie: str) -> None:
    with pytest.raises(NotAuthenticatedError):
        sessions.recognise(opened, cookie, Settings())


def test_one_key_has_so_many_sessions_and_the_oldest_goes(opened: Library) -> None:
    first, key = begun(opened)
    principal = keys.authenticate(opened, key.token)
    for _ in range(sessions.MOST):
        last = sessions.start(opened, principal, Settings())
    assert len(sessions.listed(opened, Settings())) == sessions.MOST
    with pytest.raises(NotAuthenticatedError):
        sessions.recognise(opened, first.cookie, Settings())
    assert sessions.recognise(opened, last.cookie, Settings()).principal.name == "dr-who"


def test_sessions_are_listed_and_ended_by_commands(tmp_path: Path) -> None:
    with Library.create(tmp_path / "library") as opened:
        library, (new, _) = opened.path, begun(opened)
    run = CliRunner().invoke
    words = ["-L", str(library)]
    shown = run(command, ["keys", "sessions", *words])
    assert new.session.prefix in shown.output and "dr-who" in shown.output
    ended = run(command, ["keys", "sign-out", new.session.prefix, *words])
    assert ended.exit_code == 0, ended.output
    assert "no sessions" in run(command, ["keys", "sessions", *words]).output
    again = run(command, ["keys", "sign-out", new.session.prefix, *words])
    assert again.exit_code == 2 and "no session" in again.stderr
    with Library.open(library) as opened, reading(opened.engine) as db:
        *_, last = rows_since(db)
    assert (last.action, last.subject["prefix"]) == (Action.LOGOUT, new.session.prefix)


# -- signing in with an issuer --------------------------------------------------------------------


@pytest.fixture(scope="module")
def own_issuer() -> Iterator[Issuer]:
    with issuing() as running:
        running.publish("first", KEY)
        running.signs = ("first", KEY)
        yield running


@pytest.fixture
def issuer(own_issuer: Issuer) -> Issuer:
    own_issuer.answering, own_issuer.changed = True, {"roles": ["radiology"]}
    own_issuer.exchanged.clear()
    return own_issuer


def known_to(issuer: Issuer) -> dict[str, Any]:
    return {
        "oidc_issuer": issuer.url,
        "oidc_client_id": CLIENT,
        "oidc_client_secret": "s3cret:&",
        "oidc_roles": {"radiology": "curator"},
    }


@pytest.fixture(scope="module")
def with_issuer(library: Path, own_issuer: Issuer) -> Iterator[httpx.URL]:
    with asking(library, **known_to(own_issuer)) as client:
        yield client.base_url


@pytest.fixture
def at_issuer(with_issuer: httpx.URL) -> Iterator[Browser]:
    with Browser(with_issuer) as client:
        yield client


def started(client: Browser, next_: str = "/#/search") -> str:
    answer = client.get("/v1/session/start", params={"next": next_})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def back(client: Browser, answer: dict[str, str]) -> httpx.Response:
    from_there = {"Sec-Fetch-Site": "cross-site"}
    return client.get("/v1/session/callback", params=answer, headers=from_there)


def test_somebody_signs_in_with_the_issuer(
    library: Path, issuer: Issuer, at_issuer: Browser
) -> None:
    assert at_issuer.get("/v1/session").json()["ways"] == ["key", "issuer"]
    sent = at_issuer.get("/v1/session/start", params={"next": "/#/study?uid=1.2"})
    said = sent.headers["set-cookie"].lower()
    assert "httponly" in said and "samesite=lax" in said and "max-age=600" in said
    place = sent.headers["location"]
    asked = dict(parse_qsl(urlsplit(place).query))
    assert place.startswith(f"{issuer.url}/authorize?")
    assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
    came = back(at_issuer, issuer.authorize(place))
    assert (came.status_code, came.headers["location"]) == (303, "/#/study?uid=1.2")
    assert "samesite=strict" in came.headers["set-cookie"].lower()
    told = at_issuer.get("/v1/session").json()
    assert (told["name"], told["role"]) == ("dr-who", "curator")
    assert told["how"] == f"session:token:{issuer.url}"
    assert at_issuer.get("/v1/library").status_code == 200
    (exchanged,) = issuer.exchanged
    assert exchanged["authorization"] == "Basic " + "c3ludG9weS1wYWdlOnMzY3JldCUzQSUyNg=="
    assert exchanged["code_verifier"] not in place
    assert [row.action for row in recorded(library, at_issuer)] == [Action.LOGIN, Action.QUERY]


@pytest.mark.parametrize(
    ("changed", "status", "why"),
    [
        ({"exp": 1_700_000_000}, 401, "expired"),
        ({"nonce": "of-another"}, 401, "another sign-in"),
        ({"nonce": None}, 401, "another sign-in"),
        ({"aud": "another"}, 401, "another audience"),
        ({"aud": [CLIENT, "another"]}, 401, "for others, too"),
        ({"azp": "another"}, 401, "for others, too"),
        ({"iss": "https://evil.example"}, 401, "another issuer"),
        ({"roles": ["admin"]}, 403, "gives no role"),
    ],
)
def test_a_token_that_is_not_in_order_signs_nobody_in(
    library: Path,
    issuer: Issuer,
    at_issuer: Browser,
    changed: dict[str, Any],
    status: int,
    why: str,
) -> None:
    issuer.changed = {"roles": ["radiology"]} | changed
    came = back(at_issuer, issuer.authorize(started(at_issuer)))
    assert came.status_code == status and why in came.json()["detail"]
    assert at_issuer.get("/v1/session").json()["signed_in"] is False
    assert [row.action for row in recorded(library, at_issuer)] == [Action.REFUSE]


def test_an_answer_counts_once_and_in_the_browser_that_asked(
    issuer: Issuer, at_issuer: Browser
) -> None:
    answer = issuer.authorize(started(at_issuer))
    cookie = at_issuer.cookies["syntopy-start"]
    with Browser(at_issuer.base_url) as stranger:
        assert back(stranger, answer).status_code == 401, "in another browser"
        started(stranger)
        assert back(stranger, answer).status_code == 401, "that asked for itself"
    assert back(at_issuer, {**answer, "state": "x" * 43}).status_code == 401
    assert back(at_issuer, {**answer, "iss": "https://evil.example"}).status_code == 401
    answer = issuer.authorize(started(at_issuer))
    assert back(at_issuer, answer).status_code == 303
    replayed = at_issuer.get(
        "/v1/session/callback",
        params=answer,
        headers={"Cookie": f"syntopy-start={cookie}"},
    )
    assert replayed.status_code == 401


def test_an_answer_is_not_taken_twice_even_with_its_cookie(
    issuer: Issuer, at_issuer: Browser
) -> None:
    place = started(at_issuer)
    kept = {"Cookie": f"syntopy-start={at_issuer.cookies['syntopy-start']}"}
    assert back(at_issuer, issuer.authorize(place)).status_code == 303
    second = issuer.authorize(place)
    assert at_issuer.get("/v1/session/callback", params=second, headers=kept).status_code == 401


def test_somebody_who_says_no_there_is_not_signed_in(issuer: Issuer, at_issuer: Browser) -> None:
    answer = issuer.authorize(started(at_issuer))
    said = {"state": answer["state"], "error": "access_denied", "error_description": "no"}
    refused = back(at_issuer, said)
    assert refused.status_code == 401 and "did not sign you in" in refused.json()["detail"]


def test_an_issuer_that_does_not_answer_is_named(issuer: Issuer, at_issuer: Browser) -> None:
    answer = issuer.authorize(started(at_issuer))
    issuer.answering = False
    down = back(at_issuer, answer)
    assert (down.status_code, down.json()["code"]) == (503, "issuer_unavailable")


def test_a_code_that_the_issuer_does_not_take_is_refused_and_recorded(
    library: Path, issuer: Issuer, at_issuer: Browser
) -> None:
    answer = issuer.authorize(started(at_issuer))
    came = back(at_issuer, {**answer, "code": "of nobody"})
    assert (came.status_code, came.json()["code"]) == (401, "not_authenticated")
    assert [row.action for row in recorded(library, at_issuer)] == [Action.REFUSE]


def test_who_tries_codes_has_the_issuer_asked_a_few_times_at_most(
    issuer: Issuer, at_issuer: Browser
) -> None:
    codes = list[int]()
    for _ in range(200):  # a busy machine asks slowly, and gets further tries meanwhile
        codes.append(
            back(at_issuer, {**issuer.authorize(started(at_issuer)), "code": "x"}).status_code
        )
        if 429 in codes:
            break
    assert set(codes) == {401, 429}
    assert len(issuer.exchanged) == len(codes) - 1, "nothing was asked for the last one"


PLACES = [
    "https://evil.example",
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\/evil.example",
    "javascript:alert(1)",
    "evil.example",
    "/\tevil",
    "/\r\nLocation: https://evil.example",
    "/%0d%0a//\u2044evil",
    "",
    "/" + "x" * 600,
]


def test_the_way_leads_to_no_other_site(at_issuer: Browser) -> None:
    for place in PLACES:
        answer = at_issuer.get("/v1/session/start", params={"next": place})
        assert answer.status_code == 422, place
        assert "location" not in answer.headers


@given(st.text(st.sampled_from("/\\.:@#?&%azAZ09-_~ \t\n\0\u2044é"), max_size=40))
def test_wherever_it_leads_it_is_this_site(said: str) -> None:
    if is_path(said):
        led = urlsplit(urljoin(f"{PUBLIC}/v1/session/callback", said))
        assert (led.scheme, led.netloc) == ("https", "images.example.org")
        assert led.geturl().startswith(f"{PUBLIC}/")


def test_an_issuer_that_does_not_tell_where_to_sign_in_is_named(
    library: Path, issuer: Issuer
) -> None:
    issuer.answering = False
    with asking(library, **known_to(issuer)) as client:
        down = client.get("/v1/session/start")
    assert (down.status_code, down.json()["code"]) == (503, "issuer_unavailable")
    assert "set-cookie" not in down.headers


@pytest.mark.parametrize(
    "said",
    [
        {"public_url": "http://images.example.org"},
        {"public_url": "images.example.org"},
        {"public_url": "https://images.example.org/page"},
        {"public_url": "https://user@images.example.org"},
        {"public_url": "https://images.example.org:x"},
        {"cors_origins": ("*",)},
        {"cors_origins": ("null",)},
        {"cors_origins": ("https://ohif.example.org/viewer",)},
    ],
)
def test_an_address_of_a_site_that_is_none_is_refused_before_it_starts(
    served: Path, said: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match=f"SYNTOPY_{next(iter(said)).upper()}"):
        create_app(Settings(library=served, **said), None)


def test_without_an_issuer_there_is_none_to_go_to(client: Browser) -> None:
    assert client.get("/v1/session/start").status_code == 404
    assert client.get("/v1/session/callback").status_code == 404
