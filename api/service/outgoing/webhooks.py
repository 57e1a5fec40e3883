"""Messages to webhooks: sent from the outbox, and tried again.

A message is sent at least once: one that a receiver took just before this process was killed is
sent again under the same id.
"""

from __future__ import annotations

import hashlib
import http.client
import ipaddress
import json
import random
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import SplitResult, urlsplit
from uuid import uuid4

import indexer
from api.service.outgoing.signatures import signed
from indexer.catalog.database import reading, transaction
from indexer.catalog.tables import now
from indexer.errors import ConfigError, LibraryLockedError
from indexer.groups.outbox import (
    DEAD,
    DELIVERED,
    WAITING,
    StoredDelivery,
    next_delivery,
    settle,
)
from indexer.library import Library

VERSION = 1
WAITS = (5.0, 30.0, 120.0, 600.0, 3_600.0, 21_600.0)
"""Seconds between attempts; after the last attempt a message is dead."""
REPORTS = "destination://"
"""Before the name of a destination, where the outbox has the address of a webhook."""
_JITTER = 0.2
_GONE = 410


@dataclass(frozen=True, kw_only=True)
class Message:
    """What happened, once; to how many webhooks it is sent, its ``id`` is the same.

    Attributes:
        event: ``flag`` or ``drift``.
        created_at: ISO time, UTC.
        data: what JSON knows, without NaN and infinities.
    """

    version: int = VERSION
    id: str = field(default_factory=lambda: f"msg_{uuid4().hex}")
    event: str
    created_at: str = field(default_factory=lambda: now().isoformat(timespec="seconds"))
    data: Mapping[str, Any]

    @property
    def body(self) -> str:
        """What is signed and sent."""
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False)


@dataclass(frozen=True)
class Posting:
    """Where and how messages are sent.

    Attributes:
        urls: of the webhooks.
        secret: see `api.service.outgoing.signatures`.
        insecure: http is good enough beyond this machine.
        timeout: seconds until a silent receiver is given up.
        waits: seconds between attempts, each with up to a fifth more or less.
        at_once: messages to one webhook before arrivals are looked at again.
        reports: ``destination://NAME`` of each destination that gets a report of what is flagged.
        send_report: given the name and the data of a message about a flag, sends the report; says
            what went wrong, "" if nothing did.
    """

    urls: tuple[str, ...] = ()
    secret: bytes = field(default=b"", repr=False)
    insecure: bool = False
    timeout: float = 10.0
    waits: tuple[float, ...] = WAITS
    at_once: int = 8
    reports: tuple[str, ...] = ()
    send_report: Callable[[str, Mapping[str, Any]], str] | None = None


@dataclass(frozen=True)
class Attempt:
    """One message that was sent to one webhook, and its state since.

    Attributes:
        delivery: its number.
        webhook: without what may be a secret, see `shown`.
        state: ``delivered``, ``waiting`` or ``dead``.
        error: what went wrong; "" where nothing did.
        next_at: ISO time of the next attempt; of one that waits.
    """

    delivery: int
    webhook: str
    state: str
    error: str
    next_at: str


def check_webhook(url: str, *, insecure: bool = False) -> None:
    """See that messages may be sent to a URL.

    Raises:
        ConfigError: it is no URL, has a password in it, or is neither https nor this machine.
    """
    try:
        parts = urlsplit(url)
        fine = parts.port != 0 and url.isascii() and url.isprintable() and " " not in url
    except ValueError:
        raise ConfigError("a webhook is not a URL") from None
    if not fine or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("a webhook is a URL as https://host/path")
    if parts.username is not None or parts.password is not None:
        raise ConfigError("a webhook has no name and password in it: messages are signed")
    if parts.scheme == "http" and not insecure and not _is_this_machine(parts):
        raise ConfigError(
            f"the webhook at {parts.hostname} is not https: messages could be read on their way; "
            "--insecure allows it"
        )


def shown(url: str) -> str:
    """A webhook as it may be printed: what follows a question mark may be a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def deliver(library: Library, posting: Posting) -> list[Attempt]:
    """Send what is due, to each webhook in order, at most `Posting.at_once` to one.

    A message waits for those before it to the same webhook; those to others go on. What another
    process is sending is left to it.
    """
    places = (*posting.urls, *posting.reports)
    return [made for url in places for made in _to_one(library, posting, url)]


def seconds_to_next(library: Library, urls: Sequence[str]) -> float | None:
    """Until a message is due to one of some webhooks, 0 if one is; None if none waits."""
    with reading(library.engine) as db:
        heads = [next_delivery(db, url) for url in urls]
    rests = [(each.next_at - now()).total_seconds() for each in heads if each is not None]
    return max(0.0, min(rests)) if rests else None


def _to_one(library: Library, posting: Posting, url: str) -> Iterator[Attempt]:
    task = f"webhook-{hashlib.sha256(url.encode()).hexdigest()[:16]}"
    with ExitStack() as alone:
        try:
            alone.enter_context(library.busy_with(task, "messages are being sent"))
        except LibraryLockedError:
            return  # another watch sends them to the same webhook
        for _ in range(posting.at_once):
            with reading(library.engine) as db:
                waiting = next_delivery(db, url)
            if waiting is None or waiting.next_at > now():
                return
            error, status = _post(waiting, posting)
            state, next_at = _after(waiting, posting, error, status)
            with transaction(library.engine) as db:
                settle(db, waiting.id, state, next_at, error)
            told = next_at.isoformat(timespec="seconds") if state == WAITING else ""
            yield Attempt(waiting.id, shown(url), state, error, told)


def _after(
    waiting: StoredDelivery, posting: Posting, error: str, status: int
) -> tuple[str, datetime]:
    """The state of a message after an attempt, and when it is sent next."""
    if not error:
        return DELIVERED, now()
    if status == _GONE or waiting.attempts >= len(posting.waits):
        return DEAD, now()
    jitter = random.uniform(1 - _JITTER, 1 + _JITTER)
    return WAITING, now() + timedelta(seconds=posting.waits[waiting.attempts] * jitter)


def _post(waiting: StoredDelivery, posting: Posting) -> tuple[str, int]:
    """Send a message: what went wrong, "" if nothing did; and the status, 0 without an answer."""
    if waiting.url in posting.reports and posting.send_report is not None:
        name = waiting.url.removeprefix(REPORTS)
        return posting.send_report(name, json.loads(waiting.body)["data"]), 0
    body = waiting.body.encode()
    headers = signed(posting.secret, json.loads(body)["id"], body, int(time.time()))
    headers |= {
        "content-type": "application/json",
        "user-agent": f"syntopy/{indexer.__version__}",
    }
    request = urllib.request.Request(waiting.url, body, headers, method="POST")  # noqa: S310 - checked
    handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
    if _is_this_machine(urlsplit(waiting.url)):
        handlers.append(urllib.request.ProxyHandler({}))
    try:
        with urllib.request.build_opener(*handlers).open(
            request, timeout=posting.timeout
        ) as answer:
            return "", answer.status
    except urllib.error.HTTPError as refused:
        refused.close()
        return f"answered {refused.code}", refused.code
    except (OSError, http.client.HTTPException) as error:
        return _said(error, posting), 0


def _said(error: Exception, posting: Posting) -> str:
    """What went wrong, without the URL."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, TimeoutError):
        return f"no answer within {posting.timeout:g} s"
    told = reason.strerror if isinstance(reason, OSError) else None
    return f"not reached: {told or type(reason).__name__}"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A receiver's redirect could lead messages anywhere: it is an error."""

    def redirect_request(self, *_args: object, **_more: object) -> None:
        """No request follows."""


def _is_this_machine(parts: SplitResult) -> bool:
    if parts.hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False
