"""Saved sets as people keep them, several at once: each change from what it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from api.service import browse
from api.service.curating.choosing import Choice, chosen
from api.service.curating.editing import Author, Expected, plain
from api.service.paging import Page, Paging
from clustering.tables import write_table
from indexer.catalog.database import reading, transaction
from indexer.catalog.lookup import pseudonyms_of_items, uids_of
from indexer.errors import QueryError
from indexer.filters import parse_filter
from indexer.groups.items import gather_ids
from indexer.groups.sets import (
    FILTER,
    ITEMS,
    SEARCH,
    SetDraft,
    StoredSet,
    all_sets,
    change_items,
    change_note,
    drop_set,
    known_set,
    set_named,
    uids_in,
    write_set,
)
from indexer.library import Library
from indexer.types import Hit, ItemIds

_NONE: ItemIds = np.zeros(0, np.int64)


@dataclass(frozen=True)
class SetRequest:
    """What a set is to be: fixed items, or a question.

    Attributes:
        note: what it is for.
        items: that it has from now on; None for a question.
        filter: primary items that pass, each time it is asked; "" for another kind.
        search: the JSON of a search; None for another kind.
    """

    note: str = ""
    items: Choice | None = None
    filter: str = ""
    search: Mapping[str, Any] | None = None

    @property
    def kind(self) -> str:
        """Which of the three it is.

        Raises:
            QueryError: not exactly one is said.
        """
        said = {
            ITEMS: self.items is not None,
            FILTER: bool(self.filter.strip()),
            SEARCH: self.search is not None,
        }
        kinds = [kind for kind, there in said.items() if there]
        if len(kinds) != 1:
            raise QueryError("say what is in the set: items, a filter or a search")
        return kinds[0]


@dataclass(frozen=True)
class SetChange:
    """Items to add to a set and to take away, and what is said of it; None leaves that as it is."""

    add: Choice | None = None
    remove: Choice | None = None
    note: str | None = None


def saved_sets(library: Library) -> list[StoredSet]:
    """All, by name."""
    with reading(library.engine) as db:
        return all_sets(db)


def saved_set(library: Library, name: str) -> StoredSet:
    """One by name.

    Raises:
        ItemNotFoundError: there is none.
    """
    with reading(library.engine) as db:
        return known_set(db, name)


def put_set(
    library: Library, name: str, request: SetRequest, expected: Expected, author: Author
) -> StoredSet:
    """Make a set, or put it in the place of the one of its name.

    Raises:
        QueryError, FilterError, UnknownLinesError: it cannot be such a set.
        ChangedMeanwhileError: there is one, or it is another than the change was made from.
    """
    called, kind = plain("the name of a set", name, 128), request.kind
    if "/" in called or not called.strip("."):
        raise QueryError("the name of a set has no '/', and more than dots: it is an address")
    query: Mapping[str, Any] = request.search or {}
    if kind == FILTER:
        parse_filter(request.filter)
        query = {"filter": request.filter}
    draft = SetDraft(called, plain("a note", request.note, 1_000, empty=True), kind, query)
    with transaction(library.engine) as db:
        before = set_named(db, called)
        expected.check(f"the set '{called}'", before.version if before else "", before)
        ids = _NONE if request.items is None else chosen(db, request.items)
        write_set(db, draft, ids, author.name)
        author.sign(db, pseudonyms_of_items(db, ids.tolist()), items=len(ids))
        return known_set(db, called)


def change_set(
    library: Library, name: str, change: SetChange, expected: Expected, author: Author
) -> StoredSet:
    """Add items to a set of fixed ones, take items away, say something else of it.

    Raises:
        ItemNotFoundError: there is no such set.
        QueryError, FilterError, UnknownLinesError: the change cannot be made so.
        ChangedMeanwhileError: it is another set than the change was made from.
    """
    with transaction(library.engine) as db:
        before = known_set(db, name)
        expected.check(f"the set '{name}'", before.version, before)
        if (change.add or change.remove) and before.kind != ITEMS:
            raise QueryError(f"the set '{name}' is a question: it has no items of its own")
        add, remove = (
            _NONE if each is None else chosen(db, each) for each in (change.add, change.remove)
        )
        if change.note is not None:
            note = plain("a note", change.note, 1_000, empty=True)
            change_note(db, before, note, author.name)
        if change.add or change.remove:
            change_items(db, before, add, remove, author.name)
        touched = np.union1d(add, remove).tolist()
        author.sign(db, pseudonyms_of_items(db, touched), items=len(touched))
        return known_set(db, name)


def delete_set(library: Library, name: str, expected: Expected, author: Author) -> None:
    """Delete a set; its items stay in the library.

    Raises:
        ItemNotFoundError: there is no such set.
        ChangedMeanwhileError: it is another set than was seen.
    """
    with transaction(library.engine) as db:
        before = known_set(db, name)
        expected.check(f"the set '{name}'", before.version, before)
        drop_set(db, before)
        author.sign(db, ())


def set_items(library: Library, name: str, paging: Paging) -> Page[Hit]:
    """A page of the items of a set, sorted as items are; of a filter those that pass now.

    Raises:
        ItemNotFoundError: there is no such set.
        FilterError: the filter cannot be read.
        QueryError: it is a search, which is asked as one; or the page is none.
    """
    stored = saved_set(library, name)
    if stored.kind == SEARCH:
        raise QueryError(f"the set '{name}' is a search: ask it as one, with what it has as query")
    if stored.kind == FILTER:
        return browse.passing(library, stored.query["filter"], paging)
    return browse.in_set(library, stored.id, paging)


def export_set(library: Library, name: str, path: Path) -> int:
    """Write the ids of a set's items as CSV, Parquet or JSON; returns the lines.

    Of a filter they are those that pass now.

    Raises:
        ItemNotFoundError: there is no such set.
        QueryError: it is a search.
        ConfigError: the ending is another.
        StorageFullError: it cannot be written.
    """
    with reading(library.engine) as db:
        stored = known_set(db, name)
        if stored.kind == SEARCH:
            raise QueryError(f"the set '{name}' is a search, not a list of ids")
        query = stored.query.get("filter", "")
        uids = uids_of(db, gather_ids(db, query).tolist()) if query else uids_in(db, stored)
    write_table([{"uid": uid} for uid in uids], path, ("uid",))
    return len(uids)
