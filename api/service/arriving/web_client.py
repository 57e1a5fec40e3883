"""A client of an archive's DICOMweb service: careful with whom it talks to, and what it says."""

from __future__ import annotations

import ipaddress
import logging
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

import indexer
from api.service.arriving.archives import ArchiveBusyError, ArchiveError, ArchiveRefusesError
from indexer.errors import ConfigError

_REDIRECTS = 5
_LATER = frozenset((408, 425, 429, 502, 503, 504))
"""Statuses that another try may not meet."""


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


class WebClient:
    """Asks one archive, and nobody else.

    Args:
        options: where, and who asks.

    Raises:
        ConfigError: an option is wrong.
    """

    def __init__(self, options: WebOptions) -> None:
        self._options = options
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

    def close(self) -> None:
        """Let go of connections."""
        self._client.close()

    @contextmanager
    def get(self, place: str, asked: Mapping[str, str], accept: str) -> Iterator[httpx.Response]:
        """An answer of which nothing is read yet, after redirects within the archive.

        Raises:
            ArchiveBusyError, ArchiveRefusesError, ArchiveError: it is none, now or at all; also
                while it is being read.
        """
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
