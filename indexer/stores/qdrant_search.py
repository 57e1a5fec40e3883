"""One search in Qdrant: asked for with a margin, compared again exactly, widened till settled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from indexer.stores.contract import NO_ID
from indexer.stores.qdrant_points import Points
from indexer.stores.qdrant_server import QdrantClient, Server, models
from indexer.stores.qdrant_spec import Quantization
from indexer.types import Embeddings, ItemIds, Scores

MARGIN = 16
"""Neighbours fetched beyond k, so that ties at the k-th place are settled by id, not by chance."""
_QUERIES, _QUERIES_WITH_FILTER = 32, 4
"""In one request."""
_ARITHMETIC = 1e-5
"""By how much sums in single precision may differ from sums in double."""
_TIE = 1e-6
_OVERSAMPLING: dict[Quantization, float] = {"int8": 2.0, "binary": 4.0}


@dataclass(frozen=True)
class Plan:
    """How one search is to be done by the server."""

    where: models.Filter | None
    exact: bool
    acorn: bool = False


class Search:
    """Finds the nearest among the points of a space."""

    def __init__(self, server: Server, points: Points, quantization: Quantization) -> None:
        self._server, self._points, self._quantization = server, points, quantization

    def nearest(self, queries: Embeddings, k: int, plan: Plan) -> tuple[ItemIds, Scores]:
        """The k nearest of each query by exact scores, looking further until they are settled."""
        slack = self._slack(queries)
        found: list[tuple[ItemIds, Scores]] = [_one_row()] * len(queries)
        rows = _Rows(self._points)
        pending, limit = np.arange(len(queries)), k + MARGIN
        short: list[int] = []
        while len(pending):
            unsettled = []
            answers = self._ask(queries[pending], limit, plan)
            rows.get([ids for ids, _ in answers])
            for at, (brought, said) in zip(pending.tolist(), answers, strict=True):
                ids, scores = rows.scores(queries[at], brought)
                found[at] = ids[:k], scores[:k]
                whole = len(said) < limit
                if whole and len(ids) < k and not plan.exact:
                    short.append(at)  # a graph may lose its way among few
                elif whole:
                    continue
                elif len(ids) < k or _goes_on(
                    said,
                    scores[k - 1],
                    dict(zip(brought, said, strict=True))[int(ids[k - 1])],
                    slack[at] if plan.exact else None,
                ):
                    unsettled.append(at)
            pending, limit = np.array(unsettled, np.int64), 4 * limit
        if short:
            ids, scores = self.nearest(queries[short], k, replace(plan, exact=True))
            for at, row, values in zip(short, ids, scores, strict=True):
                held = row != NO_ID
                found[at] = row[held], values[held]
        return _padded(found)

    def _ask(
        self, queries: Embeddings, limit: int, plan: Plan
    ) -> list[tuple[list[int], list[float]]]:
        """Ids with the server's own scores, nearest first."""
        params = None if self._server.local else self._params(limit, plan)
        requests = [
            models.QueryRequest(
                query=query,
                using=self._points.vector,
                filter=plan.where,
                params=params,
                limit=limit,
                with_payload=False,
                with_vector=False,
            )
            for query in queries.tolist()
        ]
        name = self._points.name
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

    def _params(self, limit: int, plan: Plan) -> models.SearchParams:
        oversampling = _OVERSAMPLING.get(self._quantization)
        if plan.exact:
            ignored = models.QuantizationSearchParams(ignore=True)
            return models.SearchParams(exact=True, quantization=ignored)
        return models.SearchParams(
            hnsw_ef=min(max(128, 2 * limit), 4096),
            acorn=models.AcornSearchParams(enable=True) if plan.acorn else None,
            quantization=None
            if oversampling is None
            else models.QuantizationSearchParams(rescore=True, oversampling=oversampling),
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


def _goes_on(said: Sequence[float], score: float, its_said: float, slack: float | None) -> bool:
    """Whether what was not fetched can be as near as the k-th neighbour.

    Args:
        said: the server's scores of what was fetched, the last one being the least.
        score: of the k-th neighbour.
        its_said: what the server said of it.
        slack: how far the server's scores lie below others at most; None looks for ties alone,
            which have one score in the server as well.
    """
    if slack is None:
        return said[-1] + _TIE >= its_said
    return said[-1] + slack >= score


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


def nothing(queries: int) -> tuple[ItemIds, Scores]:
    """A row without neighbours for each query."""
    return np.empty((queries, 0), np.int64), np.empty((queries, 0), np.float32)


def _padded(rows: Sequence[tuple[ItemIds, Scores]]) -> tuple[ItemIds, Scores]:
    width = max((len(ids) for ids, _ in rows), default=0)
    ids = np.full((len(rows), width), NO_ID, np.int64)
    scores = np.full((len(rows), width), -np.inf, np.float32)
    for at, (row, values) in enumerate(rows):
        ids[at, : len(row)], scores[at, : len(row)] = row, values
    return ids, scores
