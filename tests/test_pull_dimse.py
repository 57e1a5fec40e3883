"""Studies are fetched with C-GET and C-MOVE from dcmtk's archive, and from one that Orthanc is."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest
from dicom_senders import context_of, listening, node, storescu
from free_ports import free_port
from orthanc_peer import needs_orthanc, orthanc
from pydicom.uid import CTImageStorage, MRImageStorage, SecondaryCaptureImageStorage
from sent_objects import REAL, as_file, real_file, small_slice
from test_dimse import calling, certificates, tls_of
from typer.testing import CliRunner

from api.cli.main import app
from api.dimse.archive import DimseArchive
from api.dimse.calling import DimseOptions
from api.dimse.finding import Finder
from api.service.arriving.archives import (
    ArchiveBusyError,
    ArchiveError,
    ArchiveQuery,
    ArchiveRefusesError,
    StoppedError,
    parse_query,
)
from indexer.errors import ConfigError
from indexer.library import Library
from indexer.receiving.inbox import Inbox

__all__ = ["certificates"]

needs_dcmqrscp = pytest.mark.skipif(
    shutil.which("dcmqrscp") is None, reason="dcmtk is not installed (dcmqrscp)"
)
SLICES = 8
ALL = ArchiveQuery({}, {})


@contextmanager
def dcmqrscp(folder: Path, back: int) -> Iterator[int]:
    """The archive of dcmtk, which moves to ``SYNTOPY`` at a port; gives its own."""
    port = free_port()
    (folder / "db").mkdir(parents=True)
    (folder / "qr.cfg").write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 16\n"
        f"HostTable BEGIN\nours = (SYNTOPY, 127.0.0.1, {back})\nHostTable END\n"
        "VendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\nARCHIVE {folder / 'db'} RW (100, 1024mb) ANY\nAETable END\n"
    )
    with subprocess.Popen(["dcmqrscp", "-c", str(folder / "qr.cfg")]) as running:
        try:
            for _ in range(300):
                echo = ["echoscu", "-aec", "ARCHIVE", "127.0.0.1", str(port)]
                if subprocess.run(echo, capture_output=True, check=False).returncode == 0:
                    break
                time.sleep(0.1)
            yield port
        finally:
            running.kill()


def write(folder: Path) -> Path:
    folder.mkdir()
    for study in (1, 2):
        for number in range(SLICES):
            (folder / f"{study}-{number}.dcm").write_bytes(
                as_file(small_slice(number, study=study))
            )
    return folder


def kept(library: Path) -> list[str]:
    files = (library / "inbox").glob("2*/*.dcm")
    return sorted(pydicom.dcmread(each, stop_before_pixels=True).SOPInstanceUID for each in files)


def substance(path: Path) -> tuple[str, str, bytes]:
    """What no sender may change; dcmtk writes lengths of sequences anew."""
    ds = pydicom.dcmread(path)
    pixels = ds.get("PixelData") or b""
    return ds.SOPInstanceUID, ds.file_meta.TransferSyntaxUID, pixels


SENT = sorted(f"2.25.{study}.1.{number}" for study in (1, 2) for number in range(SLICES))


@needs_dcmqrscp
def test_dcmtk_is_pulled_from_with_c_get_and_with_c_move_to_a_node_that_listens(
    tmp_path: Path,
) -> None:
    library = tmp_path / "moved"
    with (
        listening(library, "--no-index") as (_, back),
        dcmqrscp(tmp_path / "archive", back) as port,
    ):
        sent = storescu(port, "-aec", "ARCHIVE", "+sd", write(tmp_path / "slices"))
        assert sent.returncode == 0, sent.stderr
        asked = ("pull", "dimse", f"127.0.0.1:{port}", "--called", "ARCHIVE", "--no-index")
        for folder, move in ((tmp_path / "got", []), (library, ["--move"])):
            more = ("--query", "Modality=CT", "--library", str(folder), *move)
            for fetched, known in ((2 * SLICES, 0), (0, 2 * SLICES)):
                result = CliRunner().invoke(app, [*asked, *more])
                assert result.exit_code == 0, result.output
                assert f"2 studies: {fetched} instances fetched, {known} here" in result.stdout
            assert kept(folder) == SENT


@needs_orthanc
def test_many_classes_come_in_the_syntaxes_that_the_archive_has(tmp_path: Path) -> None:
    contents = [real_file(name).read_bytes() for name in REAL if name != "MR_small_bigendian.dcm"]
    library, held = tmp_path / "library", []
    with orthanc(tmp_path / "orthanc") as peer:
        peer.put(contents)
        asked = ("pull", "dimse", f"127.0.0.1:{peer.dicom}", "--called", "ORTHANC", "--no-index")
        result = CliRunner().invoke(app, [*asked, "--query", "StudyDate=*", "-L", str(library)])
        assert result.exit_code == 0, result.output
        for name in peer.rest.get("/instances").json():
            (tmp_path / name).write_bytes(peer.rest.get(f"/instances/{name}/file").content)
            held.append(tmp_path / name)
    files = [*(library / "inbox").glob("2*/*.dcm")]
    assert sorted(map(substance, files)) == sorted(map(substance, held))
    assert len({context_of(each) for each in files}) > 5


@needs_orthanc
def test_a_series_of_more_classes_than_one_association_can_have_comes_whole(
    tmp_path: Path,
) -> None:
    classes = (
        CTImageStorage,
        MRImageStorage,
        SecondaryCaptureImageStorage,
        "1.2.840.10008.5.1.4.1.1.1",
        "1.2.840.10008.5.1.4.1.1.20",
    )
    contents = []
    for number, sop_class in enumerate(classes):
        ds = small_slice(number)
        ds.SOPClassUID = sop_class
        contents.append(as_file(ds))
    inbox = Inbox(tmp_path / "inbox")
    with orthanc(tmp_path / "orthanc") as peer:
        peer.put(contents)
        options = DimseOptions(("127.0.0.1", peer.dicom), "ORTHANC")
        archive = DimseArchive(inbox, ALL, options, threading.Event())
        (series,) = archive.series("2.25.1")
        assert archive.fetch(series, list(series.instances), lambda _bytes: None) == ""
    assert sorted(series.instances.values()) == sorted(classes)
    assert set(inbox.holding(series.instances)) == set(series.instances)


def asked(inbox: Inbox, port: int, **more: object) -> list[str]:
    options = DimseOptions(("127.0.0.1", port), "SYNTOPY", timeout=10, **more)  # type: ignore[arg-type]
    return DimseArchive(inbox, ALL, options, threading.Event()).studies(0)


def test_an_archive_that_does_not_know_us_or_does_not_offer_it_is_said(tmp_path: Path) -> None:
    with Library.create(tmp_path / "library") as library:
        inbox, finder = Inbox(tmp_path / "inbox"), Finder(library)
        with node(inbox, find=finder, allow=("SYNTOPY",)) as port:
            assert asked(inbox, port) == []
            with pytest.raises(ArchiveRefusesError, match="--calling"):
                asked(inbox, port, calling="STRANGER")
        with node(inbox) as port, pytest.raises(ArchiveError, match="does not offer C-FIND"):
            asked(inbox, port)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of pynetdicom
def test_an_archive_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ArchiveBusyError, match="not reached"):
        asked(Inbox(tmp_path / "inbox"), free_port())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of the caller
def test_tls_is_asked_for_and_the_archive_has_to_be_trusted(
    tmp_path: Path, certificates: Path
) -> None:
    with Library.create(tmp_path / "library") as library:
        inbox, finder = Inbox(tmp_path / "inbox"), Finder(library)
        with node(inbox, find=finder, tls=tls_of(certificates, mutual=True), timeout=5.0) as port:
            assert asked(inbox, port, tls=calling(certificates, "sender")) == []
            with pytest.raises(ArchiveBusyError, match="with TLS"):
                asked(inbox, port, tls=calling(certificates))


def test_who_was_told_to_stop_asks_for_nothing_more(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    options = DimseOptions(("127.0.0.1", free_port()), "ARCHIVE")
    with pytest.raises(StoppedError):
        DimseArchive(Inbox(tmp_path / "inbox"), ALL, options, stop).studies(0)


def test_a_value_that_is_none_of_its_kind_is_refused_without_being_quoted(tmp_path: Path) -> None:
    query = parse_query(["SeriesNumber=Sally"])
    options = DimseOptions(("127.0.0.1", 1), "ARCHIVE")
    with pytest.raises(ConfigError, match="SeriesNumber") as caught:
        DimseArchive(Inbox(tmp_path / "inbox"), query, options, threading.Event())
    assert "Sally" not in str(caught.value)


@pytest.mark.parametrize(
    "options", [["--called", "A\\B"], ["--called", "A", "--tls-cert", "x.pem"]]
)
def test_options_that_will_not_do_are_refused(tmp_path: Path, options: list[str]) -> None:
    for address in ("127.0.0.1:104", "127.0.0.1"):
        more = ["--query", "Modality=CT", "-L", str(tmp_path / "library")]
        assert CliRunner().invoke(app, ["pull", "dimse", address, *options, *more]).exit_code == 2
