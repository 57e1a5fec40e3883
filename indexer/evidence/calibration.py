"""Votes of a library's patients about a label, and how such votes are calibrated on the library.

Each labelled patient of a sample is asked about in turn: its nearest patients in the space vote,
found by comparing with every labelled item but its own, and what they say is compared with what is
so. One scaling is fitted for each label and each number of voters (see `indexer.evidence.votes`).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from sqlalchemy import Connection, select

from indexer.catalog.labels import TAG
from indexer.catalog.tables import EmbeddingRow, Item, Label, Series, Study
from indexer.evidence.kept import State, keep, read_kept, state_of
from indexer.evidence.votes import (
    FEWEST,
    LEAST_PATIENTS,
    MOST,
    Quality,
    Scaling,
    fit_scaling,
    quality_of,
    running_shares,
    shares_of,
)
from indexer.index.projection import catalog_count, embeddings, sound_vectors
from indexer.library import Library, SpaceInfo
from indexer.types import Embeddings, ItemIds, LabelVote, Role

KIND, VERSION = "votes", 1
QUERIES = 2_000
"""Patients that are asked about, at most; of large spaces fewer, so that it takes seconds."""
AT_ONCE = 1_000
"""A space with no more items is calibrated by whoever asks; a larger one by the next writer."""
_COMPARISONS = 100_000_000
_FEWEST_QUERIES = 300
_LOOK = 200
_PART = 500
_NAMES = 50
Said = Mapping[int, Mapping[str, frozenset[str]]]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class LabelScaling:
    """The calibration of one label.

    Attributes:
        scalings: by number of voters.
        quality: of that for the number of voters that was most often there.
    """

    scalings: Mapping[int, Scaling]
    quality: Quality


@dataclass(frozen=True)
class Voter:
    """One of the nearest studies.

    Attributes:
        patient: whose it is; "" counts as nobody else's.
        cosine: with the query.
        labels: of the study.
    """

    patient: str
    cosine: float
    labels: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Labelled:
    """Primary items of labelled studies that have a vector, ascending, with study and patient."""

    items: ItemIds
    studies: np.ndarray
    patients: np.ndarray


def label_votes(
    voters: Sequence[Voter], calibration: Mapping[str, LabelScaling] | None, *, most: int = 10
) -> list[LabelVote]:
    """What the nearest patients say of each label that some of them have; tags are no labels.

    Args:
        voters: nearest first; of a patient the first that has the label votes, at most `MOST`.
        calibration: of the space, or None where there is none yet.
        most: values of each label, those with the greatest shares.
    """
    names = sorted({name for voter in voters for name in voter.labels} - {TAG})
    return [vote for name in names for vote in _votes_on(name, voters, calibration, most)]


def _votes_on(
    name: str,
    voters: Sequence[Voter],
    calibration: Mapping[str, LabelScaling] | None,
    most: int,
) -> list[LabelVote]:
    chosen: dict[object, Voter] = {}
    for number, voter in enumerate(voters):
        if voter.labels.get(name):
            chosen.setdefault(voter.patient or number, voter)
    own = list(chosen.values())[:MOST]
    shares = shares_of(
        np.array([voter.cosine for voter in own]),
        [frozenset(voter.labels[name]) for voter in own],
    )
    known = (calibration or {}).get(name)
    scaling = known.scalings.get(len(own)) if known else None
    note = "" if scaling else _why_not(name, len(own), calibration)
    found = []
    for value, share in sorted(shares.items(), key=lambda pair: (-pair[1], pair[0]))[:most]:
        probability = None
        if scaling is not None:
            probability = round(float(scaling(np.array([share]), len(own))[0]), 4)
        found.append(
            LabelVote(
                name=name,
                value=value,
                share=round(share, 4),
                probability=probability,
                voters=len(own),
                note=note,
                fitted_on=known.quality.patients if known and scaling else 0,
                error=round(known.quality.error, 4) if known and scaling else None,
            )
        )
    return found


def _why_not(name: str, voters: int, calibration: Mapping[str, LabelScaling] | None) -> str:
    if voters < FEWEST:
        return f"{voters} of the nearest patients have '{name}', and {FEWEST} are needed"
    if calibration is None:
        return "not calibrated yet; the next index run does it"
    return f"fewer than {LEAST_PATIENTS} patients can be asked about '{name}'"


def read_calibration(
    library: Library, space: SpaceInfo, db: Connection
) -> Mapping[str, LabelScaling] | None:
    """What is kept of it; of a small space that has grown since, made anew.

    Of a larger one what is kept serves on until the next writer; None if there is none.
    """
    stored, state = read_kept(library, space, KIND, VERSION), state_of(db, space)
    fresh = stored is not None and stored[0].still_serves(state)
    if not fresh and state.items <= AT_ONCE:
        return calibrate(db, space)
    return None if stored is None else _unpacked(stored[1])


def refresh_calibration(
    library: Library, space: SpaceInfo, db: Connection, on_progress: Progress | None = None
) -> None:
    """Make and keep it, unless what is kept still holds; only a writer should."""
    state: State = state_of(db, space)
    stored = read_kept(library, space, KIND, VERSION)
    if stored is None or not stored[0].still_serves(state):
        made = _packed(calibrate(db, space, on_progress))
        keep(library, space, KIND, VERSION, state=state, arrays=made)


def calibrate(
    db: Connection, space: SpaceInfo, on_progress: Progress | None = None, *, seed: int = 0
) -> dict[str, LabelScaling]:
    """Fit every label of the library that enough patients of this space have.

    Args:
        db: a consistent view of the catalog.
        space: whose vectors.
        on_progress: called with vectors compared, and all there are.
        seed: of the draw of patients.
    """
    said = _labels(db)
    labelled = _labelled_items(db, space, said)
    if len(np.unique(labelled.patients)) < LEAST_PATIENTS:
        return {}
    most = max(_FEWEST_QUERIES, _COMPARISONS // len(labelled.items))
    asked = _one_each(labelled.patients, np.random.default_rng(seed), min(QUERIES, most))
    near, cosines = _nearest(db, space, labelled, asked, on_progress)
    found = {}
    for name in sorted({name for labels in said.values() for name in labels})[:_NAMES]:
        values = [said[study].get(name, frozenset()) for study in labelled.studies.tolist()]
        made = _fit_label(values, labelled.patients, asked, near, cosines)
        if made is not None:
            found[name] = made
    return found


def _labels(db: Connection) -> Said:
    """Labels of studies: values by name."""
    found: dict[int, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    rows = db.execute(
        select(Label.study_id, Label.name, Label.value).where(Label.item_id.is_(None))
    )
    for study, name, value in rows:
        found[study][name].add(value)
    return {
        study: {name: frozenset(values) for name, values in labels.items()}
        for study, labels in found.items()
    }


def _labelled_items(db: Connection, space: SpaceInfo, said: Said) -> Labelled:
    rows = db.execute(
        select(Item.id, Series.study_id, Study.patient_id)
        .select_from(EmbeddingRow)
        .join(Item, Item.id == EmbeddingRow.item_id)
        .join(Series)
        .join(Study)
        .where(EmbeddingRow.space_id == space.id, Item.role == Role.PRIMARY)
        .order_by(Item.id)
    )
    kept = [tuple(row) for row in rows if row.study_id in said]
    table = np.array(kept, np.int64).reshape(-1, 3)
    return Labelled(table[:, 0], table[:, 1], table[:, 2])


def _one_each(patients: np.ndarray, rng: np.random.Generator, most: int) -> np.ndarray:
    """A row of each patient, of at most so many patients."""
    order = rng.permutation(len(patients))
    _, first = np.unique(patients[order], return_index=True)
    rows = order[first]
    return np.asarray(rng.permutation(rows)[:most])


def _nearest(
    db: Connection,
    space: SpaceInfo,
    labelled: Labelled,
    asked: np.ndarray,
    on_progress: Progress | None,
) -> tuple[np.ndarray, np.ndarray]:
    """For each row asked about the nearest rows of other patients, and their cosines."""
    items, patients = labelled.items, labelled.patients
    total = catalog_count(db, space.id)
    queries = _vectors(db, space, items[asked])
    count = min(_LOOK, len(items))
    near = np.full((len(asked), count), -1, np.int64)
    best = np.full((len(asked), count), -np.inf, np.float32)
    done = 0
    for _, ids, vectors in embeddings(db, space):
        rows = np.searchsorted(items, ids)
        held = items[np.minimum(rows, len(items) - 1)] == ids
        rows = rows[held]
        cosines = queries @ vectors[held].T
        cosines[patients[asked][:, None] == patients[rows][None]] = -np.inf
        both = np.concatenate([best, cosines], axis=1)
        owners = np.concatenate([near, np.broadcast_to(rows, cosines.shape)], axis=1)
        first = np.argpartition(-both, min(count, both.shape[1] - 1), axis=1)[:, :count]
        best = np.take_along_axis(both, first, axis=1)
        near = np.take_along_axis(owners, first, axis=1)
        done += len(ids)
        if on_progress is not None:
            on_progress(done, total)
    order = np.argsort(-best, axis=1, kind="stable")
    return np.take_along_axis(near, order, axis=1), np.take_along_axis(best, order, axis=1)


def _vectors(db: Connection, space: SpaceInfo, items: ItemIds) -> Embeddings:
    """Vectors of items, in their order."""
    found: dict[int, bytes] = {}
    for start in range(0, len(items), _PART):
        part = EmbeddingRow.item_id.in_(items[start : start + _PART].tolist())
        rows = db.execute(
            select(EmbeddingRow.item_id, EmbeddingRow.vector).where(
                EmbeddingRow.space_id == space.id, part
            )
        )
        found.update((row.item_id, row.vector) for row in rows)
    return sound_vectors([found[item] for item in items.tolist()], space)


def _fit_label(
    values: Sequence[frozenset[str]],
    patients: np.ndarray,
    asked: np.ndarray,
    near: np.ndarray,
    cosines: np.ndarray,
) -> LabelScaling | None:
    """One label: what voters of each number said of each patient, and whether it was so."""
    said: dict[int, list[tuple[float, bool, int]]] = defaultdict(list)
    for row, rows, scores in zip(asked.tolist(), near.tolist(), cosines.tolist(), strict=True):
        voters = _voters(values, patients, rows, scores) if values[row] else []
        if len(voters) < FEWEST:
            continue
        names = sorted(frozenset[str]().union(*(own for _, own in voters)))
        votes = np.array([[name in own for _, own in voters] for name in names])
        shares = running_shares(np.array([cosine for cosine, _ in voters]), votes)
        true = [name in values[row] for name in names]
        for number in range(FEWEST, len(voters) + 1):
            column = shares[:, number - 1].tolist()
            said[number] += [
                (share, so, int(patients[row]))
                for share, so in zip(column, true, strict=True)
                if share > 0
            ]
    scalings, best = {}, (0, 0)
    for number, questions in said.items():
        shares, truths, own_patients = _columns(questions)
        count = len(np.unique(own_patients))
        if count >= LEAST_PATIENTS:
            scalings[number] = fit_scaling(shares, number, truths)
            best = max(best, (count, number))
    if not scalings:
        return None
    shares, truths, own_patients = _columns(said[best[1]])
    return LabelScaling(scalings, quality_of(shares, best[1], truths, own_patients))


def _voters(
    values: Sequence[frozenset[str]],
    patients: np.ndarray,
    rows: Sequence[int],
    scores: Sequence[float],
) -> list[tuple[float, frozenset[str]]]:
    """Of each patient with the label the nearest item: cosine, values."""
    found: dict[int, tuple[float, frozenset[str]]] = {}
    for row, score in zip(rows, scores, strict=True):
        if row < 0 or score == -np.inf or len(found) == MOST:
            break
        if values[row]:
            found.setdefault(int(patients[row]), (score, values[row]))
    return list(found.values())


def _columns(
    questions: Sequence[tuple[float, bool, int]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    shares, truths, patients = zip(*questions, strict=True)
    return np.array(shares), np.array(truths, bool), np.array(patients, np.int64)


def _packed(calibration: Mapping[str, LabelScaling]) -> dict[str, np.ndarray]:
    said = {
        name: {
            "scalings": {str(n): asdict(scaling) for n, scaling in one.scalings.items()},
            "quality": asdict(one.quality),
        }
        for name, one in calibration.items()
    }
    return {"labels": np.array(json.dumps(said))}


def _unpacked(arrays: Mapping[str, np.ndarray]) -> dict[str, LabelScaling]:
    said = json.loads(str(arrays["labels"]))
    return {
        name: LabelScaling(
            {int(n): Scaling(**scaling) for n, scaling in one["scalings"].items()},
            Quality(**one["quality"]),
        )
        for name, one in said.items()
    }
