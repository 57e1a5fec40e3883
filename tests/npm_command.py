"""The npm that builds the page; make asks for it before any package is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_BUILD = Path(__file__).resolve().parents[1] / "ui" / "build_page.py"


def npm() -> list[str]:
    """How it is called."""
    spec = importlib.util.spec_from_file_location("ui_build_page", _BUILD)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    command: list[str] = module.npm()
    return command
