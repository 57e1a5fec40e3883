"""P4 to P12: from padded, inverted and odd pixels to what an encoder sees."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom.uid as syntaxes
import pytest
from making import (
    CR,
    CT,
    ENHANCED_PT,
    MR,
    PT,
    RED_TO_BLUE,
    SC,
    WHEEL,
    compressed,
    dicom,
    enhanced,
    macro,
    new_uid,
    picture,
    read_all,
    read_many,
    read_one,
    save,
    stack,
)
from PIL import Image
from pydicom import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_windowing, convert_color_space
from pydicom.pixels.utils import pack_bits
from pydicom.uid import UID

from indexer.dicom.opening import open_dicom
from indexer.dicom.pixels import FrameReader
from indexer.dicom.render import render_frame
from indexer.reading.drafts import ItemDraft
from indexer.types import Flag, ImagePixels, Reason, Window

GREY8 = picture(top=250).astype(np.uint8)
GREY12 = picture(top=4000).astype(np.uint16)
SIGNED12 = (picture(top=4000) - 2000).astype(np.int16)
COLOUR = np.stack([np.roll(GREY8, 7 * k, axis=0) for k in range(3)], axis=-1)


def opened(path: Path) -> FrameReader:
    return FrameReader(open_dicom(path.read_bytes()), max_bytes=1 << 28)


def stored(path: Path, frame: int = 0) -> np.ndarray:
    return next(opened(path).frames([frame]))


def image(ds: Dataset, folder: Path, frame: int = 0) -> ImagePixels:
    reader = opened(save(ds, folder / f"{new_uid()}.dcm"))
    return reader.image(next(reader.frames([frame])), frame)


def seen(item: ItemDraft) -> np.ndarray:
    """What the encoder gets to see: grey 0..1, ``(slices, 128, 128)``."""
    return item.tensors["texture"]


def shown(item: ItemDraft) -> np.ndarray:
    """The thumbnail."""
    return np.asarray(Image.open(io.BytesIO(item.thumbnail)).convert("L")).astype(int)


# -- P4: inverted once ---------------------------------------------------------------------------

POLARITY = pytest.mark.parametrize(
    ("photometric", "shape", "negative"),
    [
        ("MONOCHROME1", None, True),
        ("MONOCHROME1", "INVERSE", True),
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME2", "IDENTITY", False),
    ],
)


def negated(pixels: np.ndarray) -> np.ndarray:
    return (pixels.max() - pixels).astype(np.int16)


@POLARITY
def test_p4_a_negative_image_is_inverted_once(
    photometric: str, shape: str | None, negative: bool, tmp_path: Path
) -> None:
    positive = read_one(dicom(picture()), tmp_path).item
    pixels = negated(picture()) if negative else picture()
    how = {"PhotometricInterpretation": photometric, "PresentationLUTShape": shape}
    item = read_one(dicom(pixels, **how), tmp_path).item
    np.testing.assert_allclose(seen(item), seen(positive), atol=1e-4)
    assert np.abs(shown(item) - shown(positive)).mean() < 2


@POLARITY
@pytest.mark.parametrize("multiframe", [False, True])
def test_p4_a_negative_volume_is_inverted_once(
    photometric: str, shape: str | None, negative: bool, multiframe: bool, tmp_path: Path
) -> None:
    def read(pixels: np.ndarray, **elements: Any) -> ItemDraft:
        whole = enhanced(pixels, [0, 3, 6, 9], **elements)
        parts = stack(n=4, pixels=pixels, **elements)
        return read_many([whole] if multiframe else parts, tmp_path).item

    slices = np.stack([picture(seed) for seed in range(4)])
    how = {"PhotometricInterpretation": photometric, "PresentationLUTShape": shape}
    item, positive = read(negated(slices) if negative else slices, **how), read(slices)
    assert item.kind == "volume"
    np.testing.assert_allclose(seen(item), seen(positive), atol=1e-4)
    assert np.abs(shown(item) - shown(positive)).mean() < 2


# -- P5: the order of things ---------------------------------------------------------------------


def lut(data: Any = None, descriptor: list[int] | None = None, vr: str = "US") -> Dataset:
    item = Dataset()
    if descriptor is not None:
        item.add_new("LUTDescriptor", "US", descriptor)
    if data is not None:
        item.add_new("LUTData", vr, data)
    return item


@pytest.mark.parametrize(
    "elements",
    [
        {"RescaleSlope": 2, "RescaleIntercept": -300},
        {"ModalityLUTSequence": [lut([v * 3 for v in range(1200)], [1200, 0, 16])]},
    ],
)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_p5_first_rescale_then_window_then_inversion(
    elements: dict[str, Any], photometric: str, tmp_path: Path
) -> None:
    ds = dicom(picture().astype(np.uint16), WindowCenter=900, WindowWidth=1500, **elements)
    ds.PhotometricInterpretation = photometric
    low, high = apply_windowing(np.array([-1e6, 1e6]), ds)
    shades = (apply_windowing(apply_modality_lut(ds.pixel_array, ds), ds) - low) / (high - low)
    expected = 255 * (1 - shades if photometric == "MONOCHROME1" else shades)
    np.testing.assert_allclose(render_frame(image(ds, tmp_path)), expected, atol=0.6)


def test_p5_of_several_windows_the_first_is_taken(tmp_path: Path) -> None:
    ds = dicom(picture(), WindowCenter=[40, -600], WindowWidth=[400, 1500])
    assert image(ds, tmp_path).window == Window(40, 400)


@pytest.mark.parametrize("sop_class", [CR, MR, CT])
def test_p5_the_file_window_never_reaches_the_encoder(sop_class: str, tmp_path: Path) -> None:
    narrow, plain = (
        read_many(stack(sop_class, WindowCenter=c, WindowWidth=1), tmp_path).items[0]
        for c in (-500, None)
    )
    np.testing.assert_array_equal(seen(narrow), seen(plain))
    assert narrow.thumbnail != plain.thumbnail  # people see it


def test_p5_the_encoder_sees_ct_in_hounsfield_units_however_stored(tmp_path: Path) -> None:
    hu = np.stack([picture(seed) // 2 * 2 - 500 for seed in range(4)])
    usual = stack(CT, 4, pixels=hu + 1024)
    halves = stack(CT, 4, pixels=2 * (hu + 2048), RescaleSlope=0.5, RescaleIntercept=-2048)
    metal = hu.copy()
    metal[:, :2, :2] = 3000
    metals = stack(CT, 4, pixels=metal + 1024)
    a, b, c = (seen(read_many(slices, tmp_path).item) for slices in (usual, halves, metals))
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(a[:, 16:], c[:, 16:])  # a fixed window: metal dims nothing


# -- P6: broken VOI LUTs -------------------------------------------------------------------------


BROKEN_LUTS = {
    "odd bytes": lut(bytes(range(254)) * 2 + b"\x01", [256, 0, 16], "OW"),
    "no descriptor": lut([1, 2, 3]),
    "no data": lut(descriptor=[256, 0, 16]),
    "too short": lut([1, 2, 3], [256, 0, 16]),
    "half a descriptor": lut(list(range(256)), [256, 0]),
    "99 bits": lut(list(range(256)), [256, 0, 99]),
    "empty": Dataset(),
}
BROKEN = {name: {"VOILUTSequence": [item]} for name, item in BROKEN_LUTS.items()} | {
    "width 0": {"WindowCenter": 300, "WindowWidth": 0},
    "width below 0": {"WindowCenter": 300, "WindowWidth": -5},
    "no width": {"WindowCenter": 300},
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_p6_a_broken_voi_lut_or_window_is_flagged_and_percentiles_are_used(
    broken: dict[str, Any], tmp_path: Path
) -> None:
    item = read_one(dicom(picture(), **broken), tmp_path).item
    plain = read_one(dicom(picture()), tmp_path).item
    assert item.flags == (Flag.VOI_INVALID,)
    assert item.thumbnail == plain.thumbnail


# -- P7: rescale ---------------------------------------------------------------------------------


def test_p7_without_a_rescale_the_stored_values_count(tmp_path: Path) -> None:
    ds = dicom(picture(), MR)
    np.testing.assert_array_equal(image(ds, tmp_path).values, picture())


def rescale(slope: float) -> list[Dataset]:
    return [macro(RescaleSlope=slope, RescaleIntercept=0)]


def test_p7_the_frame_s_own_rescale_wins_then_the_shared_then_the_root(tmp_path: Path) -> None:
    ds = enhanced(np.stack([picture()] * 3), [0, 3, 6], ENHANCED_PT, RescaleSlope=7)
    ds.RescaleIntercept = 0
    frames = ds.PerFrameFunctionalGroupsSequence

    def slopes() -> list[float]:
        return [image(ds, tmp_path, k).values.max() / picture().max() for k in range(3)]

    assert slopes() == pytest.approx([7, 7, 7])
    ds.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence = rescale(5)
    frames[1].PixelValueTransformationSequence = rescale(2)
    frames[2].PixelValueTransformationSequence = rescale(0.25)
    assert slopes() == pytest.approx([5, 2, 0.25])


def test_p7_slices_of_different_slopes_become_one_even_volume(tmp_path: Path) -> None:
    def read(slopes: list[int]) -> np.ndarray:
        pixels = np.stack([12 * picture(k) // slope for k, slope in enumerate(slopes)])
        parts = stack(PT, 4, pixels=pixels, RescaleIntercept=0)
        for ds, slope in zip(parts, slopes, strict=True):
            ds.RescaleSlope = slope
        return seen(read_many(parts, tmp_path).item)

    np.testing.assert_allclose(read([1, 2, 3, 4]), read([1, 1, 1, 1]), atol=1e-6)


@pytest.mark.parametrize(
    ("slope", "intercept", "flagged"),
    [(1, -1024, False), (None, None, True), (100, -1024, True), (50, -20000, True)],
)
def test_p7_impossible_hounsfield_units_are_flagged(
    slope: float | None, intercept: float | None, flagged: bool, tmp_path: Path
) -> None:
    slices = stack(CT, RescaleSlope=slope, RescaleIntercept=intercept)
    flags = read_many(slices, tmp_path).item.flags
    assert flags == ((Flag.HU_IMPLAUSIBLE,) if flagged else ())


def test_p7_a_slope_of_zero_is_flagged_and_left_out(tmp_path: Path) -> None:
    ds = dicom(picture(), RescaleSlope=0, RescaleIntercept=-300)
    np.testing.assert_array_equal(image(ds, tmp_path).values, picture())
    assert read_one(ds, tmp_path).item.flags == (Flag.RESCALE_INVALID,)


# -- P8: padding ---------------------------------------------------------------------------------


def bordered(value: int, seed: int = 0) -> np.ndarray:
    """A picture between 10,000 and 11,000, its upper half cut off by one value."""
    pixels = picture(seed, 64, 64) + np.int16(10000)
    pixels[:32] = value
    return pixels


def has_contrast(prepared: np.ndarray) -> bool:
    """Whether the lower halves, but for the seam, use the range of greys."""
    return bool((np.ptp(prepared[:, 70:], axis=(1, 2)) > 0.8).all())


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(("low", "high"), [(-2000, None), (-2000, -1500), (-1500, -2000)])
def test_p8_padding_does_not_count_and_is_black(
    photometric: str, low: int, high: int | None, tmp_path: Path
) -> None:
    ds = dicom(bordered(-2000), PixelPaddingValue=low, PixelPaddingRangeLimit=high)
    ds.PhotometricInterpretation = photometric
    item = read_one(ds, tmp_path).item
    assert has_contrast(seen(item))
    assert seen(item)[0, :50].max() == 0
    assert shown(item)[:12].max() < 16


def test_p8_padding_does_not_count_in_volumes(tmp_path: Path) -> None:
    pixels = np.stack([bordered(-32768, seed) for seed in range(4)])
    item = read_many(stack(MR, 4, pixels=pixels, PixelPaddingValue=-32768), tmp_path).item
    assert has_contrast(seen(item))
    assert seen(item)[:, :50].max() == 0
    assert shown(item)[:12].max() < 16


def test_p8_ct_corners_need_no_tag(tmp_path: Path) -> None:
    hu = picture() - 300
    hu[:5] = -2000
    ds = dicom((hu + 24).astype(np.int16), CT, RescaleSlope=1, RescaleIntercept=-24)
    np.testing.assert_array_equal(image(ds, tmp_path).padding, hu == -2000)


def test_p8_ct_corners_are_black_in_a_negative_volume_too(tmp_path: Path) -> None:
    hu = np.stack([picture(seed) - 300 for seed in range(4)])
    hu[:, :16] = -2000
    how = {"RescaleIntercept": 0, "PhotometricInterpretation": "MONOCHROME1"}
    item = read_many(stack(CT, pixels=hu, n=4, **how), tmp_path).item
    assert seen(item)[:, :50].max() == 0
    assert shown(item)[:12].max() < 16


def test_p8_a_large_border_without_a_tag_leaves_the_contrast(tmp_path: Path) -> None:
    assert has_contrast(seen(read_one(dicom(bordered(0)), tmp_path).item))


def test_p8_a_padding_tag_that_covers_everything_is_a_mistake(tmp_path: Path) -> None:
    ds = dicom(picture(), PixelPaddingValue=0, PixelPaddingRangeLimit=30000)
    assert image(ds, tmp_path).padding is None
    assert np.ptp(seen(read_one(ds, tmp_path).item)) > 0.9


# -- P9: photometric interpretations and depths --------------------------------------------------


@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", "<i2", "<u4", "<i4"])
def test_p9_integers_of_every_width_are_exact(dtype: str, tmp_path: Path) -> None:
    limits = np.iinfo(dtype)
    pixels = np.linspace(limits.min, limits.max, 64 * 64).astype(dtype).reshape(64, 64)
    ds = dicom(pixels)
    np.testing.assert_array_equal(stored(save(ds, tmp_path / "a.dcm")), pixels)
    np.testing.assert_allclose(image(ds, tmp_path).values, pixels, rtol=1e-6)
    assert read_one(ds, tmp_path).item.flags == ()


@pytest.mark.parametrize(("keyword", "dtype"), [("Float", "<f4"), ("DoubleFloat", "<f8")])
def test_p9_float_pixels_and_their_padding(keyword: str, dtype: str, tmp_path: Path) -> None:
    pixels = (picture() / 7).astype(dtype)
    pixels[:4], pixels[4, 4] = -1e5, np.nan
    ds = dicom(picture(), "1.2.840.10008.5.1.4.1.1.30", Modality="MR", PixelData=None)
    del ds.BitsStored, ds.HighBit, ds.PixelRepresentation
    ds.BitsAllocated = 8 * pixels.itemsize
    setattr(ds, f"{keyword}PixelData", pixels.tobytes())
    setattr(ds, f"{keyword}PixelPaddingValue", -1e5)
    found = image(ds, tmp_path)
    outside = (pixels == -1e5) | np.isnan(pixels)
    np.testing.assert_array_equal(found.padding, outside)
    np.testing.assert_allclose(found.values[~outside], pixels[~outside], rtol=1e-6)
    assert np.isfinite(seen(read_one(ds, tmp_path).item)).all()


def test_p9_single_bits_are_unpacked_across_byte_borders(tmp_path: Path) -> None:
    bits = (np.random.default_rng(0).random((3, 5, 5)) > 0.5).astype(np.uint8)
    ds = dicom(bits, SC, BitsAllocated=1, BitsStored=1, HighBit=0, PixelData=pack_bits(bits))
    path = save(ds, tmp_path / "a.dcm")
    np.testing.assert_array_equal([stored(path, k) for k in range(3)], bits)
    assert len(read_all([path]).items) == 3


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("space", ["RGB", "YBR_FULL"])
def test_p9_colour_in_either_order_of_planes(planar: int, space: str, tmp_path: Path) -> None:
    pixels = COLOUR if space == "RGB" else convert_color_space(COLOUR, "RGB", space)
    ds = dicom(pixels, SC, PhotometricInterpretation=space, PlanarConfiguration=planar)
    ds.PixelData = (pixels.transpose(2, 0, 1) if planar else pixels).tobytes()
    found = stored(save(ds, tmp_path / "a.dcm"))
    np.testing.assert_allclose(found.astype(int), COLOUR, atol=0 if space == "RGB" else 1)


@pytest.mark.parametrize("name", ["SC_ybr_full_422_uncompressed.dcm", "SC_rgb_dcmtk_+eb+cy+s2.dcm"])
def test_p9_half_sampled_colour_becomes_rgb(name: str) -> None:
    found = stored(WHEEL / name)
    for place, colour in RED_TO_BLUE.items():
        np.testing.assert_allclose(found[place].astype(int), colour, atol=3)


@pytest.mark.parametrize("bits", [12, 16])
def test_p9_deep_colour_keeps_its_upper_bits(bits: int, tmp_path: Path) -> None:
    deep = COLOUR.astype(np.uint16) << (bits - 8) | 7
    ds = dicom(deep, SC, BitsStored=bits, HighBit=bits - 1)
    np.testing.assert_array_equal(stored(save(ds, tmp_path / "a.dcm")), COLOUR)


@pytest.mark.parametrize("bits", [8, 16])
def test_p9_palettes_become_rgb_and_broken_ones_are_refused(bits: int, tmp_path: Path) -> None:
    table = np.random.default_rng(1).integers(0, 1 << bits, (3, 256)).astype(f"<u{bits // 8}")
    ds = dicom(GREY8, SC, PhotometricInterpretation="PALETTE COLOR")
    for name, entries in zip(("Red", "Green", "Blue"), table, strict=True):
        setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [256, 0, bits])
        setattr(ds, f"{name}PaletteColorLookupTableData", entries.tobytes())
    colours = np.stack([entries[GREY8] >> (bits - 8) for entries in table], axis=-1)
    np.testing.assert_array_equal(stored(save(ds, tmp_path / "a.dcm")), colours)
    del ds.GreenPaletteColorLookupTableData
    assert read_one(ds, tmp_path).reason == Reason.UNSUPPORTED_PHOTOMETRIC


@pytest.mark.parametrize("space", ["HSV", "ARGB", "CMYK", "YBR_PARTIAL_422", "XYZ", "", "RGB4"])
def test_p9_other_colour_models_are_refused(space: str, tmp_path: Path) -> None:
    ds = dicom(COLOUR, SC, PhotometricInterpretation=space.rstrip("4"))
    if space == "RGB4":
        ds.SamplesPerPixel, ds.PixelData = 4, COLOUR.tobytes() + GREY8.tobytes()
    assert read_one(ds, tmp_path).reason == Reason.UNSUPPORTED_PHOTOMETRIC


# -- P10: overlays -------------------------------------------------------------------------------


def with_overlay_group(ds: Dataset, allocated: int = 1, bit: int = 0) -> Dataset:
    values = {0x10: 32, 0x11: 32, 0x100: allocated, 0x102: bit}
    for element, value in values.items():
        ds.add_new(0x60000000 + element, "US", value)
    return ds


@pytest.mark.parametrize("syntax", [None, syntaxes.RLELossless])
def test_p10_an_overlay_in_the_high_bits_is_stripped(syntax: UID | None, tmp_path: Path) -> None:
    burnt = GREY12 | (np.eye(32, dtype=np.uint16) << 15)
    ds = with_overlay_group(dicom(burnt, BitsStored=12, HighBit=11), allocated=16, bit=15)
    if syntax:
        compressed(ds, syntax)
    item = read_one(ds, tmp_path).item
    plain = read_one(dicom(GREY12, BitsStored=12, HighBit=11), tmp_path).item
    assert item.flags == (Flag.OVERLAY_STRIPPED,)
    assert (item.pixel_hash, item.thumbnail) == (plain.pixel_hash, plain.thumbnail)
    np.testing.assert_array_equal(seen(item), seen(plain))


def test_p10_an_overlay_group_is_not_drawn(tmp_path: Path) -> None:
    ds = with_overlay_group(dicom(GREY12, BitsStored=12, HighBit=11))
    ds.add_new(0x60003000, "OW", b"\xff" * 128)
    item = read_one(ds, tmp_path).item
    plain = read_one(dicom(GREY12, BitsStored=12, HighBit=11), tmp_path).item
    assert (item.pixel_hash, item.thumbnail, item.flags) == (plain.pixel_hash, plain.thumbnail, ())


# -- P11: bits that do not fit -------------------------------------------------------------------


ODD_BITS = {
    "too high values": (GREY12, 10, 9, GREY12 & 0x3FF),
    "too high signed values": (SIGNED12 | np.int16(0x2000), 12, 11, SIGNED12),
    "left aligned": (GREY12 << 4, 12, 15, GREY12),
    "left aligned, signed": (SIGNED12 << 4, 12, 15, SIGNED12),
    "HighBit too low": (GREY12, 12, 7, GREY12),
    "HighBit 0": (GREY12, 12, 0, GREY12),
    "more than allocated": (GREY12, 17, 16, GREY12),
    "none stored": (GREY12, 0, 11, GREY12),
    "not said": (GREY12, None, 11, GREY12),
}


@pytest.mark.parametrize("case", ODD_BITS.values(), ids=ODD_BITS)
def test_p11_values_are_masked_to_the_stored_bits_and_flagged(
    case: tuple[np.ndarray, int | None, int, np.ndarray], tmp_path: Path
) -> None:
    pixels, stored_bits, high_bit, expected = case
    ds = dicom(pixels, BitsStored=stored_bits, HighBit=high_bit)
    path = save(ds, tmp_path / "a.dcm")
    np.testing.assert_array_equal(stored(path), expected)
    assert read_all([path]).item.flags == (Flag.BITS_INCONSISTENT,)


@pytest.mark.parametrize("left_out", ["SamplesPerPixel", "PixelRepresentation"])
def test_p11_what_can_have_only_one_value_need_not_be_said(left_out: str, tmp_path: Path) -> None:
    pixels = GREY12.astype(np.uint16)
    whole = read_one(dicom(pixels), tmp_path).item
    assert read_one(dicom(pixels, **{left_out: None}), tmp_path).item.pixel_hash == whole.pixel_hash


# -- P12: pixels that are not square -------------------------------------------------------------


def disc(rows: int, columns: int) -> np.ndarray:
    """One round thing, in a square field of view with this matrix."""
    y, x = (np.mgrid[:rows, :columns] + 0.5) / np.array([rows, columns])[:, None, None] - 0.5
    return np.where(y**2 + x**2 < 0.3**2, 1000, 0).astype(np.int16)


SPACINGS = [
    {"PixelSpacing": [2, 1]},
    {"ImagerPixelSpacing": [0.4, 0.2]},
    {"PixelAspectRatio": [2, 1]},
]


@pytest.mark.parametrize("elements", SPACINGS)
def test_p12_a_disc_of_oblong_pixels_stays_round(elements: dict[str, Any], tmp_path: Path) -> None:
    square = read_one(dicom(disc(64, 64)), tmp_path).item
    oblong = read_one(dicom(disc(32, 64), **elements), tmp_path).item
    assert oblong.flags == (Flag.NON_SQUARE_PIXELS,)
    assert square.flags == ()
    assert np.abs(seen(oblong) - seen(square)).mean() < 0.03
    assert shown(oblong).shape == shown(square).shape
    assert np.abs(shown(oblong) - shown(square)).mean() < 8


def test_p12_volumes_of_oblong_pixels_too(tmp_path: Path) -> None:
    slices = stack(MR, 4, pixels=np.stack([disc(32, 64)] * 4), PixelSpacing=[2.0, 1.0])
    item = read_many(slices, tmp_path).item
    square = read_one(dicom(disc(64, 64)), tmp_path).item
    assert item.flags == (Flag.NON_SQUARE_PIXELS,)
    assert np.abs(seen(item) - seen(square)).mean() < 0.03
