"""A library of small DICOM radiographs that have patients, with a reference set: `usual`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian

from api.service import ingest
from api.service.judging import ood
from indexer.config import Settings
from indexer.library import Library

STUDIES, REFERENCE = 72, "usual"
NAME = "Müller^Jörg=山田^太郎"


def study_uid(number: int) -> str:
    return f"1.2.826.0.1.3680043.8.498.{number + 1}"


def radiograph(number: int, *, odd: bool = False) -> Dataset:
    """A radiograph of lines; an odd one is of noise, and has a name that is not of ASCII alone."""
    rng = np.random.default_rng(number)
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SpecificCharacterSet = ["", "ISO 2022 IR 100", "ISO 2022 IR 87"] if odd else "ISO_IR 100"
    ds.SOPClassUID = ComputedRadiographyImageStorage
    ds.StudyInstanceUID = study_uid(number)
    ds.SeriesInstanceUID, ds.SOPInstanceUID = f"{study_uid(number)}.1", f"{study_uid(number)}.1.1"
    ds.PatientID, ds.PatientName = f"P-{4000 + number}", NAME if odd else f"Sample^S{number}"
    ds.PatientBirthDate, ds.PatientSex, ds.PatientAge = "19500102", "F", "074Y"
    ds.StudyDate, ds.StudyTime, ds.AccessionNumber = "20240131", "081500", f"A{number}"
    ds.ReferringPhysicianName, ds.StudyID, ds.StudyDescription = "Doe^Jane", "7", "Chest"
    ds.Modality, ds.BodyPartExamined, ds.ViewPosition = "CR", "CHEST", "PA"
    ds.Rows = ds.Columns = 64
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    wave = 600 * np.sin(np.arange(64) / rng.uniform(2, 3) + rng.uniform(0, 6))
    noise = rng.normal(0, 1200 if odd else 60, (64, 64))
    ds.PixelData = (2000 + wave[:, None] * (not odd) + noise).clip(0, 4095).astype("<u2").tobytes()
    return ds


def write(folder: Path, ds: Dataset) -> Path:
    path = folder / f"{ds.SOPInstanceUID}.dcm"
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    pydicom.dcmwrite(path, ds, enforce_file_format=True)
    return path


def make_archive(folder: Path) -> Path:
    """The library, its files beside it in ``files``; the study `STUDIES` is odd."""
    files = folder / "files"
    files.mkdir(parents=True)
    for number in range(STUDIES):
        write(files, radiograph(number))
    write(files, radiograph(STUDIES, odd=True))
    settings = Settings(workers=1)
    with Library.create(folder / "library") as library:
        ingest.index(library, ingest.IndexRequest([files]), settings)
        usual = f"not study={study_uid(STUDIES)}"
        ood.fit_reference(library, ood.FitRequest(REFERENCE, usual, alarm=0.3), settings=settings)
    return folder / "library"
