"""A service that is killed while a body of many instances comes: nothing lost, nothing twice."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pydicom
import pytest
from sent_objects import as_file, small_slice

from indexer.library import Library

BOUNDARY = "frontier"
HEADERS = {"Content-Type": f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'}
FIRST, COUNT = 20, 120
"""Instances of a body that was answered, and of all."""


@contextmanager
def receiving(library: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``syntopy serve --receive`` without anybody who indexes, killed at the end; its address."""
    program = (
        "import sys; from pathlib import Path; from api.access import anyone_on_loopback; "
        "from api.app import create_app; from api.server import listening, server_of; "
        "from indexer.config import Settings\n"
        "app = create_app(Settings(library=Path(sys.argv[1])), anyone_on_loopback, receive=True)\n"
        "with listening('127.0.0.1', 0) as listener:\n"
        "    print(listener.getsockname()[1], flush=True)\n"
        "    server_of(app).run(sockets=[listener])\n"
    )
    command = [sys.executable, "-c", program, str(library)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def part(number: int) -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    return head + as_file(small_slice(number)) + b"\r\n"


def stored(library: Path) -> list[Path]:
    return sorted((library / "inbox").glob("2*/*.dcm"))


def send(address: str, chunks: Iterator[bytes]) -> httpx.Response:
    return httpx.post(f"{address}/dicomweb/studies", content=chunks, headers=HEADERS, timeout=60)


def body(numbers: range) -> Iterator[bytes]:
    yield from map(part, numbers)
    yield f"--{BOUNDARY}--\r\n".encode()


def named(answer: httpx.Response) -> set[str]:
    """The instances that an answer says are stored."""
    return {item["00081155"]["Value"][0] for item in answer.json()["00081199"]["Value"]}


def test_a_service_that_is_killed_half_way_loses_nothing_and_keeps_nothing_twice(
    tmp_path: Path,
) -> None:
    library = tmp_path / "library"
    Library.create(library).close()
    with receiving(library) as (process, address):
        acknowledged = named(send(address, body(range(FIRST))))
        assert len(acknowledged) == FIRST

        def until_it_is_killed() -> Iterator[bytes]:
            for number in range(COUNT):
                if number == COUNT - 20:  # most of it is on the way, and some of it is stored
                    until = time.monotonic() + 60
                    while len(stored(library)) < COUNT // 2 and time.monotonic() < until:
                        time.sleep(0.01)
                    half = part(number)
                    yield half[: len(half) // 2]
                    process.kill()
                    process.wait()
                yield part(number)

        with pytest.raises(httpx.TransportError):
            send(address, until_it_is_killed())
    kept = {pydicom.dcmread(path).SOPInstanceUID for path in stored(library)}
    assert acknowledged <= kept and COUNT // 2 <= len(kept) < COUNT
    with receiving(library) as (_, address):
        again = send(address, body(range(COUNT)))
        assert again.status_code == 200
        assert list((library / "inbox" / ".partial").iterdir()) == []
    uids = sorted(pydicom.dcmread(path).SOPInstanceUID for path in stored(library))
    assert uids == sorted(small_slice(number).SOPInstanceUID for number in range(COUNT))
    assert named(again) == {*uids}
