"""Searching: who is near, who is left out and why, and what is said about it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from cohort_library import Indexed
from PIL import Image
from pydicom.uid import generate_uid

from api.service import ingest
from api.service import search as service
from api.service.library import show
from indexer.config import Settings
from indexer.errors import (
    ConfigError,
    FileRejectedError,
    FilterError,
    ItemNotFoundError,
    QueryError,
    StorageFullError,
)
from indexer.library import Library
from indexer.phantoms import Kind, PhantomStudy, Trait
from indexer.searching.answers import SearchAnswer
from indexer.searching.asking import SearchRequest, like
from indexer.searching.search import thumbnails
from indexer.sheet import contact_sheet
from indexer.types import Hit, Role

ALL = 1000


@pytest.fixture(scope="module")
def library(indexed: Indexed) -> Iterator[Library]:
    with Library.open(indexed.library) as opened:
        yield opened


def search(library: Library, **request: object) -> SearchAnswer:
    """Ask with one example: its fields and those of the request in one."""
    one = {name: request.pop(name) for name in ("file", "uid", "text", "report") if name in request}
    examples = like(**one) if one else request.pop("examples", ())  # type: ignore[arg-type]
    asked = SearchRequest(examples, **request)  # type: ignore[arg-type]
    return service.search(library, asked, Settings())


def studies(answer: SearchAnswer) -> list[str]:
    return [hit.study_instance_uid for hit in answer.hits]


def first(indexed: Indexed, kind: Kind, trait: Trait | None = None) -> PhantomStudy:
    return next(s for s in indexed.plan if s.kind is kind and (trait is None or trait in s.traits))


def image_of(indexed: Indexed, study: PhantomStudy) -> Path:
    return next(indexed.folder(study).rglob("IM*.dcm"))


@pytest.fixture
def patient(indexed: Indexed) -> list[PhantomStudy]:
    """The three studies of one patient, all radiographs."""
    number = next(s.patient_number for s in indexed.plan if s.visit == 2 and s.kind is Kind.CHEST)
    return [s for s in indexed.plan if s.patient_number == number]


# -- who is near ----------------------------------------------------------------------------------


def test_the_nearest_are_of_the_same_kind(library: Library, indexed: Indexed) -> None:
    kinds = {s.study_instance_uid: s.kind for s in indexed.plan}
    for study in indexed.plan:
        near = studies(search(library, uid=study.study_instance_uid, k=1))
        assert kinds[near[0]] is study.kind, study.index


def test_hits_say_who_they_are(library: Library, indexed: Indexed) -> None:
    study = first(indexed, Kind.CHEST)
    by_uid = {s.study_instance_uid: s for s in indexed.plan}
    answer = search(library, uid=study.study_instance_uid, k=5)
    assert answer.queries[0].study_instance_uid == study.study_instance_uid
    assert answer.queries[0].labels == {"label": (study.label,)}
    assert answer.exact
    assert answer.notice
    assert [hit.score for hit in answer.hits] == sorted(
        (h.score for h in answer.hits), reverse=True
    )
    for hit in answer.hits:
        truth = by_uid[hit.study_instance_uid]
        assert (hit.modality, hit.body_part, hit.sex) == (
            truth.modality,
            truth.body_part,
            truth.sex,
        )
        assert hit.age_years == truth.age_years
        assert hit.study_date.replace("-", "") == truth.study_date
        assert hit.labels == {"label": (truth.label,)}
        assert hit.patient != truth.patient_id
        assert -1 <= hit.score <= 1


def test_each_study_is_listed_once_by_its_best_item(library: Library, indexed: Indexed) -> None:
    query = first(indexed, Kind.ULTRASOUND).study_instance_uid
    grouped = search(library, uid=query, k=ALL)
    items = search(library, uid=query, k=ALL, group="item")
    assert len(set(studies(grouped))) == len(grouped.hits)
    best: dict[str, Hit] = {}
    for hit in items.hits:
        best.setdefault(hit.study_instance_uid, hit)
    assert [h.id for h in grouped.hits] == [h.id for h in best.values()]
    for hit in grouped.hits:
        assert hit.more == studies(items).count(hit.study_instance_uid) - 1
    assert any(hit.more for hit in grouped.hits)


def test_a_query_may_be_a_study_series_instance_or_item(library: Library, indexed: Indexed) -> None:
    study = first(indexed, Kind.CHEST)
    header = pydicom.dcmread(image_of(indexed, study), stop_before_pixels=True)
    own = show(library, study.study_instance_uid)["series"][0]["items"][0]["id"]  # type: ignore[index]
    names = [header.StudyInstanceUID, header.SeriesInstanceUID, header.SOPInstanceUID, own]
    answers = [search(library, uid=str(name), k=7) for name in names]
    assert all(answer.hits == answers[0].hits for answer in answers)


def test_every_slice_of_a_volume_stands_for_it(library: Library, indexed: Indexed) -> None:
    study = first(indexed, Kind.HEAD)
    slices = sorted(indexed.folder(study).rglob("IM*.dcm"))
    uids = [
        pydicom.dcmread(p, stop_before_pixels=True).SOPInstanceUID for p in (slices[0], slices[-1])
    ]
    by_slice = [search(library, uid=uid, k=5).hits for uid in uids]
    assert by_slice[0] == by_slice[1]


@pytest.mark.parametrize("kind", [Kind.CHEST, Kind.ULTRASOUND])
@pytest.mark.parametrize("own_study", [False, True])
def test_a_file_finds_what_its_uid_finds(
    library: Library, indexed: Indexed, kind: Kind, own_study: bool
) -> None:
    file = image_of(indexed, first(indexed, kind))
    uid = str(pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID)
    asked = {"k": 20, "own_study": own_study, "same_patient": own_study, "group": "item"}
    by_file = search(library, file=file, **asked)
    by_uid = search(library, uid=uid, **asked)
    assert [h.id for h in by_file.hits] == [h.id for h in by_uid.hits]
    # Stored vectors are rounded to half precision, the file's are not.
    assert [h.score for h in by_file.hits] == pytest.approx(
        [h.score for h in by_uid.hits], abs=2e-3
    )
    assert by_file.candidates == by_uid.candidates


def test_a_picture_s_patient_is_known_from_the_table_it_was_indexed_with(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        Image.fromarray(rng.integers(0, 255, (64, 64), np.uint8)).save(tmp_path / f"{name}.png")
    table = tmp_path / "labels.csv"
    table.write_text("image,patient_id,finding\na.png,P17,x\nb.png,P17,y\nc.png,P18,z\n")
    with Library.create(tmp_path / "library", store="exact") as library:
        ingest.index(library, ingest.IndexRequest([tmp_path], metadata=table), Settings(workers=1))
        answer = search(library, file=tmp_path / "a.png")
        assert [hit.labels["finding"] for hit in answer.hits] == [("z",)]
        assert not any("shared by strangers" in note for note in answer.notes)
        assert answer.queries[0].labels == {"finding": ("x",)}


def test_one_slice_finds_the_volumes_of_its_kind(library: Library, indexed: Indexed) -> None:
    study = first(indexed, Kind.ABDOMEN)
    slices = sorted(indexed.folder(study).rglob("IM*.dcm"))
    answer = search(library, file=slices[len(slices) // 2], k=3)
    kinds = {s.study_instance_uid: s.kind for s in indexed.plan}
    assert kinds[studies(answer)[0]] is Kind.ABDOMEN
    assert study.study_instance_uid not in studies(answer)


def test_a_picture_that_was_never_indexed(library: Library, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 255, (60, 70), np.uint8)
    Image.fromarray(values).save(tmp_path / "new.png")
    answer = search(library, file=tmp_path / "new.png", k=4)
    assert len(answer.hits) == 4
    assert any("patient id is missing" in note for note in answer.notes)
    assert answer.query_thumbnail


def test_the_order_does_not_depend_on_run_or_store(
    library: Library, copy: Library, indexed: Indexed
) -> None:
    text = (copy.path / "library.toml").read_text()
    (copy.path / "library.toml").write_text(text.replace('"faiss"', '"exact"'))
    with Library.open(copy.path) as exact:
        for study in indexed.plan[::7]:
            asked = {"uid": study.study_instance_uid, "k": 30}
            hits = search(library, **asked).hits
            assert search(library, **asked).hits == hits
            assert [h.id for h in search(exact, **asked).hits] == [h.id for h in hits]


# -- who is left out ------------------------------------------------------------------------------


def test_own_study_and_own_patient_are_left_out(
    library: Library, patient: list[PhantomStudy], indexed: Indexed
) -> None:
    own = {s.study_instance_uid for s in patient}
    query = patient[1].study_instance_uid
    others = {s.study_instance_uid for s in indexed.plan} - own
    assert set(studies(search(library, uid=query, k=ALL))) == others


def test_priors_appear_when_asked_for(library: Library, patient: list[PhantomStudy]) -> None:
    before, query, after = (s.study_instance_uid for s in patient)
    answer = search(library, uid=query, k=ALL, same_patient=True)
    assert {before, after} < set(studies(answer))
    assert query not in studies(answer)
    mine = {hit.patient for hit in answer.hits if hit.study_instance_uid in (before, after)}
    assert len(mine) == 1, "one person has one pseudonym"


def test_the_own_study_appears_when_asked_for_but_never_the_query_itself(
    library: Library, indexed: Indexed
) -> None:
    study = first(indexed, Kind.ULTRASOUND, Trait.LOOP)
    frames = show(library, study.study_instance_uid)["series"][0]["items"]  # type: ignore[index]
    query = frames[2]["id"]
    answer = search(library, uid=query, own_study=True, group="item", k=ALL)
    own = [h.id for h in answer.hits if h.study_instance_uid == study.study_instance_uid]
    assert sorted(own) == sorted(f["id"] for f in frames if f["id"] != query)
    assert answer.hits[0].id in own, "nothing is nearer than the next frame"


def test_own_study_alone_still_leaves_the_patient_out(
    library: Library, patient: list[PhantomStudy]
) -> None:
    before, query, after = (s.study_instance_uid for s in patient)
    found = studies(search(library, uid=query, own_study=True, k=ALL))
    assert not {before, after} & set(found)


def test_localizers_are_looked_at_only_when_asked_for(library: Library, indexed: Indexed) -> None:
    with_localizer = {s.study_instance_uid for s in indexed.plan if Trait.LOCALIZER in s.traits}
    assert with_localizer
    query = first(indexed, Kind.CHEST).study_instance_uid
    plain = search(library, uid=query, k=ALL, group="item")
    assert {hit.role for hit in plain.hits} == {"primary"}
    assert any("--role all" in note for note in plain.notes)
    everything = search(library, uid=query, k=ALL, group="item", roles=frozenset(Role))
    extra = [hit for hit in everything.hits if hit.role == "localizer"]
    assert {hit.study_instance_uid for hit in extra} == with_localizer
    assert not any("--role all" in note for note in everything.notes)
    only = search(library, uid=query, k=ALL, group="item", roles=frozenset({Role.LOCALIZER}))
    assert {hit.role for hit in only.hits} == {"localizer"}


def test_a_localizer_as_query_finds_localizers(library: Library, indexed: Indexed) -> None:
    query = first(indexed, Kind.CHEST).study_instance_uid
    asked = {"k": ALL, "group": "item", "roles": frozenset({Role.LOCALIZER})}
    one = search(library, uid=query, **asked).hits[0].id
    answer = search(library, uid=one, k=ALL, group="item")
    assert {hit.role for hit in answer.hits} == {"primary", "localizer"}


def test_hits_pass_the_filter(library: Library, indexed: Indexed) -> None:
    query = first(indexed, Kind.CHEST).study_instance_uid
    own = {s.study_instance_uid for s in indexed.plan if s.patient_id == indexed.plan[0].patient_id}
    answer = search(library, uid=query, k=ALL, filter="modality in (CT, MR) and sex=F")
    wanted = {
        s.study_instance_uid for s in indexed.plan if s.modality in ("CT", "MR") and s.sex == "F"
    }
    assert set(studies(answer)) == wanted - own
    assert answer.candidates >= len(wanted)
    nodules = search(library, uid=query, k=ALL, filter="label:label=chest-radiograph-nodule")
    assert {label for h in nodules.hits for label in h.labels["label"]} == {
        "chest-radiograph-nodule"
    }
    nothing = search(library, uid=query, filter="modality=XX")
    assert (nothing.hits, nothing.candidates) == ([], 0)
    assert any("only 0 found" in note for note in nothing.notes)


def test_a_short_list_is_explained(library: Library, indexed: Indexed) -> None:
    query = indexed.plan[0].study_instance_uid
    answer = search(library, uid=query, k=ALL)
    assert f"only {len(answer.hits)} found" in "\n".join(answer.notes)
    assert not any("only" in note for note in search(library, uid=query, k=3).notes)


# -- ids that name nobody, strangers, copies ------------------------------------------------------


@pytest.fixture(scope="module")
def edited(indexed: Indexed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """A small library of radiographs whose headers were changed; see ``_edited``."""
    folder = tmp_path_factory.mktemp("edited")
    _edited(indexed, folder)
    with Library.create(folder / "library") as library:
        ingest.index(library, ingest.IndexRequest([folder / "files"]), Settings(workers=2))
        yield library


def _edited(indexed: Indexed, folder: Path) -> None:
    (folder / "files").mkdir()
    chests = [s for s in indexed.plan if s.kind is Kind.CHEST and not s.prior_of]
    changes: dict[str, dict[str, object]] = {
        "nobody": {"PatientID": "ANON"},
        "she": {"PatientID": "4711", "PatientSex": "F", "PatientBirthDate": "19500101"},
        "he": {"PatientID": "4711", "PatientSex": "M", "PatientBirthDate": "19800202"},
        "plain": {},
        "derived": {"ImageType": ["DERIVED", "SECONDARY", "MIP"]},
        "capture": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "Modality": "OT"},
    }
    for study, (name, change) in zip(chests, changes.items(), strict=False):
        ds = pydicom.dcmread(image_of(indexed, study))
        for keyword, value in change.items():
            setattr(ds, keyword, value)
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
        ds.save_as(folder / "files" / f"{name}.dcm")
    for name, source in {"copy": "plain", "copy-of-nobody": "nobody"}.items():
        ds = pydicom.dcmread(folder / "files" / f"{source}.dcm")
        ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        ds.PatientID = f"other-{len(name)}"
        ds.save_as(folder / "files" / f"{name}.dcm")


def uid_of(library: Library, name: str) -> str:
    file = library.path.parent / "files" / f"{name}.dcm"
    return str(pydicom.dcmread(file, stop_before_pixels=True).StudyInstanceUID)


def test_an_id_that_names_nobody_is_said(edited: Library) -> None:
    answer = search(edited, uid=uid_of(edited, "nobody"))
    assert any("patient id is missing or shared" in note for note in answer.notes)
    assert uid_of(edited, "nobody") not in studies(answer)


def test_strangers_under_one_id_may_be_neighbours(edited: Library) -> None:
    she, he = uid_of(edited, "she"), uid_of(edited, "he")
    for answer in (
        search(edited, uid=she),
        search(edited, file=edited.path.parent / "files" / "she.dcm"),
    ):
        assert he in studies(answer)
        assert any("shared by strangers" in note for note in answer.notes)
        hit = next(h for h in answer.hits if h.study_instance_uid == he)
        assert hit.patient == "", "a pseudonym would say that they are one person"


def test_exact_copies_are_linked_not_listed(edited: Library) -> None:
    answer = search(edited, uid=uid_of(edited, "plain"))
    assert uid_of(edited, "copy") not in studies(answer)
    assert any("1 exact copy" in note for note in answer.notes)
    by_file = search(edited, file=edited.path.parent / "files" / "plain.dcm")
    assert studies(by_file) == studies(answer)
    assert any("1 exact copy" in note for note in by_file.notes)
    of_query = [copy.study_instance_uid for copy in answer.linked if copy.of == "query"]
    assert of_query == [uid_of(edited, "copy")]


def test_of_hits_that_are_copies_the_first_is_listed_and_the_other_linked_to_it(
    edited: Library,
) -> None:
    answer = search(edited, uid=uid_of(edited, "she"))
    both = {uid_of(edited, "plain"), uid_of(edited, "copy")}
    (hit,) = [hit for hit in answer.hits if hit.study_instance_uid in both]
    (linked,) = [copy for copy in answer.linked if copy.study_instance_uid in both]
    assert {hit.study_instance_uid, linked.study_instance_uid} == both
    assert linked.of == hit.id


def test_captures_and_derived_images_have_their_roles(edited: Library) -> None:
    answer = search(edited, uid=uid_of(edited, "she"), roles=frozenset(Role))
    roles = {hit.study_instance_uid: hit.role for hit in answer.hits}
    assert roles[uid_of(edited, "derived")] == "derived"
    assert roles[uid_of(edited, "capture")] == "secondary"
    plain = studies(search(edited, uid=uid_of(edited, "she")))
    assert not {uid_of(edited, "derived"), uid_of(edited, "capture")} & set(plain)


# -- what cannot be answered ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        ({"k": 0}, QueryError, "k is 1 to 10000, not 0"),
        ({"k": 10_001}, QueryError, "k is 1 to 10000, not 10001"),
        ({"k": -1}, QueryError, "not -1"),
        ({"group": "series"}, QueryError, "group is one of study, patient, item, not 'series'"),
        ({"filter": "colour=red"}, FilterError, "unknown field 'colour'"),
        ({"encoders": ("nosuch",)}, ConfigError, "no space of 'nosuch'; it has texture"),
        ({"uid": "1.2.3"}, ItemNotFoundError, "'1.2.3'"),
        ({"uid": ""}, QueryError, "an example is either a file or a UID"),
        ({"file": Path("a.dcm")}, QueryError, "an example is either a file or a UID"),
        ({"uid": "", "file": Path("nosuch.dcm")}, QueryError, r"nosuch\.dcm cannot be read"),
    ],
)
def test_wrong_questions_are_refused(
    library: Library,
    indexed: Indexed,
    request_: dict[str, object],
    error: type[QueryError],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        search(library, **{"uid": indexed.plan[0].study_instance_uid, **request_})


def test_a_file_that_is_no_picture_is_named(
    library: Library, indexed: Indexed, tmp_path: Path
) -> None:
    (tmp_path / "letter.txt").write_text("Dear colleague")
    with pytest.raises(QueryError, match=r"letter\.txt"):
        search(library, file=tmp_path / "letter.txt")
    (tmp_path / "cut.dcm").write_bytes(image_of(indexed, indexed.plan[0]).read_bytes()[:5000])
    with pytest.raises(FileRejectedError, match=r"cut\.dcm"):
        search(library, file=tmp_path / "cut.dcm")
    report = next(indexed.folder(indexed.plan[0]).rglob("SR*.dcm"))
    with pytest.raises(QueryError, match=r"SR0001\.dcm"):
        search(library, file=report)


def test_an_empty_library_says_so(tmp_path: Path, indexed: Indexed) -> None:
    with Library.create(tmp_path / "empty") as empty:
        for request in ({"uid": "1.2.3"}, {"file": image_of(indexed, indexed.plan[0])}):
            with pytest.raises(QueryError, match="holds no items yet; index something first"):
                search(empty, **request)


# -- the contact sheet ----------------------------------------------------------------------------


def test_a_contact_sheet_shows_query_and_hits(
    library: Library, indexed: Indexed, tmp_path: Path
) -> None:
    answer = search(library, uid=indexed.plan[0].study_instance_uid, k=10)
    path = service.write_sheet(library, answer, tmp_path / "sheet.png")
    with Image.open(path) as sheet:
        assert (sheet.format, sheet.mode, sheet.size) == ("PNG", "RGB", (1700, 744))
        pixels = np.asarray(sheet)
    assert pixels[64 : 64 + 420, 20 : 20 + 420].max() > 100, "the query"
    for number in range(10):
        x, y = 480 + number % 5 * 244, 64 + number // 5 * 318
        assert pixels[y : y + 224, x : x + 224].max() > 100, f"hit {number}"


def test_a_contact_sheet_grows_with_its_hits_up_to_a_hundred(
    library: Library, indexed: Indexed
) -> None:
    answer = search(library, uid=indexed.plan[0].study_instance_uid, k=30)
    pictures = thumbnails(library, [hit.id for hit in answer.hits])
    assert contact_sheet(answer, pictures).size == (1700, 64 + 6 * 318 + 44)
    many = replace(answer, hits=answer.hits * 20)
    assert contact_sheet(many, {}).size == (1700, 64 + 20 * 318 + 44)


def test_a_contact_sheet_without_hits_or_with_odd_words(
    library: Library, indexed: Indexed, tmp_path: Path
) -> None:
    answer = search(library, uid=indexed.plan[0].study_instance_uid, filter="modality=XX")
    service.write_sheet(library, answer, tmp_path / "none.png")
    hit = search(library, uid=indexed.plan[0].study_instance_uid, k=1).hits[0]
    odd = replace(hit, labels={"note": ("two\nlines", "x" * 100_000)}, age_years=None, id="gone")
    sheet = contact_sheet(replace(answer, hits=[odd], query_thumbnail=b""), {})
    sheet.save(io.BytesIO(), "PNG")


def test_a_sheet_that_cannot_be_written_is_named(
    library: Library, indexed: Indexed, tmp_path: Path
) -> None:
    answer = search(library, uid=indexed.plan[0].study_instance_uid, k=1)
    for path in (tmp_path, tmp_path / "nowhere" / "sheet.png"):
        with pytest.raises(StorageFullError, match=str(path)):
            service.write_sheet(library, answer, path)
