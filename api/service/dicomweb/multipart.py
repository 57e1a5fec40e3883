"""Multipart bodies (RFC 2046 section 5.1) taken apart as they come, in bounded memory."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message

from indexer.errors import SourceError

_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,199}[0-9A-Za-z'()+_,./:=?-]")
"""RFC 2046 has 70 characters at most; those that Orthanc sends have 73."""
_AT_ONCE = 65_536
"""Bytes that are looked through together: what looks like a boundary is cut out of them."""
_PADDING = 1_024
"""Of white space behind a boundary, at most."""
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class MultipartError(SourceError):
    """A body is no multipart body, or ends too early."""

    code = "multipart"


class MultipartTooLargeError(MultipartError):
    """A body has more or longer parts or headers than are taken."""

    code = "multipart_too_large"


class UnsupportedMediaError(SourceError):
    """A body is of a media type that is not taken."""

    code = "unsupported_media"


@dataclass(frozen=True)
class MultipartLimits:
    """What is taken: parts, bytes of the headers of a part, bytes before the first part."""

    parts: int = 100_000
    header_bytes: int = 16_384
    preamble_bytes: int = 65_536


@dataclass(frozen=True)
class PartBegan:
    """A part with its headers, names in lower case."""

    headers: Mapping[str, str]


@dataclass(frozen=True)
class PartData:
    """Bytes of the part that has begun."""

    data: bytes


@dataclass(frozen=True)
class PartEnded:
    """The part is whole."""


Piece = PartBegan | PartData | PartEnded


def media_type(value: str) -> tuple[str, Mapping[str, str]]:
    """A Content-Type in lower case, and its parameters, as they stand, by name in lower case."""
    message = Message()
    message["content-type"] = " ".join(value.split())
    found = message.get_params(failobj=[])
    if not found:
        return "", {}
    # A value in the form of RFC 2231 is more than text; as text it fits nothing.
    return found[0][0].lower(), {name.lower(): str(value) for name, value in found[1:]}


def boundary_of(parameters: Mapping[str, str]) -> str:
    """The boundary that a Content-Type names.

    Raises:
        MultipartError: it names none, or one that is too long or has other characters.
    """
    boundary = parameters.get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise MultipartError(
            "the Content-Type names no boundary of 1 to 200 characters that RFC 2046 allows"
        )
    return boundary


class MultipartParser:
    """Feed it a body chunk by chunk; it gives the pieces of the parts back.

    It holds no more than a chunk, a boundary and the headers of a part. Only a boundary at the
    beginning of a line counts, and only one with nothing but white space behind it.
    """

    def __init__(self, boundary: str, limits: MultipartLimits | None = None) -> None:
        self._limits = limits or MultipartLimits()
        self._mark = b"\r\n--" + boundary.encode("ascii")
        # A body may begin with the boundary: as if a line had ended before it.
        self._held = b"\r\n"
        self._state = self._preamble
        self._skipped = self._parts = 0
        self._open = False

    def feed(self, chunk: bytes) -> Iterator[Piece]:
        """The pieces that are known now.

        Raises:
            MultipartError: the body is malformed.
            MultipartTooLargeError: more than the limits allow.
        """
        for at in range(0, len(chunk), _AT_ONCE):
            self._held += chunk[at : at + _AT_ONCE]
            before = None
            while before != (len(self._held), self._state):
                before = (len(self._held), self._state)
                yield from self._state()

    def close(self) -> None:
        """Say that the body has ended.

        Raises:
            MultipartError: its last boundary did not come; the part that was open is not whole.
        """
        if self._state != self._epilogue:
            raise MultipartError("the body ends before its last boundary; send it again")

    def _preamble(self) -> Iterator[Piece]:
        data = self._up_to_mark()
        self._skipped += len(data)
        if self._skipped > self._limits.preamble_bytes:
            raise MultipartError("the body does not begin with its boundary")
        yield from ()

    def _data(self) -> Iterator[Piece]:
        if data := self._up_to_mark():
            yield PartData(data)

    def _up_to_mark(self) -> bytes:
        """What lies before the next boundary, or before what could be the beginning of one."""
        at = self._held.find(self._mark)
        if at < 0:
            at = max(0, len(self._held) - len(self._mark) + 1)
            data, self._held = self._held[:at], self._held[at:]
            return data
        data, self._held = self._held[:at], self._held[at:]
        self._state = self._behind_mark
        return data

    def _behind_mark(self) -> Iterator[Piece]:
        """Tell a delimiter, the last one, and what only begins like one apart."""
        rest = self._held[len(self._mark) :]
        line, ended, _ = rest.partition(b"\r\n")
        if rest.startswith(b"--"):
            if self._open:
                yield PartEnded()
            self._open, self._held, self._state = False, b"", self._epilogue
        elif ended and not line.strip(b" \t"):
            if self._open:
                yield PartEnded()
            self._open = False
            # The line's end stays: headers may be empty, and then another one follows at once.
            self._held, self._state = rest[len(line) :], self._headers
            self._parts += 1
            if self._parts > self._limits.parts:
                raise MultipartTooLargeError(f"more than {self._limits.parts} parts")
        elif ended or line.strip(b" \t") not in (b"", b"-", b"\r") or len(line) > _PADDING:
            # Content that happens to begin like a boundary: give a byte of it, and look on.
            first, self._held = self._held[:1], self._held[1:]
            self._state = self._data if self._open else self._preamble
            if self._open:
                yield PartData(first)

    def _headers(self) -> Iterator[Piece]:
        head, ended, rest = self._held.partition(b"\r\n\r\n")
        if len(head) > self._limits.header_bytes:
            raise MultipartTooLargeError(
                f"headers of a part are longer than {self._limits.header_bytes} bytes"
            )
        if ended:
            self._held, self._open, self._state = rest, True, self._data
            yield PartBegan(_headers(head))

    def _epilogue(self) -> Iterator[Piece]:
        self._held = b""
        yield from ()


def _headers(head: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in head.split(b"\r\n"):
        name, mark, value = line.decode("latin-1").partition(":")
        if not line:
            continue
        if not mark or not _HEADER_NAME.fullmatch(name) or name.lower() in headers:
            raise MultipartError("a part has a header that is malformed or given twice")
        headers[name.lower()] = value.strip()
    return headers
