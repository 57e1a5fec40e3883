"""Search by a part of a picture: candidates by one vector, then each looked at place by place.

Vectors of whole images say which images to look at; the pixels of those are read again, and what is
most like the region in each decides their order. So a region is found anywhere in a candidate, but
only among the candidates.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from sqlalchemy import Connection, select

from indexer.catalog.columns import columns
from indexer.catalog.database import reading
from indexer.catalog.tables import Item, Patient, Series, Study
from indexer.encoders.contract import Encoder, PatchEncoder
from indexer.errors import QueryError, SourceError
from indexer.evidence.matching import picture_of_slice, slice_number
from indexer.evidence.originals import read_again
from indexer.evidence.regions import RegionMatcher, patches_from, region_vector
from indexer.filters import parse_filter, sql_condition
from indexer.index.opened import OpenStores
from indexer.library import Library, SpaceInfo
from indexer.reading.drafts import ItemDraft, ReadOptions
from indexer.searching.hits import describe_items
from indexer.types import Box, Embedding, Frame, Hit, ItemIds, Role

CANDIDATES = 20
"""Images that are read again: on two cores 0.1 s a radiograph with the built-in encoder."""
MOST_CANDIDATES = 1_000
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class RegionQuery:
    """A part of an item that was read.

    Attributes:
        item: the item, prepared for the encoder.
        box: in pixels of its frame, as it is shown.
        slice_number: of a volume the slice that the region is on, from one.
        study, patient: whose it is, to be left out; "" leaves nothing out.
    """

    item: ItemDraft
    box: Box
    slice_number: int | None = None
    study: str = ""
    patient: str = ""


@dataclass(frozen=True)
class RegionHit:
    """An image with something like the region.

    Attributes:
        hit: the item; its score is the cosine of the whole, by which it became a candidate.
        score: cosine of the region and the window, of what is particular in both.
        box: the window, in pixels of the item's frame.
        slice_number: of a volume the slice it is on, from one.
        frame: size of the item's image, or of its slices.
    """

    hit: Hit
    score: float
    box: Box
    slice_number: int | None
    frame: Frame


@dataclass(frozen=True)
class RegionAnswer:
    """What was found.

    Attributes:
        hits: best window first.
        looked_at: how many candidates were read again.
        by: what brought the candidates: ``region`` or ``whole image``.
        encoder: that compared.
        notice: what must be said about it.
        notes: plain sentences.
        seconds: wall time.
    """

    hits: list[RegionHit]
    looked_at: int
    by: str
    encoder: str
    notice: str
    notes: list[str]
    seconds: float
    query: RegionQuery = field(repr=False, compare=False)


def region_search(
    library: Library,
    space: SpaceInfo,
    encoder: Encoder,
    query: RegionQuery,
    options: ReadOptions,
    *,
    k: int = 10,
    candidates: int = CANDIDATES,
    filter_: str = "",
    on_progress: Progress | None = None,
    stores: OpenStores | None = None,
) -> RegionAnswer:
    """Find images that have something like a region.

    Args:
        library: to look in.
        space: the encoder's.
        encoder: that tells places apart.
        query: the region.
        options: how files are read.
        k: hits wanted.
        candidates: images to read again, `MOST_CANDIDATES` at most.
        filter_: an expression of `indexer.filters`, "" for none.
        on_progress: called with candidates looked at, and how many there are.
        stores: that are open already; None opens that of the space.

    Raises:
        QueryError: no such region, or an encoder without places.
        FilterError: the filter cannot be read.
    """
    start = time.monotonic()
    if not 1 <= k <= candidates <= MOST_CANDIDATES:
        raise QueryError(
            f"k is 1 to the number of candidates, and these at most {MOST_CANDIDATES}; "
            f"not {k} of {candidates}"
        )
    places = patches_from(encoder)
    name = encoder.spec.name
    picture = picture_of_slice(places, query.item, query.slice_number)
    prepared, frame = query.item.tensors[name], query.item.frame
    matcher = RegionMatcher(places, prepared, query.box, frame, picture=picture)
    vector = _candidate_vector(encoder, places, query, picture)
    with reading(library.engine) as db:
        allowed = _allowed(db, query, filter_)
    opened = stores or OpenStores(library, options.device)
    found = _candidates(library, opened, space, vector, allowed=allowed, count=candidates)
    hits: list[RegionHit] = []
    notes: list[str] = []
    for number, hit in enumerate(found):
        if on_progress is not None:
            on_progress(number, len(found))
        try:
            item = read_again(library, hit.id, name, options)
        except SourceError as error:
            notes.append(str(error))
            continue
        window = matcher.best(item.tensors[name], item.frame)
        if window is not None:
            where = slice_number(places, item, window.picture)
            box = _rounded(window.box)
            hits.append(RegionHit(hit, round(window.score, 6), box, where, item.frame))
    hits.sort(key=lambda one: (-one.score, one.hit.id))
    if len(found) < candidates:
        notes.append(f"only {len(found)} studies pass the filter and the exclusions")
    return RegionAnswer(
        hits=hits[:k],
        looked_at=len(found),
        by="region" if places.patches_share_space else "whole image",
        encoder=name,
        notice=space.notice,
        notes=notes,
        seconds=time.monotonic() - start,
        query=query,
    )


def _candidate_vector(
    encoder: Encoder, places: PatchEncoder, query: RegionQuery, picture: int
) -> Embedding:
    """The region as a vector of the space; where its patches lie elsewhere, the whole picture's."""
    prepared = query.item.tensors[encoder.spec.name]
    if places.patches_share_space:
        return region_vector(places, prepared, query.box, query.item.frame, picture=picture)
    (row,) = encoder.embed([places.pictures(prepared)[picture]])
    return np.asarray(row / np.linalg.norm(row), np.float32)


def _candidates(
    library: Library,
    stores: OpenStores,
    space: SpaceInfo,
    vector: Embedding,
    *,
    allowed: ItemIds,
    count: int,
) -> list[Hit]:
    """The nearest items, one a study."""
    look = min(4 * count, len(allowed))
    while look:
        first: dict[str, Hit] = {}
        with reading(library.engine) as db:
            opened = stores.of(db, space)
            with opened.guard:
                ids, scores = opened.store.search(vector[None], look, allowed)
            pairs = [
                (int(i), float(s), 0) for i, s in zip(ids[0], scores[0], strict=True) if i >= 0
            ]
            for hit in describe_items(db, pairs):
                first.setdefault(hit.study_instance_uid, hit)
        if len(first) >= count or look >= len(allowed):
            return list(first.values())[:count]
        look = min(4 * look, len(allowed))
    return []


def _allowed(db: Connection, query: RegionQuery, filter_: str) -> ItemIds:
    """Primary items that pass the filter, without those of the query's own study and patient."""
    wanted = (
        select(Item.id)
        .select_from(Item)
        .join(Series)
        .join(Study)
        .join(Patient)
        .where(Item.role == Role.PRIMARY, Study.study_instance_uid != query.study)
    )
    if query.patient:
        wanted = wanted.where(Patient.pseudonym != query.patient)
    if filter_.strip():
        wanted = wanted.where(sql_condition(parse_filter(filter_)))
    (ids,) = columns(db, wanted)
    return np.sort(ids)


def _rounded(box: Box) -> Box:
    x, y, width, height = (round(value, 1) for value in box)
    return x, y, width, height
