"""A library mirrored into a server: what comes, goes or changes in the catalog follows there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("qdrant_client", reason="the extra qdrant is not installed")

import numpy as np
from sqlalchemy import delete, insert, select, update
from test_qdrant_wire import RestServer, make_spec, server, spec  # noqa: F401 - fixtures

from indexer.catalog.database import reading, transaction
from indexer.catalog.tables import (
    EmbeddingRow,
    Item,
    Label,
    Patient,
    Series,
    SliceRow,
    Space,
    Study,
)
from indexer.errors import LibraryCorruptError, StoreError
from indexer.filters import parse_filter, sql_condition
from indexer.index import mirror
from indexer.index.mirror import compare, sync
from indexer.index.projection import ITEMS, SLICES, catalog_ids, embeddings, read_mark, write_mark
from indexer.index.saving import save_projection
from indexer.library import Library
from indexer.reading.drafts import ReadOptions
from indexer.searching.asking import SearchRequest, like
from indexer.searching.search import search
from indexer.stores.contract import Place
from indexer.stores.qdrant import QdrantStore


class Mirrored:
    """A library of its own, and its items in a collection of their own."""

    def __init__(self, library: Library, spec: str) -> None:  # noqa: F811
        self.library = library
        (self.space,) = library.spaces()
        self.store = QdrantStore.connect(spec, self.place("space"))

    def place(self, layer: str) -> Place:
        space = self.space
        names = (space.encoder, space.weights, space.preprocessing)
        return Place(self.library.config.id, *names, layer, space.dim)

    def sync(self, **options: Any) -> mirror.SyncReport:
        return sync(self.library, self.space, ITEMS, self.store, **options)

    def is_current(self) -> bool:
        with reading(self.library.engine) as db:
            return mirror.is_current(self.library, db, self.space)

    def in_catalog(self) -> list[int]:
        with reading(self.library.engine) as db:
            return catalog_ids(db, self.space.id).tolist()

    def passing(self, expression: str) -> tuple[set[int], set[int]]:
        """Ids by the server and by the catalog."""
        tree = parse_filter(expression)
        query = np.eye(1, self.space.dim, dtype=np.float32)
        answer = self.store.search_where(query, 10_000, tree)
        assert answer is not None
        with reading(self.library.engine) as db:
            rows = select(Item.id).join(Series).join(Study).join(Patient)
            by_sql = db.execute(rows.where(sql_condition(tree))).scalars()
            return set(answer[0][0].tolist()), set(by_sql)


@pytest.fixture
def mirrored(copy: Library, spec: str) -> Iterator[Mirrored]:  # noqa: F811
    made = Mirrored(copy, spec)
    yield made
    made.store.drop()
    made.store.close()


def test_everything_goes_over_and_the_second_time_nothing(mirrored: Mirrored) -> None:
    told: list[tuple[int, int]] = []
    first = mirrored.sync(on_progress=lambda done, total: told.append((done, total)))
    ids = mirrored.in_catalog()
    assert (first.added, first.removed, first.count) == (len(ids), 0, len(ids))
    assert first.complete
    assert told[-1] == (len(ids), len(ids))
    assert mirrored.store.ids().tolist() == ids
    again = mirrored.sync()
    assert (again.added, again.removed, again.changed) == (0, 0, 0)
    found = compare(mirrored.library, mirrored.space, ITEMS, mirrored.store)
    assert (found.equal, found.recall) == (found.queries, 1.0)
    with reading(mirrored.library.engine) as db:
        for _, some, vectors in embeddings(db, mirrored.space):
            np.testing.assert_array_equal(mirrored.store.fetch(some), vectors)


def test_removed_studies_are_gone(mirrored: Mirrored) -> None:
    mirrored.sync()
    before = mirrored.in_catalog()
    with transaction(mirrored.library.engine) as db:
        study = db.execute(select(Study.id).limit(1)).scalar_one()
        db.execute(delete(Study).where(Study.id == study))
        db.execute(update(Space).values(generation=Space.generation + 1))
    report = mirrored.sync()
    after = mirrored.in_catalog()
    assert report.removed == len(before) - len(after) > 0
    assert mirrored.store.ids().tolist() == after


def test_what_changes_of_a_study_changes_its_payloads_alone(mirrored: Mirrored) -> None:
    mirrored.sync()
    with transaction(mirrored.library.engine) as db:
        study, other = db.execute(select(Study.id).limit(2)).scalars().all()
        db.execute(update(Study).where(Study.id == study).values(split="Prüfung", age_years=11.5))
        db.execute(insert(Label).values(study_id=other, name="Grade", value="III"))
    assert not mirrored.is_current()
    report = mirrored.sync()
    assert mirrored.is_current()
    assert 0 < report.changed < report.count
    assert report.added == 0
    for expression in ("split=prüfung and age=11.5", "label:grade=iii", "label:grade!=II"):
        by_server, by_sql = mirrored.passing(expression)
        assert by_server == by_sql != set()
    assert mirrored.sync().changed == 0


def test_a_stopped_run_is_gone_on_with(mirrored: Mirrored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "_CHUNK", 7)
    asked = iter([False, False, True])
    report = mirrored.sync(stop=lambda: next(asked))
    assert not report.complete
    assert (report.added, report.count) == (14, 14)
    mark = read_mark(mirrored.library, mirrored.space, ITEMS)
    assert mark is not None
    assert mark.count == 14
    rest = mirrored.sync()
    assert rest.added == len(mirrored.in_catalog()) - 14


def test_what_is_there_is_not_sent_again_when_the_mark_is_lost(mirrored: Mirrored) -> None:
    mirrored.sync()
    for path in mirrored.library.index_folder.glob("*.mark.json"):
        path.unlink()
    report = mirrored.sync()
    assert (report.added, report.removed) == (0, 0)
    assert report.changed == report.count, "nobody knows how old the payloads are"


def test_points_that_are_missing_too_many_or_others_are_put_right(mirrored: Mirrored) -> None:
    mirrored.sync()
    ids = mirrored.in_catalog()
    mirrored.store.delete(np.array(ids[:2]))
    strange = np.eye(1, mirrored.space.dim, dtype=np.float32)
    mirrored.store.upsert(np.array([99_999]), strange, [{"uid": "strange"}])
    mirrored.store.set_payloads(np.array(ids[3:4]), [{"uid": "another"}])
    report = mirrored.sync()
    assert (report.added, report.removed) == (3, 2)
    assert mirrored.store.ids().tolist() == ids


def test_an_older_catalog_put_back_is_followed(mirrored: Mirrored) -> None:
    """It counts its changes anew from where it was: the mark may have seen higher numbers."""
    mirrored.sync()
    mark = read_mark(mirrored.library, mirrored.space, ITEMS)
    assert mark is not None
    ahead = replace(mark, revision=mark.revision + 1000)
    write_mark(mirrored.library, mirrored.space, ITEMS, ahead)
    with transaction(mirrored.library.engine) as db:
        study = db.execute(select(Study.id).limit(1)).scalar_one()
        db.execute(update(Study).where(Study.id == study).values(split="older"))
    report = mirrored.sync()
    assert report.changed == report.count
    by_server, by_sql = mirrored.passing("split=older")
    assert by_server == by_sql != set()


def test_other_vectors_under_the_same_ids_are_noticed(mirrored: Mirrored) -> None:
    mirrored.sync()
    ids = np.array(mirrored.in_catalog())
    wrong = np.ones((len(ids), mirrored.space.dim), np.float32) / mirrored.space.dim**0.5
    mirrored.store.upsert(ids, wrong)
    with pytest.raises(StoreError, match="holds other vectors of 'texture'"):
        mirrored.sync()


def test_a_damaged_vector_is_not_sent(mirrored: Mirrored) -> None:
    with transaction(mirrored.library.engine) as db:
        db.execute(update(EmbeddingRow).where(EmbeddingRow.seq == 3).values(vector=b"xx"))
    with pytest.raises(LibraryCorruptError, match="verify --repair"):
        mirrored.sync()


def test_slices_go_into_a_collection_of_their_own(mirrored: Mirrored, spec: str) -> None:  # noqa: F811
    library, space = mirrored.library, mirrored.space
    with transaction(library.engine) as db:
        item, vector = db.execute(select(EmbeddingRow.item_id, EmbeddingRow.vector).limit(1)).one()
        db.exec_driver_sql(
            "INSERT INTO slice_embedding (space_id, item_id, slice_index, vector) VALUES "
            "(?, ?, 0, ?), (?, ?, 4, ?)",
            (space.id, item, vector, space.id, item, vector),
        )
    store = QdrantStore.connect(spec, mirrored.place("slices"))
    report = sync(library, space, SLICES, store)
    assert (report.added, report.count) == (2, 2)
    assert [name for _, name in store.known("slice_index")] == [0, 4]
    assert [name for _, name in store.known("item")] == [item, item]
    query = np.eye(1, space.dim, dtype=np.float32)
    found = store.search_where(query, 5, parse_filter("kind in (image, volume)"))
    assert found is not None
    assert found[0].shape == (1, 2)
    assert sync(library, space, SLICES, store).added == 0
    store.drop()
    store.close()


KILLED = """
import os, sys
from pathlib import Path
from indexer.index import mirror
from indexer.searching.asking import SearchRequest, like
from indexer.library import Library
from indexer.index.projection import ITEMS
from indexer.reading.drafts import ReadOptions
from indexer.index.saving import save_projection
from indexer.searching.search import search
from indexer.stores.contract import Place
from indexer.stores.qdrant import QdrantStore

mirror._CHUNK, mirror._MARK_EVERY = 5, 2
library = Library.open(Path(sys.argv[1]))
(space,) = library.spaces()
names = (space.encoder, space.weights, space.preprocessing)
place = Place(library.config.id, *names, "space", space.dim)
store = QdrantStore.connect(sys.argv[2], place)
mirror.sync(library, space, ITEMS, store, on_progress=lambda done, _: done > 12 and os._exit(9))
"""


def test_a_killed_run_is_gone_on_with(copy: Library, tmp_path: Path) -> None:
    spec = f"qdrant+local://{tmp_path}/qdrant"  # noqa: F811
    root = Path(mirror.__file__).resolve().parents[1]
    command = [sys.executable, "-c", KILLED, str(copy.path), spec]
    done = subprocess.run(command, cwd=root, timeout=120, check=False)
    assert done.returncode == 9
    mirrored = Mirrored(copy, spec)
    mark = read_mark(copy, mirrored.space, ITEMS)
    assert mark is not None
    assert (mark.count, mirrored.store.count()) == (10, 15), "the mark says less than is there"
    report = mirrored.sync()
    assert report.added == len(mirrored.in_catalog()) - 15
    assert mirrored.store.ids().tolist() == mirrored.in_catalog()
    mirrored.store.close()


def test_searches_leave_filters_to_a_server_that_is_current(
    copy: Library,
    spec: str,  # noqa: F811
    server: RestServer,  # noqa: F811
) -> None:
    options = ReadOptions(copy.config.encoders, copy.key)
    with reading(copy.engine) as db:
        uid = db.execute(select(Item.uid).order_by(Item.id).limit(1)).scalar_one()

    def found(library: Library, filter_: str) -> list[str]:
        request = SearchRequest(like(uid=uid), filter=filter_, same_patient=True)
        return [hit.id for hit in search(library, request, options).hits]

    def named() -> bool:
        """Whether ids were sent with a query since the last look."""
        queries = [body for _, path, body in server.heard if path.endswith("/query/batch")]
        server.heard.clear()
        assert queries
        return any("has_id" in str(body) for body in queries)

    with copy.with_store(spec) as there, copy.writing():
        save_projection(there, there.spaces()[0])
        for filter_ in ("modality=CT", "modality=CT and sex=F", "not modality in (CT,MR)"):
            assert found(there, filter_) == found(copy, filter_)
            assert not named()
        # An order of texts is beyond the server; so is a label that it was not told of.
        assert found(there, "modality<D") == found(copy, "modality<D") != []
        assert named()
        # What reports say does not leave the catalog.
        assert found(there, "word=normal") == found(copy, "word=normal") != []
        assert named()
        with transaction(copy.engine) as db:
            studies = db.execute(select(Study.id)).scalars().all()
            db.execute(
                insert(Label), [{"study_id": n, "name": "new", "value": "yes"} for n in studies]
            )
        assert found(there, "label:new=yes") == found(copy, "label:new=yes") != []
        assert named()


def test_rankings_by_slices_and_by_parts_leave_filters_to_it_too(
    copy: Library,
    spec: str,  # noqa: F811
    server: RestServer,  # noqa: F811
) -> None:
    """Which volumes have no slices a server does not know: these alone are named."""
    (space,) = copy.spaces()
    with transaction(copy.engine) as db:
        volumes = db.execute(select(Item.id).where(Item.kind == "volume").order_by(Item.id))
        whole, asked, *others = volumes.scalars().all()
        vectors = db.execute(select(EmbeddingRow.vector).limit(2)).scalars().all()
        made = [(item, n) for item in (asked, *others) for n in (0, 1)]
        db.execute(
            insert(SliceRow),
            [
                {"space_id": space.id, "item_id": i, "slice_index": n, "vector": vectors[n]}
                for i, n in made
            ],
        )
        uid = db.execute(select(Item.uid).where(Item.id == asked)).scalar_one()
        rows = set(db.execute(select(SliceRow.seq)).scalars())

    def found(library: Library, rank: str, filter_: str) -> list[tuple[str, float]]:
        request = SearchRequest(like(uid=uid), rank=rank, filter=filter_, same_patient=True, k=30)
        options = ReadOptions(copy.config.encoders, copy.key)
        return [(hit.id, hit.score) for hit in search(library, request, options).hits]

    def named(*, slices: bool) -> set[int]:
        """The ids that were sent with queries for items or slices since the last look."""
        queries = [
            each["filter"]
            for _, path, body in server.heard
            if path.endswith("/query/batch") and ("-slices/" in path) is slices
            for each in body["searches"]
        ]
        return {i for each in queries for c in each["must"] for i in c.get("has_id", ())}

    def sent(library: Library, rank: str, filter_: str) -> tuple[set[int], set[int]]:
        """Ids of items and of slices; what is found is what is found without a server."""
        server.heard.clear()
        assert found(library, rank, filter_) == found(copy, rank, filter_) != []
        return named(slices=False), named(slices=True)

    with copy.with_store(spec) as there, copy.writing():
        save_projection(there, space)
        for filter_, alone in (
            ("modality in (CT,MR)", {whole}),
            ("modality in (CT,MR,CR,DX,MG) and not age<1", {whole}),
            ("kind=image", set()),
        ):
            for rank in ("frequency", "max", "sum"):
                assert sent(there, rank, filter_) == (alone, set())
            assert sent(there, "late", filter_) == (set(), set())
        assert rows > sent(there, "max", "modality<D")[1] != set(), "that is beyond it"
        # Each layer has a mark of its own.
        mark = read_mark(there, space, SLICES)
        assert mark is not None
        write_mark(there, space, SLICES, replace(mark, revision=mark.revision - 1))
        assert sent(there, "max", "kind=volume") == ({whole}, rows)
