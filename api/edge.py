"""What surrounds every request: an id, a line in the log, headers, and limits on what is sent."""

from __future__ import annotations

import time
import uuid

import anyio
from fastapi import Request, Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import logs
from api.problems import ProblemError, internal_problem, problem
from indexer.config import Settings

JSON_BYTES = 1 << 20
"""A body of JSON; the longest filter that is read, with its 10,000 values, fits."""
_ALWAYS = frozenset({"/metrics", "/v1/health", "/v1/ready", "/v1/version"})
"""Answered also while too much else is asked."""
_NOTHING = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""Policy of what is no page: it runs, loads and shows nothing, even where a browser opens it."""
PAGE_POLICY = (
    f"{_NOTHING}; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; font-src 'self'; worker-src 'self' blob:; manifest-src 'self'"
)
"""Policy of the page and its scripts: all of them files of this service. A page that draws with
WebAssembly needs 'wasm-unsafe-eval' in its own script-src; it gets a policy of its own then."""
_HEADERS = (
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
"""Of every answer; no route has its own."""
_NOT_KEPT = "no-store"
"""Answers name patients' studies: no cache keeps them unless the route says so."""
_STREAM = "text/event-stream"
"""Who follows something costs next to nothing while nothing happens, and has a limit of its own."""
_DRAINED_BYTES, _DRAINED_SECONDS = 4 << 20, 1.0
"""Of a body that was refused, so much is read all the same."""


class Edge:
    """The outermost layer: an id for each request, headers, a line in the log, and no surprises.

    Args:
        app: what is within.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens within."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        known, start, status = scope.setdefault("state", {}), time.perf_counter(), 0
        request_id = known.get("request_id") or uuid.uuid4().hex  # of a trusted proxy, or our own
        known.update(request_id=request_id, principal=None, author=None)

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] += [*_HEADERS, (b"x-request-id", request_id.encode())]
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", _NOTHING)
                headers.setdefault("Cache-Control", _NOT_KEPT)
                if headers.get("content-type", "").startswith("text/event-stream"):
                    headers.setdefault("X-Accel-Buffering", "no")  # nginx passes each event on
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception as error:  # noqa: BLE001 - whatever it was, it is told without its words
            response = internal_problem(error, request_id)
            if not status:
                await response(scope, receive, sending)
        finally:
            who = scope["state"]["principal"]
            logs.answered(
                request_id=request_id,
                method=scope["method"][:20],
                route=getattr(scope.get("route"), "path", ""),
                status=status,
                ms=round((time.perf_counter() - start) * 1000, 1),
                who=who.name if who else "",
            )


class Limits:
    """How many requests there may be at once, and how much each may send, how slowly.

    Args:
        app: what is within.
        settings: the limits.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app, self._settings, self._inside = app, settings, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or say why not."""
        if scope["type"] != "http" or scope["path"] in _ALWAYS:
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        self._inside += 1
        held = 1
        body = _Body(scope, receive, self._settings)

        async def sending(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if not await body.drained():
                    headers["Connection"] = "close"
                if headers.get("content-type", "").startswith(_STREAM):
                    self._inside, held = self._inside - held, 0
            await send(message)

        try:
            await self._app(scope, body.receive, sending)
        finally:
            self._inside -= held

    def _refusal(self, scope: Scope) -> Response | None:
        """The answer to what is not even begun with."""
        request_id = scope["state"]["request_id"]
        if self._inside >= self._settings.serve_waiting:
            return problem(
                429,
                "too many requests at once; ask again in a second",
                request_id,
                headers={"Retry-After": "1", "Connection": "close"},
            )
        packed = ", ".join(Headers(scope=scope).getlist("content-encoding")).lower()
        if packed not in ("", "identity"):  # a small body could become any size
            return problem(
                415,
                "send bodies as they are, without a Content-Encoding",
                request_id,
                headers={"Accept-Encoding": "identity", "Connection": "close"},
            )
        return None


class _Body:
    """What is received of a request, until it is too much or too slow."""

    def __init__(self, scope: Scope, receive: Receive, settings: Settings) -> None:
        headers = Headers(scope=scope)
        files = headers.get("content-type", "").lower().startswith("multipart/")
        self._most = settings.upload_mb << 20 if files else JSON_BYTES
        self._declared, self._receive = declared(headers), receive
        self._seconds = settings.upload_seconds
        self._until, self._seen = anyio.current_time() + self._seconds, 0
        self._ended = not ("content-length" in headers or "transfer-encoding" in headers)

    async def receive(self) -> Message:
        """The next message.

        Raises:
            ProblemError: there is too much of it, or it took too long.
        """
        if self._ended:  # a wait for the client to go away, which may take as long as the answer
            return await self._receive()
        if self._declared > self._most:
            raise self._too_large()
        try:
            with anyio.fail_after(self._until - anyio.current_time()):
                message = await self._next()
        except TimeoutError as error:
            raise ProblemError(
                408, f"the body did not arrive in {self._seconds:g} seconds"
            ) from error
        if self._seen > self._most:
            raise self._too_large()
        return message

    async def drained(self) -> bool:
        """Whether all was read, a moderate rest of it just now.

        Most clients hear no answer before they have sent everything, and none at all when the
        connection is closed meanwhile.
        """
        most = self._seen + _DRAINED_BYTES
        with anyio.move_on_after(_DRAINED_SECONDS):
            while not self._ended and self._seen < most:
                await self._next()
        return self._ended

    async def _next(self) -> Message:
        message = await self._receive()
        self._seen += len(message.get("body", b""))
        self._ended = not message.get("more_body", False)
        return message

    def _too_large(self) -> ProblemError:
        return ProblemError(413, f"a body has at most {self._most:,} bytes here")


def declared(headers: Headers) -> int:
    """The length that a body says it has; 0 if it does not say."""
    said = headers.get("content-length", "")
    return int(said) if said.isdecimal() and said.isascii() and len(said) < 20 else 0


def request_id(request: Request) -> str:
    """The id by which the log knows a request."""
    found: str = request.state.request_id
    return found
