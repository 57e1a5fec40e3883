"""The library folder: what it keeps and does not keep, what damage does, and how it is mended."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from cohort_library import Indexed
from sqlalchemy import delete, func, insert, select, update

from api.service import ingest
from api.service import library as service
from api.service import search as searching
from indexer.catalog import database
from indexer.catalog.database import reading, transaction
from indexer.catalog.tables import (
    Audit,
    Base,
    EmbeddingRow,
    Instance,
    Item,
    ItemInstance,
    LedgerRow,
    Patient,
    Report,
    Series,
    Study,
    Thumbnail,
)
from indexer.config import Settings
from indexer.dicom.identity import pseudonym
from indexer.errors import (
    ConfigError,
    ItemNotFoundError,
    LibraryCorruptError,
    LibraryLockedError,
    LibraryNotFoundError,
    LibraryVersionError,
    StorageFullError,
    UnknownEncoderError,
)
from indexer.index.projection import open_projection
from indexer.index.saving import save_all, save_projection
from indexer.library import Library
from indexer.phantoms import Kind, PhantomStudy, Trait
from indexer.searching.asking import SearchRequest, like
from indexer.types import Outcome
from indexer.verify import VerifyReport, verify

SETTINGS = Settings(workers=1)
FULL_TEXT = {"words", *(f"words_{n}" for n in ("data", "idx", "content", "docsize", "config"))}


def index(library: Library, *paths: Path) -> ingest.IngestSummary:
    return ingest.index(library, ingest.IndexRequest(list(paths)), SETTINGS)


def answers(library: Library, indexed: Indexed) -> list[tuple[str, float]]:
    """What some searches give: equal if two libraries are."""
    found = []
    for study in indexed.plan[::13]:
        request = SearchRequest(like(uid=study.study_instance_uid), k=100, same_patient=True)
        answer = searching.search(library, request, SETTINGS)
        found += [(hit.id, hit.score) for hit in answer.hits]
    return found


def notes(library: Library, indexed: Indexed) -> str:
    request = SearchRequest(like(uid=indexed.plan[0].study_instance_uid), k=1)
    return "\n".join(searching.search(library, request, SETTINGS).notes)


def count(library: Library, table: Any, *conditions: Any) -> int:
    with reading(library.engine) as db:
        query = select(func.count()).select_from(table).where(*conditions)
        return db.execute(query).scalar_one()


def change(library: Library, statement: Any) -> None:
    with transaction(library.engine) as db:
        db.execute(statement)


def first(indexed: Indexed, kind: Kind, trait: Trait | None = None) -> PhantomStudy:
    return next(s for s in indexed.plan if s.kind is kind and (trait is None or trait in s.traits))


# -- making and opening ---------------------------------------------------------------------------


def test_a_new_library_can_be_opened_again(tmp_path: Path) -> None:
    with Library.create(tmp_path / "new") as made:
        assert made.spaces() == []
    with Library.open(tmp_path / "new") as opened:
        assert opened.config == made.config
        assert opened.key == made.key
        assert verify(opened).clean
    assert {p.name for p in (tmp_path / "new").iterdir()} == {
        "library.toml",
        "catalog.sqlite",
        "key",
        "index",
    }
    assert [p.name for p in tmp_path.iterdir()] == ["new"], "nothing half-made is left beside it"


def test_two_libraries_have_keys_of_their_own_that_only_the_owner_reads(tmp_path: Path) -> None:
    with Library.create(tmp_path / "a") as a, Library.create(tmp_path / "b") as b:
        assert a.key != b.key
        assert a.config.id != b.config.id
    assert stat.S_IMODE((tmp_path / "a" / "key").stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["with space", "what?#%20&x=1", "größe", "[bold]"])
def test_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    with Library.create(tmp_path / name) as made:
        assert (tmp_path / name / "catalog.sqlite").is_file()
    with Library.open(tmp_path / name) as opened:
        assert opened.config.id == made.config.id


def test_an_empty_folder_will_do_and_a_full_one_will_not(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    Library.create(tmp_path / "empty").close()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("keep me")
    with pytest.raises(ConfigError, match="exists and is not an empty folder"):
        Library.create(tmp_path / "full")
    with pytest.raises(ConfigError, match="exists and is not an empty folder"):
        Library.create(tmp_path / "full" / "letter.txt")
    with pytest.raises(ConfigError, match="exists and is not an empty folder"):
        Library.create(tmp_path / "empty")
    assert (tmp_path / "full" / "letter.txt").read_text() == "keep me"


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"phi": "all"}, "'pseudonym' or 'keep', not 'all'"),
        ({"store": "nosuch"}, "no store 'nosuch'; there are: exact, faiss"),
        (
            {"store": "faiss:nosuch"},
            "no kind of index 'faiss:nosuch'; there are: faiss, faiss:auto",
        ),
        ({"store": "exact:flat"}, "'exact' has no kinds"),
        ({"encoders": ("texture", "nosuch")}, "unknown encoder nosuch; there are: .*texture"),
        ({"encoders": ()}, r"none given"),
    ],
)
def test_unknown_choices_make_nothing(tmp_path: Path, choice: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Library.create(tmp_path / "new", **choice)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageFullError, match="cannot be created: Not a directory"):
        Library.create(tmp_path / "file" / "library")
    with pytest.raises(StorageFullError, match="cannot be created: File name too long"):
        Library.create(tmp_path / ("x" * 300))


def test_no_library_says_how_to_make_one(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(LibraryNotFoundError, match=f"syntopy init {path}"):
            Library.open(path)


# -- one writer at a time -------------------------------------------------------------------------


def test_a_second_writer_is_told_who_the_first_is(tmp_path: Path) -> None:
    with Library.create(tmp_path / "library") as library:
        code = (
            "import sys; from pathlib import Path; from indexer.library import Library\n"
            "with Library.open(Path(sys.argv[1])) as library, library.writing():\n"
            "    print('writing', flush=True); sys.stdin.read()\n"
        )
        other = subprocess.Popen(
            [sys.executable, "-c", code, str(library.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with other:
            assert other.stdout is not None
            assert other.stdout.readline() == "writing\n"
            with (
                pytest.raises(LibraryLockedError, match=rf"by process {other.pid};"),
                library.writing(),
            ):
                pass
            assert library.spaces() == [], "readers are not disturbed"
            other.communicate()
        with library.writing():
            assert library.scratch_folder.is_dir()
        assert not library.scratch_folder.exists()


def test_what_a_killed_writer_left_is_swept_away(tmp_path: Path) -> None:
    with Library.create(tmp_path / "library") as library:
        library.scratch_folder.mkdir()
        (library.scratch_folder / "left-over").touch()
        with library.writing():
            assert not list(library.scratch_folder.iterdir())


# -- who the patients are is not kept -------------------------------------------------------------


def all_bytes(library: Library) -> bytes:
    return b"\n".join(p.read_bytes() for p in sorted(library.path.rglob("*")) if p.is_file())


@pytest.mark.parametrize("phi", ["pseudonym", "keep"])
def test_real_ids_are_kept_only_when_asked_for_and_names_never(
    indexed: Indexed, tmp_path: Path, phi: str
) -> None:
    study = first(indexed, Kind.CHEST)
    # Paths are kept, so the files lie where the path does not name the patient.
    shutil.copytree(indexed.folder(study), tmp_path / "files")
    with Library.create(tmp_path / "library", phi=phi) as library:
        assert index(library, tmp_path / "files").items == 1
        shown = service.show(library, study.study_instance_uid)
        assert shown["patient"] == pseudonym(library.key, study.patient_id, "SYNTOPY")
        assert shown.get("patient_id") == (study.patient_id if phi == "keep" else None)
    kept = all_bytes(library)
    assert b"Phantom Works" in kept or b"Synthetic Imaging" in kept or b"Test Pattern" in kept
    assert b"Drawn^" not in kept
    assert study.birth_date.encode() not in kept
    assert (study.patient_id.encode() in kept) == (phi == "keep")


# -- damage that is noticed when opening ----------------------------------------------------------


def spoil(path: Path, start: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(content)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("library.toml", b"", "library.toml is damaged"),
        ("library.toml", b"\xff\xfe", "library.toml is damaged"),
        ("library.toml", b"format = 1\n", "library.toml is damaged"),
        ("library.toml", b"format = [", "library.toml is damaged"),
        ("key", b"", "key file of .* is not the one the library was made with; restore it"),
        ("key", b"k" * 32, "key file of .* is not the one"),
        ("catalog.sqlite", b"", "catalog.sqlite is damaged; restore it"),
        ("catalog.sqlite", b"no database " * 1000, "catalog.sqlite is damaged"),
        ("library.toml", None, "there is no library in"),
        ("key", None, "key file of .* cannot be read .*; restore it"),
        ("catalog.sqlite", None, "has no catalog.sqlite; restore it"),
    ],
)
def test_a_damaged_or_missing_file_is_named(
    tmp_path: Path, file: str, content: bytes | None, message: str
) -> None:
    Library.create(tmp_path / "library").close()
    path = tmp_path / "library" / file
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises((LibraryCorruptError, LibraryNotFoundError), match=message):
        Library.open(tmp_path / "library")


def test_wrong_types_in_the_description_are_damage(tmp_path: Path) -> None:
    Library.create(tmp_path / "library").close()
    path = tmp_path / "library" / "library.toml"
    text = path.read_text()
    for name in ("id", "phi", "store", "encoders", "key_check"):
        lines = [
            f"{name} = 7" if line.startswith(f"{name} ") else line for line in text.split("\n")
        ]
        path.write_text("\n".join(lines))
        with pytest.raises(LibraryCorruptError, match=r"library\.toml is damaged \(TypeError\)"):
            Library.open(tmp_path / "library")


def test_another_format_names_both_versions(tmp_path: Path) -> None:
    Library.create(tmp_path / "library").close()
    path = tmp_path / "library" / "library.toml"
    path.write_text(path.read_text().replace("format = 1", "format = 99"))
    with pytest.raises(LibraryVersionError, match="of format 99, this version reads format 1"):
        Library.open(tmp_path / "library")


def test_a_catalog_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    with Library.create(tmp_path / "library") as library, transaction(library.engine) as db:
        db.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    before = (tmp_path / "library" / "catalog.sqlite").read_bytes()
    with pytest.raises(LibraryVersionError, match=r"revision 9999\); upgrade syntopy"):
        Library.open(tmp_path / "library")
    assert (tmp_path / "library" / "catalog.sqlite").read_bytes() == before


def test_damage_inside_the_catalog_is_found(copy: Library) -> None:
    copy.close()
    path = copy.path / "catalog.sqlite"
    for page in range(20, path.stat().st_size // 4096, 7):
        spoil(path, page * 4096, os.urandom(4096))
    with (
        pytest.raises(LibraryCorruptError, match=r"catalog\.sqlite is damaged"),
        Library.open(copy.path) as library,
    ):
        verify(library)


# -- the tables and their migrations --------------------------------------------------------------


def test_the_newest_migration_is_the_one_the_code_expects() -> None:
    script = ScriptDirectory(str(Path(database.__file__).parent / "migrations"))
    assert script.get_heads() == [database.HEAD]


def test_migrations_make_the_tables_that_the_code_describes(tmp_path: Path) -> None:
    with Library.create(tmp_path / "library") as library, library.engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "render_as_batch": True,
                # A virtual table, and the tables that SQLite keeps for it.
                "include_name": lambda name, kind, _: kind != "table" or name not in FULL_TEXT,
            },
        )
        assert compare_metadata(context, Base.metadata) == []


# -- the index follows the catalog ----------------------------------------------------------------


def snapshot(library: Library) -> Path:
    return next(library.index_folder.glob("*.rows"))


def drop_index(library: Library) -> None:
    shutil.rmtree(library.index_folder)


def cut_index(library: Library) -> None:
    snapshot(library).write_bytes(snapshot(library).read_bytes()[:1000])


def flip_a_bit(library: Library) -> None:
    spoil(snapshot(library), 5000, bytes([snapshot(library).read_bytes()[5000] ^ 1]))


def spoil_description(library: Library) -> None:
    next(library.index_folder.glob("*.json")).write_text("[]")


def drop_snapshot(library: Library) -> None:
    snapshot(library).unlink()


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


# -- verify ---------------------------------------------------------------------------------------


def findings(report: VerifyReport) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for finding in report.findings:
        found.setdefault(finding.check, []).append(finding.message)
    return found


def test_a_sound_library_is_clean(copy: Library, indexed: Indexed) -> None:
    said: list[str] = []
    report = verify(copy, sources=True, on_progress=said.append)
    assert report.clean
    assert report.findings == []
    assert report.items == report.vectors == 58
    assert report.files == sum(1 for p in indexed.cohort.rglob("*") if p.is_file())
    assert said == ["database", "items", "vectors", "ledger", "words", "index", "source files"]


def some_item(library: Library) -> int:
    """The item of a radiograph, which is a whole series."""
    with reading(library.engine) as db:
        chest = select(Item.id).join(Series).where(Series.modality == "DX").order_by(Item.id)
        return int(db.execute(chest.limit(1)).scalar_one())


def vector_of(values: np.ndarray) -> Callable[[Library], None]:
    def harm(library: Library) -> None:
        row = EmbeddingRow.item_id == some_item(library)
        change(library, update(EmbeddingRow).where(row).values(vector=values.tobytes()))

    return harm


def half(value: float, size: int = 1000) -> np.ndarray:
    return np.full(size, value, "<f2")


def lose(table: Any, column: Any) -> Callable[[Library], None]:
    return lambda library: change(library, delete(table).where(column == some_item(library)))


def lose_instance(library: Library) -> None:
    """Without its ledger row's knowledge."""
    made_from = select(ItemInstance.instance_id).where(ItemInstance.item_id == some_item(library))
    change(library, delete(Instance).where(Instance.id.in_(made_from)))


@pytest.mark.parametrize(
    ("harm", "check", "message"),
    [
        (lose(EmbeddingRow, EmbeddingRow.item_id), "items", "1 items without a vector"),
        (lose(Thumbnail, Thumbnail.item_id), "items", "1 items without a thumbnail"),
        (lose(ItemInstance, ItemInstance.item_id), "items", "1 items without a instance"),
        (lose(Item, Item.id), "items", "1 series with images but without an item"),
        (lose_instance, "ledger", "1 files count as indexed but have no instance"),
        (vector_of(half(np.nan)), "vectors", "1 vectors of 'texture' are damaged"),
        (vector_of(half(0)), "vectors", "1 vectors of 'texture' are damaged"),
        (vector_of(half(0.5)), "vectors", "1 vectors of 'texture' are damaged"),
        (vector_of(half(0.03, 999)), "vectors", "1 vectors of 'texture' are damaged"),
    ],
)
def test_damage_is_found_repaired_and_made_good_by_the_next_run(
    copy: Library,
    indexed: Indexed,
    harm: Callable[[Library], None],
    check: str,
    message: str,
) -> None:
    before = answers(copy, indexed)
    uid = _study_of(copy, some_item(copy))
    harm(copy)

    seen = verify(copy)
    assert not seen.clean
    assert any(message in said for said in findings(seen)[check])
    assert findings(verify(copy)) == findings(seen), "looking changes nothing"

    repaired = verify(copy, repair=True)
    assert repaired.clean
    assert any("index the same files again" in f.message for f in repaired.findings)
    assert verify(copy).findings == []

    study = next(s for s in indexed.plan if s.study_instance_uid == uid)
    done = index(copy, indexed.folder(study))
    assert done.outcomes[Outcome.INDEXED] == done.items == 1
    assert verify(copy).findings == []
    # The table's labels were given with the first run; who is near whom is the same.
    assert sorted(answers(copy, indexed)) == sorted(before)


def _study_of(library: Library, item: int) -> str:
    with reading(library.engine) as db:
        query = select(Study.study_instance_uid).select_from(Item).join(Series).join(Study)
        return str(db.execute(query.where(Item.id == item)).scalar_one())


def test_a_damaged_vector_is_named_when_it_is_met(copy: Library, indexed: Indexed) -> None:
    vector_of(half(np.nan))(copy)
    assert answers(copy, indexed), "the index still has it as it was"
    drop_index(copy)
    with pytest.raises(
        LibraryCorruptError, match="1 vectors of 'texture' are damaged; run: syntopy"
    ):
        answers(copy, indexed)


@pytest.mark.parametrize("harm", [cut_index, flip_a_bit, drop_snapshot])
def test_a_damaged_index_is_found_and_made_anew(
    copy: Library, indexed: Indexed, harm: Callable[[Library], None]
) -> None:
    before = answers(copy, indexed)
    harm(copy)
    assert findings(verify(copy)).keys() == {"index"}
    report = verify(copy, repair=True)
    assert report.clean
    assert findings(report).keys() == {"index"}
    assert verify(copy).findings == []
    assert answers(copy, indexed) == before


def test_an_index_that_differs_from_the_catalog_is_found(copy: Library) -> None:
    """A changed vector under an old number: only a comparison of all vectors can tell."""
    space = copy.spaces()[0]
    vector = np.zeros(space.dim, "<f2")
    vector[0] = 1
    vector_of(vector)(copy)
    assert findings(verify(copy)) == {"index": ["'texture': the index does not equal the catalog"]}
    assert verify(copy, repair=True).clean
    assert verify(copy).findings == []


def test_source_files_that_are_gone_or_changed_are_named(indexed: Indexed, tmp_path: Path) -> None:
    files = tmp_path / "files"
    study = first(indexed, Kind.CHEST)
    shutil.copytree(indexed.folder(study), files)
    shutil.make_archive(str(tmp_path / "packed"), "zip", indexed.folder(indexed.plan[1]))
    with Library.create(tmp_path / "library") as library:
        index(library, files, tmp_path / "packed.zip")
        assert verify(library, sources=True).findings == []
        image, report = next(files.rglob("IM*.dcm")), next(files.rglob("SR*.dcm"))
        image.write_bytes(image.read_bytes() + b"\0")
        report.unlink()
        found = findings(verify(library, sources=True, repair=True))["source files"]
        assert sorted(found) == sorted(
            [f"{image} has changed", f"{report} cannot be read: No such file or directory"]
        )
        assert verify(library).findings == [], "without being asked it does not look"
        (tmp_path / "packed.zip").write_bytes(b"PK\3\4 no more")
        found = findings(verify(library, sources=True))["source files"]
        assert sum("packed.zip!/" in message for message in found) == len(found) - 2 > 0


# -- remove ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Kind.CHEST, Kind.BRAIN])
def test_a_removed_study_is_gone_to_the_last_byte(
    copy: Library, indexed: Indexed, kind: Kind
) -> None:
    study = first(indexed, kind)
    vectors, thumbnails = _blobs(copy, study)
    assert vectors
    assert thumbnails
    traces = [
        study.study_instance_uid.encode(),
        study.findings_text.encode(),
        f"{study.patient_id}/{study.study_instance_uid}".encode(),  # of the paths
        *vectors,
        *thumbnails,
    ]
    # Long values are stored in parts, so it is parts that are looked for.
    pieces = [[t[i : i + 40] for i in range(0, len(t) - 39, 40)] for t in traces]
    others = count(copy, Item) - len(vectors)
    copy.close()
    held = all_bytes(copy)
    assert all(any(piece in held for piece in of_trace) for of_trace in pieces)

    removed = service.remove(copy, "study", study.study_instance_uid, actor="tester")
    files = sum(1 for _ in indexed.folder(study).rglob("*.dcm"))
    assert (removed.studies, removed.items, removed.instances) == (1, len(vectors), files)

    assert count(copy, Item) == count(copy, EmbeddingRow) == count(copy, Thumbnail) == others
    assert count(copy, LedgerRow, LedgerRow.source.startswith(str(indexed.folder(study)))) == 0
    assert verify(copy).findings == []
    with pytest.raises(ItemNotFoundError):
        service.show(copy, study.study_instance_uid)
    with reading(copy.engine) as db:
        audit = db.execute(select(Audit.actor, Audit.action, Audit.subject)).one()
    assert audit == ("tester", "remove", {"level": "study", "uid": study.study_instance_uid})
    copy.close()
    left = all_bytes(copy).replace(audit.subject["uid"].encode(), b"")
    assert not [piece for of_trace in pieces for piece in of_trace if piece in left]
    float32 = [np.frombuffer(v, "<f2").astype("<f4")[:20].tobytes() for v in vectors]
    assert not [piece for piece in float32 if piece in left]


def _blobs(library: Library, study: PhantomStudy) -> tuple[list[bytes], list[bytes]]:
    with reading(library.engine) as db:
        rows = db.execute(
            select(EmbeddingRow.vector, Thumbnail.webp)
            .select_from(Item)
            .join(EmbeddingRow, EmbeddingRow.item_id == Item.id)
            .join(Thumbnail, Thumbnail.item_id == Item.id)
            .join(Series)
            .join(Study)
            .where(Study.study_instance_uid == study.study_instance_uid)
        ).all()
    return [r.vector for r in rows], [r.webp for r in rows]


def test_indexing_again_brings_a_removed_study_back(copy: Library, indexed: Indexed) -> None:
    study = first(indexed, Kind.CHEST)
    uid = study.study_instance_uid
    before = service.show(copy, uid)
    service.remove(copy, "study", uid, actor="tester")
    done = index(copy, indexed.folder(study))
    assert done.outcomes == {Outcome.INDEXED: 1, Outcome.LINKED: 1}
    after = service.show(copy, uid)
    assert before["labels"] and before["split"]
    assert _without_table(before) == _without_table(after)
    assert verify(copy).findings == []


def _without_table(shown: dict[str, Any]) -> dict[str, Any]:
    """What is known of a study, but for what a table beside the files had said."""
    series = [
        {**each, "items": [{**item, "labels": {}} for item in each["items"]]}
        for each in shown["series"]
    ]
    return {**shown, "series": series, "labels": [], "split": ""}


def test_a_series_goes_alone_and_its_report_with_it(copy: Library, indexed: Indexed) -> None:
    study = next(s for s in indexed.plan if len(s.series) == 2)
    shown = service.show(copy, study.study_instance_uid)
    assert len(shown["reports"]) == 1  # type: ignore[arg-type]
    by_description = {s["description"]: s for s in shown["series"]}  # type: ignore[attr-defined]
    gone = by_description["AX T1"]["series_instance_uid"]
    removed = service.remove(copy, "series", gone, actor="tester")
    assert (removed.studies, removed.patients, removed.series, removed.items) == (0, 0, 1, 1)
    left = service.show(copy, study.study_instance_uid)
    assert [s["description"] for s in left["series"]] == [  # type: ignore[attr-defined]
        d for d in by_description if d != "AX T1"
    ]
    words = by_description["Report"]["series_instance_uid"]
    service.remove(copy, "series", words, actor="tester")
    assert service.show(copy, study.study_instance_uid)["reports"] == []
    last = by_description["AX T2"]["series_instance_uid"]
    assert service.remove(copy, "series", last, actor="tester").studies == 1
    assert verify(copy).findings == []


@pytest.mark.parametrize("named_by", ["pseudonym", "issuer|id"])
def test_a_patient_goes_with_all_studies_and_without_a_trace_of_the_id(
    copy: Library, indexed: Indexed, named_by: str
) -> None:
    studies = [s for s in indexed.plan if s.patient_id == "DRAWN-0008"]
    name = pseudonym(copy.key, "DRAWN-0008", "SYNTOPY")
    uid = name if named_by == "pseudonym" else "SYNTOPY|DRAWN-0008"
    removed = service.remove(copy, "patient", uid, actor="tester")
    assert (removed.patients, removed.studies) == (1, len(studies)) == (1, 3)
    assert count(copy, Patient, Patient.pseudonym == name) == 0
    with reading(copy.engine) as db:
        subject = db.execute(select(Audit.subject)).scalar_one()
    assert subject == {"level": "patient", "uid": name}
    copy.close()
    assert b"DRAWN-0008" not in all_bytes(copy)


def test_a_patient_without_issuer_is_found_by_the_bare_id(indexed: Indexed, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    ds = pydicom.dcmread(next(indexed.folder(first(indexed, Kind.CHEST)).rglob("IM*.dcm")))
    del ds.IssuerOfPatientID
    ds.PatientID = "47|11"
    ds.save_as(tmp_path / "files" / "a.dcm")
    with Library.create(tmp_path / "library") as library:
        index(library, tmp_path / "files")
        assert service.remove(library, "patient", "47|11", actor="tester").studies == 1


@pytest.mark.parametrize("level", ["study", "series", "patient"])
def test_removing_what_is_not_there_changes_nothing(copy: Library, level: str) -> None:
    items = count(copy, Item)
    for uid in ("1.2.3", "", "DRAWN-0008", "%"):
        with pytest.raises(ItemNotFoundError, match=f"no such {level}"):
            service.remove(copy, level, uid, actor="tester")
    with pytest.raises(ConfigError, match="not a 'folder'"):
        service.remove(copy, "folder", "1.2.3", actor="tester")
    assert count(copy, Item) == items
    assert count(copy, Audit) == 0


def test_a_locked_library_is_not_pruned(copy: Library, indexed: Indexed) -> None:
    with (
        copy.writing(),
        pytest.raises(LibraryLockedError, match=f"process {os.getpid()}"),
    ):
        service.remove(copy, "study", indexed.plan[0].study_instance_uid, actor="tester")


def test_replaced_rows_leave_no_bytes_behind(copy: Library) -> None:
    """Not only what is removed on purpose: a series that grows replaces its item, too."""
    with reading(copy.engine) as db:
        row = db.execute(select(Item.id, Thumbnail.webp).join(Thumbnail).limit(1)).one()
    copy.close()
    held = all_bytes(copy)
    pieces = [row.webp[i : i + 40] for i in range(0, len(row.webp) - 39, 40)]
    assert any(piece in held for piece in pieces)
    change(copy, delete(Item).where(Item.id == row.id))
    copy.close()
    left = all_bytes(copy)
    assert not [piece for piece in pieces if piece in left]


# -- info -----------------------------------------------------------------------------------------


def test_info_counts_what_is_there(copy: Library, indexed: Indexed) -> None:
    info = service.info(copy)
    assert info.studies == len(indexed.plan)
    assert info.patients == len({s.patient_id for s in indexed.plan})
    assert info.reports == count(copy, Report) == len(indexed.plan)
    assert info.labels == {"label": len(indexed.plan)}
    assert info.spaces == [{"encoder": "texture", "dim": 768, "vectors": 58}]
    assert sum(info.modalities.values()) == 58
    assert info.outcomes["indexed"] + info.outcomes["linked"] + info.outcomes["skipped"] == sum(
        1 for p in indexed.cohort.rglob("*") if p.is_file()
    )
    assert info.bytes > (copy.path / "catalog.sqlite").stat().st_size
    assert info.notices


def test_an_encoder_of_the_library_that_is_no_longer_installed_is_named(copy: Library) -> None:
    path = copy.path / "library.toml"
    path.write_text(path.read_text().replace('["texture"]', '["gone"]'))
    with Library.open(copy.path) as library, pytest.raises(UnknownEncoderError, match="'gone'"):
        searching.search(library, SearchRequest(like(uid="1.2.3")), SETTINGS)
