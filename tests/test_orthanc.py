"""Orthanc as a peer: it sends, and is pulled from; every instance arrives once, and is indexed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from click.testing import Result
from orthanc_peer import Orthanc, free_port, needs_orthanc, orthanc
from sent_objects import as_file, small_slice
from sqlalchemy import select
from typer.testing import CliRunner

from api.cli.main import app
from indexer.catalog.database import reading
from indexer.catalog.tables import Instance
from indexer.library import Library

pytestmark = needs_orthanc

STUDIES, SLICES = 3, 12


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


def test_studies_are_pulled_over_dicomweb_and_indexed(peer: Orthanc, tmp_path: Path) -> None:
    library = tmp_path / "library"
    asked = ("pull", "dicomweb", peer.web, "--query", "Modality=CT", "--library", library)
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
    more = ("--query", "Modality=CT", "--library", library, "--json", "--workers", "1")
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
    more = ("--calling", "MOVED", "--query", "Modality=CT", "--library", library, "--json")
    result = run(*asked, *more, "--port", str(port), "--workers", "1")
    assert result.exit_code == 0, result.output
    assert events(result)["summary"][0]["fetched"] == 36, result.output
    assert uids(kept(library)) == indexed(library) == of_studies(1, 2, 3)
