"""Structured reports: where they go, over HTTP and by a watch, and what is recorded of it."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Event, Thread

import httpx
import pydicom
import pytest
from archive_library import NAME, REFERENCE, STUDIES, make_archive, study_uid
from dicom_senders import node
from free_ports import free_port
from served_library import serving
from sqlalchemy import select, update
from typer.testing import CliRunner, Result

from api.app import create_app
from api.cli.main import app
from api.rights import Role
from api.service.access import keys
from api.service.arriving.arrivals import index_arrivals
from api.service.outgoing.deliveries import listed, retry
from api.service.outgoing.destinations import WebDestination, destinations, find_destination
from api.service.outgoing.sending import send
from api.service.outgoing.structured import (
    OodReportRequest,
    SimilarReportRequest,
    hand_over,
    ood_report,
    similar_report,
)
from indexer.catalog.audit import Action, AuditRow, Ending, rows_since
from indexer.catalog.database import reading, transaction
from indexer.catalog.tables import Instance, Report
from indexer.config import Settings
from indexer.errors import (
    ConfigError,
    NotSentError,
    StorageFullError,
)
from indexer.library import Library
from indexer.receiving.inbox import Inbox

ODD = study_uid(STUDIES)
ORTHANC = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
LEFT_OPEN = pytest.mark.filterwarnings("ignore:.*socket:pytest.PytestUnraisableExceptionWarning")
"""Pynetdicom leaves a socket to the garbage collector that could not be connected."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_archive(tmp_path_factory.mktemp("archive"))


@pytest.fixture
def library(folder: Path, tmp_path: Path) -> Iterator[Library]:
    with Library.open(Path(shutil.copytree(folder, tmp_path / "library"))) as opened:
        yield opened


def command(library: Library, *words: object) -> Result:
    return CliRunner().invoke(app, ["sr", *map(str, words), "-L", str(library.path)])


def moved(library: Library, number: int, to: Path) -> None:
    """Let the catalog look for the file of a study elsewhere."""
    with transaction(library.engine) as db:
        one = Instance.sop_instance_uid == f"{study_uid(number)}.1.1"
        db.execute(update(Instance).where(one).values(source=str(to)))


# -- where they go --------------------------------------------------------------------------------


def name_destinations(library: Library, text: str) -> None:
    (library.path / "destinations.toml").write_text(text)


def pacs(port: int, more: str = "") -> str:
    return f'[pacs]\nkind = "dimse"\nhost = "127.0.0.1"\nport = {port}\ncalled = "PACS"\n{more}'


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Path]:
    """Another library that receives over HTTP; the one under test names it `archive`."""
    Library.create(tmp_path / "archive").close()
    yield tmp_path / "archive"


def received(folder: Path) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(path) for path in sorted((folder / "inbox").glob("*/*.dcm"))]


def test_it_is_stored_by_stow_and_sent_again_it_is_one(
    library: Library, receiver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(library=receiver)
    with Library.open(receiver) as opened:
        asked = keys.KeyRequest("syntopy", role=Role.OPERATOR)
        monkeypatch.setenv("ARCHIVE_TOKEN", keys.create(opened, asked, actor="test").token)
    with serving(settings, create_app(settings, None, receive=True)) as client:
        url = str(client.base_url.join("/dicomweb"))
        name_destinations(
            library, f'[archive]\nkind = "dicomweb"\nurl = "{url}"\ntoken = "ARCHIVE_TOKEN"\n'
        )
        for _ in range(2):
            result = command(library, "similar", ODD, "--send", "archive", "--json")
            assert result.exit_code == 0, result.output
    (stored,) = received(receiver)
    told = json.loads(result.stdout)
    assert told["report"]["sop_instance_uid"] == stored.SOPInstanceUID
    assert told["sent"] == ["archive"] and str(stored.PatientName) == NAME
    with Library.open(receiver) as opened:
        inbox = Inbox(opened.inbox_folder)
        list(index_arrivals(opened, inbox, settings, once=True, stop=Event()))
        with reading(opened.engine) as db:
            assert db.execute(select(Report.text)).all() == []
    with reading(library.engine) as db:
        rows = [row for row in rows_since(db) if row.action is Action.EXPORT]
    assert [(row.subject["to"], row.outcome) for row in rows] == [("archive", "success")] * 2
    assert len(rows[0].patients) == 6, "whose study it is, and those of its neighbours"


@contextmanager
def storescp(folder: Path) -> Iterator[int]:
    """The receiver of dcmtk."""
    folder.mkdir()
    port = free_port()
    with subprocess.Popen(
        ["storescp", "-od", str(folder), "-aet", "PACS", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            until = time.monotonic() + 20
            while subprocess.run(["echoscu", "127.0.0.1", str(port)], check=False).returncode:
                assert time.monotonic() < until
                time.sleep(0.1)
            yield port
        finally:
            process.kill()


@pytest.mark.skipif(shutil.which("storescp") is None, reason="dcmtk is not installed (storescp)")
def test_dcmtk_takes_it_by_c_store(library: Library, tmp_path: Path) -> None:
    with storescp(tmp_path / "taken") as port:
        name_destinations(library, pacs(port))
        result = command(library, "ood", ODD, "--reference", REFERENCE, "--send", "pacs")
        assert result.exit_code == 0, result.output
    (taken,) = (tmp_path / "taken").iterdir()
    made, _ = ood_report(library, OodReportRequest(ODD, REFERENCE), Settings())
    assert pydicom.dcmread(taken).SOPInstanceUID == made.sop_instance_uid


@contextmanager
def orthanc(folder: Path) -> Iterator[tuple[httpx.Client, int]]:
    """An Orthanc of its own: a client of it, and its DICOM port."""
    http, dicom = free_port(), free_port()
    folder.mkdir()
    told = {
        "StorageDirectory": str(folder), "IndexDirectory": str(folder), "Plugins": [str(ORTHANC)],
        "DicomAet": "PACS", "DicomPort": dicom, "HttpPort": http, "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False, "OverwriteInstances": False,
    }  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(told))
    with (
        subprocess.Popen(
            ["Orthanc", str(folder / "orthanc.json")],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{http}", timeout=30, trust_env=False) as client,
    ):  # fmt: skip
        try:
            _answers(client)
            yield client, dicom
        finally:
            process.terminate()


def _answers(client: httpx.Client) -> None:
    until = time.monotonic() + 40
    while time.monotonic() < until:
        with suppress(httpx.TransportError):
            if client.get("/system").is_success:
                return
        time.sleep(0.2)
    raise AssertionError("Orthanc does not answer")


@pytest.mark.skipif(not ORTHANC.exists(), reason="Orthanc is not installed (orthanc-dicomweb)")
def test_orthanc_takes_it_both_ways_and_keeps_one(library: Library, tmp_path: Path) -> None:
    with orthanc(tmp_path / "orthanc") as (client, port):
        web = f'[web]\nkind = "dicomweb"\nurl = "{client.base_url.join("/dicom-web")}"\n'
        name_destinations(library, pacs(port) + web)
        words = ["similar", ODD, "--send", "pacs", "--send", "web"]
        result = command(library, *words)
        assert result.exit_code == 0, result.output
        assert len(client.get("/instances").json()) == 1
        (series,) = client.get("/series?expand").json()
        assert series["MainDicomTags"]["Modality"] == "SR"
        (patient,) = client.get("/patients?expand").json()
        assert patient["MainDicomTags"]["PatientID"] == f"P-{4000 + STUDIES}"


@pytest.mark.skipif(shutil.which("dcmsend") is None, reason="dcmtk is not installed (dcmsend)")
def test_dcmtk_sends_the_file_and_our_node_takes_it(library: Library, tmp_path: Path) -> None:
    assert command(library, "similar", ODD, "-o", tmp_path / "it.dcm").exit_code == 0
    Library.create(tmp_path / "other").close()
    with node(Inbox(tmp_path / "other" / "inbox")) as port:
        words = ["dcmsend", "127.0.0.1", str(port), str(tmp_path / "it.dcm")]
        subprocess.run(words, check=True, capture_output=True)
    assert len(received(tmp_path / "other")) == 1


@LEFT_OPEN
def test_a_destination_that_is_not_there_or_refuses_is_an_error_and_is_recorded(
    library: Library, receiver: Path
) -> None:
    made = similar_report(library, SimilarReportRequest(ODD), Settings())
    settings = Settings(library=receiver)
    with serving(settings, create_app(settings)) as client:  # takes no studies
        url = str(client.base_url.join("/dicomweb"))
        web = f'[web]\nkind = "dicomweb"\nurl = "{url}"\n'
        name_destinations(library, pacs(free_port(), "timeout = 2\n") + web)
        for name, why in (("pacs", "cannot be reached"), ("web", "answered 404")):
            with pytest.raises(NotSentError, match=why):
                hand_over(library, made, actor="test", to=[find_destination(library, name)])
    with reading(library.engine) as db:
        rows = [row for row in rows_since(db) if row.action is Action.EXPORT]
    assert [row.outcome for row in rows] == [Ending.SUCCESS, Ending.FAILED] * 2


@contextmanager
def answering(
    status: int, body: bytes = b"", *, seen: Callable[[], object] = lambda: None, **headers: str
) -> Iterator[str]:
    """The URL of a service that answers whatever is sent so; `seen` is called before it does."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            seen()
            self.send_response(status)
            for name, value in {"content-length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_said: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def name_web(library: Library, url: str) -> WebDestination:
    name_destinations(library, f'[web]\nkind = "dicomweb"\nurl = "{url}"\n')
    found = find_destination(library, "web")
    assert isinstance(found, WebDestination)
    return found


def exports(library: Library) -> list[AuditRow]:
    with reading(library.engine) as db:
        return [row for row in rows_since(db) if row.action is Action.EXPORT]


def test_a_redirect_leads_nowhere(library: Library) -> None:
    made = similar_report(library, SimilarReportRequest(ODD), Settings())
    with answering(307, location="http://127.0.0.1:1/studies") as url:
        to = name_web(library, url)
        with pytest.raises(NotSentError, match="answered 307"):
            send(to, made.content)


def test_it_is_taken_where_the_answer_names_it_or_is_empty_and_nowhere_else(
    library: Library,
) -> None:
    made = similar_report(library, SimilarReportRequest(ODD), Settings())

    def naming(uid: str) -> dict[str, object]:
        return {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": [uid]}}]}

    ours = naming(made.sop_instance_uid)
    taken: list[object] = [
        {"00081199": ours},
        [{"00081199": ours}],
        {"00081199": ours, "00081198": {"vr": "SQ"}},
    ]
    for body in (b"", b"\r\n", *(json.dumps(each).encode() for each in taken)):
        with answering(200, body) as url:
            send(name_web(library, url), made.content)
    missed: list[object] = [
        {},
        [],
        None,
        "stored",
        {"00081199": naming("1.2.3")},
        {"00081199": {"vr": "SQ", "Value": [None, {"00081155": made.sop_instance_uid}]}},
        {"00081199": ours, "00081198": ours},
        {"00081198": ours},
    ]
    odd = [b"<html>Sign in</html>", b"\xff\xfe", b"[" * 100_000]
    for body in (*odd, *(json.dumps(each).encode() for each in missed)):
        with answering(200, body) as url, pytest.raises(NotSentError, match="did not say"):
            send(name_web(library, url), made.content)
    with answering(202) as url, pytest.raises(NotSentError, match="answered 202"):
        send(name_web(library, url), made.content)


def test_it_stands_in_the_audit_before_it_leaves(library: Library, client: httpx.Client) -> None:
    made = similar_report(library, SimilarReportRequest(ODD), Settings())
    seen: list[AuditRow] = []
    with answering(200, seen=lambda: seen.append(exports(library)[-1])) as url:
        hand_over(library, made, actor="test", to=[name_web(library, url)])
        asked = {"destination": "web", "report": {"kind": "similar"}}
        headers = bearer(library, Role.OPERATOR)
        answer = client.post(f"/v1/studies/{ODD}/sr/send", json=asked, headers=headers)
    assert answer.status_code == 200, answer.text
    assert [row.actor for row in seen] == ["test", "operator"]
    for row in seen:
        assert (row.outcome, row.subject["to"], row.subject["uid"]) == ("success", "web", ODD)
        assert row.subject["sop_instance_uid"] == made.sop_instance_uid
        assert len(row.patients) == 6, "whose study it is, and those of its neighbours"
    assert exports(library) == seen, "a row each, and no more"


def test_what_was_not_sent_is_recorded_whatever_went_wrong(
    library: Library, client: httpx.Client
) -> None:
    made = similar_report(library, SimilarReportRequest(ODD), Settings())
    name_destinations(library, '[web]\nkind = "dicomweb"\nurl = "https://x"\ntoken = "NOT_SET"\n')
    assert "NOT_SET" not in os.environ
    with pytest.raises(ConfigError):
        hand_over(library, made, actor="test", to=[find_destination(library, "web")])
    asked = {"destination": "web", "report": {"kind": "similar"}}
    headers = bearer(library, Role.OPERATOR)
    answer = client.post(f"/v1/studies/{ODD}/sr/send", json=asked, headers=headers)
    assert answer.status_code == 422, answer.text
    with pytest.raises(StorageFullError):
        hand_over(library, made, actor="test", output=library.path)
    rows = exports(library)
    assert [row.outcome for row in rows] == [Ending.SUCCESS, Ending.FAILED] * 3
    assert [row.subject["to"] for row in rows] == ["web"] * 4 + ["file"] * 2
    assert {row.subject["sop_instance_uid"] for row in rows} == {made.sop_instance_uid}
    assert {len(row.patients) for row in rows} == {6}


def test_no_proxy_is_asked_for_what_stays_on_this_machine(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = similar_report(library, SimilarReportRequest(ODD), Settings())
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    asked: list[bool] = []
    with answering(200, seen=lambda: asked.append(True)) as proxy:
        monkeypatch.setenv("http_proxy", proxy)
        to = name_web(library, "http://[::1]/dicom-web")  # nothing listens at port 80 of it
        with suppress(NotSentError):
            send(to, made.content)
    assert asked == []


def test_the_file_is_nobody_elses_to_read(library: Library, tmp_path: Path) -> None:
    new, there = tmp_path / "new.dcm", tmp_path / "there.dcm"
    there.write_bytes(b"x" * 1_000_000)
    there.chmod(0o644)
    for path in (new, there):
        assert command(library, "similar", ODD, "-o", path).exit_code == 0
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert there.read_bytes() == new.read_bytes()


def test_what_is_wrong_with_the_file_of_destinations_is_said_without_its_folder(
    library: Library,
) -> None:
    (library.path / "destinations.toml").mkdir()
    with pytest.raises(ConfigError) as error:
        destinations(library)
    said = "destinations.toml of the library cannot be read: Is a directory"
    assert str(error.value) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a", "cannot be read"),
        ("a = 1", "[a]"),
        ('[a]\nkind = "ftp"\n', "[a]"),
        ('[a]\nkind = "dicomweb"\nurl = "http://pacs.example/x"\n', "insecure = true"),
        ('[a]\nkind = "dicomweb"\nurl = "https://u:p@pacs.example"\n', "no name, password"),
        ('[a]\nkind = "dicomweb"\nurl = "file:///etc/passwd"\n', "https://host/dicom-web"),
        ('[a]\nkind = "dicomweb"\nurl = "https://x"\ntoken = "SYNTOPY_TOKEN"\n', "SYNTOPY_"),
        ('[a]\nkind = "dicomweb"\nurl = "https://x"\nport = 1\n', "port"),
        ('[a]\nkind = "dimse"\nhost = "10.0.0.1"\nport = 104\ncalled = "P"\n', "tls = true"),
        ('[a]\nkind = "dimse"\nhost = "localhost"\nport = 0\ncalled = "P"\n', "port"),
        (
            '[a]\nkind = "dimse"\nhost = "localhost"\nport = 104\ncalled = "back\\\\slash"\n',
            "called",
        ),
        ('["a b"]\nkind = "dimse"\nhost = "localhost"\nport = 104\ncalled = "P"\n', "name"),
    ],
)
def test_destinations_that_cannot_be_meant_are_refused(
    library: Library, text: str, said: str
) -> None:
    name_destinations(library, text)
    with pytest.raises(ConfigError) as error:
        destinations(library)
    assert said in str(error.value)


def test_a_report_goes_somewhere_and_nowhere_else(library: Library) -> None:
    nowhere = command(library, "similar", ODD)
    assert nowhere.exit_code == 2 and "--output FILE" in " ".join(nowhere.stderr.split())
    unknown = command(library, "similar", ODD, "--send", "http://127.0.0.1:1")
    assert unknown.exit_code == 2 and "no destination" in unknown.stderr
    name_destinations(library, '[web]\nkind = "dicomweb"\nurl = "https://x"\ntoken = "NOT_SET"\n')
    assert "NOT_SET" not in os.environ
    without = command(library, "similar", ODD, "--send", "web")
    assert without.exit_code == 2 and "NOT_SET" in without.stderr
    assert "web" in command(library, "destinations").stdout


# -- over HTTP ------------------------------------------------------------------------------------


@pytest.fixture
def client(library: Library) -> Iterator[httpx.Client]:
    settings = Settings(library=library.path)
    with serving(settings, create_app(settings, None)) as client:
        yield client


def bearer(library: Library, role: Role) -> dict[str, str]:
    made = keys.create(library, keys.KeyRequest(role.value, role=role), actor="test")
    return {"Authorization": f"Bearer {made.token}"}


OOD_ASKED = {"kind": "ood", "reference": REFERENCE}


def test_an_operator_gets_it_as_dicom_and_that_is_recorded(
    library: Library, client: httpx.Client
) -> None:
    url = f"/v1/studies/{ODD}/sr"
    operator = bearer(library, Role.OPERATOR)
    answer = client.post(url, json={"kind": "similar", "k": 3}, headers=operator)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/dicom")
    assert answer.headers["cache-control"] == "no-store"
    made = similar_report(library, SimilarReportRequest(ODD, k=3), Settings())
    assert answer.content == made.content
    with reading(library.engine) as db:
        row = [row for row in rows_since(db) if row.action is Action.EXPORT][-1]
    assert row.actor == "operator" and row.subject["uid"] == ODD
    assert len(row.patients) == 4, "whose study it is, and those of its neighbours"


def test_a_curator_cannot_learn_by_it_whose_study_it_is(
    library: Library, client: httpx.Client
) -> None:
    url, asked = f"/v1/studies/{ODD}/sr", {"destination": "pacs", "report": OOD_ASKED}
    for role in (Role.READER, Role.CURATOR):
        headers = bearer(library, role)
        for path, body in ((url, OOD_ASKED), (f"{url}/send", asked)):
            refused = client.post(path, json=body, headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (403, "access_denied")
            assert "takes the role operator" in refused.json()["detail"]


@LEFT_OPEN
def test_an_operator_sends_it_to_destinations_that_are_named_alone(
    library: Library, client: httpx.Client, tmp_path: Path
) -> None:
    operator, url = bearer(library, Role.OPERATOR), f"/v1/studies/{ODD}/sr/send"
    asked = {"destination": "pacs", "report": OOD_ASKED}
    unknown = client.post(url, json=asked, headers=operator)
    assert (unknown.status_code, unknown.json()["code"]) == (422, "query")
    elsewhere = {**asked, "url": "http://127.0.0.1:1"}
    assert client.post(url, json=elsewhere, headers=operator).status_code == 422
    inbox = Inbox(tmp_path / "taken")
    with node(inbox) as port:
        name_destinations(library, pacs(port))
        listed = client.get("/v1/destinations", headers=operator).json()
        assert listed == [{"name": "pacs", "kind": "dimse"}]
        answer = client.post(url, json=asked, headers=operator)
        assert answer.status_code == 200, answer.text
    assert inbox.holding([answer.json()["sop_instance_uid"]])
    down = client.post(url, json=asked, headers=operator)
    assert (down.status_code, down.json()["code"]) == (502, "not_sent")
    assert "cannot be reached" in down.json()["detail"] and str(port) not in down.text


def test_what_cannot_be_reported_is_said(library: Library, client: httpx.Client) -> None:
    operator = bearer(library, Role.OPERATOR)

    def answered(uid: str, asked: object) -> tuple[int, str]:
        answer = client.post(f"/v1/studies/{uid}/sr", json=asked, headers=operator)
        return answer.status_code, answer.json()["code"]

    assert answered("9.9", OOD_ASKED) == (404, "not_found")
    assert answered(ODD, {"kind": "ood", "reference": "none"}) == (404, "unknown_name")
    assert answered(ODD, {"kind": "other"}) == (422, "invalid_request")
    assert answered(ODD, {"kind": "similar", "k": 1000}) == (422, "invalid_request")
    moved(library, STUDIES, Path("/nowhere.dcm"))
    assert answered(ODD, OOD_ASKED) == (410, "original_gone")


# -- of what a watch flags ------------------------------------------------------------------------


def watched(library: Library, *words: str) -> Result:
    watch = ["ood", "watch", "--reference", REFERENCE, "--once", "--send-sr", "pacs"]
    return CliRunner().invoke(app, [*watch, "-L", str(library.path), *words])


@LEFT_OPEN
def test_a_watch_sends_a_report_of_each_flagged_study_and_loses_none(
    library: Library, tmp_path: Path
) -> None:
    inbox = Inbox(tmp_path / "taken")
    name_destinations(library, pacs(free_port(), "timeout = 2\n"))
    missed = watched(library, "--backlog")
    assert missed.exit_code == 0 and "cannot be reached" in " ".join(missed.stderr.split())
    (waiting,) = listed(library)
    assert (waiting.webhook, waiting.state) == ("destination://pacs", "waiting")
    retry(library, [waiting.delivery])
    with node(inbox) as port:
        name_destinations(library, pacs(port))
        assert watched(library).exit_code == 0
    assert listed(library) == []
    made, _ = ood_report(library, OodReportRequest(ODD, REFERENCE), Settings())
    assert inbox.holding([made.sop_instance_uid])


def test_a_watch_knows_where_to_send_before_it_begins(library: Library) -> None:
    refused = watched(library)
    assert refused.exit_code == 2 and "no destination 'pacs'" in refused.stderr
