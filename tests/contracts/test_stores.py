"""What every store must do; the exact store is the reference for the others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.errors import ConfigError, VectorError
from indexer.registry import check_store, is_remote, make_store, store_class, store_names
from indexer.stores.contract import VectorStore, renormalised
from indexer.stores.exact import ExactStore
from indexer.stores.faiss_store import FaissStore
from indexer.stores.overlay import Overlay

DIM = 16


def overlay(dim: int) -> VectorStore:
    """Over a store whose vectors are all hidden."""
    base = ExactStore(dim)
    base.upsert(np.arange(10_000, 10_005), np.eye(dim, dtype=np.float32)[:5])
    over = Overlay(base, ExactStore(dim))
    over.delete(np.arange(10_000, 10_005))
    return over


STORES: dict[str, Callable[[int], VectorStore]] = {
    **{name: store_class(name) for name in store_names() if not is_remote(name)},
    "faiss:flat-f32": lambda dim: FaissStore(dim, "flat-f32"),
    "overlay": overlay,
}
"""What makes an empty store; a store that needs a server or a file joins with a line of its own."""


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> VectorStore:
    return STORES[request.param](DIM)


def ids(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def signs(*seeds: int) -> np.ndarray:
    """Unit vectors of +-1/4: their cosines are whole sixteenths, so equal scores are equal."""
    rows = [np.random.default_rng(seed).choice([-0.25, 0.25], DIM) for seed in seeds]
    return np.array(rows, np.float32).reshape(-1, DIM)


def units(n: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_both_built_in_stores_are_there() -> None:
    assert {"exact", "faiss"} <= set(store_names())
    with pytest.raises(ConfigError, match="there are: exact, faiss, qdrant"):
        make_store("nosuch", DIM)
    with pytest.raises(ConfigError, match="faiss:ivf-flat"):
        make_store("faiss:nosuch", DIM)
    with pytest.raises(ConfigError, match="has no kinds"):
        check_store("exact:flat")


# -- search -------------------------------------------------------------------------------------


def test_a_vector_is_its_own_nearest(store: VectorStore) -> None:
    vectors = units(50)
    store.upsert(np.arange(50), vectors)
    found, scores = store.search(vectors, 3)
    assert found.dtype == np.int64
    assert scores.dtype == np.float32
    assert found[:, 0].tolist() == list(range(50))
    np.testing.assert_allclose(scores[:, 0], 1, atol=1e-3)
    assert (np.diff(scores, axis=1) <= 0).all(), "nearest first"
    rounded = renormalised(vectors.astype(np.float16))
    np.testing.assert_allclose(scores, np.take_along_axis(vectors @ rounded.T, found, 1), atol=1e-6)


def test_vectors_are_kept_as_the_catalog_keeps_them(store: VectorStore) -> None:
    vectors = units(20)
    store.upsert(np.arange(20), vectors)
    kept = store.fetch(np.arange(20))
    np.testing.assert_array_equal(kept, renormalised(vectors.astype(np.float16)))
    store.upsert(np.arange(20), kept)
    np.testing.assert_array_equal(store.fetch(np.arange(20)), kept)


def test_equal_scores_come_by_id(store: VectorStore) -> None:
    store.upsert(ids(30, 10), signs(1, 1))
    store.upsert(ids(20, 40), signs(1, 2))
    found, scores = store.search(signs(1), 4)
    assert found.tolist() == [[10, 20, 30, 40]]
    assert scores[0, :3].tolist() == [1, 1, 1]


@pytest.mark.parametrize("queries", [1, 30])
def test_many_copies_come_by_id_whatever_order_they_came_in(
    store: VectorStore, queries: int
) -> None:
    for number in reversed(range(100)):
        store.upsert(ids(number), signs(1))
    found, _ = store.search(signs(*[1] * queries), 5)
    assert found.tolist() == [[0, 1, 2, 3, 4]] * queries


@pytest.mark.parametrize("count", [3, 33, 130])
def test_copies_score_alike_to_the_last_bit(store: VectorStore, count: int) -> None:
    """Matrix products round differently by place in the array; a tie must not depend on it."""
    store.upsert(np.arange(count), np.repeat(units(1), count, axis=0))
    found, scores = store.search(units(1, seed=5), count)
    assert len(np.unique(scores)) == 1
    assert found.tolist() == [list(range(count))]


def test_k_above_the_size_gives_a_shorter_list(store: VectorStore) -> None:
    store.upsert(ids(1, 2), signs(1, 2))
    found, scores = store.search(signs(1, 2), 10)
    assert found.shape == scores.shape == (2, 2)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("k", [0, -1])
def test_k_of_nothing_gives_nothing(store: VectorStore, k: int) -> None:
    store.upsert(ids(1, 2), signs(1, 2))
    found, scores = store.search(signs(3), k)
    assert found.shape == scores.shape == (1, 0)


def test_an_empty_store_answers(store: VectorStore) -> None:
    assert store.count() == 0
    assert store.ids().tolist() == []
    assert store.search(signs(1, 2), 5)[0].shape == (2, 0)
    assert store.search(signs(1), 5, ids(1, 2))[0].shape == (1, 0)
    assert store.fetch(ids()).shape == (0, DIM)
    store.delete(ids(1))
    store.upsert(ids(), signs())
    assert store.count() == 0


def test_no_query_gives_no_row(store: VectorStore) -> None:
    store.upsert(ids(1, 2), signs(1, 2))
    assert len(store.search(signs(), 5)[0]) == 0


# -- filters ------------------------------------------------------------------------------------


@pytest.mark.parametrize("queries", [1, 30])
def test_only_allowed_ids_are_found(store: VectorStore, queries: int) -> None:
    vectors = units(200)
    store.upsert(np.arange(200), vectors)
    allowed = np.arange(3, 200, 40)
    found, _ = store.search(vectors[:queries], 10, allowed)
    assert found.shape == (queries, len(allowed))
    assert all(sorted(row) == allowed.tolist() for row in found.tolist())


def test_nothing_allowed_finds_nothing(store: VectorStore) -> None:
    store.upsert(ids(1, 2), signs(1, 2))
    assert store.search(signs(1, 2), 5, ids())[0].shape == (2, 0)


def test_allowed_may_name_unknown_ids_and_in_any_order(store: VectorStore) -> None:
    store.upsert(ids(1, 2, 3), signs(1, 2, 3))
    found, _ = store.search(signs(1), 5, ids(99, 3, 1, 1))
    assert sorted(found[0].tolist()) == [1, 3]
    assert store.search(signs(1), 5, ids(77, 99))[0].shape == (1, 0)


# -- changes ------------------------------------------------------------------------------------


def test_the_same_id_replaces(store: VectorStore) -> None:
    store.upsert(ids(1, 2), signs(1, 2))
    store.upsert(ids(2, 3), signs(4, 5))
    assert store.count() == 3
    assert store.ids().tolist() == [1, 2, 3]
    np.testing.assert_array_equal(store.fetch(ids(2)), signs(4))


def test_of_an_id_given_twice_the_last_vector_counts(store: VectorStore) -> None:
    store.upsert(ids(7, 7), signs(1, 2))
    assert store.count() == 1
    np.testing.assert_array_equal(store.fetch(ids(7)), signs(2))


def test_deleted_is_gone_and_unknown_ids_are_no_error(store: VectorStore) -> None:
    store.upsert(ids(1, 2, 3), signs(1, 2, 3))
    store.delete(ids(2, 99))
    store.delete(ids(2))
    store.delete(ids())
    assert store.ids().tolist() == [1, 3]
    assert 2 not in store.search(signs(2), 5)[0]
    with pytest.raises(KeyError):
        store.fetch(ids(2))
    store.upsert(ids(2), signs(9))
    np.testing.assert_array_equal(store.fetch(ids(2)), signs(9))


def test_fetch_keeps_the_order_asked_for(store: VectorStore) -> None:
    store.upsert(ids(5, 1, 9), signs(5, 1, 9))
    np.testing.assert_array_equal(store.fetch(ids(9, 5, 9, 1)), signs(9, 5, 9, 1))
    for unknown in (0, 6, 100):
        with pytest.raises(KeyError):
            store.fetch(ids(1, unknown))


def test_large_ids_are_kept_whole(store: VectorStore) -> None:
    large = 2**62 + 1
    store.upsert(ids(large), signs(1))
    assert store.ids().tolist() == store.search(signs(1), 1)[0][0].tolist() == [large]


@pytest.mark.parametrize("spoil", [np.nan, np.inf, -np.inf])
def test_one_bad_vector_refuses_the_batch(store: VectorStore, spoil: float) -> None:
    bad = signs(4, 5)
    bad[1, 3] = spoil
    refused(store, ids(1, 4), bad)


@pytest.mark.parametrize("length", [1e-30, 1e9])
def test_a_vector_far_from_length_one_is_refused(store: VectorStore, length: float) -> None:
    store.upsert(ids(1), signs(1))
    with pytest.raises(VectorError, match="normalise"):
        store.upsert(ids(1), signs(2) * np.float32(length))
    np.testing.assert_array_equal(store.fetch(ids(1)), signs(1))


def test_a_zero_vector_is_refused(store: VectorStore) -> None:
    refused(store, ids(1, 4), signs(4, 5) * np.array([[1], [0]], np.float32))


@pytest.mark.parametrize("shape", [(2, DIM - 1), (2, DIM + 1), (2 * DIM,), (2, DIM, 1)])
def test_a_wrong_shape_is_refused(store: VectorStore, shape: tuple[int, ...]) -> None:
    refused(store, ids(1, 4), np.ones(shape, np.float32))


def refused(store: VectorStore, some_ids: np.ndarray, vectors: np.ndarray) -> None:
    store.upsert(ids(1, 2), signs(1, 2))
    before = store.search(signs(3), 5)
    with pytest.raises(VectorError):
        store.upsert(some_ids, vectors)
    with pytest.raises(VectorError):
        store.search(vectors, 1)
    np.testing.assert_array_equal(store.search(signs(3), 5), before)
    np.testing.assert_array_equal(store.fetch(ids(1, 2)), signs(1, 2))


def test_ids_must_match_and_not_be_negative(store: VectorStore) -> None:
    for wrong in (ids(1), ids(1, 2, 3), ids(1, -1)):
        with pytest.raises(VectorError):
            store.upsert(wrong, signs(1, 2))
    assert store.count() == 0


def test_inputs_are_left_alone_and_not_kept(store: VectorStore) -> None:
    some, vectors, allowed = ids(3, 1, 2), signs(3, 1, 2), ids(2, 1)
    copies = some.copy(), vectors.copy(), allowed.copy()
    for array in (some, vectors, allowed):
        array.flags.writeable = False
    store.upsert(some, vectors)
    store.search(vectors, 2, allowed)
    store.fetch(allowed)
    store.delete(allowed)
    for array, copy in zip((some, vectors, allowed), copies, strict=True):
        np.testing.assert_array_equal(array, copy)
    mine = signs(8)
    store.upsert(ids(8), mine)
    mine[:] = 7
    store.fetch(ids(8))[:] = 7
    store.ids()[:] = 7
    np.testing.assert_array_equal(store.fetch(ids(8)), signs(8))
    assert store.ids().tolist() == [3, 8]


def test_stats_say_what_is_held(store: VectorStore) -> None:
    store.upsert(ids(1, 2), signs(1, 2))
    stats = store.stats()
    assert stats.kind
    assert stats.count == 2
    assert stats.bytes >= 2 * DIM * 2
    assert stats.exact
    assert stats.recall == stats.recall_100 == 1


# -- every store against the exact one ------------------------------------------------------------

some_ids = st.lists(st.integers(0, 40), min_size=0, max_size=25)
change = st.tuples(st.sampled_from(["upsert", "delete"]), some_ids, st.integers(0, 2**32 - 1))


@pytest.mark.parametrize("name", list(STORES)[1:])
@given(
    changes=st.lists(change, max_size=8),
    allowed=st.none() | some_ids,
    k=st.integers(0, 50),
    queries=st.integers(1, 25),
    exact_ties=st.booleans(),
)
@settings(max_examples=60)
def test_every_store_answers_as_the_exact_one(
    name: str,
    changes: list[tuple[str, list[int], int]],
    allowed: list[int] | None,
    k: int,
    queries: int,
    exact_ties: bool,
) -> None:
    def some(n: int, seed: int) -> np.ndarray:
        # Of six different vectors many are equal; drawn freely none are.
        return (
            signs(*np.random.default_rng(seed).integers(0, 6, n)) if exact_ties else units(n, seed)
        )

    reference, store = STORES["exact"](DIM), STORES[name](DIM)
    for what, numbers, seed in changes:
        for each in (reference, store):
            if what == "upsert":
                each.upsert(ids(*numbers), some(len(numbers), seed))
            else:
                each.delete(ids(*numbers))
    assert store.count() == reference.count()
    np.testing.assert_array_equal(store.ids(), reference.ids())
    np.testing.assert_array_equal(store.fetch(store.ids()), reference.fetch(store.ids()))
    only = None if allowed is None else ids(*allowed)
    found, scores = store.search(some(queries, 99), k, only)
    expected, expected_scores = reference.search(some(queries, 99), k, only)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(scores, expected_scores)


@pytest.mark.parametrize("name", ["faiss", "faiss:flat-f32"])
@given(
    seed=st.integers(0, 2**32 - 1),
    step=st.sampled_from([0.0, 1e-6, 1e-4, 1e-2, 1.0]),
    k=st.integers(1, 40),
    share=st.sampled_from([None, 0.9, 0.3, 0.02]),
)
@settings(max_examples=30)
def test_of_many_that_are_almost_equal_the_right_ones_are_found(
    name: str, seed: int, step: float, k: int, share: float | None
) -> None:
    """A scan rounds: only a proof says that no row beyond those it brought is nearer."""
    rng = np.random.default_rng(seed)
    middles = rng.standard_normal((3, DIM))
    rows = middles[rng.integers(0, 3, 900)] + step * rng.standard_normal((900, DIM))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    order = rng.permutation(900)
    reference, store = STORES["exact"](DIM), STORES[name](DIM)
    for each in (reference, store):
        each.upsert(order[:700], rows[:700])
        each.upsert(order[600:], rows[600:])
    only = None if share is None else np.flatnonzero(rng.random(900) < share)
    expected = reference.search(rows[:4], k, only)
    found = store.search(rows[:4], k, only)
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_array_equal(found[0], expected[0])


def test_a_filter_that_cannot_be_written_is_remembered_and_follows_changes(
    store: VectorStore,
) -> None:
    reference = ExactStore(DIM)
    only = np.arange(0, 400, 3)
    only.flags.writeable = False
    for each in (reference, store):
        each.upsert(np.arange(300), units(300))
    for gone in (ids(), ids(3, 6), np.arange(60)):
        for each in (reference, store):
            each.upsert(np.arange(295, 380), units(85, len(gone)))
            each.delete(gone)
        for _ in range(2):
            found = store.search(units(5, 9), 7, only)
            np.testing.assert_array_equal(found, reference.search(units(5, 9), 7, only))


def test_an_overlay_leaves_what_lies_below_as_it_is() -> None:
    base = ExactStore(DIM)
    base.upsert(np.arange(50), units(50))
    over = Overlay(base, FaissStore(DIM))
    over.upsert(np.arange(40, 60), units(20, 3))
    over.delete(np.arange(0, 10))
    model = ExactStore(DIM)
    model.upsert(np.arange(50), units(50))
    model.upsert(np.arange(40, 60), units(20, 3))
    model.delete(np.arange(0, 10))
    assert over.count() == model.count() == 50
    np.testing.assert_array_equal(over.ids(), model.ids())
    np.testing.assert_array_equal(over.fetch(over.ids()), model.fetch(model.ids()))
    for only in (None, np.arange(5, 55, 2)):
        found, expected = over.search(units(6, 8), 12, only), model.search(units(6, 8), 12, only)
        np.testing.assert_array_equal(found, expected)
    assert base.count() == 50
    np.testing.assert_array_equal(base.fetch(np.arange(50)), renormalised(units(50).astype("<f2")))
