"""Stand-in until wt-h7 is merged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, func, select

from indexer.catalog.tables import Item, Patient, Series, Study
from indexer.filters import Filter, sql_condition
from indexer.library import Library
from indexer.types import ItemIds, Role


@dataclass(frozen=True)
class Allowed:
    """Items that pass."""

    ids: ItemIds | None
    count: int


class Gallery:
    """What is allowed."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def allowed(self, db: Connection, tree: Filter | None, roles: frozenset[Role]) -> Allowed:
        """Items."""
        query = (
            select(Item.id)
            .select_from(Item)
            .join(Series)
            .join(Study)
            .join(Patient)
            .where(Item.role.in_([r.value for r in roles]))
            .order_by(Item.id)
        )
        if tree is not None:
            query = query.where(sql_condition(tree))
        ids = np.array(list(db.execute(query).scalars()), np.int64)
        ids.flags.writeable = False
        total = db.execute(select(func.count(Item.id))).scalar_one()
        return Allowed(None if len(ids) == total else ids, len(ids))

    def study_of(self, db: Connection, items: ItemIds) -> ItemIds:
        """Row number of the study of each item, -1 if it is gone."""
        return self._of(db, items, Series.study_id)

    def patient_of(self, db: Connection, items: ItemIds) -> ItemIds:
        """Row number of the patient of each item, -1 if it is gone."""
        return self._of(db, items, Study.patient_id)

    def _of(self, db: Connection, items: ItemIds, column: object) -> ItemIds:
        rows = db.execute(
            select(Item.id, column)  # type: ignore[call-overload]
            .select_from(Item)
            .join(Series)
            .join(Study)
            .where(Item.id.in_([int(i) for i in items]))
        ).all()
        found = dict(tuple(row) for row in rows)
        return np.array([found.get(int(i), -1) for i in items], np.int64)
