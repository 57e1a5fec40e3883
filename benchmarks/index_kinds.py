"""Every kind of index over the same vectors: building, opening, searching, with filters too.

    python benchmarks/index_kinds.py --n 100000 --dim 768

Vectors are those of benchmarks/vectors.py, kept in --folder; queries are further draws that are not
in the index. Filters pass items at random, by whole clusters, so that the neighbourhood of most
queries is not allowed, and as an AND of the two.
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
import numpy.typing as npt
import vectors
from vectors import BLOCK, gallery, labels

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
QUERIES_SEED = 77
"""Not that of the queries with which the search of filtered lists was settled."""


def batches(rows: npt.NDArray[np.float16]) -> Iterator[tuple[ItemIds, Embeddings]]:
    """Ids and vectors, some at a time."""
    for start in range(0, len(rows), BLOCK):
        some = rows[start : start + BLOCK].astype(np.float32)
        yield np.arange(start, start + len(some)), some


def recall(found: tuple[ItemIds, np.ndarray], truth: np.ndarray, k: int) -> float:
    """By scores: of copies any will do."""
    return float((found[1][:, :k] >= truth[:, k - 1 : k] - 1e-5).mean())


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

    def at_random(share: float) -> npt.NDArray[np.bool_]:
        return rng.random(len(labels)) < share

    def clusters(share: float) -> npt.NDArray[np.bool_]:
        order = rng.permutation(labels.max() + 1)
        sizes = np.cumsum(np.bincount(labels, minlength=labels.max() + 1)[order])
        chosen = order[: max(1, int((sizes < share * len(labels)).sum()))]
        return np.isin(labels, chosen)

    made: dict[str, ItemIds] = {}
    for share in SHARES:
        made[f"random {share:.1%}"] = np.flatnonzero(at_random(share))
        made[f"clusters {share:.1%}"] = np.flatnonzero(clusters(share))
        both = at_random(share**0.5) & clusters(share**0.5)
        made[f"both {share:.1%}"] = np.flatnonzero(both)
    for each in made.values():
        each.flags.writeable = False
    return made


def measure(
    spec: str,
    rows: npt.NDArray[np.float16],
    *,
    queries: Embeddings,
    truth: dict[str, np.ndarray],
    allowed: dict[str, ItemIds],
    work: Path,
) -> dict[str, object]:
    """Build, open and search one kind."""
    chosen, (count, dim) = store_class(spec), rows.shape
    with tempfile.TemporaryDirectory(dir=work) as folder:
        path = Path(folder) / "index.json"
        mark = SyncMark(count, 0, count)
        changes = Changes({"library": "benchmark"}, mark, batches(rows), anew=True)
        start = time.perf_counter()
        chosen.update(path, dim, changes, IndexOptions(required=True), kind_of(spec))
        built = time.perf_counter() - start
        start = time.perf_counter()
        store: VectorStore = chosen.load(path, dim, kind_of(spec))
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
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--spec", action="append", help="kinds to measure; all without it")
    parser.add_argument("--no-filters", action="store_true", help="measure no filtered searches")
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "syntopy-vectors"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    args = parser.parse_args()
    rows = gallery(args.folder, args.n, args.dim)
    queries = vectors.queries(args.queries, args.dim, seed=0, stream=QUERIES_SEED)
    allowed = {} if args.no_filters else filters(labels(args.n, args.dim))
    truth = {str(k): vectors.truth(rows, queries, k)[1] for k in (10, 100)}
    for name, ids in allowed.items():
        truth[name] = vectors.truth(rows, queries, min(10, len(ids)), ids)[1]
    results = []
    for spec in args.spec or SPECS:
        results.append(
            measure(spec, rows, queries=queries, truth=truth, allowed=allowed, work=args.folder)
        )
        print(json.dumps(results[-1], indent=1), flush=True)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
