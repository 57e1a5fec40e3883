"""Structured reports: what they say, whose they are, and who can read them."""

from __future__ import annotations

import io
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from archive_library import NAME, REFERENCE, STUDIES, make_archive, radiograph, study_uid, write
from pydicom.uid import ComprehensiveSRStorage
from sqlalchemy import select, update
from typer.testing import CliRunner, Result

from api.cli.main import app
from api.service import ingest
from api.service.judging import ood
from api.service.outgoing.structured import (
    OodReportRequest,
    SimilarReportRequest,
    ood_report,
    similar_report,
)
from api.structured.codes import OWN
from indexer.catalog.database import reading, transaction
from indexer.catalog.tables import Instance, Patient, Report, Series
from indexer.config import Settings
from indexer.dicom.report import OWN_SCHEME, report_text
from indexer.errors import (
    ItemNotFoundError,
    OriginalGoneError,
    QueryError,
)
from indexer.library import Library
from indexer.types import Outcome

ODD = study_uid(STUDIES)


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
    reports = [ood_of(library, study_uid(n)) for n in range(12)]
    assert ["No", "No"] in [content(each, "Unlike the reference") for each in reports]
    # Some patients are held out of it, which ones the library's key decides.
    notes = [note for each in reports for note in content(each, "Comment")]
    assert any("fitted on it" in note for note in notes)


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
        said = select(Series.description).where(Series.modality == "SR")
        assert set(db.execute(said).scalars()) == {""}, "nor is it found by its title"
    assert similar_to(library).StudyInstanceUID == ODD, "and reports on it still come out"
    archived = pydicom.dcmread(tmp_path / "ood.dcm")
    archived.Manufacturer = "Archive"
    del archived.CodingSchemeIdentificationSequence
    assert report_text(archived) == "", "what names its headings stays, whatever an archive does"
