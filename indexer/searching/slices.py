"""Slices of volumes at search time: pooled in other ways, ranked one by one, and the one that fits.

What the catalog holds of a volume are the vectors of its slices and their mean. The rankings and
poolings are those of 3D-MIR (Abacha et al. 2023, arXiv 2311.13752): each slice of the query brings
its nearest slices, and volumes are ranked by how many of theirs were brought (frequency), by the
best of them (max) or by all together (sum); or a volume is one vector, pooled over its slices.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from jaxtyping import Int64
from sqlalchemy import Connection, bindparam, select, tuple_

from indexer.catalog.database import reading
from indexer.catalog.tables import Instance, Item, ItemInstance, SliceRow
from indexer.embedding import Embedded, places_in_volume
from indexer.encoders.contract import Encoder, SliceEncoder
from indexer.filter_tree import All, Comparison, Filter
from indexer.index.projection import renormalised, sound_vectors, stored_rows
from indexer.library import Library, SpaceInfo
from indexer.reading.drafts import ItemDraft
from indexer.registry import make_store
from indexer.stores.contract import VectorStore, search_among
from indexer.types import Embedding, Embeddings, ItemIds, Scores, SliceMatch

Numbers = Int64[np.ndarray, " rows"]
Pool = Callable[[Embeddings], Embedding]

POOLINGS: Mapping[str, Pool] = {
    "mean": lambda rows: rows.mean(axis=0),
    "median": lambda rows: np.median(rows, axis=0),
    "max": lambda rows: rows.max(axis=0),
    "min": lambda rows: rows.min(axis=0),
}
"""Slices of a volume to one vector, number by number; ``mean`` is what the catalog holds."""
RANKINGS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "frequency": lambda scores: float(len(scores)),
    "max": max,
    "sum": sum,
}
"""Scores of an item's slices that were brought to the item's score."""
SAID = {
    "frequency": "scores count the slices of a volume that the query's slices brought",
    "max": "scores are cosines of the best slice",
    "sum": "scores are sums of the cosines of slices",
}
"""What the scores of each ranking are."""
BROUGHT = 20
"""Slices that each slice of the query brings, as in 3D-MIR; more where they make too few hits."""
_IMAGES = Comparison("kind", "=", ("image",))
"""Which no encoder takes slice by slice."""
_PART = 500
_BATCH = 4096
_SLICES = (
    select(SliceRow.item_id, SliceRow.slice_index, SliceRow.vector)
    .where(
        SliceRow.space_id == bindparam("space"),
        SliceRow.item_id.in_(bindparam("items", expanding=True)),
    )
    .order_by(SliceRow.item_id, SliceRow.slice_index)
)


@dataclass(frozen=True)
class SliceSet:
    """Vectors of single pictures, and where each is from.

    Attributes:
        rows: unit vectors, ``(n, dim)``.
        owners: of each row, the item, or the number of the query's part; rows of one follow each
            other.
        places: of each row, its zero-based place in a volume; -1 for an image or a phrase.
    """

    rows: Embeddings
    owners: Numbers
    places: Numbers

    @classmethod
    def whole(cls, rows: Embeddings) -> SliceSet:
        """Images or phrases: each is its own and only slice."""
        return cls(rows, np.arange(len(rows)), np.full(len(rows), -1))

    @classmethod
    def joined(cls, parts: Sequence[SliceSet]) -> SliceSet:
        """Several as one, each an owner of its own."""
        return cls(
            np.concatenate([part.rows for part in parts]),
            np.concatenate([np.full(len(part.rows), i) for i, part in enumerate(parts)]),
            np.concatenate([part.places for part in parts]),
        )

    def pooled(self, how: str) -> Embeddings:
        """One unit vector an owner, in the order of the owners."""
        owners = dict.fromkeys(self.owners.tolist())
        rows = [POOLINGS[how](self.rows[self.owners == owner]) for owner in owners]
        return renormalised(np.stack(rows))


def volume_slices(encoder: Encoder, item: ItemDraft, found: Embedded) -> SliceSet | None:
    """What an encoder that takes volumes slice by slice made of one; None of anything else."""
    if found.slices is None or item.kind != "volume" or not isinstance(encoder, SliceEncoder):
        return None
    places = places_in_volume(encoder, found.slices, item.used_slices)
    return SliceSet(found.slices.rows, np.zeros(len(places), np.int64), np.array(places, np.int64))


def slices_of(db: Connection, space: SpaceInfo, items: Sequence[int]) -> dict[int, SliceSet]:
    """The stored slices of items, by item; one that did not come slice by slice is absent."""
    found = {}
    for start in range(0, len(items), _PART):
        part = {"space": space.id, "items": items[start : start + _PART]}
        rows = db.execute(_SLICES, part)
        for item, group in groupby(rows, key=lambda row: int(row.item_id)):
            own = list(group)
            found[item] = SliceSet(
                sound_vectors([row.vector for row in own], space),
                np.full(len(own), item),
                np.array([row.slice_index for row in own]),
            )
    return found


def pooled_store(library: Library, space: SpaceInfo, how: str) -> VectorStore:
    """A store of all items of a space, volumes pooled in another way than they are stored.

    It is built from the catalog, which takes as long as reading all slices.
    """
    store = make_store(library.config.store, space.dim)
    with reading(library.engine) as db:
        for _, ids, vectors in stored_rows(db, space):
            store.upsert(ids, vectors)
        for ids, vectors in _pooled(db, space, how):
            store.upsert(ids, vectors)
    return store


def _pooled(db: Connection, space: SpaceInfo, how: str) -> Iterator[tuple[ItemIds, Embeddings]]:
    """Batches of items and their pooled vectors; slices of one lie together in order of ``seq``."""
    query = (
        select(SliceRow.item_id, SliceRow.vector)
        .where(SliceRow.space_id == space.id)
        .order_by(SliceRow.seq)
        .execution_options(yield_per=_BATCH)
    )
    ids, rows = list[int](), list[Embedding]()
    for item, group in groupby(db.execute(query), key=lambda row: int(row.item_id)):
        ids.append(item)
        rows.append(POOLINGS[how](sound_vectors([row.vector for row in group], space)))
        if len(ids) == _BATCH:
            yield np.array(ids, np.int64), renormalised(np.stack(rows))
            ids, rows = [], []
    if ids:
        yield np.array(ids, np.int64), renormalised(np.stack(rows))


class SliceRanker:
    """Ranks items by their slices; an item that has none stored is its own and only slice.

    Args:
        db: a view of the catalog.
        space: that is searched.
        items, slices: stores of its layers.
        query: its parts.
        how: one of `RANKINGS`.
        allowed: items that may be found; None means all.
        excluded: items that may not be hits.
        where: the filter that passes just ``allowed``, if the store of items may evaluate it.
        slices_where: the same for the store of slices.
    """

    def __init__(
        self,
        db: Connection,
        space: SpaceInfo,
        *,
        items: VectorStore,
        slices: VectorStore,
        query: SliceSet,
        how: str,
        allowed: ItemIds | None,
        excluded: Collection[int],
        where: Filter | None = None,
        slices_where: Filter | None = None,
    ) -> None:
        self._db, self._space, self._items = db, space, items
        self._query, self._score, self._excluded = query, RANKINGS[how], excluded
        self._slices, self._slices_where = slices, slices_where
        sliced = select(SliceRow.item_id).where(SliceRow.space_id == space.id).distinct()
        within = items.ids() if allowed is None else allowed
        self._whole = np.setdiff1d(within, np.array(list(db.execute(sliced).scalars()), np.int64))
        self._allowed = None if allowed is None else self._rows_of(allowed)
        self._where, self._volumes = where, np.empty(0, np.int64)
        if where is not None:
            # A server knows which items are volumes, not which of these have no slices.
            volumes = db.execute(select(Item.id).where(Item.kind == "volume")).scalars()
            self._volumes = np.intersect1d(self._whole, np.array(list(volumes), np.int64))
            self._where = All((where, _IMAGES))
        self.total = len(self._whole)
        self.total += self._slices.count() if self._allowed is None else len(self._allowed)
        """How many slices may be brought."""
        self.first = BROUGHT

    def __call__(self, look: int) -> list[tuple[int, float]]:
        """Items with their scores, best first, where each slice of the query brings ``look``."""
        scores: dict[int, list[float]] = defaultdict(list)
        for hits in self._brought(look):
            for item, score in hits:
                scores[item].append(score)
        # Of equal frequency the greater sum counts; to six digits, as they are shown.
        ranked = [(item, self._score(own), sum(own)) for item, own in scores.items()]
        ranked.sort(key=lambda each: (-round(each[1], 6), -round(each[2], 6), each[0]))
        return [(item, score) for item, score, _ in ranked]

    def _brought(self, look: int) -> list[list[tuple[int, float]]]:
        """For each slice of the query the nearest that count: (item, cosine)."""
        deep = look
        while True:
            near = self._nearest(min(deep, self.total))
            kept = [[hit for hit in hits if hit[0] not in self._excluded][:look] for hits in near]
            if deep >= self.total or all(len(hits) == look for hits in kept):
                return kept
            deep *= 4

    def _nearest(self, k: int) -> list[list[tuple[int, float]]]:
        """For each slice of the query the nearest slices and whole items: (item, cosine)."""
        rows = self._query.rows
        of_slices = search_among(self._slices, rows, k, self._allowed, self._slices_where)
        of_whole = self._nearest_whole(k)
        owners = self._owners(np.unique(of_slices[0]))
        found = []
        for seqs, near, ids, scores in zip(*of_slices, *of_whole, strict=True):
            hits = [
                (owners[seq], score)
                for seq, score in zip(seqs.tolist(), near.tolist(), strict=True)
                if seq in owners
            ]
            hits += [
                (item, score)
                for item, score in zip(ids.tolist(), scores.tolist(), strict=True)
                if item >= 0
            ]
            found.append(sorted(hits, key=lambda hit: (-hit[1], hit[0]))[:k])
        return found

    def _nearest_whole(self, k: int) -> tuple[ItemIds, Scores]:
        """For each slice of the query the nearest items that have no slices."""
        rows, images = self._query.rows, np.setdiff1d(self._whole, self._volumes)
        ids, scores = search_among(self._items, rows, k, images, self._where)
        if not len(self._volumes):
            return ids, scores
        more, more_scores = self._items.search(rows, k, self._volumes)
        return np.hstack([ids, more]), np.hstack([scores, more_scores])

    def _owners(self, seqs: ItemIds) -> dict[int, int]:
        """The items that slices are of."""
        numbers, found = seqs[seqs >= 0].tolist(), dict[int, int]()
        for start in range(0, len(numbers), _PART):
            part = SliceRow.seq.in_(numbers[start : start + _PART])
            rows = self._db.execute(select(SliceRow.seq, SliceRow.item_id).where(part))
            found.update((row.seq, row.item_id) for row in rows)
        return found

    def _rows_of(self, items: ItemIds) -> ItemIds:
        """The slices of items."""
        mine = select(SliceRow.seq, SliceRow.item_id).where(SliceRow.space_id == self._space.id)
        rows = np.array([tuple(row) for row in self._db.execute(mine)], np.int64).reshape(-1, 2)
        return np.sort(rows[np.isin(rows[:, 1], items), 0])


def matches(
    db: Connection, space: SpaceInfo, query: SliceSet, items: Sequence[int]
) -> dict[int, SliceMatch]:
    """Of each volume among some items, the slice that is most like a slice of the query."""
    found: dict[int, SliceMatch] = {}
    for start in range(0, len(items), _PART):
        own = slices_of(db, space, items[start : start + _PART])
        if not own:
            continue
        best = {item: _best_pair(query, slices) for item, slices in own.items()}
        uids = _instances(db, {item: place for item, (place, _, _) in best.items()})
        rows = db.execute(select(Item.id, Item.slices, Item.details).where(Item.id.in_(list(own))))
        for row in rows:
            place, score, asked = best[row.id]
            frames = row.details.get("frames")
            found[row.id] = SliceMatch(
                number=place + 1,
                of=row.slices,
                sop_instance_uid=uids[row.id],
                frame_number=frames[place] + 1 if frames else None,
                score=score,
                query_slice=asked + 1 or None,
            )
    return found


def _best_pair(query: SliceSet, slices: SliceSet) -> tuple[int, float, int]:
    """Place of the slice that fits best, its cosine, and place of the query's slice."""
    scores = query.rows @ slices.rows.T
    asked, best = np.unravel_index(int(np.argmax(scores)), scores.shape)
    return (
        int(slices.places[best]),
        round(float(scores[asked, best]), 6),
        int(query.places[asked]),
    )


def _instances(db: Connection, places: Mapping[int, int]) -> dict[int, str]:
    """The instance of one slice of each item: its own, or the only one that all slices are in."""
    wanted = [(item, place) for item, place in places.items()] + [(item, 0) for item in places]
    rows = db.execute(
        select(ItemInstance.item_id, Instance.sop_instance_uid)
        .join(Instance, Instance.id == ItemInstance.instance_id)
        .where(tuple_(ItemInstance.item_id, ItemInstance.position).in_(wanted))
        .order_by(ItemInstance.position)
    )
    # Of two rows the later one counts: it is that of the slice.
    return {row.item_id: row.sop_instance_uid for row in rows}
