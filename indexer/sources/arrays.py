"""NumPy archives (``.npz``) of many small images, as MedMNIST distributes them.

The images are never loaded as a whole: rows are read from the file's own bytes where the member
is stored, and from an open stream that waits at the next row where it is compressed. Reading the
rows in order is linear either way.
"""

from __future__ import annotations

import math
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.lib.format as npy
import numpy.typing as npt

from indexer.errors import FileRejectedError
from indexer.sources import raster
from indexer.sources.archives import HandleCache, read_up_to
from indexer.types import ImagePixels, Pixels, Reason, VolumePixels

_MAX_ROW_VALUES = 1 << 28
_MAX_LABEL_BYTES = 1 << 30
_MAX_WHOLE_BYTES = 2 << 30
_SHALLOWEST_CUBE = 5
_OPEN_STREAMS = 4
_HEADER_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_NEXT_TO_IMAGES = ("labels", "multilabel")


@dataclass(frozen=True)
class NpzSet:
    """Images that lie in one array, and their labels.

    Attributes:
        images, labels: names of the arrays; `labels` is None where there are none.
        n: number of rows.
        split: ``"train"``, ``"val"``, ``"test"`` or ``""``.
        row_bytes: size of one image as stored, to choose how many rows to read at once.
    """

    images: str
    labels: str | None
    n: int
    split: str
    row_bytes: int = 0


@dataclass(frozen=True)
class NpzInfo:
    """The image sets of an archive, in its own order; rows are numbered over all of them."""

    sets: tuple[NpzSet, ...]
    classes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Number of rows in all sets."""
        return sum(each.n for each in self.sets)


@dataclass(frozen=True)
class ArrayRow:
    """One row. Either `pixels` is set, or `reason` says why this row is not usable."""

    row: int
    pixels: Pixels | None
    labels: dict[str, tuple[str, ...]]
    split: str
    reason: Reason | None = None
    detail: str = ""


def describe_npz(path: Path) -> NpzInfo:
    """What an ``.npz`` holds, from the headers of its arrays; no image is read.

    Understood are ``images`` with ``labels`` or ``multilabel``, and ``train_images``,
    ``train_labels``, ``val_images`` and so on; ``classes`` names the labels.

    Raises:
        FileRejectedError: NO_PIXEL_DATA without an array of images, HEADER_CORRUPT (also for
            arrays of Python objects), UNSUPPORTED_PHOTOMETRIC for shapes that are no images,
            TRUNCATED, TOO_LARGE, ARCHIVE_CORRUPT or UNREADABLE.
    """
    with _decoding(), zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        sets = tuple(
            _describe_set(archive, name, names)
            for name in names
            if name == "images" or name.endswith("_images")
        )
        if not any(each.n for each in sets):
            detail = "no rows in an array called images or <split>_images"
            raise FileRejectedError(Reason.NO_PIXEL_DATA, detail)
        classes = _load_whole(archive, "classes") if "classes" in names else np.array([])
    return NpzInfo(sets, tuple(str(name) for name in classes.ravel()))


def read_npz_rows(path: Path, info: NpzInfo, start: int, stop: int) -> list[ArrayRow]:
    """Rows ``start`` to ``stop`` (exclusive), counted over all sets of `info`.

    Images are float32 ``(h, w)`` raw values or uint8 RGB ``(h, w, 3)``; cubes become volumes
    ``(d, h, w)`` of 1 mm voxels. A label is called ``class``, with the class's name where known,
    or ``finding`` for several yes-or-no columns: all that are yes, or ``("none",)``.

    Raises:
        FileRejectedError: as `describe_npz`, for what concerns the whole file. A row that alone is
            unusable comes back with its reason.
    """
    rows: list[ArrayRow] = []
    first = 0
    for each in info.sets:
        begin, end = max(start - first, 0), min(stop - first, each.n)
        if begin < end:
            images, labels = _read_set(path, each, begin, end)
            for index, values in enumerate(images):
                named = _named(labels[index], each, info.classes) if labels is not None else {}
                rows.append(_row(first + begin + index, values, named, each.split))
        first += each.n
    return rows


def close_arrays() -> None:
    """Close the files that this process keeps open between chunks."""
    with _IMAGES.lock:
        _IMAGES.clear()
        _LABELS.clear()


@contextmanager
def _decoding() -> Iterator[None]:
    try:
        yield
    except (KeyError, NotImplementedError, RuntimeError) as error:
        detail = "an array is missing, encrypted or compressed in an unknown way"
        raise FileRejectedError(Reason.ARCHIVE_CORRUPT, detail) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error) as error:
        raise FileRejectedError(Reason.ARCHIVE_CORRUPT, "the archive is damaged") from error
    except OSError as error:
        detail = f"cannot be read: {error.strerror or 'damaged'}"
        raise FileRejectedError(Reason.UNREADABLE, detail) from error
    except (ValueError, TypeError, OverflowError) as error:
        # numpy's refusal of object arrays is a ValueError; they could run code when loaded.
        detail = "an array's header is damaged, or it holds Python objects"
        raise FileRejectedError(Reason.HEADER_CORRUPT, detail) from error


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    offset: int
    """Of the first value, from where the array's file begins in the stream."""

    @property
    def row_bytes(self) -> int:
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    @property
    def data_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def _read_header(stream: IO[bytes], size: int) -> _Header:
    """The header of an ``.npy`` of `size` bytes; the stream is left at the first value."""
    begin = stream.tell()
    version = npy.read_magic(stream)
    if version not in _HEADER_READERS:
        msg = "unknown version"
        raise ValueError(msg)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the header is of an old Python's making
            shape, fortran, dtype = _HEADER_READERS[version](stream)
    except (SyntaxError, tokenize.TokenError) as error:
        msg = "the header is not a Python literal"
        raise ValueError(msg) from error
    if dtype.hasobject or min(shape, default=0) < 0:
        msg = "array of objects"
        raise ValueError(msg)
    header = _Header(shape, dtype, fortran, stream.tell() - begin)
    if header.offset + header.data_bytes > size:
        raise FileRejectedError(Reason.TRUNCATED, "an array is shorter than its header says")
    return header


def _describe_set(archive: zipfile.ZipFile, name: str, names: list[str]) -> NpzSet:
    member = archive.getinfo(f"{name}.npy")
    with archive.open(member) as stream:
        header = _read_header(stream, member.file_size)
    _check_images(header)
    split = name.removesuffix("images").removesuffix("_")
    beside = (f"{split}_labels",) if split else _NEXT_TO_IMAGES
    labels = next((label for label in beside if label in names), None)
    return NpzSet(name, labels, header.shape[0], split, header.row_bytes)


def _check_images(header: _Header) -> None:
    if header.dtype.kind not in "buif" or _row_kind(header.shape) is None:
        detail = f"an array {header.shape} of {header.dtype.name} is no row of images"
        raise FileRejectedError(Reason.UNSUPPORTED_PHOTOMETRIC, detail)
    if _row_kind(header.shape) == "rgb" and header.dtype not in (np.uint8, np.uint16):
        detail = f"colour of type {header.dtype.name} is not supported"
        raise FileRejectedError(Reason.UNSUPPORTED_PHOTOMETRIC, detail)
    if math.prod(header.shape[1:]) > _MAX_ROW_VALUES:
        detail = f"{math.prod(header.shape[1:])} values a row, {_MAX_ROW_VALUES} are allowed"
        raise FileRejectedError(Reason.TOO_LARGE, detail)
    if header.fortran and header.data_bytes > _MAX_WHOLE_BYTES:
        detail = "column-major and too large to load; save it with numpy.ascontiguousarray"
        raise FileRejectedError(Reason.TOO_LARGE, detail)


def _row_kind(shape: tuple[int, ...]) -> str | None:
    """``grey``, ``rgb`` or ``cube``, from the shape with the row axis first."""
    inner = shape[1:-1] if shape[-1:] == (1,) and len(shape) > 3 else shape[1:]
    if min(inner, default=0) < 1:
        return None
    if len(inner) == 2:
        return "grey"
    if len(inner) == 3 and inner[-1] == 3:
        return "rgb"
    return "cube" if len(inner) == 3 and inner[0] >= _SHALLOWEST_CUBE else None


def _load_whole(archive: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    member = archive.getinfo(f"{name}.npy")
    if member.file_size > _MAX_LABEL_BYTES:
        raise FileRejectedError(Reason.TOO_LARGE, f"{member.file_size} bytes of {name}")
    with archive.open(member) as stream:
        header = _read_header(stream, member.file_size)
        return _array(stream, header, header.shape)


def _array(stream: IO[bytes], header: _Header, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """The next values as an array of `shape`."""
    size = math.prod(shape) * header.dtype.itemsize
    data = read_up_to(stream, size)
    if len(data) < size:
        raise FileRejectedError(Reason.TRUNCATED, "an array is shorter than its header says")
    flat = np.frombuffer(data, header.dtype)
    return flat.reshape(shape[::-1]).T if header.fortran else flat.reshape(shape)


class _RowReader:
    """Rows of one array. Closed by the cache that keeps it between chunks."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._archive = zipfile.ZipFile(path)
        try:
            self._member = self._archive.getinfo(f"{name}.npy")
            self._stream = self._open()
            self._header = _read_header(self._stream, self._member.file_size)
        except BaseException:
            self._archive.close()
            raise
        self._next = 0
        self._whole: npt.NDArray[Any] | None = None

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        header = self._header
        if header.fortran:  # rows are scattered over the whole array
            if self._whole is None:
                self._whole = _array(self._stream, header, header.shape)
            return self._whole[start:stop]
        self._go_to(start)
        self._next = stop
        return _array(self._stream, header, (stop - start, *header.shape[1:]))

    def close(self) -> None:
        self._stream.close()
        self._archive.close()

    def _open(self) -> IO[bytes]:
        if self._member.compress_type != zipfile.ZIP_STORED:
            return self._archive.open(self._member)
        # The zip's own file, at the bytes of the member: that can seek, to any row.
        stream = self._path.open("rb")
        stream.seek(_stored_offset(stream, self._member))
        return stream

    def _go_to(self, row: int) -> None:
        if self._member.compress_type == zipfile.ZIP_STORED:
            begin = _stored_offset(self._stream, self._member)
            self._stream.seek(begin + self._header.offset + row * self._header.row_bytes)
            return
        if row < self._next:  # a deflated stream only goes forward
            self._stream.close()
            self._stream, self._next = self._open(), 0
            read_up_to(self._stream, self._header.offset)
        for _ in range(self._next, row):
            read_up_to(self._stream, self._header.row_bytes)


def _stored_offset(stream: IO[bytes], member: zipfile.ZipInfo) -> int:
    stream.seek(member.header_offset)
    local = stream.read(30)
    name_length, extra_length = struct.unpack_from("<HH", local, 26)
    return member.header_offset + 30 + int(name_length) + int(extra_length)


class _Labels:
    """A label array in memory; it is small."""

    def __init__(self, path: Path, name: str) -> None:
        with zipfile.ZipFile(path) as archive:
            self.values = _load_whole(archive, name)

    def close(self) -> None:
        """Nothing is open."""


_IMAGES: HandleCache[_RowReader] = HandleCache(_OPEN_STREAMS)
_LABELS: HandleCache[_Labels] = HandleCache(_OPEN_STREAMS)


def _read_set(
    path: Path, each: NpzSet, start: int, stop: int
) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    """Images and labels of some rows of one set."""
    key = f"{path}!/{each.images}"
    with _decoding(), _IMAGES.lock:
        try:
            reader = _IMAGES.get(key, str(path), lambda: _RowReader(path, each.images))
            return reader.read(start, stop), _labels_of(path, each, start, stop)
        except BaseException:
            _IMAGES.drop(key)  # its position is not to be trusted
            raise


def _labels_of(path: Path, each: NpzSet, start: int, stop: int) -> npt.NDArray[Any] | None:
    name = each.labels
    if name is None:
        return None
    values = _LABELS.get(f"{path}!/{name}", str(path), lambda: _Labels(path, name)).values
    if values.ndim == 0 or len(values) != each.n:
        detail = f"{name} has not as many rows as {each.images}"
        raise FileRejectedError(Reason.HEADER_CORRUPT, detail)
    return values[start:stop].reshape(stop - start, -1)


def _row(
    row: int, values: npt.NDArray[Any], labels: dict[str, tuple[str, ...]], split: str
) -> ArrayRow:
    try:
        return ArrayRow(row, _pixels(values), labels, split)
    except FileRejectedError as error:
        return ArrayRow(row, None, labels, split, error.reason, error.detail)


def _pixels(values: npt.NDArray[Any]) -> Pixels:
    kind = _row_kind((1, *values.shape))
    if values.shape[-1] == 1 and values.ndim > 2:
        values = values[..., 0]
    if kind == "rgb":
        return ImagePixels(raster.grey_or_rgb(values.astype(values.dtype.newbyteorder("="))))
    grey = raster.finite(raster.as_float32(values))
    if kind == "grey":
        return ImagePixels(grey)
    exact = values.dtype.kind in "bui" and grey.min() >= -32768 and grey.max() <= 32767
    return VolumePixels(
        grey.astype(np.int16) if exact else grey,
        modality="",
        spacing=(1.0, 1.0, 1.0),
        orientation=(0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0),
        origin=(0.0, 0.0, 0.0),
    )


def _named(
    values: npt.NDArray[Any], each: NpzSet, classes: tuple[str, ...]
) -> dict[str, tuple[str, ...]]:
    """The labels of one row: ``class`` for one value, ``finding`` for columns of yes and no."""
    if each.labels != "multilabel" and values.size == 1:
        text = _class_name(values[0], classes)
        return {"class": (text,)} if text else {}
    if values.dtype.kind not in "buif":
        return {"finding": tuple(str(value) for value in values if str(value)) or ("none",)}
    positive = tuple(_class_name(index, classes) for index in np.flatnonzero(values > 0))
    return {"finding": positive or ("none",)}


def _class_name(value: Any, classes: tuple[str, ...]) -> str:
    if isinstance(value, str):
        return value
    if not np.isfinite(value):
        return ""
    number = float(value)
    if not number.is_integer():
        return str(number)
    return classes[int(number)] if 0 <= number < len(classes) else str(int(number))
