"""The HTTP service as a developer meets it: every answer is that of the service call behind it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from served_library import REFERENCE, RUN, STUDIES, all_rows, get, post, serving
from told_library import Told, plan

from api.cli.output import plain
from api.service import search as service
from indexer import __version__
from indexer.config import Settings
from indexer.library import Library
from indexer.searching.asking import Example, Rocchio, SearchRequest


@pytest.fixture(scope="module")
def client(served: Path) -> Iterator[httpx.Client]:
    with serving(Settings(library=served)) as client:
        yield client


def told(number: int, lines: str = "lying") -> bytes:
    """A new picture of such lines, PNG."""
    out = io.BytesIO()
    Image.fromarray(Told(number, lines, "left").picture().astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


# -- what is served -------------------------------------------------------------------------------


def test_it_says_what_it_is_and_what_it_serves(client: httpx.Client, served: Path) -> None:
    assert get(client, "version") == {"version": __version__, "api": "v1"}
    assert get(client, "health") == get(client, "ready") == {"status": "ok"}
    about = get(client, "library")
    assert (about["studies"], about["items"]["image"]) == (STUDIES, STUDIES)
    assert str(served) not in json.dumps(about)
    assert [space["encoder"] for space in get(client, "spaces")] == ["texture"]
    models = {model["name"]: model["state"] for model in get(client, "models")}
    assert models["texture"] == "built in"


# -- lists ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["studies", "series", "items"])
def test_pages_together_are_the_whole_list_in_its_order(client: httpx.Client, path: str) -> None:
    whole = all_rows(client, path, limit=500)
    assert len(whole) == STUDIES
    assert all_rows(client, path, limit=7) == whole
    assert all_rows(client, path, limit=7, sort="-study_date") == whole[::-1]


@settings(max_examples=12, suppress_health_check=[HealthCheck.differing_executors])
@given(
    sort=st.sampled_from(["", "study", "-study", "study_date", "-age"]),
    limit=st.integers(9, 60),
    lines=st.sampled_from(["", "lying", "standing"]),
)
def test_every_study_is_on_one_page_whatever_the_order(
    client: httpx.Client, sort: str, limit: int, lines: str
) -> None:
    filter_ = f"label:finding={lines}_lines" if lines else ""
    rows = all_rows(client, "studies", sort=sort, limit=limit, filter=filter_)
    uids = [row["study_instance_uid"] for row in rows]
    assert len(set(uids)) == len(uids)
    if sort.endswith("study"):
        assert uids == sorted(uids, reverse=sort.startswith("-"))
    wanted = {f"{lines}_lines"} if lines else {"lying_lines", "standing_lines"}
    assert {row["labels"]["finding"][0] for row in rows} == wanted
    if not lines:
        assert len(uids) == STUDIES


def test_a_list_says_of_each_study_what_is_in_it(client: httpx.Client) -> None:
    row = next(row for row in all_rows(client, "studies") if row["reports"])
    assert (row["series"], row["items"], row["reports"]) == (1, 1, 1)
    uid = row["study_instance_uid"]
    study = get(client, f"studies/{uid}")
    assert study["patient"] == row["patient"]
    assert "lines are seen" in study["reports"][0]
    (series,) = study["series"]
    (line,) = get(client, "series", filter=f"study={uid}")["rows"]
    assert line["series_instance_uid"] == series["series_instance_uid"]
    assert get(client, f"series/{series['series_instance_uid']}") == line
    (item,) = get(client, "items", filter=f"study={uid}")["rows"]
    assert item["id"] == series["items"][0]["id"]
    assert get(client, f"items/{item['id']}") == item


def test_where_files_lie_and_who_patients_are_is_not_told(
    client: httpx.Client, served: Path
) -> None:
    rows = all_rows(client, "studies")
    told = [get(client, f"studies/{row['study_instance_uid']}") for row in rows[:5]]
    assert str(served.parent) not in json.dumps([rows, told])
    assert "patient-" not in json.dumps([rows, told])


# -- pictures -------------------------------------------------------------------------------------


def test_a_thumbnail_is_asked_for_once(client: httpx.Client) -> None:
    uid = get(client, "items", limit=1)["rows"][0]["id"]
    first = client.get(f"/v1/items/{uid}/thumbnail")
    assert first.headers["content-type"] == "image/webp"
    assert Image.open(io.BytesIO(first.content)).format == "WEBP"
    tag = first.headers["etag"]
    again = client.get(f"/v1/items/{uid}/thumbnail", headers={"If-None-Match": f'"x", {tag}'})
    assert (again.status_code, again.content) == (304, b"")
    other = client.get(f"/v1/items/{uid}/thumbnail", headers={"If-None-Match": '"x"'})
    assert other.content == first.content


def test_a_frame_is_drawn_from_the_original_as_it_is_asked_for(client: httpx.Client) -> None:
    uid = get(client, "items", limit=1)["rows"][0]["id"]

    def drawn(**asked: Any) -> np.ndarray:
        answer = client.get(f"/v1/items/{uid}/rendered", params=asked)
        assert answer.headers["content-type"] == "image/png"
        return np.asarray(Image.open(io.BytesIO(answer.content)))

    assert np.abs(drawn(window="127.5,255").astype(int) - told_original(client, uid)).max() <= 1
    assert drawn(size=64).shape == (64, 64)
    assert (drawn(window="10000,2") == 0).all()
    tags = {
        client.get(f"/v1/items/{uid}/rendered", params=asked).headers["etag"]
        for asked in ({}, {"size": 64}, {"window": "1,2"}, {"slice": 1})
    }
    assert len(tags) == 4


def told_original(client: httpx.Client, uid: str) -> np.ndarray:
    """The drawn picture that an item was indexed from, by the place it has in the library."""
    ids = [row["id"] for row in all_rows(client, "items")]
    return plan(STUDIES)[ids.index(uid)].picture().astype(np.uint8).astype(int)


# -- searching ------------------------------------------------------------------------------------


def test_a_search_is_answered_as_in_python(client: httpx.Client, served: Path) -> None:
    rows = get(client, "items", limit=2)["rows"]
    uids = [row["study_instance_uid"] for row in rows]
    asked = {
        "examples": [{"uid": uids[0]}, {"uid": uids[1], "weight": -0.5}],
        "k": 7,
        "filter": "view=PA",
        "group": "patient",
        "diversity": 0.3,
        "same_patient": True,
        "mix": {"alpha": 1, "beta": 0.5, "gamma": 0.25},
    }
    found = post(client, "search", asked)
    request = SearchRequest(
        (Example(uid=uids[0]), Example(uid=uids[1], weight=-0.5)),
        k=7,
        filter="view=PA",
        group="patient",
        diversity=0.3,
        same_patient=True,
        mix=Rocchio(1, 0.5, 0.25),
        evidence=True,
    )
    with Library.open(served) as library:
        expected = plain(service.search(library, request, Settings()))
    assert len(found["hits"]) == 7
    for name in ("queries", "mix", "hits", "priors", "linked", "passed", "votes", "notes"):
        assert found[name] == expected[name], name


def test_words_find_what_reports_say(client: httpx.Client) -> None:
    found = post(client, "search", {"keywords": "standing -right", "k": 5})
    assert found["hits"]
    assert all("tanding" in hit["snippet"] for hit in found["hits"])


def test_neighbours_are_those_of_a_search(client: httpx.Client) -> None:
    uid = get(client, "items", limit=1)["rows"][0]["id"]
    near = get(client, f"items/{uid}/neighbours", k=3)
    assert near["hits"] == post(client, "search", {"examples": [{"uid": uid}], "k": 3})["hits"]


def test_a_picture_finds_its_like_and_nothing_of_it_is_kept(client: httpx.Client) -> None:
    files = [("file", ("../../new.png", told(900)))]
    answer = client.post("/v1/search/files", files=files, data={"request": '{"k": 5}'})
    assert answer.status_code == 200, answer.text
    labels = [hit["labels"]["finding"] for hit in answer.json()["hits"]]
    assert labels == [["lying_lines"]] * 5
    assert answer.json()["queries"][0]["kind"] == "file"


def test_references_judge_files_that_are_searched_with_in_the_same_request(
    client: httpx.Client,
) -> None:
    files = [("file", ("a.png", told(901)))]
    plain = client.post("/v1/search/files", files=files, data={"request": '{"k": 1}'}).json()
    asked = {"request": '{"k": 1, "judge": true}'}
    judged = client.post("/v1/search/files", files=files, data=asked).json()
    assert plain["said"] == []
    assert judged["hits"] == plain["hits"]
    (said,) = judged["said"]
    assert said["reference"] == "usual"
    assert 0 < said["p_value"] <= 1
    alone = client.post(
        "/v1/ood/score/files", files=files, data={"request": '{"reference": "usual"}'}
    ).json()["studies"][0]
    assert (said["p_value"], said["flagged"]) == (alone["p_value"], alone["flagged"])


def test_files_may_be_liked_unliked_or_one_study(client: httpx.Client) -> None:
    files = [("file", ("a.png", told(901))), ("file", ("b.png", told(902, "standing")))]
    asked = {"examples": [{"file": 0}, {"file": 1, "weight": -1}], "k": 3}
    answer = client.post("/v1/search/files", files=files, data={"request": json.dumps(asked)})
    assert [q["weight"] for q in answer.json()["queries"]] == [1.0, -1.0]
    swapped = {"examples": [{"file": 1}, {"file": 0, "weight": -1}], "k": 3}
    other = client.post("/v1/search/files", files=files, data={"request": json.dumps(swapped)})
    assert answer.json()["hits"][0]["labels"] == {"finding": ["lying_lines"]}
    assert other.json()["hits"][0]["labels"] == {"finding": ["standing_lines"]}


def test_reports_of_neighbours_are_told(client: httpx.Client) -> None:
    rows = all_rows(client, "items", filter="label:finding=lying_lines")
    found = post(client, "reports", {"uid": rows[0]["id"], "k": 2})
    assert len(found["neighbours"]) == 2
    assert all("lines are seen" in each["text"] for each in found["neighbours"])


# -- groups ---------------------------------------------------------------------------------------


def test_clusters_are_listed_with_their_members(client: httpx.Client) -> None:
    assert [run["name"] for run in get(client, "clusters")] == [RUN]
    shown = get(client, "clusters/run", run=RUN, label="finding")
    assert (shown["acc"], [each["called"] for each in shown["clusters"]]) == (
        1.0,
        ["lying", "standing"],
    )
    members = all_rows(client, "clusters/items", run=RUN, number=0, limit=10)
    expected = all_rows(client, "items", filter="label:finding=lying_lines")
    assert [row.pop("confidence") for row in members] == [0.75] * len(expected)
    assert members == expected


def test_points_of_a_map_are_packed_in_the_order_of_its_items(client: httpx.Client) -> None:
    (stored,) = get(client, "maps")
    answer = client.get("/v1/maps/points")
    points = np.frombuffer(answer.content, "<f4").reshape(-1, 2)
    items = get(client, "maps/items")["items"]
    assert len(points) == len(items) == stored["points"] == STUDIES
    assert points.tolist() == [[n, -n] for n in range(STUDIES)]
    assert items == [row["id"] for row in all_rows(client, "items")]
    tagged = {"If-None-Match": answer.headers["etag"]}
    assert client.get("/v1/maps/points", headers=tagged).status_code == 304


def test_references_judge_items_and_files(client: httpx.Client) -> None:
    assert [each["name"] for each in get(client, "ood/references")] == [REFERENCE]
    assert get(client, "ood/reference", name=REFERENCE)["items"] == STUDIES
    asked = {"reference": REFERENCE, "filter": "view=PA", "limit": 3}
    judged = post(client, "ood/score", asked)
    assert len(judged["studies"]) == 3 and judged["more"]
    assert all(0 < study["p_value"] <= 1 for study in judged["studies"])
    anything = {"reference": REFERENCE, "alarm": 0.99, "limit": 2}
    looked, quick = (
        post(client, "ood/score", anything | {"look": look})["studies"] for look in (True, False)
    )
    told_by = [[(each["flagged"], each["p_value"]) for each in those] for those in (looked, quick)]
    assert told_by[0] == told_by[1] and any(flagged for flagged, _ in told_by[0])
    noise = io.BytesIO()
    random = np.random.default_rng(1).integers(0, 255, (128, 128)).astype(np.uint8)
    Image.fromarray(random).save(noise, "PNG")
    files = [("file", ("a.png", told(903))), ("file", ("b.png", noise.getvalue()))]
    said = {"request": json.dumps({"reference": REFERENCE})}
    usual, odd = client.post("/v1/ood/score/files", files=files, data=said).json()["studies"]
    assert odd["flagged"] and odd["reason"]
    assert odd["p_value"] < usual["p_value"]
