"""The points of a space in a Qdrant collection: written in batches, read back in pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from indexer.stores.contract import renormalised
from indexer.stores.qdrant_collection import Collection, CollectionState
from indexer.stores.qdrant_server import QdrantClient, Server, models
from indexer.types import Embeddings

Payload = Mapping[str, Any]
PAGE = 10_000
"""Ids in one request."""
_REQUEST_BYTES = 4_000_000
_BYTES_A_NUMBER = 20
"""Of a request in JSON, where that is longer than in gRPC."""
_MOST_POINTS = 500
_ROUNDING = 2**-11
"""How far rounding to float16 can take a vector's length from 1, at worst."""


class Points:
    """What `QdrantStore` has in its collection; ``state`` is None where that is not there.

    ``vector`` is what the space's vectors are called.

    Args:
        server: where it is.
        collection: which one, and which of its vectors.
        dim: length of a vector.
    """

    def __init__(self, server: Server, collection: Collection, dim: int) -> None:
        self._server, self._collection, self._dim = server, collection, dim
        self.vector = collection.vector
        self.state: CollectionState | None = None

    @property
    def name(self) -> str:
        """Of the collection, in requests."""
        return self._collection.target

    def look(self) -> None:
        """Ask the server anew what there is."""
        state = self._collection.state()
        self.state = state if state is not None and self.vector in state.vectors else None

    # -- writing --------------------------------------------------------------------------------

    def upsert(self, ids: Sequence[int], rows: Embeddings, payloads: Mapping[int, Payload]) -> None:
        """Put vectors to these ids; a point that is there keeps its payload and other vectors."""
        rows = rows.astype(np.float16).astype(np.float32)
        self._note_lengths(rows)
        size = max(1, min(_MOST_POINTS, _REQUEST_BYTES // (_BYTES_A_NUMBER * self._dim + 2_000)))
        for start in range(0, len(ids), size):
            self._upsert(ids[start : start + size], rows[start : start + size], payloads)

    def _upsert(
        self, ids: Sequence[int], rows: Embeddings, payloads: Mapping[int, Payload]
    ) -> None:
        # An upsert of a point takes away its other vectors; an insert leaves those that are there.
        points = [
            models.PointStruct(id=i, vector={}, payload=dict(payloads.get(i, {}))) for i in ids
        ]
        new = models.PointsList(points=points, update_mode=models.UpdateMode.INSERT_ONLY)
        vectors = models.UpdateVectors(
            points=[
                models.PointVectors(id=i, vector={self.vector: row})
                for i, row in zip(ids, rows.tolist(), strict=True)
            ]
        )
        self._update(
            models.UpsertOperation(upsert=new),
            models.UpdateVectorsOperation(update_vectors=vectors),
        )

    def set_payloads(self, payloads: Mapping[int, Payload]) -> None:
        """Replace the payloads of these points; of those that are not there nothing is said."""
        pairs = list(payloads.items())
        for start in range(0, len(pairs), _MOST_POINTS):
            # By a filter: named as points, those that are not there would be an error.
            operations = [
                models.OverwritePayloadOperation(
                    overwrite_payload=models.SetPayload(
                        payload=dict(payload),
                        filter=models.Filter(must=[models.HasIdCondition(has_id=[i])]),
                    )
                )
                for i, payload in pairs[start : start + _MOST_POINTS]
            ]
            self._update(*operations)

    def delete(self, ids: Sequence[int]) -> None:
        """Take these vectors away; a point goes with the last of its vectors."""
        others = [n for n in (self.state.vectors if self.state else ()) if n != self.vector]
        used: list[models.Condition] = [models.HasVectorCondition(has_vector=n) for n in others]
        for start in range(0, len(ids), PAGE):
            named: list[models.Condition] = [
                models.HasIdCondition(has_id=list(ids[start : start + PAGE]))
            ]
            mine = models.DeleteVectors(vector=[self.vector], filter=models.Filter(must=named))
            unused = models.FilterSelector(filter=models.Filter(must=named, must_not=used))
            self._update(
                models.DeleteVectorsOperation(delete_vectors=mine),
                models.DeleteOperation(delete=unused),
            )

    def _update(self, *operations: models.UpdateOperation) -> None:
        name = self.name

        def update(client: QdrantClient, seconds: int) -> list[models.UpdateResult]:
            return client.batch_update_points(name, operations, wait=True, timeout=seconds)

        self._server.write(update)

    # -- reading --------------------------------------------------------------------------------

    def held(self, ids: Sequence[int]) -> dict[int, np.ndarray]:
        """Unit vectors by id, of those ids that are there."""
        name, found = self.name, dict[int, np.ndarray]()
        size = max(1, min(1000, _REQUEST_BYTES // (_BYTES_A_NUMBER * self._dim)))
        for start in range(0, len(ids), size):
            part = ids[start : start + size]

            def retrieve(client: QdrantClient, part: Sequence[int] = part) -> list[models.Record]:
                return client.retrieve(name, part, with_payload=False, with_vectors=[self.vector])

            for record in self._server.read(retrieve):
                if isinstance(record.vector, dict) and self.vector in record.vector:
                    found[int(record.id)] = np.array(record.vector[self.vector], np.float32)
        if not found:
            return {}
        return dict(zip(found, renormalised(np.stack(list(found.values()))), strict=True))

    def known(self, field: str) -> Iterator[tuple[int, object]]:
        """All ids held, ascending, with one field of their payloads (None where it is not)."""
        name, mine, offset = self.name, self.mine(), None
        while True:

            def scroll(
                client: QdrantClient, offset: Any = offset
            ) -> tuple[list[models.Record], Any]:
                return client.scroll(
                    name,
                    scroll_filter=mine,
                    limit=PAGE,
                    offset=offset,
                    with_payload=[field],
                    with_vectors=False,
                )

            records, offset = self._server.read(scroll)
            yield from ((int(r.id), (r.payload or {}).get(field)) for r in records)
            if offset is None:
                return

    def count(self, where: models.Filter | None = None, *, exact: bool = True) -> int:
        """How many vectors there are; with ``where``, of points that pass (``exact``: or about)."""
        name, mine = self.name, self.mine(where)
        return self._server.read(
            lambda client: client.count(name, count_filter=mine, exact=exact)
        ).count

    def mine(self, where: models.Filter | None = None) -> models.Filter:
        """Passes the points that have the space's vector, and pass ``where``."""
        has = models.HasVectorCondition(has_vector=self.vector)
        return models.Filter(must=[has] if where is None else [has, where])

    # -- notes ----------------------------------------------------------------------------------

    def noted(self, what: str) -> float | None:
        """A number that was written down about the space."""
        said = self._said(what)
        return float(said) if isinstance(said, int | float) else None

    def noted_all(self, what: str) -> Mapping[str, Any]:
        """Several things that were written down together, by name; empty if none were."""
        said = self._said(what)
        return said if isinstance(said, dict) else {}

    def note(self, what: str, value: float | Mapping[str, object]) -> None:
        """Write something down about the space."""
        self._collection.note({f"{what} {self.vector}": value})
        self.look()

    def _said(self, what: str) -> object:
        return self.state.metadata.get(f"{what} {self.vector}") if self.state else None

    def length_error(self) -> float:
        """By how much the lengths of the stored vectors may differ from 1."""
        noted = self.noted("length error")
        return _ROUNDING if noted is None else noted

    def _note_lengths(self, rows: Embeddings) -> None:
        worst = float(np.abs(np.linalg.norm(rows.astype(np.float64), axis=1) - 1).max(initial=0))
        noted = self.noted("length error")
        if noted is None or noted < worst:
            # Before they are there, and with room, so that this is not written at every batch.
            self.note("length error", 2 * worst)
