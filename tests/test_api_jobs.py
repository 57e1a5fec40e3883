"""Jobs over HTTP: asked for, followed, cancelled, read; and what a client can do wrong."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from served_library import RUN, all_rows, get, own_copy, serving

from api.app import create_app
from api.jobs.kinds import KINDS
from api.jobs.worker import work
from api.rights import Role
from api.service.access import keys
from indexer.catalog.audit import Action, AuditRow, Ending, rows_since
from indexer.catalog.database import reading, transaction
from indexer.config import Settings
from indexer.groups.asked_jobs import end_job, take_job, tell_progress
from indexer.library import Library


@pytest.fixture
def library(served: Path, tmp_path: Path) -> Path:
    return own_copy(served, tmp_path)


@pytest.fixture
def client(library: Path) -> Iterator[httpx.Client]:
    with serving(Settings(library=library, jobs_streams=3, jobs_waiting=4)) as client:
        yield client


def do_all(library: Path) -> None:
    work(Settings(library=library), once=True)


def ask(client: httpx.Client, kind: str, **parameters: Any) -> dict[str, Any]:
    answer = client.post("/v1/jobs", json={"kind": kind, "parameters": parameters})
    assert answer.status_code == 202, answer.text
    told: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{told['id']}"
    return told


# -- the way of a job ------------------------------------------------------------------------------


def test_a_clustering_is_asked_for_made_and_read(client: httpx.Client, library: Path) -> None:
    job = ask(client, "cluster", name="by http", method="kmeans", n_clusters=2)
    assert (job["state"], job["asked_by"]) == ("queued", "anyone on loopback")
    do_all(library)
    after = get(client, f"jobs/{job['id']}")
    assert (after["state"], after["result"]["clusters"]) == ("done", 2)
    assert [run["name"] for run in get(client, "clusters")] == [RUN, "by http"]
    assert get(client, f"jobs/{job['id']}/result") == {"rows": [], "cursor": ""}


def test_rows_are_read_page_by_page(client: httpx.Client, library: Path) -> None:
    job = ask(client, "curate-outliers", count=9)
    early = client.get(f"/v1/jobs/{job['id']}/result")
    assert (early.status_code, early.json()["code"]) == (409, "job_not_done")
    do_all(library)
    path = f"jobs/{job['id']}/result"
    rows = all_rows(client, path, limit=2)
    assert [row["rank"] for row in rows] == list(range(1, 10))
    assert rows == get(client, path)["rows"]
    for cursor in ("1", "x", "99999999"):
        assert client.get(f"/v1/{path}", params={"cursor": cursor}).status_code == 422


def test_jobs_are_listed_the_newest_first(client: httpx.Client) -> None:
    made = [ask(client, kind)["id"] for kind in ("map", "curate-subset", "map")]
    assert [row["id"] for row in all_rows(client, "jobs", limit=2)] == made[::-1]
    assert [row["id"] for row in all_rows(client, "jobs", kind="map")] == [made[2], made[0]]
    cancelled = client.post(f"/v1/jobs/{made[0]}/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (202, "stopped")
    assert [row["id"] for row in all_rows(client, "jobs", state="stopped")] == made[:1]
    for wrong in ({"state": "lost"}, {"kind": "none"}, {"cursor": "none"}):
        assert client.get("/v1/jobs", params=wrong).status_code == 422


def test_kinds_are_told_with_the_schema_of_their_parameters(client: httpx.Client) -> None:
    kinds = {kind["name"]: kind for kind in get(client, "jobs/kinds")}
    assert set(kinds) == set(KINDS)
    assert kinds["reindex"]["role"] == "operator"
    assert kinds["cluster"]["parameters"]["required"] == ["name"]


# -- what cannot be asked for ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "where"),
    [
        ({"kind": "cluster", "parameters": {"method": "kmeans"}}, "body.parameters.name"),
        ({"kind": "cluster", "parameters": {"name": "x", "k": 1}}, "body.parameters.k"),
        ({"kind": "map", "parameters": {"filter": "age>=old"}}, "body.parameters.filter"),
        ({"kind": 5}, "body.kind"),
        ({"kind": "map", "priority": 1}, "body.priority"),
    ],
)
def test_a_wrong_field_is_named(client: httpx.Client, asked: object, where: str) -> None:
    answer = client.post("/v1/jobs", json=asked)
    assert answer.status_code == 422
    assert [error["where"] for error in answer.json()["errors"]] == [where]


def test_what_cannot_be_done_is_said_at_once(client: httpx.Client, library: Path) -> None:
    for kind, parameters in (
        ("nothing", {}),
        ("cluster", {"name": RUN}),
        ("index", {"paths": ["/etc"]}),
        ("reindex", {"store": "qdrant://127.0.0.1:1"}),
    ):
        answer = client.post("/v1/jobs", json={"kind": kind, "parameters": parameters})
        assert (answer.status_code, answer.json()["code"]) == (422, "config")
        assert str(library) not in answer.text
    assert client.get("/v1/jobs/nothing").status_code == 404
    assert client.post("/v1/jobs/nothing/cancel").status_code == 404


def test_a_request_that_is_sent_again_makes_no_second_job(client: httpx.Client) -> None:
    headers, asked = {"Idempotency-Key": "abc"}, {"kind": "map", "parameters": {"seed": 1}}
    first = client.post("/v1/jobs", json=asked, headers=headers)
    again = client.post("/v1/jobs", json=asked, headers=headers)
    assert first.status_code == again.status_code == 202
    assert first.json()["id"] == again.json()["id"]
    other = client.post("/v1/jobs", json={"kind": "map"}, headers=headers)
    assert other.status_code == 422
    assert len(get(client, "jobs")["rows"]) == 1


def test_nobody_fills_the_queue_alone(client: httpx.Client) -> None:
    for _ in range(4):
        ask(client, "map")
    answer = client.post("/v1/jobs", json={"kind": "map"})
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_jobs")


# -- following -------------------------------------------------------------------------------------


def events(lines: Iterator[str]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Ids, names and data of events."""
    said: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if line and name:
            said[name] = value
        elif "data" in said:
            yield said["id"], said["event"], json.loads(said["data"])
            said = {}


def test_a_job_is_followed_until_it_has_ended(client: httpx.Client, library: Path) -> None:
    job = ask(client, "map")
    path = f"/v1/jobs/{job['id']}/events"
    with client.stream("GET", path) as answer, Library.open(library) as opened:
        assert answer.headers["content-type"].startswith("text/event-stream")
        told = events(answer.iter_lines())
        assert next(told)[2]["state"] == "queued"
        with transaction(opened.engine) as db:
            taken = take_job(db, worker=7)
        assert taken is not None
        assert next(told)[2]["state"] == "running"
        with transaction(opened.engine) as db:
            tell_progress(db, taken, "drawing", 3, 10)
        number, name, data = next(told)
        assert (name, data["what"], data["done"], data["total"]) == ("progress", "drawing", 3, 10)
        with transaction(opened.engine) as db:
            end_job(db, taken, "done", result={"points": 10})
        last, name, data = next(told)
        assert (name, data["state"], data["result"]) == ("end", "done", {"points": 10})
        assert next(told, None) is None
    with client.stream("GET", path, headers={"Last-Event-ID": number}) as answer:
        assert [event[1] for event in events(answer.iter_lines())] == ["end"]
    assert client.get(path, headers={"Last-Event-ID": last}).status_code == 204


def test_many_may_follow_while_few_requests_are_taken(library: Path) -> None:
    settings = Settings(library=library, serve_waiting=2, serve_threads=1, jobs_streams=3)
    with serving(settings) as client:
        path = f"/v1/jobs/{ask(client, 'map')['id']}/events"
        with (
            client.stream("GET", path) as one,
            client.stream("GET", path) as two,
            client.stream("GET", path) as three,
        ):
            streams = [events(each.iter_lines()) for each in (one, two, three)]
            assert [next(each)[1] for each in streams] == ["progress"] * 3
            assert get(client, "library")["studies"] == 120
            full = client.get(path)
            assert full.status_code == 429 and "Retry-After" in full.headers
        time.sleep(0.2)
        with client.stream("GET", path) as again:
            assert next(events(again.iter_lines()))[1] == "progress"


def test_streams_end_with_the_service(library: Path) -> None:
    ends: list[float] = []

    def follow(address: str, path: str, begun: threading.Event) -> None:
        with httpx.stream("GET", f"{address}{path}", timeout=60) as answer:
            for _ in answer.iter_lines():
                begun.set()
        ends.append(time.monotonic())

    begun = threading.Event()
    with serving(Settings(library=library)) as client:
        path = f"/v1/jobs/{ask(client, 'map')['id']}/events"
        asked = (str(client.base_url), path, begun)
        thread = threading.Thread(target=follow, args=asked)
        thread.start()
        assert begun.wait(30)
    thread.join(30)
    assert len(ends) == 1, "the service ended, and its streams with it"


# -- who may, and what is recorded -----------------------------------------------------------------


def key(library: Path, name: str, role: Role) -> dict[str, str]:
    with Library.open(library) as opened:
        made = keys.create(opened, keys.KeyRequest(name, role), actor="test")
    return {"Authorization": f"Bearer {made.token}"}


def recorded(library: Path) -> list[AuditRow]:
    with Library.open(library) as opened, reading(opened.engine) as db:
        return [row for row in rows_since(db) if row.origin]


def test_a_job_takes_the_role_of_its_kind_and_is_recorded(library: Path) -> None:
    settings = Settings(library=library)
    with serving(settings, create_app(settings, None)) as client:
        reader, curator = key(library, "r", Role.READER), key(library, "c", Role.CURATOR)
        other, operator = key(library, "d", Role.CURATOR), key(library, "o", Role.OPERATOR)
        wanted: dict[str, Any] = {"kind": "curate-outliers", "parameters": {"count": 2}}
        reindex = {"kind": "reindex"}
        assert client.get("/v1/jobs", headers=reader).status_code == 403
        assert client.post("/v1/jobs", json=reindex, headers=curator).status_code == 403
        made = client.post("/v1/jobs", json=wanted, headers=curator).json()
        cancel = f"/v1/jobs/{made['id']}/cancel"
        assert client.post(cancel, headers=other).status_code == 403
        do_all(library)
        rows = client.get(f"/v1/jobs/{made['id']}/result", headers=other).json()["rows"]
        waits = client.post("/v1/jobs", json=reindex, headers=operator).json()["id"]
        assert client.post(f"/v1/jobs/{waits}/cancel", headers=operator).status_code == 202
    told = recorded(library)
    assert [(row.actor, row.action, row.outcome) for row in told] == [
        ("r", Action.REFUSE, Ending.REFUSED),
        ("c", Action.REFUSE, Ending.REFUSED),
        ("c", Action.CHANGE, Ending.SUCCESS),
        ("d", Action.REFUSE, Ending.REFUSED),
        ("d", Action.VIEW, Ending.SUCCESS),
        ("o", Action.CHANGE, Ending.SUCCESS),
        ("o", Action.CHANGE, Ending.SUCCESS),
    ]
    assert told[2].subject["job"] == made["id"] and told[2].subject["kind"] == "curate-outliers"
    studies = {row["study_instance_uid"] for row in rows}
    assert 1 <= len(told[4].patients) <= len(studies), "whose studies were told"


def test_jobs_of_a_kind_are_open_to_its_role_and_to_who_asked(library: Path) -> None:
    files = library.parent / "in"
    files.mkdir()
    settings = Settings(library=library, index_roots=str(files))
    with serving(settings, create_app(settings, None)) as client:
        curator, operator = key(library, "c", Role.CURATOR), key(library, "o", Role.OPERATOR)
        index = {"kind": "index", "parameters": {"paths": [str(files)]}}
        hidden = client.post("/v1/jobs", json=index, headers=operator).json()
        shown = client.post("/v1/jobs", json={"kind": "map"}, headers=operator).json()["id"]
        assert hidden["parameters"]["paths"] == [str(files)]
        for path in ("", "/result", "/events"):
            answer = client.get(f"/v1/jobs/{hidden['id']}{path}", headers=curator)
            assert (answer.status_code, answer.json()["code"]) == (403, "access_denied")
            assert str(files) not in answer.text
        assert client.get(f"/v1/jobs/{shown}", headers=curator).status_code == 200
        told = client.get("/v1/jobs", headers=curator).json()["rows"]
        assert [job["id"] for job in told] == [shown]
        assert client.get("/v1/jobs?kind=index", headers=curator).json()["rows"] == []
        told = client.get("/v1/jobs", headers=operator).json()["rows"]
        assert [job["id"] for job in told] == [shown, hidden["id"]]
    refused = [row for row in recorded(library) if row.outcome is Ending.REFUSED]
    assert [row.actor for row in refused] == ["c"] * 3
