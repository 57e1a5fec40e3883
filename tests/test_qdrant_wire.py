"""The Qdrant store over HTTP: all of `test_qdrant`, and what only a network can do to it."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator

import pytest

pytest.importorskip("qdrant_client", reason="the extra qdrant is not installed")

import numpy as np
import test_qdrant
from qdrant_client import grpc as wire
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc
from qdrant_rest import Fault, RestServer
from test_qdrant import MakeSpec, halves, place

from indexer.errors import ConfigError, StoreError, StoreUnavailableError
from indexer.filters import parse_filter
from indexer.stores import qdrant, qdrant_server
from indexer.stores.qdrant import QdrantStore
from indexer.stores.qdrant_filter import payload_indexes, qdrant_filter

FIXTURES = ("catalog", "spec", "store", "filled", "described")
globals().update(
    {
        name: what
        for name, what in vars(test_qdrant).items()
        if (name.startswith("test_") and callable(what)) or name in FIXTURES
    }
)


@pytest.fixture(scope="module")
def server() -> Iterator[RestServer]:
    made = RestServer()
    yield made
    made.close()


@pytest.fixture(scope="module")
def make_spec(server: RestServer) -> MakeSpec:
    numbers = itertools.count()
    return lambda: f"qdrant://127.0.0.1:{server.port}/tests{next(numbers)}"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No long waits between tries."""
    monkeypatch.setattr(qdrant_server, "_FIRST_WAIT", 0.001)
    monkeypatch.setattr(qdrant_server, "_LONGEST_WAIT", 0.01)


def test_indexes_are_there_before_the_first_point(server: RestServer, spec: str) -> None:
    server.heard.clear()
    store = QdrantStore.connect(spec, place())
    store.upsert(np.arange(3), halves(3))
    paths = [(method, path.rpartition("/")[2]) for method, path, _ in server.heard]
    first = paths.index(("POST", "batch"))
    indexed = {b["field_name"] for m, p, b in server.heard[:first] if p.endswith("/index")}
    assert indexed == set(payload_indexes())
    made = next(b for m, p, b in server.heard if m == "PUT" and p.count("/") == 2)
    (vector,) = made["vectors"].values()
    assert vector == {"size": 16, "distance": "Dot", "datatype": "float16", "on_disk": False}
    server.heard.clear()
    store.prepare()
    assert not [p for m, p, _ in server.heard if m == "PUT"], "all of it is there"
    store.drop()


def test_options_of_the_address_reach_the_server(server: RestServer, spec: str) -> None:
    server.heard.clear()
    store = QdrantStore.connect(f"{spec}?shards=2&replicas=3&quantization=int8", place())
    store.prepare()
    made = next(b for m, p, b in server.heard if m == "PUT" and p.count("/") == 2)
    assert (made["shard_number"], made["replication_factor"]) == (2, 3)
    assert made["quantization_config"]["scalar"]["always_ram"] is True
    other = QdrantStore.connect(f"{spec}?quantization=int8", place(weights="w2"))
    server.heard.clear()
    other.prepare()
    added = next(b for m, p, b in server.heard if m == "PUT")
    assert added["dense"] == {"size": 16, "distance": "Dot", "datatype": "float16"}
    (on_disk,) = next(b for m, p, b in server.heard if m == "PATCH")["vectors"].values()
    assert on_disk == {"on_disk": True}
    for each in (store, other):
        each.drop()


def test_searches_say_how_they_are_to_be_done(
    server: RestServer, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = QdrantStore.connect(f"{spec}?quantization=binary", place())
    store.upsert(np.arange(30), halves(30), [{"sex": "f", "age": 7.5}] * 30)

    def said(filter_: str = "") -> dict[str, object]:
        server.heard.clear()
        if filter_:
            store.search_where(halves(1), 5, parse_filter(filter_))
        else:
            store.search(halves(1), 5)
        (asked,) = next(b for _, p, b in server.heard if p.endswith("/query/batch"))["searches"]
        return {name: v for name, v in asked["params"].items() if v not in (None, False)}

    assert said() == {"exact": True, "quantization": {"ignore": True}}
    assert said("sex=F") == {"exact": True, "quantization": {"ignore": True}}
    monkeypatch.setattr(qdrant, "_EXACT_BELOW", 0)
    rescored = {"rescore": True, "oversampling": 4.0}
    assert said() == {"hnsw_ef": 128, "quantization": rescored}
    assert said("sex=F") == {"hnsw_ef": 128, "quantization": rescored}
    several = said("sex=F and age>3")
    assert several == {"hnsw_ef": 128, "quantization": rescored, "acorn": {"enable": True}}
    store.drop()


@pytest.mark.parametrize("before", [True, False])
def test_passing_failures_are_waited_out(
    server: RestServer, spec: str, quick: None, before: bool
) -> None:
    """Also where only the answer was lost: doing it again changes nothing."""
    store = QdrantStore.connect(spec, place())
    for step in (
        store.prepare,
        lambda: store.upsert(np.arange(5), halves(5)),
        lambda: store.delete(np.array([4])),
    ):
        server.faults = [Fault(503, before), Fault(500, before)]
        step()
    server.faults = [Fault(429, headers={"Retry-After": "1"})]
    assert store.ids().tolist() == [0, 1, 2, 3]
    store.drop()


def test_a_refusal_is_not_tried_again(server: RestServer, spec: str, quick: None) -> None:
    store = QdrantStore.connect(spec, place())
    store.upsert(np.arange(5), halves(5))
    for status, error, message in (
        (400, StoreError, r"refused a request \(HTTP 400\)"),
        (401, ConfigError, "refuses the key .* set SYNTOPY_QDRANT_API_KEY"),
        (404, StoreError, "has no collection"),
    ):
        server.heard.clear()
        server.faults = [Fault(status)]
        with pytest.raises(error, match=message):
            store.count()
        assert len(server.heard) == 1
    store.drop()


def test_a_server_that_stays_away_is_said_to(server: RestServer, spec: str, quick: None) -> None:
    store = QdrantStore.connect(spec, place())
    store.upsert(np.arange(5), halves(5))
    server.faults = [Fault(503)] * 50
    with pytest.raises(StoreUnavailableError, match=r"HTTP 503.*reindex --store faiss") as caught:
        store.search(halves(1), 3)
    assert f"127.0.0.1:{server.port}" in str(caught.value)
    with pytest.raises(StoreUnavailableError):
        store.upsert(np.arange(9), halves(9))
    server.faults = []
    assert store.count() == 5
    store.drop()


def test_nobody_listening(quick: None) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens there
        port = taken.getsockname()[1]
        with pytest.raises(StoreUnavailableError, match=f"127.0.0.1:{port} does not answer"):
            QdrantStore.connect(f"qdrant://127.0.0.1:{port}/chest", place())


def test_an_old_server_is_refused() -> None:
    server = RestServer()
    server.version = "1.17.0"
    with pytest.raises(ConfigError, match=r"has version 1.17.0; 1.18 or a newer one is needed"):
        QdrantStore.connect(f"qdrant://127.0.0.1:{server.port}/chest", place())
    server.close()


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNTOPY_QDRANT_API_KEY", "hush-hush")
    server = RestServer()
    store = QdrantStore.connect(f"qdrant://127.0.0.1:{server.port}/chest", place())
    server.faults = [Fault(403)]
    with pytest.raises(ConfigError) as caught:
        store.prepare()
    assert "hush" not in str(caught.value)
    assert server.keys == {"hush-hush"}
    store.close()
    server.close()


def test_a_key_does_not_travel_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNTOPY_QDRANT_API_KEY", "hush-hush")
    with pytest.raises(ConfigError, match="in the clear: add tls=1"):
        QdrantStore.connect("qdrant://db.example/chest", place())


@pytest.mark.parametrize(
    "expression",
    [
        "modality=CT and body_part in (CHEST,ABDOMEN) and age>=60 and not label:finding=normal",
        "not (sex!=F or slices>4.5) or study_date>2024-01-01",
        "age=1e999",
    ],
)
def test_filters_survive_the_way_through_grpc(expression: str) -> None:
    made = qdrant_filter(parse_filter(expression))
    sent = RestToGrpc.convert_filter(made).SerializeToString()
    arrived = wire.Filter.FromString(sent)
    assert RestToGrpc.convert_filter(GrpcToRest.convert_filter(arrived)) == arrived
