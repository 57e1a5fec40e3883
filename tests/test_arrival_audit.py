"""The audit says what arrived and from where, who was kept out, and when a service was there."""

from __future__ import annotations

import json
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from dicom_senders import association, listening
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from sent_objects import small_slice
from served_library import serving
from test_dimse import calling, certificates, files, tls_of
from typer.testing import CliRunner
from web_archive import WebArchive, serving_archive

from api.app import create_app
from api.cli.main import app
from api.dimse.node import AssociationEnded, CallerRefused
from api.dimse.options import NodeOptions
from api.service.arriving.archives import ArchiveQuery
from api.service.arriving.arrival_audit import ArrivalAudit, PullAudit
from api.service.arriving.listen import Listening, ListenRequest, listen
from api.service.arriving.pull import PullRequest, pull
from api.service.arriving.pull_web import WebArchive as Asked
from api.service.arriving.web_client import WebOptions
from indexer.catalog.audit import Action, AuditRow, Ending, rows_since, verify_chain
from indexer.catalog.database import reading
from indexer.config import Settings
from indexer.errors import StorageFullError
from indexer.library import Library
from indexer.receiving.inbox import Inbox

__all__ = ["certificates"]

CT = [(CTImageStorage, ExplicitVRLittleEndian)]


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with Library.create(tmp_path / "library") as made:
        yield made


def recorded(library: Library | Path) -> list[AuditRow]:
    """All rows of an audit, which is whole."""
    path = library if isinstance(library, Path) else library.path
    with Library.open(path) as opened, reading(opened.engine) as db:
        assert not verify_chain(db).findings
        return list(rows_since(db))


@contextmanager
def receiving(library: Library, **options: Any) -> Iterator[int]:
    """A receiver that indexes nothing, and its port; told to stop at the end."""
    stop, ports, ready = threading.Event(), list[int](), threading.Event()
    request = ListenRequest(NodeOptions(port=0, **options), index=False)

    def run() -> None:
        for event in listen(library, request, Settings(), stop=stop):
            if isinstance(event, Listening):
                ports.append(event.port)
                ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(30)
        yield ports[0]
    finally:
        stop.set()
        thread.join(40)
    assert not thread.is_alive()


def test_each_association_that_stored_something_is_a_row_with_counts_and_without_a_patient(
    library: Library,
) -> None:
    with receiving(library) as port:
        with association(port, CT, title="CT1") as sender:
            for number in (1, 2, 2):
                assert sender.send_c_store(small_slice(number)).Status == 0
        with association(port, CT, title="CT2"):
            pass  # asks for nothing
    rows = recorded(library)
    assert [row.action for row in rows] == [Action.START, Action.ARRIVE, Action.STOP]
    arrived = rows[1]
    assert (arrived.actor, arrived.origin, arrived.outcome) == ("CT1", "127.0.0.1", Ending.SUCCESS)
    assert arrived.subject == {"what": "c-store", "stored": 2, "repeated": 1, "refused": 0}
    assert arrived.patients == (), "an inbox knows UIDs alone"
    assert "Sally" not in str(rows) and "4711" not in str(rows)


def test_an_association_that_is_cut_off_at_the_end_has_its_row_too(library: Library) -> None:
    with receiving(library) as port, association(port, CT, title="CT1") as sender:
        assert sender.send_c_store(small_slice(1)).Status == 0
        sender.abort()
    assert [row.subject["stored"] for row in recorded(library) if row.actor == "CT1"] == [1]


def test_callers_that_are_not_on_the_list_are_refused_in_the_audit(library: Library) -> None:
    with receiving(library, allow=("CT1",)) as port:
        with association(port, CT, title="STRANGER") as sender:
            assert sender.is_rejected
        with association(port, CT, title="CT1") as sender:
            assert sender.send_c_store(small_slice(1)).Status == 0
    told = [(row.action, row.actor, row.outcome) for row in recorded(library) if row.origin]
    assert told == [
        (Action.REFUSE, "STRANGER", Ending.REFUSED),
        (Action.ARRIVE, "CT1", Ending.SUCCESS),
    ]


def test_addresses_that_may_not_connect_are_refused_in_the_audit(library: Library) -> None:
    with receiving(library, addresses=("192.0.2.0/24",)) as port, association(port, CT) as sender:
        assert not sender.is_established
    (row,) = [row for row in recorded(library) if row.origin]
    assert (row.action, row.actor, row.origin) == (Action.REFUSE, "not known", "127.0.0.1")
    assert row.subject == {"what": "association", "reason": "address"}


def test_a_caller_without_a_certificate_is_refused_in_the_audit(
    library: Library, certificates: Path
) -> None:
    with receiving(library, tls=tls_of(certificates, mutual=True)) as port:
        for name, welcome in (("", False), ("sender", True)):
            tls = (calling(certificates, name), "127.0.0.1")
            with association(port, CT, tls_args=tls) as sender:
                assert sender.is_established == welcome
    reasons = [row.subject["reason"] for row in recorded(library) if row.action is Action.REFUSE]
    assert reasons == ["tls"]


def test_those_turned_away_for_now_are_no_strangers(library: Library) -> None:
    with (
        receiving(library, allow=("CT1",), associations=1) as port,
        association(port, CT, title="CT1"),
        association(port, CT, title="CT1") as second,
    ):
        assert second.is_rejected
    assert Action.REFUSE not in [row.action for row in recorded(library)]


def test_who_calls_again_and_again_does_not_fill_the_audit(library: Library) -> None:
    with ArrivalAudit(library) as audit:
        for number in range(1_000):
            audit.refused(CallerRefused(f"GUESS{number}", "192.0.2.7", "title"))
        audit.refused(CallerRefused("ANOTHER", "192.0.2.8", "title"))
    rows = recorded(library)
    assert 30 <= len(rows) < 100
    assert rows[-1].actor == "ANOTHER"


@contextmanager
def nothing_can_be_recorded(library: Library) -> Iterator[None]:
    """The catalog answers as on a full disk while the block runs."""
    trigger = (
        "CREATE TRIGGER late BEFORE INSERT ON audit BEGIN INSERT INTO disk_full VALUES (1); END"
    )
    with closing(sqlite3.connect(library.path / "catalog.sqlite")) as db:
        db.execute(trigger)
        db.commit()
        yield
        db.execute("DROP TRIGGER late")
        db.commit()


ENDED = AssociationEnded("CT1", "192.0.2.7", 3, 0, 0, "")


def test_rows_that_cannot_be_written_are_written_later_in_their_order(library: Library) -> None:
    with ArrivalAudit(library) as audit:
        with nothing_can_be_recorded(library):
            audit.started()
            audit.ended(ENDED)
        audit.refused(CallerRefused("STRANGER", "192.0.2.8", "title"))
    told = [row.action for row in recorded(library)]
    assert told == [Action.START, Action.ARRIVE, Action.REFUSE, Action.STOP]


def test_objects_are_acknowledged_and_kept_also_while_nothing_can_be_recorded(
    library: Library,
) -> None:
    with receiving(library) as port, nothing_can_be_recorded(library):
        with association(port, CT) as sender:
            assert sender.send_c_store(small_slice(1)).Status == 0
        with association(port, CT) as sender:
            assert sender.send_c_store(small_slice(2)).Status == 0
    assert len(files(Inbox(library.inbox_folder))) == 2
    assert [row.action for row in recorded(library)].count(Action.ARRIVE) == 2


def test_rows_that_cannot_be_written_even_at_the_end_are_an_error(library: Library) -> None:
    audit = ArrivalAudit(library)
    with nothing_can_be_recorded(library):
        audit.__enter__()
        audit.ended(ENDED)
        with pytest.raises(StorageFullError):
            audit.close()


def test_the_command_says_when_it_listened(tmp_path: Path) -> None:
    library = tmp_path / "library"
    with listening(library, "--no-index") as (process, port):
        with association(port, CT, title="CT1") as sender:
            assert sender.send_c_store(small_slice(1)).Status == 0
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    rows = recorded(library)
    assert [row.action for row in rows] == [Action.START, Action.ARRIVE, Action.STOP]
    assert {row.subject["what"] for row in (rows[0], rows[2])} == {"listen"}


# -- the service over HTTP ------------------------------------------------------------------------


def test_a_guarded_service_says_when_it_was_there_and_another_does_not(library: Library) -> None:
    settings = Settings(library=library.path)
    with serving(settings):
        pass
    assert recorded(library) == []
    with serving(settings, create_app(settings, None)):
        assert [row.action for row in recorded(library)] == [Action.START]
    rows = recorded(library)
    assert [row.action for row in rows] == [Action.START, Action.STOP]
    assert rows[0].subject["what"] == "serve"


# -- what is pulled -------------------------------------------------------------------------------


@pytest.fixture
def archive() -> Iterator[WebArchive]:
    """Two studies of three slices."""
    objects = [small_slice(n, study=study) for study in (1, 2) for n in range(3)]
    with serving_archive(WebArchive(objects)) as running:
        yield running


def pulled(library: Path, archive: WebArchive) -> int:
    asked = ("--query", "PatientID=P-4711", "--no-index", "--library", str(library))
    return CliRunner().invoke(app, ["pull", "dicomweb", archive.url, *asked]).exit_code


def test_each_study_that_is_pulled_is_a_row_with_the_archive_and_never_the_query(
    archive: WebArchive, tmp_path: Path
) -> None:
    library = tmp_path / "library"
    assert pulled(library, archive) == 0
    rows = recorded(library)
    assert [row.action for row in rows] == [Action.ARRIVE] * 2
    assert [row.subject for row in rows] == [
        {"what": "pull", "archive": "127.0.0.1", "uid": uid, "fetched": 3, "known": 0}
        for uid in ("2.25.1", "2.25.2")
    ]
    assert all(row.actor and row.outcome is Ending.SUCCESS for row in rows)
    assert "4711" not in json.dumps([dict(row.subject) for row in rows])
    assert pulled(library, archive) == 0
    assert len(recorded(library)) == 2, "nothing came"


def test_a_study_of_which_something_did_not_come_is_a_row_that_says_so(
    archive: WebArchive, tmp_path: Path
) -> None:
    library = tmp_path / "library"
    archive.trouble = lambda path, _before: (404, {}, b"") if "2.25.2.1" in path else None
    assert pulled(library, archive) == 4
    told = [(row.subject["uid"], row.outcome) for row in recorded(library)]
    assert told == [("2.25.1", Ending.SUCCESS), ("2.25.2", Ending.FAILED)]


def test_what_came_before_a_pull_was_stopped_is_recorded(
    archive: WebArchive, library: Library
) -> None:
    stop = threading.Event()

    def trouble(path: str, _before: int) -> None:
        if path.startswith("studies/2.25.2/"):
            stop.set()

    archive.trouble = trouble
    inbox = Inbox(library.inbox_folder)
    with closing(Asked(inbox, ArchiveQuery({}, {}), WebOptions(archive.url), stop)) as asked:
        request = PullRequest(index=False, host="pacs", actor="ann")
        list(pull(library, inbox, asked, request, Settings(), stop=stop))
    rows = recorded(library)
    assert [(row.actor, row.subject["archive"]) for row in rows] == [("ann", "pacs")] * len(rows)
    assert sum(row.subject["fetched"] for row in rows) == len(files(inbox))
    assert rows[0].outcome is Ending.SUCCESS


def test_rows_of_a_pull_that_cannot_be_written_wait_and_are_an_error_at_the_end(
    library: Library,
) -> None:
    audit = PullAudit(library, "pacs", "ann")
    with nothing_can_be_recorded(library):
        audit.study("2.25.1", 3, 0, whole=True)
        with pytest.raises(StorageFullError):
            audit.close()
    audit.study("2.25.2", 2, 1, whole=False)
    assert [row.subject["uid"] for row in recorded(library)] == ["2.25.1", "2.25.2"]
