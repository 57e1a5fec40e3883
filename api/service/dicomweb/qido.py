"""Studies, series and instances found by their attributes (QIDO-RS, PS3.18 section 10.6)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, or_, select

from api.service.dicomweb.originals_kept import Place
from api.service.dicomweb.qido_keys import (
    ATTRIBUTES,
    Level,
    MatchingError,
    keyword_of,
    tag_of,
    vr_of,
)
from indexer.catalog.database import reading
from indexer.catalog.tables import Instance, Patient, Series, Study
from indexer.dicom.identity import pseudonym
from indexer.dicom.json_model import JsonSet
from indexer.library import Library

MOST = 1000
"""Of one answer; what is left is told in a warning."""
_PAGING = ("limit", "offset", "fuzzymatching", "includefield")
_PATIENT, _ISSUER = tag_of("PatientID"), tag_of("IssuerOfPatientID")
_RETRIEVE_URL, _AVAILABLE = tag_of("RetrieveURL"), tag_of("InstanceAvailability")
_COUNTED = {tag_of(k): k for k in ("ModalitiesInStudy", "NumberOfStudyRelatedSeries",
            "NumberOfStudyRelatedInstances", "NumberOfSeriesRelatedInstances")}  # fmt: skip
_OF_SERIES = tag_of("NumberOfSeriesRelatedInstances")
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
"""What a picture that is no DICOM file would be."""
_SHARED = "patient_shared"
_IDS: tuple[Any, ...] = (Study.id, Series.id, Instance.id)
_URL = ("/studies/{}", "/series/{}", "/instances/{}")
_UIDS = tuple(tag_of(f"{level}InstanceUID") for level in ("Study", "Series", "SOP"))


@dataclass(frozen=True)
class Query:
    """What is asked for.

    Attributes:
        level: what is listed.
        within: only of this study, or of this series of it.
        matching: values by tag; all have to match.
        fields: tags to be told besides the usual ones.
        limit, offset: of the list.
        ignored: what was asked and is not done, in words.
    """

    level: Level
    within: Place
    matching: dict[str, str] = field(default_factory=dict)
    fields: frozenset[str] = frozenset()
    limit: int = MOST
    offset: int = 0
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """What was found.

    Attributes:
        rows: attributes in the DICOM JSON model.
        warnings: what the client has to be told.
        more: there are further ones beyond the most of one answer.
    """

    rows: list[JsonSet]
    warnings: tuple[str, ...]
    more: bool


def read_query(level: Level, within: Place, asked: Iterable[tuple[str, str]]) -> Query:
    """A query from the names and values of its parameters, in which names may repeat.

    Raises:
        MatchingError: a name that is none, one that is given twice, a number that is none.
    """
    paging, matching, fields = dict[str, str](), dict[str, str](), set[str]()
    for name, value in asked:
        known = paging if name in _PAGING else matching
        key = name if known is paging else tag_of(name)
        if name == "includefield":
            fields |= _fields(value)
        elif key in known:
            raise MatchingError(f"the parameter '{name[:64]}' is given more than once")
        else:
            known[key] = value.strip()
    values = {tag: value for tag, value in matching.items() if value and set(value) != {"*"}}
    taken = {
        tag: value
        for tag, value in values.items()
        if tag == _ISSUER
        or (
            tag in ATTRIBUTES
            and ATTRIBUTES[tag].match is not None
            and ATTRIBUTES[tag].level <= level
        )
    }
    ignored = [f"not matched by {keyword_of(tag)}" for tag in values if tag not in taken]
    if paging.get("fuzzymatching", "false") not in ("true", "false"):
        raise MatchingError("fuzzymatching is true or false")
    if paging.get("fuzzymatching") == "true":
        ignored.append("fuzzymatching is not supported: only literal matching has been performed")
    return Query(
        level, within, taken, frozenset(fields | set(matching)),
        _number(paging, "limit", MOST), _number(paging, "offset", 0), tuple(ignored),
    )  # fmt: skip


def _fields(value: str) -> set[str]:
    if value.strip().lower() == "all":
        return set(ATTRIBUTES)
    return {tag_of(each.strip()) for each in value.split(",") if each.strip()}


def _number(paging: dict[str, str], name: str, default: int) -> int:
    said = paging.get(name, "")
    if not said:
        return default
    if not (said.isascii() and said.isdecimal() and len(said) < 16):
        raise MatchingError(f"{name} is a whole number from 0")
    return int(said)


def find(library: Library, query: Query, root: str, *, real_ids: bool, most: int = MOST) -> Found:
    """What passes a query; newest studies first, within them as indexed.

    Args:
        library: where.
        query: what.
        root: URL of the DICOMweb service, without a slash at its end.
        real_ids: a PatientID may be a real one too, of which the keyed pseudonym is looked up.
        most: of one answer.

    Raises:
        MatchingError: a value cannot be matched.
    """
    limit = min(query.limit, most)
    lowest = _IDS[query.level]
    passing = _joined(query.level, [lowest]).where(*_conditions(library, query, real_ids=real_ids))
    with reading(library.engine) as db:
        # One more than is told shows whether there are more. Only ids are passed over: an index
        # has them in this order, and a deep page costs no more than its way there.
        ids = db.execute(passing.order_by(*_order(query)).limit(limit + 1).offset(query.offset))
        found = list(ids.scalars())
        rows = _told(db, query.level, found[:limit])
        counts = _counts(db, rows)
    warnings, more = list(query.ignored), len(found) > limit and query.limit > limit
    if more:
        warnings.append("there are additional results that can be requested with offset")
    wanted = _wanted(query)
    told = [_row(row, wanted, counts, query.level, root) for row in rows]
    return Found(told, tuple(warnings), more)


def _joined(level: Level, columns: Sequence[Any]) -> Select[Any]:
    chosen = select(*columns).select_from(Study)
    if level >= Level.SERIES:
        chosen = chosen.join(Series, Series.study_id == Study.id)
    if level >= Level.INSTANCE:
        chosen = chosen.join(Instance, Instance.series_id == Series.id)
    return chosen


def _order(query: Query) -> list[Any]:
    within = _IDS[1 : query.level + 1]
    if query.within.study:
        return [*within]
    return [Study.study_date.desc(), Study.id.desc(), *within]


def _told(db: Connection, level: Level, ids: Sequence[int]) -> list[Any]:
    """All that is told of the rows with these ids, in their order."""
    columns = [
        attribute.column.label(tag)
        for tag, attribute in ATTRIBUTES.items()
        if attribute.column is not None and attribute.level <= level
    ]
    keys = [_IDS[each].label(f"id{each}") for each in range(level + 1)]
    query = _joined(level, [*columns, *keys, Patient.shared.label(_SHARED)]).join(
        Patient, Patient.id == Study.patient_id
    )
    rows = {row[len(columns) + level]: row for row in db.execute(query.where(_IDS[level].in_(ids)))}
    return [rows[each] for each in ids]


def _conditions(library: Library, query: Query, *, real_ids: bool) -> list[ColumnElement[bool]]:
    found = []
    if query.within.study:
        found.append(Study.study_instance_uid == query.within.study)
    if query.within.series:
        found.append(Series.series_instance_uid == query.within.series)
    for tag, value in query.matching.items():
        if tag == _ISSUER:
            continue
        match = ATTRIBUTES[tag].match
        assert match is not None  # noqa: S101 - `read_query` took no others
        condition = match(value)
        if tag == _PATIENT:
            # Of strangers who share an id nothing is told that would join them.
            condition = condition & Patient.shared.is_(False)
            if real_ids:
                name = pseudonym(library.key, value, query.matching.get(_ISSUER, ""))
                condition = or_(condition, Patient.pseudonym == name)
        if ATTRIBUTES[tag].column is Patient.pseudonym:
            condition = Study.patient_id.in_(select(Patient.id).where(condition))
        found.append(condition)
    return found


def _wanted(query: Query) -> list[str]:
    """Tags that are told: of what is listed, and of what is above it if the URL names none."""
    named = Level.SERIES if query.within.series else Level.STUDY if query.within.study else -1
    always = {_RETRIEVE_URL, _AVAILABLE, *_UIDS} | query.fields
    return [
        tag
        for tag, attribute in ATTRIBUTES.items()
        if attribute.level <= query.level and (attribute.level > named or tag in always)
    ]


_Counts = dict[str, dict[int, Any]]


def _counts(db: Connection, rows: Sequence[Any]) -> _Counts:
    """Of the studies and series of an answer what is counted, in a query each."""
    studies = {row.id0 for row in rows}
    series = {row.id1 for row in rows if "id1" in row._fields}
    modalities: dict[int, list[str]] = defaultdict(list)
    kinds = select(Series.study_id, Series.modality).where(Series.study_id.in_(studies)).distinct()
    for study, modality in db.execute(kinds.order_by(Series.modality)):
        modalities[study].append(modality or "OT")
    within = select(Series.study_id, func.count()).join(Instance, Instance.series_id == Series.id)
    queries = {
        "NumberOfStudyRelatedSeries": select(Series.study_id, func.count())
        .where(Series.study_id.in_(studies)).group_by(Series.study_id),
        "NumberOfStudyRelatedInstances": within.where(Series.study_id.in_(studies))
        .group_by(Series.study_id),
        "NumberOfSeriesRelatedInstances": select(Instance.series_id, func.count())
        .where(Instance.series_id.in_(series)).group_by(Instance.series_id),
    }  # fmt: skip
    counts = {name: {row[0]: row[1] for row in db.execute(q)} for name, q in queries.items()}
    return {**counts, "ModalitiesInStudy": dict(modalities)}


def _row(row: Any, wanted: Sequence[str], counts: _Counts, level: Level, root: str) -> JsonSet:
    told = {}
    for tag in sorted(wanted):
        values = _values(row, tag, counts, level, root)
        vr = vr_of(tag)
        told[tag] = {"vr": vr, "Value": values} if values else {"vr": vr}
    return told


def _values(row: Any, tag: str, counts: _Counts, level: Level, root: str) -> list[Any]:
    if tag == _AVAILABLE:
        return ["ONLINE"]
    if tag == _RETRIEVE_URL:
        url = "".join(_URL[: level + 1])
        return [root + url.format(*(getattr(row, uid) for uid in _UIDS[: level + 1]))]
    if tag in _COUNTED:
        owner = row.id1 if tag == _OF_SERIES else row.id0
        found = counts[_COUNTED[tag]].get(owner, 0)
        return found if isinstance(found, list) else [found]
    if ATTRIBUTES[tag].column is None:
        return []
    return _value(keyword_of(tag), getattr(row, tag), shared=row.patient_shared)


def _value(keyword: str, value: Any, *, shared: bool) -> list[Any]:
    match keyword:
        case "StudyDate":
            value = value.replace("-", "")
        case "PatientID" | "PatientName" if shared:
            value = ""
        case "PatientName":
            value = {"Alphabetic": value}
        case "PatientAge" if value is not None:
            value = f"{min(int(value), 999):03d}Y" if value >= 2 else f"{int(value * 12):03d}M"
        case "Modality":
            value = value or "OT"
        case "SOPClassUID":
            value = value or _SECONDARY_CAPTURE
    return [] if value in (None, "") else [value]
