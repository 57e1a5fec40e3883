import csv
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from indexer.dicom.report import report_text
from indexer.errors import ConfigError
from indexer.phantoms import (
    ABDOMEN_CT_FINDINGS,
    BRAIN_MR_FINDINGS,
    HEAD_CT_FINDINGS,
    RADIOGRAPH_FINDINGS,
    ULTRASOUND_FINDINGS,
    Kind,
    PhantomStudy,
    Trait,
    abdomen_ct,
    brain_mr,
    head_ct,
    plan_arrivals,
    plan_cohort,
    radiograph,
    ultrasound,
    write_arrivals,
    write_cohort,
    write_study,
)

SMALL = 24


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[PhantomStudy]]:
    folder = tmp_path_factory.mktemp("phantoms")
    return folder, write_cohort(folder, SMALL)


def files_of(folder: Path, study: PhantomStudy) -> list[Dataset]:
    place = folder / study.patient_id / study.study_instance_uid
    return [pydicom.dcmread(path) for path in sorted(place.glob("*/*.dcm"))]


def images_of(folder: Path, study: PhantomStudy) -> list[Dataset]:
    return [ds for ds in files_of(folder, study) if ds.Modality != "SR"]


def stacks_of(folder: Path, study: PhantomStudy) -> Iterator[list[Dataset]]:
    """The series of a study, without their localizers, in the order of the slices' positions."""
    images = [ds for ds in images_of(folder, study) if "LOCALIZER" not in ds.ImageType]
    for uid in sorted({ds.SeriesInstanceUID for ds in images}):
        stack = [ds for ds in images if ds.SeriesInstanceUID == uid]
        yield sorted(stack, key=lambda ds: float(np.dot(normal(ds), ds.ImagePositionPatient)))


def normal(ds: Dataset) -> np.ndarray:
    orientation = np.array(ds.ImageOrientationPatient, dtype=float)
    return np.cross(orientation[:3], orientation[3:])


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# --- the plan


def test_a_plan_holds_the_kinds_in_their_shares() -> None:
    kinds = Counter(study.kind for study in plan_cohort(300))
    assert kinds == {
        Kind.CHEST: 120,
        Kind.HEAD: 45,
        Kind.ABDOMEN: 45,
        Kind.BRAIN: 45,
        Kind.ULTRASOUND: 45,
    }


def test_a_plan_depends_on_the_seed_alone() -> None:
    assert plan_cohort(40, seed=3) == plan_cohort(40, seed=3)
    assert plan_cohort(40, seed=3) != plan_cohort(40, seed=4)
    assert plan_cohort(40, seed=3)[:17] == plan_cohort(17, seed=3)
    assert plan_cohort(0) == []
    with pytest.raises(ValueError, match="negative"):
        plan_cohort(-1)


def test_every_finding_of_every_kind_occurs_in_every_split() -> None:
    plan = plan_cohort(300)
    drawn = {
        Kind.CHEST: RADIOGRAPH_FINDINGS,
        Kind.HEAD: HEAD_CT_FINDINGS,
        Kind.ABDOMEN: ABDOMEN_CT_FINDINGS,
        Kind.BRAIN: BRAIN_MR_FINDINGS,
        Kind.ULTRASOUND: ULTRASOUND_FINDINGS,
    }
    for kind, findings in drawn.items():
        assert {s.finding for s in plan if s.kind is kind} == set(findings)
    assert Counter(s.split for s in plan).keys() == {"train", "val", "test"}
    assert {s.label for s in plan if s.split == "train"} == {s.label for s in plan}


def test_one_patient_in_five_comes_again() -> None:
    plan = plan_cohort(300)
    visits = Counter(study.patient_id for study in plan)
    assert set(visits.values()) == {1, 2, 3}
    assert sum(n > 1 for n in visits.values()) / len(visits) == pytest.approx(0.2, abs=0.02)


def test_a_prior_is_the_same_patient_at_an_earlier_date() -> None:
    plan = plan_cohort(300)
    by_uid = {study.study_instance_uid: study for study in plan}
    assert len(by_uid) == len(plan)
    for study in plan:
        assert (study.prior_of is None) == (study.visit == 0)
        if study.prior_of is not None:
            prior = by_uid[study.prior_of]
            assert prior.study_date < study.study_date
            same = ("patient_id", "kind", "sex", "birth_date", "split")
            assert all(getattr(prior, name) == getattr(study, name) for name in same)


def test_arrivals_come_week_by_week_from_new_patients_of_three_sites() -> None:
    plan = plan_arrivals(3)
    assert plan_arrivals(2) == plan[:24]
    assert {s.patient_id for s in plan}.isdisjoint(s.patient_id for s in plan_cohort(300))
    assert len({s.study_instance_uid for s in plan}) == len({s.patient_id for s in plan}) == 36
    days = [date.fromisoformat(s.study_date) for s in plan]
    assert min(days) > max(date.fromisoformat(s.study_date) for s in plan_cohort(300))
    weeks = Counter((day.isocalendar().week, s.site) for day, s in zip(days, plan, strict=True))
    assert set(weeks.values()) == {4}
    assert {s.kind for s in plan} == {Kind.CHEST}
    assert all(18 <= s.age_years < 100 for s in plan)


def test_one_detector_ages_and_its_pictures_alone_become_noisy(tmp_path: Path) -> None:
    plan = plan_arrivals()
    ageing = [s for s in plan if s.noise]
    assert {s.site for s in ageing} == {"harbour"}
    assert min(s.study_date for s in ageing) == "20250127"
    noisy = next(s for s in ageing if Trait.MONOCHROME1 not in s.traits)
    grain = []
    for name, study in (("sound", replace(noisy, noise=0.0)), ("aged", noisy)):
        write_study(tmp_path / name, study)
        (image,) = images_of(tmp_path / name, study)
        grain.append(np.abs(np.diff(image.pixel_array.astype(float))).mean())
    assert grain[1] > 2 * grain[0]


def test_arrivals_are_told_with_their_sites_and_nothing_of_what_they_show(tmp_path: Path) -> None:
    plan = write_arrivals(tmp_path, 1)
    with (tmp_path / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["site"] for row in rows] == [s.site for s in plan]
    assert rows[0].keys() == {"study_instance_uid", "patient_id", "site"}
    assert write_arrivals(tmp_path, 1) == plan
    with pytest.raises(ConfigError, match="another phantom cohort"):
        write_cohort(tmp_path, 2)


def test_ages_fit_the_dates() -> None:
    for study in plan_cohort(100):
        birthday = date.fromisoformat(study.birth_date).replace(year=2000)
        day = date.fromisoformat(study.study_date)
        turned = day.replace(year=2000) >= birthday
        assert study.age_years == day.year - int(study.birth_date[:4]) - (not turned)
        assert 18 <= study.age_years < 100


# --- the files


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    write_cohort(tmp_path / "a", 8, seed=5)
    write_cohort(tmp_path / "b", 8, seed=5)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_second_call_does_nothing(cohort: tuple[Path, list[PhantomStudy]]) -> None:
    folder, plan = cohort
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    calls: list[tuple[int, int]] = []
    assert write_cohort(folder, SMALL, on_study=lambda *call: calls.append(call)) == plan
    assert calls == []
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_an_incomplete_cohort_is_completed(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    write_cohort(tmp_path, 3)
    whole = contents(tmp_path)
    min(tmp_path.rglob("*.dcm")).unlink()
    write_cohort(tmp_path, 3, on_study=lambda *call: steps.append(call))
    assert contents(tmp_path) == whole
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_a_folder_of_another_cohort_is_refused(tmp_path: Path) -> None:
    write_cohort(tmp_path, 2, seed=1)
    before = contents(tmp_path)
    with pytest.raises(ConfigError, match="another phantom cohort"):
        write_cohort(tmp_path, 2, seed=2)
    assert contents(tmp_path) == before


def test_labels_are_listed_in_a_table(cohort: tuple[Path, list[PhantomStudy]]) -> None:
    folder, plan = cohort
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["study_instance_uid", "patient_id", "label", "kind", "split"]
    assert [row["study_instance_uid"] for row in rows] == [s.study_instance_uid for s in plan]
    assert [row["label"] for row in rows] == [f"{s.kind}-{s.finding}" for s in plan]


def test_every_file_reads_without_a_warning(cohort: tuple[Path, list[PhantomStudy]]) -> None:
    """Warnings are errors in this test run; walking through the elements parses them all."""
    folder, plan = cohort
    seen: set[str] = set()
    for study in plan:
        for ds in files_of(folder, study):
            list(ds.iterall())
            assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
            assert UID(ds.SOPInstanceUID).is_valid
            assert ds.PatientID == study.patient_id
            assert ds.PatientName == f"Drawn^{study.patient_number:04d}"
            assert ds.PatientAge == f"{study.age_years:03d}Y"
            assert ds.StudyInstanceUID == study.study_instance_uid
            assert ds.SOPInstanceUID not in seen
            seen.add(ds.SOPInstanceUID)
            if ds.Modality != "SR":
                assert ds.Modality == study.modality
                assert np.ptp(ds.pixel_array) > 100
                assert ds.pixel_array.max() < 2**ds.BitsStored
    assert len(seen) == len(list(folder.rglob("*.dcm")))


def test_slices_are_evenly_spaced_along_their_normal(
    cohort: tuple[Path, list[PhantomStudy]],
) -> None:
    folder, plan = cohort
    for study in plan:
        if study.modality not in ("CT", "MR"):
            continue
        stacks = list(stacks_of(folder, study))
        assert len(stacks) == len(study.series)
        for stack in stacks:
            assert len(stack) == (24 if study.modality == "CT" else 20)
            axis = normal(stack[0])
            assert (axis[2] < 0.999) == (Trait.OBLIQUE in study.traits)
            steps = np.diff([ds.ImagePositionPatient for ds in stack], axis=0)
            along = steps @ axis
            assert along == pytest.approx(along[0], abs=1e-3)
            assert steps == pytest.approx(np.outer(along, axis), abs=1e-3)
            if study.modality == "CT":
                assert along[0] == pytest.approx(stack[0].SliceThickness)
            numbers = [ds.InstanceNumber for ds in stack]
            assert sorted(numbers) == list(range(1, len(stack) + 1))
            assert (numbers != sorted(numbers)) == (Trait.SHUFFLED in study.traits)
    assert set(Trait) == {trait for study in plan for trait in study.traits}


def test_ct_values_are_hounsfield_units(cohort: tuple[Path, list[PhantomStudy]]) -> None:
    folder, plan = cohort
    study = next(s for s in plan if s.kind is Kind.HEAD and Trait.SHUFFLED in s.traits)
    (stack,) = stacks_of(folder, study)
    stored = np.stack([ds.pixel_array for ds in stack]).astype(int)
    values = stored * int(stack[0].RescaleSlope) + int(stack[0].RescaleIntercept)
    drawn = head_ct(study.exam_rng(), study.finding, patient=study.patient_rng())
    assert np.array_equal(values, drawn)


def test_some_ct_series_hold_a_localizer(cohort: tuple[Path, list[PhantomStudy]]) -> None:
    folder, plan = cohort
    with_localizer = []
    for study in plan:
        localizers = [ds for ds in images_of(folder, study) if "LOCALIZER" in ds.ImageType]
        if localizers:
            with_localizer.append(study)
            (stack,) = stacks_of(folder, study)
            assert [ds.SeriesInstanceUID for ds in localizers] == [stack[0].SeriesInstanceUID]
            assert abs(float(normal(localizers[0]) @ normal(stack[0]))) < 1e-6
    assert with_localizer == [s for s in plan if Trait.LOCALIZER in s.traits]
    assert with_localizer


def test_radiographs_come_in_either_polarity_and_compressed(
    cohort: tuple[Path, list[PhantomStudy]],
) -> None:
    folder, plan = cohort
    seen = Counter[str]()
    for study in (s for s in plan if s.kind is Kind.CHEST):
        (ds,) = images_of(folder, study)
        inverted = Trait.MONOCHROME1 in study.traits
        assert ds.PhotometricInterpretation == ("MONOCHROME1" if inverted else "MONOCHROME2")
        assert ds.ViewPosition in ("PA", "AP")
        size = (ds.Rows, ds.Columns)
        drawn = radiograph(study.exam_rng(), study.finding, size, patient=study.patient_rng())
        bright = np.rint(120 + 3800 * drawn).astype(int)
        assert np.array_equal(ds.pixel_array, 4095 - bright if inverted else bright)
        seen.update([ds.Modality, ds.PhotometricInterpretation, ds.file_meta.TransferSyntaxUID])
    assert {"CR", "DX", "MONOCHROME1", JPEG2000Lossless, RLELossless} <= set(seen)


def test_ultrasound_comes_single_as_loop_and_in_colour(tmp_path: Path) -> None:
    by_traits = {s.traits: s for s in plan_cohort(100) if s.kind is Kind.ULTRASOUND}
    assert len(by_traits) == 4
    for traits, study in by_traits.items():
        write_study(tmp_path, study)
        (ds,) = images_of(tmp_path, study)
        shape = ds.pixel_array.shape
        assert (int(ds.get("NumberOfFrames", 1)) > 1) == (Trait.LOOP in traits)
        assert (ds.PhotometricInterpretation == "RGB") == (Trait.RGB in traits)
        assert len(shape) == 2 + len(traits)
        assert (ds.Rows, ds.Columns) == (240, 320)


def test_the_report_in_the_study_is_the_planned_one(
    cohort: tuple[Path, list[PhantomStudy]],
) -> None:
    folder, plan = cohort
    for study in plan:
        files = files_of(folder, study)
        (report,) = [ds for ds in files if ds.Modality == "SR"]
        title = report.ConceptNameCodeSequence[0]
        assert (title.CodeValue, title.CodingSchemeDesignator) == ("18748-4", "LN")
        names = [i.ConceptNameCodeSequence[0].CodeMeaning for i in report.ContentSequence]
        assert names == ["Findings", "Impression"]
        assert " ".join(item.TextValue for item in report.ContentSequence) == study.report
        assert 1 <= study.report.count(".") <= 3
        evidence = report.CurrentRequestedProcedureEvidenceSequence[0]
        named = {
            instance.ReferencedSOPInstanceUID
            for series in evidence.ReferencedSeriesSequence
            for instance in series.ReferencedSOPSequence
        }
        assert named == {ds.SOPInstanceUID for ds in files if ds.Modality != "SR"}


# --- the drawings


def test_a_radiograph_has_dark_lungs_beside_a_bright_mediastinum() -> None:
    picture = radiograph(rng(), size=(300, 240))
    assert picture.shape == (300, 240)
    assert picture.dtype == np.float32
    assert 0 <= picture.min() < picture.max() <= 1
    middle = picture[110:130]
    assert middle[:, 115:125].mean() > middle[:, 55:75].mean() + 0.2
    assert middle[:, 115:125].mean() > middle[:, 165:185].mean() + 0.2


def test_a_large_radiograph_shows_the_same_patient() -> None:
    small = radiograph(rng(), size=256)
    large = radiograph(rng(), size=1024).reshape(256, 4, 256, 4).mean(axis=(1, 3))
    assert np.corrcoef(small.ravel(), large.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("finding", RADIOGRAPH_FINDINGS[1:])
def test_a_radiograph_shows_its_finding_as_added_density(finding: str) -> None:
    for seed in range(4):
        normal = radiograph(rng(seed), size=256)
        change = radiograph(rng(seed), finding, 256) - normal
        assert change.max() > 0.15
        assert change.mean() > 0


def test_findings_in_volumes_have_their_values() -> None:
    for seed in range(2):
        blood = head_ct(rng(seed), "bleed") - head_ct(rng(seed))
        assert (blood > 20).sum() > 100
        liver = abdomen_ct(rng(seed), "liver-lesion") - abdomen_ct(rng(seed))
        assert (liver < -20).sum() > 100
        water = brain_mr(rng(seed), "tumour", contrast="T2") - brain_mr(rng(seed), contrast="T2")
        assert (water > 0.3).sum() > 100


def test_a_cyst_is_dark_and_the_rest_of_the_loop_moves() -> None:
    for seed in range(4):
        loop = ultrasound(rng(seed), "cyst", frames=6)
        assert loop.shape == (6, 240, 320)
        assert (ultrasound(rng(seed), frames=6) - loop > 0.2).sum() > 500
        assert np.abs(loop[0] - loop[1]).max() > 0.02
        assert loop[:, 120, 0].max() == 0


def test_ct_tissues_have_plausible_hounsfield_units() -> None:
    head = head_ct(rng())
    assert head.dtype == np.int16
    assert head[:, 0, 0].mean() == pytest.approx(-1000, abs=5)
    assert np.percentile(head, 99) > 600
    assert np.median(head[8, 54:74, 54:74]) == pytest.approx(35, abs=5)
    abdomen = abdomen_ct(rng())
    liver = abdomen[14, 62:66, 40:46].mean()
    assert 40 < liver < 130


def test_t1_and_t2_show_fluid_and_fat_the_other_way_round() -> None:
    t1, t2 = (brain_mr(rng(), contrast=contrast) for contrast in ("T1", "T2"))
    assert t1.shape == (20, 128, 128)
    assert np.corrcoef(t1[10].ravel(), t2[10].ravel())[0, 1] < 0.8


def test_an_unknown_finding_or_contrast_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown finding 'bleed'"):
        radiograph(rng(), "bleed")
    with pytest.raises(ValueError, match="unknown contrast"):
        brain_mr(rng(), contrast="FLAIR")


def test_the_same_patient_looks_more_alike_than_another() -> None:
    def look(patient: int, exam: int) -> np.ndarray:
        return radiograph(rng(exam), size=128, patient=rng(patient)).ravel()

    first = [look(patient, 100 + patient) for patient in range(6)]
    again = [look(patient, 200 + patient) for patient in range(6)]
    alike = np.corrcoef(first, again)[:6, 6:]
    assert alike.argmax(axis=1).tolist() == list(range(6))


# -- dcmtk as a judge -----------------------------------------------------------------------------

needs_dcmtk = pytest.mark.skipif(shutil.which("dcmdump") is None, reason="dcmtk is not installed")


def dcmtk(*command: object) -> str:
    """Run a tool of dcmtk; its warnings and errors stand in the answer."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def complaints(said: str) -> list[str]:
    """Warnings and errors, but for one about dcmtk itself: its checker does not know UTF-8."""
    lines = [line for line in said.splitlines() if line[:2] in ("W:", "E:", "F:")]
    return [line for line in lines if "VR checker does not support" not in line]


Cohort = tuple[Path, list[PhantomStudy]]


@needs_dcmtk
def test_dcmtk_reads_every_kind_without_a_complaint(cohort: Cohort) -> None:
    paths = sorted(cohort[0].rglob("*.dcm"))
    kinds = {pydicom.dcmread(p, stop_before_pixels=True).SOPClassUID: p for p in paths}
    assert len(kinds) >= 5, "radiographs, CT, MR, ultrasound, reports"
    for path in kinds.values():
        assert dcmtk("dcmftest", path).startswith("yes: ")
        assert complaints(dcmtk("dcmdump", path)) == []


@needs_dcmtk
def test_dcmtk_shows_the_words_of_a_report(cohort: Cohort) -> None:
    paths = cohort[0].rglob("*.dcm")
    report = next(p for p in paths if pydicom.dcmread(p, stop_before_pixels=True).Modality == "SR")
    said = dcmtk("dsrdump", "+Pl", report)
    assert complaints(said) == []
    lines = report_text(pydicom.dcmread(report)).splitlines()
    assert len(lines) == 2
    for title, text in (line.split(": ", 1) for line in lines):
        assert f'"{title}")="{text}"' in said


@needs_dcmtk
def test_dcmtk_decodes_the_pixels_that_we_decode(cohort: Cohort, tmp_path: Path) -> None:
    tools = {ExplicitVRLittleEndian: "dcmconv", RLELossless: "dcmdrle"}  # it has no JPEG 2000
    done = set()
    for path in sorted(cohort[0].rglob("*.dcm")):
        ds = pydicom.dcmread(path)
        kind = (ds.SOPClassUID, ds.file_meta.TransferSyntaxUID)
        if "PixelData" not in ds or kind in done or kind[1] not in tools:
            continue
        done.add(kind)
        dcmtk(tools[kind[1]], path, tmp_path / "native.dcm")
        theirs = pydicom.dcmread(tmp_path / "native.dcm")
        np.testing.assert_array_equal(theirs.pixel_array, ds.pixel_array)
    assert {syntax for _, syntax in done} == set(tools)
