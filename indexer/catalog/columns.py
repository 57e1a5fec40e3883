"""Columns of very many rows as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike
from sqlalchemy import Connection, Select, func, select


def columns(
    db: Connection, query: Select[*tuple[Any, ...]], kinds: Sequence[DTypeLike] = ()
) -> list[np.ndarray]:
    """The columns of a query, numbers that are never NULL; rows are in no order.

    SQLite joins each column to one text that NumPy reads: a tenth of the time of a million rows.

    Args:
        db: the catalog.
        query: of them.
        kinds: of each, int64 where nothing is said; 15 digits of a fraction are kept.
    """
    rows = query.subquery()
    said = db.execute(select(*(func.group_concat(column) for column in rows.c))).one()
    return [
        np.fromstring(column or "", np.dtype(kind), sep=",")
        for column, kind in zip(said, kinds or [np.int64] * len(said), strict=True)
    ]
