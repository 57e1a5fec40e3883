"""The files that instances were indexed from: where they are, and whether they are what they were.

A file whose size and time are those of the ledger is taken for what it was, as indexing does; any
other is read whole and compared by its SHA-256.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import select

from indexer.catalog.database import reading
from indexer.catalog.tables import Instance, LedgerRow, Patient, Series, Study
from indexer.dicom.classify import Kind
from indexer.dicom.confidential import Identity
from indexer.dicom.opening import OpenedDicom, open_dicom
from indexer.errors import FileRejectedError, ItemNotFoundError, OriginalGoneError
from indexer.library import Library
from indexer.reading.tasks import earlier_slice
from indexer.types import Flag

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_PICTURES_ALL_THE_SAME = tuple(_STORAGE + code for code in ("66.4", "66.7", "481.2"))
"""Evidence that has pixels: segmentations, label maps, doses."""


@dataclass(frozen=True)
class Place:
    """What is asked for: a study, a series of it, an instance of that; "" stands for all."""

    study: str
    series: str = ""
    instance: str = ""


@dataclass(frozen=True)
class Kept:
    """An instance of the catalog, and the file that it was read from.

    Attributes:
        identity: of its patient the pseudonym, "" where the id is missing or shared by strangers.
        syntax: transfer syntax, "" where the file does not say one.
        is_dicom: whether the file is one; others have UIDs made from their content.
        has_pixels: whether there is something to see.
        size, mtime_ns: of the file when it was indexed.
    """

    identity: Identity
    syntax: str
    is_dicom: bool
    has_pixels: bool
    source: str
    sha256: str
    bare: bool
    size: int
    mtime_ns: int

    def untouched(self) -> bool:
        """Whether the file on the disk has the size and time of when it was indexed."""
        try:
            stat = Path(self.source).stat()
        except (OSError, ValueError):
            return False
        return (stat.st_size, stat.st_mtime_ns) == (self.size, self.mtime_ns)

    def content(self, max_bytes: int) -> bytes:
        """The whole file, exactly as it was when it was indexed.

        Raises:
            OriginalGoneError: it is gone, or is not what it was.
        """
        try:
            data = earlier_slice(-1, self.source, self.sha256).source.read_bytes(max_bytes)
        except FileRejectedError as error:
            raise self._gone() from error
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise self._gone()
        return data

    def stream(self, max_bytes: int) -> BinaryIO:
        """The file, to read parts of it.

        Raises:
            OriginalGoneError: it is gone, or is not what it was.
        """
        if self.untouched():
            try:
                return Path(self.source).open("rb")
            except OSError as error:
                raise self._gone() from error
        return io.BytesIO(self.content(max_bytes))

    def opened(self, max_bytes: int) -> OpenedDicom:
        """The whole file, parsed.

        Raises:
            OriginalGoneError: it is gone, or is not what it was.
            FileRejectedError: it cannot be read any more, though it could be when it was indexed.
        """
        return open_dicom(self.content(max_bytes), bare=self.bare, max_inflated=max_bytes)

    def check(self, max_bytes: int) -> None:
        """See that the file is there.

        Raises:
            OriginalGoneError: it is gone, or is not what it was.
        """
        if not self.untouched():
            self.content(max_bytes)

    def _gone(self) -> OriginalGoneError:
        return OriginalGoneError(
            f"the file of instance {self.identity.instance} is gone, or is not what it was when it "
            f"was indexed; syntopy show {self.identity.instance} names it"
        )


def find_kept(library: Library, place: Place) -> list[Kept]:
    """The instances at a place, in the order in which they were indexed.

    Raises:
        ItemNotFoundError: there are none.
    """
    with reading(library.engine) as db:
        rows = db.execute(_query(place)).all()
    if not rows:
        level, uid = _lowest(place)
        raise ItemNotFoundError(f"there is no such {level} '{uid}' in the library")
    return [_kept(row) for row in rows]


def _lowest(place: Place) -> Sequence[str]:
    if place.instance:
        return "instance", place.instance
    return ("series", place.series) if place.series else ("study", place.study)


def _query(place: Place) -> Any:
    query: Any = (
        select(
            Instance.sop_instance_uid,
            Instance.sop_class_uid,
            Instance.transfer_syntax_uid,
            Instance.kind,
            Instance.source,
            Instance.file_sha256,
            Instance.flags,
            Series.series_instance_uid,
            Study.study_instance_uid,
            Patient.pseudonym,
            Patient.shared,
            LedgerRow.size,
            LedgerRow.mtime_ns,
        )
        .select_from(Study)
        .join(Patient)
        .join(Series, Series.study_id == Study.id)
        .join(Instance, Instance.series_id == Series.id)
        .outerjoin(LedgerRow, LedgerRow.source == Instance.source)
        .where(Study.study_instance_uid == place.study)
        .order_by(Series.id, Instance.id)
    )
    if place.series:
        query = query.where(Series.series_instance_uid == place.series)
    if place.instance:
        query = query.where(Instance.sop_instance_uid == place.instance)
    return query


def _kept(row: Any) -> Kept:
    is_dicom = bool(row.sop_class_uid or row.transfer_syntax_uid)
    evidence = row.kind == Kind.EVIDENCE
    return Kept(
        identity=Identity(
            "" if row.shared else row.pseudonym,
            row.study_instance_uid,
            row.series_instance_uid,
            row.sop_instance_uid,
        ),
        syntax=row.transfer_syntax_uid,
        is_dicom=is_dicom,
        has_pixels=not evidence or row.sop_class_uid.startswith(_PICTURES_ALL_THE_SAME),
        source=row.source,
        sha256=row.file_sha256,
        bare=Flag.NO_PREAMBLE in row.flags,
        size=-1 if row.size is None else row.size,
        mtime_ns=row.mtime_ns or 0,
    )
