"""Fetching one file over HTTP, so that a break costs what was in the air and not the file.

What has arrived lies in ``NAME.part``; ``NAME.etag`` says of which version, so that the rest of
another version is never put behind it.
"""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import partial
from http.client import HTTPResponse
from pathlib import Path
from typing import IO, TypeVar

from indexer.errors import ConfigError, StorageFullError

T = TypeVar("T")
_SECONDS = 30.0
"""Without a byte for so long a transfer counts as broken."""
_ATTEMPTS = 3
"""In one call; the next call goes on as well."""
_BLOCK = 1 << 20
BROKEN = (OSError, http.client.HTTPException)
"""What `fetch` raises where the server or the way to it is at fault (`URLError` is an OSError)."""


def fetch(url: str, to: Path, on_bytes: Callable[[int, int], None] | None = None) -> None:
    """Bring a file to ``to``, or leave it if it is there in the server's version.

    Args:
        url: http or https.
        to: file to be; it appears when it is whole.
        on_bytes: called with (arrived, all; 0 where not announced).

    Raises:
        ConfigError: another kind of URL.
        StorageFullError: the disk is full or not writable.
        OSError, HTTPException: the server cannot be reached, breaks off, or does not have it.
    """
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"'{url}' is no http or https address; see SYNTOPY_MIRROR")
    with _open(url, method="HEAD") as answer:
        version = answer.headers.get("ETag", "")
        size = int(answer.headers.get("Content-Length") or 0)
    part, mark = to.with_name(f"{to.name}.part"), to.with_name(f"{to.name}.etag")
    known = mark.read_text(encoding="utf-8") if mark.is_file() else ""
    if version and version == known and to.is_file():
        return
    if not version or version != known:
        part.unlink(missing_ok=True)
    _written(lambda: mark.write_text(version, encoding="utf-8"), mark)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _go_on(url, part, size, on_bytes)
            break
        except BROKEN:
            if attempt == _ATTEMPTS:
                raise
    arrived = part.stat().st_size
    if size and arrived != size:
        part.unlink()
        raise http.client.HTTPException(f"{size} bytes were announced, {arrived} came")
    part.replace(to)


def _go_on(url: str, part: Path, size: int, on_bytes: Callable[[int, int], None] | None) -> None:
    """Fetch what is lacking of a file, appending to what has arrived."""
    have = part.stat().st_size if part.is_file() else 0
    if size and have >= size:
        return
    with _open(url, start=have) as answer:
        if have and answer.status != http.client.PARTIAL_CONTENT:
            have = 0  # the server knows no ranges and sends all of it
        expected = have + int(answer.headers.get("Content-Length") or 0)
        with _written(lambda: part.open("ab" if have else "wb"), part) as file:
            have = _copy(answer, file, have, on_bytes, size)
    if have < expected:
        raise ConnectionError(f"the transfer broke off after {have} of {expected} bytes")


def _copy(
    answer: HTTPResponse,
    file: IO[bytes],
    have: int,
    on_bytes: Callable[[int, int], None] | None,
    size: int,
) -> int:
    while block := answer.read(_BLOCK):
        _written(partial(file.write, block), Path(file.name))
        have += len(block)
        if on_bytes:
            on_bytes(have, size)
    return have


def _open(url: str, *, method: str = "GET", start: int = 0) -> HTTPResponse:
    headers = {"Range": f"bytes={start}-"} if start else {}
    request = urllib.request.Request(url, headers=headers, method=method)  # noqa: S310 - checked
    try:
        answer: HTTPResponse = urllib.request.urlopen(request, timeout=_SECONDS)  # noqa: S310
    except urllib.error.HTTPError as error:
        error.close()  # it holds the connection
        raise
    return answer


def _written(write: Callable[[], T], path: Path) -> T:
    """Do what writes to the disk, so that its errors are not taken for the server's."""
    try:
        return write()
    except OSError as error:
        raise StorageFullError(f"{path} cannot be written: {error.strerror}") from error
