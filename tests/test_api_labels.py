"""Labels and tags over HTTP: several at once, and nobody writes over what they did not see."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from people import ITEMS, RUN, changes, make_library, people_at, problem, tag_of
from PIL import Image
from served_library import serving

from api.app import create_app
from api.service.curating import labelling
from api.service.curating.editing import Author, Expected
from indexer.catalog.audit import Ending
from indexer.config import Settings
from indexer.errors import ChangedMeanwhileError
from indexer.library import Library

STUDY, ITEM = "studies/2.25.0/labels", "items/item-0/labels"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_library(tmp_path_factory.mktemp("made") / "library")


@pytest.fixture
def library(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "library"))


@pytest.fixture
def people(library: Path) -> Iterator[dict[str, httpx.Client]]:
    with people_at(library) as clients:
        yield clients


# -- one study or item ----------------------------------------------------------------------------


@pytest.mark.parametrize("path", [STUDY, ITEM])
def test_labels_are_read_changed_and_taken_away(people: dict[str, httpx.Client], path: str) -> None:
    ann, rob = people["ann"], people["rob"]
    empty = rob.get(path)
    assert empty.json()["labels"] == {}
    assert empty.json()["study_instance_uid"] == "2.25.0"
    wanted = {"finding": ["effusion", "mass", "mass"], " quality ": ["good"], "none": []}
    given = ann.put(path, json={"labels": wanted}, headers=tag_of(empty))
    assert given.json()["labels"] == {"finding": ["effusion", "mass"], "quality": ["good"]}
    assert rob.get(path).json() == given.json()
    left = ann.delete(path, params={"name": "quality"}, headers=tag_of(given))
    assert left.json()["labels"] == {"finding": ["effusion", "mass"]}
    gone = ann.delete(path, headers=tag_of(left))
    assert gone.json()["labels"] == {}
    assert gone.headers["ETag"] == empty.headers["ETag"], "what is the same has the same tag"


def test_labels_of_an_item_are_not_those_of_its_study(people: dict[str, httpx.Client]) -> None:
    ann = people["ann"]
    ann.put(ITEM, json={"labels": {"view": ["PA"]}}, headers=tag_of(ann.get(ITEM)))
    ann.put(STUDY, json={"labels": {"view": ["LAT"]}}, headers=tag_of(ann.get(STUDY)))
    assert ann.get(ITEM).json()["labels"] == {"view": ["PA"]}
    assert ann.get(STUDY).json()["labels"] == {"view": ["LAT"]}
    for said in ("PA", "LAT"):
        found = ann.get("items", params={"filter": f"label:view={said}"}).json()["rows"]
        assert [row["id"] for row in found] == ["item-0"]


def test_an_item_is_told_of_with_its_labels_and_those_of_its_study(
    people: dict[str, httpx.Client],
) -> None:
    ann = people["ann"]
    on_item = {"view": ["PA"], "tag": ["odd", "seen"]}
    on_study = {"view": ["LAT", "PA"], "finding": ["mass"]}
    ann.put(ITEM, json={"labels": on_item}, headers=tag_of(ann.get(ITEM)))
    ann.put(STUDY, json={"labels": on_study}, headers=tag_of(ann.get(STUDY)))
    both = {"finding": ["mass"], "tag": ["odd", "seen"], "view": ["LAT", "PA"]}
    study = ann.get("studies/2.25.0").json()
    told = {item["id"]: item["labels"] for series in study["series"] for item in series["items"]}
    assert told["item-0"] == both
    assert {label["name"] for label in study["labels"]} == {"finding", "view"}, "of all of it"
    assert ann.get("items/item-0").json()["labels"] == both
    listed = ann.get("items", params={"limit": 500}).json()["rows"]
    assert [row["labels"] for row in listed if row["id"] == "item-0"] == [both]
    assert not any(row["labels"] for row in listed if row["study_instance_uid"] != "2.25.0")
    near = ann.get("items/item-2/neighbours", params={"k": 100, "group": "study"}).json()
    assert [hit["labels"] for hit in near["hits"] if hit["id"] == "item-0"] == [both]
    exported = ann.get("exports/items", params={"format": "csv", "filter": "label:tag=odd"}).text
    assert ",LAT; PA" in exported and ",odd; seen" in exported


def test_a_change_says_what_it_was_made_from(people: dict[str, httpx.Client]) -> None:
    ann, bea = people["ann"], people["bea"]
    seen = tag_of(bea.get(STUDY))
    problem(ann.put(STUDY, json={"labels": {}}), 428, "precondition_required")
    problem(ann.put(STUDY, json={"labels": {}}, headers={"If-Match": "1f"}), 400, "bad_request")
    first = ann.put(STUDY, json={"labels": {"finding": ["mass"]}}, headers=seen)
    late = bea.put(STUDY, json={"labels": {"finding": ["none"]}}, headers=seen)
    told = problem(late, 412, "changed_meanwhile")
    assert told["current"] == first.json() == bea.get(STUDY).json()
    assert told["etag"] == first.headers["ETag"] == late.headers["ETag"]
    weak = {"If-Match": f"W/{first.headers['ETag']}"}
    problem(bea.delete(STUDY, headers=weak), 412, "changed_meanwhile")
    again = {"If-Match": f'"other", {told["etag"]}'}
    assert bea.put(STUDY, json={"labels": {"finding": ["none"]}}, headers=again).is_success
    assert bea.delete(STUDY, headers={"If-Match": "*"}).json()["labels"] == {}


def test_other_changes_of_a_study_do_not_stand_in_the_way(
    people: dict[str, httpx.Client],
) -> None:
    ann, bea = people["ann"], people["bea"]
    seen = tag_of(ann.get(STUDY))
    bea.put(ITEM, json={"labels": {"view": ["PA"]}}, headers=tag_of(bea.get(ITEM)))
    assert ann.put(STUDY, json={"labels": {"finding": ["mass"]}}, headers=seen).is_success


def test_what_is_not_there_or_no_label_is_refused(people: dict[str, httpx.Client]) -> None:
    ann, any_ = people["ann"], {"If-Match": "*"}
    for path in ("studies/item-0/labels", "items/2.25.0/labels", "studies/9.9/labels"):
        problem(ann.get(path), 404, "not_found")
        problem(ann.put(path, json={"labels": {}}, headers=any_), 404, "not_found")
    for labels in ({" ": ["x"]}, {"a": [" "]}, {"a": ["x\n"], "b\0": ["y"]}, {"a": [], " a": []}):
        answer = ann.put(STUDY, json={"labels": labels}, headers=any_)
        assert answer.status_code == 422, labels


def test_readers_read_and_curators_write_and_that_is_recorded(
    people: dict[str, httpx.Client], library: Path
) -> None:
    ann, rob = people["ann"], people["rob"]
    seen = tag_of(rob.get(STUDY))
    problem(rob.put(STUDY, json={"labels": {}}, headers=seen), 403, "access_denied")
    problem(rob.post("labels", json={"lines": []}), 403, "access_denied")
    assert changes(library) == []
    ann.put(STUDY, json={"labels": {"finding": ["a secret"]}}, headers=seen)
    problem(ann.delete(STUDY, headers=seen), 412, "changed_meanwhile")
    done, late = changes(library)
    assert (done.actor, done.outcome, done.patients) == ("ann", Ending.SUCCESS, ("patient-0",))
    assert (done.subject["uid"], done.subject["route"]) == ("2.25.0", "/v1/studies/{uid}/labels")
    assert (late.actor, late.outcome, late.patients) == ("ann", Ending.FAILED, ("patient-0",))
    assert "secret" not in str(changes(library))


def test_of_many_who_change_the_same_exactly_one_is_first(library: Path) -> None:
    with Library.open(library) as opened:
        seen = labelling.sheet_of_study(opened, "2.25.0")
        ready, won, lost = threading.Barrier(6), list[str](), list[str]()

        def change(name: str) -> None:
            ready.wait()
            made_from, labels = Expected(frozenset({seen.tag})), {"by": [name]}
            try:
                labelling.put_labels(
                    opened, "2.25.0", labels, made_from, Author(name), of_item=False
                )
                won.append(name)
            except ChangedMeanwhileError as error:
                assert isinstance(error.current, labelling.LabelSheet)
                lost.append(error.current.labels["by"][0])

        threads = [threading.Thread(target=change, args=(f"p{n}",)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1 and set(lost) == set(won) and len(lost) == 5
        assert labelling.sheet_of_study(opened, "2.25.0").labels == {"by": (won[0],)}


# -- many -----------------------------------------------------------------------------------------


def test_many_labels_are_given_all_or_none(people: dict[str, httpx.Client], library: Path) -> None:
    ann = people["ann"]
    lines = [{"uid": f"item-{n}", "name": "finding", "value": "mass"} for n in range(ITEMS)]
    lines += [{"uid": "2.25.3", "name": "quality", "value": "good"}]
    strange = [*lines[:2], {"uid": "item-99", "name": "a", "value": "b"}, *lines[2:]]
    told = problem(ann.post("labels", json={"lines": strange}), 422, "unknown_lines")
    assert told["lines"] == [2]
    assert ann.get("labels").json() == []
    assert ann.post("labels", json={"lines": lines}).json() == {"changed": 9, "unchanged": 0}
    again = ann.post("labels", json={"lines": lines[:3]})
    assert again.json() == {"changed": 0, "unchanged": 3}
    taken = ann.post("labels", json={"lines": [lines[0], lines[0]], "remove": True})
    assert taken.json()["changed"] == 1
    assert ann.get("labels").json() == [
        {"name": "finding", "count": 7, "values": {"mass": 7}, "others": 0},
        {"name": "quality", "count": 1, "values": {"good": 1}, "others": 0},
    ]
    assert [row["name"] for row in ann.get("labels?name=quality").json()] == ["quality"]
    assert changes(library)[1].patients == tuple(f"patient-{n}" for n in range(4))


def test_more_lines_than_one_change_may_have_are_refused(people: dict[str, httpx.Client]) -> None:
    line = {"uid": "item-0", "name": "n", "value": "v"}
    lines = [line] * (labelling.MOST + 1)
    assert people["ann"].post("labels", json={"lines": lines}).status_code == 422


def test_of_a_name_with_many_values_the_most_frequent_are_listed(library: Path) -> None:
    with Library.open(library) as opened:
        line = labelling.LabelLine
        lines = [line("item-0", "number", f"{n:03}") for n in range(150)]
        labelling.change_labels(
            opened, [*lines, line("item-1", "number", "149")], Author("somebody")
        )
        (found,) = labelling.label_names(opened)
    assert (found.count, found.others, len(found.values)) == (151, 50, 100)
    assert next(iter(found.values.items())) == ("149", 2)


NAMES = st.sampled_from(["finding", "quality", "tag"])
VALUES = st.sampled_from(["a", "b", "c"])
SHEETS = st.dictionaries(NAMES, st.lists(VALUES, max_size=3), max_size=3)
LINES = st.lists(st.tuples(st.integers(0, 2), NAMES, VALUES), max_size=5)


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(row=st.lists(st.one_of(SHEETS, st.tuples(st.booleans(), LINES)), min_size=1, max_size=6))
def test_any_row_of_changes_leaves_what_a_plain_set_would_have(
    made: Path, tmp_path_factory: pytest.TempPathFactory, row: list[object]
) -> None:
    path = shutil.copytree(made, tmp_path_factory.mktemp("plain") / "library")
    model: set[tuple[str, str, str]] = set()
    with Library.open(path) as library:
        for change in row:
            if isinstance(change, dict):
                labelling.put_labels(
                    library, "item-0", change, Expected(anything=True), Author("a"), of_item=True
                )
                model = {each for each in model if each[0] != "item-0"}
                model |= {("item-0", n, v) for n, values in change.items() for v in values}
            else:
                remove, lines = change  # type: ignore[misc]
                said = {(f"item-{n}", name, value) for n, name, value in lines}
                labels = [labelling.LabelLine(*each) for each in said]
                done = labelling.change_labels(library, labels, Author("a"), remove=remove)
                assert done.changed == len(said & model if remove else said - model)
                model = model - said if remove else model | said
        found = {
            (uid, name, value)
            for uid in ("item-0", "item-1", "item-2")
            for name, values in labelling.sheet_of_item(library, uid).labels.items()
            for value in values
        }
    assert found == model


# -- tags -----------------------------------------------------------------------------------------


def test_items_are_tagged_by_id_by_filter_and_by_cluster(
    people: dict[str, httpx.Client],
) -> None:
    ann = people["ann"]
    tagged = ann.post("tags/pilot/items", json={"ids": ["item-0", "item-1", "item-2"]})
    assert tagged.json() == {"changed": 3, "unchanged": 0}
    by_filter = ann.post("tags/a%2Fb/items", json={"filter": "modality=CT"})
    assert by_filter.json() == {"changed": 4, "unchanged": 0}
    by_cluster = ann.post("tags/a%2Fb/items", json={"cluster": f"{RUN}:1"})
    assert by_cluster.json() == {"changed": 0, "unchanged": 4}, "they are the same items"
    gone = ann.post("tags/pilot/items", json={"ids": ["item-0", "item-7"], "remove": True})
    assert gone.json() == {"changed": 1, "unchanged": 1}
    assert ann.get("tags").json() == [{"name": "a/b", "count": 4}, {"name": "pilot", "count": 2}]
    rows = ann.get("items", params={"filter": "label:tag=pilot"}).json()["rows"]
    assert [row["id"] for row in rows] == ["item-1", "item-2"]
    strange = problem(ann.post("tags/x/items", json={"ids": ["item-1", "2.25.0"]}), 422,
                      "unknown_lines")  # fmt: skip
    assert strange["lines"] == [1], "a study is no item"


@pytest.mark.parametrize(
    "which",
    [{}, {"filter": " "}, {"ids": [], "filter": "age>1"}, {"cluster": "none"}, {"filter": "age>"}],
)
def test_items_to_tag_are_said_in_exactly_one_way(
    people: dict[str, httpx.Client], which: dict[str, object]
) -> None:
    assert people["ann"].post("tags/pilot/items", json=which).status_code == 422
    assert people["ann"].get("tags").json() == []


def test_items_of_a_clustering_that_is_none_are_not_tagged(people: dict[str, httpx.Client]) -> None:
    asked = {"cluster": "none:0"}
    problem(people["ann"].post("tags/pilot/items", json=asked), 404, "unknown_name")


# -- beside a writer ------------------------------------------------------------------------------


def test_labels_are_given_while_a_process_indexes(library: Path, tmp_path: Path) -> None:
    files = tmp_path / "pictures"
    files.mkdir()
    for number in range(120):
        values = np.random.default_rng(number).integers(0, 255, (200, 200), np.uint8)
        Image.fromarray(values).save(files / f"{number:03}.png")
    limits, lock = Settings(library=library), library / "writer.lock"
    with serving(limits, create_app(limits)) as client:
        indexing = subprocess.Popen(
            [sys.executable, "-m", "api.cli.main", "index", str(files), "-L", str(library),
             "--workers", "1"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ},
        )  # fmt: skip
        given, beside = 0, 0
        try:
            while indexing.poll() is None or not given:
                seen = client.get(f"/v1/{ITEM}")
                labels = {"count": [str(given)]}
                answer = client.put(f"/v1/{ITEM}", json={"labels": labels}, headers=tag_of(seen))
                assert answer.status_code == 200, answer.text
                given += 1
                # The writer puts its number into the file of its lock.
                beside += bool(lock.is_file() and lock.read_text())
                time.sleep(0.05)
        finally:
            indexing.wait(60)
        assert indexing.returncode == 0
        assert beside > 3, "while the other process held the writer's lock"
        assert client.get(f"/v1/{ITEM}").json()["labels"] == {"count": [str(given - 1)]}
        about = client.get("/v1/library").json()
    assert about["items"]["image"] == 120 + ITEMS
