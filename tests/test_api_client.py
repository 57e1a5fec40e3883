"""The Python client: the same requests and answers as in this process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from served_library import STUDIES, serving
from told_library import Told

from api.client import ApiError, Client
from api.service import search as service
from indexer.config import Settings
from indexer.errors import QueryError
from indexer.library import Library
from indexer.searching.asking import Example, SearchRequest


@pytest.fixture(scope="module")
def client(served: Path) -> Iterator[Client]:
    with (
        serving(Settings(library=served)) as http,
        Client(str(http.base_url), key="any") as client,
    ):
        yield client


def test_it_searches_as_the_library_does(client: Client, served: Path) -> None:
    uid = next(client.items()).id
    request = SearchRequest((Example(uid=uid),), k=4, filter="view=PA", evidence=True)
    found = client.search(request)
    with Library.open(served) as library:
        expected = service.search(library, request, Settings())
    assert found.hits == expected.hits
    assert found.queries == list(expected.queries)


def test_files_are_sent_along_in_their_places(client: Client, tmp_path: Path) -> None:
    for number, lines in ((910, "lying"), (911, "standing")):
        picture = Told(number, lines, "left").picture().astype(np.uint8)
        Image.fromarray(picture).save(tmp_path / f"{lines}.png")
    liked, not_liked = Example(tmp_path / "lying.png"), Example(tmp_path / "standing.png")
    found = client.search(SearchRequest((liked, replace(not_liked, weight=-1)), k=3))
    assert [query.weight for query in found.queries] == [1, -1]
    assert {hit.labels["finding"] for hit in found.hits} == {("lying_lines",)}


def test_lists_are_read_to_their_end(client: Client) -> None:
    assert len(list(client.items())) == len(list(client.series())) == STUDIES
    lying = list(client.studies("label:finding=lying_lines", sort="study"))
    uids = [study.study_instance_uid for study in lying]
    assert uids == sorted(uids) and 0 < len(uids) < STUDIES
    assert client.study(uids[0]).study_instance_uid == uids[0]


def test_a_thumbnail_is_a_picture(client: Client) -> None:
    item = next(client.items())
    assert client.item(item.id) == item
    assert client.thumbnail(item.id).startswith(b"RIFF")


def test_what_the_service_says_is_raised(client: Client, tmp_path: Path) -> None:
    with pytest.raises(ApiError, match="not_found: there is no item 'nothing'") as raised:
        client.item("nothing")
    assert raised.value.problem is not None and raised.value.problem.status == 404
    with pytest.raises(ApiError, match="filter: ") as raised:
        list(client.studies("age>=old"))
    assert raised.value.problem is not None and raised.value.problem.position == 5
    with pytest.raises(QueryError, match="send an archive"):
        client.search(SearchRequest((Example(tmp_path),)))


def test_a_service_that_is_not_there_is_an_error_of_the_client() -> None:
    with Client("http://127.0.0.1:9") as nobody, pytest.raises(ApiError, match="cannot be asked"):
        nobody.item("x")
