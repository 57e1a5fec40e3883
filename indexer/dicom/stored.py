"""Objects as they lie in their files: headers without pixels, single frames, whole files again."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.errors import InvalidDicomError
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from indexer.dicom.classify import PIXEL_KEYWORDS, has_pixels
from indexer.dicom.opening import (
    READ_ERRORS,
    OpenedDicom,
    elements_of,
    number_of,
    tolerant,
    uid_of,
    value_of,
)
from indexer.dicom.pixels import FrameReader
from indexer.errors import FileRejectedError
from indexer.types import Reason

_AS_THEY_ARE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)
"""Syntaxes whose pixels, once they are read, are those of Explicit VR Little Endian."""
_IN_PLACE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian)
"""Those of them that can be read from their place in the file."""
_UNDEFINED = 0xFFFFFFFF
_OFFSETS = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")


@dataclass(frozen=True)
class Header:
    """What an object says before its pixels.

    Attributes:
        dataset: all elements before the pixel data.
        syntax: its transfer syntax, None where the file does not say.
        frames: how many it says that it has.
    """

    dataset: FileDataset
    syntax: UID | None
    frames: int


def frame_count(ds: Dataset) -> int:
    """How many frames a data set says that it has."""
    return max(1, int(number_of(ds, "NumberOfFrames") or 1))


def read_header(stream: BinaryIO) -> Header:
    """Read a file up to its pixels, where the stream is left.

    Raises:
        FileRejectedError: it cannot be read.
    """
    try:
        with tolerant(set()):
            ds = pydicom.dcmread(stream, stop_before_pixels=True, force=True)
            syntax = uid_of(ds.file_meta, "TransferSyntaxUID")
    except (InvalidDicomError, *READ_ERRORS) as error:
        raise FileRejectedError(Reason.HEADER_CORRUPT, "the data set cannot be parsed") from error
    return Header(ds, UID(syntax) if syntax else None, frame_count(ds))


def frames_in_place(
    stream: BinaryIO, header: Header, indices: Sequence[int]
) -> Iterator[bytes] | None:
    """Frames as they are stored, each read from its place; None where it cannot be found so.

    Args:
        stream: a file that `read_header` has read.
        header: what it gave.
        indices: zero-based.

    Yields:
        The compressed frame; of native ones the pixels in little endian.
    """
    syntax = header.syntax
    if syntax is None or not syntax.is_transfer_syntax or syntax.is_deflated:
        return None
    if syntax not in _IN_PLACE and not syntax.is_encapsulated:
        return None
    length = _pixel_length(stream, syntax)
    if length is None or syntax.is_encapsulated != (length == _UNDEFINED):
        return None
    if syntax.is_encapsulated:
        return _encapsulated(stream, header, indices)
    size = native_frame_bytes(header.dataset)
    if size is None or size * header.frames > length:
        return None
    return _native(stream, size, indices)


def _pixel_length(stream: BinaryIO, syntax: UID) -> int | None:
    """The length of the pixel data that comes next, whose value the stream is left at."""
    head = stream.read(8)
    if len(head) < 8 or head[:4] != b"\xe0\x7f\x10\x00":
        return None
    if syntax == ImplicitVRLittleEndian:
        return int.from_bytes(head[4:8], "little")
    return int.from_bytes(stream.read(4), "little")


def native_frame_bytes(ds: Dataset) -> int | None:
    """Bytes of a native frame; None where frames do not begin at bytes, or the header is broken."""
    said = [number_of(ds, k) for k in ("Rows", "Columns", "BitsAllocated")]
    if any(each is None or each < 1 for each in said):
        return None
    samples = number_of(ds, "SamplesPerPixel") or 1
    bits = math.prod(int(each or 0) for each in said) * int(samples)
    if value_of(ds, "PhotometricInterpretation") == "YBR_FULL_422":
        bits = bits * 2 // 3
    return None if bits % 8 else bits // 8


def native_frames(opened: OpenedDicom, indices: Sequence[int]) -> Iterator[bytes] | None:
    """Uncompressed frames of a data set as they are stored, but in little endian.

    The header describes them: planes stay planes, and no colour is converted.

    Args:
        opened: a whole data set.
        indices: zero-based.

    Returns:
        None where the pixels are compressed, frames do not begin at bytes, or samples are of no
        length that a machine has.
    """
    ds, syntax = opened.dataset, opened.transfer_syntax
    size, bits = native_frame_bytes(ds), number_of(ds, "BitsAllocated")
    element = next((ds[keyword] for keyword in PIXEL_KEYWORDS if keyword in ds), None)
    if size is None or element is None or syntax is None or syntax.is_encapsulated:
        return None
    if bits not in (1, 8, 16, 32, 64):
        return None
    data = bytes(element.value or b"")
    if syntax == ExplicitVRBigEndian:
        word = 2 if element.VR == "OW" else 1
        width = max(int(bits) // 8, word)
        whole = len(data) - len(data) % width
        data = np.frombuffer(data[:whole], f">u{width}").astype(f"<u{width}").tobytes()
    return _native(io.BytesIO(data), size, indices)


def _native(stream: BinaryIO, size: int, indices: Sequence[int]) -> Iterator[bytes]:
    start = stream.tell()
    for index in indices:
        stream.seek(start + index * size)
        frame = stream.read(size)
        if len(frame) < size:
            raise FileRejectedError(Reason.TRUNCATED, "the file ends in the middle of a frame")
        yield frame


def _encapsulated(stream: BinaryIO, header: Header, indices: Sequence[int]) -> Iterator[bytes]:
    offsets, lengths = (value_of(header.dataset, k) for k in _OFFSETS)
    extended = (offsets, lengths) if offsets and lengths else None
    start = stream.tell()
    for index in indices:
        stream.seek(start)
        try:
            yield get_frame(
                stream, index, number_of_frames=header.frames, extended_offsets=extended
            )
        except READ_ERRORS as error:
            raise FileRejectedError(
                Reason.TRUNCATED, "the encapsulated pixel data is cut or not delimited"
            ) from error


def lone_frame(stream: BinaryIO, header: Header, index: int) -> OpenedDicom | None:
    """The data set with one frame alone, read from its place; None where it cannot be found so.

    Args:
        stream: a file that `read_header` has read, whose pixels come next.
        header: what it gave; its data set is the one that is given back.
        index: zero-based.
    """
    start = stream.tell()
    stored = frames_in_place(stream, header, [index])
    if stored is None:
        return None
    ds, frame = header.dataset, next(stored)
    stream.seek(start)
    ds.NumberOfFrames = 1
    for keyword in _OFFSETS:
        if keyword in ds:
            del ds[keyword]
    packed = header.syntax is not None and header.syntax.is_encapsulated
    ds.add_new("PixelData", "OB" if packed else "OW", encapsulate([frame]) if packed else frame)
    ds["PixelData"].is_undefined_length = packed
    return OpenedDicom(ds)


def decoded_frames(
    opened: OpenedDicom, indices: Iterable[int], max_bytes: int
) -> Iterator[np.ndarray]:
    """Frames as little-endian arrays: grey, palette indices, or RGB; see `FrameReader.decoded`.

    Raises:
        FileRejectedError: they cannot be decoded.
    """
    for frame in FrameReader(opened, max_bytes).decoded(indices):
        yield np.ascontiguousarray(frame, frame.dtype.newbyteorder("<"))


def uncompress(opened: OpenedDicom, max_bytes: int) -> None:
    """Turn a data set into one whose pixels are native and little endian; colour becomes RGB.

    Raises:
        FileRejectedError: its pixels cannot be decoded.
    """
    ds, syntax = opened.dataset, opened.transfer_syntax
    if syntax is None or syntax in _AS_THEY_ARE:
        return
    if syntax == ExplicitVRBigEndian:
        _swap_words(ds)
    if not has_pixels(ds):
        return
    frames = list(decoded_frames(opened, range(frame_count(ds)), max_bytes))
    for keyword in (*PIXEL_KEYWORDS, *_OFFSETS):
        if keyword in ds:
            del ds[keyword]
    if frames[0].ndim == 3:
        ds.PhotometricInterpretation, ds.PlanarConfiguration = "RGB", 0
    bits = 8 * frames[0].dtype.itemsize
    if frames[0].dtype.kind == "f":
        name = "FloatPixelData" if bits == 32 else "DoubleFloatPixelData"
        ds.add_new(name, "OF" if bits == 32 else "OD", b"".join(f.tobytes() for f in frames))
        return
    ds.BitsAllocated = bits
    data = b"".join(frame.tobytes() for frame in frames)
    ds.add_new("PixelData", "OB" if bits == 8 else "OW", data + b"\0" * (len(data) % 2))


def _swap_words(ds: Dataset) -> None:
    """Turn round the words of tables and palettes, which pydicom hands on as they are."""
    for element in elements_of(ds):
        if element.VR == "SQ":
            for item in element.value or ():
                _swap_words(item)
        elif element.VR == "OW" and element.tag.group != 0x7FE0 and element.value:
            element.value = np.frombuffer(element.value, ">u2").astype("<u2").tobytes()


def as_file(ds: Dataset, syntax: UID) -> bytes:
    """A data set in the DICOM file format, with a file meta group made anew.

    Args:
        ds: its pixels are encoded as ``syntax`` says.
        syntax: an encapsulated one, or Explicit VR Little Endian.

    Raises:
        FileRejectedError: it cannot be written.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(uid_of(ds, "SOPClassUID"))
    meta.MediaStorageSOPInstanceUID = UID(uid_of(ds, "SOPInstanceUID"))
    meta.TransferSyntaxUID = syntax
    ds.file_meta = meta
    ds.preamble = b"\0" * 128
    buffer = io.BytesIO()
    try:
        with tolerant(set()):
            pydicom.dcmwrite(
                buffer, ds, enforce_file_format=True, little_endian=True, implicit_vr=False
            )
    except READ_ERRORS as error:
        raise FileRejectedError(
            Reason.HEADER_CORRUPT, f"the data set cannot be written ({type(error).__name__})"
        ) from error
    return buffer.getvalue()
