"""The library folder: what it keeps and does not keep, and what damage does."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from cohort_library import Indexed
from library_acts import (
    FULL_TEXT,
    SETTINGS,
    all_bytes,
    count,
    first,
    index,
    spoil,
)

from api.service import library as service
from api.service import search as searching
from indexer.catalog import database
from indexer.catalog.database import transaction
from indexer.catalog.tables import (
    Base,
    Report,
)
from indexer.dicom.identity import pseudonym
from indexer.errors import (
    ConfigError,
    LibraryCorruptError,
    LibraryLockedError,
    LibraryNotFoundError,
    LibraryVersionError,
    StorageFullError,
    UnknownEncoderError,
)
from indexer.library import Library
from indexer.phantoms import Kind
from indexer.searching.asking import SearchRequest, like
from indexer.verify import verify

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
