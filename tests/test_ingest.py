"""A whole ingest: outcomes that add up, repeats that change nothing, series that grow."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from sqlalchemy import select

from api.service import ingest as service
from api.service.ingest import IndexRequest
from api.service.library import info, show, verify
from indexer.catalog.database import reading
from indexer.catalog.tables import Item, Label, LedgerRow, Report, Series, Study
from indexer.config import Settings
from indexer.ingest import IngestProgress, IngestSummary
from indexer.library import Library
from indexer.phantoms import PhantomStudy, write_cohort
from indexer.sources.discover import SourceFile
from indexer.types import Outcome, Reason
from indexer.waiting import rounds_of

SETTINGS = Settings(workers=2)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[PhantomStudy]]:
    folder = tmp_path_factory.mktemp("cohort")
    return folder, write_cohort(folder, 12, seed=3)


@pytest.fixture
def library(tmp_path: Path) -> Library:
    made = Library.create(tmp_path / "library", store="exact")
    yield made
    made.close()


def index(library: Library, *paths: Path, **request: object) -> IngestSummary:
    return service.index(library, IndexRequest(list(paths), **request), SETTINGS)


def outcomes(library: Library) -> dict[str, tuple[str, str]]:
    """Outcome and reason by file name."""
    return {
        Path(e.source).name: (e.outcome, e.reason)
        for e in service.rejected(library, everything=True)
    }


def picture(path: Path, seed: int = 0) -> Path:
    values = np.random.default_rng(seed).integers(0, 255, (64, 80), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def test_every_file_has_one_outcome_and_a_second_run_changes_nothing(
    library: Library, cohort: tuple[Path, list[PhantomStudy]], tmp_path: Path
) -> None:
    folder = tmp_path / "archive"
    shutil.copytree(cohort[0], folder)
    (folder / "readme.txt").write_text("nothing to see")
    (folder / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"junk")
    files = sum(1 for p in folder.rglob("*") if p.is_file())

    first = index(library, folder)
    assert first.files == files == sum(first.outcomes.values())
    assert first.outcomes[Outcome.REJECTED] == 1
    assert first.outcomes[Outcome.LINKED] == 12, "one report a study"
    assert verify(library).clean

    before = info(library)
    second = index(library, folder)
    assert second.files == files == sum(second.outcomes.values())
    assert second.outcomes[Outcome.INDEXED] == 0
    assert second.items == 0
    assert second.outcomes[Outcome.REJECTED] == 1, "rejected files stay rejected, and are counted"
    after = info(library)
    assert (after.items, after.spaces, after.studies) == (
        before.items,
        before.spaces,
        before.studies,
    )


def test_phantoms_bring_reports_labels_priors_and_volumes(
    library: Library, cohort: tuple[Path, list[PhantomStudy]]
) -> None:
    folder, plan = cohort
    summary = index(library, folder, metadata=folder / "labels.csv")
    assert "metadata table: 12 of 12 rows matched a file" in summary.notes
    for study in plan:
        described = show(library, study.study_instance_uid)
        assert {"name": "label", "value": study.label} in described["labels"]
        assert study.findings_text in " ".join(described["reports"])
        assert described["age_years"] == study.age_years
    volumes = [s for s in plan if s.modality in ("CT", "MR")]
    with reading(library.engine) as db:
        kinds = dict(
            db.execute(
                select(Study.study_instance_uid, Item.kind)
                .join(Series, Series.study_id == Study.id)
                .join(Item, Item.series_id == Series.id)
                .where(Item.role == "primary")
            ).all()
        )
    assert all(kinds[s.study_instance_uid] == "volume" for s in volumes)


def test_a_copied_archive_is_unchanged_and_a_moved_one_keeps_its_vectors(
    library: Library, cohort: tuple[Path, list[PhantomStudy]], tmp_path: Path
) -> None:
    index(library, cohort[0])
    copy = tmp_path / "copy"
    shutil.copytree(cohort[0], copy)
    summary = index(library, copy)
    assert summary.items == 0
    assert summary.outcomes[Outcome.UNCHANGED] == summary.files - 2  # labels.csv, phantoms.json
    assert verify(library).clean


def test_archives_are_walked_like_folders(library: Library, tmp_path: Path) -> None:
    one, two = picture(tmp_path / "a" / "one.png", 1), picture(tmp_path / "a" / "two.png", 2)
    three = picture(tmp_path / "a" / "three.png", 3)
    (tmp_path / "three.png.gz").write_bytes(gzip.compress(three.read_bytes()))
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.write(one, "inside/one.png")
    with tarfile.open(tmp_path / "archive.tar.gz", "w:gz") as tar:
        tar.add(two, "inside/two.png")
    summary = index(
        library,
        tmp_path / "archive.zip",
        tmp_path / "archive.tar.gz",
        tmp_path / "three.png.gz",
    )
    assert summary.outcomes[Outcome.INDEXED] == summary.files == 3
    assert set(outcomes(library)) == {"one.png", "two.png", "three.png"}
    assert index(library, three).outcomes == {Outcome.UNCHANGED: 1}


def series_files(cohort: tuple[Path, list[PhantomStudy]]) -> list[Path]:
    """Slices of one CT series, in the order of their positions."""
    study = next(s for s in cohort[1] if s.modality == "CT")
    folder = cohort[0] / study.patient_id / study.study_instance_uid
    slices = []
    for path in folder.rglob("*.dcm"):
        ds = pydicom.dcmread(path, stop_before_pixels=True)
        if ds.Modality == "CT" and "LOCALIZER" not in ds.ImageType:
            slices.append((float(ds.ImagePositionPatient[2]), path))
    return [path for _, path in sorted(slices)]


def test_a_series_that_grows_is_made_anew_with_one_vector(
    library: Library, cohort: tuple[Path, list[PhantomStudy]], tmp_path: Path
) -> None:
    slices = series_files(cohort)
    folder = tmp_path / "growing"
    folder.mkdir()
    for path in slices[:10]:
        shutil.copy(path, folder)
    assert index(library, folder).items == 1
    for path in slices[10:]:
        shutil.copy(path, folder)
    summary = index(library, folder)
    assert summary.outcomes == {Outcome.UNCHANGED: 10, Outcome.INDEXED: len(slices) - 10}
    whole = tmp_path / "whole"
    with Library.create(whole, store="exact") as other:
        index(other, folder)
        assert contents(other) == contents(library)
    assert verify(library).clean


def test_a_series_whose_earlier_slices_are_gone_stays_as_it_is(
    library: Library, cohort: tuple[Path, list[PhantomStudy]], tmp_path: Path
) -> None:
    slices = series_files(cohort)
    folder = tmp_path / "moving"
    folder.mkdir()
    for path in slices[:10]:
        shutil.copy(path, folder)
    index(library, folder)
    before = contents(library)
    for path in folder.iterdir():
        path.unlink()
    for path in slices[10:]:
        shutil.copy(path, folder)
    summary = index(library, folder)
    assert summary.reasons == {Reason.SERIES_INCOMPLETE_SOURCE: len(slices) - 10}
    assert contents(library) == before
    for path in slices[:10]:
        shutil.copy(path, folder)
    assert index(library, folder).reasons == {}, "put back, all goes in by itself"


def contents(library: Library) -> list[tuple[object, ...]]:
    """What a library holds, without row numbers and times: the same for the same files."""
    with reading(library.engine) as db:
        rows = db.exec_driver_sql(
            "SELECT item.uid, item.kind, item.role, item.slices, item.pixel_hash, item.flags, "
            "hex(embedding.vector), hex(thumbnail.webp), series_instance_uid, "
            "study_instance_uid FROM item JOIN embedding ON item.id = embedding.item_id "
            "JOIN thumbnail ON item.id = thumbnail.item_id JOIN series ON series.id = series_id "
            "JOIN study ON study.id = study_id ORDER BY item.uid"
        )
        return [tuple(row) for row in rows]


def test_the_order_in_which_workers_finish_does_not_matter(
    cohort: tuple[Path, list[PhantomStudy]], tmp_path: Path
) -> None:
    made = []
    for workers in (1, 3):
        with Library.create(tmp_path / str(workers), store="exact") as library:
            service.index(library, IndexRequest([cohort[0]]), Settings(workers=workers))
            made.append(contents(library))
    assert made[0] == made[1]


def test_a_table_given_later_labels_what_is_there(library: Library, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    picture(folder / "a.png", 1)
    picture(folder / "b.png", 2)
    index(library, folder)
    table = tmp_path / "more.csv"
    table.write_text("file,finding,Befund\na.png,pneumonia|effusion,Erguss links\n")
    shutil.copy(table, folder / "labels.csv")
    summary = index(library, folder, metadata=folder / "labels.csv", mapping={"report": "Befund"})
    assert summary.items == 0
    with reading(library.engine) as db:
        labels = db.execute(select(Label.name, Label.value).order_by(Label.value)).all()
        reports = db.execute(select(Report.text)).scalars().all()
    assert labels == [("finding", "effusion"), ("finding", "pneumonia")]
    assert reports == ["Erguss links"]


def test_numpy_archives_become_items_with_labels(library: Library, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (600, 28, 28), np.uint8)
    labels = np.arange(600) % 3
    np.savez(tmp_path / "set.npz", images=images, labels=labels, classes=["a", "b", "c"])
    summary = index(library, tmp_path / "set.npz")
    assert (summary.files, summary.items) == (1, 600)
    assert info(library).labels == {"class": 600}
    assert index(library, tmp_path / "set.npz").outcomes == {Outcome.UNCHANGED: 1}


def test_rows_of_an_array_that_are_no_use_are_named_and_cost_only_themselves(
    library: Library, tmp_path: Path
) -> None:
    images = np.random.default_rng(0).integers(0, 255, (600, 28, 28), np.uint8)
    images[[5, 300]] = 7
    np.savez(tmp_path / "set.npz", images=images, labels=np.arange(600) % 3)
    summary = index(library, tmp_path / "set.npz")
    assert (summary.files, summary.items) == (1, 598)
    (entry,) = service.rejected(library, everything=True)
    assert entry.outcome == "indexed"
    assert entry.detail == "2 rows are not usable (5, 300); row 5: all pixels have the same value"


def test_an_array_that_was_half_indexed_counts_as_indexed_when_it_is_done(
    library: Library, tmp_path: Path
) -> None:
    images = np.random.default_rng(0).integers(0, 255, (600, 28, 28), np.uint8)
    np.savez(tmp_path / "set.npz", images=images, labels=np.arange(600) % 3)
    half = threading.Event()

    def stop_half_way(progress: IngestProgress) -> None:
        if progress.items:
            half.set()

    request = IndexRequest([tmp_path / "set.npz"])
    first = service.index(library, request, SETTINGS, on_progress=stop_half_way, stop=half)
    second = service.index(library, request, SETTINGS)
    assert first.stopped
    assert 0 < first.items < 600
    assert first.items + second.items == 600
    assert second.outcomes == {Outcome.INDEXED: 1}


def test_an_array_without_any_picture_is_rejected_once(library: Library, tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", images=np.ones((600, 28, 28), np.uint8))
    summary = index(library, tmp_path / "set.npz")
    assert (summary.files, summary.outcomes) == (1, {Outcome.REJECTED: 1})
    assert summary.reasons == {Reason.BLANK: 1}


def test_a_resend_with_corrected_demographics_updates_the_metadata_only(
    library: Library, cohort: tuple[Path, list[PhantomStudy]], tmp_path: Path
) -> None:
    study = next(s for s in cohort[1] if s.modality in ("CR", "DX"))
    source = next(
        p
        for p in (cohort[0] / study.patient_id / study.study_instance_uid).rglob("*.dcm")
        if pydicom.dcmread(p, stop_before_pixels=True).Modality == study.modality
    )
    index(library, source)
    before = contents(library)
    ds = pydicom.dcmread(source)
    ds.PatientAge, ds.StudyDescription = "077Y", "Corrected"
    ds.save_as(tmp_path / "again.dcm")
    assert index(library, tmp_path / "again.dcm").outcomes == {Outcome.UNCHANGED: 1}
    described = show(library, study.study_instance_uid)
    assert (described["age_years"], described["description"]) == (77.0, "Corrected")
    assert contents(library) == before

    ds.PixelData = (
        bytes(reversed(ds.PixelData))
        if not ds.file_meta.TransferSyntaxUID.is_compressed
        else ds.PixelData
    )
    if not ds.file_meta.TransferSyntaxUID.is_compressed:
        ds.save_as(tmp_path / "other.dcm")
        assert index(library, tmp_path / "other.dcm").outcomes == {Outcome.CONFLICT: 1}
        assert contents(library) == before


def test_a_changed_picture_under_a_known_path_is_a_new_item(
    library: Library, tmp_path: Path
) -> None:
    path = picture(tmp_path / "x.png", 1)
    index(library, path)
    picture(path, 2)
    os.utime(path, ns=(1, 1))
    assert index(library, path).items == 1


def test_stop_keeps_what_is_done_and_the_next_run_finishes(
    library: Library, tmp_path: Path
) -> None:
    for number in range(80):
        picture(tmp_path / "many" / f"{number:03}.png", number)
    stop = threading.Event()

    def after_some(progress: IngestProgress) -> None:
        if progress.done >= 10:
            stop.set()

    first = service.index(
        library, IndexRequest([tmp_path / "many"]), SETTINGS, on_progress=after_some, stop=stop
    )
    assert first.stopped
    assert verify(library).clean
    rest = index(library, tmp_path / "many")
    assert not rest.stopped
    assert rest.files == 80
    assert rest.outcomes[Outcome.UNCHANGED] == first.outcomes[Outcome.INDEXED]
    assert rest.outcomes[Outcome.UNCHANGED] + rest.outcomes[Outcome.INDEXED] == 80


def test_a_watched_folder_is_indexed_as_files_arrive(tmp_path: Path) -> None:
    incoming = tmp_path / "incoming"
    picture(incoming / "first.png", 1)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "api.cli.main", "index", str(incoming), "--json"),
            *("--watch", "--settle", "0.5", "--library", str(tmp_path / "watched")),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        first = json.loads(process.stdout.readline())
        assert (first["files"], first["items"]) == (1, 1)
        picture(incoming / "second.png", 2)
        second = json.loads(process.stdout.readline())
        assert second["items"] == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
    with Library.open(tmp_path / "watched") as library:
        assert info(library).items["image"] == 2


def test_the_library_itself_is_never_indexed(library: Library, tmp_path: Path) -> None:
    picture(tmp_path / "beside.png")
    summary = index(library, tmp_path)
    assert summary.files == 1


def test_rounds_end_where_the_folder_changes() -> None:
    files = [SourceFile(f"/a/{d}/{i}", None, 1, 1) for d in "xyz" for i in range(4)]
    rounds = [[f.path for f in part] for part in rounds_of(iter(files), 3)]
    assert [len(r) for r in rounds] == [4, 4, 4]
    assert [p for r in rounds for p in r] == [f.path for f in files]
    assert list(rounds_of(iter(()), 3)) == []


def test_a_rejected_file_is_read_again_only_when_asked(library: Library, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(picture(tmp_path / "whole.png").read_bytes()[:2000])
    assert index(library, bad).outcomes == {Outcome.REJECTED: 1}
    with reading(library.engine) as db:
        seen = db.execute(select(LedgerRow.seen_at)).scalar_one()
    index(library, bad)
    with reading(library.engine) as db:
        assert db.execute(select(LedgerRow.seen_at)).scalar_one() == seen, "not read again"
    index(library, bad, retry_rejected=True)
    with reading(library.engine) as db:
        assert db.execute(select(LedgerRow.seen_at)).scalar_one() > seen
