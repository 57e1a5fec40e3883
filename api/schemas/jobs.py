"""Jobs."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from api.schemas.common import Asked, Told


class JobAsked(Asked):
    """A job to be done; ``GET /jobs/kinds`` has the parameters of each kind."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"kind": "cluster", "parameters": {"name": "all", "method": "hdbscan"}}]
        }
    )

    kind: str = Field(min_length=1, max_length=32)
    parameters: dict[str, Any] = Field(default={}, max_length=64)


class JobTold(Told):
    """A job: what was asked for, how far it is, how it ended."""

    id: str
    kind: str
    parameters: dict[str, Any]
    state: str = Field(description="queued, running, done, failed or stopped.")
    revision: int = Field(description="Grows with every change.")
    what: str = Field(description="Is being done just now.")
    done: int
    total: int = Field(description="0 where it is not known.")
    result: dict[str, Any] | None = Field(description="Without its rows; null until it is done.")
    code: str = Field(description="Why it failed, for machines.")
    error: str
    asked_by: str
    attempts: int
    cancelled: bool = Field(description="Somebody wants it to stop.")
    created_at: str
    started_at: str
    updated_at: str
    ended_at: str


class JobKind(Told):
    """A kind of job."""

    name: str
    about: str
    role: str = Field(description="That asking for it takes.")
    parameters: dict[str, Any] = Field(description="Their JSON Schema.")


class ResultRows(Told):
    """A part of what a job found."""

    rows: list[dict[str, Any]]
    cursor: str = Field(description="Of the next page; empty at the end.")
