"""C-STORE and STOW-RS of many small instances: Syntopy against Orthanc.

    python benchmarks/receive.py --count 1000 --repeat 3

Draws the instances once (slices of 128 x 128 x 16 bit, 33 kB each) and sends them on one
association with dcmtk's storescu to `syntopy listen --no-index`, to `syntopy listen` (which indexes
meanwhile) and, where it is installed, to Orthanc; and as one STOW-RS request of 100 instances after
the other to `syntopy serve --receive` and to Orthanc. Each receiver has a folder of its own on the
same disk. Orthanc confirms an instance after it was brought to the disk (its default), as we do;
`orthanc_no_sync` leaves that to the kernel.

storescu and Orthanc are run with TCP_NODELAY=1. Without it dcmtk keeps the last packet of a message
back until the one before it is confirmed, which a kernel puts off by 40 ms: `orthanc_nagle`.

Sends again to a receiver that is killed with SIGKILL half way and started anew. Counts what was
stored. Prints one JSON object: of each run the median, and the least and most objects a second.
"""

from __future__ import annotations

import argparse
import itertools
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

import httpx
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
def running(command: list[str], nodelay: str = "1") -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"TCP_NODELAY": nodelay},
    ) as process:
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
def serving(folder: Path) -> Iterator[tuple[str, Counter]]:
    command = [sys.executable, "-m", "api.cli.main"]
    subprocess.run([*command, "init", str(folder)], check=True, capture_output=True)
    http = free_port()
    with running([*command, "serve", "-L", str(folder), "--port", str(http), "--receive"]):
        wait_for_http(f"http://127.0.0.1:{http}/v1/health")
        url = f"http://127.0.0.1:{http}/dicomweb/studies"
        yield url, lambda: len(list((folder / "inbox").glob("2*/*.dcm")))


@contextmanager
def orthanc_web(folder: Path) -> Iterator[tuple[str, Counter]]:
    with orthanc(folder) as (_port, stored, _):
        http = json.loads((folder / "orthanc.json").read_text())["HttpPort"]
        yield f"http://127.0.0.1:{http}/dicom-web/studies", stored


def wait_for_http(url: str) -> None:
    for _ in range(600):
        try:
            if httpx.get(url).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    sys.exit("the receiver did not start within a minute")


@contextmanager
def orthanc(
    folder: Path, nodelay: str = "1", **more: object
) -> Iterator[tuple[int, Counter, subprocess.Popen[bytes]]]:
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
        "Plugins": ["/usr/share/orthanc/plugins/libOrthancDicomWeb.so"],
        **more,
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))

    def count() -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{http}/statistics") as answer:
            return int(json.load(answer)["CountInstances"])

    with running(["Orthanc", str(folder / "orthanc.json")], nodelay) as process:
        wait_for(port)
        yield port, count, process


def send(port: int, files: Path, nodelay: str = "1") -> float:
    """Seconds that sending all took."""
    began = time.monotonic()
    subprocess.run(
        ["storescu", "+sd", "127.0.0.1", str(port), str(files)],
        check=False,
        capture_output=True,
        env=os.environ | {"TCP_NODELAY": nodelay},
    )
    return time.monotonic() - began


def stow(url: str, files: Path) -> float:
    """Seconds that storing all took, 100 a request."""
    contents = [each.read_bytes() for each in sorted(files.iterdir())]
    head = b"--frontier\r\nContent-Type: application/dicom\r\n\r\n"
    kind = 'multipart/related; type="application/dicom"; boundary=frontier'
    headers = {"Content-Type": kind, "Accept": "application/dicom+json"}
    began = time.monotonic()
    with httpx.Client(timeout=300, trust_env=False) as client:
        for start in range(0, len(contents), 100):
            parts = [head + each + b"\r\n" for each in contents[start : start + 100]]
            body = b"".join(parts) + b"--frontier--\r\n"
            client.post(url, content=body, headers=headers).raise_for_status()
    return time.monotonic() - began


def measure(
    receivers: Callable[[], object], files: Path, count: int, repeat: int, nodelay: str = "1"
) -> dict[str, float]:
    rates, stored = [], 0
    for _ in range(repeat):
        with receivers() as (where, held, *_):  # type: ignore[attr-defined]
            over_http = isinstance(where, str)
            seconds = stow(where, files) if over_http else send(where, files, nodelay)
            rates.append(count / seconds)
            stored = held()
    rates.sort()
    told = {"median": rates[len(rates) // 2], "least": rates[0], "most": rates[-1]}
    return {name: round(rate) for name, rate in told.items()} | {"stored": stored}


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
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", nargs="+")
    arguments = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="receive-"))
    files, count, repeat = base / "files", arguments.count, arguments.repeat
    make_files(files, count)
    numbers = itertools.count()

    def new() -> Path:
        return base / str(next(numbers))

    receivers: dict[str, Callable[[], object]] = {
        "listen": lambda: syntopy(new(), "--no-index"),
        "listen_and_index": lambda: syntopy(new()),
        "stow": lambda: serving(new()),
    }
    if shutil.which("Orthanc"):
        receivers |= {
            "orthanc": lambda: orthanc(new()),
            "orthanc_no_sync": lambda: orthanc(new(), SyncStorageArea=False),
            "orthanc_nagle": lambda: orthanc(new(), nodelay="0"),
            "orthanc_stow": lambda: orthanc_web(new()),
        }
    wanted = arguments.only or [*receivers, "killed"]
    report: dict[str, object] = {}
    for name, make in receivers.items():
        if name in wanted:
            nodelay = "0" if name == "orthanc_nagle" else "1"
            report[name] = measure(make, files, count, repeat, nodelay)
    if "killed" in wanted:
        report["killed"] = killed_half_way(lambda: syntopy(base / "k", "--no-index"), files, count)
    print(json.dumps({"count": count, "load": os.getloadavg()[0], **report}, indent=2))
    shutil.rmtree(base)


if __name__ == "__main__":
    main()
