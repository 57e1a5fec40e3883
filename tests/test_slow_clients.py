"""Clients that send slowly, too many, too much, or what can be read in two ways: raw sockets."""

from __future__ import annotations

import asyncio
import json
import os
import re
import select
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from api.app import create_app
from api.connections import ConnectionLimits
from api.server import listening, server_of
from indexer.config import Settings
from indexer.library import Library

GET = b"GET /v1/health HTTP/1.1\r\nHost: 127.0.0.1\r\n"
WHOLE = GET + b"\r\n"
_PATIENCE = 30.0


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slow") / "library"
    Library.create(path).close()
    return path


@contextmanager
def running(library: Path, limits: ConnectionLimits) -> Iterator[int]:
    """A server under these limits; gives its port."""
    server = server_of(create_app(Settings(library=library)), limits)
    with listening("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(_PATIENCE)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def port(library: Path) -> Iterator[int]:
    with running(library, ConnectionLimits(header_seconds=1.0, reading_seconds=1.0)) as port:
        yield port


def connect(port: int, sent: bytes = b"") -> socket.socket:
    raw = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)
    raw.sendall(sent)
    return raw


def answers(raw: socket.socket) -> bytes:
    """All that comes until the other side ends."""
    found = b""
    try:
        while chunk := raw.recv(65536):
            found += chunk
    except ConnectionResetError:
        pass
    return found


def statuses(answer: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3})", answer)]


def healthy(port: int) -> None:
    assert httpx.get(f"http://127.0.0.1:{port}/v1/health", timeout=_PATIENCE).status_code == 200


# -- slowly ---------------------------------------------------------------------------------------


def test_many_who_never_end_their_header_stop_nobody_and_are_let_go(port: int) -> None:
    with ExitStack() as opened:
        slow = [opened.enter_context(connect(port, GET)) for _ in range(200)]
        for _ in range(5):
            healthy(port)
            let_go, _, _ = select.select(slow[:50], [], [], 0)  # already, on a busy machine
            for raw in set(slow[:50]) - set(let_go):
                raw.sendall(b"X-More: please wait\r\n")
        assert all(statuses(answers(raw)) == [408] for raw in slow)


def test_a_byte_now_and_then_gives_no_more_time(port: int) -> None:
    with connect(port) as raw:
        began = time.monotonic()
        try:
            while time.monotonic() - began < _PATIENCE:
                raw.sendall(b"G" if time.monotonic() - began < 0.1 else b"E")
                time.sleep(0.1)
        except OSError:
            return
    pytest.fail("it was waited for")


def test_who_says_nothing_is_let_go_without_a_word(port: int) -> None:
    with connect(port) as raw:
        assert answers(raw) == b""


def test_the_second_header_of_a_connection_has_its_time_too(port: int) -> None:
    with connect(port, WHOLE + GET) as raw:
        answer = answers(raw)
    assert statuses(answer) == [200, 408]
    told = json.loads(answer[answer.rindex(b"{") :])
    assert told["code"] == "too_slow"


def test_a_request_that_takes_longer_than_a_header_may_is_answered(port: int) -> None:
    body = b'{"keywords": "x"}'
    head = (
        b"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    with connect(port, head) as raw:
        time.sleep(1.5)
        raw.sendall(body)
        assert statuses(answers(raw)) == [422], "nothing there has words"


def test_who_does_not_read_its_answers_is_let_go(port: int) -> None:
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.settimeout(_PATIENCE)
    with raw:
        raw.connect(("127.0.0.1", port))
        ask = b"GET /v1/openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        until = time.monotonic() + _PATIENCE
        with pytest.raises(OSError):
            while time.monotonic() < until:
                raw.sendall(ask * 10)
                time.sleep(0.05)
    healthy(port)


def test_an_upload_that_is_given_up_costs_nothing(port: int) -> None:
    head = (
        b"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    )
    for _ in range(50):
        connect(port, head).close()
    until = time.monotonic() + _PATIENCE
    while b"open_requests 1.0" not in httpx.get(f"http://127.0.0.1:{port}/metrics").content:
        assert time.monotonic() < until
        time.sleep(0.05)


# -- too many -------------------------------------------------------------------------------------


def test_above_the_limit_those_who_ask_nothing_give_way(library: Path) -> None:
    limits = ConnectionLimits(connections=10, header_seconds=_PATIENCE)
    with running(library, limits) as port, ExitStack() as opened:
        slow = [opened.enter_context(connect(port, GET)) for _ in range(30)]
        healthy(port)
        assert answers(slow[0]) == b"", "the oldest had to go"
        slow[-1].sendall(b"Connection: close\r\n\r\n")
        assert statuses(answers(slow[-1])) == [200], "the youngest may go on"


def test_no_more_connections_are_wanted_than_files_may_be_open() -> None:
    assert ConnectionLimits(connections=1 << 40).most < 1 << 40
    assert ConnectionLimits(connections=5).most == 5


def resident(process: subprocess.Popen[str]) -> int:
    status = Path(f"/proc/{process.pid}/statm").read_text().split()
    return int(status[1]) * os.sysconf("SC_PAGE_SIZE")


async def burst(port: int, number: int) -> Counter[int]:
    """Requests that are sent all before an answer is read."""

    async def ask() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /v1/studies HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        return reader, writer

    opened = await asyncio.gather(*(ask() for _ in range(number)))
    found: Counter[int] = Counter()
    for reader, writer in opened:
        answer = await reader.read()
        found.update(statuses(answer) or [0])
        writer.close()
        await writer.wait_closed()
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc to read memory from")
def test_ten_thousand_requests_in_bursts_are_answered_or_told_to_wait(library: Path) -> None:
    command = [sys.executable, "-m", "api.cli.main", "serve", "-L", str(library), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            found = re.search(r"127\.0\.0\.1:(\d+)", process.stderr.readline())
            assert found
            threading.Thread(target=process.stderr.read, daemon=True).start()
            port = int(found[1])
            asyncio.run(burst(port, 1000))
            before, seen = resident(process), Counter[int]()
            for _ in range(10):
                seen += asyncio.run(burst(port, 1000))
            assert set(seen) <= {200, 429}
            assert seen.total() == 10_000 and seen[200] > 0
            assert resident(process) < before * 1.25
            healthy(port)
        finally:
            process.kill()


# -- what can be read in two ways -----------------------------------------------------------------

CHUNKED = b"Transfer-Encoding: chunked\r\n"
POST = b"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
HIDDEN = b"GET /v1/hidden HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        POST + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n" + HIDDEN,
        POST + CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n" + HIDDEN,
        POST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde" + HIDDEN,
        POST + b"Content-Length: +5\r\n\r\nabcde" + HIDDEN,
        POST + b"Content-Length: -1\r\n\r\n" + HIDDEN,
        POST + b"Content-Length: 5 5\r\n\r\nabcde" + HIDDEN,
        POST + b"Content-Length : 5\r\n\r\nabcde" + HIDDEN,
        POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
        POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + HIDDEN,
        POST + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n" + HIDDEN,
        POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
        POST.replace(b"1.1\r\nH", b"1.0\r\nH") + CHUNKED + b"\r\n0\r\n\r\n" + HIDDEN,
        GET + b"Host: elsewhere\r\n\r\n" + HIDDEN,
        b"GET /v1/health HTTP/1.1\r\n\r\n" + HIDDEN,
        GET + b"X: a\x00b\r\n\r\n" + HIDDEN,
        GET + b"X: a\rY: b\r\n\r\n" + HIDDEN,
        b"GET  /v1/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" + HIDDEN,
        b"GET /v1/health HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n" + HIDDEN,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 TLS to a port without",
        GET + b"X: " + b"y" * 100_000 + b"\r\n\r\n" + HIDDEN,
        GET + b"".join(b"X-%d: y\r\n" % n for n in range(150)) + b"\r\n" + HIDDEN,
        b"GET /" + b"y" * 20_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" + HIDDEN,
    ],
)
def test_what_has_two_meanings_has_none_here(port: int, sent: bytes) -> None:
    with connect(port, sent) as raw:
        answer = answers(raw)
    assert statuses(answer) == [400]
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head and b"connection: close" in head.lower()
    assert json.loads(body)["code"] == "bad_request"


@pytest.mark.parametrize("size", [b"-1", b"0x5", b"FFFFFFFFFFFFFFFFFFFFFFFF", b""])
def test_chunks_of_a_strange_size_end_the_connection(port: int, size: bytes) -> None:
    with connect(port, POST + CHUNKED + b"\r\n" + size + b"\r\nabcde\r\n0\r\n\r\n" + HIDDEN) as raw:
        answer = answers(raw)
    assert all(status in (400, 422) for status in statuses(answer))
    assert b"/v1/hidden" not in answer and 404 not in statuses(answer)
    healthy(port)


def test_requests_that_come_all_at_once_are_answered_in_their_order(port: int) -> None:
    last = b"GET /v1/version HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    with connect(port, WHOLE * 20 + HIDDEN + last) as raw:
        answer = answers(raw)
    assert statuses(answer) == [200] * 20 + [404, 200]
    assert b'"version"' in answer.rpartition(b"\r\n\r\n")[2]
