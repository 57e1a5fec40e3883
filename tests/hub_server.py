"""A small server on this machine that answers as the hub of the models does."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Hub:
    """Repositories by name, each a folder.

    Attributes:
        folders: of the repositories.
        breaks: times that a file's transfer breaks off halfway, by its path.
        claims: bytes that a file is said to have, where that is not true.
        log: method, path and range of every request.
    """

    folders: dict[str, Path]
    breaks: dict[str, int] = field(default_factory=dict)
    claims: dict[str, int] = field(default_factory=dict)
    log: list[tuple[str, str, str]] = field(default_factory=list)
    url: str = ""

    def ranges(self, path: str) -> list[str]:
        """Of a file's requests, what they asked for; "" for all of it."""
        return [r for method, p, r in self.log if method == "GET" and p == path]

    def find(self, url: str) -> tuple[str, Path] | None:
        """The path in a repository, and the file, of ``/owner/name/resolve/revision/path``."""
        repo, mark, rest = url.lstrip("/").partition("/resolve/")
        path = rest.partition("/")[2]
        file = self.folders.get(repo, Path("nosuch")) / path
        return (path, file) if mark and path and file.is_file() else None


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    """Answer on a port of 127.0.0.1 that is free."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing on standard error."""

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            found = hub.find(self.path)
            wanted = self.headers.get("Range", "")
            hub.log.append((self.command, found[0] if found else self.path, wanted))
            if found is None:
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            path, file = found
            content = file.read_bytes()
            start = int(wanted.removeprefix("bytes=").partition("-")[0] or 0)
            self.send_response(206 if wanted else 200)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", "c0ffee" * 6 + "c0de")
            self.send_header("Accept-Ranges", "bytes")
            length = len(content) - start
            if wanted:
                whole = f"bytes {start}-{len(content) - 1}/{len(content)}"
                self.send_header("Content-Range", whole)
            elif not body:
                length = hub.claims.get(path, length)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            if not body:
                return
            part = content[start:]
            if hub.breaks.get(path, 0) > 0:
                hub.breaks[path] -= 1
                part = part[: len(part) // 2]
                self.close_connection = True
            self.wfile.write(part)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
