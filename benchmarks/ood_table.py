"""How well each detector tells what is out of distribution, by kind of shift, as a table.

    python benchmarks/ood_table.py --data shared/data --out ood.jsonl
    python benchmarks/ood_table.py --data shared/data --detectors knn pca:64/knn residual

The folder holds mednist, cxr, ood, mri_tumor and dicom. Near: each class of mednist, each finding
and view of cxr held out in turn. Far: off-modality pictures, slices, photographs and DICOM files
against cxr. Mistakes: cxr turned and inverted. Corruptions: of the tests of cxr and mednist, every
kind, 100 pictures.
All with the built-in encoder, parted by `ood.protocol.parted`. ``baseline`` is 1 less the mean
cosine to the five nearest of those that detectors are fitted on.

Vectors are kept in --folder piece by piece, results in --out: a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from pictures import encoded, read
from PIL import Image

from api.service.judging.cases import qualities_in, with_qualities
from api.service.judging.corrupted import VARIANTS, corrupted_pixels
from indexer.errors import FileRejectedError, QueryError
from indexer.reading.drafts import ReadOptions
from indexer.reading.quality import QUALITIES, qualities_of
from indexer.reading.study import read_study
from indexer.registry import make_encoder
from indexer.sources.discover import Problem, discover
from indexer.types import ImagePixels
from ood.measures import Separation, separation
from ood.protocol import FEWEST, Parts, Trial, parted
from ood.registry import Recipe
from ood.turns import TURNS

BASELINE, NEAREST = "baseline", 5
COPIES, SEED = 100, 0
CXR, MEDNIST = "cxr/labels.csv#finding", "mednist/mednist64.npz"
OFF, MRI = "ood/labels.csv#kind", "mri_tumor/labels.csv#label"
Pictures = Sequence[np.ndarray]
Change = Callable[[np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class Shift:
    """One kind of shift: which part tests inside, and what is outside."""

    data: str
    how: str
    kind: str
    rows: np.ndarray
    patients: Sequence[str]
    parts: Parts
    outside: Callable[[], np.ndarray]

    @property
    def key(self) -> tuple[str, str, str]:
        return self.data, self.how, self.kind


@dataclass(frozen=True)
class Kept:
    """Vectors in a folder, made once."""

    folder: Path
    data: Path

    def piece(self, name: str, make: Callable[[], tuple[np.ndarray, ...]]) -> list[np.ndarray]:
        """Arrays under a name."""
        path = self.folder / f"{name.replace(' ', '-').replace('/', '-')}.npz"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            print(f"encoding {name}", flush=True)
            made = make()
            part = path.with_suffix(".part.npz")
            np.savez(part, *made)
            part.rename(path)
        with np.load(path) as archive:
            return [archive[f"arr_{number}"] for number in range(len(archive.files))]

    def pictures(self, name: str, of: str) -> tuple[np.ndarray, np.ndarray]:
        """Vectors of the pictures of a table or an archive, and their labels."""
        rows, labels = self.piece(name, lambda: described(*read(str(self.data / of))))
        return rows, labels

    def copies(self, name: str, pictures: Callable[[], Pictures], change: Change) -> np.ndarray:
        """Vectors of changed pictures."""

        def make() -> tuple[np.ndarray, ...]:
            changed = [change(one, number) for number, one in enumerate(pictures())]
            return described(changed, np.zeros(len(changed)))

        return self.piece(name, make)[0]


def described(pictures: Pictures, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit rows as a library keeps them, and the qualities of the pictures behind."""
    rows, own, kept = encoded(pictures, labels)
    seen = [ImagePixels(np.asarray(pictures[number], np.float32)) for number in kept]
    return halves(rows, [qualities_of(each) for each in seen]), own


def halves(rows: np.ndarray, qualities: Sequence[Sequence[float]]) -> np.ndarray:
    units = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    return with_qualities(units, qualities, len(QUALITIES))


def dicom_rows(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vectors and modalities of DICOM files, each for itself, as they are read to be judged."""
    options = ReadOptions(encoders=("texture",), key=bytes(32))
    encoder = make_encoder(options.context("texture"))
    prepared, qualities, modalities = [], [], []
    for found in discover([folder]):
        if isinstance(found, Problem):
            continue
        with suppress(FileRejectedError, QueryError):
            for one in read_study(Path(found.path), options).items[:1]:
                prepared.append(one.item.tensors["texture"])
                qualities.append(qualities_in(one.item.details))
                modalities.append(one.draft.attributes.modality or "none")
    return halves(encoder.embed(prepared), qualities), np.array(modalities)


def column(table: Path, name: str) -> np.ndarray:
    with table.open(newline="") as file:
        return np.array([line[name] for line in csv.DictReader(file)])


def held_out(
    data: str, rows: np.ndarray, patients: Sequence[str], labels: np.ndarray, says: str
) -> Iterator[Shift]:
    """Each value of a label in turn, of those that carry one."""
    told = np.flatnonzero(labels.astype(str) != "")
    own, named = [patients[row] for row in told], labels[told]
    for value in np.unique(named):
        parts = parted(own, named == value, seed=SEED)
        outside = rows[told][parts.outside]
        if len(outside) >= FEWEST:
            kind = f"{says} {value}"
            yield Shift(data, "near", kind, rows[told], own, parts, lambda of=outside: of)


def far(kept: Kept, cxr: Shift) -> Iterator[Shift]:
    """What is no radiograph, by what it is."""
    groups: list[tuple[str, np.ndarray, np.ndarray]] = [
        ("off", *kept.pictures("off", OFF)),
        ("brain MR", *kept.pictures("mri_tumor", MRI)),
        ("mednist", *kept.pictures("mednist", MEDNIST)),
        ("DICOM", *kept.piece("dicom", lambda: dicom_rows(kept.data / "dicom"))),
    ]
    for name, rows, labels in groups:
        for value in np.unique(labels):
            chosen = rows[labels == value]
            if len(chosen) >= FEWEST and (name, value) != ("mednist", CHEST):
                kind = f"{name} {CLASSES.get(value, value) if name == 'mednist' else value}"
                yield as_far(cxr, kind, chosen)


CLASSES = dict(enumerate(["AbdomenCT", "BreastMRI", "CXR", "ChestCT", "Hand", "HeadCT"]))
CHEST = 2


def as_far(cxr: Shift, kind: str, rows: np.ndarray) -> Shift:
    return Shift("cxr", "far", kind, cxr.rows, cxr.patients, cxr.parts, lambda: rows)


def spoilt(
    kept: Kept, base: Shift, pictures: Callable[[], Pictures], severities: Sequence[int]
) -> Iterator[Shift]:
    """The tests inside, corrupted in every way, the worst first."""
    variants = [each for each in VARIANTS if each[1] in severities]
    for kind, severity in sorted(variants, key=lambda each: -each[1]):

        def change(one: np.ndarray, seed: int, kind: str = kind, at: int = severity) -> np.ndarray:
            made = corrupted_pixels(ImagePixels(one.astype(np.float32)), (kind, at), seed=seed)
            return made.values

        def rows(change: Change = change, name: str = f"{kind} {severity}") -> np.ndarray:
            return kept.copies(f"{base.data} {name}", pictures, change)

        yield Shift(
            base.data,
            "corruption",
            f"{kind} {severity}",
            base.rows,
            base.patients,
            base.parts,
            rows,
        )


def shifts(kept: Kept, severities: Sequence[int]) -> Iterator[Shift]:
    """All of them."""
    rows, labels = kept.pictures("mednist", MEDNIST)
    owners = [f"picture {number}" for number in range(len(rows))]
    names = np.array([CLASSES[int(label)] for label in labels])
    yield from held_out("mednist", rows, owners, names, "class")
    table = kept.data / "cxr" / "labels.csv"
    films, findings = kept.pictures("cxr", CXR)
    patients = column(table, "patient_id").tolist()
    yield from held_out("cxr", films, patients, findings, "finding")
    yield from held_out("cxr", films, patients, column(table, "view"), "view")
    cxr = Shift("cxr", "", "", films, patients, parted(patients, seed=SEED), lambda: films)
    med = Shift("mednist", "", "", rows, owners, parted(owners, seed=SEED), lambda: rows)
    yield from far(kept, cxr)

    def radiographs() -> Pictures:
        chosen = some(cxr.parts.inside)
        files = column(table, "image")
        opened = [Image.open(table.parent / files[at]).convert("L") for at in chosen]
        return [np.asarray(each, np.float32) for each in opened]

    def thumbnails() -> Pictures:
        return read(str(kept.data / MEDNIST))[0][some(med.parts.inside)]

    for name, turn in TURNS.items():

        def turned(turn: Callable[[np.ndarray], np.ndarray] = turn, name: str = name) -> np.ndarray:
            return kept.copies(f"cxr {name}", radiographs, lambda one, _: turn(one))

        yield Shift("cxr", "mistake", name, films, patients, cxr.parts, turned)
    yield from spoilt(kept, cxr, radiographs, severities)
    yield from spoilt(kept, med, thumbnails, severities)


def some(rows: np.ndarray) -> np.ndarray:
    """No more than `COPIES` of them."""
    chosen = np.random.default_rng(SEED).choice(rows, min(COPIES, len(rows)), replace=False)
    return np.sort(chosen)


def by_cosine(rows: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """1 less the mean cosine to the nearest."""
    near = np.sort(rows.astype(np.float32) @ fitted.astype(np.float32).T, axis=1)
    return 1 - near[:, -NEAREST:].mean(axis=1)


def tried(shift: Shift, recipes: Sequence[Recipe]) -> dict[str, Separation]:
    """Every detector, all together, and the baseline."""
    outside = shift.outside()
    count = len(QUALITIES)
    trial = Trial.of(recipes, shift.rows, shift.patients, shift.parts, qualities=count, seed=SEED)
    vectors = shift.rows[:, :-count]
    fitted, inside = (vectors[part] for part in (shift.parts.fits, shift.parts.inside))
    plain = separation(by_cosine(inside, fitted), by_cosine(outside[:, :-count], fitted), seed=SEED)
    return trial.against(outside, seed=SEED) | {BASELINE: plain}


def line(key: Sequence[str], found: Mapping[str, Mapping[str, float]]) -> str:
    """A row of the table."""
    first = next(iter(found.values()))
    cells = [*key, f"{first['fitted']:.0f} / {first['inside']} / {first['outside']}"]
    best = max((each["auroc"], name) for name, each in found.items())[1]
    for name, each in found.items():
        text = f"{each['auroc']:.3f} ({each['fpr95']:.2f})"
        cells.append(f"**{text}**" if name == best else text)
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    detectors = ["knn", "mahalanobis", "residual", "quality"]
    parser.add_argument("--detectors", nargs="*", default=detectors, help="as pca:64/knn")
    parser.add_argument("--how", nargs="*", help="near, far, mistake, corruption; default: all")
    parser.add_argument("--severities", type=int, nargs="*", default=[1, 3, 5])
    parser.add_argument("--out", type=Path, help="file of JSON lines")
    where = Path(tempfile.gettempdir()) / "syntopy-vectors" / "ood"
    parser.add_argument("--folder", type=Path, default=where, help="of vectors")
    asked = parser.parse_args()
    recipes = [Recipe.named(each) for each in asked.detectors]
    columns = [*(each.label for each in recipes), "together", BASELINE]
    there = asked.out.read_text().splitlines() if asked.out and asked.out.exists() else []
    done = {tuple(key): found for key, found in map(json.loads, there)}
    heads = ["data", "shift", "kind", "fitted / inside / outside", *columns]
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for shift in shifts(Kept(asked.folder, asked.data), asked.severities):
        if asked.how and shift.how not in asked.how:
            continue
        found = done.get(shift.key)
        if found is None or set(found) != set(columns):
            measured = tried(shift, recipes)
            fitted = len(shift.parts.fits)
            found = {name: asdict(each) | {"fitted": fitted} for name, each in measured.items()}
            if asked.out:
                with asked.out.open("a") as file:
                    file.write(json.dumps([shift.key, found]) + "\n")
        print(line(shift.key, found), flush=True)


if __name__ == "__main__":
    main()
