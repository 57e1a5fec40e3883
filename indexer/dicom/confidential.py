"""A data set without what tells who the patient is (PS3.15 annex E), pixels untouched.

The basic application level confidentiality profile, with the options to clean descriptors and to
retain UIDs, full dates, device identity and patient characteristics. It is done the other way
round from the table E.1-1, which names what goes: here words stay only where `KEPT_TEXT` names
their attribute, and any other value only where it has the form of its VR. So what nobody thought
of goes too: private elements, unknown ones, sentences in places that are for codes.
docs/decisions/0023-what-wado-gives.md says why.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from pydicom import Dataset
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.multival import MultiValue
from pydicom.sr.coding import Code
from pydicom.tag import BaseTag, Tag

from indexer.dicom.opening import READ_ERRORS, text_of

METHOD = "PS3.15 E.1 basic profile; listed text only; pixels untouched"
OPTIONS = (
    Code("113100", "DCM", "Basic Application Confidentiality Profile"),
    Code("113105", "DCM", "Clean Descriptors Option"),
    Code("113106", "DCM", "Retain Longitudinal Temporal Information Full Dates Option"),
    Code("113108", "DCM", "Retain Patient Characteristics Option"),
    Code("113109", "DCM", "Retain Device Identity Option"),
    Code("113110", "DCM", "Retain UIDs Option"),
)


def _tags(keywords: str) -> frozenset[int]:
    """Tags of a list of keywords; raises ValueError for one that the dictionary has not."""
    return frozenset(Tag(word) for word in keywords.split())


_KEPT = """
    CodeValue LongCodeValue CodeMeaning CodingSchemeDesignator CodingSchemeVersion
    StudyDescription SeriesDescription
    Manufacturer ManufacturerModelName SoftwareVersions DeviceSerialNumber StationName
    PerformedStationName GantryID DetectorID DetectorManufacturerName
    DetectorManufacturerModelName CassetteID PlateID GeneratorID
    SecondaryCaptureDeviceManufacturer SecondaryCaptureDeviceManufacturerModelName
    SecondaryCaptureDeviceSoftwareVersions
    SequenceName PulseSequenceName ReceiveCoilName TransmitCoilName ImagedNucleus
    ConvolutionKernel FilterType AttenuationCorrectionMethod ScatterCorrectionMethod
    ReconstructionMethod Radiopharmaceutical StackID
    DimensionDescriptionLabel SegmentLabel
    RescaleType ModalityLUTType LUTExplanation WindowCenterWidthExplanation
"""
KEPT_TEXT = _tags(_KEPT)
"""Attributes whose words stay: codes, devices, how the picture was made, the two descriptions."""
_CODES = _tags("CodeValue LongCodeValue CodingSchemeDesignator CodingSchemeVersion")
"""Of those the ones that are no prose."""
_LISTED = """
    PatientBirthDate PatientBirthTime IconImageSequence
    RequestAttributesSequence ReferencedPatientSequence ReferencedPatientAliasSequence
    ReferencedPatientPhotoSequence OtherPatientIDsSequence IssuerOfPatientIDQualifiersSequence
    PatientInsurancePlanCodeSequence PatientPrimaryLanguageCodeSequence
    PatientPrimaryLanguageModifierCodeSequence
    InstitutionCodeSequence InstitutionalDepartmentTypeCodeSequence
    ReferringPhysicianIdentificationSequence ConsultingPhysicianIdentificationSequence
    PhysiciansOfRecordIdentificationSequence PerformingPhysicianIdentificationSequence
    PhysiciansReadingStudyIdentificationSequence OperatorIdentificationSequence
    IssuerOfAccessionNumberSequence AdmittingDiagnosesCodeSequence
    ContentCreatorIdentificationCodeSequence PersonIdentificationCodeSequence
    ScheduledPerformingPhysicianIdentificationSequence ActualHumanPerformersSequence
    ScheduledHumanPerformersSequence ReasonForRequestedProcedureCodeSequence
    PerformedStationGeographicLocationCodeSequence ScheduledStationGeographicLocationCodeSequence
    AuthorObserverSequence ParticipantSequence CustodialOrganizationSequence
    VerifyingObserverSequence VerifyingObserverIdentificationCodeSequence ROICreatorSequence
    ROIInterpreterSequence ContentSequence GraphicAnnotationSequence ContributingEquipmentSequence
    AcquisitionContextSequence SpecimenPreparationSequence IssuerOfTheContainerIdentifierSequence
    IssuerOfTheSpecimenIdentifierSequence UDISequence
"""
REMOVED = _tags(_LISTED)
"""What goes although its form would let it stay."""
_REMOVED_GROUPS = frozenset(
    # trials, cameras and GPS, requests, flows, visits, hanging protocols, signatures and former
    # values, printing, labels, results
    [0x0012, 0x0016, 0x0032, 0x0034, 0x0038, 0x0072, 0x0400, 0x2030, 0x2100, 0x2200, 0x4000,
     0x4008, 0xFFFA, 0xFFFC]
)  # fmt: skip
_BULK_GROUPS = frozenset([0x0028, 0x7FE0])
"""Pixels, palettes and lookup tables; other binary values go."""
_STATION_TITLES = _tags("StationAETitle PerformedStationAETitle")
_IDS = ("PatientID", "OtherPatientIDs", "AccessionNumber", "PatientTelephoneNumbers")
_ID_LETTERS = 4
"""A shorter number may stand in a description for anything."""
_EMPTIED = ("AccessionNumber", "PatientBirthDate", "ReferringPhysicianName", "StudyID")
"""Of type 2 in every object: they have to be there, and say nothing."""
_EMPTY_IF_THERE = _tags(
    "ContrastBolusAgent PositionReferenceIndicator AcquisitionContextSequence ContentCreatorName "
    "ContentDescription"
)
"""Of type 2 in some objects."""

_TEXT = frozenset(["LO", "SH", "ST", "LT", "UT", "UC", "UR"])
_BULK = frozenset(["OB", "OW", "OF", "OD", "OL", "OV", "OB or OW"])
_SIZES = {
    "AT": 4, "FL": 4, "FD": 8, "SL": 4, "SS": 2, "UL": 4, "US": 2, "SV": 8, "UV": 8,
    "US or SS": 2, "US or OW": 2, "US or SS or OW": 2,
}  # fmt: skip
_FORMS = {
    vr: re.compile(rb"(?:%s)(?:\\(?:%s))*" % (form, form))
    for vr, form in {
        "CS": rb"[A-Za-z0-9_ .+/-]{0,16}",
        "DS": rb" *(?:[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)? *",
        "IS": rb" *(?:[+-]?\d{1,12})? *",
        "UI": rb"(?:(?=[0-9.]{1,64}(?:\\|\Z))(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*))*)?",
        "DA": rb"[0-9.-]{0,18} *",
        "TM": rb"[0-9.:]{0,16} *",
        "DT": rb"[0-9.+-]{0,26} *",
        "AS": rb"(?:\d{3}[DWMY])? *",
    }.items()
}
_WORD = re.compile(r"[^\W_]+")
_NUMBERS = frozenset(["DS", "IS", *_SIZES]) - {"AT"}


@dataclass(frozen=True)
class _Telling:
    """What a description must not say: words in lower case, and ids however they are parted."""

    words: frozenset[str]
    ids: tuple[re.Pattern[str], ...]


@dataclass(frozen=True)
class Identity:
    """What a data set is to say that it belongs to; ``patient`` is a pseudonym."""

    patient: str
    study: str
    series: str
    instance: str


def cleaned(ds: Dataset, identity: Identity) -> Dataset:
    """The data set without what tells who the patient is; the same object, changed in place.

    Descriptions lose each word that is a part of a name, and the ids, that this data set has.
    """
    _strip(ds, _telling(ds))
    for keyword in _EMPTIED:
        setattr(ds, keyword, "")
    identified(ds, identity)
    ds.PatientID = ds.PatientName = identity.patient
    ds.update(_said())
    return ds


def identified(ds: Dataset, identity: Identity) -> Dataset:
    """The data set with the UIDs by which it is known, which the file may lack."""
    ds.StudyInstanceUID, ds.SeriesInstanceUID = identity.study, identity.series
    ds.SOPInstanceUID = identity.instance
    return ds


@cache
def _said() -> Dataset:
    """What is said of the cleaning; made once, as nothing changes it."""
    ds = Dataset()
    ds.PatientIdentityRemoved = "YES"
    ds.DeidentificationMethod = METHOD
    ds.DeidentificationMethodCodeSequence = [_coded(code) for code in OPTIONS]
    ds.LongitudinalTemporalInformationModified = "UNMODIFIED"
    return ds


def _coded(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = code.value, code.scheme_designator
    item.CodeMeaning = code.meaning[:64]
    return item


def _strip(ds: Dataset, telling: _Telling) -> None:
    for tag in list(ds.keys()):
        element = ds.get_item(tag)
        vr = _vr(tag, element.VR)
        if vr == "SQ" and _may_stay(tag):
            for item in _items(ds, tag):
                _strip(item, telling)
        elif not _stays(tag, vr, element.value):
            del ds[tag]
            if tag in _EMPTY_IF_THERE:
                ds.add_new(tag, dictionary_VR(tag), None)
        elif tag in KEPT_TEXT and tag not in _CODES:
            _clean_text(ds, tag, telling)


def _vr(tag: BaseTag, said: str | None) -> str:
    """The VR that counts; "" where the file says one that hides what its attribute is."""
    if not dictionary_has_tag(tag):
        return str(said or "UN")
    known = dictionary_VR(tag)
    if said in (None, "UN"):
        return known
    kinds = {*known.split(" or "), known}
    alike = any({said, *known.split(" or ")} <= group for group in (_NUMBERS, _TEXT, _BULK))
    return str(said) if said in kinds or alike else ""


def _may_stay(tag: BaseTag) -> bool:
    return (
        dictionary_has_tag(tag)  # neither a private nor an unknown one, nor a curve or overlay
        and tag not in REMOVED
        and tag.group not in _REMOVED_GROUPS
        and tag.element != 0
    )


def _stays(tag: BaseTag, vr: str, value: object) -> bool:
    if not _may_stay(tag):
        return False
    if vr in _TEXT:
        return tag in KEPT_TEXT
    if vr in _BULK:
        return tag.group in _BULK_GROUPS
    if vr in _SIZES:
        return not isinstance(value, bytes) or len(value) % _SIZES[vr] == 0
    if vr == "AE":
        return tag in _STATION_TITLES
    form = _FORMS.get(vr)
    return form is not None and form.fullmatch(_as_bytes(value)) is not None


def _as_bytes(value: object) -> bytes:
    """A value as it stands in a file, without its padding."""
    if value is None:
        return b""
    if isinstance(value, bytes):
        return value.rstrip(b"\0 ")
    parts = value if isinstance(value, list | tuple | MultiValue) else [value]
    return "\\".join(str(part) for part in parts).encode("utf-8", "replace")


def _items(ds: Dataset, tag: BaseTag) -> list[Dataset]:
    """The items of a sequence; one that cannot be read is taken out."""
    try:
        return list(ds[tag].value or ())
    except READ_ERRORS:
        del ds[tag]
        return []


def _clean_text(ds: Dataset, tag: BaseTag, telling: _Telling) -> None:
    try:
        element = ds[tag]
        said = element.value
    except READ_ERRORS:
        del ds[tag]
        return
    if said is None:
        return
    several = not isinstance(said, str)
    parts = [_without(str(part), telling) for part in (said if several else [said])]
    element.value = parts if several else parts[0]


def _without(said: str, telling: _Telling) -> str:
    left = said
    for each in telling.ids:
        left = each.sub("", left)
    left = _WORD.sub(lambda found: "" if found[0].casefold() in telling.words else found[0], left)
    return said if left == said else " ".join(left.split())


def _telling(ds: Dataset) -> _Telling:
    """The words of all names in a data set, and its ids."""
    found = {word for name in _names(ds) for word in _WORD.findall(name) if len(word) > 1}
    ids = []
    for keyword in _IDS:
        parts = _WORD.findall(text_of(ds, keyword))
        found |= {part for part in parts if len(part) >= _ID_LETTERS}
        letters = "".join(parts)
        if len(letters) >= _ID_LETTERS:
            between = r"[\W_]*".join(map(re.escape, letters))
            ids.append(re.compile(rf"(?<![^\W_]){between}(?![^\W_])", re.IGNORECASE))
    return _Telling(frozenset(word.casefold() for word in found), tuple(ids))


def _names(ds: Dataset) -> Iterator[str]:
    for tag in list(ds.keys()):
        said = ds.get_item(tag).VR
        vr = _vr(tag, said)
        known = dictionary_VR(tag) if dictionary_has_tag(tag) else vr
        if vr == "SQ" and not tag.is_private:
            for item in _items(ds, tag):
                yield from _names(item)
        elif "PN" in (said, known):
            yield _name(ds, tag)


def _name(ds: Dataset, tag: BaseTag) -> str:
    try:
        value = ds[tag].value
    except READ_ERRORS:
        return ""
    return " ".join(map(str, value)) if isinstance(value, MultiValue) else str(value or "")
