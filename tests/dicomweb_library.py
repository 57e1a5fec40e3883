"""A library of real files in many transfer syntaxes, to be opened by DICOM viewers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import UID
from sent_objects import real_file

from api.service import ingest
from indexer.config import Settings
from indexer.library import Library

LOSSLESS = "JPEG lossless"
EXPLICIT = "1.2.840.10008.1.2.1"
NAMES = {
    "CT_small.dcm": "1.2.840.10008.1.2.1",
    "MR_small_implicit.dcm": "1.2.840.10008.1.2",
    "MR_small_bigendian.dcm": "1.2.840.10008.1.2.2",
    "MR_small_RLE.dcm": "1.2.840.10008.1.2.5",
    "JPEG2000.dcm": "1.2.840.10008.1.2.4.91",
    "examples_palette.dcm": "1.2.840.10008.1.2.1",
    "examples_ybr_color.dcm": "1.2.840.10008.1.2.4.50",
    "MR_small_jpeg_ls_lossless.dcm": "1.2.840.10008.1.2.4.80",
    "image_dfl.dcm": "1.2.840.10008.1.2.1.99",
    LOSSLESS: "1.2.840.10008.1.2.4.70",
}


def original(name: str) -> pydicom.Dataset:
    """A real file; none of pydicom's is JPEG lossless, so one is encoded here."""
    if name != LOSSLESS:
        return pydicom.dcmread(real_file(name))
    ds = pydicom.dcmread(real_file("CT_small.dcm"))
    pixels = np.clip(ds.pixel_array, 0, None).astype(np.uint16)
    ds.Modality, ds.StudyDate, ds.StudyDescription = "OT", "19990101", ""
    ds.PixelRepresentation, ds.file_meta.TransferSyntaxUID = 0, UID(NAMES[name])
    del ds.PixelPaddingValue
    ds.PixelData = encapsulate([imagecodecs.ljpeg_encode(pixels)])
    ds["PixelData"].is_undefined_length = True
    return ds


def written(folder: Path) -> None:
    """Real files, each with UIDs of its own."""
    folder.mkdir()
    for number, name in enumerate(NAMES, 1):
        ds = original(name)
        ds.StudyInstanceUID, ds.SeriesInstanceUID = f"2.25.{number}", f"2.25.{number}.1"
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"2.25.{number}.1.1"
        ds.PatientID = f"MRN-{number}000"
        ds.save_as(folder / f"{number}.dcm")
    picture = np.random.default_rng(0).integers(0, 255, (40, 60), np.uint8)
    Image.fromarray(picture).save(folder / "picture.png")


def uids(name: str) -> tuple[str, str, str]:
    number = list(NAMES).index(name) + 1
    return f"2.25.{number}", f"2.25.{number}.1", f"2.25.{number}.1.1"


def keyword(row: dict[str, Any], name: str) -> Any:
    """The first value of an attribute; None where it is empty."""
    values = row[f"{pydicom.datadict.tag_for_keyword(name):08X}"].get("Value")
    return values and values[0]


def make_viewed(base: Path) -> Path:
    """The library, in a folder beside its files; returns its folder."""
    written(base / "files")
    index_folder(base / "library", base / "files")
    return base / "library"


def index_folder(library: Path, files: Path, *, phi: str = "pseudonym") -> None:
    """A new library of the files in a folder."""
    with Library.create(library, phi=phi) as made:
        ingest.index(made, ingest.IndexRequest([files]), Settings(workers=1))
