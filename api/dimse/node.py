"""A DICOM node that objects are sent to: C-ECHO, C-STORE and storage commitment (PS3.4, PS3.7)."""

from __future__ import annotations

import ipaddress
import logging
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from socketserver import BaseServer
from typing import Any, cast

from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    Verification,
)
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from api.dimse.commitment import Commitment
from api.dimse.options import (
    NodeOptions,
    check_options,
    client_context,
    networks,
    server_context,
)
from api.dimse.streaming import (
    IMPLEMENTATION_NAME,
    IMPLEMENTATION_UID,
    MismatchError,
    StreamingProvider,
)
from indexer.errors import ConfigError, FileRejectedError, StorageFullError, SyntopyError
from indexer.receiving.inbox import Inbox
from indexer.types import Reason

_SYNTAXES = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
]
_SUCCESS, _OUT_OF_RESOURCES, _MISMATCH, _NOT_UNDERSTOOD = 0x0000, 0xA700, 0xA900, 0xC000
_TOO_LARGE, _NOT_SUPPORTED = 0xC001, 0x0122
_ON_THEIR_WAY = 16
"""Connections beyond the limit on associations, until they are told that they are too many."""
_ASSOCIATE_BYTES = 1 << 20
"""Of an A-ASSOCIATE request, to which the limit on PDUs of data does not apply."""
_END_SECONDS = 10.0
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # of Linux alone


@dataclass(frozen=True)
class AssociationEnded:
    """What came on one association.

    Attributes:
        calling: AE title of the sender, without what cannot be printed.
        address: of the sender.
        stored, repeated, refused: objects; repeated ones had been stored before.
        reason: of the last refusal, "" without one; never a word of the objects.
    """

    calling: str
    address: str
    stored: int
    repeated: int
    refused: int
    reason: str


class Node:
    """Listens from `start` to `stop`, in threads of its own.

    Args:
        inbox: where objects go.
        options: where it listens, and to whom.
        tell: told of each association that brought objects, from any thread.

    Raises:
        ConfigError: an option is wrong, or strangers could send to it.
    """

    def __init__(
        self,
        inbox: Inbox,
        options: NodeOptions,
        tell: Callable[[AssociationEnded], None] = lambda _ended: None,
    ) -> None:
        check_options(options)
        self._inbox, self._options, self._tell = inbox, options, tell
        self._tls = server_context(options.tls)
        self._commitment = Commitment(
            inbox, options.ae_title, options.peers, client_context(options.tls)
        )
        self._server: _Server | None = None

    @property
    def port(self) -> int:
        """Where it listens, once it was started."""
        return int(self._server.server_address[1]) if self._server else self._options.port

    def start(self) -> None:
        """Begin to listen.

        Raises:
            ConfigError: the address cannot be listened on.
        """
        # Settings of the whole process: any class may be stored, and nothing is written to logs.
        _config.UNRESTRICTED_STORAGE_SERVICE = True
        _config.LOG_HANDLER_LEVEL = "none"
        for name in ("pynetdicom", "pydicom"):  # they quote what they cannot understand
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        warnings.filterwarnings("ignore", module="pydicom")
        options = self._options
        handlers: list[Any] = [
            (evt.EVT_CONN_OPEN, self._opened),
            (evt.EVT_CONN_CLOSE, self._closed),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_N_ACTION, self._commitment.action),
        ]
        try:
            self._server = _Server(options, self._tls, handlers)
        except OSError as error:
            raise ConfigError(
                f"{options.host}:{options.port} cannot be listened on: {error.strerror}"
            ) from error
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    def stop(self) -> None:
        """Take no new associations, let those that are there end for a while, abort the rest."""
        server, self._server = self._server, None
        if server is None:
            return
        self._commitment.end()
        server.shutdown()
        ends = time.monotonic() + _END_SECONDS
        while time.monotonic() < ends and any(
            each.is_established for each in server.active_associations
        ):
            time.sleep(0.05)
        for association in server.active_associations:
            if association.is_established:
                association.abort()
            elif association.dul.socket is not None:
                association.dul.socket.close()

    def _opened(self, event: Any) -> None:
        association: Association = event.assoc
        association.daemon = association.dul.daemon = True
        wire = cast(Any, association.dul.socket)
        association.dimse = StreamingProvider(association, self._inbox, wire.socket)
        # pynetdicom takes PDUs of any length, and whole into memory.
        most, receive = max(self._options.pdu_bytes + 16, _ASSOCIATE_BYTES), wire.recv

        def limited(count: int) -> Any:
            if count > most:
                raise OSError("a PDU is longer than agreed")
            if _QUICKACK is not None and wire.socket is not None:
                # Some senders keep a data set back until their command is confirmed, which the
                # kernel puts off by 40 ms. It forgets this with each answer.
                wire.socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
            return receive(count)

        wire.recv = limited

    def _closed(self, event: Any) -> None:
        if not event.assoc.is_established:
            # Its thread waits for a request that will not come any more.
            event.assoc.dul.to_user_queue.put(None)
        provider = event.assoc.dimse
        provider.end()
        tally = provider.take_tally()
        if tally.stored or tally.repeated or tally.refused:
            sender = event.assoc.requestor
            title = "".join(each for each in sender.ae_title if each.isprintable())
            self._tell(
                AssociationEnded(
                    title,
                    str(sender.address),
                    tally.stored,
                    tally.repeated,
                    tally.refused,
                    tally.reason,
                )
            )

    def _store(self, event: Any) -> Dataset | int:
        """Keep an object; the status as in PS3.4 table B.2-1."""
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


class _Server(ThreadedAssociationServer):
    """Takes connections from known addresses; a slow handshake keeps nobody else waiting."""

    daemon_threads = True

    def __init__(
        self, options: NodeOptions, tls: ssl.SSLContext | None, handlers: list[Any]
    ) -> None:
        self._options, self._tls = options, tls
        self._networks = networks(options.addresses)
        self._connecting = threading.BoundedSemaphore(options.associations + _ON_THEIR_WAY)
        entity = _entity(options)
        super().__init__(
            entity,
            (options.host, options.port),
            options.ae_title,
            entity.supported_contexts,
            evt_handlers=handlers,
            request_handler=RequestHandler,
        )

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether a connection is taken at all."""
        del request
        most = self._options.associations + _ON_THEIR_WAY
        if len(self.active_associations) >= most:
            return False
        address = ipaddress.ip_address(client_address[0])
        return not self._networks or any(address in each for each in self._networks)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Begin with an association, in a thread of its own."""
        if not self._connecting.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            request.settimeout(self._options.timeout)
            if self._tls is not None:
                request = self._tls.wrap_socket(request, server_side=True)
            super().finish_request(request, client_address)
        finally:
            self._connecting.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that failed, in a handshake mostly, is closed without a word."""

    def shutdown(self) -> None:
        """Take no more connections."""
        BaseServer.shutdown(self)  # pynetdicom's own asks for its own way of starting
        self.server_close()


def _entity(options: NodeOptions) -> AE:
    entity = AE(options.ae_title)
    entity.implementation_class_uid = IMPLEMENTATION_UID
    entity.implementation_version_name = IMPLEMENTATION_NAME
    entity.maximum_associations = options.associations
    entity.maximum_pdu_size = options.pdu_bytes
    entity.require_calling_aet = list(options.allow)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = options.timeout
    for service in (Verification, StorageCommitmentPushModel):
        entity.add_supported_context(service, _SYNTAXES)
    return entity


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
