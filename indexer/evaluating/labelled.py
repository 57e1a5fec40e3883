"""What an evaluation needs of the catalog: items with labels, patients, groups and vectors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float16
from sqlalchemy import Connection, func, select

from indexer.catalog.tables import EmbeddingRow, Item, Label, Patient, Series, Study
from indexer.errors import QueryError
from indexer.filters import parse_filter, sql_condition
from indexer.index.projection import sound_vectors, stored_vectors
from indexer.library import SpaceInfo
from indexer.types import ItemIds, Role

AGE_BANDS = ((18, "0-17"), (40, "18-39"), (65, "40-64"), (80, "65-79"), (1000, "80+"))
"""Whole years below which a band ends, and its name."""
SERIES_LABELS: Mapping[str, Any] = {
    "view": Series.view,
    "modality": Series.modality,
    "body_part": Series.body_part,
}
"""What the catalog says of a series, that may stand for a label."""
_GROUPS: Mapping[str, Any] = {
    **SERIES_LABELS,
    "sex": Study.sex,
    "age": Study.age_years,
    "manufacturer": Series.manufacturer,
    "model": Series.model,
    "laterality": Series.laterality,
    "split": Study.split,
}
_LABEL = "label:"
_FEW, _PART = 10_000, 900
"""Items that are looked up by their ids, and ids in one statement."""
_BATCH = 20_000
_TOLD = 20

Stored = Float16[np.ndarray, "n dim"]
Present = Bool[np.ndarray, " n"]


@dataclass(frozen=True)
class LabelledItems:
    """Primary items that carry a label.

    Attributes:
        ids: ascending.
        labels: the values of each; equal ones are one object.
        patients: pseudonym of each, "" where the id is missing or shared by strangers.
        groups: by field, of each item its group; "" where nothing is known.
    """

    ids: ItemIds
    labels: list[frozenset[str]]
    patients: list[str]
    groups: dict[str, list[str]]

    def among(self, kept: Present) -> LabelledItems:
        """Some of them."""
        rows = np.flatnonzero(kept).tolist()
        return LabelledItems(
            self.ids[kept],
            [self.labels[row] for row in rows],
            [self.patients[row] for row in rows],
            {name: [own[row] for row in rows] for name, own in self.groups.items()},
        )


def group_names() -> list[str]:
    """Fields that items can be parted by, sorted; ``label:<name>`` stands for every label."""
    return sorted([*_GROUPS, "label:<name>"])


def age_band(years: float | None) -> str:
    """The band of an age, "" where it is not known."""
    if years is None:
        return ""
    return next((name for end, name in AGE_BANDS if years < end), AGE_BANDS[-1][1])


def read_items(
    db: Connection, label: str, *, expression: str = "", by: Sequence[str] = ()
) -> LabelledItems:
    """Primary items that pass a filter and carry a label, and the groups that they are in.

    Args:
        db: the catalog.
        label: name of the label; ``view``, ``modality`` and ``body_part`` stand for what the
            catalog says of the series.
        expression: a filter, "" for none.
        by: fields of the groups, see `group_names`.

    Raises:
        QueryError: no such field, or no item carries the label.
        FilterError: the filter cannot be read.
    """
    _check_fields(by)
    columns = [column.label(name) for name, column in _GROUPS.items()]
    query = (
        select(Item.id, Series.study_id, Patient.pseudonym, Patient.shared, *columns)
        .select_from(Item)
        .join(Series)
        .join(Study)
        .join(Patient)
        .where(Item.role == Role.PRIMARY)
        .order_by(Item.id)
    )
    if expression.strip():
        query = query.where(sql_condition(parse_filter(expression)))
    wanted = [label, *(name.removeprefix(_LABEL) for name in by if name.startswith(_LABEL))]
    said = {name: _said(db, name) for name in wanted}
    same: dict[frozenset[str], frozenset[str]] = {}
    ids, labels, patients = list[int](), list[frozenset[str]](), list[str]()
    groups: dict[str, list[str]] = {name: [] for name in by}
    for row in db.execute(query.execution_options(yield_per=_BATCH)):
        own = _own(row, said[label], SERIES_LABELS.get(label) is not None, label)
        if not own:
            continue
        ids.append(row.id)
        labels.append(same.setdefault(own, own))
        patients.append("" if row.shared else row.pseudonym)
        for name in by:
            groups[name].append(_group(row, name, said))
    if not ids:
        raise QueryError(_no_label(db, label, filtered=bool(expression.strip())))
    return LabelledItems(np.array(ids, np.int64), labels, patients, groups)


def read_vectors(db: Connection, space: SpaceInfo, ids: ItemIds) -> tuple[Stored, Present]:
    """Vectors of items as they are stored, and which items have one.

    Args:
        db: the catalog.
        space: whose vectors.
        ids: of the items, ascending.

    Returns:
        float16 rows ``(n, dim)`` of length 1 but for their rounding, those of absent ones zero.

    Raises:
        LibraryCorruptError: a vector is damaged; `indexer.verify` finds and mends it.
    """
    vectors = np.zeros((len(ids), space.dim), np.float16)
    present: Present = np.zeros(len(ids), bool)
    if not len(ids):
        return vectors, present
    for rows in _vector_rows(db, space, ids):
        found = np.array([row.item_id for row in rows], np.int64)
        at = np.minimum(np.searchsorted(ids, found), len(ids) - 1)
        mine = ids[at] == found
        blobs = [row.vector for row, own in zip(rows, mine.tolist(), strict=True) if own]
        halves, sound = stored_vectors(blobs, space.dim)
        if not sound.all():
            sound_vectors(blobs, space)  # says what is wrong
        vectors[at[mine]], present[at[mine]] = halves, True
    return vectors, present


def _vector_rows(db: Connection, space: SpaceInfo, ids: ItemIds) -> Iterator[Sequence[Any]]:
    """Rows of a space, part by part: of few items theirs alone, else all."""
    query = select(EmbeddingRow.item_id, EmbeddingRow.vector)
    query = query.where(EmbeddingRow.space_id == space.id)
    if len(ids) > _FEW:
        ordered = query.order_by(EmbeddingRow.item_id).execution_options(yield_per=_BATCH)
        yield from db.execute(ordered).partitions()
        return
    for start in range(0, len(ids), _PART):
        some = ids[start : start + _PART].tolist()
        yield db.execute(query.where(EmbeddingRow.item_id.in_(some))).all()


def label_names(db: Connection) -> set[str]:
    """Names of all labels, without those that `SERIES_LABELS` adds."""
    return set(db.execute(select(Label.name).distinct()).scalars())


def _check_fields(by: Sequence[str]) -> None:
    for name in by:
        if name not in _GROUPS and not name.removeprefix(_LABEL) != name:
            raise QueryError(f"items cannot be parted by '{name}'; by {', '.join(group_names())}")


def _said(db: Connection, name: str) -> dict[tuple[int, int | None], set[str]]:
    """Values of a label by study, and by study and item."""
    said: dict[tuple[int, int | None], set[str]] = defaultdict(set)
    query = select(Label.study_id, Label.item_id, Label.value).where(Label.name == name)
    for study, item, value in db.execute(query):
        said[study, item].add(value)
    return said


def _own(
    row: Any, said: Mapping[tuple[int, int | None], set[str]], of_series: bool, label: str
) -> frozenset[str]:
    if of_series:
        return frozenset({getattr(row, label)} - {""})
    return frozenset(said.get((row.study_id, None), ())) | frozenset(
        said.get((row.study_id, row.id), ())
    )


def _group(
    row: Any, name: str, said: Mapping[str, Mapping[tuple[int, int | None], set[str]]]
) -> str:
    if name.startswith(_LABEL):
        return " + ".join(sorted(_own(row, said[name.removeprefix(_LABEL)], False, name)))
    value = getattr(row, name)
    if name == "age":
        return age_band(value)
    # Makers write their own names in several ways, as to case.
    return str(value).strip().upper() if name in ("manufacturer", "model") else str(value)


def _no_label(db: Connection, label: str, *, filtered: bool) -> str:
    """Why no item carries a label, and which labels there are."""
    counts = db.execute(
        select(Label.name, func.count(Label.study_id.distinct()))
        .group_by(Label.name)
        .order_by(func.count(Label.study_id.distinct()).desc(), Label.name)
    ).all()
    known = {name for name, _ in counts} | set(SERIES_LABELS)
    if label in known:
        why = " passes the filter and" if filtered else ""
        return f"no primary item{why} carries the label '{label}'"
    there_are = [f"{name} ({count} studies)" for name, count in counts]
    return f"no item carries a label '{label}'; there are {_listed([*there_are, *SERIES_LABELS])}"


def _listed(names: Iterable[str]) -> str:
    told = list(names)
    more = len(told) - _TOLD
    return ", ".join(told[:_TOLD]) + (f" and {more} more" if more > 0 else "")
