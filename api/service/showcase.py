"""What the demonstration makes of its library, so that every place of the page has something."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from api.jobs.worker import work
from api.rights import EVERY_LIBRARY, Principal, Role
from api.service import jobs
from api.service.curating import curate, reviews
from api.service.curating.editing import Author
from api.service.curating.queueing import queue_findings
from api.service.grouping import cluster, maps
from api.service.judging import heat, ood
from api.service.judging.flags import queue_of
from api.service.judging.judge import Judge
from api.service.judging.kept_scores import keep_answers
from clustering.contract import Progress
from indexer.config import Settings
from indexer.errors import SyntopyError
from indexer.groups.asked_jobs import DONE, FAILED
from indexer.library import Library
from indexer.phantoms.arrivals import FIRST_DAY

REFERENCE = "chest"
_USUAL = 'split=train and body_part=CHEST and modality in ("CR", "DX")'
_INCOMING = 'not split=train and (modality in ("CR", "DX") or split=val)'
"""Mostly of the reference's kind, and some that are not, as it is when a scanner sends."""
_ARRIVED = f"study_date>={FIRST_DAY}"
_DRAWN = f"split in (train, val, test) or {_ARRIVED}"
_LABEL = "label"
_ALARM = 0.25
"""Coarse: so few radiographs to calibrate on allow no finer rate."""
_LONGEST = 40
"""Subjects of a queue: more than a person looks at in a demonstration is no help."""
_HEATED = 40
"""Pictures that patches are taken from, to be done soon."""
_AUTHOR = Author("demonstration")
_ASKER = Principal(_AUTHOR.name, Role.CURATOR, frozenset({EVERY_LIBRARY}), "demonstration")

OnStep = Callable[[str, str, int, int], None]
"""Told the step, what it does, how much of it is done, and of how much."""


class Outcome(StrEnum):
    """What became of a step."""

    MADE = "made"
    THERE = "there"
    """It was made before."""
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class StepResult:
    """A step, what became of it, and in words what there is now, or why there is not."""

    step: str
    outcome: Outcome
    said: str
    seconds: float


@dataclass(frozen=True)
class _Step:
    name: str
    there: Callable[[Library], bool]
    make: Callable[[Library, Settings, Progress], str]


class _StopError(Exception):
    """Somebody wants the work to end."""


def show_all(
    library: Library,
    settings: Settings,
    *,
    drawn: bool,
    on_step: OnStep | None = None,
    stop: threading.Event | None = None,
) -> list[StepResult]:
    """A map, clusterings, a reference with scores and drift, queues of work; what is there stays.

    A step that cannot be done is told as such, and the next one begins.

    Args:
        library: whose.
        settings: of the run.
        drawn: whether it has the drawn studies, whose labels and splits some of the steps need.
        on_step: told what is being done.
        stop: when set, the step at hand ends and no other begins.
    """
    results = list[StepResult]()
    kinds = _clustering("kinds", "kmeans", _KINDS if drawn else None)
    rest = _STEPS_OF_DRAWN if drawn else _STEPS_OF_OWN
    for step in (_MAP, kinds, *_STEPS, *rest):
        results.append(_done(step, library, settings, on_step, stop))
        if results[-1].outcome is Outcome.STOPPED:
            break
    return results


def _done(
    step: _Step,
    library: Library,
    settings: Settings,
    on_step: OnStep | None,
    stop: threading.Event | None,
) -> StepResult:
    def progress(what: str, done: int, total: int) -> None:
        if stop is not None and stop.is_set():
            raise _StopError
        if on_step is not None:
            on_step(step.name, what, done, total)

    start = time.perf_counter()
    try:
        progress("looking", 0, 0)
        if step.there(library):
            outcome, said = Outcome.THERE, ""
        else:
            outcome, said = Outcome.MADE, step.make(library, settings, progress)
    except _StopError:
        outcome, said = Outcome.STOPPED, ""
    except (SyntopyError, ValueError, RuntimeError, OSError) as error:
        outcome, said = Outcome.FAILED, str(error)
    return StepResult(step.name, outcome, said, time.perf_counter() - start)


def _map(library: Library, _settings: Settings, progress: Progress) -> str:
    return f"{maps.fit(library, progress=progress).points:,} items"


def _clustering(name: str, method: str, n_clusters: int | None = None) -> _Step:
    def make(library: Library, settings: Settings, progress: Progress) -> str:
        asked = cluster.ClusterRequest(name, method=method, n_clusters=n_clusters)
        cluster.run_clustering(library, asked, settings, progress)
        return f"{cluster.show_run(library, name).n_clusters:,} clusters"

    def there(library: Library) -> bool:
        return any(run.name == name for run in cluster.runs(library))

    return _Step(f"clustering “{name}”", there, make)


def _reference(library: Library, settings: Settings, progress: Progress) -> str:
    asked = ood.FitRequest(REFERENCE, filter=_USUAL, alarm=_ALARM)
    return f"{ood.fit_reference(library, asked, progress, settings).items:,} radiographs"


def _heat(library: Library, settings: Settings, progress: Progress) -> str:
    asked = heat.HeatRequest(most_images=_HEATED)
    strata = heat.fit_heat(library, REFERENCE, asked, settings, progress)
    return f"{len(strata):,} kinds of image"


def _scores(library: Library, settings: Settings, progress: Progress) -> str:
    """Judge what the reference was not made of, and queue what it flags."""
    judge = Judge(library, REFERENCE, settings=settings)
    answers = list(judge.of_items(_INCOMING, progress))
    keep_answers(library, judge.stored, answers)
    flagged = sorted(
        (each for each in answers if each.flagged), key=lambda each: each.p_value or 0.0
    )
    subjects = [(each.study_instance_uid,) for each in flagged[:_LONGEST]]
    reviews.fill_queue(library, queue_of(REFERENCE), subjects, _AUTHOR)
    return f"{len(answers):,} studies, {len(flagged):,} flagged"


def _drift(library: Library, settings: Settings, progress: Progress) -> str:
    """Ask for the job and do it here: the page shows what the newest one found."""
    wanted = {"reference": REFERENCE, "filter": _ARRIVED, "by": "label:site"}
    uid = jobs.create(library, jobs.JobRequest("drift", wanted), settings, _ASKER).id
    progress("comparing weeks", 0, 0)
    work(settings.model_copy(update={"library": library.path}), once=True)
    job = jobs.show(library, uid, _ASKER)
    if job.state == FAILED:
        raise RuntimeError(job.error)
    if job.state != DONE or job.result is None:
        raise _StopError
    return str(job.result["headline"])


def _has_drift(library: Library) -> bool:
    return bool(jobs.listed(library, _ASKER, kind="drift", state=DONE, limit=1).rows)


def _queue(
    name: str, task: str, find: Callable[[Library, Progress], curate.Report], label: str = ""
) -> _Step:
    """A queue of what a report found."""

    def make(library: Library, _settings: Settings, progress: Progress) -> str:
        found = find(library, progress)
        put = queue_findings(library, name, found, _AUTHOR, task=task, label=label, most=_LONGEST)
        return f"{put.changed:,} subjects"

    return _Step(f"queue “{name}”", lambda library: _is_queue(library, name), make)


def _is_queue(library: Library, name: str) -> bool:
    return any(each.queue == name for each in reviews.queues(library))


_ALL = curate.Scope()
_KINDS = 12
"""As many as there are kinds of drawn studies, each with and without a finding: found by themselves
there are two, the radiographs and all others, within which are the rest."""
_MAP = _Step("map", lambda library: bool(maps.versions(library)), _map)
_STEPS = (
    _clustering("dense groups", "hdbscan"),
    _queue(
        "duplicates",
        "duplicates",
        lambda library, progress: curate.duplicates(library, _ALL, progress=progress),
    ),
    _queue(
        "outliers",
        "outliers",
        lambda library, progress: curate.odd_ones(library, _ALL, count=24, progress=progress),
    ),
)
_STEPS_OF_OWN = (
    _queue(
        "label-next",
        "selection",
        lambda library, progress: curate.label_next(library, _ALL, progress=progress),
    ),
)
_STEPS_OF_DRAWN = (
    _queue(
        f"label-next:{_LABEL}",
        "selection",
        lambda library, progress: curate.label_next(
            library, curate.Scope(filter=_DRAWN), label=_LABEL, progress=progress
        ),
        _LABEL,
    ),
    _queue(
        f"label-errors:{_LABEL}",
        "labels",
        lambda library, progress: curate.suspects(library, _ALL, label=_LABEL, progress=progress),
        _LABEL,
    ),
    _Step(
        f"reference “{REFERENCE}”",
        lambda library: any(each.name == REFERENCE for each in ood.references(library)),
        _reference,
    ),
    _Step(
        "patches of it",
        lambda library: any(e.name == REFERENCE and e.patches for e in ood.references(library)),
        _heat,
    ),
    _Step(
        "scores and their queue",
        lambda library: _is_queue(library, queue_of(REFERENCE)),
        _scores,
    ),
    _Step("report on drift", _has_drift, _drift),
)
