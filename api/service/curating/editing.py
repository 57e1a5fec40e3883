"""Changes that several people make: what each was made from, and whose it is.

A change is made from a version, a tag, that whoever makes it has seen. If there is another one by
now, nothing is changed and they hear what there is. The change, the look at the version and the
row of the audit are one transaction.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from indexer.catalog.audit import AuditEvent, append
from indexer.errors import ChangedMeanwhileError, QueryError


@dataclass
class Author:
    """Who changes something.

    Attributes:
        name: is kept with the change.
        event: becomes the row of the audit; None where no audit is kept.
        signed: whether it did; if its transaction then fails, that row is not there either.
    """

    name: str
    event: AuditEvent | None = None
    signed: bool = False

    def sign(self, db: Connection, patients: Sequence[str], **subject: object) -> None:
        """Record the change in its own transaction.

        Args:
            db: the transaction.
            patients: pseudonyms of those whose data was changed.
            subject: what else is recorded: counts, codes and UIDs, never words.
        """
        if self.event is not None:
            told = {**self.event.subject, **subject}
            append(db, [replace(self.event, patients=tuple(patients), subject=told)])
            self.signed = True


@dataclass(frozen=True)
class Expected:
    """What a change was made from, as ``If-Match`` and ``If-None-Match`` say it.

    Attributes:
        tags: any of these versions.
        anything: whatever there is, but something.
        nothing: there is nothing yet.
    """

    tags: frozenset[str] = frozenset()
    anything: bool = False
    nothing: bool = False

    def check(self, what: str, tag: str, current: object = None) -> None:
        """See that it is so.

        Args:
            what: name of the thing, for the message.
            tag: of what there is; "" where there is nothing.
            current: what there is.

        Raises:
            ChangedMeanwhileError: it is not.
        """
        if self.nothing:
            met, said = not tag, "is there already: change it with If-Match"
        elif not tag:
            met, said = False, "is not there, or not any more"
        else:
            met, said = self.anything or tag in self.tags, "was changed meanwhile: look again"
        if not met:
            raise ChangedMeanwhileError(f"{what} {said}", current, tag)


def digest(content: object) -> str:
    """A tag of what JSON can say."""
    said = json.dumps(content, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(said.encode()).hexdigest()[:32]


def plain(what: str, text: str, longest: int, *, empty: bool = False) -> str:
    """A text on one line, without the spaces around it.

    Raises:
        QueryError: it is empty or too long, or has characters that cannot be shown.
    """
    said = text.strip()
    if (not said and not empty) or len(said) > longest or not said.isprintable():
        raise QueryError(f"{what} has {0 if empty else 1} to {longest:,} printable characters")
    return said


def plain_labels(labels: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Names and values of labels, each value once, sorted; names without values are left out.

    Raises:
        QueryError: a name or a value cannot be one, or there are two names that differ in spaces.
    """
    found = {
        plain("the name of a label", name, 64): {plain("a label", each, 1_000) for each in values}
        for name, values in labels.items()
    }
    if len(found) < len(labels):
        raise QueryError("a label is named twice")
    return {name: tuple(sorted(values)) for name, values in sorted(found.items()) if values}
