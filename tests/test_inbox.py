"""The inbox: what is kept is safe, once, and named by nobody but us."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from sent_objects import REAL, as_file, real_file, small_slice

from indexer.errors import FileRejectedError, InboxFullError, StorageFullError
from indexer.receiving.header import read_header
from indexer.receiving.inbox import Inbox, InboxLimits, Received
from indexer.types import Reason


def put(inbox: Inbox, data: bytes) -> Received:
    incoming = inbox.begin()
    try:
        incoming.write(data)
        return incoming.keep(incoming.check())
    finally:
        incoming.discard()


def files(inbox: Inbox) -> list[Path]:
    return sorted(path for path in inbox.folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", REAL)
def test_real_files_are_kept_as_they_came(tmp_path: Path, name: str) -> None:
    inbox = Inbox(tmp_path / "inbox")
    data = real_file(name).read_bytes()
    received = put(inbox, data)
    assert received.new
    assert received.path.read_bytes() == data
    ds = pydicom.dcmread(real_file(name), stop_before_pixels=True)
    header = received.header
    assert header.sop_class_uid == ds.SOPClassUID
    assert header.sop_instance_uid == ds.SOPInstanceUID
    assert header.study_instance_uid == ds.StudyInstanceUID
    assert header.series_instance_uid == ds.SeriesInstanceUID
    assert header.transfer_syntax_uid == ds.file_meta.TransferSyntaxUID


def test_names_say_nothing_of_the_object(tmp_path: Path) -> None:
    received = put(Inbox(tmp_path / "inbox"), as_file(small_slice(1)))
    hashes = received.path.stem.split("-")
    assert [len(each) for each in hashes] == [32, 32]
    assert "2.25" not in str(received.path.relative_to(tmp_path))


def test_the_same_object_is_kept_once_also_by_another_receiver_on_another_day(
    tmp_path: Path,
) -> None:
    inbox = Inbox(tmp_path / "inbox")
    data = as_file(small_slice(1))
    first = put(inbox, data)
    earlier = first.path.parent.with_name("2020-01-31")
    first.path.parent.rename(earlier)
    again = put(Inbox(tmp_path / "inbox"), data)
    assert not again.new
    assert again.path == earlier / first.path.name
    assert files(inbox) == [again.path]


def test_another_object_of_the_same_uid_is_kept_beside_it(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox")
    one = put(inbox, as_file(small_slice(1)))
    other = put(inbox, as_file(small_slice(1, value=7)))
    assert other.new
    assert files(inbox) == sorted([one.path, other.path])
    assert inbox.holding(["2.25.1.1.1", "2.25.9"]) == {"2.25.1.1.1": files(inbox)}


def test_what_is_forgotten_is_gone_with_all_its_copies(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox")
    put(inbox, as_file(small_slice(1)))
    put(inbox, as_file(small_slice(1, value=7)))
    kept = put(inbox, as_file(small_slice(2)))
    assert inbox.forget(["2.25.1.1.1"]) == 2
    assert files(inbox) == [kept.path]


def corrupt(ds: Dataset, **without: str) -> bytes:
    data = as_file(ds)
    for keyword, value in without.items():
        assert hasattr(ds, keyword)
        data = data.replace(value.encode(), b"x" * len(value))
    return data


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.NOT_DICOM),
        (b"%PDF-1.7" + b"x" * 200, Reason.NOT_DICOM),
        (b"\0" * 128 + b"DICM", Reason.NO_TRANSFER_SYNTAX),
        (as_file(small_slice(1))[:300], Reason.HEADER_CORRUPT),
        (corrupt(small_slice(1), SOPInstanceUID="2.25.1.1.1"), Reason.NO_UIDS),
    ],
)
def test_what_is_no_object_is_refused_with_a_reason_and_leaves_nothing(
    tmp_path: Path, data: bytes, reason: Reason
) -> None:
    inbox = Inbox(tmp_path / "inbox")
    with pytest.raises(FileRejectedError) as caught:
        put(inbox, data)
    assert caught.value.reason is reason
    assert files(inbox) == []


def test_sequences_that_never_end_in_depth_are_refused(tmp_path: Path) -> None:
    head = as_file(small_slice(1))[:132]
    meta = as_file(small_slice(1))[132:]
    length = 12 + int.from_bytes(meta[8:12], "little")
    nested = b"\x08\0\x06\0SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\0\xe0\xff\xff\xff\xff"
    with pytest.raises(FileRejectedError) as caught:
        put(Inbox(tmp_path / "inbox"), head + meta[:length] + nested * 1_000)
    assert caught.value.reason is Reason.HEADER_CORRUPT


UIDS = st.from_regex(r"[0-2]\.[1-9][0-9]{0,20}(\.[1-9][0-9]{0,8}){0,3}", fullmatch=True)
SYNTAXES = st.sampled_from(
    [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    ]
)


@settings(max_examples=60)
@given(
    uids=st.tuples(UIDS, UIDS, UIDS),
    syntax=SYNTAXES,
    undefined=st.booleans(),
    depth=st.integers(0, 4),
)
def test_uids_are_found_behind_sequences_in_every_encoding(
    tmp_path_factory: pytest.TempPathFactory,
    uids: tuple[str, str, str],
    syntax: pydicom.uid.UID,
    undefined: bool,
    depth: int,
) -> None:
    ds = small_slice(1)
    ds.SOPInstanceUID, ds.StudyInstanceUID, ds.SeriesInstanceUID = uids
    ds.StudyDescription = "x" * 63
    inner = ds
    for _ in range(depth):
        item = Dataset()
        item.ReferencedSOPInstanceUID = "1.2.3"
        inner.ReferencedImageSequence = Sequence([item, Dataset()])
        inner["ReferencedImageSequence"].is_undefined_length = undefined
        item.is_undefined_length_sequence_item = undefined
        inner = item
    ds.add_new(0x00091001, "UN", b"private\0" * 20)
    if syntax == ExplicitVRBigEndian:
        del ds.PixelData
    ds.file_meta.TransferSyntaxUID = syntax
    ds.set_original_encoding(syntax.is_implicit_VR, syntax.is_little_endian)
    path = tmp_path_factory.mktemp("encoded") / "file.dcm"
    path.write_bytes(as_file(ds))
    header = read_header(path)
    found = (header.sop_instance_uid, header.study_instance_uid, header.series_instance_uid)
    assert found == uids


@settings(max_examples=150)
@given(data=st.data())
def test_damaged_files_are_read_or_refused_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(as_file(small_slice(1)))
    places = data.draw(st.lists(st.integers(132, 900), max_size=6))
    for place in places:
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "file.dcm"
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]))
    try:
        assert read_header(path).sop_instance_uid
    except FileRejectedError as error:
        assert error.detail


def test_an_object_beyond_the_limit_is_refused_while_it_comes(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox", InboxLimits(object_bytes=1_000))
    incoming = inbox.begin()
    with pytest.raises(FileRejectedError) as caught:
        for _ in range(100):
            incoming.write(b"x" * 100)
    assert caught.value.reason is Reason.TOO_LARGE
    incoming.discard()
    assert files(inbox) == []


def test_nothing_is_accepted_when_the_disk_is_almost_full(tmp_path: Path) -> None:
    free = [500]
    inbox = Inbox(tmp_path / "inbox", InboxLimits(free_bytes=1_000), lambda _folder: free[0])
    with pytest.raises(InboxFullError, match="almost full"):
        inbox.begin()
    free[0] = 2_000
    assert put(inbox, as_file(small_slice(1))).new


def test_an_object_under_way_is_refused_when_the_disk_fills_up(tmp_path: Path) -> None:
    free = [2_000]
    inbox = Inbox(tmp_path / "inbox", InboxLimits(free_bytes=1_000), lambda _folder: free[0])
    incoming = inbox.begin()
    free[0] = 500
    with pytest.raises(InboxFullError):
        for _ in range(5):
            incoming.write(bytes(16 << 20))
    incoming.discard()
    assert files(inbox) == []


def test_nothing_is_accepted_when_too_many_objects_wait(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox", InboxLimits(waiting=2))
    for number in range(2):
        put(inbox, as_file(small_slice(number)))
    with pytest.raises(InboxFullError, match="wait"):
        inbox.begin()
    inbox.tell_waiting(0)
    assert put(inbox, as_file(small_slice(3))).new


def test_an_inbox_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "inbox").write_text("a file")
    with pytest.raises(StorageFullError, match="inbox"):
        Inbox(tmp_path / "inbox")


RECEIVER = """
import sys
from pathlib import Path
from indexer.receiving.inbox import Inbox
incoming = Inbox(Path(sys.argv[1])).begin()
incoming.write(b"half of it")
print("begun", flush=True)
sys.stdin.read()
"""


def test_what_a_killed_receiver_left_is_swept_and_what_comes_elsewhere_is_not(
    tmp_path: Path,
) -> None:
    inbox = Inbox(tmp_path / "inbox")
    kept = put(inbox, as_file(small_slice(1)))
    with subprocess.Popen(
        [sys.executable, "-c", RECEIVER, str(inbox.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        process.stdout.readline()
        Inbox(inbox.folder)
        assert len(files(inbox)) == 2  # another receiver's object goes on
        process.send_signal(signal.SIGKILL)
    Inbox(inbox.folder)
    assert files(inbox) == [kept.path]
