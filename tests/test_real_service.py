"""``syntopy serve`` as it is run: how it ends, whose tokens it takes, and what it never writes."""

from __future__ import annotations

import signal
import socket
import time
from http.client import HTTPResponse
from pathlib import Path

import httpx
import pytest
from sent_objects import as_file, small_slice
from served_library import running
from token_issuer import AUDIENCE, issuing, rsa_key

from api.rights import Role
from api.service.access import keys
from indexer.catalog.audit import rows_since
from indexer.catalog.database import reading
from indexer.library import Library


@pytest.fixture
def library(tmp_path: Path) -> Path:
    Library.create(tmp_path / "library").close()
    return tmp_path / "library"


def continued(asking: socket.socket) -> None:
    """Wait until the service reads the body of a request."""
    said = b""
    while not said.endswith(b"\r\n\r\n"):
        said += asking.recv(1)
    assert said.startswith(b"HTTP/1.1 100 "), said


def wait_until_refused(port: int) -> None:
    until = time.monotonic() + 25
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.02)
    pytest.fail("new connections are still taken")


def test_a_slow_request_is_answered_after_sigterm_and_nobody_else_is(library: Path) -> None:
    body = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + as_file(small_slice(1))
    body += b"\r\n--b--\r\n"
    head = (
        "POST /dicomweb/studies HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\n"
        'Content-Type: multipart/related; type="application/dicom"; boundary=b\r\n'
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    with running(library, "--receive", settings={}) as (process, address):
        port = int(address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=60) as asking:
            asking.sendall(head)
            continued(asking)
            asking.sendall(body[:1_000])
            process.send_signal(signal.SIGTERM)
            wait_until_refused(port)
            assert process.poll() is None
            asking.sendall(body[1_000:])
            answer = HTTPResponse(asking)
            answer.begin()
            assert answer.status == 200
            assert b"00081199" in answer.read()
        process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert len(list((library / "inbox").glob("2*/*.dcm"))) == 1


def test_tokens_of_the_issuer_are_taken_and_no_secret_is_written_anywhere(library: Path) -> None:
    with Library.open(library) as opened:
        request = keys.KeyRequest("viewer", role=Role.READER)
        key = keys.create(opened, request, actor="test").token
    signing = rsa_key()
    with issuing() as issuer:
        issuer.publish("first", signing)
        good = issuer.token("first", signing)
        expired = issuer.token("first", signing, iat=1_700_000_000, exp=1_700_000_300)
        settings = {
            "SYNTOPY_OIDC_ISSUER": issuer.url,
            "SYNTOPY_OIDC_AUDIENCE": AUDIENCE,
            "SYNTOPY_OIDC_ROLES": '{"reader": "reader"}',
        }
        with (
            running(library, "--auth", settings=settings) as (process, address),
            httpx.Client(base_url=address, timeout=60) as client,
        ):
            wrong = key[:-1] + ("A" if key[-1] != "A" else "B")
            for secret, status in ((key, 200), (good, 200), (expired, 401), (wrong, 401)):
                asked = client.get("/v1/library", headers={"Authorization": f"Bearer {secret}"})
                assert asked.status_code == status, asked.text
            assert client.get("/v1/library").status_code == 401
            page = {"Origin": address, "Sec-Fetch-Site": "same-origin", "X-Syntopy": "page"}
            signed = client.post("/v1/session", json={"key": key}, headers=page)
            assert signed.status_code == 200, signed.text
            cookie = client.cookies["syntopy"]
            assert client.get("/v1/studies").status_code == 200
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=60)
    with Library.open(library) as opened, reading(opened.engine) as db:
        rows = list(rows_since(db))
    assert {"viewer", "dr-who"} <= {row.actor for row in rows}
    assert log.count('"route": "/v1/library"') == 5
    for secret in (key, wrong, good, expired, cookie, good.rpartition(".")[2], key[-20:]):
        assert secret not in log
        assert secret not in str(rows)
