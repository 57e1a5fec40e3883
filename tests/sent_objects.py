"""Objects that tests send: pydicom's files in many transfer syntaxes, and small ones made here."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

REAL = (
    "CT_small.dcm",  # explicit little endian
    "MR_small_implicit.dcm",
    "MR_small_bigendian.dcm",
    "image_dfl.dcm",  # deflated
    "MR_small_RLE.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "JPEG2000.dcm",
    "JPEG-lossy.dcm",
    "examples_palette.dcm",
    "rtplan.dcm",
    "test-SR.dcm",
    "waveform_ecg.dcm",
)


def real_file(name: str) -> Path:
    """One of pydicom's files."""
    return Path(str(get_testdata_file(name)))


def data_set_of(path: Path) -> bytes:
    """The bytes behind the file meta information."""
    with path.open("rb") as handle:
        pydicom.filereader.read_preamble(handle, force=False)
        pydicom.filereader._read_file_meta_info(handle)
        return handle.read()


def small_slice(number: int, *, series: int = 1, study: int = 1, value: int = 0) -> Dataset:
    """A slice of 32 x 32 of a CT series."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, f"2.25.{study}.{series}.{number}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = f"2.25.{study}", f"2.25.{study}.{series}"
    ds.PatientID, ds.PatientName = "P-4711", "Sample^Sally"
    ds.Modality, ds.InstanceNumber = "CT", number
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, 2.0 * number], [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing, ds.SliceThickness = [1, 1], 2
    ds.Rows = ds.Columns = 32
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 0
    ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
    pixels = np.random.default_rng(number).integers(800, 1300, (32, 32), np.uint16)
    ds.PixelData = (pixels + value).astype("<u2").tobytes()
    return ds


def as_file(ds: Dataset) -> bytes:
    """A data set in the DICOM File Format."""
    buffer = io.BytesIO()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
