"""Standard clients list, filter and open what a library holds (QIDO-RS, WADO-RS)."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest
from dicomweb_client import DICOMwebClient
from PIL import Image
from pydicom.encaps import generate_frames
from pydicom.uid import UID
from sent_objects import as_file, real_file, small_slice
from served_library import serving

from api.app import create_app
from api.rights import Role
from api.service import ingest, keys
from indexer.catalog.audit import Action, rows_since
from indexer.catalog.database import reading
from indexer.config import Settings
from indexer.library import Library

EXPLICIT = "1.2.840.10008.1.2.1"
NAMES = {
    "CT_small.dcm": "1.2.840.10008.1.2.1",
    "MR_small_implicit.dcm": "1.2.840.10008.1.2",
    "MR_small_bigendian.dcm": "1.2.840.10008.1.2.2",
    "MR_small_RLE.dcm": "1.2.840.10008.1.2.5",
    "JPEG2000.dcm": "1.2.840.10008.1.2.4.91",
    "examples_palette.dcm": "1.2.840.10008.1.2.1",
    "examples_ybr_color.dcm": "1.2.840.10008.1.2.4.50",
}


def written(folder: Path) -> None:
    """Real files, each with UIDs of its own."""
    folder.mkdir()
    for number, name in enumerate(NAMES, 1):
        ds = pydicom.dcmread(real_file(name))
        ds.StudyInstanceUID, ds.SeriesInstanceUID = f"2.25.{number}", f"2.25.{number}.1"
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"2.25.{number}.1.1"
        ds.PatientID = f"MRN-{number}000"
        ds.save_as(folder / name)
    picture = np.random.default_rng(0).integers(0, 255, (40, 60), np.uint8)
    Image.fromarray(picture).save(folder / "picture.png")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("dicomweb")
    written(base / "files")
    with Library.create(base / "library") as made:
        ingest.index(made, ingest.IndexRequest([base / "files"]), Settings(workers=1))
    return base / "library"


@pytest.fixture(scope="module")
def client(library: Path) -> Iterator[httpx.Client]:
    with serving(Settings(library=library)) as client:
        yield client


@pytest.fixture(scope="module")
def viewer(client: httpx.Client) -> DICOMwebClient:
    return DICOMwebClient(str(client.base_url.join("/dicomweb")))


def original(name: str) -> pydicom.Dataset:
    return pydicom.dcmread(real_file(name))


def uids(name: str) -> tuple[str, str, str]:
    number = list(NAMES).index(name) + 1
    return f"2.25.{number}", f"2.25.{number}.1", f"2.25.{number}.1.1"


def keyword(row: dict[str, Any], name: str) -> Any:
    """The first value of an attribute; None where it is empty."""
    values = row[f"{pydicom.datadict.tag_for_keyword(name):08X}"].get("Value")
    return values and values[0]


# -- QIDO-RS --------------------------------------------------------------------------------------


def test_studies_are_listed_newest_first_with_what_they_hold(viewer: DICOMwebClient) -> None:
    rows = viewer.search_for_studies()
    assert len(rows) == len(NAMES) + 1
    dates = [keyword(row, "StudyDate") or "" for row in rows]
    assert dates == sorted(dates, reverse=True)
    (ct,) = (row for row in rows if keyword(row, "StudyInstanceUID") == "2.25.1")
    read = pydicom.Dataset.from_json(ct)
    assert (read.NumberOfStudyRelatedSeries, read.NumberOfStudyRelatedInstances) == (1, 1)
    assert (read.ModalitiesInStudy, read.StudyDate) == ("CT", "20040119")
    assert read.RetrieveURL.endswith("/dicomweb/studies/2.25.1")
    assert read.PatientID == str(read.PatientName) and "MRN" not in read.PatientID


@pytest.mark.parametrize(
    ("asked", "studies"),
    [
        ({"ModalitiesInStudy": "CT"}, {"2.25.1"}),
        ({"00080061": "ct"}, {"2.25.1"}),
        ({"ModalitiesInStudy": "CT,MR"}, {"2.25.1", "2.25.2", "2.25.3", "2.25.4"}),
        ({"ModalitiesInStudy": "CT\\MR"}, {"2.25.1", "2.25.2", "2.25.3", "2.25.4"}),
        ({"StudyDate": "20040119"}, {"2.25.1"}),
        ({"StudyDate": "20040101-20040301"}, {"2.25.1"}),
        ({"StudyDate": "20110101-"}, {"2.25.6", "2.25.7"}),
        ({"StudyDate": "-20040201"}, {"2.25.1"}),
        ({"StudyDescription": "whole*bone"}, {"2.25.5"}),
        ({"StudyDescription": "e?1"}, {"2.25.1"}),
        ({"StudyDescription": "e%1"}, set()),
        ({"StudyInstanceUID": "2.25.1,2.25.5"}, {"2.25.1", "2.25.5"}),
        ({"StudyInstanceUID": "2.25.1\\2.25.5"}, {"2.25.1", "2.25.5"}),
        ({"PatientID": "", "StudyInstanceUID": "2.25.1"}, {"2.25.1"}),
        ({"AccessionNumber": "4711"}, set()),
        ({"AccessionNumber": "*", "StudyInstanceUID": "2.25.1"}, {"2.25.1"}),
    ],
)
def test_studies_are_found_by_their_attributes(
    viewer: DICOMwebClient, asked: dict[str, str], studies: set[str]
) -> None:
    rows = viewer.search_for_studies(search_filters=asked)
    assert {keyword(row, "StudyInstanceUID") for row in rows} == studies


def test_a_list_comes_in_parts_and_says_so(viewer: DICOMwebClient) -> None:
    whole = [keyword(row, "StudyInstanceUID") for row in viewer.search_for_studies()]
    some = [
        keyword(row, "StudyInstanceUID")
        for start in range(0, len(whole) + 3, 3)
        for row in viewer.search_for_studies(limit=3, offset=start)
    ]
    assert some == whole


def test_series_and_instances_are_found_at_every_address(viewer: DICOMwebClient) -> None:
    study, series, instance = uids("examples_ybr_color.dcm")
    for rows in (
        viewer.search_for_series(study),
        viewer.search_for_series(search_filters={"SeriesInstanceUID": series}),
        viewer.search_for_instances(study),
        viewer.search_for_instances(study, series),
        viewer.search_for_instances(search_filters={"SOPInstanceUID": instance}),
    ):
        assert [keyword(row, "SeriesInstanceUID") for row in rows] == [series]
    (row,) = viewer.search_for_instances(study, series)
    assert keyword(row, "NumberOfFrames") == 30 and "00080020" not in row
    (row,) = viewer.search_for_instances(study, series, fields=["StudyDate"])
    assert keyword(row, "StudyDate") == "20160503"
    assert len(viewer.search_for_series(search_filters={"Modality": "US"})) == 2


def test_what_is_not_matched_is_told_and_what_is_no_attribute_is_refused(
    client: httpx.Client,
) -> None:
    asked = {"SeriesNumber": "3", "Rows": "128", "fuzzymatching": "true"}
    answer = client.get("/dicomweb/series", params=asked)
    assert len(answer.json()) == len(NAMES) + 1
    warning = answer.headers["warning"]
    for told in ("SeriesNumber", "Rows", "fuzzymatching"):
        assert told in warning
    assert "warning" not in client.get("/dicomweb/studies?fuzzymatching=false").headers
    assert client.get("/dicomweb/studies?StudyInstanceUID=1.2.3").status_code == 204
    for wrong in ("SutdyDate=20200101", "StudyDate=today", "limit=-1", "limit=1&limit=2"):
        refused = client.get(f"/dicomweb/studies?{wrong}")
        assert (refused.status_code, refused.json()["code"]) == (400, "matching"), wrong


def test_what_ohif_asks_for_a_list_is_answered(client: httpx.Client) -> None:
    asked = (
        "limit=101&offset=0&fuzzymatching=false&includefield=00081030,00080060&"
        "StudyDate=20040101-20301231&StudyDescription=*bone*&ModalitiesInStudy=NM"
    )
    (study,) = client.get(f"/dicomweb/studies?{asked}").json()
    uid = keyword(study, "StudyInstanceUID")
    asked = "includefield=0008103E,00080021&includefield=00080031"
    (series,) = client.get(f"/dicomweb/studies/{uid}/series?{asked}").json()
    assert keyword(series, "Modality") == "NM"


# -- WADO-RS --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_an_instance_comes_as_it_is_stored_or_decoded_and_without_its_patient(
    viewer: DICOMwebClient, name: str
) -> None:
    expected = original(name)
    given = viewer.retrieve_instance(*uids(name))
    native = viewer.retrieve_instance(*uids(name), media_types=[("application/dicom", EXPLICIT)])
    compressed = UID(NAMES[name]).is_compressed
    assert given.file_meta.TransferSyntaxUID == (NAMES[name] if compressed else EXPLICIT)
    assert native.file_meta.TransferSyntaxUID == EXPLICIT
    assert given.SOPInstanceUID == uids(name)[2]
    assert np.array_equal(given.pixel_array, expected.pixel_array)
    assert np.array_equal(native.pixel_array, expected.pixel_array)
    assert given.PatientIdentityRemoved == "YES" and given.PatientBirthDate == ""
    assert "InstitutionName" not in given and not any(element.tag.is_private for element in given)


@pytest.mark.parametrize("name", NAMES)
def test_frames_come_as_they_are_stored_or_decoded(viewer: DICOMwebClient, name: str) -> None:
    expected = original(name)
    (given,) = viewer.retrieve_instance_frames(
        *uids(name), [1], media_types=[("application/octet-stream", "*")]
    )
    (native,) = viewer.retrieve_instance_frames(
        *uids(name), [1], media_types=["application/octet-stream"]
    )
    count = int(expected.get("NumberOfFrames", 1))
    first = expected.pixel_array[0] if count > 1 else expected.pixel_array
    if UID(NAMES[name]).is_compressed:
        assert given == next(generate_frames(expected.PixelData, number_of_frames=count))
    else:
        assert given == first.astype(first.dtype.newbyteorder("<")).tobytes()
    assert native == first.astype(first.dtype.newbyteorder("<")).tobytes()


def test_several_frames_come_in_the_order_that_was_asked_for(viewer: DICOMwebClient) -> None:
    name = "examples_ybr_color.dcm"
    stored = list(generate_frames(original(name).PixelData, number_of_frames=30))
    pixels = original(name).pixel_array
    for asked in ([30, 1, 7], [2]):
        given = viewer.retrieve_instance_frames(
            *uids(name), asked, media_types=[("image/jpeg", NAMES[name])]
        )
        assert list(given) == [stored[n - 1] for n in asked]
        native = viewer.retrieve_instance_frames(
            *uids(name), asked, media_types=["application/octet-stream"]
        )
        assert list(native) == [pixels[n - 1].tobytes() for n in asked]


def test_what_ohif_accepts_for_frames_is_given_with_its_syntax(client: httpx.Client) -> None:
    study, series, instance = uids("MR_small_RLE.dcm")
    address = f"/dicomweb/studies/{study}/series/{series}/instances/{instance}/frames/1"
    form = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
    answer = client.get(address, headers={"Accept": form})
    assert 'type="application/octet-stream"' in answer.headers["content-type"]
    head, _, _ = answer.content.partition(b"\r\n\r\n")
    assert b"application/octet-stream; transfer-syntax=1.2.840.10008.1.2.5" in head
    alone = client.get(address, headers={"Accept": "application/octet-stream"})
    assert len(alone.content) == 64 * 64 * 2
    refused = client.get(address, headers={"Accept": 'multipart/related; type="image/jp2"'})
    assert (refused.status_code, refused.json()["code"]) == (406, "not_acceptable")
    assert client.get(f"{address},2").status_code == 404


def test_metadata_are_the_header_with_an_address_of_the_pixels(
    viewer: DICOMwebClient, client: httpx.Client
) -> None:
    ids = uids("CT_small.dcm")
    for rows in (
        viewer.retrieve_study_metadata(ids[0]),
        viewer.retrieve_series_metadata(*ids[:2]),
        [viewer.retrieve_instance_metadata(*ids)],
    ):
        (row,) = rows
        read = pydicom.Dataset.from_json(row, bulk_data_uri_handler=lambda _uri: b"")
        expected = original("CT_small.dcm")
        for word in ("Rows", "PixelSpacing", "ImageOrientationPatient", "RescaleIntercept"):
            assert read[word].value == expected[word].value
        assert read.PatientID == str(read.PatientName)
    uri = row["7FE00010"]["BulkDataURI"]
    pixels = client.get(
        uri[uri.index("/dicomweb") :], headers={"Accept": "application/octet-stream"}
    )
    assert pixels.content == original("CT_small.dcm").PixelData


def test_pictures_are_drawn_in_a_window_and_a_viewport(
    viewer: DICOMwebClient, client: httpx.Client
) -> None:
    study, series, instance = uids("CT_small.dcm")
    address = f"/dicomweb/studies/{study}/series/{series}/instances/{instance}"
    values = original("CT_small.dcm").pixel_array - 1024.0
    asked = {"window": "40,400,linear", "accept": "image/png"}
    with Image.open(io.BytesIO(client.get(f"{address}/rendered", params=asked).content)) as drawn:
        shades = np.clip((values - (40 - 0.5 - 399 / 2)) / 399, 0, 1) * 255
        assert np.abs(np.array(drawn, float) - shades).max() <= 1
    asked = {"viewport": "50,80,32,16,64,64", "accept": "image/png"}
    with Image.open(io.BytesIO(client.get(f"{address}/rendered", params=asked).content)) as drawn:
        assert drawn.size == (50, 50)
    frame = viewer.retrieve_instance_frames_rendered(*uids("examples_ybr_color.dcm"), [3])
    with Image.open(io.BytesIO(frame)) as drawn:
        assert drawn.format == "JPEG" and drawn.size == (320, 240)
    whole = original("examples_ybr_color.dcm").pixel_array[2].astype(float)
    png = client.get(
        "/dicomweb/studies/2.25.7/series/2.25.7.1/instances/2.25.7.1.1/frames/3/rendered",
        headers={"Accept": "image/png"},
    )
    with Image.open(io.BytesIO(png.content)) as drawn:
        assert np.abs(np.array(drawn, float) - whole).max() <= 1


@pytest.mark.parametrize("level", [1, 2, 3])
def test_there_is_a_thumbnail_of_a_study_a_series_and_an_instance(
    client: httpx.Client, level: int
) -> None:
    parts = zip(("studies", "series", "instances"), uids("JPEG2000.dcm"), strict=True)
    address = "/dicomweb/" + "/".join("/".join(part) for part in [*parts][:level])
    answer = client.get(f"{address}/thumbnail?viewport=64,64")
    assert answer.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(answer.content)) as drawn:
        assert max(drawn.size) == 64


def test_what_was_no_dicom_file_is_listed_and_drawn(
    viewer: DICOMwebClient, client: httpx.Client
) -> None:
    (row,) = viewer.search_for_instances(search_filters={"SOPClassUID": ""}, limit=1, offset=7)
    address = keyword(row, "RetrieveURL")
    address = address[address.index("/dicomweb") :]
    drawn = client.get(f"{address}/rendered", headers={"Accept": "image/png"})
    with Image.open(io.BytesIO(drawn.content)) as picture:
        assert picture.size == (60, 40)
    refused = client.get(address)
    assert refused.status_code == 406 and "no DICOM file" in refused.json()["detail"]


@pytest.mark.parametrize(
    "address",
    [
        "studies/1.2.3",
        "studies/2.25.1/series/2.25.2.1",
        "studies/2.25.1/series/2.25.1.1/instances/2.25.2.1.1/metadata",
        "studies/1.2.3/metadata",
        "studies/1.2.3/thumbnail",
    ],
)
def test_what_is_not_there_is_a_problem_document(client: httpx.Client, address: str) -> None:
    answer = client.get(f"/dicomweb/{address}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


# -- files that are gone --------------------------------------------------------------------------


@pytest.fixture
def moved(library: Path, tmp_path: Path) -> Iterator[httpx.Client]:
    """A service of a library one of whose files is gone, and one another now."""
    with Library.create(tmp_path / "library") as made:
        shutil.copytree(library.parent / "files", tmp_path / "files")
        for name in ("CT_small.dcm", "MR_small_RLE.dcm"):
            ds = pydicom.dcmread(tmp_path / "files" / name)
            ds.StudyInstanceUID, ds.SeriesInstanceUID = "2.25.9", f"2.25.9.{len(name)}"
            ds.save_as(tmp_path / "files" / name)
        ingest.index(made, ingest.IndexRequest([tmp_path / "files"]), Settings(workers=1))
    (tmp_path / "files" / "CT_small.dcm").unlink()
    shutil.copy(tmp_path / "files" / "JPEG2000.dcm", tmp_path / "files" / "examples_palette.dcm")
    with serving(Settings(library=tmp_path / "library")) as client:
        yield client


def test_files_that_are_gone_or_changed_are_told(moved: httpx.Client) -> None:
    for address in ("studies/2.25.9/series/2.25.9.12", "studies/2.25.6"):
        for form in ("", "/metadata"):
            gone = moved.get(f"/dicomweb/{address}{form}")
            assert (gone.status_code, gone.json()["code"]) == (410, "original_gone")
    (row,) = moved.get("/dicomweb/studies/2.25.9/metadata").json()
    assert keyword(row, "SOPInstanceUID") == "2.25.4.1.1"
    some = moved.get("/dicomweb/studies/2.25.9")
    assert some.status_code == 206 and "1 instances are left out" in some.headers["warning"]


# -- who asks -------------------------------------------------------------------------------------


def test_what_is_found_and_retrieved_is_recorded_with_pseudonyms(library: Path) -> None:
    study, series, instance = uids("CT_small.dcm")
    with Library.open(library) as opened:
        token = keys.create(opened, keys.KeyRequest("viewer"), actor="test").token
    headers = {"Authorization": f"Bearer {token}"}
    address = f"/dicomweb/studies/{study}"
    with serving(Settings(library=library), create_app(Settings(library=library), None)) as client:
        assert client.get(address).status_code == 401
        (row,) = client.get(f"{address}/series", headers=headers).json()
        listed = client.get("/dicomweb/studies?limit=3", headers=headers).json()
        for path in (address, f"{address}/metadata",
                     f"{address}/series/{series}/instances/{instance}/frames/1"):  # fmt: skip
            assert client.get(path, headers=headers).status_code == 200
    with Library.open(library) as opened, reading(opened.engine) as db:
        rows = [each for each in rows_since(db) if each.origin]
    assert [each.action for each in rows[:6]] == [
        Action.REFUSE, Action.QUERY, Action.QUERY, *[Action.VIEW] * 3
    ]  # fmt: skip
    assert "00100020" not in row, "the address says whose it is"
    assert sorted(rows[2].patients) == sorted(keyword(each, "PatientID") for each in listed)
    for each in (rows[1], *rows[3:]):
        assert len(each.patients) == 1 and each.subject["uid"] == study
    assert "MRN" not in str(rows)


def test_an_operator_finds_a_patient_by_the_real_id_and_a_reader_does_not(library: Path) -> None:
    with Library.open(library) as opened:
        tokens = {
            role: keys.create(opened, keys.KeyRequest(role.value, role), actor="test").token
            for role in (Role.READER, Role.OPERATOR)
        }
    with serving(Settings(library=library), create_app(Settings(library=library), None)) as client:
        found = {
            role: client.get(
                "/dicomweb/studies?PatientID=MRN-1000",
                headers={"Authorization": f"Bearer {token}"},
            )
            for role, token in tokens.items()
        }
    assert found[Role.READER].status_code == 204
    (row,) = found[Role.OPERATOR].json()
    assert keyword(row, "StudyInstanceUID") == "2.25.1" and "MRN" not in found[Role.OPERATOR].text


def test_a_library_that_keeps_who_it_is_gives_originals_as_they_are(tmp_path: Path) -> None:
    ds = small_slice(1)
    ds.InstitutionName = "St. Elsewhere"
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "slice.dcm").write_bytes(as_file(ds))
    shutil.copy(real_file("test-SR.dcm"), tmp_path / "files")
    with Library.create(tmp_path / "library", phi="keep") as made:
        ingest.index(made, ingest.IndexRequest([tmp_path / "files"]), Settings(workers=1))
    with serving(Settings(library=tmp_path / "library")) as client:
        viewer = DICOMwebClient(str(client.base_url.join("/dicomweb")))
        given = viewer.retrieve_instance("2.25.1", "2.25.1.1", "2.25.1.1.1")
        report = pydicom.dcmread(real_file("test-SR.dcm"))
        (words,) = viewer.retrieve_study(report.StudyInstanceUID)
    assert (given.PatientID, given.InstitutionName) == ("P-4711", "St. Elsewhere")
    assert "PatientIdentityRemoved" not in given
    assert words.ContentSequence == report.ContentSequence


def test_words_are_not_given_but_their_header_is(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    shutil.copy(real_file("test-SR.dcm"), tmp_path / "files")
    with Library.create(tmp_path / "library") as made:
        ingest.index(made, ingest.IndexRequest([tmp_path / "files"]), Settings(workers=1))
    uid = pydicom.dcmread(real_file("test-SR.dcm")).StudyInstanceUID
    with serving(Settings(library=tmp_path / "library")) as client:
        assert client.get(f"/dicomweb/studies/{uid}").status_code == 406
        (row,) = client.get(f"/dicomweb/studies/{uid}/metadata").json()
    assert keyword(row, "Modality") == "SR" and "0040A730" not in row
