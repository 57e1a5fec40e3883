"""From slice headers to stacks: which slices of a series form a volume, and where it lies.

Files arrive in any order, with instance numbers that mean nothing, several volumes in one series,
holes, repeats and tilted gantries. Only ImagePositionPatient and ImageOrientationPatient say where
a slice lies (PS3.3 C.7.6.2.1.1), so they decide; the other attributes only tell apart slices that
lie at the same place. Pure functions, no files, no pixels but in `deshear`.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float32, Float64, Int64
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from indexer.dicom.sampling import sample_indices
from indexer.types import Flag

Axes = Float64[np.ndarray, "3 3"]
"""Unit vectors (LPS) as rows: along a row, down a column, normal."""
Coords = Float64[np.ndarray, "n 3"]
Points = Float64[np.ndarray, "n d"]
Reals = Float64[np.ndarray, " n"]
Slots = Int64[np.ndarray, " n"]
GreyVolume = Float32[np.ndarray, "slices height width"]

COSINE_TOLERANCE = 1e-3
"""Orientations whose direction cosines differ by less belong together."""
UNIT_TOLERANCE = 0.02
"""How far orientation vectors may be from unit length and from a right angle."""
SPACING_TOLERANCE = 1e-3
"""Relative difference of pixel spacings that still belong together."""
SAME_PLACE = 0.02
"""Slices nearer to each other than this part of a pixel lie at the same place."""
TILT_DEGREES = 0.5
"""Angle between slice step and slice normal from which on a stack counts as tilted."""
MAX_MM = 1e6
"""Positions beyond a kilometre are nonsense."""


@dataclass(frozen=True)
class SliceHeader:
    """What one slice's header says about its place and its kind. Empty or None: not said.

    Attributes:
        key: the caller's index of the slice, or the zero-based frame.
        rows, columns: matrix.
        position: mm, patient LPS: centre of the first pixel.
        orientation: unit vectors along a row and down a column, LPS.
        spacing: distance of rows and distance of columns, mm.
        thickness, spacing_between: mm.
        tilt: GantryDetectorTilt, degrees.
        image_type: values of ImageType or FrameType.
        stack_id, echo, echo_time, b_value, direction, component, acquisition, temporal, trigger,
            acquisition_time, content_time: what may tell apart slices at the same place.
            ``component`` is M, P, R or I (magnitude, phase, real, imaginary).
        instance_number: InstanceNumber, or the frame number.
        samples: samples per pixel.
        localizer: ImageType says it is a planning image.
    """

    key: int
    rows: int
    columns: int
    position: tuple[float, float, float] | None = None
    orientation: tuple[float, ...] | None = None
    spacing: tuple[float, float] | None = None
    thickness: float | None = None
    spacing_between: float | None = None
    tilt: float | None = None
    image_type: tuple[str, ...] = ()
    stack_id: str = ""
    echo: str = ""
    echo_time: str = ""
    b_value: str = ""
    direction: str = ""
    component: str = ""
    acquisition: str = ""
    temporal: str = ""
    trigger: str = ""
    acquisition_time: str = ""
    content_time: str = ""
    instance_number: int | None = None
    samples: int = 1
    localizer: bool = False


@dataclass(frozen=True)
class Stack:
    """Parallel slices in the order of their positions along the slice normal.

    Attributes:
        keys: of the slices, in order.
        spacing: slice, row and column spacing, mm; the first is the median step and measured
            along the step, which a tilt makes longer than the distance of the planes.
        orientation: nine numbers: unit vectors (LPS) of the slice step, of the row index (down a
            column) and of the column index (along a row), as in `indexer.types.VolumePixels`.
        origin: position (mm, LPS) of the first pixel of the first slice.
        offsets: distance (mm) of each slice from the first along the step.
        flags: what a reader should know.
        tilt_degrees: angle between slice step and slice normal; where the geometry shows none but
            GantryDetectorTilt claims one, that.
        sheared: the step is not along the normal; see `deshear`.
        localizer: a planning stack.
        label: what tells it from the other stacks of the series, ``""`` if it is the only one.
        name: like ``label`` but never empty; the same for the same slices in any order.
    """

    keys: tuple[int, ...]
    spacing: tuple[float, float, float]
    orientation: tuple[float, ...]
    origin: tuple[float, float, float]
    offsets: tuple[float, ...]
    flags: tuple[Flag, ...] = ()
    tilt_degrees: float = 0.0
    sheared: bool = False
    localizer: bool = False
    label: str = ""
    name: str = ""


@dataclass
class StackPlan:
    """What becomes of each slice: every key is in exactly one of these.

    Attributes:
        stacks: volumes.
        singles: slices that go the 2-D way, and why.
        duplicates: (key left out, key kept at the same place).
        sampled_out: slices of stacks beyond the limit.
    """

    stacks: list[Stack] = field(default_factory=list)
    singles: list[tuple[int, tuple[Flag, ...]]] = field(default_factory=list)
    duplicates: list[tuple[int, int]] = field(default_factory=list)
    sampled_out: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class _Group:
    """Slices of one geometry. ``coords`` (n, 3): along a row, down a column, along the normal.

    ``slots`` (n,) numbers the places along the normal upwards from 0; ``traits`` are the
    discriminators that made the group.
    """

    headers: tuple[SliceHeader, ...]
    axes: Axes
    coords: Coords
    slots: Slots
    traits: tuple[tuple[str, str], ...] = ()

    def part(self, index: Sequence[int], *trait: tuple[str, str]) -> _Group:
        chosen = np.asarray(index, dtype=np.int64)
        return replace(
            self,
            headers=tuple(self.headers[i] for i in index),
            coords=self.coords[chosen],
            slots=self.slots[chosen],
            traits=self.traits + trait,
        )

    @property
    def places(self) -> int:
        return len(set(self.slots.tolist()))


_DISCRIMINATORS: tuple[tuple[str, Callable[[SliceHeader], str]], ...] = (
    ("stack", lambda h: h.stack_id),
    ("echo", lambda h: h.echo),
    ("te", lambda h: h.echo_time),
    ("b", lambda h: h.b_value),
    ("direction", lambda h: h.direction),
    ("component", lambda h: h.component),
    ("type", lambda h: "/".join(h.image_type)),
    ("acquisition", lambda h: h.acquisition),
    ("temporal", lambda h: h.temporal),
    ("trigger", lambda h: h.trigger),
    ("time", lambda h: h.acquisition_time),
    ("content", lambda h: h.content_time),
)
_CLOCKS: tuple[Callable[[SliceHeader], str], ...] = (
    lambda h: h.trigger,
    lambda h: h.acquisition_time,
    lambda h: h.content_time,
    lambda h: "" if h.instance_number is None else str(h.instance_number),
)


def build_stacks(
    headers: Sequence[SliceHeader], *, min_slices: int = 3, max_stacks: int = 64
) -> StackPlan:
    """Divide the slices of one series into volumes and leftovers.

    Slices belong together that agree in matrix, samples, orientation and pixel spacing, and lie
    on one line. Only where places repeat do the discriminators part them: stack id, echo, b-value,
    gradient direction, complex component, image type, acquisition, temporal position, trigger,
    acquisition and content time; at last the n-th visit of each place makes the n-th stack.
    Within a stack the order is that of ImagePositionPatient along the normal (PS3.3 C.7.6.2.1.1).

    Args:
        headers: slices of one series, in any order, with distinct keys.
        min_slices: fewer slices go the 2-D way; 2 or more.
        max_stacks: more stacks than this are sampled evenly.

    Returns:
        The plan; it does not depend on the order of ``headers``.

    Raises:
        ValueError: keys repeat, or a limit is too small.
    """
    if len({header.key for header in headers}) != len(headers):
        raise ValueError("slice keys repeat")
    if min_slices < 2 or max_stacks < 1:
        raise ValueError("min_slices must be at least 2, max_stacks at least 1")
    plan = StackPlan()
    usable: list[SliceHeader] = []
    for header in sorted(headers, key=_file_order):
        if _has_geometry(header):
            usable.append(header)
        else:
            plan.singles.append((header.key, (Flag.NO_GEOMETRY,)))
    found: list[tuple[_Group, Stack]] = []
    for group in _split_geometry(usable, min_slices):
        for leaf in _separate(group, min_slices):
            stack = _settle(leaf, min_slices, plan)
            if stack is not None:
                found.append((leaf, stack))
    _limit(_label(found), max_stacks, plan)
    plan.singles.sort()
    plan.duplicates.sort()
    plan.sampled_out.sort()
    return plan


def _file_order(header: SliceHeader) -> tuple[bool, int, int]:
    number = header.instance_number
    return (number is None, number or 0, header.key)


def _has_geometry(header: SliceHeader) -> bool:
    if header.position is None or header.orientation is None or header.spacing is None:
        return False
    numbers = np.array([*header.position, *header.orientation, *header.spacing], dtype=np.float64)
    if len(numbers) != 11 or not np.all(np.abs(numbers) < MAX_MM):
        return False
    row, column = numbers[3:6], numbers[6:9]
    lengths = np.linalg.norm([row, column], axis=1)
    return bool(
        np.all(np.abs(lengths - 1) < UNIT_TOLERANCE)
        and abs(float(row @ column)) < UNIT_TOLERANCE
        and np.all(numbers[9:] > 0)
    )


def _cluster(points: Points, tolerance: float) -> list[list[int]]:
    """Chain points that differ by at most ``tolerance`` in every coordinate.

    Rounding would part values that straddle a border, so neighbours are linked instead.
    Clusters come in the order of their least point.
    """
    unique, inverse = np.unique(points, axis=0, return_inverse=True)
    pairs = cKDTree(unique).query_pairs(tolerance, p=np.inf, output_type="ndarray")
    links = coo_array(
        (np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(unique), len(unique))
    )
    labels = connected_components(links, directed=False)[1][inverse.ravel()]
    order = np.lexsort(points.T[::-1])
    members: dict[int, list[int]] = {int(label): [] for label in labels[order]}
    for index, label in enumerate(labels.tolist()):
        members[label].append(index)
    return list(members.values())


def _split_geometry(headers: Sequence[SliceHeader], min_slices: int) -> Iterable[_Group]:
    alike: dict[tuple[bool, int, int, int], list[SliceHeader]] = defaultdict(list)
    for header in headers:
        kind = (header.localizer, header.rows, header.columns, header.samples)
        alike[kind].append(header)
    for _, members in sorted(alike.items()):
        orientations = np.array([header.orientation for header in members], dtype=np.float64)
        for turned in _cluster(orientations, COSINE_TOLERANCE):
            spacings = np.log(np.array([members[i].spacing for i in turned], dtype=np.float64))
            for scaled in _cluster(spacings, SPACING_TOLERANCE):
                chosen = [members[turned[i]] for i in scaled]
                yield from _split_in_plane(_make_group(chosen), min_slices)


def _make_group(headers: Sequence[SliceHeader]) -> _Group:
    middle = np.median(np.array([h.orientation for h in headers], dtype=np.float64), axis=0)
    row = middle[:3] / np.linalg.norm(middle[:3])
    column = middle[3:] - (middle[3:] @ row) * row
    column /= np.linalg.norm(column)
    axes = np.stack([row, column, np.cross(row, column)])
    coords = np.array([h.position for h in headers], dtype=np.float64) @ axes.T
    return _Group(tuple(headers), axes, coords, _slots(coords[:, 2], _pixel(headers)))


def _pixel(headers: Sequence[SliceHeader]) -> float:
    return float(min(min(header.spacing or (1.0, 1.0)) for header in headers))


def _slots(along: Reals, pixel: float) -> Slots:
    order = np.argsort(along, kind="stable")
    slots = np.zeros(len(along), dtype=np.int64)
    slots[order[1:]] = np.cumsum(np.diff(along[order]) > SAME_PLACE * pixel)
    return slots


def _line(coords: Coords) -> Reals:
    """Fit how far the slices move in plane per mm along the normal: the shear."""
    centred = coords - coords.mean(axis=0)
    spread = float(centred[:, 2] @ centred[:, 2])
    return centred[:, :2].T @ centred[:, 2] / spread if spread > 0 else np.zeros(2)


def _split_in_plane(group: _Group, min_slices: int) -> list[_Group]:
    """Part blocks that lie side by side, such as two stations of a spine.

    A tilted gantry moves slices in plane too, but along a line.
    """
    coords = group.coords
    allowed = max(2 * _pixel(group.headers), 1.0)
    moved = coords - coords.mean(axis=0)
    off_line = moved[:, :2] - np.outer(moved[:, 2], _line(coords))
    if float(np.abs(off_line).max()) <= allowed:
        return [group]
    parts = [_renumber(group.part(index)) for index in _cluster(coords[:, :2], allowed)]
    lost = sum(len(part.headers) for part in parts if part.places < min_slices)
    return parts if lost <= 0.1 * len(coords) else [group]


def _renumber(group: _Group) -> _Group:
    return replace(group, slots=np.unique(group.slots, return_inverse=True)[1].astype(np.int64))


def _separate(group: _Group, min_slices: int, start: int = 0) -> list[_Group]:
    """Part slices at the same place by the first discriminator that does it sensibly."""
    if group.places in (1, len(group.headers)) or group.places < min_slices:
        return [group]
    for number in range(start, len(_DISCRIMINATORS)):
        name, value_of = _DISCRIMINATORS[number]
        by_value: dict[str, list[int]] = defaultdict(list)
        for index, header in enumerate(group.headers):
            by_value[value_of(header)].append(index)
        parts = [
            group.part(by_value[value], (name, value)) for value in sorted(by_value, key=_natural)
        ]
        if _sensible(group, parts, min_slices):
            return [leaf for part in parts for leaf in _separate(part, min_slices, number + 1)]
    return _by_visit(group, min_slices)


def _natural(text: str) -> tuple[tuple[float, str], ...]:
    """Sort key: numbers by value, so b=50 comes before b=1000."""
    pieces = re.split(r"(\d+(?:\.\d+)?)", text)
    return tuple((float(p), "") if i % 2 else (-1.0, p) for i, p in enumerate(pieces))


def _sensible(group: _Group, parts: Sequence[_Group], min_slices: int) -> bool:
    """Tell volumes from crumbs: a time stamp that differs on every slice parts nothing usefully.

    Sensible parts reduce the repeats, are few, are hardly ever too small, and have few holes
    (slices excited together share a time stamp, but lie far apart).
    """
    if len(parts) < 2:
        return False
    places = [part.places for part in parts]
    if sum(places) <= group.places:
        return False
    most_visits = max(Counter(group.slots.tolist()).values())
    if len(parts) > 2 * most_visits + 2:
        return False
    lost = sum(len(part.headers) for part in parts if part.places < min_slices)
    spans = [int(np.ptp(part.slots)) + 1 for part in parts]
    return lost <= 0.1 * len(group.headers) and sum(places) >= 0.7 * sum(spans)


def _by_visit(group: _Group, min_slices: int) -> list[_Group]:
    """Let the n-th slice at each place, by the clock or by number, belong to the n-th stack.

    That asks for places which nearly all repeat, and for an order; otherwise the repeats are
    mistakes (a slice sent twice) and stay for `_settle` to drop.
    """
    at_slot: dict[int, list[int]] = defaultdict(list)
    for index, slot in enumerate(group.slots.tolist()):
        at_slot[slot].append(index)
    # A visit to fewer than half of the places is no volume: such slices go back to the first.
    lengths = np.array([len(at) for at in at_slot.values()])
    wanted = max(min_slices, len(at_slot) / 2)
    complete = sum(int(np.sum(lengths > visit)) >= wanted for visit in range(int(lengths.max())))
    for clock in _CLOCKS:
        ticks = [_number(clock(header)) for header in group.headers]
        if any(len({ticks[i] for i in at} - {None}) < len(at) for at in at_slot.values()):
            continue
        visits: dict[int, list[int]] = defaultdict(list)
        for at in at_slot.values():
            for visit, index in enumerate(sorted(at, key=lambda i: ticks[i] or 0.0)):
                visits[visit if visit < complete else 0].append(index)
        if len(visits) == 1:
            return [group]
        return [group.part(sorted(visits[v]), ("visit", str(v + 1))) for v in sorted(visits)]
    return [group]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _settle(group: _Group, min_slices: int, plan: StackPlan) -> Stack | None:
    """Make the stack, or write its slices down as singles; drop what still lies twice."""
    if group.places < min_slices:
        plan.singles.extend((header.key, (Flag.FEW_SLICES,)) for header in group.headers)
        return None
    first: dict[int, int] = {}
    for index, slot in enumerate(group.slots.tolist()):  # headers are in file order
        kept = first.setdefault(slot, index)
        if kept != index:
            plan.duplicates.append((group.headers[index].key, group.headers[kept].key))
    repeated = len(first) < len(group.headers)
    return _measure(group.part([first[slot] for slot in sorted(first)]), repeated)


def _measure(group: _Group, repeated: bool) -> Stack:
    headers, coords, axes = group.headers, group.coords, group.axes
    gaps = np.diff(coords[:, 2])
    gap = float(np.median(gaps))
    shear = _line(coords)
    step = axes[2] + shear @ axes[:2]
    lengthening = float(np.linalg.norm(step))  # 1 / cos(tilt)
    angle = float(np.degrees(np.arctan(np.linalg.norm(shear))))
    sheared = angle > TILT_DEGREES
    claimed = max((abs(h.tilt) for h in headers if h.tilt is not None), default=0.0)
    spacing = np.median(np.array([h.spacing for h in headers], dtype=np.float64), axis=0)
    thickness = [h.thickness for h in headers if h.thickness is not None]
    ratio = float(np.median(thickness)) / gap if thickness else 1.0
    slack = SAME_PLACE * _pixel(headers)
    flags = {
        Flag.DUPLICATE_POSITIONS: repeated,
        Flag.UNEVEN_SPACING: float(np.abs(gaps - gap).max()) > max(0.05 * gap, slack),
        Flag.MISSING_SLICES: float(gaps.max()) > 1.5 * gap,
        Flag.GANTRY_TILT: sheared or claimed > TILT_DEGREES,
        Flag.THICKNESS_DIFFERS: not 0.5 <= ratio <= 2.0,
    }
    x, y, z = (float(value) for value in coords[0] @ axes)
    return Stack(
        keys=tuple(header.key for header in headers),
        spacing=(gap * lengthening, float(spacing[0]), float(spacing[1])),
        orientation=tuple(float(v) for v in np.concatenate([step / lengthening, axes[1], axes[0]])),
        origin=(x, y, z),
        offsets=tuple(float(v) for v in (coords[:, 2] - coords[0, 2]) * lengthening),
        flags=tuple(flag for flag, holds in flags.items() if holds),
        tilt_degrees=angle if sheared else claimed if claimed > TILT_DEGREES else 0.0,
        sheared=sheared,
        localizer=headers[0].localizer,
    )


_PLANES = ("sagittal", "coronal", "axial")


def _traits(group: _Group) -> dict[str, str]:
    """What a stack looks like, for its label: "" where a trait has no short word."""
    header = group.headers[0]
    spacing = header.spacing or (0.0, 0.0)
    return {
        "localizer": "localizer" if header.localizer else "",
        "plane": _PLANES[int(np.argmax(np.abs(group.axes[2])))],
        "matrix": f"{header.rows}x{header.columns}",
        "samples": "colour" if header.samples > 1 else "",
        "pixel": f"{spacing[0]:.3g}x{spacing[1]:.3g}mm",
    }


def _label(found: Sequence[tuple[_Group, Stack]]) -> list[Stack]:
    """Name the stacks after what differs among them; number those that still look alike."""
    looks = [_traits(group) for group, _ in found]
    varying = (
        [name for name in looks[0] if len({look[name] for look in looks}) > 1] if looks else []
    )
    labels = [
        ",".join(
            [look[name] for name in varying if look[name]]
            + [f"{name}={value}" for name, value in group.traits]
        )
        for (group, _), look in zip(found, looks, strict=True)
    ]
    if len(labels) == 1:
        labels = [""]
    total, seen = Counter(labels), Counter[str]()
    stacks: list[Stack] = []
    for (_, stack), look, label in zip(found, looks, labels, strict=True):
        seen[label] += 1
        unique = label
        if total[label] > 1:
            unique = f"{label},part={seen[label]}".lstrip(",")
        name = f"{look['plane']}-{look['matrix']}" + (f"-{unique}" if unique else "")
        stacks.append(replace(stack, label=unique, name=name))
    return stacks


def _limit(stacks: list[Stack], max_stacks: int, plan: StackPlan) -> None:
    chosen = set(sample_indices(len(stacks), max_stacks))
    for index, stack in enumerate(stacks):
        if index not in chosen:
            plan.sampled_out.extend(stack.keys)
        elif len(stacks) > max_stacks:
            plan.stacks.append(replace(stack, flags=(*stack.flags, Flag.STACKS_SAMPLED)))
        else:
            plan.stacks.append(stack)


def _shear(stack: Stack) -> tuple[Axes, Reals]:
    """Return (step, down, along) unit vectors and each slice's distance (mm) to the middle one."""
    offsets = np.asarray(stack.offsets, dtype=np.float64)
    directions = np.asarray(stack.orientation, dtype=np.float64).reshape(3, 3)
    return directions, offsets - offsets[len(offsets) // 2]


def deshear(volume: GreyVolume, stack: Stack, fill: float) -> GreyVolume:
    """Undo a gantry tilt: move every slice in its plane until columns of voxels are upright.

    The middle slice stays where it is, so least is lost at the borders. Linear interpolation.
    The geometry of the result is `upright` of the stack.

    Args:
        volume: slices in the order of ``stack.keys``.
        stack: their geometry; if it is not sheared, a copy comes back.
        fill: value of what comes in from outside.

    Returns:
        A new volume of the same shape.

    Raises:
        ValueError: the volume has another number of slices than the stack.
    """
    if volume.shape[0] != len(stack.keys):
        raise ValueError(f"{volume.shape[0]} slices, but the stack has {len(stack.keys)}")
    if not stack.sheared:
        return volume.copy()
    directions, distances = _shear(stack)
    # How far the slice's own first pixel has moved, in pixels down and along.
    per_mm = directions[1:] @ directions[0] / np.asarray(stack.spacing[1:])
    moved = np.empty_like(volume)
    for index, distance in enumerate(distances):
        ndimage.shift(
            volume[index],
            distance * per_mm,
            output=moved[index],
            order=1,
            cval=fill,
            prefilter=False,
        )
    return moved


def upright(stack: Stack) -> Stack:
    """Return the geometry of `deshear`'s result: the step along the normal, not sheared."""
    if not stack.sheared:
        return stack
    directions, distances = _shear(stack)
    normal = np.cross(directions[2], directions[1])
    shortening = float(directions[0] @ normal)
    start = np.asarray(stack.origin) - distances[0] * (directions[0] - shortening * normal)
    x, y, z = (float(value) for value in start)
    return replace(
        stack,
        spacing=(stack.spacing[0] * shortening, *stack.spacing[1:]),
        orientation=(*(float(v) for v in normal), *stack.orientation[3:]),
        origin=(x, y, z),
        offsets=tuple(offset * shortening for offset in stack.offsets),
        sheared=False,
    )
