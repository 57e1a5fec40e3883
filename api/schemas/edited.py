"""What people wrote, as it stands: labels, saved sets, names of clusters, reviews."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from api.schemas.common import Told
from api.service.curating import labelling, reviews
from api.service.grouping import cluster_names
from indexer.groups.sets import StoredSet


class LabelSheet(Told):
    """The labels of a study as a whole, or of an item alone."""

    uid: str
    study_instance_uid: str
    labels: dict[str, tuple[str, ...]]


class LabelName(Told):
    """A name of labels."""

    name: str
    count: int = Field(description="Of labels of that name.")
    values: dict[str, int] = Field(description="The most frequent, with how many have each.")
    others: int = Field(description="Values that are not listed.")


class Changed(Told):
    """What came of a change of many."""

    changed: int
    unchanged: int = Field(description="That were so before.")


class Tag(Told):
    """A tag."""

    name: str
    count: int = Field(description="Items and studies that have it.")


class SavedSet(Told):
    """A set of items under a name."""

    name: str
    note: str
    kind: Literal["items", "filter", "search"]
    query: dict[str, Any] = Field(description="filter, or the JSON of a search; else empty.")
    items: int | None = Field(description="Fixed ones that are there still; null of a question.")
    made_by: str
    made_at: str = Field(description="ISO time in UTC.")
    changed_by: str
    changed_at: str = Field(description="ISO time in UTC.")
    version: str = Field(description="In quotes it is its ETag.")


class ClusterName(Told):
    """What a cluster is called."""

    run: str
    cluster: int
    name: str = Field(description="That was found for it.")
    given_name: str = Field(description="By a person; empty if nobody gave one.")
    called: str


class Part(Told):
    """What a subject is, or one of the two things that it is."""

    uid: str
    study_instance_uid: str


class Review(Told):
    """How a subject of a queue stands."""

    queue: str
    subject: str = Field(description="A UID or the id of an item; two with a comma between.")
    parts: list[Part]
    verdict: Literal["", "accept", "reject", "skip"] = Field(description="Empty while it is open.")
    comment: str
    by: str
    at: str = Field(description="ISO time in UTC; empty before anybody decided.")
    version: int = Field(description="In quotes it is its ETag.")
    undoable: bool
    claimed_by: str = Field(description="Who is at it; empty for nobody.")
    claimed_until: str = Field(description="ISO time in UTC.")
    finding: dict[str, Any] = Field(
        description="What a job said of it: task, scores, reasons, what is suggested; else empty."
    )
    labels: list[str] = Field(description="That the verdict gave to the label of the finding.")


class ReviewEvent(Told):
    """A verdict, or that one was taken back."""

    number: int
    undo: bool
    verdict: str = Field(description="As it was after this.")
    comment: str
    by: str
    at: str
    labels: list[str]


class Reviewed(Told):
    """A review with its history, oldest first."""

    review: Review
    history: list[ReviewEvent]


class QueueCounts(Told):
    """How many subjects of a queue are in each state."""

    queue: str
    open: int = Field(description="Without a verdict, those that somebody is at among them.")
    claimed: int
    accept: int
    reject: int
    skip: int


class Claimed(Told):
    """Subjects that are the asker's for a while, and how the queue stands."""

    reviews: list[Review]
    counts: QueueCounts


_SCHEMAS: Mapping[type, type[Told]] = {
    labelling.LabelSheet: LabelSheet,
    StoredSet: SavedSet,
    cluster_names.ClusterName: ClusterName,
    reviews.Reviewed: Reviewed,
}


def shown(current: object) -> object:
    """What there is now, as the route that reads it would answer; None where there is nothing."""
    schema = _SCHEMAS.get(type(current))
    return None if schema is None else schema.model_validate(current).model_dump(mode="json")
