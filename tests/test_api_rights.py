"""Each route under each role, from the list of all routes: what its rule says, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from served_library import own_copy, serving

from api.access import Rule
from api.app import create_app
from api.rights import Role
from api.routing import Route
from api.service.access import keys
from indexer.catalog.tables import now
from indexer.config import Settings
from indexer.library import Library

_APP = create_app(Settings())
_NO_RULE = {"/v1/openapi.json"}
"""The document itself, which tells nothing of any library."""
PAGE_FILES = {"/", "/assets/{name}"}
"""They are the same for all, and hold no data."""
SAFE = {"GET", "HEAD"}


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    least: Role | None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def operations() -> Iterator[Operation]:
    for context in iter_route_contexts(_APP.routes):
        route = context.original_route
        if not isinstance(route, Route):
            continue
        (rule,) = [d.dependency for d in route.dependencies if isinstance(d.dependency, Rule)]
        for method in sorted(route.methods - {"HEAD"}):
            yield Operation(method, route.path, rule.role)


OPERATIONS = list(operations())
GUARDED = [each for each in OPERATIONS if each.least is not None]


def test_every_route_is_one_that_asks_its_rule() -> None:
    for context in iter_route_contexts(_APP.routes):
        route = context.original_route
        assert isinstance(route, Route) or route.path in _NO_RULE, route


def test_the_list_is_that_of_the_document() -> None:
    listed = {
        (each.method, each.path.replace(":path", ""))
        for each in OPERATIONS
        if each.path not in PAGE_FILES
    }
    told = {(m.upper(), p) for p, ways in _APP.openapi()["paths"].items() for m in ways}
    assert told == listed
    assert {each.path for each in OPERATIONS if each.least is None} - PAGE_FILES == {
        "/v1/version", "/v1/health", "/v1/ready",
        "/v1/session", "/v1/session/start", "/v1/session/callback", "/similar",
    }, "a route that is open to all is so on purpose"  # fmt: skip


@dataclass
class Asker:
    """Somebody who asks: the role that they have here, how they say so, and what they get."""

    role: Role | None
    headers: Mapping[str, str] = field(default_factory=dict)
    refused: int = 401


@dataclass(frozen=True)
class Asked:
    """A service, and all who may ask it, by name."""

    url: httpx.URL
    people: Mapping[str, Asker]


@pytest.fixture(scope="module")
def asked(served: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    library = own_copy(served, tmp_path_factory.mktemp("rights"))
    settings = Settings(library=library, serve_rate=1e6, serve_burst=1e6)
    with serving(settings, create_app(settings, None)) as client:
        told = {"nobody": Asker(None), "forged": _bearer("syn_0123456789ab_" + "A" * 43)}
        told["expired"] = _bearer(_key(library, "expired", days_ago=2))
        told["of another library"] = _bearer(_key(library, "other", "another"), refused=403)
        told["forged cookie"] = Asker(None, {"Cookie": "syntopy=0123456789ab_" + "A" * 43})
        for role in Role:
            key = _key(library, role.value, role=role)
            told[f"{role.value} with a key"] = _bearer(key, role)
            if role is Role.MONITOR:  # it may see nothing of the page
                assert client.post("/v1/session", json={"key": key}, headers=PAGE).is_error
                continue
            signed = _signed_in(client, key)
            told[f"{role.value} signed in"] = Asker(role, signed | PAGE)
            told[f"{role.value} of a foreign page"] = Asker(role, signed | FOREIGN)
            told[f"{role.value} without the header"] = Asker(role, signed | ORIGIN)
        yield Asked(client.base_url, told)


ORIGIN = {"Sec-Fetch-Site": "same-origin"}
PAGE = {**ORIGIN, "X-Syntopy": "page"}
FOREIGN = {"Sec-Fetch-Site": "cross-site", "X-Syntopy": "page"}


def _bearer(token: str, role: Role | None = None, refused: int = 401) -> Asker:
    return Asker(role, {"Authorization": f"Bearer {token}"}, refused)


def _key(
    library: Path, name: str, *libraries: str, role: Role = Role.ADMIN, days_ago: int = 0
) -> str:
    with Library.open(library) as opened, pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "now", lambda: now() - timedelta(days=days_ago))
        request = keys.KeyRequest(name, role, days=1, libraries=libraries)
        return keys.create(opened, request, actor="test").token


def _signed_in(client: httpx.Client, key: str) -> dict[str, str]:
    answer = client.post("/v1/session", json={"key": key}, headers=PAGE)
    assert answer.status_code == 200, answer.text
    client.cookies.clear()
    return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}


@pytest.mark.parametrize("operation", GUARDED, ids=str)
def test_a_route_lets_in_whom_its_rule_says(asked: Asked, operation: Operation) -> None:
    for name, status in _answers(asked, operation).items():
        asker = asked.people[name]
        assert operation.least is not None
        if asker.role is None:
            assert status == asker.refused, name
        elif "page" in name or "without" in name:
            unsafe = operation.method not in SAFE
            assert (status == 403) == (unsafe or not asker.role.includes(operation.least)), name
        elif asker.role.includes(operation.least):
            assert status not in (401, 403), name
        else:
            assert status == 403, name


def _answers(asked: Asked, operation: Operation) -> dict[str, int]:
    """What each is answered, from an address of its own: those who are refused often wait."""
    address = re.sub(r"\{[^}]+\}", "1.2.3", operation.path)
    source = f"127.0.{1 + GUARDED.index(operation)}.1"
    transport = httpx.HTTPTransport(local_address=source)
    with httpx.Client(transport=transport, base_url=asked.url, timeout=30) as client:
        return {
            name: client.request(operation.method, address, headers=asker.headers).status_code
            for name, asker in asked.people.items()
        }
