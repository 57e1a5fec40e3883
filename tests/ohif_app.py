"""Fetch OHIF as published, in the version of compose.yaml: ``python tests/ohif_app.py .ohif``."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from npm_command import npm

ROOT = Path(__file__).resolve().parents[1]
APP = ROOT / ".ohif"
"""Where `make` puts it; `APP/dist` is what a web server shows."""


def version() -> str:
    """The version that compose.yaml runs."""
    found = re.search(r"image: ohif/app:v(\S+)", (ROOT / "compose.yaml").read_text())
    assert found
    return found[1]


def fetch(folder: Path) -> None:
    """Have `folder/dist`; npm compares what it gets with the hash that its registry tells."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with tempfile.TemporaryDirectory() as packed:
        package = f"@ohif/app@{version()}"
        subprocess.run([*npm(), "pack", "--silent", package], cwd=packed, check=True)
        (archive,) = Path(packed).glob("*.tgz")
        with tarfile.open(archive) as files:
            wanted = [each for each in files if "/dist/" in each.name and _needed(each.name)]
            files.extractall(packed, wanted, filter="data")
        shutil.move(Path(packed) / "package" / "dist", folder / "dist")


def _needed(name: str) -> bool:
    """Not its maps of sources, nor networks that segment: three quarters of its size."""
    return not name.endswith(".map") and "/dist/ort/" not in name


if __name__ == "__main__":
    fetch(Path(sys.argv[1]))
