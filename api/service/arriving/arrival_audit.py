"""The audit of what arrives over associations or is pulled, and of callers that are kept out.

Patients are not known when an object arrives: an inbox knows UIDs alone, and pseudonyms come with
indexing. Rows are written after the objects were stored, and never stand in their way: what cannot
be written is kept, and tried again.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Self

from api.rate import TokenBuckets
from api.service.access.audit import activity, record
from indexer.catalog.audit import Action, AuditEvent, Ending
from indexer.library import Library

if TYPE_CHECKING:
    from api.dimse.node import AssociationEnded, CallerRefused

_STRANGERS_RATE, _STRANGERS_BURST = 1.0, 30.0
"""Refusals a second that are recorded of one address; each is a row."""
_MOST_REFUSALS = 10_000
"""Rows that wait to be written, beyond which refusals are not kept any more."""
_AGAIN_SECONDS = 5.0


class Rows:
    """Rows in their order, which are kept until they could be written. For several threads.

    Args:
        library: whose audit.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._waiting: list[AuditEvent] = []
        self._guard = threading.Lock()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, event: AuditEvent) -> None:
        """Keep one."""
        with self._guard:
            self._waiting.append(event)

    def write(self) -> None:
        """Write all that are kept; one thread at a time.

        Raises:
            LibraryLockedError, StorageFullError: they cannot be written, and are kept.
        """
        with self._guard:
            taken = list(self._waiting)
        if taken:
            record(self._library, *taken)
        with self._guard:
            del self._waiting[: len(taken)]

    def written(self) -> bool:
        """As `write`; whether it could be done."""
        try:
            self.write()
        except Exception:  # noqa: BLE001 - tried again, and at the end it is raised
            return False
        return True


class ArrivalAudit:
    """Rows about those who send over associations; no sender waits for them. Use it in a ``with``.

    Args:
        library: whose audit.
    """

    def __init__(self, library: Library) -> None:
        self._rows = Rows(library)
        self._strangers = TokenBuckets(_STRANGERS_RATE, _STRANGERS_BURST, clock=time.monotonic)
        self._woken, self._over = threading.Event(), threading.Event()
        self._writer = threading.Thread(target=self._write, name="audit", daemon=True)
        self._started = False

    def started(self) -> None:
        """Objects can be sent from now on; `close` will say until when."""
        self._started = True
        self._add(activity(Action.START, "listen"))

    def ended(self, event: AssociationEnded) -> None:
        """An association ended; one that stored nothing leaves no row."""
        if not event.stored + event.repeated:
            return
        counts = {"stored": event.stored, "repeated": event.repeated, "refused": event.refused}
        self._add(
            AuditEvent(
                actor=event.calling or "not known",
                action=Action.ARRIVE,
                subject={"what": "c-store", **counts},
                origin=event.address,
            )
        )

    def refused(self, event: CallerRefused) -> None:
        """Somebody called who may not; so many a second of one address are recorded."""
        if len(self._rows) >= _MOST_REFUSALS or self._strangers.take(event.address):
            return
        self._add(
            AuditEvent(
                actor=event.calling or "not known",
                action=Action.REFUSE,
                subject={"what": "association", "reason": event.reason},
                outcome=Ending.REFUSED,
                origin=event.address,
            )
        )

    def close(self) -> None:
        """Return when all is written.

        Raises:
            LibraryLockedError, StorageFullError: some rows cannot be written. All objects are safe.
        """
        if self._started:
            self._rows.add(activity(Action.STOP, "listen"))
        self._over.set()
        self._woken.set()
        self._writer.join()
        self._rows.write()

    def __enter__(self) -> Self:
        self._writer.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _add(self, event: AuditEvent) -> None:
        self._rows.add(event)
        self._woken.set()

    def _write(self) -> None:
        while not self._over.is_set():
            self._woken.wait()
            self._woken.clear()
            while not self._rows.written() and not self._over.wait(_AGAIN_SECONDS):
                pass


class PullAudit:
    """Rows about what is fetched from an archive, one a study.

    Args:
        library: whose audit.
        host: of the archive.
        actor: who fetches.
    """

    def __init__(self, library: Library, host: str, actor: str) -> None:
        self._rows, self._host, self._actor = Rows(library), host, actor

    def study(self, uid: str, fetched: int, known: int, *, whole: bool) -> None:
        """What came of a study; one of which all was here before leaves no row."""
        if whole and not fetched:
            return
        self._rows.add(
            AuditEvent(
                actor=self._actor,
                action=Action.ARRIVE,
                subject={
                    "what": "pull",
                    "archive": self._host,
                    "uid": uid,
                    "fetched": fetched,
                    "known": known,
                },
                outcome=Ending.SUCCESS if whole else Ending.FAILED,
            )
        )
        self._rows.written()

    def close(self) -> None:
        """Write what could not be written before.

        Raises:
            LibraryLockedError, StorageFullError: it still cannot. All objects are safe.
        """
        self._rows.write()
