"""A library's vectors in a server, kept equal to the catalog: added, removed, described anew.

How far a server has been brought is kept in a mark beside the library's index. It is written only
after the server has confirmed, so it may say less than the server holds, never more; what a killed
run left beyond it is found by comparing ids, and nothing is sent twice that is there. The mark of
a collection that is filled beside the one that answers is kept with that collection: the library's
own speaks of what answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from sqlalchemy import Connection, Row, func, select

from indexer.catalog.database import reading
from indexer.catalog.tables import EmbeddingRow, Item, Series, SliceRow, StudyChange
from indexer.errors import ConfigError, StoreError
from indexer.index.payload import payloads, slice_uid
from indexer.index.projection import (
    ITEMS,
    SLICES,
    Layer,
    catalog_count,
    connect,
    generation_of,
    newest_seq,
    read_mark,
    sound_rows,
    stored_rows,
    stored_vectors,
    write_mark,
)
from indexer.library import Library, SpaceInfo
from indexer.registry import make_store
from indexer.stores.contract import RemoteStore, SyncMark, ranked, renormalised
from indexer.types import Embeddings, ItemIds

_CHUNK = 2_000
_MARK_EVERY = 10
"""Chunks between two marks of how far it got."""
_SAMPLES = 32
_DEPTHS = (10, 100)
"""Recall is measured of so many nearest."""

Payload = Mapping[str, Any]
Progress = Callable[[int, int], None]


@runtime_checkable
class MirrorStore(RemoteStore, Protocol):
    """A remote store that keeps a payload with each vector, and filters by it."""

    def upsert(
        self, ids: ItemIds, vectors: Embeddings, payloads: Sequence[Payload] | None = None
    ) -> None:
        """Add vectors; points that are there keep their payloads."""

    def set_payloads(self, ids: ItemIds, payloads: Sequence[Payload]) -> None:
        """Replace the payloads of points that are there."""

    def known(self, field: str) -> Iterator[tuple[int, object]]:
        """All ids held, ascending, with one field of their payloads."""

    def note_recall(self, recall: float, recall_100: float) -> None:
        """Write down recall@10 and recall@100 that were measured."""

    def beside(self) -> MirrorStore:
        """A store of the same place that no search goes to yet; what was begun is gone on with."""

    def switch(self) -> None:
        """Let searches go to this one, with all spaces of its layer, and delete the old one."""

    def drop_beside(self) -> None:
        """Delete what was begun beside and not switched to, with all spaces of the layer."""

    def keep_mark(self, mark: SyncMark) -> None:
        """Write down with the vectors how far they reach."""

    def kept_mark(self) -> SyncMark | None:
        """What was written down so; None if nothing can be said."""


@dataclass(frozen=True)
class SyncReport:
    """What `sync` did: vectors added and removed, payloads replaced; all that are there now.

    ``complete`` is False where it was stopped; the next run goes on from there.
    """

    added: int
    removed: int
    changed: int
    count: int
    complete: bool


@dataclass(frozen=True)
class Comparison:
    """A sample of searches, compared with exact search over the catalog's vectors.

    Attributes:
        queries: how many.
        equal: how many of them brought the very same items.
        recall, recall_100: mean share of the ten, of the hundred nearest that was found.
    """

    queries: int
    equal: int
    recall: float
    recall_100: float


def connect_mirror(library: Library, space: SpaceInfo, layer: Layer) -> MirrorStore:
    """The server's part of a layer, to be written; close it.

    Raises:
        ConfigError: it cannot take what filters ask about.
        StoreUnavailableError: it does not answer.
    """
    store = connect(library, space, layer)
    if isinstance(store, MirrorStore):
        return store
    store.close()
    raise ConfigError(f"{library.config.store}: the store takes no payloads")


def sync(
    library: Library,
    space: SpaceInfo,
    layer: Layer,
    store: MirrorStore,
    *,
    beside: bool = False,
    on_progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
) -> SyncReport:
    """Bring a layer of a space in a server up to the catalog; only a writer of the library should.

    Args:
        library: whose catalog is the truth.
        space: which vectors.
        layer: of items or of slices.
        store: prepared, of this space and layer.
        beside: whether no search goes to ``store`` yet, so that it keeps its mark itself.
        on_progress: told vectors and payloads that are done, and how many there are to do.
        stop: asked between batches; True ends the run at a place where it can go on.

    Raises:
        StoreUnavailableError: the server went away; what it confirmed is kept.
        StoreError: it does not hold in the end what it was given.
        LibraryCorruptError: a vector of the catalog is damaged.
    """
    with reading(library.engine) as db:
        run = _Sync(library, db, space, layer, store, beside=beside)
        run.on_progress, run.stop = on_progress, stop
        return run.run()


def is_current(library: Library, db: Connection, space: SpaceInfo, layer: Layer = ITEMS) -> bool:
    """Whether a server holds all that the catalog says, so that its own filters may be used."""
    mark = read_mark(library, space, layer)
    if mark is None or mark.revision != newest_revision(db):
        return False
    current = generation_of(db, space), newest_seq(db, space, layer)
    return (mark.generation, mark.high_water) == current


def newest_revision(db: Connection) -> int:
    """The highest revision that any study ever had; that of a removed study counts too."""
    query = select(func.max(StudyChange.revision))
    given = db.exec_driver_sql("SELECT seq FROM sqlite_sequence WHERE name = 'study_change'")
    return max(db.execute(query).scalar() or 0, given.scalar() or 0)


class _Sync:
    """One run, over one consistent view of the catalog."""

    def __init__(
        self,
        library: Library,
        db: Connection,
        space: SpaceInfo,
        layer: Layer,
        store: MirrorStore,
        *,
        beside: bool,
    ) -> None:
        self._library, self._db, self._space, self._layer = library, db, space, layer
        self._store, self._beside = store, beside
        self.on_progress: Progress | None = None
        self.stop: Callable[[], bool] | None = None
        self._generation = generation_of(db, space)
        self._revision = newest_revision(db)
        self._total = catalog_count(db, space.id, layer)
        self._added = self._removed = self._changed = self._done = self._to_do = 0

    def run(self) -> SyncReport:
        mark = self._read_mark()
        if mark is not None and mark.revision > self._revision:
            mark = None  # an older catalog was put back: what is written in it is not ours
        held = self._store.count()
        missing: set[int] | None = None
        since, described = 0, self._revision  # a server with nothing in it has no old payloads
        if mark is not None and self._builds_on(mark, held):
            since, described = mark.high_water, mark.revision
        elif held:
            described = mark.revision if mark is not None else 0
            missing, extra = self._differences()
            self._store.delete(extra)
            self._removed = len(extra)
        if not (self._add(since, described, missing) and self._describe(described, since, missing)):
            return self._report(complete=False)
        self._verify()
        self._write_mark(
            newest_seq(self._db, self._space, self._layer), self._revision, self._total
        )
        return self._report(complete=True)

    def _builds_on(self, mark: SyncMark, held: int) -> bool:
        """Whether the server is as the mark says, and the catalog has only been added to since."""
        return (
            mark.count == held == self._count_up_to(mark.high_water)
            and mark.generation == self._generation
        )

    def _differences(self) -> tuple[set[int], ItemIds]:
        """Ids that the server lacks, and those that it should not have: both lists ascend."""
        missing, extra = set[int](), list[int]()
        theirs = self._store.known("uid")
        other = next(theirs, None)
        for number, uid in self._names():
            while other is not None and other[0] < number:
                extra.append(other[0])
                other = next(theirs, None)
            if other is None or other[0] > number:
                missing.add(number)
                continue
            if other[1] != uid:  # as after an older catalog was put back, which counts anew
                missing.add(number)
                extra.append(number)
            other = next(theirs, None)
        while other is not None:
            extra.append(other[0])
            other = next(theirs, None)
        return missing, np.array(extra, np.int64)

    def _names(self) -> Iterator[tuple[int, str]]:
        """All ids of the layer, ascending, with what names them by content."""
        query: Any
        if self._layer is SLICES:
            named = select(SliceRow.seq, Item.uid, SliceRow.slice_index).join(Item)
            query = named.where(SliceRow.space_id == self._space.id).order_by(SliceRow.seq)
        else:
            plain = select(EmbeddingRow.item_id, Item.uid).join(Item)
            query = plain.where(EmbeddingRow.space_id == self._space.id)
            query = query.order_by(EmbeddingRow.item_id)
        for row in self._db.execute(query.execution_options(yield_per=10_000)):
            yield row[0], row[1] if len(row) == 2 else slice_uid(row[1], row[2])

    def _add(self, since: int, described: int, missing: set[int] | None) -> bool:
        """Send vectors in the order of ``seq``; False where it was stopped."""
        sent_up_to, count = since, self._count_up_to(since)
        self._to_do = self._total - count if missing is None else len(missing)
        table = self._layer.table
        query = (
            select(table.seq, self._layer.key.label("id"))
            .where(table.space_id == self._space.id, table.seq > since)
            .order_by(table.seq)
            .execution_options(yield_per=_CHUNK)
        )
        for number, rows in enumerate(self._db.execute(query).partitions(), 1):
            if self.stop is not None and self.stop():
                self._write_mark(sent_up_to, described, count)
                return False
            wanted = rows if missing is None else [row for row in rows if row.id in missing]
            self._send(wanted)
            sent_up_to, count = rows[-1].seq, count + len(rows)
            if number % _MARK_EVERY == 0:
                self._write_mark(sent_up_to, described, count)
        return True

    def _send(self, rows: Sequence[Row[int, int]]) -> None:
        if not rows:
            return
        table, ids = self._layer.table, [row.id for row in rows]
        first, last = rows[0].seq, rows[-1].seq
        query = select(table.seq, table.vector).where(
            table.space_id == self._space.id, table.seq.between(first, last)
        )
        blobs = {row.seq: row.vector for row in self._db.execute(query)}
        vectors = sound_rows([blobs[row.seq] for row in rows], self._space)
        described = payloads(self._db, self._layer, ids)
        # The float16 numbers themselves: renormalised, some would be rounded to others.
        self._store.upsert(
            np.array(ids, np.int64),
            vectors.astype(np.float32),
            [described[number] for number in ids],
        )
        self._added += len(ids)
        self._tell(len(ids))

    def _describe(self, since: int, seq: int, missing: set[int] | None) -> bool:
        """Replace the payloads of what changed after revision ``since``; False where stopped.

        What this run has sent is new already: beyond ``seq``, or among ``missing``.
        """
        if since == self._revision:
            return True
        table = self._layer.table
        changed = select(StudyChange.study_id).where(StudyChange.revision > since)
        query = (
            select(self._layer.key.label("id"))
            .select_from(table)
            .join(Item, Item.id == table.item_id)
            .join(Series)
            .where(table.space_id == self._space.id, Series.study_id.in_(changed))
        )
        if missing is None:
            query = query.where(table.seq <= seq)
        found = self._db.execute(query.order_by(table.seq)).scalars()
        ids = [number for number in found if missing is None or number not in missing]
        self._to_do += len(ids)
        for start in range(0, len(ids), _CHUNK):
            if self.stop is not None and self.stop():
                self._write_mark(newest_seq(self._db, self._space, self._layer), since, self._total)
                return False
            part = ids[start : start + _CHUNK]
            described = payloads(self._db, self._layer, part)
            self._store.set_payloads(np.array(part, np.int64), [described[i] for i in part])
            self._changed += len(part)
            self._tell(len(part))
        return True

    def _verify(self) -> None:
        held = self._store.count()
        if held != self._total:
            raise StoreError(
                f"the server holds {held} vectors of '{self._space.encoder}' where the catalog has "
                f"{self._total}; run the same command again"
            )
        ids, vectors = _sample(self._db, self._space, self._layer, _SAMPLES)
        if not len(ids):
            return
        try:
            same = np.allclose(self._store.fetch(ids), vectors, atol=1e-6)
        except KeyError:
            same = False
        if not same:
            raise StoreError(
                f"the server holds other vectors of '{self._space.encoder}' than the catalog; make "
                "them anew: syntopy reindex"
            )

    def _count_up_to(self, seq: int) -> int:
        table = self._layer.table
        query = select(func.count()).where(table.space_id == self._space.id, table.seq <= seq)
        return int(self._db.execute(query).scalar_one())

    def _read_mark(self) -> SyncMark | None:
        if self._beside:
            return self._store.kept_mark()
        return read_mark(self._library, self._space, self._layer)

    def _write_mark(self, high_water: int, revision: int, count: int) -> None:
        mark = SyncMark(high_water, self._generation, count=count, revision=revision)
        if self._beside:
            self._store.keep_mark(mark)
        else:
            write_mark(self._library, self._space, self._layer, mark)

    def _tell(self, more: int) -> None:
        self._done += more
        if self.on_progress is not None:
            self.on_progress(self._done, self._to_do)

    def _report(self, *, complete: bool) -> SyncReport:
        return SyncReport(self._added, self._removed, self._changed, self._store.count(), complete)


def compare(
    library: Library, space: SpaceInfo, layer: Layer, store: MirrorStore, queries: int = _SAMPLES
) -> Comparison:
    """Search a sample in the store and exactly in the catalog; the recall is noted in the store.

    It reads every vector of the layer once.
    """
    with reading(library.engine) as db:
        ids, vectors = _sample(db, space, layer, queries)
        if not len(ids):
            return Comparison(0, 0, 1.0, 1.0)
        best, scores = np.empty((len(ids), 0), np.int64), np.empty((len(ids), 0), np.float32)
        for _, rows, some in stored_rows(db, space, 0, layer):
            truth = make_store("exact", space.dim)
            truth.upsert(rows, some)
            more, more_scores = truth.search(vectors, _DEPTHS[-1])
            best = np.concatenate([best, more], axis=1)
            scores = np.concatenate([scores, more_scores], axis=1)
            best, scores = ranked(best, scores, _DEPTHS[-1])
    found, _ = store.search(vectors, _DEPTHS[-1])
    pairs = zip(found[:, :10].tolist(), best[:, :10].tolist(), strict=True)
    equal = sum(row == wanted for row, wanted in pairs)
    recalls = [_share(found[:, :k], best[:, :k]) for k in _DEPTHS]
    store.note_recall(*recalls)
    return Comparison(len(ids), equal, *recalls)


def _share(found: ItemIds, wanted: ItemIds) -> float:
    """Of the wanted ids of each row those that were found, all rows together."""
    rows = zip(found.tolist(), wanted.tolist(), strict=True)
    return sum(len(set(row) & set(ids)) for row, ids in rows) / wanted.size


def _sample(
    db: Connection, space: SpaceInfo, layer: Layer, size: int
) -> tuple[ItemIds, Embeddings]:
    """Ids and unit vectors from all over the layer, the same ones at every call."""
    table = layer.table
    seqs = np.array(
        db.execute(select(table.seq).where(table.space_id == space.id).order_by(table.seq))
        .scalars()
        .all(),
        np.int64,
    )
    picked = seqs[np.unique(np.linspace(0, len(seqs) - 1, min(size, len(seqs))).astype(int))]
    query = select(layer.key.label("id"), table.vector).where(table.seq.in_(picked.tolist()))
    rows = db.execute(query.where(table.space_id == space.id).order_by(table.seq)).all()
    vectors, _ = stored_vectors([row.vector for row in rows], space.dim)
    return np.array([row.id for row in rows], np.int64), renormalised(vectors)
