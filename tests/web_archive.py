"""A small DICOMweb archive on this machine that can be told to misbehave."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from pydicom.dataset import Dataset
from sent_objects import as_file

_STUDY, _SERIES, _CLASS, _INSTANCE = "0020000D", "0020000E", "00080016", "00080018"


@dataclass
class WebArchive:
    """What an archive has, what it was asked, and how it misbehaves.

    Attributes:
        objects: what it has.
        page: results at most, whatever is asked for.
        trouble: given a path and how often it was asked before; an answer to give instead of the
            right one: status, headers, body.
        cut: bytes after which the answer to a path breaks off, given how often it was asked.
        asked: paths, in order, and headers of each.
    """

    objects: Sequence[Dataset]
    page: int = 100
    trouble: Callable[[str, int], tuple[int, dict[str, str], bytes] | None] = lambda _p, _n: None
    cut: Callable[[str, int], int | None] = lambda _p, _n: None
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    port: int = 0
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/dicom-web"

    @property
    def paths(self) -> list[str]:
        """Asked so far, without what follows a question mark."""
        return [path.partition("?")[0].removeprefix("/dicom-web/") for path, _ in self.asked]

    def under(self, parts: Sequence[str]) -> list[Dataset]:
        """Those of a study, series, instance."""
        names = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
        wanted = dict(zip(names, parts[1::2], strict=False))
        return [ds for ds in self.objects if all(ds[k].value == v for k, v in wanted.items())]

    def listed(self, parts: Sequence[str], query: dict[str, list[str]]) -> list[dict[str, object]]:
        """Results of QIDO-RS on the level that the path ends with."""
        found: dict[str, dict[str, object]] = {}
        level = {"studies": _STUDY, "series": _SERIES, "instances": _INSTANCE}[parts[-1]]
        for ds in self.under(parts):
            result = {
                tag: {"vr": "UI", "Value": [str(ds[f"0x{tag}"].value)]}
                for tag in (_STUDY, _SERIES, _CLASS, _INSTANCE)
            }
            found[str(ds[f"0x{level}"].value)] = result
        start = int(query.get("offset", ["0"])[0])
        return list(found.values())[start : start + self.page]


def _handler(archive: WebArchive) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            place = parts.path.removeprefix("/dicom-web/")
            before = archive.paths.count(place)
            archive.asked.append((self.path, dict(self.headers)))
            trouble = archive.trouble(place, before)
            if trouble is not None:
                self._answer(*trouble)
            elif "dicom+json" in self.headers["Accept"]:
                told = archive.listed(place.split("/"), parse_qs(parts.query))
                self._answer(200, {"Content-Type": "application/dicom+json"}, json.dumps(told))
            else:
                self._instances(place, before)

        def _instances(self, place: str, before: int) -> None:
            found = [as_file(ds) for ds in archive.under(place.split("/"))]
            head = b"--frontier\r\nContent-Type: application/dicom\r\n\r\n"
            body = b"".join(head + each + b"\r\n" for each in found) + b"--frontier--\r\n"
            kind = 'multipart/related; type="application/dicom"; boundary=frontier'
            self._answer(200, {"Content-Type": kind}, body, archive.cut(place, before))

        def _answer(
            self, status: int, headers: dict[str, str], body: bytes | str, cut: int | None = None
        ) -> None:
            data = body.encode() if isinstance(body, str) else body
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[:cut])
            self.close_connection = cut is not None

        def log_message(self, *_: object) -> None:
            """Nothing is said."""

    return Handler


@contextmanager
def serving_archive(archive: WebArchive, tls: ssl.SSLContext | None = None) -> Iterator[WebArchive]:
    """The archive on a free port of this machine, until the end of the ``with``."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(archive)) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        archive.port, archive.scheme = server.server_port, "http" if tls is None else "https"
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield archive
        finally:
            server.shutdown()
