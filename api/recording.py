"""The audit of what is asked over HTTP: who, what, which patients, from where, how it ended."""

from __future__ import annotations

import re
import time

from fastapi import Request
from fastapi.responses import Response

from api.problems import ProblemError
from api.rate import TokenBuckets
from api.rights import Principal
from api.service.audit import Recorder
from indexer.catalog.audit import Action, AuditEvent, Ending
from indexer.catalog.database import reading
from indexer.catalog.lookup import pseudonyms_of
from indexer.library import Library

_STUDY = re.compile(rb'"study_instance_uid":"([0-9.]{1,64})"')
_STRANGERS_RATE, _STRANGERS_BURST = 1.0, 30.0
"""Refusals a second that are answered as such to one address: each is a row of the audit."""
_QUERIES = frozenset({"search", "ood"})
_EXPORTS = frozenset({"structured"})


class Recording:
    """Writes a row for each request to the data of patients, before it is answered.

    Args:
        library: whose audit.
        recorder: of it.
    """

    def __init__(self, library: Library, recorder: Recorder) -> None:
        self._library, self._recorder = library, recorder
        self._strangers = TokenBuckets(_STRANGERS_RATE, _STRANGERS_BURST, clock=time.monotonic)

    def answered(self, request: Request, response: Response) -> None:
        """A request that was answered.

        Raises:
            LibraryLockedError, StorageFullError: it cannot be recorded; then it is not answered.
        """
        ending = Ending.SUCCESS if response.status_code < 400 else Ending.FAILED
        self._record(request, ending, bytes(getattr(response, "body", b"")))

    def failed(self, request: Request) -> None:
        """A request that could not be answered."""
        self._record(request, Ending.FAILED, b"")

    def refused(self, request: Request) -> None:
        """A request that whoever asks has no right to.

        Raises:
            ProblemError: so many came from this address that they are not even looked at.
        """
        wait = self._strangers.take(_origin(request))
        if wait:
            raise ProblemError(429, "too many requests without a right", _again(wait))
        self._record(request, Ending.REFUSED, b"")

    def _record(self, request: Request, ending: Ending, body: bytes) -> None:
        asker: Principal | None = request.state.principal
        named = _named(request)
        uids = {*named, *(found.decode() for found in _STUDY.findall(body))}
        uids |= {*getattr(request.state, "studies", ())}  # of an answer that is no JSON
        with reading(self._library.engine) as db:
            patients = pseudonyms_of(db, sorted(uids))
        subject = {"route": request.scope["route"].path, "uid": "".join(named)}
        self._recorder.record(
            AuditEvent(
                actor=asker.name if asker else "not known",
                action=_action(request, ending),
                subject=subject | ({"how": asker.how} if asker else {}),
                patients=patients,
                outcome=ending,
                origin=_origin(request),
                request_id=request.state.request_id,
            )
        )


class Rates:
    """How often each who is known may ask.

    Args:
        rate: requests a second.
        burst: that may come at once.
    """

    def __init__(self, rate: float, burst: float) -> None:
        self._buckets = TokenBuckets(rate, burst, clock=time.monotonic)

    def take(self, asker: Principal) -> None:
        """Count one request.

        Raises:
            ProblemError: too many came.
        """
        wait = self._buckets.take(f"{asker.how} {asker.name}")
        if wait:
            raise ProblemError(429, "more requests than this key may send", _again(wait))


def _again(wait: float) -> dict[str, str]:
    return {"Retry-After": str(int(wait) + 1)}


def _named(request: Request) -> list[str]:
    """The UID in the address, if there is one that can be."""
    uid = str(request.path_params.get("uid", ""))
    return [uid] if re.fullmatch(r"[0-9a-z.]{1,64}", uid) else []


def _action(request: Request, ending: Ending) -> Action:
    if ending is Ending.REFUSED:
        return Action.REFUSE
    tags = set(request.scope["route"].tags)
    if "dicomweb" in tags:
        return Action.ARRIVE
    if tags & _EXPORTS and "uid" in request.path_params:
        return Action.EXPORT
    return Action.QUERY if tags & _QUERIES or "uid" not in request.path_params else Action.VIEW


def _origin(request: Request) -> str:
    return request.client.host if request.client else ""
