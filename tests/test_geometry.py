"""Which slices make a volume, in which order, and where it lies."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
