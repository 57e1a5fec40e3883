"""A DICOM object sent to a destination: STOW-RS (PS3.18 section 10.5), C-STORE (PS3.4 annex B)."""

from __future__ import annotations

import http.client
import io
import json
import urllib.error
import urllib.request
import uuid
import warnings
from typing import Any
from urllib.parse import urlsplit

import pydicom

from api.service.outgoing.destinations import (
    Destination,
    NodeDestination,
    WebDestination,
    is_this_machine,
)
from indexer.errors import NotSentError
from indexer.extras import extra

_ANSWER_BYTES = 1 << 20
_STORED, _FAILURES = "00081199", ("00081198", "0008119A")
"""ReferencedSOPSequence; FailedSOPSequence, OtherFailuresSequence."""
_UID = "00081155"
"""ReferencedSOPInstanceUID."""
_OK, _WARNINGS = 0x0000, 0xB000


def send(to: Destination, content: bytes) -> None:
    """Send a DICOM file, and return once the destination says that it has it.

    A destination that has it already says the same, so that sending again does no harm.

    Raises:
        ConfigError: the token or a TLS file of the destination cannot be used.
        MissingExtraError: C-STORE needs the extra ``dimse``.
        NotSentError: it cannot be reached, or did not take it.
    """
    if isinstance(to, WebDestination):
        _stow(to, content)
    else:
        _store(to, content)


def _stow(to: WebDestination, content: bytes) -> None:
    uid = str(pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True).SOPInstanceUID)
    boundary = f"syntopy-{uuid.uuid4().hex}"
    headers = {
        "content-type": f'multipart/related; type="application/dicom"; boundary={boundary}',
        "accept": "application/dicom+json",
    }
    if secret := to.secret():
        headers["authorization"] = f"Bearer {secret}"
    head = f"--{boundary}\r\ncontent-type: application/dicom\r\n\r\n".encode()
    body = head + content + f"\r\n--{boundary}--\r\n".encode()
    request = urllib.request.Request(  # noqa: S310 - http or https, checked when it was read
        f"{to.url.rstrip('/')}/studies", body, headers, method="POST"
    )
    handlers: list[urllib.request.BaseHandler] = [
        _NoRedirects(),
        urllib.request.HTTPSHandler(context=to.context()),
    ]
    if is_this_machine(urlsplit(to.url).hostname or ""):
        handlers.append(urllib.request.ProxyHandler({}))
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=to.timeout) as answer:
            told, status = answer.read(_ANSWER_BYTES), answer.status
    except urllib.error.HTTPError as refused:
        refused.close()
        raise _refused(to, f"it answered {refused.code}") from refused
    except (OSError, http.client.HTTPException) as error:
        raise _unreached(to, error) from error
    if status == 202 or (told.strip() and not _stored(told, uid)):
        raise _refused(to, f"it answered {status}, and did not say that it stored the object")


def _stored(told: bytes, uid: str) -> bool:
    """Whether a store instances response names this object and no failure (PS3.18, I.2)."""
    try:
        answer = json.loads(told)
    except (ValueError, RecursionError):
        return False
    every = answer if isinstance(answer, list) else [answer]
    # Some write a sequence of failures without items where nothing failed.
    failed = any(_values(each, tag) for each in every for tag in _FAILURES)
    named = [item for each in every for item in _values(each, _STORED)]
    return not failed and any(uid in _values(item, _UID) for item in named)


def _values(dataset: object, tag: str) -> list[Any]:
    """What an element of DICOM JSON holds (PS3.18, F.2); nothing if it is none."""
    element = dataset.get(tag) if isinstance(dataset, dict) else None
    values = element.get("Value") if isinstance(element, dict) else None
    return values if isinstance(values, list) else []


def _store(to: NodeDestination, content: bytes) -> None:
    extra("pynetdicom")
    from pynetdicom import AE  # noqa: PLC0415 - an extra

    dataset = pydicom.dcmread(io.BytesIO(content))
    entity = AE(to.calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = to.timeout
    entity.connection_timeout = to.timeout
    entity.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
    tls = (to.context(), to.host) if to.tls else None
    association = entity.associate(to.host, to.port, ae_title=to.called, tls_args=tls)
    if not association.is_established:
        rejected = association.is_rejected
        raise NotSentError(
            f"the destination '{to.name}' "
            + ("refuses the association" if rejected else "cannot be reached, or breaks off")
        )
    try:
        if not association.accepted_contexts:
            raise _refused(to, "it takes no Comprehensive SR")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values that stand in the original as they are
            status = int(association.send_c_store(dataset).get("Status", -1))
    except ValueError as error:
        raise _refused(to, "it takes no Comprehensive SR") from error
    finally:
        association.release()
    if status != _OK and status & 0xF000 != _WARNINGS:
        said = "no answer" if status < 0 else f"status {status:04X}"
        raise _refused(to, f"C-STORE: {said}")


def _refused(to: Destination, why: str) -> NotSentError:
    return NotSentError(f"the destination '{to.name}' did not take it: {why}")


def _unreached(to: Destination, error: Exception) -> NotSentError:
    """Without the address, which a client has no need to know."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, TimeoutError):
        return NotSentError(f"the destination '{to.name}' does not answer within {to.timeout:g} s")
    told = reason.strerror if isinstance(reason, OSError) else None
    return NotSentError(
        f"the destination '{to.name}' cannot be reached: {told or type(reason).__name__}"
    )


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect could lead a patient's object anywhere: it is an error."""

    def redirect_request(self, *_args: object, **_more: object) -> Any:
        """No request follows."""
