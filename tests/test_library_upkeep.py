"""What is damaged in a library is found and repaired; what is removed is gone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from cohort_library import Indexed
from library_acts import (
    all_bytes,
    answers,
    change,
    count,
    cut_index,
    drop_index,
    drop_snapshot,
    first,
    flip_a_bit,
    index,
)
from sqlalchemy import delete, select, update

from api.service import library as service
from indexer.catalog.database import reading
from indexer.catalog.tables import (
    Audit,
    EmbeddingRow,
    Instance,
    Item,
    ItemInstance,
    LedgerRow,
    Patient,
    Series,
    Study,
    Thumbnail,
)
from indexer.dicom.identity import pseudonym
from indexer.errors import (
    ConfigError,
    ItemNotFoundError,
    LibraryCorruptError,
    LibraryLockedError,
)
from indexer.library import Library
from indexer.phantoms import Kind, PhantomStudy
from indexer.types import Outcome
from indexer.verify import VerifyReport, verify

# -- verify ---------------------------------------------------------------------------------------


def findings(report: VerifyReport) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for finding in report.findings:
        found.setdefault(finding.check, []).append(finding.message)
    return found


def test_a_sound_library_is_clean(copy: Library, indexed: Indexed) -> None:
    said: list[str] = []
    report = verify(copy, sources=True, on_progress=said.append)
    assert report.clean
    assert report.findings == []
    assert report.items == report.vectors == 58
    assert report.files == sum(1 for p in indexed.cohort.rglob("*") if p.is_file())
    assert said == ["database", "items", "vectors", "ledger", "words", "index", "source files"]


def some_item(library: Library) -> int:
    """The item of a radiograph, which is a whole series."""
    with reading(library.engine) as db:
        chest = select(Item.id).join(Series).where(Series.modality == "DX").order_by(Item.id)
        return int(db.execute(chest.limit(1)).scalar_one())


def vector_of(values: np.ndarray) -> Callable[[Library], None]:
    def harm(library: Library) -> None:
        row = EmbeddingRow.item_id == some_item(library)
        change(library, update(EmbeddingRow).where(row).values(vector=values.tobytes()))

    return harm


def half(value: float, size: int = 1000) -> np.ndarray:
    return np.full(size, value, "<f2")


def lose(table: Any, column: Any) -> Callable[[Library], None]:
    return lambda library: change(library, delete(table).where(column == some_item(library)))


def lose_instance(library: Library) -> None:
    """Without its ledger row's knowledge."""
    made_from = select(ItemInstance.instance_id).where(ItemInstance.item_id == some_item(library))
    change(library, delete(Instance).where(Instance.id.in_(made_from)))


@pytest.mark.parametrize(
    ("harm", "check", "message"),
    [
        (lose(EmbeddingRow, EmbeddingRow.item_id), "items", "1 items without a vector"),
        (lose(Thumbnail, Thumbnail.item_id), "items", "1 items without a thumbnail"),
        (lose(ItemInstance, ItemInstance.item_id), "items", "1 items without a instance"),
        (lose(Item, Item.id), "items", "1 series with images but without an item"),
        (lose_instance, "ledger", "1 files count as indexed but have no instance"),
        (vector_of(half(np.nan)), "vectors", "1 vectors of 'texture' are damaged"),
        (vector_of(half(0)), "vectors", "1 vectors of 'texture' are damaged"),
        (vector_of(half(0.5)), "vectors", "1 vectors of 'texture' are damaged"),
        (vector_of(half(0.03, 999)), "vectors", "1 vectors of 'texture' are damaged"),
    ],
)
def test_damage_is_found_repaired_and_made_good_by_the_next_run(
    copy: Library,
    indexed: Indexed,
    harm: Callable[[Library], None],
    check: str,
    message: str,
) -> None:
    before = answers(copy, indexed)
    uid = _study_of(copy, some_item(copy))
    harm(copy)

    seen = verify(copy)
    assert not seen.clean
    assert any(message in said for said in findings(seen)[check])
    assert findings(verify(copy)) == findings(seen), "looking changes nothing"

    repaired = verify(copy, repair=True)
    assert repaired.clean
    assert any("index the same files again" in f.message for f in repaired.findings)
    assert verify(copy).findings == []

    study = next(s for s in indexed.plan if s.study_instance_uid == uid)
    done = index(copy, indexed.folder(study))
    assert done.outcomes[Outcome.INDEXED] == done.items == 1
    assert verify(copy).findings == []
    # The table's labels were given with the first run; who is near whom is the same.
    assert sorted(answers(copy, indexed)) == sorted(before)


def _study_of(library: Library, item: int) -> str:
    with reading(library.engine) as db:
        query = select(Study.study_instance_uid).select_from(Item).join(Series).join(Study)
        return str(db.execute(query.where(Item.id == item)).scalar_one())


def test_a_damaged_vector_is_named_when_it_is_met(copy: Library, indexed: Indexed) -> None:
    vector_of(half(np.nan))(copy)
    assert answers(copy, indexed), "the index still has it as it was"
    drop_index(copy)
    with pytest.raises(
        LibraryCorruptError, match="1 vectors of 'texture' are damaged; run: syntopy"
    ):
        answers(copy, indexed)


@pytest.mark.parametrize("harm", [cut_index, flip_a_bit, drop_snapshot])
def test_a_damaged_index_is_found_and_made_anew(
    copy: Library, indexed: Indexed, harm: Callable[[Library], None]
) -> None:
    before = answers(copy, indexed)
    harm(copy)
    assert findings(verify(copy)).keys() == {"index"}
    report = verify(copy, repair=True)
    assert report.clean
    assert findings(report).keys() == {"index"}
    assert verify(copy).findings == []
    assert answers(copy, indexed) == before


def test_an_index_that_differs_from_the_catalog_is_found(copy: Library) -> None:
    """A changed vector under an old number: only a comparison of all vectors can tell."""
    space = copy.spaces()[0]
    vector = np.zeros(space.dim, "<f2")
    vector[0] = 1
    vector_of(vector)(copy)
    assert findings(verify(copy)) == {"index": ["'texture': the index does not equal the catalog"]}
    assert verify(copy, repair=True).clean
    assert verify(copy).findings == []


def test_source_files_that_are_gone_or_changed_are_named(indexed: Indexed, tmp_path: Path) -> None:
    files = tmp_path / "files"
    study = first(indexed, Kind.CHEST)
    shutil.copytree(indexed.folder(study), files)
    shutil.make_archive(str(tmp_path / "packed"), "zip", indexed.folder(indexed.plan[1]))
    with Library.create(tmp_path / "library") as library:
        index(library, files, tmp_path / "packed.zip")
        assert verify(library, sources=True).findings == []
        image, report = next(files.rglob("IM*.dcm")), next(files.rglob("SR*.dcm"))
        image.write_bytes(image.read_bytes() + b"\0")
        report.unlink()
        found = findings(verify(library, sources=True, repair=True))["source files"]
        assert sorted(found) == sorted(
            [f"{image} has changed", f"{report} cannot be read: No such file or directory"]
        )
        assert verify(library).findings == [], "without being asked it does not look"
        (tmp_path / "packed.zip").write_bytes(b"PK\3\4 no more")
        found = findings(verify(library, sources=True))["source files"]
        assert sum("packed.zip!/" in message for message in found) == len(found) - 2 > 0


# -- remove ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Kind.CHEST, Kind.BRAIN])
def test_a_removed_study_is_gone_to_the_last_byte(
    copy: Library, indexed: Indexed, kind: Kind
) -> None:
    study = first(indexed, kind)
    vectors, thumbnails = _blobs(copy, study)
    assert vectors
    assert thumbnails
    traces = [
        study.study_instance_uid.encode(),
        study.findings_text.encode(),
        f"{study.patient_id}/{study.study_instance_uid}".encode(),  # of the paths
        *vectors,
        *thumbnails,
    ]
    # Long values are stored in parts, so it is parts that are looked for.
    pieces = [[t[i : i + 40] for i in range(0, len(t) - 39, 40)] for t in traces]
    others = count(copy, Item) - len(vectors)
    copy.close()
    held = all_bytes(copy)
    assert all(any(piece in held for piece in of_trace) for of_trace in pieces)

    removed = service.remove(copy, "study", study.study_instance_uid, actor="tester")
    files = sum(1 for _ in indexed.folder(study).rglob("*.dcm"))
    assert (removed.studies, removed.items, removed.instances) == (1, len(vectors), files)

    assert count(copy, Item) == count(copy, EmbeddingRow) == count(copy, Thumbnail) == others
    assert count(copy, LedgerRow, LedgerRow.source.startswith(str(indexed.folder(study)))) == 0
    assert verify(copy).findings == []
    with pytest.raises(ItemNotFoundError):
        service.show(copy, study.study_instance_uid)
    with reading(copy.engine) as db:
        audit = db.execute(select(Audit.actor, Audit.action, Audit.subject)).one()
    assert audit == ("tester", "remove", {"level": "study", "uid": study.study_instance_uid})
    copy.close()
    left = all_bytes(copy).replace(audit.subject["uid"].encode(), b"")
    assert not [piece for of_trace in pieces for piece in of_trace if piece in left]
    float32 = [np.frombuffer(v, "<f2").astype("<f4")[:20].tobytes() for v in vectors]
    assert not [piece for piece in float32 if piece in left]


def _blobs(library: Library, study: PhantomStudy) -> tuple[list[bytes], list[bytes]]:
    with reading(library.engine) as db:
        rows = db.execute(
            select(EmbeddingRow.vector, Thumbnail.webp)
            .select_from(Item)
            .join(EmbeddingRow, EmbeddingRow.item_id == Item.id)
            .join(Thumbnail, Thumbnail.item_id == Item.id)
            .join(Series)
            .join(Study)
            .where(Study.study_instance_uid == study.study_instance_uid)
        ).all()
    return [r.vector for r in rows], [r.webp for r in rows]


def test_indexing_again_brings_a_removed_study_back(copy: Library, indexed: Indexed) -> None:
    study = first(indexed, Kind.CHEST)
    uid = study.study_instance_uid
    before = service.show(copy, uid)
    service.remove(copy, "study", uid, actor="tester")
    done = index(copy, indexed.folder(study))
    assert done.outcomes == {Outcome.INDEXED: 1, Outcome.LINKED: 1}
    after = service.show(copy, uid)
    assert before["labels"] and before["split"]
    assert _without_table(before) == _without_table(after)
    assert verify(copy).findings == []


def _without_table(shown: dict[str, Any]) -> dict[str, Any]:
    """What is known of a study, but for what a table beside the files had said."""
    series = [
        {**each, "items": [{**item, "labels": {}} for item in each["items"]]}
        for each in shown["series"]
    ]
    return {**shown, "series": series, "labels": [], "split": ""}


def test_a_series_goes_alone_and_its_report_with_it(copy: Library, indexed: Indexed) -> None:
    study = next(s for s in indexed.plan if len(s.series) == 2)
    shown: Any = service.show(copy, study.study_instance_uid)
    assert len(shown["reports"]) == 1
    by_description = {s["description"]: s for s in shown["series"]}
    gone = by_description["AX T1"]["series_instance_uid"]
    removed = service.remove(copy, "series", gone, actor="tester")
    assert (removed.studies, removed.patients, removed.series, removed.items) == (0, 0, 1, 1)
    left: Any = service.show(copy, study.study_instance_uid)
    assert [s["description"] for s in left["series"]] == [d for d in by_description if d != "AX T1"]
    words = by_description["Report"]["series_instance_uid"]
    service.remove(copy, "series", words, actor="tester")
    assert service.show(copy, study.study_instance_uid)["reports"] == []
    last = by_description["AX T2"]["series_instance_uid"]
    assert service.remove(copy, "series", last, actor="tester").studies == 1
    assert verify(copy).findings == []


@pytest.mark.parametrize("named_by", ["pseudonym", "issuer|id"])
def test_a_patient_goes_with_all_studies_and_without_a_trace_of_the_id(
    copy: Library, indexed: Indexed, named_by: str
) -> None:
    studies = [s for s in indexed.plan if s.patient_id == "DRAWN-0008"]
    name = pseudonym(copy.key, "DRAWN-0008", "SYNTOPY")
    uid = name if named_by == "pseudonym" else "SYNTOPY|DRAWN-0008"
    removed = service.remove(copy, "patient", uid, actor="tester")
    assert (removed.patients, removed.studies) == (1, len(studies)) == (1, 3)
    assert count(copy, Patient, Patient.pseudonym == name) == 0
    with reading(copy.engine) as db:
        subject = db.execute(select(Audit.subject)).scalar_one()
    assert subject == {"level": "patient", "uid": name}
    copy.close()
    assert b"DRAWN-0008" not in all_bytes(copy)


def test_a_patient_without_issuer_is_found_by_the_bare_id(indexed: Indexed, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    ds = pydicom.dcmread(next(indexed.folder(first(indexed, Kind.CHEST)).rglob("IM*.dcm")))
    del ds.IssuerOfPatientID
    ds.PatientID = "47|11"
    ds.save_as(tmp_path / "files" / "a.dcm")
    with Library.create(tmp_path / "library") as library:
        index(library, tmp_path / "files")
        assert service.remove(library, "patient", "47|11", actor="tester").studies == 1


@pytest.mark.parametrize("level", ["study", "series", "patient"])
def test_removing_what_is_not_there_changes_nothing(copy: Library, level: str) -> None:
    items = count(copy, Item)
    for uid in ("1.2.3", "", "DRAWN-0008", "%"):
        with pytest.raises(ItemNotFoundError, match=f"no such {level}"):
            service.remove(copy, level, uid, actor="tester")
    with pytest.raises(ConfigError, match="not a 'folder'"):
        service.remove(copy, "folder", "1.2.3", actor="tester")
    assert count(copy, Item) == items
    assert count(copy, Audit) == 0


def test_a_locked_library_is_not_pruned(copy: Library, indexed: Indexed) -> None:
    with (
        copy.writing(),
        pytest.raises(LibraryLockedError, match=f"process {os.getpid()}"),
    ):
        service.remove(copy, "study", indexed.plan[0].study_instance_uid, actor="tester")


def test_replaced_rows_leave_no_bytes_behind(copy: Library) -> None:
    """Not only what is removed on purpose: a series that grows replaces its item, too."""
    with reading(copy.engine) as db:
        row = db.execute(select(Item.id, Thumbnail.webp).join(Thumbnail).limit(1)).one()
    copy.close()
    held = all_bytes(copy)
    pieces = [row.webp[i : i + 40] for i in range(0, len(row.webp) - 39, 40)]
    assert any(piece in held for piece in pieces)
    change(copy, delete(Item).where(Item.id == row.id))
    copy.close()
    left = all_bytes(copy)
    assert not [piece for piece in pieces if piece in left]
