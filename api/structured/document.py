"""A tree of content as a Comprehensive SR (PS3.3 A.35.3), the same bytes for the same content."""

from __future__ import annotations

import hashlib
import hmac
import io
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ComprehensiveSRStorage, ExplicitVRLittleEndian

from api.structured import codes
from api.structured.subject import Reference, Subject
from api.structured.tree import MANUFACTURER
from indexer import __version__
from indexer.errors import StorageFullError
from indexer.library import Library
from indexer.reading.drafts import derived_uid

_FOLDER = "structured"
_IMPLEMENTATION = UID("2.25.160099733529886813802604876919957336342")


_LETTERS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
"""Value representations whose letters depend on the character set (PS3.5 section 6.1.2.2)."""


@dataclass(frozen=True)
class Kind:
    """A kind of report.

    Attributes:
        name: for UIDs.
        number: of its series.
        description: of its series.
    """

    name: str
    number: int
    description: str


OOD = Kind("ood", 9901, "Syntopy: unlike a reference")
SIMILAR = Kind("similar", 9902, "Syntopy: similar studies")


@dataclass(frozen=True)
class Document:
    """A structured report in the DICOM file format.

    Attributes:
        studies: Study Instance UIDs that it names, its own first.
        content: the file; it names the patient.
    """

    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    studies: tuple[str, ...]
    content: bytes = field(repr=False)


def document(
    library: Library, kind: Kind, subject: Subject, tree: Any, others: Iterable[Reference] = ()
) -> Document:
    """Put a report together.

    Its SOP Instance UID follows from all that it says, under the library's key, and its time is
    when the same was said first: the same report made twice is one object.

    Args:
        library: that says it.
        kind: of the report.
        subject: whose it is.
        tree: its root.
        others: instances of other studies that the tree shows.

    Raises:
        StorageFullError: the library's folder cannot be written.
    """
    evidence, others = list(subject.evidence), list(others)
    made = Dataset()
    made.update(subject.header)
    made.update(tree)
    made.update(_series(library, kind, subject))
    made.CurrentRequestedProcedureEvidenceSequence = [*_by_study(evidence)]
    if others:
        made.PertinentOtherEvidenceSequence = [*_by_study(others)]
    made.SpecificCharacterSet = _character_set(made)
    digest = hmac.new(library.key, _bytes(made), hashlib.sha256).hexdigest()
    at = _first_said(library, digest)
    made.SOPInstanceUID = derived_uid("report", digest)
    made.ContentDate = made.InstanceCreationDate = at.strftime("%Y%m%d")
    made.ContentTime = made.InstanceCreationTime = at.strftime("%H%M%S")
    return Document(
        made.SOPInstanceUID,
        made.SeriesInstanceUID,
        subject.study_instance_uid,
        tuple(dict.fromkeys(each.study_instance_uid for each in (*evidence, *others))),
        _file(made),
    )


def _series(library: Library, kind: Kind, subject: Subject) -> Dataset:
    """All that is the same in every report of a kind of a study."""
    made = Dataset()
    study = subject.study_instance_uid
    made.SOPClassUID = ComprehensiveSRStorage
    made.StudyInstanceUID = study
    made.SeriesInstanceUID = derived_uid("report series", library.config.id, study, kind.name)
    made.SeriesNumber, made.InstanceNumber = kind.number, 1
    made.SeriesDescription, made.Modality = kind.description, "SR"
    made.Manufacturer = made.ManufacturerModelName = MANUFACTURER
    made.DeviceSerialNumber, made.SoftwareVersions = library.config.id, __version__
    made.CompletionFlag, made.VerificationFlag = "COMPLETE", "UNVERIFIED"
    made.PreliminaryFlag = "PRELIMINARY"
    made.PerformedProcedureCodeSequence = []
    made.ReferencedPerformedProcedureStepSequence = []
    made.CodingSchemeIdentificationSequence = [codes.scheme()]
    return made


def _character_set(made: Dataset) -> str:
    """The plainest that has all its letters: some readers do not know UTF-8."""
    said = "".join(str(element.value) for element in made.iterall() if element.VR in _LETTERS)
    return "ISO_IR 6" if said.isascii() else "ISO_IR 100" if _is_latin(said) else "ISO_IR 192"


def _is_latin(said: str) -> bool:
    try:
        said.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


def _by_study(references: Iterable[Reference]) -> Iterator[Dataset]:
    """Items of an evidence sequence (PS3.3 table 10-4), each instance once."""
    tree: dict[str, dict[str, dict[str, str]]] = {}
    for each in references:
        of_study = tree.setdefault(each.study_instance_uid, {})
        of_study.setdefault(each.series_instance_uid, {})[each.sop_instance_uid] = (
            each.sop_class_uid
        )
    for study, all_series in tree.items():
        yield _item(
            StudyInstanceUID=study,
            ReferencedSeriesSequence=[
                _item(
                    SeriesInstanceUID=series,
                    ReferencedSOPSequence=[
                        _item(ReferencedSOPClassUID=kind, ReferencedSOPInstanceUID=uid)
                        for uid, kind in instances.items()
                    ],
                )
                for series, instances in all_series.items()
            ],
        )


def _item(**elements: object) -> Dataset:
    made = Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def _bytes(made: Dataset) -> bytes:
    buffer = io.BytesIO()
    made.save_as(buffer, implicit_vr=False, little_endian=True, enforce_file_format=False)
    return buffer.getvalue()


def _file(made: Dataset) -> bytes:
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.file_meta.ImplementationClassUID = _IMPLEMENTATION
    made.file_meta.ImplementationVersionName = f"SYNTOPY_{__version__}"[:16]
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _first_said(library: Library, digest: str) -> datetime:
    """When a report of this digest was made first; local time, which DICOM takes for granted.

    What is kept of it tells nothing of a patient: the digest is under the library's key.
    """
    folder = library.path / _FOLDER
    kept = folder / digest
    try:
        folder.mkdir(exist_ok=True)
        if not kept.exists():
            _keep(kept, datetime.now().isoformat(timespec="seconds"))
        return datetime.fromisoformat(kept.read_text(encoding="ascii"))
    except OSError as error:
        raise StorageFullError(f"{folder} cannot be written: {error.strerror}") from error


def _keep(path: Path, said: str) -> None:
    """Write a small file whole, unless another process was quicker."""
    new = path.with_name(f".{uuid.uuid4().hex}")
    try:
        with new.open("w", encoding="ascii") as handle:
            handle.write(said)
            handle.flush()
            os.fsync(handle.fileno())
        with suppress(FileExistsError):
            os.link(new, path)
    finally:
        new.unlink(missing_ok=True)
