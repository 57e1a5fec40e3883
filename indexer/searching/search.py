"""A request in, its neighbours out: ask every voice, fuse, group, exclude, describe."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from sqlalchemy import Connection, select

from indexer.catalog.database import reading
from indexer.catalog.tables import Item, Thumbnail
from indexer.errors import QueryError
from indexer.evidence.grounds import attach_evidence, grounds_of, tags_of, votes_of
from indexer.filters import Filter, parse_filter
from indexer.index.opened import OpenStores
from indexer.library import Library
from indexer.reading.drafts import ReadOptions
from indexer.searching.answers import SearchAnswer
from indexer.searching.asking import SearchRequest
from indexer.searching.examples import IMAGE
from indexer.searching.finding import Finding, priors_of
from indexer.searching.gallery import Gallery
from indexer.searching.queries import Asked, Known, Query, make_asked
from indexer.searching.telling import described, linked, notes_of
from indexer.searching.voices import View, voices_of
from indexer.stages import stage
from indexer.types import Hit, LabelVote


class Searcher:
    """A library kept ready for searching: indexes stay open, filters are remembered.

    May be used by several threads. Everything is brought up to the catalog before each search,
    also after other processes have written.

    Args:
        library: open as long as this is used.
        options: how query files are read, and where models lie.

    Attributes:
        stores: that are held open.
    """

    def __init__(self, library: Library, options: ReadOptions) -> None:
        self._library, self._options = library, options
        self._gallery = Gallery(library)
        self.stores = OpenStores(library, options.device)
        self._known: Known = {}

    def load(self) -> None:
        """Open the indexes of all spaces, which else the first search of each waits for.

        Raises:
            StoreError: one cannot be opened.
        """
        with reading(self._library.engine) as db:
            for space in self._library.spaces():
                self.stores.of(db, space)

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
        with reading(self._library.engine) as db:
            with stage("ask"):
                asked = make_asked(self._library, db, request, self._options, self._known)
            answer = self._answer(db, request, tree, asked)
        return replace(answer, seconds=time.monotonic() - start)

    def _answer(
        self, db: Connection, request: SearchRequest, tree: Filter | None, asked: Asked
    ) -> SearchAnswer:
        view = View.of(db, self._gallery, request, tree, asked)
        voices = voices_of(view, self.stores, self._library, asked)
        with stage("search the index"):
            finding = Finding(view, voices)
        if not finding.found and not asked.queries and asked.refusals:
            raise QueryError(f"{'; '.join(asked.refusals)}; and no study has such words")
        prior = priors_of(view, asked.queries[0]) if asked.queries else []
        with stage("read the catalog"):
            hits, priors, subjects = described(view, voices, finding, prior, asked.subjects)
        votes: tuple[LabelVote, ...] = ()
        if request.evidence and asked.queries:
            with stage("weigh evidence"):
                hits, votes = self._evidence(view, asked, hits)
        queries = asked.queries
        return SearchAnswer(
            queries=subjects,
            mix=next((query.mix for query in queries if query.mix), ""),
            hits=hits,
            priors=priors,
            linked=linked(view, finding),
            passed=view.allowed.count,
            candidates=view.allowed.count - view.excluded.within(view.allowed.ids),
            fused=finding.fused,
            exact=all(voice.exact for voice in voices),
            spaces=tuple(voice.use for voice in voices if voice.use is not None),
            votes=votes,
            notes=notes_of(view, asked, voices, finding),
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
