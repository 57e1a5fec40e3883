"""Measure a library: how good are its spaces at what people use them for?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, select

from indexer.catalog.database import reading
from indexer.catalog.tables import Item, Label, Patient, Series, Study
from indexer.errors import QueryError
from indexer.filters import parse_filter, sql_condition
from indexer.library import Library, SpaceInfo
from indexer.metrics import RetrievalReport, retrieval
from indexer.projection import embeddings
from indexer.types import Embeddings, Role


@dataclass(frozen=True)
class EvaluationRequest:
    """What to measure.

    Attributes:
        label: name of the label that neighbours should share; ``view``, ``modality`` and
            ``body_part`` stand for what the catalog says of the series.
        filter: only items that pass, ``""`` for all.
        queries: at most so many, drawn by the seed; 0 asks with all.
        seed: of the draw and of the bootstrap.
    """

    label: str
    filter: str = ""
    queries: int = 2000
    seed: int = 0


_SERIES_FIELDS = {
    "view": Series.view,
    "modality": Series.modality,
    "body_part": Series.body_part,
}


def evaluate_retrieval(
    library: Library,
    request: EvaluationRequest,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, RetrievalReport]:
    """Measure every space of a library by encoder, with primary items that carry the label.

    Raises:
        QueryError: no such label, or nothing to compare.
        FilterError: the filter cannot be read.
    """
    found: dict[str, RetrievalReport] = {}
    with reading(library.engine) as db:
        labels, patients = _items(db, request)
    for space in library.spaces():
        with reading(library.engine) as db:
            ids, vectors = _vectors(db, space)
        chosen = [row for row, item in enumerate(ids) if item in labels]
        if not chosen:
            continue
        found[space.encoder] = retrieval(
            vectors[chosen],
            [labels[ids[row]] for row in chosen],
            [patients[ids[row]] for row in chosen],
            queries=request.queries,
            seed=request.seed,
            on_progress=on_progress,
        )
    if not found:
        raise QueryError(
            f"no item with a vector carries the label '{request.label}' and passes the filter; "
            "syntopy info lists the labels"
        )
    return found


def _items(
    db: Connection, request: EvaluationRequest
) -> tuple[dict[int, frozenset[str]], dict[int, str]]:
    """Labels and patient of each primary item that passes the filter and has the label."""
    query = (
        select(
            Item.id, Series.study_id, Patient.pseudonym, Patient.shared, *_SERIES_FIELDS.values()
        )
        .select_from(Item)
        .join(Series)
        .join(Study)
        .join(Patient)
        .where(Item.role == Role.PRIMARY)
    )
    if request.filter.strip():
        query = query.where(sql_condition(parse_filter(request.filter)))
    rows = db.execute(query).all()
    said: dict[tuple[int, int | None], set[str]] = defaultdict(set)
    named = select(Label.study_id, Label.item_id, Label.value).where(Label.name == request.label)
    for study, item, value in db.execute(named):
        said[study, item].add(value)
    labels: dict[int, frozenset[str]] = {}
    for row in rows:
        if request.label in _SERIES_FIELDS:
            own = {getattr(row, request.label)} - {""}
        else:
            own = said.get((row.study_id, None), set()) | said.get((row.study_id, row.id), set())
        if own:
            labels[row.id] = frozenset(own)
    return labels, {row.id: "" if row.shared else row.pseudonym for row in rows}


def _vectors(db: Connection, space: SpaceInfo) -> tuple[list[int], Embeddings]:
    batches = list(embeddings(db, space))
    ids = [int(item) for _, numbers, _ in batches for item in numbers]
    rows = [vectors for _, _, vectors in batches]
    return ids, np.concatenate(rows) if rows else np.empty((0, space.dim), np.float32)
