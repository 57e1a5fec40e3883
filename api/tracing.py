"""Traces of requests (OpenTelemetry): how long what took, and nothing of what was asked.

A span has the template of its route, method, status and request id; no address, no parameter, no
message of an error. FastAPI's own spans have these, and are off.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from indexer.extras import extra
from indexer.stages import stages_told

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@contextmanager
def tracing() -> Iterator[Tracer | None]:
    """A tracer that sends to the collector which the environment names; None if it names none.

    What is not sent yet is sent at the end.

    Raises:
        MissingExtraError: a collector is named, and the extra ``tracing`` is not installed.
    """
    if not any(os.environ.get(name) for name in _ENDPOINTS):
        yield None
        return
    sdk = extra("opentelemetry.sdk.trace")
    exporting = extra("opentelemetry.sdk.trace.export")
    otlp = extra("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    named = extra("opentelemetry.sdk.resources").Resource.create({"service.name": "syntopy"})
    provider = sdk.TracerProvider(resource=named)
    provider.add_span_processor(exporting.BatchSpanProcessor(otlp.OTLPSpanExporter()))
    try:
        yield provider.get_tracer("syntopy")
    finally:
        provider.shutdown()


class Traced:
    """A span for each request, within the trace that its ``traceparent`` names, if it has one.

    That is believed of a trusted proxy (see `api.proxies`); strangers could else put their
    requests into any trace, and have all of them kept.

    Args:
        app: what is within.
        tracer: makes the spans; None makes none.
        believing: everybody's traces go on, as on loopback.
    """

    def __init__(self, app: ASGIApp, tracer: Tracer | None, *, believing: bool = False) -> None:
        self._app, self._tracer, self._believing = app, tracer, believing
        self._propagator = TraceContextTextMapPropagator()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or self._tracer is None:
            await self._app(scope, receive, send)
            return
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        believed = self._believing or scope.get("state", {}).get("by_proxy", False)
        given = Headers(scope=scope).get("traceparent") if believed else None
        parent = self._propagator.extract({"traceparent": given} if given else {})
        with (
            self._tracer.start_as_current_span(
                "request",
                context=parent,
                kind=SpanKind.SERVER,
                record_exception=False,
                set_status_on_exception=False,
            ) as span,
            stages_told(self._stage),
        ):
            try:
                await self._app(scope, receive, sending)
            finally:
                _describe(span, scope, status)

    def _stage(self, name: str) -> AbstractContextManager[Span]:
        assert self._tracer is not None  # noqa: S101 - else nothing is told
        return self._tracer.start_as_current_span(
            name, record_exception=False, set_status_on_exception=False
        )


def _describe(span: Span, scope: Scope, status: int) -> None:
    method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
    route = getattr(scope.get("route"), "path", "")
    span.update_name(f"{method} {route}".rstrip())
    span.set_attribute("http.request.method", method)
    if route:
        span.set_attribute("http.route", route)
    if status:
        span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_status(StatusCode.ERROR)
    span.set_attribute("syntopy.request_id", scope.get("state", {}).get("request_id", ""))
