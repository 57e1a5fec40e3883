"""What WADO-RS withholds, what it cannot give, and what is recorded of it."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pydicom
import pytest
from dicomweb_client import DICOMwebClient
from dicomweb_library import index_folder, keyword, make_viewed, uids
from PIL import Image
from sent_objects import as_file, real_file, small_slice
from served_library import serving

from api.app import create_app
from api.service.access import keys
from indexer.catalog.audit import Action, rows_since
from indexer.catalog.database import reading
from indexer.config import Settings
from indexer.library import Library


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_viewed(tmp_path_factory.mktemp("viewed"))


@pytest.fixture
def moved(library: Path, tmp_path: Path) -> Iterator[httpx.Client]:
    """A service of a library one of whose files is gone, and one another now."""
    (tmp_path / "files").mkdir()
    for name in ("1.dcm", "4.dcm", "6.dcm"):
        shutil.copy(library.parent / "files" / name, tmp_path / "files")
    for name in ("1.dcm", "4.dcm"):
        ds = pydicom.dcmread(tmp_path / "files" / name)
        ds.StudyInstanceUID, ds.SeriesInstanceUID = "2.25.99", f"2.25.99.{name[0]}"
        ds.save_as(tmp_path / "files" / name)
    index_folder(tmp_path / "library", tmp_path / "files")
    (tmp_path / "files" / "1.dcm").unlink()
    shutil.copy(library.parent / "files" / "5.dcm", tmp_path / "files" / "6.dcm")
    with serving(Settings(library=tmp_path / "library")) as client:
        yield client


def test_files_that_are_gone_or_changed_are_told(moved: httpx.Client) -> None:
    for address in ("studies/2.25.99/series/2.25.99.1", "studies/2.25.6"):
        for form in ("", "/metadata"):
            gone = moved.get(f"/dicomweb/{address}{form}")
            assert (gone.status_code, gone.json()["code"]) == (410, "original_gone")
    (row,) = moved.get("/dicomweb/studies/2.25.99/metadata").json()
    assert keyword(row, "SOPInstanceUID") == "2.25.4.1.1"
    some = moved.get("/dicomweb/studies/2.25.99")
    assert some.status_code == 206 and "1 instances are left out" in some.headers["warning"]


def test_frames_that_are_too_large_together_are_refused(library: Path) -> None:
    study, series, instance = uids("examples_ybr_color.dcm")
    address = f"/dicomweb/studies/{study}/series/{series}/instances/{instance}"
    native = {"Accept": 'multipart/related; type="application/octet-stream"'}
    with serving(Settings(library=library, max_pixel_mb=1)) as client:
        assert client.get(f"{address}/frames/1,2,3,4", headers=native).status_code == 200
        for frames in (f"frames/{','.join(map(str, range(1, 11)))}", "bulkdata/7FE00010"):
            refused = client.get(f"{address}/{frames}", headers=native)
            assert refused.status_code == 406 and "ask for 4 at once" in refused.json()["detail"]
        again = client.get(f"{address}/frames/1,1", headers=native)
        assert again.status_code == 400 and "twice" in again.json()["detail"]


def test_a_pixel_of_any_shape_makes_no_picture_huge(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    ds = pydicom.dcmread(real_file("CT_small.dcm"))
    ds.PixelSpacing = [10, 0.001]
    ds.save_as(tmp_path / "files" / "1.dcm")
    index_folder(tmp_path / "library", tmp_path / "files")
    uid = f"studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}"
    with serving(Settings(library=tmp_path / "library")) as client:
        drawn = client.get(
            f"/dicomweb/{uid}/instances/{ds.SOPInstanceUID}/rendered",
            headers={"Accept": "image/png"},
        )
    with Image.open(io.BytesIO(drawn.content)) as picture:
        assert max(picture.size) == 4096


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


def test_a_library_that_keeps_who_it_is_gives_originals_as_they_are(tmp_path: Path) -> None:
    ds = small_slice(1)
    ds.InstitutionName = "St. Elsewhere"
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "slice.dcm").write_bytes(as_file(ds))
    shutil.copy(real_file("test-SR.dcm"), tmp_path / "files")
    index_folder(tmp_path / "library", tmp_path / "files", phi="keep")
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
    index_folder(tmp_path / "library", tmp_path / "files")
    uid = pydicom.dcmread(real_file("test-SR.dcm")).StudyInstanceUID
    with serving(Settings(library=tmp_path / "library")) as client:
        assert client.get(f"/dicomweb/studies/{uid}").status_code == 406
        (row,) = client.get(f"/dicomweb/studies/{uid}/metadata").json()
    assert keyword(row, "Modality") == "SR" and "0040A730" not in row
