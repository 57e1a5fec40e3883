"""An archive that is asked over DICOMweb: QIDO-RS and WADO-RS (PS3.18 sections 10.4 and 10.6)."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import httpx

from api.service.arriving.archives import (
    ArchiveBusyError,
    ArchiveError,
    ArchiveQuery,
    ArchiveRefusesError,
    SeriesListed,
    StoppedError,
    is_uid,
)
from api.service.arriving.web_client import WebClient, WebOptions
from api.service.dicomweb.multipart import (
    MultipartError,
    MultipartTooLargeError,
    UnsupportedMediaError,
)
from api.service.dicomweb.stow import StowRequest, stow
from indexer.receiving.inbox import Inbox

_JSON, _INSTANCES = (
    "application/dicom+json",
    'multipart/related; type="application/dicom"; transfer-syntax=*',
)
_PAGE = 500
"""Results that are asked for at once."""
_ANSWER_BYTES = 64 << 20
"""Of an answer to a query."""
_STUDY, _SERIES, _CLASS, _INSTANCE = "0020000D", "0020000E", "00080016", "00080018"


class WebArchive:
    """An `api.service.arriving.archives.Archive` over DICOMweb.

    Args:
        inbox: where instances go.
        query: what is asked for.
        options: where, and who asks.
        stop: ends what is being fetched.

    Raises:
        ConfigError: an option is wrong.
    """

    def __init__(
        self, inbox: Inbox, query: ArchiveQuery, options: WebOptions, stop: threading.Event
    ) -> None:
        self._inbox, self._query, self._stop = inbox, query, stop
        self._client = WebClient(options)

    def studies(self, offset: int) -> list[str]:
        """See `Archive`."""
        found = self._find("studies", self._query.study, (_STUDY,), offset)
        return [each[_STUDY] for each in found]

    def series(self, study_instance_uid: str) -> list[SeriesListed]:
        """See `Archive`."""
        place = f"studies/{study_instance_uid}/series"
        listed = []
        for each in self._all(place, self._query.series, (_SERIES,)):
            uid = each[_SERIES]
            instances = self._all(f"{place}/{uid}/instances", {}, (_INSTANCE,))
            classes = {one[_INSTANCE]: one.get(_CLASS, "") for one in instances}
            listed.append(SeriesListed(study_instance_uid, uid, classes))
        return listed

    def fetch(
        self, series: SeriesListed, wanted: Sequence[str], heard: Callable[[int], None]
    ) -> str:
        """See `Archive`; the whole series at once where all of it is wanted."""
        place = f"studies/{series.study_instance_uid}/series/{series.series_instance_uid}"
        if len(wanted) == len(series.instances):
            try:
                return self._store(place, series, heard)
            except (ArchiveBusyError, ArchiveRefusesError):
                raise
            except ArchiveError:
                pass  # one instance may be in the way of all others
        reason = ""
        for uid in wanted:
            try:
                reason = self._store(f"{place}/instances/{uid}", series, heard) or reason
            except (ArchiveBusyError, ArchiveRefusesError):
                raise
            except ArchiveError as error:
                reason = str(error)
        return reason

    def close(self) -> None:
        """See `Archive`."""
        self._client.close()

    def _store(self, place: str, series: SeriesListed, heard: Callable[[int], None]) -> str:
        """Store the instances at a place part by part; why some were refused."""
        with self._client.get(place, {}, _INSTANCES) as answer:
            request = StowRequest(
                answer.headers.get("content-type", ""), study=series.study_instance_uid
            )
            try:
                stored = stow(self._inbox, request, self._chunks(answer, heard))
            except (UnsupportedMediaError, MultipartTooLargeError) as error:
                raise ArchiveError(f"the archive's answer is not taken: {error}") from error
            except MultipartError as error:
                raise ArchiveBusyError("the archive's answer is not whole") from error
        if stored.failed:
            self._inbox.check_space()
            return "refused: too large, no DICOM file, or of another study"
        return ""

    def _chunks(self, answer: httpx.Response, heard: Callable[[int], None]) -> Iterator[bytes]:
        for chunk in answer.iter_raw():
            if self._stop.is_set():
                raise StoppedError
            heard(len(chunk))
            yield chunk

    def _all(
        self, place: str, matching: Mapping[str, str], uids: Sequence[str]
    ) -> list[dict[str, str]]:
        """All results, each once."""
        found: dict[str, dict[str, str]] = {}
        offset = 0
        while page := self._find(place, matching, uids, offset):
            before = len(found)
            found |= {each[uids[0]]: each for each in page}
            offset += len(page)
            if len(found) == before:
                break  # a server that knows no offset gives the same again
        return list(found.values())

    def _find(
        self, place: str, matching: Mapping[str, str], uids: Sequence[str], offset: int
    ) -> list[dict[str, str]]:
        """The UIDs of some results from an offset on, by tag; each has those in ``uids``."""
        if self._stop.is_set():
            raise StoppedError
        # A list of UIDs may have commas here, and not every archive knows the other way.
        keys = {
            name: value.replace("\\", ",") if name.endswith("UID") else value
            for name, value in matching.items()
        }
        asked = {**keys, "limit": str(_PAGE), "offset": str(offset)}
        with self._client.get(place, asked, _JSON) as answer:
            told = _read_json(answer)
        results = [
            {tag: _uid(each, tag) for tag in (_STUDY, _SERIES, _CLASS, _INSTANCE)} for each in told
        ]
        if not all(is_uid(each[tag]) for each in results for tag in uids):
            raise ArchiveError("the archive lists something without a valid UID")
        return results


def _read_json(answer: httpx.Response) -> list[dict[str, Any]]:
    if answer.status_code == 204:
        return []
    body = bytearray()
    for chunk in answer.iter_raw():
        body += chunk
        if len(body) > _ANSWER_BYTES:
            raise ArchiveError(f"the archive's answer is longer than {_ANSWER_BYTES} bytes")
    try:
        told = json.loads(body or b"[]")
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, list) or not all(isinstance(each, dict) for each in told):
        raise ArchiveError("the archive's answer is no list in DICOM JSON; is the URL right?")
    return told


def _uid(result: Mapping[str, Any], tag: str) -> str:
    """The first value of an element (PS3.18 annex F), "" without one."""
    element = result.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return str(values[0]) if isinstance(values, list) and values else ""
