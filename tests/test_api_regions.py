"""Places of pictures over HTTP: where two items are alike, and what is like a part of one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from served_library import get, post, serving

from indexer.config import Settings


@pytest.fixture(scope="module")
def client(served: Path) -> Iterator[httpx.Client]:
    with serving(Settings(library=served)) as client:
        yield client


@pytest.fixture(scope="module")
def pair(client: httpx.Client) -> tuple[str, str]:
    """Two studies of other patients whose lines are alike."""
    rows = get(client, "items", filter="label:finding=lying_lines", limit=20)["rows"]
    other = next(row for row in rows if row["patient"] != rows[0]["patient"])
    return rows[0]["id"], other["id"]


def test_cells_cover_both_frames_and_tell_how_alike_they_are(
    client: httpx.Client, pair: tuple[str, str]
) -> None:
    one, other = pair
    matched = get(client, f"items/{one}/matching", **{"with": other})
    for side, uid in (("query", one), ("hit", other)):
        told = matched[side]
        assert told["id"] == uid
        assert told["study_instance_uid"] == get(client, f"items/{uid}")["study_instance_uid"]
        assert told["frame"] == {"rows": 128, "columns": 128, "aspect": 1.0}
        assert np.array(told["likeness"], float).shape == (48, 48)
        assert told["slice"] is None
    assert matched["low"] < matched["high"] <= 1
    assert np.nanmax(np.array(matched["query"]["likeness"], float)) > matched["low"]


def test_an_item_is_like_itself_everywhere(client: httpx.Client, pair: tuple[str, str]) -> None:
    matched = get(client, f"items/{pair[0]}/matching", **{"with": pair[0]})
    assert matched["query"]["likeness"] == matched["hit"]["likeness"]


def test_a_region_finds_images_that_have_it_and_says_where(
    client: httpx.Client, pair: tuple[str, str]
) -> None:
    asked = {"uid": pair[0], "box": [8, 40, 48, 48], "k": 4, "candidates": 10}
    found = post(client, "search/region", asked)
    scores = [each["score"] for each in found["hits"]]
    assert len(scores) == 4
    assert scores == sorted(scores, reverse=True)
    owner = get(client, f"items/{pair[0]}")["patient"]
    for each in found["hits"]:
        left, top, width, height = each["box"]
        frame = each["frame"]
        assert 0 <= left < left + width <= frame["columns"]
        assert 0 <= top < top + height <= frame["rows"]
        assert each["hit"]["patient"] != owner
    assert found["looked_at"] == 10


def test_what_cannot_be_compared_is_said(client: httpx.Client, pair: tuple[str, str]) -> None:
    one, _ = pair
    for path, status, said in (
        (f"items/{one}/matching?with=nothing", 404, "nothing"),
        (f"items/nothing/matching?with={one}", 404, "nothing"),
        (f"items/{one}/matching?with={one}&encoder=other", 422, "other"),
        (f"items/{one}/matching", 422, "with"),
        ("items/nothing/frame", 404, "nothing"),
    ):
        answer = client.get(f"/v1/{path}")
        assert (answer.status_code, said in answer.text) == (status, True), answer.text


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"box": [500, 500, 10, 10]}, "beyond"),
        ({"box": [1, 2, 3]}, "box"),
        ({"box": [0, 0, 20, 20], "candidates": 1000}, "candidates"),
        ({"box": [0, 0, 20, 20], "filter": "nothing="}, "filter"),
    ],
)
def test_a_region_that_cannot_be_asked_for_is_refused(
    client: httpx.Client, pair: tuple[str, str], asked: dict[str, object], said: str
) -> None:
    answer = client.post("/v1/search/region", json={"uid": pair[0], **asked})
    assert answer.status_code == 422
    assert said in answer.text
