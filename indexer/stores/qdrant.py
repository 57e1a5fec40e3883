"""Qdrant: vectors in a server, which also evaluates filters, shards and replicates.

The server ranks by float16 vectors, approximately or not; what it brings is compared again here
from the vectors it holds, so that scores are those of every other store and ties go by id.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Self

import numpy as np

from indexer.errors import StoreError
from indexer.filter_tree import Filter
from indexer.stores.contract import (
    Place,
    StoreStats,
    SyncMark,
    checked,
    checked_queries,
)
from indexer.stores.qdrant_collection import Collection
from indexer.stores.qdrant_filter import leaves, qdrant_filter, server_can
from indexer.stores.qdrant_points import PAGE, Payload, Points
from indexer.stores.qdrant_search import MARGIN, Plan, Search, nothing
from indexer.stores.qdrant_server import Server, models, open_server, release
from indexer.stores.qdrant_spec import QdrantSpec, read_spec
from indexer.types import Embeddings, ItemIds, Scores

_EXACT_BELOW = 20_000
"""Candidates that are compared one by one: that costs no more than walking a graph of them."""
_NAMED = 20_000
"""Ids that a filter names, where the store can choose: so many are sent with every query."""
_RECALLS = ("recall", "recall 100")
"""What measured recalls are noted as."""
_MARK = "mark"
"""What it is noted as how far the vectors reach."""
_COUNT_AGAIN = 60.0
"""Seconds."""


class QdrantStore:
    """A space's vectors of one layer in a collection; see the contracts of the stores.

    What it holds is float16, as the catalog has it. Of the payload it knows nothing but that
    filters look into it: `indexer.index.payload` makes it.
    """

    def __init__(
        self, server: Server, spec: QdrantSpec, place: Place, number: int | None = None
    ) -> None:
        self.dim = place.dim
        self._server, self._spec, self._place = server, spec, place
        self._collection = Collection(server, spec, place, number)
        self._points = Points(server, self._collection, place.dim)
        self._search = Search(server, self._points, spec.quantization)
        self._closed = False
        self._counted: tuple[float | None, int] = (None, 0)

    @classmethod
    def check_spec(cls, spec: str) -> None:
        """ConfigError if a spec such as ``qdrant://host:6333/name`` cannot be understood."""
        read_spec(spec)

    @classmethod
    def address(cls, spec: str) -> str:
        """Server and collection, whatever else a spec says."""
        read = read_spec(spec)
        return f"{read.address}/{read.name}"

    @classmethod
    def connect(cls, spec: str, place: Place) -> Self:
        """Reach the server. Nothing is made there; what is not there counts as empty.

        Raises:
            StoreUnavailableError: it does not answer.
            ConfigError: the collection is another library's, or the server too old.
        """
        read = read_spec(spec)
        server = open_server(read)
        try:
            store = cls(server, read, place)
            store._points.look()
        except BaseException:
            release(server)
            raise
        return store

    def close(self) -> None:
        """Let go of the connection, which other stores of the process may still use."""
        if not self._closed:
            self._closed = True
            release(self._server)

    # -- making ---------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make collection, payload indexes, vector and alias, as far as they are not there."""
        self._collection.make()
        self._points.look()

    def drop(self) -> None:
        """Delete everything that is held for this place."""
        self._collection.drop()
        self._points.look()

    def beside(self) -> QdrantStore:
        """A store of the same place in a new collection, prepared, that no search goes to yet.

        Fill it, then `switch`: so a library gets other shards or another quantisation, while
        searches go on. (A space with new weights needs none of that, it is a vector of its own.)
        What was begun so with the same options, and not switched to, is gone on with; anything
        else that stopped runs left is deleted.
        """
        self._collection.clear(going_on=True)
        server = open_server(self._spec)
        try:
            store = QdrantStore(server, self._spec, self._place, self._collection.next_number())
            store.prepare()
        except BaseException:
            release(server)
            raise
        return store

    def drop_beside(self) -> None:
        """Delete what was begun beside the collection that searches go to, for all spaces."""
        self._collection.clear()

    def switch(self) -> None:
        """Let searches go to this store's collection from now on; the old one is deleted.

        Every space of the library has to be in the new one by then.

        Raises:
            StoreError: one is not.
        """
        old = Collection(self._server, self._spec, self._place).state()
        new = self._collection.state()
        missing = set(old.vectors if old else ()) - set(new.vectors if new else ())
        if missing:
            raise StoreError(
                f"{len(missing)} spaces are not in the new collection yet: {', '.join(missing)}; "
                "fill them too, or give the store's URL another name at its end"
            )
        self._collection.switch()

    # -- changing -------------------------------------------------------------------------------

    def upsert(
        self, ids: ItemIds, vectors: Embeddings, payloads: Sequence[Payload] | None = None
    ) -> None:
        """Add vectors, or replace those of known ids.

        Args:
            ids: of points; the vectors of other spaces at the same ids stay.
            vectors: rows, rounded to float16.
            payloads: for each; a point that is there keeps the one it has, see `set_payloads`.
        """
        given = [] if payloads is None else zip(np.asarray(ids).tolist(), payloads, strict=True)
        by_id = dict(given)
        ids, vectors = checked(ids, vectors, self.dim)
        if self._points.state is None:
            self.prepare()
        self._points.upsert(ids.tolist(), vectors, by_id)
        self._counted = (None, 0)

    def set_payloads(self, ids: ItemIds, payloads: Sequence[Payload]) -> None:
        """Replace the payloads of points; of those that are not there nothing is said."""
        if self._points.state is not None:
            self._points.set_payloads(dict(zip(ids.tolist(), payloads, strict=True)))

    def delete(self, ids: ItemIds) -> None:
        """Forget these ids; a point goes with the last of its vectors."""
        if self._points.state is not None:
            self._points.delete(np.asarray(ids, np.int64).tolist())
            self._counted = (None, 0)

    # -- searching ------------------------------------------------------------------------------

    def search(
        self, queries: Embeddings, k: int, allowed: ItemIds | None = None
    ) -> tuple[ItemIds, Scores]:
        """The k nearest of each query among ``allowed`` (all, where None)."""
        queries = checked_queries(queries, self.dim)
        if k <= 0 or not len(queries) or self._points.state is None:
            return nothing(len(queries))
        if allowed is None:
            exact = self._spec.exact or self._size() <= _EXACT_BELOW
            return self._search.nearest(queries, k, Plan(None, exact))
        allowed = np.unique(np.asarray(allowed, np.int64))
        if not len(allowed):
            return nothing(len(queries))
        if len(allowed) > _NAMED and not self._spec.exact:
            found = self._nearest_among(queries, k, allowed)
            if found is not None:
                return found
        named = models.HasIdCondition(has_id=list(allowed.tolist()))
        return self._search.nearest(queries, k, Plan(models.Filter(must=[named]), exact=True))

    def search_where(
        self, queries: Embeddings, k: int, tree: Filter
    ) -> tuple[ItemIds, Scores] | None:
        """As `search`, among the items that a filter passes, which the server finds itself.

        The payloads it looks into are as new as the last `indexer.index.mirror.sync`.

        Args:
            queries: as in `search`.
            k: as in `search`.
            tree: of the filter.

        Returns:
            None where Qdrant cannot evaluate the filter: ask the catalog and use ``allowed``.
        """
        queries = checked_queries(queries, self.dim)
        if not server_can(tree):
            return None
        if k <= 0 or not len(queries) or self._points.state is None:
            return nothing(len(queries))
        where = qdrant_filter(tree)
        exact = self._spec.exact or self._points.count(where, exact=False) <= _EXACT_BELOW
        several = len({leaf.field for leaf in leaves(tree)}) > 1
        return self._search.nearest(queries, k, Plan(where, exact, acorn=several))

    def _size(self) -> int:
        """How many vectors there are, or were a minute ago: counting many takes long."""
        at, size = self._counted
        if at is None or time.monotonic() - at > _COUNT_AGAIN:
            self._counted = (time.monotonic(), size := self.count())
        return size

    def _nearest_among(
        self, queries: Embeddings, k: int, allowed: ItemIds
    ) -> tuple[ItemIds, Scores] | None:
        """The k nearest among many ids, out of the nearest of all; None if these hold too few."""
        wide = int(1.5 * k * self._size() / len(allowed)) + 4 * MARGIN
        if wide > PAGE:
            return None
        ids, scores = self._search.nearest(queries, wide, Plan(None, exact=False))
        passed = np.isin(ids, allowed)
        if (passed.sum(axis=1) < k).any():
            return None
        rows = [(i[p][:k], s[p][:k]) for i, s, p in zip(ids, scores, passed, strict=True)]
        return np.stack([i for i, _ in rows]), np.stack([s for _, s in rows])

    # -- reading --------------------------------------------------------------------------------

    def fetch(self, ids: ItemIds) -> Embeddings:
        """The vectors of these ids, in this order."""
        ids = np.asarray(ids, np.int64)
        held = {} if self._points.state is None else self._points.held(ids.tolist())
        missing = sum(1 for i in ids.tolist() if i not in held)
        if missing:
            raise KeyError(f"{missing} of {len(ids)} ids are not in the store")
        rows = [held[i] for i in ids.tolist()]
        return np.array(rows, np.float32).reshape(-1, self.dim)

    def ids(self) -> ItemIds:
        """All ids held, ascending."""
        return np.array([i for i, _ in self.known("uid")], np.int64)

    def known(self, field: str) -> Iterator[tuple[int, object]]:
        """All ids held, ascending, with one field of their payloads (None where it is not)."""
        return iter(()) if self._points.state is None else self._points.known(field)

    def count(self) -> int:
        """How many vectors are held."""
        return 0 if self._points.state is None else self._points.count()

    def stats(self) -> StoreStats:
        """Kind, size and recall, as measured when the library was last compared."""
        count = self.count()
        exact = self._spec.exact or count <= _EXACT_BELOW
        found = [1.0 if exact else self._points.noted(name) for name in _RECALLS]
        measured = None not in found
        return StoreStats(
            kind="qdrant",
            count=count,
            bytes=count * (4 * self.dim + 8),
            recall=found[0],
            recall_100=found[1],
            exact=exact,
            reason="few enough to compare them all" if exact else "the server's graph",
            warning="" if measured else "its recall is not known yet: syntopy reindex measures it",
        )

    def note_recall(self, recall: float, recall_100: float) -> None:
        """Write down recall@10 and recall@100 that were measured."""
        for name, value in zip(_RECALLS, (recall, recall_100), strict=True):
            self._points.note(name, round(value, 4))

    def keep_mark(self, mark: SyncMark) -> None:
        """Write down with the vectors how far they reach, while no library does that."""
        self._points.note(_MARK, asdict(mark))

    def kept_mark(self) -> SyncMark | None:
        """What `keep_mark` wrote down last; None if nothing can be said."""
        try:
            return SyncMark(**self._points.noted_all(_MARK))
        except TypeError:
            return None
