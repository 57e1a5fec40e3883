"""How a library does, what was refused, who has keys, what the audit says."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from api.schemas.common import Asked, Told
from api.service.access.keys import LONGEST_DAYS

RoleName = Literal["monitor", "reader", "curator", "operator", "admin"]


class IndexState(Told):
    """The index of a layer of a space."""

    encoder: str
    of: str = Field(description="items or slices.")
    vectors: int
    recall: float | None = Field(description="At 10, against exact search; null if not measured.")
    target: float


class LibraryState(Told):
    """What changes by the minute, without a patient in it."""

    library: str = Field(description="Id of it, as keys name it.")
    rows: dict[str, int] = Field(description="Of studies, series, instances and items.")
    files: dict[str, int] = Field(description="That were handed in, by what became of them.")
    refused: dict[str, int] = Field(description="Files that are no items, by reason.")
    waiting: int = Field(description="Objects that arrived and are not indexed yet.")
    oldest_seconds: float = Field(description="For how long the first of them has waited.")
    deliveries: dict[str, int] = Field(description="Messages for webhooks, by state.")
    jobs: dict[str, int] = Field(description="That were asked for, by state.")
    jobs_changed_at: str = Field(description="When one of them last did.")
    last_run: int = Field(description="Number of the newest run of indexing.")
    index: list[IndexState]
    disk_bytes: int
    disk_free_bytes: int


class IndexRun(Told):
    """A run of indexing, however it was started."""

    number: int
    state: str = Field(description="running, done, stopped or failed; killed ones stay running.")
    started_at: str
    ended_at: str
    files: int
    items: int
    outcomes: dict[str, int] = Field(description="Files by what became of them.")


class Sources(Told):
    """Where files may come from over HTTP."""

    roots: list[str] = Field(description="Folders of the server below which jobs may index.")
    receives: bool = Field(description="Whether this process takes studies by STOW-RS.")


class Refused(Told):
    """A file that was rejected, or is in conflict with another."""

    source: str = Field(description="Where it lay. Names of files may be those of patients.")
    outcome: Literal["rejected", "conflict"]
    reason: str = Field(description="A code; docs/reasons.md explains it.", examples=["truncated"])
    detail: str
    seen_at: str = Field(description="ISO, in UTC.")


class KeyAsked(Asked):
    """A key to be made."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "viewer", "role": "reader", "days": 90}]}
    )

    name: str = Field(min_length=1, max_length=128, description="Who or what asks with it.")
    role: RoleName = "reader"
    days: int = Field(default=365, ge=1, le=LONGEST_DAYS, description="After which it expires.")
    libraries: list[str] = Field(
        default=[], max_length=64, description="Ids of those it is for; this one if it names none."
    )


class Key(Told):
    """What may be told of a key."""

    prefix: str = Field(description="By which it is named.", examples=["3f9a0c1b2d4e"])
    name: str
    role: RoleName
    libraries: list[str]
    state: Literal["active", "expired", "revoked"]
    created_at: str
    expires_at: str
    last_used_on: str = Field(description="A date, or empty.")
    revoked_at: str


class NewKey(Told):
    """A key that was just made."""

    token: str = Field(description="The whole of it, told only now.")
    key: Key


class AuditRow(Told):
    """A row of the audit."""

    number: int = Field(description="Its place in the chain.")
    readable: bool = Field(description="False of a row that was tampered with.")
    at: str
    actor: str
    action: str = Field(examples=["query"])
    outcome: str = Field(description="success, refused or failed.")
    subject: dict[str, Any]
    patients: list[str] = Field(description="Pseudonyms of those whose data it was.")
    origin: str = Field(description="Address that was asked from.")
    request_id: str
    hash: str
