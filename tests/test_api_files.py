"""Files that come with a request and are in no library: looked at, compared, searched by a part."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from cohort_library import Indexed
from PIL import Image
from served_library import all_rows, get, serving

from indexer.config import Settings
from indexer.phantoms import Kind


@pytest.fixture(scope="module")
def client(served: Path) -> Iterator[httpx.Client]:
    with serving(Settings(library=served)) as client:
        yield client


@pytest.fixture(scope="module")
def scanner(indexed: Indexed) -> Iterator[httpx.Client]:
    with serving(Settings(library=indexed.library)) as client:
        yield client


def send(client: httpx.Client, path: str, files: list[Path], asked: object) -> httpx.Response:
    parts: list[tuple[str, Any]] = [("request", (None, json.dumps(asked)))]
    parts += [("file", (f"file{each.suffix}", each.read_bytes())) for each in files]
    return client.post(f"/v1/{path}", files=parts)


def told(client: httpx.Client, path: str, files: list[Path], asked: object) -> Any:
    answer = send(client, path, files, asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def png(said: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(said))))


@pytest.fixture(scope="module")
def known(client: httpx.Client, served: Path) -> tuple[Path, str]:
    """The file of an item, and the item."""
    files = sorted((served.parent / "files").glob("*.png"))
    found = told(client, "search/files", files[:1], {"k": 1})
    (query,) = found["queries"]
    (series,) = get(client, f"studies/{query['study_instance_uid']}")["series"]
    return files[0], series["items"][0]["id"]


def test_a_file_is_drawn_as_the_item_made_of_it(
    client: httpx.Client, known: tuple[Path, str]
) -> None:
    file, item = known
    look = told(client, "files/look", [file], {"size": 96})
    assert (look["slice"], look["slices"]) == (None, 1)
    assert look["frame"] == get(client, f"items/{item}/frame")
    drawn = client.get(f"/v1/items/{item}/rendered", params={"size": 96}).content
    np.testing.assert_array_equal(png(look["picture"]), np.asarray(Image.open(io.BytesIO(drawn))))


def test_a_file_is_compared_as_the_item_made_of_it(
    client: httpx.Client, known: tuple[Path, str]
) -> None:
    file, item = known
    other = next(row["id"] for row in all_rows(client, "items") if row["id"] != item)
    by_file = told(client, "files/matching", [file], {"hit": other})
    by_item = get(client, f"items/{item}/matching", **{"with": other})
    assert (by_file["query"]["id"], by_file["query"]["study_instance_uid"]) == ("", "")
    assert by_file["hit"] == by_item["hit"]
    assert by_file["query"]["likeness"] == by_item["query"]["likeness"]


def test_a_part_of_a_file_finds_what_that_part_of_the_item_finds(
    client: httpx.Client, known: tuple[Path, str]
) -> None:
    file, item = known
    asked = {"box": [8, 40, 48, 48], "k": 5, "candidates": 10}
    by_item = client.post("/v1/search/region", json={"uid": item, **asked}).json()
    by_file = told(client, "search/region/files", [file], asked)
    mine = {each["hit"]["id"]: each["box"] for each in by_file["hits"]}
    theirs = {each["hit"]["id"]: each["box"] for each in by_item["hits"]}
    assert set(theirs) & set(mine)
    assert all(mine[each] == theirs[each] for each in set(theirs) & set(mine))


def test_the_files_of_a_volume_are_looked_at_slice_by_slice(
    scanner: httpx.Client, indexed: Indexed
) -> None:
    study = next(each for each in indexed.plan if each.kind is Kind.ABDOMEN)
    files = sorted(indexed.folder(study).rglob("IM*.dcm"))
    series = get(scanner, f"studies/{study.study_instance_uid}")["series"]
    items = [each for one in series for each in one["items"]]
    item = next(each for each in items if each["kind"] == "volume")
    look = told(scanner, "files/look", files, {"one_study": True, "size": 64})
    assert (look["modality"], look["slices"]) == ("CT", item["slices"])
    assert look["slice"] == item["slices"] // 2 + 1
    asked: dict[str, Any] = {
        "one_study": True,
        "slice": 2,
        "window": [40, 400],
        "size": 64,
    }
    second = told(scanner, "files/look", files, asked)
    drawn = scanner.get(
        f"/v1/items/{item['id']}/rendered", params={"slice": 2, "window": "40,400", "size": 64}
    )
    np.testing.assert_array_equal(
        png(second["picture"]), np.asarray(Image.open(io.BytesIO(drawn.content)))
    )
    several = told(scanner, "files/look", files, {**asked, "around": 3})
    assert {**several, "around": {}} == second
    assert sorted(map(int, several["around"])) == [1, 3, 4, 5]
    fourth = told(scanner, "files/look", files, {**asked, "slice": 4})
    assert several["around"]["4"] == fourth["picture"]
    other = next(
        row["id"]
        for row in all_rows(scanner, "items", filter="kind=volume")
        if row["id"] != item["id"]
    )
    matched = told(scanner, "files/matching", files, {"one_study": True, "hit": other})
    assert matched["query"]["slices"] == item["slices"]
    assert 1 <= matched["query"]["slice"] <= item["slices"]


@pytest.mark.parametrize("path", ["files/look", "files/matching", "search/region/files"])
def test_what_cannot_be_looked_at_is_said(
    client: httpx.Client, known: tuple[Path, str], tmp_path: Path, path: str
) -> None:
    file, item = known
    more = {"files/matching": {"hit": item}, "search/region/files": {"box": [0, 0, 9, 9]}}
    asked = more.get(path, {})
    words = tmp_path / "words.png"
    words.write_text("no picture")
    for files, extra, status, said in (
        ([], {}, 422, "no file came"),
        ([file, file], {}, 422, "one_study"),
        ([words], {}, 422, "file-1.png"),
        ([file], {"nothing": 1}, 422, "nothing"),
    ):
        answer = send(client, path, list(files), {**asked, **extra})
        assert (answer.status_code, said in answer.text) == (status, True), answer.text


@pytest.mark.parametrize(
    ("path", "asked", "status", "said"),
    [
        ("files/look", {"slice": 9}, 422, "no slice 9"),
        ("files/look", {"window": [40, 0]}, 422, "window"),
        ("files/look", {"size": 1}, 422, "size"),
        ("files/look", {"size": 64, "around": 17}, 422, "around"),
        ("files/look", {"around": 1}, 422, "size"),
        ("files/look", {"size": 1025, "around": 1}, 422, "size"),
        ("files/matching", {"hit": "nothing"}, 404, "nothing"),
        ("files/matching", {}, 422, "hit"),
        ("search/region/files", {"box": [500, 500, 9, 9]}, 422, "beyond"),
    ],
)
def test_requests_that_make_no_sense_are_refused(
    client: httpx.Client,
    known: tuple[Path, str],
    path: str,
    asked: object,
    status: int,
    said: str,
) -> None:
    answer = send(client, path, [known[0]], asked)
    assert (answer.status_code, said in answer.text) == (status, True), answer.text
