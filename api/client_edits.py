"""What a client of the HTTP service writes: labels, tags, saved sets, names of clusters, reviews.

What can be changed comes as a `Versioned`; a change is made from one, and where somebody else was
quicker it raises an error whose problem document has ``current`` and ``etag``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from api.client_asking import Asking, part
from api.schemas.catalog import Item
from api.schemas.edited import (
    Changed,
    Claimed,
    ClusterName,
    LabelName,
    LabelSheet,
    QueueCounts,
    Review,
    Reviewed,
    SavedSet,
    Tag,
)
from api.schemas.flags import StudyScore

_T = TypeVar("_T")
_M = TypeVar("_M", bound=BaseModel)


@dataclass(frozen=True)
class Versioned(Generic[_T]):
    """Something that can be changed, and its ETag."""

    value: _T
    etag: str


class Edits(Asking):
    """A part of `api.client.Client`."""

    # -- labels and tags

    def labels(self, uid: str, *, of_item: bool = False) -> Versioned[LabelSheet]:
        """The labels of a study, or of an item alone."""
        return self._one(LabelSheet, "GET", _labels(uid, of_item=of_item))

    def put_labels(
        self, seen: Versioned[LabelSheet], labels: Mapping[str, Sequence[str]]
    ) -> Versioned[LabelSheet]:
        """Give what was seen these labels and no others."""
        sheet = seen.value
        path = _labels(sheet.uid, of_item=sheet.uid != sheet.study_instance_uid)
        said = {"labels": {name: list(values) for name, values in labels.items()}}
        return self._one(LabelSheet, "PUT", path, json=said, headers=_from(seen))

    def delete_labels(self, seen: Versioned[LabelSheet], name: str = "") -> Versioned[LabelSheet]:
        """Take the labels of one name from what was seen, or all."""
        sheet = seen.value
        path = _labels(sheet.uid, of_item=sheet.uid != sheet.study_instance_uid)
        asked = {"name": name} if name else {}
        return self._one(LabelSheet, "DELETE", path, params=asked, headers=_from(seen))

    def label_names(self) -> list[LabelName]:
        """All names of labels, with their values."""
        return self._list(LabelName, "labels")

    def change_labels(
        self, lines: Sequence[tuple[str, str, str]], *, remove: bool = False
    ) -> Changed:
        """Give labels (uid, name, value), or take them away: all or none."""
        told = [{"uid": uid, "name": name, "value": value} for uid, name, value in lines]
        said = {"lines": told, "remove": remove}
        return Changed.model_validate_json(self._ask("POST", "labels", json=said).content)

    def label_items(
        self, name: str, value: str, which: Mapping[str, Any], *, remove: bool = False
    ) -> Changed:
        """Give items a label, or take it away; ``which`` has ids, a filter or a cluster."""
        said = {**which, "name": name, "value": value, "remove": remove}
        return Changed.model_validate_json(self._ask("POST", "labels/items", json=said).content)

    def tags(self) -> list[Tag]:
        """All tags with their counts."""
        return self._list(Tag, "tags")

    def change_tag(self, name: str, which: Mapping[str, Any], *, remove: bool = False) -> Changed:
        """Tag items, or take the tag away; ``which`` has ids, a filter or a cluster."""
        said = {**which, "remove": remove}
        answer = self._ask("POST", f"tags/{part(name)}/items", json=said)
        return Changed.model_validate_json(answer.content)

    # -- saved sets

    def sets(self) -> list[SavedSet]:
        """All saved sets."""
        return self._list(SavedSet, "sets")

    def saved_set(self, name: str) -> Versioned[SavedSet]:
        """One by name."""
        return self._one(SavedSet, "GET", f"sets/{part(name)}")

    def set_items(self, name: str, filter: str = "", sort: str = "") -> Iterator[Item]:  # noqa: A002
        """The items of a set, or those of them that pass a filter, in an order."""
        return self._rows(Item, f"sets/{part(name)}/items", {"filter": filter, "sort": sort})

    def put_set(
        self, name: str, said: Mapping[str, Any], seen: Versioned[SavedSet] | None = None
    ) -> Versioned[SavedSet]:
        """Make a set, or exchange the one that was seen; ``said`` as PUT /v1/sets takes it."""
        headers = {"If-None-Match": "*"} if seen is None else _from(seen)
        return self._one(SavedSet, "PUT", f"sets/{part(name)}", json=dict(said), headers=headers)

    def change_set(self, seen: Versioned[SavedSet], said: Mapping[str, Any]) -> Versioned[SavedSet]:
        """Add to the set that was seen, take away from it; as PATCH /v1/sets takes it."""
        path = f"sets/{part(seen.value.name)}"
        return self._one(SavedSet, "PATCH", path, json=dict(said), headers=_from(seen))

    def delete_set(self, seen: Versioned[SavedSet]) -> None:
        """Delete the set that was seen."""
        self._ask("DELETE", f"sets/{part(seen.value.name)}", headers=_from(seen))

    # -- names of clusters

    def cluster_name(self, run: str, number: int) -> Versioned[ClusterName]:
        """What a cluster is called."""
        return self._one(ClusterName, "GET", "clusters/name", params=_which(run, number))

    def name_cluster(self, seen: Versioned[ClusterName], name: str) -> Versioned[ClusterName]:
        """Give a cluster a name; "" brings back the one that was found."""
        which, said = _which(seen.value.run, seen.value.cluster), {"given_name": name}
        return self._one(
            ClusterName, "PATCH", "clusters/name", params=which, json=said, headers=_from(seen)
        )

    # -- reviews

    def queues(self) -> list[QueueCounts]:
        """All queues with their counts."""
        return self._list(QueueCounts, "reviews/queues")

    def reviews(self, queue: str = "", state: str = "") -> Iterator[Review]:
        """The subjects of a queue that stand so."""
        return self._rows(Review, "reviews", {"queue": queue, "state": state})

    def review(self, queue: str, subject: str) -> Versioned[Reviewed]:
        """One with its history."""
        return self._one(Reviewed, "GET", _subject(queue, subject))

    def fill_queue(self, queue: str, subjects: Sequence[Sequence[str]]) -> Changed:
        """Put subjects at the end of a queue, each one or two UIDs."""
        said = {"subjects": [list(each) for each in subjects]}
        answer = self._ask("POST", f"reviews/{part(queue)}/subjects", json=said)
        return Changed.model_validate_json(answer.content)

    def next_reviews(self, queue: str, count: int = 1, minutes: float = 5.0) -> Claimed:
        """Take the next open subjects that nobody is at."""
        said = {"count": count, "minutes": minutes}
        answer = self._ask("POST", f"reviews/{part(queue)}/next", json=said)
        return Claimed.model_validate_json(answer.content)

    def release_reviews(self, queue: str, subjects: Sequence[str]) -> Changed:
        """Let others have subjects that were taken."""
        said = {"subjects": list(subjects)}
        answer = self._ask("POST", f"reviews/{part(queue)}/release", json=said)
        return Changed.model_validate_json(answer.content)

    def decide(
        self, seen: Review, verdict: str, comment: str = "", labels: Sequence[str] = ()
    ) -> Versioned[Reviewed]:
        """Decide about a subject as it was seen; its label gets other values, if any are named."""
        said = {"verdict": verdict, "comment": comment, "labels": list(labels)}
        path = _subject(seen.queue, seen.subject)
        return self._one(Reviewed, "PUT", path, json=said, headers=_as_seen(seen))

    def undo(self, seen: Review) -> Versioned[Reviewed]:
        """Take the last verdict of a subject back, as it was seen."""
        path = f"{_subject(seen.queue, seen.subject)}/undo"
        return self._one(Reviewed, "POST", path, headers=_as_seen(seen))

    def flagged_studies(self, reference: str, filter: str = "") -> Iterator[StudyScore]:  # noqa: A002
        """Studies that a reference flagged, the oddest first, with their reviews."""
        asked = {"reference": reference, "filter": filter, "flagged": "true", "sort": "p_value"}
        return self._rows(StudyScore, "ood/scores", asked)

    def _one(self, kind: type[_M], method: str, path: str, **how: Any) -> Versioned[_M]:
        answer = self._ask(method, path, **how)
        return Versioned(kind.model_validate_json(answer.content), answer.headers["ETag"])


def _labels(uid: str, *, of_item: bool) -> str:
    return f"{'items' if of_item else 'studies'}/{part(uid)}/labels"


def _subject(queue: str, subject: str) -> str:
    return f"reviews/{part(queue)}/subjects/{part(subject)}"


def _which(run: str, number: int) -> dict[str, str]:
    return {"run": run, "number": str(number)}


def _from(seen: Versioned[Any]) -> dict[str, str]:
    return {"If-Match": seen.etag}


def _as_seen(seen: Review) -> dict[str, str]:
    return {"If-Match": f'"{seen.version}"'}
