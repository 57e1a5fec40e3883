"""How what arrived is cut into windows: by days, or by numbers of studies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from indexer.errors import QueryError


@dataclass(frozen=True)
class Window:
    """A window.

    Attributes:
        name: as people say it.
        first, last: its dates, ``YYYY-MM-DD``, "" where none is known.
        rows: of the items in it.
    """

    name: str
    first: str
    last: str
    rows: tuple[int, ...]


def by_days(dates: Sequence[str], days: int, most: int) -> list[Window]:
    """Windows of so many days, oldest first, those in which nothing came among them.

    They are counted from a fixed Monday, so that windows of seven days are weeks, and a window
    stays the same when others come.

    Args:
        dates: of the items' studies, ``YYYY-MM-DD``; items without one are in no window.
        days: 1 or more.
        most: only so many, the newest.

    Raises:
        QueryError: no item has a date, or the length is none.
    """
    if days < 1:
        raise QueryError(f"a window has 1 day or more, not {days}")
    rows: dict[int, list[int]] = {}
    for row, day in enumerate(dates):
        if day:
            rows.setdefault((date.fromisoformat(day).toordinal() - 1) // days, []).append(row)
    if not rows:
        raise QueryError(
            "no study that passes the filter has a date: take windows by number, as --studies 200"
        )
    newest = max(rows)
    windows = []
    for number in range(max(min(rows), newest - most + 1), newest + 1):
        first = date.fromordinal(number * days + 1)
        last = date.fromordinal((number + 1) * days)
        name = f"{first}" if days == 1 else f"{first} to {last}"
        windows.append(Window(name, f"{first}", f"{last}", tuple(rows.get(number, ()))))
    return windows


def by_studies(studies: Sequence[str], dates: Sequence[str], count: int, most: int) -> list[Window]:
    """Windows of so many studies, oldest first; the last has what is left.

    Studies follow each other by their dates if all have one, else as they came into the library.

    Args:
        studies: whose each item is, in the order in which they came.
        dates: of each item's study.
        count: 1 or more.
        most: only so many, the newest.

    Raises:
        QueryError: the number is none.
    """
    if count < 1:
        raise QueryError(f"a window has 1 study or more, not {count}")
    rows: dict[str, list[int]] = {}
    for row, study in enumerate(studies):
        rows.setdefault(study, []).append(row)
    order = list(rows.values())
    if all(dates):
        order.sort(key=lambda own: dates[own[0]])
    windows = []
    for start in range(0, len(order), count):
        some = order[start : start + count]
        known = sorted(dates[own[0]] for own in some if dates[own[0]])
        windows.append(
            Window(
                f"studies {start + 1:,} to {start + len(some):,}",
                known[0] if known else "",
                known[-1] if known else "",
                tuple(row for own in some for row in own),
            )
        )
    return windows[-most:]
