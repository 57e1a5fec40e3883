"""Every kind of index over the same vectors: building, opening, searching, with filters too.

    python benchmarks/index_kinds.py --n 100000 --dim 768

Vectors are drawn as clusters on the sphere: sizes fall as 1 / rank, and within a cluster points
lie around its middle with heavy tails (Student's t with four degrees of freedom), in a tenth of
the dimensions and a little in all. Queries are further draws that are not in the index. Filters
are random, and by cluster, which is the harder case: what is allowed lies elsewhere.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from indexer.registry import kind_of, store_class
from indexer.stores.contract import Changes, IndexOptions, SyncMark, VectorStore
from indexer.types import Embeddings, ItemIds

SPECS = [
    "faiss:flat",
    "faiss:flat-f32",
    "faiss:flat-8bit",
    "faiss:hnsw",
    "faiss:ivf-flat",
    "faiss:ivf-pq",
]
SHARES = [0.5, 0.1, 0.01, 0.001]
BLOCK = 20_000


class Drawn:
    """Structured vectors, drawn block by block, the same for the same seed."""

    def __init__(self, dim: int, clusters: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.dim, self.clusters = dim, clusters
        self.middles = rng.standard_normal((clusters, dim)).astype(np.float32)
        self.middles /= np.linalg.norm(self.middles, axis=1, keepdims=True)
        self.axes = rng.standard_normal((8, dim // 10 + 1, dim)).astype(np.float32) / dim**0.5
        weights = 1 / np.arange(1, clusters + 1)
        self.weights = weights / weights.sum()

    def block(self, count: int, seed: int) -> tuple[Embeddings, np.ndarray]:
        """Unit vectors and their clusters."""
        rng = np.random.default_rng(seed)
        labels = rng.choice(self.clusters, count, p=self.weights)
        inner = rng.standard_t(4, (count, self.axes.shape[1])).astype(np.float32) * 0.12
        rows = self.middles[labels] + rng.standard_normal((count, self.dim)).astype(np.float32) * (
            0.25 / self.dim**0.5
        )
        for number in range(len(self.axes)):
            mine = labels % len(self.axes) == number
            rows[mine] += inner[mine] @ self.axes[number]
        return rows / np.linalg.norm(rows, axis=1, keepdims=True), labels

    def batches(self, count: int) -> Iterator[tuple[ItemIds, Embeddings]]:
        """Ids and vectors, some at a time."""
        for start in range(0, count, BLOCK):
            size = min(BLOCK, count - start)
            yield np.arange(start, start + size), self.block(size, start + 1)[0]

    def labels(self, count: int) -> np.ndarray:
        """The clusters of the same vectors."""
        starts = range(0, count, BLOCK)
        return np.concatenate([self.block(min(BLOCK, count - s), s + 1)[1] for s in starts])


def recall(found: tuple[ItemIds, np.ndarray], truth: np.ndarray, k: int) -> float:
    """By scores: of copies any will do."""
    return float((found[1][:, :k] >= truth[:, k - 1 : k] - 1e-6).mean())


def each_in_ms(search: Callable[[Embeddings], object], queries: Embeddings) -> tuple[float, float]:
    taken = []
    for query in queries:
        start = time.perf_counter()
        search(query[None])
        taken.append(1000 * (time.perf_counter() - start))
    return float(np.percentile(taken, 50)), float(np.percentile(taken, 99))


def filters(labels: np.ndarray) -> dict[str, ItemIds]:
    """Read-only arrays of allowed ids, as the service hands them on."""
    rng = np.random.default_rng(9)
    made: dict[str, ItemIds] = {}
    for share in SHARES:
        made[f"random {share:.1%}"] = np.flatnonzero(rng.random(len(labels)) < share)
        order = rng.permutation(labels.max() + 1)
        sizes = np.cumsum(np.bincount(labels, minlength=labels.max() + 1)[order])
        chosen = order[: max(1, int((sizes < share * len(labels)).sum()))]
        made[f"clusters {share:.1%}"] = np.flatnonzero(np.isin(labels, chosen))
    for each in made.values():
        each.flags.writeable = False
    return made


def measure(
    spec: str,
    drawn: Drawn,
    count: int,
    *,
    queries: Embeddings,
    truth: dict[str, np.ndarray],
    allowed: dict[str, ItemIds],
) -> dict[str, object]:
    """Build, open and search one kind."""
    chosen = store_class(spec)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.json"
        mark = SyncMark(count, 0, count)
        changes = Changes({"library": "benchmark"}, mark, drawn.batches(count), anew=True)
        start = time.perf_counter()
        chosen.update(path, drawn.dim, changes, IndexOptions(required=True), kind_of(spec))
        built = time.perf_counter() - start
        start = time.perf_counter()
        store: VectorStore = chosen.load(path, drawn.dim, kind_of(spec))
        first = time.perf_counter() - start
        store.search(queries[:1], 10)
        opened = time.perf_counter() - start
        stats = store.stats()
        found: dict[str, object] = {
            "spec": spec,
            "build s": round(built, 1),
            "bytes/vector": round(sum(p.stat().st_size for p in Path(folder).iterdir()) / count),
            "open s": round(first, 2),
            "open and first answer s": round(opened, 2),
        }
        found["recall@10"] = round(recall(store.search(queries, 10), truth["10"], 10), 4)
        found["recall@100"] = round(recall(store.search(queries, 100), truth["100"], 100), 4)
        p50, p99 = each_in_ms(lambda one: store.search(one, 10), queries)
        found |= {"p50 ms": round(p50, 2), "p99 ms": round(p99, 2)}
        start = time.perf_counter()
        store.search(queries, 10)
        found["batch queries/s"] = round(len(queries) / (time.perf_counter() - start))
        for name, ids in allowed.items():
            got = store.search(queries, 10, ids)
            half, _ = each_in_ms(lambda one, ids=ids: store.search(one, 10, ids), queries[:50])
            found[name] = {
                "p50 ms": round(half, 2),
                "recall@10": round(recall(got, truth[name], min(10, truth[name].shape[1])), 4),
            }
        found["said"] = {"recall": stats.recall, "of 100": stats.recall_100, **stats.parameters}
        found["peak MB of this process"] = (
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--clusters", type=int, default=300)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--spec", action="append", help="kinds to measure; all without it")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    args = parser.parse_args()
    drawn = Drawn(args.dim, args.clusters)
    queries, _ = drawn.block(args.queries, 10**9)
    allowed = filters(drawn.labels(args.n))
    reference = store_class("faiss")(args.dim)
    for ids, rows in drawn.batches(args.n):
        reference.upsert(ids, rows)
    truth = {str(k): reference.search(queries, k)[1] for k in (10, 100)}
    truth |= {name: reference.search(queries, 10, ids)[1] for name, ids in allowed.items()}
    del reference
    results = []
    for spec in args.spec or SPECS:
        results.append(measure(spec, drawn, args.n, queries=queries, truth=truth, allowed=allowed))
        print(json.dumps(results[-1], indent=1), flush=True)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
