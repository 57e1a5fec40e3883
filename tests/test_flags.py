"""Studies with what a reference last said of them, over HTTP, and their reviews."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from people import ITEMS, NEW, changes, make_library, people_at

from api.service.judging import flags
from api.service.paging import Paging
from indexer.catalog.database import transaction
from indexer.groups.references import ReferenceDraft, find_reference, save_reference
from indexer.groups.scores import Score, keep_scores
from indexer.library import Library
from ood.calibrate import simes

REFERENCE = "chest"
P_VALUES = [0.5, 0.001, None, 0.02, 0.9, 0.04, 0.3, 0.011]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = make_library(tmp_path_factory.mktemp("made") / "library")
    draft = ReferenceDraft(REFERENCE, "", 0.05, 0, 1, {}, "1", {"ids": np.zeros(1, np.int64)})
    with Library.open(path) as opened:
        save_reference(opened, opened.spaces()[0], draft)
        keep(opened, P_VALUES)
    return path


def keep(library: Library, p_values: Sequence[float | None]) -> None:
    """Store a score of each item, in their order."""
    finding = {"code": "blurred", "sentence": "it is blurred", "value": 0.1}
    with transaction(library.engine) as db:
        scores = [
            Score(item, 1.0, p, None if p is None else p <= 0.05, {}, "CR", [finding])
            for item, p in enumerate(p_values, 1)
        ]
        keep_scores(db, find_reference(library, REFERENCE), scores)


@pytest.fixture
def library(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "library"))


@pytest.fixture
def people(library: Path) -> Iterator[dict[str, httpx.Client]]:
    with people_at(library) as clients:
        yield clients


def numbers(client: httpx.Client, **asked: object) -> list[int]:
    """Which studies are listed, page by page."""
    found, cursor = [], ""
    while True:
        said = {"reference": REFERENCE, "limit": 3, "cursor": cursor, **asked}
        page = client.get("ood/scores", params=said)  # type: ignore[arg-type]
        assert page.status_code == 200, page.text
        found += [int(row["study_instance_uid"].split(".")[-1]) for row in page.json()["rows"]]
        cursor = page.json()["cursor"]
        if not cursor:
            return found


def test_studies_are_listed_by_how_odd_they_are(people: dict[str, httpx.Client]) -> None:
    rob = people["rob"]
    assert numbers(rob, sort="p_value") == [1, 7, 3, 5, 6, 0, 4, 2]
    assert numbers(rob, sort="-p_value") == [2, 4, 0, 6, 5, 3, 7, 1]
    assert numbers(rob, sort="p_value", flagged=True) == [1, 7, 3, 5]
    assert numbers(rob, flagged=False) == [0, 4, 6], "and 2 cannot be judged"
    assert numbers(rob, sort="p_value", flagged=True, alarm=0.02) == [1, 7, 3]
    assert numbers(rob, flagged=True, filter="modality=CR") == []
    assert sorted(numbers(rob, sort="judged_at")) == list(range(ITEMS))
    assert rob.get("ood/scores", params={"reference": "none"}).status_code == 404


def test_each_says_why_and_what_was_decided(people: dict[str, httpx.Client], library: Path) -> None:
    ann = people["ann"]
    ann.put("reviews/ood:chest/subjects/2.25.1", json={"verdict": "reject"}, headers=NEW)
    asked = {"reference": REFERENCE, "sort": "p_value"}
    rows = ann.get("ood/scores", params=asked).json()["rows"]
    first, last = rows[0], rows[-1]
    assert (first["p_value"], first["flagged"]) == (0.001, True)
    assert (last["p_value"], last["flagged"]) == (None, None)
    (item,) = first["items"]
    assert (item["item"], item["stratum"], item["flagged"]) == ("item-1", "CR", True)
    assert item["findings"][0]["sentence"] == "it is blurred"
    assert (first["review"]["verdict"], first["review"]["by"]) == ("reject", "ann")
    assert [row["review"] for row in rows[1:]] == [None] * (ITEMS - 1)
    assert len(changes(library)) == 1, "who reads changes nothing"


def test_what_is_left_to_do_is_listed_and_counted(people: dict[str, httpx.Client]) -> None:
    ann = people["ann"]
    for number, verdict in ((1, "reject"), (7, "accept"), (0, "accept"), (3, "")):
        said = {"verdict": verdict}
        ann.put(f"reviews/ood:chest/subjects/2.25.{number}", json=said, headers=NEW)
    assert numbers(ann, sort="p_value", flagged=True, decided=False) == [3, 5]
    assert numbers(ann, sort="p_value", flagged=True, decided=True) == [1, 7]
    assert numbers(ann, judged=False) == [2]
    assert len(numbers(ann, judged=True)) == ITEMS - 1
    counts = ann.get("ood/scores/counts", params={"reference": REFERENCE}).json()
    assert counts == {
        "studies": ITEMS, "flagged": 4, "cannot_be_judged": 1, "open": 2,
        "accepted": 2, "rejected": 1, "alarm": 0.05,
    }  # fmt: skip
    asked = {"reference": REFERENCE, "filter": "modality=CT", "alarm": 0.002}
    narrow = ann.get("ood/scores/counts", params=asked).json()
    assert (narrow["studies"], narrow["flagged"], narrow["alarm"]) == (4, 1, 0.002)


def test_counts_of_nothing_are_zeros(people: dict[str, httpx.Client]) -> None:
    asked = {"reference": REFERENCE, "filter": "modality=MR"}
    counts = people["rob"].get("ood/scores/counts", params=asked).json()
    assert counts == dict.fromkeys(counts, 0) | {"alarm": 0.05}


def test_each_says_what_it_is_of(people: dict[str, httpx.Client]) -> None:
    asked = {"reference": REFERENCE, "sort": "p_value"}
    first = people["rob"].get("ood/scores", params=asked).json()["rows"][0]
    assert first["age_years"] == 51 and first["items"][0]["modality"] == "CT"


def test_where_the_watch_for_drift_stands(people: dict[str, httpx.Client]) -> None:
    assert people["rob"].get("ood/drift", params={"reference": REFERENCE}).json() == []
    assert people["rob"].get("ood/drift", params={"reference": "none"}).status_code == 404


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(p_values=st.lists(st.one_of(st.none(), st.floats(0.001, 1)), min_size=ITEMS, max_size=ITEMS))
def test_items_of_a_study_count_together_as_where_it_was_judged(
    made: Path, tmp_path_factory: pytest.TempPathFactory, p_values: list[float | None]
) -> None:
    path = shutil.copytree(made, tmp_path_factory.mktemp("together") / "library")
    with Library.open(path) as opened:
        with transaction(opened.engine) as db:
            db.exec_driver_sql("UPDATE series SET study_id = 1 WHERE id > 2")
        keep(opened, p_values)
        found = flags.stored_scores(opened, REFERENCE, Paging(sort="-p_value")).rows
    of = {row.study_instance_uid: row.p_value for row in found}
    for uid, own in (("2.25.0", [p_values[0], *p_values[2:]]), ("2.25.1", p_values[1:2])):
        known = [p for p in own if p is not None]
        assert of[uid] == (pytest.approx(simes(known)) if known else None)
