"""Which items something is about: those that are named, those that pass a filter, a cluster."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection

from indexer.catalog.lookup import places_of
from indexer.errors import QueryError, UnknownLinesError
from indexer.groups.items import gather_ids
from indexer.groups.runs import members_of, run_named
from indexer.types import ItemIds

MOST_CHOSEN = 100_000
"""Items that one short transaction changes."""
_NUMBER = re.compile(r"-?[0-9]{1,9}")


@dataclass(frozen=True)
class Choice:
    """Which items; exactly one of the three.

    Attributes:
        ids: of items; None for one of the others.
        filter: primary items that pass.
        cluster: name of a clustering and a number, such as ``first:3``.
    """

    ids: Sequence[str] | None = None
    filter: str = ""
    cluster: str = ""


def chosen(db: Connection, choice: Choice, most: float = MOST_CHOSEN) -> ItemIds:
    """Row numbers of the items, ascending.

    Args:
        db: the transaction in which something is done with them.
        choice: which.
        most: how many there may be.

    Raises:
        QueryError: not exactly one way is said, there is no such clustering or cluster, or there
            are too many.
        FilterError: the filter cannot be read.
        UnknownLinesError: some of the ids are of no item.
    """
    said = (choice.ids is not None, bool(choice.filter.strip()), bool(choice.cluster))
    if sum(said) != 1:
        raise QueryError("say which items: by their ids, by a filter or by a cluster")
    if choice.ids is not None:
        return _named(db, choice.ids)
    found = _of_cluster(db, choice.cluster) if choice.cluster else gather_ids(db, choice.filter)
    if len(found) > most:
        raise QueryError(
            f"{len(found):,} items are more than the {most:,} that are changed at once: say fewer"
        )
    return found


def check_known(lines: Sequence[str], known: Sequence[bool], what: str) -> None:
    """See that each of many lines names something.

    Raises:
        UnknownLinesError: some do not; nothing was changed then.
    """
    strange = tuple(at for at, there in enumerate(known) if not there)
    if strange:
        raise UnknownLinesError(
            f"{len(strange):,} of {len(lines):,} lines name no {what} of the library; nothing was "
            "changed",
            strange,
        )


def _named(db: Connection, uids: Sequence[str]) -> ItemIds:
    places = places_of(db, uids)
    items = [places[uid].item if uid in places else None for uid in uids]
    check_known(uids, [item is not None for item in items], "item")
    return np.unique(np.array(items, np.int64))


def _of_cluster(db: Connection, said: str) -> ItemIds:
    name, _, number = said.rpartition(":")
    if not name or not _NUMBER.fullmatch(number):
        raise QueryError(f"a cluster is the name of a clustering and a number, not '{said}'")
    run = run_named(db, name)
    mine = members_of(db, run, int(number))
    if not len(mine):
        raise QueryError(f"'{name}' has no cluster {number}; it has 0 to {run.clusters - 1}")
    return mine
