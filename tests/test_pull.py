"""Studies are fetched from an archive that does not always do what it should."""

from __future__ import annotations

import json
import logging
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from click.testing import Result
from sent_objects import as_file, small_slice
from test_dimse import certificates
from typer.testing import CliRunner
from web_archive import WebArchive, serving_archive

from api.cli.main import app
from api.service.arriving.archives import ArchiveError, ArchiveQuery, is_uid, parse_query
from api.service.arriving.pull import PullEvent, PullRequest, PullSummary, StudyFailed, pull
from api.service.arriving.pull_web import WebArchive as Asked
from api.service.arriving.web_client import WebOptions
from indexer.config import Settings
from indexer.errors import ConfigError, InboxFullError
from indexer.library import Library
from indexer.receiving.inbox import Inbox, InboxLimits

__all__ = ["certificates"]

SLICES = 6
ANY = ("--query", "Modality=CT")


@pytest.fixture
def archive() -> Iterator[WebArchive]:
    """Three studies of one series of six slices."""
    objects = [small_slice(n, study=study) for study in (1, 2, 3) for n in range(SLICES)]
    with serving_archive(WebArchive(objects)) as running:
        yield running


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["pull", "dicomweb", *map(str, arguments)])


def said(result: Result, event: str) -> list[dict[str, Any]]:
    """What a command with --json said of one kind of event."""
    told = [json.loads(line) for line in result.stdout.splitlines()]
    return [each for each in told if each["event"] == event]


def kept(library: Path) -> list[str]:
    files = (library / "inbox").glob("2*/*.dcm")
    return sorted(pydicom.dcmread(each, stop_before_pixels=True).SOPInstanceUID for each in files)


def fetch(
    library: Path, archive: WebArchive, waits: tuple[float, ...] = (0.01, 0.01), **limits: int
) -> list[PullEvent]:
    """Fetch all of an archive, without indexing; what was told."""
    with Library.open(library) if library.exists() else Library.create(library) as opened:
        inbox = Inbox(opened.inbox_folder, InboxLimits(**limits))
        stop = threading.Event()
        asked = Asked(inbox, ArchiveQuery({}, {}), WebOptions(archive.url, timeout=20), stop)
        try:
            request = PullRequest(index=False, waits=waits)
            return list(pull(opened, inbox, asked, request, Settings(), stop=stop))
        finally:
            asked.close()


def summary_of(events: list[PullEvent]) -> PullSummary:
    assert isinstance(events[-1], PullSummary)
    return events[-1]


def failures(events: list[PullEvent]) -> dict[str, str]:
    return {e.study_instance_uid: e.reason for e in events if isinstance(e, StudyFailed)}


@pytest.mark.parametrize("page", [1, 100])
def test_all_that_an_archive_lists_is_fetched_however_small_its_pages(
    archive: WebArchive, tmp_path: Path, page: int
) -> None:
    archive.page = page
    result = run(archive.url, *ANY, "--no-index", "--library", tmp_path / "library", "--json")
    assert result.exit_code == 0, result.output
    assert [each["fetched"] for each in said(result, "study")] == [SLICES] * 3
    assert len(kept(tmp_path / "library")) == 3 * SLICES
    assert sum(path.startswith("studies/2.25.1/series/2.25.1.1") for path in archive.paths) >= 2


def test_the_limit_is_of_studies(archive: WebArchive, tmp_path: Path) -> None:
    library = tmp_path / "library"
    result = run(archive.url, *ANY, "--limit", "2", "--no-index", "--library", library)
    assert result.exit_code == 0
    assert "2 studies: 12 instances fetched, 0 here already; 0 studies failed" in result.stdout
    assert len(kept(library)) == 2 * SLICES


def test_what_is_here_is_not_fetched_again_and_what_is_missing_is(
    archive: WebArchive, tmp_path: Path
) -> None:
    library = tmp_path / "library"
    with Library.create(library) as made:
        incoming = Inbox(made.inbox_folder).begin()
        incoming.write(as_file(small_slice(3, study=2)))
        incoming.keep(incoming.check())
    summary = summary_of(fetch(library, archive))
    assert (summary.fetched, summary.known) == (3 * SLICES - 1, 1)
    assert "studies/2.25.1/series/2.25.1.1" in archive.paths
    singles = [path for path in archive.paths if path.startswith("studies/2.25.2/series/2.25.2.1")]
    assert f"{singles[0].rpartition('/')[0]}/instances/2.25.2.1.3" not in archive.paths
    assert len([path for path in singles if "instances/" in path]) == SLICES - 1
    asked = len(archive.asked)
    again = summary_of(fetch(library, archive))
    assert (again.fetched, again.known) == (0, 3 * SLICES)
    assert all("dicom+json" in headers["Accept"] for _, headers in archive.asked[asked:])


@pytest.mark.parametrize("status", [429, 503])
def test_an_archive_that_is_busy_is_asked_again_when_it_says(
    archive: WebArchive, tmp_path: Path, status: int
) -> None:
    archive.trouble = lambda path, before: (
        (status, {"Retry-After": "1"}, b"") if before == 0 and path == "studies" else None
    )
    began = time.monotonic()
    events = fetch(tmp_path / "library", archive, waits=(60.0,))
    assert 0.9 < time.monotonic() - began < 30
    assert summary_of(events).fetched == 3 * SLICES


def test_a_series_that_breaks_off_again_and_again_comes_bit_by_bit(
    archive: WebArchive, tmp_path: Path
) -> None:
    whole = len(as_file(archive.objects[0]))
    archive.cut = lambda path, _: 2 * whole + 900 if path.endswith("series/2.25.1.1") else None
    events = fetch(tmp_path / "library", archive, waits=(0.01,))
    assert failures(events) == {}
    assert summary_of(events).fetched == 3 * SLICES
    # Two of the six came before the series broke off, and were not asked for again.
    assert (
        len([p for p in archive.paths if p.startswith("studies/2.25.1/") and "2.25.1.1." in p]) == 4
    )


def test_a_study_that_fails_is_named_and_the_others_come(
    archive: WebArchive, tmp_path: Path
) -> None:
    archive.trouble = lambda path, _: (404, {}, b"") if path.startswith("studies/2.25.2/") else None
    library = tmp_path / "library"
    result = run(archive.url, *ANY, "--no-index", "--library", library, "--json")
    assert result.exit_code == 4
    (failed,) = said(result, "failed")
    assert failed["study_instance_uid"] == "2.25.2"
    assert failed["reason"] == "the archive answers 404"
    assert len(kept(library)) == 2 * SLICES


def test_an_instance_that_cannot_be_sent_does_not_keep_the_others_back(
    archive: WebArchive, tmp_path: Path
) -> None:
    archive.trouble = lambda path, _: (
        (500, {}, b"")
        if path == "studies/2.25.1/series/2.25.1.1" or path.endswith("/2.25.1.1.4")
        else None
    )
    events = fetch(tmp_path / "library", archive)
    assert failures(events) == {
        "2.25.1": "1 instances did not come: the archive answers 500",
    }
    assert len(kept(tmp_path / "library")) == 3 * SLICES - 1


def test_an_archive_that_stays_away_fails_one_study_after_the_other(
    archive: WebArchive, tmp_path: Path
) -> None:
    archive.trouble = lambda path, _: (503, {}, b"") if "instances/" in path else None
    archive.cut = lambda _path, _before: 900
    events = fetch(tmp_path / "library", archive)
    assert set(failures(events)) == {"2.25.1", "2.25.2", "2.25.3"}
    assert summary_of(events).failed == 3


def test_what_is_too_large_is_left_out_and_said(archive: WebArchive, tmp_path: Path) -> None:
    events = fetch(tmp_path / "library", archive, object_bytes=1_000)
    assert summary_of(events).fetched == 0
    assert set(failures(events).values()) == {
        "6 instances did not come: refused: too large, no DICOM file, or of another study"
    }


def test_a_disk_that_is_almost_full_ends_the_run(archive: WebArchive, tmp_path: Path) -> None:
    with pytest.raises(InboxFullError):
        fetch(tmp_path / "library", archive, free_bytes=1 << 60)


def test_redirects_within_the_archive_are_followed(archive: WebArchive, tmp_path: Path) -> None:
    moved = f"{archive.url}/studies?offset=0"
    archive.trouble = lambda path, before: (
        (307, {"Location": moved}, b"") if path == "studies" and before == 0 else None
    )
    assert summary_of(fetch(tmp_path / "library", archive)).fetched == 3 * SLICES


def test_redirects_to_another_host_are_refused_and_told_nothing(
    archive: WebArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTOPY_PULL_TOKEN", "s3cret")
    with serving_archive(WebArchive([])) as other:
        moved = f"{other.url}/studies"
        archive.trouble = lambda _path, _before: (302, {"Location": moved}, b"")
        result = run(archive.url, *ANY, "--library", tmp_path / "library")
        assert result.exit_code == 2
        assert "another host" in result.stderr
        assert other.asked == []


def test_who_asks_is_told_from_the_environment_and_to_nobody_else(
    archive: WebArchive,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("SYNTOPY_PULL_TOKEN", "s3cret")
    more = ("--query", "PatientName=Sample^Sally", "--query", "PatientID=P-4711")
    with caplog.at_level(logging.DEBUG):
        result = run(archive.url, *ANY, *more, "--no-index", "--library", tmp_path / "library")
    assert result.exit_code == 0, result.output
    assert {headers["Authorization"] for _, headers in archive.asked} == {"Bearer s3cret"}
    assert "PatientName=Sample%5ESally" in archive.asked[0][0]
    for secret in ("s3cret", "Sally", "4711"):
        assert secret not in caplog.text + result.output
    monkeypatch.delenv("SYNTOPY_PULL_TOKEN")
    monkeypatch.setenv("SYNTOPY_PULL_USER", "reader")
    monkeypatch.setenv("SYNTOPY_PULL_PASSWORD", "word")
    run(archive.url, *ANY, "--no-index", "--library", tmp_path / "library")
    assert archive.asked[-1][1]["Authorization"] == "Basic cmVhZGVyOndvcmQ="


def test_an_archive_that_does_not_know_us_ends_the_run(archive: WebArchive, tmp_path: Path) -> None:
    archive.trouble = lambda _path, _before: (401, {}, b"")
    result = run(archive.url, *ANY, "--library", tmp_path / "library")
    assert result.exit_code == 2
    assert "SYNTOPY_PULL_TOKEN" in result.stderr


@pytest.mark.parametrize(
    "body", [b"<html>", b'{"a": 1}', b"[1]", b'[{"0020000D": 7}]', b"[" * 99_999]
)
def test_answers_that_are_no_lists_are_one_clear_error(
    archive: WebArchive, tmp_path: Path, body: bytes
) -> None:
    archive.trouble = lambda _path, _before: (200, {}, body)
    result = run(archive.url, *ANY, "--library", tmp_path / "library")
    assert result.exit_code == 2
    assert "the archive" in result.stderr


def test_uids_that_are_none_are_never_put_into_an_address(
    archive: WebArchive, tmp_path: Path
) -> None:
    listed = json.dumps([{"0020000D": {"vr": "UI", "Value": ["../../etc"]}}]).encode()
    archive.trouble = lambda _path, _before: (200, {}, listed)
    with pytest.raises(ArchiveError, match="valid UID"):
        fetch(tmp_path / "library", archive)
    assert archive.paths == ["studies"]


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("1.2.840.10008.1.1", True),
        ("2.25.0", True),
        ("7", True),
        ("1" * 64, True),
        ("1" * 65, False),
        (".", False),
        ("..", False),
        ("1..2", False),
        (".1", False),
        ("1.", False),
        ("1.2\n", False),
        ("\u0661.\u0662", False),
        ("", False),
    ],
)
def test_a_uid_is_numbers_with_dots_between(text: str, is_one: bool) -> None:
    assert is_uid(text) is is_one


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://192.0.2.7/dicom-web", "--insecure"),
        ("https://me:word@192.0.2.7/dicom-web", "SYNTOPY_PULL_PASSWORD"),
        ("https://192.0.2.7/dicom-web?key=1", "no name, password or"),
        ("ftp://192.0.2.7", "https://host/dicom-web"),
        ("192.0.2.7", "https://host/dicom-web"),
        ("https://[", "no URL"),
    ],
)
def test_addresses_that_will_not_do_are_refused(tmp_path: Path, url: str, says: str) -> None:
    result = run(url, *ANY, "--library", tmp_path / "library")
    assert result.exit_code == 2
    assert says in result.stderr
    assert "word@" not in result.output


@pytest.mark.parametrize(
    "terms",
    [
        [],
        ["Modality"],
        ["Modality="],
        ["NoKeyword=1"],
        ["ReferencedStudySequence=1"],
        ["SOPInstanceUID=1.2"],
        ["StudyDate=20260101", "StudyDate=20260102"],
        ["PatientName=Sample\nSally"],
    ],
)
def test_queries_that_will_not_do_are_refused_without_their_values(terms: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_query(terms)
    assert "Sally" not in str(caught.value)


def test_queries_ask_studies_and_series_for_what_is_theirs() -> None:
    asked = parse_query(["Modality=CR", "StudyDate=20260101-20260131", "PatientID=*"])
    assert asked.study == {"ModalitiesInStudy": "CR", "StudyDate": "20260101-20260131"}
    assert asked.series == {"Modality": "CR"}


def test_the_archive_has_to_show_a_certificate_that_is_trusted(
    certificates: Path, tmp_path: Path
) -> None:
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(certificates / "node.pem", certificates / "node.key")
    archive = WebArchive([small_slice(1)])
    with serving_archive(archive, own):
        asked = (archive.url, *ANY, "--no-index", "--library", tmp_path / "library")
        refused = run(*asked)
        assert refused.exit_code == 2
        assert "not safe" in refused.stderr
        assert archive.asked == []
        assert run(*asked, "--ca", certificates / "ca.pem").exit_code == 0
    assert kept(tmp_path / "library") == ["2.25.1.1.1"]


def test_what_came_is_left_to_whoever_indexes_the_inbox_already(
    archive: WebArchive, tmp_path: Path
) -> None:
    library = tmp_path / "library"
    with Library.create(library) as made, made.busy_with("arrivals", "the inbox is being indexed"):
        result = run(archive.url, *ANY, "--library", library, "--json")
    assert result.exit_code == 0, result.output
    assert len(said(result, "indexed_elsewhere")) == 1
    assert len(kept(library)) == 3 * SLICES


def test_a_run_that_is_told_to_stop_keeps_what_came(archive: WebArchive, tmp_path: Path) -> None:
    with Library.create(tmp_path / "library") as made:
        inbox, stop = Inbox(made.inbox_folder), threading.Event()
        asked = Asked(inbox, ArchiveQuery({}, {}), WebOptions(archive.url), stop)
        events = pull(made, inbox, asked, PullRequest(), Settings(), stop=stop)
        next(events)
        stop.set()
        summary = summary_of(list(events))
        asked.close()
    assert (summary.studies, summary.fetched) == (1, SLICES)
    assert len(kept(tmp_path / "library")) == SLICES
