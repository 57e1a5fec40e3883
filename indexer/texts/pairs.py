"""What a bridge is fitted on: a text and an image vector for each study that has both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from sqlalchemy import Connection, select, union

from indexer.catalog.database import reading
from indexer.catalog.tables import EmbeddingRow, Item, Label, Patient, Report, Series, Study
from indexer.index.projection import sound_vectors
from indexer.library import Library, SpaceInfo
from indexer.types import Embeddings, Role

MOST_PAIRS = 20_000
"""Of a library with more studies so many are drawn: a linear map does not need more."""
_PART = 500


@dataclass(frozen=True)
class Pairs:
    """Texts and vectors, one each for a study.

    Attributes:
        texts: the study's reports, and its labels as words.
        vectors: of its middle primary item: float32 unit rows ``(n, dim)``.
        patients: of each; a study of its own where the id is shared by strangers.
        splits: of each, as the study's data set parts it; "" where it does not.
        with_labels: texts in which there are labels.
        left_out: studies that were not drawn.
    """

    texts: list[str]
    vectors: Embeddings
    patients: list[str]
    splits: list[str]
    with_labels: int
    left_out: int


@dataclass(frozen=True)
class _Chosen:
    study: int
    item: int
    view: str
    patient: str
    split: str


def read_pairs(library: Library, space: SpaceInfo, *, labels: bool = True, seed: int = 0) -> Pairs:
    """Pair each study's words with the vector of its middle primary item.

    Args:
        library: to read.
        space: whose vectors.
        labels: whether labels count as words.
        seed: of the draw where there are more than `MOST_PAIRS`.
    """
    with reading(library.engine) as db:
        chosen = list(_chosen(db, space, labels=labels))
        left_out = max(len(chosen) - MOST_PAIRS, 0)
        if left_out:
            drawn = np.random.default_rng(seed).choice(len(chosen), MOST_PAIRS, replace=False)
            chosen = [chosen[i] for i in np.sort(drawn).tolist()]
        reports = _reports(db, [one.study for one in chosen])
        said = _labels(db, chosen) if labels else {}
        texts = ["\n".join(reports[one.study] + said.get(one.study, [])) for one in chosen]
        kept = [i for i, text in enumerate(texts) if text.strip()]
        vectors = _vectors(db, space, [chosen[i].item for i in kept])
    return Pairs(
        texts=[texts[i] for i in kept],
        vectors=vectors,
        patients=[chosen[i].patient for i in kept],
        splits=[chosen[i].split for i in kept],
        with_labels=sum(bool(said.get(chosen[i].study)) for i in kept),
        left_out=left_out,
    )


def label_words(name: str, values: Sequence[str]) -> str:
    """A label as a sentence with name and values (``finding: pneumonia, effusion.``)."""
    return " ".join(f"{name}: {', '.join(values)}.".replace("_", " ").split())


def _chosen(db: Connection, space: SpaceInfo, *, labels: bool) -> Iterator[_Chosen]:
    """The middle primary item with a vector of each study that has words."""
    named = select(Report.study_id)
    wordy = union(named, select(Label.study_id)) if labels else named
    rows = db.execute(
        select(Study.id, Item.id, Series.view, Patient.pseudonym, Patient.shared, Study.split)
        .select_from(Study)
        .join(Patient)
        .join(Series, Series.study_id == Study.id)
        .join(Item)
        .join(EmbeddingRow, EmbeddingRow.item_id == Item.id)
        .where(Item.role == Role.PRIMARY, EmbeddingRow.space_id == space.id, Study.id.in_(wordy))
        .order_by(Study.id, Item.id)
        .execution_options(yield_per=_PART)
    )
    for study, group in groupby(rows, key=lambda row: int(row[0])):
        items = list(group)
        _, item, view, patient, shared, split = items[len(items) // 2]
        yield _Chosen(study, item, view, f"study {study}" if shared else patient, split)


def _reports(db: Connection, studies: Sequence[int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = defaultdict(list)
    for part in _parts(studies):
        query = select(Report.study_id, Report.text).where(Report.study_id.in_(part))
        for study, text in db.execute(query.order_by(Report.id)):
            found[study].append(text)
    return found


def _labels(db: Connection, chosen: Sequence[_Chosen]) -> dict[int, list[str]]:
    """Labels of studies and of the chosen items in words; with them the view, where it is known."""
    item_of = {one.study: one.item for one in chosen}
    said: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for part in _parts(list(item_of)):
        query = select(Label.study_id, Label.item_id, Label.name, Label.value)
        query = query.where(Label.study_id.in_(part)).order_by(Label.name, Label.value)
        for study, item, name, value in db.execute(query):
            if item in (None, item_of[study]) and value not in said[study][name]:
                said[study][name].append(value)
    for one in chosen:
        if one.view and one.study in said:
            said[one.study].setdefault("view", [one.view])
    return {
        study: [label_words(name, values) for name, values in names.items() if values]
        for study, names in said.items()
    }


def _vectors(db: Connection, space: SpaceInfo, items: Sequence[int]) -> Embeddings:
    """Rows of items, in their order.

    Raises:
        LibraryCorruptError: a vector is damaged; `indexer.verify` finds and mends it.
    """
    rows = np.empty((len(items), space.dim), np.float32)
    for start in range(0, len(items), _PART):
        part = items[start : start + _PART]
        query = select(EmbeddingRow.item_id, EmbeddingRow.vector).where(
            EmbeddingRow.space_id == space.id, EmbeddingRow.item_id.in_(part)
        )
        blobs = {int(item): blob for item, blob in db.execute(query)}
        rows[start : start + len(part)] = sound_vectors([blobs[item] for item in part], space)
    return rows


def _parts(values: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(values), _PART):
        yield values[start : start + _PART]
