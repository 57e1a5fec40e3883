"""Looking after a library over HTTP: how it does, what was refused, keys, the audit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from served_library import all_rows, get, own_copy, serving

from api.app import create_app
from api.jobs.worker import work
from api.rights import Role
from api.service.access import audit, keys
from api.service.ingest import IndexRequest, index
from indexer.config import Settings
from indexer.library import Library


@pytest.fixture
def library(served: Path, tmp_path: Path) -> Path:
    return own_copy(served, tmp_path)


@pytest.fixture
def client(library: Path) -> Iterator[httpx.Client]:
    """As an administrator with a key."""
    with guarded(library) as client:
        client.headers["Authorization"] = f"Bearer {key(library, Role.ADMIN)}"
        yield client


def guarded(library: Path, **said: Any) -> Any:
    settings = Settings(library=library, **said)
    return serving(settings, create_app(settings, None))


def key(library: Path, role: Role, *libraries: str) -> str:
    with Library.open(library) as opened:
        request = keys.KeyRequest(f"the {role}", role, 1, libraries)
        return keys.create(opened, request, actor="test").token


def audited(library: Path, **wanted: str) -> list[audit.AuditLine]:
    with Library.open(library) as opened:
        return audit.page(opened, audit.Wanted(**wanted)).rows  # type: ignore[arg-type] # texts


def hand_in(library: Path, folder: Path, count: int) -> None:
    folder.mkdir()
    for number in range(count):
        (folder / f"{number}.dcm").write_bytes(bytes(128) + b"DICM" + b"\xff" * (9 + number))
    with Library.open(library) as opened:
        index(opened, IndexRequest([folder]), Settings(library=library, workers=1))


def test_the_state_says_what_changes_and_is_no_row_of_the_audit(
    client: httpx.Client, library: Path
) -> None:
    before = len(audited(library))
    state = get(client, "library/state")
    assert state["rows"]["studies"] == 120 and state["waiting"] == 0
    assert len(audited(library)) == before
    assert get(client, "library")["storage"]["catalog"] > 0


def test_what_was_refused_is_told_page_by_page_with_its_reason(
    client: httpx.Client, library: Path, tmp_path: Path
) -> None:
    hand_in(library, tmp_path / "bad", 5)
    rows = all_rows(client, "rejected", limit=2)
    sources = [Path(row["source"]).name for row in rows]
    assert sorted(sources) == [f"{number}.dcm" for number in range(5)]
    reason = rows[0]["reason"]
    assert len(all_rows(client, "rejected", reason=reason)) == sum(
        row["reason"] == reason for row in rows
    )
    newest = get(client, "library/runs", limit=1)["rows"][0]
    assert newest["outcomes"]["rejected"] == 5 and newest["ended_at"] >= newest["started_at"]
    for wrong in ({"reason": "bad"}, {"cursor": "bad"}):
        assert client.get("/v1/rejected", params=wrong).status_code == 422


def test_paths_are_told_to_operators_alone(library: Path) -> None:
    with guarded(library, index_roots="/srv/in:/srv/out") as client:
        curator = {"Authorization": f"Bearer {key(library, Role.CURATOR)}"}
        operator = {"Authorization": f"Bearer {key(library, Role.OPERATOR)}"}
        for path in ("/v1/rejected", "/v1/library/sources"):
            assert client.get(path, headers=curator).status_code == 403
            assert client.get(path, headers=operator).status_code == 200
        told = client.get("/v1/library/sources", headers=operator).json()
        assert told == {"roots": ["/srv/in", "/srv/out"], "receives": False}


def test_a_key_is_told_once_and_its_row_of_the_audit_is_that_of_the_request(
    client: httpx.Client, library: Path
) -> None:
    answer = client.post("/v1/keys", json={"name": "viewer", "role": "reader", "days": 30})
    made = answer.json()
    assert answer.status_code == 201 and answer.headers["cache-control"] == "no-store"
    token, prefix = made["token"], made["key"]["prefix"]
    assert token not in client.get("/v1/keys").text
    (row,) = [row for row in audited(library, action="keys") if row.actor == "the admin"]
    assert (row.subject["what"], row.subject["prefix"]) == ("create", prefix)
    assert row.request_id == answer.headers["x-request-id"] and row.origin
    theirs = {"Authorization": f"Bearer {token}"}
    assert client.get("/v1/studies", headers=theirs).status_code == 200
    assert client.delete(f"/v1/keys/{prefix}").json()["state"] == "revoked"
    assert client.get("/v1/studies", headers=theirs).status_code == 401
    assert client.delete(f"/v1/keys/{prefix}").status_code == 404
    assert prefix not in {each["prefix"] for each in get(client, "keys")}


def test_nobody_makes_a_key_that_may_do_more_than_they_may(
    client: httpx.Client, library: Path
) -> None:
    for beyond in (["*"], ["another"]):
        asked = {"name": "more", "role": "admin", "libraries": beyond}
        refused = client.post("/v1/keys", json=asked)
        assert (refused.status_code, refused.json()["code"]) == (403, "access_denied")
    everywhere = {"Authorization": f"Bearer {key(library, Role.ADMIN, '*')}"}
    asked = {"name": "more", "libraries": ["another"]}
    assert client.post("/v1/keys", json=asked, headers=everywhere).status_code == 201
    assert [row.action for row in audited(library, outcome="refused")] == ["refuse", "refuse"]


def test_the_audit_is_read_newest_first_and_by_who_what_and_how(client: httpx.Client) -> None:
    client.get("/v1/studies")
    client.post("/v1/keys", json={"name": "viewer"})
    rows = all_rows(client, "audit", limit=2)
    numbers = [row["number"] for row in rows]
    # Reading it adds rows, which come before the first page and shift nothing.
    assert numbers == list(range(numbers[0], 0, -1)) and all(row["readable"] for row in rows)
    assert {row["action"] for row in all_rows(client, "audit", action="keys")} == {"keys"}
    assert all_rows(client, "audit", actor="nobody") == []
    assert all_rows(client, "audit", since="2999-01-01") == []
    for wrong in ({"action": "steal"}, {"outcome": "good"}, {"since": "soon"}, {"cursor": "x"}):
        assert client.get("/v1/audit", params=wrong).status_code == 422


def test_the_audit_is_given_away_as_a_file_that_tells_so_itself(client: httpx.Client) -> None:
    answer = client.get("/v1/audit/export")
    assert "audit.jsonl" in answer.headers["content-disposition"]
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [row["number"] for row in rows] == list(range(1, len(rows) + 1))
    assert (rows[-1]["action"], rows[-1]["subject"]["what"]) == ("audit", "export")
    assert "<EventIdentification" in client.get("/v1/audit/export?format=dicom").text


def test_the_chain_is_checked_by_a_job_of_which_administrators_alone_hear(
    client: httpx.Client, library: Path
) -> None:
    job = client.post("/v1/jobs", json={"kind": "audit-verify"}).json()
    work(Settings(library=library), once=True)
    done = get(client, f"jobs/{job['id']}")
    assert done["result"]["whole"] and done["result"]["checked"] >= 1
    operator = {"Authorization": f"Bearer {key(library, Role.OPERATOR)}"}
    assert client.get(f"/v1/jobs/{job['id']}", headers=operator).status_code == 403
    assert client.get("/v1/jobs", headers=operator).json()["rows"] == []
