"""Looking after a library, as jobs: the rows of each report are the rows of the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import Field

from api.jobs.work import Encoder, Filter, Kind, Parameters, Seed, Work
from api.rights import Role
from api.service.curating import curate
from api.service.curating.editing import Author, plain
from api.service.curating.queueing import queue_findings
from api.service.curating.reviews import LONGEST_QUEUE
from api.service.grouping import cluster
from clustering.selection import STRATEGIES
from indexer.config import Settings
from indexer.errors import QueryError
from indexer.groups.runs import find_run
from indexer.library import Library

Label = Annotated[str, Field(max_length=64)]
RunName = Annotated[str, Field(max_length=128, description="A clustering; empty for none.")]
_LONG = "groups"
"""Of what a report has about its rows; they carry it, too."""


class Scoped(Parameters):
    """Which items to look at."""

    encoder: Encoder = ""
    filter: Filter = ""


class Queued(Scoped):
    """Which items to look at, and who is to look at what is found."""

    queue: Annotated[
        str,
        Field(
            max_length=LONGEST_QUEUE,
            description="A queue of work that is to have what is found; empty for none.",
        ),
    ] = ""


class DuplicatesParameters(Queued):
    """What counts as a near-duplicate."""

    threshold: Annotated[float | None, Field(gt=-1, le=1, description="Cosine.")] = None
    pixels: bool = Field(default=True, description="Whether thumbnails are compared, too.")


class LeakageParameters(Queued):
    """Which split to look at."""

    split: Annotated[str, Field(min_length=1, max_length=64)] = "split"


class OutliersParameters(Queued):
    """How many of the least typical items, or of the most."""

    count: Annotated[int, Field(ge=1, le=1_000_000)] = 50
    run: RunName = ""
    typical: bool = False


class SelectionParameters(Queued):
    """How many items can be labelled, and what guides the choice."""

    label: Label = ""
    budget: Annotated[int, Field(ge=1, le=100_000)] = 20
    strategy: Annotated[str, Field(max_length=32)] = "typiclust"
    run: RunName = ""
    seed: Seed = 0


class LabelErrorsParameters(Queued):
    """Which label to review."""

    label: Annotated[str, Field(min_length=1, max_length=64)]
    classifier: Annotated[str, Field(max_length=16)] = "linear"
    seed: Seed = 0


class BatchParameters(Scoped):
    """What might be told apart that should not be."""

    by: Annotated[tuple[Label, ...], Field(max_length=32)] = ()
    label: Label = ""
    seed: Seed = 0


class SubsetParameters(Scoped):
    """How large a balanced part is to be."""

    size: Annotated[int, Field(ge=1, le=10_000_000)] = 500
    seed: Seed = 0


def _reporting(
    find: Callable[..., curate.Report],
) -> Callable[[Work, Scoped], Mapping[str, Any]]:
    """A run of one of the functions of `api.service.curating.curate`."""

    def run(work: Work, asked: Scoped) -> Mapping[str, Any]:
        options = {name: getattr(asked, name) for name in type(asked).model_fields}
        scope = curate.Scope(options.pop("encoder"), options.pop("filter"))
        queue = options.pop("queue", "")
        report = find(work.library, scope, progress=work.tell, **options)
        for row in report.rows:
            work.row(row)
        about = {name: each for name, each in report.about.items() if name != _LONG}
        told = {"summary": report.summary, "notes": report.notes, "about": about}
        if not queue:
            return told
        task, label = work.job.kind.removeprefix("curate-"), getattr(asked, "label", "")
        author = Author(work.job.asked_by)
        put = queue_findings(work.library, queue, report, author, task=task, label=label)
        return {**told, "queue": queue, "added": put.changed, "known": put.unchanged}

    return run


def _check(library: Library, _settings: Settings, asked: Scoped) -> None:
    cluster.chosen_space(library, asked.encoder)
    queue = getattr(asked, "queue", "")
    if queue:
        plain("the name of a queue", queue, LONGEST_QUEUE)
    run = getattr(asked, "run", "")
    if run:
        find_run(library, run)
    strategy = getattr(asked, "strategy", "")
    if strategy and strategy not in STRATEGIES:
        known = ", ".join(STRATEGIES)
        raise QueryError(f"there is no such strategy; there are: {known}")


def _kind(name: str, about: str, parameters: type[Scoped], find: Any) -> Kind[Any]:
    run = _reporting(find)
    return Kind(f"curate-{name}", about, Role.CURATOR, parameters, run, _check)


KINDS: tuple[Kind[Any], ...] = (
    _kind("duplicates", "Find near-duplicates.", DuplicatesParameters, curate.duplicates),
    _kind("leakage", "Find what is on both sides of a split.", LeakageParameters, curate.leaks),
    _kind("outliers", "Find the least typical items.", OutliersParameters, curate.odd_ones),
    _kind("selection", "Choose what to label next.", SelectionParameters, curate.label_next),
    _kind("labels", "Find labels that may be wrong.", LabelErrorsParameters, curate.suspects),
    _kind("batch", "Measure whether sites or makers show.", BatchParameters, curate.batch),
    _kind("subset", "Choose a balanced part.", SubsetParameters, curate.subset),
)
