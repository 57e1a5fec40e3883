"""An archive that is asked over DIMSE: C-FIND, then C-GET or C-MOVE (PS3.4 annex C)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import AllTransferSyntaxes
from pynetdicom import StoragePresentationContexts, build_context
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from api.dimse.calling import DimseOptions, associated
from api.dimse.node import Node
from api.dimse.storing import prepare
from api.service.arriving.archives import (
    ArchiveBusyError,
    ArchiveError,
    ArchiveQuery,
    SeriesListed,
    StoppedError,
    is_uid,
)
from indexer.errors import ConfigError
from indexer.receiving.inbox import Inbox

_FIND, _GET, _MOVE = (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)
_SYNTAXES = [
    uid
    for uid in AllTransferSyntaxes
    # JPIP sends a reference instead of pixels; SMPTE is for streams, not for files.
    if not uid.startswith(("1.2.840.10008.1.2.4.204", "1.2.840.10008.1.2.4.205"))
    and not uid.startswith("1.2.840.10008.1.2.7.")
]
_CONTEXTS = 126
"""Presentation contexts for storage on one association, of the 128 that there can be."""
_CLASSES = _CONTEXTS // len(_SYNTAXES)
"""Of which each transfer syntax has a context of its own, so that instances come as they are."""
_PENDING = (0xFF00, 0xFF01)
_FINE = (0x0000, 0xB000)
_BUSY = (0xA701, 0xA702, 0xFE00)
_UNKNOWN_DESTINATION = 0xA801
_STUDY, _SERIES, _CLASS, _INSTANCE = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPClassUID",
    "SOPInstanceUID",
)


class DimseArchive:
    """An `api.service.arriving.archives.Archive` over DIMSE.

    Args:
        inbox: where instances go.
        query: what is asked for.
        options: where, and who asks.
        stop: ends what is being fetched, within a second.

    Raises:
        ConfigError: a value of the query is none of its kind, the node's options are wrong, or its
            address cannot be listened on.
    """

    def __init__(
        self, inbox: Inbox, query: ArchiveQuery, options: DimseOptions, stop: threading.Event
    ) -> None:
        prepare()
        self._inbox, self._query, self._options, self._stop = inbox, query, options, stop
        for level, keys in (("STUDY", query.study), ("SERIES", query.series)):
            _identifier(level, keys)  # what is no value of its kind shows now
        self._node = Node(inbox, options.node) if options.node is not None else None
        if self._node is not None:
            self._node.start()

    def studies(self, offset: int) -> list[str]:
        """See `Archive`; all come at once."""
        if offset:
            return []
        with self._associated([build_context(_FIND)]) as association:
            found = self._find(association, "STUDY", self._query.study, (_STUDY,))
        return [each[_STUDY] for each in found]

    def series(self, study_instance_uid: str) -> list[SeriesListed]:
        """See `Archive`."""
        listed = []
        above = {_STUDY: study_instance_uid}
        with self._associated([build_context(_FIND)]) as association:
            asked = {**self._query.series, **above}
            for each in self._find(association, "SERIES", asked, (_SERIES,)):
                uid = each[_SERIES]
                instances = self._find(
                    association, "IMAGE", {**above, _SERIES: uid}, (_INSTANCE, _CLASS)
                )
                classes = {one[_INSTANCE]: one[_CLASS] for one in instances}
                listed.append(SeriesListed(study_instance_uid, uid, classes))
        return listed

    def fetch(
        self, series: SeriesListed, wanted: Sequence[str], heard: Callable[[int], None]
    ) -> str:
        """See `Archive`; the whole series at once where all of it is wanted."""
        whole = len(wanted) == len(series.instances)
        if self._options.move:
            with self._associated([build_context(_MOVE)]) as association:
                return self._each(association, series, [] if whole else wanted)
        classes = sorted({series.instances[uid] for uid in wanted})
        reason = ""
        for some in _groups(classes):
            uids = [uid for uid in wanted if series.instances[uid] in some]
            at_once = whole and len(uids) == len(wanted)
            with self._associated(_storage(some), heard) as association:
                reason = self._each(association, series, [] if at_once else uids) or reason
        return reason

    def close(self) -> None:
        """See `Archive`; associations end with what they were for."""
        if self._node is not None:
            self._node.stop()

    def _each(self, association: Association, series: SeriesListed, uids: Sequence[str]) -> str:
        """Retrieve a series, or some instances one by one, which each archive understands."""
        above = {_STUDY: series.study_instance_uid, _SERIES: series.series_instance_uid}
        if not uids:
            return self._retrieve(association, "SERIES", above)
        reason = ""
        for uid in uids:
            try:
                reason = self._retrieve(association, "IMAGE", {**above, _INSTANCE: uid}) or reason
            except ArchiveBusyError:
                raise
            except ArchiveError as error:
                reason = str(error)
        return reason

    def _retrieve(self, association: Association, level: str, keys: Mapping[str, str]) -> str:
        """Ask for objects, and wait until they have come; why some did not."""
        identifier = _identifier(level, keys)
        if self._options.move:
            answers = self._ask(association.send_c_move, identifier, self._options.calling, _MOVE)
        else:
            answers = self._ask(association.send_c_get, identifier, _GET)
        last = [status for status, _ in answers][-1]
        self._check(last)
        tally = getattr(association.dimse, "tally", None)
        if tally is not None and tally.reason:
            self._inbox.check_space()
            return f"refused: {tally.reason}"
        failed = last.get("NumberOfFailedSuboperations") or 0
        return "the archive could not send them" if failed else ""

    def _find(
        self, association: Association, level: str, keys: Mapping[str, str], uids: Sequence[str]
    ) -> list[dict[str, str]]:
        """The UIDs of all results, each once by the first of them, which has to be there."""
        identifier = _identifier(level, {**dict.fromkeys(uids, ""), **keys})
        found: dict[str, dict[str, str]] = {}
        last = Dataset()
        for last, result in self._ask(association.send_c_find, identifier, _FIND):
            if result is not None and last.get("Status") in _PENDING:
                each = {name: str(result.get(name) or "") for name in uids}
                found[each[uids[0]]] = each
        self._check(last)
        if not all(map(is_uid, found)):
            raise ArchiveError("the archive lists something without a valid UID")
        return list(found.values())

    def _ask(self, send: Callable[..., Iterable[Any]], *what: object) -> Iterator[Any]:
        """The answers to a request, until told to stop."""
        try:
            answers = send(*what)
        except RuntimeError as error:
            raise ArchiveBusyError("the archive ended the association") from error
        for each in answers:
            if self._stop.is_set():
                raise StoppedError
            yield each

    def _check(self, last: Dataset) -> None:
        """See that a request ended well."""
        status = last.get("Status")
        if status in _FINE:
            return
        if status is None:
            raise ArchiveBusyError(
                f"the archive ended the association, or is silent for {self._options.timeout:g} s"
            )
        if status == _UNKNOWN_DESTINATION:
            raise ArchiveError(
                f"the archive does not know where {self._options.calling} listens; tell it"
            )
        kind = ArchiveBusyError if status in _BUSY else ArchiveError
        raise kind(f"the archive answers status {status:04X}")

    def _associated(
        self,
        contexts: Sequence[PresentationContext],
        heard: Callable[[int], None] = lambda _bytes: None,
    ) -> AbstractContextManager[Association]:
        return associated(self._options, contexts, self._inbox, self._stop, heard)


def _identifier(level: str, keys: Mapping[str, str]) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    if not all(value.isascii() for value in keys.values()):
        identifier.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in keys.items():
        try:
            setattr(identifier, keyword, value)
        except (ValueError, TypeError, OverflowError):
            raise ConfigError(f"what --query {keyword} asks for is no value of its kind") from None
    return identifier


def _groups(classes: Sequence[str]) -> Iterator[Sequence[str]]:
    """As many SOP Classes as one association can have; what is of no known class goes alone."""
    known = [each for each in classes if each]
    for start in range(0, len(known), _CLASSES):
        yield known[start : start + _CLASSES]
    if len(known) < len(classes):
        yield [""]


def _storage(classes: Sequence[str]) -> list[PresentationContext]:
    """Contexts for C-GET and for what comes then."""
    if list(classes) == [""]:
        common = [str(each.abstract_syntax) for each in StoragePresentationContexts[:_CONTEXTS]]
        contexts = [build_context(each, list(_SYNTAXES)) for each in common]
    else:
        contexts = [build_context(each, syntax) for each in classes for syntax in _SYNTAXES]
    return [build_context(_GET), *contexts]
