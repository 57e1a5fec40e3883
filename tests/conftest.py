"""Libraries that are made once and read by many tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from cohort_library import Indexed
from made_once import library_made_once
from served_library import make_served, own_copy

from api.service import ingest
from indexer.config import Settings
from indexer.library import Library
from indexer.phantoms import plan_cohort, write_cohort

_STUDIES, _SEED = 40, 1
# What a shell starts in the background ignores Ctrl-C, and so would commands that tests end by it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# How long an example takes is the machine's affair; the first one loads modules, too.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")


@pytest.fixture(scope="session")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Indexed]:
    """A library of phantoms; made by the first process of the run that asks."""
    with library_made_once(tmp_path_factory, "indexed", _index) as folder:
        yield Indexed(folder / "library", folder / "cohort", plan_cohort(_STUDIES, _SEED))


def _index(folder: Path) -> None:
    cohort = folder / "cohort"
    write_cohort(cohort, _STUDIES, _SEED)
    asked = ingest.IndexRequest([cohort], metadata=cohort / "labels.csv")
    with Library.create(folder / "library") as made:
        ingest.index(made, asked, Settings(workers=2))


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A library to be served; made by the first process of the run that asks."""

    def make(folder: Path) -> None:
        make_served(folder / "told")

    with library_made_once(tmp_path_factory, "served", make) as folder:
        yield folder / "told" / "library"


@pytest.fixture
def copy(indexed: Indexed, tmp_path: Path) -> Iterator[Library]:
    """A library of its own for a test that changes it."""
    with Library.open(own_copy(indexed.library, tmp_path)) as library:
        yield library
