"""Storage commitment (PS3.4 annex J): what lies in the inbox is promised to be kept."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from api.dimse.options import Address
from api.dimse.streaming import StreamingProvider
from indexer.errors import FileRejectedError
from indexer.receiving.header import read_header
from indexer.receiving.inbox import Inbox

_INSTANCE = "1.2.840.10008.1.20.1.1"
"""The one SOP Instance of storage commitment (PS3.4 J.3.5)."""
_NO_SUCH_ACTION, _NO_SUCH_ARGUMENT, _NO_SUCH_OBJECT, _CLASS_CONFLICT = (
    0x0123,
    0x0114,
    0x0112,
    0x0119,
)
_WAITS = (0.0, 5.0, 30.0)
"""Seconds before each try to reach a sender on a new association."""


class Commitment:
    """Answers requests for storage commitment.

    Args:
        inbox: what is asked for has to lie there.
        ae_title: ours.
        peers: where the application entities listen that are told on an association of their own;
            others are told on the one on which they asked.
        tls: of associations to peers, None for none.
    """

    def __init__(
        self,
        inbox: Inbox,
        ae_title: str,
        peers: Mapping[str, Address],
        tls: ssl.SSLContext | None,
    ) -> None:
        self._inbox, self._ae_title, self._peers, self._tls = inbox, ae_title, peers, tls
        self._ended = threading.Event()

    def end(self) -> None:
        """Try no further to reach peers."""
        self._ended.set()

    def action(self, event: Any) -> tuple[int, None]:
        """Answer an N-ACTION request; what is committed is reported after the answer."""
        if event.action_type != 1:
            return _NO_SUCH_ACTION, None
        asked = event.action_information
        references = asked.get("ReferencedSOPSequence")
        if not asked.get("TransactionUID") or not references:
            return _NO_SUCH_ARGUMENT, None
        wanted = [
            (
                str(each.get("ReferencedSOPClassUID", "")),
                str(each.get("ReferencedSOPInstanceUID", "")),
            )
            for each in references
        ]
        report = self._report(str(asked.TransactionUID), wanted)
        association: Association = event.assoc

        def after() -> None:
            threading.Thread(target=self._tell, args=(association, report), daemon=True).start()

        association.dimse.after_action = after  # type: ignore[attr-defined]
        return 0x0000, None

    def _report(self, transaction: str, wanted: Sequence[tuple[str, str]]) -> Dataset:
        """The event information (PS3.4 table J.3-2)."""
        held = self._inbox.holding(uid for _, uid in wanted)
        report = Dataset()
        report.TransactionUID = transaction
        good: list[Dataset] = []
        bad: list[Dataset] = []
        for sop_class, uid in wanted:
            reference = Dataset()
            reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = sop_class, uid
            if uid not in held:
                reference.FailureReason = _NO_SUCH_OBJECT
            elif not any(_is_of(path, sop_class) for path in held[uid]):
                reference.FailureReason = _CLASS_CONFLICT
            (bad if "FailureReason" in reference else good).append(reference)
        if good:
            report.ReferencedSOPSequence = good
        if bad:
            report.FailedSOPSequence = bad
        return report

    def _tell(self, association: Association, report: Dataset) -> None:
        peer = association.requestor.ae_title
        if peer not in self._peers:
            if association.is_established:
                _send(association, report)
            return
        for wait in _WAITS:
            if self._ended.wait(wait) or self._call(peer, report):
                return

    def _call(self, peer: str, report: Dataset) -> bool:
        """Report on a new association; whether the peer took it."""
        entity = AE(self._ae_title)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 30
        entity.add_requested_context(StorageCommitmentPushModel)
        host, port = self._peers[peer]
        role = build_role(StorageCommitmentPushModel, scp_role=True)
        tls = None if self._tls is None else (self._tls, host)
        association = entity.associate(
            host,
            port,
            ae_title=peer,
            ext_neg=[role],
            tls_args=tls,
            evt_handlers=[(evt.EVT_CONN_OPEN, self._opened)],
        )
        if not association.is_established:
            return False
        try:
            return _send(association, report)
        finally:
            association.release()

    def _opened(self, event: Any) -> None:
        """Have answers kept for whoever waits for them, as on associations of peers."""
        association: Association = event.assoc
        wire = cast(Any, association.dul.socket).socket
        association.dimse = StreamingProvider(association, self._inbox, wire)


def _send(association: Association, report: Dataset) -> bool:
    kind = 2 if "FailedSOPSequence" in report else 1
    try:
        status, _ = association.send_n_event_report(
            report, kind, StorageCommitmentPushModel, _INSTANCE
        )
    except (RuntimeError, ValueError):
        return False  # the association has ended meanwhile, or has no such context
    return bool(status.get("Status") == 0x0000)


def _is_of(path: Path, sop_class: str) -> bool:
    try:
        return read_header(path).sop_class_uid == sop_class
    except (OSError, FileRejectedError):
        return False
