"""How many studies have which value of each field, among those that pass a filter."""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, select

from api.service.facet_words import ReportWords
from indexer.catalog.database import reading
from indexer.catalog.tables import Item, Label, Patient, Series, Study
from indexer.filter_tree import WORD
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
            ``60-69``), ``year``, ``manufacturer``, ``label:NAME``, or ``word`` (of reports).
        values: the most frequent first, of age and year in their order; at most `MOST_VALUES`.
        more: how many values are not among them.
        unknown: studies without any value; of words, without a report.
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
    """Primary items, ascending, the study of each, and all fields; their studies, ascending."""

    ids: ItemIds
    study: ItemIds
    fields: dict[str, _Field]
    studies: ItemIds
    words: ReportWords


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
                self._columns, self._revision = self._read(db), revision
                self._answers.clear()
            if tree not in self._answers:
                passes = _passing(db, self._columns, tree)
                self._answers[tree] = _counted(db, self._columns, passes)
            self._answers.move_to_end(tree)
            if len(self._answers) > _MOST_ANSWERS:
                self._answers.popitem(last=False)
            return self._answers[tree]

    def _read(self, db: Connection) -> _Columns:
        """All fields anew; the words of reports only if a report is another one."""
        ids, study, patient, fields = _read(db)
        studies, first = np.unique(study, return_index=True)
        patients, held = patient[first], self._columns
        if held and held.words.still_hold(db, self._revision, studies, patients):
            words = held.words
        else:
            words = ReportWords(db, self._library.key, studies, patients)
        return _Columns(ids, study, fields, studies, words)


def _passing(db: Connection, columns: _Columns, tree: Filter | None) -> np.ndarray:
    """Which of the items pass, as a mask."""
    if tree is None:
        return np.ones(len(columns.ids), bool)
    query = select(Item.id).select_from(Item).join(Series).join(Study).join(Patient)
    rows = db.execute(query.where(Item.role == Role.PRIMARY, sql_condition(tree))).scalars()
    passes = np.zeros(len(columns.ids), bool)
    passes[np.searchsorted(columns.ids, np.fromiter(rows, np.int64))] = True
    return passes


def _counted(db: Connection, columns: _Columns, passes: np.ndarray) -> FacetAnswer:
    passing = np.zeros(len(columns.studies), bool)
    passing[np.searchsorted(columns.studies, columns.study[passes])] = True
    studies = int(passing.sum())
    facets = [
        _facet(name, field, columns.study, passes, studies)
        for name, field in columns.fields.items()
    ]
    words = columns.words.count(db, passing, MOST_VALUES)
    values = tuple(FacetValue(word, count) for word, count in words.values)
    facets.append(Facet(WORD, values, words.more, words.without_report))
    told = tuple(each for each in facets if each.values)
    return FacetAnswer(studies, int(passes.sum()), told)


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


def _read(db: Connection) -> tuple[ItemIds, ItemIds, ItemIds, dict[str, _Field]]:
    """Primary items, ascending, the study and the patient of each; all fields."""
    query = (
        select(
            Item.id,
            Series.study_id,
            Study.patient_id,
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
    )
    rows = db.execute(query).all()
    columns = list(zip(*rows, strict=True)) if rows else [()] * 10
    ids, study, patient = (np.array(column, np.int64) for column in columns[:3])
    modality, body_part, view, sex, ages, dates, manufacturer = columns[3:]
    told = (
        modality, body_part, view, sex, [_decade(age) for age in ages],
        [date[:4] for date in dates], manufacturer,
    )  # fmt: skip
    everywhere = np.arange(len(ids))
    fields = {name: _field(everywhere, values) for name, values in zip(_FIELDS, told, strict=True)}
    return ids, study, patient, fields | _labels(db, ids, study)


def _decade(age: float | None) -> str:
    if age is None:
        return ""
    first = int(age) // 10 * 10
    return f"{first}-{first + 9}"


def _labels(db: Connection, ids: ItemIds, study: ItemIds) -> dict[str, _Field]:
    """Labels of items, and labels of studies as those of each of their items."""
    order = np.argsort(study, kind="stable")
    given: dict[str, tuple[list[int], list[int], list[str]]] = defaultdict(lambda: ([], [], []))
    query = select(Label.study_id, Label.item_id, Label.name, Label.value).order_by(Label.name)
    for owner, item, name, value in db.execute(query):
        owners, items, values = given[name]
        owners.append(owner)
        items.append(item or 0)
        values.append(value)
    fields = {}
    for name, (owners, items, values) in given.items():
        place, label = _places(np.array(owners), np.array(items), ids, study[order], order)
        fields[f"label:{name}"] = _field(place, [values[at] for at in label.tolist()])
    return fields


def _places(
    owner: ItemIds, item: ItemIds, ids: ItemIds, sorted_study: ItemIds, order: ItemIds
) -> tuple[np.ndarray, np.ndarray]:
    """Places of the items that labels are about, and for each the number of its label.

    Of each label there is its study (``owner``) and its item, or 0. ``sorted_study`` and ``order``
    are the studies of the items, ascending, and the places they come from.
    """
    of_study = np.flatnonzero(item == 0)
    first = np.searchsorted(sorted_study, owner[of_study])
    count = np.searchsorted(sorted_study, owner[of_study], "right") - first
    label = np.repeat(of_study, count)
    within = np.arange(len(label)) - np.repeat(np.cumsum(count) - count, count)
    of_item = np.flatnonzero(np.isin(item, ids))
    return (
        np.concatenate(
            [order[np.repeat(first, count) + within], np.searchsorted(ids, item[of_item])]
        ),
        np.concatenate([label, of_item]),
    )


def _field(place: np.ndarray, said: Sequence[str]) -> _Field:
    """A field of what is said of each place; nothing said is no value."""
    codes: dict[str, int] = {"": 0}
    code = np.array([codes.setdefault(value, len(codes)) for value in said], np.int64)
    known = np.flatnonzero(code)
    return _Field(place[known], code[known], tuple(codes))
