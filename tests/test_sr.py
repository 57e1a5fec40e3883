"""Structured reports: what they say, whose they are, where they go, and what becomes of them."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import pydicom
import pytest
from archive_library import NAME, REFERENCE, STUDIES, make_archive, radiograph, study_uid, write
from dicom_senders import node
from pydicom.uid import ComprehensiveSRStorage
from served_library import serving
from sqlalchemy import select, update
from typer.testing import CliRunner, Result

from api.app import create_app
from api.cli.main import app
from api.rights import Role
from api.service import ingest, keys, ood
from api.service.arrivals import index_arrivals
from api.service.deliveries import listed, retry
from api.service.destinations import destinations, find_destination
from api.service.sending import send
from api.service.structured import (
    OodReportRequest,
    SimilarReportRequest,
    hand_over,
    ood_report,
    similar_report,
)
from api.structured.codes import OWN
from indexer.catalog.audit import Action, Ending, rows_since
from indexer.catalog.database import reading, transaction
from indexer.catalog.tables import Instance, Patient, Report, Series
from indexer.config import Settings
from indexer.dicom.report import OWN_SCHEME, report_text
from indexer.errors import (
    ConfigError,
    ItemNotFoundError,
    NotSentError,
    OriginalGoneError,
    QueryError,
)
from indexer.library import Library
from indexer.receiving.inbox import Inbox
from indexer.types import Outcome

ODD = study_uid(STUDIES)
LEFT_OPEN = pytest.mark.filterwarnings("ignore:.*socket:pytest.PytestUnraisableExceptionWarning")
"""Pynetdicom leaves a socket to the garbage collector that could not be connected."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_archive(tmp_path_factory.mktemp("archive"))


@pytest.fixture
def library(folder: Path, tmp_path: Path) -> Iterator[Library]:
    with Library.open(Path(shutil.copytree(folder, tmp_path / "library"))) as opened:
        yield opened


def ood_of(library: Library, uid: str = ODD, **more: Any) -> pydicom.Dataset:
    made, _ = ood_report(library, OodReportRequest(uid, REFERENCE, **more), Settings())
    return pydicom.dcmread(io.BytesIO(made.content))


def similar_to(library: Library, uid: str = ODD, **more: Any) -> pydicom.Dataset:
    made = similar_report(library, SimilarReportRequest(uid, **more), Settings())
    return pydicom.dcmread(io.BytesIO(made.content))


def command(library: Library, *words: object) -> Result:
    return CliRunner().invoke(app, ["sr", *map(str, words), "-L", str(library.path)])


def content(node: pydicom.Dataset, meaning: str) -> list[Any]:
    """Values of all content items of a name, in the order of the tree."""
    found = []
    for item in node.get("ContentSequence", ()):
        if item.ConceptNameCodeSequence[0].CodeMeaning == meaning:
            found.append(_value(item))
        found += content(item, meaning)
    return found


def _value(item: pydicom.Dataset) -> Any:
    match item.ValueType:
        case "TEXT":
            return item.TextValue
        case "CODE":
            return item.ConceptCodeSequence[0].CodeMeaning
        case "NUM":
            return float(item.MeasuredValueSequence[0].NumericValue)
        case "UIDREF":
            return item.UID
        case "IMAGE":
            return item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        case _:
            return item


def evidence(sequence: Any) -> set[str]:
    return {
        each.ReferencedSOPInstanceUID
        for study in sequence
        for series in study.ReferencedSeriesSequence
        for each in series.ReferencedSOPSequence
    }


# -- what they say --------------------------------------------------------------------------------


def test_a_flagged_study_is_reported_with_what_judged_it(library: Library) -> None:
    made, answer = ood_report(library, OodReportRequest(ODD, REFERENCE), Settings())
    report = pydicom.dcmread(io.BytesIO(made.content))
    assert answer.flagged and report.SOPClassUID == ComprehensiveSRStorage
    assert report.ConceptNameCodeSequence[0].CodeValue == "126000"
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    of_study, of_item = content(report, "Measurement Group")
    assert content(of_study, "Unlike the reference") == ["Yes"]
    assert content(of_study, "p-value") == [pytest.approx(answer.p_value, rel=1e-5)]
    assert content(of_study, "False-alarm rate") == [0.3]
    assert content(of_study, "Reason for the flag") == [answer.reason]
    said = content(of_study, "Algorithm Parameters")
    stored = ood.show_reference(library, REFERENCE)
    space = library.spaces()[0]
    assert {
        f"encoder={space.encoder}",
        f"weights={space.weights}",
        f"reference={REFERENCE}",
        f"reference sha256={stored.sha256}",
    } <= set(said)
    assert content(of_item, "Source of Measurement") == [f"{ODD}.1.1"]
    assert content(of_item, "Nearest reference study")[0] in map(study_uid, range(STUDIES))
    assert "not a medical device" in content(report, "Notice")[-1]
    assert evidence(report.CurrentRequestedProcedureEvidenceSequence) == {f"{ODD}.1.1"}


def test_what_is_usual_is_not_flagged_and_says_what_it_was_fitted_on(library: Library) -> None:
    flags = [content(ood_of(library, study_uid(n)), "Unlike the reference") for n in range(4)]
    assert ["No", "No"] in flags
    assert any("fitted on it" in note for note in content(ood_of(library, study_uid(0)), "Comment"))


def test_neighbours_are_listed_as_a_search_lists_them(library: Library) -> None:
    report = similar_to(library, k=3)
    hits = content(report, "Similar study")
    assert [content(hit, "Rank") for hit in hits] == [[1.0], [2.0], [3.0]]
    scores = [content(hit, "Similarity score")[0] for hit in hits]
    assert scores == sorted(scores, reverse=True)
    named = content(report, "Study Instance UID")
    assert len(set(named)) == 3 and ODD not in named
    assert content(report, "Series Instance UID") == [f"{uid}.1" for uid in named]
    shown = content(report, "Image of the similar study")
    assert shown == [f"{uid}.1.1" for uid in named]
    assert evidence(report.PertinentOtherEvidenceSequence) == set(shown)
    assert evidence(report.CurrentRequestedProcedureEvidenceSequence) == {f"{ODD}.1.1"}


def test_other_studies_can_be_left_out(library: Library) -> None:
    for report in (similar_to(library, references=False), ood_of(library, references=False)):
        text = str(report)
        assert all(f"{study_uid(n)}]" not in text for n in range(STUDIES))
        assert all(f"{study_uid(n)}." not in text for n in range(STUDIES))
    assert len(content(similar_to(library, references=False), "Similarity score")) == 5


def test_nothing_of_other_patients_is_written(library: Library) -> None:
    rows = [radiograph(n) for n in range(STUDIES)]
    made = similar_report(library, SimilarReportRequest(ODD, k=20), Settings())
    for each in rows:
        for value in (each.PatientID, str(each.PatientName), each.AccessionNumber):
            assert value.encode() + b" " not in made.content.replace(b"\0", b" ")
    with reading(library.engine) as db:
        for pseudonym in db.execute(select(Patient.pseudonym)).scalars():
            assert pseudonym.encode() not in made.content


def test_every_private_code_is_in_the_documents_and_fits_its_attribute() -> None:
    text = (Path(__file__).parents[1] / "docs" / "reports-back.md").read_text()
    for code in OWN:
        assert code.scheme_designator == OWN_SCHEME
        assert len(code.value) <= 16 and len(code.meaning) <= 64
        assert f"| `{code.value}` | {code.meaning} |" in text


# -- whose they are -------------------------------------------------------------------------------


def test_it_has_the_patient_and_the_study_of_its_study(library: Library) -> None:
    original = radiograph(STUDIES, odd=True)
    for report in (ood_of(library), similar_to(library)):
        for keyword in (
            "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate",
            "StudyTime", "AccessionNumber", "StudyID", "StudyDescription", "PatientAge",
        ):  # fmt: skip
            assert report[keyword].value == original[keyword].value, keyword
        assert str(report.PatientName) == NAME
        assert report.SpecificCharacterSet == "ISO_IR 192", "no other set has all its letters"
        assert report.SeriesInstanceUID != original.SeriesInstanceUID
    assert ood_of(library, study_uid(0)).SpecificCharacterSet in ("ISO_IR 6", "ISO_IR 100")


def test_any_uid_of_a_study_stands_for_it(library: Library) -> None:
    assert ood_of(library, f"{ODD}.1.1") == ood_of(library, f"{ODD}.1") == ood_of(library)
    with pytest.raises(ItemNotFoundError, match=r"9\.9"):
        ood_of(library, "9.9")


def moved(library: Library, number: int, to: Path) -> None:
    """Let the catalog look for the file of a study elsewhere."""
    with transaction(library.engine) as db:
        one = Instance.sop_instance_uid == f"{study_uid(number)}.1.1"
        db.execute(update(Instance).where(one).values(source=str(to)))


def test_a_study_whose_original_is_gone_or_is_another_is_an_error(
    library: Library, tmp_path: Path
) -> None:
    moved(library, STUDIES, tmp_path / "gone.dcm")
    with pytest.raises(OriginalGoneError, match="not known whose it is"):
        similar_to(library)
    moved(library, STUDIES, write(tmp_path, radiograph(3)))
    with pytest.raises(OriginalGoneError):
        similar_to(library)


def test_a_study_that_has_no_dicom_files_is_an_error(served: Path) -> None:
    with Library.open(served) as library:
        with reading(library.engine) as db:
            uid = db.execute(select(Series.series_instance_uid).limit(1)).scalar_one()
        with pytest.raises(QueryError, match="no DICOM image"):
            similar_to(library, uid)


def test_values_that_are_malformed_in_the_original_harm_nothing(
    library: Library, tmp_path: Path
) -> None:
    odd = radiograph(STUDIES, odd=True)
    odd.StudyInstanceUID, odd.SeriesInstanceUID, odd.SOPInstanceUID = "2.25.7", "2.25.8", "2.25.9"
    for keyword, value in (("PatientBirthDate", "1.2.1950"), ("StudyTime", "noon")):
        odd[keyword] = pydicom.DataElement(keyword, odd[keyword].VR, value, validation_mode=0)
    odd.PatientSex = "FEMALE"
    del odd.AccessionNumber
    write(tmp_path, odd)
    ingest.index(library, ingest.IndexRequest([tmp_path]), Settings(workers=1))
    report = similar_to(library, "2.25.7")
    assert (report.PatientBirthDate, report.StudyTime, report.AccessionNumber) == ("", "", "")
    assert report.PatientID == odd.PatientID and report.PatientSex == "FEMALE"


# -- the same twice is one ------------------------------------------------------------------------


def test_the_same_report_made_twice_is_the_same_object(library: Library) -> None:
    first = similar_report(library, SimilarReportRequest(ODD), Settings())
    time.sleep(1.1)
    assert similar_report(library, SimilarReportRequest(ODD), Settings()) == first
    other = similar_report(library, SimilarReportRequest(ODD, k=4), Settings())
    assert other.sop_instance_uid != first.sop_instance_uid
    assert other.series_instance_uid == first.series_instance_uid
    kept = [path.read_text() for path in (library.path / "structured").iterdir()]
    assert len(kept) == 2 and all(len(each) == 19 for each in kept), "times alone are kept"


# -- what reads them ------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("dsrdump") is None, reason="dcmtk is not installed (dsrdump)")
@pytest.mark.parametrize("kind", ["ood", "similar"])
def test_dcmtk_reads_them_without_a_complaint(library: Library, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "report.dcm"
    words = [kind, study_uid(1), "-o", file, *(["--reference", REFERENCE] * (kind == "ood"))]
    result = command(library, *words)
    assert result.exit_code == 0, result.output
    read = subprocess.run(["dsrdump", file], capture_output=True, encoding="latin-1", check=False)
    assert read.returncode == 0 and read.stderr == ""
    assert "Sample^S1" in read.stdout and "not a med" in read.stdout


def test_syntopy_links_its_own_to_their_study_and_learns_no_words(
    library: Library, tmp_path: Path
) -> None:
    for kind in ("ood", "similar"):
        words = [kind, ODD, "-o", tmp_path / f"{kind}.dcm"]
        assert (
            command(library, *words, *(["--reference", REFERENCE] * (kind == "ood"))).exit_code == 0
        )
    told = ingest.index(
        library,
        ingest.IndexRequest([tmp_path / "ood.dcm", tmp_path / "similar.dcm"]),
        Settings(workers=1),
    )
    assert told.outcomes[Outcome.LINKED] == 2
    with reading(library.engine) as db:
        assert db.execute(select(Report.text)).all() == []
    assert similar_to(library).StudyInstanceUID == ODD, "and reports on it still come out"
    archived = pydicom.dcmread(tmp_path / "ood.dcm")
    archived.Manufacturer = "Archive"
    del archived.CodingSchemeIdentificationSequence
    assert report_text(archived) == "", "what names its headings stays, whatever an archive does"


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


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


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
    assert pydicom.dcmread(taken).SOPInstanceUID == ood_of(library).SOPInstanceUID


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
    assert [row.outcome for row in rows] == [Ending.FAILED] * 2


def test_a_redirect_leads_nowhere(library: Library) -> None:
    class Elsewhere(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(307)
            self.send_header("location", "http://127.0.0.1:1/studies")
            self.end_headers()

        def log_message(self, *_said: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        name_destinations(
            library, f'[web]\nkind = "dicomweb"\nurl = "http://127.0.0.1:{server.server_port}"\n'
        )
        with pytest.raises(NotSentError, match="answered 307"):
            send(find_destination(library, "web"), b"content")
        thread.join()


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


def test_a_curator_gets_it_as_dicom_and_that_is_recorded(
    library: Library, client: httpx.Client
) -> None:
    url = f"/v1/studies/{ODD}/sr"
    refused = client.post(url, json=OOD_ASKED, headers=bearer(library, Role.READER))
    assert refused.status_code == 403
    curator = bearer(library, Role.CURATOR)
    answer = client.post(url, json={"kind": "similar", "k": 3}, headers=curator)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/dicom")
    assert answer.headers["cache-control"] == "no-store"
    report = pydicom.dcmread(io.BytesIO(answer.content))
    assert report == similar_to(library, k=3)
    with reading(library.engine) as db:
        row = [row for row in rows_since(db) if row.action is Action.EXPORT][-1]
    assert row.actor == "curator" and row.subject["uid"] == ODD
    assert len(row.patients) == 4, "whose study it is, and those of its neighbours"
    asked = {"destination": "pacs", "report": OOD_ASKED}
    assert client.post(f"{url}/send", json=asked, headers=curator).status_code == 403


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
    curator = bearer(library, Role.CURATOR)

    def answered(uid: str, asked: object) -> tuple[int, str]:
        answer = client.post(f"/v1/studies/{uid}/sr", json=asked, headers=curator)
        return answer.status_code, answer.json()["code"]

    assert answered("9.9", OOD_ASKED) == (404, "not_found")
    assert answered(ODD, {"kind": "ood", "reference": "none"}) == (422, "query")
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
