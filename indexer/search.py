"""A query in, its neighbours out: embed, search, exclude, group, describe."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from sqlalchemy import ColumnElement, Connection, select

from indexer.catalog.database import reading
from indexer.catalog.tables import (
    Item,
    Patient,
    Series,
    Study,
    Thumbnail,
)
from indexer.errors import QueryError
from indexer.filters import parse_filter, sql_condition
from indexer.hits import describe_items
from indexer.library import Library
from indexer.projection import has_slices, open_projection
from indexer.queries import Query, query_by_file, query_by_text, query_by_uid, spaces_for
from indexer.reading.drafts import ReadOptions
from indexer.slices import POOLINGS, RANKINGS, SAID, SliceRanker, matches, pooled_store
from indexer.stores.contract import VectorStore
from indexer.types import Embeddings, Hit, ItemIds, Role

MAX_K = 10_000


@dataclass(frozen=True)
class SearchRequest:
    """What is asked.

    Attributes:
        image: a file to search with, or
        uid: a study, series, SOP instance UID or item id of the library, or
        text: a phrase; it needs an encoder with a text tower, or a bridge.
        k: neighbours wanted, 1 to 10,000.
        filter: an expression of `indexer.filters`, ``""`` for none.
        own_study, same_patient: whether the query's own study, its patient, may be among the hits.
        roles: item roles to look at; None takes primary images and the query's own role.
        group: ``"study"`` lists each study once by its best item, ``"item"`` lists items.
        encoder: which space; None takes the library's first that can take the query.
        rank: ``"pooled"`` compares one vector an item; ``"frequency"``, ``"max"`` and ``"sum"``
            rank by slices, see `indexer.slices`.
        pooling: how the slices of a volume make its one vector: ``"mean"``, which is stored, or
            ``"median"``, ``"max"``, ``"min"``.
    """

    image: Path | None = None
    uid: str | None = None
    text: str | None = None
    k: int = 10
    filter: str = ""
    own_study: bool = False
    same_patient: bool = False
    roles: frozenset[Role] | None = None
    group: str = "study"
    encoder: str | None = None
    rank: str = "pooled"
    pooling: str = "mean"


@dataclass(frozen=True)
class SearchAnswer:
    """What was found, and how far it can be trusted.

    Attributes:
        query: what was searched with: the fields that a hit has, as far as they are known.
        hits: nearest first.
        candidates: items that passed the filter and the exclusions.
        exact: whether every candidate was compared.
        encoder, notice: what made the vectors, and what must be said about it.
        notes: plain sentences: exclusions that could not be made, copies left out, short lists.
        seconds: wall time.
        asked: the query as it was made ready, for who asks on with it.
    """

    query: dict[str, object]
    hits: list[Hit]
    candidates: int
    exact: bool
    encoder: str
    notice: str
    notes: list[str]
    seconds: float
    asked: Query = field(repr=False, compare=False)
    query_thumbnail: bytes = field(default=b"", repr=False)


def search(library: Library, request: SearchRequest, options: ReadOptions) -> SearchAnswer:
    """Answer a request.

    Raises:
        QueryError: nothing to search with, a k out of range, an empty library.
        FilterError: the filter cannot be read.
        FileRejectedError: the query file cannot be used.
        ItemNotFoundError: the UID is not in the library.
    """
    start = time.monotonic()
    _check(request)
    condition = sql_condition(parse_filter(request.filter)) if request.filter.strip() else None
    spaces = spaces_for(library, request.encoder, options)
    if request.uid:
        query = query_by_uid(library, spaces, request.uid)
    elif request.text:
        query = query_by_text(library, spaces, request.text, options)
    else:
        query = query_by_file(library, spaces, request.image or Path(), options)
    space = query.space
    projection = open_projection(library, space)
    if not projection.store.count():
        raise QueryError(f"{library.path} holds no items yet; index something first")
    notes = [note for note in (projection.note, query.note) if note]
    if request.rank in SAID:
        notes.append(SAID[request.rank])
    if (request.rank, request.pooling) != ("pooled", "mean") and not has_slices(library, space):
        notes.append(f"'{space.encoder}' keeps no vectors of slices: each item counts as one")
    with reading(library.engine) as db:
        excluded = _excluded(db, request, query, notes)
        allowed = None if condition is None else _allowed(db, condition)
        ranker = _ranker(
            db, library, projection.store, query, request, allowed=allowed, excluded=excluded
        )
        found = _best(db, ranker, request)
        volumes = matches(db, space, query.pictures, [item for item, _, _ in found])
        hits = describe_items(db, found, volumes)
    candidates = _count(projection.store, allowed, excluded)
    if len(hits) < request.k:
        notes.append(f"only {len(hits)} found: no more pass the filter and the exclusions")
    return SearchAnswer(
        query=query.description,
        hits=hits,
        candidates=candidates,
        exact=projection.store.stats().exact,
        encoder=space.encoder,
        notice=space.notice,
        notes=notes,
        seconds=time.monotonic() - start,
        asked=query,
        query_thumbnail=query.thumbnail,
    )


def thumbnails(library: Library, item_uids: Sequence[str]) -> dict[str, bytes]:
    """WebP thumbnails by item id."""
    with reading(library.engine) as db:
        rows = db.execute(
            select(Item.uid, Thumbnail.webp).join(Item).where(Item.uid.in_(item_uids))
        )
        return {row.uid: row.webp for row in rows}


def _check(request: SearchRequest) -> None:
    asked = sum((request.image is not None, bool(request.uid), bool(request.text)))
    if asked != 1:
        raise QueryError("search with either an image file or a UID, or a text; one of them")
    if not 1 <= request.k <= MAX_K:
        raise QueryError(f"k is 1 to {MAX_K}, not {request.k}")
    for name, asked_for, known in (
        ("group", request.group, ("study", "item")),
        ("rank", request.rank, ("pooled", *RANKINGS)),
        ("pooling", request.pooling, tuple(POOLINGS)),
    ):
        if asked_for not in known:
            raise QueryError(f"{name} is one of {', '.join(known)}, not '{asked_for}'")
    if request.rank != "pooled" and request.pooling != "mean":
        raise QueryError(f"rank {request.rank} goes by slices: leave out pooling")


def _excluded(
    db: Connection, request: SearchRequest, query: Query, notes: list[str]
) -> dict[int, str]:
    """Items that may not be hits, with the reason."""
    joined = select(Item.id).select_from(Item).join(Series).join(Study).join(Patient)
    excluded: dict[int, str] = {}
    roles = request.roles or frozenset({Role.PRIMARY}) | query.roles
    other = db.execute(select(Item.id).where(Item.role.not_in([r.value for r in roles]))).scalars()
    excluded |= dict.fromkeys(other, "role")
    if not request.same_patient:
        if query.patient_known:
            same = joined.where(Patient.pseudonym == query.patient)
            if request.own_study:
                same = same.where(Study.study_instance_uid != query.study)
            excluded |= dict.fromkeys(db.execute(same).scalars(), "patient")
        else:
            notes.append(
                "the query's patient id is missing or shared by strangers: other studies of the "
                "same person cannot be told apart and may be among the hits"
            )
    if request.own_study:
        excluded |= dict.fromkeys(query.item_ids, "query")
    else:
        own = joined.where(Study.study_instance_uid == query.study)
        excluded |= dict.fromkeys(db.execute(own).scalars(), "study")
    copies = db.execute(select(Item.id).where(Item.pixel_hash.in_(query.pixel_hashes))).scalars()
    copied = {i for i in copies if i not in excluded}
    if copied:
        notes.append(
            "1 exact copy of the query, under another UID, is not listed"
            if len(copied) == 1
            else f"{len(copied)} exact copies of the query, under other UIDs, are not listed"
        )
    excluded |= dict.fromkeys(copied, "copy")
    left_out = sum(1 for why in excluded.values() if why == "role")
    if left_out:
        notes.append(
            f"{left_out} localizers, captures, derived and test images were not looked at "
            "(--role all looks at them too)"
        )
    return excluded


def _allowed(db: Connection, condition: ColumnElement[bool]) -> ItemIds:
    rows = db.execute(
        select(Item.id).select_from(Item).join(Series).join(Study).join(Patient).where(condition)
    ).scalars()
    return np.array(sorted(rows), np.int64)


def _count(store: VectorStore, allowed: ItemIds | None, excluded: Mapping[int, str]) -> int:
    held = store.ids()
    if allowed is not None:
        held = np.intersect1d(held, allowed)
    return int((~np.isin(held, np.fromiter(excluded, np.int64, len(excluded)))).sum())


class Ranker(Protocol):
    """Finds items near a query, when looking at so many vectors: best first, with scores.

    Attributes:
        first: how many to look at first.
        total: how many there are.
    """

    first: int
    total: int

    def __call__(self, look: int) -> list[tuple[int, float]]:
        """Look at so many."""


class _Pooled:
    """One vector an item; of several query vectors the best one counts for each item."""

    def __init__(
        self,
        store: VectorStore,
        vectors: Embeddings,
        k: int,
        *,
        allowed: ItemIds | None,
        excluded: Mapping[int, str],
    ) -> None:
        self._store, self._vectors = store, vectors
        self._allowed, self._excluded = allowed, excluded
        self.total = store.count() if allowed is None else len(allowed)
        self.first = 4 * k + len(excluded) + 50

    def __call__(self, look: int) -> list[tuple[int, float]]:
        ids, scores = self._store.search(self._vectors, look, self._allowed)
        best: dict[int, float] = {}
        for item, score in zip(ids.ravel().tolist(), scores.ravel().tolist(), strict=True):
            if item >= 0 and item not in self._excluded and score > best.get(item, -2.0):
                best[item] = score
        # To six digits, as shown: what differs beyond is rounding, and ties go by id.
        return sorted(best.items(), key=lambda pair: (-round(pair[1], 6), pair[0]))


def _ranker(
    db: Connection,
    library: Library,
    store: VectorStore,
    query: Query,
    request: SearchRequest,
    *,
    allowed: ItemIds | None,
    excluded: Mapping[int, str],
) -> Ranker:
    """What the request asks for."""
    if request.rank != "pooled":
        return SliceRanker(
            db,
            library,
            query.space,
            items=store,
            query=query.pictures,
            how=request.rank,
            allowed=allowed,
            excluded=excluded,
        )
    vectors = query.vectors
    if request.pooling != "mean":
        store = pooled_store(library, query.space, request.pooling)
        vectors = query.pictures.pooled(request.pooling)
    return _Pooled(store, vectors, request.k, allowed=allowed, excluded=excluded)


def _best(db: Connection, ranker: Ranker, request: SearchRequest) -> list[tuple[int, float, int]]:
    """Best (item id, score, more in its study), looking further until k groups are found."""
    look = min(ranker.total, ranker.first)
    while True:
        groups = _grouped(db, ranker(look), request.group)
        if len(groups) >= request.k or look >= ranker.total:
            return groups[: request.k]
        look = min(ranker.total, look * 4)


def _grouped(
    db: Connection, ranked: Sequence[tuple[int, float]], group: str
) -> list[tuple[int, float, int]]:
    """The best item of each study, with the number of further ones."""
    if group == "item":
        return [(item, score, 0) for item, score in ranked]
    study_of = _studies(db, [item for item, _ in ranked])
    first: dict[int, tuple[int, float]] = {}
    more: dict[int, int] = defaultdict(int)
    for item, score in ranked:
        study = study_of.get(item)
        if study is None:
            continue  # taken out by a writer since the index was read
        if study in first:
            more[study] += 1
        else:
            first[study] = (item, score)
    return [(item, score, more[study]) for study, (item, score) in first.items()]


def _studies(db: Connection, items: Sequence[int]) -> dict[int, int]:
    found: dict[int, int] = {}
    for start in range(0, len(items), 500):
        part = items[start : start + 500]
        rows = db.execute(select(Item.id, Series.study_id).join(Series).where(Item.id.in_(part)))
        found.update((row.id, row.study_id) for row in rows)
    return found
