"""Standard clients open what a library holds: WADO-RS."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import httpx
import numpy as np
import pydicom
import pytest
from dicomweb_client import DICOMwebClient
from dicomweb_library import (
    EXPLICIT,
    NAMES,
    index_folder,
    keyword,
    make_viewed,
    original,
    uids,
)
from PIL import Image
from pydicom.encaps import generate_frames
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from served_library import serving

from indexer.config import Settings


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_viewed(tmp_path_factory.mktemp("viewed"))


@pytest.fixture(scope="module")
def client(library: Path) -> Iterator[httpx.Client]:
    with serving(Settings(library=library)) as client:
        yield client


@pytest.fixture(scope="module")
def viewer(client: httpx.Client) -> DICOMwebClient:
    return DICOMwebClient(str(client.base_url.join("/dicomweb")))


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
    rows = viewer.search_for_instances()
    (row,) = (each for each in rows if keyword(each, "AvailableTransferSyntaxUID") is None)
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


SYNTAXES = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
)
STORED = (("OW", 8), ("OB", 8), ("OW", 16))


def colours(bits: int) -> np.ndarray:
    """Two frames of four by six pixels."""
    values = np.arange(2 * 4 * 6 * 3).reshape(2, 4, 6, 3)
    return values.astype(np.uint8) if bits == 8 else (values * 259).astype("<u2")


def write_colours(path: Path, number: int, syntax: UID, vr: str, bits: int, planar: int) -> None:
    ds = pydicom.Dataset()
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7.4"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = f"2.25.{number}", f"2.25.{number}.1"
    ds.SOPInstanceUID, ds.Modality = f"2.25.{number}.1.1", "OT"
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.NumberOfFrames = 4, 6, 3, 2
    ds.PhotometricInterpretation, ds.PlanarConfiguration = "RGB", planar
    ds.BitsAllocated = ds.BitsStored = bits
    ds.HighBit, ds.PixelRepresentation = bits - 1, 0
    pixels = colours(bits)
    data = (pixels.transpose(0, 3, 1, 2) if planar else pixels).tobytes()
    if syntax == ExplicitVRBigEndian and vr == "OW":
        # Words are turned round, also those of two samples of eight bits.
        data = np.frombuffer(data, "<u2").astype(">u2").tobytes()
    ds.add_new("PixelData", vr, data)
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.save_as(path, enforce_file_format=True)


@pytest.fixture(scope="module")
def uncompressed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, DICOMwebClient]]:
    """Colour by pixel and by plane in every syntax that is not compressed: files, and served."""
    base = tmp_path_factory.mktemp("uncompressed")
    (base / "files").mkdir()
    for number, (syntax, stored, planar) in enumerate(product(SYNTAXES, STORED, (0, 1)), 1):
        write_colours(base / "files" / f"{number}.dcm", number, syntax, *stored, planar)
    index_folder(base / "library", base / "files")
    with serving(Settings(library=base / "library")) as client:
        yield base / "files", DICOMwebClient(str(client.base_url.join("/dicomweb")))


def test_metadata_say_how_the_frames_lie_that_come_uncompressed(
    uncompressed: tuple[Path, DICOMwebClient],
) -> None:
    folder, viewer = uncompressed
    files = sorted(folder.iterdir())
    assert len(files) == len(SYNTAXES) * len(STORED) * 2
    for path in files:
        of = (f"2.25.{path.stem}", f"2.25.{path.stem}.1", f"2.25.{path.stem}.1.1")
        row = viewer.retrieve_instance_metadata(*of)
        (frame,) = viewer.retrieve_instance_frames(
            *of, [2], media_types=["application/octet-stream"]
        )
        bits, planar = keyword(row, "BitsAllocated"), keyword(row, "PlanarConfiguration")
        shape = (3, 4, 6) if planar else (4, 6, 3)
        given = np.frombuffer(frame, np.uint8 if bits == 8 else "<u2").reshape(shape)
        expected = colours(bits)[1]
        assert np.array_equal(given.transpose(1, 2, 0) if planar else given, expected), row
        assert keyword(row, "PhotometricInterpretation") == "RGB"
