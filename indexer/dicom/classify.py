"""What an instance is: a picture, a slice of a volume, or evidence beside the pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum

from pydicom import Dataset

from indexer.dicom.opening import number_of, text_of, uid_of, value_of
from indexer.types import Role

PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_STORAGE = "1.2.840.10008.5.1.4.1.1."


class Kind(StrEnum):
    """How an instance is read."""

    IMAGE = "image"
    """Each frame (or a stated sample of them) is one item."""
    SLICE = "slice"
    """One frame of a CT, MR or PET series, to be stacked with its siblings."""
    MULTIFRAME_VOLUME = "multiframe_volume"
    """Frames with their own geometry: enhanced CT, MR, PET and their like."""
    EVIDENCE = "evidence"
    """No picture to embed: SR, SEG, KO, PR, RT objects, waveforms, documents."""


_SLICES = {_STORAGE + code for code in ("2", "4", "128")}
_VOLUMES = {
    _STORAGE + code
    for code in (
        "2.1",  # Enhanced CT
        "2.2",  # Legacy Converted Enhanced CT
        "4.1",  # Enhanced MR
        "4.3",  # Enhanced MR Color
        "4.4",  # Legacy Converted Enhanced MR
        "128.1",  # Legacy Converted Enhanced PET
        "130",  # Enhanced PET
        "13.1.1",  # X-Ray 3D Angiographic
        "13.1.2",  # X-Ray 3D Craniofacial
        "13.1.3",  # Breast Tomosynthesis
    )
}
_EVIDENCE_PREFIXES = tuple(
    _STORAGE + code
    for code in (
        "4.2",  # MR Spectroscopy
        "9.",  # Waveforms
        "11.",  # Presentation states
        "66",  # Raw data, registrations, segmentations, surfaces
        "67",  # Real world value mapping
        "88.",  # SR, KO
        "91.1",  # Microscopy annotations
        "104.",  # Encapsulated documents
        "481.2",  # RT Dose
        "481.3",  # RT Structure Set
        "481.4",
        "481.5",  # RT Plan
        "481.6",
        "481.7",
        "481.8",
        "481.9",
        *(f"481.1{digit}" for digit in range(10)),  # second generation RT, not 481.1
        "200.",  # Protocols
        "201.",  # Inventories
        "68.",  # Surface scans
        "90.",  # Content assessment
        "131",  # Structured displays
        "77.1.5.3",  # Stereometric relationships
        "78.",  # Ophthalmic measurements
        "79.1",
        "80.1",
    )
)
_EVIDENCE_MODALITIES = frozenset(
    [
        "SR",
        "KO",
        "PR",
        "SEG",
        "REG",
        "RTSTRUCT",
        "RTPLAN",
        "RTDOSE",
        "RTRECORD",
        "ECG",
        "HD",
        "EPS",
        "RWV",
        "ANN",
        "AU",
        "DOC",
        "FID",
        "PLAN",
    ]
)
_WHOLE_SLIDE = _STORAGE + "77.1.6"
_SECONDARY_PREFIX = _STORAGE + "7"
_PARAMETRIC_MAP = _STORAGE + "30"

_TEST_WORDS = re.compile(
    r"phantom|(?<![a-z])test[ ^_,-]*(pattern|patient)|quality assurance|(?<![a-z])qa(?![a-z])"
)
_PROCESSED = re.compile(
    r"\b(MIP|MINIP|MPR|CPR|VRT|PROJECTION|REFORMATTED|SUBTRACTION|FUSED|FUSION|ADC|EADC|FA)\b"
)
"""Words of ImageType for pictures that were computed from others; makers also write "CSA MIP"."""
_SUSPECT_MODALITIES = frozenset({"US", "SC", "XA", "ES", "OT", "RF", "IVUS"})


def kind_of(dataset: Dataset) -> Kind:
    """How to read this instance, from its SOP class, else from what it holds."""
    sop_class = uid_of(dataset, "SOPClassUID")
    modality = text_of(dataset, "Modality").upper()
    if sop_class.startswith(_EVIDENCE_PREFIXES):
        return Kind.EVIDENCE
    if sop_class in _VOLUMES:
        return Kind.MULTIFRAME_VOLUME
    if sop_class in _SLICES or (not sop_class and modality in {"CT", "MR", "PT"}):
        return Kind.SLICE
    known = sop_class.startswith(_STORAGE)
    if known or has_pixels(dataset):  # a known class outranks the modality tag (W5)
        return Kind.EVIDENCE if not known and modality in _EVIDENCE_MODALITIES else Kind.IMAGE
    if modality in _EVIDENCE_MODALITIES or (sop_class and not has_pixel_shape(dataset)):
        return Kind.EVIDENCE
    return Kind.IMAGE


def has_pixels(dataset: Dataset) -> bool:
    """Whether the instance carries pixel data of any kind that is not empty."""
    return any(value_of(dataset, keyword) is not None for keyword in PIXEL_KEYWORDS)


def has_pixel_shape(dataset: Dataset) -> bool:
    """Whether the instance speaks of rows and columns at all."""
    return "Rows" in dataset or "Columns" in dataset


def is_whole_slide(dataset: Dataset) -> bool:
    """Whether the frames are tiles of one microscope slide."""
    return uid_of(dataset, "SOPClassUID") == _WHOLE_SLIDE


def role_of(dataset: Dataset) -> Role:
    """What the picture is for (W2 to W6 of the pitfall list), from tags alone."""
    image_type = [part.strip().upper() for part in text_of(dataset, "ImageType").split("\\")]
    sop_class = uid_of(dataset, "SOPClassUID")
    if any(word in image_type for word in ("LOCALIZER", "SCOUT", "TOPOGRAM")):
        return Role.LOCALIZER
    if _is_test_object(dataset):
        return Role.TEST
    if sop_class == _SECONDARY_PREFIX or sop_class.startswith(_SECONDARY_PREFIX + "."):
        return Role.SECONDARY
    if any(word in image_type for word in ("SCREEN SAVE", "DOSE_INFO", "SECONDARY CAPTURE")):
        return Role.SECONDARY
    coloured = sop_class in _SLICES | _VOLUMES and number_of(dataset, "SamplesPerPixel") == 3
    computed = is_derived(image_type)
    return Role.DERIVED if computed or coloured or sop_class == _PARAMETRIC_MAP else Role.PRIMARY


def is_derived(image_type: Sequence[str]) -> bool:
    """Whether ImageType or FrameType says that the picture was computed from others (W4)."""
    said = [word.strip().upper() for word in image_type]
    return said[:1] == ["DERIVED"] and not _only_compressed(said)


def _only_compressed(image_type: list[str]) -> bool:
    r"""DERIVED\PRIMARY without a processing word is what lossy compression leaves behind."""
    processed = any(_PROCESSED.search(word) for word in image_type[2:])
    return len(image_type) > 1 and image_type[1] == "PRIMARY" and not processed


def _is_test_object(dataset: Dataset) -> bool:
    """Phantom and quality-assurance acquisitions by the words vendors and technicians use (W6)."""
    if value_of(dataset, "QualityControlImage") == "YES":
        return True
    said = " ".join(
        text_of(dataset, k)
        for k in ("PatientName", "PatientID", "StudyDescription", "SeriesDescription")
    ).lower()
    return _TEST_WORDS.search(said) is not None


def burned_in_suspect(dataset: Dataset) -> bool:
    """Whether text may be burned into the pixels: the tag says so, or the device is known for it.

    The tag is often absent or wrong (S1), so ultrasound, captures and the like stay suspect even
    where it says NO.
    """
    if text_of(dataset, "BurnedInAnnotation") == "YES":
        return True
    sop_class = uid_of(dataset, "SOPClassUID")
    return text_of(dataset, "Modality").upper() in _SUSPECT_MODALITIES or sop_class.startswith(
        _SECONDARY_PREFIX
    )
