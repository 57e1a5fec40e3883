"""Node, npm and the browser that tests of the page run."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

UI = Path(__file__).resolve().parents[1] / "ui"
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")


def npm() -> list[str]:
    """The npm that builds the page."""
    spec = importlib.util.spec_from_file_location("ui_build_page", UI / "build_page.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    command: list[str] = module.npm()
    return command
