"""What a file is, by its first bytes; what its name promises."""

from __future__ import annotations

import struct
from enum import StrEnum


class Format(StrEnum):
    """The kinds of file that are told apart."""

    DICOM = "dicom"
    PNG = "png"
    JPEG = "jpeg"
    TIFF = "tiff"
    NIFTI = "nifti"
    NRRD = "nrrd"
    NPZ = "npz"
    TABLE = "table"
    OTHER = "other"


HEAD_BYTES = 512
"""How much of a file `sniff` wants to see."""

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", Format.PNG),
    (b"\xff\xd8\xff", Format.JPEG),
    (b"II*\x00", Format.TIFF),
    (b"MM\x00*", Format.TIFF),
    (b"II+\x00", Format.TIFF),
    (b"MM\x00+", Format.TIFF),
    (b"NRRD000", Format.NRRD),
)
_TABLE_NAMES = (".csv", ".tsv")
IMAGE_NAMES = (
    ".dcm",
    ".dicom",
    ".ima",
    ".img",
    ".png",
    ".jpg",
    ".jpeg",
    ".tif",
    ".tiff",
    ".nii",
    ".nii.gz",
    ".nrrd",
    ".nhdr",
    ".npz",
)
_VRS = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR "
    b"US UT UV".split()
)
_LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ UC UN UR UT SV UV".split())
_LONGEST_FIRST_ELEMENT = 4096
_LAST_FIRST_ELEMENT = {0x0002: 0x0102, 0x0008: 0x1200}


def sniff(head: bytes, name: str) -> Format:
    """The format of a file whose first `HEAD_BYTES` bytes are `head`.

    Content decides. The name is asked only where content is ambiguous: gzip and zip hold
    anything, and tables have no magic. A DICOM file without preamble is OTHER here; see
    `may_be_bare_dicom`.
    """
    lower = name.lower()
    if head[128:132] == b"DICM":
        return Format.DICOM
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if _is_nifti(head) or (head.startswith(b"\x1f\x8b") and lower.endswith(".nii.gz")):
        return Format.NIFTI
    if head.startswith(b"PK\x03\x04") and lower.endswith(".npz"):
        return Format.NPZ
    return Format.TABLE if lower.endswith(_TABLE_NAMES) else Format.OTHER


def claims_to_be_image(name: str) -> bool:
    """Whether the file's name promises an image; macOS resource forks (``._x.dcm``) do not."""
    return name.lower().endswith(IMAGE_NAMES) and not name.startswith("._")


def without_suffix(name: str) -> str:
    """The name without its extension; ``.nii.gz`` is one extension, and a UID has none."""
    if name.lower().endswith(".nii.gz"):
        return name[: -len(".nii.gz")]
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and stem and suffix and not suffix.isdigit() else name


def may_be_bare_dicom(head: bytes) -> bool:
    """Whether `head` looks like a DICOM data set without the preamble and ``DICM``.

    True for a plausible first element: group 0x0002 or 0x0008 (ACR-NEMA files begin with 0x0008),
    either byte order, explicit or implicit VR. A cheap hint: the parser has the last word.
    """
    return len(head) >= 8 and any(_first_element_plausible(head, order) for order in "<>")


def _is_nifti(head: bytes) -> bool:
    # ``ni1``/``ni2`` are headers of two-file pairs: NIfTI all the same, the reader says why not.
    if head[344:348] in (b"n+1\x00", b"ni1\x00"):
        return head[:4] in (struct.pack("<i", 348), struct.pack(">i", 348))
    if head[4:12] in (b"n+2\x00\r\n\x1a\n", b"ni2\x00\r\n\x1a\n"):
        return head[:4] in (struct.pack("<i", 540), struct.pack(">i", 540))
    return False


def _first_element_plausible(head: bytes, order: str) -> bool:
    group, element = struct.unpack_from(f"{order}HH", head)
    if element > _LAST_FIRST_ELEMENT.get(group, -1):
        return False
    length = _element_length(head, order)
    if element == 0:
        return length == 4  # a group length, UL
    return length is not None and length % 2 == 0 and length <= _LONGEST_FIRST_ELEMENT


def _element_length(head: bytes, order: str) -> int | None:
    vr = head[4:6]
    if vr in _VRS and vr not in _LONG_VRS:
        return int(struct.unpack_from(f"{order}H", head, 6)[0])
    if vr in _LONG_VRS:
        return int(struct.unpack_from(f"{order}I", head, 8)[0]) if len(head) >= 12 else None
    return int(struct.unpack_from(f"{order}I", head, 4)[0])
