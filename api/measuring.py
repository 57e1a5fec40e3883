"""The layer around all others that counts requests and times them."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.metrics import Answered, Metrics


class Measuring:
    """Counts each request with the time until its answer begins; a stream may take hours after it.

    Args:
        app: what is within.
        metrics: where it counts.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, began, status = time.perf_counter(), 0.0, 0

        async def sending(message: Message) -> None:
            nonlocal began, status
            if message["type"] == "http.response.start":
                began, status = time.perf_counter(), message["status"]
            await send(message)

        self._metrics.open_requests.inc()
        try:
            await self._app(scope, receive, sending)
        finally:
            self._metrics.open_requests.dec()
            route = getattr(scope.get("route"), "path", "")
            taken = (began or time.perf_counter()) - start
            self._metrics.answered(Answered(route, scope["method"], status, taken))
