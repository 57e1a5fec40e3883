"""Write phantom studies as DICOM files, byte for byte the same in every run."""

from __future__ import annotations

import csv
import json
import math
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    BasicTextSRStorage,
    ComprehensiveSRStorage,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    MRImageStorage,
    RLELossless,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
)

from indexer.errors import ConfigError
from indexer.phantoms.cohort import Kind, PhantomStudy, Trait, plan_cohort
from indexer.phantoms.draw import resize
from indexer.phantoms.draw_2d import radiograph, ultrasound
from indexer.phantoms.draw_3d import abdomen_ct, brain_mr, head_ct

_MARKER = "phantoms.json"
_FORMAT = 1  # of the files: to be raised with every change of what is written
_IMPLEMENTATION = UID("2.25.217206935217419184420962021637424511103")
_MAKERS = (
    ("Phantom Works", "Model One"),
    ("Synthetic Imaging", "Aurora 3"),
    ("Test Pattern Systems", "TPS 900"),
)
_DESCRIPTIONS = {
    Kind.CHEST: "XR CHEST",
    Kind.HEAD: "CT HEAD",
    Kind.ABDOMEN: "CT ABDOMEN",
    Kind.BRAIN: "MR BRAIN",
    Kind.ULTRASOUND: "US ABDOMEN",
}
_ASPECTS = ((512, 512), (512, 424), (440, 528), (560, 464), (480, 480))
# Field of view, distance of the slices (mm) and window (HU).
_CT = {Kind.HEAD: (230.0, 6.5, 40, 80), Kind.ABDOMEN: (400.0, 8.0, 40, 400)}
_MR_FIELD, _MR_STEP = 230.0, 7.5


def write_cohort(
    folder: Path,
    n_studies: int = 300,
    seed: int = 0,
    on_study: Callable[[int, int], None] | None = None,
) -> list[PhantomStudy]:
    """Write a cohort as ``folder/<patient>/<study>/<series>/*.dcm`` with ``labels.csv``.

    Where the folder holds the complete cohort of these parameters already, nothing is done.
    An interrupted or shorter one of the same seed is completed.

    Args:
        folder: made if missing.
        n_studies: how many studies.
        seed: of the cohort.
        on_study: called after each study with how many are done and how many there are.

    Returns:
        The plan, as `plan_cohort` gives it.

    Raises:
        ConfigError: the folder holds studies of another phantom cohort.
        ValueError: a number is negative.
    """
    plan = plan_cohort(n_studies, seed)
    table = [("study_instance_uid", "patient_id", "label", "kind", "split")]
    table += [(s.study_instance_uid, s.patient_id, s.label, s.kind.value, s.split) for s in plan]
    write_studies(folder, plan, table, {"n_studies": n_studies, "seed": seed}, on_study)
    return plan


def write_studies(
    folder: Path,
    plan: Sequence[PhantomStudy],
    table: Iterable[tuple[str, ...]],
    parameters: Mapping[str, int],
    on_study: Callable[[int, int], None] | None = None,
) -> None:
    """Write planned studies and what is told of them; see `write_cohort`.

    Args:
        folder: made if missing.
        plan: the studies.
        table: rows of ``labels.csv``, the names of its columns first.
        parameters: by which the plan is known when it is written again.
        on_study: called after each study with how many are done and how many there are.

    Raises:
        ConfigError: the folder holds studies of another phantom cohort.
    """
    parameters = {"format": _FORMAT, **parameters}
    if _is_complete(folder, parameters):
        return
    _refuse_strangers(folder, plan)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARKER).unlink(missing_ok=True)
    files = 0
    for done, study in enumerate(plan, start=1):
        files += write_study(folder, study)
        if on_study is not None:
            on_study(done, len(plan))
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(table)
    draft = folder / f"{_MARKER}.tmp"
    draft.write_text(json.dumps({**parameters, "files": files}, indent=2) + "\n", "utf-8")
    draft.replace(folder / _MARKER)


def write_study(folder: Path, study: PhantomStudy) -> int:
    """Draw one study and write its images and its report.

    Args:
        folder: root of the cohort; the study gets ``<patient>/<study>`` below it.
        study: from `plan_cohort`.

    Returns:
        The number of files written.
    """
    encoder = _Encoder()
    evidence: dict[str, list[tuple[UID, UID]]] = {}
    for image in _IMAGES[study.kind](study):
        _save(folder, study, image, encoder)
        instances = evidence.setdefault(image.SeriesInstanceUID, [])
        instances.append((image.SOPClassUID, image.SOPInstanceUID))
    _save(folder, study, _report(study, evidence), encoder)
    return sum(map(len, evidence.values())) + 1


def _is_complete(folder: Path, parameters: Mapping[str, int]) -> bool:
    try:
        marker = json.loads((folder / _MARKER).read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    files = sum(1 for _ in folder.glob("*/*/*/*.dcm"))
    return marker == {**parameters, "files": files} and (folder / "labels.csv").is_file()


def _refuse_strangers(folder: Path, plan: Sequence[PhantomStudy]) -> None:
    """Two cohorts in one folder would be ground truth for neither."""
    planned = {study.study_instance_uid for study in plan}
    strangers = sum(1 for path in folder.glob("DRAWN-*/*") if path.name not in planned)
    if strangers:
        raise ConfigError(
            f"{folder} holds {strangers} studies of another phantom cohort: "
            "give an empty folder, or delete this one"
        )


class _Encoder:
    """Encodes datasets, each data element once for as long as its value stays the same.

    The slices of a stack share nearly all of their header, and encoding it is most of the work.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[object, bytes]] = {}

    def encode(self, ds: Dataset) -> bytes:
        """The whole file: preamble, file meta information and dataset, explicit little endian."""
        meta = self._elements(ds.file_meta)
        length = struct.pack("<HH2sHI", 0x0002, 0x0000, b"UL", 4, len(meta))
        return b"\0" * 128 + b"DICM" + length + meta + self._elements(ds)

    def _elements(self, ds: Dataset) -> bytes:
        return b"".join(self._element(ds[tag]) for tag in sorted(ds.keys()))

    def _element(self, element: DataElement) -> bytes:
        known = self._known.get(element.tag)
        if known is not None and known[0] == element.value:
            return known[1]
        file = DicomBytesIO()
        file.is_implicit_VR, file.is_little_endian = False, True
        write_data_element(file, element, ["utf8"])
        self._known[element.tag] = element.value, file.getvalue()
        return file.getvalue()


def _save(folder: Path, study: PhantomStudy, ds: Dataset, encoder: _Encoder) -> None:
    series = folder / study.patient_id / study.study_instance_uid / ds.SeriesInstanceUID
    series.mkdir(parents=True, exist_ok=True)
    prefix = "SR" if ds.Modality == "SR" else "IM"
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    (series / f"{prefix}{ds.InstanceNumber:04d}.dcm").write_bytes(encoder.encode(ds))


def _base(study: PhantomStudy, sop_class: UID, number: int, description: str) -> Dataset:
    """What every instance of a series says of patient, study, series and equipment."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.FileMetaInformationVersion = b"\0\1"
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    # Fixed, lest the files change with the release of pydicom.
    ds.file_meta.ImplementationClassUID = _IMPLEMENTATION
    ds.file_meta.ImplementationVersionName = "SYNTOPY_PHANTOM"
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = sop_class
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = study.study_date
    ds.StudyTime = ds.SeriesTime = ds.ContentTime = study.study_time
    ds.AccessionNumber = f"A{study.patient_number:05d}{study.visit}"
    ds.Modality = study.modality
    ds.Manufacturer, ds.ManufacturerModelName = _MAKERS[study.index % len(_MAKERS)]
    ds.DeviceSerialNumber = f"{1000 + study.index % len(_MAKERS)}"
    ds.SoftwareVersions = "1.0"
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = f"{_DESCRIPTIONS[study.kind]} {study.view}".strip()
    ds.SeriesDescription = description
    ds.PatientName = f"Drawn^{study.patient_number:04d}"
    ds.PatientID = study.patient_id
    ds.IssuerOfPatientID = "SYNTOPY"
    ds.PatientBirthDate = study.birth_date
    ds.PatientSex = study.sex
    ds.PatientAge = f"{study.age_years:03d}Y"
    ds.StudyInstanceUID = study.study_instance_uid
    ds.SeriesInstanceUID = study.uid("series", number)
    ds.StudyID = str(study.index + 1)
    ds.SeriesNumber = number
    return ds


def _image(study: PhantomStudy, sop_class: UID, number: int, description: str) -> Dataset:
    ds = _base(study, sop_class, number, description)
    ds.AcquisitionDate, ds.AcquisitionTime = study.study_date, study.study_time
    ds.AcquisitionNumber = 1
    ds.BodyPartExamined = study.body_part
    ds.BurnedInAnnotation = "NO"
    ds.LossyImageCompression = "00"
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.PixelRepresentation = 0
    return ds


def _set_pixels(
    ds: Dataset, pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16], bits: int
) -> None:
    """Store pixels; the last two axes of grey pixels are rows and columns."""
    colour = ds.SamplesPerPixel == 3
    ds.Rows, ds.Columns = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
    ds.BitsAllocated = 8 * pixels.itemsize
    ds.BitsStored, ds.HighBit = bits, bits - 1
    raw = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes()
    ds.PixelData = raw + b"\0" * (len(raw) % 2)
    ds["PixelData"].VR = "OW" if pixels.itemsize > 1 else "OB"


def _chest(study: PhantomStudy) -> Iterator[Dataset]:
    is_dx = study.modality == "DX"
    inverted = Trait.MONOCHROME1 in study.traits
    sop_class = DigitalXRayImageStorageForPresentation if is_dx else ComputedRadiographyImageStorage
    ds = _image(study, sop_class, 1, f"{study.series[0]} {study.view}")
    # One patient's pictures keep their aspect, as one detector's do, and vary in resolution.
    rows, columns = _ASPECTS[study.patient_number % len(_ASPECTS)]
    size = (rows + 32 * (study.visit % 2), columns + 32 * (study.visit % 2))
    grey = radiograph(study.exam_rng(), study.finding, size, patient=study.patient_rng())
    if study.noise:
        grey = (grey + study.noise_rng().normal(0, study.noise, grey.shape)).clip(0, 1)
    stored = np.rint(120 + 3800 * grey).astype(np.uint16)
    ds.ImageType = ["ORIGINAL", "PRIMARY", ""] if is_dx else ["ORIGINAL", "PRIMARY"]
    ds.SOPInstanceUID = study.uid("image", 1)
    ds.InstanceNumber = 1
    ds.ViewPosition = study.view
    ds.PatientOrientation = ["L", "F"]
    ds.KVP = 120
    spacing = round(420 / max(size), 4)
    ds.ImagerPixelSpacing = [spacing, spacing]
    ds.WindowCenter, ds.WindowWidth = 2048, 4000
    if inverted:
        ds.PhotometricInterpretation = "MONOCHROME1"
        stored = 4095 - stored
    if is_dx:
        _dx_attributes(ds, inverted)
    _set_pixels(ds, stored, 12)
    if Trait.JPEG2000 in study.traits:
        ds.compress(JPEG2000Lossless, encoding_plugin="pylibjpeg", generate_instance_uid=False)
    elif Trait.RLE in study.traits:
        ds.compress(RLELossless, encoding_plugin="gdcm", generate_instance_uid=False)
    yield ds


def _dx_attributes(ds: Dataset, inverted: bool) -> None:
    ds.PresentationIntentType = "FOR PRESENTATION"
    ds.PresentationLUTShape = "INVERSE" if inverted else "IDENTITY"
    ds.PixelIntensityRelationship = "LOG"
    ds.PixelIntensityRelationshipSign = 1 if inverted else -1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "US"
    ds.ImageLaterality = "U"
    ds.DetectorType = "DIRECT"
    ds.PositionerType = "NONE"
    ds.AnatomicRegionSequence = [_code("51185008", "SCT", "Chest")]
    ds.AcquisitionContextSequence = []


def _ct(study: PhantomStudy) -> Iterator[Dataset]:
    draw = head_ct if study.kind is Kind.HEAD else abdomen_ct
    values = draw(study.exam_rng(), study.finding, patient=study.patient_rng())
    field, step, center, width = _CT[study.kind]
    ds = _image(study, CTImageStorage, 1, study.series[0])
    ds.KVP = 120
    ds.ConvolutionKernel = "STANDARD"
    ds.GantryDetectorTilt = 0
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = -1024, 1, "HU"
    ds.WindowCenter, ds.WindowWidth = center, width
    stored = (values.clip(-1024, 3071) + 1024).astype(np.uint16)
    yield from _stack(study, ds, stored, "image", field=field, step=step, tilt=0.0)
    if Trait.LOCALIZER in study.traits:
        yield _localizer(study, ds, stored, field, step)


def _mr(study: PhantomStudy) -> Iterator[Dataset]:
    tilt = math.radians(4 + study.patient_number % 11) if Trait.OBLIQUE in study.traits else 0.0
    for number, description in enumerate(study.series, start=1):
        contrast = "T1" if "T1" in description else "T2"
        values = brain_mr(
            study.exam_rng(), study.finding, contrast=contrast, patient=study.patient_rng()
        )
        # Magnetic resonance has no unit: each examination has a scale of its own.
        scale = float(study.exam_rng().uniform(400, 3000))
        stored = np.clip(np.rint(values * scale), 0, 4095).astype(np.uint16)
        ds = _image(study, MRImageStorage, number, description)
        ds.ScanningSequence = "SE"
        ds.SequenceVariant = "SK" if contrast == "T2" else "NONE"
        ds.ScanOptions = ""
        ds.MRAcquisitionType = "2D"
        ds.RepetitionTime, ds.EchoTime = (4500, 100) if contrast == "T2" else (500, 12)
        ds.EchoTrainLength = 12 if contrast == "T2" else 1
        ds.MagneticFieldStrength = 1.5
        ds.SpacingBetweenSlices = _MR_STEP
        ds.WindowCenter, ds.WindowWidth = round(0.5 * scale), round(1.0 * scale)
        yield from _stack(
            study, ds, stored, f"image-{number}", field=_MR_FIELD, step=_MR_STEP, tilt=tilt
        )


def _stack(
    study: PhantomStudy,
    ds: Dataset,
    stored: npt.NDArray[np.uint16],
    name: str,
    *,
    field: float,
    step: float,
    tilt: float,
) -> Iterator[Dataset]:
    """Yield the slices of one series; it is one dataset that changes from slice to slice."""
    slices, rows, columns = stored.shape
    order = np.arange(slices)
    if Trait.SHUFFLED in study.traits:
        order = study.exam_rng().permutation(slices)
    spacing = round(field / columns, 4)
    across = np.array((1.0, 0.0, 0.0))
    down = np.round((0.0, math.cos(tilt), math.sin(tilt)), 6)
    normal = np.cross(across, down)
    corner = -0.5 * spacing * ((columns - 1) * across + (rows - 1) * down)
    first = corner - 0.5 * (slices - 1) * step * normal
    ds.PatientPosition = "HFS"
    ds.FrameOfReferenceUID = study.uid("frame-of-reference")
    ds.PositionReferenceIndicator = ""
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"] if ds.Modality == "CT" else _MR_IMAGE_TYPE
    ds.SliceThickness = step if ds.Modality == "CT" else 0.8 * step
    ds.PixelSpacing = [spacing, spacing]
    ds.ImageOrientationPatient = [float(v) for v in (*across, *down)]
    for k in range(slices):
        ds.SOPInstanceUID = study.uid(name, k)
        ds.InstanceNumber = int(order[k]) + 1
        ds.ImagePositionPatient = [round(float(v), 4) + 0.0 for v in first + k * step * normal]
        _set_pixels(ds, stored[k], 12)
        yield ds


_MR_IMAGE_TYPE = ["ORIGINAL", "PRIMARY", "M", "SE"]


def _localizer(
    study: PhantomStudy, ds: Dataset, stored: npt.NDArray[np.uint16], field: float, step: float
) -> Dataset:
    """A coronal overview through the middle, made from the stack it is kept with."""
    slices, rows, columns = stored.shape
    # The upper edge of the picture is the top of the head.
    coronal = stored[::-1].mean(axis=1, dtype=np.float32)
    picture = np.rint(resize(coronal, (rows, columns))).astype(np.uint16)
    height = round(slices * step / rows, 4)
    spacing = round(field / columns, 4)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    ds.SOPInstanceUID = study.uid("localizer")
    ds.InstanceNumber = slices + 1
    ds.PixelSpacing = [height, spacing]
    ds.ImageOrientationPatient = [1.0, 0.0, 0.0, 0.0, 0.0, -1.0]
    ds.ImagePositionPatient = [
        round(-0.5 * (columns - 1) * spacing, 4),
        0.0,
        round(0.5 * (rows - 1) * height, 4),
    ]
    ds.WindowCenter, ds.WindowWidth = -300, 1400
    _set_pixels(ds, picture, 12)
    return ds


def _ultrasound(study: PhantomStudy) -> Iterator[Dataset]:
    loop = Trait.LOOP in study.traits
    frames = 6 + study.patient_number % 5 if loop else 1
    grey = ultrasound(study.exam_rng(), study.finding, frames, patient=study.patient_rng())
    pixels = np.rint(255 * grey).astype(np.uint8)
    sop_class = UltrasoundMultiFrameImageStorage if loop else UltrasoundImageStorage
    ds = _image(study, sop_class, 1, study.series[0])
    ds.ImageType = ["ORIGINAL", "PRIMARY", "ABDOMINAL", "0001"]
    ds.SOPInstanceUID = study.uid("image", 1)
    ds.InstanceNumber = 1
    ds.PatientOrientation = ""
    ds.UltrasoundColorDataPresent = 0
    ds.TransducerData = ["C5-2", "", ""]
    if loop:
        ds.NumberOfFrames = frames
        ds.FrameTime = 66.7
        ds.FrameIncrementPointer = Tag("FrameTime")
    if Trait.RGB in study.traits:
        ds.PhotometricInterpretation = "RGB"
        ds.SamplesPerPixel, ds.PlanarConfiguration = 3, 0
        pixels = _tinted(pixels)
    if not loop:
        pixels = pixels[0]
    _set_pixels(ds, pixels, 8)
    ds.SequenceOfUltrasoundRegions = [_region(ds)]
    yield ds


def _tinted(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Amber pictures with a colour bar, as some machines show them."""
    tint = np.array((1.0, 0.92, 0.78), dtype=np.float32)
    colour: npt.NDArray[np.uint8] = np.rint(grey[..., None] * tint).astype(np.uint8)
    ramp = np.linspace(255, 0, 60).astype(np.uint8)
    bar = np.stack((ramp, np.full_like(ramp, 40), ramp[::-1]), axis=-1)
    colour[:, 12:72, -18:-10] = bar[:, None]
    return colour


def _region(ds: Dataset) -> Dataset:
    """Calibration of the sector (PS3.3 C.8.5.5): centimetres per pixel."""
    region = Dataset()
    region.RegionSpatialFormat = 1
    region.RegionDataType = 1
    region.RegionFlags = 0
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 0, 0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = ds.Columns - 1, ds.Rows - 1
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX = region.PhysicalDeltaY = 0.0625
    return region


_IMAGES: dict[Kind, Callable[[PhantomStudy], Iterator[Dataset]]] = {
    Kind.CHEST: _chest,
    Kind.HEAD: _ct,
    Kind.ABDOMEN: _ct,
    Kind.BRAIN: _mr,
    Kind.ULTRASOUND: _ultrasound,
}


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _report(study: PhantomStudy, evidence: dict[str, list[tuple[UID, UID]]]) -> Dataset:
    """The report as a structured document: a title with two paragraphs."""
    comprehensive = study.index % 4 == 3
    sop_class = ComprehensiveSRStorage if comprehensive else BasicTextSRStorage
    ds = _base(study, sop_class, 99, "Report")
    ds.Modality = "SR"
    ds.SOPInstanceUID = study.uid("report")
    ds.InstanceNumber = 1
    ds.ReferencedPerformedProcedureStepSequence = []
    ds.PerformedProcedureCodeSequence = []
    ds.CompletionFlag, ds.VerificationFlag = "COMPLETE", "UNVERIFIED"
    ds.CurrentRequestedProcedureEvidenceSequence = [_evidence(study, evidence)]
    ds.ValueType = "CONTAINER"
    ds.ConceptNameCodeSequence = [_code("18748-4", "LN", "Diagnostic imaging report")]
    ds.ContinuityOfContent = "SEPARATE"
    ds.ContentSequence = [
        _paragraph(_code("59776-5", "LN", "Findings"), study.findings_text),
        _paragraph(_code("121073", "DCM", "Impression"), study.impression_text),
    ]
    return ds


def _paragraph(name: Dataset, text: str) -> Dataset:
    item = Dataset()
    item.RelationshipType = "CONTAINS"
    item.ValueType = "TEXT"
    item.ConceptNameCodeSequence = [name]
    item.TextValue = text
    return item


def _evidence(study: PhantomStudy, evidence: dict[str, list[tuple[UID, UID]]]) -> Dataset:
    """Every image of the study, by series (PS3.3 C.17.2.1)."""
    item = Dataset()
    item.StudyInstanceUID = study.study_instance_uid
    item.ReferencedSeriesSequence = []
    for series_uid, instances in evidence.items():
        series = Dataset()
        series.SeriesInstanceUID = series_uid
        series.ReferencedSOPSequence = []
        for sop_class, sop_instance in instances:
            reference = Dataset()
            reference.ReferencedSOPClassUID = sop_class
            reference.ReferencedSOPInstanceUID = sop_instance
            series.ReferencedSOPSequence.append(reference)
        item.ReferencedSeriesSequence.append(series)
    return item
