"""Data sets of C-STORE requests on their way to the inbox, never whole in memory."""

from __future__ import annotations

import io
import re
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ, DIMSEMessage
from pynetdicom.dimse_primitives import C_CANCEL, N_ACTION
from pynetdicom.pdu_primitives import P_DATA

from indexer.errors import FileRejectedError, SyntopyError
from indexer.receiving.inbox import Inbox, Incoming, Received
from indexer.types import Reason

IMPLEMENTATION_UID: Final = "2.25.146894417237486352910518843627731046527"
IMPLEMENTATION_NAME: Final = "SYNTOPY"
_COMMAND_BYTES = 16 << 20
"""Of a message without what is stored: commands, and the data sets of other requests."""
_AT_ONCE = 4
"""Requests that wait for their answer; a well-behaved sender has one."""
_UID = re.compile(r"[0-9.]{1,64}")


class MismatchError(SyntopyError):
    """A data set is of another instance or class than the request that brought it."""

    code = "mismatch"


class Sink(io.BytesIO):
    """Takes the bytes of one data set as they come; the first refusal stops all writing.

    Args:
        inbox: where they go.
        sop_class_uid, sop_instance_uid: as the request names them.
        transfer_syntax_uid: of the presentation context.
    """

    def __init__(
        self, inbox: Inbox, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str
    ) -> None:
        super().__init__()
        self._named = (sop_class_uid, sop_instance_uid)
        self._incoming: Incoming | None = None
        self._refusal: SyntopyError | None = None
        try:
            if not all(map(_UID.fullmatch, self._named)):
                raise FileRejectedError(Reason.NO_UIDS, "the request has no valid UIDs")
            self._incoming = inbox.begin()
            self.write(_file_meta(*self._named, transfer_syntax_uid))
        except SyntopyError as error:
            self._refuse(error)

    def write(self, data: Any) -> int:
        """Pass bytes on, or drop them where the object was refused."""
        if self._incoming is not None:
            try:
                self._incoming.write(data)
            except SyntopyError as error:
                self._refuse(error)
        return len(data)

    def finish(self) -> Received:
        """Make the object safe.

        Raises:
            FileRejectedError: it is no object with UIDs, or too large.
            MismatchError: its UIDs are not those of the request.
            StorageFullError: it cannot be kept now.
        """
        try:
            if self._refusal is not None:
                raise self._refusal
            assert self._incoming is not None  # noqa: S101 - else it was refused
            header = self._incoming.check()
            if (header.sop_class_uid, header.sop_instance_uid) != self._named:
                raise MismatchError("the data set is not the instance that the request names")
            return self._incoming.keep(header)
        finally:
            self.discard()

    def discard(self) -> None:
        """Let go of it; what was kept stays."""
        if self._incoming is not None:
            self._incoming.discard()
            self._incoming = None

    def _refuse(self, error: SyntopyError) -> None:
        self._refusal = error
        self.discard()


@dataclass
class Tally:
    """Objects by what became of them, and the code of the last refusal."""

    stored: int = 0
    repeated: int = 0
    refused: int = 0
    reason: str = ""


class StreamingProvider(DIMSEServiceProvider):
    """Receives messages of one association; data sets to be stored go to the inbox.

    Args:
        association: whose.
        inbox: where data sets go.
        connection: of the association; `end` closes it, where pynetdicom leaves it open because
            the sender closed it first.

    Attributes:
        tally: what became of the objects of this association.
        after_action: called once, after the answer to an N-ACTION request was sent.
    """

    def __init__(self, association: Association, inbox: Inbox, connection: socket.socket) -> None:
        super().__init__(association)
        self._inbox, self._connection = inbox, connection
        self._sinks: set[Sink] = set()
        self._gathered = 0
        self._broken = self._awaiting = False
        self.tally = Tally()
        self.after_action: Callable[[], None] | None = None

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take parts of a message; one that cannot be understood ends in an abort."""
        try:
            for context_id, data in primitive.presentation_data_value_list:
                part = P_DATA()
                part.presentation_data_value_list.append((context_id, data))
                self._take(part, len(data))
        except Exception:  # noqa: BLE001 - any would end the thread, and leave the sender waiting
            self.message, self._broken = None, True
            self.drop()
            self.dul.event_queue.put("Evt19")  # invalid PDU (PS3.8 table 9-10)

    def take(self, data: object) -> Sink | None:
        """The sink that a request came with, now in the hands of who asks for it."""
        if not isinstance(data, Sink):
            return None
        self._sinks.discard(data)
        return data

    def take_tally(self) -> Tally:
        """The tally so far; it begins anew."""
        taken, self.tally = self.tally, Tally()
        return taken

    def end(self) -> None:
        """The connection has ended: let go of it, and of what came half."""
        self.drop()
        self._connection.close()

    def drop(self) -> None:
        """Discard what came half, or will not be answered any more."""
        while self._sinks:
            self._sinks.pop().discard()

    def send_msg(self, primitive: Any, context_id: int) -> None:
        """Send a message, and do what has to come after it."""
        if self._broken:
            return  # the association is being aborted, and takes no more
        # Before it is on its way: the answer may be here sooner than whoever waits for it.
        self._awaiting = self._awaiting or not _is_answer(primitive)
        super().send_msg(primitive, context_id)
        if isinstance(primitive, N_ACTION) and self.after_action is not None:
            after, self.after_action = self.after_action, None
            after()

    def get_msg(self, block: bool = False) -> Any:
        """The answer that is waited for, or else the next request; (None, None) after silence.

        Two threads ask. pynetdicom's own serves requests of the peer, and asks at times also
        while another waits for an answer to ours: neither gets what is meant for the other.
        """
        arrived, until = self.msg_queue, time.monotonic() + (self.dimse_timeout or 0)
        with arrived.not_empty:
            while True:
                for place, (context_id, message) in enumerate(arrived.queue):
                    answers = message is None or _is_answer(message)  # None: the end
                    if answers is block or not (block or self._awaiting):
                        del arrived.queue[place]
                        self._awaiting = self._awaiting and not block
                        return context_id, message
                if not block or not arrived.not_empty.wait(max(0.0, until - time.monotonic())):
                    self._awaiting = self._awaiting and not block
                    return None, None

    def _take(self, part: P_DATA, size: int) -> None:
        message = self.message
        if isinstance(message, C_STORE_RQ):
            if not isinstance(message.data_set, Sink):
                if len(self._sinks) >= _AT_ONCE:
                    raise ValueError("too many requests before an answer")
                message.data_set = self._sink(message)
        else:
            self._gathered = size + (self._gathered if message is not None else 0)
            if self._gathered > _COMMAND_BYTES:
                raise ValueError("a message is too long")
        super().receive_primitive(part)

    def _sink(self, message: DIMSEMessage) -> Sink:
        command = message.command_set
        accepted = {each.context_id: each for each in self.assoc.accepted_contexts}
        syntax = accepted[message.context_id].transfer_syntax[0]
        sink = Sink(
            self._inbox,
            str(command.get("AffectedSOPClassUID") or ""),
            str(command.get("AffectedSOPInstanceUID") or ""),
            str(syntax),
        )
        self._sinks.add(sink)
        return sink


def _is_answer(message: Any) -> bool:
    """Whether a message answers a request; one that takes a request back names it, too."""
    named = getattr(message, "MessageIDBeingRespondedTo", None)
    return named is not None and not isinstance(message, C_CANCEL)


def _file_meta(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Preamble and file meta information (PS3.10 section 7.1), the same for the same object."""
    elements = b"".join(
        (
            struct.pack("<HH2sHL", 2, 0x01, b"OB", 0, 2) + b"\0\1",
            _text(0x02, b"UI", sop_class_uid),
            _text(0x03, b"UI", sop_instance_uid),
            _text(0x10, b"UI", transfer_syntax_uid),
            _text(0x12, b"UI", IMPLEMENTATION_UID),
            _text(0x13, b"SH", IMPLEMENTATION_NAME),
        )
    )
    length = struct.pack("<HH2sHL", 2, 0, b"UL", 4, len(elements))
    return b"\0" * 128 + b"DICM" + length + elements


def _text(element: int, kind: bytes, value: str) -> bytes:
    data = value.encode("ascii")
    data += (b"\0" if kind == b"UI" else b" ") * (len(data) % 2)
    return struct.pack("<HH2sH", 2, element, kind, len(data)) + data
