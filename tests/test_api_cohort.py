"""A service over studies as scanners send them: dates, ages, volumes."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from cohort_library import Indexed
from served_library import all_rows, serving

from indexer.config import Settings
from indexer.phantoms import Kind


@pytest.fixture(scope="module")
def client(indexed: Indexed) -> Iterator[httpx.Client]:
    with serving(Settings(library=indexed.library)) as client:
        yield client


def test_lists_are_sorted_by_date_and_by_age(client: httpx.Client) -> None:
    dates = [row["study_date"] for row in all_rows(client, "studies", sort="study_date")]
    ages = [row["age_years"] for row in all_rows(client, "items", sort="-age", limit=9)]
    assert dates == sorted(dates) and len(set(dates)) > 5
    known = [age for age in ages if age is not None]
    assert known == sorted(known, reverse=True) == ages[: len(known)]


def test_a_volume_is_drawn_slice_by_slice(client: httpx.Client) -> None:
    volume = next(row for row in all_rows(client, "items") if row["kind"] == "volume")
    address = f"/v1/items/{volume['id']}/rendered"
    slices = [client.get(address, params={"slice": n}).content for n in (1, 2, 3)]
    assert len(set(slices)) == 3
    beyond = client.get(address, params={"slice": 10_000})
    assert beyond.status_code == 422
    assert "slices 1 to" in beyond.json()["detail"]


def test_the_files_of_a_volume_are_one_study(client: httpx.Client, indexed: Indexed) -> None:
    study = next(s for s in indexed.plan if s.kind is Kind.ABDOMEN)
    paths = sorted(indexed.folder(study).rglob("IM*.dcm"))
    files = [("file", (path.name, path.read_bytes())) for path in paths]
    asked = {"request": '{"one_study": true, "k": 2}'}
    answer = client.post("/v1/search/files", files=files, data=asked).json()
    assert answer["queries"][0]["study_instance_uid"] == study.study_instance_uid
    assert len(answer["hits"]) == 2
