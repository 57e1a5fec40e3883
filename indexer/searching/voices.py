"""Who is asked in a search: each space that takes the examples, and the words of the studies."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, select

from indexer.catalog.tables import Patient
from indexer.errors import QueryError
from indexer.filter_tree import All, Comparison, Filter
from indexer.index.mirror import is_current
from indexer.index.opened import OpenStores
from indexer.index.projection import ITEMS, SLICES, Layer
from indexer.library import Library, SpaceInfo
from indexer.searching.answers import SpaceUse
from indexer.searching.asking import LATE, SearchRequest
from indexer.searching.exclusions import Exclusions, exclusions_of
from indexer.searching.gallery import Allowed, Gallery
from indexer.searching.keywords import keyword_note
from indexer.searching.late import LateRanker
from indexer.searching.queries import Asked, Query
from indexer.searching.rankers import KeywordRanker, PooledRanker, Ranker
from indexer.searching.slices import SAID, SliceRanker, pooled_store
from indexer.stores.contract import FilteringStore, VectorStore
from indexer.types import Role

KEYWORDS, WORDS = "keywords", "words"
_PART = 500
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class View:
    """One search within one view of the catalog.

    Attributes:
        db: the view.
        gallery: what passes filters, and which study items are of.
        request: what is asked.
        allowed: items that pass the filter and have the roles that are looked at.
        where: the same as a filter.
        excluded: items that may not be hits.
        total: all items of the library.
        other_roles: items that are not looked at for what they are.
    """

    db: Connection
    gallery: Gallery
    request: SearchRequest
    allowed: Allowed
    where: Filter
    excluded: Exclusions
    total: int
    other_roles: int

    @classmethod
    def of(
        cls,
        db: Connection,
        gallery: Gallery,
        request: SearchRequest,
        tree: Filter | None,
        asked: Asked,
    ) -> View:
        """Find out who may be a hit."""
        roles = request.roles or frozenset({Role.PRIMARY}).union(*(s.roles for s in asked.subjects))
        allowed = gallery.allowed(db, tree, roles)
        total = allowed.total
        of_these = Comparison("role", "=", tuple(sorted(role.value for role in roles)))
        of_roles = allowed if tree is None else gallery.allowed(db, None, roles)
        return cls(
            db=db,
            gallery=gallery,
            request=request,
            allowed=allowed,
            where=of_these if tree is None else All((tree, of_these)),
            excluded=exclusions_of(db, request, asked.subjects),
            total=total,
            other_roles=total - of_roles.count,
        )

    def studies(self, items: Sequence[int]) -> Mapping[int, int]:
        """The study of each item; those that are gone have none."""
        return _keys(items, self.gallery.study_of(self.db, np.array(items, np.int64)))

    def groups(self, items: Sequence[int]) -> Mapping[int, int]:
        """What each item is listed under: its study, its patient, or itself."""
        if not items:
            return {}
        studies = self.studies(items)
        if self.request.group == "study":
            return studies
        if self.request.group == "item":
            return {item: item for item in studies}
        patients = _keys(items, self.gallery.patient_of(self.db, np.array(items, np.int64)))
        shared = self._shared(set(patients.values()))
        # An id that strangers share groups nothing: each study is its own then.
        return {
            item: -1 - studies[item] if patient in shared else patient
            for item, patient in patients.items()
            if item in studies
        }

    def _shared(self, patients: set[int]) -> set[int]:
        found: set[int] = set()
        wanted = sorted(patients)
        for start in range(0, len(wanted), _PART):
            part = Patient.id.in_(wanted[start : start + _PART])
            found |= set(self.db.execute(select(Patient.id).where(part, Patient.shared)).scalars())
        return found


def _keys(items: Sequence[int], numbers: np.ndarray) -> dict[int, int]:
    pairs = zip(items, numbers.tolist(), strict=True)
    return {item: number for item, number in pairs if number >= 0}


@dataclass(frozen=True)
class Voice:
    """One ranking that is asked.

    Attributes:
        name, how: as of `VoiceRank`.
        ranker: asks it.
        exact: whether it compares every candidate.
        guard: held while it is asked.
        notes: plain sentences.
        query: of a space; None of keywords.
        use: of a space, for the answer.
        sliced: of a space, whether it has slices of volumes.
    """

    name: str
    how: str
    ranker: Ranker
    exact: bool
    guard: AbstractContextManager[object]
    notes: tuple[str, ...]
    query: Query | None = None
    use: SpaceUse | None = None
    sliced: bool = False


def voices_of(view: View, stores: OpenStores, library: Library, asked: Asked) -> tuple[Voice, ...]:
    """All that is asked, spaces first.

    Raises:
        QueryError: no space that is asked holds an item, or there is no word to look up.
    """
    asked_spaces = (_space_voice(view, stores, library, query) for query in asked.queries)
    voices = [voice for voice in asked_spaces if voice is not None]
    if asked.queries and not voices:
        raise QueryError(f"{library.path} holds no items yet; index something first")
    words = words_of(view.request)
    if words:
        ranker = KeywordRanker(
            view.db,
            words,
            view.request.k,
            allowed=view.allowed.ids,
            excluded=view.excluded,
            total=view.total,
        )
        note = keyword_note(words)
        notes = (note,) if note else ()
        voices.append(Voice(KEYWORDS, WORDS, ranker, True, nullcontext(), notes))
    return tuple(voices)


def words_of(request: SearchRequest) -> str:
    """What to look up: the request's own keywords, else the words of liked phrases and reports."""
    if request.keywords is not None:
        return request.keywords.strip()
    if (request.rank, request.pooling) != ("pooled", "mean"):
        return ""
    texts = (e.text or e.report for e in request.examples if e.weight > 0)
    # Quotes and dashes are no commands there.
    return " ".join(dict.fromkeys(word for text in texts for word in _WORD.findall(text)))


def _space_voice(view: View, stores: OpenStores, library: Library, query: Query) -> Voice | None:
    """A space; None where it holds nothing any more."""
    request, space = view.request, query.space
    opened = stores.of(view.db, space)
    if not opened.store.count():
        return None
    notes = [note for note in (opened.note, *query.notes) if note]
    by_slices = (request.rank, request.pooling) != ("pooled", "mean")
    if by_slices and not opened.sliced:
        notes.append(f"'{space.encoder}' keeps no vectors of slices: each item counts as one")
    if request.rank in SAID:
        notes.append(SAID[request.rank])
    held = opened.store.count()
    if held < view.total:
        notes.append(
            f"'{space.encoder}' has vectors of {held} of {view.total} items; the others, not made "
            "for it or not embedded yet, cannot be found by it"
        )
    stats = opened.store.stats()
    exact = stats.exact
    use = SpaceUse(
        encoder=space.encoder,
        notice=space.notice,
        how=query.how,
        kind=stats.kind,
        recall=stats.recall,
        exact=exact,
        held=held,
        items=view.total,
    )
    ranker = _ranker(view, stores, library, query, opened.store)
    return Voice(
        name=space.encoder,
        how=query.how,
        ranker=ranker,
        exact=exact,
        guard=opened.guard,
        notes=tuple(notes),
        query=query,
        use=use,
        sliced=opened.sliced,
    )


def _own_filter(
    view: View, library: Library, space: SpaceInfo, layer: Layer, store: VectorStore
) -> Filter | None:
    """What a server may filter by itself, which spares sending it the ids that pass.

    None where nothing is filtered, or its payloads are behind the catalog.
    """
    if view.allowed.ids is None or not isinstance(store, FilteringStore):
        return None
    return view.where if is_current(library, view.db, space, layer) else None


def _ranker(
    view: View, stores: OpenStores, library: Library, query: Query, store: VectorStore
) -> Ranker:
    """What the request asks for."""
    request = view.request
    allowed, excluded = view.allowed.ids, view.excluded.items
    if request.rank in SAID:
        slices = stores.of(view.db, query.space, SLICES).store
        return SliceRanker(
            view.db,
            query.space,
            items=store,
            slices=slices,
            query=query.pictures,
            how=request.rank,
            allowed=allowed,
            excluded=excluded,
            where=_own_filter(view, library, query.space, ITEMS, store),
            slices_where=_own_filter(view, library, query.space, SLICES, slices),
        )
    vectors = query.vectors
    if request.pooling != "mean":
        store = pooled_store(library, query.space, request.pooling)
        vectors = query.pictures.pooled(request.pooling)
    where = _own_filter(view, library, query.space, ITEMS, store)
    pooled = PooledRanker(
        store, vectors, request.k, allowed=allowed, excluded=excluded, where=where
    )
    if request.rank != LATE:
        return pooled
    return LateRanker(
        view.db, query, pooled, view.studies, request.k, allowed=allowed, excluded=excluded
    )
