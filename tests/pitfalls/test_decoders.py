"""P1 to P3: every syntax decoded, decoders that disagree, signs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom.uid as syntaxes
import pytest
from making import (
    CR,
    CT,
    MR,
    RED_TO_BLUE,
    WHEEL,
    compressed,
    dicom,
    picture,
    read_all,
    read_one,
    save,
    wheel,
)
from pydicom import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from indexer.dicom.opening import open_dicom
from indexer.dicom.pixels import FrameReader
from indexer.types import Reason

Encode = Callable[[np.ndarray], bytes]
GREY8 = picture(top=250).astype(np.uint8)
GREY12 = picture(top=4000).astype(np.uint16)
SIGNED12 = (picture(top=4000) - 2000).astype(np.int16)


def opened(path: Path) -> FrameReader:
    return FrameReader(open_dicom(path.read_bytes()), max_bytes=1 << 28)


def stored(path: Path, frame: int = 0) -> np.ndarray:
    return next(opened(path).frames([frame]))


# -- P1: every syntax ---------------------------------------------------------------------------


def encoded(pixels: np.ndarray, syntax: UID, encode: Encode, bits: int = 12) -> Dataset:
    ds = dicom(pixels, BitsStored=bits, HighBit=bits - 1)
    ds.file_meta.TransferSyntaxUID = syntax
    ds.PixelData = encapsulate([encode(pixels)])
    ds["PixelData"].VR = "OB"
    return ds


def lossless_jpeg(pixels: np.ndarray) -> bytes:
    return imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=4, bitspersample=12)


def jpeg_2000(pixels: np.ndarray, reversible: bool = True) -> bytes:
    level = None if reversible else 90
    return imagecodecs.jpeg2k_encode(pixels, level, reversible=reversible, bitspersample=12)


def htj2k(pixels: np.ndarray, reversible: bool = True) -> bytes:
    return imagecodecs.htj2k_encode(pixels, reversible=reversible)


def jpeg(pixels: np.ndarray) -> bytes:
    return imagecodecs.jpeg8_encode(pixels, 95, bitspersample=8 if pixels.itemsize == 1 else 12)


NATIVE = [
    syntaxes.ImplicitVRLittleEndian,
    syntaxes.ExplicitVRLittleEndian,
    syntaxes.DeflatedExplicitVRLittleEndian,
    syntaxes.ExplicitVRBigEndian,
]
LOSSLESS: dict[UID, tuple[str, Encode]] = {
    syntaxes.JPEGLossless: ("imagecodecs", lossless_jpeg),
    syntaxes.JPEGLosslessSV1: ("imagecodecs", partial(imagecodecs.ljpeg_encode, bitspersample=12)),
    syntaxes.JPEGLSLossless: ("gdcm", imagecodecs.jpegls_encode),
    syntaxes.JPEG2000Lossless: ("pylibjpeg", jpeg_2000),
    syntaxes.HTJ2KLossless: ("pylibjpeg", htj2k),
    syntaxes.HTJ2KLosslessRPCL: ("pylibjpeg", htj2k),
}
LOSSY: list[tuple[UID, int, str, Encode]] = [
    (syntaxes.JPEGBaseline8Bit, 8, "gdcm", jpeg),
    (syntaxes.JPEGExtended12Bit, 8, "gdcm", jpeg),
    (syntaxes.JPEGExtended12Bit, 12, "imagecodecs", jpeg),
    (syntaxes.JPEGLSNearLossless, 12, "gdcm", partial(imagecodecs.jpegls_encode, level=3)),
    (syntaxes.JPEG2000, 12, "gdcm", partial(jpeg_2000, reversible=False)),
    (syntaxes.HTJ2K, 12, "pylibjpeg", partial(htj2k, reversible=False)),
]


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_p1_lossless_syntaxes_give_back_every_pixel(syntax: UID, tmp_path: Path) -> None:
    decoder, encode = LOSSLESS[syntax]
    path = save(encoded(GREY12, syntax, encode), tmp_path / "a.dcm")
    np.testing.assert_array_equal(stored(path), GREY12)
    assert read_all([path]).draft.decoder == decoder


@pytest.mark.parametrize(("syntax", "bits", "decoder", "encode"), LOSSY)
def test_p1_lossy_syntaxes_come_close(
    syntax: UID, bits: int, decoder: str, encode: Encode, tmp_path: Path
) -> None:
    pixels = GREY8 if bits == 8 else GREY12
    path = save(encoded(pixels, syntax, encode, bits), tmp_path / "a.dcm")
    assert np.abs(stored(path).astype(int) - pixels).mean() < 0.01 * pixels.max()
    assert read_all([path]).draft.decoder == decoder


@pytest.mark.parametrize("syntax", [*NATIVE, syntaxes.RLELossless])
def test_p1_native_and_run_length_pixels_are_exact(syntax: UID, tmp_path: Path) -> None:
    ds = dicom(GREY12)
    if syntax == syntaxes.RLELossless:
        compressed(ds, syntax)
    elif syntax == syntaxes.ExplicitVRBigEndian:
        ds.PixelData = GREY12.byteswap().tobytes()
    ds.file_meta.TransferSyntaxUID = syntax
    path = save(ds, tmp_path / "a.dcm")
    np.testing.assert_array_equal(stored(path), GREY12)
    assert read_all([path]).draft.decoder == ("native" if syntax in NATIVE else "pydicom")


def test_p1_no_syntax_that_can_be_decoded_goes_untested() -> None:
    def has_decoder(syntax: UID) -> bool:
        with contextlib.suppress(NotImplementedError):
            return get_decoder(syntax) is not None
        return False

    tested = {*NATIVE, *LOSSLESS, *(case[0] for case in LOSSY), syntaxes.RLELossless}
    assert {s for s in syntaxes.AllTransferSyntaxes if has_decoder(s)} == tested


MR_SMALL = {(0, 31): 422, (31, 0): 366, (31, 2): 322, (63, 63): 862}


@pytest.mark.parametrize(
    ("name", "decoder", "known"),
    [
        ("MR_small", "native", MR_SMALL),
        ("MR_small_RLE", "pydicom", MR_SMALL),
        ("SC_rgb_dcmtk_+eb+cr", "gdcm", RED_TO_BLUE),
        ("SC_rgb_jpeg_gdcm", "gdcm", RED_TO_BLUE),
        ("SC_rgb_rle", "pydicom", RED_TO_BLUE),
        ("JPGExtended", "imagecodecs", {(420, 140): 244, (230, 120): 95}),
        ("JPEGLSNearLossless_08", "gdcm", {(0, 0): 255, (5, 0): 125, (20, 0): 15}),
        ("JPEGLSNearLossless_16", "gdcm", {(0, 0): 65535, (5, 0): 32765, (20, 0): 1025}),
    ],
)
def test_p1_real_files_have_their_known_pixels(
    name: str, decoder: str, known: dict[tuple[int, int], Any]
) -> None:
    path = WHEEL / f"{name}.dcm"
    pixels = stored(path)
    assert {place: pixels[place].tolist() for place in known} == known
    assert read_all([path]).draft.decoder == decoder


@pytest.mark.parametrize("bits", [6, 7])
def test_p1_imagecodecs_reads_jpeg_ls_depths_that_others_refuse(bits: int, tmp_path: Path) -> None:
    pixels = GREY8 >> (8 - bits)
    ds = encoded(pixels, syntaxes.JPEGLSLossless, imagecodecs.jpegls_encode, bits)
    path = save(ds, tmp_path / "a.dcm")
    np.testing.assert_array_equal(stored(path), pixels)
    assert read_all([path]).draft.decoder in (
        "imagecodecs",
        "pyjpegls",
    )  # the latter with highdicom


def test_p1_a_12_bit_jpeg_with_the_scan_header_of_another_process_is_refused() -> None:
    assert read_all([WHEEL / "JPEG-lossy.dcm"]).reason == Reason.DECODE_FAILED


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.100", "1.2.276.0.7230010.9.9.1"])
def test_p1_syntaxes_without_a_decoder_are_refused_by_name(syntax: str, tmp_path: Path) -> None:
    ds = encoded(GREY8, syntaxes.MPEG2MPML, np.ndarray.tobytes, 8)
    path = save(ds, tmp_path / "a.dcm")
    path.write_bytes(path.read_bytes().replace(syntaxes.MPEG2MPML.encode(), syntax.encode()))
    assert read_all([path]).reason == Reason.UNSUPPORTED_TRANSFER_SYNTAX


# -- P2: decoders that disagree, or say nothing --------------------------------------------------

INDEPENDENT = {
    syntaxes.JPEGLSLossless: imagecodecs.jpegls_decode,
    syntaxes.JPEGLSNearLossless: imagecodecs.jpegls_decode,
    syntaxes.JPEGLosslessSV1: imagecodecs.ljpeg_decode,
}
"""Where pydicom knows but one decoder."""


def other_decoders(ds: Dataset, first: str) -> dict[str, np.ndarray]:
    """What other decoders than the first make of frame 0; those that refuse are left out."""
    syntax = ds.file_meta.TransferSyntaxUID
    found = {}
    for plugin in set(get_decoder(syntax).available_plugins) - {first}:
        with contextlib.suppress(RuntimeError):
            found[plugin] = get_decoder(syntax).as_array(ds, decoding_plugin=plugin, index=0)[0]
    if syntax in INDEPENDENT:
        frame = next(generate_frames(ds.PixelData, number_of_frames=1))
        found["imagecodecs"] = INDEPENDENT[syntax](frame)
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("pattern", ["*J2K*", "JPEG2*", "JPEGLS*", "*_jp*", "*+eb*", "ex*_[jy]*"])
def test_p2_decoders_agree_on_the_sample_files(pattern: str) -> None:
    broken = "JPEG2000-embedded-sequence-delimiter.dcm"
    names = sorted({path.name for path in WHEEL.glob(f"{pattern}.dcm")} - {broken})
    compared = 0
    for name in names:
        reader = opened(WHEEL / name)
        pixels = next(reader.frames([0])).astype(int)
        for plugin, other in other_decoders(wheel(name), reader.decoder).items():
            np.testing.assert_array_equal(pixels, other, err_msg=f"{name} by {plugin}")
            compared += 1
    assert compared >= 2


def test_p2_one_image_in_six_encodings_has_one_hash() -> None:
    names = ["", "_implicit", "_bigendian", "_RLE", "_jp2klossless", "_jpeg_ls_lossless"]
    hashes = {read_all([WHEEL / f"MR_small{name}.dcm"]).draft.pixel_hash for name in names}
    assert len(hashes) == 1


@pytest.mark.parametrize("value", [0, 4095])
@pytest.mark.parametrize("sop_class", [CR, MR, CT])
@pytest.mark.parametrize("shape", [(16, 16), (3, 16, 16)])
def test_p2_images_of_one_value_are_rejected_as_blank(
    value: int, sop_class: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    ds = dicom(np.full(shape, value, np.int16), sop_class)
    assert read_one(ds, tmp_path).reason == Reason.BLANK


def test_p2_a_decoder_that_gives_nothing_but_zeros_is_noticed(tmp_path: Path) -> None:
    ds = compressed(dicom(np.zeros((64, 64), np.uint16)), syntaxes.JPEG2000Lossless)
    assert read_one(ds, tmp_path).reason == Reason.BLANK


# -- P3: signedness ------------------------------------------------------------------------------


def test_p3_unsigned_jpeg_2000_of_signed_pixels_is_corrected() -> None:
    pixels = stored(WHEEL / "J2K_pixelrep_mismatch.dcm")
    assert pixels[0, 0] == -2000
    assert pixels[47:57, 279].tolist() == [621, 412, 138, -193, -520, -767, -907, -966, -988, -995]


def signed_in_unsigned_stream(syntax: UID) -> Dataset:
    return encoded(SIGNED12, syntax, lambda p: LOSSLESS[syntax][1](p.view(np.uint16) & 0xFFF))


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_p3_negative_values_survive_codecs_without_a_sign(syntax: UID, tmp_path: Path) -> None:
    path = save(signed_in_unsigned_stream(syntax), tmp_path / "a.dcm")
    np.testing.assert_array_equal(stored(path), SIGNED12)


@pytest.mark.parametrize(
    "syntax", [syntaxes.JPEGLossless, syntaxes.JPEGLosslessSV1, syntaxes.JPEG2000Lossless]
)
def test_p3_signed_pixels_in_twelve_bits_are_nothing_to_flag(syntax: UID, tmp_path: Path) -> None:
    assert read_one(signed_in_unsigned_stream(syntax), tmp_path).item.flags == ()
