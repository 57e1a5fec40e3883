"""F1 to F10: files that are broken, cut, hostile, unfinished, or no DICOM at all."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import struct
import threading
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from making import (
    CT,
    MR,
    OPTIONS,
    US_CINE,
    WHEEL,
    Read,
    compressed,
    dicom,
    picture,
    read,
    read_all,
    read_one,
    save,
    source,
    stack,
    wheel,
)
from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.encaps import encapsulate, generate_frames
from pydicom.tag import Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    RLELossless,
)

from api.service import ingest
from indexer.config import Settings
from indexer.dicom.pixels import hash_pixels
from indexer.ingest import IngestSummary
from indexer.library import Library
from indexer.reading.drafts import FileTask
from indexer.reading.files import read_file
from indexer.types import Flag, Outcome, Reason

PLAIN = hash_pixels([picture(1)])
"""The pixels of most films here."""
PIXEL_DATA = b"\xe0\x7f\x10\x00"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For files that are read at once and may be overwritten."""
    return tmp_path_factory.mktemp("files")


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with Library.create(tmp_path / "library", store="exact") as made:
        yield made


def index(library: Library, path: Path) -> IngestSummary:
    return ingest.index(library, ingest.IndexRequest([path]), Settings(workers=1))


def cine(frames: int = 3) -> Dataset:
    return dicom(np.stack([picture(i) for i in range(frames)]), US_CINE)


def element(name: str | int, value: bytes, vr: bytes = b"") -> bytes:
    """One element in explicit little endian, its value as it stands."""
    tag = Tag(name)
    vr = vr or dictionary_VR(tag).encode()
    long = vr in (b"OB", b"SQ", b"UN")
    length = struct.pack("<HI", 0, len(value)) if long else struct.pack("<H", len(value))
    return struct.pack("<HH", tag.group, tag.element) + vr + length + value


def with_elements(ds: Dataset, path: Path, *elements: bytes) -> Path:
    """Write a data set with elements that no writer would write, in front of the pixel data."""
    data = save(ds, path).read_bytes()
    at = data.index(PIXEL_DATA)
    path.write_bytes(data[:at] + b"".join(elements) + data[at:])
    return path


def bare(ds: Dataset, path: Path, *, implicit: bool = False, little: bool = True) -> Path:
    """Write without preamble and file meta group."""
    buffer, plain = io.BytesIO(), Dataset()
    plain.update(ds)
    pydicom.dcmwrite(buffer, plain, implicit_vr=implicit, little_endian=little)
    path.write_bytes(buffer.getvalue())
    return path


def without_syntax(ds: Dataset, path: Path) -> Path:
    """Write with preamble and file meta group, but without the transfer syntax."""
    syntax = ds.file_meta.TransferSyntaxUID.encode()
    said = element("TransferSyntaxUID", syntax + b"\0" * (len(syntax) % 2))
    path.write_bytes(save(ds, path).read_bytes().replace(said, b""))
    return path


def refusal(found: Read) -> Reason | None:
    """Why nothing came of a file."""
    assert (found.items, found.drafts) == ([], [])
    return found.reason if found.refused else None


# -- every line: one bad file never stops or changes the others -----------------------------------


def test_bad_files_neither_stop_a_batch_nor_change_the_good_ones(
    library: Library, tmp_path: Path
) -> None:
    files = tmp_path / "in"
    good, inside = save(dicom(picture(1)), files / "good.dcm"), dicom(picture(2))
    (files / "cut.dcm").write_bytes(good.read_bytes()[:-300])
    (files / "empty.dcm").touch()
    (files / "noise").write_bytes(os.urandom(5000))
    with zipfile.ZipFile(files / "set.zip", "w") as archive:
        archive.write(save(inside, tmp_path / "inside.dcm"), "inside.dcm")
        archive.writestr("no image.dcm", b"nothing")
    before = {p: hashlib.sha256(p.read_bytes()).digest() for p in files.iterdir()}
    summary = index(library, files)
    assert summary.outcomes == {Outcome.INDEXED: 2, Outcome.REJECTED: 3, Outcome.SKIPPED: 1}
    entries = ingest.rejected(library, everything=True)
    assert {Path(e.source).name for e in entries if not e.reason} == {"good.dcm", "inside.dcm"}
    with library.engine.connect() as db:
        hashes = set(db.exec_driver_sql("SELECT pixel_hash FROM item").scalars())
    assert hashes == {PLAIN, read_one(inside, tmp_path).item.pixel_hash}
    assert {p: hashlib.sha256(p.read_bytes()).digest() for p in before} == before


# -- F1: no preamble ------------------------------------------------------------------------------


@pytest.mark.parametrize("implicit", [True, False])
def test_f1_a_file_without_preamble_is_read_and_flagged(folder: Path, implicit: bool) -> None:
    found = read_all([bare(dicom(picture(1)), folder / "IM0001", implicit=implicit)])
    assert found.item.pixel_hash == PLAIN
    assert Flag.NO_PREAMBLE in found.item.flags
    assert Flag.NO_PREAMBLE not in read_one(dicom(picture(1)), folder).item.flags


def test_f1_slices_without_preamble_become_a_volume(folder: Path) -> None:
    found = read_all([bare(ds, folder / f"{i}") for i, ds in enumerate(stack(CT, 4))])
    assert (found.item.slices, Flag.NO_PREAMBLE in found.item.flags) == (4, True)


@pytest.mark.parametrize("missing", ["SOPClassUID", "SOPInstanceUID"])
def test_f1_without_preamble_both_uids_are_needed(folder: Path, missing: str) -> None:
    path = bare(dicom(picture(1), **{missing: None}), folder / "a.dcm")
    assert refusal(read_all([path])) is Reason.NO_UIDS


def test_f1_a_meta_group_with_the_syntax_stands_in_for_the_instance_uid(folder: Path) -> None:
    ds = dicom(picture(1))
    data = save(ds, folder / "a.dcm").read_bytes()
    value = ds.SOPInstanceUID.encode()
    uid = element("SOPInstanceUID", value + b"\0" * (len(value) % 2))
    assert uid in data
    (folder / "a.dcm").write_bytes(data[132:].replace(uid, b""))
    found = read_all([folder / "a.dcm"])
    assert found.item.pixel_hash == PLAIN
    assert Flag.NO_PREAMBLE in found.item.flags


# -- F2: not DICOM --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "outcome"),
    [
        (".DS_Store", b"\0\0\0\1Bud1" + bytes(100), Outcome.SKIPPED),
        ("README", b"Dear reader", Outcome.SKIPPED),
        ("nothing", b"", Outcome.SKIPPED),
        ("nothing.dcm", b"", Outcome.REJECTED),
        ("letter.dcm", b"Dear reader", Outcome.REJECTED),
        ("zeros.ima", bytes(5000), Outcome.REJECTED),
        ("picture.dcm", b"\x89PNG\r\n\x1a\n" + bytes(100), Outcome.REJECTED),
        ("._scan.dcm", b"\0\5\x16\7" + bytes(100), Outcome.SKIPPED),
    ],
)
def test_f2_what_is_not_dicom_is_passed_over(
    folder: Path, name: str, content: bytes, outcome: Outcome
) -> None:
    (folder / name).write_bytes(content)
    result = read(folder / name)
    assert (result.outcome, result.reason) == (outcome, Reason.NOT_DICOM)


@settings(max_examples=60)
@given(st.binary(max_size=400), st.booleans(), st.sampled_from(["a", "a.dcm", "DICOMDIR", "a.tif"]))
def test_f2_noise_is_never_an_image_and_always_has_a_reason(
    folder: Path, noise: bytes, magic: bool, name: str
) -> None:
    (folder / name).write_bytes(bytes(128) + b"DICM" + noise if magic else noise)
    assert refusal(read_all([folder / name]))


def test_f2_a_dicomdir_is_only_a_hint(library: Library, tmp_path: Path) -> None:
    save(dicom(picture(1)), tmp_path / "in" / "not listed.dcm")
    shutil.copy(WHEEL / "dicomdirtests" / "DICOMDIR", tmp_path / "in")
    summary = index(library, tmp_path / "in")
    assert summary.outcomes == {Outcome.INDEXED: 1, Outcome.SKIPPED: 1}
    assert summary.reasons == {Reason.DICOMDIR: 1}
    assert any("DICOMDIR" in note and "not there" in note for note in summary.notes)


# -- F3: no transfer syntax -----------------------------------------------------------------------


def test_f3_native_pixels_that_fit_to_the_byte_are_guessed_and_flagged(folder: Path) -> None:
    found = read_all([without_syntax(dicom(picture(1)), folder / "a.dcm")])
    assert found.item.pixel_hash == PLAIN
    assert Flag.GUESSED_TRANSFER_SYNTAX in found.item.flags


def test_f3_pixels_of_another_length_are_refused(folder: Path) -> None:
    for pixels in (dicom(picture(1)).PixelData[:-2], dicom(picture(1)).PixelData + bytes(2)):
        path = without_syntax(dicom(picture(1), PixelData=pixels), folder / "a.dcm")
        assert refusal(read_all([path])) is Reason.NO_TRANSFER_SYNTAX


def test_f3_big_endian_pixels_are_not_guessed_to_be_little_endian(folder: Path) -> None:
    ds = dicom(picture(1), PixelData=picture(1).astype(">i2").tobytes())
    found = read_all([bare(ds, folder / "a.dcm", little=False)])
    assert refusal(found) is Reason.NO_TRANSFER_SYNTAX


def test_f3_compressed_pixels_that_happen_to_fit_are_refused(folder: Path) -> None:
    ds = compressed(dicom(picture(1)))
    ds.Rows, ds.Columns = 1, len(ds.PixelData) // 2
    assert refusal(read_all([without_syntax(ds, folder / "a.dcm")])) is Reason.NO_TRANSFER_SYNTAX


# -- F4, F5: cut off ------------------------------------------------------------------------------


def test_f4_truncated_native_pixels_are_refused_never_filled() -> None:
    found = read_all([WHEEL / "MR_truncated.dcm"])
    assert refusal(found) is Reason.TRUNCATED
    assert "8130 bytes of pixel data, 8192 declared" in found.refused["MR_truncated.dcm"][1]


WHOLE = {
    "film": dicom(picture(1)),
    "slice": stack(MR, 1)[0],
    "loop": cine(),
    "J2K": compressed(cine()),
    "RLE": compressed(cine(), RLELossless),
}


def refusals(data: bytes, cuts: Iterable[int], path: Path) -> Iterator[Reason | None]:
    for cut in cuts:
        path.write_bytes(data[:cut])
        yield refusal(read_all([path]))


@pytest.mark.parametrize("name", WHOLE)
def test_f4_f5_pixels_cut_anywhere_are_refused(folder: Path, name: str) -> None:
    data = save(WHOLE[name], folder / "whole").read_bytes()
    last = len(data) - (8 if name in ("J2K", "RLE") else 1)  # the delimiter, or the last byte
    cuts = [*range(data.index(PIXEL_DATA) + 13, last, 61), last]
    assert set(refusals(data, cuts, folder / "cut.dcm")) == {Reason.TRUNCATED}


@pytest.mark.parametrize("name", ["film", "J2K"])
def test_f4_f5_a_header_cut_anywhere_is_refused(folder: Path, name: str) -> None:
    data = save(WHOLE[name], folder / "whole").read_bytes()
    assert all(refusals(data, range(data.index(PIXEL_DATA) + 13), folder / "cut.dcm"))


def test_f4_a_report_that_was_cut_is_not_kept_by_half(folder: Path) -> None:
    data = (WHEEL / "test-SR.dcm").read_bytes()
    assert all(refusals(data, range(1000, len(data), 2000), folder / "cut.dcm"))


def lossless_jpeg() -> Dataset:
    """A film encoded as no encoder of pydicom's does."""
    values = picture(1, 64, 64).astype(np.uint16)
    encoded = imagecodecs.ljpeg_encode(values, bitspersample=16)
    ds = dicom(values, PixelData=encapsulate([encoded + b"\0" * (len(encoded) % 2)]))
    ds.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    return ds


CODECS = ["JPGExtended", "SC_rgb_dcmtk_+eb+cr", "MR_small_jpeg_ls_lossless"]
CODECS += ["MR_small_jp2klossless", "MR_small_RLE", "lossless JPEG"]


@pytest.mark.parametrize("name", CODECS)
def test_f5_a_compressed_frame_that_was_cut_is_refused(folder: Path, name: str) -> None:
    ds = lossless_jpeg() if name == "lossless JPEG" else wheel(f"{name}.dcm")
    assert read_one(ds, folder).items
    (frame,) = generate_frames(ds.PixelData, number_of_frames=1)
    ds.PixelData = encapsulate([frame[: len(frame) * 99 // 100 - 2]])
    assert refusal(read_one(ds, folder)) in (Reason.TRUNCATED, Reason.DECODE_FAILED)


def test_f5_fewer_frames_than_declared_are_refused(folder: Path) -> None:
    ds = compressed(cine(2))
    frames = list(generate_frames(ds.PixelData, number_of_frames=2))
    ds.NumberOfFrames = 3
    assert refusal(read_one(ds, folder)) is Reason.TRUNCATED
    ds.PixelData = encapsulate(frames, fragments_per_frame=2)
    assert refusal(read_one(ds, folder)) in (Reason.TRUNCATED, Reason.DECODE_FAILED)


# -- F6: too much ---------------------------------------------------------------------------------


def test_f6_excess_bytes_are_left_out_with_a_warning() -> None:
    padded, plain = read_all([WHEEL / "MR_small_padded.dcm"]), read_all([WHEEL / "MR_small.dcm"])
    assert padded.item.pixel_hash == plain.item.pixel_hash
    assert Flag.EXCESS_PIXEL_BYTES in padded.item.flags
    assert Flag.EXCESS_PIXEL_BYTES not in plain.item.flags


@pytest.mark.parametrize("syntax", ["", RLELossless, JPEG2000Lossless])
@pytest.mark.parametrize("declared", [1, 2])
def test_f6_of_excess_frames_the_declared_ones_are_used(
    folder: Path, syntax: str, declared: int
) -> None:
    ds = compressed(cine(3), syntax) if syntax else cine(3)
    every = [item.pixel_hash for item in read_one(ds, folder).items]
    ds.NumberOfFrames = declared
    found = read_one(ds, folder)
    assert [item.pixel_hash for item in found.items] == every[:declared]
    assert Flag.EXCESS_PIXEL_BYTES in found.draft.flags


# -- F7: broken elements --------------------------------------------------------------------------

OPTIONAL = ["InstanceNumber", "RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth"]
OPTIONAL += ["PixelSpacing", "PatientWeight", "StudyDate", "ImageType", "ReferencedImageSequence"]
PRIVATE_SEQUENCE = 0x00091001
VRS = [b"DS", b"IS", b"US", b"SS", b"OB", b"UN", b"SQ", b"AT", b"PN", b"ZZ"]
GARBAGE = st.one_of(
    st.binary(max_size=24), st.text("0123456789.+-\\ x", max_size=12).map(str.encode)
).filter(lambda raw: not re.search(rb"\d\.?[eE]|\d{7}", raw))
"""No huge numbers: a rescale by those leaves no picture."""


@settings(max_examples=100)
@given(
    st.sampled_from([*OPTIONAL, PRIVATE_SEQUENCE]),
    st.sampled_from([b"", *VRS]),
    GARBAGE,
)
@example("PixelSpacing", b"", b"1e999\\-3")
@example(PRIVATE_SEQUENCE, b"UN", b"\xfe\xff\x00\xe0\xff\xff\xff\xff\x09\x00\x02\x10SQ")
def test_f7_garbage_in_an_optional_element_costs_no_image(
    folder: Path, name: str | int, vr: bytes, garbage: bytes
) -> None:
    broken = element(name, garbage, vr or (b"SQ" if name == PRIVATE_SEQUENCE else b""))
    found = read_all([with_elements(dicom(picture(1), MR), folder / "a.dcm", broken)])
    assert found.item.pixel_hash == PLAIN


@pytest.mark.parametrize("vr", [b"ZZ", b"??"])
def test_f7_an_element_of_unknown_type_is_passed_over(folder: Path, vr: bytes) -> None:
    path = with_elements(dicom(picture(1)), folder / "a.dcm", element("KVP", b"120 ", vr))
    assert read_all([path]).item.pixel_hash == PLAIN


@pytest.mark.parametrize(
    ("name", "flag"),
    [
        ("RescaleSlope", Flag.ELEMENT_IGNORED),
        ("PixelSpacing", Flag.ELEMENT_IGNORED),
        ("WindowCenter", Flag.VOI_INVALID),
    ],
)
def test_f7_an_element_that_was_ignored_is_flagged(folder: Path, name: str, flag: Flag) -> None:
    broken = element(name, b"1\\x " if name == "PixelSpacing" else b"one ")
    path = with_elements(dicom(picture(1), WindowWidth=400), folder / "a.dcm", broken)
    assert flag in read_all([path]).item.flags


@pytest.mark.parametrize(
    ("name", "garbage", "vr"),
    [
        ("Rows", b"tall", b"DS"),
        ("Columns", b"", b"US"),
        ("BitsAllocated", b"\x10\0", b"ZZ"),
        ("NumberOfFrames", b"many", b"IS"),
    ],
)
def test_f7_garbage_in_what_describes_the_pixels_is_fatal(
    folder: Path, name: str, garbage: bytes, vr: bytes
) -> None:
    broken = element(name, garbage, vr)
    found = read_all([with_elements(dicom(picture(1)), folder / "a.dcm", broken)])
    assert refusal(found) is Reason.MISSING_PIXEL_ATTRIBUTE


# -- F8: character sets ---------------------------------------------------------------------------


def said(folder: Path, charset: bytes | None, description: bytes, name: bytes = b"Doe") -> Read:
    """Read a film whose study description and patient name are these bytes."""
    elements = [element("StudyDescription", description), element("PatientName", name)]
    if charset is not None:
        elements.insert(0, element("SpecificCharacterSet", charset))
    return read_all([with_elements(dicom(picture(1)), folder / "a.dcm", *elements)])


@pytest.mark.parametrize(
    ("charset", "raw", "text"),
    [
        (None, b"Head", "Head"),
        (None, "Schädel".encode(), "Schädel"),
        (None, "Schädel".encode("latin-1"), "Schädel"),
        (b"ISO_IR 100", "Schädel".encode("latin-1"), "Schädel"),
        (b"ISO_IR 192", "胸部".encode(), "胸部"),
        (b"\\ISO 2022 IR 87", b"\x1b$B6;It\x1b(B", "胸部"),
        (b"ISO 2022 IR 13\\ISO 2022 IR 87", b"\x1b$B6;It\x1b(J", "胸部"),
        (b"\\ISO 2022 IR 149", b"\x1b$)C" + "흉부".encode("euc_kr"), "흉부"),
        (b"GB18030", "胸部".encode("gb18030"), "胸部"),
        (b"GB18030\\ISO_IR 100", "胸部".encode("gb18030"), "胸部"),
    ],
)
def test_f8_texts_are_decoded(folder: Path, charset: bytes | None, raw: bytes, text: str) -> None:
    assert said(folder, charset, raw).draft.attributes.study_description == text


@pytest.mark.parametrize("charset", [b"ISO_IR 192", b"ISO_IR 999", b"nonsense"])
def test_f8_a_wrong_or_unknown_character_set_is_flagged(folder: Path, charset: bytes) -> None:
    found = said(folder, charset, "Schädel links".encode("latin-1"))
    description = found.draft.attributes.study_description
    assert (description[:3], description[-9:]) == ("Sch", "del links")
    assert Flag.CHARSET_REPLACED in found.item.flags


def test_f8_search_keys_do_not_depend_on_how_a_letter_is_written(folder: Path) -> None:
    one, two, capitals = (
        said(folder, b"ISO_IR 192", text.encode(), f"{text}^Jörg".encode()).draft
        for text in ("Sch\u00e4del", "Scha\u0308del", "SCH\u00c4DEL")
    )
    assert one.patient.fingerprint == two.patient.fingerprint == capitals.patient.fingerprint
    assert one.attributes.study_description == two.attributes.study_description


SOME = [b"ISO_IR 100", b"ISO_IR 192", b"\\ISO 2022 IR 87", b"\\ISO 2022 IR 149", b"GB18030"]


@settings(max_examples=80)
@given(st.sampled_from([None, *SOME, b"\\", b"nonsense", b"GBK\\x"]), st.binary(max_size=30))
@example(b"\\ISO 2022 IR 87", b"\x1b$B\x1b$B^\x1b")
@example(None, b"===^^^\\===")
def test_f8_no_patient_name_stops_an_image(
    folder: Path, charset: bytes | None, name: bytes
) -> None:
    assert said(folder, charset, b"Head", name).item.pixel_hash == PLAIN


def test_f8_names_are_neither_printed_nor_kept(
    folder: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for charset in (None, b"ISO_IR 192", b"nonsense"):
        assert "Geheimrat" not in repr(said(folder, charset, b"Head", b"Geheimrat\xff^\xfe"))
    broken = [element(k, b"Geheimrat\xff") for k in ("PatientName", "PatientBirthDate")]
    refused = read_all([with_elements(dicom(picture(1), Rows=None), folder / "a.dcm", *broken)])
    assert refusal(refused)
    assert "Geheimrat" not in repr(refused) + caplog.text + "".join(capfd.readouterr())


# -- F9: hostile sizes ----------------------------------------------------------------------------


@pytest.fixture
def little_memory() -> Iterator[None]:
    """What runs meanwhile takes no more than 30 MB at any time."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6


@pytest.mark.parametrize("syntax", ["", RLELossless])
@pytest.mark.usefixtures("little_memory")
def test_f9_sizes_beyond_the_cap_are_refused_before_anything_is_allocated(
    folder: Path, syntax: str
) -> None:
    colour = np.dstack([picture(i, top=200) for i in range(3)]).astype(np.uint8)
    for pixels, claims in (
        (picture(1), {"Rows": 65535, "Columns": 65535}),
        (picture(1), {"NumberOfFrames": 2**31 - 1}),
        (colour, {"Rows": 8000, "Columns": 8000, "NumberOfFrames": 3}),
    ):
        ds = compressed(dicom(pixels), syntax) if syntax else dicom(pixels)
        ds.update(claims)
        assert refusal(read_one(ds, folder)) is Reason.TOO_LARGE


@pytest.mark.usefixtures("little_memory")
def test_f9_a_codestream_that_claims_more_than_the_header_is_not_decoded(folder: Path) -> None:
    ds = compressed(dicom(picture(1)))
    size = ds.PixelData.index(b"\xff\x4f\xff\x51") + 8
    huge = struct.pack(">2I", 60_000, 60_000)
    ds.PixelData = ds.PixelData[:size] + huge + ds.PixelData[size + 8 :]
    assert refusal(read_one(ds, folder)) is Reason.DECODE_FAILED


def deflated(path: Path, zeros: int, *, start: bytes = bytes(128) + b"DICM", meta: int = 2) -> Path:
    """A film whose deflated data set holds so many zeros, behind ``meta`` bytes of no use."""
    data = save(dicom(picture(1)), path).read_bytes()
    film = data[data.index(b"\x08\x00\x16\x00UI") :]
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = deflater.compress(element(0x00091001, bytes(zeros), b"OB") + film) + deflater.flush()
    group = element("FileMetaInformationVersion", bytes(meta))
    group += element("TransferSyntaxUID", DeflatedExplicitVRLittleEndian.encode())
    path.write_bytes(start + element(0x00020000, struct.pack("<I", len(group))) + group + body)
    return path


@pytest.mark.parametrize(
    "how",
    [{}, {"start": b""}, {"meta": 300_000}],
    ids=["plain", "no preamble", "behind a long meta group"],
)
def test_f9_a_deflate_bomb_is_not_inflated(folder: Path, how: dict[str, bytes | int]) -> None:
    small = read_all([deflated(folder / "a.dcm", 1000, **how)], max_file_bytes=1 << 20)
    assert small.item.pixel_hash == PLAIN
    bomb = deflated(folder / "bomb.dcm", 60 << 20, **how)
    assert bomb.stat().st_size < 1 << 20
    assert refusal(read_all([bomb], max_file_bytes=1 << 20)) is Reason.TOO_LARGE


def test_f9_a_zip_bomb_is_not_unpacked_and_its_neighbours_are_used(
    library: Library, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.dcm", bytes(30 << 20))
        archive.write(save(dicom(picture(1)), tmp_path / "good.dcm"), "good.dcm")
    summary = index(library, tmp_path / "set.zip")
    assert summary.outcomes == {Outcome.INDEXED: 1, Outcome.REJECTED: 1}
    assert summary.reasons == {Reason.ARCHIVE_BOMB: 1}


# -- F10: still being written ---------------------------------------------------------------------


def test_f10_a_watched_folder_waits_until_a_file_is_whole(library: Library, tmp_path: Path) -> None:
    data = save(dicom(picture(1)), tmp_path / "whole.dcm").read_bytes()
    (tmp_path / "in").mkdir()

    def send() -> None:
        with (tmp_path / "in" / "arriving.dcm").open("wb", buffering=0) as file:
            for start in range(0, len(data), 500):
                file.write(data[start : start + 500])
                time.sleep(0.1)

    sender, stop = threading.Thread(target=send), threading.Event()
    sender.start()
    request, pace = ingest.IndexRequest([tmp_path / "in"]), {"settle_seconds": 1.0}
    batches = ingest.watch(
        library, request, Settings(workers=1), poll_seconds=0.1, stop=stop, **pace
    )
    summary = next(batches)
    stop.set()
    sender.join()
    assert summary.outcomes == {Outcome.INDEXED: 1}


def test_f10_a_file_that_changed_since_it_was_found_is_read_once_more(tmp_path: Path) -> None:
    path = save(dicom(picture(1)), tmp_path / "a.dcm")
    early = replace(source(path), size=100, mtime_ns=1)
    result = read_file(FileTask(early), OPTIONS)
    assert (result.outcome, result.items[0].pixel_hash) == (Outcome.INDEXED, PLAIN)
    writer = threading.Timer(0.2, path.write_bytes, [path.read_bytes() + bytes(2)])
    writer.start()
    result = read_file(FileTask(early), OPTIONS)
    writer.join()
    assert (result.outcome, result.reason) == (Outcome.REJECTED, Reason.UNSTABLE)
