"""Ingest speed and memory on generated 2048x2048 16-bit radiographs, against a plain pydicom loop.

    python benchmarks/ingest.py --files 2000 --codec jpeg-lossless

Makes the files once (kept in --folder), then measures in processes of their own:
the plain loop (one process: read, hash, decode, rescale, thumbnail, prepare, embed), `syntopy
index` from nothing, and the same command again. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import gdcm
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.processing import apply_modality_lut
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, JPEG2000Lossless

from indexer.dicom.render import thumbnail
from indexer.encoders.texture import TextureEncoder
from indexer.phantoms import radiograph
from indexer.reading.drafts import derived_uid
from indexer.types import ImagePixels

SIDE = 2048
VARIANTS = 40
"""Files made from one drawing: shifted, with grain of their own, so that none equals another."""


def make_files(folder: Path, count: int, codec: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    drawings = range(-(-count // VARIANTS))
    with ProcessPoolExecutor() as pool:
        list(pool.map(_make_some, [(folder, count, codec, number) for number in drawings]))


def _make_some(job: tuple[Path, int, str, int]) -> None:
    folder, count, codec, number = job
    paths = [folder / f"{n:05}.dcm" for n in range(number * VARIANTS, (number + 1) * VARIANTS)]
    paths = [p for p in paths if int(p.stem) < count and not p.exists()]
    if not paths:
        return
    drawing = radiograph(np.random.default_rng(number), size=SIDE) * 4000
    for path in paths:
        rng = np.random.default_rng([number, int(path.stem)])
        shift = rng.integers(-40, 40, 2)
        grain = rng.normal(0, 6, (SIDE, SIDE)).astype(np.float32)
        values = (np.roll(drawing, shift, (0, 1)) + grain).clip(0, 4095).astype(np.uint16)
        _write(path, values, codec)


def _write(path: Path, values: np.ndarray, codec: str) -> None:
    uid = derived_uid("benchmark", path.name)
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = ComputedRadiographyImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = uid
    ds.StudyInstanceUID = derived_uid("study", uid)
    ds.SeriesInstanceUID = derived_uid("series", uid)
    ds.PatientID, ds.Modality, ds.BodyPartExamined = f"B{path.stem}", "CR", "CHEST"
    ds.Rows, ds.Columns, ds.SamplesPerPixel = *values.shape, 1
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.WindowCenter, ds.WindowWidth, ds.PixelSpacing = 2048, 4096, [0.2, 0.2]
    ds.PixelData = values.tobytes()
    if codec == "jpeg2000":
        ds.compress(JPEG2000Lossless)
    temporary = path.with_suffix(".tmp")
    ds.save_as(temporary, enforce_file_format=True)
    if codec == "jpeg-lossless":
        _jpeg_lossless(temporary)
    temporary.rename(path)


def _jpeg_lossless(path: Path) -> None:
    """Recompress a file with gdcm; pydicom has no encoder for JPEG lossless."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    assert reader.Read()
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()


def plain_loop(paths: list[Path]) -> float:
    """The same work in one process, as one would write it: files a second."""
    encoder, vectors, thumbnails = TextureEncoder(), [], []
    began = time.perf_counter()
    for path in paths:
        hashlib.sha256(path.read_bytes()).hexdigest()
        ds = pydicom.dcmread(path)
        stored = ds.pixel_array
        hashlib.sha256(stored.tobytes()).hexdigest()
        values = apply_modality_lut(stored, ds).astype(np.float32)
        pixels = ImagePixels(values=values, modality="CR")
        thumbnails.append(thumbnail(pixels))
        vectors.append(encoder.embed([encoder.prepare(pixels)])[0])
    return len(paths) / (time.perf_counter() - began)


def timed_index(folder: Path, library: Path) -> tuple[float, int, dict[str, object]]:
    """Run `syntopy index`; wall seconds, peak resident bytes of any of its processes, its JSON."""
    command = [sys.executable, "-m", "api.cli.main", "index", str(folder), "-L", str(library)]
    began, peak = time.perf_counter(), 0
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen([*command, "--json"], stdout=out, start_new_session=True)
        while process.poll() is None:
            peak = max(peak, _resident(process.pid))
            time.sleep(0.2)
        seconds = time.perf_counter() - began
        out.seek(0)
        return seconds, peak, json.loads(out.read())


def _resident(group: int) -> int:
    """Resident bytes of the largest process of a process group."""
    largest = 0
    for status in Path("/proc").glob("[0-9]*/statm"):
        try:
            if os.getpgid(int(status.parent.name)) == group:
                largest = max(
                    largest, int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
                )
        except (OSError, ValueError):
            continue
    return largest


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--codec", choices=("jpeg-lossless", "jpeg2000"), default="jpeg-lossless")
    parser.add_argument("--loop-files", type=int, default=300, help="files for the plain loop")
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "syntopy-bench"
    )
    parser.add_argument("--make-only", action="store_true")
    options = parser.parse_args()
    folder = options.folder / options.codec
    make_files(folder, options.files, options.codec)
    if options.make_only:
        return
    library = options.folder / f"library-{options.codec}"
    shutil.rmtree(library, ignore_errors=True)
    paths = sorted(folder.glob("*.dcm"))[: options.files]
    with ProcessPoolExecutor(1) as pool:
        loop_rate = pool.submit(plain_loop, paths[: options.loop_files]).result()
    first, peak, said = timed_index(folder, library)
    second, _, again = timed_index(folder, library)
    print(
        json.dumps(
            {
                "codec": options.codec,
                "files": len(paths),
                "outcomes": said["outcomes"],
                "plain_loop_files_per_s": round(loop_rate, 2),
                "syntopy_files_per_s": round(len(paths) / first, 2),
                "ratio": round(len(paths) / first / loop_rate, 2),
                "first_run_s": round(first, 1),
                "second_run_s": round(second, 2),
                "second_run_faster": round(first / second, 1),
                "second_outcomes": again["outcomes"],
                "peak_resident_mb": round(peak / 2**20),
                "cpus": len(os.sched_getaffinity(0)),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
