"""What QIDO-RS matches and tells: the attributes of studies, series and instances (PS3.18 10.6)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag, tag_for_keyword
from sqlalchemy import ColumnElement, and_, false, func, or_, select

from indexer.catalog.tables import Instance, Patient, Series, Study
from indexer.errors import QueryError

_HEX = re.compile(r"[0-9A-Fa-f]{8}")
_DAY = re.compile(r"\d{8}")
_MOST_VALUES = 1000


class MatchingError(QueryError):
    """A query names or asks what it cannot."""

    code = "matching"


class Level(IntEnum):
    """What is listed."""

    STUDY = 0
    SERIES = 1
    INSTANCE = 2


@dataclass(frozen=True)
class Attribute:
    """An attribute that is told.

    Attributes:
        level: of what.
        column: where it comes from; None where it is counted, or the catalog does not keep it.
        match: from one or several asked values to what passes; None where nothing is matched by it.
    """

    level: Level
    column: Any = None
    match: Callable[[str], ColumnElement[bool]] | None = None


def tag_of(name: str) -> str:
    """The tag of a keyword, or of eight hexadecimal digits, as eight digits in upper case.

    Raises:
        MatchingError: DICOM knows no such attribute.
    """
    number = int(name, 16) if _HEX.fullmatch(name) else tag_for_keyword(name)
    if number is None or not dictionary_has_tag(number):
        raise MatchingError(
            f"'{name[:64]}' is neither a parameter nor an attribute of DICOM: name one by its "
            "keyword or by the eight digits of its tag"
        )
    return f"{number:08X}"


def keyword_of(tag: str) -> str:
    """The keyword of a tag of `tag_of`."""
    return keyword_for_tag(int(tag, 16))


def vr_of(tag: str) -> str:
    """The value representation of a tag of `tag_of`."""
    return dictionary_VR(int(tag, 16))


def split_values(asked: str) -> list[str]:
    """The values of a list, which commas or backslashes part.

    Raises:
        MatchingError: there are too many.
    """
    found = [each.strip() for each in re.split(r"[,\\]", asked) if each.strip()]
    if len(found) > _MOST_VALUES:
        raise MatchingError(f"a list has at most {_MOST_VALUES} values here, not {len(found)}")
    return found


def _one_of(column: Any) -> Callable[[str], ColumnElement[bool]]:
    def match(asked: str) -> ColumnElement[bool]:
        return column.in_(split_values(asked))  # type: ignore[no-any-return] # SQLAlchemy's Any

    return match


def _matched(column: Any, asked: str) -> ColumnElement[bool]:
    """Single value and wildcard matching (PS3.4 C.2.2.2)."""
    if not set(asked) & set("*?"):
        return column == asked  # type: ignore[no-any-return] # SQLAlchemy's Any
    return _like(column, asked)


def _like(column: Any, asked: str) -> ColumnElement[bool]:
    pattern = re.sub(r"([\\%_])", r"\\\1", asked)
    pattern = re.sub(r"\*+", "%", pattern).replace("?", "_")
    return column.like(pattern, escape="\\")  # type: ignore[no-any-return] # SQLAlchemy's Any


def _words(column: Any) -> Callable[[str], ColumnElement[bool]]:
    """Text, without regard to case."""

    def match(asked: str) -> ColumnElement[bool]:
        # SQLite's LIKE folds ASCII by itself, ten times as fast as `lower` does.
        if asked.isascii():
            return _like(column, asked)
        return _like(func.lower(column), asked.lower())

    return match


def _pseudonyms(asked: str) -> ColumnElement[bool]:
    return _matched(Patient.pseudonym, asked.lower())


def _codes(column: Any) -> Callable[[str], ColumnElement[bool]]:
    """A code, or any of a list; the catalog has them in upper case."""

    def match(asked: str) -> ColumnElement[bool]:
        return or_(*(_matched(column, each.upper()) for each in split_values(asked)))

    return match


def _dates(asked: str) -> ColumnElement[bool]:
    """A day, or a range of days that may be open at one end."""
    first, dash, last = asked.partition("-")
    low, high = _iso(first), _iso(last) if dash else _iso(first)
    if not (low or high):
        raise MatchingError("StudyDate is YYYYMMDD, or a range such as 20200101-20201231")
    bounds = [Study.study_date != ""]
    if low:
        bounds.append(Study.study_date >= low)
    if high:
        bounds.append(Study.study_date <= high)
    return and_(*bounds)


def _iso(day: str) -> str:
    day = day.strip()
    if not day:
        return ""
    if not _DAY.fullmatch(day):
        raise MatchingError("StudyDate is YYYYMMDD, or a range such as 20200101-20201231")
    return f"{day[:4]}-{day[4:6]}-{day[6:]}"


def _modalities(asked: str) -> ColumnElement[bool]:
    """Studies with a series of one of these."""
    return Study.id.in_(select(Series.study_id).where(_codes(Series.modality)(asked)))


def _frames(asked: str) -> ColumnElement[bool]:
    if not (asked.isascii() and asked.isdecimal() and len(asked) < 10):
        raise MatchingError("NumberOfFrames is a whole number")
    return Instance.frames == int(asked)


def _nothing(_asked: str) -> ColumnElement[bool]:
    """Of what is not kept every study has an empty value, which no asked one is equal to."""
    return false()


_STUDY, _SERIES, _INSTANCE = Level
_WITHHELD = Attribute(_STUDY, match=_nothing)
_WITHHELD_SERIES = Attribute(_SERIES, match=_nothing)
ATTRIBUTES: Mapping[str, Attribute] = {
    tag_of(keyword): attribute
    for keyword, attribute in {
        "StudyDate": Attribute(_STUDY, Study.study_date, _dates),
        "StudyTime": _WITHHELD,
        "AccessionNumber": _WITHHELD,
        "ModalitiesInStudy": Attribute(_STUDY, None, _modalities),
        "ReferringPhysicianName": _WITHHELD,
        "PatientName": Attribute(_STUDY, Patient.pseudonym, _pseudonyms),
        "PatientID": Attribute(_STUDY, Patient.pseudonym, _pseudonyms),
        "PatientBirthDate": _WITHHELD,
        "PatientSex": Attribute(_STUDY, Study.sex, _codes(Study.sex)),
        "PatientAge": Attribute(_STUDY, Study.age_years),
        "StudyInstanceUID": Attribute(
            _STUDY, Study.study_instance_uid, _one_of(Study.study_instance_uid)
        ),
        "StudyID": _WITHHELD,
        "StudyDescription": Attribute(_STUDY, Study.description, _words(Study.description)),
        "InstanceAvailability": Attribute(_STUDY),
        "RetrieveURL": Attribute(_STUDY),
        "NumberOfStudyRelatedSeries": Attribute(_STUDY),
        "NumberOfStudyRelatedInstances": Attribute(_STUDY),
        "Modality": Attribute(_SERIES, Series.modality, _codes(Series.modality)),
        "SeriesDescription": Attribute(_SERIES, Series.description, _words(Series.description)),
        "SeriesInstanceUID": Attribute(
            _SERIES, Series.series_instance_uid, _one_of(Series.series_instance_uid)
        ),
        "SeriesNumber": Attribute(_SERIES),
        "BodyPartExamined": Attribute(_SERIES, Series.body_part, _codes(Series.body_part)),
        "ViewPosition": Attribute(_SERIES, Series.view, _codes(Series.view)),
        "Laterality": Attribute(_SERIES, Series.laterality, _codes(Series.laterality)),
        "Manufacturer": Attribute(_SERIES, Series.manufacturer, _words(Series.manufacturer)),
        "ManufacturerModelName": Attribute(_SERIES, Series.model, _words(Series.model)),
        "PerformedProcedureStepStartDate": _WITHHELD_SERIES,
        "PerformedProcedureStepStartTime": _WITHHELD_SERIES,
        "NumberOfSeriesRelatedInstances": Attribute(_SERIES),
        "SOPClassUID": Attribute(
            _INSTANCE, Instance.sop_class_uid, _one_of(Instance.sop_class_uid)
        ),
        "SOPInstanceUID": Attribute(
            _INSTANCE, Instance.sop_instance_uid, _one_of(Instance.sop_instance_uid)
        ),
        "InstanceNumber": Attribute(_INSTANCE),
        "Rows": Attribute(_INSTANCE, Instance.rows),
        "Columns": Attribute(_INSTANCE, Instance.columns),
        "NumberOfFrames": Attribute(_INSTANCE, Instance.frames, _frames),
        "AvailableTransferSyntaxUID": Attribute(_INSTANCE, Instance.transfer_syntax_uid),
    }.items()
}
"""By tag; what has neither a column nor a count is told as empty."""
