"""What a service tells Prometheus. Labels have few values, and none is of a patient or a key."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    start_http_server,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from api import logs
from api.service.figures import LibraryFigures
from indexer import __version__
from indexer.errors import ConfigError, SyntopyError
from indexer.groups.outbox import DEAD, WAITING
from indexer.searching.asking import SearchRequest

CONTENT_TYPE = CONTENT_TYPE_LATEST
KEPT_SECONDS = 15.0
"""For so long the figures of a library are told again before they are read again."""
NO_ROUTE = "none"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)
_REFUSALS = {401: "not_authenticated", 403: "access_denied", 408: "too_slow", 413: "too_large"}


@dataclass(frozen=True)
class Answered:
    """A request that was answered, or was not.

    Attributes:
        route: the template of its address, "" where no route has it.
        method: of the request.
        status: of the answer; 0 if there was none.
        seconds: until the headers of the answer were sent.
    """

    route: str
    method: str
    status: int
    seconds: float


class Metrics:
    """The metrics of one service, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.registry = _WithoutTimes(registry)
        self._library: _OfLibrary | None = None
        ProcessCollector(registry=registry)
        self._seconds = Histogram(
            "syntopy_http_request_seconds",
            "Time until the headers of an answer are sent.",
            ["route", "method", "status"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._refused = Counter(
            "syntopy_http_refused",
            "Requests that were not let in, by reason.",
            ["reason"],
            registry=registry,
        )
        self._searches = Counter(
            "syntopy_searches", "Searches by what they ask with.", ["kind"], registry=registry
        )
        self._objects = Counter(
            "syntopy_received_objects",
            "Objects that were sent here, by the way they came, and what became of them.",
            ["way", "outcome"],
            registry=registry,
        )
        self.open_requests = Gauge(
            "syntopy_http_open_requests", "Requests that are not answered yet.", registry=registry
        )
        self._ready = Gauge("syntopy_ready", "1 when the indexes are loaded.", registry=registry)
        about = Gauge("syntopy_build", "Always 1.", ["version"], registry=registry)
        about.labels(__version__).set(1)

    def answered(self, one: Answered) -> None:
        """Count a request."""
        route = one.route or NO_ROUTE
        method = one.method if one.method in _METHODS else "other"
        status = f"{one.status // 100}xx" if 100 <= one.status < 600 else "none"
        self._seconds.labels(route, method, status).observe(one.seconds)
        reason = _REFUSALS.get(one.status)
        if one.status == 429:  # a crowd is turned away before a route is looked for
            reason = "rate_limited" if one.route else "busy"
        if reason:
            self._refused.labels(reason).inc()

    def searched(self, asked: SearchRequest) -> None:
        """Count a search."""
        kinds = {example.kind for example in asked.examples} or {"keywords"}
        self._searches.labels(kinds.pop() if len(kinds) == 1 else "mixed").inc()

    def received(self, way: str, *, stored: int, refused: int) -> None:
        """Count objects that came by ``stow`` or ``dimse``."""
        self._objects.labels(way, "stored").inc(stored)
        self._objects.labels(way, "refused").inc(refused)

    def watch(self, read: Callable[[], LibraryFigures], ready: Callable[[], bool]) -> None:
        """Tell the figures of a library, too, and no more those of another."""
        self._ready.set_function(ready)
        if self._library is not None:
            self._registry.unregister(self._library)
        self._library = _OfLibrary(read)
        self._registry.register(self._library)

    def told(self) -> bytes:
        """All of it, in the text format of Prometheus."""
        return generate_latest(self.registry)


@contextmanager
def told_at(metrics: Metrics, host: str, port: int) -> Iterator[int]:
    """Tell metrics to whoever asks there, where no service does; gives the port.

    Raises:
        ConfigError: the port is taken, or the address is not one of this machine.
    """
    registry = cast("CollectorRegistry", metrics.registry)
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        said = f"cannot tell metrics on {host}, port {port}: {error.strerror}"
        raise ConfigError(said) from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _WithoutTimes(Collector):
    """A registry without the times at which each series began, which nobody asks for."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [one for one in metric.samples if not one.name.endswith("_created")]
            yield metric


class _OfLibrary(Collector):
    """The figures of a library, as they were some seconds ago at most.

    While they cannot be read the last ones are told, and that they are old.
    """

    def __init__(self, read: Callable[[], LibraryFigures]) -> None:
        self._read, self._guard = read, threading.Lock()
        self._known: LibraryFigures | None = None
        self._at = self._tried = -KEPT_SECONDS

    def describe(self) -> Iterable[Metric]:
        return ()  # else they were read when this is registered

    def collect(self) -> Iterator[Metric]:
        with self._guard:
            if time.monotonic() - self._tried >= KEPT_SECONDS:
                self._look()
            known, age = self._known, time.monotonic() - self._at
        yield _single("syntopy_library_readable", "1 if its figures could be read.",
                      float(known is not None and age < 2 * KEPT_SECONDS))  # fmt: skip
        if known is not None:
            yield from _families(known)

    def _look(self) -> None:
        self._tried = time.monotonic()
        try:
            self._known = self._read()
        except (SyntopyError, OSError) as error:
            logs.noted("figures cannot be read", error=type(error).__name__)
        else:
            self._at = time.monotonic()


def _families(figures: LibraryFigures) -> Iterator[Metric]:
    counted = (
        ("syntopy_library_rows", "What the catalog has.", "of", figures.rows),
        ("syntopy_files", "Files handed in, by what became of them.", "outcome", figures.files),
        ("syntopy_refused_files", "Files that are no items.", "reason", figures.refused),
        ("syntopy_deliveries", "Messages for webhooks that are not taken.", "state",
         {state: figures.deliveries.get(state, 0) for state in (WAITING, DEAD)}),
        ("syntopy_jobs", "Runs, by state.", "state", figures.jobs),
    )  # fmt: skip
    for name, said, label, values in counted:
        family = GaugeMetricFamily(name, said, labels=[label])
        for value, number in values.items():
            family.add_metric([value], number)
        yield family
    yield _single("syntopy_inbox_waiting", "Objects that are not indexed yet.", figures.waiting)
    yield _single("syntopy_inbox_oldest_seconds", "For how long the first of them has waited.",
                  figures.oldest_seconds)  # fmt: skip
    yield _single("syntopy_audit_rows", "Rows of the audit.", figures.audit_rows)
    yield _single("syntopy_disk_bytes", "Of the library's disk.", figures.disk_bytes)
    yield _single("syntopy_disk_free_bytes", "Free on it.", figures.disk_free_bytes)
    labels = ["encoder", "of"]
    vectors = GaugeMetricFamily("syntopy_vectors", "Vectors of a space.", labels=labels)
    recall = GaugeMetricFamily(
        "syntopy_index_recall", "Recall at 10 against exact search, as measured.", labels=labels
    )
    target = GaugeMetricFamily("syntopy_index_recall_target", "That to reach.", labels=labels)
    for each in figures.index:
        of = [each.encoder, each.of]
        vectors.add_metric(of, each.vectors)
        target.add_metric(of, each.target)
        if each.recall is not None:
            recall.add_metric(of, each.recall)
    yield from (vectors, recall, target)


def _single(name: str, said: str, value: float) -> Metric:
    return GaugeMetricFamily(name, said, value=value)
