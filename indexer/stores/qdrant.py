"""Qdrant: vectors in a server, which also evaluates filters, shards and replicates.

The server ranks by float16 vectors, approximately or not; what it brings is compared again here
from the vectors it holds, so that scores are those of every other store and ties go by id.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from indexer.errors import StoreError
from indexer.filter_tree import Filter
from indexer.stores.contract import (
    NO_ID,
    Place,
    StoreStats,
    checked,
    checked_queries,
)
from indexer.stores.qdrant_collection import Collection
from indexer.stores.qdrant_filter import leaves, qdrant_filter, server_can
from indexer.stores.qdrant_points import PAGE, Payload, Points
from indexer.stores.qdrant_server import QdrantClient, Server, models, open_server, release
from indexer.stores.qdrant_spec import QdrantSpec, read_spec
from indexer.types import Embeddings, ItemIds, Scores

_MARGIN = 16
"""Neighbours fetched beyond k, so that ties at the k-th place are settled by id, not by chance."""
_EXACT_BELOW = 20_000
"""Candidates that are compared one by one: that costs no more than walking a graph of them."""
_NAMED = 20_000
"""Ids that a filter names, where the store can choose: so many are sent with every query."""
_QUERIES, _QUERIES_WITH_FILTER = 32, 4
"""In one request."""
_ARITHMETIC = 1e-5
"""By how much sums in single precision may differ from sums in double."""


@dataclass(frozen=True)
class _Plan:
    """How one search is to be done by the server."""

    where: models.Filter | None
    exact: bool
    acorn: bool = False


class QdrantStore:
    """A space's vectors of one layer in a collection; see the contracts of the stores.

    What it holds is float16, as the catalog has it. Of the payload it knows nothing but that
    filters look into it: `indexer.payload` makes it.
    """

    def __init__(
        self, server: Server, spec: QdrantSpec, place: Place, number: int | None = None
    ) -> None:
        self.dim = place.dim
        self._server, self._spec, self._place = server, spec, place
        self._collection = Collection(server, spec, place, number)
        self._points = Points(server, self._collection, place.dim)
        self._closed = False

    @classmethod
    def check_spec(cls, spec: str) -> None:
        """ConfigError if a spec such as ``qdrant://host:6333/name`` cannot be understood."""
        read_spec(spec)

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
        """
        server = open_server(self._spec)
        store = QdrantStore(server, self._spec, self._place, self._collection.next_number())
        store.prepare()
        return store

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
                f"{len(missing)} spaces are not in the new collection yet: {', '.join(missing)}"
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

    def set_payloads(self, ids: ItemIds, payloads: Sequence[Payload]) -> None:
        """Replace the payloads of points; of those that are not there nothing is said."""
        if self._points.state is not None:
            self._points.set_payloads(dict(zip(ids.tolist(), payloads, strict=True)))

    def delete(self, ids: ItemIds) -> None:
        """Forget these ids; a point goes with the last of its vectors."""
        if self._points.state is not None:
            self._points.delete(np.asarray(ids, np.int64).tolist())

    # -- searching ------------------------------------------------------------------------------

    def search(
        self, queries: Embeddings, k: int, allowed: ItemIds | None = None
    ) -> tuple[ItemIds, Scores]:
        """The k nearest of each query among ``allowed`` (all, where None)."""
        queries = checked_queries(queries, self.dim)
        if k <= 0 or not len(queries) or self._points.state is None:
            return _nothing(len(queries))
        if allowed is None:
            exact = self._spec.exact or self.count() <= _EXACT_BELOW
            return self._nearest(queries, k, _Plan(None, exact))
        allowed = np.unique(np.asarray(allowed, np.int64))
        if not len(allowed):
            return _nothing(len(queries))
        if len(allowed) > _NAMED and not self._spec.exact:
            found = self._nearest_among(queries, k, allowed)
            if found is not None:
                return found
        named = models.HasIdCondition(has_id=list(allowed.tolist()))
        return self._nearest(queries, k, _Plan(models.Filter(must=[named]), exact=True))

    def search_where(
        self, queries: Embeddings, k: int, tree: Filter, excluded: ItemIds | None = None
    ) -> tuple[ItemIds, Scores] | None:
        """As `search`, among the items that a filter passes, which the server finds itself.

        The payloads it looks into are as new as the last `indexer.mirror.sync`.

        Args:
            queries: as in `search`.
            k: as in `search`.
            tree: of the filter.
            excluded: ids that may not be found.

        Returns:
            None where Qdrant cannot evaluate the filter: ask the catalog and use ``allowed``.
        """
        queries = checked_queries(queries, self.dim)
        if not server_can(tree):
            return None
        if k <= 0 or not len(queries) or self._points.state is None:
            return _nothing(len(queries))
        where = qdrant_filter(tree)
        if excluded is not None and len(excluded):
            named = models.HasIdCondition(has_id=list(np.unique(excluded).tolist()))
            where = models.Filter(must=where.must, must_not=[named])
        exact = self._spec.exact or self._points.count(where) <= _EXACT_BELOW
        several = len({leaf.field for leaf in leaves(tree)}) > 1
        return self._nearest(queries, k, _Plan(where, exact, acorn=several))

    def _nearest_among(
        self, queries: Embeddings, k: int, allowed: ItemIds
    ) -> tuple[ItemIds, Scores] | None:
        """The k nearest among many ids, out of the nearest of all; None if these hold too few."""
        wide = int(1.5 * k * self.count() / len(allowed)) + 4 * _MARGIN
        if wide > PAGE:
            return None
        ids, scores = self._nearest(queries, wide, _Plan(None, exact=False))
        passed = np.isin(ids, allowed)
        if (passed.sum(axis=1) < k).any():
            return None
        rows = [(i[p][:k], s[p][:k]) for i, s, p in zip(ids, scores, passed, strict=True)]
        return np.stack([i for i, _ in rows]), np.stack([s for _, s in rows])

    def _nearest(self, queries: Embeddings, k: int, plan: _Plan) -> tuple[ItemIds, Scores]:
        """The k nearest of each query by exact scores, looking further until they are settled."""
        slack = self._slack(queries) if plan.exact else np.full(len(queries), 1e-6)
        found: list[tuple[ItemIds, Scores]] = [_one_row()] * len(queries)
        rows = _Rows(self._points)
        pending, limit = np.arange(len(queries)), k + _MARGIN
        while len(pending):
            unsettled = []
            answers = self._ask(queries[pending], limit, plan)
            rows.get([ids for ids, _ in answers])
            for at, (brought, said) in zip(pending.tolist(), answers, strict=True):
                ids, scores = rows.scores(queries[at], brought)
                found[at] = ids[:k], scores[:k]
                # Whatever was not fetched scores no more than the last one fetched, and so much.
                whole = len(said) < limit
                if not whole and (len(ids) < k or said[-1] + slack[at] >= scores[k - 1]):
                    unsettled.append(at)
            pending, limit = np.array(unsettled, np.int64), 4 * limit
        return _padded(found)

    def _ask(
        self, queries: Embeddings, limit: int, plan: _Plan
    ) -> list[tuple[list[int], list[float]]]:
        """Ids with the server's own scores, nearest first."""
        params = None if self._server.local else self._params(limit, plan)
        requests = [
            models.QueryRequest(
                query=query,
                using=self._collection.vector,
                filter=plan.where,
                params=params,
                limit=limit,
                with_payload=False,
                with_vector=False,
            )
            for query in queries.tolist()
        ]
        name = self._collection.target
        answers: list[tuple[list[int], list[float]]] = []
        # A filter may name many ids, which every query would carry.
        size = _QUERIES if plan.where is None else _QUERIES_WITH_FILTER
        for start in range(0, len(requests), size):
            part = requests[start : start + size]

            def ask(
                client: QdrantClient, part: list[models.QueryRequest] = part
            ) -> list[models.QueryResponse]:
                return client.query_batch_points(name, part)

            for answer in self._server.read(ask):
                points = answer.points
                answers.append(([int(p.id) for p in points], [p.score for p in points]))
        return answers

    def _params(self, limit: int, plan: _Plan) -> models.SearchParams:
        quantized = {"none": None, "int8": 2.0, "binary": 4.0}[self._spec.quantization]
        if plan.exact:
            ignored = models.QuantizationSearchParams(ignore=True)
            return models.SearchParams(exact=True, quantization=ignored)
        return models.SearchParams(
            hnsw_ef=min(max(128, 2 * limit), 4096),
            acorn=models.AcornSearchParams(enable=True) if plan.acorn else None,
            quantization=None
            if quantized is None
            else models.QuantizationSearchParams(rescore=True, oversampling=quantized),
        )

    def _slack(self, queries: Embeddings) -> Scores:
        """By how much the server's products can lie below exact cosines, for each query.

        It multiplies the float16 query with vectors whose length the catalog's rounding moved from
        1; both are bounded. (A server that also sums in float16, as on some ARM processors, is
        beyond that: neighbours that differ by less may be exchanged there.)
        """
        lost = np.linalg.norm(queries - queries.astype(np.float16).astype(np.float32), axis=1)
        lengths = np.linalg.norm(queries, axis=1)
        slack: Scores = lost + lengths * (self._points.length_error() + _ARITHMETIC)
        return slack

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
        recall = 1.0 if exact else self._points.noted("recall")
        return StoreStats(
            kind="qdrant",
            count=count,
            bytes=count * (4 * self.dim + 8),
            recall=1.0 if recall is None else recall,
            exact=exact,
        )

    def note_recall(self, recall: float) -> None:
        """Write down a recall@10 that was measured."""
        self._points.note("recall", round(recall, 4))


class _Rows:
    """The vectors of one search, fetched once each."""

    def __init__(self, points: Points) -> None:
        self._points = points
        self._held: dict[int, np.ndarray] = {}

    def get(self, lists: Sequence[Sequence[int]]) -> None:
        """Fetch what these lists name and is not here yet."""
        new = {i for ids in lists for i in ids} - self._held.keys()
        self._held |= self._points.held(sorted(new))

    def scores(self, query: np.ndarray, ids: Sequence[int]) -> tuple[ItemIds, Scores]:
        """Those of ``ids`` that are still there, nearest first, ties by id."""
        here = np.array([i for i in ids if i in self._held], np.int64)
        if not len(here):
            return _one_row()
        rows = np.stack([self._held[i] for i in here.tolist()])
        scores = (rows.astype(np.float64) @ query.astype(np.float64)).astype(np.float32)
        order = np.lexsort((here, -scores))
        return here[order], scores[order]


def _one_row() -> tuple[ItemIds, Scores]:
    return np.empty(0, np.int64), np.empty(0, np.float32)


def _nothing(queries: int) -> tuple[ItemIds, Scores]:
    return np.empty((queries, 0), np.int64), np.empty((queries, 0), np.float32)


def _padded(rows: Sequence[tuple[ItemIds, Scores]]) -> tuple[ItemIds, Scores]:
    width = max((len(ids) for ids, _ in rows), default=0)
    ids = np.full((len(rows), width), NO_ID, np.int64)
    scores = np.full((len(rows), width), -np.inf, np.float32)
    for at, (row, values) in enumerate(rows):
        ids[at, : len(row)], scores[at, : len(row)] = row, values
    return ids, scores
