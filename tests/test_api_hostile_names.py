"""Names that no person would give: each is kept as it is, or refused; nothing is half stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from served_library import own_copy, serving

from indexer.config import Settings

NAMES = [
    "",
    " ",
    ".",
    "..",
    "../../etc/passwd",
    "a/b",
    "a\\b",
    "a\0b",
    "a\nb",
    "\u202egnp.exe",
    "\ufeffbom",
    "\ud800",
    "é",
    "e\u0301",
    "';DROP TABLE label;--",
    "=cmd|' /C calc'!A0",
    "<script>alert(1)</script>",
    "%2e%2e%2f",
    "x" * 10_000,
    "💉" * 64,
]
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def client(served: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    library = own_copy(served, tmp_path_factory.mktemp("named"))
    with serving(Settings(library=library)) as client:
        yield client


@pytest.fixture(scope="module")
def item(client: httpx.Client) -> str:
    found: str = client.get("/v1/items", params={"limit": 1}).json()["rows"][0]["id"]
    return found


def sent(client: httpx.Client, method: str, address: str, asked: object, **headers: str) -> int:
    """The status of the answer, which is a problem document where it is none of success."""
    answer = client.request(method, address, content=json.dumps(asked), headers={**JSON, **headers})
    assert answer.status_code < 500, answer.text
    if answer.is_error:
        told = answer.json()
        assert told["status"] == answer.status_code and told["code"]
    return answer.status_code


def address_of(name: str) -> str:
    return quote(name.encode("utf-8", "surrogatepass"), safe="")


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_set_is_kept_under_its_name_or_refused(client: httpx.Client, name: str) -> None:
    address = f"/v1/sets/{address_of(name)}"
    before = client.get("/v1/sets").json()
    status = sent(client, "PUT", address, {"filter": "age>1"}, **{"If-None-Match": "*"})
    after = client.get("/v1/sets").json()
    if status < 300:
        (new,) = [each for each in after if each not in before]
        assert new["name"] == name
        assert client.get(address).json()["name"] == name
    else:
        assert after == before


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_tag_is_given_under_its_name_or_refused(
    client: httpx.Client, item: str, name: str
) -> None:
    before = {each["name"] for each in client.get("/v1/tags").json()}
    status = sent(client, "POST", f"/v1/tags/{address_of(name)}/items", {"ids": [item]})
    after = {each["name"] for each in client.get("/v1/tags").json()}
    assert after - before == ({name} if status < 300 else set())


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_labels_are_given_whole_or_not_at_all(client: httpx.Client, item: str, name: str) -> None:
    def labels() -> dict[str, list[str]]:
        told: dict[str, list[str]] = client.get(f"/v1/items/{item}/labels").json()["labels"]
        return told

    before = labels()
    lines = [
        {"uid": item, "name": "finding", "value": f"before {len(name)} {name[:1]!r}"},
        {"uid": item, "name": name, "value": "odd"},
        {"uid": item, "name": "odd", "value": name},
    ]
    status = sent(client, "POST", "/v1/labels", {"lines": lines})
    if status < 300:
        assert labels()[name] == ["odd"] and name in labels()["odd"]
        assert sent(client, "POST", "/v1/labels", {"lines": lines, "remove": True}) < 300
    assert labels() == before


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_queue_has_subjects_under_its_name_or_is_refused(
    client: httpx.Client, item: str, name: str
) -> None:
    address = f"/v1/reviews/{address_of(name)}/subjects"
    before = {each["queue"] for each in client.get("/v1/reviews/queues").json()}
    status = sent(client, "POST", address, {"subjects": [[item]]})
    after = {each["queue"] for each in client.get("/v1/reviews/queues").json()}
    assert after - before == ({name} if status < 300 else set())
