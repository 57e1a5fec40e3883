"""The Python client: jobs and exports."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
from served_library import RUN, STUDIES, own_copy, serving

from api.client import ApiError, Client
from api.jobs.worker import work
from indexer.config import Settings


@pytest.fixture
def library(served: Path, tmp_path: Path) -> Path:
    return own_copy(served, tmp_path)


@pytest.fixture
def client(library: Path) -> Iterator[Client]:
    with serving(Settings(library=library)) as http, Client(str(http.base_url)) as client:
        yield client


def test_a_job_is_asked_for_followed_and_read(client: Client, library: Path) -> None:
    job = client.ask_for("curate-outliers", "a-key", count=3)
    assert client.ask_for("curate-outliers", "a-key", count=3).id == job.id
    followed = client.follow(job.id)
    assert next(followed).state == "queued"
    work(Settings(library=library), once=True)
    assert list(followed)[-1].state == client.wait(job.id).state == "done"
    assert [row["rank"] for row in client.result(job.id)] == [1, 2, 3]
    other = client.ask_for("map")
    assert client.cancel(other.id).state == client.job(other.id).state == "stopped"
    assert [each.id for each in client.jobs()] == [other.id, job.id]
    with pytest.raises(ApiError, match="job_not_done"):
        next(client.result(other.id))
    with pytest.raises(ApiError, match="not_found"):
        next(client.follow("nothing"))
    with pytest.raises(ApiError, match=r"body\.parameters\.n"):
        client.ask_for("map", n=3)


def test_a_table_is_written_to_a_file(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "clusters.csv"
    client.export("clusters", path, run=RUN)
    with path.open(newline="") as file:
        assert len(list(csv.DictReader(file))) == STUDIES
    with pytest.raises(ApiError, match="no clustering"):
        client.export("clusters", path, run="none")
    assert [each.name for each in tmp_path.glob("*clusters*")] == ["clusters.csv"]
