"""Answers C-FIND requests from the catalog (PS3.4 annex C), with pseudonyms for patients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset

from api.service.audit import record
from indexer.catalog.audit import Action, AuditEvent, Ending
from indexer.catalog.database import reading
from indexer.catalog.matching import LEVELS, Found, find, known_at
from indexer.errors import SyntopyError
from indexer.library import Library

_PENDING, _PENDING_UNMATCHED, _CANCELLED = 0xFF00, 0xFF01, 0xFE00
_OUT_OF_RESOURCES, _MISMATCH, _UNABLE = 0xA700, 0xA900, 0xC000
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
        if level not in LEVELS:
            yield _status(_MISMATCH, "the level is STUDY, SERIES or IMAGE"), None
            return
        try:
            found = self._find(event, level, keys)
        except SyntopyError:
            yield _status(_OUT_OF_RESOURCES, "ask again later"), None
            return
        if len(found.results) > _MOST:
            yield _status(_OUT_OF_RESOURCES, f"more than {_MOST} match; ask for less"), None
            return
        missed = any(value and not known_at(name, level) for name, value in keys.items())
        for result in found.results:
            if event.is_cancelled:
                yield _status(_CANCELLED), None
                return
            status = _status(_PENDING_UNMATCHED if missed else _PENDING)
            yield status, _answer(level, dict.fromkeys(keys, "") | result)

    def _find(self, event: Any, level: str, keys: dict[str, str]) -> Found:
        with reading(self._library.engine) as db:
            found = find(db, level, keys, _MOST + 1)
        sender = event.assoc.requestor
        many = len(found.results) > _MOST
        record(
            self._library,
            AuditEvent(
                actor="".join(each for each in sender.ae_title if each.isprintable())
                or "not known",
                action=Action.QUERY,
                subject={"what": "c-find", "level": level, "matches": len(found.results)},
                patients=() if many else found.patients,
                outcome=Ending.FAILED if many else Ending.SUCCESS,
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
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        return str(value)
    return "\\".join(map(str, value))


def _answer(level: str, result: dict[str, str]) -> Dataset:
    answer = Dataset()
    answer.SpecificCharacterSet = "ISO_IR 192"
    answer.QueryRetrieveLevel = level
    for keyword, value in result.items():
        number = value and dictionary_VR(keyword) == "US"
        setattr(answer, keyword, int(value) if number else value or None)
    return answer


def _status(code: int, comment: str = "") -> Dataset:
    status = Dataset()
    status.Status = code
    if comment:
        status.ErrorComment = comment[:64]
    return status
