"""Messages for webhooks: written together with what they tell of, kept until they are taken."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from indexer.catalog.tables import Delivery, now

WAITING, DELIVERED, DEAD = "waiting", "delivered", "dead"
STATES = (WAITING, DELIVERED, DEAD)


@dataclass(frozen=True)
class StoredDelivery:
    """A message on its way to one webhook.

    Attributes:
        id: number, rising in the order of creation.
        body: JSON, as it is signed and sent.
        state: one of `STATES`.
        attempts: how often it was sent without success.
        next_at: when it is sent next, in UTC; of a waiting one.
        error: what the last attempt met with.
    """

    id: int
    url: str
    body: str
    state: str
    attempts: int
    next_at: datetime
    error: str
    created_at: datetime


def add_deliveries(db: Connection, urls: Iterable[str], body: str) -> None:
    """Put a message into the outbox for each webhook, in the caller's transaction."""
    for url in urls:
        db.execute(insert(Delivery).values(url=url, body=body))


def list_deliveries(db: Connection, states: Sequence[str] = STATES) -> list[StoredDelivery]:
    """Those in some states, in the order of creation."""
    query = select(Delivery).where(Delivery.state.in_(states)).order_by(Delivery.id)
    return [_stored(row) for row in db.execute(query).mappings()]


def next_delivery(db: Connection, url: str) -> StoredDelivery | None:
    """The oldest that waits for a webhook, whether it is due or not."""
    query = select(Delivery).where(Delivery.url == url, Delivery.state == WAITING)
    row = db.execute(query.order_by(Delivery.id).limit(1)).mappings().first()
    return None if row is None else _stored(row)


def settle(db: Connection, number: int, state: str, next_at: datetime, error: str) -> None:
    """Note what became of an attempt, in the caller's transaction."""
    values = {"state": state, "next_at": next_at, "error": error}
    if state != DELIVERED:
        values["attempts"] = Delivery.attempts + 1
    db.execute(update(Delivery).where(Delivery.id == number).values(**values))


def wait_again(db: Connection, numbers: Sequence[int]) -> None:
    """Let messages that are not delivered start anew at once, in the caller's transaction."""
    values = {"state": WAITING, "attempts": 0, "next_at": now()}
    some = (Delivery.id.in_(numbers), Delivery.state != DELIVERED)
    db.execute(update(Delivery).where(*some).values(**values))


def forget_deliveries(db: Connection, numbers: Sequence[int]) -> None:
    """Delete messages, in the caller's transaction."""
    db.execute(delete(Delivery).where(Delivery.id.in_(numbers)))


def _stored(row: Any) -> StoredDelivery:
    times = {name: row[name].replace(tzinfo=UTC) for name in ("next_at", "created_at")}
    return StoredDelivery(**{**row, **times})
