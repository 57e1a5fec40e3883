"""A copy of a library that is in use can be put back, and is whole."""

from __future__ import annotations

import json
import stat
import sys
import threading
from pathlib import Path

import pytest
from sent_objects import as_file, small_slice
from served_library import own_copy
from sqlalchemy import func, insert, select
from typer.testing import CliRunner

from api.cli.main import app
from api.service.access import audit
from api.service.backup import backup
from api.service.library import verify
from api.service.search import open_searcher
from indexer.catalog.audit import Action, AuditEvent, AuditRow, Ending, rows_since
from indexer.catalog.database import reading, transaction
from indexer.catalog.tables import Audit, Item, Patient
from indexer.config import Settings
from indexer.errors import ConfigError, StorageFullError, SyntopyError
from indexer.library import Library
from indexer.receiving.inbox import Inbox
from indexer.searching.asking import SearchRequest, like


@pytest.fixture
def folder(served: Path, tmp_path: Path) -> Path:
    return own_copy(served, tmp_path)


def keep(library: Library, *numbers: int) -> None:
    inbox = Inbox(library.inbox_folder)
    for number in numbers:
        incoming = inbox.begin()
        incoming.write(as_file(small_slice(number)))
        incoming.keep(incoming.check())


def hits(library: Library, uid: str) -> list[tuple[str, float]]:
    answer = open_searcher(library, Settings()).search(SearchRequest(like(uid=uid), k=5))
    return [(hit.id, hit.score) for hit in answer.hits]


def test_a_copy_answers_as_the_library_does(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copies" / "first"
    with Library.open(folder) as library:
        keep(library, 1, 2)
        backup(library, copy, actor="test")
        with reading(library.engine) as db:
            uid = db.execute(select(Item.uid).limit(1)).scalar_one()
        expected = hits(library, uid)
    assert not (copy / "index").exists()
    with Library.open(copy) as restored:
        assert verify(restored, repair=True).clean
        assert hits(restored, uid) == expected
        assert not audit.verify(restored).findings
        assert sum(len(list(day.iterdir())) for day in Inbox(copy / "inbox").days()) == 2
    for secret in ("key", "catalog.sqlite"):
        assert stat.S_IMODE((copy / secret).stat().st_mode) == 0o600
    assert stat.S_IMODE(copy.stat().st_mode) == 0o700


def test_it_is_of_one_moment_while_others_write(folder: Path, tmp_path: Path) -> None:
    event = AuditEvent(actor="somebody", action=Action.QUERY, subject={"n": "1"})
    stop = threading.Event()

    def write() -> None:
        with Library.open(folder) as mine:
            while not stop.is_set():
                audit.record(mine, event, event)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with Library.open(folder) as library:
            for number in range(5):
                backup(library, tmp_path / f"copy-{number}", actor="test")
    finally:
        stop.set()
        writer.join()
    for number in range(5):
        with Library.open(tmp_path / f"copy-{number}") as restored:
            assert not audit.verify(restored).findings
            with reading(restored.engine) as db:
                rows = db.execute(
                    select(func.count()).select_from(Audit).where(Audit.actor == "somebody")
                ).scalar_one()
            assert rows % 2 == 0, "half a transaction"


def test_the_next_copy_takes_what_is_new_and_forgets_what_was_removed(
    folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    with Library.open(folder) as library:
        keep(library, 1, 2)
        first = backup(library, copy, actor="test")
        keep(library, 3)
        second = backup(library, copy, actor="test")
        Inbox(library.inbox_folder).forget(["2.25.1.1.1"])
        third = backup(library, copy, actor="test")
    assert first.copied == first.files
    assert (second.copied, second.forgotten) == (1, 0)
    assert (third.copied, third.forgotten) == (0, 1)
    assert third.files == first.files


def test_other_folders_are_left_alone(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("do not touch")
    Library.create(tmp_path / "another").close()
    (tmp_path / "file").write_text("")
    with Library.open(folder) as library:
        for name in ("other", "another", "file", "library", "library/index", "."):
            with pytest.raises(ConfigError):
                backup(library, (tmp_path / name).resolve(), actor="test")
    assert (tmp_path / "other" / "thesis.txt").read_text() == "do not touch"


def test_a_copy_that_fails_leaves_the_one_before(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    with Library.open(folder) as library:
        backup(library, copy, actor="test")
        before = (copy / "catalog.sqlite").read_bytes()
        damaged = bytearray((folder / "catalog.sqlite").read_bytes())
        library.engine.dispose()
        damaged[:16] = b"no longer SQLite"
        (folder / "catalog.sqlite").write_bytes(damaged)
        with pytest.raises(SyntopyError):
            backup(library, copy, actor="test")
    assert (copy / "catalog.sqlite").read_bytes() == before


def test_a_copy_is_nobody_elses_to_read_while_it_is_made(tmp_path: Path) -> None:
    copy, seen = tmp_path / "copy", list[int]()
    copy.mkdir()
    copy.chmod(0o755)
    watching = True

    def watch(event: str, args: tuple[object, ...]) -> None:
        if watching and event == "sqlite3.connect" and str(args[0]).endswith(".new"):
            seen.append(stat.S_IMODE(Path(str(args[0])).stat().st_mode))
            seen.append(stat.S_IMODE(copy.stat().st_mode))

    sys.addaudithook(watch)  # for good: there is no way to take one out
    try:
        with Library.create(tmp_path / "library") as library:
            backup(library, copy, actor="test")
    finally:
        watching = False
    assert seen == [0o600, 0o700], "as the catalog begins to be written"


def test_it_stands_in_the_audit_and_in_that_of_the_copy(tmp_path: Path) -> None:
    def rows(of: Library) -> list[AuditRow]:
        with reading(of.engine) as db:
            return [row for row in rows_since(db) if row.action is Action.EXPORT]

    with Library.create(tmp_path / "library") as library:
        with transaction(library.engine) as db:
            db.execute(insert(Patient).values(pseudonym="p1"))
        backup(library, tmp_path / "copy", actor="test")
        (tmp_path / "copy" / ".catalog.sqlite.new").mkdir()
        with pytest.raises(StorageFullError):
            backup(library, tmp_path / "copy", actor="test")
        first, *more = rows(library)
    with Library.open(tmp_path / "copy") as restored:
        assert rows(restored) == [first]
    assert (first.actor, first.outcome, first.patients) == ("test", Ending.SUCCESS, ())
    counts = {"patients": 1, "studies": 0, "instances": 0}
    assert first.subject == {"what": "backup", **counts}
    assert [row.outcome for row in more] == [Ending.SUCCESS, Ending.FAILED]


def test_the_command_tells_what_it_did(folder: Path, tmp_path: Path) -> None:
    words = ["backup", str(tmp_path / "copy"), "-L", str(folder)]
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 0, said.output
    assert "catalog and" in said.stdout
    told = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert told["copied"] == 0 < told["files"]
    refused = CliRunner().invoke(app, ["backup", str(tmp_path), "-L", str(folder)])
    assert refused.exit_code == 2
