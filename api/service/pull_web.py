"""An archive that is asked over DICOMweb: QIDO-RS and WADO-RS (PS3.18 sections 10.4 and 10.6)."""

from __future__ import annotations

import ipaddress
import json
import logging
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

import indexer
from api.service.archives import (
    ArchiveBusyError,
    ArchiveError,
    ArchiveQuery,
    ArchiveRefusesError,
    SeriesListed,
    StoppedError,
    is_uid,
)
from api.service.multipart import MultipartError, MultipartTooLargeError, UnsupportedMediaError
from api.service.stow import StowRequest, stow
from indexer.errors import ConfigError
from indexer.receiving.inbox import Inbox

_JSON, _INSTANCES = (
    "application/dicom+json",
    'multipart/related; type="application/dicom"; transfer-syntax=*',
)
_PAGE = 500
"""Results that are asked for at once."""
_ANSWER_BYTES = 64 << 20
"""Of an answer to a query."""
_REDIRECTS = 5
_LATER = frozenset((408, 425, 429, 502, 503, 504))
"""Statuses that another try may not meet."""
_STUDY, _SERIES, _CLASS, _INSTANCE = "0020000D", "0020000E", "00080016", "00080018"


@dataclass(frozen=True)
class WebOptions:
    """Where an archive is, and who asks.

    Attributes:
        url: of its DICOMweb service, as ``https://host/dicom-web``.
        token: a bearer token, or
        user, password: for basic authentication.
        ca: certificates in PEM form of the authority that is trusted; None for the system's.
        insecure: http is good enough beyond this machine.
        timeout: seconds of silence.
    """

    url: str
    token: SecretStr = field(default=SecretStr(""), repr=False)
    user: str = field(default="", repr=False)
    password: SecretStr = field(default=SecretStr(""), repr=False)
    ca: Path | None = None
    insecure: bool = False
    timeout: float = 60.0


class WebArchive:
    """An `api.service.archives.Archive` over DICOMweb.

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
        self._inbox, self._query, self._options, self._stop = inbox, query, options, stop
        self._base = _checked(options)
        # They log addresses, and in those is what is asked for, such as ids of patients.
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._client = httpx.Client(
            auth=_credentials(options),
            headers=_headers(options),
            timeout=options.timeout,
            trust_env=not _is_this_machine(self._base.host),
            verify=_trusted(options.ca),
        )

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
        with self._get(place, {}, _INSTANCES) as answer:
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
        with self._get(place, asked, _JSON) as answer:
            told = _read_json(answer)
        results = [
            {tag: _uid(each, tag) for tag in (_STUDY, _SERIES, _CLASS, _INSTANCE)} for each in told
        ]
        if not all(is_uid(each[tag]) for each in results for tag in uids):
            raise ArchiveError("the archive lists something without a valid UID")
        return results

    @contextmanager
    def _get(self, place: str, asked: Mapping[str, str], accept: str) -> Iterator[httpx.Response]:
        """An answer of which nothing is read yet, after redirects within the archive."""
        address = self._base.copy_with(path=f"{self._base.path.rstrip('/')}/{place}")
        # Compressed answers could be bombs, and pictures do not become smaller.
        headers = {"Accept": accept, "Accept-Encoding": "identity"}
        request = self._client.build_request("GET", address, params=asked, headers=headers)
        try:
            for _ in range(_REDIRECTS):
                answer = self._client.send(request, stream=True)
                try:
                    if answer.next_request is None:
                        _check(answer)
                        yield answer
                        return
                    request = answer.next_request
                finally:
                    answer.close()
                if not _same_place(request.url, self._base):
                    raise ArchiveError("the archive redirects to another host, which is refused")
            raise ArchiveError("the archive redirects again and again")
        except httpx.HTTPError as error:
            raise _trouble(error, self._options.timeout) from error


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


def _check(answer: httpx.Response) -> None:
    """See that an answer is one."""
    status = answer.status_code
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise ArchiveError("the archive's answer is compressed, which was not asked for")
    if 200 <= status < 300:
        return
    if status == 401:
        raise ArchiveRefusesError(
            "the archive does not know us (401): set SYNTOPY_PULL_TOKEN, or SYNTOPY_PULL_USER and "
            "SYNTOPY_PULL_PASSWORD"
        )
    if status in _LATER:
        raise ArchiveBusyError(
            f"the archive answers {status}", _seconds(answer.headers.get("retry-after", ""))
        )
    raise ArchiveError(f"the archive answers {status}")


def _seconds(retry_after: str) -> float | None:
    """What Retry-After says, in seconds or as a date (RFC 9110 section 10.2.3)."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    try:
        return (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError):
        return None


def _trouble(error: httpx.HTTPError, timeout: float) -> ArchiveError:
    """What went wrong, without the address: what is asked for stands in it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            why = getattr(cause, "verify_message", "") or cause.reason or "TLS"
            return ArchiveError(f"the connection to the archive is not safe: {why}")
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.TimeoutException):
        return ArchiveBusyError(f"the archive is silent for {timeout:g} s")
    if isinstance(error, httpx.TransportError):
        return ArchiveBusyError(f"the archive is not reached: {type(error).__name__}")
    return ArchiveError(f"the archive's answer cannot be read: {type(error).__name__}")


def _checked(options: WebOptions) -> httpx.URL:
    """The address, once it and who asks are as they should be."""
    try:
        urlsplit(options.url)  # stricter than the other in what a host is
        url = httpx.URL(options.url)
    except (ValueError, httpx.InvalidURL):
        raise ConfigError("the archive's address is no URL") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigError("the archive's address is a URL as https://host/dicom-web")
    if url.userinfo or url.query or url.fragment:
        raise ConfigError(
            "the archive's address has no name, password or '?' in it; who asks is told with "
            "SYNTOPY_PULL_TOKEN, or SYNTOPY_PULL_USER and SYNTOPY_PULL_PASSWORD"
        )
    if url.scheme == "http" and not (options.insecure or _is_this_machine(url.host)):
        raise ConfigError(
            "the archive's address is not https: pictures of patients could be read on their way; "
            "--insecure allows it"
        )
    if options.token.get_secret_value() and options.user:
        raise ConfigError("SYNTOPY_PULL_TOKEN and SYNTOPY_PULL_USER exclude each other")
    return url


def _credentials(options: WebOptions) -> httpx.BasicAuth | None:
    if not options.user:
        return None
    return httpx.BasicAuth(options.user, options.password.get_secret_value())


def _headers(options: WebOptions) -> dict[str, str]:
    headers = {"User-Agent": f"syntopy/{indexer.__version__}"}
    if token := options.token.get_secret_value():
        headers["Authorization"] = f"Bearer {token}"
    return headers


def _trusted(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if ca is None else str(ca))
    except OSError as error:  # an error of ssl is one, too
        raise ConfigError(
            f"--ca cannot be used: {error.strerror or type(error).__name__}; it is a file of "
            "certificates in PEM form"
        ) from error


def _same_place(url: httpx.URL, base: httpx.URL) -> bool:
    return (url.scheme, url.host, url.port) == (base.scheme, base.host, base.port)


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
