"""What DICOMweb costs: finding among 100,000 studies, retrieving a series of 300 slices.

    python benchmarks/dicomweb.py --studies 100000

Writes rows straight into a new catalog (three series of two instances a study) and asks its QIDO-RS
over loopback; then indexes a generated CT series of 300 slices of 512 x 512, and asks WADO-RS for
its metadata, for each of its frames and for all files; then an enhanced object of 300 frames. Each
line has the 50th and 99th percentile of the time of a request in milliseconds, and the median of
the processor's time, of server and client together: what to look at where others use the machine.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian

from api.app import create_app
from api.server import listening, server_of
from api.service import ingest
from indexer.catalog.database import transaction
from indexer.config import Settings
from indexer.library import Library

SIDE, SLICES, PART = 512, 300, 20_000
MODALITIES = ("CT", "MR", "DX", "CR", "US", "PT", "NM", "XA", "MG", "OT")
QUERIES: Mapping[str, Callable[[int], dict[str, str]]] = {
    "first page of 25": lambda _n: {"limit": "25"},
    "first page of 101, as OHIF": lambda _n: {"limit": "101", "includefield": "00081030"},
    "page at 50,000": lambda _n: {"limit": "25", "offset": "50000"},
    "a study": lambda n: {"StudyInstanceUID": f"2.25.{n}"},
    "a patient": lambda n: {"PatientID": f"p{n // 2}"},
    "a month": lambda n: {"StudyDate": f"20{n % 20:02d}0301-20{n % 20:02d}0331", "limit": "101"},
    "a modality": lambda n: {"ModalitiesInStudy": MODALITIES[n % 10], "limit": "101"},
    "1 in 1,000 by description": lambda n: {"StudyDescription": f"*protocol {n % 1000} *"},
    "rare modality, no match": lambda _n: {"ModalitiesInStudy": "OCT"},
}


def fill(library: Library, studies: int, first: int = 1) -> None:
    """Two studies a patient, three series a study, two instances a series."""
    for start in range(first, studies + 1, PART):
        with transaction(library.engine) as db:
            run = db.connection.driver_connection.executemany  # type: ignore[union-attr]
            ids = range(start, min(start + PART, studies + 1))
            run(
                "INSERT OR IGNORE INTO patient (id, pseudonym, shared, fingerprint) "
                "VALUES (?, ?, 0, '{}')",
                [(n // 2, f"p{n // 2}") for n in ids],
            )
            run(
                "INSERT INTO study (id, study_instance_uid, patient_id, study_date, sex, split, "
                "description) VALUES (?, ?, ?, ?, 'F', '', ?)",
                [(n, f"2.25.{n}", n // 2, f"20{n % 20:02d}-{n % 12 + 1:02d}-{n % 28 + 1:02d}",
                  f"Thorax protocol {n % 1000} plain") for n in ids],
            )  # fmt: skip
            series = [(3 * n + k, f"2.25.{n}.{k}", n, MODALITIES[(n + k) % 10])
                      for n in ids for k in range(3)]  # fmt: skip
            run(
                "INSERT INTO series (id, series_instance_uid, study_id, modality, body_part, view, "
                "laterality, description, manufacturer, model) "
                "VALUES (?, ?, ?, ?, 'CHEST', '', '', 'axial', 'Maker', 'One')",
                series,
            )
            run(
                "INSERT INTO instance (sop_instance_uid, series_id, sop_class_uid, kind, "
                "transfer_syntax_uid, decoder, frames, content_hash, pixel_hash, source, "
                "file_sha256, flags) VALUES (?, ?, '1.2', 'image', '1.2.840.10008.1.2.1', '', 1, "
                "'', '', ?, '', '[]')",
                [(f"{uid}.{k}", id_, f"/none/{uid}.{k}") for id_, uid, *_ in series
                 for k in range(2)],
            )  # fmt: skip


def header(number: int, sop_class: str) -> Dataset:
    """What a CT says of a slice, with some twenty private elements as makers have them."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = sop_class
    ds.SOPInstanceUID = f"{ds.SOPClassUID}.7.{number}"
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.StudyInstanceUID = f"2.25.99{len(sop_class)}"
    ds.SeriesInstanceUID = f"{ds.StudyInstanceUID}.1"
    ds.SpecificCharacterSet, ds.ImageType = "ISO_IR 100", ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.PatientID, ds.PatientName, ds.PatientBirthDate = "P-4711", "Sample^Sally", "19700101"
    ds.StudyDate, ds.StudyTime, ds.Modality = "20240301", "101500", "CT"
    ds.StudyDescription, ds.SeriesDescription = "CT thorax", "axial 1 mm"
    ds.InstitutionName, ds.Manufacturer, ds.ManufacturerModelName = "Hospital", "Maker", "One"
    ds.KVP, ds.XRayTubeCurrent, ds.ConvolutionKernel = 120, 200, "B31f"
    ds.InstanceNumber, ds.SliceThickness, ds.PixelSpacing = number, 1, [0.7, 0.7]
    ds.ImagePositionPatient = [-170.5, -180.25, 1.0 * number]
    ds.ImageOrientationPatient, ds.SliceLocation = [1, 0, 0, 0, 1, 0], 1.0 * number
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows = ds.Columns = SIDE
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.WindowCenter, ds.WindowWidth, ds.RescaleSlope, ds.RescaleIntercept = 40, 400, 1, -1024
    block = ds.private_block(0x0029, "MAKER HEADER", create=True)
    for element in range(20):
        block.add_new(element, "LO", f"value {element}")
    return ds


def write(folder: Path) -> None:
    """A series of single slices, and one object of as many frames."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 2000, (SIDE, SIDE), np.uint16)
    folder.mkdir()
    for number in range(SLICES):
        ds = header(number, CTImageStorage)
        ds.PixelData = np.roll(pixels, number, axis=0).tobytes()
        ds.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    ds = header(0, EnhancedCTImageStorage)
    ds.NumberOfFrames = SLICES
    ds.PixelData = b"".join(np.roll(pixels, n, axis=1).tobytes() for n in range(SLICES))
    ds.save_as(folder / "frames.dcm", enforce_file_format=True)


@contextmanager
def serving(library: Path) -> Iterator[httpx.Client]:
    """A client of a server of a library."""
    server = server_of(create_app(Settings(library=library)))
    with listening("127.0.0.1", 0) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            with httpx.Client(base_url=f"{address}/dicomweb", timeout=120) as client:
                while client.get(f"{address}/v1/ready").status_code != 200:
                    time.sleep(0.05)
                yield client
        finally:
            server.should_exit = True
            thread.join()


def measure(name: str, times: int, ask: Callable[[int], httpx.Response]) -> None:
    """Ask so often, and print how long it took."""
    taken, worked, size = [], [], 0
    for number in range(times):
        start, before = time.perf_counter(), time.process_time()
        answer = ask(number)
        worked.append((time.process_time() - before) * 1000)
        taken.append((time.perf_counter() - start) * 1000)
        if answer.status_code >= 300:
            raise SystemExit(f"{name}: {answer.status_code} {answer.text[:300]}")
        size = len(answer.content)
    middle, slowest = np.percentile(taken, [50, 99])
    cpu = np.median(worked)
    print(f"{name:32s} {middle:8.1f} {slowest:8.1f} {cpu:8.1f} ms {size:12,d} bytes", flush=True)


def find(folder: Path, studies: int, times: int) -> None:
    """QIDO-RS over many studies."""
    with Library.create(folder / "many") as library:
        fill(library, studies)
    chosen = random.Random(0).choices(range(2, studies), k=times)
    with serving(folder / "many") as client:
        for name, query in QUERIES.items():
            measure(
                name,
                times,
                lambda n, q=query: client.get("/studies", params=q(chosen[n])),  # type: ignore[misc]
            )
        measure(
            "series of a study", times, lambda n: client.get(f"/studies/2.25.{chosen[n]}/series")
        )


def retrieve(folder: Path) -> None:
    """WADO-RS of a series of slices, and of an object of frames."""
    write(folder / "files")
    with Library.create(folder / "few") as library:
        ingest.index(library, ingest.IndexRequest([folder / "files"]), Settings(workers=1))
    stored = {"Accept": 'multipart/related; type="application/octet-stream"; transfer-syntax=*'}
    with serving(folder / "few") as client:
        for study in (row["0020000D"]["Value"][0] for row in client.get("/studies").json()):
            (series,) = client.get(f"/studies/{study}/series").json()
            address = f"/studies/{study}/series/{series['0020000E']['Value'][0]}"
            rows = client.get(f"{address}/instances").json()
            urls = [f"{address}/instances/{row['00080018']['Value'][0]}" for row in rows]
            frames = [f"{urls[n % len(urls)]}/frames/{1 if len(urls) > 1 else n + 1}"
                      for n in range(SLICES)]  # fmt: skip
            print(f"{len(urls)} instances")
            measure("metadata of the series", 5, lambda _n: client.get(f"{address}/metadata"))  # noqa: B023
            measure("a frame", SLICES, lambda n: client.get(frames[n], headers=stored))  # noqa: B023
            measure("a frame, drawn", 20, lambda n: client.get(f"{frames[n]}/rendered"))  # noqa: B023
            measure("all files of the series", 1, lambda _n: client.get(address))  # noqa: B023


def main() -> None:
    """Fill, serve, ask."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--skip-find", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if not asked.skip_find:
            find(Path(folder), asked.studies, asked.times)
        retrieve(Path(folder))


if __name__ == "__main__":
    main()
