"""A DICOM node: C-ECHO, C-STORE, storage commitment and C-FIND (PS3.4, PS3.7)."""

from __future__ import annotations

import ipaddress
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from socketserver import BaseServer
from typing import Any, cast

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
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
from api.dimse.storing import limit_connection, prepare, store
from api.dimse.streaming import IMPLEMENTATION_NAME, IMPLEMENTATION_UID, StreamingProvider
from indexer.errors import ConfigError
from indexer.receiving.inbox import Inbox

_SYNTAXES = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
]
_ON_THEIR_WAY = 16
"""Connections beyond the limit on associations, until they are told that they are too many."""
_END_SECONDS, _LAST_SECONDS = 10.0, 2.0


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


@dataclass(frozen=True)
class CallerRefused:
    """Somebody called who may not.

    Attributes:
        calling: AE title that it claims, without what cannot be printed; "" before it said one.
        address: of the caller.
        reason: ``title`` or ``address``, which is not on the list, or ``tls``, a handshake that
            failed, mostly without a certificate that is accepted.
    """

    calling: str
    address: str
    reason: str


class Node:
    """Listens from `start` to `stop`, in threads of its own.

    Args:
        inbox: where objects go.
        options: where it listens, and to whom.
        tell: told of each association that brought objects, from any thread.
        find: answers C-FIND requests, see `api.dimse.finding`; None where none are taken.
        refused: told of each caller that may not send, from any thread; must not take long.

    Raises:
        ConfigError: an option is wrong, or strangers could send to it.
    """

    def __init__(
        self,
        inbox: Inbox,
        options: NodeOptions,
        tell: Callable[[AssociationEnded], None] = lambda _ended: None,
        find: Callable[[Any], Iterator[Any]] | None = None,
        refused: Callable[[CallerRefused], None] = lambda _refused: None,
    ) -> None:
        check_options(options, answers=find is not None)
        self._inbox, self._options, self._tell, self._find = inbox, options, tell, find
        self._refused = refused
        self._open: set[Association] = set()
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
        prepare()
        options = self._options
        handlers: list[Any] = [
            (evt.EVT_CONN_OPEN, self._opened),
            (evt.EVT_CONN_CLOSE, self._closed),
            (evt.EVT_REJECTED, self._rejected),
            (evt.EVT_C_STORE, store),
            (evt.EVT_N_ACTION, self._commitment.action),
        ]
        if self._find is not None:
            handlers.append((evt.EVT_C_FIND, self._find))
        try:
            self._server = _Server(options, self._tls, handlers, self._refused)
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
        ends = time.monotonic() + _LAST_SECONDS
        while time.monotonic() < ends and self._open:
            time.sleep(0.05)  # what came on them is still to be told

    def _opened(self, event: Any) -> None:
        association: Association = event.assoc
        self._open.add(association)
        association.daemon = association.dul.daemon = True
        wire = cast(Any, association.dul.socket)
        association.dimse = StreamingProvider(association, self._inbox, wire.socket)
        limit_connection(association, self._options.pdu_bytes)

    def _closed(self, event: Any) -> None:
        if not event.assoc.is_established:
            # Its thread waits for a request that will not come any more.
            event.assoc.dul.to_user_queue.put(None)
        try:
            self._end(event.assoc)
        finally:
            self._open.discard(event.assoc)

    def _end(self, association: Association) -> None:
        provider = cast(StreamingProvider, association.dimse)
        provider.end()
        tally = provider.take_tally()
        if tally.stored or tally.repeated or tally.refused:
            self._tell(
                AssociationEnded(
                    *_caller(association),
                    tally.stored,
                    tally.repeated,
                    tally.refused,
                    tally.reason,
                )
            )

    def _rejected(self, event: Any) -> None:
        title, address = _caller(event.assoc)
        if self._options.allow and title not in self._options.allow:
            self._refused(CallerRefused(title, address, "title"))


def _caller(association: Association) -> tuple[str, str]:
    """AE title, of what can be printed, and address of who calls."""
    sender = association.requestor
    title = "".join(each for each in sender.ae_title if each.isprintable())
    return title.strip(), str(sender.address)


class _Server(ThreadedAssociationServer):
    """Takes connections from known addresses; a slow handshake keeps nobody else waiting."""

    daemon_threads = True

    def __init__(
        self,
        options: NodeOptions,
        tls: ssl.SSLContext | None,
        handlers: list[Any],
        refused: Callable[[CallerRefused], None],
    ) -> None:
        self._options, self._tls, self._refused = options, tls, refused
        self._networks = networks(options.addresses)
        self._connecting = threading.BoundedSemaphore(options.associations + _ON_THEIR_WAY)
        entity = _entity(options)
        if any(event is evt.EVT_C_FIND for event, _ in handlers):
            entity.add_supported_context(StudyRootQueryRetrieveInformationModelFind, _SYNTAXES)
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
        if not self._networks or any(address in each for each in self._networks):
            return True
        self._refused(CallerRefused("", str(address), "address"))
        return False

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
        except ssl.SSLError:
            if self._options.tls is not None and self._options.tls.ca is not None:
                self._refused(CallerRefused("", str(client_address[0]), "tls"))
            raise
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
