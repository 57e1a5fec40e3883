"""Telling formats apart, and reading PNG, JPEG and TIFF."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from indexer.errors import FileRejectedError
from indexer.sources.formats import (
    Format,
    claims_to_be_image,
    may_be_bare_dicom,
    sniff,
    without_suffix,
)
from indexer.sources.raster import read_raster
from indexer.types import Reason

PLENTY = 1 << 24
RAMP = np.arange(48 * 32, dtype=np.uint16).reshape(48, 32) * 40


def encode(image: Image.Image, fmt: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, fmt, **options)
    return buffer.getvalue()


def tiff(values: npt.NDArray[Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


def only(data: bytes, fmt: Format) -> npt.NDArray[Any]:
    (image,) = read_raster(data, fmt, PLENTY)
    return image.values


def rejected(data: bytes, fmt: Format, max_pixels: int = PLENTY) -> Reason:
    with pytest.raises(FileRejectedError) as caught:
        read_raster(data, fmt, max_pixels)
    return caught.value.reason


NIFTI1 = struct.pack("<i", 348) + b"\0" * 340 + b"n+1\0"
NIFTI2 = struct.pack(">i", 540) + b"n+2\0\r\n\x1a\n"


@pytest.mark.parametrize(
    ("head", "name", "expected"),
    [
        (b"\0" * 128 + b"DICM", "x", Format.DICOM),
        (b"II*\0" + b"\0" * 124 + b"DICM", "dual.tif", Format.DICOM),
        (b"\x89PNG\r\n\x1a\n", "x.dcm", Format.PNG),
        (b"\xff\xd8\xff\xe0", "x", Format.JPEG),
        (b"MM\0*", "x", Format.TIFF),
        (b"II+\0\x08\0\0\0", "big", Format.TIFF),
        (b"NRRD0004\n", "x.nhdr", Format.NRRD),
        (NIFTI1, "x", Format.NIFTI),
        (NIFTI2, "x", Format.NIFTI),
        (b"\x1f\x8b\x08", "X.NII.GZ", Format.NIFTI),
        (b"\x1f\x8b\x08", "x.csv.gz", Format.OTHER),
        (b"PK\x03\x04", "x.NPZ", Format.NPZ),
        (b"PK\x03\x04", "x.docx", Format.OTHER),
        (b"image;label\n", "x.csv", Format.TABLE),
        (b"", "x.dcm", Format.OTHER),
    ],
)
def test_formats_are_told_by_content_first(head: bytes, name: str, expected: Format) -> None:
    assert sniff(head, name) is expected


@given(st.binary(max_size=600), st.text(max_size=20))
def test_sniffing_never_fails(head: bytes, name: str) -> None:
    assert isinstance(sniff(head, name), Format)
    assert may_be_bare_dicom(head) in (True, False)
    assert claims_to_be_image(name) in (True, False)
    assert name.startswith(without_suffix(name))


def test_names_that_promise_an_image() -> None:
    assert claims_to_be_image("A.DCM")
    assert claims_to_be_image("a.nii.gz")
    assert not claims_to_be_image("readme.txt")
    assert not claims_to_be_image("IM0001")
    assert not claims_to_be_image("._IM0001.dcm")


def test_extensions_are_taken_off_but_uids_stay_whole() -> None:
    assert without_suffix("a.nii.gz") == "a"
    assert without_suffix("a.b.png") == "a.b"
    assert without_suffix("1.2.840.1") == "1.2.840.1"
    assert without_suffix(".hidden") == ".hidden"


@pytest.mark.parametrize(
    "head",
    [
        struct.pack("<HH2sHI", 2, 0, b"UL", 4, 200),
        struct.pack("<HHII", 8, 0, 4, 200),
        struct.pack("<HH2sH", 8, 5, b"CS", 10) + b"ISO_IR 100",
        struct.pack(">HH2sH", 8, 5, b"CS", 10) + b"ISO_IR 100",
        struct.pack("<HHI", 8, 0x16, 26) + b"1.2.840.10008.5.1.4.1.1.7\0",
        struct.pack("<HH2sHI", 2, 1, b"OB", 0, 2) + b"\0\1",
    ],
)
def test_a_first_element_without_preamble_is_plausible(head: bytes) -> None:
    assert may_be_bare_dicom(head)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\x08\x00\x05",
        b"hello, this is text",
        struct.pack("<HHI", 8, 0x16, 0xFFFF0000),
        struct.pack("<HHI", 0x10, 0x10, 10),
        b"\x89PNG\r\n\x1a\n",
    ],
)
def test_other_beginnings_are_not(head: bytes) -> None:
    assert not may_be_bare_dicom(head)


def test_deep_grey_keeps_all_its_bits() -> None:
    values = only(encode(Image.fromarray(RAMP), "PNG"), Format.PNG)
    assert values.dtype == np.float32
    assert np.array_equal(values, RAMP)
    assert np.array_equal(only(tiff(RAMP), Format.TIFF), RAMP)
    signed = (RAMP // 2).astype(np.int16) - 900
    assert np.array_equal(only(tiff(signed), Format.TIFF), signed)


def test_one_bit_images_are_black_and_white() -> None:
    bits = np.indices((8, 16)).sum(axis=0) % 2 == 1
    assert set(np.unique(only(encode(Image.fromarray(bits), "PNG"), Format.PNG))) == {0, 255}
    black_is_zero = tiff(bits, photometric="minisblack")
    assert np.array_equal(only(black_is_zero, Format.TIFF), bits * 255)


def rgb() -> npt.NDArray[np.uint8]:
    rows, columns = np.indices((40, 24))
    return np.stack([rows * 6, columns * 10, rows + columns], axis=-1).astype(np.uint8)


def test_colour_stays_colour_and_grey_in_three_channels_becomes_grey() -> None:
    assert np.array_equal(only(encode(Image.fromarray(rgb()), "PNG"), Format.PNG), rgb())
    assert only(encode(Image.fromarray(rgb()), "JPEG"), Format.JPEG).shape == (40, 24, 3)
    grey = np.repeat(rgb()[..., :1], 3, axis=2)
    for values in (
        only(encode(Image.fromarray(grey), "PNG"), Format.PNG),
        only(tiff(grey, photometric="rgb"), Format.TIFF),
    ):
        assert values.dtype == np.float32
        assert np.array_equal(values, grey[..., 0])


def test_palettes_transparency_and_ink_become_rgb() -> None:
    palette = Image.fromarray(rgb()).quantize(16)
    values = only(encode(palette, "PNG"), Format.PNG)
    assert np.array_equal(values, np.asarray(palette.convert("RGB")))
    clear = np.dstack([rgb(), np.full((40, 24), 128, np.uint8)])
    values = only(encode(Image.fromarray(clear, "RGBA"), "PNG"), Format.PNG)
    assert np.abs(values - rgb() * (128 / 255)).max() <= 1
    ink = Image.fromarray(rgb()).convert("CMYK")
    assert only(encode(ink, "JPEG"), Format.JPEG).shape == (40, 24, 3)
    colours = np.random.default_rng(1).integers(0, 65536, (3, 256), dtype=np.uint16)
    indices = np.arange(256, dtype=np.uint8).reshape(16, 16)
    values = only(tiff(indices, photometric="palette", colormap=colours), Format.TIFF)
    assert np.abs(values - colours[:, indices].transpose(1, 2, 0) / 257).max() <= 0.5


def test_sixteen_bit_colour_is_scaled_to_eight() -> None:
    deep = rgb().astype(np.uint16) * 257
    assert np.array_equal(only(tiff(deep, photometric="rgb"), Format.TIFF), rgb())
    planes = tiff(np.moveaxis(deep, -1, 0), photometric="rgb", planarconfig="separate")
    assert np.array_equal(only(planes, Format.TIFF), rgb())
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 24, 40, 16, 2, 0, 0, 0))]
    chunks += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks
    )
    assert np.array_equal(only(png, Format.PNG), rgb())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_tag_is_applied(orientation: int) -> None:
    image = Image.fromarray(rgb())
    exif = Image.Exif()
    exif[274] = orientation
    data = encode(image, "PNG", exif=exif)
    with Image.open(io.BytesIO(data)) as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored))
    assert np.array_equal(only(data, Format.PNG), expected)
    tagged = tiff(rgb(), photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
    assert np.array_equal(only(tagged, Format.TIFF), expected)


def test_damaged_exif_does_no_harm() -> None:
    data = encode(Image.fromarray(rgb()), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert only(data, Format.JPEG).shape == (40, 24, 3)


def test_tiff_pages_are_images_of_their_own() -> None:
    pages = np.stack([RAMP, RAMP[::-1]]).astype(np.float32)
    images = read_raster(tiff(pages, photometric="minisblack"), Format.TIFF, PLENTY)
    assert [np.array_equal(i.values, p) for i, p in zip(images, pages, strict=True)] == [True] * 2
    assert [i.inverted for i in images] == [False, False]
    (negative,) = read_raster(tiff(RAMP, photometric="miniswhite"), Format.TIFF, PLENTY)
    assert negative.inverted
    assert np.array_equal(negative.values, RAMP)


def test_gaps_in_float_images_are_filled_and_all_gaps_are_blank() -> None:
    values = RAMP.astype(np.float32)
    values[0, 0], values[1, 1] = np.nan, np.inf
    filled = only(tiff(values), Format.TIFF)
    assert filled[0, 0] == filled[1, 1] == values[0, 1]
    assert rejected(tiff(np.full((8, 8), np.nan, np.float32)), Format.TIFF) is Reason.BLANK


def test_size_is_checked_before_anything_is_decoded() -> None:
    huge = bytearray(encode(Image.new("L", (8, 8)), "PNG"))
    huge[16:24] = struct.pack(">II", 60_000, 60_000)
    huge[29:33] = struct.pack(">I", zlib.crc32(bytes(huge[12:29])))
    assert rejected(bytes(huge), Format.PNG, 1 << 40) is Reason.TOO_LARGE
    assert rejected(encode(Image.new("L", (9, 9)), "PNG"), Format.PNG, 80) is Reason.TOO_LARGE
    pages = tiff(np.zeros((3, 8, 8), np.uint8), photometric="minisblack")
    assert rejected(pages, Format.TIFF, 2 * 64) is Reason.TOO_LARGE


def test_truncated_files_are_never_filled_up() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    for data, fmt in (
        (encode(Image.fromarray(noise), "PNG"), Format.PNG),
        (encode(Image.fromarray(noise), "JPEG"), Format.JPEG),
        (tiff(noise), Format.TIFF),
        (tiff(noise, compression="zlib"), Format.TIFF),
    ):
        assert rejected(data[: len(data) * 2 // 3], fmt) is Reason.TRUNCATED


def test_what_cannot_be_decoded_is_rejected() -> None:
    png = bytearray(encode(Image.fromarray(rgb()), "PNG"))
    at = png.index(b"IDAT") + 8
    png[at : at + 8] = b"\xaa" * 8
    assert rejected(bytes(png), Format.PNG) is Reason.DECODE_FAILED
    assert rejected(b"II*\0" + b"\xff" * 60, Format.TIFF) in (
        Reason.DECODE_FAILED,
        Reason.TRUNCATED,
    )
    channels = tiff(
        np.zeros((6, 8, 9), np.uint8), photometric="minisblack", planarconfig="separate"
    )
    assert rejected(channels, Format.TIFF) is Reason.UNSUPPORTED_PHOTOMETRIC
    floats = tiff(rgb().astype(np.float32), photometric="rgb")
    assert rejected(floats, Format.TIFF) is Reason.UNSUPPORTED_PHOTOMETRIC


def test_pages_in_a_circle_are_noticed() -> None:
    data = bytearray(tiff(np.zeros((2, 8, 8), np.uint8), photometric="minisblack", metadata=None))
    with tifffile.TiffFile(io.BytesIO(data)) as parsed:
        first, second = parsed.pages[0], parsed.pages[1]
        at = second.offset + 2 + 12 * len(second.tags)  # type: ignore[union-attr]
        data[at : at + 4] = struct.pack("<I", first.offset)
    assert rejected(bytes(data), Format.TIFF) is Reason.DECODE_FAILED


@settings(max_examples=80)
@given(st.data(), st.sampled_from(["PNG", "JPEG", "TIFF"]), st.binary(min_size=1, max_size=6))
def test_damage_is_always_a_rejection(data: st.DataObject, fmt: str, patch: bytes) -> None:
    image = Image.fromarray(rgb())
    whole = tiff(rgb(), photometric="rgb") if fmt == "TIFF" else encode(image, fmt)
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:at] + patch + whole[at + len(patch) :]
    try:
        images = read_raster(damaged, Format(fmt.lower()), 1 << 16)
    except FileRejectedError as error:
        assert error.detail
    else:
        assert all(image.values.dtype in (np.float32, np.uint8) for image in images)
