"""What a UID stands for."""

from __future__ import annotations

from sqlalchemy import String, bindparam, select, union

from indexer.catalog.tables import Instance, Item, ItemInstance, Series, Study

_UID = bindparam("uid", type_=String)
ITEMS_UNDER = union(
    select(Item.id).where(Item.uid == _UID),
    select(ItemInstance.item_id).join(Instance).where(Instance.sop_instance_uid == _UID),
    select(Item.id).join(Series).where(Series.series_instance_uid == _UID),
    select(Item.id).join(Series).join(Study).where(Study.study_instance_uid == _UID),
)
"""Items by their own id or by the UID of any level above, ``uid``; each part goes by an index."""
