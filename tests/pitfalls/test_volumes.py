"""V1 to V10: which slices become a volume, in what order, and what is said about it."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from making import (
    AXIAL,
    CORONAL,
    CT,
    MR,
    PT,
    SAGITTAL,
    change,
    compressed,
    dicom,
    enhanced,
    macro,
    new_uid,
    picture,
    read_many,
    read_one,
    stack,
)
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import RLELossless

from indexer.reading.drafts import ItemDraft
from indexer.types import Flag, Reason, Role

few_examples = settings(max_examples=12)


def seen(item: ItemDraft) -> np.ndarray:
    """What the encoder gets to see: grey 0..1, ``(slices, 128, 128)``."""
    return item.tensors["texture"]


def uids(datasets: Sequence[Dataset]) -> tuple[str, ...]:
    return tuple(ds.SOPInstanceUID for ds in datasets)


def one_series(*parts: list[Dataset]) -> list[Dataset]:
    """All slices under the series UID of the first, numbered in turn: 1a 1b 2a 2b ..."""
    first = parts[0][0]
    turns = [ds for turn in zip(*parts, strict=True) for ds in turn]
    for number, ds in enumerate(turns, start=1):
        change(ds, SeriesInstanceUID=first.SeriesInstanceUID, InstanceNumber=number)
        change(ds, StudyInstanceUID=first.StudyInstanceUID)
    return turns


def frame_groups(ds: Dataset, name: str, values: Sequence[dict[str, Any]]) -> Dataset:
    """Put a macro into every frame's functional group."""
    for group, elements in zip(ds.PerFrameFunctionalGroupsSequence, values, strict=True):
        setattr(group, name, [macro(**elements)])
    return ds


# -- V1: order ----------------------------------------------------------------------------------


@given(
    order=st.permutations(range(5)),
    numbers=st.lists(st.one_of(st.none(), st.integers(-9, 9)), min_size=5, max_size=5),
)
@few_examples
def test_v1_slices_are_sorted_by_position_never_by_number_or_name(
    order: list[int], numbers: list[int | None], tmp_path_factory: pytest.TempPathFactory
) -> None:
    slices = stack(CT)
    plain = read_many(slices, tmp_path_factory.mktemp("plain")).item
    for ds, number in zip(slices, numbers, strict=True):
        change(ds, InstanceNumber=number)
    item = read_many([slices[i] for i in order], tmp_path_factory.mktemp("shuffled")).item
    assert item.instance_uids == uids(slices)
    assert (item.uid, item.pixel_hash) == (plain.uid, plain.pixel_hash)
    np.testing.assert_array_equal(seen(item), seen(plain))


@given(turn=st.floats(-3, 3), lean=st.floats(-1.5, 1.5), seed=st.integers(0, 99))
@few_examples
def test_v1_in_any_orientation_the_order_is_that_along_the_normal(
    turn: float, lean: float, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    row = np.array([math.cos(turn), math.sin(turn), 0])
    across = np.array([-math.sin(turn), math.cos(turn), 0])
    column = math.cos(lean) * across + math.sin(lean) * np.array([0, 0, 1])
    normal = np.cross(row, column)
    slices = stack(MR, orientation=[*row, *column], step=2.5 * normal, origin=(5, -7, 11))
    shuffled = random.Random(seed).sample(slices, len(slices))
    item = read_many(shuffled, tmp_path_factory.mktemp("oblique")).item
    assert item.instance_uids == uids(slices)
    assert item.details["spacing_mm"] == pytest.approx([2.5, 1, 1], abs=1e-4)
    assert item.details["orientation"] == pytest.approx([*normal, *column, *row], abs=1e-4)
    assert item.details["origin_mm"] == pytest.approx([5, -7, 11], abs=1e-3)


# -- V2: several stacks in one series -----------------------------------------------------------


@pytest.mark.parametrize(
    ("keyword", "first", "second"),
    [
        ("EchoNumbers", 1, 2),
        ("EchoTime", 11, 90),  # proton density and T2
        ("DiffusionBValue", 0.0, 1000.0),
        ("TemporalPositionIdentifier", 1, 2),
        ("TriggerTime", 0, 320),  # gated
        ("AcquisitionNumber", 1, 2),
        ("AcquisitionTime", "101010", "101210"),
        ("ImageType", ["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"]),  # phase
    ],
)
def test_v2_interleaved_stacks_are_parted_and_keep_their_series(
    keyword: str, first: Any, second: Any, tmp_path: Path
) -> None:
    a, b = stack(MR, 4, **{keyword: first}), stack(MR, 4, seed=20, **{keyword: second})
    result = read_many(one_series(a, b), tmp_path)
    assert [item.instance_uids for item in result.items] == [uids(a), uids(b)]
    assert len({item.uid for item in result.items}) == 2
    assert len({item.stack for item in result.items} - {""}) == 2
    assert {draft.series_instance_uid for draft in result.drafts} == {a[0].SeriesInstanceUID}


@pytest.mark.parametrize(
    "other",
    [
        {"orientation": SAGITTAL, "step": (3.0, 0.0, 0.0)},
        {"orientation": CORONAL, "step": (0.0, 3.0, 0.0)},
        {"PixelSpacing": [0.5, 0.5]},
        {"pixels": np.stack([picture(k, 48, 40) for k in range(4)])},
    ],
    ids=["sagittal", "coronal", "pixel spacing", "shape"],
)
def test_v2_other_planes_pixel_sizes_and_shapes_are_other_stacks(
    other: dict[str, Any], tmp_path: Path
) -> None:
    a, b = stack(MR, 4), stack(MR, 4, seed=20, **other)
    result = read_many(one_series(a, b), tmp_path)
    assert {frozenset(item.instance_uids) for item in result.items} == {
        frozenset(uids(a)),
        frozenset(uids(b)),
    }


@given(order=st.permutations(range(12)))
@few_examples
def test_v2_items_do_not_depend_on_the_order_of_the_files(
    order: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    phases = [stack(MR, 4, seed=10 * k, TriggerTime=100 * k) for k in range(3)]
    slices = one_series(*phases)
    items = read_many([slices[i] for i in order], tmp_path_factory.mktemp("gated")).items
    assert [item.instance_uids for item in items] == [uids(phase) for phase in phases]
    assert [item.stack for item in items] == ["trigger=0", "trigger=100", "trigger=200"]


# -- V3: duplicate positions --------------------------------------------------------------------


def copy_of(ds: Dataset, **elements: Any) -> Dataset:
    """The same slice under a new UID."""
    return change(copy.deepcopy(ds), SOPInstanceUID=new_uid(), **elements)


@pytest.mark.parametrize("copied", [[2], [0, 1, 2, 3, 4]], ids=["one slice", "all slices"])
def test_v3_exact_copies_are_left_out_of_the_volume_and_flagged(
    copied: list[int], tmp_path: Path
) -> None:
    slices = stack(CT)
    plain = read_many(slices, tmp_path / "plain").item
    result = read_many([*slices, *(copy_of(slices[k]) for k in copied)], tmp_path / "twice")
    assert result.item.flags == (Flag.DUPLICATE_POSITIONS,)
    assert result.item.instance_uids == uids(slices)
    np.testing.assert_array_equal(seen(result.item), seen(plain))
    assert len(result.drafts) == 5 + len(copied)  # the copies are known all the same


def test_v3_another_picture_at_one_place_leaves_the_first_and_a_flag(tmp_path: Path) -> None:
    slices = stack(MR)
    other = copy_of(slices[2], PixelData=slices[4].PixelData)
    item = read_many([*slices, other], tmp_path).item
    assert item.instance_uids == uids(slices)
    assert item.flags == (Flag.DUPLICATE_POSITIONS,)


# -- V4: holes ----------------------------------------------------------------------------------


def test_v4_a_hole_is_flagged_and_nothing_is_stretched_over_it(tmp_path: Path) -> None:
    slices = stack(CT, 10)
    kept = [0, 1, 2, 3, 6, 7, 8, 9]
    whole = read_many(slices, tmp_path / "whole").item
    holed = read_many([slices[k] for k in kept], tmp_path / "holed").item
    assert whole.flags == ()
    assert holed.flags == (Flag.MISSING_SLICES, Flag.UNEVEN_SPACING)
    assert holed.details["spacing_mm"] == [3, 1, 1]
    np.testing.assert_array_equal(seen(holed), seen(whole)[kept])


@pytest.mark.parametrize(
    ("heights", "flags"),
    [
        ([0, 3, 6, 9, 12], ()),
        ([0, 3, 6, 9, 13.4], (Flag.UNEVEN_SPACING,)),
        ([0, 3, 6, 9, 13.6], (Flag.MISSING_SLICES, Flag.UNEVEN_SPACING)),
        ([0, 3.001, 6, 8.999, 12], ()),
    ],
)
def test_v4_a_gap_of_more_than_one_and_a_half_times_the_median_is_a_hole(
    heights: list[float], flags: tuple[Flag, ...], tmp_path: Path
) -> None:
    slices = stack(MR)
    for ds, z in zip(slices, heights, strict=True):
        ds.ImagePositionPatient = [0, 0, z]
    assert read_many(slices, tmp_path).item.flags == flags


def broken(ds: Dataset) -> Dataset:
    """The slice with pixels that no decoder can read."""
    compressed(ds, RLELossless).PixelData = encapsulate([b"\xff" * 200])
    return ds


def test_v4_a_slice_that_cannot_be_decoded_leaves_a_hole_and_nothing_else(tmp_path: Path) -> None:
    slices = stack(CT, 7)
    others = read_many([*slices[:3], *slices[4:]], tmp_path / "others").item
    broken(slices[3])
    result = read_many(slices, tmp_path / "all")
    assert result.reason == Reason.DECODE_FAILED
    assert result.item.flags == others.flags == (Flag.MISSING_SLICES, Flag.UNEVEN_SPACING)
    assert result.item.pixel_hash == others.pixel_hash
    np.testing.assert_array_equal(seen(result.item), seen(others))


# -- V5: gantry tilt ----------------------------------------------------------------------------


@pytest.mark.parametrize("degrees", [-12.0, 5.0, 20.0])
@pytest.mark.parametrize("tagged", [False, True])
def test_v5_a_tilt_is_found_in_the_positions_recorded_and_met_slice_by_slice(
    degrees: float, tagged: bool, tmp_path: Path
) -> None:
    upright = stack(CT, 6)
    step = (0.0, 3 * math.tan(math.radians(degrees)), 3.0)
    tag = {"GantryDetectorTilt": degrees} if tagged else {}
    item = read_many(stack(CT, 6, step=step, **tag), tmp_path).item
    assert item.flags == (Flag.GANTRY_TILT,)
    assert item.details["tilt_degrees"] == pytest.approx(abs(degrees), abs=0.01)
    assert item.details["orientation"][:3] == pytest.approx(step / np.linalg.norm(step), abs=1e-5)
    np.testing.assert_array_equal(seen(item), seen(read_many(upright, tmp_path).item))


def test_v5_a_tilt_that_only_the_tag_knows_is_flagged_too(tmp_path: Path) -> None:
    item = read_many(stack(CT, GantryDetectorTilt=-15), tmp_path).item
    assert item.flags == (Flag.GANTRY_TILT,)
    assert item.details["tilt_degrees"] == 15


# -- V6: enhanced multi-frame -------------------------------------------------------------------


@given(order=st.permutations(range(6)))
@few_examples
def test_v6_frames_in_random_order_are_sorted_by_their_own_positions(
    order: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("enhanced")
    slices = np.stack([picture(seed) for seed in range(6)])
    classic = read_many(stack(MR, 6, pixels=slices), folder).item
    whole = read_one(enhanced(slices[order], [3.0 * k for k in order]), folder)
    assert (whole.item.kind, whole.item.slices, whole.item.flags) == ("volume", 6, ())
    assert whole.item.pixel_hash == classic.pixel_hash
    np.testing.assert_array_equal(seen(whole.item), seen(classic))


@pytest.mark.parametrize("where", ["frames", "shared", "root"])
def test_v6_orientation_comes_from_the_frames_then_the_shared_groups_then_the_root(
    where: str, tmp_path: Path
) -> None:
    pixels = np.stack([picture(seed) for seed in range(5)])
    shared = {"frames": SAGITTAL, "shared": CORONAL, "root": None}[where]
    ds = enhanced(pixels, [0] * 5, orientation=shared)
    places = [{"ImagePositionPatient": [0, 4 * k, 0]} for k in (2, 0, 1, 4, 3)]
    frame_groups(ds, "PlanePositionSequence", places)
    if where == "frames":
        planes = [{"ImageOrientationPatient": [*CORONAL]}] * 5
        frame_groups(ds, "PlaneOrientationSequence", planes)
    elif where == "root":
        ds.ImageOrientationPatient = [*CORONAL]
    item = read_one(ds, tmp_path).item
    assert (item.kind, item.slices, item.details["spacing_mm"]) == ("volume", 5, [4, 1, 1])
    assert item.details["orientation"][:3] == [0, 1, 0]


def test_v6_frames_without_orientation_go_the_2d_way(tmp_path: Path) -> None:
    pixels = np.stack([picture(seed) for seed in range(5)])
    items = read_one(enhanced(pixels, [0, 3, 6, 9, 12], orientation=None), tmp_path).items
    assert [(item.kind, item.frame_index, item.flags) for item in items] == [
        ("image", frame, (Flag.NO_GEOMETRY,)) for frame in range(5)
    ]


def test_v6_frames_are_not_called_blank_because_their_sample_is(tmp_path: Path) -> None:
    pixels = np.zeros((40, 32, 32), np.int16)
    pixels[20] = picture()
    sampled = read_one(enhanced(pixels, [0.0] * 40, orientation=None), tmp_path)
    assert [item.frame_index for item in sampled.items] == [20]


@pytest.mark.parametrize(
    ("group", "elements"),
    [
        ("FrameContentSequence", lambda t: {"TemporalPositionIndex": t + 1}),
        ("TemporalPositionSequence", lambda t: {"TemporalPositionTimeOffset": 1.5 * t}),
        ("MREchoSequence", lambda t: {"EffectiveEchoTime": 10.0 + 70 * t}),
        ("MRDiffusionSequence", lambda t: {"DiffusionBValue": 500.0 * t}),
        ("CardiacSynchronizationSequence", lambda t: {"NominalCardiacTriggerDelayTime": 40.0 * t}),
        ("FrameContentSequence", None),  # Canon writes TemporalPositionIndex 1 everywhere
    ],
)
def test_v6_time_points_echoes_and_b_values_of_one_object_are_volumes_of_their_own(
    group: str, elements: Callable[[int], dict[str, Any]] | None, tmp_path: Path
) -> None:
    pixels = np.stack([[picture(10 * t + z) for z in range(4)] for t in range(3)])
    places = [(t, z) for t in range(3) for z in range(4)]
    if elements is None:
        said = [{"TemporalPositionIndex": 1}] * 12
    else:
        random.Random(2).shuffle(places)
        said = [elements(t) for t, _ in places]
    ds = enhanced(np.stack([pixels[place] for place in places]), [3.0 * z for _, z in places])
    items = read_one(frame_groups(ds, group, said), tmp_path).items
    alone = [read_one(enhanced(phase, [0, 3, 6, 9]), tmp_path).item for phase in pixels]
    assert [item.pixel_hash for item in items] == [item.pixel_hash for item in alone]


def test_v6_canon_s_time_points_in_files_of_their_own_stay_apart(tmp_path: Path) -> None:
    series, files = new_uid(), []
    for t in range(3):
        pixels = np.stack([picture(10 * t + k) for k in range(4)])
        ds = enhanced(pixels, [0, 3, 6, 9], SeriesInstanceUID=series, InstanceNumber=t + 1)
        index = [
            {"InStackPositionNumber": 4 * t + k + 1, "TemporalPositionIndex": t + 1, "StackID": "1"}
            for k in range(4)
        ]
        files.append(frame_groups(ds, "FrameContentSequence", index))
    items = read_many(files, tmp_path).items
    assert [(item.slices, item.instance_uids) for item in items] == [
        (4, (ds.SOPInstanceUID,)) for ds in files
    ]


# -- V7: mosaics and 4-D ------------------------------------------------------------------------

SIEMENS = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]


def mosaic(seed: int = 0, image_type: Sequence[str] = SIEMENS, **elements: Any) -> Dataset:
    """Five Siemens tiles of 32 pixels, 4 mm apart."""
    frame = np.zeros((96, 96), np.int16)
    for k in range(5):
        row, column = 32 * (k // 3), 32 * (k % 3)
        frame[row : row + 32, column : column + 32] = picture(seed + k)
    place = {"ImagePositionPatient": [-48, -48, 0], "ImageOrientationPatient": list(AXIAL)}
    spacing = {"PixelSpacing": [1, 1], "SpacingBetweenSlices": 4}
    ds = dicom(frame, MR, ImageType=list(image_type), **place, **spacing, **elements)
    ds.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", 5)
    return ds


@pytest.mark.parametrize(
    "image_type", [SIEMENS, ["DERIVED", "PRIMARY", "DIFFUSION", "MOCO", "MOSAIC"]]
)
def test_v7_a_mosaic_is_cut_into_the_volume_it_is(image_type: list[str], tmp_path: Path) -> None:
    item = read_one(mosaic(image_type=image_type), tmp_path).item
    classic = read_many(stack(MR, step=(0, 0, 4), origin=(-16, -16, 0)), tmp_path).item
    assert (item.kind, item.slices, item.flags) == ("volume", 5, (Flag.MOSAIC,))
    for key in ("spacing_mm", "orientation", "origin_mm"):
        assert item.details[key] == classic.details[key]
    assert item.pixel_hash == classic.pixel_hash
    np.testing.assert_array_equal(seen(item), seen(classic))


def test_v7_a_mosaic_that_cannot_be_cut_is_not_taken_for_a_primary_image(tmp_path: Path) -> None:
    ds = mosaic()
    del ds[0x0019, 0x100A]
    item = read_one(ds, tmp_path).item
    assert (item.kind, item.role, item.flags) == ("image", Role.DERIVED, (Flag.MOSAIC,))


def time_points_as_slices() -> list[Dataset]:
    phases = [stack(MR, 4, seed=10 * t, TemporalPositionIdentifier=t + 1) for t in range(6)]
    return one_series(*phases)


def time_points_as_one_object() -> list[Dataset]:
    pixels = np.stack([picture(seed) for seed in range(24)])
    ds = enhanced(pixels, [3.0 * (k % 4) for k in range(24)])
    index = [{"TemporalPositionIndex": k // 4 + 1} for k in range(24)]
    return [frame_groups(ds, "FrameContentSequence", index)]


@pytest.mark.parametrize("made", [time_points_as_slices, time_points_as_one_object])
def test_v7_of_many_time_points_evenly_spaced_ones_are_taken(
    made: Callable[[], list[Dataset]], tmp_path: Path
) -> None:
    every = read_many(made(), tmp_path / "every", max_stacks=6).items
    some = read_many(made(), tmp_path / "some", max_stacks=3).items
    assert [item.pixel_hash for item in some] == [every[k].pixel_hash for k in (0, 2, 5)]
    assert all(Flag.STACKS_SAMPLED in item.flags for item in some)
    assert not any(Flag.STACKS_SAMPLED in item.flags for item in every)


def test_v7_time_points_that_are_files_of_their_own_are_items_of_their_own(tmp_path: Path) -> None:
    """Decision 10: the cap on the stacks of a series is for what is put together from slices."""
    series = new_uid()
    run = [mosaic(10 * t, SeriesInstanceUID=series, InstanceNumber=t + 1) for t in range(6)]
    items = read_many(run, tmp_path, max_stacks=3).items
    assert [item.kind for item in items] == ["volume"] * 6
    assert not any(Flag.STACKS_SAMPLED in item.flags for item in items)


# -- V8: too few, too many ----------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("sop_class", [CT, MR, PT])
def test_v8_one_or_two_slices_are_images(count: int, sop_class: str, tmp_path: Path) -> None:
    items = read_many(stack(sop_class, count), tmp_path).items
    assert [(item.kind, item.slices, item.flags) for item in items] == [
        ("image", 1, (Flag.FEW_SLICES,))
    ] * count


@pytest.mark.parametrize("with_voi_lut", [False, True])
def test_v8_a_broken_third_slice_changes_nothing_for_the_other_two(
    with_voi_lut: bool, tmp_path: Path
) -> None:
    lut = macro(LUTDescriptor=[256, 0, 8], LUTData=list(range(255, -1, -1)))
    lut["LUTData"].VR = "US"
    slices = stack(MR, 3, VOILUTSequence=[lut] if with_voi_lut else None)
    two = read_many(slices[:2], tmp_path / "two").items
    left = read_many([*slices[:2], broken(slices[2])], tmp_path / "three").items
    assert [(item.kind, item.flags) for item in left] == [("image", (Flag.FEW_SLICES,))] * 2
    assert [item.thumbnail for item in left] == [item.thumbnail for item in two]


def test_v8_slices_left_over_from_a_broken_stack_are_not_forgotten(tmp_path: Path) -> None:
    slices = stack(MR, 20)
    for k in set(range(20)) - {0, 2}:
        broken(slices[k])
    result = read_many(slices, tmp_path, max_slices=8)
    assert [item.instance_uids for item in result.items] == [uids(slices[:1]), uids(slices[2:3])]


@pytest.mark.parametrize("step", [0.05, 50.0])
def test_v8_very_thin_and_very_thick_stacks_are_volumes(step: float, tmp_path: Path) -> None:
    item = read_many(stack(MR, step=(0, 0, step)), tmp_path).item
    assert (item.kind, item.flags, item.details["spacing_mm"]) == ("volume", (), [step, 1, 1])


def test_v8_of_a_long_stack_always_the_same_even_slices_are_used(tmp_path: Path) -> None:
    slices = stack(CT, 40)
    item = read_many(slices, tmp_path / "a", max_slices=10).item
    shuffled = random.Random(1).sample(slices, 40)
    again = read_many(shuffled, tmp_path / "b", max_slices=10).item
    even = [slices[k] for k in range(40) if k % 4 == (1 if k < 20 else 2)]
    assert item.flags == (Flag.SLICES_SAMPLED,)
    assert (item.slices, item.details["slices_used"]) == (40, 10)
    assert item.instance_uids == uids(slices)  # all are part of it, whatever was sampled
    np.testing.assert_array_equal(seen(item), seen(again))
    np.testing.assert_array_equal(seen(item), seen(read_many(even, tmp_path / "c").item))


def test_v8_thousands_of_slices_are_capped_by_default(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 999, (2000, 8, 8)).astype(np.int16)
    item = read_one(enhanced(pixels, [0.5 * k for k in range(2000)]), tmp_path).item
    assert Flag.SLICES_SAMPLED in item.flags
    assert (item.slices, item.details["slices_used"]) == (2000, 512)


def test_p2_a_blank_slice_stays_in_its_volume_but_blank_volumes_are_rejected(
    tmp_path: Path,
) -> None:
    pixels = np.stack([picture(seed) for seed in range(5)])
    pixels[[0, 4]] = 0
    assert read_many(stack(CT, pixels=pixels), tmp_path / "ends").item.slices == 5
    blank = read_many(stack(CT, pixels=np.zeros_like(pixels)), tmp_path / "blank")
    assert blank.items == []
    assert [reason for reason, _ in blank.refused.values()] == [Reason.BLANK] * 5


def test_p2_a_stack_is_not_called_blank_because_its_sample_is(tmp_path: Path) -> None:
    pixels = np.zeros((20, 32, 32), np.int16)
    pixels[[0, 2]] = picture()
    assert read_many(stack(MR, pixels=pixels, n=20), tmp_path, max_slices=8).refused == {}


# -- V9: no geometry ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "broken",
    [
        {"ImagePositionPatient": None},
        {"ImageOrientationPatient": None},
        {"ImagePositionPatient": None, "ImageOrientationPatient": None, "PixelSpacing": None},
        {"PixelSpacing": None},
        {"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]},
        {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]},
        {"ImagePositionPatient": []},
    ],
)
def test_v9_slices_without_geometry_are_images_and_say_so(
    broken: dict[str, Any], tmp_path: Path
) -> None:
    items = read_many(stack(CT, 4, **broken), tmp_path).items
    assert [(item.kind, item.flags) for item in items] == [("image", (Flag.NO_GEOMETRY,))] * 4


def test_v9_one_slice_without_geometry_leaves_the_volume_to_the_others(tmp_path: Path) -> None:
    slices = stack(CT, 5)
    good = read_many(slices[:4], tmp_path / "good").item
    change(slices[4], ImagePositionPatient=None)
    image, volume = read_many(slices, tmp_path / "all").items
    assert (image.kind, image.flags) == ("image", (Flag.NO_GEOMETRY,))
    assert image.instance_uids == uids(slices[4:])
    assert (volume.kind, volume.flags, volume.pixel_hash) == ("volume", (), good.pixel_hash)


# -- V10: thickness against positions -----------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "flagged"),
    [
        ({"SliceThickness": 3}, False),
        ({"SliceThickness": 5}, False),  # overlapping slices
        ({"SliceThickness": 10}, True),
        ({"SliceThickness": 0.5}, True),
        ({"SliceThickness": 0}, False),  # says nothing
        ({"SpacingBetweenSlices": -7}, False),
        ({"SpacingBetweenSlices": 30}, False),
    ],
)
def test_v10_the_positions_give_the_spacing_whatever_the_tags_say(
    said: dict[str, float], flagged: bool, tmp_path: Path
) -> None:
    item = read_many(stack(MR, **said), tmp_path).item
    assert item.details["spacing_mm"] == [3, 1, 1]
    assert item.flags == ((Flag.THICKNESS_DIFFERS,) if flagged else ())
