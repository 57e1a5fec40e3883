"""`reindex` onto the server that answers: filled beside, compared, switched to, or stopped."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("qdrant_client", reason="the extra qdrant is not installed")

import numpy as np
from qdrant_rest import RestServer
from sqlalchemy import delete, func, insert, select
from test_qdrant_wire import server  # noqa: F401 - a fixture

from api.service import library as libraries
from api.service.reindex import ReindexReport, reindex
from indexer.catalog.database import reading, transaction
from indexer.catalog.tables import EmbeddingRow, Item, Label, Series, SliceRow, Space, Study
from indexer.config import Settings
from indexer.errors import StoreError
from indexer.index import mirror
from indexer.index.mirror import connect_mirror, is_current
from indexer.index.projection import ITEMS, LAYERS, SLICES, read_mark, write_mark
from indexer.index.saving import rebuild, save_all
from indexer.library import Library
from indexer.reading.drafts import ReadOptions
from indexer.searching.asking import SearchRequest, like
from indexer.searching.search import Searcher
from indexer.stores.contract import IndexOptions
from indexer.stores.qdrant import QdrantStore
from indexer.stores.qdrant_collection import Collection
from indexer.stores.qdrant_server import open_server, release
from indexer.stores.qdrant_spec import read_spec
from indexer.verify import verify

ITEM_COUNT, SLICE_COUNT = 58, 12
NUMBERS = itertools.count()


class Served:
    """A library whose vectors, of items and of some slices, are in a server."""

    def __init__(self, library: Library, spec: str, other: str) -> None:
        self.library, self.spec, self.other = library, spec, other
        self.space = library.spaces()[0]
        self._add_slices()
        reindex(library, spec, Settings())

    def _add_slices(self) -> None:
        """Of two volumes; each slice is like another item."""
        with transaction(self.library.engine) as db:
            volumes = select(Item.id).where(Item.kind == "volume").order_by(Item.id).limit(2)
            vectors = select(EmbeddingRow.vector).limit(SLICE_COUNT)
            owners = sorted([*db.execute(volumes).scalars()] * (SLICE_COUNT // 2))
            made = zip(owners, db.execute(vectors).scalars(), strict=True)
            db.execute(
                insert(SliceRow),
                [
                    {"space_id": self.space.id, "item_id": item, "slice_index": n, "vector": vector}
                    for n, (item, vector) in enumerate(made)
                ],
            )

    def reindex(self, on_progress: Callable[[str, int, int], None] | None = None) -> ReindexReport:
        """With the options that the library does not have yet."""
        return reindex(self.library, self.other, Settings(), on_progress or (lambda *_: None))

    def stopped_after(self, count: int, what: str = "filling") -> None:
        """Begin it, and break off once so many vectors have gone to the new collection of items."""

        def stop(told: str, done: int, _: int) -> None:
            if told.startswith(what) and done >= count:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            self.reindex(stop)

    def collections(self) -> list[str]:
        """What is in the server, without the library's own name at the beginning."""
        opened = open_server(read_spec(self.spec))
        try:
            found = opened.read(lambda client: client.get_collections()).collections
        finally:
            release(opened)
        name = read_spec(self.spec).name
        return sorted(each.name.removeprefix(name) for each in found if each.name.startswith(name))

    def found(self, searcher: Searcher | None = None) -> list[list[tuple[str, float]]]:
        """What some searches find, by items and by slices, with a filter and without."""
        searcher = searcher or self.searcher()
        with reading(self.library.engine) as db:
            uid = db.execute(select(Item.uid).order_by(Item.id).limit(1)).scalar_one()
        asked = SearchRequest(like(uid=uid), k=20, same_patient=True)
        answers = [
            searcher.search(replace(asked, rank=rank, filter=filter_))
            for rank in ("pooled", "max", "late")
            for filter_ in ("", "modality=CT")
        ]
        return [[(hit.id, hit.score) for hit in answer.hits] for answer in answers]

    def searcher(self) -> Searcher:
        return Searcher(self.library, ReadOptions(self.library.config.encoders, self.library.key))

    def is_current(self) -> bool:
        with reading(self.library.engine) as db:
            return all(is_current(self.library, db, self.space, layer) for layer in LAYERS)


@pytest.fixture(params=["local", "http"])
def served(
    request: pytest.FixtureRequest,
    copy: Library,
    server: RestServer,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Served]:
    monkeypatch.setattr(mirror, "_CHUNK", 5)
    monkeypatch.setattr(mirror, "_MARK_EVERY", 2)
    if request.param == "local":
        spec = f"qdrant+local://{tmp_path / 'server'}?collection=chest"
        made = Served(copy, spec, f"{spec}&exact=1")
    else:
        spec = f"qdrant://127.0.0.1:{server.port}/renewal{next(NUMBERS)}x"
        made = Served(copy, spec, f"{spec}?shards=2&quantization=int8")
    yield made
    if made.collections():
        reindex(copy, "exact", Settings(), drop_old=True)


HTTP, LOCAL = (
    pytest.mark.parametrize("served", [kind], indirect=True) for kind in ("http", "local")
)
"""For what would be the same by the other way."""


def test_searches_find_everything_until_the_new_collections_answer(served: Served) -> None:
    before, running = served.found(), served.searcher()
    assert all(before)
    told: list[str] = []

    def look(what: str, done: int, _: int) -> None:
        if what not in told or done % 25 == 0:
            told.append(what)
            assert served.found() == before == served.found(running)
            assert served.is_current(), "the mark speaks of what answers"

    report = served.reindex(look)
    assert [(layer.of, layer.stats.count, layer.agreement) for layer in report.layers] == [
        ("items", ITEM_COUNT, 1.0),
        ("slices", SLICE_COUNT, 1.0),
    ]
    assert set(told) == {
        "filling a collection beside the one that answers",
        "comparing with the catalog",
    }
    assert (report.before, report.store, report.left) == (served.spec, served.other, "")
    assert served.library.config.store == served.other
    assert served.collections() == ["-2", "-slices-2"], "the old ones are gone"
    assert served.found() == before == served.found(running)
    assert served.is_current()
    assert not verify(served.library).findings


@HTTP
def test_the_same_address_again_makes_it_anew_with_other_options(
    served: Served,
    server: RestServer,  # noqa: F811
) -> None:
    server.heard.clear()
    served.reindex()
    made = [body for method, path, body in server.heard if method == "PUT" and path.count("/") == 2]
    assert all(body["shard_number"] == 2 for body in made)
    assert all("scalar" in body["quantization_config"] for body in made)
    reindex(served.library, None, Settings())
    assert served.library.config.store == served.other
    assert served.collections() == ["-3", "-slices-3"]


def test_a_stopped_run_is_gone_on_with(served: Served) -> None:
    before = served.found()
    served.stopped_after(15)
    assert served.library.config.store == served.spec
    assert served.collections() == ["-1", "-2", "-slices-1"]
    assert served.found() == before
    with transaction(served.library.engine) as db:
        study = db.execute(select(Study.id).limit(1)).scalar_one()
        db.execute(insert(Label).values(study_id=study, name="new", value="yes"))
    told: list[tuple[int, int]] = []
    served.reindex(lambda _, done, total: told.append((done, total)))
    assert told[0] == (5, ITEM_COUNT - 15), "what is there is not sent again"
    assert served.collections() == ["-2", "-slices-2"]
    assert served.found() == before
    assert served.is_current(), "it knows of the label"
    assert not verify(served.library).findings


def test_what_was_stopped_before_the_switch_has_only_that_left_to_do(served: Served) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(QdrantStore, "switch", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            served.reindex()
    assert served.collections() == ["-1", "-2", "-slices-1", "-slices-2"]
    told: set[str] = set()
    served.reindex(lambda what, *_: told.add(what))
    assert told == {"comparing with the catalog"}
    assert served.collections() == ["-2", "-slices-2"]


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_what_was_stopped_amid_the_switch_answers_as_before(served: Served) -> None:
    """The alias has moved; neither was the old collection deleted nor the mark written."""
    before = served.found()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Collection, "_delete", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            served.reindex()
    assert served.collections() == ["-1", "-2", "-slices-1", "-slices-2"]
    assert served.found() == before
    served.reindex()
    assert served.collections() == ["-3", "-slices-2"]
    assert served.found() == before
    assert not verify(served.library).findings


@HTTP
def test_other_options_begin_anew(served: Served) -> None:
    served.stopped_after(15)
    told: list[tuple[int, int]] = []
    reindex(served.library, None, Settings(), lambda _, *counts: told.append(counts))
    assert told[0] == (5, ITEM_COUNT)
    assert served.collections() == ["-2", "-slices-2"]


def test_what_proves_wrong_is_not_switched_to_and_not_gone_on_with(served: Served) -> None:
    before = served.found()
    served.stopped_after(15)
    with served.library.with_store(served.other) as there:
        store = connect_mirror(there, served.space, ITEMS).beside()
        ids = store.ids()
        wrong = np.ones((len(ids), served.space.dim), np.float32) / served.space.dim**0.5
        store.upsert(ids, wrong)
        store.close()
    with pytest.raises(StoreError, match="holds other vectors of 'texture'"):
        served.reindex()
    assert served.collections() == ["-1", "-slices-1"]
    assert served.found() == before
    served.reindex()
    assert served.found() == before


@HTTP
def test_too_few_found_is_not_switched_to(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    before, search = served.found(), QdrantStore.search
    monkeypatch.setattr(QdrantStore, "search", lambda store, rows, _: search(store, rows, 3))
    with pytest.raises(StoreError, match="of what the catalog has; nothing was changed"):
        served.reindex()
    monkeypatch.undo()
    assert served.collections() == ["-1", "-slices-1"]
    assert served.found() == before


def test_what_nobody_goes_on_with_goes(served: Served) -> None:
    """With what is removed, since it holds that too; with a repair; with a move."""
    served.stopped_after(15)
    with reading(served.library.engine) as db:
        uid = db.execute(select(Study.study_instance_uid).limit(1)).scalar_one()
    libraries.remove(served.library, "study", uid, actor="a test")
    assert served.collections() == ["-1", "-slices-1"]
    served.stopped_after(15)
    with served.library.writing():
        rebuild(served.library)
    assert served.collections() == ["-1", "-slices-1"]
    served.stopped_after(15)
    report = reindex(served.library, "exact", Settings())
    assert report.left == served.spec
    assert served.collections() == ["-1", "-slices-1"]


@HTTP
def test_an_index_run_leaves_what_is_begun(served: Served) -> None:
    served.stopped_after(15)
    with served.library.writing():
        save_all(served.library)
    assert served.collections() == ["-1", "-2", "-slices-1"]


@HTTP
def test_what_answers_is_not_what_moved_away_is_deleted_from(served: Served) -> None:
    before = served.found()
    report = reindex(served.library, served.other, Settings(), drop_old=True)
    assert report.left == ""
    assert served.found() == before != []


@HTTP
def test_collections_of_others_are_not_cleared(served: Served) -> None:
    """Also one whose name looks like one of ours."""
    name = f"{read_spec(served.spec).name}-7"
    opened = open_server(read_spec(served.spec))
    opened.write(lambda client, _: client.create_collection(name, vectors_config={}))
    served.reindex()
    assert served.collections() == ["-2", "-7", "-slices-2"]
    opened.write(lambda client, _: client.delete_collection(name))
    release(opened)


@HTTP
def test_the_mark_never_says_more_than_what_answers_holds(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the library's mark is of a catalog that was ahead of the one put back."""
    mark = read_mark(served.library, served.space, ITEMS)
    assert mark is not None
    write_mark(served.library, served.space, ITEMS, replace(mark, high_water=mark.high_water + 9))
    switch, seen = QdrantStore.switch, list[object]()

    def look(store: QdrantStore) -> None:
        seen.extend(read_mark(served.library, served.space, layer) for layer in LAYERS)
        switch(store)

    monkeypatch.setattr(QdrantStore, "switch", look)
    served.reindex()
    slices = read_mark(served.library, served.space, SLICES)
    assert seen == [None, slices, mark, slices]
    assert read_mark(served.library, served.space, ITEMS) == mark


@LOCAL
def test_searches_find_everything_while_a_repair_fills_the_server(served: Served) -> None:
    before, looked = served.found(), list[int]()

    def look(_: str, done: int, __: int) -> None:
        if done in (5, 25):  # before the first mark of how far it got, and after
            looked.append(done)
            assert served.found() == before

    with served.library.writing():
        rebuild(served.library, IndexOptions(on_progress=look))
    assert looked[:2] == [5, 25]
    assert served.found() == before


@LOCAL
def test_the_last_slices_leave_the_server_too(served: Served) -> None:
    with transaction(served.library.engine) as db:
        sliced = select(Series.study_id).join(Item).join(SliceRow)
        db.execute(delete(Study).where(Study.id.in_(sliced)))
        db.execute(Space.__table__.update().values(generation=Space.generation + 1))
        assert db.execute(select(func.count()).select_from(SliceRow)).scalar_one() == 0
    with served.library.writing():
        save_all(served.library)
    with closing(connect_mirror(served.library, served.space, SLICES)) as store:
        assert store.count() == 0
