"""What the demonstration makes beside its index: each step by itself, and none twice."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from served_library import own_copy

from api.service.curating import reviews
from api.service.grouping import cluster
from api.service.showcase import Outcome, StepResult, show_all
from indexer.config import Settings
from indexer.library import Library


@pytest.fixture
def library(served: Path, tmp_path: Path) -> Library:
    return Library.open(own_copy(served, tmp_path))


def outcomes(results: list[StepResult]) -> dict[str, Outcome]:
    return {each.step: each.outcome for each in results}


def test_what_is_there_stays_and_what_fails_is_said_while_the_rest_is_made(
    library: Library,
) -> None:
    told = list[str]()
    with library:
        first = show_all(
            library,
            Settings(),
            drawn=True,
            on_step=lambda step, _what, _done, _total: told.append(step),
        )
        made = outcomes(first)
        assert made["map"] is Outcome.THERE
        assert made["clustering “kinds”"] is Outcome.MADE
        assert "kinds" in {run.name for run in cluster.runs(library)}
        assert made["queue “outliers”"] is Outcome.MADE
        assert {each.queue: each.open for each in reviews.queues(library)}["outliers"] == 24
        # These drawn pictures have no radiographs of chests.
        failed = next(each for each in first if each.step == "reference “chest”")
        assert failed.outcome is Outcome.FAILED
        assert failed.said
        assert set(told) == set(made), "each step tells what it does"
        again = outcomes(show_all(library, Settings(), drawn=True))
        assert again["clustering “kinds”"] is again["queue “outliers”"] is Outcome.THERE


def test_of_ones_own_pictures_no_step_needs_labels(library: Library) -> None:
    with library:
        results = show_all(library, Settings(), drawn=False)
    assert [each for each in results if each.outcome is Outcome.FAILED] == []


def test_no_step_begins_after_somebody_wants_the_end(library: Library) -> None:
    stop = threading.Event()
    stop.set()
    with library:
        results = show_all(library, Settings(), drawn=True, stop=stop)
        assert [each.outcome for each in results] == [Outcome.STOPPED]
        assert reviews.queues(library) == []
