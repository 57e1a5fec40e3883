"""A browser walks through each view of the page, as it was built, on the demonstration."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from made_once import library_made_once
from page_tools import NEEDED, UI, walk
from served_library import own_copy, running, wait_until_ready

from api.rights import Role
from api.service.access import keys
from api.service.demo import run_demo
from api.service.showcase import Outcome
from indexer.config import Settings
from indexer.library import Library

pytestmark = NEEDED
WALKS = sorted(path.name.removesuffix(".e2e.ts") for path in (UI / "e2e").glob("*.e2e.ts"))
GUARDED = {"job-developer"}
"""Walks through a service that asks who it is; they have the key of an administrator."""


@pytest.fixture(scope="session")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder of its library; made by the first process of the run that asks."""
    with library_made_once(tmp_path_factory, "demonstration", _demonstrate) as folder:
        yield folder / "library"


def _demonstrate(folder: Path) -> None:
    result = run_demo(folder, folder / "sheet.png", Settings())
    told = [(each.step, each.outcome, each.said) for each in result.steps]
    assert {each.outcome for each in result.steps} == {Outcome.MADE}, told


@pytest.mark.parametrize("name", WALKS)
@pytest.mark.timeout(900)
def test_a_browser_finds_its_way(name: str, demonstration: Path, tmp_path: Path) -> None:
    library = own_copy(demonstration, tmp_path)
    guarded = name in GUARDED
    settings = {"SYNTOPY_JOBS_WORKERS": "1", "SYNTOPY_UPLOAD_MB": "2"}
    arguments = ["--receive", *(["--auth"] if guarded else [])]
    key = _key_of_an_administrator(library) if guarded else ""
    with running(library, *arguments, settings=settings) as (service, address):
        assert service.stderr is not None
        threading.Thread(target=service.stderr.read, daemon=True).start()  # the log
        with httpx.Client(base_url=address, timeout=60) as client:
            wait_until_ready(client)
        walk(f"e2e/{name}.e2e.ts", address, **({"SYNTOPY_KEY": key} if guarded else {}))


def _key_of_an_administrator(library: Path) -> str:
    with Library.open(library) as opened:
        asked = keys.KeyRequest("administrator", role=Role.ADMIN)
        return keys.create(opened, asked, actor="test").token
