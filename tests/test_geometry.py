"""Which slices make a volume, in which order, and where it lies."""

from __future__ import annotations

import math
import random
import struct
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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
    SliceHeader,
    Stack,
    StackPlan,
    build_stacks,
    deshear,
    upright,
)
from indexer.dicom.sampling import sample_indices
from indexer.types import Flag

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)


def axial(key: int, z: float, **other: object) -> SliceHeader:
    header = SliceHeader(
        key=key,
        rows=64,
        columns=48,
        position=(-10.0, -20.0, z),
        orientation=AXIAL,
        spacing=(0.5, 0.7),
        instance_number=key + 1,
    )
    return replace(header, **other)  # type: ignore[arg-type]


def keys_of(plan: StackPlan) -> list[int]:
    return sorted(
        [key for stack in plan.stacks for key in stack.keys]
        + [key for key, _ in plan.singles]
        + [key for key, _ in plan.duplicates]
        + plan.sampled_out
    )


def only(plan: StackPlan) -> Stack:
    assert len(plan.stacks) == 1
    return plan.stacks[0]


# -- order and place --------------------------------------------------------------------------


def test_position_decides_not_instance_number() -> None:
    heights = [30.0, 0.0, 20.0, 10.0]
    stack = only(build_stacks([axial(k, z) for k, z in enumerate(heights)]))
    assert stack.keys == (1, 3, 2, 0)
    assert stack.spacing == pytest.approx((10.0, 0.5, 0.7))
    assert stack.origin == pytest.approx((-10.0, -20.0, 0.0))
    assert stack.orientation == pytest.approx((0, 0, 1, 0, 1, 0, 1, 0, 0))
    assert stack.offsets == pytest.approx((0, 10, 20, 30))
    assert (stack.flags, stack.label, stack.name) == ((), "", "axial-64x48")


def test_ascending_means_along_the_normal_of_the_orientation() -> None:
    # Rows run to the back, columns down: the normal points to the right of the patient (-x).
    places = [(x, 0.0, 0.0) for x in (0.0, 3.0, 6.0)]
    stack = only(
        build_stacks([axial(k, 0, orientation=SAGITTAL, position=p) for k, p in enumerate(places)])
    )
    assert stack.keys == (2, 1, 0)
    assert stack.orientation[:3] == pytest.approx((-1, 0, 0))


@given(st.data())
@settings(max_examples=60)
def test_slices_are_sorted_along_the_normal_whatever_the_orientation(data: st.DataObject) -> None:
    a, b = (data.draw(st.floats(-3, 3)) for _ in range(2))
    row = np.array([math.cos(a), math.sin(a), 0])
    column = np.array([-math.sin(a) * math.cos(b), math.cos(a) * math.cos(b), math.sin(b)])
    normal = np.cross(row, column)
    steps = data.draw(st.lists(st.integers(-50, 50), min_size=3, max_size=20, unique=True))
    orientation = tuple(float(v) for v in (*row, *column))
    headers = [
        axial(k, 0, orientation=orientation, position=tuple(float(v) for v in normal * step))
        for k, step in enumerate(steps)
    ]
    stack = only(build_stacks(headers))
    assert [steps[key] for key in stack.keys] == sorted(steps)
    assert stack.orientation[:3] == pytest.approx(normal, abs=1e-6)


def test_geometry_maps_indices_to_the_header_positions() -> None:
    places = [(1.0, 2.0 + 0.1 * k, 3.0 * k) for k in range(6)]
    stack = only(build_stacks([axial(k, 0, position=p) for k, p in enumerate(places)]))
    step = np.array(stack.orientation[:3]) * stack.spacing[0]
    for index, key in enumerate(stack.keys):
        assert np.array(stack.origin) + index * step == pytest.approx(places[key])


# -- several stacks in one series -------------------------------------------------------------


def test_three_plane_localizer_is_three_stacks() -> None:
    coronal = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
    headers = [
        axial(3 * k + n, 0, orientation=o, position=(5.0 * k, 5.0 * k, 5.0 * k), localizer=True)
        for k in range(3)
        for n, o in enumerate((AXIAL, SAGITTAL, coronal))
    ]
    # Diagonal positions are tilted for every plane; only the division matters here.
    plan = build_stacks(headers)
    assert sorted(s.label for s in plan.stacks) == ["axial", "coronal", "sagittal"]
    assert all(stack.localizer for stack in plan.stacks)


def test_localizer_is_kept_out_of_the_volume() -> None:
    volume = [axial(k, 2.0 * k) for k in range(5)]
    scout = axial(5, 3.0, localizer=True)
    plan = build_stacks([*volume, scout])
    assert only(plan).keys == (0, 1, 2, 3, 4)
    assert plan.singles == [(5, (Flag.FEW_SLICES,))]


def test_matrix_pixel_spacing_and_colour_part_stacks() -> None:
    small = [axial(k, 1.0 * k) for k in range(3)]
    large = [axial(3 + k, 1.0 * k, rows=128) for k in range(3)]
    zoomed = [axial(6 + k, 1.0 * k, spacing=(0.25, 0.35)) for k in range(3)]
    colour = [axial(9 + k, 1.0 * k, samples=3) for k in range(3)]
    plan = build_stacks([*small, *large, *zoomed, *colour])
    assert {frozenset(s.keys) for s in plan.stacks} == {
        frozenset(range(first, first + 3)) for first in (0, 3, 6, 9)
    }
    assert len({stack.label for stack in plan.stacks}) == 4


def test_orientations_that_differ_by_noise_stay_together_even_across_a_rounding_border() -> None:
    noisy = [(1.0, 0.00149 + 0.00004 * (k % 2), 0.0, 0.0, 1.0, 0.0) for k in range(6)]
    stack = only(build_stacks([axial(k, 2.0 * k, orientation=o) for k, o in enumerate(noisy)]))
    assert len(stack.keys) == 6


@pytest.mark.parametrize(
    ("name", "values", "label"),
    [
        ("stack_id", ("1", "2"), "stack"),
        ("echo", ("1", "2"), "echo"),
        ("echo_time", ("14", "98"), "te"),
        ("b_value", ("50", "1000"), "b"),
        ("direction", ("1/0/0", "0/1/0"), "direction"),
        ("component", ("M", "P"), "component"),
        ("acquisition", ("9", "10"), "acquisition"),
        ("temporal", ("1", "2"), "temporal"),
        ("trigger", ("0", "41.5"), "trigger"),
        ("acquisition_time", ("101500", "101730"), "time"),
        ("content_time", ("101500", "101730"), "content"),
    ],
)
def test_repeated_positions_are_parted_by(name: str, values: tuple[str, str], label: str) -> None:
    # Interleaved, as a double-echo sequence stores them: place 1 echo 1, place 1 echo 2, ...
    headers = [axial(k, 4.0 * (k // 2), **{name: values[k % 2]}) for k in range(10)]
    plan = build_stacks(headers)
    labels = {stack.label: stack.keys for stack in plan.stacks}
    assert labels[f"{label}={values[0]}"] == (0, 2, 4, 6, 8)
    assert labels[f"{label}={values[1]}"] == (1, 3, 5, 7, 9)
    assert keys_of(plan) == list(range(10))


def test_image_type_parts_in_phase_from_water() -> None:
    types = [("ORIGINAL", "PRIMARY", kind) for kind in ("IN_PHASE", "WATER")]
    plan = build_stacks([axial(k, 4.0 * (k // 2), image_type=types[k % 2]) for k in range(8)])
    assert [stack.keys for stack in plan.stacks] == [(0, 2, 4, 6), (1, 3, 5, 7)]


def test_discriminators_nest() -> None:
    headers = [
        axial(8 * z + 4 * b + t, 5.0 * z, b_value=("0", "800")[b], temporal=str(t))
        for z in range(5)
        for b in range(2)
        for t in range(4)
    ]
    plan = build_stacks(headers)
    assert len(plan.stacks) == 8
    assert plan.stacks[-1].label == "b=800,temporal=3"
    assert plan.stacks[-1].keys == (7, 15, 23, 31, 39)


def test_a_discriminator_is_not_asked_when_no_place_repeats() -> None:
    headers = [axial(k, 2.0 * k, acquisition=str(k % 2), echo=str(k % 3)) for k in range(9)]
    assert len(only(build_stacks(headers)).keys) == 9


def test_time_stamps_of_every_slice_give_the_order_of_visits_not_crumbs() -> None:
    # A dynamic series, volume after volume; each slice has its own time, numbers say nothing.
    headers = [
        axial(k, 3.0 * (k % 8), acquisition_time=f"1200{k:02d}.5", instance_number=1)
        for k in range(24)
    ]
    plan = build_stacks(headers)
    assert [stack.keys for stack in plan.stacks] == [
        tuple(range(8)),
        tuple(range(8, 16)),
        tuple(range(16, 24)),
    ]
    assert [stack.label for stack in plan.stacks] == ["visit=1", "visit=2", "visit=3"]


def test_instance_numbers_give_the_order_of_visits() -> None:
    headers = [axial(k, 3.0 * (k // 2)) for k in range(12)]  # place after place, two visits each
    plan = build_stacks(headers)
    assert [stack.keys for stack in plan.stacks] == [(0, 2, 4, 6, 8, 10), (1, 3, 5, 7, 9, 11)]


def test_blocks_side_by_side_are_two_stacks() -> None:
    # Two stations of a spine: the same sagittal places, one block 200 mm below the other.
    upper = [axial(k, 0, orientation=SAGITTAL, position=(4.0 * k, 0.0, 300.0)) for k in range(5)]
    lower = [
        axial(5 + k, 0, orientation=SAGITTAL, position=(4.0 * k, 0.0, 100.0)) for k in range(5)
    ]
    plan = build_stacks([*upper, *lower])
    assert sorted(sorted(stack.keys) for stack in plan.stacks) == [
        [0, 1, 2, 3, 4],
        [5, 6, 7, 8, 9],
    ]
    assert len({stack.name for stack in plan.stacks}) == 2


def test_too_many_stacks_are_sampled_evenly() -> None:
    headers = [axial(3 * t + z, 5.0 * z, temporal=str(t)) for t in range(10) for z in range(3)]
    plan = build_stacks(headers, max_stacks=4)
    assert [stack.label for stack in plan.stacks] == [f"temporal={t}" for t in (1, 3, 6, 8)]
    assert all(Flag.STACKS_SAMPLED in stack.flags for stack in plan.stacks)
    assert keys_of(plan) == list(range(30))


# -- repeats, holes, tilt ---------------------------------------------------------------------


def test_a_slice_sent_twice_is_left_out_once() -> None:
    headers = [axial(k, 2.0 * k) for k in range(6)]
    again = replace(headers[2], key=6, instance_number=99)
    plan = build_stacks([again, *headers])
    assert only(plan).keys == (0, 1, 2, 3, 4, 5)
    assert only(plan).flags == (Flag.DUPLICATE_POSITIONS,)
    assert plan.duplicates == [(6, 2)]


def test_a_whole_series_sent_twice_under_equal_numbers_is_one_stack() -> None:
    headers = [axial(k, 2.0 * k) for k in range(6)]
    plan = build_stacks([*headers, *(replace(h, key=h.key + 6) for h in headers)])
    assert only(plan).keys == (0, 1, 2, 3, 4, 5)
    assert plan.duplicates == [(k + 6, k) for k in range(6)]


def test_missing_slice_is_flagged_and_not_stretched() -> None:
    stack = only(build_stacks([axial(k, z) for k, z in enumerate((0, 2, 4, 8, 10, 12))]))
    assert stack.flags == (Flag.UNEVEN_SPACING, Flag.MISSING_SLICES)
    assert stack.spacing[0] == pytest.approx(2.0)
    assert stack.offsets == pytest.approx((0, 2, 4, 8, 10, 12))


def test_uneven_spacing_without_a_hole() -> None:
    stack = only(build_stacks([axial(k, z) for k, z in enumerate((0, 2, 4, 6.3, 8.3))]))
    assert stack.flags == (Flag.UNEVEN_SPACING,)


def test_rounded_positions_are_even() -> None:
    stack = only(build_stacks([axial(k, round(0.625 * k, 2)) for k in range(40)]))
    assert stack.flags == ()


@pytest.mark.parametrize(("thickness", "flagged"), [(5.0, False), (0.9, True), (4.1, False)])
def test_positions_win_over_thickness(thickness: float, flagged: bool) -> None:
    step = 4.0 if thickness != 5.0 else 3.0
    stack = only(build_stacks([axial(k, step * k, thickness=thickness) for k in range(5)]))
    assert stack.spacing[0] == pytest.approx(step)
    assert (Flag.THICKNESS_DIFFERS in stack.flags) is flagged


def tilted(degrees: float, count: int = 21, step: float = 3.0) -> list[SliceHeader]:
    """CT with a tilted gantry: planes lean about x, the table moves along z."""
    angle = math.radians(degrees)
    orientation = (1.0, 0.0, 0.0, 0.0, math.cos(angle), -math.sin(angle))
    return [
        axial(k, 0, orientation=orientation, position=(-24.0, -32.0, step * k), spacing=(1.0, 1.0))
        for k in range(count)
    ]


@pytest.mark.parametrize("degrees", [-18.0, 3.0, 20.0])
def test_gantry_tilt_is_measured(degrees: float) -> None:
    stack = only(build_stacks(tilted(degrees)))
    assert stack.sheared
    assert stack.flags == (Flag.GANTRY_TILT,)
    assert stack.tilt_degrees == pytest.approx(abs(degrees))
    assert stack.spacing[0] == pytest.approx(3.0)  # along the table, not between the planes
    assert stack.orientation[:3] == pytest.approx((0, 0, 1))


def test_a_small_lean_is_no_tilt() -> None:
    stack = only(build_stacks(tilted(0.3)))
    assert not stack.sheared
    assert stack.flags == ()


def test_a_tilt_that_only_the_tag_claims_is_flagged_but_not_sheared() -> None:
    stack = only(build_stacks([axial(k, 5.0 * k, tilt=-15.0) for k in range(4)]))
    assert stack.flags == (Flag.GANTRY_TILT,)
    assert (stack.tilt_degrees, stack.sheared) == (15.0, False)


def sample(stack: Stack, rows: int, columns: int) -> np.ndarray:
    """Draw a soft cylinder (axis along z, radius 9 mm) at the stack's own voxel positions."""
    k, j, i = np.meshgrid(
        np.array(stack.offsets), np.arange(rows), np.arange(columns), indexing="ij"
    )
    o = np.array(stack.orientation).reshape(3, 3)
    place = (
        np.array(stack.origin)
        + k[..., None] * o[0]
        + j[..., None] * stack.spacing[1] * o[1]
        + i[..., None] * stack.spacing[2] * o[2]
    )
    distance = np.hypot(place[..., 0], place[..., 1] - 4.0)
    return np.asarray(1 / (1 + np.exp(distance - 9.0)), dtype=np.float32)


@pytest.mark.parametrize("degrees", [-12.0, 20.0])
def test_deshear_puts_every_voxel_where_the_new_geometry_says(degrees: float) -> None:
    stack = only(build_stacks(tilted(degrees, count=11)))
    fixed = deshear(sample(stack, 64, 48), stack, fill=0.0)
    new = upright(stack)
    assert not new.sheared
    assert new.spacing[0] == pytest.approx(3.0 * math.cos(math.radians(degrees)))
    step, down, along = np.array(new.orientation).reshape(3, 3)
    assert step @ down == pytest.approx(0, abs=1e-9)
    assert step @ along == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(fixed, sample(new, 64, 48), atol=0.06)


def test_deshear_leaves_upright_volumes_alone_and_checks_the_shape() -> None:
    stack = only(build_stacks([axial(k, 2.0 * k) for k in range(4)]))
    volume = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    np.testing.assert_array_equal(deshear(volume, stack, 0.0), volume)
    assert upright(stack) is stack
    with pytest.raises(ValueError, match="3 slices, but the stack has 4"):
        deshear(volume[:3], stack, 0.0)


# -- what does not make a stack ---------------------------------------------------------------


def test_one_or_two_slices_go_the_2d_way() -> None:
    plan = build_stacks([axial(k, 2.0 * k) for k in range(2)])
    assert plan.stacks == []
    assert plan.singles == [(0, (Flag.FEW_SLICES,)), (1, (Flag.FEW_SLICES,))]


def test_a_cine_at_one_place_is_not_a_pile_of_duplicates() -> None:
    plan = build_stacks([axial(k, 7.0, trigger=str(40 * k)) for k in range(25)])
    assert (plan.stacks, plan.duplicates) == ([], [])
    assert len(plan.singles) == 25


@pytest.mark.parametrize(
    "broken",
    [
        {"position": None},
        {"orientation": None},
        {"spacing": None},
        {"position": (0.0, math.nan, 0.0)},
        {"position": (0.0, math.inf, 0.0)},
        {"position": (0.0, 1e300, 0.0)},
        {"orientation": (0.0, 0.0, 0.0, 0.0, 1.0, 0.0)},
        {"orientation": (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)},
        {"orientation": (2.0, 0.0, 0.0, 0.0, 1.0, 0.0)},
        {"orientation": (1.0, 0.0, 0.0, math.nan, 1.0, 0.0)},
        {"orientation": (1.0, 0.0, 0.0)},
        {"spacing": (0.0, 1.0)},
    ],
)
def test_nonsense_geometry_is_no_geometry(broken: dict[str, object]) -> None:
    good = [axial(k, 2.0 * k) for k in range(4)]
    plan = build_stacks([*good, axial(4, 8.0, **broken)])
    assert only(plan).keys == (0, 1, 2, 3)
    assert plan.singles == [(4, (Flag.NO_GEOMETRY,))]


def test_no_slices_no_stacks() -> None:
    assert build_stacks([]) == StackPlan()


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="repeat"):
        build_stacks([axial(0, 0.0), axial(0, 1.0)])
    with pytest.raises(ValueError, match="at least 2"):
        build_stacks([], min_slices=1)


texts = st.sampled_from(["", "1", "2", "10"])
wild_headers = st.builds(
    SliceHeader,
    key=st.just(0),
    rows=st.sampled_from([64, 128]),
    columns=st.just(64),
    position=st.one_of(
        st.none(),
        st.tuples(st.just(0.0), st.sampled_from([0.0, 0.0, 50.0]), st.integers(0, 6).map(float)),
        st.tuples(st.floats(), st.floats(), st.floats()),
    ),
    orientation=st.sampled_from([None, AXIAL, AXIAL, AXIAL, SAGITTAL]),
    spacing=st.sampled_from([None, (1.0, 1.0), (1.0, 1.0), (0.5, 0.5)]),
    thickness=st.sampled_from([None, 1.0, 30.0]),
    echo=texts,
    b_value=texts,
    temporal=texts,
    acquisition_time=texts,
    instance_number=st.one_of(st.none(), st.integers(0, 40)),
    localizer=st.booleans(),
)


@given(st.lists(wild_headers, max_size=40), st.randoms(use_true_random=False), st.integers(1, 5))
@settings(max_examples=200)
def test_every_slice_has_one_fate_and_order_of_input_does_not_matter(
    headers: list[SliceHeader], rng: random.Random, max_stacks: int
) -> None:
    headers = [replace(header, key=key) for key, header in enumerate(headers)]
    plan = build_stacks(headers, max_stacks=max_stacks)
    assert keys_of(plan) == list(range(len(headers)))
    assert len(plan.stacks) <= max_stacks
    assert len({stack.name for stack in plan.stacks}) == len(plan.stacks)
    for stack in plan.stacks:
        assert len(stack.keys) >= 3
        assert list(stack.offsets) == sorted(stack.offsets)
        assert np.isfinite([*stack.spacing, *stack.orientation, *stack.origin]).all()
    rng.shuffle(headers)
    assert build_stacks(headers, max_stacks=max_stacks) == plan


@given(st.integers(2, 6), st.integers(3, 12), st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_names_do_not_depend_on_file_order(echoes: int, places: int, rng: random.Random) -> None:
    made = [(z, e) for z in range(places) for e in range(echoes)]

    def plan() -> dict[str, list[tuple[int, int]]]:
        headers = [axial(k, 5.0 * z, echo=str(e + 1)) for k, (z, e) in enumerate(made)]
        stacks = build_stacks([replace(h, instance_number=None) for h in headers]).stacks
        return {stack.name: [made[key] for key in stack.keys] for stack in stacks}

    before = plan()
    rng.shuffle(made)
    assert plan() == before
    assert len(before) == echoes


def test_thousands_of_slices_are_one_stack_in_little_time() -> None:
    headers = [axial(k, 0.5 * ((k * 7919) % 4001)) for k in range(4001)]
    assert len(only(build_stacks(headers)).keys) == 4001


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
    assert header.orientation == pytest.approx(AXIAL)
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
    stack = only(build_stacks(headers))
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
    stack = only(build_stacks(mosaic_headers(ds)))
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


# -- sampling ---------------------------------------------------------------------------------


def test_sample_indices() -> None:
    assert sample_indices(5, 10) == [0, 1, 2, 3, 4]
    assert sample_indices(100, 4) == [12, 37, 62, 87]
    assert sample_indices(10, 1) == [4]
    assert sample_indices(0, 3) == []
    with pytest.raises(ValueError, match="cannot take"):
        sample_indices(3, 0)


@given(st.integers(0, 5000), st.integers(1, 200))
def test_sample_indices_are_even_and_symmetric(n: int, cap: int) -> None:
    taken = sample_indices(n, cap)
    assert len(taken) == min(n, cap)
    assert taken == sorted(set(taken))
    assert set(taken) <= set(range(n))
    steps = Counter(b - a for a, b in pairwise(taken))
    assert not steps or max(steps) - min(steps) <= 2
    if cap % 2 == 0 or n % 2 == 1:
        assert taken == [n - 1 - index for index in reversed(taken)]
