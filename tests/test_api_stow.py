"""Studies that are sent over HTTP: stored, answered for one by one, indexed by themselves."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pydicom
import pytest
from dicomweb_client import DICOMwebClient
from sent_objects import data_set_of, real_file
from served_library import serving

from api.app import create_app
from api.rights import Role
from api.service.access import keys
from api.service.arriving.arrivals import index_arrivals
from indexer.catalog.audit import Action, rows_since
from indexer.catalog.database import reading
from indexer.config import Settings
from indexer.library import Library
from indexer.receiving.inbox import Inbox

NAMES = ("CT_small.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm")
BOUNDARY = "frontier"
HEADERS = {"Content-Type": f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'}


@pytest.fixture
def library(tmp_path: Path) -> Path:
    Library.create(tmp_path / "library").close()
    return tmp_path / "library"


@pytest.fixture
def client(library: Path) -> Iterator[httpx.Client]:
    settings = Settings(library=library)
    with serving(settings, create_app(settings, receive=True)) as client:
        yield client


def body(*names: str) -> bytes:
    parts = [
        b"--frontier\r\nContent-Type: application/dicom\r\n\r\n" + real_file(name).read_bytes()
        for name in names
    ]
    return b"\r\n".join([*parts, b"--frontier--\r\n"])


def inbox_of(library: Path) -> list[Path]:
    return sorted((library / "inbox").glob("*/*.dcm"))


def index(library: Path) -> None:
    with Library.open(library) as opened:
        inbox = Inbox(opened.inbox_folder)
        stop = threading.Event()
        list(index_arrivals(opened, inbox, Settings(library=library), once=True, stop=stop))


def test_a_standard_client_stores_studies_that_are_then_found(
    library: Path, client: httpx.Client
) -> None:
    sent = [pydicom.dcmread(real_file(name)) for name in NAMES]
    told = DICOMwebClient(str(client.base_url.join("/dicomweb"))).store_instances(sent)
    stored = {each.ReferencedSOPInstanceUID for each in told.ReferencedSOPSequence}
    assert stored == {each.SOPInstanceUID for each in sent}
    assert "FailedSOPSequence" not in told and len(inbox_of(library)) == len(NAMES)
    index(library)
    found = client.get("/v1/studies").json()["rows"]
    assert {each["study_instance_uid"] for each in found} == {
        each.StudyInstanceUID for each in sent
    }


def test_what_is_stored_is_what_was_sent(library: Path, client: httpx.Client) -> None:
    answer = client.post("/dicomweb/studies", content=body("MR_small_RLE.dcm"), headers=HEADERS)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/dicom+json"
    (kept,) = inbox_of(library)
    assert data_set_of(kept) == data_set_of(real_file("MR_small_RLE.dcm"))


def test_instances_of_another_study_are_refused_one_by_one(client: httpx.Client) -> None:
    uid = pydicom.dcmread(real_file("CT_small.dcm")).StudyInstanceUID
    content = body("CT_small.dcm", "JPEG2000.dcm")
    answer = client.post(f"/dicomweb/studies/{uid}", content=content, headers=HEADERS)
    assert answer.status_code == 202
    told = answer.json()
    assert len(told["00081199"]["Value"]) == len(told["00081198"]["Value"]) == 1
    assert told["00081198"]["Value"][0]["00081197"]["Value"] == [0xA900]


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (body("CT_small.dcm")[:-3000], HEADERS, 400),
        (b"", HEADERS, 400),
        (b"--frontier--\r\n", HEADERS, 400),
        (b"{}", {"Content-Type": "application/json"}, 415),
        (body("CT_small.dcm"), {"Content-Type": "multipart/related; boundary=frontier"}, 415),
        (
            body("CT_small.dcm"),
            {"Content-Type": 'multipart/related; type="application/dicom"'},
            400,
        ),
    ],
)
def test_what_is_no_body_of_instances_is_refused_and_nothing_is_left(
    library: Path, client: httpx.Client, content: bytes, headers: dict[str, str], status: int
) -> None:
    answer = client.post("/dicomweb/studies", content=content, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (
        status,
        "application/problem+json",
    )
    assert inbox_of(library) == []


def test_a_service_takes_no_studies_unless_it_was_told_to(library: Path) -> None:
    with serving(Settings(library=library)) as client:
        answer = client.post("/dicomweb/studies", content=body("CT_small.dcm"), headers=HEADERS)
    assert answer.status_code == 404 and "--receive" in answer.json()["detail"]
    assert not (library / "inbox").exists()


def test_only_operators_may_send_and_it_is_recorded(library: Path) -> None:
    with Library.open(library) as opened:
        tokens = {
            role: keys.create(opened, keys.KeyRequest(role.value, role), actor="test").token
            for role in (Role.CURATOR, Role.OPERATOR)
        }
    settings = Settings(library=library)
    with serving(settings, create_app(settings, None, receive=True)) as client:
        codes = {
            role: client.post(
                "/dicomweb/studies",
                content=body("CT_small.dcm"),
                headers={**HEADERS, "Authorization": f"Bearer {token}"},
            ).status_code
            for role, token in tokens.items()
        }
    assert codes == {Role.CURATOR: 403, Role.OPERATOR: 200}
    with Library.open(library) as opened, reading(opened.engine) as db:
        told = [(row.actor, row.action) for row in rows_since(db) if row.origin]
    assert told == [("curator", Action.REFUSE), ("operator", Action.ARRIVE)]


def test_the_command_indexes_what_arrives_by_itself(library: Path) -> None:
    command = [sys.executable, "-m", "api.cli.main", "serve", "-L", str(library), "--port", "0"]
    with subprocess.Popen([*command, "--receive"], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            address = re.search(r"http://127\.0\.0\.1:\d+", process.stderr.readline())
            assert address
            threading.Thread(target=process.stderr.read, daemon=True).start()
            with httpx.Client(base_url=address[0], timeout=60) as client:
                content = body("CT_small.dcm")
                sent = client.post("/dicomweb/studies", content=content, headers=HEADERS)
                assert sent.status_code == 200
                until = time.monotonic() + 90
                while not (rows := client.get("/v1/studies").json()["rows"]):
                    assert time.monotonic() < until, "it was not indexed"
                    time.sleep(0.5)
            assert len(rows) == 1
        finally:
            process.terminate()
            process.wait(60)
