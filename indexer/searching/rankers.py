"""How items are ranked for one voice: by one vector each, or by words."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from sqlalchemy import Connection, bindparam, select

from indexer.catalog.tables import Item, Series
from indexer.filter_tree import Filter
from indexer.searching.exclusions import Exclusions, among
from indexer.searching.keywords import keyword_ranks
from indexer.stores.contract import VectorStore, search_among
from indexer.types import Embeddings, ItemIds

_PART = 500
_ITEMS_OF = (
    select(Item.id, Series.study_id)
    .join(Series)
    .where(Series.study_id.in_(bindparam("studies", expanding=True)))
    .order_by(Item.id)
)


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


class PooledRanker:
    """One vector an item; of several query vectors the best one counts for each item.

    Args:
        store: of the space.
        vectors: of the query.
        k: hits wanted.
        allowed: items that may be found; None means all.
        excluded: items that may not be hits.
        where: the filter that passes just ``allowed``, if the store may evaluate it itself.
    """

    def __init__(
        self,
        store: VectorStore,
        vectors: Embeddings,
        k: int,
        *,
        allowed: ItemIds | None,
        excluded: Collection[int],
        where: Filter | None = None,
    ) -> None:
        self._store, self._vectors, self._where = store, vectors, where
        self._allowed, self._excluded = allowed, excluded
        held = store.count()
        self.total = held if allowed is None else min(held, len(allowed))
        self.first = 2 * k + len(excluded) + 20

    def __call__(self, look: int) -> list[tuple[int, float]]:
        """Look at so many for each vector of the query."""
        # The very array, which stores know again.
        ids, scores = search_among(self._store, self._vectors, look, self._allowed, self._where)
        best: dict[int, float] = {}
        for item, score in zip(ids.ravel().tolist(), scores.ravel().tolist(), strict=True):
            if item >= 0 and item not in self._excluded and score > best.get(item, -2.0):
                best[item] = score
        # To six digits, as shown: what differs beyond is rounding, and ties go by id.
        return sorted(best.items(), key=lambda pair: (-round(pair[1], 6), pair[0]))


class KeywordRanker:
    """Studies that have some words, each by its first item that may be a hit."""

    def __init__(
        self,
        db: Connection,
        words: str,
        k: int,
        *,
        allowed: ItemIds | None,
        excluded: Exclusions,
        total: int,
    ) -> None:
        self._db, self._words = db, words
        self._allowed, self._excluded = allowed, excluded
        self.first = 2 * k + 20
        self.total = total

    def __call__(self, look: int) -> list[tuple[int, float]]:
        """The best so many studies, as (item, BM25)."""
        hits = keyword_ranks(
            self._db, self._words, look, self._allowed, excluded_studies=self._excluded.studies
        )
        items = self._items_of([hit.study_id for hit in hits])
        return [(items[h.study_id], h.score) for h in hits if h.study_id in items]

    def _items_of(self, studies: Sequence[int]) -> dict[int, int]:
        """The first item of each study that passes and is not left out."""
        rows: list[tuple[int, int]] = []
        for start in range(0, len(studies), _PART):
            part = {"studies": studies[start : start + _PART]}
            rows += [(row.id, row.study_id) for row in self._db.execute(_ITEMS_OF, part)]
        passing = set(among({item for item, _ in rows}, self._allowed)) - self._excluded.items
        found: dict[int, int] = {}
        for item, study in rows:
            if item in passing:
                found.setdefault(study, item)
        return found
