"""The Python client writes: each change from what was seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from people import RUN, make_library
from served_library import serving

from api.client import ApiError, Client
from indexer.config import Settings


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    settings = Settings(library=make_library(tmp_path / "library"))
    with serving(settings) as http, Client(str(http.base_url)) as client:
        yield client


def test_labels_and_tags(client: Client) -> None:
    seen = client.labels("2.25.0")
    done = client.put_labels(seen, {"finding": ["mass"]})
    assert client.labels("2.25.0") == done
    with pytest.raises(ApiError, match="changed_meanwhile") as raised:
        client.put_labels(seen, {})
    told = raised.value.problem
    assert told is not None and told.etag == done.etag
    assert told.current == done.value.model_dump(mode="json")
    of_item = client.put_labels(client.labels("item-0", of_item=True), {"view": ["PA"]})
    assert of_item.value.labels == {"view": ("PA",)}
    assert client.change_labels([("item-1", "view", "PA")]).changed == 1
    assert {each.name: each.values for each in client.label_names()}["view"] == {"PA": 2}
    with pytest.raises(ApiError, match="unknown_lines") as raised:
        client.change_labels([("item-1", "a", "b"), ("item-99", "a", "b")])
    assert raised.value.problem is not None and raised.value.problem.lines == [1]
    assert client.change_tag("a/b", {"filter": "modality=CT"}).changed == 4
    assert client.change_tag("a/b", {"ids": ["item-1"]}, remove=True).changed == 1
    assert [(each.name, each.count) for each in client.tags()] == [("a/b", 3)]


def test_sets_and_names_of_clusters(client: Client) -> None:
    new = client.put_set("pilot", {"items": {"ids": ["item-0", "item-1"]}})
    changed = client.change_set(new, {"remove": {"ids": ["item-0"]}})
    assert client.saved_set("pilot") == changed and changed.value.items == 1
    assert [each.id for each in client.set_items("pilot")] == ["item-1"]
    again = client.put_set("pilot", {"filter": "age>1"}, changed)
    assert [each.kind for each in client.sets()] == ["filter"]
    client.delete_set(again)
    assert client.sets() == []
    named = client.name_cluster(client.cluster_name(RUN, 0), "of CR")
    assert (named.value.name, named.value.called) == ("plain", "of CR")


def test_reviews(client: Client) -> None:
    queue = "ood:a / b"
    assert client.fill_queue(queue, [["item-0"], ["item-2", "item-1"]]).changed == 2
    first, second = client.next_reviews(queue, count=2).reviews
    assert client.release_reviews(queue, [second.subject]).changed == 1
    accepted = client.decide(first, "accept", "so it is")
    with pytest.raises(ApiError, match="changed_meanwhile"):
        client.decide(first, "reject")
    assert client.review(queue, "item-0") == accepted
    assert [each.subject for each in client.reviews(queue, "open")] == ["item-1,item-2"]
    undone = client.undo(accepted.value.review)
    assert (undone.value.review.verdict, len(undone.value.history)) == ("", 2)
    assert [(each.queue, each.open) for each in client.queues()] == [(queue, 2)]
