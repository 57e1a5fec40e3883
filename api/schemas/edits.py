"""What people write: labels, tags, saved sets, names of clusters, decisions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from api.schemas.common import Asked
from api.schemas.search import SearchAsked
from api.service.curating.choosing import Choice
from api.service.curating.labelling import MOST
from api.service.curating.reviews import LONGEST_CLAIM, LONGEST_COMMENT, MOST_CLAIMED, Decision
from api.service.curating.sets import SetChange, SetRequest
from indexer.groups.labels import LabelLine

Name = Annotated[str, Field(min_length=1, max_length=64)]
Value = Annotated[str, Field(min_length=1, max_length=1_000)]
UidText = Annotated[str, Field(min_length=1, max_length=64)]


def _example(**said: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [said]})


# -- labels and tags ------------------------------------------------------------------------------


class LabelsAsked(Asked):
    """All labels that a study or an item is to have."""

    model_config = _example(labels={"finding": ["effusion"], "quality": ["good"]})

    labels: dict[Name, list[Value]] = Field(max_length=1_000)


class LabelAsked(Asked):
    """A label of a study or an item."""

    uid: UidText
    name: Name
    value: Value

    def as_line(self) -> LabelLine:
        """As the service takes it."""
        return LabelLine(self.uid, self.name, self.value)


class LabelsChange(Asked):
    """Labels to give, or to take away."""

    model_config = _example(lines=[{"uid": "1.2.3", "name": "finding", "value": "effusion"}])

    lines: list[LabelAsked] = Field(max_length=MOST)
    remove: bool = Field(default=False, description="Take them away.")


class Which(Asked):
    """Which items: exactly one of the three."""

    model_config = _example(filter="modality=CT and age>=60")

    ids: list[UidText] | None = Field(default=None, max_length=MOST)
    filter: str = Field(default="", max_length=900_000, description="Primary items that pass.")
    cluster: str = Field(default="", max_length=160, examples=["first:3"])

    def as_choice(self) -> Choice:
        """As the service takes it."""
        return Choice(self.ids, self.filter, self.cluster)


class TagChange(Which):
    """Items to tag, or to take the tag from."""

    remove: bool = Field(default=False, description="Take it away.")


class LabelItemsAsked(Which):
    """Items that a label is given to, or taken from."""

    model_config = _example(name="finding", value="effusion", cluster="first:3")

    name: Name
    value: Value
    remove: bool = Field(default=False, description="Take it away.")


# -- saved sets -----------------------------------------------------------------------------------


class SetAsked(Asked):
    """What a set is to be: exactly one of items, filter and search."""

    model_config = _example(note="to be read by two", filter="label:tag=pilot")

    note: str = Field(default="", max_length=1_000)
    items: Which | None = Field(default=None, description="That it has from now on.")
    filter: str = Field(default="", max_length=900_000, description="Asked anew each time.")
    search: SearchAsked | None = Field(default=None, description="Asked anew by POST /v1/search.")

    def as_request(self) -> SetRequest:
        """As the service takes it."""
        search = None
        if self.search is not None:
            search = self.search.model_dump(mode="json", exclude_unset=True)
        return SetRequest(self.note, _choice(self.items), self.filter, search)


class SetChangeAsked(Asked):
    """Items to add and to take away; the note where it is not null."""

    model_config = _example(add={"ids": ["1.2.3"]})

    add: Which | None = None
    remove: Which | None = None
    note: str | None = Field(default=None, max_length=1_000)

    def as_change(self) -> SetChange:
        """As the service takes it."""
        return SetChange(_choice(self.add), _choice(self.remove), self.note)


def _choice(which: Which | None) -> Choice | None:
    return None if which is None else which.as_choice()


# -- names of clusters ----------------------------------------------------------------------------


class ClusterNameAsked(Asked):
    """The name that a cluster is to have."""

    model_config = _example(given_name="portable, with devices")

    given_name: str = Field(max_length=128, description="Empty brings back the one found.")


# -- reviews --------------------------------------------------------------------------------------


class SubjectsAsked(Asked):
    """Subjects for a queue: of each one or two UIDs."""

    model_config = _example(subjects=[["1.2.3"], ["1.2.4", "1.2.5"]])

    subjects: list[list[UidText]] = Field(max_length=MOST)


class DecisionAsked(Asked):
    """What is decided about a subject."""

    model_config = _example(verdict="accept", comment="the same picture twice")

    verdict: Literal["", "accept", "reject", "skip"]
    comment: str = Field(default="", max_length=LONGEST_COMMENT)
    labels: list[Value] = Field(
        default=[],
        max_length=100,
        description="With accept: the values of the label that the finding is about.",
    )

    def as_decision(self) -> Decision:
        """As the service takes it."""
        return Decision(self.verdict, self.comment, tuple(self.labels))


class NextAsked(Asked):
    """How many open subjects are wanted, and for how long."""

    model_config = _example(count=3, minutes=10)

    count: int = Field(default=1, ge=1, le=MOST_CLAIMED)
    minutes: float = Field(default=5.0, gt=0, le=LONGEST_CLAIM)


class ReleaseAsked(Asked):
    """Subjects that others may have."""

    model_config = _example(subjects=["1.2.3"])

    subjects: list[Annotated[str, Field(min_length=1, max_length=140)]] = Field(max_length=200)
