"""What a UID stands for."""

from __future__ import annotations

from collections.abc import Sequence

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
