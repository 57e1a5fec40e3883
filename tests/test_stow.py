"""STOW-RS bodies: whole ones are stored however they are cut, others leave nothing half."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from sent_objects import REAL, as_file, real_file, small_slice

from api.service.dicomweb.multipart import (
    MultipartError,
    MultipartLimits,
    MultipartParser,
    MultipartTooLargeError,
    PartBegan,
    PartData,
    UnsupportedMediaError,
)
from api.service.dicomweb.stow import StowAnswer, StowRequest, stow, stow_async
from indexer.receiving.inbox import Inbox, InboxLimits

BOUNDARY = "end-of-part"
CONTENT_TYPE = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
BASE = "http://127.0.0.1:8000/dicomweb"


def body_of(parts: Sequence[bytes], header: str = "Content-Type: application/dicom") -> bytes:
    head = f"--{BOUNDARY}\r\n{header}\r\n\r\n".encode()
    return b"".join(head + part + b"\r\n" for part in parts) + f"--{BOUNDARY}--\r\n".encode()


def cut(data: bytes, places: Sequence[int]) -> Iterator[bytes]:
    ends = sorted({min(place, len(data)) for place in places} | {len(data)})
    for start, end in zip([0, *ends], ends, strict=False):
        yield data[start:end]


def store(inbox: Inbox, body: bytes, **more: str) -> StowAnswer:
    return stow(inbox, StowRequest(CONTENT_TYPE, base_url=BASE, **more), [body])


def files(inbox: Inbox) -> list[Path]:
    return sorted(path for path in inbox.folder.rglob("*") if path.is_file())


def parts_of(body: bytes, places: Sequence[int] = (), boundary: str = BOUNDARY) -> list[bytes]:
    parser = MultipartParser(boundary)
    parts: list[bytes] = []
    for chunk in cut(body, places):
        for piece in parser.feed(chunk):
            if isinstance(piece, PartBegan):
                parts.append(b"")
            elif isinstance(piece, PartData):
                parts[-1] += piece.data
    parser.close()
    return parts


CONTENT = st.one_of(
    st.binary(max_size=80),
    st.lists(
        st.sampled_from(
            [
                b"\r\n",
                b"--",
                b"\r\n--",
                BOUNDARY.encode(),
                f"\r\n--{BOUNDARY}x".encode(),
                b"\r",
                b"-",
                b" ",
            ]
        ),
        max_size=8,
    ).map(b"".join),
).filter(lambda part: not holds_a_delimiter(part))


def holds_a_delimiter(part: bytes) -> bool:
    """Whether a line of it is a delimiter: no sender may choose such a boundary."""
    lines = (b"\r\n" + part + b"\r\n").split(b"\r\n--" + BOUNDARY.encode())[1:]
    return any(
        rest.startswith(b"--") or not rest.partition(b"\r\n")[0].strip(b" \t") for rest in lines
    )


@settings(max_examples=300)
@given(
    parts=st.lists(CONTENT, min_size=1, max_size=5),
    places=st.lists(st.integers(0, 600), max_size=40),
)
def test_parts_come_out_as_they_went_in_wherever_the_body_is_cut(
    parts: list[bytes], places: list[int]
) -> None:
    assert parts_of(body_of(parts), places) == parts


@settings(max_examples=100)
@given(parts=st.lists(CONTENT, min_size=1, max_size=3))
def test_byte_by_byte_is_as_good_as_at_once(parts: list[bytes]) -> None:
    body = b"a preamble\r\n" + body_of(parts) + b"an epilogue"
    assert parts_of(body, range(len(body))) == parts_of(body) == parts


@settings(max_examples=150)
@given(
    parts=st.lists(CONTENT, min_size=1, max_size=3),
    end=st.floats(0, 1),
    places=st.lists(st.integers(0, 400)),
)
def test_a_body_that_breaks_off_is_an_error(
    parts: list[bytes], end: float, places: list[int]
) -> None:
    body = body_of(parts)
    body = body[: int(end * (len(body) - len(b"--\r\n")))]
    with pytest.raises(MultipartError):
        parts_of(body, places)


def test_real_files_are_stored_and_referred_to_as_the_standard_says(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox")
    contents = [real_file(name).read_bytes() for name in REAL]
    answer = store(inbox, body_of(contents))
    assert (answer.status, answer.stored, answer.failed) == (200, len(REAL), 0)
    assert sorted(path.read_bytes() for path in files(inbox)) == sorted(contents)
    read = Dataset.from_json(answer.body)
    assert "FailedSOPSequence" not in read
    for item, name in zip(read.ReferencedSOPSequence, REAL, strict=True):
        ds = pydicom.dcmread(real_file(name), stop_before_pixels=True)
        assert item.ReferencedSOPClassUID == ds.SOPClassUID
        assert item.ReferencedSOPInstanceUID == ds.SOPInstanceUID
        assert item.RetrieveURL == (
            f"{BASE}/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}"
            f"/instances/{ds.SOPInstanceUID}"
        )


def test_instances_of_one_study_get_its_url(tmp_path: Path) -> None:
    parts = [as_file(small_slice(number)) for number in range(3)]
    answer = store(Inbox(tmp_path / "inbox"), body_of(parts), study="2.25.1")
    assert answer.status == 200
    assert Dataset.from_json(answer.body).RetrieveURL == f"{BASE}/studies/2.25.1"


def test_an_instance_of_another_study_than_the_url_is_refused(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox")
    parts = [as_file(small_slice(1)), as_file(small_slice(1, study=2))]
    answer = store(inbox, body_of(parts), study="2.25.1")
    assert answer.status == 202
    (failed,) = Dataset.from_json(answer.body).FailedSOPSequence
    assert failed.ReferencedSOPInstanceUID == "2.25.2.1.1"
    assert failed.FailureReason == 0xA900
    assert len(files(inbox)) == 1


def test_what_is_no_instance_is_told_apart_from_what_is(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox")
    answer = store(inbox, body_of([b"no DICOM", as_file(small_slice(1))]))
    assert (answer.status, answer.stored, answer.failed) == (202, 1, 1)
    (other,) = Dataset.from_json(answer.body)[0x0008119A]
    assert other.FailureReason == 0xC000
    assert store(inbox, body_of([b"no DICOM"])).status == 409


def test_a_full_disk_is_said_to_be_for_now(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox", InboxLimits(free_bytes=1_000), lambda _folder: 10)
    answer = store(inbox, body_of([as_file(small_slice(1))]))
    assert answer.status == 503
    (other,) = Dataset.from_json(answer.body)[0x0008119A]
    assert other.FailureReason == 0xA700
    assert files(inbox) == []


def test_an_instance_that_is_too_large_costs_only_itself(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox", InboxLimits(object_bytes=10_000))
    answer = store(
        inbox, body_of([as_file(small_slice(1)) + bytes(20_000), as_file(small_slice(2))])
    )
    assert (answer.status, answer.stored, answer.failed) == (202, 1, 1)
    assert len(files(inbox)) == 1


def test_sending_again_changes_nothing(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox")
    body = body_of([as_file(small_slice(number)) for number in range(3)])
    first, again = store(inbox, body), store(inbox, body)
    assert first == again
    assert len(files(inbox)) == 3


def test_what_was_whole_before_a_body_broke_off_is_kept_and_the_rest_leaves_nothing(
    tmp_path: Path,
) -> None:
    inbox = Inbox(tmp_path / "inbox")
    body = body_of([as_file(small_slice(1)), as_file(small_slice(2))])
    with pytest.raises(MultipartError, match="last boundary"):
        store(inbox, body[:-100])
    (kept,) = files(inbox)
    assert kept.read_bytes() == as_file(small_slice(1))


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "application/dicom",
        "multipart/form-data; boundary=x",
        "multipart/related; boundary=x",
        'multipart/related; type="application/dicom+json"; boundary=x',
        "multipart/related; type=application/dicom+xml; boundary=x",
    ],
)
def test_other_media_types_are_not_taken(tmp_path: Path, content_type: str) -> None:
    with pytest.raises(UnsupportedMediaError):
        stow(Inbox(tmp_path / "inbox"), StowRequest(content_type), [b""])


@pytest.mark.parametrize("boundary", ["", "x" * 201, "a\u00e9b", "ends with space ", "semi;colon"])
def test_boundaries_that_are_too_long_or_malformed_are_not_taken(
    tmp_path: Path, boundary: str
) -> None:
    content_type = f'multipart/related; type="application/dicom"; boundary="{boundary}"'
    with pytest.raises(MultipartError):
        stow(Inbox(tmp_path / "inbox"), StowRequest(content_type), [body_of([b"x"])])


@pytest.mark.parametrize(
    ("body", "limits", "error"),
    [
        (b"", {}, MultipartError),
        (f"--{BOUNDARY}--".encode(), {}, MultipartError),
        (b"x" * 100_000, {}, MultipartError),
        (body_of([b"x"], "A: " + "b" * 20_000), {}, MultipartTooLargeError),
        (f"--{BOUNDARY}\r\nA: ".encode() + b"b" * 20_000, {}, MultipartTooLargeError),
        (body_of([b"x"] * 4), {"parts": 3}, MultipartTooLargeError),
        (body_of([b"x"], "no colon"), {}, MultipartError),
        (body_of([b"x"], "Content-Type: a/b\r\nContent-Type: c/d"), {}, MultipartError),
        (body_of([b"x"], "Content-Type: multipart/related; boundary=y"), {}, UnsupportedMediaError),
        (body_of([b"x"], "Content-Type: application/dicom+json"), {}, UnsupportedMediaError),
        (body_of([b"x"], "Content-Transfer-Encoding: base64"), {}, UnsupportedMediaError),
        (f"--{BOUNDARY} ".encode() + b" " * 50_000, {}, MultipartError),
    ],
)
def test_malformed_bodies_are_refused_and_leave_nothing(
    tmp_path: Path, body: bytes, limits: dict[str, int], error: type[Exception]
) -> None:
    inbox = Inbox(tmp_path / "inbox")
    with pytest.raises(error):
        stow(inbox, StowRequest(CONTENT_TYPE, limits=MultipartLimits(**limits)), [body])
    assert files(inbox) == []


def test_names_in_headers_lead_nowhere(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox")
    header = (
        'Content-Type: application/dicom; name="../../a"\r\n'
        'Content-Disposition: attachment; filename="../../../etc/passwd"\r\nContent-Location: /x'
    )
    assert store(inbox, body_of([as_file(small_slice(1))], header)).status == 200
    assert [path.parent.parent for path in files(inbox)] == [inbox.folder]


def test_a_large_instance_is_never_whole_in_memory(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox")
    head, tail = body_of([as_file(small_slice(1))]).split(b"\r\n--" + BOUNDARY.encode() + b"--")

    def chunks() -> Iterator[bytes]:
        yield head
        for _ in range(1_000):
            yield bytes(65_536)
        yield b"\r\n--" + BOUNDARY.encode() + b"--" + tail

    tracemalloc.start()
    answer = stow(inbox, StowRequest(CONTENT_TYPE), chunks())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answer.status == 200
    assert files(inbox)[0].stat().st_size > 65_536_000
    assert peak < 4 << 20


def test_chunks_may_come_from_an_event_loop_and_break_off_there(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox")
    body = body_of([as_file(small_slice(number)) for number in range(3)])

    async def chunks(fails: bool) -> AsyncIterator[bytes]:
        for chunk in cut(body, range(0, len(body) - 200, 500)):
            yield chunk
        if fails:
            raise ConnectionError

    request = StowRequest(CONTENT_TYPE)
    assert asyncio.run(stow_async(inbox, request, chunks(fails=False))).stored == 3
    with pytest.raises(ConnectionError):
        asyncio.run(stow_async(Inbox(tmp_path / "other"), request, chunks(fails=True)))
    assert list((tmp_path / "other" / ".partial").iterdir()) == []
