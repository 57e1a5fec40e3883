"""Watching folders, and what a DICOMDIR says should be there."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage, generate_uid

from indexer.errors import SourceError
from indexer.sources.archives import close_archives
from indexer.sources.dicomdir import missing, referenced_files
from indexer.sources.discover import Problem, SourceFile
from indexer.sources.watch import Stamp, settled
from indexer.types import Reason


class Clock:
    """Time that passes only while the watch waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("indexer.sources.watch.time.monotonic", lambda: self.now)


class Stop(threading.Event):
    """Ends the watch after some looks, and does something to the files between them."""

    def __init__(self, clock: Clock, *actions: object) -> None:
        super().__init__()
        self._clock = clock
        self._actions = list(actions)

    def wait(self, timeout: float | None = None) -> bool:
        self._clock.now += timeout or 0
        if not self._actions:
            return True
        action = self._actions.pop(0)
        if callable(action):
            action()
        return False


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    yield Clock(monkeypatch)
    close_archives()


def watch(
    root: Path, clock: Clock, *actions: object, seen: dict[str, Stamp] | None = None
) -> list[list[str]]:
    batches = settled(
        [root], settle_seconds=3, poll_seconds=1, stop=Stop(clock, *actions), seen=seen
    )
    return [[each.key.rpartition("/")[2] for each in batch] for batch in batches]


def test_files_are_handed_over_once_they_rest(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "a.dcm").write_bytes(b"1")
    assert watch(tmp_path, clock, *[None] * 2) == []  # two seconds are not enough
    assert watch(tmp_path, clock, *[None] * 8) == [["a.dcm"]]


def test_a_file_that_grows_is_waited_for(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "a.dcm"
    file.write_bytes(b"1")

    def grow() -> None:
        file.write_bytes(file.read_bytes() + b"1")

    assert watch(tmp_path, clock, None, None, grow, grow, None, None) == []
    assert watch(tmp_path, clock, None, None, grow, None, None, None, None) == [["a.dcm"]]


def test_a_file_that_changed_later_comes_again(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "a.dcm"
    file.write_bytes(b"1")

    def change() -> None:
        file.write_bytes(b"other")

    quiet = [None] * 4
    assert watch(tmp_path, clock, *quiet, change, *quiet) == [["a.dcm"], ["a.dcm"]]


def test_what_was_seen_before_is_remembered_by_the_caller(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "a.dcm").write_bytes(b"1")
    seen: dict[str, Stamp] = {}
    assert watch(tmp_path, clock, *[None] * 4, seen=seen) == [["a.dcm"]]
    assert watch(tmp_path, clock, *[None] * 4, seen=seen) == []
    assert list(seen) == [f"{tmp_path}/a.dcm"]


def test_unfinished_and_hidden_files_are_left_alone(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / ".partial").mkdir()
    for name in ("a.dcm.part", "b.tmp", "c.crdownload", ".d.dcm", ".partial/e.dcm", "f.dcm"):
        (tmp_path / name).write_bytes(b"1")
    assert watch(tmp_path, clock, *[None] * 4) == [["f.dcm"]]


def test_archives_at_rest_are_opened(tmp_path: Path, clock: Clock) -> None:
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        archive.writestr("a.dcm", b"1")
    (tmp_path / "t.zip").write_bytes(b"cut off")
    (batch,) = settled([tmp_path], settle_seconds=1, poll_seconds=1, stop=Stop(clock, *[None] * 3))
    member, problem = batch
    assert isinstance(member, SourceFile)
    assert member.member == "a.dcm"
    assert isinstance(problem, Problem)
    assert problem.reason is Reason.ARCHIVE_CORRUPT


def test_a_folder_may_go_away_and_come_back(tmp_path: Path, clock: Clock) -> None:
    share = tmp_path / "share"
    share.mkdir()
    (share / "a.dcm").write_bytes(b"1")

    def unmount() -> None:
        share.rename(tmp_path / "gone")

    def mount() -> None:
        (tmp_path / "gone").rename(share)

    assert watch(share, clock, unmount, None, mount, *[None] * 4) == [["a.dcm"]]


def test_the_watch_needs_a_folder_at_the_start_and_ends_when_told(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(SourceError, match="does not exist"):
        list(settled([tmp_path / "no"], settle_seconds=1, poll_seconds=1, stop=stop))
    assert list(settled([tmp_path], settle_seconds=60, poll_seconds=60, stop=stop)) == []


def dicomdir(folder: Path, *file_ids: list[str] | str) -> Path:
    dataset = Dataset()
    dataset.FileSetID = "TEST"
    records = [Dataset()]
    records[0].DirectoryRecordType = "PATIENT"
    for file_id in file_ids:
        record = Dataset()
        record.DirectoryRecordType = "IMAGE"
        record.ReferencedFileID = file_id
        records.append(record)
    dataset.DirectoryRecordSequence = records
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path = folder / "DICOMDIR"
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_files_of_a_dicomdir_are_found_in_any_case(tmp_path: Path) -> None:
    (tmp_path / "dicom/Ct1").mkdir(parents=True)
    (tmp_path / "dicom/Ct1/im1.").write_bytes(b"x")
    (tmp_path / "dicom/Ct1/im2;1").write_bytes(b"x")
    ids = (["DICOM", "CT1", "IM1"], ["DICOM", "CT1", "IM2"], ["DICOM", "CT1", "IM3"], "README")
    path = dicomdir(tmp_path, *ids, ids[0])
    assert referenced_files(path) == [
        tmp_path / "dicom/Ct1/im1.",
        tmp_path / "dicom/Ct1/im2;1",
        tmp_path / "dicom/Ct1/IM3",
        tmp_path / "README",
    ]
    assert missing(path) == [tmp_path / "dicom/Ct1/IM3", tmp_path / "README"]


def test_names_that_lead_elsewhere_are_ignored(tmp_path: Path) -> None:
    path = dicomdir(tmp_path, ["XX", "IM1"], ["A", "B"])
    path.write_bytes(path.read_bytes().replace(rb"XX\IM1", rb"..\IM1"))
    assert referenced_files(path) == [tmp_path / "A/B"]


def test_a_broken_dicomdir_names_nothing(tmp_path: Path) -> None:
    assert referenced_files(tmp_path / "DICOMDIR") == []
    (tmp_path / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 40)
    assert referenced_files(tmp_path / "DICOMDIR") == []
    whole = dicomdir(tmp_path, ["A", "B"])
    whole.write_bytes(whole.read_bytes()[:-9])
    assert missing(whole) in ([], [tmp_path / "A/B"])
