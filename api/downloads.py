"""Tables that are sent as they are read: few at once, closed when the client is gone or slow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from threading import BoundedSemaphore

import anyio
import anyio.to_thread
from fastapi.responses import Response
from starlette.types import Message, Receive, Scope, Send

from api.problems import ProblemError

AT_ONCE = 2
"""Each holds a view of the catalog open, which keeps the file from being tidied up."""
SLOWEST_SECONDS = 30.0
"""In which a client has to take a part of what is sent."""
_BUSY = "others download tables just now; ask again in a while"


class Downloads:
    """How many tables are sent at once, and the threads that read them.

    They are none of those that answer requests.
    """

    def __init__(self) -> None:
        self._places = BoundedSemaphore(AT_ONCE)
        self.limiter = anyio.CapacityLimiter(AT_ONCE)

    def enter(self) -> ExitStack:
        """A place, which is left when what is given back is closed.

        Raises:
            ProblemError: there is none.
        """
        if not self._places.acquire(blocking=False):
            raise ProblemError(429, _BUSY, {"Retry-After": "10"})
        held = ExitStack()
        held.callback(self._places.release)
        return held


class Download(Response):
    """A file that is made while it is sent.

    Args:
        parts: its bytes.
        held: is closed at the end, however it comes.
        downloads: which it is one of.
        name: of the file.
        media_type: of it.
    """

    def __init__(
        self,
        parts: Iterator[bytes],
        held: AbstractContextManager[object],
        downloads: Downloads,
        name: str,
        media_type: str,
    ) -> None:
        self._parts, self._held, self._downloads = parts, held, downloads
        super().__init__(
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
            media_type=media_type,
        )
        del self.headers["content-length"]

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send it all, or as much as the client takes."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_until_gone, receive, tasks.cancel_scope)
                await self._send(send)
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._close, limiter=self._downloads.limiter)

    async def _send(self, send: Send) -> None:
        head: Message = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(head)
        while (part := await self._next()) is not None:
            if part:
                with anyio.fail_after(SLOWEST_SECONDS):
                    await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _next(self) -> bytes | None:
        return await anyio.to_thread.run_sync(
            next, self._parts, None, limiter=self._downloads.limiter
        )

    def _close(self) -> None:
        close = getattr(self._parts, "close", None)
        try:
            if close is not None:
                close()
        finally:
            self._held.__exit__(None, None, None)


async def _until_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
