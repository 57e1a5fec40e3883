"""Standard clients find what a library holds: QIDO-RS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pydicom
import pytest
from dicomweb_client import DICOMwebClient
from dicomweb_library import NAMES, keyword, make_viewed, uids
from served_library import serving

from api.app import create_app
from api.rights import Role
from api.service.access import keys
from indexer.config import Settings
from indexer.library import Library


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
        ({"ModalitiesInStudy": "CT,MR"}, {f"2.25.{n}" for n in (1, 2, 3, 4, 8)}),
        ({"ModalitiesInStudy": "CT\\MR"}, {f"2.25.{n}" for n in (1, 2, 3, 4, 8)}),
        ({"StudyDate": "20040119"}, {"2.25.1"}),
        ({"StudyDate": "20040101-20040301"}, {"2.25.1"}),
        ({"StudyDate": "20110101-"}, {"2.25.6", "2.25.7"}),
        ({"StudyDate": "20000101-20040201"}, {"2.25.1"}),
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
