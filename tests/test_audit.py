"""The audit: what is recorded, that no change goes unnoticed, and in which forms it leaves."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch
from xml.etree import ElementTree as ET

import pytest
from alembic import command
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from placed_library import Placed, place
from sqlalchemy import event
from typer.testing import CliRunner

from api.cli.main import app
from api.service import library as library_service
from api.service.access import audit
from api.service.access.audit_message import audit_message
from indexer.catalog import database
from indexer.catalog.audit import (
    GENESIS,
    Action,
    AuditEvent,
    AuditRow,
    Ending,
    Head,
    append,
    rows_since,
)
from indexer.catalog.database import migrate, open_engine, reading, transaction
from indexer.errors import ConfigError, LibraryCorruptError, LibraryLockedError
from indexer.library import Library

COLUMNS = (
    "id",
    "at",
    "actor",
    "action",
    "subject",
    "patients",
    "outcome",
    "origin",
    "request_id",
    "previous_hash",
    "hash",
)
INSERTED = """
    INSERT INTO audit SELECT {number}, at, actor, action, subject, patients, outcome, origin,
    request_id, {previous}, hash FROM audit WHERE id = 2
"""
QUERY = AuditEvent(
    actor="dr-who",
    action=Action.QUERY,
    subject={"level": "study", "uid": "2.25.1", "hits": 10},
    patients=("pseudonym-1", "pseudonym-2"),
    origin="192.0.2.7",
    request_id="req-1",
)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with Library.create(tmp_path_factory.mktemp("empty") / "library") as made:
        return made.path


@pytest.fixture
def library(empty: Path, tmp_path: Path) -> Iterator[Library]:
    shutil.copytree(empty, tmp_path / "library")
    with Library.open(tmp_path / "library") as copied:
        yield copied


def fill(library: Library, rows: int) -> list[AuditRow]:
    """Rows that differ."""
    actions = list(Action)
    events = [
        AuditEvent(
            actor=f"person-{number % 3}",
            action=actions[number % len(actions)],
            subject={"uid": f"2.25.{number}", "n": number / 7},
            patients=(f"pseudonym-{number}",),
        )
        for number in range(rows)
    ]
    audit.record(library, *events)
    return stored(library)


def stored(library: Library) -> list[AuditRow]:
    with reading(library.engine) as db:
        return list(rows_since(db))


def tamper(library: Library, *statements: str, values: tuple[object, ...] = ()) -> None:
    """As somebody who can write the file: without the triggers."""
    with sqlite3.connect(library.path / "catalog.sqlite") as db:
        db.execute("PRAGMA synchronous=OFF")
        for name in ("only_grows", "no_update", "no_delete"):
            db.execute(f"DROP TRIGGER IF EXISTS audit_{name}")
        for statement in statements:
            db.execute(statement, values)


def problems(library: Library, anchor: Head | None = None) -> list[int]:
    return [finding.number for finding in audit.verify(library, anchor).findings]


def parsed(xml: str) -> ET.Element:
    return ET.fromstring(xml)  # noqa: S314 - written here


# -- what is recorded -----------------------------------------------------------------------------


def test_a_row_says_who_did_what_when_from_where_to_whom_and_how_it_ended(
    library: Library,
) -> None:
    before = datetime.now(UTC)
    head = audit.record(library, QUERY)
    (row,) = stored(library)
    assert before <= row.at <= datetime.now(UTC)
    assert (row.number, row.actor, row.action, row.outcome) == (1, "dr-who", "query", "success")
    assert (row.origin, row.request_id) == ("192.0.2.7", "req-1")
    assert row.patients == ("pseudonym-1", "pseudonym-2")
    assert row.subject == {"level": "study", "uid": "2.25.1", "hits": 10}
    assert (row.previous_hash, row.hash) == (GENESIS, head.hash)


def test_the_hash_is_that_of_the_canonical_row_and_joins_it_to_the_one_before(
    library: Library,
) -> None:
    first, second = fill(library, 2)
    assert second.previous_hash == first.hash
    told = {
        "id": 2,
        "at": second.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "actor": second.actor,
        "action": second.action.value,
        "subject": second.subject,
        "patients": list(second.patients),
        "outcome": "success",
        "origin": "",
        "request_id": "",
        "previous_hash": first.hash,
    }
    canonical = json.dumps(told, sort_keys=True, separators=(",", ":")).encode()
    assert second.hash == hashlib.sha256(canonical).hexdigest()


def test_several_events_are_recorded_together_or_not_at_all(library: Library) -> None:
    assert audit.record(library, QUERY, QUERY, QUERY).number == 3
    with pytest.raises(TypeError):
        audit.record(
            library, QUERY, AuditEvent(actor="a", action=Action.VIEW, subject={"uid": object()})
        )
    with pytest.raises(RuntimeError), transaction(library.engine) as db:
        append(db, [QUERY])
        raise RuntimeError
    assert len(stored(library)) == 3
    assert audit.record(library, QUERY).number == 4
    assert problems(library) == []


@settings(max_examples=60)
@given(
    actor=st.text(max_size=200),
    origin=st.text(max_size=200),
    patient=st.text(max_size=50),
    subject=st.dictionaries(
        st.text(max_size=5),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(max_size=10),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
            max_leaves=5,
        ),
        max_size=4,
    ),
)
def test_whatever_a_client_sends_is_recorded_and_whole(
    library_of_odd_words: Library, actor: str, origin: str, patient: str, subject: dict[str, Any]
) -> None:
    library = library_of_odd_words
    said = AuditEvent(
        actor=actor, action=Action.LOGIN, subject=subject, origin=origin, patients=(patient,)
    )
    head = audit.record(library, said)
    with reading(library.engine) as db:
        row = list(rows_since(db))[-1]
    assert row.number == head.number
    assert row.subject == subject
    assert row.actor.isprintable() and len(row.actor) <= 128
    assert problems(library) == []
    parsed(audit_message(row, "library"))


@pytest.fixture(scope="module")
def library_of_odd_words(
    empty: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Library]:
    folder = tmp_path_factory.mktemp("odd") / "library"
    shutil.copytree(empty, folder)
    with Library.open(folder) as copied:
        yield copied


def test_a_removal_is_chained_and_names_the_patient_by_pseudonym(tmp_path: Path) -> None:
    folder = place(tmp_path / "library", [Placed("p-1", (1, 0)), Placed("p-2", (0, 1))])
    with Library.open(folder) as library:
        library_service.remove(library, "study", "2.25.0", actor="tester")
        library_service.remove(library, "patient", "p-2", actor="tester")
        rows = stored(library)
        assert problems(library) == []
    assert [(row.action, row.patients, row.subject["uid"]) for row in rows] == [
        (Action.REMOVE, ("p-1",), "2.25.0"),
        (Action.REMOVE, ("p-2",), "p-2"),
    ]


# -- that it only grows ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'nobody' WHERE id = 2",
        "UPDATE OR REPLACE audit SET id = 1 WHERE id = 2",
        "DELETE FROM audit WHERE id = 3",
        "DELETE FROM audit",
        "REPLACE INTO audit SELECT * FROM audit WHERE id = 2",
        INSERTED.format(number=9, previous="(SELECT hash FROM audit WHERE id = 3)"),
        INSERTED.format(number=4, previous="previous_hash"),
    ],
)
def test_the_database_refuses_to_change_it(library: Library, statement: str) -> None:
    rows = fill(library, 3)
    with (
        sqlite3.connect(library.path / "catalog.sqlite") as db,
        pytest.raises(sqlite3.IntegrityError, match="audit"),
    ):
        db.execute(statement)
    assert stored(library) == rows


@settings(max_examples=150)
@given(data=st.data())
def test_any_change_of_any_field_of_any_row_is_found(chained: Library, data: st.DataObject) -> None:
    row = data.draw(st.integers(1, 12))
    column = data.draw(st.sampled_from(COLUMNS))
    value = data.draw(
        st.integers(100, 2**40)
        if column == "id"
        else st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=70)
        | st.sampled_from(
            ["[]", "{}", "null", "2026-01-01 00:00:00.000000", "remove", "failed", GENESIS]
        )
        | st.binary(max_size=5)
    )
    with sqlite3.connect(chained.path / "catalog.sqlite") as db:
        db.row_factory = sqlite3.Row
        before = db.execute("SELECT * FROM audit WHERE id = ?", (row,)).fetchone()[column]
    assume(value != before)
    change = f"UPDATE audit SET {column} = ? WHERE id = ?"  # noqa: S608 - a name of ours
    tamper(chained, change, values=(value, row))
    found = problems(chained)
    back = value if column == "id" else row
    tamper(chained, change, values=(before, back))
    assert found
    assert problems(chained) == []


@settings(max_examples=60)
@given(data=st.data())
def test_white_space_and_doubled_names_in_stored_json_are_changes_too(
    chained: Library, data: st.DataObject
) -> None:
    row = data.draw(st.integers(1, 12))
    with sqlite3.connect(chained.path / "catalog.sqlite") as db:
        before = db.execute("SELECT subject FROM audit WHERE id = ?", (row,)).fetchone()[0]
    changed = data.draw(
        st.sampled_from([before + " ", before.replace("{", '{"uid": "2.25.666", ')])
    )
    tamper(chained, "UPDATE audit SET subject = ? WHERE id = ?", values=(changed, row))
    found = problems(chained)
    tamper(chained, "UPDATE audit SET subject = ? WHERE id = ?", values=(before, row))
    assert found == [row]


@pytest.fixture(scope="module")
def chained(empty: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    folder = tmp_path_factory.mktemp("chained") / "library"
    shutil.copytree(empty, folder)
    with Library.open(folder) as copied:
        fill(copied, 12)
        yield copied


@pytest.mark.parametrize(
    "gone",
    [
        "DELETE FROM audit WHERE id = 1",
        "DELETE FROM audit WHERE id = 5",
        "DELETE FROM audit WHERE id BETWEEN 3 AND 7",
    ],
)
def test_a_missing_row_is_found(library: Library, gone: str) -> None:
    fill(library, 9)
    tamper(library, gone)
    (finding,) = audit.verify(library).findings
    assert "rows between them are missing" in finding.problem


def test_rows_that_changed_places_are_found(library: Library) -> None:
    fill(library, 6)
    tamper(
        library,
        "UPDATE audit SET id = 100 WHERE id = 3",
        "UPDATE audit SET id = 3 WHERE id = 4",
        "UPDATE audit SET id = 4 WHERE id = 100",
    )
    assert {3, 4} <= set(problems(library))


def test_a_row_put_in_between_is_found(library: Library) -> None:
    fill(library, 4)
    tamper(
        library,
        "UPDATE audit SET id = id + 100 WHERE id > 2",
        "UPDATE audit SET id = id - 99 WHERE id > 2",
        INSERTED.format(number=3, previous="(SELECT hash FROM audit WHERE id = 2)"),
    )
    assert 3 in problems(library)


def test_a_cut_end_is_found_with_a_head_that_was_kept_elsewhere(library: Library) -> None:
    *_, last = fill(library, 6)
    head = Head(last.number, last.hash)
    assert problems(library, head) == []
    tamper(library, "DELETE FROM audit WHERE id > 4")
    assert problems(library) == []
    (finding,) = audit.verify(library, head).findings
    assert (finding.number, finding.problem) == (6, "missing: the end after row 4 is gone")


def test_a_chain_that_was_written_anew_is_found_with_a_head(library: Library) -> None:
    *_, last = fill(library, 6)
    tamper(library, "DELETE FROM audit")
    fill(library, 8)
    assert problems(library) == []
    assert problems(library, Head(last.number, last.hash)) == [6]


def test_a_head_of_an_earlier_time_still_fits(library: Library) -> None:
    rows = fill(library, 6)
    for row in rows:
        assert problems(library, Head(row.number, row.hash)) == []
    assert problems(library, Head(0, GENESIS)) == []


def test_a_row_that_cannot_be_read_is_told_and_not_exported(library: Library) -> None:
    fill(library, 3)
    tamper(library, "UPDATE audit SET subject = '{' WHERE id = 2")
    assert problems(library) == [2]
    with pytest.raises(LibraryCorruptError, match="row 2 of the audit cannot be read"):
        audit.export(library, io.StringIO(), actor="tester")


def test_rows_of_an_earlier_version_are_numbered_and_chained(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "catalog.sqlite")
    older = command.upgrade
    with (
        patch.object(command, "upgrade", lambda config, _: older(config, "0005")),
        patch.object(database, "HEAD", "0005"),
    ):
        migrate(engine, create=True)
    with sqlite3.connect(tmp_path / "catalog.sqlite") as db:
        for number, uid in ((3, "2.25.1"), (8, "2.25.2")):
            db.execute(
                "INSERT INTO audit (id, at, actor, action, subject) VALUES (?, ?, ?, ?, ?)",
                (number, "2026-01-01 10:00:00.000001", "old", "remove", f'{{"uid": "{uid}"}}'),
            )
    migrate(engine)
    with transaction(engine) as db:
        append(db, [QUERY])
        rows = list(rows_since(db))
        assert audit.verify_chain(db).findings == ()
    engine.dispose()
    assert [(row.number, row.actor, row.subject.get("uid")) for row in rows] == [
        (1, "old", "2.25.1"),
        (2, "old", "2.25.2"),
        (3, "dr-who", "2.25.1"),
    ]
    assert rows[0].at == datetime(2026, 1, 1, 10, 0, 0, 1, UTC)


# -- several at once, and killed ------------------------------------------------------------------

WRITER = """
import sys
from pathlib import Path
from api.service.access.audit import record
from indexer.catalog.audit import Action, AuditEvent
from indexer.library import Library

with Library.open(Path(sys.argv[1])) as library:
    for number in range(int(sys.argv[3])):
        event = AuditEvent(actor=sys.argv[2], action=Action.VIEW, subject={"n": number})
        print(record(library, event).number, flush=True)
"""


def writer(library: Library, name: str, rows: int) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", WRITER, str(library.path), name, str(rows)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=os.environ)


def test_two_processes_append_at_once_and_the_chain_does_not_fork(library: Library) -> None:
    writers = [writer(library, name, 60) for name in ("one", "two")]
    numbers = [int(line) for each in writers for line in each.communicate()[0].split()]
    assert [each.returncode for each in writers] == [0, 0]
    assert sorted(numbers) == list(range(1, 121))
    rows = stored(library)
    for name in ("one", "two"):
        assert [row.subject["n"] for row in rows if row.actor == name] == list(range(60))
    assert problems(library) == []


def test_a_killed_writer_leaves_all_that_it_had_acknowledged(library: Library) -> None:
    acknowledged = 0
    for times in range(3):
        running = writer(library, f"run-{times}", 100_000)
        assert running.stdout is not None
        for _ in range(5 + 7 * times):
            acknowledged = int(running.stdout.readline())
        running.send_signal(signal.SIGKILL)
        running.communicate()
        assert acknowledged <= len(stored(library))
        assert problems(library) == []
    assert audit.record(library, QUERY).number == len(stored(library))


def test_many_threads_write_in_few_transactions_and_none_is_lost(library: Library) -> None:
    transactions = []
    event.listen(library.engine, "commit", lambda _: transactions.append(1))

    def person(name: str) -> list[int]:
        seen = AuditEvent(actor=name, action=Action.VIEW)
        return [recorder.record(seen).number for _ in range(25)]

    with audit.Recorder(library) as recorder, ThreadPoolExecutor(8) as pool:
        heads = list(pool.map(person, "abcdefgh"))
    rows = stored(library)
    assert sorted(row.actor for row in rows) == sorted("abcdefgh" * 25)
    assert all(numbers == sorted(set(numbers)) for numbers in heads)
    assert len(transactions) < len(rows) / 2
    assert problems(library) == []


def test_all_who_wait_are_told_when_nothing_can_be_written(library: Library) -> None:
    with audit.Recorder(library) as recorder:
        tamper(library, "ALTER TABLE audit RENAME TO gone")
        for _ in range(2):
            with pytest.raises(LibraryCorruptError):
                recorder.record(QUERY)
        tamper(library, "ALTER TABLE gone RENAME TO audit")
        assert recorder.record(QUERY).number == 1


def test_who_cannot_write_is_told(library: Library) -> None:
    audit.record(library, QUERY)
    engine = open_engine(library.path / "catalog.sqlite")
    with engine.connect() as db, transaction(library.engine) as writing:
        db.exec_driver_sql("PRAGMA busy_timeout=10")
        append(writing, [QUERY])
        with pytest.raises(LibraryLockedError), database.translated():
            append(db, [QUERY])
    engine.dispose()
    assert len(stored(library)) == 2


# -- in which forms it leaves ---------------------------------------------------------------------


def run(library: Library, *words: object) -> Any:
    return CliRunner().invoke(app, [*map(str, words), "-L", str(library.path)])


def test_lines_of_json_hold_all_columns(library: Library) -> None:
    fill(library, 3)
    done = run(library, "audit", "export")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [set(line) for line in lines] == [{*COLUMNS[1:], "number"}] * 3
    assert [line["hash"] for line in lines] == [row.hash for row in stored(library)][:3]
    assert f"head 3 {lines[-1]['hash']}" in done.stderr


def test_an_export_is_recorded_itself(library: Library) -> None:
    fill(library, 2)
    run(library, "audit", "export", "--format", "dicom")
    last = stored(library)[-1]
    assert (last.number, last.action, last.subject["format"]) == (3, Action.AUDIT, "dicom")


def test_an_export_may_begin_at_a_time(library: Library) -> None:
    fill(library, 2)
    later = (datetime.now(UTC) + timedelta(milliseconds=1)).isoformat()
    time.sleep(0.005)
    audit.record(library, QUERY)
    done = run(library, "audit", "export", "--since", later)
    assert [json.loads(line)["number"] for line in done.stdout.splitlines()] == [3]
    wrong = run(library, "audit", "export", "--since", "yesterday")
    assert wrong.exit_code == 2 and "'yesterday' is no time" in wrong.stderr


def test_a_head_from_an_export_proves_the_chain_later(library: Library, tmp_path: Path) -> None:
    fill(library, 4)
    file, head = tmp_path / "audit.jsonl", tmp_path / "head.json"
    done = run(library, "audit", "export", "--output", file, "--head", head, "--json")
    told = json.loads(done.stdout)
    assert told["rows"] == len(file.read_text().splitlines()) == 4
    assert json.loads(head.read_text()) == told["head"]
    whole = run(library, "audit", "verify", "--head", head, "--json")
    assert (whole.exit_code, json.loads(whole.stdout)["whole"]) == (0, True)
    tamper(library, "DELETE FROM audit WHERE id > 3")
    cut = run(library, "audit", "verify", "--head", head)
    assert cut.exit_code == 2
    assert "row 4: missing: the end after row 3 is gone" in cut.stdout
    assert run(library, "audit", "verify").exit_code == 0


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"number": "1", "hash": ""}', '{"number": 1, "hash": "zz"}', "\xff"]
)
def test_a_file_that_holds_no_head_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "head").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match="no head of an audit"):
        audit.read_head(tmp_path / "head")
    with pytest.raises(ConfigError, match="cannot be read"):
        audit.read_head(tmp_path / "missing")


def test_a_wrong_form_leaves_an_older_file_as_it_is(library: Library, tmp_path: Path) -> None:
    file = tmp_path / "audit.xml"
    file.write_text("older")
    wrong = run(library, "audit", "export", "--format", "xlsx", "-o", file)
    assert wrong.exit_code == 2 and "jsonl or dicom, not as 'xlsx'" in wrong.stderr
    assert file.read_text() == "older"
    assert list(tmp_path.glob(".*")) == []
    nowhere = run(library, "audit", "export", "-o", tmp_path / "missing" / "file")
    assert nowhere.exit_code == 2 and "cannot be written" in nowhere.stderr


def test_what_verify_found_is_told_row_by_row(library: Library) -> None:
    fill(library, 4)
    assert "4 rows: whole; head 4 " in run(library, "audit", "verify").stdout
    tamper(library, "UPDATE audit SET actor = 'nobody' WHERE id = 2")
    told = run(library, "audit", "verify")
    assert (told.exit_code, "row 2: was changed" in told.stdout) == (2, True)
    found = json.loads(run(library, "audit", "verify", "--json").stdout)
    assert found["whole"] is False
    assert found["findings"] == [{"number": 2, "problem": "was changed"}]


# -- messages of DICOM ----------------------------------------------------------------------------

CODED = {"csd-code", "codeSystemName", "originalText"}
SCHEMA = {
    "AuditMessage": set(),
    "EventIdentification": {"EventActionCode", "EventDateTime", "EventOutcomeIndicator"},
    "EventID": CODED,
    "EventTypeCode": CODED,
    "ActiveParticipant": {
        "UserID",
        "UserIsRequestor",
        "NetworkAccessPointID",
        "NetworkAccessPointTypeCode",
    },
    "RoleIDCode": CODED,
    "AuditSourceIdentification": {"AuditSourceID"},
    "AuditSourceTypeCode": {"csd-code"},
    "ParticipantObjectIdentification": {
        "ParticipantObjectID",
        "ParticipantObjectTypeCode",
        "ParticipantObjectTypeCodeRole",
        "ParticipantObjectDataLifeCycle",
    },
    "ParticipantObjectIDTypeCode": CODED,
    "ParticipantObjectName": set(),
    "ParticipantObjectQuery": set(),
    "ParticipantObjectDetail": {"type", "value"},
}
"""Elements of the schema in PS3.15 A.5.1 that are used here, with their attributes."""
OPTIONAL = {
    "NetworkAccessPointID",
    "NetworkAccessPointTypeCode",
    "ParticipantObjectDataLifeCycle",
}


def message(library: Library, done: AuditEvent) -> ET.Element:
    audit.record(library, done)
    return parsed(audit_message(stored(library)[-1], library.config.id))


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("outcome", list(Ending))
def test_every_message_has_the_elements_and_attributes_of_the_schema(
    library: Library, action: Action, outcome: Ending
) -> None:
    done = AuditEvent(
        actor="dr-who",
        action=action,
        subject={"uids": ["2.25.1", "2.25.2"]},
        patients=("pseudonym-1",),
        outcome=outcome,
        origin="reading-room",
    )
    told = message(library, done)
    order = [child.tag for child in told]
    assert order == sorted(order, key=list(SCHEMA).index)
    assert order.count("ParticipantObjectIdentification") == 4
    for element in told.iter():
        allowed = SCHEMA[element.tag]
        assert allowed - OPTIONAL <= set(element.attrib) <= allowed
    identification = told.find("EventIdentification")
    assert identification is not None
    assert identification.get("EventActionCode") in set("CRUDE")
    assert datetime.fromisoformat(identification.get("EventDateTime", "")).tzinfo
    wanted = {"success": "0", "refused": "4", "failed": "8"}
    assert identification.get("EventOutcomeIndicator") == wanted[outcome.value]


@pytest.mark.parametrize(
    ("action", "code", "kind"),
    [
        (Action.QUERY, "110112", None),
        (Action.VIEW, "110103", None),
        (Action.EXPORT, "110106", None),
        (Action.CHANGE, "110110", None),
        (Action.LOGIN, "110114", "110122"),
        (Action.REFUSE, "110113", "110132"),
        (Action.START, "110100", "110120"),
        (Action.STOP, "110100", "110121"),
    ],
)
def test_events_have_the_codes_of_the_standard(
    library: Library, action: Action, code: str, kind: str | None
) -> None:
    told = message(library, AuditEvent(actor="dr-who", action=action))
    identified = told.find("EventIdentification/EventID")
    typed = told.find("EventIdentification/EventTypeCode")
    assert identified is not None and identified.get("csd-code") == code
    assert (None if typed is None else typed.get("csd-code")) == kind


def test_a_query_tells_patients_studies_and_what_was_asked(library: Library) -> None:
    told = message(library, QUERY)
    objects = told.findall("ParticipantObjectIdentification")
    assert [each.get("ParticipantObjectID") for each in objects] == [
        "pseudonym-1",
        "pseudonym-2",
        "2.25.1",
        "req-1",
    ]
    asked = objects[-1].findtext("ParticipantObjectQuery", "")
    assert json.loads(base64.b64decode(asked)) == QUERY.subject
    asker = told.find("ActiveParticipant[@UserIsRequestor='true']")
    assert asker is not None
    assert asker.attrib == {
        "UserID": "dr-who",
        "UserIsRequestor": "true",
        "NetworkAccessPointID": "192.0.2.7",
        "NetworkAccessPointTypeCode": "2",
    }


def test_messages_are_exported_one_a_line(library: Library) -> None:
    audit.record(
        library, QUERY, AuditEvent(actor="a\nb", action=Action.VIEW, subject={"uid": "\n"})
    )
    lines = run(library, "audit", "export", "--format", "dicom").stdout.splitlines()
    assert [parsed(line).tag for line in lines] == ["AuditMessage"] * 2


def test_a_copied_library_has_the_same_chain(library: Library, tmp_path: Path) -> None:
    rows = fill(library, 3)
    library.close()
    shutil.copytree(library.path, tmp_path / "copy")
    with Library.open(tmp_path / "copy") as copied:
        assert stored(copied) == rows
        assert problems(copied) == []
