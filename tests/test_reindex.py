"""Moving an index to another store or kind, as the command and the service do it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cohort_library import Indexed
from sqlalchemy import insert, select
from typer.testing import CliRunner

from api.cli.main import app
from api.service import library as libraries
from api.service import search as searching
from api.service.reindex import reindex
from indexer.catalog.database import reading, transaction
from indexer.catalog.tables import EmbeddingRow, Item
from indexer.config import Settings
from indexer.errors import ConfigError, LibraryLockedError
from indexer.index.projection import ITEMS, connect, open_projection
from indexer.index.saving import save_all
from indexer.library import Library
from indexer.searching.asking import SearchRequest, like
from indexer.verify import verify

SETTINGS = Settings(index_recall=0.9)
MORE = 300


@pytest.fixture
def grown(copy: Library) -> Library:
    """Enough items for graphs and lists: copies of one, each with a vector of its own."""
    space = copy.spaces()[0]
    with reading(copy.engine) as db:
        item = dict(db.execute(select(Item.__table__).limit(1)).mappings().one())
        row = dict(db.execute(select(EmbeddingRow.__table__).limit(1)).mappings().one())
    del item["id"], row["seq"]
    rng = np.random.default_rng(0)
    middles = rng.standard_normal((8, space.dim))
    vectors = middles[rng.integers(0, 8, MORE)] + 0.5 * rng.standard_normal((MORE, space.dim))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("<f2")
    with transaction(copy.engine) as db:
        for number, vector in enumerate(vectors):
            made = insert(Item).values(**item | {"uid": f"more-{number}"}).returning(Item.id)
            new = db.execute(made).scalar_one()
            own = {"item_id": new, "vector": vector.tobytes()}
            db.execute(insert(EmbeddingRow).values(**row | own))
    return copy


def hits(library: Library, indexed: Indexed, k: int = 20) -> list[tuple[str, float]]:
    request = SearchRequest(like(uid=indexed.plan[0].study_instance_uid), k=k, group="item")
    answer = searching.search(library, request, SETTINGS)
    assert not [note for note in answer.notes if "index" in note]
    return [(hit.id, hit.score) for hit in answer.hits]


def test_every_kind_gives_the_same_scores(grown: Library, indexed: Indexed) -> None:
    save_all(grown)
    before, true = hits(grown, indexed), dict(hits(grown, indexed, k=1000))
    said: list[tuple[str, int, int]] = []
    for spec in ("faiss:hnsw", "faiss:ivf-flat", "exact", "faiss:flat-8bit", "faiss"):
        report = reindex(grown, spec, SETTINGS, lambda *what: said.append(what))
        assert report.store == grown.config.store == spec
        assert [layer.stats.count for layer in report.layers] == [58 + MORE]
        assert min(layer.agreement for layer in report.layers) >= 0.8
        with Library.open(grown.path) as opened:
            assert opened.config.store == spec
            found = hits(opened, indexed)
            near = dict(hits(opened, indexed, k=300))
            assert near.items() <= true.items(), "what is found has its true score"
            assert sum(hit in found for hit in before) >= 17
            assert not [each for each in verify(opened).findings if each.check == "index"]
        kept = {path.name.split(".")[1] for path in grown.index_folder.glob("space-*")}
        assert kept == (set() if spec == "exact" else {spec.replace(":", "-")})
    assert hits(grown, indexed) == before
    assert {what for what, _, _ in said} >= {
        "adding vectors",
        "building hnsw",
        "building ivf-flat",
        "measuring recall",
        "comparing with the catalog",
    }


def test_a_stopped_run_leaves_the_library_as_it_was(grown: Library, indexed: Indexed) -> None:
    save_all(grown)
    before = hits(grown, indexed)

    def stop(what: str, done: int, total: int) -> None:
        if what == "building hnsw":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reindex(grown, "faiss:hnsw", SETTINGS, stop)
    assert grown.config.store == "faiss"
    with Library.open(grown.path) as opened:
        assert opened.config.store == "faiss"
        assert hits(opened, indexed) == before
    reindex(grown, "faiss:hnsw", SETTINGS)
    assert open_projection(grown, grown.spaces()[0]).store.stats().kind == "faiss:hnsw"


def test_what_was_complete_when_a_run_was_stopped_is_not_made_again(grown: Library) -> None:
    def stop(what: str, done: int, total: int) -> None:
        if what == "comparing with the catalog":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reindex(grown, "faiss:hnsw", SETTINGS, stop)
    said: list[str] = []
    reindex(grown, "faiss:hnsw", SETTINGS, lambda *what: said.append(what[0]))
    assert set(said) == {"comparing with the catalog"}


def test_without_a_store_the_present_one_is_made_anew(grown: Library, indexed: Indexed) -> None:
    save_all(grown)
    before = hits(grown, indexed)
    rows = next(grown.index_folder.glob("*.rows"))
    report = reindex(grown, None, SETTINGS)
    assert (report.before, report.store) == ("faiss", "faiss")
    assert not rows.exists()
    assert hits(grown, indexed) == before


def test_it_is_refused_with_the_stores_there_are(copy: Library) -> None:
    for spec, message in (("faiss:tree", "faiss:ivf-pq"), ("nosuch", "there are: exact, faiss")):
        with pytest.raises(ConfigError, match=message):
            reindex(copy, spec, SETTINGS)
    with copy.writing(), pytest.raises(LibraryLockedError):
        reindex(copy, "exact", SETTINGS)
    assert copy.config.store == "faiss"


def test_a_removed_study_is_in_no_file_of_an_approximate_index(
    grown: Library, indexed: Indexed
) -> None:
    reindex(grown, "faiss:ivf-flat", SETTINGS)
    gone = indexed.plan[7].study_instance_uid
    space = grown.spaces()[0]
    store = open_projection(grown, space).store
    before = store.ids()
    libraries.remove(grown, "study", gone, actor="a test")
    removed = np.setdiff1d(before, open_projection(grown, space).store.ids())
    assert len(removed)
    vectors = [row.astype("<f2").tobytes() for row in store.fetch(removed)]
    files = list(grown.index_folder.iterdir())
    assert any(path.name.endswith("ivf-flat") for path in files), "it was not built anew"
    for path in files:
        assert not any(vector in path.read_bytes() for vector in vectors)
    assert not [each for each in verify(grown).findings if each.check == "index"]


def test_the_command_says_what_it_made(copy: Library) -> None:
    call = ["reindex", "--store", "faiss:hnsw", "-L", str(copy.path)]
    said = CliRunner().invoke(app, call)
    assert said.exit_code == 0, said.output
    assert "the index is in faiss:hnsw, moved from faiss" in said.stdout
    assert "58 vectors in faiss:flat" in said.stdout, "so few need no graph"
    told = json.loads(CliRunner().invoke(app, ["info", "-L", str(copy.path), "--json"]).stdout)
    assert told["store"] == "faiss:hnsw"
    assert told["index"][0]["kind"] == "faiss:flat"
    assert told["index"][0]["why"]
    again = json.loads(CliRunner().invoke(app, [*call, "--json"]).stdout)
    assert again["layers"][0]["stats"]["count"] == 58
    refused = CliRunner().invoke(app, ["reindex", "--store", "faiss:x", "-L", str(copy.path)])
    assert refused.exit_code == 2
    assert "there are: faiss" in refused.stderr


def test_a_new_library_takes_a_kind(tmp_path: Path) -> None:
    call = ["init", str(tmp_path / "new"), "--store", "faiss:ivf-flat"]
    assert CliRunner().invoke(app, call).exit_code == 0
    with Library.open(tmp_path / "new") as library:
        assert library.config.store == "faiss:ivf-flat"
        save_all(library)
        assert not library.spaces()


def test_a_library_moves_to_a_server_and_back(
    copy: Library, indexed: Indexed, tmp_path: Path
) -> None:
    pytest.importorskip("qdrant_client", reason="needs the extra 'qdrant'")
    before = hits(copy, indexed)
    spec = f"qdrant+local://{tmp_path / 'server'}?collection=chest"
    report = reindex(copy, spec, SETTINGS)
    assert report.store == copy.config.store == spec
    assert [layer.stats.count for layer in report.layers] == [58]
    assert min(layer.agreement for layer in report.layers) == 1
    with Library.open(copy.path) as opened:
        assert hits(opened, indexed) == before
    (told,) = libraries.info(copy).index
    assert (told["kind"], told["vectors"]) == ("qdrant", 58)
    assert not list(copy.index_folder.glob("*.rows"))
    back = reindex(copy, "faiss", SETTINGS)
    assert hits(copy, indexed) == before
    assert back.left == spec
    with copy.with_store(spec) as there:
        assert connect(there, there.spaces()[0], ITEMS).count() == 58


def test_info_says_that_a_server_is_down(copy: Library) -> None:
    pytest.importorskip("qdrant_client", reason="needs the extra 'qdrant'")
    copy.choose_store("qdrant://127.0.0.1:9/chest")
    (told,) = libraries.info(copy).index
    assert "127.0.0.1:9" in str(told["warning"])
    assert told["recall_at_10"] is None


def test_a_server_is_emptied_if_that_is_wanted(copy: Library, tmp_path: Path) -> None:
    pytest.importorskip("qdrant_client", reason="needs the extra 'qdrant'")
    spec = f"qdrant+local://{tmp_path / 'server'}?collection=chest"
    reindex(copy, spec, SETTINGS)
    call = ["reindex", "--store", "exact", "--drop-old", "--library", str(copy.path), "--json"]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["left"] == ""
    with copy.with_store(spec) as there:
        assert connect(there, there.spaces()[0], ITEMS).count() == 0


def test_repair_makes_an_index_that_is_missing(copy: Library) -> None:
    (space,) = copy.spaces()
    for path in copy.index_folder.iterdir():
        path.unlink()
    assert "missing" in open_projection(copy, space).note
    assert verify(copy, repair=True).clean
    assert not open_projection(copy, space).note
