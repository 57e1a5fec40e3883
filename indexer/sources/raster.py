"""PNG, JPEG and TIFF to pixels."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from indexer.errors import FileRejectedError
from indexer.sources.formats import Format
from indexer.types import ImagePixels, Reason

_ORIENTATION_TAG = 274
_GREY_MODES = ("1", "L")
_DEEP_MODES = ("I;16", "I;16B", "I;16L", "I", "F")
_ALPHA_MODES = ("RGBA", "LA", "PA")
_MAX_TIFF_PAGES = 10_000
_RGB_FROM_YCBCR = (
    # With these compressions the decoder itself turns YCbCr into RGB.
    tifffile.COMPRESSION.JPEG,
    tifffile.COMPRESSION.OJPEG,
)

# It reports every damaged tag, values and all; what matters becomes the reason of a rejection.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


def read_raster(data: bytes, fmt: Format, max_pixels: int) -> list[ImagePixels]:
    """The images of a PNG, JPEG or TIFF file, upright as its orientation tag asks.

    Grey images are float32 ``(h, w)`` raw values (1-bit as 0 and 255), all bits kept; colour is
    uint8 RGB ``(h, w, 3)``, transparency over black, 16 bits scaled down, and grey when the three
    channels are equal everywhere. A TIFF gives one image a page, without reduced copies.

    Args:
        data: the whole file.
        fmt: PNG, JPEG or TIFF.
        max_pixels: most pixels, of all pages together; checked before anything is decoded.

    Raises:
        FileRejectedError: TOO_LARGE, TRUNCATED, DECODE_FAILED, UNSUPPORTED_PHOTOMETRIC, or BLANK
            for a float image of nothing but NaN.
    """
    with _decoding(data, fmt), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata that nobody here reads
        if fmt is Format.TIFF:
            return _read_tiff(data, max_pixels)
        return [ImagePixels(_read_pillow(data, fmt, max_pixels))]


def finite(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """`values` with NaN and infinities replaced by the smallest finite one.

    Raises:
        FileRejectedError: BLANK where nothing is finite.
    """
    good = np.isfinite(values)
    if good.all():
        return values
    if not good.any():
        raise FileRejectedError(Reason.BLANK, "no pixel has a finite value")
    return np.where(good, values, values[good].min())


def as_float32(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Grey values of any real dtype as float32, native byte order; too large ones become inf."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(values, dtype=np.float32)


def grey_or_rgb(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Colour of 8 or 16 bits ``(h, w, 3)`` as uint8, or as float32 ``(h, w)`` if it is all grey.

    Raises:
        FileRejectedError: UNSUPPORTED_PHOTOMETRIC for other dtypes.
    """
    rgb = _to_uint8(values)
    if (rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 1] == rgb[..., 2]).all():
        return as_float32(rgb[..., 0])
    return np.ascontiguousarray(rgb)


def over_black(rgba: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Colour and opacity ``(h, w, 4)`` composited on black."""
    alpha = rgba[..., 3:].astype(np.uint16)
    return ((rgba[..., :3] * alpha + 127) // 255).astype(np.uint8)


@contextmanager
def _decoding(data: bytes, fmt: Format) -> Iterator[None]:
    try:
        yield
    except (FileRejectedError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        detail = "more pixels than the decoder allows"
        raise FileRejectedError(Reason.TOO_LARGE, detail) from error
    except Exception as error:
        # Damaged files make Pillow, tifffile and its codecs raise nearly every builtin exception.
        if _ends_early(data, fmt):
            raise FileRejectedError(Reason.TRUNCATED, "the file ends early") from error
        detail = f"not a readable {fmt.value.upper()} file"
        raise FileRejectedError(Reason.DECODE_FAILED, detail) from error


def _ends_early(data: bytes, fmt: Format) -> bool:
    """Whether the end mark is missing, of a file that could not be decoded."""
    if fmt is Format.PNG:
        return b"IEND" not in data[-1024:]
    return fmt is Format.JPEG and b"\xff\xd9" not in data[-1024:]


def _read_pillow(data: bytes, fmt: Format, max_pixels: int) -> npt.NDArray[Any]:
    with Image.open(io.BytesIO(data), formats=(fmt.value.upper(),)) as image:
        _check_size(image.width * image.height, max_pixels)
        image.load()
        return _upright(_pillow_values(image), _orientation(image))


def _pillow_values(image: Image.Image) -> npt.NDArray[Any]:
    if image.mode in _DEEP_MODES:
        return finite(as_float32(np.asarray(image)))
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        return grey_or_rgb(over_black(np.asarray(image.convert("RGBA"))))
    if image.mode in _GREY_MODES:
        return as_float32(np.asarray(image.convert("L")))
    return grey_or_rgb(np.asarray(image.convert("RGB")))


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001 - damaged EXIF raises anything, and the pixels are good
        return 1


def _upright(values: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Turn and mirror ``(h, w, ...)`` as the TIFF/EXIF orientation 1..8 asks."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return np.ascontiguousarray(values)


def _check_size(pixels: int, max_pixels: int) -> None:
    if pixels > max_pixels:
        raise FileRejectedError(Reason.TOO_LARGE, f"{pixels} pixels, {max_pixels} are allowed")


def _to_uint8(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.uint16:
        return np.rint(values / np.float32(257)).astype(np.uint8)
    raise _unsupported(f"colour of type {values.dtype.name}")


def _unsupported(what: str) -> FileRejectedError:
    return FileRejectedError(Reason.UNSUPPORTED_PHOTOMETRIC, f"{what} is not supported")


def _read_tiff(data: bytes, max_pixels: int) -> list[ImagePixels]:
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        pages = _tiff_pages(tiff)
        _check_size(sum(map(_tiff_size, pages)), max_pixels)
        for page in pages:
            _check_complete(page, len(data))
        return [_tiff_image(page) for page in pages]


def _tiff_pages(tiff: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    pages = []
    places: set[int] = set()
    for page in tiff.pages:
        if page.offset in places:
            raise FileRejectedError(Reason.DECODE_FAILED, "the list of pages runs in a circle")
        places.add(page.offset)
        if len(places) > _MAX_TIFF_PAGES:
            raise FileRejectedError(Reason.TOO_LARGE, f"more than {_MAX_TIFF_PAGES} pages")
        if isinstance(page, tifffile.TiffPage) and not page.is_reduced:
            pages.append(page)
    if not pages:
        raise FileRejectedError(Reason.TRUNCATED, "the file holds no page")
    return pages


def _tiff_size(page: tifffile.TiffPage) -> int:
    width, length = page.imagewidth, page.imagelength
    if type(width) is not int or type(length) is not int:  # a damaged tag may be of any type
        raise FileRejectedError(Reason.DECODE_FAILED, "a TIFF page without a size")
    if page.axes not in ("YX", "YXS", "SYX") or page.samplesperpixel > 4 or min(width, length) < 1:
        raise _unsupported(f"a TIFF page of {page.samplesperpixel} samples and axes {page.axes}")
    return width * length


def _check_complete(page: tifffile.TiffPage, size: int) -> None:
    """Refuse a page whose data is not all there; the decoder may fill the gap with zeros."""
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    if not segments or any(n == 0 or start + n > size for start, n in segments):
        raise FileRejectedError(Reason.TRUNCATED, "the file ends early")


def _tiff_image(page: tifffile.TiffPage) -> ImagePixels:
    values = page.asarray(maxworkers=1)
    if page.axes == "SYX":
        values = np.moveaxis(values, 0, -1)
    tag = page.tags.get(_ORIENTATION_TAG)
    upright = _upright(_tiff_values(page, values), int(tag.value) if tag else 1)
    inverted = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
    return ImagePixels(upright, inverted=inverted)


def _tiff_values(page: tifffile.TiffPage, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    kind = page.photometric
    if kind in (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.MINISWHITE):
        return _tiff_grey(values)
    if kind == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None and values.ndim == 2:
        return grey_or_rgb(np.moveaxis(page.colormap[:, values], 0, -1))
    if kind == tifffile.PHOTOMETRIC.SEPARATED and values.ndim == 3 and values.shape[2] == 4:
        ink = 255 - _to_uint8(values)
        return grey_or_rgb(over_black(ink))  # each colour dimmed by the black ink
    if kind == tifffile.PHOTOMETRIC.RGB or (
        kind == tifffile.PHOTOMETRIC.YCBCR and page.compression in _RGB_FROM_YCBCR
    ):
        return _tiff_rgb(page, values)
    raise _unsupported(f"TIFF colour of type {getattr(kind, 'name', kind)}")


def _tiff_grey(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    if values.ndim == 3:
        values = values[..., 0]  # a second sample is opacity
    if values.dtype == np.bool_:
        return as_float32(values) * np.float32(255)
    if values.dtype.kind not in "iuf":
        raise _unsupported(f"TIFF values of type {values.dtype.name}")
    return finite(as_float32(values))


def _tiff_rgb(page: tifffile.TiffPage, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if values.ndim != 3 or values.shape[2] not in (3, 4):
        raise _unsupported("TIFF colour without three samples a pixel")
    if tifffile.EXTRASAMPLE.UNASSALPHA in page.extrasamples:
        return grey_or_rgb(over_black(_to_uint8(values)))
    return grey_or_rgb(values[..., :3])  # opacity that is associated is already applied
