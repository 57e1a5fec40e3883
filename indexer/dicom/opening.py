"""Opening a DICOM file, however odd, without trusting anything it claims."""

from __future__ import annotations

import io
import re
import struct
import threading
import unicodedata
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pydicom
from pydicom import config
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pydicom.valuerep import PersonName

from indexer.errors import FileRejectedError
from indexer.types import Flag, Reason

_META_START = 132
"""Preamble and magic word come first."""
_INFLATED_AT_ONCE = 1 << 20
_UNDEFINED = 0xFFFFFFFF
_PIXEL_DATA = b"\xe0\x7f\x10\x00O"
_UID_FORM = re.compile(r"[0-9]+(\.[0-9]+)*")
READ_ERRORS = (
    AttributeError,
    AssertionError,
    BytesLengthException,
    EOFError,
    KeyError,
    IndexError,
    LookupError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What pydicom is seen to raise on broken files; MemoryError is left to the worker's limit."""


@dataclass
class OpenedDicom:
    """A parsed data set, what had to be forgiven, and whether it ends within an element."""

    dataset: FileDataset
    flags: set[Flag] = field(default_factory=set)
    cut: bool = False

    @property
    def transfer_syntax(self) -> UID | None:
        """Transfer syntax of the file meta group, or None where the file has none."""
        value = self.dataset.file_meta.get("TransferSyntaxUID")
        return UID(str(value)) if value else None


class _Tolerance:
    """Pydicom's strictness and Python's warnings are one for all threads: the first sets them."""

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._own = threading.local()

    def enter(self, flags: set[Flag]) -> None:
        self._flags().append(flags)
        with self._lock:
            self._inside += 1
            if self._inside > 1:
                return
            self._mode = config.settings.reading_validation_mode
            config.settings.reading_validation_mode = config.WARN
            self._catching = warnings.catch_warnings()
            self._catching.__enter__()
            self._show = warnings.showwarning
            warnings.simplefilter("always")
            warnings.showwarning = self._note

    def leave(self) -> None:
        self._flags().pop()
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._catching.__exit__(None, None, None)
                config.settings.reading_validation_mode = self._mode

    def _flags(self) -> list[set[Flag]]:
        if not hasattr(self._own, "flags"):
            self._own.flags = []
        found: list[set[Flag]] = self._own.flags
        return found

    def _note(self, message: Warning | str, *where: Any, **more: Any) -> None:
        if not self._flags():  # of a thread that reads nothing
            self._show(message, *where, **more)
            return
        text, flags = str(message).lower(), self._flags()[-1]
        if "character set" in text or "encoding" in text or "decod" in text:
            flags.add(Flag.CHARSET_REPLACED)
        elif "invalid value" in text or "value length" in text or "vr" in text:
            flags.add(Flag.ELEMENT_IGNORED)


_TOLERANCE = _Tolerance()


@contextmanager
def tolerant(flags: set[Flag]) -> Iterator[None]:
    """Turn pydicom's complaints about single elements into flags (F7, F8 of the pitfall list).

    The flags are set at once: elements are converted when they are asked for, long after opening.
    """
    _TOLERANCE.enter(flags)
    try:
        yield
    finally:
        _TOLERANCE.leave()


def open_dicom(data: bytes, *, bare: bool = False, max_inflated: int = 1 << 30) -> OpenedDicom:
    """Parse a whole DICOM file from memory; pixel data stays encoded.

    Args:
        data: the file's bytes.
        bare: the file has no preamble; accepted only with SOP class and instance UID (F1).
        max_inflated: bytes that a deflated data set may grow to.

    Raises:
        FileRejectedError: not_dicom, header_corrupt, truncated, too_large or no_uids.
    """
    flags: set[Flag] = {Flag.NO_PREAMBLE} if bare else set()
    try:
        with tolerant(flags):
            dataset = _parse(data, bare, max_inflated)
            cut = _ends_in_an_element(dataset)
            _ = dataset.get("SOPClassUID"), dataset.get("SpecificCharacterSet")
            opened = OpenedDicom(dataset, flags, cut)
            if not len(dataset):
                raise _ends_early(opened)
            if bare:
                _check_bare(opened)
    except InvalidDicomError as error:
        raise FileRejectedError(Reason.NOT_DICOM, "no DICOM preamble and no data set") from error
    except READ_ERRORS as error:
        raise FileRejectedError(
            Reason.HEADER_CORRUPT, f"the data set cannot be parsed ({type(error).__name__})"
        ) from error
    return opened


def _ends_in_an_element(dataset: pydicom.Dataset) -> bool:
    """Whether the file ends before one of its elements does."""
    return any(
        isinstance(e.value, bytes) and e.length != _UNDEFINED and len(e.value) < e.length
        for e in dataset.values()
        if isinstance(e, RawDataElement)
    )


def _ends_early(opened: OpenedDicom) -> FileRejectedError:
    """Pydicom drops the whole data set where an element of undefined length has no end (F5)."""
    syntax = opened.transfer_syntax
    if syntax and syntax.is_transfer_syntax and syntax.is_encapsulated:
        return FileRejectedError(
            Reason.TRUNCATED, "the encapsulated pixel data is cut or not delimited"
        )
    return FileRejectedError(Reason.HEADER_CORRUPT, "the file ends before or in its data set")


def _check_bare(opened: OpenedDicom) -> None:
    """Without a preamble a file must show that it is DICOM (F1; docs/decisions/0005)."""
    ds = opened.dataset
    known_class = uid_of(ds, "SOPClassUID")
    if known_class and (uid_of(ds, "SOPInstanceUID") or opened.transfer_syntax):
        return
    if not known_class and "SOPClassUID" not in ds and "StudyInstanceUID" not in ds:
        raise FileRejectedError(Reason.NOT_DICOM, "no DICOM preamble, and no SOP class to go by")
    raise FileRejectedError(
        Reason.NO_UIDS, "no preamble, and no SOP class or instance UID to go by"
    )


def _parse(data: bytes, bare: bool, max_inflated: int) -> FileDataset:
    deflated = _deflated_part(data, 0 if bare else _META_START)
    if deflated is not None:
        _check_inflated(deflated, max_inflated)
    dataset = pydicom.dcmread(io.BytesIO(data), force=bare)
    if "PixelData" not in dataset and _PIXEL_DATA in data:
        dataset = _with_unknown_types(data, bare, dataset)
    if not hasattr(dataset, "file_meta"):
        dataset.file_meta = FileMetaDataset()
    return dataset


def _with_unknown_types(data: bytes, bare: bool, first: FileDataset) -> FileDataset:
    """Read again, taking a VR such as ``??`` for an unknown one, not for a missing one (F7)."""
    before = config.assume_implicit_vr_switch
    config.assume_implicit_vr_switch = False
    try:
        again = pydicom.dcmread(io.BytesIO(data), force=bare)
    except (InvalidDicomError, *READ_ERRORS):
        return first
    finally:
        config.assume_implicit_vr_switch = before
    return again if "PixelData" in again else first


def _deflated_part(data: bytes, start: int) -> bytes | None:
    """The deflated data set behind the file meta group, None if it is not deflated."""
    if DeflatedExplicitVRLittleEndian.encode() not in data:
        return None
    stream = io.BytesIO(data[start:])
    meta = read_dataset(
        stream,
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=lambda tag, _vr, _length: tag.group != 2,
    )
    deflated = uid_of(meta, "TransferSyntaxUID") == DeflatedExplicitVRLittleEndian
    return stream.read() if deflated else None


def _check_inflated(data: bytes, limit: int) -> None:
    """Refuse a deflated data set that grows beyond ``limit`` bytes, before pydicom inflates it."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = 0
    while data and not inflater.eof:
        inflated += len(inflater.decompress(data, _INFLATED_AT_ONCE))
        data = inflater.unconsumed_tail
        if inflated > limit:
            raise FileRejectedError(Reason.TOO_LARGE, f"the data set inflates beyond {limit} bytes")


def uid_of(dataset: pydicom.Dataset, keyword: str) -> str:
    """A UID element as text, ``""`` when absent, empty or malformed (PS3.5 section 9.1)."""
    value = str(value_of(dataset, keyword) or "").strip("\0 ")
    return value if len(value) <= 64 and _UID_FORM.fullmatch(value) else ""


def value_of(dataset: pydicom.Dataset, keyword: str) -> Any:
    """An element's value, or None when it is absent, empty or cannot be converted (F7)."""
    try:
        value = dataset.get(keyword)
    except READ_ERRORS:
        return None
    if value is None or value == "":
        return None
    return value


def elements_of(dataset: pydicom.Dataset) -> Iterator[DataElement]:
    """The elements that can be converted, in the order of their tags."""
    for tag in sorted(dataset.keys()):
        try:
            element = dataset[tag]
        except READ_ERRORS:
            continue
        yield element


def text_of(dataset: pydicom.Dataset, keyword: str) -> str:
    """An element as one printable line of text; several values are joined by a backslash."""
    value = value_of(dataset, keyword)
    if value is None:
        return ""
    if isinstance(value, str | bytes | PersonName):
        parts = [value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)]
    else:
        try:
            parts = [str(part) for part in value]
        except TypeError:
            parts = [str(value)]
    said = "\\".join(parts)
    if not said.isascii() and "SpecificCharacterSet" not in dataset:
        # Without a character set pydicom takes Latin-1; valid UTF-8 is hardly anything else.
        with suppress(UnicodeError):
            said = said.encode("latin-1").decode("utf-8")
    said = unicodedata.normalize("NFC", said)
    return " ".join("".join(c if c.isprintable() else " " for c in said).split())


def number_of(dataset: pydicom.Dataset, keyword: str) -> float | None:
    """The first value of a numeric element, or None when it is absent or not a finite number."""
    return first_number(value_of(dataset, keyword))


def first_number(value: Any) -> float | None:
    """The first of one or several values as a finite float, or None."""
    if value is None:
        return None
    if not isinstance(value, str | int | float):
        try:
            value = next(iter(value), None)
        except TypeError:
            return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if abs(number) < float("inf") else None  # NaN fails the comparison too


def guess_native_syntax(opened: OpenedDicom) -> UID | None:
    """The native little-endian syntax, if the pixel data is exactly as long as declared (F3)."""
    ds = opened.dataset
    rows, columns, bits = (number_of(ds, k) for k in ("Rows", "Columns", "BitsAllocated"))
    data = value_of(ds, "PixelData")
    if rows is None or columns is None or bits is None or not isinstance(data, bytes):
        return None
    samples = number_of(ds, "SamplesPerPixel") or 1
    frames = number_of(ds, "NumberOfFrames") or 1
    expected = int(rows * columns * samples * frames) * int(bits) // 8
    if len(data) != expected + expected % 2:
        return None
    if not ds.original_encoding[1] or ds["PixelData"].is_undefined_length:
        return None
    return ImplicitVRLittleEndian if ds.original_encoding[0] else ExplicitVRLittleEndian
