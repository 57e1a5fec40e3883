"""What no client library would send: raw bytes, bombs and lies, to a real service in a process.

A problem document or a closed connection, memory that stays bounded, nothing half stored, and the
service goes on answering.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import signal
import socket
import stat
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from pydicom.uid import DeflatedExplicitVRLittleEndian
from sent_objects import as_file, real_file, small_slice
from served_library import own_copy

LIMIT_MB = 32
"""Of a file and of its pixels, for the service under test."""
GROWTH_MB = 256
"""Resident memory that answering may take beyond what the service had; bombs are of 1 GiB."""
BOMB = 1 << 30


@dataclass(frozen=True)
class Service:
    process: subprocess.Popen[str]
    client: httpx.Client
    temporary: Path
    library: Path

    @property
    def port(self) -> int:
        assert self.client.base_url.port
        return self.client.base_url.port

    def left(self) -> list[Path]:
        """Files of uploads that are still there."""
        return [p for p in self.temporary.rglob("*") if p.is_file() and p.name != "lock"]

    def memory_mb(self, name: str) -> float:
        said = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"^{name}:\s+(\d+) kB", said, re.MULTILINE)
        assert found
        return int(found[1]) / 1024


@pytest.fixture(scope="module")
def service(served: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    place = tmp_path_factory.mktemp("hostile")
    library = own_copy(served, place)
    (temporary := place / "temporary").mkdir()
    limits = {
        "SYNTOPY_UPLOAD_MB": "16",
        "SYNTOPY_UPLOAD_SECONDS": "10",
        "SYNTOPY_MAX_FILE_MB": str(LIMIT_MB),
        "SYNTOPY_MAX_PIXEL_MB": str(LIMIT_MB),
        "TMPDIR": str(temporary),
    }
    command = [sys.executable, "-m", "api.cli.main", "serve", "-L", str(library), "--port", "0"]
    with subprocess.Popen(
        [*command, "--receive"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **limits},
    ) as process:
        assert process.stderr is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stderr.readline())
        assert found
        # Its log is thrown away: a full pipe would stop it.
        drain = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
        try:
            with httpx.Client(base_url=found[0], timeout=60) as client:
                assert client.post("/v1/search", json={"keywords": "lines"}).status_code == 200
                yield Service(process, client, temporary, library)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
            drain.wait(60)


@pytest.fixture(autouse=True)
def goes_on(service: Service) -> Iterator[None]:
    """After each test the service answers, and no upload is left."""
    yield
    assert service.client.get("/v1/health").status_code == 200
    assert service.left() == []


def raw(service: Service, *sent: bytes, end: bool = False) -> bytes:
    """All that is answered to some bytes, until the service hangs up; ``end``: we do so before."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as there:
        for each in sent:
            there.sendall(each)
        if end:
            there.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while chunk := there.recv(65536):
                answer += chunk
        except ConnectionResetError:
            pass
        return answer


def head(*lines: str, path: str = "/v1/search", method: str = "POST") -> bytes:
    told = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *lines, "", ""]
    return "\r\n".join(told).encode("latin-1")


JSON = "Content-Type: application/json"


# -- HTTP -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200,
        b"GET / HTTP/1\r\n\r\n",
        b"GET /v1/library HTTP/1.1\r\n\r\n",
        b"GET /v1/library HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /v1/\0library HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        head("X: a\0b"),
        head("X\x7f: a"),
        head("no header at all"),
        head(JSON, "Content-Length: 2", "Content-Length: 3") + b"{}",
        head(JSON, "Content-Length: -1"),
        head(JSON, "Content-Length: 1e3"),
        head(JSON, "Content-Length: " + "9" * 400),
        head(JSON, "Transfer-Encoding: gzip"),
        head(JSON, "Transfer-Encoding: chunked, chunked"),
    ],
)
def test_what_is_no_http_gets_a_problem_and_the_door(service: Service, sent: bytes) -> None:
    answer = raw(service, sent)
    first, _, rest = answer.partition(b"\r\n")
    assert re.match(rb"HTTP/1\.1 (4\d\d|501) ", first), answer[:200]
    headers, _, body = rest.partition(b"\r\n\r\n")
    assert b"application/problem+json" in headers.lower()
    assert json.loads(body)["code"]
    assert b"connection: close" in headers.lower()


@pytest.mark.parametrize("sent", [b"GET /" + b"a" * (1 << 20), head("X: " + "y" * (1 << 20))])
def test_heads_that_do_not_end_are_not_read_to_their_end(service: Service, sent: bytes) -> None:
    try:
        answer = raw(service, sent)
    except (ConnectionResetError, BrokenPipeError):
        answer = b""
    assert re.match(rb"HTTP/1\.1 4\d\d |\Z", answer), answer[:200]


@pytest.mark.parametrize("chunks", [b"zz\r\n{}\r\n", b"F" * 40 + b"\r\n", b"2\r\n{}garbage"])
def test_chunks_that_are_none_end_the_request(service: Service, chunks: bytes) -> None:
    answer = raw(service, head(JSON, "Transfer-Encoding: chunked"), chunks)
    assert re.match(rb"HTTP/1\.1 4\d\d |\Z", answer), answer[:200]


def test_a_body_that_is_longer_than_it_says_is_another_request_and_none(service: Service) -> None:
    answer = raw(service, head(JSON, "Content-Length: 2"), b"{}{}{}{}\r\n\r\n")
    assert re.findall(rb"HTTP/1\.1 (\d+) ", answer) == [b"422", b"400"]


def test_a_body_that_is_shorter_than_it_says_is_waited_for_until_it_is_late(
    service: Service,
) -> None:
    assert raw(service, head(JSON, "Content-Length: 100"), b"{}", end=True) == b""
    late = raw(service, head(JSON, "Content-Length: 100"), b"{}")
    assert late.startswith(b"HTTP/1.1 408 ")


def test_of_two_lengths_the_chunks_count_and_nothing_is_smuggled(service: Service) -> None:
    inner = head("Connection: close", path="/v1/library", method="GET")
    sent = head(JSON, "Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n" + inner
    answer = raw(service, sent)
    assert answer.count(b"HTTP/1.1 200 OK") <= 1
    assert re.match(rb"HTTP/1\.1 4\d\d ", answer)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "identity, gzip", "x" * 200])
def test_packed_bodies_are_not_unpacked(service: Service, coding: str) -> None:
    for path in ("/v1/search", "/v1/search/files", "/dicomweb/studies"):
        answer = service.client.post(
            path, content=gzip.compress(b"{}"), headers={"Content-Encoding": coding}
        )
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
        assert answer.headers["accept-encoding"] == "identity"


# -- JSON -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe{}",
        b'{"keywords": "\xc0\xaf"}',
        b'{"keywords": "\xed\xa0\x80"}',
        b'{"keywords": "\xf8\x88\x80\x80\x80"}',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b'{"keywords": "x", "k": 1e999}',
        b'{"keywords": "x", "k": -0}',
        b'{"keywords": "x", "k": -0.0}',
        b'{"keywords": "x", "k": NaN}',
        b'{"keywords": "x", "k": ' + b"9" * 10_000 + b"}",
        b'{"keywords": "x", "min_score": -Infinity}',
        b'{"keywords": "x", "k": "5\\u0000"}',
        b'{"k": 1, "k": 2, "examples": 3}',
        b'{"__proto__": {"k": 1}, "keywords": "x"}',
        b'{"keywords": "x"} {"keywords": "y"}',
        b'{"keywords": "x",}',
        b"[" * 33 + b"]" * 33,
        b'{"examples":' * 40 + b"1" + b"}" * 40,
        b"null",
        b"",
        b'"' + b"\\" * 100_001 + b'"',
        b'{"filter": "' + b"(" * 7000 + b'"}',
        b'{"filter": "not ' + b"not " * 1500 + b'modality=CT"}',
    ],
)
def test_json_that_is_none_or_says_nothing_sensible_is_a_problem(
    service: Service, body: bytes
) -> None:
    answer = service.client.post(
        "/v1/search", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code in (400, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "uid",
    [
        "1." + "2" * 63,
        "1.2.3.",
        ".1.2",
        "1..2",
        "01.2",
        "1.2%00",
        "1.2%0d%0aX:%20y",
        "%C0%AF",
        "%ED%A0%80",
        "%E2%80%AE1.2",
        "1.2%EF%BC%8E3",
        "%D9%A1.%D9%A2",
        "..%2f..%2fetc%2fpasswd",
        "1.2' OR '1'='1",
        "-1",
        "1e999",
    ],
)
def test_what_is_no_uid_is_nowhere(service: Service, uid: str) -> None:
    for path in (
        "studies/{}",
        "series/{}",
        "items/{}",
        "items/{}/thumbnail",
        "items/{}/neighbours",
    ):
        answer = service.client.get(f"/v1/{path.format(uid)}")
        assert answer.status_code in (400, 404, 422), answer.text
        assert answer.headers["content-type"] == "application/problem+json"


# -- files ----------------------------------------------------------------------------------------


def deflated(head_: bytes, size: int) -> bytes:
    """``head_`` and then zeros of a size, deflated: blocks of which each is as the one before."""
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    first = packer.compress(head_) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return first + block * (size >> 20) + packer.flush()


def deflated_dicom() -> bytes:
    """A slice in the deflated transfer syntax, with 1 GiB of zeros as its pixels."""
    ds = small_slice(1)
    del ds.PixelData
    plain = as_file(ds)
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    meta_length = len(as_file(ds)) - len(as_file_data(ds))
    pixels = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, BOMB)
    return as_file(ds)[:meta_length] + deflated(as_plain_data(plain) + pixels, BOMB)


def as_file_data(ds: object) -> bytes:
    """The deflated part of a small file."""
    return as_plain_data(as_file(ds))  # type: ignore[arg-type]


def as_plain_data(file: bytes) -> bytes:
    """What lies behind the file meta information."""
    (length,) = struct.unpack("<I", file[140:144])
    return file[144 + length :]


def png_bomb() -> bytes:
    """32,767 x 32,768 pixels of nothing, a line of which is a byte longer."""
    data = b"\x78\xda" + deflated(b"", BOMB)
    data += struct.pack(">I", (BOMB % 65521) << 16 | 1)  # Adler-32 of so many zeros

    def chunk(kind: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)

    size = struct.pack(">IIBBBBB", 32_767, 32_768, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def nifti_bomb() -> bytes:
    """A volume of 1024 x 1024 x 512 shorts, gzipped."""
    said = bytearray(352)
    said[0:4] = struct.pack("<i", 348)
    said[40:56] = struct.pack("<8h", 3, 1024, 1024, 512, 1, 1, 1, 1)
    said[70:74] = struct.pack("<hh", 4, 16)
    said[76:108] = struct.pack("<8f", 1, 1, 1, 1, 1, 1, 1, 1)
    said[108:112] = struct.pack("<f", 352)
    said[344:348] = b"n+1\0"
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + deflated(bytes(said), BOMB) + bytes(8)


def zipped(*members: tuple[str, bytes], mode: int = 0) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = mode << 16
            archive.writestr(info, content)
    return packed.getvalue()


def many_members(count: int = 100_000) -> bytes:
    """A zip of so many empty files, written by hand: a library takes its time."""
    names = [b"%06d.x" % number for number in range(count)]
    each = struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 0, 0, 0, 0, len(names[0]), 0)
    local = b"".join(b"PK\3\4" + each + name for name in names)
    step = 4 + len(each) + len(names[0])
    central = b"".join(
        b"PK\1\2" + struct.pack("<H", 20) + each + struct.pack("<HHHII", 0, 0, 0, 0, at) + name
        for at, name in zip(range(0, len(local), step), names, strict=True)
    )
    counted = min(count, 0xFFFF)
    end = struct.pack("<HHHHIIH", 0, 0, counted, counted, len(central), len(local), 0)
    return local + central + b"PK\5\6" + end


def nested() -> bytes:
    packed = zipped(("a.png", picture()))
    for level in range(20):
        packed = zipped((f"{level}.zip", packed))
    return packed


def picture() -> bytes:
    out = io.BytesIO()
    grey = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    Image.fromarray(grey).save(out, "PNG")
    return out.getvalue()


FILES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a deflated bomb": ("a.dcm", deflated_dicom),
    "a png bomb": ("a.png", png_bomb),
    "a nifti bomb": ("a.nii.gz", nifti_bomb),
    "a zipped bomb": ("a.zip", lambda: zipped(("a.dcm", bytes(64 << 20)))),
    "a gzipped bomb": ("a.gz", lambda: b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + deflated(b"", BOMB)),
    "many members": ("a.zip", many_members),
    "zips in zips": ("a.zip", nested),
    "a link": ("a.zip", lambda: zipped(("a.png", b"/etc/passwd"), mode=stat.S_IFLNK | 0o777)),
    "text as a volume": ("a.nii.gz", lambda: b"no volume" * 100),
    "nothing": ("a.dcm", lambda: b""),
    "a zip that is cut": ("a.zip", lambda: zipped(("a.png", picture()))[:-30]),
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_bombs_or_nothing_are_refused_in_bounded_memory(
    service: Service, name: str
) -> None:
    called, make = FILES[name]
    content = make()
    before = service.memory_mb("VmRSS")
    Path(f"/proc/{service.process.pid}/clear_refs").write_text("5")  # the peak begins anew
    answer = service.client.post("/v1/search/files", files={"file": (called, content)})
    assert answer.status_code in (413, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert service.memory_mb("VmHWM") - before < GROWTH_MB


@pytest.mark.parametrize(
    ("called", "make"),
    [
        ("a.dcm", picture),
        ("a.nii.gz", picture),
        ("a.png", lambda: real_file("CT_small.dcm").read_bytes()),
        ("../../a.png", lambda: zipped(("../../a.png", picture()))),
        ("a.zip", lambda: zipped(("/etc/a.png", picture()))),
        ("a.zip", lambda: zipped(("C:\\a.png", picture()), ("\u202egnp.a", b"no picture"))),
    ],
)
def test_names_and_endings_that_lie_change_nothing(
    service: Service, called: str, make: Callable[[], bytes]
) -> None:
    """What a file is, it says itself; names of members are only names."""
    answer = service.client.post(
        "/v1/search/files", files={"file": (called, make())}, data={"request": '{"k": 1}'}
    )
    assert answer.status_code in (200, 422), answer.text
    assert not Path("/etc/a.png").exists()
    assert not list(service.temporary.parent.rglob("*.png"))


# -- studies that are sent ------------------------------------------------------------------------


def send(service: Service, *objects: bytes, cut: int | None = None) -> httpx.Response:
    parts = [b"--b\r\nContent-Type: application/dicom\r\n\r\n" + each for each in objects]
    body = b"\r\n".join([*parts, b"--b--"])[:cut]
    kind = 'multipart/related; type="application/dicom"; boundary=b'
    return service.client.post("/dicomweb/studies", content=body, headers={"Content-Type": kind})


def kept(service: Service) -> set[str]:
    return {path.name for path in (service.library / "inbox").rglob("*") if path.is_file()}


@pytest.mark.parametrize("uid", ["1.2.3.", "1..2", "", "../../etc", "1.2\0.3", "1.2\u00e9", "*"])
def test_an_object_whose_uid_is_none_is_refused_and_not_kept(service: Service, uid: str) -> None:
    ds = small_slice(1234567)
    named = ds.SOPInstanceUID.encode()
    wrong = uid.encode("latin-1").ljust(len(named), b"\0")
    before = kept(service)
    answer = send(service, as_file(ds).replace(named, wrong))
    assert answer.status_code == 409, answer.text
    assert kept(service) == before


def test_an_object_that_grows_is_taken_as_it_came_in_bounded_memory(service: Service) -> None:
    bomb = deflated_dicom()
    before = service.memory_mb("VmRSS")
    Path(f"/proc/{service.process.pid}/clear_refs").write_text("5")
    answer = send(service, bomb)
    assert answer.status_code in (200, 409), answer.text
    assert service.memory_mb("VmHWM") - before < GROWTH_MB


def test_a_body_that_is_given_up_keeps_whole_objects_and_nothing_of_the_rest(
    service: Service,
) -> None:
    whole, half = as_file(small_slice(11, study=11)), as_file(small_slice(12, study=11))
    answer = send(service, whole, half, cut=-len(half) // 2)
    assert (answer.status_code, answer.json()["code"]) == (400, "multipart")
    assert not [name for name in kept(service) if not name.endswith((".dcm", ".json", "lock"))]
