"""Answers C-FIND requests from the catalog (PS3.4 annex C), with pseudonyms for patients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName

from api.service.audit import record
from api.service.originals_kept import Place
from api.service.qido import Found, Query, find, read_query
from api.service.qido_keys import Level, MatchingError, tag_of
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

Answer = tuple[Dataset, Dataset | None]


class Finder:
    """Answers requests; each is in the audit before it is answered.

    Args:
        library: whose catalog is asked.
    """

    def __init__(self, library: Library) -> None:
        self._library = library

    def __call__(self, event: Any) -> Iterator[Answer]:
        """The answers to one request, as pynetdicom takes them."""
        try:
            identifier: Dataset = event.identifier
            level = str(identifier.get("QueryRetrieveLevel", ""))
            keys = _keys(identifier)
        except Exception:  # noqa: BLE001 - what a stranger has sent can be anything
            yield _status(_UNABLE, "the identifier cannot be read"), None
            return
        if level not in _LEVELS:
            yield _status(_MISMATCH, "the level is STUDY, SERIES or IMAGE"), None
            return
        try:
            query = read_query(_LEVELS[level], Place(""), keys.items())
            found = self._find(event, level, replace(query, limit=_MOST + 1))
        except MatchingError as error:
            yield _status(_MISMATCH, str(error)), None
            return
        except SyntopyError:
            yield _status(_OUT_OF_RESOURCES, "ask again later"), None
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
        sender = event.assoc.requestor
        record(
            self._library,
            AuditEvent(
                actor="".join(each for each in sender.ae_title if each.isprintable())
                or "not known",
                action=Action.QUERY,
                subject={"what": "c-find", "level": level, "matches": len(found.rows)},
                patients=patients,
                outcome=Ending.FAILED if found.more else Ending.SUCCESS,
                origin=str(sender.address),
            ),
        )
        return found


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
