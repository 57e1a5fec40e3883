"""I1 to I6: who and what a file is, when its UIDs, ids and dates cannot be trusted."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from making import (
    CT,
    MR,
    US_CINE,
    change,
    compressed,
    dicom,
    new_uid,
    picture,
    read_many,
    read_one,
    save,
    set_pixels,
    stack,
)
from pydicom import Dataset
from pydicom.config import disable_value_validation
from pydicom.uid import JPEG2000

from api.service import ingest
from api.service.library import show
from api.service.search import search as search_library
from indexer.catalog.database import reading
from indexer.config import Settings
from indexer.dicom.attributes import age_years
from indexer.ingest import IngestSummary
from indexer.library import Library
from indexer.searching.answers import SearchAnswer
from indexer.searching.asking import SearchRequest, like
from indexer.types import Flag, Outcome

SR = "1.2.840.10008.5.1.4.1.1.88.11"
SEG = "1.2.840.10008.5.1.4.1.1.66.4"
CANNOT_EXCLUDE = "patient id is missing or shared"


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with Library.create(tmp_path / "library", store="exact") as made:
        yield made


def index(library: Library, *paths: Path) -> IngestSummary:
    return ingest.index(library, ingest.IndexRequest(list(paths)), Settings(workers=1))


def refusals(library: Library) -> dict[str, tuple[str, str]]:
    """Outcome and reason of files that were not taken, by name."""
    return {Path(e.source).stem: (e.outcome, e.reason) for e in ingest.rejected(library)}


def hashes(library: Library, sop_instance_uid: str = "%") -> set[str]:
    """Pixel hashes of the items, of all or of one instance."""
    with reading(library.engine) as db:
        rows = db.exec_driver_sql(
            "SELECT item.pixel_hash FROM item JOIN item_instance ON item.id = item_id "
            "JOIN instance ON instance.id = instance_id WHERE sop_instance_uid LIKE ?",
            (sop_instance_uid,),
        )
        return {row[0] for row in rows}


def vectors(library: Library) -> dict[str, bytes]:
    """The vector of each item, of which none has two."""
    with reading(library.engine) as db:
        rows = db.exec_driver_sql(
            "SELECT item.uid, vector FROM item JOIN embedding ON item.id = item_id"
        ).fetchall()
    assert len({row.uid for row in rows}) == len(rows)
    return {row.uid: row.vector for row in rows}


def altered(ds: Dataset, pixels: np.ndarray | None = None, **elements: object) -> Dataset:
    """A copy with other pixels or elements, under the same UIDs where they are not changed."""
    other = change(copy.deepcopy(ds), **elements)
    if pixels is not None:
        set_pixels(other, pixels)
    return other


def as_new(datasets: Sequence[Dataset], **elements: object) -> list[Dataset]:
    """The same pixels under UIDs of their own, as an anonymiser or a second sending leaves them."""
    uids = {"StudyInstanceUID": new_uid(), "SeriesInstanceUID": new_uid(), **elements}
    return [altered(ds, SOPInstanceUID=new_uid(), **uids) for ds in datasets]


def save_all(datasets: Sequence[Dataset], folder: Path) -> Path:
    for number, ds in enumerate(datasets):
        save(ds, folder / f"{number:02}.dcm")
    return folder


# -- I1: the same UID again -----------------------------------------------------------------------


def test_i1_the_same_content_again_changes_nothing(library: Library, tmp_path: Path) -> None:
    film, scan = dicom(picture(1)), stack(MR, 4)
    mask = dicom(picture(1).astype(np.uint8), SEG, Modality="SEG")
    assert index(library, save_all([film, mask, *scan], tmp_path / "first")).items == 2
    before = vectors(library)
    again = [film, *scan, compressed(altered(film)), compressed(altered(mask))]
    summary = index(library, save_all(again, tmp_path / "again"))
    assert (summary.outcomes, summary.items) == ({Outcome.UNCHANGED: 7}, 0)
    assert vectors(library) == before


def test_i1_other_content_under_a_known_uid_is_quarantined(
    library: Library, tmp_path: Path
) -> None:
    first = dicom(picture(1), WindowCenter=500, WindowWidth=900, PixelSpacing=[1, 1])
    report = dicom(None, SR, Modality="SR", SeriesDescription="as dictated")
    index(library, save_all([first, report], tmp_path / "first"))
    kept = vectors(library)
    lossy = altered(first)
    lossy.compress(JPEG2000, j2k_cr=[20], generate_instance_uid=False)
    resent = {
        "pixels": altered(first, picture(2)),
        "lossy": lossy,
        "window": altered(first, WindowCenter=40),
        "spacing": altered(first, PixelSpacing=[2, 1]),
        "inverted": altered(first, PhotometricInterpretation="MONOCHROME1"),
        "rescaled": altered(first, RescaleSlope=2, PatientAge="077Y"),
        "report": altered(report, SeriesDescription="changed"),
    }
    for name, ds in resent.items():
        save(ds, tmp_path / "resent" / f"{name}.dcm")
    index(library, tmp_path / "resent")
    assert refusals(library) == dict.fromkeys(resent, ("conflict", "uid_conflict"))
    assert vectors(library) == kept
    assert show(library, first.SOPInstanceUID)["age_years"] is None, "nothing of it is taken"


def test_i1_of_two_in_one_run_the_first_stays(library: Library, tmp_path: Path) -> None:
    film, scan, other = dicom(picture(1)), stack(MR, 4), stack(MR, 4, seed=30)
    save(film, tmp_path / "in" / "a.dcm")
    save(altered(film, picture(2)), tmp_path / "in" / "b.dcm")
    save_all(scan, tmp_path / "in" / "scan")
    save(altered(scan[2], picture(9)), tmp_path / "in" / "scan" / "second.dcm")
    other[0].SOPInstanceUID = scan[0].SOPInstanceUID
    for number, ds in enumerate(other):
        save(ds, tmp_path / "in" / "x" / f"other {number}.dcm")
    index(library, tmp_path / "in")
    conflict = ("conflict", "uid_conflict")
    assert refusals(library) == dict.fromkeys(["b", "second", "other 0"], conflict)
    items = [read_one(film, tmp_path).item, read_many(scan, tmp_path).item]
    items.append(read_many(other[1:], tmp_path).item)
    assert hashes(library) == {item.pixel_hash for item in items}
    assert len(vectors(library)) == 3


# -- I2: resent with corrected demographics -------------------------------------------------------


def test_i2_corrected_demographics_update_the_metadata_and_no_vector(
    library: Library, tmp_path: Path
) -> None:
    said = {"PatientAge": "050Y", "PatientSex": "M", "StudyDescription": "Knee"}
    scan = stack(MR, 4, **said)
    right = dicom(picture(7), PatientID="P4712")
    index(library, save_all([*scan, right], tmp_path / "first"))
    before = vectors(library)
    corrections = {"PatientAge": "051Y", "PatientSex": "", "PatientID": "P4712"}
    resent = [altered(ds, StudyDescription=None, **corrections) for ds in scan]
    summary = index(library, save_all(resent, tmp_path / "resent"))
    assert summary.outcomes == {Outcome.UNCHANGED: 4}
    assert vectors(library) == before
    study = show(library, scan[0].StudyInstanceUID)
    assert study["age_years"] == 51
    assert (study["sex"], study["description"]) == ("M", "Knee"), "empty corrects nothing"
    assert study["patient"] == show(library, right.StudyInstanceUID)["patient"]


def test_i2_a_corrected_birth_date_makes_nobody_a_stranger(
    library: Library, tmp_path: Path
) -> None:
    film = dicom(picture(1), PatientBirthDate="19500101")
    index(library, save(film, tmp_path / "film.dcm"))
    corrected = altered(film, PatientBirthDate="19510101", PatientName="Doe^Joan")
    index(library, save(corrected, tmp_path / "corrected.dcm"))
    assert not show(library, film.StudyInstanceUID)["patient_shared_by_strangers"]


# -- an archive for I3 to I6 ----------------------------------------------------------------------


@dataclass(frozen=True)
class Archive:
    """A library, and the names of what is in it by SOP Instance UID."""

    library: Library
    names: dict[str, str]

    def uid(self, name: str) -> str:
        return next(uid for uid, known in self.names.items() if known == name)

    def search(self, name: str, **request: object) -> SearchAnswer:
        asked = SearchRequest(like(uid=self.uid(name)), k=100, group="item", **request)
        return search_library(self.library, asked, Settings())

    def near(self, name: str, **request: object) -> set[str]:
        return {self.names[h.sop_instance_uid] for h in self.search(name, **request).hits}


def _archive() -> dict[str, list[Dataset]]:
    def film(seed: int, **elements: object) -> list[Dataset]:
        return [dicom(picture(seed), **elements)]

    plain, scan = film(1, PatientID="P1"), stack(MR, 4, seed=20, PatientID="P2")
    loop = [dicom(np.stack([picture(40 + i) for i in range(3)]), US_CINE, PatientID="P3")]
    nameless = {"PatientName": None}
    return {
        "plain": plain,
        "plain anonymised": [compressed(ds) for ds in as_new(plain, PatientID="ANON-000017")],
        "sent twice": as_new(plain, StudyInstanceUID=plain[0].StudyInstanceUID),
        "scan": scan,
        "scan anonymised": as_new(scan, PatientID="ANON-000018"),
        "loop": loop,
        "loop anonymised": as_new(loop, PatientID="ANON-000019"),
        "north": film(2, PatientID="4711", IssuerOfPatientID="NORTH"),
        "north prior": film(3, PatientID="4711", IssuerOfPatientID="NORTH"),
        "south": film(4, PatientID="4711", IssuerOfPatientID="SOUTH"),
        "she": film(5, PatientID="0815", PatientSex="F", PatientBirthDate="19500101"),
        "he": film(6, PatientID="0815", PatientSex="M", PatientBirthDate="19800202"),
        "anonymous 1": film(7, PatientID="ANONYMOUS", **nameless),
        "anonymous 2": film(8, PatientID="ANONYMOUS", **nameless),
        "no id": film(9, PatientID=None),
        "no study": film(10, PatientID="P4", StudyInstanceUID=None, PatientAge="045Y"),
        "prior of no study": film(11, PatientID="P4", PatientBirthDate="19600615"),
        "infant": film(12, PatientAge="003M"),
        "born": film(13, PatientBirthDate="19600615", StudyDate="20050101"),
    }


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    folder = tmp_path_factory.mktemp("archive")
    names = {}
    for name, datasets in _archive().items():
        save_all(datasets, folder / "files" / name)
        names.update({ds.SOPInstanceUID: name for ds in datasets})
    with Library.create(folder / "library", store="exact") as library:
        summary = index(library, folder / "files")
        assert summary.outcomes == {Outcome.INDEXED: len(names)}
        yield Archive(library, names)


# -- I3: the same pixels under other UIDs ---------------------------------------------------------


@pytest.mark.parametrize("name", ["plain", "scan", "loop"])
def test_i3_an_anonymised_copy_is_linked_and_is_no_hit(archive: Archive, name: str) -> None:
    uid, copy_uid = archive.uid(name), archive.uid(f"{name} anonymised")
    assert hashes(archive.library, uid) == hashes(archive.library, copy_uid)
    for query, other in ((name, f"{name} anonymised"), (f"{name} anonymised", name)):
        answer = archive.search(query)
        assert answer.hits
        assert other not in archive.near(query)
        assert any("exact cop" in note for note in answer.notes)


def test_i3_a_copy_that_was_never_indexed_is_told_by_its_pixels(
    archive: Archive, tmp_path: Path
) -> None:
    (ds,) = as_new([dicom(picture(1))], PatientID="P99")
    asked = SearchRequest(like(file=save(ds, tmp_path / "copy.dcm")), k=100)
    answer = search_library(archive.library, asked, Settings())
    found = {archive.names[hit.sop_instance_uid] for hit in answer.hits}
    assert found
    assert not found & {"plain", "plain anonymised", "sent twice"}


def test_i3_a_copy_within_the_own_study_is_no_hit_either(archive: Archive) -> None:
    assert "sent twice" not in archive.near("plain", own_study=True, same_patient=True)


# -- I4: one patient id, several sites ------------------------------------------------------------


def test_i4_an_id_counts_within_its_issuer(archive: Archive) -> None:
    found = archive.near("north")
    assert "north prior" not in found
    assert "south" in found
    assert "north prior" in archive.near("north", same_patient=True)
    patients = {name: show(archive.library, uid)["patient"] for uid, name in archive.names.items()}
    assert patients["north"] == patients["north prior"] != patients["south"]


def test_i4_without_an_issuer_contradicting_demographics_tell_strangers(
    archive: Archive,
) -> None:
    answer = archive.search("she")
    assert "he" in archive.near("she")
    assert any(CANNOT_EXCLUDE in note for note in answer.notes)
    assert not any(CANNOT_EXCLUDE in note for note in archive.search("north").notes)


# -- I5: no UIDs, no patient ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "neighbour"),
    [("anonymous 1", "anonymous 2"), ("no id", "plain"), ("no study", "prior of no study")],
)
def test_i5_who_is_nobody_is_searched_without_patient_exclusion_and_told_so(
    archive: Archive, query: str, neighbour: str
) -> None:
    answer = archive.search(query)
    assert neighbour in archive.near(query)
    assert any(CANNOT_EXCLUDE in note for note in answer.notes)
    back = next(
        h for h in archive.search(neighbour).hits if archive.names[h.sop_instance_uid] == query
    )
    assert back.patient == "", "no pseudonym that could be taken for a person"


@pytest.mark.parametrize(
    "patient_id",
    [None, "", "  ", "ANONYMOUS", "anonymized", "Anonymous^", "***", "0000000", "XXXX", "Unknown"],
)
def test_i5_ids_that_name_nobody_group_nobody(tmp_path: Path, patient_id: str | None) -> None:
    one, two = (read_one(dicom(picture(i), PatientID=patient_id), tmp_path) for i in (1, 2))
    assert one.draft.patient.names_nobody
    assert one.draft.patient.pseudonym != two.draft.patient.pseudonym


@pytest.mark.parametrize("patient_id", ["12345", "MRN-0042", "A7", "ANON-0017", "患者12"])
def test_i5_ids_that_name_somebody_group_their_studies(tmp_path: Path, patient_id: str) -> None:
    said = {"SpecificCharacterSet": "ISO_IR 192", "PatientID": patient_id}
    one, two = (read_one(dicom(picture(i), **said), tmp_path) for i in (1, 2))
    assert not one.draft.patient.names_nobody
    assert one.draft.patient.pseudonym == two.draft.patient.pseudonym
    assert patient_id not in repr(one.draft)


def test_i5_slices_without_a_study_uid_stay_one_volume(tmp_path: Path) -> None:
    read = read_many(stack(CT, 4, StudyInstanceUID=None), tmp_path)
    assert read.item.slices == 4
    assert len({d.study_instance_uid for d in read.drafts}) == 1
    assert all(Flag.DERIVED_UIDS in d.flags and d.patient.names_nobody for d in read.drafts)


def test_i5_slices_without_a_series_uid_are_images_of_their_own(tmp_path: Path) -> None:
    read = read_many(stack(CT, 4, SeriesInstanceUID=None), tmp_path)
    assert [item.kind for item in read.items] == ["image"] * 4
    assert len({d.series_instance_uid for d in read.drafts}) == 4
    assert len({d.study_instance_uid for d in read.drafts}) == 1
    assert all(Flag.DERIVED_UIDS in d.flags for d in read.drafts)


@pytest.mark.parametrize("uid", ["", "no uid", "1.2.abc", "1..2", "1." + "2" * 70])
def test_i5_a_broken_uid_is_made_anew_and_always_the_same(tmp_path: Path, uid: str) -> None:
    with disable_value_validation():
        broken = {"StudyInstanceUID": uid, "SeriesInstanceUID": uid}
        ds = dicom(picture(1), **broken)
        one, again = read_one(ds, tmp_path), read_one(ds, tmp_path)
    assert one.drafts == again.drafts
    assert Flag.DERIVED_UIDS in one.draft.flags
    for made in (one.draft.study_instance_uid, one.draft.series_instance_uid):
        assert made.startswith("2.25.")
        assert len(made) <= 64


# -- I6: ages -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "birth", "study", "years"),
    [
        ("045Y", "", "", 45),
        ("003M", "", "", 0.25),
        ("006W", "", "", 0.12),
        ("010D", "", "", 0.03),
        ("", "19500601", "20001201", 50.5),
        ("", "1950.06.01", "20001201", 50.5),
        ("Y045", "19500601", "20001201", 50.5),
        ("999Y", "19500601", "20001201", 50.5),
        ("045Y", "19900101", "19800101", 45),
        ("", "19500601", "", None),
        ("", "", "20001201", None),
        ("", "19900101", "19800101", None),
        ("", "18000101", "20001201", None),
        ("", "19501332", "20001201", None),
        ("", "1950", "20001201", None),
        ("", "", "", None),
    ],
)
def test_i6_age_comes_from_the_age_string_else_from_two_dates(
    tmp_path: Path, age: str, birth: str, study: str, years: float | None
) -> None:
    with disable_value_validation():
        said = {"PatientAge": age, "PatientBirthDate": birth, "StudyDate": study}
        read = read_one(dicom(picture(1), **said), tmp_path)
    assert read.draft.attributes.age_years == pytest.approx(years, abs=0.05)


ODD = st.one_of(st.text(max_size=12), st.from_regex(r"\d{1,5}[DWMY ]?|\d{8}", fullmatch=True))


@given(ODD, ODD, ODD)
@example("\u0664\u0665Y", "\u0662\u0660\u0660\u0660\u0660\u0661\u0660\u0661", "20200101")
@example("9999Y", "00000000", "99999999")
def test_i6_no_age_or_date_whatever_it_says_raises(age: str, birth: str, study: str) -> None:
    years = age_years(age, birth, study)
    assert years is None or 0 <= years <= 130


def test_i6_an_age_band_finds_those_whose_age_is_known(archive: Archive) -> None:
    assert archive.near("north", filter="age>=40 and age<50") == {"no study", "born"}
    assert archive.near("north", filter="age<1") == {"infant"}
