"""Decoding frames to modality values, in the order the standard gives (PS3.3 C.11, PS3.5 A.4).

Stored value, then bits, then modality LUT or rescale. Windows and inversion are left to whoever
shows or encodes the frame, and are handed on with it.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import imagecodecs
import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.encaps import generate_frames, parse_basic_offsets, parse_fragments
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import (
    UID,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
)

from indexer.dicom.classify import PIXEL_KEYWORDS, has_pixels
from indexer.dicom.opening import (
    READ_ERRORS,
    OpenedDicom,
    guess_native_syntax,
    number_of,
    text_of,
    tolerant,
    value_of,
)
from indexer.dicom.values import (
    filled,
    frame_groups,
    is_inverted,
    modality_values,
    padding_mask,
    pixel_aspect,
    pixel_spacing,
    says,
    voi,
)
from indexer.errors import FileRejectedError
from indexer.types import Flag, ImagePixels, Reason

_GREY = ("MONOCHROME1", "MONOCHROME2")
_COLOUR = ("RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_IMAGECODECS, _OPENJPEG = "imagecodecs", "pylibjpeg"
_IMAGECODECS_DECODERS: dict[str, Callable[[bytes], np.ndarray]] = {
    JPEGExtended12Bit: imagecodecs.jpeg_decode,
    JPEGLossless: imagecodecs.ljpeg_decode,
    JPEGLosslessSV1: imagecodecs.ljpeg_decode,
    JPEGLSLossless: imagecodecs.jpegls_decode,
    JPEGLSNearLossless: imagecodecs.jpegls_decode,
}
"""What pydicom's plugins leave out: 12-bit JPEG, and JPEG-LS of 6 or 7 bits."""
_FASTER = (JPEGLossless, JPEGLosslessSV1)
"""Where imagecodecs goes first: bit-equal to gdcm, in less than half the time."""
_FRAME_HEADERS = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_CODESTREAM_START = 4096
"""A JPEG 2000 codestream may lie in a JP2 file, behind some boxes."""


@dataclass(frozen=True)
class PixelShape:
    """What the header claims about the pixels, checked before anything is allocated."""

    rows: int
    columns: int
    frames: int
    samples: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    photometric: str

    @property
    def frame_bytes(self) -> int:
        """Bytes of one decoded frame."""
        return self.rows * self.columns * self.samples * max(1, self.bits_allocated // 8)


def pixel_shape(ds: Dataset) -> PixelShape:
    """Read and check the image pixel module.

    Raises:
        FileRejectedError: no_pixel_data, missing_pixel_attribute or unsupported_photometric.
    """
    if not has_pixels(ds):
        raise FileRejectedError(Reason.NO_PIXEL_DATA, "the instance carries no pixel data")
    needed = {k: number_of(ds, k) for k in ("Rows", "Columns", "BitsAllocated")}
    missing = [k for k, v in needed.items() if v is None or v < 1]
    if missing:
        raise FileRejectedError(
            Reason.MISSING_PIXEL_ATTRIBUTE, f"{' and '.join(missing)} absent, zero or not a number"
        )
    frames = number_of(ds, "NumberOfFrames")
    if frames is None and text_of(ds, "NumberOfFrames"):
        raise FileRejectedError(Reason.MISSING_PIXEL_ATTRIBUTE, "NumberOfFrames is not a number")
    photometric = text_of(ds, "PhotometricInterpretation").upper()
    samples = int(number_of(ds, "SamplesPerPixel") or (1 if photometric in _GREY else 0))
    if photometric not in _GREY + _COLOUR or samples not in (1, 3):
        raise FileRejectedError(
            Reason.UNSUPPORTED_PHOTOMETRIC,
            f"photometric interpretation '{photometric[:32]}' with {samples} samples per pixel",
        )
    allocated = int(needed["BitsAllocated"] or 0)
    bits_stored, high_bit = number_of(ds, "BitsStored"), number_of(ds, "HighBit")
    stored = allocated if bits_stored is None else int(bits_stored)
    return PixelShape(
        rows=int(needed["Rows"] or 0),
        columns=int(needed["Columns"] or 0),
        frames=max(1, int(frames or 1)),
        samples=samples,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=stored - 1 if high_bit is None else int(high_bit),
        signed=number_of(ds, "PixelRepresentation") == 1,
        photometric=photometric,
    )


@dataclass
class FrameReader:
    """Decodes chosen frames of one instance.

    Attributes:
        opened: the parsed file; its flags grow with what decoding had to forgive.
        max_bytes: cap on the declared size of all frames together (F9).
        decoder: which decoder read the frames, ``""`` before the first.
    """

    opened: OpenedDicom
    max_bytes: int
    decoder: str = ""

    def __post_init__(self) -> None:
        self.ds = self.opened.dataset
        self.flags = self.opened.flags
        self.shape = pixel_shape(self.ds)
        self._conform_bits()
        declared = self.shape.frame_bytes * self.shape.frames
        if declared > self.max_bytes:
            raise FileRejectedError(
                Reason.TOO_LARGE,
                f"the header claims {declared} bytes of pixels, the limit is {self.max_bytes}",
            )
        self.syntax = self._transfer_syntax()
        self._check_length(declared)

    def frames(self, indices: Iterable[int]) -> Iterator[np.ndarray]:
        """Stored values of the frames at these zero-based indices, in the order given.

        Yields:
            ``(rows, columns)`` integer or float arrays, or ``(rows, columns, 3)`` uint8 RGB.
        """
        wanted = list(indices)
        for frame in self._decoded(wanted):
            yield self._rgb(frame) if self.shape.photometric in _COLOUR else self._masked(frame)

    def decoded(self, indices: Iterable[int]) -> Iterator[np.ndarray]:
        """As `frames`, but a palette's indices stay indices, and colour keeps all its bits.

        Yields:
            ``(rows, columns)``, or RGB ``(rows, columns, 3)``.
        """
        for frame in self._decoded(list(indices)):
            yield self._masked(frame) if self.shape.photometric in _GREY else frame

    def image(self, stored: np.ndarray, frame_index: int) -> ImagePixels:
        """One frame with the modality LUT applied and all that showing it needs."""
        ds, flags = self.ds, self.flags
        groups = frame_groups(ds, frame_index)
        common: dict[str, Any] = {
            "modality": text_of(ds, "Modality").upper(),
            "body_part": text_of(ds, "BodyPartExamined").upper(),
            "spacing": pixel_spacing(groups),
            "aspect": pixel_aspect(groups),
        }
        if common["spacing"] is None and says(groups, "PixelSpacing"):
            flags.add(Flag.ELEMENT_IGNORED)
        if abs(common["aspect"] - 1) > 0.01:
            flags.add(Flag.NON_SQUARE_PIXELS)
        if stored.ndim == 3:
            return ImagePixels(values=stored, **common)
        values = modality_values(stored, ds, groups, flags)
        padding = padding_mask(stored, values, ds)
        values = filled(values, padding)
        window, lut = voi(groups, flags)
        return ImagePixels(
            values=values,
            inverted=is_inverted(ds),
            window=window,
            voi_lut=lut,
            padding=padding,
            **common,
        )

    def _conform_bits(self) -> None:
        """Take all allocated bits where BitsStored is absent or cannot be (P11)."""
        allocated = self.shape.bits_allocated
        absent = "PixelData" in self.ds and number_of(self.ds, "BitsStored") is None
        if absent or not 1 <= self.shape.bits_stored <= allocated:
            self.flags.add(Flag.BITS_INCONSISTENT)
            self.shape = replace(self.shape, bits_stored=allocated, high_bit=allocated - 1)
            self.ds.BitsStored, self.ds.HighBit = allocated, allocated - 1
        # Decoders refuse a data set that does not say these, though only one value makes sense.
        if number_of(self.ds, "SamplesPerPixel") is None:
            self.ds.SamplesPerPixel = self.shape.samples
        if number_of(self.ds, "PixelRepresentation") is None:
            self.ds.PixelRepresentation = 0

    def _transfer_syntax(self) -> UID:
        syntax = self.opened.transfer_syntax
        if syntax is None:
            syntax = guess_native_syntax(self.opened)
            if syntax is None:
                raise FileRejectedError(
                    Reason.NO_TRANSFER_SYNTAX,
                    "no transfer syntax, and the pixel data does not fit a native one exactly",
                )
            self.flags.add(Flag.GUESSED_TRANSFER_SYNTAX)
            self.ds.file_meta.TransferSyntaxUID = syntax
        if syntax.is_private or not syntax.is_transfer_syntax:
            raise FileRejectedError(
                Reason.UNSUPPORTED_TRANSFER_SYNTAX, f"transfer syntax {str(syntax)[:64]} is unknown"
            )
        try:
            get_decoder(syntax)
        except NotImplementedError as error:
            raise FileRejectedError(
                Reason.UNSUPPORTED_TRANSFER_SYNTAX, f"no decoder for transfer syntax {syntax}"
            ) from error
        return syntax

    def _check_length(self, declared: int) -> None:
        """Reject pixel data shorter than declared; never fill it up (F4, F5); flag excess (F6)."""
        data = next(d for d in (value_of(self.ds, k) for k in PIXEL_KEYWORDS) if d is not None)
        if self.syntax.is_compressed:
            self._check_frame_count(data)
            return
        shape = self.shape
        bits = shape.rows * shape.columns * shape.samples * shape.frames * shape.bits_allocated
        expected = (bits + 7) // 8
        if shape.photometric == "YBR_FULL_422":
            expected = expected * 2 // 3
        if len(data) < expected:
            raise FileRejectedError(
                Reason.TRUNCATED, f"{len(data)} bytes of pixel data, {expected} declared"
            )
        if len(data) > expected + 1 and len(data) > declared + 1:
            self.flags.add(Flag.EXCESS_PIXEL_BYTES)

    def _check_frame_count(self, data: bytes) -> None:
        try:
            buffer = pydicom.filebase.DicomBytesIO(data)
            buffer.is_little_endian, buffer.is_implicit_VR = True, False
            offsets = parse_basic_offsets(buffer)
            fragments = parse_fragments(buffer)[0]
        except READ_ERRORS as error:
            raise FileRejectedError(
                Reason.TRUNCATED, "the encapsulated pixel data is cut or not delimited"
            ) from error
        if fragments < self.shape.frames:
            raise FileRejectedError(
                Reason.TRUNCATED, f"{fragments} fragments for {self.shape.frames} declared frames"
            )
        # Several fragments may make one frame: the offset table knows, else one to one is assumed.
        frames = len(offsets) or (fragments if self.shape.frames > 1 else 1)
        if frames > self.shape.frames:
            self.flags.add(Flag.EXCESS_PIXEL_BYTES)

    def _decoded(self, indices: list[int]) -> Iterator[np.ndarray]:
        """Decode with the first decoder that can; `decoder` says which it was (P1)."""
        self._check_codestreams(set(indices))
        done = 0
        for plugin in self._plugins():
            try:
                for frame in self._decode_with(plugin, indices[done:]):
                    done += 1
                    self.decoder = plugin or "native"
                    yield frame
            except (*READ_ERRORS, RuntimeError):
                continue
            return
        raise FileRejectedError(
            Reason.DECODE_FAILED, f"no decoder could read the pixels ({self.syntax.name})"
        )

    def _check_codestreams(self, indices: set[int]) -> None:
        """Refuse a compressed frame of another size than declared before a codec allocates (F9)."""
        if not self.syntax.is_encapsulated:
            return
        try:
            sizes = [codestream_size(f) for i, f in enumerate(self._encoded()) if i in indices]
        except READ_ERRORS:
            return  # the decoders will say so
        declared = (self.shape.rows, self.shape.columns)
        wrong = [size for size in sizes if size not in (None, declared)]
        if wrong:
            raise FileRejectedError(
                Reason.DECODE_FAILED,
                f"the compressed image is {wrong[0]} pixels, the header says {declared}",
            )

    def _encoded(self) -> Iterator[bytes]:
        offsets, lengths = (
            value_of(self.ds, k) for k in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")
        )
        return generate_frames(
            self.ds.PixelData,
            number_of_frames=self.shape.frames,
            extended_offsets=(offsets, lengths) if offsets and lengths else None,
        )

    def _plugins(self) -> list[str]:
        if not self.syntax.is_encapsulated:
            return [""]
        if self.syntax == JPEGExtended12Bit and self.shape.bits_stored > 8:
            return [_IMAGECODECS]  # gdcm and Pillow refuse 12 bits
        plugins = list(get_decoder(self.syntax).available_plugins)
        if self.syntax == JPEG2000Lossless:  # the same to the bit, in five sixths of gdcm's time
            plugins.sort(key=lambda name: name != _OPENJPEG)
        if self.syntax in _FASTER and self.shape.samples == 1:
            return [_IMAGECODECS, *plugins]
        return [*plugins, _IMAGECODECS] if self.syntax in _IMAGECODECS_DECODERS else plugins

    def _decode_with(self, plugin: str, indices: list[int]) -> Iterator[np.ndarray]:
        if plugin == _IMAGECODECS:
            yield from self._imagecodecs(indices)
            return
        # Grey values are masked by `_masked`, which knows HighBit and says what it found.
        unmasked = {} if self.shape.photometric in _COLOUR else {"correct_unused_bits": False}
        with tolerant(self.flags):
            decoder = get_decoder(self.syntax)
            for frame, _ in decoder.iter_array(
                self.ds, indices=indices, decoding_plugin=plugin, validate=True, **unmasked
            ):
                yield frame

    def _imagecodecs(self, indices: list[int]) -> Iterator[np.ndarray]:
        decode = _IMAGECODECS_DECODERS[self.syntax]
        encoded = list(self._encoded())
        for index in indices:
            if self.syntax == JPEGExtended12Bit:
                check_sequential_scan(encoded[index])
            check_end(encoded[index])
            frame = decode(encoded[index])
            if frame.shape[:2] != (self.shape.rows, self.shape.columns):
                raise FileRejectedError(
                    Reason.DECODE_FAILED, "the compressed image has another size than the header"
                )
            yield frame.view(f"i{frame.dtype.itemsize}") if self.shape.signed else frame

    def _rgb(self, frame: np.ndarray) -> np.ndarray:
        """Colour as uint8 RGB; pydicom has turned YBR into RGB already (P9)."""
        if self.shape.photometric == "PALETTE COLOR":
            try:
                frame = apply_color_lut(frame, self.ds)
            except (*READ_ERRORS, RuntimeError) as error:
                raise FileRejectedError(
                    Reason.UNSUPPORTED_PHOTOMETRIC, "the palette cannot be read"
                ) from error
            bits = 8 * frame.dtype.itemsize
        else:
            bits = self.shape.bits_stored
        if frame.ndim != 3:
            raise FileRejectedError(Reason.UNSUPPORTED_PHOTOMETRIC, "colour without three samples")
        if bits <= 8:
            return frame.astype(np.uint8)
        return (frame.astype(np.uint64) >> np.uint64(bits - 8)).clip(0, 255).astype(np.uint8)

    def _masked(self, frame: np.ndarray) -> np.ndarray:
        """Keep the stored bits only: what lies above them is an old-style overlay (P10, P11)."""
        shape = self.shape
        if frame.ndim != 2:
            raise FileRejectedError(Reason.UNSUPPORTED_PHOTOMETRIC, "grey with several samples")
        if frame.dtype.kind == "f" or shape.bits_allocated == 1:
            return frame
        shift = shape.high_bit + 1 - shape.bits_stored
        if shift and not self.syntax.is_compressed:
            self.flags.add(Flag.BITS_INCONSISTENT)
            frame = frame >> shift if 0 < shift < shape.bits_allocated else frame
        if shape.bits_stored == shape.bits_allocated:
            return frame
        wide = frame.astype(np.int64)
        unsigned = kept = wide & ((1 << shape.bits_stored) - 1)
        if shape.signed:
            sign = 1 << (shape.bits_stored - 1)
            kept = (kept ^ sign) - sign
        # JPEG knows no sign, so zeros above a negative value are as good as its sign.
        if not ((wide == kept) | (wide == unsigned)).all():
            stripped = any(0x6000 <= tag.group <= 0x60FF for tag in tuple(self.ds.keys()))
            self.flags.add(Flag.OVERLAY_STRIPPED if stripped else Flag.BITS_INCONSISTENT)
        return kept.astype(frame.dtype)


def codestream_size(encoded: bytes) -> tuple[int, int] | None:
    """Rows and columns that a JPEG, JPEG-LS or JPEG 2000 frame claims; None where it says none."""
    siz = encoded[:_CODESTREAM_START].find(b"\xff\x4f\xff\x51")
    if siz >= 0:  # ITU-T T.800 A.5.1
        x1, y1, x0, y0 = struct.unpack_from(">4I", encoded, siz + 8)
        return y1 - y0, x1 - x0
    if encoded[:2] != b"\xff\xd8":
        return None
    position = 2
    while position + 9 <= len(encoded) and encoded[position] == 0xFF:
        marker = encoded[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker in _FRAME_HEADERS:  # ITU-T T.81 B.2.2, T.87 C.2.2
            rows, columns = struct.unpack_from(">2H", encoded, position + 5)
            return (rows, columns) if rows else None  # the rows may follow after the scan
        position += 2 + int.from_bytes(encoded[position + 2 : position + 4], "big")
    return None


def check_end(jpeg: bytes) -> None:
    """Refuse a JPEG stream without its end: lenient decoders fill up what is missing (F5)."""
    if b"\xff\xd9" not in jpeg[jpeg.find(b"\xff\xda") :]:
        raise FileRejectedError(Reason.TRUNCATED, "the compressed image ends too early")


def check_sequential_scan(jpeg: bytes) -> None:
    """Refuse a sequential JPEG whose scan header is not a sequential one (ITU-T T.81 B.2.3).

    Lenient decoders turn such streams into pictures that look right and are not.
    """
    position = 2
    while position + 4 <= len(jpeg) and jpeg[position] == 0xFF:
        marker = jpeg[position + 1]
        length = int.from_bytes(jpeg[position + 2 : position + 4], "big")
        if marker == 0xDA:
            start, end, approximation = jpeg[position + 2 + length - 3 : position + 2 + length]
            if (start, end, approximation) != (0, 63, 0):
                raise FileRejectedError(
                    Reason.DECODE_FAILED,
                    f"JPEG scan parameters Ss={start} Se={end} AhAl={approximation}, not 0 63 0",
                )
            return
        position += 2 + length
    raise FileRejectedError(Reason.DECODE_FAILED, "the JPEG stream has no scan")


def is_blank(stored: np.ndarray) -> bool:
    """Whether all pixels are equal: nothing to see, often a decoder's silence (P2)."""
    return bool(stored.size == 0 or (stored == stored.flat[0]).all())


def hash_pixels(frames: Iterable[np.ndarray]) -> str:
    """SHA-256 over shapes and values, the same for every lossless encoding and integer width."""
    digest = hashlib.sha256()
    for frame in frames:
        digest.update(repr(frame.shape).encode())
        canonical = frame if frame.dtype.kind == "f" else frame.astype("<i4", copy=False)
        digest.update(np.ascontiguousarray(canonical).tobytes())
    return digest.hexdigest()
