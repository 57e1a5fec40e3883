"""Connections that cost little: those that send nothing, slowly, or what can be read in two ways.

uvicorn waits for the rest of a header, and for a client that does not read its answer, as long as
it takes. Here both have an end, and where there are too many connections those give way that have
waited longest without asking anything.
"""

from __future__ import annotations

import asyncio
import resource
import time
import uuid
from dataclasses import dataclass
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from api.problems import problem

_RESERVED_FILES = 128
"""Of the files that a process may open, so many are for other things than connections."""
_HEADER_BYTES, _HEADERS = 16 << 10, 100


@dataclass(frozen=True)
class ConnectionLimits:
    """What a connection may cost.

    Attributes:
        connections: open at once, at most; fewer where the process may not open so many files.
        header_seconds: wall time in which the whole header of a request has to arrive.
        reading_seconds: for so long a client may read hardly anything of its answer.
    """

    connections: int = 2_000
    header_seconds: float = 10.0
    reading_seconds: float = 60.0

    @property
    def most(self) -> int:
        """Connections that there can be."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files == resource.RLIM_INFINITY:
            return self.connections
        return max(1, min(self.connections, files - _RESERVED_FILES))


def bounded(limits: ConnectionLimits) -> type[asyncio.Protocol]:
    """The protocol of connections under these limits, for uvicorn."""
    return type("Bounded", (BoundedProtocol,), {"limits": limits, "most": limits.most})


class BoundedProtocol(H11Protocol):
    """One connection."""

    limits = ConnectionLimits()
    most = limits.connections

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = _OneMeaning(h11.SERVER, _HEADER_BYTES)
        self.idle_since = time.monotonic()
        self._header: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection, perhaps in place of another."""
        super().connection_made(cast("asyncio.Transport", transport))
        self._await_header()
        if len(self.connections) > self.most:
            idle = [each for each in self.connections if not cast("BoundedProtocol", each).busy]
            oldest = min(idle, key=lambda each: cast("BoundedProtocol", each).idle_since)
            cast("BoundedProtocol", oldest).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        for timer in (self._header, self._reading):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        cycle: RequestResponseCycle | None = self.cycle  # none before the first request
        return cycle is not None and not cycle.response_complete

    def data_received(self, data: bytes) -> None:
        """Go on with a header or a body."""
        super().data_received(data)
        self._await_header()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self.idle_since = time.monotonic()
        super().on_response_complete()
        if self.conn.trailing_data[0]:
            self._await_header()

    def _await_header(self) -> None:
        """From the first byte on, or from the start, the header has its time; then no more."""
        if self.busy or self.transport.is_closing():
            if self._header is not None:
                self._header.cancel()
            self._header = None
        elif self._header is None:
            seconds = self.limits.header_seconds
            self._header = self.loop.call_later(seconds, self._header_late)

    def _header_late(self) -> None:
        self._header = None
        if self.busy or self.transport.is_closing():
            return
        if self.conn.trailing_data[0]:
            seconds = self.limits.header_seconds
            self._refuse(408, f"the header did not arrive in {seconds:g} seconds")
        else:
            self.transport.close()

    def pause_writing(self) -> None:
        """The client reads more slowly than it is sent to."""
        super().pause_writing()
        self._reading = self.loop.call_later(self.limits.reading_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """It has read on."""
        super().resume_writing()
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - it says less
        """Refuse what is no HTTP, or could be read in two ways."""
        self._refuse(400, "this is no HTTP request that can be read in one way alone")

    def _refuse(self, status: int, detail: str) -> None:
        """Answer, unless an answer has begun, and hang up."""
        answer = problem(status, detail, uuid.uuid4().hex, headers={"Connection": "close"})
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            head = h11.Response(status_code=status, headers=answer.raw_headers)
            for event in (head, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


class _OneMeaning(h11.Connection):
    """Refuses requests of which a proxy and this server might see different ends (RFC 9112, 6.1).

    Where both lengths are given, h11 itself goes by Transfer-Encoding.
    """

    def next_event(self) -> Any:
        """The next event.

        Raises:
            h11.RemoteProtocolError: it can be read in two ways, or its header is too large.
        """
        event = super().next_event()
        if isinstance(event, h11.Request):
            names = [name for name, _ in event.headers]
            if event.http_version not in (b"1.0", b"1.1"):
                raise h11.RemoteProtocolError("another version")
            coded = b"transfer-encoding" in names
            if coded and (b"content-length" in names or event.http_version != b"1.1"):
                raise h11.RemoteProtocolError("two lengths")
            size = sum(len(name) + len(value) + 4 for name, value in event.headers)
            if len(names) > _HEADERS or size + len(event.target) > _HEADER_BYTES:
                raise h11.RemoteProtocolError("the header is too large", error_status_hint=431)
        return event
