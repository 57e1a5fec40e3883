"""Walks through the page: Node, npm and the browser that they need, and running one."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from npm_command import npm

from api.page import PAGE

UI = Path(__file__).resolve().parents[1] / "ui"
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
NEEDED = [
    pytest.mark.skipif(BROWSER is None, reason="no chromium is installed"),
    pytest.mark.skipif(
        not (PAGE / "index.html").is_file(), reason="the page was not built: make ui"
    ),
    pytest.mark.skipif(not (UI / "node_modules").is_dir(), reason="no packages of npm: make ui"),
]
"""Marks of tests that walk."""


def walk(path: str, address: str, **environment: str) -> None:
    """Go through the page of the service at ``address``, as a file below ui/ says.

    Raises:
        AssertionError: it did not come to its end; with what was said last.
    """
    own = {"SYNTOPY_URL": address, "CHROMIUM": str(BROWSER), "NO_COLOR": "1"}
    walked = subprocess.run(
        [*npm(), "run", "--silent", "e2e", "--", path],
        cwd=UI,
        env={**os.environ, **own, **environment},
        capture_output=True,
        check=False,
    )
    assert walked.returncode == 0, (walked.stdout + walked.stderr).decode()[-8000:]
