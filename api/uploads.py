"""Files that come with a request: streamed to a folder of their own, gone when it is answered.

Names that a client gives to its files never become names here; of them only the ending counts, by
which kinds of files are told apart.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Self

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from api.problems import ProblemError
from indexer.config import Settings
from indexer.errors import StorageFullError

_PREFIX = "syntopy-uploads-"
_ENDING = re.compile(r"(\.nii)?\.[A-Za-z0-9]{1,8}\Z")
_FIELD_BYTES = 1 << 20
_MOST_HEADERS, _HEADER_BYTES = 8, 4096


@dataclass(frozen=True)
class Received:
    """What a multipart body held.

    Attributes:
        folder: that holds the files and nothing else.
        files: in the order in which they came.
        request: the field of this name, JSON; empty if there was none.
    """

    folder: Path
    files: tuple[Path, ...]
    request: bytes

    def picture(self, *, one_study: bool) -> Path:
        """The one file that came, or the folder of those that are one study.

        Raises:
            ProblemError: none came, or several that are not one study.
        """
        if not self.files:
            raise ProblemError(422, "no file came; send one as the part 'file'")
        if one_study:
            return self.folder
        if len(self.files) > 1:
            raise ProblemError(422, "several files came; send one, or say one_study")
        return self.files[0]


@contextmanager
def uploads_folder() -> Iterator[Path]:
    """A folder for uploads while a service runs; what killed ones have left is cleared away.

    Raises:
        StorageFullError: there is no place for temporary files.
    """
    try:
        _clear_left()
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise StorageFullError(f"no temporary folder can be made: {error.strerror}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _clear_left() -> None:
    """Remove the folders of services that no longer hold theirs."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError), (folder / "lock").open("r+") as lock:  # another user's stay
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def received(request: Request, folder: Path, settings: Settings) -> AsyncIterator[Received]:
    """The parts of a multipart body, on disk as long as this is entered.

    Raises:
        ProblemError: it is no such body, breaks off, or has too many or unknown parts.
        StorageFullError: the disk is full.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data":
        raise ProblemError(415, "send multipart/form-data")
    if not 1 <= len(boundary) <= 70:
        raise ProblemError(400, "multipart/form-data needs a boundary of 1 to 70 characters")
    try:
        place = Path(tempfile.mkdtemp(dir=folder))
    except OSError as error:
        raise StorageFullError("the disk for uploads is full or not writable") from error
    try:
        parts = _Parts(place, boundary, settings.upload_files)
        with parts:
            async for chunk in request.stream():
                await run_in_threadpool(parts.feed, chunk)
            yield parts.done()
    finally:
        shutil.rmtree(place, ignore_errors=True)


@dataclass
class _Part:
    """A part that is being read."""

    name: str = ""
    header: bytes = b""
    headers: dict[bytes, bytes] = field(default_factory=dict)
    file: BinaryIO | None = None


class _Parts:
    """Takes a multipart body apart as it comes."""

    def __init__(self, folder: Path, boundary: bytes, most_files: int) -> None:
        self._folder, self._most = folder, most_files
        self._files: list[Path] = []
        self._request = bytearray()
        self._seen_request = self._ended = False
        self._part = _Part()
        self._value = b""
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._open,
                "on_part_data": self._data,
                "on_part_end": self._close,
                "on_end": self._end,
            },
            max_header_count=_MOST_HEADERS,
            max_header_size=_HEADER_BYTES,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._close()

    def feed(self, chunk: bytes) -> None:
        """The next bytes of the body."""
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise ProblemError(400, "the multipart body cannot be read") from error
        except OSError as error:
            raise StorageFullError("the disk for uploads is full or not writable") from error

    def done(self) -> Received:
        """All that came, if it came whole."""
        if not self._ended:
            raise ProblemError(400, "the multipart body breaks off before its last boundary")
        return Received(self._folder, tuple(self._files), bytes(self._request))

    def _begin(self) -> None:
        self._part = _Part()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._part.header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._part.headers[self._part.header.lower()] = self._value
        self._part.header, self._value = b"", b""

    def _open(self) -> None:
        said = self._part.headers.get(b"content-disposition", b"")
        kind, options = parse_options_header(said)
        name = options.get(b"name", b"")
        if kind != b"form-data" or name not in (b"file", b"request"):
            raise ProblemError(422, "a part is called 'file' or 'request', nothing else")
        self._part.name = name.decode()
        if name == b"request":
            if self._seen_request:
                raise ProblemError(422, "there is one part 'request' at most")
            self._seen_request = True
            return
        if len(self._files) >= self._most:
            raise ProblemError(413, f"at most {self._most} files at once; send an archive instead")
        given = options.get(b"filename", b"").decode("utf-8", "replace")
        ending = _ENDING.search(given)
        path = self._folder / f"file-{len(self._files) + 1}{ending[0] if ending else ''}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._part.file = os.fdopen(descriptor, "wb")
        self._files.append(path)

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._part.file is not None:
            self._part.file.write(data[start:end])
            return
        if len(self._request) + end - start > _FIELD_BYTES:
            raise ProblemError(413, f"the part 'request' has at most {_FIELD_BYTES:,} bytes")
        self._request += data[start:end]

    def _close(self) -> None:
        if self._part.file is not None:
            self._part.file.close()
            self._part.file = None

    def _end(self) -> None:
        self._ended = True
