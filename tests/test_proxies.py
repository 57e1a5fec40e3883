"""Whose word counts on who asks: that of a trusted proxy, and of nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from served_library import own_copy, serving
from starlette.types import Message, Receive, Scope, Send
from typer.testing import CliRunner

from api.app import create_app
from api.cli.main import app
from api.proxies import Proxied, trusted_networks
from indexer.catalog.audit import rows_since
from indexer.catalog.database import reading
from indexer.config import Settings
from indexer.errors import ConfigError
from indexer.library import Library

TRUSTED = "10.0.0.0/24, 192.0.2.1, 2001:db8::/64"


def seen(peer: str, *forwarded: str, trusted: str = TRUSTED, **headers: str) -> Scope:
    """The scope that reaches the application."""
    raw = [(b"x-forwarded-for", each.encode()) for each in forwarded]
    raw += [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    scope = {"type": "http", "client": (peer, 1234), "scheme": "http", "headers": raw}

    async def inner(_scope: Scope, _receive: Receive, _send: Send) -> None:
        return

    async def receive() -> Message:
        raise AssertionError

    async def send(_message: Message) -> None:
        raise AssertionError

    asyncio.run(Proxied(inner, trusted_networks(trusted))(scope, receive, send))
    return scope


def client_of(peer: str, *forwarded: str, trusted: str = TRUSTED) -> str:
    return str(seen(peer, *forwarded, trusted=trusted)["client"][0])


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        (["198.51.100.7"], "198.51.100.7"),
        (["6.6.6.6, 198.51.100.7"], "198.51.100.7"),  # what the client itself wrote before
        (["6.6.6.6", "198.51.100.7"], "198.51.100.7"),
        (["198.51.100.7, 10.0.0.9"], "198.51.100.7"),  # through two proxies of ours
        (["198.51.100.7:5555"], "198.51.100.7"),
        (["[2001:db8:1::7]:5555"], "2001:db8:1::7"),
        (["::ffff:198.51.100.7"], "198.51.100.7"),
        (["10.0.0.9"], "10.0.0.9"),
        (["6.6.6.6, nonsense"], "10.0.0.1"),
        (["nonsense, 198.51.100.7"], "198.51.100.7"),
        ([""], "10.0.0.1"),
        ([], "10.0.0.1"),
    ],
)
def test_a_trusted_proxy_says_who_asks(forwarded: list[str], client: str) -> None:
    assert client_of("10.0.0.1", *forwarded) == client


@given(st.lists(st.text(st.characters(codec="latin-1", exclude_characters="\r\n"))))
def test_nobody_else_is_believed_whatever_they_say(forwarded: list[str]) -> None:
    found = seen("198.51.100.7", *forwarded, x_forwarded_proto="https", x_request_id="a" * 32)
    assert (found["client"], found["scheme"]) == (("198.51.100.7", 1234), "http")
    assert "state" not in found
    assert client_of("10.0.0.1", *forwarded, trusted="") == "10.0.0.1"


@given(
    st.ip_addresses(v=4).map(str).filter(lambda found: not found.startswith("10.0.0.")),
    st.lists(st.one_of(st.ip_addresses().map(str), st.text(st.characters(codec="ascii")))),
)
def test_what_a_client_wrote_before_changes_nothing(client: str, spoofed: list[str]) -> None:
    spoof = ",".join(spoofed)
    if client == "192.0.2.1":
        return
    assert client_of("10.0.0.1", f"{spoof}, {client}") == client


def test_scheme_and_request_id_come_from_the_proxy_if_they_can_be() -> None:
    found = seen("192.0.2.1", x_forwarded_proto="https", x_request_id="0a" * 16)
    assert (found["scheme"], found["state"]["request_id"]) == ("https", "0a" * 16)
    for odd in ("0A" * 16, "a" * 33, "../../etc/passwd", ""):
        assert seen("192.0.2.1", x_request_id=odd)["state"] == {"by_proxy": True}
    assert seen("192.0.2.1", x_forwarded_proto="gopher")["scheme"] == "http"


def test_a_proxy_says_under_which_name_it_was_asked_if_it_is_one() -> None:
    for name in ("images.example.org:8444", "192.0.2.7", "[2001:db8::7]:443"):
        assert seen("192.0.2.1", x_forwarded_host=name)["state"] == {
            "by_proxy": True,
            "asked_host": name,
        }
        assert "state" not in seen("198.51.100.7", x_forwarded_host=name)
    for odd in ("", "a/b", "a@b", "a, b", "a:b", "a:1234567", 'a"b', "a b"):
        assert seen("192.0.2.1", x_forwarded_host=odd)["state"] == {"by_proxy": True}, odd


@pytest.mark.parametrize("setting", ["proxy.example.org", "10.0.0.1/8", "0.0.0.0/0", "::/0", "x,"])
def test_a_setting_that_names_no_proxies_is_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match="SYNTOPY_TRUSTED_PROXIES"):
        create_app(Settings(trusted_proxies=setting))


@pytest.fixture
def library(served: Path, tmp_path: Path) -> Path:
    return own_copy(served, tmp_path)


@pytest.fixture(params=["127.0.0.0/8", "192.0.2.1"])
def asked(library: Path, request: pytest.FixtureRequest) -> Iterator[tuple[str, httpx.Client]]:
    settings = Settings(library=library, trusted_proxies=request.param)
    with serving(settings, create_app(settings, None)) as client:
        yield request.param, client


def test_the_audit_has_the_address_of_the_client(
    library: Path, asked: tuple[str, httpx.Client]
) -> None:
    trusted, client = asked
    said = {"X-Forwarded-For": "6.6.6.6, 198.51.100.7", "X-Request-Id": "0a" * 16}
    answer = client.get("/v1/studies", headers=said)
    believed = trusted == "127.0.0.0/8"
    assert (answer.headers["x-request-id"] == "0a" * 16) is believed
    with Library.open(library) as opened, reading(opened.engine) as db:
        *_, row = rows_since(db)
    assert row.origin == ("198.51.100.7" if believed else "127.0.0.1")
    assert (row.request_id == "0a" * 16) is believed


def test_behind_a_proxy_everybody_has_to_say_who_they_are(
    library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTOPY_TRUSTED_PROXIES", "127.0.0.1")
    result = CliRunner().invoke(app, ["serve", "-L", str(library), "--port", "0"])
    assert result.exit_code == 2
    assert "--auth" in result.stderr
