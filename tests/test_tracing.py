"""Traces tell how long what took, and nothing of what was asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext
from served_library import own_copy, serving

from api.access import Authenticate, anyone, anyone_on_loopback
from api.app import create_app
from api.tracing import tracing
from indexer.config import Settings

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
_PATIENCE = 30.0
KNOWN = {
    "http.request.method",
    "http.route",
    "http.response.status_code",
    "syntopy.request_id",
}


@pytest.fixture(scope="module")
def traced(served: Path) -> Iterator[tuple[httpx.Client, InMemorySpanExporter]]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    settings = Settings(library=served)
    app = create_app(settings, tracer=provider.get_tracer("test"))
    with serving(settings, app) as client:
        yield client, exporter


def spans(exporter: InMemorySpanExporter, answer: httpx.Response) -> dict[str, ReadableSpan]:
    """What was told of a request, by name; its span ends a little after its answer has come."""
    until = time.monotonic() + _PATIENCE
    asked = answer.headers["x-request-id"]
    while True:
        told = exporter.get_finished_spans()
        for span in told:
            if (span.attributes or {}).get("syntopy.request_id") == asked:
                trace = context(span).trace_id
                return {each.name: each for each in told if context(each).trace_id == trace}
        assert time.monotonic() < until, "the request left no span"
        time.sleep(0.01)


def context(span: ReadableSpan) -> SpanContext:
    assert span.context is not None
    return span.context


def test_a_search_is_seen_with_its_stages(
    traced: tuple[httpx.Client, InMemorySpanExporter],
) -> None:
    client, exporter = traced
    uid = client.get("/v1/items?limit=1").json()["rows"][0]["id"]
    answer = client.get(f"/v1/items/{uid}/neighbours?filter=view=PA")
    assert answer.status_code == 200
    found = spans(exporter, answer)
    whole = found["GET /v1/items/{uid}/neighbours"]
    assert whole.attributes is not None
    assert whole.attributes["http.response.status_code"] == 200
    for stage in ("ask", "search the index", "read the catalog", "weigh evidence"):
        assert set(found[stage].attributes or {}) == set()
        parent = found[stage].parent
        assert parent is not None and parent.span_id == context(whole).span_id
        assert (found[stage].end_time or 0) <= (whole.end_time or 0)
    assert uid not in str([(s.name, s.attributes, s.events) for s in found.values()])
    assert "PA" not in str([s.attributes for s in found.values()])


def test_a_file_is_embedded_in_a_stage_of_its_own(
    traced: tuple[httpx.Client, InMemorySpanExporter], served: Path
) -> None:
    client, exporter = traced
    picture = next((served.parent / "files").glob("*.png"))
    answer = client.post("/v1/search/files", files={"file": ("a.png", picture.read_bytes())})
    assert answer.status_code == 200, answer.text
    assert "embed" in spans(exporter, answer)


def test_the_trace_of_whoever_asks_goes_on(
    traced: tuple[httpx.Client, InMemorySpanExporter],
) -> None:
    client, exporter = traced
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "baggage": "patient=Doe"}
    (first,) = spans(exporter, client.get("/v1/spaces", headers=headers)).values()
    nonsense = {"traceparent": "00-nonsense-01"}
    (second,) = spans(exporter, client.get("/v1/spaces", headers=nonsense)).values()
    assert first.parent is not None
    assert f"{context(first).trace_id:032x}" == TRACE
    assert f"{first.parent.span_id:016x}" == PARENT
    assert second.parent is None
    assert "Doe" not in first.to_json()


@pytest.mark.parametrize(
    ("authenticate", "proxies", "goes_on"),
    [
        (anyone_on_loopback, "", True),
        (anyone, "", False),
        (None, "", False),
        (None, "192.0.2.1", False),
        (None, "127.0.0.1", True),
    ],
)
def test_the_trace_of_strangers_does_not_go_on(
    served: Path,
    tmp_path: Path,
    authenticate: Authenticate | None,
    proxies: str,
    goes_on: bool,
) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    library = own_copy(served, tmp_path)  # that it was started is recorded
    settings = Settings(library=library, trusted_proxies=proxies)
    app = create_app(settings, authenticate, tracer=provider.get_tracer("test"))
    with serving(settings, app) as client:
        answer = client.get("/v1/health", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    (span,) = spans(exporter, answer).values()
    assert (f"{context(span).trace_id:032x}" == TRACE) is goes_on


def test_what_fails_is_seen_without_its_words(
    traced: tuple[httpx.Client, InMemorySpanExporter],
) -> None:
    client, exporter = traced
    told = {
        **spans(exporter, client.get("/v1/items/1.2.3.4.5/neighbours")),
        **spans(exporter, client.get("/v1/studies?filter=patient=Doe^Jane and")),
        **spans(exporter, client.request("BREW", "/v1/Doe")),
    }
    assert set(told) == {"ask", "GET /v1/items/{uid}/neighbours", "GET /v1/studies", "_OTHER"}
    for span in told.values():
        assert set(span.attributes or {}) <= KNOWN
        assert not span.events
        assert "Doe" not in span.to_json() and "1.2.3.4.5" not in span.to_json()


def test_without_a_collector_there_is_no_tracer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    with tracing() as tracer:
        assert tracer is None


class Collector(BaseHTTPRequestHandler):
    """Takes what is sent to it."""

    received: list[tuple[str, bytes]]

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        type(self).received.append((self.path, self.rfile.read(length)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_said: object) -> None:
        return


def test_spans_are_sent_to_the_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    Collector.received = []
    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_port}"
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
            with tracing() as tracer:
                assert tracer is not None
                tracer.start_span("a stage").end()
        finally:
            server.shutdown()
            thread.join()
    ((path, body),) = Collector.received
    assert path == "/v1/traces"
    assert b"a stage" in body and b"syntopy" in body
