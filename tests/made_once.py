"""What is made once in a run of the tests, however many processes it has."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that is to be read and not written.

    Made by the first process of the run that asks; the others wait for it.
    """
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            make(folder)
            (folder / "done").write_text(_catalogs(folder))
    return folder


@contextmanager
def library_made_once(
    factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]
) -> Iterator[Path]:
    """The same for a folder with a library.

    Raises:
        AssertionError: at the end, if a test wrote to its catalog: what others find or copy there
            would depend on which came first.
    """
    folder = made_once(factory, name, make)
    yield folder
    assert _catalogs(folder) == (folder / "done").read_text(), f"a test wrote to {folder}"


def _catalogs(folder: Path) -> str:
    """A digest of those below it."""
    found = sorted(folder.rglob("catalog.sqlite"))
    return hashlib.sha256(b"".join(each.read_bytes() for each in found)).hexdigest()
