"""Late interaction: studies compared part by part, not by one vector each.

Candidates come from the ranking by pooled vectors. Each part of the query (an image, or a slice of
a volume) then takes its best match among all parts of the candidate, and the study's score is the
mean of these cosines: over the parts of each series of the query first, then over the series, so
that a long series does not outvote a short one. It is the sum of maxima of ColBERT (Khattab and
Zaharia, SIGIR 2020, arXiv 2004.12832) as a mean; Khun Jush and others (2024, arXiv 2405.09334) rank
volumes of CT anew by it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, bindparam, select

from indexer.catalog.tables import EmbeddingRow, Item, Series
from indexer.index.projection import sound_vectors
from indexer.searching.exclusions import among
from indexer.searching.queries import Query
from indexer.searching.rankers import PooledRanker
from indexer.searching.slices import SliceSet, slices_of
from indexer.types import ItemIds, PairMatch

CANDIDATES = 100
"""Studies that are compared part by part; twice as many as hits are wanted, if that is more."""
LATE_SAID = "scores are means over the query's parts of the best match in the study"
PAIRS = 8
"""Pairs that a hit tells for each series of the query."""
_AT_ONCE = 20
_PARTS = (
    select(Item.id, Item.kind, Series.study_id, EmbeddingRow.vector)
    .select_from(Item)
    .join(Series)
    .join(EmbeddingRow, EmbeddingRow.item_id == Item.id)
    .where(
        EmbeddingRow.space_id == bindparam("space"),
        Series.study_id.in_(bindparam("studies", expanding=True)),
    )
    .order_by(Item.id)
)


@dataclass(frozen=True)
class _Pair:
    """A part of the query, by number, and the part of a study that is most like it."""

    part: int
    item: int
    place: int
    score: float


class LateRanker:
    """Ranks anew the studies that one vector an item brings.

    Attributes:
        first: how many studies to compare at first.
        total: no more can be asked for.
    """

    def __init__(
        self,
        db: Connection,
        query: Query,
        pooled: PooledRanker,
        studies: Callable[[Sequence[int]], Mapping[int, int]],
        k: int,
        *,
        allowed: ItemIds | None,
        excluded: Collection[int],
    ) -> None:
        self._db, self._query, self._pooled, self._studies = db, query, pooled, studies
        self._allowed, self._excluded = allowed, excluded
        self.first, self.total = max(CANDIDATES, 2 * k), pooled.total
        self.compared = 0
        """Studies that were compared the last time."""
        self._pairs: dict[int, list[_Pair]] = {}

    def __call__(self, look: int) -> list[tuple[int, float]]:
        """The best item and the score of each of so many candidate studies, best first."""
        studies = self._candidates(look)
        self.compared = len(studies)
        ranked = []
        for start in range(0, len(studies), _AT_ONCE):
            for parts in self._parts_of(studies[start : start + _AT_ONCE]).values():
                score, pairs = self._score(parts)
                best = max(pairs, key=lambda pair: (round(pair.score, 6), -pair.item))
                self._pairs[best.item] = pairs
                ranked.append((best.item, score))
        return sorted(ranked, key=lambda pair: (-round(pair[1], 6), pair[0]))

    def pairs(self, items: Sequence[int]) -> dict[int, tuple[PairMatch, ...]]:
        """What is most alike in query and study, best first, for best items of studies."""
        wanted = {pair.item for item in items for pair in self._pairs.get(item, [])}
        rows = self._db.execute(select(Item.id, Item.uid).where(Item.id.in_(wanted)))
        uids = {row.id: row.uid for row in rows}
        return {
            item: tuple(self._told(pair, uids[pair.item]) for pair in self._pairs.get(item, []))
            for item in items
        }

    def _told(self, pair: _Pair, uid: str) -> PairMatch:
        pictures = self._query.pictures
        return PairMatch(
            query_series=self._query.series[int(pictures.owners[pair.part])],
            query_slice=int(pictures.places[pair.part]) + 1 or None,
            item=uid,
            slice_number=pair.place + 1 or None,
            score=round(pair.score, 6),
        )

    def _candidates(self, count: int) -> list[int]:
        """The nearest studies by one vector an item."""
        look = min(self._pooled.total, max(self._pooled.first, 4 * count))
        while True:
            items = [item for item, _ in self._pooled(look)]
            own = self._studies(items)
            studies = list(dict.fromkeys(own[item] for item in items if item in own))
            if len(studies) >= count or look >= self._pooled.total:
                return studies[:count]
            look = min(self._pooled.total, look * 4)

    def _parts_of(self, studies: Sequence[int]) -> dict[int, SliceSet]:
        """All pictures of each study that may be looked at; owned by their items."""
        space = self._query.space
        rows = self._db.execute(_PARTS, {"space": space.id, "studies": studies}).all()
        passing = set(among({row.id for row in rows}, self._allowed))
        rows = [row for row in rows if row.id in passing and row.id not in self._excluded]
        slices = slices_of(self._db, space, [row.id for row in rows if row.kind == "volume"])
        parts: dict[int, list[SliceSet]] = defaultdict(list)
        for row, vector in zip(rows, sound_vectors([r.vector for r in rows], space), strict=True):
            whole = SliceSet(vector[None], np.array([row.id]), np.array([-1]))
            parts[row.study_id].append(slices.get(row.id, whole))
        return {
            study: SliceSet(
                np.concatenate([part.rows for part in own]),
                np.concatenate([part.owners for part in own]),
                np.concatenate([part.places for part in own]),
            )
            for study, own in parts.items()
        }

    def _score(self, parts: SliceSet) -> tuple[float, list[_Pair]]:
        """A study's score, and of each series of the query the best pairs."""
        pictures, series = self._query.pictures, self._query.series
        cosines = pictures.rows @ parts.rows.T
        best = cosines.argmax(axis=1)
        scores = cosines[np.arange(len(best)), best]
        means, pairs = [], list[_Pair]()
        own = np.array([series[owner] for owner in pictures.owners.tolist()])
        for name in dict.fromkeys(series):
            mine = np.flatnonzero(own == name)
            means.append(float(scores[mine].mean()))
            for part in mine[np.argsort(-scores[mine], kind="stable")][:PAIRS].tolist():
                place, owner = int(parts.places[best[part]]), int(parts.owners[best[part]])
                pairs.append(_Pair(part, owner, place, float(scores[part])))
        pairs.sort(key=lambda pair: -round(pair.score, 6))
        return float(np.mean(means)), pairs
