"""How a frame is drawn for people: window, inversion, colour, padding, thumbnails."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.pixels.processing import apply_color_lut, apply_voi, apply_windowing
from pydicom.uid import ExplicitVRLittleEndian

from indexer.dicom.opening import open_dicom
from indexer.dicom.pixels import FrameReader
from indexer.dicom.render import (
    CT_WINDOW,
    apply_window,
    middle_slice,
    render_frame,
    thumbnail,
    volume_slice,
)
from indexer.types import ImagePixels, VolumePixels, Window

WHEEL = Path(pydicom.__file__).parent / "data" / "test_files"
RAMP = np.arange(-512, 512, dtype=np.float32).reshape(32, 32)


def header(**elements: Any) -> Dataset:
    """A signed 16-bit grey image's header, for pydicom as the judge."""
    ds = Dataset()
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows = ds.Columns = 32
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 16, 15
    ds.SamplesPerPixel, ds.PixelRepresentation = 1, 1
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def lut(entries: list[int], first: int, bits: int) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries), first, bits])
    item.add_new("LUTData", "US", entries)
    return item


def frame(ds: Dataset, pixels: np.ndarray) -> ImagePixels:
    """The image as it comes out of a file of these pixels."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = "1.2.3"
    ds.PixelData = pixels.astype("<i2").tobytes()
    file = io.BytesIO()
    ds.save_as(file, enforce_file_format=True)
    reader = FrameReader(open_dicom(file.getvalue()), max_bytes=1 << 20)
    return reader.image(next(reader.frames([0])), 0)


def opened(thumb: bytes) -> Image.Image:
    return Image.open(io.BytesIO(thumb))


# -- windows ----------------------------------------------------------------------------------


def judged(ds: Dataset) -> np.ndarray:
    """The ramp in the header's window, 0..1, by pydicom."""
    with np.errstate(over="ignore"):
        return (apply_windowing(RAMP, ds) + 32768) / 65535


quarters = st.integers(-3000, 3000).map(lambda n: n / 4)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@given(center=quarters, width=st.integers(5, 9000).map(lambda n: n / 4))
def test_windows_are_those_of_pydicom(function: str, center: float, width: float) -> None:
    ds = header(WindowCenter=center, WindowWidth=width, VOILUTFunction=function)
    expected = judged(ds)
    drawn = render_frame(ImagePixels(RAMP, window=Window(center, width, function)))
    np.testing.assert_allclose(drawn, 255 * expected, atol=0.51)


@pytest.mark.parametrize("function", ["LINEAR_EXACT", "SIGMOID"])
@given(center=quarters, width=st.integers(1, 4).map(lambda n: n / 4))
def test_windows_narrower_than_one_are_those_of_pydicom(
    function: str, center: float, width: float
) -> None:
    ds = header(WindowCenter=center, WindowWidth=width, VOILUTFunction=function)
    shades = apply_window(RAMP, Window(center, width, function))
    np.testing.assert_allclose(shades, judged(ds), atol=1e-5)


def test_a_linear_window_of_width_one_is_a_threshold() -> None:
    ds = header(WindowCenter=40, WindowWidth=1)
    np.testing.assert_array_equal(apply_window(RAMP, Window(40, 1)), judged(ds))


def test_a_linear_window_by_hand() -> None:
    # PS3.3 C.11.2.1.2.1: c=2048, w=4096 maps 0..4095 to the whole range.
    values = np.array([[-5, 0, 2047.5, 4095, 9000]], np.float32)
    assert apply_window(values, Window(2048, 4096)).tolist() == [[0, 0, 0.5, 1, 1]]
    values = np.array([[-5, 0, 2048, 4096, 9000]], np.float32)
    assert apply_window(values, Window(2048, 4096, "LINEAR_EXACT")).tolist() == [[0, 0, 0.5, 1, 1]]


def test_the_caller_s_window_wins_over_the_file_s() -> None:
    pixels = ImagePixels(RAMP, window=Window(0, 100), voi_lut=(0, np.ones(4, np.float32)))
    plain = ImagePixels(RAMP, window=Window(-300, 80))
    np.testing.assert_array_equal(render_frame(pixels, Window(-300, 80)), render_frame(plain))


def test_ct_without_a_window_is_drawn_in_soft_tissue() -> None:
    drawn = render_frame(ImagePixels(RAMP, modality="CT"))
    np.testing.assert_array_equal(drawn, render_frame(ImagePixels(RAMP, window=CT_WINDOW)))
    fat, liver = (ImagePixels(np.full((2, 2), hu, np.float32), "CT") for hu in (-90, 60))
    assert 20 < render_frame(fat)[0, 0] < 80 < 110 < render_frame(liver)[0, 0] < 170


def test_without_a_window_a_few_extremes_cost_no_contrast() -> None:
    values = np.random.default_rng(0).normal(100, 10, (64, 64)).astype(np.float32)
    values[0, 0], values[0, 1] = 1e6, -1e6
    drawn = render_frame(ImagePixels(values)).astype(int)
    assert drawn.std() > 40
    assert (drawn[0, 0], drawn[0, 1]) == (255, 0)


def test_a_constant_frame_can_be_drawn() -> None:
    drawn = render_frame(ImagePixels(np.full((4, 4), 7, np.float32)))
    assert len(np.unique(drawn)) == 1


# -- VOI LUT ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "bits"), [(0, 10), (-200, 12), (100, 16), (-300, 16)])
@pytest.mark.parametrize("entries", [2, 255, 600])
def test_voi_luts_are_those_of_pydicom(first: int, bits: int, entries: int) -> None:
    table = np.random.default_rng(2).integers(0, 1 << bits, entries).tolist()
    ds = header(VOILUTSequence=[lut(table, first, bits)])
    expected = apply_voi(RAMP.astype(np.int16), ds) / ((1 << bits) - 1) * 255
    np.testing.assert_allclose(render_frame(frame(ds, RAMP)), expected, atol=0.51)


def test_an_eight_bit_voi_lut_by_hand() -> None:
    drawn = render_frame(frame(header(VOILUTSequence=[lut([10, 255, 30], -1, 8)]), RAMP))
    assert (drawn[:15] == 10).all()
    assert drawn[15, 30:].tolist() == [10, 10]
    assert drawn[16, :3].tolist() == [255, 30, 30]


def test_a_window_beside_a_voi_lut_is_preferred() -> None:
    ds = header(VOILUTSequence=[lut([0, 255], 0, 8)], WindowCenter=0, WindowWidth=200)
    drawn = render_frame(frame(ds, RAMP))
    np.testing.assert_array_equal(drawn, render_frame(ImagePixels(RAMP, window=Window(0, 200))))


# -- inversion --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("photometric", "shape", "negative"),
    [
        ("MONOCHROME2", "", False),
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME1", "", True),
        ("MONOCHROME1", "INVERSE", True),
    ],
)
@pytest.mark.parametrize("by", ["window", "lut", "percentiles"])
def test_negatives_are_inverted_once(photometric: str, shape: str, negative: bool, by: str) -> None:
    how = {
        "window": {"WindowCenter": 0, "WindowWidth": 700},
        "lut": {"VOILUTSequence": [lut(list(range(256)), -100, 8)]},
        "percentiles": {},
    }[by]
    positive = render_frame(frame(header(**how), RAMP)).astype(int)
    ds = header(PhotometricInterpretation=photometric, PresentationLUTShape=shape, **how)
    drawn = render_frame(frame(ds, RAMP)).astype(int)
    np.testing.assert_allclose(drawn, 255 - positive if negative else positive, atol=1)


def test_a_slice_of_a_negative_volume_is_inverted_once() -> None:
    values = np.stack([RAMP, RAMP + 50, RAMP]).astype(np.int16)
    axes = (0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0)
    volume = VolumePixels(values, "MR", (3, 2, 1), axes, (0, 0, 0), window=Window(0, 600))
    positive = render_frame(middle_slice(volume)).astype(int)
    np.testing.assert_array_equal(
        positive, render_frame(ImagePixels(RAMP + 50, window=Window(0, 600)))
    )
    negative = render_frame(middle_slice(replace(volume, inverted=True)))
    np.testing.assert_allclose(negative, 255 - positive, atol=1)
    assert middle_slice(volume).aspect == 2


# -- padding ----------------------------------------------------------------------------------


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_costs_no_contrast(photometric: str) -> None:
    padded = RAMP.copy()
    padded[:10] = -32000
    ds = header(PhotometricInterpretation=photometric, PixelPaddingValue=-32000)
    drawn = render_frame(frame(ds, padded))
    assert (drawn[:10] == 0).all()
    assert np.ptp(drawn[10:]) == 255


def test_padding_of_a_volume_is_black() -> None:
    values = np.stack([RAMP] * 3).astype(np.int16)
    values[:, :10] = -1500
    axes = (0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0)
    volume = VolumePixels(
        values, "CT", (1, 1, 1), axes, (0, 0, 0), inverted=True, padding_value=-1500
    )
    drawn = render_frame(volume_slice(volume, 0))
    assert (drawn[:10] == 0).all()
    assert (drawn[10] == 255).all()  # the lowest values, of a negative


# -- colour -----------------------------------------------------------------------------------


def drawn_file(name: str, index: int = 0) -> np.ndarray:
    reader = FrameReader(open_dicom((WHEEL / name).read_bytes()), max_bytes=1 << 26)
    return render_frame(reader.image(next(reader.frames([index])), index))


def test_a_palette_is_looked_up() -> None:
    ds = pydicom.dcmread(WHEEL / "examples_palette.dcm")
    expected = apply_color_lut(ds.pixel_array, ds)
    assert expected.dtype == np.uint16
    np.testing.assert_array_equal(drawn_file("examples_palette.dcm"), expected >> 8)


@pytest.mark.parametrize(
    "name",
    [
        "SC_rgb_dcmtk_+eb+cr.dcm",
        "SC_rgb_jpeg_dcmtk.dcm",
        "SC_ybr_full_422_uncompressed.dcm",
        "SC_rgb_gdcm_KY.dcm",
        "SC_rgb_rle_16bit.dcm",
    ],
)
def test_colour_is_drawn_as_rgb_whatever_it_was_stored_as(name: str) -> None:
    drawn = drawn_file(name)
    stripes = [[255, 0, 0], [255, 128, 128], [0, 255, 0], [128, 255, 128], [0, 0, 255]]
    stripes += [[128, 128, 255], [0, 0, 0], [64, 64, 64], [192, 192, 192], [255, 255, 255]]
    np.testing.assert_allclose(drawn[5::10, 50].astype(int), stripes, atol=5)


# -- thumbnails -------------------------------------------------------------------------------


@given(
    rows=st.integers(1, 90),
    columns=st.integers(1, 90),
    aspect=st.sampled_from([0.25, 1.0, 1.7, 4.0]),
    size=st.integers(8, 64),
)
def test_thumbnails_fit_the_square_and_keep_the_proportions(
    rows: int, columns: int, aspect: float, size: int
) -> None:
    values = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
    picture = opened(thumbnail(ImagePixels(values, aspect=aspect), size))
    tall, wide = rows * aspect, float(columns)
    scale = size / max(tall, wide)
    assert picture.format == "WEBP"
    assert max(picture.size) == size
    assert picture.width == pytest.approx(max(1, wide * scale), abs=0.51)
    assert picture.height == pytest.approx(max(1, tall * scale), abs=0.51)


def test_a_thumbnail_looks_like_the_frame() -> None:
    pixels = ImagePixels(RAMP, window=Window(0, 900))
    small = np.asarray(opened(thumbnail(pixels, 32)).convert("L")).astype(int)
    assert np.abs(small - render_frame(pixels)).mean() < 4


def test_a_thumbnail_of_colour_is_colour() -> None:
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 200
    r, g, b = opened(thumbnail(ImagePixels(red), 32)).convert("RGB").getpixel((16, 16))
    assert (r > 180, g < 20, b < 20) == (True, True, True)


def test_a_thumbnail_of_a_volume_is_its_middle_slice() -> None:
    values = np.zeros((5, 16, 16), np.int16)
    values[2, 4:12, 4:12] = 100
    axes = (0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0)
    volume = VolumePixels(values, "MR", (1, 1, 1), axes, (0, 0, 0))
    small = np.asarray(opened(thumbnail(volume, 32)).convert("L"))
    assert small[16, 16] > 240
    assert small[1, 1] < 16
