"""Names that people give to clusters over HTTP; the name that was found stays beside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from people import RUN, changes, make_library, people_at, problem, tag_of
from typer.testing import CliRunner

from api.cli.main import app


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return make_library(tmp_path / "library")


@pytest.fixture
def people(library: Path) -> Iterator[dict[str, httpx.Client]]:
    with people_at(library) as clients:
        yield clients


def test_a_cluster_is_named_by_several_people(
    people: dict[str, httpx.Client], library: Path
) -> None:
    ann, bea, rob = people["ann"], people["bea"], people["rob"]
    which = {"run": RUN, "number": 1}
    seen = rob.get("clusters/name", params=which)
    assert seen.json() == {
        "run": RUN, "cluster": 1, "name": "sliced", "given_name": "", "called": "sliced",
    }  # fmt: skip

    def call(who: httpx.Client, name: str, headers: dict[str, str]) -> httpx.Response:
        return who.patch("clusters/name", params=which, json={"given_name": name}, headers=headers)

    problem(call(rob, "x", tag_of(seen)), 403, "access_denied")
    problem(call(ann, "x", {}), 428, "precondition_required")
    named = call(ann, " of CT ", tag_of(seen))
    told = (named.json()["name"], named.json()["given_name"], named.json()["called"])
    assert told == ("sliced", "of CT", "of CT")
    late = problem(call(bea, "tomograms", tag_of(seen)), 412, "changed_meanwhile")
    assert (late["current"], late["etag"]) == (named.json(), named.headers["ETag"])
    clusters = rob.get("clusters/run", params={"run": RUN}).json()["clusters"]
    assert [each["called"] for each in clusters] == ["plain", "of CT"]
    assert call(bea, "a\nb", tag_of(named)).status_code == 422
    assert call(bea, "", tag_of(named)).json()["called"] == "sliced"
    unknown = {"run": RUN, "number": 7}
    assert rob.get("clusters/name", params=unknown).status_code == 422
    done = [row for row in changes(library) if row.outcome == "success"]
    assert [(row.actor, row.subject["cluster"]) for row in done] == [("ann", 1), ("bea", 1)]


def test_the_command_gives_the_same_names(library: Path) -> None:
    run = CliRunner().invoke
    done = run(app, ["cluster", "rename", RUN, "0", "of CR", "-L", str(library)])
    assert done.exit_code == 0, done.output
    with people_at(library) as people:
        told = people["rob"].get("clusters/name", params={"run": RUN, "number": 0}).json()
    assert (told["name"], told["given_name"]) == ("plain", "of CR")
