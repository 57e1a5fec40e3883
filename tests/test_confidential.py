"""What leaves the library says nothing of who the patient is, whatever was in the original."""

from __future__ import annotations

import io
import shutil
import subprocess
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.datadict import DicomDictionary, dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import UID
from sent_objects import as_file as sent_file
from sent_objects import real_file, small_slice

from indexer.dicom.confidential import KEPT_TEXT, METHOD, Identity, cleaned
from indexer.dicom.json_model import json_model
from indexer.dicom.opening import open_dicom, text_of, tolerant
from indexer.dicom.stored import as_file, uncompress
from indexer.types import Flag

WHO = Identity("pseudonym4711", "2.25.1", "2.25.1.1", "2.25.1.1.1")
EXPLICIT = UID("1.2.840.10008.1.2.1")
NAME = "ZQXWVERRATEN"
TEXT = ("LO", "SH", "ST", "LT", "UT", "UC", "UR")
WORDS = sorted(
    tag
    for tag, (vr, *_, retired, keyword) in DicomDictionary.items()
    if keyword
    and vr in (*TEXT, "PN", "AE", "CS")
    and tag >> 16 > 8
    and tag not in KEPT_TEXT
    and keyword != "PerformedStationAETitle"  # a device, and devices are told
)
SEQUENCES = sorted(
    tag for tag, (vr, *_rest, keyword) in DicomDictionary.items() if keyword and vr == "SQ"
)


def given_of(ds: Dataset) -> bytes:
    """The file that is given of a data set."""
    opened = open_dicom(sent_file(ds))
    cleaned(opened.dataset, WHO)
    return as_file(opened.dataset, EXPLICIT)


def holding(tag: int, said: str) -> DataElement:
    """An element of words; what is too long for its VR is written all the same."""
    return DataElement(Tag(tag), dictionary_VR(tag), said, validation_mode=0)


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=30, unique=True), st.data())
@settings(max_examples=150)
def test_no_word_stays_that_is_not_on_the_list(tags: list[int], data: st.DataObject) -> None:
    ds = small_slice(1)
    for tag in tags:
        vr = dictionary_VR(tag)
        said = f"{NAME} IS LONGER" if vr == "CS" else NAME
        element = holding(tag, said[:16] if vr == "AE" else said)
        home = ds
        for sequence in data.draw(st.lists(st.sampled_from(SEQUENCES), max_size=3)):
            item = Dataset()
            home[Tag(sequence)] = DataElement(Tag(sequence), "SQ", Sequence([item]))
            home = item
        home[element.tag] = element
    for found in (given_of(ds), str(json_model(cleaned(ds, WHO))).encode()):
        assert NAME.encode() not in found


@given(
    st.integers(0, 0x7FFF).map(lambda half: 2 * half + 1),
    st.integers(0x10, 0xFF),
    st.sampled_from(["LO", "UN", "OB", "SH"]),
)
@settings(max_examples=50)
def test_no_private_element_stays(group: int, block: int, vr: str) -> None:
    ds = small_slice(1)
    if group < 8:
        return
    ds.add_new((group, block), "LO", NAME)
    value = NAME.encode() if vr in ("UN", "OB") else NAME
    ds.add_new((group, block << 8), vr, value)
    assert NAME.encode() not in given_of(ds)


@given(st.text(st.characters(codec="latin-1", exclude_characters="\\^=\0\r\n"), max_size=60))
@settings(max_examples=100)
def test_numbers_dates_codes_and_uids_stay_only_in_their_form(said: str) -> None:
    """The bytes of an element are anything; what is given can be read strictly."""
    ds = small_slice(1)
    raw = said.encode("latin-1") + b" " * (len(said) % 2)
    opened = open_dicom(sent_file(ds))
    for word in ("SliceThickness", "SeriesNumber", "SeriesDate", "SeriesTime", "PatientAge",
                 "FrameOfReferenceUID", "AcquisitionDateTime"):  # fmt: skip
        tag = Tag(word)
        vr = dictionary_VR(tag)
        opened.dataset[tag] = pydicom.dataelem.RawDataElement(
            tag, vr, len(raw), raw, 0, False, True
        )
    content = as_file(cleaned(opened.dataset, WHO), EXPLICIT)
    letters = {letter for letter in said if letter.isalpha() and letter not in "DWMYeE"}
    read = pydicom.dcmread(io.BytesIO(content))
    for word in ("SliceThickness", "SeriesDate", "SeriesTime", "FrameOfReferenceUID"):
        assert not letters & set(str(read.get(word, "")))


def test_what_the_options_retain_is_retained() -> None:
    ds = small_slice(3)
    ds.StudyDate, ds.AcquisitionDateTime = "20240229", "20240229101500"
    ds.PatientSex, ds.PatientAge, ds.PatientWeight = "F", "051Y", "64.5"
    ds.StationName, ds.DeviceSerialNumber, ds.Manufacturer = "CT-EAST", "S-12", "Maker"
    ds.PatientBirthDate, ds.AccessionNumber = "19730102", "A-99"
    ds.SourceImageSequence = [Dataset()]
    ds.SourceImageSequence[0].ReferencedSOPInstanceUID = "2.25.77"
    read = pydicom.dcmread(io.BytesIO(given_of(ds)))
    for word in ("StudyDate", "AcquisitionDateTime", "PatientSex", "PatientAge", "PatientWeight",
                 "StationName", "DeviceSerialNumber", "Manufacturer", "ImagePositionPatient",
                 "SourceImageSequence", "RescaleIntercept", "PixelData"):  # fmt: skip
        assert read[word].value == ds[word].value, word
    assert (read.PatientID, str(read.PatientName)) == (WHO.patient, WHO.patient)
    assert (read.PatientBirthDate, read.AccessionNumber) == ("", "")
    assert (read.PatientIdentityRemoved, read.DeidentificationMethod) == ("YES", METHOD)
    assert read.StudyInstanceUID == WHO.study and read.SOPInstanceUID == WHO.instance


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("CT Abdomen", "CT Abdomen"),
        ("CT Abdomen Sample, sally", "CT Abdomen ,"),
        ("Dr. Mabuse asks: lung?", "Dr. asks: lung?"),
        ("P-4711 control", "control"),
        ("P 47 11 control p4711", "control"),
        ("CT_Sample_SALLY_lung", "CT___lung"),
    ],
)
def test_descriptions_lose_the_names_and_ids_of_their_own_object(said: str, left: str) -> None:
    ds = small_slice(1)
    ds.SeriesDescription, ds.ReferringPhysicianName = said, "Mabuse^Fritz"
    assert cleaned(ds, WHO).SeriesDescription == left


@pytest.mark.parametrize(
    ("keyword", "vr", "said"),
    [
        ("InstitutionName", "CS", NAME),
        ("PatientMotherBirthName", "CS", NAME),
        ("OtherPatientIDs", "IS", "4711"),
        ("OtherPatientNames", "UI", "1.4711"),
    ],
)
def test_what_a_file_says_is_of_another_kind_is_not_given(keyword: str, vr: str, said: str) -> None:
    ds = small_slice(1)
    ds[keyword] = DataElement(Tag(keyword), vr, said)
    assert keyword in open_dicom(sent_file(ds)).dataset, "it is there before"
    assert keyword not in pydicom.dcmread(io.BytesIO(given_of(ds)))


def test_a_name_that_a_file_says_is_text_is_not_in_descriptions_either() -> None:
    ds = small_slice(1)
    ds["OperatorsName"] = DataElement(Tag("OperatorsName"), "LO", f"{NAME}^Fritz")
    ds.SeriesDescription = f"lung for {NAME}"
    assert pydicom.dcmread(io.BytesIO(given_of(ds))).SeriesDescription == "lung for"


def test_a_list_names_attributes_of_words_alone() -> None:
    assert {dictionary_VR(tag) for tag in KEPT_TEXT} <= set(TEXT)
    for word in ("PatientComments", "ImageComments", "InstitutionName", "ProtocolName"):
        assert Tag(word) not in KEPT_TEXT
    assert all(keyword_for_tag(tag) for tag in KEPT_TEXT)


@pytest.mark.skipif(shutil.which("dcmdump") is None, reason="dcmtk is not installed")
@pytest.mark.parametrize(
    "name",
    ["CT_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm", "MR_small_RLE.dcm",
     "JPEG2000.dcm", "image_dfl.dcm", "examples_palette.dcm", "liver_1frame.dcm", "rtdose.dcm"],
)  # fmt: skip
@pytest.mark.parametrize("native", [False, True])
def test_what_is_given_is_a_file_to_another_reader(tmp_path: Path, name: str, native: bool) -> None:
    opened = open_dicom(real_file(name).read_bytes())
    ds = cleaned(opened.dataset, WHO)
    syntax = opened.transfer_syntax
    assert syntax is not None
    if native or not syntax.is_compressed:
        uncompress(opened, 1 << 30)
        syntax = EXPLICIT
    file = tmp_path / "given.dcm"
    file.write_bytes(as_file(ds, syntax))
    told = subprocess.run(["dcmdump", "+L", file], capture_output=True, text=True, check=True)
    assert "E:" not in told.stderr and "W:" not in told.stderr, told.stderr
    assert f"[{WHO.patient}]" in told.stdout
    assert all("(0008,0080)" not in line for line in told.stdout.splitlines())


def test_threads_that_read_at_once_do_not_end_each_others_tolerance() -> None:
    """What pydicom says of a broken element may hold what is in it: it goes nowhere."""
    ds = small_slice(1)
    ds.add_new("SeriesDate", "LO", NAME)
    broken = sent_file(ds).replace(b"\x08\x00!\x00LO", b"\x08\x00!\x00UI")
    entered, left = threading.Event(), threading.Event()

    def read() -> set[Flag]:
        flags = set[Flag]()
        with tolerant(flags):
            entered.set()
            left.wait(10)
            text_of(pydicom.dcmread(io.BytesIO(broken)), "SeriesDate")
        return flags

    with ThreadPoolExecutor(1) as threads:
        with tolerant(set()):
            reading = threads.submit(read)
            entered.wait(10)
        left.set()
        assert reading.result() == {Flag.ELEMENT_IGNORED}
    with pytest.warns(UserWarning, match="nothing of pydicom"):
        warnings.warn("nothing of pydicom", UserWarning, stacklevel=1)
