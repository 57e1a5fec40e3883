"""Connections of clients: what is no HTTP is answered like any mistake, and heads come in time."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from api.problems import problem


class Connection(H11Protocol):
    """As of uvicorn; who connects and then sends half a request holds it not for ever.

    uvicorn waits for the next request of a connection for some seconds, but without end for the
    first one, and for the rest of one that has begun.
    """

    head_seconds = 20.0
    """In which the head of a request has to arrive, from the first byte or the connection on."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody connected."""
        super().connection_made(transport)
        self._wait_for_a_head()

    def data_received(self, data: bytes) -> None:
        """Bytes came: a part of a head, or more."""
        super().data_received(data)
        if _is_answering(self.cycle):
            self._wait_no_more()
        else:
            self._wait_for_a_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Somebody is gone."""
        self._wait_no_more()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """A request was answered; another one may have begun behind it."""
        self._wait_no_more()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - its words are not ours
        """What was sent is no HTTP."""
        self._refuse(400, "this is no HTTP/1.1 request that can be read")

    def _wait_for_a_head(self) -> None:
        if self._late is None and not self.transport.is_closing():
            self._late = self.loop.call_later(self.head_seconds, self._give_up)

    def _wait_no_more(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        self._late = None
        if not self.transport.is_closing():
            said = f"the head of a request did not arrive in {self.head_seconds:g} seconds"
            self._refuse(408, said)

    def _refuse(self, status: int, said: str) -> None:
        """Answer, if nothing was answered yet, and hang up."""
        response = problem(status, said, uuid.uuid4().hex, headers={"Connection": "close"})
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            head = h11.Response(status_code=status, headers=response.raw_headers)
            for event in (head, h11.Data(data=bytes(response.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def _is_answering(cycle: RequestResponseCycle | None) -> bool:
    """Whether a request is being answered; None before the first one."""
    return cycle is not None and not cycle.response_complete
