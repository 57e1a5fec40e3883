"""Objects that come on an association, on either side of it, into the inbox."""

from __future__ import annotations

import logging
import socket
import warnings
from typing import Any, cast

from pydicom.dataset import Dataset
from pynetdicom import _config
from pynetdicom.association import Association

from api.dimse.streaming import MismatchError, StreamingProvider
from indexer.errors import FileRejectedError, StorageFullError, SyntopyError
from indexer.types import Reason

_SUCCESS, _OUT_OF_RESOURCES, _MISMATCH, _NOT_UNDERSTOOD = 0x0000, 0xA700, 0xA900, 0xC000
_TOO_LARGE, _NOT_SUPPORTED = 0xC001, 0x0122
_ASSOCIATE_BYTES = 1 << 20
"""Of an A-ASSOCIATE request, to which the limit on PDUs of data does not apply."""
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # of Linux alone


def prepare() -> None:
    """Settings of the whole process: any class may be stored, and nothing is written to logs."""
    _config.UNRESTRICTED_STORAGE_SERVICE = True
    _config.LOG_HANDLER_LEVEL = "none"
    for name in ("pynetdicom", "pydicom"):  # they quote what they cannot understand
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", module="pydicom")


def limit_connection(association: Association, pdu_bytes: int) -> None:
    """Take no PDU that is longer, and confirm packets at once."""
    wire = cast(Any, association.dul.socket)
    # pynetdicom takes PDUs of any length, and whole into memory.
    most, receive = max(pdu_bytes + 16, _ASSOCIATE_BYTES), wire.recv

    def limited(count: int) -> Any:
        if count > most:
            raise OSError("a PDU is longer than agreed")
        if _QUICKACK is not None and wire.socket is not None:
            # Some senders keep a data set back until their command is confirmed, which the
            # kernel puts off by 40 ms. It forgets this with each answer.
            wire.socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        return receive(count)

    wire.recv = limited


def store(event: Any) -> Dataset | int:
    """Keep the object of a C-STORE request; the status as in PS3.4 table B.2-1."""
    provider: StreamingProvider = event.assoc.dimse
    sink = provider.take(event.request.DataSet)
    if sink is None:
        return _status(_NOT_UNDERSTOOD, "no data set")
    if event.context.abstract_syntax != event.request.AffectedSOPClassUID:
        sink.discard()
        return _status(_NOT_SUPPORTED, "not the class of the presentation context")
    try:
        received = sink.finish()
    except SyntopyError as error:
        provider.tally.refused += 1
        provider.tally.reason = error.code
        return _refusal(error)
    provider.tally.stored += received.new
    provider.tally.repeated += not received.new
    return _SUCCESS


def _refusal(error: SyntopyError) -> Dataset:
    if isinstance(error, StorageFullError):
        return _status(_OUT_OF_RESOURCES, "send again later")
    if isinstance(error, MismatchError):
        return _status(_MISMATCH, "not the instance that the request names")
    if isinstance(error, FileRejectedError):
        too_large = error.reason is Reason.TOO_LARGE
        return _status(_TOO_LARGE if too_large else _NOT_UNDERSTOOD, error.detail)
    return _status(_NOT_UNDERSTOOD, error.code)


def _status(code: int, comment: str) -> Dataset:
    status = Dataset()
    status.Status = code
    status.ErrorComment = comment[:64]
    return status
