"""Answers C-FIND requests from the catalog (PS3.4 annex C), with pseudonyms for patients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName

from api.service.access.audit import record
from api.service.dicomweb.originals_kept import Place
from api.service.dicomweb.qido import Found, Query, find, read_query
from api.service.dicomweb.qido_keys import Level, MatchingError, tag_of
from indexer.catalog.audit import Action, AuditEvent, Ending
from indexer.catalog.database import reading
from indexer.catalog.lookup import pseudonyms_of
from indexer.dicom.json_model import JsonSet
from indexer.errors import SyntopyError
from indexer.library import Library

_PENDING, _PENDING_UNMATCHED, _CANCELLED = 0xFF00, 0xFF01, 0xFE00
_OUT_OF_RESOURCES, _MISMATCH, _UNABLE = 0xA700, 0xA900, 0xC000
_LEVELS = {"STUDY": Level.STUDY, "SERIES": Level.SERIES, "IMAGE": Level.INSTANCE}
_STUDY = tag_of("StudyInstanceUID")
_MOST = 10_000
"""Results of one request."""

_OWN = ("QueryRetrieveLevel", "SpecificCharacterSet", "RetrieveAETitle", "TimezoneOffsetFromUTC")

_LATER = "ask again later"

Answer = tuple[Dataset, Dataset | None]


class _UnreadableError(Exception):
    """A request is none that could be answered."""


class Finder:
    """Answers requests; each is in the audit before it is answered.

    Args:
        library: whose catalog is asked.
    """

    def __init__(self, library: Library) -> None:
        self._library = library

    def __call__(self, event: Any) -> Iterator[Answer]:
        """The answers to one request, as pynetdicom takes them."""
        level = ""
        try:
            level, keys = _read(event)
            query = read_query(_LEVELS[level], Place(""), keys.items())
            found = self._find(event, level, replace(query, limit=_MOST + 1))
        except _UnreadableError as error:
            yield self._refused(event, level, _UNABLE, str(error)), None
            return
        except MatchingError as error:
            yield self._refused(event, level, _MISMATCH, str(error)), None
            return
        except SyntopyError:
            yield self._refused(event, level, _OUT_OF_RESOURCES, _LATER), None
            return
        if found.more:
            yield _status(_OUT_OF_RESOURCES, f"more than {_MOST} match; ask for less"), None
            return
        for row in found.rows:
            if event.is_cancelled:
                yield _status(_CANCELLED), None
                return
            status = _status(_PENDING_UNMATCHED if query.ignored else _PENDING)
            yield status, _answer(level, keys, row)

    def _find(self, event: Any, level: str, query: Query) -> Found:
        found = find(self._library, query, "", real_ids=False, most=_MOST)
        studies = {row[_STUDY]["Value"][0] for row in found.rows}
        with reading(self._library.engine) as db:
            patients = () if found.more else pseudonyms_of(db, sorted(studies))
        ending = Ending.FAILED if found.more else Ending.SUCCESS
        record(self._library, _event(event, level, ending, len(found.rows), patients))
        return found

    def _refused(self, event: Any, level: str, code: int, comment: str) -> Dataset:
        """The status of a request that is not answered, once it is in the audit."""
        try:
            record(self._library, _event(event, level, Ending.FAILED))
        except SyntopyError:
            return _status(_OUT_OF_RESOURCES, _LATER)
        return _status(code, comment)


def _event(
    event: Any, level: str, ending: Ending, matches: int = 0, patients: tuple[str, ...] = ()
) -> AuditEvent:
    sender = event.assoc.requestor
    return AuditEvent(
        actor="".join(each for each in sender.ae_title if each.isprintable()) or "not known",
        action=Action.QUERY,
        subject={"what": "c-find", "level": level, "matches": matches},
        patients=patients,
        outcome=ending,
        origin=str(sender.address),
    )


def _read(event: Any) -> tuple[str, dict[str, str]]:
    """The level that is asked for, and the keys.

    Raises:
        _UnreadableError: there are none that could be read.
        MatchingError: there is no such level.
    """
    try:
        identifier: Dataset = event.identifier
        level, keys = str(identifier.get("QueryRetrieveLevel", "")), _keys(identifier)
    except Exception as error:  # what a stranger has sent can be anything
        raise _UnreadableError("the identifier cannot be read") from error
    if level not in _LEVELS:
        raise MatchingError("the level is STUDY, SERIES or IMAGE")
    return level, keys


def _keys(identifier: Dataset) -> dict[str, str]:
    """What is asked for, by keyword; what has none cannot be answered."""
    return {
        element.keyword: _text(element.value)
        for element in identifier
        if element.keyword and element.VR != "SQ" and element.keyword not in _OWN
    }


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str | PersonName) or not hasattr(value, "__iter__"):
        return str(value)
    return "\\".join(map(str, value))


def _answer(level: str, keys: Mapping[str, str], row: JsonSet) -> Dataset:
    """What was asked for, empty where nothing is known."""
    tags = {keyword: tag_of(keyword) for keyword in keys}
    answer = Dataset.from_json({tag: row[tag] for tag in tags.values() if tag in row})
    for keyword in keys:
        if keyword not in answer:
            setattr(answer, keyword, None)
    answer.SpecificCharacterSet = "ISO_IR 192"
    answer.QueryRetrieveLevel = level
    return answer


def _status(code: int, comment: str = "") -> Dataset:
    status = Dataset()
    status.Status = code
    if comment:
        status.ErrorComment = comment[:64]
    return status
