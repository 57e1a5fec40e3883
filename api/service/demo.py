"""The demonstration: real test files and drawn phantoms in, neighbours out."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom
from sqlalchemy import select

from api.service import ingest, search, showcase
from api.service.library import open_or_create
from indexer.catalog.database import reading
from indexer.catalog.tables import Item, Series, Study
from indexer.config import Settings
from indexer.errors import QueryError
from indexer.ingest import IngestProgress, IngestSummary
from indexer.library import Library
from indexer.phantoms import PhantomStudy, write_arrivals, write_cohort
from indexer.searching.answers import SearchAnswer
from indexer.searching.asking import SearchRequest, like
from indexer.types import Role

_OF_ARRIVALS = {"label:site": "site"}


@dataclass(frozen=True)
class DemoResult:
    """What the demonstration did, for a command to print."""

    library: Path
    summaries: list[IngestSummary]
    query_uid: str
    answer: SearchAnswer
    sheet: Path
    steps: list[showcase.StepResult]

    @property
    def stopped(self) -> bool:
        """Whether it ended before its end, because somebody wanted that."""
        return any(each.stopped for each in self.summaries) or any(
            each.outcome is showcase.Outcome.STOPPED for each in self.steps
        )


def run_demo(
    folder: Path,
    sheet: Path,
    settings: Settings,
    *,
    data: Path | None = None,
    on_phantom: Callable[[int, int], None] | None = None,
    on_progress: Callable[[IngestProgress], None] | None = None,
    on_step: showcase.OnStep | None = None,
    stop: threading.Event | None = None,
) -> DemoResult:
    """Index pydicom's own test files and drawn studies, or ``data``, and search with one.

    Drawn are a cohort of 300 studies, and seven weeks of radiographs that arrive after it.

    Then make what the other places of the page show; see `api.service.showcase.show_all`.

    Args:
        folder: where phantoms and library go; what is there already is used again.
        sheet: the contact sheet PNG to write.
        settings: of the run.
        data: DICOM files of one's own to index instead.
        on_phantom: called with (drawn, total) while phantoms are drawn.
        on_progress: as for `api.service.ingest.index`.
        on_step: as for `api.service.showcase.show_all`.
        stop: as for `api.service.ingest.index`.
    """
    if data is None:
        phantoms = folder / "phantoms"
        cohort = write_cohort(phantoms, on_study=on_phantom)
        arrivals = folder / "arrivals"
        write_arrivals(arrivals, on_study=on_phantom)
        samples = Path(pydicom.__file__).parent / "data" / "test_files"
        requests = [
            ingest.IndexRequest([samples]),
            ingest.IndexRequest([phantoms], metadata=phantoms / "labels.csv"),
            ingest.IndexRequest([arrivals], metadata=arrivals / "labels.csv", mapping=_OF_ARRIVALS),
        ]
        query_uid = _telling_study(cohort)
    else:
        requests, query_uid = [ingest.IndexRequest([data])], ""
    library, _ = open_or_create(folder / ("library" if data is None else "library-own"))
    with library:
        summaries = [
            ingest.index(library, request, settings, on_progress=on_progress, stop=stop)
            for request in requests
        ]
        query_uid = query_uid or _some_study(library)
        answer = search.search(library, SearchRequest(like(uid=query_uid), k=10), settings)
        search.write_sheet(library, answer, sheet)
        steps = showcase.show_all(library, settings, drawn=data is None, on_step=on_step, stop=stop)
        return DemoResult(library.path, summaries, query_uid, answer, sheet, steps)


def _telling_study(cohort: Sequence[PhantomStudy]) -> str:
    """A radiograph with a finding whose patient has priors, so that their exclusion shows."""
    studies = Counter(study.patient_id for study in cohort)
    return next(
        s.study_instance_uid
        for s in cohort
        if s.finding == "effusion" and studies[s.patient_id] > 1
    )


def _some_study(library: Library) -> str:
    """A study to search with: the first that has a primary item."""
    with reading(library.engine) as db:
        uid = db.execute(
            select(Study.study_instance_uid)
            .join(Series)
            .join(Item)
            .where(Item.role == Role.PRIMARY)
            .order_by(Item.id)
            .limit(1)
        ).scalar()
    if uid is None:
        raise QueryError(f"no image could be indexed; see: syntopy rejected -L {library.path}")
    return uid
