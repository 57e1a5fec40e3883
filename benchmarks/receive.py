"""C-STORE of many small instances with dcmtk's storescu: `syntopy listen` against Orthanc.

    python benchmarks/receive.py --count 1000

Draws the instances once (slices of 128 x 128 x 16 bit, 33 kB each) and sends them on one
association to `syntopy listen --no-index`, to `syntopy listen` (which indexes meanwhile) and, where
it is installed, to Orthanc with its defaults, each in a folder of its own on the same disk. Sends
again to a receiver that is killed with SIGKILL half way and started anew. Counts what was stored.
Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

SIDE = 128
Counter = Callable[[], int]


def make_files(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    for number in range(count):
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, f"2.25.1.{number // 100}.{number}"
        ds.StudyInstanceUID, ds.SeriesInstanceUID = "2.25.1", f"2.25.1.{number // 100}"
        ds.PatientID, ds.Modality, ds.InstanceNumber = "B1", "CT", number
        ds.ImagePositionPatient = [0, 0, 2.0 * (number % 100)]
        ds.ImageOrientationPatient, ds.PixelSpacing = [1, 0, 0, 0, 1, 0], [1, 1]
        ds.Rows = ds.Columns = SIDE
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated = ds.BitsStored = 16
        ds.HighBit, ds.PixelRepresentation = 15, 0
        ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
        ds.PixelData = rng.integers(800, 1300, (SIDE, SIDE)).astype("<u2").tobytes()
        ds.save_as(folder / f"{number:06}.dcm", enforce_file_format=True)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_for(port: int) -> None:
    for _ in range(600):
        echoed = subprocess.run(
            ["echoscu", "127.0.0.1", str(port)], capture_output=True, check=False
        )
        if echoed.returncode == 0:
            return
        time.sleep(0.1)
    sys.exit("the receiver did not start within a minute")


@contextmanager
def syntopy(folder: Path, *options: str) -> Iterator[tuple[int, Counter, subprocess.Popen[bytes]]]:
    port = free_port()
    command = [sys.executable, "-m", "api.cli.main", "listen", "--json", "--port", str(port)]
    with running([*command, "--library", str(folder), *options]) as process:
        wait_for(port)
        yield port, lambda: len(list((folder / "inbox").glob("2*/*.dcm"))), process


@contextmanager
def orthanc(folder: Path) -> Iterator[tuple[int, Counter, subprocess.Popen[bytes]]]:
    port, http = free_port(), free_port()
    folder.mkdir(exist_ok=True)
    settings = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "DicomAet": "ORTHANC",
        "DicomPort": port,
        "HttpPort": http,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))

    def count() -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{http}/statistics") as answer:
            return int(json.load(answer)["CountInstances"])

    with running(["Orthanc", str(folder / "orthanc.json")]) as process:
        wait_for(port)
        yield port, count, process


def send(port: int, files: Path) -> float:
    """Seconds that sending all took."""
    began = time.monotonic()
    subprocess.run(
        ["storescu", "+sd", "127.0.0.1", str(port), str(files)], check=False, capture_output=True
    )
    return time.monotonic() - began


def measure(receiver: object, files: Path, count: int) -> dict[str, float]:
    with receiver as (port, stored, _):  # type: ignore[attr-defined]
        seconds = send(port, files)
        return {
            "seconds": round(seconds, 2),
            "per_second": round(count / seconds, 1),
            "stored": stored(),
        }


def killed_half_way(make: Callable[[], object], files: Path, count: int) -> dict[str, int]:
    with make() as (port, stored, process):  # type: ignore[attr-defined]
        sender = threading.Thread(target=send, args=(port, files))
        sender.start()
        while stored() < count // 2:
            time.sleep(0.02)
        process.kill()
        sender.join()
        before = stored()
    with make() as (port, stored, _):  # type: ignore[attr-defined]
        send(port, files)
        return {"stored_when_killed": before, "stored_after_sending_again": stored()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--only", choices=["listen", "listen_and_index", "orthanc", "killed"])
    arguments = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="receive-"))
    files, count = base / "files", arguments.count
    make_files(files, count)
    runs: dict[str, Callable[[], object]] = {
        "listen": lambda: measure(syntopy(base / "a", "--no-index"), files, count),
        "listen_and_index": lambda: measure(syntopy(base / "b"), files, count),
        "killed": lambda: killed_half_way(lambda: syntopy(base / "c", "--no-index"), files, count),
    }
    if shutil.which("Orthanc"):
        runs["orthanc"] = lambda: measure(orthanc(base / "d"), files, count)
    report = {name: run() for name, run in runs.items() if arguments.only in (None, name)}
    print(json.dumps({"count": count, "load": os.getloadavg()[0], **report}, indent=2))
    shutil.rmtree(base)


if __name__ == "__main__":
    main()
