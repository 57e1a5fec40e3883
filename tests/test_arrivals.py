"""What was sent to a library is indexed where it lies, in order, and goes with what is removed."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path

import pytest
from dicom_senders import association, listening
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from sent_objects import as_file, real_file, small_slice
from typer.testing import CliRunner

from api.cli.main import app
from api.service.arriving.arrivals import ArrivalPace, Held, index_arrivals
from api.service.ingest import IndexRequest, index, rejected
from api.service.library import remove, show, verify
from indexer.config import Settings
from indexer.errors import LibraryLockedError
from indexer.library import Library
from indexer.receiving.backlog import Backlog
from indexer.receiving.inbox import Inbox
from indexer.types import Outcome

SETTINGS = Settings(workers=1)


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library.create(tmp_path / "library")


def send(inbox: Inbox, *objects: bytes) -> None:
    for data in objects:
        incoming = inbox.begin()
        incoming.write(data)
        incoming.keep(incoming.check())


def index_all(library: Library, inbox: Inbox) -> dict[Outcome, int]:
    outcomes: dict[Outcome, int] = {}
    for batch in index_arrivals(library, inbox, SETTINGS, once=True, stop=threading.Event()):
        assert not isinstance(batch, Held)
        outcomes |= batch.outcomes
    return outcomes


def test_files_are_indexed_where_they_lie_and_once(library: Library) -> None:
    inbox = Inbox(library.inbox_folder)
    send(inbox, real_file("CT_small.dcm").read_bytes(), real_file("MR_small.dcm").read_bytes())
    assert index_all(library, inbox) == {Outcome.INDEXED: 2}
    assert index_all(library, inbox) == {}
    assert verify(library, sources=True).findings == []
    listed = list(rejected(library, everything=True))
    assert all(Path(each.source).parent.parent == inbox.folder for each in listed)


def test_a_series_that_comes_in_parts_becomes_one_volume(library: Library) -> None:
    inbox = Inbox(library.inbox_folder)
    for part in (range(4), range(4, 9)):
        send(inbox, *(as_file(small_slice(number)) for number in part))
        assert index_all(library, inbox) == {Outcome.INDEXED: len(part)}
    (series,) = show(library, "2.25.1")["series"]  # type: ignore[misc]
    assert [item["slices"] for item in series["items"]] == [9]


def test_other_pixels_under_a_known_uid_are_a_conflict_and_the_first_stay(
    library: Library,
) -> None:
    inbox = Inbox(library.inbox_folder)
    send(inbox, real_file("CT_small.dcm").read_bytes())
    index_all(library, inbox)
    data = bytearray(real_file("CT_small.dcm").read_bytes())
    data[-400] ^= 0xFF
    send(inbox, bytes(data))
    assert index_all(library, inbox) == {Outcome.CONFLICT: 1}


def test_what_waits_is_told_in_the_order_in_which_it_came(library: Library) -> None:
    inbox = Inbox(library.inbox_folder)
    numbers = [5, 3, 9, 1]
    for number in numbers:
        send(inbox, as_file(small_slice(number)))
    backlog = Backlog(library, inbox)
    by_name = {
        path: uid
        for uid, (path,) in inbox.holding(f"2.25.1.1.{number}" for number in numbers).items()
    }
    came = [by_name[Path(file.path)] for file in backlog.look()]
    assert came == [f"2.25.1.1.{number}" for number in numbers]
    index_all(library, inbox)
    assert backlog.look() == []


def test_a_folder_around_the_library_finds_what_was_received_and_not_what_is_under_way(
    library: Library, tmp_path: Path
) -> None:
    inbox = Inbox(library.inbox_folder)
    send(inbox, real_file("CT_small.dcm").read_bytes())
    under_way = inbox.begin()
    under_way.write(real_file("MR_small.dcm").read_bytes())
    summary = index(library, IndexRequest([tmp_path]), SETTINGS)
    under_way.discard()
    assert summary.outcomes == {Outcome.INDEXED: 1}
    assert index_all(library, inbox) == {}


def test_what_is_removed_does_not_come_back(library: Library) -> None:
    inbox = Inbox(library.inbox_folder)
    send(inbox, *(as_file(small_slice(number)) for number in range(3)))
    send(inbox, *(as_file(small_slice(number, study=2)) for number in range(3)))
    index_all(library, inbox)
    remove(library, "study", "2.25.1", actor="tester")
    assert index_all(library, inbox) == {}
    assert not inbox.holding(f"2.25.1.1.{number}" for number in range(3))
    assert len(inbox.holding(f"2.25.2.1.{number}" for number in range(3))) == 3
    assert verify(library, sources=True).findings == []


def test_a_library_that_is_being_written_is_waited_for(library: Library) -> None:
    inbox = Inbox(library.inbox_folder)
    send(inbox, real_file("CT_small.dcm").read_bytes())
    pace = ArrivalPace(quiet=0.1, poll=0.05, retry=0.1)
    stop = threading.Event()
    with Library.open(library.path) as other, other.writing():
        events = index_arrivals(library, inbox, SETTINGS, pace, stop=stop)
        held = next(events)
        assert isinstance(held, Held)
        assert held.waiting == 1
    batch = next(event for event in events if not isinstance(event, Held))
    assert batch.outcomes == {Outcome.INDEXED: 1}
    with pytest.raises(LibraryLockedError):
        next(index_arrivals(library, inbox, SETTINGS, once=True, stop=stop))
    stop.set()
    assert list(events) == []


def test_listen_receives_and_indexes_until_it_is_stopped(tmp_path: Path) -> None:
    library = tmp_path / "library"
    with listening(library, "--workers", "1") as (process, port):
        with association(port, [(CTImageStorage, ExplicitVRLittleEndian)], title="CT1") as sender:
            for number in range(3):
                assert sender.send_c_store(small_slice(number)).Status == 0x0000
        assert process.stdout
        events = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.send_signal(signal.SIGINT)
        said, complained = process.communicate(timeout=60)
        assert process.returncode == 130
    assert events[0] == {
        "event": "association",
        "calling": "CT1",
        "address": "127.0.0.1",
        "stored": 3,
        "repeated": 0,
        "refused": 0,
        "reason": "",
    }
    assert events[1] == {"event": "indexed", "files": 3, "outcomes": {"indexed": 3}}
    assert "Traceback" not in complained
    assert not any("Sally" in text or "4711" in text for text in (said, complained, str(events)))


def test_what_a_receiver_left_is_indexed_by_arrivals(library: Library) -> None:
    send(Inbox(library.inbox_folder), real_file("CT_small.dcm").read_bytes())
    arguments = ["arrivals", "--library", str(library.path), "--workers", "1"]
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {
        "event": "indexed",
        "files": 1,
        "outcomes": {"indexed": 1},
    }
    again = CliRunner().invoke(app, arguments)
    assert "nothing waits" in again.output
