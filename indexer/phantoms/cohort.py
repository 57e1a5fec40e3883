"""Who the phantom patients are: a plan of studies, made without drawing anything.

The first ``n`` studies of a larger plan are the plan of ``n`` studies: every decision depends on
the seed and on what came before, never on the length.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

import numpy as np


class Kind(StrEnum):
    """What a phantom study imitates."""

    CHEST = "chest-radiograph"
    HEAD = "head-ct"
    ABDOMEN = "abdomen-ct"
    BRAIN = "brain-mr"
    ULTRASOUND = "ultrasound"


class Trait(StrEnum):
    """A way in which the files of a study differ from the plainest ones."""

    MONOCHROME1 = "monochrome1"
    JPEG2000 = "jpeg2000"
    RLE = "rle"
    LOCALIZER = "localizer"
    """The stack's series holds one coronal localizer as well."""
    SHUFFLED = "shuffled"
    """Instance numbers do not follow the slices' positions."""
    OBLIQUE = "oblique"
    """The slices are tilted: their normal is none of the patient's axes."""
    LOOP = "loop"
    """Multi-frame."""
    RGB = "rgb"


@dataclass(frozen=True)
class PhantomStudy:
    """One planned study, with its ground truth.

    Attributes:
        index: place in the plan, from 0.
        seed: of the cohort.
        patient_number: from 1; ``patient_id`` is made of it.
        visit: 0 for the patient's first study.
        sex: ``"M"`` or ``"F"``.
        age_years: at the study's date.
        birth_date, study_date: ``YYYYMMDD``.
        study_time: ``HHMMSS``.
        kind: what the study imitates.
        finding: ``"normal"`` or what is to be seen, one of the drawing function's findings.
        label: kind and finding in one word.
        split: ``"train"``, ``"val"`` or ``"test"``; one for all studies of a patient.
        prior_of: UID of the same patient's previous study, whose follow-up this is, or None.
        modality: DICOM modality of the images.
        body_part, view: BodyPartExamined and ViewPosition; the view is ``""`` where none applies.
        series: descriptions of the image series.
        findings_text, impression_text: the two sections of the report.
        traits: how its files differ from the plainest ones.
        site: where it was made, ``""`` where nobody says; see `indexer.phantoms.arrivals`.
        noise: that its detector adds, the standard deviation as a share of the range of grey.
    """

    index: int
    seed: int
    patient_number: int
    visit: int
    patient_id: str
    sex: str
    age_years: int
    birth_date: str
    study_instance_uid: str
    study_date: str
    study_time: str
    kind: Kind
    finding: str
    label: str
    split: str
    prior_of: str | None
    modality: str
    body_part: str
    view: str
    series: tuple[str, ...]
    findings_text: str
    impression_text: str
    traits: frozenset[Trait]
    site: str = ""
    noise: float = 0.0

    @property
    def report(self) -> str:
        """The report as one text: findings, a space, impression."""
        return f"{self.findings_text} {self.impression_text}"

    def uid(self, *parts: object) -> str:
        """A UID below this study, the same in every run.

        Args:
            *parts: what it is of, such as ``"series", 1``.

        Returns:
            A UID of at most 44 characters below the root 2.25.
        """
        return _uid(self.seed, self.patient_number, self.visit, *parts)

    def patient_rng(self) -> np.random.Generator:
        """A new generator of this patient's anatomy: the same in each of the patient's studies."""
        return np.random.default_rng((self.seed, self.patient_number, 1))

    def exam_rng(self) -> np.random.Generator:
        """A new generator of what is particular to this examination."""
        return np.random.default_rng((self.seed, self.patient_number, self.visit, 2))

    def noise_rng(self) -> np.random.Generator:
        """A new generator of what the detector adds."""
        return np.random.default_rng((self.seed, self.patient_number, self.visit, 4))


_SHARES = {
    Kind.CHEST: 0.40,
    Kind.HEAD: 0.15,
    Kind.ABDOMEN: 0.15,
    Kind.BRAIN: 0.15,
    Kind.ULTRASOUND: 0.15,
}
_FINDINGS = {
    Kind.CHEST: ("normal", "normal", "nodule", "effusion", "cardiomegaly"),
    Kind.HEAD: ("normal", "bleed"),
    Kind.ABDOMEN: ("normal", "liver-lesion"),
    Kind.BRAIN: ("normal", "tumour"),
    Kind.ULTRASOUND: ("normal", "cyst"),
}
_BODY_PARTS = {
    Kind.CHEST: "CHEST",
    Kind.HEAD: "HEAD",
    Kind.ABDOMEN: "ABDOMEN",
    Kind.BRAIN: "BRAIN",
    Kind.ULTRASOUND: "ABDOMEN",
}
_SPLITS = ("train",) * 7 + ("val",) + ("test",) * 2

# Findings and impressions, one of either is drawn.
_REPORTS: dict[tuple[Kind, str], tuple[tuple[str, ...], tuple[str, ...]]] = {
    (Kind.CHEST, "normal"): (
        (
            "The lungs are clear. Heart size is normal.",
            "No focal consolidation, effusion or pneumothorax.",
            "Both lungs are well aerated and the mediastinal contours are unremarkable.",
        ),
        ("No acute cardiopulmonary abnormality.", "Normal chest radiograph."),
    ),
    (Kind.CHEST, "nodule"): (
        (
            "There is a round opacity of about {mm} mm in one lung. No effusion.",
            "A well defined pulmonary nodule measures {mm} mm.",
            "Solitary nodule projected over the lung field. Heart size is normal.",
        ),
        ("Pulmonary nodule; CT is recommended.", "Solitary lung nodule."),
    ),
    (Kind.CHEST, "effusion"): (
        (
            "The lower lung field is opaque with a meniscus. The costophrenic angle is obscured.",
            "Homogeneous basal opacity obscures the diaphragm on one side.",
            "There is fluid in the pleural space with adjacent atelectasis.",
        ),
        ("Pleural effusion.", "Moderate unilateral pleural effusion."),
    ),
    (Kind.CHEST, "cardiomegaly"): (
        (
            "The cardiac silhouette is enlarged. The lungs are clear.",
            "The cardiothoracic ratio is increased.",
            "Marked widening of the heart shadow without pulmonary oedema.",
        ),
        ("Cardiomegaly.", "Enlarged heart without acute lung disease."),
    ),
    (Kind.HEAD, "normal"): (
        (
            "No intracranial haemorrhage or mass effect. The ventricles are of normal size.",
            "Grey and white matter are well differentiated.",
            "The ventricles and sulci are normal for age. The skull is intact.",
        ),
        ("No acute intracranial abnormality.", "Normal CT of the head."),
    ),
    (Kind.HEAD, "bleed"): (
        (
            "There is a hyperdense intraparenchymal lesion of about {mm} mm.",
            "Acute blood is seen within one hemisphere. No skull fracture.",
            "Hyperdense collection in the brain with a thin rim of oedema.",
        ),
        ("Acute intracerebral haemorrhage.", "Intraparenchymal bleed."),
    ),
    (Kind.ABDOMEN, "normal"): (
        (
            "Liver, spleen and kidneys are unremarkable.",
            "No focal lesion of the solid organs. No free fluid.",
            "The liver enhances homogeneously. The kidneys are normal.",
        ),
        ("Normal CT of the abdomen.", "No acute abdominal abnormality."),
    ),
    (Kind.ABDOMEN, "liver-lesion"): (
        (
            "Several hypodense lesions in the liver measure up to {mm} mm.",
            "There are multiple dark focal lesions in the liver. The spleen is normal.",
            "Hypoattenuating liver lesions are present. The kidneys are unremarkable.",
        ),
        ("Focal liver lesions, suspicious for metastases.", "Multiple liver lesions."),
    ),
    (Kind.BRAIN, "normal"): (
        (
            "Normal signal of the brain parenchyma. No mass.",
            "The ventricles are of normal size and the midline is central.",
            "No restricted region, mass or extra-axial collection is seen.",
        ),
        ("Normal MR of the brain.", "No intracranial abnormality."),
    ),
    (Kind.BRAIN, "tumour"): (
        (
            "There is a mass of about {mm} mm that is bright on T2.",
            "A T2 hyperintense lesion with surrounding oedema is seen in one hemisphere.",
            "Intra-axial mass with perifocal oedema. The ventricles are not dilated.",
        ),
        ("Brain tumour, most likely glioma.", "Intra-axial brain tumour."),
    ),
    (Kind.ULTRASOUND, "normal"): (
        (
            "The liver has a normal echo texture. The kidney is unremarkable.",
            "No focal lesion of liver or kidney. No hydronephrosis.",
            "Normal size and echogenicity of liver and kidney.",
        ),
        ("Normal abdominal ultrasound.", "No sonographic abnormality."),
    ),
    (Kind.ULTRASOUND, "cyst"): (
        (
            "There is an anechoic round lesion of {mm} mm with posterior enhancement.",
            "A simple cyst is seen, thin walled and without internal echoes.",
            "Round echo-free lesion. The kidney is otherwise unremarkable.",
        ),
        ("Simple cyst.", "Benign cyst; no follow-up is needed."),
    ),
}


def plan_cohort(n_studies: int = 300, seed: int = 0) -> list[PhantomStudy]:
    """Plan a cohort; nothing is drawn or written.

    About 40 % are chest radiographs and 15 % each of the other kinds. One patient in five has two
    or three studies, of one kind, at different dates. The plan is a pure function of its
    arguments, and a shorter plan is the beginning of a longer one.

    Args:
        n_studies: how many studies, 0 or more.
        seed: any number from 0.

    Returns:
        The studies, each patient's in the order of their dates.

    Raises:
        ValueError: an argument is negative.
    """
    if n_studies < 0 or seed < 0:
        raise ValueError("n_studies and seed must not be negative")
    plan: list[PhantomStudy] = []
    for study in _studies(seed):
        if len(plan) == n_studies:
            break
        plan.append(study)
    return plan


@dataclass(frozen=True)
class _Patient:
    number: int
    kind: Kind
    rank: int  # among the patients of this kind
    finding: str
    split: str
    visits: int


def _studies(seed: int) -> Iterator[PhantomStudy]:
    """All studies of an endless cohort."""
    of_kind: Counter[Kind] = Counter()
    patients_of_kind: Counter[Kind] = Counter()
    number = index = 0
    while True:
        number += 1
        # The kind that lags most behind its share: the mix is right in small cohorts too.
        kind = max(_SHARES, key=lambda k: _SHARES[k] * (index + 1) - of_kind[k])
        rank = patients_of_kind[kind]
        patient = _Patient(
            number,
            kind,
            rank,
            _dealt(seed, list(_SHARES).index(kind) + 10, _FINDINGS[kind], rank),
            _dealt(seed, 1, _SPLITS, number - 1),
            int(_dealt(seed, 2, ("1", "1", "1", "1", "2" if number % 10 < 5 else "3"), number - 1)),
        )
        patients_of_kind[kind] += 1
        for study in _patient_studies(seed, patient, index, of_kind):
            yield study
            of_kind[kind] += 1
            index += 1


def _dealt(seed: int, stream: int, cards: tuple[str, ...], place: int) -> str:
    """Deal from a shuffled deck that is shuffled again when used up: exact shares, no pattern."""
    deck, card = divmod(place, len(cards))
    order = np.random.default_rng((seed, stream, deck, 3)).permutation(len(cards))
    return cards[int(order[card])]


def _patient_studies(
    seed: int, patient: _Patient, index: int, of_kind: Counter[Kind]
) -> Iterator[PhantomStudy]:
    rng = np.random.default_rng((seed, patient.number, 0))
    kind = patient.kind
    sex = "F" if rng.random() < 0.5 else "M"
    day = date(2015, 1, 1) + timedelta(days=int(rng.integers(0, 2000)))
    born = day - timedelta(days=int(rng.integers(19 * 366, 86 * 365)))
    millimetres = int(rng.integers(12, 34))
    frontal = "AP" if rng.random() < 0.2 else "PA"
    # A finding may be absent at first; once there, it stays.
    onset = 0 if rng.random() < 0.65 else int(rng.integers(0, patient.visits))
    prior: str | None = None
    for visit in range(patient.visits):
        finding = patient.finding if visit >= onset else "normal"
        findings, impressions = _REPORTS[kind, finding]
        count = of_kind[kind]
        study = PhantomStudy(
            index=index + visit,
            seed=seed,
            patient_number=patient.number,
            visit=visit,
            patient_id=f"DRAWN-{patient.number:04d}",
            sex=sex,
            age_years=years_between(born, day),
            birth_date=f"{born:%Y%m%d}",
            study_instance_uid=_uid(seed, patient.number, visit),
            study_date=f"{day:%Y%m%d}",
            study_time=f"{int(rng.integers(7, 20)):02d}{int(rng.integers(60)):02d}00",
            kind=kind,
            finding=finding,
            label=f"{kind}-{finding}",
            split=patient.split,
            prior_of=prior,
            modality=_modality(kind, count),
            body_part=_BODY_PARTS[kind],
            view=frontal if kind is Kind.CHEST else "",
            series=_series(patient),
            findings_text=str(rng.choice(findings)).format(mm=millimetres),
            impression_text=str(rng.choice(impressions)),
            traits=_traits(patient, count, of_kind[Kind.HEAD] + of_kind[Kind.ABDOMEN]),
        )
        yield study
        prior = study.study_instance_uid
        day += timedelta(days=int(rng.integers(60, 700)))


def _modality(kind: Kind, count: int) -> str:
    if kind is Kind.CHEST:
        return "CR" if count % 5 < 2 else "DX"
    return {Kind.HEAD: "CT", Kind.ABDOMEN: "CT", Kind.BRAIN: "MR", Kind.ULTRASOUND: "US"}[kind]


def _series(patient: _Patient) -> tuple[str, ...]:
    if patient.kind is Kind.BRAIN:
        return ("AX T2", "AX T1") if patient.rank % 3 == 1 else ("AX T2",)
    names = {
        Kind.CHEST: "Frontal",
        Kind.HEAD: "Head 6.5 axial",
        Kind.ABDOMEN: "Abdomen 8.0 axial",
        Kind.ULTRASOUND: "Liver and kidney",
    }
    return (names[patient.kind],)


def _traits(patient: _Patient, count: int, ct_count: int) -> frozenset[Trait]:
    """Traits by turns, so that even a small cohort shows most of them."""
    kind = patient.kind
    if kind is Kind.CHEST:
        turns = {
            Trait.MONOCHROME1: count % 3 == 1,
            Trait.JPEG2000: count % 10 == 4,
            Trait.RLE: count % 10 == 6,
        }
    elif kind is Kind.ULTRASOUND:
        turns = {Trait.LOOP: count % 2 == 1, Trait.RGB: count % 4 == 2 or count % 8 == 7}
    else:
        is_ct = kind is not Kind.BRAIN
        turns = {
            Trait.LOCALIZER: is_ct and ct_count % 8 == 2,
            Trait.OBLIQUE: not is_ct and patient.rank % 2 == 1,
            Trait.SHUFFLED: count % 2 == 1,
        }
    return frozenset(trait for trait, has in turns.items() if has)


def years_between(born: date, day: date) -> int:
    """How old somebody is on a day."""
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))


def _uid(*parts: object) -> str:
    """A UID below 2.25 (PS3.5 B.2) from a hash, where others take a random number."""
    text = "/".join(("syntopy-phantom", *map(str, parts)))
    return f"2.25.{int.from_bytes(hashlib.sha256(text.encode()).digest()[:16])}"
