"""What every store with files must do, of every kind: grow, forget, merge, survive.

A few hundred vectors are enough for graphs and lists to be built; the cases in between are drawn.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexer.errors import IndexCorruptError, IndexMemoryError, StorageFullError
from indexer.registry import kind_of, store_class
from indexer.stores import faiss_files
from indexer.stores.contract import Changes, IndexOptions, SyncMark, VectorStore, ranked
from indexer.stores.exact import ExactStore
from indexer.stores.gpu import gpu_for
from indexer.stores.halves import deviation
from indexer.stores.kinds import KINDS, choose
from indexer.stores.rows import Part, Rows
from indexer.stores.scan import nearest

DIM, BASE = 16, 400
SPECS = ["faiss", *(f"faiss:{kind}" for kind in KINDS if kind != "auto")]
APPROXIMATE = ["faiss:flat-8bit", "faiss:hnsw", "faiss:ivf-flat", "faiss:ivf-pq"]
IDENTITY = {"library": "a library", "dim": DIM}


def clustered(n: int, seed: int = 0, start: int = 0) -> np.ndarray:
    """Unit vectors round twelve middles."""
    middles = np.random.default_rng(5).standard_normal((12, DIM))
    rng = np.random.default_rng((seed, start))
    rows = middles[rng.integers(0, 12, n)] + 0.4 * rng.standard_normal((n, DIM))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


class Files:
    """An index of one kind in a folder, and the store in memory that it has to equal."""

    def __init__(self, spec: str, folder: Path) -> None:
        self.spec, self.path = spec, folder / "space-1.json"
        self.model = ExactStore(DIM)
        self.saved = 0

    def save(
        self,
        ids: np.ndarray,
        vectors: np.ndarray,
        *,
        gone: np.ndarray | None = None,
        anew: bool = False,
        erase: bool = False,
        options: IndexOptions | None = None,
    ) -> None:
        if gone is not None:
            self.model.delete(gone)
        self.model.upsert(ids, vectors)
        self.saved += 1
        changes = Changes(
            IDENTITY,
            SyncMark(self.saved, 0, self.model.count()),
            [(ids[i : i + 150], vectors[i : i + 150]) for i in range(0, len(ids), 150)],
            keep=None if gone is None else self.model.ids(),
            anew=anew,
            erase=erase,
        )
        chosen = store_class(self.spec)
        chosen.update(self.path, DIM, changes, options or IndexOptions(), kind_of(self.spec))

    def open(self) -> VectorStore:
        store: VectorStore = store_class(self.spec).load(self.path, DIM, kind_of(self.spec))
        return store

    def of(self, end: str) -> list[Path]:
        return sorted(self.path.parent.glob(f"*.{end}"))


def equal(store: VectorStore, model: VectorStore, *, seed: int = 77) -> None:
    """The same vectors; answers that are the model's, or at least true and nearly complete."""
    assert store.count() == model.count()
    np.testing.assert_array_equal(store.ids(), model.ids())
    np.testing.assert_array_equal(store.fetch(model.ids()), model.fetch(model.ids()))
    queries = clustered(12, seed)
    for k, only in ((5, None), (60, None), (5, model.ids()[::2]), (5, model.ids()[:7])):
        found, scores = store.search(queries, k, only)
        expected, expected_scores = model.search(queries, k, only)
        assert found.shape == expected.shape
        if store.stats().exact:
            np.testing.assert_array_equal(found, expected)
            np.testing.assert_array_equal(scores, expected_scores)
            continue
        assert only is None or np.isin(found, only).all()
        whole, whole_scores = model.search(queries, model.count())
        for row in range(len(queries)):
            score_of = dict(zip(whole[row].tolist(), whole_scores[row].tolist(), strict=True))
            assert scores[row].tolist() == [score_of[i] for i in found[row].tolist()]
        assert (scores >= expected_scores[:, -1:] - 1e-6).mean() > 0.8


@pytest.fixture(scope="module", params=SPECS)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Four hundred vectors in one segment; not to be changed."""
    files = Files(request.param, tmp_path_factory.mktemp("built"))
    files.save(np.arange(BASE), clustered(BASE), anew=True)
    return files


@pytest.fixture
def files(built: Files, tmp_path: Path) -> Files:
    """A copy of one's own."""
    return copied(built, tmp_path)


def copied(built: Files, folder: Path) -> Files:
    shutil.copytree(built.path.parent, folder / "index")
    copy = Files(built.spec, folder / "index")
    copy.saved = built.saved
    copy.model = deepcopy(built.model)
    return copy


# -- opening --------------------------------------------------------------------------------------


def test_what_was_written_is_opened(built: Files) -> None:
    store = built.open()
    equal(store, built.model)
    stats = store.stats()
    assert stats == store_class(built.spec).read_stats(built.path)
    assert store_class(built.spec).read_mark(built.path) == (IDENTITY, SyncMark(1, 0, BASE))
    assert stats.exact == (built.spec not in APPROXIMATE)
    assert stats.reason
    if not stats.exact:
        assert stats.kind == built.spec
        assert 0 < stats.recall <= 1
        assert stats.parameters
    assert stats.exact or stats.recall >= 0.98 or stats.warning


@pytest.mark.parametrize("spec", SPECS)
def test_an_empty_index_is_one_too(spec: str, tmp_path: Path) -> None:
    files = Files(spec, tmp_path)
    files.save(np.empty(0, np.int64), np.empty((0, DIM), np.float32), anew=True)
    store = files.open()
    assert store.count() == 0
    assert store.search(clustered(2), 5)[0].shape == (2, 0)
    files.save(np.arange(3), clustered(3))
    equal(files.open(), files.model)


def test_changes_in_memory_lie_over_what_is_on_disk(files: Files) -> None:
    store, model = files.open(), files.model
    before = [path.read_bytes() for path in sorted(files.path.parent.iterdir())]
    for each in (store, model):
        each.upsert(np.array([3, 1000, 1001]), clustered(3, 1))
        each.delete(np.arange(20, 60))
        each.upsert(np.array([25, 1001]), clustered(2, 2))
    equal(store, model)
    assert [path.read_bytes() for path in sorted(files.path.parent.iterdir())] == before


def test_damage_is_noticed_in_every_file(files: Files) -> None:
    files.save(np.arange(5), clustered(5, 9))
    files.open()
    for path in sorted(files.path.parent.iterdir()):
        whole = path.read_bytes()
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 1
        harms: list[bytes | None] = [None, b"", whole[:-1], whole + b"\0"]
        harms += [] if path == files.path else [bytes(flipped)]
        for harm in harms[:3] if path == files.path else harms:
            path.unlink()
            if harm is not None:
                path.write_bytes(harm)
            with pytest.raises(IndexCorruptError):
                files.open()
            path.write_bytes(whole)
    with pytest.raises(IndexCorruptError, match="kind or dimension"):
        store_class(files.spec).load(files.path, DIM + 1, kind_of(files.spec))
    other = "flat" if files.spec != "faiss:flat" else "hnsw"
    with pytest.raises(IndexCorruptError, match="kind or dimension"):
        store_class(files.spec).load(files.path, DIM, other)
    equal(files.open(), files.model)


# -- growing, forgetting, merging -----------------------------------------------------------------


def test_a_writer_adds_a_segment_and_leaves_the_others_alone(files: Files) -> None:
    (old,) = files.of("rows")
    written = old.stat().st_mtime_ns
    files.save(np.arange(BASE, BASE + 20), clustered(20, 1))
    assert len(files.of("rows")) == 2
    assert old.stat().st_mtime_ns == written
    equal(files.open(), files.model)


def test_replaced_and_removed_ids_are_buried(files: Files) -> None:
    files.save(np.arange(10), clustered(10, 3), gone=np.arange(50, 80))
    assert files.of("dead"), "they are noted"
    equal(files.open(), files.model)
    files.save(np.arange(50, 55), clustered(5, 4))
    equal(files.open(), files.model)


def test_many_dead_rows_are_merged_away(files: Files) -> None:
    files.save(np.empty(0, np.int64), np.empty((0, DIM), np.float32), gone=np.arange(0, 120))
    assert not files.of("dead")
    (rows,) = files.of("rows")
    assert rows.stat().st_size == (BASE - 120) * (2 * DIM + 8)
    equal(files.open(), files.model)


def test_many_small_segments_are_merged(files: Files) -> None:
    for number in range(12):
        files.save(np.array([BASE + number]), clustered(1, number))
    assert len(files.of("rows")) < 9
    equal(files.open(), files.model)


def test_many_new_rows_come_into_the_structure(files: Files) -> None:
    files.save(np.arange(BASE, 2 * BASE), clustered(BASE, 6))
    if files.spec in APPROXIMATE:
        assert len(files.of("rows")) == 1
    equal(files.open(), files.model)


def test_an_open_store_goes_on_while_its_files_are_replaced(files: Files) -> None:
    store = files.open()
    before = store.search(clustered(9, 8), 10)
    files.save(np.arange(BASE), clustered(BASE, 2), anew=True)
    np.testing.assert_array_equal(store.search(clustered(9, 8), 10), before)
    equal(files.open(), files.model)


def test_of_what_was_erased_nothing_stays_in_any_file(files: Files) -> None:
    gone = np.arange(40, 45)
    rows = [row.tobytes() for row in files.model.fetch(gone).astype("<f2")]
    files.save(np.empty(0, np.int64), np.empty((0, DIM), np.float32), gone=gone, erase=True)
    for path in files.path.parent.iterdir():
        content = path.read_bytes()
        assert not any(row in content for row in rows), path.name
    equal(files.open(), files.model)
    files.save(np.arange(BASE, BASE + 5), clustered(5, 1))
    equal(files.open(), files.model)


step = st.tuples(
    st.lists(st.integers(0, BASE + 60), max_size=40, unique=True),
    st.lists(st.integers(0, BASE + 60), max_size=40, unique=True),
    st.integers(0, 2**16),
    st.booleans(),
)


@given(steps=st.lists(step, min_size=1, max_size=4))
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_order_of_writing_and_opening_gives_what_a_model_holds(
    built: Files,
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[list[int], list[int], int, bool]],
) -> None:
    files = copied(built, tmp_path_factory.mktemp("steps"))
    store = files.open()
    for added, gone, seed, save in steps:
        ids, vectors = np.array(added, np.int64), clustered(len(added), seed)
        if save:
            files.save(ids, vectors, gone=np.array(gone, np.int64))
            store = files.open()
        else:  # as a reader does until a writer comes by; it starts from the files
            store.delete(np.array(gone, np.int64))
            store.upsert(ids, vectors)
            model = deepcopy(files.model)
            model.delete(np.array(gone, np.int64))
            model.upsert(ids, vectors)
            equal(store, model)
            store = files.open()
        equal(store, files.model)


# -- filters --------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", APPROXIMATE)
def test_a_filter_costs_no_recall(spec: str, tmp_path: Path) -> None:
    """Nor one whose rows all lie far from the query, where lists and graphs lose their way."""
    files, count = Files(spec, tmp_path), 3000
    vectors = clustered(count, 1)
    files.save(np.arange(count), vectors, anew=True)
    store = files.open()
    assert not store.stats().exact
    queries = clustered(40, 2)
    near = vectors @ np.random.default_rng(5).standard_normal(DIM)
    for only in (
        np.flatnonzero(np.random.default_rng(1).random(count) < 0.5),
        np.flatnonzero(np.random.default_rng(1).random(count) < 0.1),
        np.flatnonzero(near > np.median(near)),
        np.flatnonzero(near > np.quantile(near, 0.9)),
    ):
        _, scores = store.search(queries, 10, only)
        _, truth = files.model.search(queries, 10, only)
        assert (scores >= truth[:, -1:] - 1e-6).mean() >= 0.97


# -- trouble --------------------------------------------------------------------------------------


def test_a_stopped_writer_leaves_what_was_there(files: Files) -> None:
    def stopped() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield np.arange(5000, 5010), clustered(10)
        raise KeyboardInterrupt

    names = {path.name for path in files.path.parent.iterdir()}
    changes = Changes(IDENTITY, SyncMark(9, 0, BASE + 10), stopped())
    with pytest.raises(KeyboardInterrupt):
        store_class(files.spec).update(
            files.path, DIM, changes, IndexOptions(), kind_of(files.spec)
        )
    assert {path.name for path in files.path.parent.iterdir()} == names
    equal(files.open(), files.model)


KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from indexer.registry import store_class
from indexer.stores import faiss_files, manifest
from indexer.stores.contract import Changes, IndexOptions, SyncMark

left = int(sys.argv[2])

def counted(temporary, path, publish=manifest.publish):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    publish(temporary, path)

manifest.publish = counted
rows = np.random.default_rng(3).standard_normal((400, 16)).astype(np.float32)
rows /= np.linalg.norm(rows, axis=1, keepdims=True)
of = {"library": "a library", "dim": 16}
changes = Changes(of, SyncMark(9, 0, 700), [(np.arange(300, 700), rows)])
store_class("faiss").update(Path(sys.argv[1]), 16, changes, IndexOptions(), "hnsw")
"""


def test_a_killed_writer_leaves_what_was_there_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    """Killed before each of the files that it would have given a name, the manifest last."""
    files = Files("faiss:hnsw", tmp_path)
    files.save(np.arange(BASE), clustered(BASE), anew=True)
    names = {path.name for path in tmp_path.iterdir()}
    for published in (0, 2, 3):
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, str(files.path), str(published)], check=False
        )
        assert killed.returncode == -signal.SIGKILL
        assert {path.name for path in tmp_path.iterdir()} > names, "it leaves something behind"
        equal(files.open(), files.model)
    files.save(np.empty(0, np.int64), np.empty((0, DIM), np.float32))
    assert {path.name for path in tmp_path.iterdir()} == names


def test_a_damaged_index_is_not_built_upon(files: Files) -> None:
    (rows,) = files.of("rows")
    rows.write_bytes(rows.read_bytes()[:-1] + b"\7")
    with pytest.raises(IndexCorruptError, match="checksum"):
        files.save(np.arange(3), clustered(3))
    files.save(files.model.ids(), files.model.fetch(files.model.ids()), anew=True)
    equal(files.open(), files.model)


def test_an_index_that_would_hold_something_else_is_not_written(files: Files) -> None:
    changes = Changes(IDENTITY, SyncMark(9, 0, BASE + 7), [(np.arange(900, 903), clustered(3))])
    with pytest.raises(IndexCorruptError, match=f"would hold {BASE + 3}, not {BASE + 7}"):
        store_class(files.spec).update(
            files.path, DIM, changes, IndexOptions(), kind_of(files.spec)
        )
    equal(files.open(), files.model)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageFullError, match="free space and run"):
        Files("faiss", tmp_path / "file").save(np.arange(3), clustered(3), anew=True)


def test_too_little_memory_is_said_and_every_vector_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faiss_files, "memory_available", lambda: 1000)
    files = Files("faiss:hnsw", tmp_path)
    with pytest.raises(IndexMemoryError, match="building 'hnsw' of 400 vectors"):
        files.save(np.arange(BASE), clustered(BASE), anew=True, options=IndexOptions(required=True))
    assert not list(tmp_path.iterdir())
    files.save(np.arange(BASE), clustered(BASE), anew=True)
    stats = files.open().stats()
    assert stats.exact
    assert "every vector is compared instead" in stats.warning
    equal(files.open(), files.model)
    monkeypatch.undo()
    files.save(np.arange(2), clustered(2, 5))
    assert not files.open().stats().exact
    assert not files.open().stats().warning


def test_a_recall_below_the_target_stays_said(tmp_path: Path) -> None:
    files = Files("faiss:ivf-pq", tmp_path)
    rows = np.random.default_rng(0).standard_normal((2000, DIM)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    files.save(np.arange(2000), rows, anew=True, options=IndexOptions(recall=1.0))
    stats = files.open().stats()
    assert (stats.recall < 1) == bool(stats.warning)
    if stats.warning:
        assert "less than the 100.0% aimed for" in stats.warning


@pytest.mark.parametrize("kind", ["flat", "flat-f32"])
def test_large_parts_are_scanned_by_threads_and_products(kind: str, tmp_path: Path) -> None:
    files, count = Files(f"faiss:{kind}", tmp_path), 45_000
    files.save(np.arange(count), clustered(count), anew=True)
    files.save(np.arange(count, count + 9), clustered(9, 3))
    store = files.open()
    for queries in (clustered(1, 4), clustered(140, 5)):
        for only in (None, np.arange(0, count, 3)):
            found = store.search(queries, 9, only)
            np.testing.assert_array_equal(found, files.model.search(queries, 9, only))


def test_rows_on_a_device_give_the_same_answers() -> None:
    """On PyTorch's CPU; on a GPU it is the same code, but for the rounding."""
    count = 3000
    rows = clustered(count).astype(np.float16)
    rows[1000:2000] = rows[7]  # more copies than candidates are brought
    model = ExactStore(DIM)
    model.upsert(np.arange(count), rows.astype(np.float32))
    off = deviation(rows)
    parts = [Part(rows[:2500], 0, off, device="cpu"), Part(rows[2500:], 2500, off, device="cpu")]
    held = Rows(DIM, parts, np.arange(count))
    some = (np.arange(0, count, 2), np.arange(300, 600), np.arange(2600, 2990), np.array([5, 1500]))
    for queries in (clustered(1, 4), clustered(300, 5), rows[7:8].astype(np.float32)):
        for only in (None, *some):
            found = nearest(held, queries, 9, held.select(only))
            got = ranked(held.ids_of(found[0]), found[1], 9)
            expected = model.search(queries, 9, only)
            np.testing.assert_array_equal(got[0], expected[0])
            np.testing.assert_array_equal(got[1], expected[1])


@pytest.mark.skipif(gpu_for("auto") is None, reason="FAISS finds no GPU")
@pytest.mark.parametrize("kind", ["flat", "ivf-flat", "ivf-pq"])
def test_a_gpu_gives_the_same_answers(kind: str, tmp_path: Path) -> None:
    files, count = Files(f"faiss:{kind}", tmp_path), 45_000
    files.save(np.arange(count), clustered(count), anew=True)
    store = store_class("faiss").load(files.path, DIM, kind, "auto")
    for only in (None, np.arange(0, count, 3), np.arange(0, count, 900)):
        for queries in (clustered(1, 4), clustered(140, 5)):
            found, scores = store.search(queries, 9, only)
            expected, expected_scores = files.model.search(queries, 9, only)
            assert only is None or np.isin(found, only).all()
            if kind == "flat":
                np.testing.assert_array_equal(found, expected)
            assert (scores >= expected_scores[:, -1:] - 1e-6).mean() > 0.9


def test_what_a_gpu_cannot_hold_becomes_codes() -> None:
    assert choose("auto", 10**6, 768, gpu_free=8 * 2**30)[0] == "flat"
    kind, reason = choose("auto", 10**7, 768, gpu_free=8 * 2**30)
    assert (kind, reason) == (
        "ivf-pq",
        "10,000,000 vectors (14.3 GB) do not fit on the GPU, codes do",
    )
