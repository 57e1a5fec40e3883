"""How many studies have which value of each field, among those that pass a filter."""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, select

from indexer.catalog.database import reading
from indexer.catalog.tables import Item, Label, Patient, Series, Study
from indexer.filters import Filter, parse_filter, sql_condition
from indexer.library import Library
from indexer.searching.gallery import revision_of
from indexer.types import ItemIds, Role

MOST_VALUES = 50
"""Values that are told of a field; how many more there are is told as a number."""
_MOST_ANSWERS = 256
_IN_ORDER = frozenset({"age", "year"})
"""Fields whose values come in their own order, not the most frequent first."""
_FIELDS = ("modality", "body_part", "view", "sex", "age", "year", "manufacturer")


@dataclass(frozen=True)
class FacetValue:
    """A value of a field, and how many studies have it."""

    value: str
    studies: int


@dataclass(frozen=True)
class Facet:
    """A field with its values.

    Attributes:
        field: ``modality``, ``body_part``, ``view``, ``sex``, ``age`` (decades, such as
            ``60-69``), ``year``, ``manufacturer``, or ``label:NAME``.
        values: the most frequent first, of age and year in their order; at most `MOST_VALUES`.
        more: how many values are not among them.
        unknown: studies without any value.
    """

    field: str
    values: tuple[FacetValue, ...]
    more: int
    unknown: int


@dataclass(frozen=True)
class FacetAnswer:
    """Facets of what passes a filter: ``studies`` and ``items`` are how many do."""

    studies: int
    items: int
    facets: tuple[Facet, ...]


@dataclass(frozen=True)
class _Field:
    """Places of items (in `_Columns`) and the numbers of the values they have, in pairs."""

    place: np.ndarray
    code: np.ndarray
    values: Sequence[str]


@dataclass(frozen=True)
class _Columns:
    """Primary items, ascending, the study of each, and all fields."""

    ids: ItemIds
    study: ItemIds
    fields: dict[str, _Field]


class FacetCounts:
    """Counts for one library; it may be used by several threads.

    Fields are read when the catalog has changed, and answers remembered until it changes again.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._lock = threading.Lock()
        self._revision = -1
        self._columns: _Columns | None = None
        self._answers: OrderedDict[Filter | None, FacetAnswer] = OrderedDict()

    def count(self, expression: str = "") -> FacetAnswer:
        """Studies with a primary item that passes a filter, by the values of every field.

        Raises:
            FilterError: the filter cannot be read.
        """
        tree = parse_filter(expression) if expression.strip() else None
        with self._lock, reading(self._library.engine) as db:
            revision = revision_of(db)
            if self._columns is None or revision != self._revision:
                self._columns, self._revision = _read(db), revision
                self._answers.clear()
            if tree not in self._answers:
                self._answers[tree] = _counted(self._columns, _passing(db, self._columns, tree))
            self._answers.move_to_end(tree)
            if len(self._answers) > _MOST_ANSWERS:
                self._answers.popitem(last=False)
            return self._answers[tree]


def _passing(db: Connection, columns: _Columns, tree: Filter | None) -> np.ndarray:
    """Which of the items pass, as a mask."""
    if tree is None:
        return np.ones(len(columns.ids), bool)
    query = select(Item.id).select_from(Item).join(Series).join(Study).join(Patient)
    rows = db.execute(query.where(Item.role == Role.PRIMARY, sql_condition(tree))).scalars()
    passes = np.zeros(len(columns.ids), bool)
    passes[np.searchsorted(columns.ids, np.fromiter(rows, np.int64))] = True
    return passes


def _counted(columns: _Columns, passes: np.ndarray) -> FacetAnswer:
    studies = len(np.unique(columns.study[passes]))
    facets = (
        _facet(name, field, columns.study, passes, studies)
        for name, field in columns.fields.items()
    )
    return FacetAnswer(studies, int(passes.sum()), tuple(each for each in facets if each.values))


def _facet(name: str, field: _Field, study: ItemIds, passes: np.ndarray, studies: int) -> Facet:
    """Each pair of a study and a value counts once, however many items have it."""
    seen = passes[field.place]
    pairs = np.unique(study[field.place[seen]] * len(field.values) + field.code[seen])
    owner, code = np.divmod(pairs, max(1, len(field.values)))
    counts = np.bincount(code, minlength=len(field.values))
    order = sorted(
        np.flatnonzero(counts).tolist(),
        key=lambda at: (0 if name in _IN_ORDER else -counts[at], _natural(field.values[at])),
    )
    told = tuple(FacetValue(field.values[at], int(counts[at])) for at in order[:MOST_VALUES])
    return Facet(name, told, len(order) - len(told), studies - len(np.unique(owner)))


def _natural(value: str) -> tuple[int, str]:
    """Decades and years by their number, all else by its letters."""
    first = value.partition("-")[0]
    return (int(first) if first.isdecimal() else 0, value)


def _read(db: Connection) -> _Columns:
    rows = db.execute(
        select(
            Item.id,
            Series.study_id,
            Series.modality,
            Series.body_part,
            Series.view,
            Study.sex,
            Study.age_years,
            Study.study_date,
            Series.manufacturer,
        )
        .select_from(Item)
        .join(Series)
        .join(Study)
        .where(Item.role == Role.PRIMARY)
        .order_by(Item.id)
    ).all()
    ids = np.array([row.id for row in rows], np.int64)
    study = np.array([row.study_id for row in rows], np.int64)
    told = {
        "modality": [row.modality for row in rows],
        "body_part": [row.body_part for row in rows],
        "view": [row.view for row in rows],
        "sex": [row.sex for row in rows],
        "age": [_decade(row.age_years) for row in rows],
        "year": [row.study_date[:4] for row in rows],
        "manufacturer": [row.manufacturer for row in rows],
    }
    fields = {name: _field(enumerate(told[name])) for name in _FIELDS}
    return _Columns(ids, study, fields | _labels(db, ids, study))


def _decade(age: float | None) -> str:
    if age is None:
        return ""
    first = int(age) // 10 * 10
    return f"{first}-{first + 9}"


def _labels(db: Connection, ids: ItemIds, study: ItemIds) -> dict[str, _Field]:
    """Labels of a study are those of each of its items."""
    order = np.argsort(study, kind="stable")
    sorted_study = study[order]
    given: dict[str, list[tuple[int, str]]] = defaultdict(list)
    query = select(Label.study_id, Label.item_id, Label.name, Label.value).order_by(Label.name)
    for owner, item, name, value in db.execute(query):
        if item is None:
            first, last = np.searchsorted(sorted_study, (owner, owner + 1))
            given[name] += ((place, value) for place in order[first:last].tolist())
        else:
            place = int(np.searchsorted(ids, item))
            if place < len(ids) and ids[place] == item:
                given[name].append((place, value))
    return {f"label:{name}": _field(pairs) for name, pairs in given.items()}


def _field(pairs: Iterable[tuple[int, str]]) -> _Field:
    """A field of (place, value) pairs; an empty value is none."""
    codes: dict[str, int] = {}
    found = [(place, codes.setdefault(value, len(codes))) for place, value in pairs if value]
    places, numbers = zip(*found, strict=True) if found else ((), ())
    return _Field(np.array(places, np.int64), np.array(numbers, np.int64), tuple(codes))
