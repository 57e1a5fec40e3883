"""Saved sets: items under a name, fixed ones or those that a question finds each time."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from indexer.catalog.tables import Item, SavedSet, SavedSetItem, now
from indexer.errors import ItemNotFoundError
from indexer.types import ItemIds

ITEMS, FILTER, SEARCH = KINDS = ("items", "filter", "search")
_BATCH = 500


@dataclass(frozen=True)
class StoredSet:
    """A saved set.

    Attributes:
        id: private to the catalog.
        name: that no other has.
        note: what it is for.
        kind: one of `KINDS`.
        query: ``{"filter": …}``, or the JSON of a search; empty for fixed items.
        items: how many fixed ones are in the library still; None for a question.
        made_by, made_at, changed_by, changed_at: by whom and when, ISO time in UTC.
        version: another one after each change.
    """

    id: int = field(repr=False)
    name: str
    note: str
    kind: str
    query: Mapping[str, Any]
    items: int | None
    made_by: str
    made_at: str
    changed_by: str
    changed_at: str
    version: str


@dataclass(frozen=True)
class SetDraft:
    """A set as it is to be; see `StoredSet`."""

    name: str
    note: str
    kind: str
    query: Mapping[str, Any]


def all_sets(db: Connection) -> list[StoredSet]:
    """By name."""
    return _stored(db, select(SavedSet).order_by(SavedSet.name))


def set_named(db: Connection, name: str) -> StoredSet | None:
    """One by name; None if there is none."""
    found = _stored(db, select(SavedSet).where(SavedSet.name == name))
    return found[0] if found else None


def known_set(db: Connection, name: str) -> StoredSet:
    """One by name.

    Raises:
        ItemNotFoundError: there is none.
    """
    found = set_named(db, name)
    if found is None:
        raise ItemNotFoundError(f"there is no saved set '{name}'")
    return found


def write_set(db: Connection, draft: SetDraft, ids: ItemIds, by: str) -> None:
    """Make a set, or put another in the place of the one of its name."""
    old = set_named(db, draft.name)
    values = {
        "note": draft.note,
        "kind": draft.kind,
        "query": dict(draft.query),
    } | _changed(by)
    if old is None:
        number = db.execute(
            insert(SavedSet).values(name=draft.name, made_by=by, **values).returning(SavedSet.id)
        ).scalar_one()
    else:
        number = old.id
        db.execute(update(SavedSet).where(SavedSet.id == number).values(values))
        db.execute(delete(SavedSetItem).where(SavedSetItem.set_id == number))
    _put(db, number, ids)


def change_items(
    db: Connection, stored: StoredSet, add: ItemIds, remove: ItemIds, by: str
) -> tuple[int, int]:
    """Add items to a set of fixed ones and take others away; how many were, of each."""
    added = _put(db, stored.id, add)
    numbers, removed = remove.tolist(), 0
    for start in range(0, len(numbers), _BATCH):
        mine = SavedSetItem.item_id.in_(numbers[start : start + _BATCH])
        gone = db.execute(delete(SavedSetItem).where(SavedSetItem.set_id == stored.id, mine))
        removed += gone.rowcount
    db.execute(update(SavedSet).where(SavedSet.id == stored.id).values(_changed(by)))
    return added, removed


def change_note(db: Connection, stored: StoredSet, note: str, by: str) -> None:
    """Say something else of a set."""
    mine = update(SavedSet).where(SavedSet.id == stored.id)
    db.execute(mine.values({"note": note} | _changed(by)))


def drop_set(db: Connection, stored: StoredSet) -> None:
    """Delete a set; its items stay in the library."""
    db.execute(delete(SavedSet).where(SavedSet.id == stored.id))


def _put(db: Connection, number: int, ids: ItemIds) -> int:
    """Those that the set has not yet; how many."""
    numbers, added = ids.tolist(), 0
    for start in range(0, len(numbers), _BATCH):
        some = numbers[start : start + _BATCH]
        held = select(SavedSetItem.item_id).where(
            SavedSetItem.set_id == number, SavedSetItem.item_id.in_(some)
        )
        there = set(db.execute(held).scalars())
        rows = [{"set_id": number, "item_id": each} for each in some if each not in there]
        if rows:
            db.execute(insert(SavedSetItem), rows)
        added += len(rows)
    return added


def uids_in(db: Connection, stored: StoredSet) -> list[str]:
    """Public ids of the items of a set of fixed ones, in the order of indexing."""
    query = select(Item.uid).join(SavedSetItem, SavedSetItem.item_id == Item.id)
    mine = query.where(SavedSetItem.set_id == stored.id).order_by(Item.id)
    return list(db.execute(mine).scalars())


def _changed(by: str) -> dict[str, object]:
    return {"changed_by": by, "changed_at": now(), "version": secrets.token_hex(8)}


def _stored(db: Connection, query: Any) -> list[StoredSet]:
    rows = db.execute(query).all()
    held = select(SavedSetItem.set_id, func.count()).group_by(SavedSetItem.set_id)
    counted = held.where(SavedSetItem.set_id.in_([row.id for row in rows]))
    counts = {number: count for number, count in db.execute(counted)}  # noqa: C416 - as in runs
    return [
        StoredSet(
            id=row.id,
            name=row.name,
            note=row.note,
            kind=row.kind,
            query=row.query,
            items=counts.get(row.id, 0) if row.kind == ITEMS else None,
            made_by=row.made_by,
            made_at=row.made_at.isoformat(timespec="seconds"),
            changed_by=row.changed_by,
            changed_at=row.changed_at.isoformat(timespec="seconds"),
            version=row.version,
        )
        for row in rows
    ]
