"""Which instances a library has already, so that they need not be fetched again."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import islice

from sqlalchemy import select

from indexer.catalog.database import reading
from indexer.catalog.tables import Instance, LedgerRow
from indexer.library import Library
from indexer.receiving.inbox import Inbox, uid_key
from indexer.types import Outcome

_PART = 500


class Known:
    """What is in the inbox, indexed or not, and what was indexed from anywhere else.

    A file elsewhere that was rejected does not count: the archive may have a better one. What lies
    in the inbox counts also where it was rejected: the archive would send the same again.

    Args:
        library: whose catalog.
        inbox: of that library.
    """

    def __init__(self, library: Library, inbox: Inbox) -> None:
        self._library, self._inbox = library, inbox
        self._keys: set[str] = set()
        self._settled: set[str] = set()
        """Days on which nothing comes any more."""

    def missing(self, sop_instance_uids: Iterable[str]) -> list[str]:
        """Those of some SOP Instance UIDs that the library has not, in their order."""
        self._look()
        rest = [uid for uid in sop_instance_uids if uid_key(uid) not in self._keys]
        indexed = self._indexed(rest)
        return [uid for uid in rest if uid not in indexed]

    def _look(self) -> None:
        """Note what has come; earlier days are looked at once, the last two each time."""
        days = [each for each in self._inbox.days() if each.name not in self._settled]
        for day in days:
            with os.scandir(day) as entries:
                self._keys |= {entry.name.partition("-")[0] for entry in entries}
        self._settled |= {day.name for day in days[:-2]}

    def _indexed(self, uids: list[str]) -> set[str]:
        found: set[str] = set()
        remaining = iter(uids)
        with reading(self._library.engine) as db:
            while part := list(islice(remaining, _PART)):
                file = select(LedgerRow.sop_instance_uid).where(
                    LedgerRow.sop_instance_uid.in_(part), LedgerRow.outcome != Outcome.REJECTED
                )
                instance = select(Instance.sop_instance_uid).where(
                    Instance.sop_instance_uid.in_(part)
                )
                found |= set(db.execute(file.union(instance)).scalars())
        return found
