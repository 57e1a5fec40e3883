"""Lists page by page: a filter, an order, and a cursor that says where the page before ended."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, and_, or_, select

from indexer.catalog.tables import Item, Patient, Series, Study
from indexer.errors import QueryError
from indexer.filters import parse_filter, sql_condition

MOST = 500
"""Rows of a page."""
_T = TypeVar("_T")


@dataclass(frozen=True)
class Paging:
    """Which part of a list is wanted.

    Attributes:
        filter: an expression of `indexer.filters`: studies and series of which an item passes.
        sort: a name of `api.service.browse.SORTS`, with ``-`` before it for the reverse; "" for the
            order in which things were indexed. An unknown age counts as the lowest.
        cursor: of the page before; "" for the first.
        limit: rows of a page, 1 to `MOST`.
    """

    filter: str = ""
    sort: str = ""
    cursor: str = ""
    limit: int = 50


@dataclass(frozen=True)
class Page(Generic[_T]):
    """A part of a list, and the cursor of what comes after it; "" at the end."""

    rows: list[_T]
    cursor: str


def page_of(
    db: Connection,
    query: Select[Any],
    number: Any,
    sorts: Mapping[str, Any],
    paging: Paging,
    *,
    scope: str = "",
) -> tuple[list[int], str]:
    """Row numbers of a page, and the next cursor: where it ended, in the order asked for.

    Rows are found by comparing with the last one seen, so that what is indexed meanwhile shifts
    nothing.
    """
    check_limit(paging.limit)
    name = paging.sort.removeprefix("-")
    if name and name not in sorts:
        raise QueryError(f"sort is one of {', '.join(sorts)}, with - before it for the reverse")
    down = paging.sort.startswith("-")
    value = sorts[name] if name else number
    if paging.filter.strip():
        query = query.where(number.in_(passing(number, paging.filter)))
    asked = _digest(number.class_.__name__, paging.filter, paging.sort, scope)
    if paging.cursor:
        query = query.where(_after(value, number, _read_cursor(paging.cursor, asked), down=down))
    order = (value.desc(), number.desc()) if down else (value, number)
    query = query.add_columns(value.label("value")).order_by(*order).limit(paging.limit + 1)
    rows = db.execute(query).all()
    shown = rows[: paging.limit]
    more = len(rows) > paging.limit
    return [row[0] for row in shown], _cursor(asked, shown[-1][1], shown[-1][0]) if more else ""


def number_cursor(of: str, number: int) -> str:
    """A cursor of a list that is told by descending row numbers: where it goes on."""
    return base64.urlsafe_b64encode(json.dumps([of, number]).encode()).decode()


def read_number_cursor(of: str, cursor: str) -> int | None:
    """The row number that such a cursor says; None of an empty one.

    Raises:
        QueryError: it is of another list, or none.
    """
    if not cursor:
        return None
    try:
        what, number = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii")))
    except (ValueError, TypeError, RecursionError, binascii.Error):
        what, number = None, None
    if what != of or type(number) is not int or not abs(number) < 1 << 62:
        raise QueryError("the cursor is not of this list: take it from the page before")
    return number


def check_limit(limit: int) -> None:
    """See that a page has a number of rows that it may have.

    Raises:
        QueryError: it has not.
    """
    if not 1 <= limit <= MOST:
        raise QueryError(f"limit is 1 to {MOST}, not {limit}")


def passing(number: Any, expression: str) -> Select[Any]:
    """Numbers of the rows of which an item passes a filter."""
    return (
        select(number)
        .select_from(Item)
        .join(Series)
        .join(Study)
        .join(Patient)
        .where(sql_condition(parse_filter(expression)))
        .correlate(None)
    )


def _after(value: Any, number: Any, last: tuple[Any, int], *, down: bool) -> ColumnElement[bool]:
    at, row = last
    if down:
        return or_(value < at, and_(value == at, number < row))
    return or_(value > at, and_(value == at, number > row))


def _digest(*parts: str) -> str:
    """Of what a list was asked for: a cursor continues this one and no other."""
    said = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.sha256(said).hexdigest()[:16]


def _cursor(asked: str, value: object, number: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([asked, value, number]).encode()).decode()


def _read_cursor(cursor: str, asked: str) -> tuple[Any, int]:
    try:
        said, value, number = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii")))
    except (ValueError, TypeError, RecursionError, binascii.Error):
        said, value, number = None, None, None
    fits = said == asked and type(value) in (str, int, float) and type(number) is int
    if not fits or any(not isinstance(v, str) and not abs(v) < 1 << 62 for v in (value, number)):
        raise QueryError(
            "the cursor is not of this list: take it from the page before, with the same filter "
            "and order, or leave it out for the first page"
        )
    return value, number
