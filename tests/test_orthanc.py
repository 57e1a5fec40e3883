"""Orthanc as a peer: it sends, and is pulled from; every instance arrives once, and is indexed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from click.testing import Result
from dicom_senders import node
from free_ports import free_port
from orthanc_peer import Orthanc, needs_orthanc, orthanc
from sent_objects import as_file, small_slice
from served_library import serving
from sqlalchemy import select
from typer.testing import CliRunner

from api.access import anyone_on_loopback
from api.app import create_app
from api.cli.main import app
from indexer.catalog.database import reading
from indexer.catalog.tables import Instance
from indexer.config import Settings
from indexer.library import Library
from indexer.receiving.inbox import Inbox

pytestmark = needs_orthanc

UIDS = r"2.25.1\2.25.2\2.25.3"
OURS = ("--query", "Modality=CT", "--query", f"StudyInstanceUID={UIDS}")
STUDIES, SLICES, MANY = 3, 12, 300


@pytest.fixture(scope="module")
def contents() -> list[bytes]:
    """Studies of one series of CT slices."""
    return [
        as_file(small_slice(number, study=study))
        for study in range(1, STUDIES + 1)
        for number in range(SLICES)
    ]


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]) -> Iterator[Orthanc]:
    """An Orthanc that has them."""
    with orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        running.put(contents)
        yield running


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def events(result: Result) -> dict[str, list[dict[str, Any]]]:
    """What a command with --json said, by event."""
    told: dict[str, list[dict[str, Any]]] = {}
    for line in result.stdout.splitlines():
        each = json.loads(line)
        told.setdefault(each.pop("event"), []).append(each)
    return told


def kept(library: Path) -> list[Path]:
    return sorted((library / "inbox").glob("2*/*.dcm"))


def uids(paths: list[Path]) -> list[str]:
    return sorted(pydicom.dcmread(each, stop_before_pixels=True).SOPInstanceUID for each in paths)


def indexed(library: Path) -> list[str]:
    with Library.open(library) as opened, reading(opened.engine) as db:
        return sorted(db.execute(select(Instance.sop_instance_uid)).scalars())


def of_studies(*numbers: int) -> list[str]:
    return sorted(f"2.25.{study}.1.{number}" for study in numbers for number in range(SLICES))


def ours(peer: Orthanc) -> Any:
    """Its own names of the studies."""
    return peer.ask("/tools/find", {"Level": "Study", "Query": {"StudyInstanceUID": UIDS}})


def test_studies_are_pulled_over_dicomweb_and_indexed(peer: Orthanc, tmp_path: Path) -> None:
    library = tmp_path / "library"
    asked = ("pull", "dicomweb", peer.web, *OURS, "--library", library)
    result = run(*asked, "--json", "--workers", "1")
    assert result.exit_code == 0, result.output
    (summary,) = events(result)["summary"]
    assert (summary["studies"], summary["fetched"], summary["known"]) == (3, 36, 0)
    assert uids(kept(library)) == indexed(library) == of_studies(1, 2, 3)
    again = events(run(*asked, "--json"))["summary"][0]
    assert (again["fetched"], again["known"], again["bytes"]) == (0, 36, 0)


def test_studies_are_pulled_with_c_get_and_indexed(peer: Orthanc, tmp_path: Path) -> None:
    library = tmp_path / "library"
    asked = ("pull", "dimse", f"127.0.0.1:{peer.dicom}", "--called", "ORTHANC")
    more = (*OURS, "--library", library, "--json", "--workers", "1")
    result = run(*asked, *more)
    assert result.exit_code == 0, result.output
    (summary,) = events(result)["summary"]
    assert (summary["studies"], summary["fetched"], summary["known"]) == (3, 36, 0)
    assert uids(kept(library)) == indexed(library) == of_studies(1, 2, 3)
    again = events(run(*asked, *more))["summary"][0]
    assert (again["fetched"], again["known"], again["bytes"]) == (0, 36, 0)


def test_studies_are_moved_to_a_node_of_the_pull_itself(peer: Orthanc, tmp_path: Path) -> None:
    library = tmp_path / "library"
    port = free_port()
    peer.know("MOVED", port)
    asked = ("pull", "dimse", f"127.0.0.1:{peer.dicom}", "--called", "ORTHANC", "--move")
    more = ("--calling", "MOVED", *OURS, "--library", library, "--json")
    result = run(*asked, *more, "--port", str(port), "--workers", "1")
    assert result.exit_code == 0, result.output
    assert events(result)["summary"][0]["fetched"] == 36, result.output
    assert uids(kept(library)) == indexed(library) == of_studies(1, 2, 3)


def test_it_sends_by_c_store_and_what_comes_is_indexed(peer: Orthanc, tmp_path: Path) -> None:
    library = tmp_path / "library"
    with Library.create(library) as made:
        inbox = Inbox(made.inbox_folder)
    studies = ours(peer)
    with node(inbox) as port:
        peer.know("SYNTOPY", port)
        for _ in range(2):
            told = peer.ask("/modalities/SYNTOPY/store", {"Resources": studies})
            assert told["FailedInstancesCount"] == 0
    assert run("arrivals", "--library", library, "--workers", "1").exit_code == 0
    assert uids(kept(library)) == indexed(library) == of_studies(1, 2, 3)


def test_it_sends_by_stow_and_what_comes_is_kept_once(peer: Orthanc, tmp_path: Path) -> None:
    library = tmp_path / "library"
    Library.create(library).close()
    settings = Settings(library=library)
    with serving(settings, create_app(settings, anyone_on_loopback, receive=True)) as client:
        url = str(client.base_url).rstrip("/") + "/dicomweb"
        peer.rest.put("/dicom-web/servers/syntopy", json={"Url": url}).raise_for_status()
        studies = ours(peer)
        for _ in range(2):
            peer.ask("/dicom-web/servers/syntopy/stow", {"Resources": studies, "Synchronous": True})
    assert uids(kept(library)) == of_studies(1, 2, 3)


@pytest.mark.parametrize("way", ["dicomweb", "dimse"])
def test_a_pull_that_is_killed_is_taken_up_by_the_next(
    peer: Orthanc, tmp_path: Path, way: str
) -> None:
    library, study = tmp_path / "library", 8 if way == "dimse" else 9
    peer.put([as_file(small_slice(number, study=study)) for number in range(MANY)])
    where = [peer.web] if way == "dicomweb" else [f"127.0.0.1:{peer.dicom}", "--called", "ORTHANC"]
    asked = ["pull", way, *where, "--query", f"StudyInstanceUID=2.25.{study}", "--no-index"]
    command = [sys.executable, "-m", "api.cli.main", *asked, "--library", str(library)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as pulling:
        while len(kept(library)) < 5:
            assert pulling.poll() is None, "it ended before it could be killed"
            time.sleep(0.002)
        pulling.kill()
    before = len(kept(library))
    assert before < MANY
    result = run(*asked, "--library", library, "--json")
    assert result.exit_code == 0, result.output
    (summary,) = events(result)["summary"]
    assert (summary["fetched"], summary["known"]) == (MANY - before, before)
    assert len(kept(library)) == len(set(uids(kept(library)))) == MANY
