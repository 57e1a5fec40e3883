"""Where watches stand: how far the arrivals were judged, and the windows of each group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from indexer.catalog.tables import Monitor, now
from indexer.groups.references import StoredReference

ARRIVALS = "arrivals"
"""Under this name stands how far arrivals were judged; all other names are groups."""
_LONGEST = 200


def monitor_state(
    db: Connection, reference: StoredReference, watched: str
) -> dict[str, Any] | None:
    """What was kept under a name, None if nothing was."""
    query = select(Monitor.state).where(
        Monitor.reference_id == reference.id, Monitor.watched == watched[:_LONGEST]
    )
    found: dict[str, Any] | None = db.execute(query).scalar_one_or_none()
    return found


def keep_monitor(
    db: Connection, reference: StoredReference, watched: str, state: Mapping[str, Any]
) -> None:
    """Keep something under a name, in the caller's transaction, in place of what was there."""
    key = {"reference_id": reference.id, "watched": watched[:_LONGEST]}
    values = {"state": dict(state), "updated_at": now()}
    statement = upsert(Monitor).values(**key, **values)
    db.execute(statement.on_conflict_do_update(index_elements=[*key], set_=values))


def move_on(db: Connection, reference: StoredReference, after: int) -> None:
    """Note how far arrivals are judged: ``seq`` of the last vector; in the caller's transaction.

    As its first statement this keeps other writers out, even of a reference that is gone: what the
    transaction then reads stays true.
    """
    key = (Monitor.reference_id == reference.id, Monitor.watched == ARRIVALS)
    values = {"state": {"after": after}, "updated_at": now()}
    db.execute(update(Monitor).where(*key).values(**values))


def group_states(db: Connection, reference: StoredReference) -> dict[str, dict[str, Any]]:
    """What was kept of all groups, sorted by name."""
    query = select(Monitor.watched, Monitor.state).where(
        Monitor.reference_id == reference.id, Monitor.watched != ARRIVALS
    )
    return {row.watched: row.state for row in db.execute(query.order_by(Monitor.watched))}


def forget_group(db: Connection, reference: StoredReference, watched: str) -> None:
    """Forget what was kept of a group, in the caller's transaction."""
    db.execute(
        delete(Monitor).where(Monitor.reference_id == reference.id, Monitor.watched == watched)
    )
