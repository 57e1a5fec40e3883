"""Small DICOM files made on the spot, and the two steps of reading them without a library."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    MRImageStorage,
)

from indexer.reading.drafts import (
    FileResult,
    FileTask,
    InstanceDraft,
    ItemDraft,
    ReadOptions,
    SeriesTask,
    SliceRef,
)
from indexer.reading.files import read_file
from indexer.reading.series import read_series
from indexer.sources.discover import SourceFile
from indexer.types import Outcome, Reason

WHEEL = Path(pydicom.__file__).parent / "data" / "test_files"
"""pydicom's own test files, as far as they are in its wheel."""
CR = "1.2.840.10008.5.1.4.1.1.1"
SC = "1.2.840.10008.5.1.4.1.1.7"
US = "1.2.840.10008.5.1.4.1.1.6.1"
US_CINE = "1.2.840.10008.5.1.4.1.1.3.1"
PT = "1.2.840.10008.5.1.4.1.1.128"
CT, MR, ENHANCED_MR = CTImageStorage, MRImageStorage, EnhancedMRImageStorage
ENHANCED_PT = "1.2.840.10008.5.1.4.1.1.130"
MODALITIES = {
    CR: "CR",
    SC: "OT",
    US: "US",
    US_CINE: "US",
    PT: "PT",
    CT: "CT",
    MR: "MR",
    ENHANCED_MR: "MR",
    ENHANCED_PT: "PT",
}
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)

RED_TO_BLUE = {(5, 50): [255, 0, 0], (15, 50): [255, 128, 128], (45, 50): [0, 0, 255]}
"""Colours by place, of the test pattern that pydicom has in many encodings."""

OPTIONS = ReadOptions(encoders=("texture",), key=b"k" * 32, thumbnail=32)
_numbers = itertools.count(1)


def new_uid() -> str:
    """A UID that no other file of this run has."""
    return f"1.2.826.0.1.3680043.10.999.{next(_numbers)}"


def picture(seed: int = 0, rows: int = 32, columns: int = 32, top: int = 1000) -> np.ndarray:
    """Something that is not blank and not symmetric: a bright disc and a bar on noise."""
    y, x = np.mgrid[:rows, :columns]
    values = np.random.default_rng(seed).integers(0, max(1, top // 10), (rows, columns))
    values[(y - rows * 0.4) ** 2 + (x - columns * 0.3) ** 2 < (rows * 0.2) ** 2] = top * 7 // 10
    values[:, columns * 3 // 4 :] += top * 2 // 10
    return values.astype(np.int16)


def dicom(pixels: np.ndarray | None = None, sop_class: str = CR, **elements: Any) -> Dataset:
    """A data set with a file meta group; ``elements`` are set, or left out where None."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, new_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = new_uid(), new_uid()
    ds.PatientID, ds.PatientName = f"P{next(_numbers)}7", "Doe^Jane"
    ds.Modality = MODALITIES.get(sop_class, "OT")
    if pixels is not None:
        set_pixels(ds, pixels)
    change(ds, **elements)
    return ds


def set_pixels(ds: Dataset, pixels: np.ndarray) -> None:
    """Put integer pixels in, ``(rows, columns)``, ``(frames, ...)`` or ``(rows, columns, 3)``."""
    colour = pixels.ndim >= 3 and pixels.shape[-1] == 3
    shape = pixels.shape[:-1] if colour else pixels.shape
    bits = 8 * pixels.dtype.itemsize
    ds.SamplesPerPixel = 3 if colour else 1
    ds.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        ds.PlanarConfiguration = 0
    ds.Rows, ds.Columns = shape[-2:]
    if len(shape) == 3:
        ds.NumberOfFrames = shape[0]
    ds.BitsAllocated = ds.BitsStored = bits
    ds.HighBit = bits - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    data = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    ds.PixelData = data + b"\0" * (len(data) % 2)
    ds["PixelData"].VR = "OW" if bits > 8 else "OB"


def change(ds: Dataset, **elements: Any) -> Dataset:
    """Set elements; None takes one out."""
    for keyword, value in elements.items():
        if value is None:
            if keyword in ds:
                del ds[keyword]
        else:
            setattr(ds, keyword, value)
    return ds


def save(ds: Dataset, path: Path) -> Path:
    """Write with preamble and meta group."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.file_meta.MediaStorageSOPClassUID = ds.get("SOPClassUID", "")
    ds.file_meta.MediaStorageSOPInstanceUID = ds.get("SOPInstanceUID", "")
    ds.save_as(path, enforce_file_format=True)
    return path


def wheel(name: str) -> Dataset:
    """One of pydicom's test files, to be altered."""
    return pydicom.dcmread(WHEEL / name, force=True)


def stack(
    sop_class: str = MR,
    n: int = 5,
    *,
    orientation: Sequence[float] = AXIAL,
    step: Sequence[float] = (0.0, 0.0, 3.0),
    origin: Sequence[float] = (-10.0, -20.0, 0.0),
    pixels: np.ndarray | None = None,
    seed: int = 0,
    **elements: Any,
) -> list[Dataset]:
    """Slices of one series along ``step``, in order; each has a picture of its own."""
    common = {"StudyInstanceUID": new_uid(), "SeriesInstanceUID": new_uid(), "PatientID": "P0815"}
    rescale = {"RescaleSlope": 1, "RescaleIntercept": -1024} if sop_class == CT else {}
    made = []
    for i in range(n):
        values = picture(seed + i) if pixels is None else pixels[i]
        place = {
            "ImagePositionPatient": [o + i * s for o, s in zip(origin, step, strict=True)],
            "ImageOrientationPatient": list(orientation),
            "PixelSpacing": [1.0, 1.0],
            "InstanceNumber": i + 1,
        }
        made.append(dicom(values, sop_class, **{**common, **rescale, **place, **elements}))
    return made


def functional_group(z: float, **groups: Any) -> Dataset:
    """The functional group of a frame at ``z``; further macros by keyword, each a `Dataset`."""
    place, group = Dataset(), Dataset()
    place.ImagePositionPatient = [0.0, 0.0, z]
    group.PlanePositionSequence = [place]
    for keyword, macro in groups.items():
        setattr(group, keyword, [macro])
    return group


def macro(**elements: Any) -> Dataset:
    """A data set with these elements."""
    return change(Dataset(), **elements)


def enhanced(
    pixels: np.ndarray,
    positions: Sequence[float],
    sop_class: str = ENHANCED_MR,
    *,
    orientation: Sequence[float] | None = AXIAL,
    **elements: Any,
) -> Dataset:
    """An enhanced multi-frame object, frame ``i`` at ``z = positions[i]``."""
    shared = Dataset()
    shared.PixelMeasuresSequence = [macro(PixelSpacing=[1.0, 1.0], SliceThickness=3.0)]
    if orientation is not None:
        shared.PlaneOrientationSequence = [macro(ImageOrientationPatient=list(orientation))]
    groups = {
        "SharedFunctionalGroupsSequence": [shared],
        "PerFrameFunctionalGroupsSequence": [functional_group(z) for z in positions],
    }
    return dicom(pixels, sop_class, **{**groups, **elements})


def source(path: Path) -> SourceFile:
    """A file as `discover` would have found it."""
    stat = path.stat()
    return SourceFile(str(path), None, stat.st_size, stat.st_mtime_ns)


def read(path: Path, **options: Any) -> FileResult:
    """The first step: one file."""
    return read_file(FileTask(source(path)), replace(OPTIONS, **options))


@dataclass(frozen=True)
class Read:
    """What reading some files gave, with slices put together."""

    items: list[ItemDraft]
    drafts: list[InstanceDraft]
    refused: dict[str, tuple[Reason | None, str]]
    """Reason and detail by file name, of files that were rejected or skipped."""

    @property
    def item(self) -> ItemDraft:
        """The only item."""
        (one,) = self.items
        return one

    @property
    def draft(self) -> InstanceDraft:
        """The only instance."""
        (one,) = self.drafts
        return one

    @property
    def reason(self) -> Reason | None:
        """Why the only file was refused."""
        ((reason, _),) = self.refused.values()
        return reason


def read_all(paths: Iterable[Path], **options: Any) -> Read:
    """Both steps: files, then the series of those that are slices."""
    chosen = replace(OPTIONS, **options)
    read_ = Read([], [], {})
    waiting: dict[str, list[SliceRef]] = {}
    for order, path in enumerate(paths):
        result = read(path, **options)
        if result.waiting is not None:
            draft, header, role = result.waiting
            ref = SliceRef(order, result.source, result.sha256, draft, header, role)
            waiting.setdefault(draft.series_instance_uid, []).append(ref)
        elif result.outcome in (Outcome.REJECTED, Outcome.SKIPPED):
            read_.refused[path.name] = (result.reason, result.detail)
        read_.items.extend(result.items)
        read_.drafts.extend(result.instances)
    for series, refs in waiting.items():
        made = read_series(SeriesTask(series, tuple(refs)), chosen, lambda _step: None)
        names = {ref.order: ref.source.name for ref in refs}
        read_.items.extend(made.items)
        read_.drafts.extend(made.drafts.values())
        read_.refused.update({names[order]: why for order, why in made.rejected.items()})
    return read_


def read_one(ds: Dataset, folder: Path, **options: Any) -> Read:
    """Write one data set and read it."""
    return read_all([save(ds, folder / f"{next(_numbers)}.dcm")], **options)


def read_many(datasets: Iterable[Dataset], folder: Path, **options: Any) -> Read:
    """Write data sets, named in the order given, and read them."""
    paths = [save(ds, folder / f"{next(_numbers):06}.dcm") for ds in datasets]
    return read_all(paths, **options)


def compressed(ds: Dataset, syntax: str = JPEG2000Lossless) -> Dataset:
    """The data set with its pixels encoded, by an encoder that is installed."""
    ds.compress(syntax, generate_instance_uid=False)
    return ds
