"""Whose report it is: patient and study from the header of an original, read again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.config import IGNORE, RAISE
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.valuerep import PersonName, validate_value
from sqlalchemy import Connection, Row, select, union

from indexer.catalog.database import reading
from indexer.catalog.tables import Instance, Item, ItemInstance, Patient, Series, Study
from indexer.dicom.attributes import attributes_of
from indexer.dicom.classify import Kind
from indexer.dicom.opening import open_dicom, tolerant, uid_of, value_of
from indexer.errors import (
    FileRejectedError,
    ItemNotFoundError,
    OriginalGoneError,
    QueryError,
)
from indexer.library import Library
from indexer.reading.dicom import patient_draft
from indexer.reading.drafts import ReadOptions
from indexer.reading.tasks import earlier_slice
from indexer.types import Flag

_REQUIRED = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
)
"""Of type 2: present, be it empty (PS3.3 C.7.1.1 and C.7.2.1)."""
_KEPT = ("IssuerOfPatientID", "PatientAge", "StudyDescription")
_FORMED = frozenset({"DA", "TM", "AS", "CS"})
"""A value of these that is malformed is left out; names and ids stay as they are."""
_TRIED = 50
"""Originals that are looked for before a study's files count as gone."""


@dataclass(frozen=True)
class Reference:
    """An instance that a report can point to; ``frame`` counts from one, None for all."""

    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    frame: int | None = None


@dataclass(frozen=True)
class Subject:
    """A study that a report is about.

    Attributes:
        header: its elements of the modules Patient, General Study and Patient Study.
        evidence: its DICOM instances in the library, evidence such as older reports left out.
    """

    study_instance_uid: str
    header: Dataset
    evidence: tuple[Reference, ...]


def study_under(db: Connection, uid: str) -> str:
    """Study Instance UID of what a study, series, instance UID or item id stands for.

    Raises:
        ItemNotFoundError: nothing of that UID is in the library.
    """
    named = union(
        select(Study.id).where(Study.study_instance_uid == uid),
        select(Series.study_id).where(Series.series_instance_uid == uid),
        select(Series.study_id).join(Instance).where(Instance.sop_instance_uid == uid),
        select(Series.study_id).join(Item).where(Item.uid == uid),
    )
    found = db.execute(select(Study.study_instance_uid).where(Study.id.in_(named)).limit(1))
    study = found.scalar()
    if study is None:
        raise ItemNotFoundError(f"there is no study, series, instance or item '{uid}'")
    return str(study)


def read_subject(library: Library, study: str, options: ReadOptions) -> Subject:
    """Patient and study of a report, from a file of the study as it lies where it was indexed.

    Raises:
        QueryError: the study was not made of DICOM files with UIDs of their own.
        OriginalGoneError: no file of it is there any more as it was, with the patient it had.
    """
    with reading(library.engine) as db:
        owner = select(Patient.pseudonym).join(Study).where(Study.study_instance_uid == study)
        pseudonym = db.execute(owner).scalar_one()
        query = select(Instance.__table__, Series.series_instance_uid).join(Series).join(Study)
        rows = [
            row
            for row in db.execute(
                query.where(Study.study_instance_uid == study).order_by(Instance.id)
            )
            if _is_dicom(row.sop_class_uid, row.flags)
        ]
    evidence = tuple(
        Reference(study, row.series_instance_uid, row.sop_class_uid, row.sop_instance_uid)
        for row in rows
        if row.kind != Kind.EVIDENCE
    )
    if not evidence:
        raise QueryError(
            f"the study {study} has no DICOM image with UIDs of its own in the library: a "
            "structured report needs the patient and the UIDs of its study"
        )
    rows.sort(key=lambda row: row.kind == Kind.EVIDENCE)
    for row in rows[:_TRIED]:
        header = _header(row, study, pseudonym, options)
        if header is not None:
            return Subject(study, header, evidence)
    raise OriginalGoneError(
        f"no file of the study {study} is there any more as it was indexed, so that it is not "
        f"known whose it is; syntopy show {study} names the files"
    )


def images_of(db: Connection, items: Iterable[str]) -> dict[str, Reference]:
    """The first instance of each item by its id, where it is DICOM with UIDs of its own."""
    query = (
        select(
            Item.uid,
            Item.frame_index,
            Instance.sop_class_uid,
            Instance.sop_instance_uid,
            Instance.flags,
            Series.series_instance_uid,
            Study.study_instance_uid,
        )
        .select_from(Item)
        .join(Series)
        .join(Study)
        .join(ItemInstance, ItemInstance.item_id == Item.id)
        .join(Instance, Instance.id == ItemInstance.instance_id)
        .where(Item.uid.in_([*items]))
        .order_by(ItemInstance.position.desc())
    )
    return {
        row.uid: Reference(
            row.study_instance_uid,
            row.series_instance_uid,
            row.sop_class_uid,
            row.sop_instance_uid,
            None if row.frame_index is None else row.frame_index + 1,
        )
        for row in db.execute(query)
        if _is_dicom(row.sop_class_uid, row.flags)
    }


def _is_dicom(sop_class_uid: str, flags: Sequence[str]) -> bool:
    """Whether others know an instance by its UID."""
    return bool(sop_class_uid) and Flag.DERIVED_UIDS not in flags


def _header(row: Row[object], study: str, pseudonym: str, options: ReadOptions) -> Dataset | None:
    """The header of an original; None where it is gone, or is not what it was."""
    file = earlier_slice(-1, row.source, row.file_sha256)
    try:
        data = file.source.read_bytes(options.max_file_bytes)
        if hashlib.sha256(data).hexdigest() != file.sha256:
            return None
        opened = open_dicom(data, bare=data[128:132] != b"DICM")
    except FileRejectedError:
        return None
    with tolerant(opened.flags):
        found = opened.dataset
        patient = patient_draft(attributes_of(found), study, options)
        same = uid_of(found, "StudyInstanceUID") == study and patient.pseudonym == pseudonym
        return _copied(found) if same else None


def _copied(found: Dataset) -> Dataset:
    header = Dataset()
    for keyword in (*_REQUIRED, *_KEPT):
        vr, value = dictionary_VR(keyword), value_of(found, keyword)
        said = _text(value)
        if vr in _FORMED:
            try:
                validate_value(vr, said, RAISE)
            except ValueError:
                said = ""
        if said or keyword in _REQUIRED:
            # Decoded, and a string without the bytes it came from: it is written in UTF-8.
            kept = PersonName(said) if vr == "PN" else said
            tag = tag_for_keyword(keyword)
            assert tag is not None  # noqa: S101 - they are in the dictionary
            header.add(DataElement(tag, vr, kept, validation_mode=IGNORE))
    return header


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str | PersonName):
        return str(value)
    return "\\".join(map(str, value)) if isinstance(value, Sequence) else str(value)
