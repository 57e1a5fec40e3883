"""A real Orthanc on this machine, in a folder of its own, for tests."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from free_ports import free_port

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")

needs_orthanc = pytest.mark.skipif(
    shutil.which("Orthanc") is None or not PLUGIN.exists(),
    reason="Orthanc is not installed with its DICOMweb plug-in (apt: orthanc orthanc-dicomweb)",
)


@dataclass(frozen=True)
class Orthanc:
    """One that runs.

    Attributes:
        rest: a client of its REST API.
        http, dicom: its ports.
    """

    rest: httpx.Client
    http: int
    dicom: int

    @property
    def web(self) -> str:
        """The URL of its DICOMweb service."""
        return f"http://127.0.0.1:{self.http}/dicom-web"

    def put(self, contents: list[bytes]) -> list[str]:
        """Give it instances; its own names for them."""
        answers = [self.rest.post("/instances", content=each) for each in contents]
        return [each.raise_for_status().json()["ID"] for each in answers]

    def ask(self, path: str, body: object) -> Any:
        """POST, and the JSON that is answered."""
        return self.rest.post(path, json=body).raise_for_status().json()

    def know(self, title: str, port: int) -> None:
        """Tell it of a DICOM node on this machine."""
        self.rest.put(f"/modalities/{title}", json=[title, "127.0.0.1", port]).raise_for_status()


@contextmanager
def orthanc(folder: Path, settings: Mapping[str, Any] | None = None) -> Iterator[Orthanc]:
    """An Orthanc that is there until the end of the ``with``."""
    http, dicom = free_port(), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    told = {
        "Name": "peer",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "Plugins": [str(PLUGIN)],
        "DicomAet": "ORTHANC",
        "DicomPort": dicom,
        "HttpPort": http,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "UnknownSopClassAccepted": True,
        "SyncStorageArea": False,
        "OverwriteInstances": True,
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (folder / "orthanc.json").write_text(json.dumps(told | dict(settings or {})))
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(["Orthanc", str(folder / "orthanc.json")], stdout=log, stderr=log) as run,
        httpx.Client(base_url=f"http://127.0.0.1:{http}", timeout=60, trust_env=False) as rest,
    ):
        try:
            _wait(rest, run, folder / "log")
            yield Orthanc(rest, http, dicom)
        finally:
            run.terminate()
            try:
                run.wait(20)
            except subprocess.TimeoutExpired:
                run.kill()


def _wait(rest: httpx.Client, run: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        try:
            if rest.get("/system").is_success:
                return
        except httpx.TransportError:
            assert run.poll() is None, log.read_text(errors="replace")
        time.sleep(0.1)
    pytest.fail("Orthanc did not start within a minute")
