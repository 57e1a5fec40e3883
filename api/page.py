"""The web page: files that were built from ``ui/``, the same for everyone; they hold no data."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response

from api.answers import known_already
from api.edge import PAGE_POLICY
from api.problems import ProblemError
from api.routing import router
from indexer.config import Settings

PAGE = Path(__file__).parent / "page"
"""Where ``make ui`` and the build of a package put it."""
_HEADERS = {"Content-Security-Policy": PAGE_POLICY, "Vary": "Accept-Encoding"}
_FOREVER = "public, max-age=31536000, immutable"
_SAME_NAME = ".txt"
"""Such files keep their name when their content changes: that of licences."""
_ENCODINGS = {"br": ".br", "gzip": ".gz"}
"""Made when the page is built, best first."""
_TYPES = {".js": "text/javascript", ".svg": "image/svg+xml", ".woff2": "font/woff2"}
_UPLOAD = '<meta name="syntopy-upload-mb" content="{}"'
_MISSING = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Syntopy</title>
<h1>The page was not built</h1>
<p>The service runs, and answers under <a href="/v1/openapi.json">/v1</a>. To have the page, run
<code>make ui</code> where Syntopy's source is, or install the package with
<code>pip install .</code>, and start the service again.</p>
"""


@dataclass(frozen=True)
class _Asset:
    """A file by its encodings; "" is the file as it is."""

    media_type: str
    cache: str
    bodies: Mapping[str, bytes]

    def response(self, request: Request) -> Response:
        accepted = request.headers.get("accept-encoding", "")
        offered = {each.partition(";")[0].strip() for each in accepted.split(",")}
        name = next((e for e in self.bodies if e in offered), "")
        headers = {**_HEADERS, "Cache-Control": self.cache}
        if name:
            headers["Content-Encoding"] = name
        return Response(self.bodies[name], headers=headers, media_type=self.media_type)


def add_page(app: FastAPI, settings: Settings, folder: Path) -> None:
    """Serve the page at ``/``, or say there that it was not built.

    Args:
        app: to be added to.
        settings: of the service; the page knows from them how large an upload may be.
        folder: of what was built.
    """
    routes = router("service", None, prefix="")
    start, assets = _start(folder, settings), _assets(folder / "assets")
    tag = hashlib.sha256(start).hexdigest()[:32]

    @routes.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        """The page; a browser asks each time whether it is still the same."""
        headers = {**_HEADERS, "Cache-Control": "no-cache", "ETag": f'"{tag}"'}
        known = known_already(request, tag)
        if known is None:
            return HTMLResponse(start, headers=headers)
        known.headers.update(headers)  # a browser takes the policy of the last answer, 304 or not
        return known

    @routes.get("/assets/{name}", include_in_schema=False)
    async def asset(request: Request, name: str) -> Response:
        """A part of the page; its name changes with its content, so that it can be kept."""
        if name not in assets:
            raise ProblemError(404, "the page has no such part; load it again")
        return assets[name].response(request)

    app.include_router(routes)


def _start(folder: Path, settings: Settings) -> bytes:
    index = folder / "index.html"
    if not index.is_file():
        return _MISSING.encode()
    text = index.read_text(encoding="utf-8")
    return text.replace(_UPLOAD.format(0), _UPLOAD.format(settings.upload_mb)).encode()


def _assets(folder: Path) -> dict[str, _Asset]:
    """The files of a folder by name, read once: they are few and small."""
    if not folder.is_dir():
        return {}
    found = {}
    for path in sorted(folder.iterdir()):
        if path.suffix in _ENCODINGS.values():
            continue
        packed = {name: path.with_name(path.name + end) for name, end in _ENCODINGS.items()}
        bodies = {name: each.read_bytes() for name, each in packed.items() if each.is_file()}
        guessed = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        kind = _TYPES.get(path.suffix, guessed)
        cache = "no-cache" if path.suffix == _SAME_NAME else _FOREVER
        found[path.name] = _Asset(kind, cache, {**bodies, "": path.read_bytes()})
    return found
