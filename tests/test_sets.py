"""Saved sets over HTTP and as a command: fixed items, filters, searches; several people at once."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from people import ITEMS, NEW, RUN, changes, make_library, people_at, problem, tag_of
from typer.testing import CliRunner

from api.cli.main import app
from api.service.curating import sets
from api.service.curating.choosing import Choice
from api.service.curating.editing import Author, Expected
from api.service.curating.sets import SetChange, SetRequest
from api.service.paging import Paging
from indexer.errors import ChangedMeanwhileError, QueryError
from indexer.library import Library

ANY = Expected(anything=True)


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


def items_of(client: httpx.Client, name: str, limit: int = 3) -> list[str]:
    rows, cursor = [], ""
    while True:
        page = client.get(f"sets/{name}/items", params={"limit": limit, "cursor": cursor}).json()
        rows += [row["id"] for row in page["rows"]]
        cursor = page["cursor"]
        if not cursor:
            return rows


def test_a_set_is_made_changed_read_page_by_page_and_deleted(
    people: dict[str, httpx.Client],
) -> None:
    ann, bea, rob = people["ann"], people["bea"], people["rob"]
    asked = {"note": "by two", "items": {"cluster": f"{RUN}:1"}}
    new = ann.put("sets/pilot", json=asked, headers=NEW)
    told = new.json()
    assert (told["kind"], told["items"], told["note"]) == ("items", 4, "by two")
    assert (told["made_by"], told["changed_by"]) == ("ann", "ann")
    assert new.headers["ETag"] == f'"{told["version"]}"'
    assert items_of(rob, "pilot") == ["item-1", "item-3", "item-5", "item-7"]
    change = {"add": {"ids": ["item-0", "item-1"]}, "remove": {"filter": "age>=55"}}
    changed = bea.patch("sets/pilot", json=change, headers=tag_of(new)).json()
    assert (changed["items"], changed["made_by"], changed["changed_by"]) == (3, "ann", "bea")
    assert items_of(rob, "pilot") == ["item-0", "item-1", "item-3"]
    assert [each["name"] for each in rob.get("sets").json()] == ["pilot"]
    passing = rob.get("sets/pilot/items", params={"filter": "modality=CR", "sort": "-age"})
    assert [row["id"] for row in passing.json()["rows"]] == ["item-0"]
    gone = ann.delete("sets/pilot", headers=tag_of(rob.get("sets/pilot")))
    assert gone.status_code == 204
    problem(rob.get("sets/pilot"), 404, "not_found")
    assert rob.get("items/item-0").is_success, "its items stay"


def test_a_set_can_be_a_question(people: dict[str, httpx.Client]) -> None:
    ann = people["ann"]
    by_filter = ann.put("sets/old", json={"filter": "age>=55"}, headers=NEW)
    assert (by_filter.json()["kind"], by_filter.json()["items"]) == ("filter", None)
    assert items_of(ann, "old", limit=2) == ["item-5", "item-6", "item-7"]
    search = {"examples": [{"uid": "item-0"}], "k": 2}
    by_search = ann.put("sets/like", json={"search": search}, headers=NEW).json()
    assert by_search["query"] == search
    assert ann.post("search", json=by_search["query"]).json()["hits"][0]["id"] == "item-2"
    assert ann.get("sets/like/items").status_code == 422
    more = {"add": {"ids": ["item-0"]}}
    assert ann.patch("sets/old", json=more, headers=tag_of(by_filter)).status_code == 422
    again = ann.patch("sets/old", json={"note": "over 55"}, headers=tag_of(by_filter))
    assert again.json()["note"] == "over 55"


@pytest.mark.parametrize(
    "asked",
    [{}, {"filter": "age>=", "note": ""}, {"items": {"ids": []}, "filter": "age>1"},
     {"items": {"ids": ["item-0", "item-99"]}}, {"search": {"k": 0}}],
)  # fmt: skip
def test_what_is_no_set_is_refused(
    people: dict[str, httpx.Client], asked: dict[str, object]
) -> None:
    assert people["ann"].put("sets/x", json=asked, headers=NEW).status_code == 422
    assert people["ann"].get("sets").json() == []


def test_nobody_writes_over_what_they_did_not_see(
    people: dict[str, httpx.Client], library: Path
) -> None:
    ann, bea, rob = people["ann"], people["bea"], people["rob"]
    asked = {"items": {"ids": ["item-0"]}}
    problem(ann.put("sets/s", json=asked), 428, "precondition_required")
    problem(ann.put("sets/s", json=asked, headers={"If-Match": "*"}), 412, "changed_meanwhile")
    problem(rob.put("sets/s", json=asked, headers=NEW), 403, "access_denied")
    first = ann.put("sets/s", json=asked, headers=NEW)
    told = problem(bea.put("sets/s", json=asked, headers=NEW), 412, "changed_meanwhile")
    assert told["current"] == first.json()
    added = ann.patch("sets/s", json={"add": {"ids": ["item-1"]}}, headers=tag_of(first))
    late = bea.patch("sets/s", json={"remove": {"ids": ["item-0"]}}, headers=tag_of(first))
    told = problem(late, 412, "changed_meanwhile")
    assert (told["current"], told["etag"]) == (added.json(), added.headers["ETag"])
    problem(bea.delete("sets/s"), 428, "precondition_required")
    problem(bea.delete("sets/s", headers=tag_of(first)), 412, "changed_meanwhile")
    # One of the same name that was made anew is another one.
    ann.delete("sets/s", headers=tag_of(added))
    ann.put("sets/s", json=asked, headers=NEW)
    problem(bea.delete("sets/s", headers=tag_of(first)), 412, "changed_meanwhile")
    done = [row for row in changes(library) if row.outcome == "success"]
    assert [row.patients for row in done] == [("patient-0",), ("patient-0",), (), ("patient-0",)]


def test_names_of_sets_can_be_an_address(people: dict[str, httpx.Client]) -> None:
    ann, asked = people["ann"], {"filter": "age>1"}
    assert ann.put("sets/Größe%20%3F%23", json=asked, headers=NEW).json()["name"] == "Größe ?#"
    assert ann.get("sets/Größe%20%3F%23").is_success
    for name in ("a%2Fb", "%2E%2E", "%20", "a%00b"):
        assert ann.put(f"sets/{name}", json=asked, headers=NEW).status_code in (404, 405, 422)
    assert len(ann.get("sets").json()) == 1


def test_of_many_who_make_a_set_exactly_one_does(library: Path) -> None:
    with Library.open(library) as opened:
        ready, won, lost = threading.Barrier(6), list[str](), list[str]()

        def make(name: str) -> None:
            ready.wait()
            try:
                sets.put_set(
                    opened, "s", SetRequest(name, Choice(["item-0"])), Expected(nothing=True),
                    Author(name),
                )  # fmt: skip
                won.append(name)
            except ChangedMeanwhileError:
                lost.append(name)

        threads = [threading.Thread(target=make, args=(f"p{n}",)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(won), len(lost)) == (1, 5)
        assert sets.saved_set(opened, "s").made_by == won[0]


IDS = st.lists(st.integers(0, ITEMS - 1), max_size=5, unique=True)


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(IDS, IDS), min_size=1, max_size=6))
def test_any_row_of_changes_leaves_what_a_plain_set_would_have(
    made: Path, tmp_path_factory: pytest.TempPathFactory, row: list[tuple[list[int], list[int]]]
) -> None:
    path = shutil.copytree(made, tmp_path_factory.mktemp("plain") / "library")
    model: set[int] = set()
    with Library.open(path) as opened:
        sets.put_set(opened, "s", SetRequest(items=Choice([])), Expected(nothing=True), Author("a"))
        for add, remove in row:
            change = SetChange(*(Choice([f"item-{n}" for n in each]) for each in (add, remove)))
            done = sets.change_set(opened, "s", change, ANY, Author("a"))
            model = (model | set(add)) - set(remove)
            assert done.items == len(model)
        page = sets.set_items(opened, "s", Paging())
    assert [hit.id for hit in page.rows] == [f"item-{n}" for n in sorted(model)]


# -- as a command ---------------------------------------------------------------------------------


@pytest.fixture
def kept(library: Path) -> Path:
    with Library.open(library) as opened:
        for name, request in (
            ("pilot", SetRequest("by two", Choice(["item-3", "item-1"]))),
            ("old", SetRequest(filter="age>=56")),
            ("like", SetRequest(search={"examples": [{"uid": "item-0"}]})),
        ):
            sets.put_set(opened, name, request, Expected(nothing=True), Author("ann"))
    return library


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["sets", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_sets_are_listed_shown_and_exported(kept: Path, tmp_path: Path) -> None:
    listed = json.loads(run("list", "--json", "-L", str(kept)))
    assert [each["name"] for each in listed["sets"]] == ["like", "old", "pilot"]
    assert "pilot" in run("list", "-L", str(kept))
    shown = json.loads(run("show", "pilot", "--json", "-L", str(kept)))
    assert (shown["items"], shown["note"], shown["made_by"]) == (2, "by two", "ann")
    for name, uids in (("pilot", ["item-1", "item-3"]), ("old", ["item-6", "item-7"])):
        assert f"{len(uids)} items" in run(
            "export", name, str(tmp_path / "ids.csv"), "-L", str(kept)
        )
        assert (tmp_path / "ids.csv").read_text().split() == ["uid", *uids]
    with Library.open(kept) as opened, pytest.raises(QueryError, match="is a search"):
        sets.export_set(opened, "like", tmp_path / "ids.csv")
    missing = CliRunner().invoke(app, ["sets", "show", "none", "-L", str(kept)])
    assert missing.exit_code != 0 and "there is no saved set 'none'" in missing.output
