"""A request in, its neighbours out: ask every voice, fuse, group, exclude, describe."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from sqlalchemy import Connection, bindparam, select

from indexer.answers import QUERY, LinkedCopy, SearchAnswer
from indexer.asking import LATE, Described, SearchRequest
from indexer.catalog.database import reading
from indexer.catalog.tables import Item, Series, Study, Thumbnail
from indexer.errors import QueryError
from indexer.evidence import attach_evidence, grounds_of, tags_of, votes_of
from indexer.examples import IMAGE, Subject, completed
from indexer.exclusions import among
from indexer.filters import Filter, parse_filter
from indexer.finding import Finding, priors_of
from indexer.fusion import K
from indexer.gallery import Gallery
from indexer.hits import describe_items
from indexer.late import LATE_SAID, LateRanker
from indexer.library import Library
from indexer.opened import OpenStores
from indexer.queries import Asked, Query, make_asked
from indexer.reading.drafts import ReadOptions
from indexer.slices import matches
from indexer.types import Hit, LabelVote
from indexer.voices import View, Voice, voices_of

_COPIES = (
    select(Item.id, Item.uid, Study.study_instance_uid)
    .select_from(Item)
    .join(Series)
    .join(Study)
    .where(Item.id.in_(bindparam("items", expanding=True)))
    .order_by(Item.id)
)


class Searcher:
    """A library kept ready for searching: indexes stay open, filters are remembered.

    May be used by several threads. Everything is brought up to the catalog before each search,
    also after other processes have written.

    Args:
        library: open as long as this is used.
        options: how query files are read, and where models lie.
    """

    def __init__(self, library: Library, options: ReadOptions) -> None:
        self._library, self._options = library, options
        self._gallery, self._stores = Gallery(library), OpenStores(library)

    def search(self, request: SearchRequest) -> SearchAnswer:
        """Answer a request.

        Raises:
            QueryError: nothing to search with, a number out of range, examples that no space can
                take, an empty library.
            FilterError: the filter cannot be read.
            FileRejectedError: a query file cannot be used.
            ItemNotFoundError: a UID is not in the library.
        """
        start = time.monotonic()
        request.check()
        tree = parse_filter(request.filter) if request.filter.strip() else None
        asked = make_asked(self._library, request, self._options)
        with reading(self._library.engine) as db:
            answer = self._answer(db, request, tree, asked)
        return replace(answer, seconds=time.monotonic() - start)

    def _answer(
        self, db: Connection, request: SearchRequest, tree: Filter | None, asked: Asked
    ) -> SearchAnswer:
        view = View.of(db, self._gallery, request, tree, asked)
        voices = voices_of(view, self._stores, self._library, asked)
        finding = Finding(view, voices)
        if not finding.found and not asked.queries and asked.refusals:
            raise QueryError(f"{'; '.join(asked.refusals)}; and no study has such words")
        prior = priors_of(view, asked.queries[0]) if asked.queries else []
        hits, priors, subjects = _described(view, voices, finding, prior, asked.subjects)
        votes: tuple[LabelVote, ...] = ()
        if request.evidence and asked.queries:
            hits, votes = self._evidence(view, asked, hits)
        queries = asked.queries
        return SearchAnswer(
            queries=subjects,
            mix=next((query.mix for query in queries if query.mix), ""),
            hits=hits,
            priors=priors,
            linked=_linked(view, finding),
            passed=view.allowed.count,
            candidates=view.allowed.count - view.excluded.within(view.allowed.ids),
            fused=finding.fused,
            exact=all(voice.exact for voice in voices),
            spaces=tuple(voice.use for voice in voices if voice.use is not None),
            votes=votes,
            notes=_notes(view, asked, voices, finding),
            seconds=0.0,
            asked=queries,
            query_thumbnail=next((s.thumbnail for s in asked.subjects if s.thumbnail), b""),
        )

    def _evidence(
        self, view: View, asked: Asked, hits: list[Hit]
    ) -> tuple[list[Hit], tuple[LabelVote, ...]]:
        """Hits with what speaks for them, and votes: both rest on cosines of pictures."""
        query, request = asked.queries[0], view.request
        grounds = grounds_of(self._library, query.space, view.db)
        plain = query.how == IMAGE and not query.mix
        plain &= (request.rank, request.pooling) == ("pooled", "mean")
        cosines = [_cosine(hit, query) if plain else np.nan for hit in hits]
        first = asked.subjects[0]
        known = first.description.item
        tags = tags_of(view.db, [known]).get(known, {}) if known else first.tags
        found = attach_evidence(view.db, grounds, tags, hits, cosines)
        pairs = zip(hits, found, strict=True)
        return (
            [replace(hit, evidence=evidence) for hit, evidence in pairs],
            tuple(votes_of(grounds, hits, cosines)),
        )


def search(library: Library, request: SearchRequest, options: ReadOptions) -> SearchAnswer:
    """Answer one request; see `Searcher`, which answers the next one faster."""
    return Searcher(library, options).search(request)


def thumbnails(library: Library, item_uids: Sequence[str]) -> dict[str, bytes]:
    """WebP thumbnails by item id."""
    with reading(library.engine) as db:
        rows = db.execute(
            select(Item.uid, Thumbnail.webp).join(Item).where(Item.uid.in_(item_uids))
        )
        return {row.uid: row.webp for row in rows}


def _cosine(hit: Hit, query: Query) -> float:
    """Of a hit with the query in its space; NaN if that did not find it."""
    own = (voice.score for voice in hit.voices if voice.voice == query.space.encoder)
    return next(own, float("nan"))


def _described(
    view: View,
    voices: Sequence[Voice],
    finding: Finding,
    priors: Sequence[tuple[int, float, int]],
    subjects: Sequence[Subject],
) -> tuple[list[Hit], list[Hit], tuple[Described, ...]]:
    """Hits, with the slices and pairs that fit best, priors by date, and the examples."""
    found = finding.found
    items = [one.group.item for one in found]
    first = next((voice for voice in voices if voice.query is not None), None)
    volumes, pairs = {}, {}
    if first is not None and first.query is not None:
        if first.sliced:
            volumes = matches(view.db, first.query.space, first.query.pictures, items)
        if isinstance(first.ranker, LateRanker):
            pairs = first.ranker.pairs(items)
    told = [(one.group.item, one.group.score, one.group.more) for one in found]
    # At once: each question to the catalog takes its time.
    known = [(s.middle, 1.0, 0) for s in subjects if s.middle is not None]
    described = describe_items(view.db, [*told, *priors, *known], volumes)
    hits = [
        replace(
            hit,
            voices=one.voices,
            snippet=finding.snippets.get(one.group.item, ""),
            pairs=pairs.get(one.group.item, ()),
        )
        for hit, one in zip(described[: len(told)], found, strict=True)
    ]
    by_date = sorted(
        described[len(told) : len(told) + len(priors)],
        key=lambda hit: (not hit.study_date, hit.study_date, hit.study_instance_uid),
    )
    # A writer may have taken an example away since it was looked up.
    own = {hit.id: hit for hit in described[len(told) + len(priors) :]}
    asked = (s.description for s in subjects)
    return hits, by_date, tuple(completed(d, own[d.item]) if d.item in own else d for d in asked)


def _linked(view: View, finding: Finding) -> list[LinkedCopy]:
    """Exact copies: of the query, and of hits."""
    of_query = among(view.excluded.copies, view.allowed.ids)
    wanted = {*of_query, *finding.copies, *finding.copies.values()}
    if not wanted:
        return []
    rows = {row.id: row for row in view.db.execute(_COPIES, {"items": sorted(wanted)})}
    return [
        LinkedCopy(rows[item].uid, rows[item].study_instance_uid, QUERY) for item in of_query
    ] + [
        LinkedCopy(rows[copy].uid, rows[copy].study_instance_uid, rows[item].uid)
        for copy, item in finding.copies.items()
    ]


def _notes(view: View, asked: Asked, voices: Sequence[Voice], finding: Finding) -> list[str]:
    """What must be said, in plain sentences; that a list is short comes last."""
    request = view.request
    notes = [*asked.notes, *(note for voice in voices for note in voice.notes)]
    if not asked.queries:
        notes += asked.refusals
    notes += view.excluded.notes
    if request.rank == LATE:
        most = max(
            (v.ranker.compared for v in voices if isinstance(v.ranker, LateRanker)), default=0
        )
        notes.append(f"{LATE_SAID}; so were compared the nearest {most} studies")
    if finding.fused:
        notes.append(f"the lists of {_names(voices)} are fused by reciprocal rank (k = {K})")
    if request.diversity and asked.queries:
        notes.append(
            f"hits were chosen to differ, by maximal marginal relevance, lambda "
            f"{1 - request.diversity:g}: they are in the order of choosing"
        )
    copies = among(view.excluded.copies, view.allowed.ids)
    if copies:
        notes.append(
            "1 exact copy of the query, under another UID, is linked, not listed"
            if len(copies) == 1
            else f"{len(copies)} exact copies of the query, under other UIDs, are linked, not "
            "listed"
        )
    if view.other_roles:
        notes.append(
            f"{view.other_roles} localizers, captures, derived and test images were not looked at "
            "(--role all looks at them too)"
        )
    return notes + _short(view, finding)


def _names(voices: Sequence[Voice]) -> str:
    return " and ".join(voice.name for voice in voices)


def _short(view: View, finding: Finding) -> list[str]:
    """Why there are fewer hits than were asked for, in one sentence."""
    request, count = view.request, len(finding.found)
    if count >= request.k:
        return []
    if not view.allowed.count:
        return [f"only {count} found: nothing passes the filter"]
    if finding.cut and not count:
        near = f"{finding.nearest:.3f}, below {request.min_score:g}"
        return [f"nothing is close enough: the nearest has {near}"]
    if finding.cut:
        return [f"only {count} found: no more have a score of at least {request.min_score:g}"]
    return [f"only {count} found: no more pass the filter and the exclusions"]
