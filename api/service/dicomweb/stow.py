"""Store instances that come in one HTTP request (STOW-RS, PS3.18 section 10.5)."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio.to_thread

from api.service.dicomweb.multipart import (
    MultipartError,
    MultipartLimits,
    MultipartParser,
    PartBegan,
    PartData,
    Piece,
    UnsupportedMediaError,
    boundary_of,
    media_type,
)
from indexer.errors import FileRejectedError, StorageFullError, SyntopyError
from indexer.receiving.header import ObjectHeader
from indexer.receiving.inbox import Inbox, Incoming, Received
from indexer.types import Reason

_DICOM = "application/dicom"
_OUT_OF_RESOURCES, _MISMATCH, _NOT_UNDERSTOOD, _TOO_LARGE = 0xA700, 0xA900, 0xC000, 0xC001
_RETRIEVE_URL, _REFERENCED, _FAILED, _OTHER = "00081190", "00081199", "00081198", "0008119A"
_CLASS, _INSTANCE, _REASON = "00081150", "00081155", "00081197"


@dataclass(frozen=True)
class StowRequest:
    """What came with the body.

    Attributes:
        content_type: of the request, with its boundary.
        study: the Study Instance UID of the URL, "" without one; others are refused then.
        base_url: of the DICOMweb service, for the URLs in the answer; without a slash at its end.
        limits: of the body; those of objects are the inbox's.
    """

    content_type: str
    study: str = ""
    base_url: str = ""
    limits: MultipartLimits = field(default_factory=MultipartLimits)


@dataclass(frozen=True)
class StowAnswer:
    """What is answered.

    Attributes:
        status: of HTTP: 200 all are stored, 202 some, 409 none, 503 none for now.
        body: the Store Instances Response Module in the DICOM JSON model, for
            ``application/dicom+json``.
        stored, failed: instances.
    """

    status: int
    body: dict[str, Any]
    stored: int
    failed: int


@dataclass(frozen=True)
class _Failure:
    reason: int
    header: ObjectHeader | None


def stow(inbox: Inbox, request: StowRequest, chunks: Iterable[bytes]) -> StowAnswer:
    """Store the instances of a body that comes chunk by chunk.

    Instances are stored one by one: those that were whole before a body broke off are kept, and
    are known already when it is sent again.

    Raises:
        MultipartError: the body is malformed or ends too early.
        UnsupportedMediaError: it holds something else than instances.
    """
    receiver = _Receiver(inbox, request)
    try:
        for chunk in chunks:
            receiver.feed(chunk)
        return receiver.finish()
    finally:
        receiver.abort()


async def stow_async(
    inbox: Inbox, request: StowRequest, chunks: AsyncIterable[bytes]
) -> StowAnswer:
    """As `stow`; what waits for the disk does so in a thread.

    Raises:
        MultipartError, UnsupportedMediaError: as `stow`.
    """
    receiver = _Receiver(inbox, request)
    try:
        async for chunk in chunks:
            await anyio.to_thread.run_sync(receiver.feed, chunk)
        return receiver.finish()
    finally:
        receiver.abort()


class _Receiver:
    """One request: the part in hand, and what became of those before it."""

    def __init__(self, inbox: Inbox, request: StowRequest) -> None:
        kind, parameters = media_type(request.content_type)
        if kind != "multipart/related" or parameters.get("type", "").lower() != _DICOM:
            raise UnsupportedMediaError(
                'instances are taken as multipart/related; type="application/dicom"'
            )
        self._inbox, self._request = inbox, request
        self._parser = MultipartParser(boundary_of(parameters), request.limits)
        self._incoming: Incoming | None = None
        self._refusal: SyntopyError | None = None
        self._stored: list[Received] = []
        self._failures: list[_Failure] = []

    def feed(self, chunk: bytes) -> None:
        for piece in self._parser.feed(chunk):
            self._take(piece)

    def finish(self) -> StowAnswer:
        self._parser.close()
        if not (self._stored or self._failures):
            raise MultipartError("the body has no part")
        return _answer(self._request.base_url, self._stored, self._failures)

    def abort(self) -> None:
        """Let go of a part that is not whole."""
        if self._incoming is not None:
            self._incoming.discard()
            self._incoming = None

    def _take(self, piece: Piece) -> None:
        if isinstance(piece, PartBegan):
            self._begin(piece)
        elif isinstance(piece, PartData):
            if self._incoming is not None:
                try:
                    self._incoming.write(piece.data)
                except SyntopyError as error:
                    self._refuse(error)
        else:
            self._end()

    def _begin(self, part: PartBegan) -> None:
        kind, _ = media_type(part.headers.get("content-type", _DICOM))
        if kind != _DICOM:
            raise UnsupportedMediaError(f"each part is {_DICOM}; nothing else is taken")
        if part.headers.get("content-transfer-encoding", "binary").lower() not in (
            "binary",
            "8bit",
        ):
            raise UnsupportedMediaError("parts are sent as they are, without another encoding")
        self._refusal = None
        try:
            self._incoming = self._inbox.begin()
        except StorageFullError as error:
            self._refuse(error)

    def _end(self) -> None:
        """Keep the part that is whole now, or note why not."""
        header = None
        try:
            if self._incoming is not None:
                header = self._incoming.check()
                study = self._request.study
                if study and header.study_instance_uid != study:
                    self._failures.append(_Failure(_MISMATCH, header))
                else:
                    self._stored.append(self._incoming.keep(header))
        except SyntopyError as error:
            self._refuse(error)
        if self._refusal is not None:
            self._failures.append(_Failure(_reason(self._refusal), header))
        self.abort()

    def _refuse(self, error: SyntopyError) -> None:
        self._refusal = error
        self.abort()


def _reason(error: SyntopyError) -> int:
    if isinstance(error, StorageFullError):
        return _OUT_OF_RESOURCES
    too_large = isinstance(error, FileRejectedError) and error.reason is Reason.TOO_LARGE
    return _TOO_LARGE if too_large else _NOT_UNDERSTOOD


def _answer(base: str, stored: Sequence[Received], failures: Sequence[_Failure]) -> StowAnswer:
    """The Store Instances Response Module (PS3.18 annex I)."""
    body: dict[str, Any] = {}
    studies = {each.header.study_instance_uid for each in stored}
    if len(studies) == 1 and "" not in studies:
        body[_RETRIEVE_URL] = _element("UR", f"{base}/studies/{studies.pop()}")
    referenced = [_reference(each.header) | _url(base, each.header) for each in stored]
    failed = [
        _reference(each.header) | {_REASON: _element("US", each.reason)}
        for each in failures
        if each.header is not None
    ]
    other = [{_REASON: _element("US", each.reason)} for each in failures if each.header is None]
    for tag, items in ((_FAILED, failed), (_REFERENCED, referenced), (_OTHER, other)):
        if items:
            body[tag] = {"vr": "SQ", "Value": items}
    return StowAnswer(_status(stored, failures), body, len(stored), len(failures))


def _status(stored: Sequence[Received], failures: Sequence[_Failure]) -> int:
    if not failures:
        return 200
    if stored:
        return 202
    return 503 if all(each.reason == _OUT_OF_RESOURCES for each in failures) else 409


def _reference(header: ObjectHeader) -> dict[str, Any]:
    return {
        _CLASS: _element("UI", header.sop_class_uid),
        _INSTANCE: _element("UI", header.sop_instance_uid),
    }


def _url(base: str, header: ObjectHeader) -> dict[str, Any]:
    if not (header.study_instance_uid and header.series_instance_uid):
        return {}
    place = (
        f"{base}/studies/{header.study_instance_uid}/series/{header.series_instance_uid}"
        f"/instances/{header.sop_instance_uid}"
    )
    return {_RETRIEVE_URL: _element("UR", place)}


def _element(vr: str, value: object) -> dict[str, Any]:
    return {"vr": vr, "Value": [value]}
