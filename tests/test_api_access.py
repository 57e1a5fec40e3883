"""A service that asks who somebody is: keys, roles, what is recorded, how often one may ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from served_library import own_copy, serving
from typer.testing import CliRunner

from api.app import create_app
from api.cli.main import app
from api.rights import Role
from api.service.access import keys
from indexer.catalog.audit import Action, AuditRow, Ending, rows_since, verify_chain
from indexer.catalog.database import reading
from indexer.config import Settings
from indexer.library import Library


@pytest.fixture
def library(served: Path, tmp_path: Path) -> Path:
    return own_copy(served, tmp_path)


@pytest.fixture
def client(library: Path) -> Iterator[httpx.Client]:
    settings = Settings(library=library)
    with serving(settings, create_app(settings, None)) as client:
        yield client


def key(library: Path, name: str = "viewer", **said: object) -> dict[str, str]:
    """The headers of somebody with a new key."""
    with Library.open(library) as opened:
        made = keys.create(opened, keys.KeyRequest(name, **said), actor="test")  # type: ignore[arg-type]
    return {"Authorization": f"Bearer {made.token}"}


def recorded(library: Path) -> list[AuditRow]:
    with Library.open(library) as opened, reading(opened.engine) as db:
        assert not verify_chain(db).findings
        return [row for row in rows_since(db) if row.origin]


def test_a_key_lets_in_and_what_it_asked_is_recorded(library: Path, client: httpx.Client) -> None:
    headers = key(library)
    listed = client.get("/v1/studies", params={"limit": 3}, headers=headers)
    studies = listed.json()["rows"]
    uid = studies[0]["study_instance_uid"]
    assert client.get(f"/v1/studies/{uid}", headers=headers).status_code == 200
    found = client.post("/v1/search", json={"examples": [{"uid": uid}], "k": 2}, headers=headers)
    assert found.status_code == 200, found.text
    rows = recorded(library)
    assert [row.action for row in rows] == [Action.QUERY, Action.VIEW, Action.QUERY]
    assert {(row.actor, row.outcome, row.origin) for row in rows} == {
        ("viewer", Ending.SUCCESS, "127.0.0.1")
    }
    assert len(rows[0].patients) >= 2, "everyone whose study was listed"
    assert len(rows[1].patients) == 1 and rows[1].subject["uid"] == uid
    assert rows[2].patients, "everyone whose study was found"
    assert rows[2].subject["route"] == "/v1/search"
    assert rows[1].request_id and "Bearer" not in str(rows)


@pytest.mark.parametrize(
    "authorization",
    [None, "Bearer syn_000000000000_" + "A" * 43, "Bearer abc.def.ghi", "Basic dXNlcjpwYXNz"],
)
def test_nobody_else_is_let_in_and_that_is_recorded_too(
    library: Path, client: httpx.Client, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    refused = client.get("/v1/studies", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (401, "not_authenticated")
    (row,) = recorded(library)
    assert (row.action, row.outcome, row.actor) == (Action.REFUSE, Ending.REFUSED, "not known")
    assert authorization is None or authorization.split()[1] not in str(row)


def test_a_key_of_another_library_a_revoked_and_an_expired_one_open_nothing(
    library: Path, client: httpx.Client
) -> None:
    elsewhere = key(library, libraries=("another",))
    refused = client.get("/v1/studies", headers=elsewhere)
    assert (refused.status_code, refused.json()["code"]) == (403, "access_denied")
    mine = key(library, "second")
    assert client.get("/v1/library", headers=mine).status_code == 200
    with Library.open(library) as opened:
        prefix = mine["Authorization"].split("_")[1]
        keys.revoke(opened, prefix, actor="test")
    assert client.get("/v1/library", headers=mine).status_code == 401


def test_how_it_is_is_told_to_everybody_and_recorded_by_nobody(
    library: Path, client: httpx.Client
) -> None:
    for route in ("version", "health", "ready"):
        assert client.get(f"/v1/{route}").status_code == 200
    assert recorded(library) == []


def test_what_fails_is_recorded_as_failed(library: Path, client: httpx.Client) -> None:
    headers = key(library)
    assert client.get("/v1/studies/1.2.3.4.5", headers=headers).status_code == 404
    (row,) = recorded(library)
    assert (row.action, row.outcome, row.patients) == (Action.VIEW, Ending.FAILED, ())


def test_one_key_that_asks_too_often_waits_and_another_does_not(library: Path) -> None:
    settings = Settings(library=library, serve_rate=0.5, serve_burst=3)
    eager, calm = key(library, "eager"), key(library, "calm", role=Role.ADMIN)
    with serving(settings, create_app(settings, None)) as client:
        codes = [client.get("/v1/spaces", headers=eager).status_code for _ in range(5)]
        assert codes[:3] == [200] * 3 and codes[4] == 429
        late = client.get("/v1/spaces", headers=eager)
        assert int(late.headers["retry-after"]) >= 1
        assert client.get("/v1/spaces", headers=calm).status_code == 200


def test_strangers_who_hammer_are_not_even_looked_at(library: Path, client: httpx.Client) -> None:
    codes = [client.get("/v1/spaces").status_code for _ in range(40)]
    assert codes[0] == 401 and codes[-1] == 429
    assert len(recorded(library)) < 40


def test_beyond_this_machine_keys_are_asked_for_unless_someone_insists(library: Path) -> None:
    words = ["serve", "-L", str(library), "--host", "192.0.2.1", "--port", "0"]
    refused = CliRunner().invoke(app, [*words, "--no-auth"])
    assert refused.exit_code == 2 and "--insecure insists" in " ".join(refused.stderr.split())
    # That address is of no machine, so that it ends right after what is looked at here.
    insisted = CliRunner().invoke(app, [*words, "--no-auth", "--insecure"])
    assert "INSECURE" in insisted.stderr and "cannot listen" in insisted.stderr
    assert "INSECURE" not in CliRunner().invoke(app, words).stderr
