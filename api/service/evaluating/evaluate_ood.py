"""How well each detector tells what is out of distribution, by kind of shift, never pooled."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import Connection

from api.service.evaluating.evaluation_files import as_json, publish
from api.service.grouping.cluster import chosen_space
from api.service.judging.cases import owners_of, with_qualities
from api.service.judging.corrupted import spoilt_items
from api.service.judging.outside_files import outside_rows
from clustering.contract import Progress, no_progress
from indexer.catalog.database import reading
from indexer.config import Settings
from indexer.errors import QueryError, StorageFullError
from indexer.evaluating.labelled import read_items, read_vectors
from indexer.groups.items import Described, acquired, describe, gather, gather_ids
from indexer.library import Library, SpaceInfo
from indexer.reading.quality import QUALITIES
from indexer.types import Embeddings, ItemIds
from ood.measures import Separation
from ood.protocol import FEWEST, Parts, Trial, best_of, parted, too_few
from ood.reference import DEFAULT
from ood.registry import Recipe

_NAMED = 5
"""Values that are told by name."""


@dataclass(frozen=True)
class OodRequest:
    """What to try detectors on.

    Attributes:
        labels: names of labels each value of which is held out in turn; ``view``, ``modality`` and
            ``body_part`` stand for what the catalog says of the series.
        filter: what is in distribution, ``""`` for all primary items; other items are outside.
        outside: files and folders that are outside; they need not be in any library.
        corruptions: at most so many items are corrupted; 0 for none.
        recipes: of the detectors.
        encoder: whose space; empty takes the library's first that has vectors.
        seed: of the split, the fits, the draw and the bootstrap.
    """

    labels: tuple[str, ...] = ()
    filter: str = ""
    outside: tuple[Path, ...] = ()
    corruptions: int = 100
    recipes: tuple[Recipe, ...] = DEFAULT
    encoder: str = ""
    seed: int = 0


@dataclass(frozen=True)
class TriedShift:
    """What was measured on one kind of shift.

    Attributes:
        shift: ``near``, ``far`` or ``corruption``.
        kind: which, in words.
        fitted, calibrated: cases that detectors learned from.
        detectors: of each, and of all ``together``, how well it tells the two sides apart.
        best: the detector of the greatest AUROC. It is chosen by these very cases: what it gains
            is the most that a choice by kind of shift could gain.
    """

    shift: str
    kind: str
    fitted: int
    calibrated: int
    detectors: Mapping[str, Separation]
    best: str


@dataclass(frozen=True)
class OodEvaluation:
    """What was measured.

    Attributes:
        request: what was asked for.
        encoder: whose space.
        shifts: near ones, far ones, corruptions.
        notes: what was left out, and why, in sentences.
    """

    request: OodRequest
    encoder: str
    shifts: tuple[TriedShift, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Setting:
    library: Library
    request: OodRequest
    settings: Settings
    progress: Progress
    space: SpaceInfo


@dataclass(frozen=True)
class _Outside:
    """Rows of one kind of shift."""

    shift: str
    kind: str
    rows: Embeddings


def evaluate_ood(
    library: Library,
    request: OodRequest,
    settings: Settings,
    progress: Progress = no_progress,
) -> OodEvaluation:
    """Try detectors on items of a library; nothing is stored.

    Patients are parted: those that detectors are fitted and calibrated on test nothing. Near shifts
    are values of a label held out in turn, far ones are items that do not pass the filter and
    files, corruptions are of the tests inside. Raising in ``progress`` stops it.

    Raises:
        ConfigError: no such detector or encoder.
        FilterError: the filter cannot be read.
        MissingExtraError: what is to be embedded needs an encoder that cannot be used here.
        QueryError: no such label, a number out of range, or too few items for any kind of shift.
    """
    if request.corruptions < 0:
        raise QueryError(f"corruptions is 0 or more, not {request.corruptions}")
    for recipe in request.recipes:
        recipe.make()
    space = chosen_space(library, request.encoder)
    setting = _Setting(library, request, settings, progress, space)
    found = [each for label in request.labels for each in _near(setting, label)]
    found += _against_the_rest(setting)
    shifts = tuple(each for each in found if isinstance(each, TriedShift))
    notes = tuple(each for each in found if isinstance(each, str))
    if not shifts:
        why = "; ".join(notes) or "name a label, a filter, files that are outside, or corruptions"
        raise QueryError(f"no kind of shift can be measured: {why}")
    return OodEvaluation(request, space.encoder, shifts, notes)


def ood_json(evaluation: OodEvaluation) -> dict[str, object]:
    """What was asked and measured, as JSON knows it; of paths only the last part."""
    request = evaluation.request
    asked = {
        "labels": request.labels,
        "filter": request.filter,
        "outside": [path.name for path in request.outside],
        "corruptions": request.corruptions,
        "detectors": [recipe.label for recipe in request.recipes],
        "encoder": evaluation.encoder,
        "seed": request.seed,
    }
    return {
        "request": as_json(asked),
        "shifts": as_json(evaluation.shifts),
        "notes": as_json(evaluation.notes),
    }


def write_ood(evaluation: OodEvaluation, file: Path) -> None:
    """Write what was measured as JSON, whole or not at all.

    Raises:
        StorageFullError: the file cannot be written.
    """
    text = json.dumps(ood_json(evaluation), ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    try:
        publish(file, text.encode())
    except OSError as error:
        raise StorageFullError(f"{file} cannot be written: {error.strerror}") from error


def _near(setting: _Setting, label: str) -> Iterator[TriedShift | str]:
    """Each value of a label in turn, among the items that carry one."""
    setting.progress("reading vectors", 0, 0)
    request = setting.request
    with reading(setting.library.engine) as db:
        items = read_items(db, label, expression=request.filter)
        vectors, present = read_vectors(db, setting.space, items.ids)
        studies = describe(db, items.ids, labels=()).studies
        described, columns = _described(db, items.ids[present], vectors[present])
    owners = [one or f"study {study}" for one, study in zip(items.patients, studies, strict=True)]
    rows = np.flatnonzero(present).tolist()
    owners = [owners[row] for row in rows]
    carried = [items.labels[row] for row in rows]
    values = sorted({value for own in carried for value in own})
    refused = {}
    for number, value in enumerate(values):
        setting.progress(f"holding out values of {label}", number, len(values))
        parts = parted(owners, np.array([value in own for own in carried]), seed=request.seed)
        refused[value] = too_few(parts, len(parts.outside))
        if not refused[value]:
            trial = Trial.of(
                request.recipes,
                described,
                owners,
                parts,
                qualities=columns,
                seed=request.seed,
            )
            outside = _Outside("near", f"{label} {value}", described[parts.outside])
            yield _tried(trial, parts, outside, request.seed)
    yield from _said(label, {value: why for value, why in refused.items() if why})


def _against_the_rest(setting: _Setting) -> Iterator[TriedShift | str]:
    """Far shifts and corruptions, against all that passes the filter."""
    request = setting.request
    if not (request.filter.strip() or request.outside or request.corruptions):
        return
    with reading(setting.library.engine) as db:
        gathered = gather(db, setting.space, request.filter)
        known = describe(db, gathered.ids, labels=())
        described, columns = _described(db, gathered.ids, gathered.vectors)
    if not columns:
        yield "'quality' was not tried: some items were indexed before there was any"
    if gathered.missing:
        yield f"{gathered.missing:,} items have no vector of '{setting.space.encoder}' yet"
    owners = owners_of(known)
    parts = parted(owners, seed=request.seed)
    why = too_few(parts, FEWEST)
    if why:
        yield f"nothing was set against the items that pass: {why}"
        return
    setting.progress("fitting", 0, 0)
    trial = Trial.of(
        request.recipes, described, owners, parts, qualities=columns, seed=request.seed
    )
    for outside in _all_outside(setting, known, parts, columns):
        if isinstance(outside, str):
            yield outside
        elif len(outside.rows) < FEWEST:
            yield f"{outside.kind} was not measured: {too_few(parts, len(outside.rows))}"
        else:
            yield _tried(trial, parts, outside, request.seed)


def _described(db: Connection, ids: ItemIds, vectors: Embeddings) -> tuple[Embeddings, int]:
    """Rows with the qualities of their pictures behind them, and how many these are: all or 0."""
    qualities = [each.qualities for each in acquired(db, ids)]
    columns = len(QUALITIES) if all(qualities) else 0
    return with_qualities(vectors, qualities, columns), columns


def _all_outside(
    setting: _Setting, known: Described, parts: Parts, columns: int
) -> Iterator[_Outside | str]:
    if setting.request.filter.strip():
        learned = np.concatenate([parts.fits, parts.calibrates])
        yield from _other_items(setting, {known.patients[row] for row in learned}, columns)
    for path in setting.request.outside:
        found = outside_rows(
            setting.library, setting.space, path, setting.settings, setting.progress
        )
        rows = with_qualities(found.rows, found.qualities, columns)
        yield _Outside("far", f"files of {path.name}", rows)
        if found.lost:
            yield f"{found.lost:,} files of {path.name} cannot be judged"
    if setting.request.corruptions:
        yield from _corruptions(setting, known, parts, columns)


def _other_items(setting: _Setting, learned: set[str], columns: int) -> Iterator[_Outside]:
    """Items that do not pass, by modality and body part, of patients not learned from."""
    setting.progress("reading other items", 0, 0)
    with reading(setting.library.engine) as db:
        ids = np.setdiff1d(gather_ids(db), gather_ids(db, setting.request.filter))
        vectors, present = read_vectors(db, setting.space, ids)
        known = describe(db, ids, labels=())
        qualities = [each.qualities for each in acquired(db, ids)] if columns else []
    described = with_qualities(vectors, qualities, columns)
    groups: dict[str, list[int]] = defaultdict(list)
    for row in np.flatnonzero(present).tolist():
        if not known.patients[row] or known.patients[row] not in learned:
            told = [known.fields[name][row] for name in ("modality", "body_part")]
            groups[" · ".join(filter(None, told)) or "of no known modality"].append(row)
    for kind, rows in sorted(groups.items()):
        yield _Outside("far", f"other items: {kind}", described[rows])


def _corruptions(
    setting: _Setting, known: Described, parts: Parts, columns: int
) -> Iterator[_Outside | str]:
    """Some of the tests inside, corrupted in every way."""
    random = np.random.default_rng([setting.request.seed, 84])
    count = min(setting.request.corruptions, len(parts.inside))
    chosen = np.sort(random.choice(parts.inside, count, replace=False))
    uids = [known.uids[row] for row in chosen]
    spoilt = spoilt_items(setting.library, setting.space, uids, setting.settings, setting.progress)
    for why, lost in spoilt.lost.items():
        yield f"left out: {lost:,} {why}"
    if not spoilt.rows:
        yield "nothing was corrupted: no item could be read again from its files"
    for variant, vectors in spoilt.rows.items():
        rows = with_qualities(vectors, spoilt.qualities[variant], columns)
        yield _Outside("corruption", "{} {}".format(*variant), rows)


def _tried(trial: Trial, parts: Parts, outside: _Outside, seed: int) -> TriedShift:
    found = trial.against(outside.rows, seed=seed)
    counts = len(parts.fits), len(parts.calibrates)
    return TriedShift(outside.shift, outside.kind, *counts, found, best_of(found))


def _said(label: str, refused: Mapping[str, str]) -> Iterator[str]:
    """Which values were not held out, and why, the first by name."""
    for value in list(refused)[:_NAMED]:
        yield f"{label} {value} was not held out: {refused[value]}"
    if len(refused) > _NAMED:
        yield f"nor were {len(refused) - _NAMED:,} further values of {label}"
