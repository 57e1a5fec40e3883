"""What every vector store must do; the exact store is the reference for the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.errors import ConfigError, IndexCorruptError, VectorError
from indexer.registry import make_store, store_class, store_names
from indexer.stores.contract import SnapshotStore, VectorStore

DIM = 16
STORES = [n for n in store_names() if not hasattr(store_class(n), "connect")]
SNAPSHOTS = [name for name in STORES if issubclass(store_class(name), SnapshotStore)]


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> VectorStore:
    return make_store(request.param, DIM)


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
    assert {"exact", "faiss"} <= set(STORES)
    assert "faiss" in SNAPSHOTS
    with pytest.raises(ConfigError, match="there are: exact, faiss, qdrant"):
        make_store("nosuch", DIM)


# -- search -------------------------------------------------------------------------------------


def test_a_vector_is_its_own_nearest(store: VectorStore) -> None:
    vectors = units(50)
    store.upsert(np.arange(50), vectors)
    found, scores = store.search(vectors, 3)
    assert found.dtype == np.int64
    assert scores.dtype == np.float32
    assert found[:, 0].tolist() == list(range(50))
    np.testing.assert_allclose(scores[:, 0], 1, atol=1e-5)
    assert (np.diff(scores, axis=1) <= 0).all(), "nearest first"
    np.testing.assert_allclose(scores, np.take_along_axis(vectors @ vectors.T, found, 1), atol=1e-3)


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
    assert stats.bytes >= 2 * DIM * 4
    assert 0 < stats.recall <= 1


# -- every store against the exact one ------------------------------------------------------------

some_ids = st.lists(st.integers(0, 40), min_size=0, max_size=25)
change = st.tuples(st.sampled_from(["upsert", "delete"]), some_ids, st.integers(0, 2**32 - 1))


@pytest.mark.parametrize("name", [n for n in STORES if n != "exact"])
@given(
    changes=st.lists(change, max_size=8),
    allowed=st.none() | some_ids,
    k=st.integers(0, 50),
    queries=st.integers(1, 25),
    exact_ties=st.booleans(),
)
@settings(max_examples=150, deadline=None)
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

    reference, store = make_store("exact", DIM), make_store(name, DIM)
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
    np.testing.assert_allclose(scores, expected_scores, atol=1e-5)


# -- snapshots ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SNAPSHOTS)
@pytest.mark.parametrize("count", [0, 1, 300])
def test_a_snapshot_gives_the_same_store_back(name: str, count: int, tmp_path: Path) -> None:
    store = make_store(name, DIM)
    store.upsert(np.arange(count)[::-1], units(count))
    store.snapshot(tmp_path / "index")
    back = store_class(name).restore(tmp_path / "index", DIM)
    np.testing.assert_array_equal(back.ids(), store.ids())
    np.testing.assert_array_equal(back.fetch(back.ids()), store.fetch(store.ids()))
    np.testing.assert_array_equal(back.search(units(5, 9), 7), store.search(units(5, 9), 7))
    back.upsert(ids(1000), signs(1))
    back.delete(ids(0))
    assert back.count() == max(count, 1), "one more and, unless it was empty, one less"


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_a_damaged_snapshot_is_refused(name: str, tmp_path: Path) -> None:
    store = make_store(name, DIM)
    store.upsert(np.arange(20), units(20))
    path = tmp_path / "index"
    store.snapshot(path)
    whole = path.read_bytes()
    for cut in (0, 1, 4, len(whole) // 3, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(IndexCorruptError):
            store_class(name).restore(path, DIM)
    path.write_bytes(b"no index at all" * 100)
    with pytest.raises(IndexCorruptError):
        store_class(name).restore(path, DIM)
    path.unlink()
    with pytest.raises(IndexCorruptError):
        store_class(name).restore(path, DIM)


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_a_snapshot_of_another_dimension_is_refused(name: str, tmp_path: Path) -> None:
    store = make_store(name, DIM)
    store.snapshot(tmp_path / "index")
    with pytest.raises(IndexCorruptError):
        store_class(name).restore(tmp_path / "index", DIM + 1)


APPENDABLE = [n for n in SNAPSHOTS if hasattr(store_class(n), "append")]


@pytest.mark.parametrize("name", APPENDABLE)
def test_a_snapshot_that_was_appended_to_is_the_store_that_was_added_to(
    name: str, tmp_path: Path
) -> None:
    path, vectors = tmp_path / "index", units(50)
    chosen, whole = store_class(name), make_store(name, DIM)
    whole.upsert(np.arange(50), vectors)
    make_store(name, DIM).snapshot(path)
    for part in (slice(0, 20), slice(20, 20), slice(20, 50)):
        chosen.append(path, DIM, np.arange(50)[part], vectors[part])
    back = chosen.restore(path, DIM)
    np.testing.assert_array_equal(back.ids(), whole.ids())
    np.testing.assert_array_equal(back.fetch(back.ids()), vectors)


@pytest.mark.parametrize("name", APPENDABLE)
def test_a_snapshot_with_an_id_twice_is_refused(name: str, tmp_path: Path) -> None:
    path, chosen = tmp_path / "index", store_class(name)
    for _ in range(2):
        chosen.append(path, DIM, ids(7), units(1))
    with pytest.raises(IndexCorruptError, match="twice"):
        chosen.restore(path, DIM)
