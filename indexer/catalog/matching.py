"""Studies, series and instances by DICOM attributes, matched as in a C-FIND (PS3.4 C.2.2.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, distinct, false, func, or_, select

from indexer.catalog.tables import Instance, Patient, Series, Study

LEVELS = ("STUDY", "SERIES", "IMAGE")
_UID, _DATE, _TEXT, _NUMBER = "uid", "date", "text", "number"


@dataclass(frozen=True)
class Found:
    """What matches a query: of each result its attributes by keyword, and whose they are."""

    results: list[dict[str, str]]
    patients: tuple[str, ...]


@dataclass(frozen=True)
class _Attribute:
    level: int
    """Of `LEVELS`, from 0."""
    kind: str
    column: Any
    """An expression in SQL."""


_MODALITIES = (
    select(func.group_concat(distinct(Series.modality)))
    .where(Series.study_id == Study.id, Series.modality != "")
    .correlate(Study)
    .scalar_subquery()
)
_SERIES_OF_STUDY = (
    select(func.count())
    .select_from(Series)
    .where(Series.study_id == Study.id)
    .correlate(Study)
    .scalar_subquery()
)
_INSTANCES_OF_STUDY = (
    select(func.count())
    .select_from(Instance)
    .join(Series)
    .where(Series.study_id == Study.id)
    .correlate(Study)
    .scalar_subquery()
)
_INSTANCES_OF_SERIES = (
    select(func.count())
    .select_from(Instance)
    .where(Instance.series_id == Series.id)
    .correlate(Series)
    .scalar_subquery()
)
ATTRIBUTES: Mapping[str, _Attribute] = {
    "PatientID": _Attribute(0, _TEXT, Patient.pseudonym),
    "PatientName": _Attribute(0, _TEXT, Patient.pseudonym),
    "PatientSex": _Attribute(0, _TEXT, Study.sex),
    "StudyInstanceUID": _Attribute(0, _UID, Study.study_instance_uid),
    "StudyDate": _Attribute(0, _DATE, func.replace(Study.study_date, "-", "")),
    "StudyDescription": _Attribute(0, _TEXT, Study.description),
    "ModalitiesInStudy": _Attribute(0, _TEXT, _MODALITIES),
    "NumberOfStudyRelatedSeries": _Attribute(0, _NUMBER, _SERIES_OF_STUDY),
    "NumberOfStudyRelatedInstances": _Attribute(0, _NUMBER, _INSTANCES_OF_STUDY),
    "SeriesInstanceUID": _Attribute(1, _UID, Series.series_instance_uid),
    "Modality": _Attribute(1, _TEXT, Series.modality),
    "SeriesDescription": _Attribute(1, _TEXT, Series.description),
    "BodyPartExamined": _Attribute(1, _TEXT, Series.body_part),
    "Manufacturer": _Attribute(1, _TEXT, Series.manufacturer),
    "ManufacturerModelName": _Attribute(1, _TEXT, Series.model),
    "NumberOfSeriesRelatedInstances": _Attribute(1, _NUMBER, _INSTANCES_OF_SERIES),
    "SOPInstanceUID": _Attribute(2, _UID, Instance.sop_instance_uid),
    "SOPClassUID": _Attribute(2, _UID, Instance.sop_class_uid),
    "Rows": _Attribute(2, _NUMBER, Instance.rows),
    "Columns": _Attribute(2, _NUMBER, Instance.columns),
    "NumberOfFrames": _Attribute(2, _NUMBER, Instance.frames),
}
"""What is told of each; patients by their pseudonyms."""


def known_at(keyword: str, level: str) -> bool:
    """Whether an attribute is told of results of a level."""
    attribute = ATTRIBUTES.get(keyword)
    return attribute is not None and attribute.level <= LEVELS.index(level)


def find(db: Connection, level: str, keys: Mapping[str, str], most: int) -> Found:
    r"""What matches, in the order of UIDs.

    Args:
        db: of a catalog.
        level: one of `LEVELS`.
        keys: values by keyword, "" for any. ``\\`` is between UIDs and other values of which one
            has to match, ``-`` between two days, ``*`` and ``?`` stand for any letters. Those that
            are not `known_at` the level are left out.
        most: results at most.
    """
    told = [keyword for keyword in keys if known_at(keyword, level)]
    columns = [ATTRIBUTES[keyword].column for keyword in told]
    query = select(Patient.pseudonym, *columns).select_from(Study).join(Patient)
    order = Study.study_instance_uid
    if level != "STUDY":
        query, order = query.join(Series), Series.series_instance_uid
    if level == "IMAGE":
        query, order = query.join(Instance), Instance.sop_instance_uid
    wanted = [_match(keyword, keys[keyword]) for keyword in told if keys[keyword]]
    rows = db.execute(query.where(*wanted).order_by(order).limit(most)).all()
    results = [
        {keyword: _told(keyword, value) for keyword, value in zip(told, row[1:], strict=True)}
        for row in rows
    ]
    return Found(results, tuple(sorted({str(row[0]) for row in rows})))


def _told(keyword: str, value: object) -> str:
    text = "" if value is None else str(value)
    return text.replace(",", "\\") if keyword == "ModalitiesInStudy" else text


def _match(keyword: str, asked: str) -> ColumnElement[bool]:
    attribute = ATTRIBUTES[keyword]
    values = [each.strip() for each in asked.split("\\")]
    if keyword == "ModalitiesInStudy":
        has = or_(*(_text(Series.modality, value) for value in values))
        return select(Series.id).where(Series.study_id == Study.id, has).correlate(Study).exists()
    if attribute.kind == _UID:
        found: ColumnElement[bool] = attribute.column.in_(values)
        return found
    if attribute.kind == _DATE:
        return or_(*(_day(attribute.column, value) for value in values))
    if attribute.kind == _NUMBER:
        numbers = [int(value) for value in values if re.fullmatch("[0-9]{1,12}", value)]
        return or_(false(), *(attribute.column == number for number in numbers))
    return or_(*(_text(attribute.column, value) for value in values))


def _day(column: Any, value: str) -> ColumnElement[bool]:
    first, between, last = value.partition("-")
    if not between:
        same: ColumnElement[bool] = column == first
        return same
    bounds = [column != ""]
    if first:
        bounds.append(column >= first)
    if last:
        bounds.append(column <= last)
    return and_(*bounds)


def _text(column: Any, value: str) -> ColumnElement[bool]:
    """Letters are the same in upper and lower case."""
    pattern = value.replace("/", "//").replace("%", "/%").replace("_", "/_")
    pattern = pattern.replace("*", "%").replace("?", "_")
    found: ColumnElement[bool] = column.ilike(pattern, escape="/")
    return found
