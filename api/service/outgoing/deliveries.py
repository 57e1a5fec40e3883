"""Messages in the outbox: list them, send them anew, drop them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from api.service.outgoing.webhooks import shown
from indexer.catalog.database import reading, transaction
from indexer.errors import QueryError
from indexer.groups.outbox import (
    DEAD,
    STATES,
    WAITING,
    StoredDelivery,
    forget_deliveries,
    list_deliveries,
    wait_again,
)
from indexer.library import Library


@dataclass(frozen=True)
class Listed:
    """A message on its way to one webhook, without its data; as `StoredDelivery` has it.

    Attributes:
        delivery: its number.
        message: id, the same at all webhooks.
        event: ``flag`` or ``drift``.
    """

    delivery: int
    webhook: str
    message: str
    event: str
    state: str
    attempts: int
    next_at: str
    error: str
    created_at: str


def listed(library: Library, state: str = "") -> list[Listed]:
    """Messages in the order of creation; those in one state, "" for all that are not delivered.

    Raises:
        QueryError: there is no such state.
    """
    if state not in ("", *STATES):
        raise QueryError(f"the states of a message are {', '.join(STATES)}, not '{state}'")
    found = []
    for each in _stored(library, [state] if state else [WAITING, DEAD]):
        told = json.loads(each.body)
        found.append(
            Listed(
                each.id,
                shown(each.url),
                told["id"],
                told["event"],
                each.state,
                each.attempts,
                each.next_at.isoformat(timespec="seconds") if each.state == WAITING else "",
                each.error,
                told["created_at"],
            )
        )
    return found


def retry(library: Library, numbers: Sequence[int] = ()) -> list[int]:
    """Let messages be sent anew from the next watch on: those of some numbers, or all dead ones.

    Raises:
        QueryError: no such message waits or is dead.
    """
    chosen = _chosen(library, numbers) or [each.id for each in _stored(library, [DEAD])]
    with transaction(library.engine) as db:
        wait_again(db, chosen)
    return chosen


def drop(library: Library, numbers: Sequence[int]) -> list[int]:
    """Delete messages that wait or are dead; they are never sent.

    Raises:
        QueryError: no such message waits or is dead.
    """
    chosen = _chosen(library, numbers)
    with transaction(library.engine) as db:
        forget_deliveries(db, chosen)
    return chosen


def _stored(library: Library, states: Sequence[str]) -> list[StoredDelivery]:
    with reading(library.engine) as db:
        return list_deliveries(db, states)


def _chosen(library: Library, numbers: Sequence[int]) -> list[int]:
    known = {each.id for each in _stored(library, [WAITING, DEAD])}
    for number in numbers:
        if number not in known:
            raise QueryError(
                f"no message {number} waits or is dead; list them with: syntopy ood deliveries list"
            )
    return list(numbers)
