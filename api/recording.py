"""The audit of what is asked over HTTP: who, what, which patients, from where, how it ended."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from fastapi import Request
from fastapi.responses import Response

from api.problems import ProblemError
from api.rate import TokenBuckets
from api.rights import Principal
from api.service.access.audit import Recorder, record
from indexer.catalog.audit import Action, AuditEvent, Ending
from indexer.catalog.database import reading
from indexer.catalog.lookup import pseudonyms_of
from indexer.library import Library

_STUDY = re.compile(
    rb'"(?:(?:study_instance_uid|first_study|second_study)":|0020000D":\{"vr":"UI","Value":\[)'
    rb'"([0-9.]{1,64})"'
)
_STRANGERS_RATE, _STRANGERS_BURST = 1.0, 30.0
"""Refusals a second that are answered as such to one address: each is a row of the audit."""
_QUERIES = frozenset({"search", "ood", "qido"})
_CHANGED = frozenset({"clusters", "jobs", "labels", "reviews", "sets"})
"""Tags of routes that change something unless they are asked with GET."""
_ACTIONS = {"audit": Action.AUDIT, "dicomweb": Action.ARRIVE, "keys": Action.KEYS}
"""Of tags whose routes do one thing; keys that are only listed are a query."""
_AT_ONCE = 1_000
"""Patients that one row of the audit names; an export of more is several rows."""


class Recording:
    """Writes a row for each request to the data of patients, before it is answered.

    Args:
        library: whose audit.
        recorder: of it.
    """

    def __init__(self, library: Library, recorder: Recorder) -> None:
        self._library, self._recorder = library, recorder
        self._strangers = TokenBuckets(_STRANGERS_RATE, _STRANGERS_BURST, clock=time.monotonic)

    def change(self, request: Request) -> AuditEvent:
        """What is recorded of a change that is made; whose data it was is to be added."""
        return asked_event(request)

    def answered(self, request: Request, response: Response) -> None:
        """A request that was answered; a change was recorded when it was made.

        Raises:
            LibraryLockedError, StorageFullError: it cannot be recorded; then it is not answered.
        """
        author = request.state.author
        if getattr(request.state, "recorded", False) or (author is not None and author.signed):
            return
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
        self.stranger(request)
        self._record(request, Ending.REFUSED, b"")

    def stranger(self, request: Request) -> None:
        """Count a request of nobody knows whom, once; before it costs anybody anything.

        Raises:
            ProblemError: so many came from this address that they are not even looked at.
        """
        if getattr(request.state, "counted", False):
            return
        wait = self._strangers.take(_origin(request))
        if wait:
            raise ProblemError(429, "too many requests without a right", _again(wait))
        request.state.counted = True

    def event(
        self, request: Request, action: Action, ending: Ending, body: bytes = b""
    ) -> AuditEvent:
        """What is recorded of a request: who asked from where, and whose data the answer holds."""
        uids = {*_named(request), *(found.decode() for found in _STUDY.findall(body))}
        uids |= {*getattr(request.state, "studies", ())}  # of an answer that is no JSON
        with reading(self._library.engine) as db:
            patients = pseudonyms_of(db, sorted(uids))
        return _event(request, action, ending, patients)

    def exported(self, request: Request, patients: Sequence[str], **about: object) -> None:
        """That the data of patients are about to be given away; all of it or nothing is written.

        Args:
            request: that asked for them.
            patients: pseudonyms; a row names a part of them, and each row has their number and
                the SHA-256 of all, each ended by a newline.
            about: counts and codes.

        Raises:
            LibraryLockedError, StorageFullError: it cannot be recorded; then it is not given away.
        """
        told = "".join(f"{each}\n" for each in patients).encode()
        about |= {"patients": len(patients), "sha256": hashlib.sha256(told).hexdigest()}
        parts = range(0, max(1, len(patients)), _AT_ONCE)
        events = [
            _event(
                request,
                Action.EXPORT,
                Ending.SUCCESS,
                tuple(patients[start : start + _AT_ONCE]),
                about | {"part": number, "parts": len(parts)},
            )
            for number, start in enumerate(parts, 1)
        ]
        record(self._library, *events)
        request.state.recorded = True

    def _record(self, request: Request, ending: Ending, body: bytes) -> None:
        self._recorder.record(self.event(request, _action(request, ending), ending, body))


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


def asked_event(request: Request, **about: object) -> AuditEvent:
    """A request that is about to be answered, as the audit tells of it.

    Args:
        request: by somebody who is known.
        about: counts and codes.
    """
    return _event(request, _action(request, Ending.SUCCESS), Ending.SUCCESS, (), about)


def _event(
    request: Request,
    action: Action,
    ending: Ending,
    patients: tuple[str, ...],
    about: Mapping[str, object] = MappingProxyType({}),
) -> AuditEvent:
    asker: Principal | None = request.state.principal
    named = {"uid": "".join(_named(request)), **getattr(request.state, "about", {}), **about}
    subject = {"route": request.scope["route"].path, **named}
    return AuditEvent(
        actor=asker.name if asker else "not known",
        action=action,
        subject=subject | ({"how": asker.how} if asker else {}),
        patients=patients,
        outcome=ending,
        origin=_origin(request),
        request_id=request.state.request_id,
    )


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
    changes = request.method != "GET"
    for tag, action in _ACTIONS.items():
        if tag in tags and (changes or action is not Action.KEYS):
            return action
    if "exports" in tags or ("structured" in tags and "uid" in request.path_params):
        return Action.EXPORT
    if tags & _CHANGED and changes:
        return Action.CHANGE
    return Action.QUERY if tags & _QUERIES or "uid" not in request.path_params else Action.VIEW


def _origin(request: Request) -> str:
    return request.client.host if request.client else ""
