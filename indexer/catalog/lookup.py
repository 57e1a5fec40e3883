"""What a UID stands for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, String, bindparam, or_, select, union

from indexer.catalog.tables import Instance, Item, ItemInstance, Patient, Series, Study

_UID = bindparam("uid", type_=String)
ITEMS_UNDER = union(
    select(Item.id).where(Item.uid == _UID),
    select(ItemInstance.item_id).join(Instance).where(Instance.sop_instance_uid == _UID),
    select(Item.id).join(Series).where(Series.series_instance_uid == _UID),
    select(Item.id).join(Series).join(Study).where(Study.study_instance_uid == _UID),
)
"""Items by their own id or by the UID of any level above, ``uid``; each part goes by an index."""
_PART = 300


class Place(NamedTuple):
    """Row numbers of a study, and of one item of it; None for all of it."""

    study: int
    item: int | None


def places_of(db: Connection, uids: Collection[str]) -> dict[str, Place]:
    """What Study Instance UIDs and ids of items stand for; those that are not known are missing."""
    found: dict[str, Place] = {}
    asked = sorted(set(uids))
    for start in range(0, len(asked), _PART):
        some = asked[start : start + _PART]
        items = select(Item.uid, Item.id, Series.study_id).join(Series).where(Item.uid.in_(some))
        found |= {uid: Place(study, item) for uid, item, study in db.execute(items)}
        studies = select(Study.study_instance_uid, Study.id).where(
            Study.study_instance_uid.in_(some)
        )
        found |= {uid: Place(study, None) for uid, study in db.execute(studies)}
    return found


def study_numbers(db: Connection, uids: Collection[str]) -> dict[str, int]:
    """The row number of the study that each UID stands for: of itself, a series or an item."""
    found = {uid: place.study for uid, place in places_of(db, uids).items()}
    left = sorted(set(uids) - set(found))
    for start in range(0, len(left), _PART):
        series = select(Series.series_instance_uid, Series.study_id).where(
            Series.series_instance_uid.in_(left[start : start + _PART])
        )
        found |= {uid: study for uid, study in db.execute(series)}  # noqa: C416 - rows, to mypy
    return found


def pseudonyms_of(db: Connection, uids: Sequence[str]) -> tuple[str, ...]:
    """Whose studies, series and items these UIDs and ids stand for; sorted, each once."""
    found: set[str] = set()
    for start in range(0, len(uids), _PART):
        some = uids[start : start + _PART]
        named = or_(
            Study.study_instance_uid.in_(some),
            Study.id.in_(select(Series.study_id).where(Series.series_instance_uid.in_(some))),
            Study.id.in_(select(Series.study_id).join(Item).where(Item.uid.in_(some))),
        )
        found |= set(db.execute(select(Patient.pseudonym).join(Study).where(named)).scalars())
    return tuple(sorted(found))


def uids_of(db: Connection, ids: Sequence[int]) -> list[str]:
    """Public ids of items by their row numbers, in the same order; all have to be there."""
    found: dict[int, str] = {}
    for start in range(0, len(ids), _PART):
        some = select(Item.id, Item.uid).where(Item.id.in_(ids[start : start + _PART]))
        found |= {number: uid for number, uid in db.execute(some)}  # noqa: C416 - rows, to mypy
    return [found[number] for number in ids]


def pseudonyms_of_items(db: Connection, ids: Sequence[int]) -> tuple[str, ...]:
    """Whose items these are, by their row numbers; sorted, each once."""
    found: set[str] = set()
    whose = select(Patient.pseudonym).select_from(Item).join(Series).join(Study).join(Patient)
    for start in range(0, len(ids), _PART):
        some = whose.where(Item.id.in_(ids[start : start + _PART]))
        found |= set(db.execute(some).scalars())
    return tuple(sorted(found))
