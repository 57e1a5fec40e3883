"""What the header says about patient, study and series, as plain `Attributes`."""

from __future__ import annotations

import re
from datetime import date

from pydicom import Dataset

from indexer.dicom.identity import PatientFingerprint, fingerprint
from indexer.dicom.opening import text_of, uid_of, value_of
from indexer.types import Attributes

_DAYS = {"D": 1.0, "W": 7.0, "M": 30.4375, "Y": 365.25}
_DATE = re.compile(r"(\d{4})\D?(\d{2})\D?(\d{2})")


def attributes_of(ds: Dataset) -> Attributes:
    """Everything the catalog keeps of a header. Absent or broken elements stay empty (F7)."""
    return Attributes(
        patient_id=text_of(ds, "PatientID"),
        issuer=text_of(ds, "IssuerOfPatientID"),
        sex=_sex(text_of(ds, "PatientSex")),
        age_years=age_years(
            text_of(ds, "PatientAge"), text_of(ds, "PatientBirthDate"), text_of(ds, "StudyDate")
        ),
        study_instance_uid=uid_of(ds, "StudyInstanceUID"),
        series_instance_uid=uid_of(ds, "SeriesInstanceUID"),
        study_date=iso_date(text_of(ds, "StudyDate")),
        modality=text_of(ds, "Modality").upper()[:16],
        body_part=text_of(ds, "BodyPartExamined").upper() or _anatomy(ds),
        view=text_of(ds, "ViewPosition").upper(),
        laterality=(text_of(ds, "Laterality") or text_of(ds, "ImageLaterality")).upper(),
        study_description=text_of(ds, "StudyDescription"),
        series_description=text_of(ds, "SeriesDescription"),
        manufacturer=text_of(ds, "Manufacturer"),
        model=text_of(ds, "ManufacturerModelName"),
    )


def fingerprint_of(key: bytes, ds: Dataset) -> PatientFingerprint:
    """The fingerprint of a data set's patient module."""
    return fingerprint(
        key,
        text_of(ds, "PatientBirthDate"),
        text_of(ds, "PatientSex").upper(),
        text_of(ds, "PatientName"),
    )


def age_years(age: str, birth_date: str, study_date: str) -> float | None:
    """Age at the study in years from an AS string (045Y, 003M), else from two dates (I6)."""
    match = re.fullmatch(r"\s*(\d{1,4})\s*([DWMY])?\s*", age.upper())
    if match:
        years = int(match[1]) * _DAYS[match[2] or "Y"] / 365.25
        if years <= 130:
            return round(years, 2)
    born, seen = _parse_date(birth_date), _parse_date(study_date)
    if born and seen:
        years = (seen - born).days / 365.25
        return round(years, 1) if 0 <= years <= 130 else None
    return None


def iso_date(value: str) -> str:
    """A DICOM date as ``YYYY-MM-DD``, ``""`` when it is none."""
    parsed = _parse_date(value)
    return parsed.isoformat() if parsed else ""


def _parse_date(value: str) -> date | None:
    match = _DATE.match(value.strip())
    if not match:
        return None
    try:
        return date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return None


def _sex(value: str) -> str:
    return value.upper() if value.upper() in ("M", "F", "O") else ""


def _anatomy(ds: Dataset) -> str:
    """Body part of enhanced objects, which code it (AnatomicRegionSequence)."""
    regions = value_of(ds, "AnatomicRegionSequence")
    return (
        text_of(regions[0], "CodeMeaning").upper() if regions is not None and len(regions) else ""
    )
