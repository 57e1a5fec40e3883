"""The index of a library follows its catalog, whatever is lost, damaged or put back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cohort_library import Indexed
from library_acts import (
    SETTINGS,
    answers,
    cut_index,
    drop_index,
    drop_snapshot,
    flip_a_bit,
    notes,
    snapshot,
)
from sqlalchemy import insert, select

from api.service import library as service
from api.service import search as searching
from indexer.catalog.database import reading, transaction
from indexer.catalog.tables import (
    EmbeddingRow,
    Item,
)
from indexer.index.projection import open_projection
from indexer.index.saving import save_all, save_projection
from indexer.library import Library
from indexer.searching.asking import SearchRequest, like
from indexer.verify import verify


def spoil_description(library: Library) -> None:
    next(library.index_folder.glob("*.json")).write_text("[]")


def take_a_strangers_index(library: Library) -> None:
    """As after copying the index folder of another library of the same kind."""
    text = next(library.index_folder.glob("*.json")).read_text()
    stranger = Library.create(library.path.parent / "stranger")
    stranger.close()
    next(library.index_folder.glob("*.json")).write_text(
        text.replace(library.config.id, stranger.config.id)
    )


@pytest.mark.parametrize(
    ("harm", "note"),
    [
        (drop_index, "index was missing and is rebuilt"),
        (spoil_description, "index was missing and is rebuilt"),
        (take_a_strangers_index, "index was missing and is rebuilt"),
        (drop_snapshot, "index file was damaged and is rebuilt"),
        (cut_index, "index file was damaged and is rebuilt"),
        (flip_a_bit, "index file was damaged and is rebuilt"),
    ],
)
def test_an_index_that_is_lost_costs_a_note_and_nothing_else(
    copy: Library, indexed: Indexed, harm: Callable[[Library], None], note: str
) -> None:
    before = answers(copy, indexed)
    assert "index" not in notes(copy, indexed)
    harm(copy)
    assert note in notes(copy, indexed)
    assert answers(copy, indexed) == before
    assert note in notes(copy, indexed), "a reader repairs nothing"
    with copy.writing():
        for space in copy.spaces():
            save_projection(copy, space)
    assert "index" not in notes(copy, indexed)
    assert answers(copy, indexed) == before


def test_what_is_added_later_tops_the_index_up(
    copy: Library, indexed: Indexed, tmp_path: Path
) -> None:
    space = copy.spaces()[0]
    before = open_projection(copy, space)
    old = snapshot(copy)
    with Library.open(indexed.library) as source:
        new = _add_item(copy, source)
    topped = open_projection(copy, space)
    assert topped.note == ""
    assert set(topped.store.ids()) - set(before.store.ids()) == {new}
    assert topped.high_water > before.high_water
    with copy.writing():
        save_projection(copy, space)
    assert old.exists(), "what is there is not written again"
    assert len(list(copy.index_folder.glob("*.rows"))) == 2
    assert open_projection(copy, space).high_water == topped.high_water


def test_a_damaged_snapshot_is_not_built_upon(copy: Library, indexed: Indexed) -> None:
    """Else its damage would get a checksum that fits."""
    before = answers(copy, indexed)
    flip_a_bit(copy)
    with Library.open(indexed.library) as source:
        _add_item(copy, source)
    with copy.writing():
        save_projection(copy, copy.spaces()[0])
    assert "index" not in notes(copy, indexed)
    found = dict(answers(copy, indexed))
    assert {uid: found.get(uid) for uid, _ in before} == dict(before)


def _add_item(library: Library, source: Library) -> int:
    """One more item with the vector of the first, as a writer would add it."""
    with reading(source.engine) as db:
        item = dict(db.execute(select(Item.__table__).limit(1)).mappings().one())
        vector = dict(db.execute(select(EmbeddingRow.__table__).limit(1)).mappings().one())
    del item["id"], vector["seq"]
    with transaction(library.engine) as db:
        new = db.execute(
            insert(Item).values(**item | {"uid": "new"}).returning(Item.id)
        ).scalar_one()
        db.execute(insert(EmbeddingRow).values(**vector | {"item_id": new}))
    return int(new)


def test_what_is_deleted_is_not_found_even_by_an_old_index(
    copy: Library, indexed: Indexed, tmp_path: Path
) -> None:
    gone = indexed.plan[13].study_instance_uid
    shutil.copytree(copy.index_folder, tmp_path / "old-index")
    service.remove(copy, "study", gone, actor="test")
    expected = _found(copy, indexed)
    assert gone not in expected
    shutil.rmtree(copy.index_folder)
    shutil.copytree(tmp_path / "old-index", copy.index_folder)
    assert _found(copy, indexed) == expected
    assert "index" not in notes(copy, indexed), "it was brought up to date, not rebuilt"


def _found(library: Library, indexed: Indexed) -> list[str]:
    request = SearchRequest(like(uid=indexed.plan[0].study_instance_uid), k=1000)
    return [h.study_instance_uid for h in searching.search(library, request, SETTINGS).hits]


def test_an_older_catalog_put_back_makes_the_index_anew(
    copy: Library, indexed: Indexed, tmp_path: Path
) -> None:
    """It counts on from where it was, so old and new vectors share their numbers."""
    with Library.open(indexed.library) as source:
        _add_item(copy, source)
        with copy.writing():
            save_projection(copy, copy.spaces()[0])
        copy.close()
        shutil.copy(source.path / "catalog.sqlite", copy.path / "catalog.sqlite")
    assert "index did not match the catalog and is rebuilt" in notes(copy, indexed)
    assert answers(copy, indexed)


def test_a_store_without_snapshots_is_filled_anew_each_time(
    indexed: Indexed, copy: Library
) -> None:
    before = answers(copy, indexed)
    path = copy.path / "library.toml"
    path.write_text(path.read_text().replace('"faiss"', '"exact"'))
    drop_index(copy)
    with Library.open(copy.path) as exact:
        assert [i for i, _ in answers(exact, indexed)] == [i for i, _ in before]
        assert "index" not in notes(exact, indexed)
        with exact.writing():
            save_all(exact)
        assert not exact.index_folder.exists()
        assert verify(exact).clean


def test_a_writer_that_was_killed_leaves_no_index_behind_for_good(copy: Library) -> None:
    space = copy.spaces()[0].id
    left = [f".space-{space}.faiss.0123.rows", f"space-{space}-7-0.index", f"space-{space}.json"]
    for name in left:  # the last two are of earlier versions
        (copy.index_folder / name).write_bytes(b"half an index")
    drop_snapshot(copy)
    with copy.writing():
        save_all(copy)
    assert not set(left) & {path.name for path in copy.index_folder.iterdir()}
