"""From DICOM headers to slice headers: single slices, enhanced multi-frame objects and mosaics.

Everything here tolerates bad elements: what cannot be read counts as not said.
"""

from __future__ import annotations

import math
import re
import struct
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import numpy as np
from jaxtyping import Shaped
from pydicom import Dataset
from pydicom.errors import BytesLengthException

from indexer.dicom.geometry import SliceHeader

Frame = Shaped[np.ndarray, "height width"]
Tiles = Shaped[np.ndarray, "n tile_height tile_width"]

MAX_FRAMES = 100_000
"""More frames than this are a damaged header, not an image."""

# What pydicom and its converters raise over elements of random bytes.
_UNREADABLE = (
    ArithmeticError,
    BytesLengthException,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
_SIEMENS = "SIEMENS MR HEADER"
_SIEMENS_CSA = "SIEMENS CSA HEADER"
_GE = "GEMS_PARM_01"
_UIH = "Image Private Header"
_LOCALIZERS = ("LOCALIZER", "SCOUT", "TOPOGRAM")
_COMPONENTS = {
    "M": "M",
    "P": "P",
    "R": "R",
    "I": "I",
    "MAGNITUDE": "M",
    "PHASE": "P",
    "REAL": "R",
    "IMAGINARY": "I",
}


def slice_header(ds: Dataset, key: int) -> SliceHeader:
    """Read what says where a single-frame image lies (PS3.3 C.7.6.2, C.8.2.1, C.8.3.1).

    Args:
        ds: the header; pixel data are not needed.
        key: index to hand on.

    Returns:
        The header; an element that is missing or not readable is None or ``""`` there.
    """
    with _quiet():
        image_type = _texts(ds, "ImageType")
        return SliceHeader(
            key=key,
            rows=_whole(ds, "Rows") or 0,
            columns=_whole(ds, "Columns") or 0,
            position=_three(_floats(ds, "ImagePositionPatient")),
            orientation=_six(_floats(ds, "ImageOrientationPatient")),
            spacing=_two(_floats(ds, "PixelSpacing")),
            thickness=_positive(ds, "SliceThickness"),
            spacing_between=_positive(ds, "SpacingBetweenSlices"),
            tilt=_float(ds, "GantryDetectorTilt"),
            image_type=image_type,
            echo=_short(ds, "EchoNumbers"),
            echo_time=_short(ds, "EchoTime"),
            b_value=_b_value(ds),
            direction=_direction(ds),
            component=_component(image_type, _texts(ds, "ComplexImageComponent")),
            acquisition=_short(ds, "AcquisitionNumber"),
            temporal=_short(ds, "TemporalPositionIdentifier"),
            trigger=_short(ds, "TriggerTime"),
            acquisition_time=_short(ds, "AcquisitionTime") or _short(ds, "AcquisitionDateTime"),
            content_time=_short(ds, "ContentTime"),
            instance_number=_whole(ds, "InstanceNumber"),
            samples=_whole(ds, "SamplesPerPixel") or 1,
            localizer=_is_localizer(image_type),
        )


def enhanced_headers(ds: Dataset) -> list[SliceHeader]:
    """Read every frame's place from the functional groups (PS3.3 C.7.6.16, C.8.13, C.8.15).

    Per-frame groups win over shared ones; orientation, spacing and the like are also taken from
    the dataset itself, where some writers leave them. A frame's own position is taken from its
    functional groups only.

    Args:
        ds: header of an enhanced multi-frame object.

    Returns:
        One header a frame, ``key`` the zero-based frame; empty for nonsense frame counts.
    """
    with _quiet():
        frames = _items(ds, "PerFrameFunctionalGroupsSequence")
        count = _whole(ds, "NumberOfFrames") or len(frames)
        if not 0 < count <= MAX_FRAMES:
            return []
        shared = (_items(ds, "SharedFunctionalGroupsSequence") or [Dataset()])[0]
        root = slice_header(ds, 0)
        padded = [*frames[:count], *([Dataset()] * (count - len(frames)))]
        return [_frame_header(root, (frame, shared), key) for key, frame in enumerate(padded)]


def _frame_header(root: SliceHeader, groups: tuple[Dataset, Dataset], key: int) -> SliceHeader:
    measures = _macro(groups, "PixelMeasuresSequence")
    content = _macro(groups, "FrameContentSequence")
    diffusion = _macro(groups, "MRDiffusionSequence")
    plane = _macro(groups, "PlaneOrientationSequence")
    place = _macro(groups, "PlanePositionSequence")
    kind = _first(
        _macro(groups, name)
        for name in ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence")
    )
    gradient = _macro((diffusion, diffusion), "DiffusionGradientDirectionSequence")
    image_type = _texts(kind, "FrameType") or root.image_type
    heart = _macro(groups, "CardiacSynchronizationSequence")
    clock = _macro(groups, "TemporalPositionSequence")
    return replace(
        root,
        key=key,
        position=_three(_floats(place, "ImagePositionPatient")),
        orientation=_six(_floats(plane, "ImageOrientationPatient")) or root.orientation,
        spacing=_two(_floats(measures, "PixelSpacing")) or root.spacing,
        thickness=_positive(measures, "SliceThickness") or root.thickness,
        spacing_between=_positive(measures, "SpacingBetweenSlices") or root.spacing_between,
        tilt=_float(_macro(groups, "CTAcquisitionDetailsSequence"), "GantryDetectorTilt"),
        image_type=image_type,
        stack_id=_short(content, "StackID"),
        echo="",
        echo_time=_short(_macro(groups, "MREchoSequence"), "EffectiveEchoTime"),
        b_value=_short(diffusion, "DiffusionBValue"),
        direction=_vector(_floats(gradient, "DiffusionGradientOrientation")),
        component=_component(image_type, _texts(kind, "ComplexImageComponent")),
        acquisition=_short(content, "FrameAcquisitionNumber"),
        temporal=_short(content, "TemporalPositionIndex")
        or _short(clock, "TemporalPositionTimeOffset"),
        trigger=_short(heart, "NominalCardiacTriggerDelayTime"),
        acquisition_time=_short(content, "FrameAcquisitionDateTime"),
        content_time=_short(content, "FrameReferenceDateTime"),
        instance_number=key + 1,
        localizer=_is_localizer(image_type),
    )


def mosaic_tiles(ds: Dataset) -> int | None:
    """Return how many slices one frame holds as tiles, or None if it is no mosaic.

    Siemens says it in (0019,100A) or in the CSA header (0029,1010), UIH in (0065,1050).
    """
    with _quiet():
        image_type = {text.upper() for text in _texts(ds, "ImageType")}
        count: float | None = None
        if "MOSAIC" in image_type:
            count = _single(_private(ds, 0x0019, 0x0A, _SIEMENS)) or _single(
                _csa(ds).get("NumberOfImagesInMosaic")
            )
        elif "VFRAME" in image_type:
            count = _single(_private(ds, 0x0065, 0x50, _UIH))
        if count is None or not 1 < count <= MAX_FRAMES:
            return None
        return int(count)


def is_mosaic(ds: Dataset) -> bool:
    """Tell whether the frame is a mosaic, be it known or not of how many slices."""
    with _quiet():
        return not {"MOSAIC", "VFRAME"}.isdisjoint(t.upper() for t in _texts(ds, "ImageType"))


def mosaic_is_square(ds: Dataset) -> bool:
    """Tell whether the mosaic has as many rows of tiles as columns: Siemens' have, UIH's not."""
    with _quiet():
        return "VFRAME" not in {text.upper() for text in _texts(ds, "ImageType")}


def demosaic(frame: Frame, n: int, *, square: bool | None = None) -> Tiles:
    """Cut a mosaic into its slices, row by row from the top left.

    Both makers use ``ceil(sqrt(n))`` columns of tiles; Siemens uses as many rows and leaves the
    rest empty, UIH only the rows that are needed.

    Args:
        frame: ``(height, width)``, any type.
        n: number of slices, see `mosaic_tiles`.
        square: as many rows as columns, see `mosaic_is_square`; None takes what makes the tiles
            squarer.

    Returns:
        ``(n, h, w)``, a copy.

    Raises:
        ValueError: the frame cannot be divided into ``n`` tiles.
    """
    rows, columns = _grid(frame.shape[0], frame.shape[1], n, square)
    height, width = frame.shape[0] // rows, frame.shape[1] // columns
    tiles = frame.reshape(rows, height, columns, width).swapaxes(1, 2)
    return tiles.reshape(rows * columns, height, width)[:n].copy()


def _grid(height: int, width: int, n: int, square: bool | None) -> tuple[int, int]:
    if min(n, height, width) < 1:
        raise ValueError(f"{height}x{width} pixels cannot hold {n} tiles")
    columns = math.isqrt(n - 1) + 1
    choices = {True: [columns], False: [-(-n // columns)], None: [columns, -(-n // columns)]}
    fitting = [rows for rows in choices[square] if height % rows == 0]
    if not fitting or width % columns:
        raise ValueError(f"{height}x{width} pixels cannot hold {n} tiles")
    tile_width = width // columns
    return min(fitting, key=lambda rows: abs(math.log(height / rows / tile_width))), columns


def mosaic_headers(ds: Dataset) -> list[SliceHeader]:
    """Make a slice header for every tile of a mosaic, as `build_stacks` wants them.

    Siemens gives the position the first pixel would have if the whole mosaic lay centred on the
    slice (as in nibabel's MosaicWrapper), the normal in the CSA header and the distance as
    SpacingBetweenSlices; UIH gives each tile's position in (0065,1051).

    Returns:
        One header a tile, ``key`` the tile; empty if it is no mosaic. Positions are None where
        they are not known.
    """
    count = mosaic_tiles(ds)
    if count is None:
        return []
    root = slice_header(ds, 0)
    try:
        rows, columns = _grid(root.rows, root.columns, count, mosaic_is_square(ds))
    except ValueError:
        return []
    height, width = root.rows // rows, root.columns // columns
    with _quiet():
        items = _sequence(_private(ds, 0x0065, 0x51, _UIH))
        if len(items) == count:
            positions = [_three(_floats(item, "ImagePositionPatient")) for item in items]
        else:
            normal = _three(_numbers(_csa(ds).get("SliceNormalVector")))
            positions = _tile_positions(root, (height, width), normal, count)
    return [
        replace(root, key=k, rows=height, columns=width, position=position, instance_number=k + 1)
        for k, position in enumerate(positions)
    ]


def _tile_positions(
    root: SliceHeader,
    tile: tuple[int, int],
    normal: tuple[float, float, float] | None,
    count: int,
) -> list[tuple[float, float, float] | None]:
    distance = root.spacing_between or root.thickness
    if not (root.position and root.orientation and root.spacing and distance):
        return [None] * count
    row, column = np.array(root.orientation[:3]), np.array(root.orientation[3:])
    step = np.cross(row, column) if normal is None else np.array(normal)
    first = (
        np.array(root.position)
        + row * root.spacing[1] * (root.columns - tile[1]) / 2
        + column * root.spacing[0] * (root.rows - tile[0]) / 2
    )
    return [_three((first + step * (distance * k)).tolist()) for k in range(count)]


def _is_localizer(image_type: Sequence[str]) -> bool:
    return any(word in text.upper() for text in image_type for word in _LOCALIZERS)


def _component(image_type: Sequence[str], said: Sequence[str]) -> str:
    for text in (*said, *image_type[2:]):
        if text.upper() in _COMPONENTS:
            return _COMPONENTS[text.upper()]
    return ""


def _b_value(ds: Dataset) -> str:
    found = [
        _float(ds, "DiffusionBValue"),
        _single(_private(ds, 0x0019, 0x0C, _SIEMENS)),
        _single(_private(ds, 0x0043, 0x39, _GE)),
        _single(_private(ds, 0x0065, 0x09, _UIH)),
    ]
    value = next((b for b in found if b is not None), None)
    if value is None:
        return ""
    # GE adds 10^9 to the value in some modes (dcm2niix, nii_dicom.cpp).
    return f"{value % 1e9 if value >= 1e9 else value:g}"


def _direction(ds: Dataset) -> str:
    standard = _vector(_floats(ds, "DiffusionGradientOrientation"))
    return standard or _vector(_numbers(_private(ds, 0x0019, 0x0E, _SIEMENS)))


def _vector(values: Sequence[float]) -> str:
    return "/".join(f"{value:.3f}" for value in values) if len(values) == 3 else ""


@contextmanager
def _quiet() -> Iterator[None]:
    """Hush pydicom, which warns about every odd value that is skipped here anyhow."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _get(ds: Dataset, keyword: str) -> object:
    try:
        return ds.get(keyword)
    except _UNREADABLE:
        return None


def _private(ds: Dataset, group: int, element: int, creator: str) -> object:
    """Read a private element of one maker; de-identified files may have lost the creator."""
    try:
        return ds.private_block(group, creator)[element].value
    except _UNREADABLE:
        pass
    try:
        if (group, 0x0010) in ds:
            return None
        return ds[group, 0x1000 | element].value
    except _UNREADABLE:
        return None


def _numbers(value: object) -> tuple[float, ...]:
    """Make finite numbers of a value of any VR; empty if any of them is not a number."""
    if isinstance(value, bytes):
        # Private elements of unknown VR: text, or one little-endian double.
        text = value.decode("latin-1").strip("\0 ")
        if re.fullmatch(r"[-+.\deE\\ ]+", text):
            value = text.split("\\")
        elif len(value) == 8:
            value = struct.unpack("<d", value)
    if value is None or value == "":
        return ()
    many = isinstance(value, Iterable) and not isinstance(value, str)
    parts: Iterable[Any] = cast("Iterable[Any]", value) if many else [value]
    try:
        numbers = tuple(float(part) for part in parts)
    except _UNREADABLE:
        return ()
    return numbers if all(math.isfinite(number) for number in numbers) else ()


def _single(value: object) -> float | None:
    numbers = _numbers(value)
    return numbers[0] if numbers else None


def _floats(ds: Dataset, keyword: str) -> tuple[float, ...]:
    return _numbers(_get(ds, keyword))


def _float(ds: Dataset, keyword: str) -> float | None:
    return _single(_get(ds, keyword))


def _positive(ds: Dataset, keyword: str) -> float | None:
    value = _float(ds, keyword)
    return value if value is not None and value > 0 else None


def _whole(ds: Dataset, keyword: str) -> int | None:
    value = _float(ds, keyword)
    return int(value) if value is not None else None


def _texts(ds: Dataset, keyword: str) -> tuple[str, ...]:
    value = _get(ds, keyword)
    if value is None:
        return ()
    parts = value if isinstance(value, Iterable) and not isinstance(value, str | bytes) else [value]
    return tuple(str(part).strip() for part in parts)


def _short(ds: Dataset, keyword: str) -> str:
    """Write a value so that equal numbers give equal text: 30, 30.0 and "30 " are one."""
    text = "/".join(_texts(ds, keyword))
    # Long digit strings are date-times or identifiers, whose last digits a float would lose.
    if re.fullmatch(r"[-+]?\d{0,9}(\.\d*)?([eE][-+]?\d{1,2})?", text):
        number = _single(text)
        return text if number is None else f"{number:.10g}"
    return text


def _two(values: Sequence[float]) -> tuple[float, float] | None:
    return (values[0], values[1]) if len(values) == 2 and min(values) > 0 else None


def _three(values: Sequence[float]) -> tuple[float, float, float] | None:
    return (values[0], values[1], values[2]) if len(values) == 3 else None


def _six(values: Sequence[float]) -> tuple[float, ...] | None:
    return tuple(values) if len(values) == 6 else None


def _sequence(value: object) -> list[Dataset]:
    if value is None or isinstance(value, str | bytes) or not isinstance(value, Iterable):
        return []
    try:
        items = list(value)
    except _UNREADABLE:
        return []
    return items if all(isinstance(item, Dataset) for item in items) else []


def _items(ds: Dataset, keyword: str) -> list[Dataset]:
    return _sequence(_get(ds, keyword))


def _macro(groups: tuple[Dataset, Dataset], name: str) -> Dataset:
    return _first(item for group in groups for item in _items(group, name))


def _first(items: Iterable[Dataset]) -> Dataset:
    return next((item for item in items if len(item)), Dataset())


def _csa(ds: Dataset) -> dict[str, list[str]]:
    """Read Siemens' CSA image header (0029,1010), both its versions.

    The layout is documented in nibabel, doc/source/dicom/siemens_csa.rst.
    """
    data = _private(ds, 0x0029, 0x10, _SIEMENS_CSA)
    if not isinstance(data, bytes):
        return {}
    newer = data[:4] == b"SV10"
    try:
        return dict(_csa_tags(data, newer))
    except _UNREADABLE:
        return {}


def _csa_tags(data: bytes, newer: bool) -> Iterator[tuple[str, list[str]]]:
    at = 8 if newer else 0
    (tags,) = struct.unpack_from("<I", data, at)
    at += 8
    base: int | None = None  # what version 1 adds to every length
    for _ in range(min(tags, 1000)):
        name, _multiplicity, _vr, _type, items, _check = struct.unpack_from("<64si4siii", data, at)
        at += 84
        base = items if base is None else base
        values: list[str] = []
        for _ in range(min(items, 10_000)):
            lengths = struct.unpack_from("<4i", data, at)
            length = lengths[1] if newer else lengths[0] - base
            at += 16
            if length < 0 or at + length > len(data):
                break
            text = data[at : at + length].split(b"\0")[0].decode("latin-1").strip()
            at += -(-length // 4) * 4
            if text:
                values.append(text)
        yield name.split(b"\0")[0].decode("latin-1"), values
