"""Labels that verdicts give, and take back when they hold no more.

Which label it is, the finding says of which a verdict is. What others made of the label since
stays: only what a verdict gave is taken back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from indexer.catalog.lookup import Place, places_of
from indexer.groups.labels import own_labels, replace_labels


@dataclass(frozen=True)
class Given:
    """A label that a verdict gave.

    Attributes:
        values: of it.
        replaced: the ``uid`` of the study or item, and the ``values`` before.
    """

    values: tuple[str, ...]
    replaced: Mapping[str, Any]


def give_values(
    db: Connection, finding: Mapping[str, Any], uid: str, values: Sequence[str]
) -> dict[str, Any]:
    """Let the label that a finding is about have these values and no others.

    It is changed where it stands: at the item, else at its study; where neither has it, the item
    gets it.

    Args:
        db: a transaction.
        finding: with the name of the ``label``, and the ``study_instance_uid`` of an item.
        uid: of the subject.
        values: one or more.

    Returns:
        what `Given.replaced` is.
    """
    name = str(finding["label"])
    study = str(finding.get("study_instance_uid", uid))
    places = places_of(db, {uid, study})
    having = [each for each in (uid, study) if each in places and _values(db, places[each], name)]
    at = (having or [uid])[0]
    before = _values(db, places[at], name)
    _set(db, places[at], name, values)
    return {"uid": at, "values": list(before)}


def give_back(db: Connection, finding: Mapping[str, Any], given: Given | None) -> None:
    """Bring back the values that were there before, unless somebody changed them since."""
    if given is None:
        return
    name, uid = str(finding["label"]), str(given.replaced["uid"])
    place = places_of(db, [uid]).get(uid)
    if place is not None and _values(db, place, name) == tuple(sorted(given.values)):
        _set(db, place, name, given.replaced["values"])


def _values(db: Connection, place: Place, name: str) -> tuple[str, ...]:
    return own_labels(db, place).get(name, ())


def _set(db: Connection, place: Place, name: str, values: Sequence[str]) -> None:
    others = {each: said for each, said in own_labels(db, place).items() if each != name}
    replace_labels(db, place, {**others, name: tuple(values)})
