"""Colours, filters and gaps of a map: one value a point, in the order of its points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest
from served_library import REFERENCE, RUN, STUDIES, all_rows, get, own_copy, serving
from sqlalchemy import delete, select

from api.service import library as libraries
from indexer.catalog.database import reading, transaction
from indexer.catalog.tables import MapPoint, Study
from indexer.config import Settings
from indexer.groups.items import gather_ids
from indexer.groups.maps import Points, add_points, find_map, remove_map, save_map
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


def test_points_are_sent_once_and_say_which_they_are(client: httpx.Client) -> None:
    first = client.get("/v1/maps/points")
    tag = first.headers["etag"]
    again = client.get("/v1/maps/points", headers={"If-None-Match": tag})
    assert (again.status_code, again.headers["etag"], again.content) == (304, tag, b"")
    assert get(client, "maps/items")["tag"] == tag.strip('"')


def test_items_are_found_by_their_positions_and_positions_by_items(client: httpx.Client) -> None:
    told = get(client, "maps/items")
    asked = {"points": told["tag"]}
    found = client.post("/v1/maps/items", params=asked, json={"at": [7, 0, 7]}).json()
    ids = told["items"]
    assert (found["items"], found["tag"]) == ([ids[7], ids[0], ids[7]], told["tag"])
    for at in (0, STUDIES - 1):
        assert get(client, "maps/place", item=ids[at], **asked)["at"] == at
    assert get(client, "maps/place", item="none", **asked)["at"] is None
    none = client.post("/v1/maps/items", json={"at": []}).json()
    assert none["items"] == []


@pytest.mark.parametrize("at", [[STUDIES], [-1], list(range(5001)), ["a"]])
def test_positions_that_are_not_there_are_refused(client: httpx.Client, at: list[object]) -> None:
    assert client.post("/v1/maps/items", json={"at": at}).status_code == 422


def lose_an_item(library: Library) -> None:
    with reading(library.engine) as db:
        study = db.execute(select(Study.study_instance_uid).limit(1)).scalar_one()
    libraries.remove(library, "study", study, actor="test")


def put_an_item_anew(library: Library) -> None:
    stored, ids = find_map(library, library.spaces()[0]), gather_all(library)[:1]
    with library.writing():
        with transaction(library.engine) as db:
            db.execute(delete(MapPoint).where(MapPoint.item_id == int(ids[0])))
        add_points(library, stored, Points(ids, np.ones((1, 2), np.float32), np.ones(1, bool)))


def make_it_anew(library: Library) -> None:
    (space,), ids = library.spaces(), gather_all(library)
    points = Points(ids, np.zeros((len(ids), 2), np.float32), np.ones(len(ids), bool))
    with library.writing():
        remove_map(library, find_map(library, space))
        save_map(library, space, points, expression="", parameters={}, report={})


def gather_all(library: Library) -> np.ndarray:
    with reading(library.engine) as db:
        return gather_ids(db)


@pytest.mark.parametrize("change", [lose_an_item, put_an_item_anew, make_it_anew])
def test_positions_of_other_points_are_refused(
    served: Path, tmp_path: Path, change: Callable[[Library], None]
) -> None:
    path = own_copy(served, tmp_path)
    with serving(Settings(library=path)) as client:
        told = get(client, "maps/items")
        with Library.open(path) as library:
            change(library)
        asked = {"points": told["tag"], "by": "field:view", "item": told["items"][0]}
        answers = [
            client.get("/v1/maps/points", params={"points": asked["points"]}),
            client.get("/v1/maps/mask", params={"points": asked["points"]}),
            client.get("/v1/maps/legend", params={each: asked[each] for each in ("points", "by")}),
            client.get("/v1/maps/values", params={each: asked[each] for each in ("points", "by")}),
            client.get("/v1/maps/place", params={each: asked[each] for each in ("points", "item")}),
            client.post("/v1/maps/items", params={"points": told["tag"]}, json={"at": [0]}),
        ]
        now = get(client, "maps/items")["tag"]
        assert now != told["tag"]
        for answer in answers:
            assert (answer.status_code, answer.json()["code"]) == (412, "changed_meanwhile")
            assert answer.json()["etag"] == f'"{now}"'


def test_a_filter_sees_labels_that_were_given_since(served: Path, tmp_path: Path) -> None:
    with serving(Settings(library=own_copy(served, tmp_path))) as client:
        asked = "label:tag=seen"
        assert not mask(client, filter=asked).any()
        points = client.get("/v1/maps/points").headers["etag"]
        ids = get(client, "maps/items")["items"]
        assert client.post("/v1/tags/seen/items", json={"ids": ids[2:4]}).status_code == 200
        assert np.flatnonzero(mask(client, filter=asked)).tolist() == [2, 3]
        assert np.flatnonzero(values(client, "field:label:tag")).tolist() == [2, 3]
        assert client.get("/v1/maps/points").headers["etag"] == points
