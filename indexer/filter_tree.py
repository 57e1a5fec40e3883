"""The tree of the filter language: read by `indexer.filters`, compiled there and by stores."""

from __future__ import annotations

from dataclasses import dataclass

WORD = "word"
"""The field of words of reports."""


@dataclass(frozen=True)
class Comparison:
    """``field op value``; of ``in`` the op is ``=`` and there are several values."""

    field: str
    op: str
    values: tuple[str, ...] | tuple[float, ...]


@dataclass(frozen=True)
class Not:
    """The opposite."""

    part: Filter


@dataclass(frozen=True)
class All:
    """Every part holds."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True)
class AnyOf:
    """At least one part holds."""

    parts: tuple[Filter, ...]


Filter = Comparison | Not | All | AnyOf
