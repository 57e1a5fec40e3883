"""W1 to W7: what is an image, what it is for, and what is only kept beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from making import (
    AXIAL,
    CORONAL,
    CR,
    CT,
    MR,
    SAGITTAL,
    SC,
    US_CINE,
    WHEEL,
    dicom,
    enhanced,
    macro,
    new_uid,
    picture,
    read,
    read_all,
    read_many,
    read_one,
    save,
    stack,
)
from pydicom import Dataset

from api.service import ingest
from api.service.library import info, show
from api.service.search import search
from indexer.config import Settings
from indexer.library import Library
from indexer.searching.asking import SearchRequest, like
from indexer.types import Flag, Outcome, Role

STORAGE = "1.2.840.10008.5.1.4.1.1."
XA, NM, MULTI_FRAME_SC = STORAGE + "12.1", STORAGE + "20", STORAGE + "7.2"
SCOUT = ("ORIGINAL", "PRIMARY", "LOCALIZER")


def role(folder: Path, sop_class: str = CR, **elements: object) -> Role:
    return read_one(dicom(picture(1), sop_class, **elements), folder).item.role


def index(library: Library, *paths: Path) -> None:
    ingest.index(library, ingest.IndexRequest(list(paths)), Settings(workers=1))


# -- W1: no picture -------------------------------------------------------------------------------


NO_PICTURES = (
    "88.11 SR, 88.67 SR, 88.59 KO, 11.1 PR, 481.3 RTSTRUCT, 481.5 RTPLAN, 481.2 RTDOSE, 66.4 SEG, "
    "66.1 REG, 9.1.1 ECG, 104.1 DOC, 4.2 MR, 481.12 RTRAD, 200.2 CTPROTOCOL, 68.1 M3D"
)
"""SOP classes with their modality: the last three are a radiation set, a protocol, a mesh."""
REAL_ONES = "test-SR rtplan rtdose rtstruct waveform_ecg liver_1frame"


@pytest.mark.parametrize("kind", NO_PICTURES.split(", "))
def test_w1_what_is_no_picture_is_linked_with_its_class_and_not_embedded(
    tmp_path: Path, kind: str
) -> None:
    code, modality = kind.split()
    pixels = picture(1).astype(np.uint8) if modality in ("SEG", "RTDOSE") else None
    result = read(save(dicom(pixels, STORAGE + code, Modality=modality), tmp_path / "a.dcm"))
    assert (result.outcome, result.items, result.waiting) == (Outcome.LINKED, (), None)
    (draft,) = result.instances
    assert (draft.sop_class_uid, draft.attributes.modality) == (STORAGE + code, modality)


@pytest.mark.parametrize("name", REAL_ONES.split())
def test_w1_real_ones_are_linked_too(name: str) -> None:
    assert read(WHEEL / f"{name}.dcm").outcome is Outcome.LINKED


def _finding() -> Dataset:
    text = macro(ValueType="TEXT", TextValue="Small pleural effusion")
    text.ConceptNameCodeSequence = [
        macro(CodeValue="121071", CodingSchemeDesignator="DCM", CodeMeaning="Finding")
    ]
    return text


def test_w1_evidence_stays_beside_its_study(tmp_path: Path) -> None:
    study = {"StudyInstanceUID": new_uid()}
    evidence = {
        "report": dicom(None, STORAGE + "88.11", Modality="SR", ContentSequence=[_finding()]),
        "mask": dicom(picture(2).astype(np.uint8), STORAGE + "66.4", Modality="SEG"),
        "key": dicom(None, STORAGE + "88.59", Modality="KO"),
    }
    for name, ds in {"film": dicom(picture(1)), **evidence}.items():
        ds.StudyInstanceUID = study["StudyInstanceUID"]
        save(ds, tmp_path / "in" / f"{name}.dcm")
    with Library.create(tmp_path / "library", store="exact") as library:
        index(library, tmp_path / "in")
        described = show(library, study["StudyInstanceUID"])
        assert info(library).items["image"] == 1
    instances = [i for series in described["series"] for i in series["instances"]]
    assert sorted(i["kind"] for i in instances) == ["evidence"] * 3 + ["image"]
    assert described["reports"] == ["Finding: Small pleural effusion"]


# -- W2: localizers -------------------------------------------------------------------------------


def scan_with(extra: list[Dataset], folder: Path, sop_class: str = CT) -> dict[Role, list[int]]:
    """Slices of each item by role, of a scan of five slices with some more in its series."""
    scan = stack(sop_class, 5)
    for ds in extra:
        ds.StudyInstanceUID, ds.SeriesInstanceUID = (
            scan[0].StudyInstanceUID,
            scan[0].SeriesInstanceUID,
        )
    found: dict[Role, list[int]] = {}
    for item in read_many([*extra, *scan], folder).items:
        found.setdefault(item.role, []).append(item.slices)
    return found


@pytest.mark.parametrize("word", ["LOCALIZER", "SCOUT", "TOPOGRAM"])
@pytest.mark.parametrize("orientation", [AXIAL, CORONAL])
def test_w2_a_tagged_localizer_is_split_from_its_volume(
    tmp_path: Path, word: str, orientation: tuple[float, ...]
) -> None:
    scout = stack(CT, 1, orientation=orientation, seed=9, ImageType=["ORIGINAL", "PRIMARY", word])
    assert scan_with(scout, tmp_path) == {Role.LOCALIZER: [1], Role.PRIMARY: [5]}


@pytest.mark.parametrize("n", [1, 2, 3])
def test_w2_up_to_three_slices_across_the_volume_are_its_localizer(tmp_path: Path, n: int) -> None:
    across = stack(MR, n, orientation=SAGITTAL, step=(4, 0, 0), seed=9)
    found = scan_with(across, tmp_path, MR)
    assert found[Role.PRIMARY] == [5]
    assert sum(found[Role.LOCALIZER]) == n


def test_w2_a_second_volume_across_is_none(tmp_path: Path) -> None:
    across = stack(MR, 6, orientation=SAGITTAL, step=(4, 0, 0), seed=9)
    assert scan_with(across, tmp_path, MR) == {Role.PRIMARY: [6, 5]}


def test_w2_slices_that_refer_to_a_localizer_are_none(tmp_path: Path) -> None:
    purpose = macro(CodeValue="121311", CodingSchemeDesignator="DCM", CodeMeaning="Localizer")
    reference = macro(ReferencedSOPClassUID=MR, ReferencedSOPInstanceUID=new_uid())
    reference.PurposeOfReferenceCodeSequence = [purpose]
    read = read_many(stack(MR, 4, ReferencedImageSequence=[reference]), tmp_path)
    assert (read.item.role, read.item.slices) == (Role.PRIMARY, 4)
    shared = enhanced(np.stack([picture(i) for i in range(4)]), [0, 3, 6, 9])
    shared.SharedFunctionalGroupsSequence[0].ReferencedImageSequence = [reference]
    assert read_one(shared, tmp_path).item.role is Role.PRIMARY


def test_w2_localizer_frames_of_an_enhanced_object_are_split_off(tmp_path: Path) -> None:
    ds = enhanced(np.stack([picture(i) for i in range(6)]), [0, 3, 6, 9, 12, 15])
    frame = ds.PerFrameFunctionalGroupsSequence[5]
    frame.MRImageFrameTypeSequence = [macro(FrameType=[*SCOUT, "NONE"])]
    frame.PlaneOrientationSequence = [macro(ImageOrientationPatient=list(SAGITTAL))]
    roles = {item.role: item.slices for item in read_one(ds, tmp_path).items}
    assert roles == {Role.LOCALIZER: 1, Role.PRIMARY: 5}


# -- W3: captures ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sop_class", "elements"),
    [
        pytest.param(SC, {"ConversionType": "WSD"}, id="secondary capture"),
        pytest.param(SC, {"Modality": "DOC", "ConversionType": "SD"}, id="scanned paper"),
        pytest.param(SC, {"Modality": "SR"}, id="report as a picture"),
        pytest.param(CT, {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, id="screen save"),
        pytest.param(CT, {"ImageType": ["ORIGINAL", "SECONDARY", "DOSE_INFO"]}, id="dose page"),
    ],
)
def test_w3_captures_are_tagged_secondary(
    tmp_path: Path, sop_class: str, elements: dict[str, object]
) -> None:
    assert role(tmp_path, sop_class, **elements) is Role.SECONDARY


def test_w3_a_capture_of_many_frames_is_tagged_too(tmp_path: Path) -> None:
    frames = np.stack([picture(i, top=200) for i in range(3)]).astype(np.uint8)
    read = read_one(dicom(frames, MULTI_FRAME_SC), tmp_path)
    assert {item.role for item in read.items} == {Role.SECONDARY}


def test_w3_a_dose_page_in_the_series_is_not_a_slice_of_its_volume(tmp_path: Path) -> None:
    page = stack(
        CT, 1, origin=(-10, -20, 15), seed=9, ImageType=["DERIVED", "SECONDARY", "DOSE_INFO"]
    )
    assert scan_with(page, tmp_path) == {Role.SECONDARY: [1], Role.PRIMARY: [5]}


# -- W4: derived pictures -------------------------------------------------------------------------


COMPUTED = (
    "DERIVED/SECONDARY, DERIVED/SECONDARY/MPR, DERIVED/PRIMARY/PROJECTION IMAGE/MIP, "
    "DERIVED/PRIMARY/AXIAL/CSA MIP, DERIVED/PRIMARY/SUBTRACTION, DERIVED/PRIMARY/DIFFUSION/ADC"
)


@pytest.mark.parametrize("image_type", COMPUTED.split(", "))
def test_w4_pictures_computed_from_others_are_derived(tmp_path: Path, image_type: str) -> None:
    assert role(tmp_path, CT, ImageType=image_type.split("/")) is Role.DERIVED


def test_w4_fused_colour_is_derived(tmp_path: Path) -> None:
    colour = np.dstack([picture(i, top=200) for i in range(3)]).astype(np.uint8)
    assert read_one(dicom(colour, CT), tmp_path).item.role is Role.DERIVED


@pytest.mark.parametrize("image_type", ["DERIVED/PRIMARY", "DERIVED/PRIMARY/AXIAL"])
def test_w4_lossy_compression_alone_derives_nothing(tmp_path: Path, image_type: str) -> None:
    assert role(tmp_path, CT, ImageType=image_type.split("/")) is Role.PRIMARY


def test_w4_derived_slices_never_share_a_volume_with_primary_ones(tmp_path: Path) -> None:
    more = stack(CT, 4, origin=(-10, -20, 15), seed=9, ImageType=["DERIVED", "SECONDARY", "MPR"])
    assert scan_with(more, tmp_path) == {Role.PRIMARY: [5], Role.DERIVED: [4]}


def test_w4_derived_frames_of_an_enhanced_object_are_told_from_primary_ones(
    tmp_path: Path,
) -> None:
    positions = [0, 3, 6, 9, 0, 3, 6, 9]
    mixed = ["MIXED", "PRIMARY", "DIFFUSION", "MIXED"]
    ds = enhanced(np.stack([picture(i) for i in range(8)]), positions, ImageType=mixed)
    for number, group in enumerate(ds.PerFrameFunctionalGroupsSequence):
        kind = ["ORIGINAL", "NONE"] if number < 4 else ["DERIVED", "ADC"]
        frame_type = [kind[0], "PRIMARY", "DIFFUSION", kind[1]]
        group.MRImageFrameTypeSequence = [macro(FrameType=frame_type)]
    roles = sorted((item.role, item.slices) for item in read_one(ds, tmp_path).items)
    assert roles == [(Role.DERIVED, 4), (Role.PRIMARY, 4)]


# -- W5: tags that lie ----------------------------------------------------------------------------


@pytest.mark.parametrize("modality", ["OT", "SR", "DOC", "XYZ", None])
def test_w5_the_class_tells_an_image_whatever_the_modality_tag_says(
    tmp_path: Path, modality: str | None
) -> None:
    film = read_one(dicom(picture(1), Modality=modality), tmp_path)
    assert film.item.kind == "image"
    scan = read_many(stack(CT, 4, Modality=modality), tmp_path)
    assert (scan.item.kind, scan.item.slices) == ("volume", 4)
    assert film.draft.attributes.modality == (modality or ""), "kept as declared"


def test_w5_an_empty_or_wrong_body_part_is_kept_as_declared(tmp_path: Path) -> None:
    for said in (None, "", "LEG"):
        draft = read_one(dicom(picture(1), BodyPartExamined=said), tmp_path).draft
        assert draft.attributes.body_part == (said or "")


# -- W6: phantoms and test patients ---------------------------------------------------------------


@pytest.mark.parametrize(
    "elements",
    [
        {"PatientName": "PHANTOM^ACR"},
        {"PatientID": "phantom-7"},
        {"StudyDescription": "Daily QA"},
        {"SeriesDescription": "Quality assurance, head coil"},
        {"StudyDescription": "SMPTE test pattern"},
        {"QualityControlImage": "YES"},
        {"PatientName": "TEST^PATIENT"},
        {"PatientName": "Testpatient^Eins"},
    ],
    ids=lambda elements: "".join(elements.values()),
)
def test_w6_phantoms_and_test_patients_are_tagged(tmp_path: Path, elements: dict[str, str]) -> None:
    assert role(tmp_path, **elements) is Role.TEST


@pytest.mark.parametrize(
    "elements",
    [
        {"PatientName": "Qadir^Amina"},
        {"PatientName": "Contesta^Maria"},
        {"StudyDescription": "Exercise stress test"},
        {"QualityControlImage": "NO"},
    ],
    ids=lambda elements: "".join(elements.values()),
)
def test_w6_patients_are_not(tmp_path: Path, elements: dict[str, str]) -> None:
    assert role(tmp_path, **elements) is Role.PRIMARY


# -- W2, W3, W4, W6: not among the hits unless asked for ------------------------------------------


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    folder = tmp_path_factory.mktemp("kinds")
    for name, (sop_class, elements) in {
        "query": (CR, {}),
        "primary": (CR, {}),
        "localizer": (CT, {"ImageType": list(SCOUT)}),
        "secondary": (SC, {}),
        "derived": (CT, {"ImageType": ["DERIVED", "SECONDARY", "MPR"]}),
        "test": (MR, {"PatientName": "Phantom^Head"}),
    }.items():
        said = {"StudyDescription": name, "PatientID": f"P-{len(name)}", **elements}
        save(dicom(picture(len(name)), sop_class, **said), folder / "in" / f"{name}.dcm")
    with Library.create(folder / "library", store="exact") as made:
        index(made, folder / "in")
        yield made


@pytest.mark.parametrize("asked_for", [None, *Role])
def test_w2_w3_w4_w6_only_primary_images_are_searched_unless_asked_for(
    library: Library, asked_for: Role | None
) -> None:
    roles = frozenset({asked_for}) if asked_for else None
    query = Path(str(library.path)).parent / "in" / "query.dcm"
    answer = search(library, SearchRequest(like(file=query), roles=roles), Settings())
    assert [hit.description for hit in answer.hits] == [asked_for or "primary"]
    assert any("--role all" in note for note in answer.notes)


# -- W7: cines ------------------------------------------------------------------------------------


def cine(n: int, sop_class: str = US_CINE, seed: int = 0) -> Dataset:
    return dicom(np.stack([picture(seed + i, 16, 16) for i in range(n)]), sop_class)


@pytest.mark.parametrize("sop_class", [US_CINE, XA, NM, CT])
def test_w7_a_cine_is_sampled_evenly_and_says_so(tmp_path: Path, sop_class: str) -> None:
    read = read_one(cine(40, sop_class), tmp_path, max_frames=8)
    frames = [item.frame_index for item in read.items]
    assert len(frames) == 8
    assert set(np.diff(frames)) == {5}, "evenly spaced"
    assert frames[0] == 40 - 1 - frames[-1], "neither end preferred"
    for item in read.items:
        assert (item.details["frames"], item.details["sampled"]) == (40, frames)
        assert Flag.FRAMES_SAMPLED in item.flags


def test_w7_the_sample_depends_on_nothing_but_the_number_of_frames(tmp_path: Path) -> None:
    samples = [
        [item.frame_index for item in read_one(cine(37, sop_class, seed), tmp_path).items]
        for sop_class, seed in ((US_CINE, 0), (US_CINE, 100), (XA, 0))
    ]
    assert samples[0] == samples[1] == samples[2]
    assert len(samples[0]) > 1


def test_w7_a_short_cine_is_taken_whole(tmp_path: Path) -> None:
    read = read_one(cine(5), tmp_path)
    assert [item.frame_index for item in read.items] == [0, 1, 2, 3, 4]
    assert Flag.FRAMES_SAMPLED not in read.draft.flags


def test_w7_a_real_loop_is_never_its_first_frame_only() -> None:
    read = read_all([WHEEL / "examples_ybr_color.dcm"])
    assert len(read.items) > 1
    assert len({item.pixel_hash for item in read.items}) == len(read.items)
    assert read.items[0].details["frames"] == 30


def test_w7_a_frame_that_shows_something_is_found_where_the_sample_is_blank(
    tmp_path: Path,
) -> None:
    frames = np.zeros((40, 16, 16), np.int16)
    frames[17] = picture(1, 16, 16)
    assert read_one(dicom(frames, US_CINE), tmp_path, max_frames=4).item.frame_index == 17
