"""From the voices of a search to what is listed: looked far enough, fused, once each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sqlalchemy import Connection, bindparam, select

from indexer.catalog.tables import EmbeddingRow, Item
from indexer.index.projection import sound_vectors
from indexer.library import SpaceInfo
from indexer.searching.exclusions import among
from indexer.searching.fusion import reciprocal_ranks
from indexer.searching.grouping import Group, grouped, spread_out, without_copies
from indexer.searching.queries import Query
from indexer.searching.voices import View, Voice
from indexer.types import Embeddings, VoiceRank

_PART = 500
_POOL = 50
"""Hits that are to differ are chosen among so many, or four times as many as are wanted."""
_MARGIN = 5
"""Candidates beyond those wanted that are looked at for copies at first."""
_HASHES = select(Item.id, Item.pixel_hash).where(Item.id.in_(bindparam("items", expanding=True)))
_VECTORS = select(EmbeddingRow.item_id, EmbeddingRow.vector).where(
    EmbeddingRow.space_id == bindparam("space"),
    EmbeddingRow.item_id.in_(bindparam("items", expanding=True)),
)


@dataclass(frozen=True)
class Found:
    """Something to list, with the places that the voices gave it."""

    group: Group
    voices: tuple[VoiceRank, ...]


class Finding:
    """What a search found.

    Attributes:
        found: best first, at most as many as are wanted.
        copies: of items that are not listed, the listed item that has exactly their pixels.
        fused: whether scores are those of a fusion.
        nearest: the best cosine of a space, also if it was not good enough; None without any.
        cut: whether something was left out for not being close enough.
    """

    def __init__(self, view: View, voices: Sequence[Voice]) -> None:
        self._view, self._voices = view, voices
        self.nearest: float | None = None
        self.cut = self.fused = False
        self.found: list[Found] = []
        self.copies: dict[int, int] = {}
        self._look()

    def _look(self) -> None:
        """Look further until there is enough to list, or nothing is left."""
        request = self._view.request
        wanted = max(4 * request.k, _POOL) if request.diversity else request.k
        further = 1
        while True:
            rankings, complete = [], True
            for voice in self._voices:
                ranking, at_end = self._ask(voice, further)
                rankings.append(ranking)
                complete &= at_end
            ranked = self._together(rankings)
            self.found, self.copies = self._listed(ranked, rankings, wanted)
            if len(self.found) >= wanted or complete:
                break
            further *= 4
        if request.diversity:
            self.found = self._spread(self.found)
        shown = {found.group.item for found in self.found}
        self.copies = {copy: item for copy, item in self.copies.items() if item in shown}

    def _ask(self, voice: Voice, further: int) -> tuple[list[Group], bool]:
        """What a voice ranks, grouped; and whether it has nothing beyond that."""
        ranker, least = voice.ranker, self._view.request.min_score
        look = min(ranker.total, ranker.first * further)
        if not look:
            return [], True
        with voice.guard:
            ranked = ranker(look)
        at_end = look >= ranker.total
        if voice.use is not None and ranked:
            self.nearest = max(ranked[0][1], self.nearest or -1.0)
            if least is not None:
                kept = [pair for pair in ranked if round(pair[1], 6) >= least]
                self.cut |= len(kept) < len(ranked)
                at_end |= len(kept) < len(ranked)
                ranked = kept
        return grouped(ranked, self._view.groups([item for item, _ in ranked])), at_end

    def _together(self, rankings: Sequence[Sequence[Group]]) -> list[Group]:
        """One ranking, by fusion where several voices found something."""
        self.fused = sum(bool(ranking) for ranking in rankings) > 1
        if not self.fused:
            return [group for ranking in rankings for group in ranking]
        first: dict[int, Group] = {}
        for ranking in rankings:
            for group in ranking:
                first.setdefault(group.key, group)
        fused = reciprocal_ranks([[group.key for group in ranking] for ranking in rankings])
        return [replace(first[key], score=score) for key, score in fused]

    def _listed(
        self, ranked: Sequence[Group], rankings: Sequence[Sequence[Group]], wanted: int
    ) -> tuple[list[Found], dict[int, int]]:
        """The first so many, exact copies of one before them left out."""
        look = wanted + _MARGIN
        while True:
            groups = ranked[:look]
            hashes = pixel_hashes(self._view.db, [group.item for group in groups])
            kept, copies = without_copies(groups, hashes)
            if len(kept) >= wanted or look >= len(ranked):
                break
            look *= 4
        places = self._places({group.key for group in kept[:wanted]}, rankings)
        return [Found(group, tuple(places[group.key])) for group in kept[:wanted]], copies

    def _places(
        self, keys: set[int], rankings: Sequence[Sequence[Group]]
    ) -> dict[int, list[VoiceRank]]:
        """Where the voices have what is listed."""
        found: dict[int, list[VoiceRank]] = {key: [] for key in keys}
        for voice, ranking in zip(self._voices, rankings, strict=True):
            for place, group in enumerate(ranking, 1):
                if group.key in keys:
                    score = round(group.score, 6)
                    said = VoiceRank(voice.name, voice.how, place, score, voice.exact)
                    found[group.key].append(said)
        return found

    def _spread(self, pool: Sequence[Found]) -> list[Found]:
        """Hits that differ from each other, by their vectors in the first space."""
        request = self._view.request
        query = next((voice.query for voice in self._voices if voice.query), None)
        if query is None or not pool:
            return list(pool[: request.k])
        vectors = _rows(self._view.db, query.space, [found.group.item for found in pool])
        scores = [found.group.score for found in pool]
        if self.fused or abs(scores[0]) > 1:  # no cosines: to their size
            scores = [score / scores[0] for score in scores]
        chosen = spread_out(scores, vectors, request.k, trade=1 - request.diversity)
        return [pool[place] for place in chosen]


def pixel_hashes(db: Connection, items: Sequence[int]) -> dict[int, str]:
    """The hash of the pixels of each item."""
    found: dict[int, str] = {}
    for start in range(0, len(items), _PART):
        rows = db.execute(_HASHES, {"items": items[start : start + _PART]})
        found.update((row.id, row.pixel_hash) for row in rows)
    return found


def _rows(db: Connection, space: SpaceInfo, items: Sequence[int]) -> Embeddings:
    """Vectors of items in this order; zeros for those that have none in the space."""
    held = vectors_of(db, space, items)
    empty = np.zeros(space.dim, np.float32)
    return np.stack([held.get(item, empty) for item in items])


def vectors_of(db: Connection, space: SpaceInfo, items: Sequence[int]) -> Mapping[int, np.ndarray]:
    """Unit vectors by item; those that have none are absent."""
    found: dict[int, np.ndarray] = {}
    for start in range(0, len(items), _PART):
        part = {"space": space.id, "items": items[start : start + _PART]}
        rows = db.execute(_VECTORS, part).all()
        if rows:
            vectors = sound_vectors([row.vector for row in rows], space)
            found.update(zip((row.item_id for row in rows), vectors, strict=True))
    return found


def priors_of(view: View, query: Query) -> list[tuple[int, float, int]]:
    """Other studies of the query's patients that pass the filter, each by its most similar item.

    Returns:
        (item, cosine in the query's space, further items of the study); the cosine is 0 where the
        study has no vector there.
    """
    items = among(view.excluded.priors, view.allowed.ids)
    if not items:
        return []
    vectors = vectors_of(view.db, query.space, items)
    scores = {item: float((query.vectors @ row).max()) for item, row in vectors.items()}
    ranked = sorted(
        ((item, scores.get(item, 0.0)) for item in items),
        key=lambda pair: (-round(pair[1], 6), pair[0]),
    )
    return [(g.item, g.score, g.more) for g in grouped(ranked, view.studies(items))]
