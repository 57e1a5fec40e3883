"""NIfTI and NRRD files to volumes, read plane by plane so that headers can promise no bombs.

Both formats store the first axis fastest, so one plane of bytes is one slice ``(rows, columns)``
with the columns' index along the first axis. The third axis becomes the slices, whatever its
direction in the patient: the orientation says which that is.
"""

from __future__ import annotations

import bz2
import gzip
import io
import logging
import math
import re
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import nibabel
import nrrd
import numpy as np
import numpy.typing as npt
from nibabel.spatialimages import HeaderDataError

from indexer.errors import FileRejectedError
from indexer.sources import raster
from indexer.sources.archives import read_up_to
from indexer.sources.formats import Format
from indexer.types import ImagePixels, Reason, Volume, VolumePixels

_MOST_VOLUMES = 4
_MOST_LABELS = 64
_PASSED_OVER = 64
"""Voxels of a series may be this many times `max_voxels`; those not sampled cost only time."""
_LARGEST_EXTENSIONS = 64 << 20
_TILT_COSINE = 0.9998
"""About one degree between the slice step and the slice normal."""
_LABEL_NAME = re.compile(r"(^|[^a-z])(labels?|labelmap|seg|segmentations?|masks?)([^a-z]|$)")
_RAS_TO_LPS = np.array([-1.0, -1.0, 1.0])
_MM_PER_UNIT = {1: 1000.0, 3: 0.001}
"""By the lower bits of xyzt_units: metres, micrometres."""

_QUIET = logging.Logger("syntopy.nifti")
"""Takes what nibabel has to say of odd headers; its own logger prints to stderr."""
_QUIET.addHandler(logging.NullHandler())


@dataclass(frozen=True)
class VolumeFile:
    """What a volume file holds.

    Attributes:
        volumes: those that were read; one-slice files give images, in colour if stored so.
        total: how many volumes (time points, components) the file has.
        sampled: zero-based numbers of `volumes` among the `total`.
        is_label_map: a guess from name and content that the values are labels, not intensities.
    """

    volumes: list[VolumePixels | ImagePixels]
    total: int
    sampled: tuple[int, ...]
    is_label_map: bool


def read_volume(
    source: bytes | Path, fmt: Format, max_voxels: int, *, name: str = ""
) -> VolumeFile:
    """Read a NIfTI (``.nii``, ``.nii.gz``) or NRRD file with attached data.

    Values have the file's scaling applied; int16 where all are whole numbers in range, else
    float32. NaN and infinities become the smallest finite value. Of a series of volumes at most
    four are read, evenly spread over it. Spacing is in mm, orientation and origin in LPS.

    Args:
        source: content or path of the file.
        fmt: NIFTI or NRRD.
        max_voxels: most voxels read; the header is checked before the data are touched.
        name: the file's name, for the guess whether it is a label map.

    Raises:
        FileRejectedError: TOO_LARGE, TRUNCATED, HEADER_CORRUPT, DECODE_FAILED, NO_PIXEL_DATA
            (the voxels lie in another file), UNSUPPORTED_PHOTOMETRIC (colour volumes, complex
            numbers, vector fields) or BLANK (no finite value).
    """
    with _decoding(), ExitStack() as stack:
        raw: IO[bytes] = (
            io.BytesIO(source)
            if isinstance(source, bytes)
            else stack.enter_context(source.open("rb"))
        )
        read_layout = _nifti_layout if fmt is Format.NIFTI else _nrrd_layout
        stream, layout = read_layout(raw, stack)
        sampled = _sample(layout, max_voxels)
        arrays = _read_planes(stream, layout, sampled)
        volumes = [layout.pixels(array) for array in arrays]
    return VolumeFile(volumes, layout.total, sampled, _is_label_map(volumes, name))


@dataclass(frozen=True)
class _Layout:
    """Where the voxels lie in the unpacked stream, and where in the patient.

    Attributes:
        shape: columns, rows, slices.
        components: values that vary faster than the columns (colour, or an NRRD list axis).
        times: volumes one after the other.
        steps: ``(3, 3)``, mm in LPS from one voxel to the next; a row each for the three axes.
    """

    shape: tuple[int, int, int]
    components: int
    times: int
    colour: bool
    dtype: np.dtype[Any]
    slope: float
    intercept: float
    offset: int
    steps: npt.NDArray[np.float64]
    origin: npt.NDArray[np.float64]

    @property
    def total(self) -> int:
        return self.times if self.colour else self.times * self.components

    def pixels(self, array: npt.NDArray[Any]) -> VolumePixels | ImagePixels:
        spacing = tuple(float(s) for s in np.linalg.norm(self.steps, axis=1))
        if len(array) == 1:
            return _image(array[0], (spacing[1], spacing[0]))
        units = self.steps / np.array(spacing)[:, None]
        normal = np.cross(units[0], units[1])
        normal /= np.linalg.norm(normal) or 1.0
        return VolumePixels(
            _as_volume(array),
            modality="",
            spacing=(spacing[2], spacing[1], spacing[0]),
            orientation=tuple(float(x) for x in units[::-1].ravel() + 0.0),
            origin=(float(self.origin[0]), float(self.origin[1]), float(self.origin[2])),
            sheared=bool(abs(normal @ units[2]) < _TILT_COSINE),
        )


def _image(values: npt.NDArray[Any], spacing: tuple[float, float]) -> ImagePixels:
    values = raster.grey_or_rgb(values) if values.ndim == 3 else values
    return ImagePixels(values, spacing=spacing, aspect=spacing[0] / spacing[1])


def _as_volume(array: npt.NDArray[np.float32]) -> Volume:
    """The smallest dtype that is exact; slice by slice, to hold no second copy in float."""
    int16 = np.iinfo(np.int16)
    whole = all((plane == np.rint(plane)).all() for plane in array)
    if whole and array.min() >= int16.min and array.max() <= int16.max:
        return array.astype(np.int16)
    return array


@contextmanager
def _decoding() -> Iterator[None]:
    try:
        yield
    except EOFError as error:
        raise FileRejectedError(Reason.TRUNCATED, "the file ends early") from error
    except (zlib.error, gzip.BadGzipFile) as error:
        raise FileRejectedError(Reason.DECODE_FAILED, "the compressed data are damaged") from error
    except OSError as error:
        if error.errno is None:  # how bz2 reports damage
            detail = "the compressed data are damaged"
            raise FileRejectedError(Reason.DECODE_FAILED, detail) from error
        detail = f"cannot be read: {error.strerror}"
        raise FileRejectedError(Reason.UNREADABLE, detail) from error


def _corrupt(detail: str) -> FileRejectedError:
    return FileRejectedError(Reason.HEADER_CORRUPT, detail)


def _unsupported(detail: str) -> FileRejectedError:
    return FileRejectedError(Reason.UNSUPPORTED_PHOTOMETRIC, detail)


def _sample(layout: _Layout, max_voxels: int) -> tuple[int, ...]:
    """Which volumes to read, after checking that they fit."""
    one = math.prod(layout.shape)
    if one > max_voxels or one * layout.total > _PASSED_OVER * max_voxels:
        detail = f"{layout.total} x {one} voxels, {max_voxels} are allowed"
        raise FileRejectedError(Reason.TOO_LARGE, detail)
    count = min(_MOST_VOLUMES, layout.total, max_voxels // one)
    return tuple(round(x) for x in np.linspace(0, layout.total - 1, count))


def _read_planes(
    stream: IO[bytes], layout: _Layout, sampled: tuple[int, ...]
) -> list[npt.NDArray[Any]]:
    """The sampled volumes ``(slices, rows, columns)``, colour with a fourth axis; one pass."""
    if layout.colour:
        stream.seek(layout.offset)
        return [_without_opacity(_plane(stream, layout))[None]]
    columns, rows, slices = layout.shape
    # Not touched before it is filled, so a header that lies costs address space only.
    volumes = {n: np.empty((slices, rows, columns), np.float32) for n in sampled}
    plane_bytes = columns * rows * layout.components * layout.dtype.itemsize
    for time in sorted({number // layout.components for number in sampled}):
        stream.seek(layout.offset + time * slices * plane_bytes)
        for index in range(slices):
            plane = _plane(stream, layout)
            for component in range(layout.components):
                volume = volumes.get(time * layout.components + component)
                if volume is not None:
                    volume[index] = _scaled(plane[..., component], layout)
    return [raster.finite(volumes[number]) for number in sampled]


def _plane(stream: IO[bytes], layout: _Layout) -> npt.NDArray[Any]:
    """The next ``(rows, columns, components)``, as stored."""
    shape = (layout.shape[1], layout.shape[0], layout.components)
    data = read_up_to(stream, math.prod(shape) * layout.dtype.itemsize)
    if len(data) < math.prod(shape) * layout.dtype.itemsize:
        raise FileRejectedError(Reason.TRUNCATED, "the file ends early")
    return np.frombuffer(data, layout.dtype).reshape(shape)


def _without_opacity(plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return raster.over_black(plane) if plane.shape[2] == 4 else plane


def _scaled(plane: npt.NDArray[Any], layout: _Layout) -> npt.NDArray[np.float32]:
    if (layout.slope, layout.intercept) == (1.0, 0.0):
        return raster.as_float32(plane)
    with np.errstate(over="ignore", invalid="ignore"):
        return raster.as_float32(plane.astype(np.float64) * layout.slope + layout.intercept)


def _is_label_map(volumes: list[VolumePixels | ImagePixels], name: str) -> bool:
    return _LABEL_NAME.search(name.lower()) is not None and all(
        _has_few_values(pixels.values) for pixels in volumes
    )


def _has_few_values(values: npt.NDArray[Any]) -> bool:
    if values.ndim == 2:
        values = _as_volume(values[None])
    if values.dtype != np.int16:
        return False
    seen = np.zeros(1 << 16, dtype=np.bool_)
    for plane in values:
        seen[plane.view(np.uint16)] = True
        if np.count_nonzero(seen) > _MOST_LABELS:
            return False
    return True


# --- NIfTI -----------------------------------------------------------------------------------


def _nifti_layout(raw: IO[bytes], stack: ExitStack) -> tuple[IO[bytes], _Layout]:
    magic = raw.read(2)
    raw.seek(0)
    stream = raw
    if magic == b"\x1f\x8b":
        stream = cast(IO[bytes], stack.enter_context(gzip.GzipFile(fileobj=raw, mode="rb")))
    header = _nifti_header(read_up_to(stream, 348), stream)
    try:
        with np.errstate(all="ignore"):  # absurd numbers are looked for in the result
            return stream, _nifti_fields(header)
    except (HeaderDataError, LookupError, ValueError, TypeError, ArithmeticError) as error:
        raise _corrupt("the NIfTI header contradicts itself") from error


def _nifti_header(start: bytes, stream: IO[bytes]) -> Any:
    header_class = nibabel.Nifti1Header
    if 540 in (int.from_bytes(start[:4], "little"), int.from_bytes(start[:4], "big")):
        header_class = nibabel.Nifti2Header
        start += read_up_to(stream, 540 - 348)
    if len(start) < header_class.template_dtype.itemsize:
        raise FileRejectedError(Reason.TRUNCATED, "the file ends early")
    try:
        header = header_class(start, check=False)
        header.check_fix(logger=_QUIET, error_level=40)
    except (HeaderDataError, LookupError, ValueError, TypeError, ArithmeticError) as error:
        raise _corrupt("not a valid NIfTI header") from error
    if bytes(header["magic"])[:3] in (b"ni1", b"ni2"):
        detail = "the voxels lie in another file; convert the pair to one .nii"
        raise FileRejectedError(Reason.NO_PIXEL_DATA, detail)
    return header


def _nifti_fields(header: Any) -> _Layout:
    shape = tuple(int(n) for n in header.get_data_shape())
    if len(shape) < 2 or min(shape) < 1:
        raise _corrupt("the NIfTI header gives no image size")
    if math.prod(shape[4:]) > 1:
        raise _unsupported("vector and tensor fields are not images")
    offset = float(header["vox_offset"])
    if not 0 <= offset <= _LARGEST_EXTENSIONS:
        raise _corrupt("the NIfTI header gives an implausible data offset")
    dtype, components = _nifti_dtype(header.get_data_dtype())
    columns, rows, slices, times = (*shape, 1, 1)[:4]
    if components > 1 and slices * times > 1:
        raise _unsupported("colour volumes are not supported")
    slope, intercept = header.get_slope_inter()
    steps, origin = _nifti_geometry(header)
    return _Layout(
        shape=(columns, rows, slices),
        components=components,
        times=times,
        colour=components > 1,
        dtype=dtype,
        slope=1.0 if slope is None else float(slope),
        intercept=0.0 if intercept is None else float(intercept),
        offset=int(offset),
        steps=steps,
        origin=origin,
    )


def _nifti_dtype(dtype: np.dtype[Any]) -> tuple[np.dtype[Any], int]:
    """The dtype of one value, and how many make a voxel (RGB 3, RGBA 4)."""
    if dtype.names is not None and len(dtype.names) in (3, 4):
        return np.dtype(np.uint8), len(dtype.names)
    if dtype.kind not in "iuf":
        raise _unsupported(f"NIfTI values of type {dtype.name} are not supported")
    return dtype, 1


def _nifti_geometry(header: Any) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    try:
        affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    except (HeaderDataError, ValueError):
        affine = np.asarray(header.get_base_affine(), dtype=np.float64)
    scale = _MM_PER_UNIT.get(int(header["xyzt_units"]) & 7, 1.0)
    return _usable(affine[:3, :3].T * _RAS_TO_LPS * scale, affine[:3, 3] * _RAS_TO_LPS * scale)


def _usable(
    steps: npt.NDArray[np.float64], origin: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The geometry, or one of 1 mm along the axes where a header gives none that makes sense."""
    shapes = steps.shape == (3, 3) and origin.shape == (3,)
    if shapes and np.isfinite(steps).all() and np.isfinite(origin).all():
        with np.errstate(all="ignore"):
            lengths = np.linalg.norm(steps, axis=1)
            independent = abs(np.linalg.det(steps / lengths[:, None])) > 1e-6
        if independent and lengths.min() > 1e-6 and lengths.max() < 1e6:
            return steps, origin
    return np.eye(3), np.zeros(3)


# --- NRRD ------------------------------------------------------------------------------------

_NRRD_TYPES = {
    "char": "i1",
    "uchar": "u1",
    "short": "i2",
    "ushort": "u2",
    "int": "i4",
    "uint": "u4",
    "longlong": "i8",
    "ulonglong": "u8",
    "int8": "i1",
    "uint8": "u1",
    "int16": "i2",
    "uint16": "u2",
    "int32": "i4",
    "uint32": "u4",
    "int64": "i8",
    "uint64": "u8",
    "float": "f4",
    "double": "f8",
}
_NRRD_TO_LPS = {
    "right-anterior-superior": (-1.0, -1.0, 1.0),
    "ras": (-1.0, -1.0, 1.0),
    "left-anterior-superior": (1.0, -1.0, 1.0),
    "las": (1.0, -1.0, 1.0),
}
_COLOUR_KINDS = {"rgb-color": 3, "3-color": 3, "rgba-color": 4, "4-color": 4}
_SPATIAL_KINDS = ("domain", "space", "")


def _nrrd_layout(raw: IO[bytes], stack: ExitStack) -> tuple[IO[bytes], _Layout]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of numbers too large, which are checked below
            header = nrrd.read_header(raw)
    except MemoryError:
        raise
    except Exception as error:  # its parsers raise whatever a damaged field leads them to
        raise _corrupt("not a valid NRRD header") from error
    if "data file" in header or "datafile" in header:
        detail = "the voxels lie in another file; write it as one .nrrd with attached data"
        raise FileRejectedError(Reason.NO_PIXEL_DATA, detail)
    try:
        layout = _nrrd_fields(header)
    except (LookupError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
        raise _corrupt("the NRRD header lacks a field or contradicts itself") from error
    return _nrrd_stream(raw, header, layout, stack), layout


def _nrrd_fields(header: Mapping[str, Any]) -> _Layout:
    sizes = [int(n) for n in header["sizes"]]
    if len(sizes) != header["dimension"] or min(sizes) < 1:
        raise _corrupt("the NRRD header gives no image size")
    kinds = [str(kind).lower() for kind in header.get("kinds", [""] * len(sizes))]
    directions = header.get("space directions")
    fast, slow = _nrrd_list_axes(sizes, kinds, directions)
    space = slice(1 if fast else 0, len(sizes) - (1 if slow else 0))
    columns, rows, slices = (*sizes[space], 1)[:3]
    components = sizes[0] if fast else 1
    colour = fast and kinds[0] in _COLOUR_KINDS
    if colour and (slices > 1 or slow or components != _COLOUR_KINDS[kinds[0]]):
        raise _unsupported("colour volumes are not supported")
    steps, origin = _nrrd_geometry(header, space, len(sizes[space]))
    return _Layout(
        shape=(columns, rows, slices),
        components=components,
        times=sizes[-1] if slow else 1,
        colour=colour,
        dtype=_colour_checked(_nrrd_dtype(header), colour=colour),
        slope=1.0,
        intercept=0.0,
        offset=0,
        steps=steps,
        origin=origin,
    )


def _nrrd_list_axes(sizes: list[int], kinds: list[str], directions: Any) -> tuple[bool, bool]:
    """Whether the first and whether the last axis counts volumes or colours, not space."""

    def is_list(axis: int) -> bool:
        no_direction = directions is not None and bool(np.isnan(directions[axis]).any())
        return no_direction or kinds[axis] not in _SPATIAL_KINDS

    lists = [axis for axis in range(len(sizes)) if is_list(axis)]
    spatial = len(sizes) - len(lists)
    if spatial == 4 and not lists:
        lists, spatial = [3], 3  # four axes without a word on them: time comes last
    inner = [axis for axis in lists if 0 < axis < len(sizes) - 1]
    if spatial not in (2, 3) or inner or len(lists) > 1:
        raise _unsupported("only images, volumes and series of volumes are supported")
    return 0 in lists, len(sizes) - 1 in lists


def _nrrd_geometry(
    header: Mapping[str, Any], space: slice, spatial: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    directions = header.get("space directions")
    if directions is None:
        spacings = np.asarray(header.get("spacings", [1.0] * header["dimension"]), dtype=np.float64)
        return _usable(np.diag([*np.nan_to_num(spacings[space], nan=1.0), 1.0][:3]), np.zeros(3))
    rows = np.asarray(directions, dtype=np.float64)[space]
    if rows.shape[1] != 3:  # two-dimensional space, or time among the axes of space
        lengths = np.linalg.norm(rows, axis=1)
        return _usable(np.diag([*lengths, 1.0][:3]), np.zeros(3))
    if spatial == 2:
        rows = np.vstack([rows, np.cross(rows[0], rows[1])])
    name = str(header.get("space", "")).lower().removesuffix("-time")
    to_lps = np.array(_NRRD_TO_LPS.get(name, (1.0, 1.0, 1.0)))  # ITK, too, takes none for LPS
    origin = np.asarray(header.get("space origin", np.zeros(3)), dtype=np.float64)
    return _usable(rows * to_lps, origin * to_lps)


def _nrrd_dtype(header: Mapping[str, Any]) -> np.dtype[Any]:
    name = header["type"].lower().removesuffix("_t").replace("long long", "longlong")
    name = name.replace("unsigned ", "u").replace("signed ", "").removesuffix(" int")
    if name not in _NRRD_TYPES:
        raise _unsupported("NRRD values of this type are not supported")
    dtype = np.dtype(_NRRD_TYPES[name])
    return dtype.newbyteorder(">") if header.get("endian") == "big" else dtype.newbyteorder("<")


def _colour_checked(dtype: np.dtype[Any], *, colour: bool) -> np.dtype[Any]:
    if colour and dtype != np.uint8:
        raise _unsupported("colour of more than 8 bits is not supported")
    return dtype


def _nrrd_stream(
    raw: IO[bytes], header: Mapping[str, Any], layout: _Layout, stack: ExitStack
) -> IO[bytes]:
    """The voxels from position 0 on."""
    encoding = str(header.get("encoding", "")).lower()
    lines = int(header.get("lineskip", header.get("line skip", 0)))
    skip = int(header.get("byteskip", header.get("byte skip", 0)))
    for _ in range(min(lines, 10_000)):
        raw.readline()
    if encoding == "raw":
        return _nrrd_raw(raw, skip, layout)
    if skip:
        raise _corrupt("a byte skip in compressed NRRD data is not supported")
    if encoding in ("gzip", "gz"):
        return cast(IO[bytes], stack.enter_context(gzip.GzipFile(fileobj=raw, mode="rb")))
    if encoding in ("bzip2", "bz2"):
        return stack.enter_context(bz2.BZ2File(raw))
    if encoding in ("ascii", "text", "txt"):
        return _nrrd_text(raw, layout)
    raise FileRejectedError(Reason.DECODE_FAILED, "this NRRD encoding is not supported")


def _nrrd_raw(raw: IO[bytes], skip: int, layout: _Layout) -> IO[bytes]:
    start = raw.tell() + skip
    end = raw.seek(0, io.SEEK_END)
    size = math.prod(layout.shape) * layout.components * layout.times * layout.dtype.itemsize
    if skip == -1:  # the voxels are the last bytes of the file
        start = end - size
    if skip < -1 or start < 0 or start + size > end:
        raise FileRejectedError(Reason.TRUNCATED, "the file ends early")
    return cast(IO[bytes], _Shifted(raw, start))


class _Shifted:
    """A stream that begins at `start` of another."""

    def __init__(self, stream: IO[bytes], start: int) -> None:
        self._stream = stream
        self._start = start

    def seek(self, position: int) -> int:
        return self._stream.seek(self._start + position) - self._start

    def read(self, size: int) -> bytes:
        return self._stream.read(size)


def _nrrd_text(raw: IO[bytes], layout: _Layout) -> IO[bytes]:
    try:
        numbers = np.array(raw.read().split(), dtype=np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            return io.BytesIO(numbers.astype(layout.dtype).tobytes())
    except ValueError as error:
        raise FileRejectedError(Reason.DECODE_FAILED, "the NRRD text is not numbers") from error
