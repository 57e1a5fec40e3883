"""A browser walks through each view of the page, as it was built, on the demonstration."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import httpx
import pytest
from made_once import made_once
from page_tools import BROWSER, UI, npm
from served_library import own_copy, running, wait_until_ready

from api.page import PAGE
from api.rights import Role
from api.service.access import keys
from api.service.demo import run_demo
from api.service.showcase import Outcome
from indexer.config import Settings
from indexer.library import Library

WALKS = sorted(path.name.removesuffix(".e2e.ts") for path in (UI / "e2e").glob("*.e2e.ts"))
GUARDED = {"job-developer"}
"""Walks through a service that asks who it is; they have the key of an administrator."""


@pytest.fixture(scope="session")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of its library; made by the first process of the run that asks."""
    return made_once(tmp_path_factory, "demonstration", _demonstrate) / "library"


def _demonstrate(folder: Path) -> None:
    result = run_demo(folder, folder / "sheet.png", Settings())
    told = [(each.step, each.outcome, each.said) for each in result.steps]
    assert {each.outcome for each in result.steps} == {Outcome.MADE}, told


@pytest.mark.skipif(BROWSER is None, reason="no chromium is installed")
@pytest.mark.skipif(not (PAGE / "index.html").is_file(), reason="the page was not built: make ui")
@pytest.mark.skipif(not (UI / "node_modules").is_dir(), reason="no packages of npm: make ui")
@pytest.mark.parametrize("walk", WALKS)
@pytest.mark.timeout(900)
def test_a_browser_finds_its_way(walk: str, demonstration: Path, tmp_path: Path) -> None:
    library = own_copy(demonstration, tmp_path)
    guarded = walk in GUARDED
    settings = {"SYNTOPY_JOBS_WORKERS": "1", "SYNTOPY_UPLOAD_MB": "2"}
    arguments = ["--receive", *(["--auth"] if guarded else [])]
    key = _key_of_an_administrator(library) if guarded else ""
    with running(library, *arguments, settings=settings) as (service, address):
        assert service.stderr is not None
        threading.Thread(target=service.stderr.read, daemon=True).start()  # the log
        with httpx.Client(base_url=address, timeout=60) as client:
            wait_until_ready(client)
        walked = subprocess.run(
            [*npm(), "run", "--silent", "e2e", "--", f"e2e/{walk}.e2e.ts"],
            cwd=UI,
            env=_environment(address) | ({"SYNTOPY_KEY": key} if guarded else {}),
            capture_output=True,
            check=False,
        )
    assert walked.returncode == 0, (walked.stdout + walked.stderr).decode()[-8000:]


def _key_of_an_administrator(library: Path) -> str:
    with Library.open(library) as opened:
        asked = keys.KeyRequest("administrator", role=Role.ADMIN)
        return keys.create(opened, asked, actor="test").token


def _environment(address: str) -> dict[str, str]:
    return {**os.environ, "SYNTOPY_URL": address, "CHROMIUM": str(BROWSER), "NO_COLOR": "1"}
