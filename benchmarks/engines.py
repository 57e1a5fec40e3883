"""The engines that benchmarks compare, each behind the same four calls.

``pip install -r benchmarks/requirements.txt`` brings the peers. Each engine gets the same float32
rows in the same blocks and may use the same number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from vectors import Ids, Rows

M, BUILD_EF = 16, 200
"""Of every HNSW graph here."""
EFS = (16, 32, 64, 96, 128, 192, 256, 384, 512, 768)
"""Search widths that are tried until the recall asked for is reached."""


class Engine(Protocol):
    """A way to find neighbours.

    Attributes:
        widths: values of `width` to try, ascending; one only where the engine has no such knob.
    """

    widths: Sequence[int]

    def add(self, start: int, rows: Rows) -> None:
        """Take rows, whose ids are numbers from ``start`` on."""

    def finish(self) -> None:
        """Build what is left to build, and write everything to its path."""

    def open(self) -> None:
        """Read back what was written to its path."""

    def search(self, queries: Rows, k: int, width: int) -> Ids:
        """Ids of the k nearest."""


class Faiss:
    """FAISS itself, by an index factory string."""

    def __init__(self, dim: int, threads: int, path: Path, factory: str = "Flat") -> None:
        import faiss

        self._faiss, self._path = faiss, path
        faiss.omp_set_num_threads(threads)
        self._index = faiss.index_factory(dim, factory, faiss.METRIC_INNER_PRODUCT)
        self._graph = factory.startswith("HNSW")
        if self._graph:
            self._index.hnsw.efConstruction = BUILD_EF
        self.widths: Sequence[int] = EFS if self._graph else (0,)

    def add(self, start: int, rows: Rows) -> None:
        if not self._index.is_trained:
            self._index.train(rows)
        self._index.add(rows)

    def finish(self) -> None:
        self._faiss.write_index(self._index, str(self._path))

    def open(self) -> None:
        self._index = None
        self._index = self._faiss.read_index(str(self._path))

    def search(self, queries: Rows, k: int, width: int) -> Ids:
        if self._graph:
            self._index.hnsw.efSearch = width
        return self._index.search(queries, k)[1]


class Hnswlib:
    """hnswlib."""

    widths: Sequence[int] = EFS

    def __init__(self, dim: int, threads: int, path: Path) -> None:
        import hnswlib

        self._index = hnswlib.Index("ip", dim)
        self._index.init_index(1, ef_construction=BUILD_EF, M=M)
        self._index.set_num_threads(threads)
        self._dim, self._threads, self._path = dim, threads, path

    def add(self, start: int, rows: Rows) -> None:
        self._index.resize_index(start + len(rows))
        self._index.add_items(rows, np.arange(start, start + len(rows)))

    def finish(self) -> None:
        self._index.save_index(str(self._path))

    def open(self) -> None:
        import hnswlib

        self._index = hnswlib.Index("ip", self._dim)
        self._index.load_index(str(self._path))
        self._index.set_num_threads(self._threads)

    def search(self, queries: Rows, k: int, width: int) -> Ids:
        self._index.set_ef(max(k, width))
        return self._index.knn_query(queries, k)[0].astype(np.int64)


class Usearch:
    """usearch, in a number type of its own."""

    widths: Sequence[int] = EFS

    def __init__(self, dim: int, threads: int, path: Path, dtype: str = "f16") -> None:
        from usearch.index import Index

        self._threads, self._path = threads, path
        self._index: Any = Index(
            ndim=dim, metric="ip", dtype=dtype, connectivity=M, expansion_add=BUILD_EF
        )

    def add(self, start: int, rows: Rows) -> None:
        self._index.add(np.arange(start, start + len(rows)), rows, threads=self._threads)

    def finish(self) -> None:
        self._index.save(str(self._path))

    def open(self) -> None:
        from usearch.index import Index

        self._index = None
        self._index = Index.restore(str(self._path), view=True)

    def search(self, queries: Rows, k: int, width: int) -> Ids:
        self._index.expansion_search = width
        keys = self._index.search(queries, k, threads=self._threads).keys
        return np.asarray(keys, np.int64).reshape(len(queries), k)


class QdrantEdge:
    """Qdrant's engine within the process."""

    widths: Sequence[int] = EFS

    def __init__(self, dim: int, threads: int, path: Path) -> None:
        import qdrant_edge as qe

        self._qe, self._path = qe, path
        self._config = qe.EdgeConfig(
            vectors=qe.EdgeVectorParams(
                size=dim, distance=qe.Distance.Dot, datatype=qe.VectorStorageDatatype.Float16
            ),
            hnsw_config=qe.HnswIndexConfig(
                m=M, ef_construct=BUILD_EF, full_scan_threshold=1000, max_indexing_threads=threads
            ),
            max_search_threads=threads,
        )
        self._shard: Any = None

    def add(self, start: int, rows: Rows) -> None:
        qe = self._qe
        if self._shard is None:
            self._path.mkdir()
            self._shard = qe.EdgeShard.create(str(self._path), self._config)
        for at in range(0, len(rows), 2000):
            points = [
                qe.Point(start + at + i, row.tolist(), {})
                for i, row in enumerate(rows[at : at + 2000])
            ]
            self._shard.update(qe.UpdateOperation.upsert_points(points))

    def finish(self) -> None:
        self._shard.optimize()
        self._shard.flush()
        self._shard.close()

    def open(self) -> None:
        self._shard = self._qe.EdgeShard.load(str(self._path))

    def search(self, queries: Rows, k: int, width: int) -> Ids:
        qe = self._qe
        found = np.empty((len(queries), k), np.int64)
        for row, query in enumerate(queries):
            request = qe.SearchRequest(
                query=qe.Query.Nearest(query.tolist()),
                limit=k,
                params=qe.SearchParams(hnsw_ef=max(k, width)),
            )
            found[row] = [int(point.id) for point in self._shard.search(request)]
        return found


class QdrantLocal:
    """qdrant-client's local mode: brute force in NumPy, made for tests."""

    widths: Sequence[int] = (0,)

    def __init__(self, dim: int, threads: int, path: Path) -> None:
        import warnings

        from qdrant_client import QdrantClient, models

        warnings.filterwarnings("ignore", message="Local mode is not recommended")
        self._models, self._dim = models, dim
        self._client = QdrantClient(path=str(path))

    def add(self, start: int, rows: Rows) -> None:
        if not start:
            size = self._models.VectorParams(size=self._dim, distance=self._models.Distance.DOT)
            self._client.create_collection("race", size)
        for at in range(0, len(rows), 5000):
            part = rows[at : at + 5000]
            ids = range(start + at, start + at + len(part))
            self._client.upsert("race", self._models.Batch(ids=list(ids), vectors=part.tolist()))

    def finish(self) -> None:
        self._client.close()

    def open(self) -> None:
        pass  # the client reads its folder when it is made

    def search(self, queries: Rows, k: int, width: int) -> Ids:
        found = [self._client.query_points("race", query, limit=k).points for query in queries]
        return np.array([[int(point.id) for point in points] for points in found])


class Sklearn:
    """scikit-learn's brute force."""

    widths: Sequence[int] = (0,)

    def __init__(self, dim: int, threads: int, path: Path) -> None:
        import sklearn.neighbors

        self._parts: list[Rows] = []
        self._threads, self._path, self._sklearn = threads, path, sklearn.neighbors
        self._neighbours: Any = None

    def add(self, start: int, rows: Rows) -> None:
        self._parts.append(rows)

    def finish(self) -> None:
        with self._path.open("wb") as file:
            np.save(file, np.concatenate(self._parts))
        self._parts = []

    def open(self) -> None:
        self._neighbours = self._sklearn.NearestNeighbors(
            algorithm="brute", metric="cosine", n_jobs=self._threads
        ).fit(np.load(self._path))

    def search(self, queries: Rows, k: int, width: int) -> Ids:
        found: Ids = self._neighbours.kneighbors(queries, k, return_distance=False)
        return found


class Syntopy:
    """A store of Syntopy by its spec; it sets its own width by the recall it measures."""

    widths: Sequence[int] = (0,)

    def __init__(
        self, dim: int, threads: int, path: Path, spec: str = "faiss", target: float = 0.99
    ) -> None:
        import faiss

        from indexer.registry import kind_of, store_class

        faiss.omp_set_num_threads(threads)
        self._class, self._kind = store_class(spec), kind_of(spec)
        self._dim, self._path, self._target = dim, path.with_suffix(".json"), target
        self._rows: list[tuple[Ids, Any]] = []
        self._store: Any = None

    def add(self, start: int, rows: Rows) -> None:
        self._rows.append((np.arange(start, start + len(rows)), rows.astype(np.float16)))

    def finish(self) -> None:
        from indexer.stores.contract import Changes, IndexOptions, SyncMark

        count = sum(len(ids) for ids, _ in self._rows)
        added = ((ids, rows.astype(np.float32)) for ids, rows in self._rows)
        changes = Changes({}, SyncMark(count, 0, count), added, anew=True)
        options = IndexOptions(recall=self._target, required=True)
        self._class.update(self._path, self._dim, changes, options, self._kind)
        self._rows = []

    def open(self) -> None:
        self._store = self._class.load(self._path, self._dim, self._kind)

    def search(self, queries: Rows, k: int, width: int) -> Ids:
        found: Ids = self._store.search(queries, k)[0]
        return found


ENGINES: dict[str, tuple[type[Any], dict[str, str]]] = {
    "faiss flat f32": (Faiss, {"factory": "Flat"}),
    "faiss flat f16": (Faiss, {"factory": "SQfp16"}),
    "faiss hnsw f32": (Faiss, {"factory": f"HNSW{M},Flat"}),
    "faiss hnsw f16": (Faiss, {"factory": f"HNSW{M},SQfp16"}),
    "hnswlib": (Hnswlib, {}),
    "usearch f16": (Usearch, {"dtype": "f16"}),
    "usearch i8": (Usearch, {"dtype": "i8"}),
    "qdrant edge": (QdrantEdge, {}),
    "qdrant-client local": (QdrantLocal, {}),
    "sklearn brute": (Sklearn, {}),
    "syntopy auto": (Syntopy, {"spec": "faiss"}),
    "syntopy flat": (Syntopy, {"spec": "faiss:flat"}),
    "syntopy flat-f32": (Syntopy, {"spec": "faiss:flat-f32"}),
    "syntopy flat-8bit": (Syntopy, {"spec": "faiss:flat-8bit"}),
    "syntopy hnsw": (Syntopy, {"spec": "faiss:hnsw"}),
    "syntopy ivf-flat": (Syntopy, {"spec": "faiss:ivf-flat"}),
    "syntopy ivf-pq": (Syntopy, {"spec": "faiss:ivf-pq"}),
}
