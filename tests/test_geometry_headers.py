"""What headers say of where slices lie: plain ones, those of enhanced files, and mosaics."""

from __future__ import annotations

import random
import struct

import numpy as np
import pytest
from pydicom import Dataset, Sequence
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import Tag

from indexer.dicom.frames import (
    demosaic,
    enhanced_headers,
    mosaic_headers,
    mosaic_is_square,
    mosaic_tiles,
    slice_header,
)
from indexer.dicom.geometry import (
    build_stacks,
)
from indexer.types import Flag

# -- headers ----------------------------------------------------------------------------------


def mr() -> Dataset:
    ds = Dataset()
    ds.Rows, ds.Columns, ds.SamplesPerPixel = 64, 48, 1
    ds.ImagePositionPatient = [1, 2, 3]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing = [0.5, 0.7]
    ds.SliceThickness, ds.SpacingBetweenSlices = 5, 6
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    ds.EchoNumbers, ds.EchoTime = 2, "30.0"
    ds.AcquisitionNumber, ds.InstanceNumber = 7, 12
    ds.TriggerTime, ds.AcquisitionTime = "41.50", "101500.250000"
    return ds


def test_slice_header_reads_what_is_there() -> None:
    header = slice_header(mr(), 4)
    assert header.key == 4
    assert header.position == pytest.approx((1, 2, 3))
    assert header.orientation == pytest.approx((1, 0, 0, 0, 1, 0))
    assert header.spacing == pytest.approx((0.5, 0.7))
    assert (header.thickness, header.spacing_between) == (5, 6)
    assert (header.echo, header.echo_time, header.component) == ("2", "30", "M")
    assert (header.trigger, header.acquisition_time) == ("41.5", "101500.25")
    assert (header.acquisition, header.instance_number) == ("7", 12)
    assert not header.localizer


@pytest.mark.parametrize("word", ["LOCALIZER", "SCOUT", "CT_SOM5 TOPOGRAM"])
def test_planning_images_are_recognised(word: str) -> None:
    ds = mr()
    ds.ImageType = ["ORIGINAL", "PRIMARY", word]
    assert slice_header(ds, 0).localizer


def raw(ds: Dataset, tag: int, vr: str, value: bytes) -> None:
    """Put an element in as a file has it: not yet read, so that reading it may fail."""
    ds[tag] = RawDataElement(Tag(tag), vr, len(value), value, 0, False, True)


def test_elements_that_cannot_be_read_count_as_not_said() -> None:
    ds = mr()
    raw(ds, 0x00200032, "DS", b"1\\two\\3 ")
    raw(ds, 0x00280030, "DS", b"0,5\\0,5 ")
    raw(ds, 0x00180050, "DS", b"thick ")
    raw(ds, 0x00200013, "IS", b"1.5.2 ")
    raw(ds, 0x00200037, "DS", b"1\\0\\0\\0\\1 ")
    raw(ds, 0x00180086, "IS", b"")
    raw(ds, 0x00280010, "US", b"1")
    header = slice_header(ds, 0)
    assert header.position is None
    assert header.spacing is None
    assert header.orientation is None
    assert header.thickness is None
    assert header.instance_number is None
    assert header.echo == ""
    assert header.rows == 0


def test_an_empty_header_is_a_header_without_geometry() -> None:
    plan = build_stacks([slice_header(Dataset(), 0)])
    assert plan.singles == [(0, (Flag.NO_GEOMETRY,))]


@pytest.mark.parametrize(
    ("group", "creator", "element", "vr", "value", "b"),
    [
        (0x0019, "SIEMENS MR HEADER", 0x0C, "IS", 1000, "1000"),
        (0x0019, "SIEMENS MR HEADER", 0x0C, "UN", b"1000", "1000"),
        (0x0043, "GEMS_PARM_01", 0x39, "IS", [1000000700, 8, 0, 0], "700"),
        (0x0043, "GEMS_PARM_01", 0x39, "UN", b"700\\8\\0\\0 ", "700"),
        (0x0065, "Image Private Header", 0x09, "FD", 928.25, "928.25"),
        (0x0065, "Image Private Header", 0x09, "UN", struct.pack("<d", 928.25), "928.25"),
        (0x0019, "SOMEBODY ELSE", 0x0C, "IS", 1000, ""),
    ],
)
def test_b_value_of(group: int, creator: str, element: int, vr: str, value: object, b: str) -> None:
    ds = mr()
    ds.private_block(group, creator, create=True).add_new(element, vr, value)
    assert slice_header(ds, 0).b_value == b


def test_standard_b_value_wins_and_lost_creators_are_forgiven() -> None:
    ds = mr()
    ds.add(DataElement(0x0019100C, "IS", "50"))
    assert slice_header(ds, 0).b_value == "50"
    ds.DiffusionBValue = 800.0
    assert slice_header(ds, 0).b_value == "800"


def enhanced(places: list[tuple[float, int]], *, orientation: bool = True) -> Dataset:
    """Made enhanced MR: one frame for each (height, temporal position)."""
    ds = Dataset()
    ds.Rows, ds.Columns, ds.NumberOfFrames = 64, 48, len(places)
    measures, plane, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [1, 1], 4
    shared.PixelMeasuresSequence = Sequence([measures])
    if orientation:
        plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        shared.PlaneOrientationSequence = Sequence([plane])
    frames = []
    for z, phase in places:
        frame, place, content, echo, kind = (Dataset() for _ in range(5))
        place.ImagePositionPatient = [0, 0, z]
        content.StackID, content.TemporalPositionIndex = "1", phase
        echo.EffectiveEchoTime = 30.0
        kind.FrameType = ["ORIGINAL", "PRIMARY", "T2", "NONE"]
        kind.ComplexImageComponent = "PHASE"
        frame.PlanePositionSequence = Sequence([place])
        frame.FrameContentSequence = Sequence([content])
        frame.MREchoSequence = Sequence([echo])
        frame.MRImageFrameTypeSequence = Sequence([kind])
        frames.append(frame)
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    ds.PerFrameFunctionalGroupsSequence = Sequence(frames)
    return ds


def test_enhanced_frames_in_random_order() -> None:
    places = [(4.0 * z, phase) for z in range(4) for phase in (1, 2)]
    random.Random(3).shuffle(places)
    headers = enhanced_headers(enhanced(places))
    assert [h.key for h in headers] == list(range(8))
    assert headers[0].component == "P"
    assert headers[0].echo_time == "30"
    plan = build_stacks(headers)
    assert [stack.label for stack in plan.stacks] == ["temporal=1", "temporal=2"]
    for phase, stack in enumerate(plan.stacks, start=1):
        assert [places[key] for key in stack.keys] == [(4.0 * z, phase) for z in range(4)]


def test_enhanced_without_orientation_goes_the_2d_way() -> None:
    headers = enhanced_headers(enhanced([(4.0 * z, 1) for z in range(4)], orientation=False))
    assert all(header.orientation is None for header in headers)
    assert len(build_stacks(headers).singles) == 4


def test_enhanced_frame_counts_that_do_not_agree() -> None:
    ds = enhanced([(0.0, 1), (4.0, 1)])
    ds.NumberOfFrames = 3  # one frame has no functional groups
    assert [header.position for header in enhanced_headers(ds)][2] is None
    ds.NumberOfFrames = 2**31 - 1
    assert enhanced_headers(ds) == []
    assert enhanced_headers(Dataset()) == []


# -- mosaics ----------------------------------------------------------------------------------


def csa2(**tags: list[str]) -> bytes:
    """Write a Siemens CSA header of version 2."""
    out = b"SV10\4\3\2\1" + struct.pack("<II", len(tags), 77)
    for name, values in tags.items():
        out += struct.pack("<64si4siii", name.encode(), len(values), b"DS", 3, len(values), 77)
        for value in values:
            text = value.encode() + b"\0"
            out += struct.pack("<4i", len(text), len(text), 77, len(text))
            out += text.ljust(-(-len(text) // 4) * 4, b"\0")
    return out


def siemens_mosaic() -> Dataset:
    ds = mr()
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
    ds.Rows = ds.Columns = 216
    ds.PixelSpacing, ds.SpacingBetweenSlices = [3, 3], 12
    ds.ImagePositionPatient = [-324, -324, 16]
    return ds


def test_mosaic_count_from_the_private_element_or_the_csa_header() -> None:
    ds = siemens_mosaic()
    assert mosaic_tiles(ds) is None
    ds.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(
        0x10, "OB", csa2(EchoLinePosition=["32"], NumberOfImagesInMosaic=["5"])
    )
    assert mosaic_tiles(ds) == 5
    ds.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", 7)
    assert mosaic_tiles(ds) == 7
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    assert mosaic_tiles(ds) is None
    assert mosaic_headers(ds) == []


@pytest.mark.parametrize("junk", [b"", b"SV10", b"SV10\4\3\2\1" + b"\xff" * 200, b"\1" * 300])
def test_a_damaged_csa_header_says_nothing(junk: bytes) -> None:
    ds = siemens_mosaic()
    ds.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", junk)
    assert mosaic_tiles(ds) is None


def test_a_mosaic_that_cannot_be_divided_has_no_tiles() -> None:
    ds = siemens_mosaic()
    ds.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", 48)
    assert mosaic_headers(ds) == []
    ds.Rows = 0
    assert mosaic_headers(ds) == []


def test_siemens_tiles_lie_where_the_slices_were() -> None:
    ds = siemens_mosaic()
    ds.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(
        0x10,
        "OB",
        csa2(NumberOfImagesInMosaic=["5"], SliceNormalVector=["0.0", "0.0", "-1.0"]),
    )
    assert mosaic_is_square(ds)
    headers = mosaic_headers(ds)
    assert {(h.rows, h.columns) for h in headers} == {(72, 72)}
    assert headers[0].position == pytest.approx((-108, -108, 16))
    assert headers[4].position == pytest.approx((-108, -108, -32))
    (stack,) = build_stacks(headers).stacks
    assert stack.keys == (4, 3, 2, 1, 0)  # Siemens counted downwards here
    assert stack.spacing == pytest.approx((12, 3, 3))


def test_uih_tiles_bring_their_own_positions() -> None:
    ds = mr()
    del ds.ImagePositionPatient
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "VFRAME"]
    ds.Rows, ds.Columns = 256, 320
    items = []
    for k in range(20):
        item = Dataset()
        item.ImagePositionPatient = [0, 0, 4.2 * k]
        items.append(item)
    block = ds.private_block(0x0065, "Image Private Header", create=True)
    block.add_new(0x50, "DS", "20")
    block.add_new(0x51, "SQ", Sequence(items))
    assert mosaic_tiles(ds) == 20
    assert not mosaic_is_square(ds)
    (stack,) = build_stacks(mosaic_headers(ds)).stacks
    assert stack.keys == tuple(range(20))
    assert stack.spacing[0] == pytest.approx(4.2)


@pytest.mark.parametrize(
    ("n", "rows", "columns", "square"),
    [(5, 3, 3, True), (5, 3, 3, None), (20, 4, 5, False), (20, 4, 5, None), (1, 1, 1, None)],
)
def test_demosaic_reads_tiles_row_by_row(
    n: int, rows: int, columns: int, square: bool | None
) -> None:
    tiles = np.arange(n)[:, None, None] * np.ones((1, 8, 8), dtype=np.int16)
    frame = np.zeros((rows * 8, columns * 8), dtype=np.int16)
    for k in range(n):
        r, c = divmod(k, columns)
        frame[8 * r : 8 * r + 8, 8 * c : 8 * c + 8] = k
    np.testing.assert_array_equal(demosaic(frame, n, square=square), tiles)


@pytest.mark.parametrize(
    ("shape", "n"), [((256, 256), 48), ((64, 64), 0), ((64, 64), -3), ((0, 0), 4)]
)
def test_demosaic_refuses_what_does_not_divide(shape: tuple[int, int], n: int) -> None:
    with pytest.raises(ValueError, match="cannot hold"):
        demosaic(np.zeros(shape), n)
