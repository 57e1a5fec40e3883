"""Libraries that are made once and read by many tests."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cohort_library import Indexed
from served_library import make_served

from api.service import ingest
from indexer.config import Settings
from indexer.library import Library
from indexer.phantoms import plan_cohort, write_cohort

_STUDIES, _SEED = 40, 1


@pytest.fixture(scope="session")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Indexed:
    """Made by the first process of the run that asks; the others wait for it."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "indexed"
    shared.mkdir(exist_ok=True)
    cohort, library = shared / "cohort", shared / "library"
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not library.exists():
            write_cohort(cohort, _STUDIES, _SEED)
            with Library.create(shared / "made") as made:
                ingest.index(
                    made,
                    ingest.IndexRequest([cohort], metadata=cohort / "labels.csv"),
                    Settings(workers=2),
                )
            (shared / "made").rename(library)
    return Indexed(library, cohort, plan_cohort(_STUDIES, _SEED))


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library to be served; made by the first process of the run that asks."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "served"
    shared.mkdir(exist_ok=True)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "made").exists():
            make_served(shared / "told")
            (shared / "made").touch()
    return shared / "told" / "library"


@pytest.fixture
def copy(indexed: Indexed, tmp_path: Path) -> Iterator[Library]:
    """A library of its own for a test that changes it."""
    # Readers in other processes make and delete these two; after the build they hold nothing.
    ignored = shutil.ignore_patterns("*-wal", "*-shm")
    shutil.copytree(indexed.library, tmp_path / "library", ignore=ignored)
    with Library.open(tmp_path / "library") as library:
        yield library
