"""References, scores, drift and measures of retrieval as jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from api.jobs.work import Alarm, Encoder, Filter, Kind, Name, Parameters, Seed, Work
from api.rights import Role
from api.service.drifting import drift
from api.service.drifting.answers import DriftRequest
from api.service.evaluating import evaluate
from api.service.evaluating.evaluation_files import as_json
from api.service.grouping import cluster
from api.service.judging import heat, ood
from api.service.judging.judge import Judge, StudyAnswer
from api.service.judging.kept_scores import AT_ONCE, keep_answers
from indexer.config import Settings
from indexer.errors import QueryError
from indexer.evaluating.evaluation import MIN_PATIENTS
from indexer.groups.references import (
    StoredReference,
    check_reference_name,
    find_reference,
    list_references,
)
from indexer.library import Library
from ood.reference import DEFAULT
from ood.registry import Recipe

_LABELS = tuple(recipe.label for recipe in DEFAULT)


class FitParameters(Parameters):
    """What to make a reference of; docs/ood.md has the detectors."""

    name: Name = Field(description="Of the reference.", examples=["chest"])
    filter: Filter = ""
    encoder: Encoder = ""
    alarm: Alarm = 0.01
    detectors: Annotated[tuple[str, ...], Field(min_length=1, max_length=16)] = _LABELS
    corruptions: Annotated[int, Field(ge=0, le=10_000)] = 0
    seed: Seed = 0


class PatchParameters(Parameters):
    """Of which reference patches are kept, by which heat is drawn."""

    reference: Name
    most_images: Annotated[int, Field(ge=20, le=100_000, description="Of each stratum.")] = 500
    most_patches: Annotated[int, Field(ge=1, le=1_000_000, description="Of each stratum.")] = 10_000
    seed: Seed = 0


class ScoreParameters(Parameters):
    """Which items are to be judged, by which reference."""

    reference: Name
    filter: Filter = ""
    alarm: Alarm | None = None
    store: bool = Field(default=False, description="Keep the scores in the library, too.")


class DriftParameters(Parameters):
    """What arrived is compared with which reference; docs/ood.md has the options."""

    reference: Name
    filter: Filter = ""
    days: Annotated[int, Field(ge=1, le=36_500)] = 7
    studies: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    by: Annotated[str, Field(max_length=80)] = ""
    run: Annotated[str, Field(max_length=128)] = ""
    alarm: Alarm | None = None
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.01
    windows: Annotated[int, Field(ge=1, le=1_000, description="The newest that count.")] = 104
    seed: Seed = 0


class RetrievalParameters(Parameters):
    """How well neighbours share a label; docs/evaluation.md has what each means."""

    label: Annotated[str, Field(max_length=64)] = ""
    protocol: Annotated[str, Field(max_length=64)] = ""
    by: Annotated[tuple[str, ...], Field(max_length=16)] = evaluate.GROUPS
    ks: Annotated[tuple[int, ...], Field(max_length=16)] = ()
    encoders: Annotated[tuple[str, ...], Field(max_length=32)] = ()
    through: Annotated[str, Field(max_length=16)] = "exact"
    depth: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    filter: Filter = ""
    queries: Annotated[int, Field(ge=0, le=10_000_000)] = 2000
    draws: Annotated[int, Field(ge=20, le=evaluate.MOST_DRAWS)] = 1000
    min_patients: Annotated[int, Field(ge=2, le=1_000_000)] = MIN_PATIENTS
    seed: Seed = 0


def _check_fit(library: Library, _settings: Settings, asked: FitParameters) -> None:
    check_reference_name(library, asked.name)
    cluster.chosen_space(library, asked.encoder)
    for name in asked.detectors:
        Recipe.named(name).make()


def _fit(work: Work, asked: FitParameters) -> Mapping[str, Any]:
    stored = _made_before(work, asked.name)
    if stored is None:
        options = asked.model_dump(exclude={"detectors"})
        recipes = tuple(Recipe.named(name) for name in asked.detectors)
        request = ood.FitRequest(**options, recipes=recipes)
        stored = ood.fit_reference(work.library, request, work.tell, work.settings)
    notes = stored.report.get("notes", [])
    return {"reference": stored.name, "items": stored.items, "notes": notes}


def _made_before(work: Work, name: str) -> StoredReference | None:
    for stored in list_references(work.library):
        if stored.name == name and work.made_before(stored.created_at):
            return stored
    return None


def _check_reference(
    library: Library,
    _settings: Settings,
    asked: PatchParameters | ScoreParameters | DriftParameters,
) -> None:
    find_reference(library, asked.reference)


def _patches(work: Work, asked: PatchParameters) -> Mapping[str, Any]:
    request = heat.HeatRequest(**asked.model_dump(exclude={"reference"}))
    report = heat.fit_heat(work.library, asked.reference, request, work.settings, work.tell)
    return {"reference": asked.reference, **report}


def _score(work: Work, asked: ScoreParameters) -> Mapping[str, Any]:
    """Rows are studies with their items, as ``POST /ood/score`` tells them."""
    work.tell("loading the reference", 0, 0)
    judge = Judge(work.library, asked.reference, asked.alarm, settings=work.settings)
    said = Counter[bool | None]()
    waiting = list[StudyAnswer]()
    for answer in judge.of_items(asked.filter, work.tell):
        said[answer.flagged] += 1
        work.row(_study(answer))
        if asked.store:
            waiting.append(answer)
        if len(waiting) == AT_ONCE:
            keep_answers(work.library, judge.stored, waiting)
            waiting = []
    keep_answers(work.library, judge.stored, waiting)
    return {
        "reference": asked.reference,
        "studies": said.total(),
        "flagged": said[True],
        "cannot_be_judged": said[None],
        "stored": asked.store,
    }


def _study(answer: StudyAnswer) -> dict[str, Any]:
    told: dict[str, Any] = as_json(answer)
    told.pop("source")
    return told


def _drift(work: Work, asked: DriftParameters) -> Mapping[str, Any]:
    """Rows are the windows, oldest first, and then the watches over all of them."""
    options = asked.model_dump(exclude={"windows"})
    answer = drift.drift(work.library, DriftRequest(**options, most=asked.windows), work.tell)
    for window in answer.windows:
        work.row({"window": as_json(window)})
    for watch in answer.watches:
        work.row({"watch": as_json(watch)})
    told: dict[str, Any] = as_json(answer)
    return {name: each for name, each in told.items() if name not in ("windows", "watches")}


def _check_retrieval(library: Library, _settings: Settings, asked: RetrievalParameters) -> None:
    if not asked.label and not asked.protocol:
        raise QueryError("name the label that neighbours should share, or a protocol")
    for encoder in asked.encoders:
        cluster.chosen_space(library, encoder)


def _retrieval(work: Work, asked: RetrievalParameters) -> Mapping[str, Any]:
    """Rows are encoders with their reports."""
    request = evaluate.EvaluationRequest(**asked.model_dump())
    found = evaluate.evaluate_retrieval(work.library, request, work.settings, work.tell)
    for encoder, report in found.encoders.items():
        work.row({"encoder": encoder, "report": as_json(report)})
    return {"encoders": list(found.encoders), "notes": list(found.notes)}


KINDS: tuple[Kind[Any], ...] = (
    Kind(
        "ood-fit",
        "Fit a reference set, calibrate and store it.",
        Role.CURATOR,
        FitParameters,
        _fit,
        _check_fit,
    ),
    Kind(
        "ood-patches",
        "Keep patches of a reference's pictures, by which heat is drawn.",
        Role.CURATOR,
        PatchParameters,
        _patches,
        _check_reference,
    ),
    Kind(
        "ood-score",
        "Judge all items that pass a filter by a reference.",
        Role.CURATOR,
        ScoreParameters,
        _score,
        _check_reference,
    ),
    Kind(
        "drift",
        "Compare what arrived with a reference, window by window.",
        Role.CURATOR,
        DriftParameters,
        _drift,
        _check_reference,
    ),
    Kind(
        "evaluate-retrieval",
        "Measure how well neighbours share a label.",
        Role.CURATOR,
        RetrievalParameters,
        _retrieval,
        _check_retrieval,
    ),
)
