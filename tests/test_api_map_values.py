"""Colours, filters and gaps of a map: one value a point, in the order of its points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest
from served_library import REFERENCE, RUN, STUDIES, all_rows, get, own_copy, serving
from sqlalchemy import delete

from indexer.catalog.database import reading, transaction
from indexer.catalog.tables import MapPoint
from indexer.config import Settings
from indexer.groups.items import gather_ids
from indexer.groups.references import find_reference
from indexer.groups.scores import Score, keep_scores
from indexer.library import Library


@pytest.fixture(scope="module")
def client(served: Path) -> Iterator[httpx.Client]:
    with serving(Settings(library=served)) as client:
        yield client


def values(client: httpx.Client, by: str) -> np.ndarray:
    """Those that a legend tells of, after a look whether they are those of the points."""
    legend = get(client, "maps/legend", by=by)
    answer = client.get("/v1/maps/values", params={"by": by})
    assert answer.headers["etag"] == f'"{legend["tag"]}"'
    return np.frombuffer(answer.content, "<u2" if legend["kind"] == "category" else "<f4")


def mask(client: httpx.Client, **asked: str) -> np.ndarray:
    answer = client.get("/v1/maps/mask", params=asked)
    assert answer.status_code == 200, answer.text
    bits = np.unpackbits(np.frombuffer(answer.content, np.uint8), bitorder="little")
    assert not bits[STUDIES:].any()
    return bits[:STUDIES].astype(bool)


def test_labels_are_numbers_of_the_legend_the_most_frequent_first(client: httpx.Client) -> None:
    legend = get(client, "maps/legend", by="field:label:finding")
    said = [row["labels"]["finding"][0] for row in all_rows(client, "items")]
    listed = [(each["value"], each["points"]) for each in legend["values"]]
    assert listed == Counter(said).most_common()
    assert (legend["more"], legend["unknown"], legend["ordered"]) == (0, 0, False)
    names = [value for value, _ in listed]
    assert values(client, "field:label:finding").tolist() == [names.index(x) + 1 for x in said]


def test_what_is_not_known_has_no_number(client: httpx.Client) -> None:
    legend = get(client, "maps/legend", by="field:age")
    assert (legend["values"], legend["unknown"], legend["ordered"]) == ([], STUDIES, True)
    assert not values(client, "field:age").any()


def test_clusters_have_their_names(client: httpx.Client) -> None:
    legend = get(client, "maps/legend", by=f"cluster:{RUN}")
    assert {each["value"]: each["name"] for each in legend["values"]} == {
        "0": "lying",
        "1": "standing",
    }
    assert sorted(Counter(values(client, f"cluster:{RUN}").tolist())) == [1, 2]


def test_values_are_sent_once(client: httpx.Client) -> None:
    asked = {"by": "field:view"}
    first = client.get("/v1/maps/values", params=asked)
    again = client.get(
        "/v1/maps/values", params=asked, headers={"If-None-Match": first.headers["etag"]}
    )
    assert again.status_code == 304


def test_a_mask_has_what_the_filter_lets_through(client: httpx.Client) -> None:
    asked = "label:finding=lying_lines"
    there = {row["id"] for row in all_rows(client, "items", filter=asked)}
    ids = get(client, "maps/items")["items"]
    assert mask(client, filter=asked).tolist() == [each in there for each in ids]
    assert mask(client).all()


def test_a_mask_has_what_came_since(client: httpx.Client) -> None:
    now = datetime.now(UTC)
    assert mask(client, since=(now - timedelta(days=1)).isoformat()).all()
    assert not mask(client, since=(now + timedelta(days=1)).isoformat()).any()


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"by": "modality"}, "query"),
        ({"by": "field:shoe_size"}, "query"),
        ({"by": "field:label:none"}, "query"),
        ({"by": "cluster:none"}, "unknown_name"),
        ({"by": "score:none"}, "unknown_name"),
        ({"by": "field:modality", "version": "9"}, "unknown_name"),
    ],
)
def test_what_does_not_exist_is_said(
    client: httpx.Client, asked: dict[str, str], code: str
) -> None:
    for path in ("legend", "values"):
        answer = client.get(f"/v1/maps/{path}", params=asked)
        assert answer.json()["code"] == code
    assert client.get("/v1/maps/mask", params={"filter": "age=old"}).json()["code"] == "filter"


def test_scores_and_gaps_are_those_of_now(served: Path, tmp_path: Path) -> None:
    path = own_copy(served, tmp_path)
    with serving(Settings(library=path)) as client, Library.open(path) as library:
        by = f"score:{REFERENCE}"
        assert np.isnan(values(client, by)).all()
        with reading(library.engine) as db:
            ids = gather_ids(db).tolist()
        said = [
            Score(ids[0], 1.0, 0.02, True, {}, "", ()),
            Score(ids[3], 0, None, None, {}, "", ()),
        ]
        with library.writing(), transaction(library.engine) as db:
            keep_scores(db, find_reference(library, REFERENCE), said)
            db.execute(delete(MapPoint).where(MapPoint.item_id == ids[-1]))
        found = values(client, by)
        assert len(found) == STUDIES - 1 and found[0] == np.float32(0.02)
        assert np.isnan(found[1:]).all()
        assert get(client, "maps/legend", by=by)["unknown"] == STUDIES - 2
        assert get(client, "maps/missing")["missing"] == 1
