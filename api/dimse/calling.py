"""Associations with an archive that is asked, and their ends."""

from __future__ import annotations

import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from api.dimse.options import Address, NodeOptions
from api.dimse.storing import limit_connection, store
from api.dimse.streaming import IMPLEMENTATION_NAME, IMPLEMENTATION_UID, StreamingProvider
from api.service.arriving.archives import (
    ArchiveBusyError,
    ArchiveError,
    ArchiveRefusesError,
    StoppedError,
)
from indexer.receiving.inbox import Inbox

_WAYS = {
    str(StudyRootQueryRetrieveInformationModelFind): "C-FIND",
    str(StudyRootQueryRetrieveInformationModelGet): "C-GET; try --move",
    str(StudyRootQueryRetrieveInformationModelMove): "C-MOVE",
}


@dataclass(frozen=True)
class DimseOptions:
    """Where an archive is, and who asks.

    Attributes:
        address: of the archive.
        called, calling: its AE title, and ours.
        move: fetch with C-MOVE to ``calling``, and not with C-GET.
        node: listens while studies are moved; None where another process does, for the same inbox.
        tls: of associations, None for none.
        pdu_bytes: the longest PDU that is taken.
        timeout: seconds of silence.
    """

    address: Address
    called: str
    calling: str = "SYNTOPY"
    move: bool = False
    node: NodeOptions | None = None
    tls: ssl.SSLContext | None = None
    pdu_bytes: int = 262_144
    timeout: float = 60.0


@contextmanager
def associated(
    options: DimseOptions,
    contexts: Sequence[PresentationContext],
    inbox: Inbox,
    stop: threading.Event,
    heard: Callable[[int], None] = lambda _bytes: None,
) -> Iterator[Association]:
    """An association with an archive; what comes on it is stored.

    Args:
        options: where, and who asks.
        contexts: of which the first has to be accepted; those of storage are asked for in the role
            of an SCP.
        inbox: where objects go.
        stop: ends waiting for answers, within a second.
        heard: told of bytes as they come, from a thread of its own.

    Raises:
        ArchiveBusyError, ArchiveRefusesError, ArchiveError: it does not stand.
        StoppedError: told to stop.
    """
    if stop.is_set():
        raise StoppedError
    opened: list[socket.socket] = []

    def open_(event: Any) -> None:
        association: Association = event.assoc
        wire = cast(Any, association.dul.socket).socket
        opened.append(wire)
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        limit_connection(association, options.pdu_bytes)
        association.dimse = _Provider(association, inbox, wire, stop, heard)

    association = _call(options, contexts, [(evt.EVT_CONN_OPEN, open_), (evt.EVT_C_STORE, store)])
    try:
        _check_established(association, options)
        yield association
        association.release()
    finally:
        if association.is_established:
            association.abort()
        if isinstance(association.dimse, StreamingProvider):
            association.dimse.drop()
        for wire in opened:  # pynetdicom leaves one open that the peer has closed first
            wire.close()


def _call(
    options: DimseOptions, contexts: Sequence[PresentationContext], handlers: list[Any]
) -> Association:
    entity = AE(options.calling)
    entity.implementation_class_uid = IMPLEMENTATION_UID
    entity.implementation_version_name = IMPLEMENTATION_NAME
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = options.timeout
    entity.connection_timeout = options.timeout
    host, port = options.address
    roles = [
        build_role(uid, scp_role=True)
        for uid in sorted({str(each.abstract_syntax) for each in contexts} - set(_WAYS))
    ]
    return entity.associate(
        host,
        port,
        contexts=list(contexts),
        ae_title=options.called,
        max_pdu=options.pdu_bytes,
        ext_neg=roles,  # type: ignore[arg-type]
        tls_args=None if options.tls is None else (options.tls, host),
        evt_handlers=handlers,
    )


class _Provider(StreamingProvider):
    """Waits for answers as long as anything comes, however long an object takes."""

    def __init__(
        self,
        association: Association,
        inbox: Inbox,
        connection: socket.socket,
        stop: threading.Event,
        heard: Callable[[int], None],
    ) -> None:
        super().__init__(association, inbox, connection)
        self._stop, self._tell = stop, heard
        self._last = time.monotonic()

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take parts of a message."""
        self._last = time.monotonic()
        self._tell(sum(len(data) for _, data in primitive.presentation_data_value_list))
        super().receive_primitive(primitive)

    def get_msg(self, block: bool = False) -> Any:
        """The next message; (None, None) after silence, and when told to stop."""
        if not block:
            # pynetdicom's own thread asks so, for requests of the peer, of which there are none;
            # at times also while answers are waited for, and would take one of them away.
            return None, None
        self._last = time.monotonic()
        while not self._stop.is_set():
            try:
                return self.msg_queue.get(timeout=0.5)
            except queue.Empty:
                if time.monotonic() - self._last > (self.dimse_timeout or 0):
                    break
        return None, None


def _check_established(association: Association, options: DimseOptions) -> None:
    """See that an association stands, and offers what it was asked for."""
    if association.is_rejected:
        answer = association.acceptor.primitive
        if answer is not None and answer.result == 0x02:
            raise ArchiveBusyError("the archive takes no association now")
        raise ArchiveRefusesError(
            "the archive rejects our association: is --called its AE title, and does it know "
            "--calling as ours?"
        )
    first = association.requestor.requested_contexts[0].abstract_syntax
    if any(each.abstract_syntax == first for each in association.rejected_contexts):
        raise ArchiveError(f"the archive does not offer {_WAYS[str(first)]}")
    if not association.is_established:
        over = " with TLS" if options.tls is not None else ""
        raise ArchiveBusyError(f"the archive is not reached{over}, or ended the association")
