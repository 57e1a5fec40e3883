"""What decoded values mean: rescale, padding, windows, spacing, polarity (PS3.3 C.7.6, C.8, C.11).

An enhanced object says most of it in functional groups: those of the frame go before the shared
ones, and both before the root.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.pixels.processing import apply_modality_lut
from scipy import ndimage

from indexer.dicom.opening import (
    READ_ERRORS,
    elements_of,
    first_number,
    number_of,
    text_of,
    value_of,
)
from indexer.types import Flag, Window

_OUTSIDE_SCAN_HU = -1500.0
"""CT values below this are no tissue: scanners fill the corners with -2000 or -3024 (P8)."""
_PLAUSIBLE_HU = (-11000.0, 32000.0)
_BORDER_RIM, _BORDER_AREA = 0.25, 0.05
"""Shares of the outermost pixels, and of all, from which on one value is a border."""


def frame_groups(ds: Dataset, index: int) -> list[Dataset]:
    """Where to look for a frame's attributes: its own functional group, the shared, the root."""
    found: list[Dataset] = []
    per_frame = value_of(ds, "PerFrameFunctionalGroupsSequence")
    if per_frame is not None and index < len(per_frame):
        found.append(per_frame[index])
    shared = value_of(ds, "SharedFunctionalGroupsSequence")
    if shared is not None and len(shared):
        found.append(shared[0])
    inner = [item for group in found for e in elements_of(group) for item in _items(e)]
    return [*inner, ds]


def _items(element: Any) -> list[Dataset]:
    return list(element.value) if element.VR == "SQ" and element.value else []


def _first(groups: list[Dataset], keyword: str) -> Any:
    for group in groups:
        value = value_of(group, keyword)
        if value is not None:
            return value
    return None


def _number(groups: list[Dataset], keyword: str, flags: set[Flag]) -> float | None:
    """A number, first value first; one that is said but is none is flagged (F7)."""
    number = first_number(_first(groups, keyword))
    if number is None and says(groups, keyword):
        flags.add(Flag.ELEMENT_IGNORED)
    return number


def says(groups: list[Dataset], keyword: str) -> bool:
    """Whether an element is there and not empty, whether or not it can be read."""
    try:
        raw = [group.get_item(keyword).value for group in groups if keyword in group]
    except READ_ERRORS:  # empty, and of an unknown type
        return False
    return any(value not in (None, "", b"") for value in raw)


def modality_values(
    stored: np.ndarray, ds: Dataset, groups: list[Dataset], flags: set[Flag]
) -> np.ndarray:
    """Rescale or modality LUT (PS3.3 C.11.1): float32 ``(rows, columns)``, HU for CT."""
    if value_of(ds, "ModalityLUTSequence") is not None:
        try:
            return apply_modality_lut(stored, ds).astype(np.float32)
        except (*READ_ERRORS, RuntimeError):
            flags.add(Flag.RESCALE_INVALID)
    slope = _number(groups, "RescaleSlope", flags)
    intercept = _number(groups, "RescaleIntercept", flags)
    values = stored.astype(np.float32)
    if slope == 0:
        flags.add(Flag.RESCALE_INVALID)
        slope = intercept = None
    if slope is not None and slope != 1:
        values *= np.float32(slope)
    if intercept:
        values += np.float32(intercept)
    if text_of(ds, "Modality") == "CT":
        low, high = float(values.min()), float(values.max())
        if low < _PLAUSIBLE_HU[0] or high > _PLAUSIBLE_HU[1] or (low >= 0 and intercept is None):
            flags.add(Flag.HU_IMPLAUSIBLE)
    return values


def padding_mask(stored: np.ndarray, values: np.ndarray, ds: Dataset) -> np.ndarray | None:
    """True where the scanner padded (PS3.3 C.7.5.1.1.2, and CT corners); None if nowhere (P8)."""
    kind = {"f4": "Float", "f8": "DoubleFloat"}.get(stored.dtype.str[1:], "")
    low = number_of(ds, f"{kind}PixelPaddingValue")
    mask = ~np.isfinite(values)
    if low is not None:
        high = number_of(ds, f"{kind}PixelPaddingRangeLimit")
        low, high = sorted((low, low if high is None else high))
        mask |= (stored >= low) & (stored <= high)
    if text_of(ds, "Modality") == "CT":
        mask |= values <= _OUTSIDE_SCAN_HU
    else:
        mask |= border(values, mask)
    # A mask over everything is a wrong tag, not an empty image.
    return mask if mask.any() and not mask.all() else None


def border(values: np.ndarray, padding: np.ndarray) -> np.ndarray:
    """What lies around the image in one value far from it: a collimator, a film's edge (P8).

    Air that is merely the darkest of the image costs no contrast and stays.
    """
    seen = values[~padding]
    for extreme in (seen.min(), seen.max()) if seen.size else ():
        if np.mean((_rim(values) == extreme) | _rim(padding)) <= _BORDER_RIM:
            continue
        same = (values == extreme) | padding
        labels, _ = ndimage.label(same)
        around = np.isin(labels, np.unique(_rim(labels)[_rim(same)]))
        rest = values[~around]
        if around.mean() > _BORDER_AREA and rest.size:
            low, high = np.percentile(rest, (1.0, 99.0))
            if 0 < high - low < np.ptp(seen) / 2:
                return around
    return np.zeros_like(padding)


def _rim(values: np.ndarray) -> np.ndarray:
    return np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])


def filled(values: np.ndarray, padding: np.ndarray | None) -> np.ndarray:
    """Put the least value in place of NaN and infinity in padding, which encoders refuse."""
    if padding is None or np.isfinite(values).all():
        return values
    least = values[np.isfinite(values)].min()
    return np.where(np.isfinite(values), values, least)


def voi(
    groups: list[Dataset], flags: set[Flag]
) -> tuple[Window | None, tuple[float, np.ndarray] | None]:
    """The first window, else the first VOI LUT (PS3.3 C.11.2); broken ones are flagged (P6)."""
    center = first_number(_first(groups, "WindowCenter"))
    width = first_number(_first(groups, "WindowWidth"))
    function = str(_first(groups, "VOILUTFunction") or "LINEAR").upper()
    least = 1.0 if function == "LINEAR" else 1e-9
    if center is not None and width is not None and width >= least:
        return Window(center, width, function), None
    if center is not None or width is not None:
        flags.add(Flag.VOI_INVALID)
    sequence = _first(groups, "VOILUTSequence")
    if sequence is None or not len(sequence):
        return None, None
    lut = _lut(sequence[0])
    if lut is None:
        flags.add(Flag.VOI_INVALID)
    return None, lut


def _lut(item: Dataset) -> tuple[float, np.ndarray] | None:
    """A VOI LUT as (first mapped value, entries in 0..1), or None when its data do not fit."""
    descriptor, data = value_of(item, "LUTDescriptor"), value_of(item, "LUTData")
    if descriptor is None or data is None or len(descriptor) != 3:
        return None
    entries, first, bits = (int(v) for v in descriptor)
    entries = entries or 1 << 16
    if first >= 1 << 15:
        first -= 1 << 16  # the descriptor was read as unsigned; VOI input may be negative
    if isinstance(data, bytes):
        wide = bits > 8 or len(data) >= 2 * entries
        order = ">" if item.original_encoding[1] is False else "<"
        table = np.frombuffer(data[: len(data) // 2 * 2], f"{order}u2" if wide else np.uint8)
    else:
        table = np.asarray(data)
    if len(table) < entries or not 8 <= bits <= 16:
        return None
    scaled = table[:entries].astype(np.float32) / np.float32((1 << bits) - 1)
    return float(first), scaled.clip(0, 1)


def is_inverted(ds: Dataset) -> bool:
    """Whether low values are shown bright (P4): PresentationLUTShape wins over MONOCHROME1."""
    shape = text_of(ds, "PresentationLUTShape").upper()
    if shape in ("IDENTITY", "INVERSE"):
        return shape == "INVERSE"
    return text_of(ds, "PhotometricInterpretation").upper() == "MONOCHROME1"


def pixel_spacing(groups: list[Dataset]) -> tuple[float, float] | None:
    """Row and column spacing in mm, patient plane first, then imager plane; None if unknown."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        value = _first(groups, keyword)
        try:
            row, column = (float(v) for v in value)
        except (TypeError, ValueError):
            continue
        if 0 < row < 1e3 and 0 < column < 1e3:
            return row, column
    return None


def pixel_aspect(groups: list[Dataset]) -> float:
    """Height of a pixel divided by its width (P12): spacing first, then PixelAspectRatio."""
    spacing = pixel_spacing(groups)
    if spacing:
        return spacing[0] / spacing[1]
    try:
        vertical, horizontal = (float(v) for v in _first(groups, "PixelAspectRatio"))
    except (TypeError, ValueError):
        return 1.0
    return vertical / horizontal if vertical > 0 and horizontal > 0 else 1.0
