"""The Qdrant store: contract, filters, spaces side by side; here in the local mode of its client.

`test_qdrant_wire` and `test_qdrant_server` run the same over HTTP, and against a real server.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("qdrant_client", reason="the extra qdrant is not installed")

from contracts import test_stores as contract
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection
from test_filters import catalog, found, trees  # noqa: F401 - `catalog` is a fixture

from indexer.errors import ConfigError, StoreError
from indexer.filter_tree import WORD
from indexer.filters import All, AnyOf, Comparison, Filter, Not, field_names, parse_filter
from indexer.index.payload import payloads
from indexer.index.projection import ITEMS
from indexer.stores import qdrant
from indexer.stores.contract import Place, search_among
from indexer.stores.exact import ExactStore
from indexer.stores.qdrant import QdrantStore
from indexer.stores.qdrant_filter import NUMBERS, WHOLE, leaves, payload_indexes, server_can
from indexer.stores.qdrant_spec import read_spec

DIM = contract.DIM
MakeSpec = Callable[[], str]


def place(**changes: Any) -> Place:
    same = {"library": "lib-1", "encoder": "texture", "weights": "w", "preprocessing": "p"}
    return Place(**{**same, "layer": "space", "dim": DIM, **changes})


@pytest.fixture(scope="module")
def make_spec(tmp_path_factory: pytest.TempPathFactory) -> MakeSpec:
    """Another place for collections at every call."""
    return lambda: f"qdrant+local://{tmp_path_factory.mktemp('qdrant')}/here?collection=tests"


@pytest.fixture
def spec(make_spec: MakeSpec) -> str:
    return make_spec()


@pytest.fixture
def store(spec: str) -> Iterator[QdrantStore]:
    made = QdrantStore.connect(spec, place())
    made.prepare()
    yield made
    made.drop()
    made.close()


# Every test of the contract that asks for a store is run with this module's.
globals().update(
    {
        name: test
        for name, test in vars(contract).items()
        if name.startswith("test_") and "store" in inspect.signature(test).parameters
    }
)


def halves(n: int, seed: int = 0) -> np.ndarray:
    """Vectors that float16 holds exactly; their lengths are not quite 1, as in a catalog."""
    return contract.units(n, seed).astype(np.float16).astype(np.float32)


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


# -- answers are those of the exact store ---------------------------------------------------------


@pytest.fixture(scope="module")
def filled(make_spec: MakeSpec) -> Iterator[tuple[QdrantStore, ExactStore]]:
    """Three hundred vectors, fifty of which are one and the same."""
    rows = halves(300)
    rows[100:150] = rows[100]
    store, reference = QdrantStore.connect(make_spec(), place()), ExactStore(DIM)
    store.upsert(np.arange(300), rows)
    reference.upsert(np.arange(300), unit(rows))
    yield store, reference
    store.drop()
    store.close()


@given(
    seed=st.integers(0, 1000),
    k=st.integers(1, 310),
    allowed=st.none() | st.sets(st.integers(0, 320), max_size=300),
    approximate=st.booleans(),
)
@example(seed=11, k=11, allowed=None, approximate=True)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_scores_and_ties_are_those_of_the_exact_store(
    filled: tuple[QdrantStore, ExactStore],
    seed: int,
    k: int,
    allowed: set[int] | None,
    approximate: bool,
) -> None:
    store, reference = filled
    queries = np.concatenate([contract.units(2, seed), unit(halves(300)[100:101])])
    only = None if allowed is None else np.array(sorted(allowed), np.int64)
    with pytest.MonkeyPatch.context() as patch:
        if approximate:
            patch.setattr(qdrant, "_EXACT_BELOW", 0)
            patch.setattr(qdrant, "_NAMED", 20)
        ids, scores = store.search(queries, k, only)
    expected, expected_scores = reference.search(queries, k, only)
    if approximate:
        # Fetched by the server's own scores, in which the lengths of float16 vectors are.
        np.testing.assert_allclose(scores, expected_scores, atol=1e-3)
    if not approximate or np.array_equal(scores, expected_scores):
        np.testing.assert_array_equal(ids, expected)
        np.testing.assert_array_equal(scores, expected_scores)


def test_stored_vectors_come_back_to_the_last_bit(
    filled: tuple[QdrantStore, ExactStore],
) -> None:
    store, reference = filled
    some = np.array([7, 3, 120])
    np.testing.assert_array_equal(store.fetch(some), reference.fetch(some))


# -- filters: the server against SQL --------------------------------------------------------------


@pytest.fixture(scope="module")
def described(
    make_spec: MakeSpec,
    catalog: tuple[Connection, list[dict[str, Any]]],  # noqa: F811
) -> Iterator[tuple[Connection, QdrantStore]]:
    """The random items of the filter tests, in SQLite and in Qdrant."""
    db, records = catalog
    ids = np.array([record["id"] for record in records])
    described = payloads(db, ITEMS, ids.tolist())
    store = QdrantStore.connect(make_spec(), place())
    rows = contract.units(len(ids))
    store.upsert(ids, rows, [described[i] for i in ids.tolist()])
    yield db, store
    store.drop()
    store.close()


def passed(store: QdrantStore, tree: Filter) -> set[int] | None:
    answer = store.search_where(contract.units(1), 1000, tree)
    return None if answer is None else set(answer[0][0].tolist())


def answerable(tree: Filter) -> Filter:
    """The tree without orders of text and words of reports, which Qdrant does not know."""
    match tree:
        case Not(part):
            return Not(answerable(part))
        case All(parts):
            return All(tuple(map(answerable, parts)))
        case AnyOf(parts):
            return AnyOf(tuple(map(answerable, parts)))
    if tree.field == WORD:
        return Comparison("kind", tree.op, ("image",))
    if tree.field in (*NUMBERS, *WHOLE) or tree.op in ("=", "!="):
        return tree
    return replace(tree, op="=" if "=" in tree.op else "!=")


@given(trees.map(answerable))
@example(parse_filter("slices>4.5 or slices>=4.5 or slices=4.5"))
@example(parse_filter("slices<24.5 and slices!=1.5 and not slices<=0.5"))
@example(parse_filter("age<1e999 and age!=1e999 and not age>=1e999 and age>-1e999"))
@example(parse_filter("slices<1e300 and not slices<-1e300"))
@example(parse_filter("study_date!=2020-02-29 or study_date in (2024-01-01, 2023-12-31)"))
@example(parse_filter("modality='' or not view!=''"))
@example(parse_filter("label:finding!=normal and not label:finding=normal"))
@settings(max_examples=150)
def test_the_server_passes_the_items_that_sql_passes(
    described: tuple[Connection, QdrantStore], tree: Filter
) -> None:
    db, store = described
    assert passed(store, tree) == found(db, tree)


def test_orders_of_text_are_left_to_the_catalog(
    described: tuple[Connection, QdrantStore],
) -> None:
    _, store = described
    assert passed(store, parse_filter("body_part<m and age>3")) is None
    assert passed(store, parse_filter("not " * 25 + "age>3")) is None
    assert passed(store, parse_filter("age<50 or study_date>=2020-01-01")) is not None


@given(trees)
@example(parse_filter("word=effusion"))
@example(parse_filter("not word!=head and (kind=image or word in (rontgen, kein))"))
@settings(max_examples=60)
def test_whoever_evaluates_a_filter_the_same_items_are_found(
    described: tuple[Connection, QdrantStore], tree: Filter
) -> None:
    db, store = described
    wanted = found(db, tree)
    assert not any(leaf.field == WORD for leaf in leaves(tree)) or passed(store, tree) is None
    ids, _ = search_among(store, contract.units(1), 1000, np.array(sorted(wanted)), tree)
    assert set(ids[0].tolist()) == wanted


def test_every_field_of_the_language_but_words_of_reports_has_an_index() -> None:
    fields = {name for name in field_names() if not name.startswith("label:")} - {WORD}
    assert fields <= set(payload_indexes())
    for name in fields:
        assert server_can(Comparison(name, "=", ("2020-01-01" if "date" in name else "1",)))


# -- spaces side by side --------------------------------------------------------------------------


def test_spaces_share_points_and_not_vectors(spec: str) -> None:
    one = QdrantStore.connect(spec, place())
    two = QdrantStore.connect(spec, place(weights="w2", dim=4))
    ids = np.array([1, 2, 3])
    one.upsert(ids, halves(3), [{"sex": "f"}] * 3)
    two.upsert(np.array([2, 3, 4]), np.eye(4, dtype=np.float32)[:3], [{"sex": "m"}] * 3)
    assert one.ids().tolist() == [1, 2, 3]
    assert two.ids().tolist() == [2, 3, 4]
    np.testing.assert_array_equal(one.fetch(ids), unit(halves(3)))
    tree = parse_filter("sex=F")
    assert two.search_where(np.eye(4, dtype=np.float32)[:1], 9, tree)[0].tolist() == [[2, 3]]
    two.delete(np.array([2, 4]))
    assert one.ids().tolist() == [1, 2, 3], "a point stays for its other vectors"
    assert two.ids().tolist() == [3]
    one.drop()
    assert one.count() == 0
    assert two.ids().tolist() == [3]
    two.drop()
    for store in (one, two):
        store.close()


def test_slices_have_a_collection_of_their_own(spec: str) -> None:
    items = QdrantStore.connect(spec, place())
    slices = QdrantStore.connect(spec, place(layer="slices"))
    items.upsert(np.array([1]), halves(1))
    slices.upsert(np.array([1, 2]), halves(2))
    items.delete(np.array([1]))
    assert (items.count(), slices.count()) == (0, 2)
    for store in (items, slices):
        store.drop()
        store.close()


def test_payloads_are_replaced_whole_and_only_when_told(store: QdrantStore) -> None:
    ids = np.array([1, 2])
    store.upsert(ids, halves(2), [{"sex": "f", "uid": "a"}, {"sex": "f", "uid": "b"}])
    store.upsert(ids, halves(2, 1), [{"sex": "m"}] * 2)
    assert list(store.known("uid")) == [(1, "a"), (2, "b")]
    store.set_payloads(np.array([2, 77]), [{"sex": "o"}, {"sex": "o"}])
    assert list(store.known("sex")) == [(1, "f"), (2, "o")]
    assert list(store.known("uid")) == [(1, "a"), (2, None)]


def test_a_collection_is_filled_beside_the_old_one_and_then_takes_its_place(spec: str) -> None:
    old = QdrantStore.connect(spec, place())
    old.upsert(np.arange(5), halves(5))
    new = old.beside()
    new.upsert(np.arange(3), halves(3))
    reader = QdrantStore.connect(spec, place())
    assert reader.count() == 5, "searches go on with the old one"
    new.switch()
    assert reader.count() == 3
    assert QdrantStore.connect(spec, place()).ids().tolist() == [0, 1, 2]
    reader.drop()


def test_a_space_that_is_not_there_yet_forbids_the_switch(spec: str) -> None:
    one, two = QdrantStore.connect(spec, place()), QdrantStore.connect(spec, place(weights="w2"))
    one.upsert(np.arange(5), halves(5))
    two.upsert(np.arange(5), halves(5))
    new = one.beside()
    with pytest.raises(StoreError, match="1 spaces are not in the new collection yet: texture-"):
        new.switch()
    new.drop()
    one.drop()
    two.drop()


def test_nothing_is_made_by_looking(spec: str) -> None:
    for _ in range(2):
        store = QdrantStore.connect(spec, place())
        assert store.count() == 0
        assert store.ids().tolist() == []
        assert store.search(contract.units(2), 5)[0].shape == (2, 0)
        assert store.stats().count == 0
        store.delete(np.array([1]))
        store.close()


def test_collections_of_others_are_left_alone(spec: str) -> None:
    mine = QdrantStore.connect(spec, place())
    mine.upsert(np.array([1]), halves(1))
    with pytest.raises(ConfigError, match="belongs to another library"):
        QdrantStore.connect(spec, place(library="lib-2"))
    mine.drop()


def test_what_was_measured_is_told(store: QdrantStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.upsert(np.arange(20), halves(20))
    store.note_recall(0.987, 0.951)
    assert store.stats().exact
    assert store.stats().recall == 1.0
    monkeypatch.setattr(qdrant, "_EXACT_BELOW", 0)
    assert not store.stats().exact
    assert (store.stats().recall, store.stats().recall_100) == (0.987, 0.951)


def test_what_was_not_measured_is_not_claimed(
    store: QdrantStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.upsert(np.arange(20), halves(20))
    assert not store.stats().warning
    monkeypatch.setattr(qdrant, "_EXACT_BELOW", 0)
    assert store.stats().recall is None
    assert "reindex measures it" in store.stats().warning


# -- addresses ------------------------------------------------------------------------------------


def test_an_address_is_understood() -> None:
    read = read_spec("qdrant://db.example:7000/chest?tls=1&grpc=1&shards=3&quantization=int8")
    assert (read.host, read.port, read.name) == ("db.example", 7000, "chest")
    assert (read.tls, read.grpc, read.grpc_port) == (True, True, 6334)
    assert (read.shards, read.replicas, read.quantization) == (3, 0, "int8")
    assert read_spec("qdrant://[::1]/a").host == "::1"
    assert read_spec("qdrant://db/a").tls is None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("qdrant://host:6333", "ends in the name of a collection"),
        ("qdrant://host/a/b", "ends in the name of a collection"),
        ("qdrant://host:x/a", "it is like qdrant://host:6333/collection"),
        ("qdrant:host/a", "it is like qdrant://host:6333/collection"),
        ("qdrant:///a", "names no host"),
        ("qdrant://host/a?tsl=1", "unknown option tsl"),
        ("qdrant://host/a?tls=yes", "tls in the store's URL is 0 or 1"),
        ("qdrant://host/a?shards=0", "shards in the store's URL is a number from 1 to 1000"),
        ("qdrant://host/a?quantization=int4", "one of none, int8, binary"),
        ("qdrant://host/a?api_key=hush-hush", "SYNTOPY_QDRANT_API_KEY"),
        ("qdrant://me:hush-hush@host/a", "SYNTOPY_QDRANT_API_KEY"),
        ("qdrant+local://folder?collection=a", "it is like qdrant.local:///folder"),
    ],
)
def test_a_wrong_address_is_refused_without_repeating_secrets(wrong: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        QdrantStore.check_spec(wrong)
    assert "hush" not in str(caught.value)
