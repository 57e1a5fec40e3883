"""Late interaction: studies compared part by part, not by one vector each.

Candidates come from the ranking by pooled vectors. Each part of the query (an image, or a slice of
a volume) then takes its best match among all parts of the candidate, and the study's score is the
mean of these cosines: over the parts of each series of the query first, then over the series, so
that a long series does not outvote a short one. It is the sum of maxima of ColBERT (Khattab and
Zaharia, SIGIR 2020, arXiv 2004.12832) as a mean; for volumes of CT it was shown to rank better
than one vector (Abacha and others compare poolings; Truong and others 2024, arXiv 2405.09334).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, bindparam, select

from indexer.catalog.tables import EmbeddingRow, Item, Series
from indexer.exclusions import among
from indexer.library import SpaceInfo
from indexer.projection import sound_vectors
from indexer.queries import Query
from indexer.rankers import Ranker
from indexer.slices import SliceSet, slices_of
from indexer.types import ItemIds, PairMatch

CANDIDATES = 100
"""Studies that are compared part by part, or twice as many as hits are wanted."""
SAID = (
    "scores are means over the query's parts of the best match in the study (late interaction); "
    "the nearest {} studies by one vector were compared so"
)
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
    """Ranks again what another ranker finds."""

    def __init__(
        self,
        db: Connection,
        query: Query,
        pooled: Ranker,
        study_of: Mapping[int, int] | None,
        k: int,
        *,
        allowed: ItemIds | None,
        excluded: Collection[int],
    ) -> None:
        self._db = db


def _nothing() -> None: ...
