"""What Prometheus is told: how the service does, what waits, and nothing of patients."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from dicom_senders import association, listening
from free_ports import free_port
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from sent_objects import as_file, small_slice
from served_library import STUDIES, own_copy, serving
from sqlalchemy import insert, select
from typer.testing import CliRunner

from api.app import create_app
from api.cli.main import app
from api.metrics import Answered, Metrics
from api.rights import Role
from api.service.access import keys
from api.service.figures import FiguresReader
from indexer.catalog.audit import rows_since
from indexer.catalog.database import reading, transaction
from indexer.catalog.tables import Delivery, EmbeddingRow, LedgerRow
from indexer.config import Settings
from indexer.library import Library
from indexer.receiving.inbox import Inbox

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def client(served: Path) -> Iterator[httpx.Client]:
    with serving(Settings(library=served)) as client:
        yield client


def parsed(text: str) -> Samples:
    families = text_string_to_metric_families(text)
    return {
        (s.name, frozenset(s.labels.items())): s.value for each in families for s in each.samples
    }


def told(client: httpx.Client, **headers: str) -> Samples:
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return parsed(answer.text)


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


# -- requests -------------------------------------------------------------------------------------


def test_requests_are_counted_by_the_template_of_their_address(client: httpx.Client) -> None:
    uid = client.get("/v1/items?limit=1").json()["rows"][0]["id"]
    for k in (1, 2, 3):
        assert client.get(f"/v1/items/{uid}/neighbours?k={k}").status_code == 200
    assert client.get("/v1/items/nothing/neighbours").status_code == 404
    assert client.get(f"/elsewhere/{uid}").status_code == 404
    client.request("BREW", "/v1/studies")
    samples = told(client)
    name, route = "syntopy_http_request_seconds_count", "/v1/items/{uid}/neighbours"
    assert value(samples, name, route=route, method="GET", status="2xx") == 3
    assert value(samples, name, route=route, method="GET", status="4xx") == 1
    assert value(samples, name, route="none", method="GET", status="4xx") == 1
    assert not [labels for _, labels in samples if uid in str(labels) or "BREW" in str(labels)]
    assert value(samples, "syntopy_http_open_requests") == 1, "the one that asks"


def test_searches_are_counted_by_what_they_ask_with(client: httpx.Client) -> None:
    uid = client.get("/v1/items?limit=1").json()["rows"][0]["id"]
    before = told(client)
    for asked in (
        {"examples": [{"uid": uid}]},
        {"keywords": "lines"},
        {"examples": [{"uid": uid}, {"report": "standing lines"}]},
    ):
        client.post("/v1/search", json=asked)
    after = told(client)
    for kind in ("uid", "keywords", "mixed"):
        key = ("syntopy_searches_total", frozenset({("kind", kind)}))
        assert after[key] == before.get(key, 0) + 1


def test_who_is_turned_away_is_counted_with_the_reason(served: Path, tmp_path: Path) -> None:
    library = own_copy(served, tmp_path)
    monitor, reader = key(library, Role.MONITOR), key(library, Role.READER)
    settings = Settings(library=library, serve_rate=0.1, serve_burst=3)
    with serving(settings, create_app(settings, None)) as client:
        client.get("/v1/studies")
        client.get("/v1/studies", headers=monitor)
        for _ in range(5):
            client.get("/v1/spaces", headers=reader)
        samples = told(client, **monitor)
        reasons = {"not_authenticated": 1, "access_denied": 1, "rate_limited": 2}
        for reason, number in reasons.items():
            assert value(samples, "syntopy_http_refused_total", reason=reason) == number


@given(
    st.lists(
        st.builds(
            Answered,
            route=st.sampled_from(["/v1/studies/{uid}", ""]),
            method=st.one_of(st.sampled_from(["GET", "POST"]), st.text()),
            status=st.integers(),
            seconds=st.floats(0, 1e6),
        )
    )
)
def test_whatever_is_asked_labels_have_few_values(requests: list[Answered]) -> None:
    metrics = Metrics()
    for one in requests:
        metrics.answered(one)
    samples = parsed(metrics.told().decode())
    counted = {k: v for k, v in samples.items() if k[0] == "syntopy_http_request_seconds_count"}
    assert sum(counted.values()) == len(requests)
    for _, labels in counted:
        found = dict(labels)
        assert found["route"] in {"/v1/studies/{uid}", "none"}
        assert found["method"] in {
            "GET",
            "HEAD",
            "POST",
            "PUT",
            "PATCH",
            "DELETE",
            "OPTIONS",
            "other",
        }
        assert re.fullmatch("[1-5]xx|none", found["status"])


# -- who may --------------------------------------------------------------------------------------


def key(library: Path, role: Role) -> dict[str, str]:
    with Library.open(library) as opened:
        made = keys.create(opened, keys.KeyRequest(f"a-{role}", role), actor="test")
    return {"Authorization": f"Bearer {made.token}"}


def test_a_monitor_reads_figures_and_nothing_else_and_leaves_no_rows(
    served: Path, tmp_path: Path
) -> None:
    library = own_copy(served, tmp_path)
    monitor = key(library, Role.MONITOR)
    settings = Settings(library=library)
    with serving(settings, create_app(settings, None)) as client:
        for _ in range(3):
            assert value(told(client, **monitor), "syntopy_ready") == 1
        assert client.get("/metrics").status_code == 401
        for path in ("studies", "library", "items/1/thumbnail"):
            assert client.get(f"/v1/{path}", headers=monitor).status_code == 403
    with Library.open(library) as opened, reading(opened.engine) as db:
        routes = [row.subject.get("route") for row in rows_since(db) if row.origin]
    assert sorted(routes).count("/metrics") == 1, "the refusal, and no scrape"


def test_a_page_of_another_site_may_not_ask(client: httpx.Client) -> None:
    assert client.get("/metrics", headers={"Origin": "https://example.org"}).status_code == 401


# -- the library ----------------------------------------------------------------------------------


def test_the_library_is_told_in_figures(client: httpx.Client) -> None:
    samples = told(client)
    assert value(samples, "syntopy_library_rows", of="studies") == STUDIES
    assert value(samples, "syntopy_vectors", encoder="texture", of="items") == STUDIES
    assert value(samples, "syntopy_index_recall", encoder="texture", of="items") == 1
    assert value(samples, "syntopy_files", outcome="indexed") == STUDIES
    assert value(samples, "syntopy_library_readable") == 1
    assert value(samples, "syntopy_inbox_waiting") == 0
    assert value(samples, "process_resident_memory_bytes") > 1 << 20
    assert not [name for name, _ in samples if name.endswith("_created")]


def test_what_others_did_is_read_from_what_they_left(tmp_path: Path) -> None:
    with Library.create(tmp_path / "library") as library:
        reader = FiguresReader(library)
        assert (reader.read().waiting, reader.read().audit_rows) == (0, 0)
        keep(Inbox(library.inbox_folder), 1)
        with transaction(library.engine) as db:
            for state in ("waiting", "dead", "dead", "delivered"):
                db.execute(insert(Delivery).values(url="u", body="b", state=state))
            db.execute(
                insert(LedgerRow).values(
                    source="/a", size=1, mtime_ns=1, outcome="rejected", reason="no_pixels"
                )
            )
        figures = reader.read()
        assert figures.waiting == 1 and 0 <= figures.oldest_seconds < 60
        assert figures.deliveries == {"waiting": 1, "dead": 2, "delivered": 1}
        assert (figures.files, figures.refused) == ({"rejected": 1}, {"no_pixels": 1})
        settle(library)
        assert reader.read().waiting == 0


def test_a_day_that_is_done_is_looked_at_again_when_something_comes(tmp_path: Path) -> None:
    with Library.create(tmp_path / "library") as library:
        inbox, reader = Inbox(library.inbox_folder), FiguresReader(library)
        keep(inbox, 1)
        settle(library)
        (day,) = inbox.days()
        os.utime(day, (time.time() - 3600,) * 2)
        assert [reader.read().waiting for _ in range(2)] == [0, 0]
        keep(inbox, 2)
        assert reader.read().waiting == 1


def keep(inbox: Inbox, number: int) -> None:
    incoming = inbox.begin()
    incoming.write(as_file(small_slice(number)))
    incoming.keep(incoming.check())


def settle(library: Library) -> None:
    """Note all that lies in the inbox as indexed."""
    inbox = Inbox(library.inbox_folder)
    with transaction(library.engine) as db:
        for path in (path for day in inbox.days() for path in day.iterdir()):
            db.execute(
                insert(LedgerRow).values(source=str(path), size=1, mtime_ns=1, outcome="indexed")
            )


def test_while_the_library_cannot_be_read_the_last_figures_are_told(
    served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.metrics.KEPT_SECONDS", 0.01)
    with Library.open(served) as library:
        metrics, reader = Metrics(), FiguresReader(library)
        broken: list[OSError] = []

        def read() -> object:
            if broken:
                raise broken[0]
            return reader.read()

        metrics.watch(read, lambda: True)  # type: ignore[arg-type]
        assert value(parsed(metrics.told().decode()), "syntopy_library_readable") == 1
        broken.append(OSError("the disk is gone"))
        time.sleep(0.1)
        samples = parsed(metrics.told().decode())
        assert value(samples, "syntopy_library_readable") == 0
        assert value(samples, "syntopy_library_rows", of="studies") == STUDIES
        assert "disk is gone" not in str(samples)


def test_figures_of_vectors_are_those_of_the_catalog(served: Path) -> None:
    with Library.open(served) as library, reading(library.engine) as db:
        rows = len(db.execute(select(EmbeddingRow.seq)).all())
        assert sum(each.vectors for each in FiguresReader(library).read().index) == rows


# -- where no service runs ------------------------------------------------------------------------


def test_a_node_tells_what_it_received(tmp_path: Path) -> None:
    Library.create(tmp_path / "library").close()
    port = free_port()
    arguments = ("--no-index", "--metrics", str(port))
    with listening(tmp_path / "library", *arguments) as (_, own):
        kinds = [(CTImageStorage, ExplicitVRLittleEndian)]
        with association(own, kinds) as sender:
            for number in (1, 2):
                assert sender.send_c_store(small_slice(number)).Status == 0
        key, until = ("syntopy_received_objects_total", stored_by("dimse")), time.monotonic() + 20
        while (samples := parsed(httpx.get(f"http://127.0.0.1:{port}/metrics").text)).get(key) != 2:
            assert time.monotonic() < until, samples
            time.sleep(0.1)


def stored_by(way: str) -> frozenset[tuple[str, str]]:
    return frozenset({("way", way), ("outcome", "stored")})


def test_what_came_by_http_is_counted_too(served: Path, tmp_path: Path) -> None:
    library = own_copy(served, tmp_path)
    settings = Settings(library=library)
    with serving(settings, create_app(settings, receive=True)) as client:
        body = b"--b\r\nContent-Type: application/dicom\r\n\r\n"
        body += as_file(small_slice(1)) + b"\r\n--b--\r\n"
        kind = 'multipart/related; type="application/dicom"; boundary=b'
        sent = client.post("/dicomweb/studies", content=body, headers={"Content-Type": kind})
        assert sent.status_code == 200, sent.text
        samples = told(client)
    assert samples["syntopy_received_objects_total", stored_by("stow")] == 1
    assert value(samples, "syntopy_inbox_waiting") == 1


def test_an_address_for_metrics_that_is_none_is_named(tmp_path: Path) -> None:
    Library.create(tmp_path / "library").close()
    words = ["arrivals", "-L", str(tmp_path / "library"), "--metrics", "here"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2 and "HOST:PORT" in result.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        words[-1] = str(taken.getsockname()[1])
        result = CliRunner().invoke(app, words)
    assert result.exit_code == 2 and words[-1] in result.stderr
