"""How well and how fast embeddings are clustered, as a table.

    python benchmarks/cluster_methods.py --n 20000 100000
    python benchmarks/cluster_methods.py --method hdbscan graph --data mednist=mednist64.npz

Vectors are `vectors.labelled`: 30 clusters in 6 kinds, sizes by Zipf's law. Data is an NPZ of
``images`` ``(n, h, w)`` and ``labels``, encoded with the built-in encoder. Methods are not told how
many clusters there are, but for --told. Each runs in a process of its own, so that its peak of
memory is its own; the graph that all share is made once and timed as ``neighbours``. ACC, NMI and
ARI are those of `clustering.quality.against`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from vectors import labelled

from clustering.contract import Neighbours
from clustering.neighbours import neighbour_graph
from clustering.quality import against
from clustering.registry import make_method, method_names
from indexer.encoders.contract import EncoderContext
from indexer.errors import UnsupportedInputError
from indexer.registry import make_encoder
from indexer.types import ImagePixels

DIM, CLUSTERS, KINDS = 768, 30, 6


@dataclass(frozen=True)
class Data:
    """Rows with the labels that are to be found."""

    name: str
    rows: np.ndarray
    labels: np.ndarray


def generated(n: int) -> Data:
    rows, labels = labelled(n, DIM, CLUSTERS, KINDS)
    return Data(f"generated {n:,}", rows.astype(np.float16), labels)


def pictures(named: str) -> Data:
    name, _, path = named.partition("=")
    encoder = make_encoder(EncoderContext("texture"))
    with np.load(path, allow_pickle=False) as archive:
        images, labels = archive["images"], archive["labels"]
    prepared, kept = [], []
    for number, image in enumerate(images):
        # Blank pictures have no embedding.
        with suppress(UnsupportedInputError):
            prepared.append(encoder.prepare(ImagePixels(image.astype(np.float32))))
            kept.append(number)
    return Data(f"{name}, texture", encoder.embed(prepared), labels[kept])


def apart(work: Callable[..., object], *given: object) -> tuple[object, float, float, float]:
    """What work gives in a process of its own: answer, seconds, CPU seconds, peak MB."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (work, given))


def _measured(
    work: Callable[..., object], given: tuple[object, ...]
) -> tuple[object, float, float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    answer = work(*given)
    used = time.perf_counter() - wall, time.process_time() - cpu
    return answer, *used, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def clustered(
    method: str, rows: np.ndarray, graph: Neighbours, count: int | None
) -> tuple[np.ndarray, int]:
    found = make_method(method).fit(rows, count, neighbours=graph)
    return found.labels, found.n_clusters


def table(data: Data, methods: list[str], *, told: bool) -> None:
    given = [str(label) for label in data.labels]
    graph, wall, cpu, peak = apart(neighbour_graph, data.rows)
    assert isinstance(graph, Neighbours)
    print(f"| {data.name} | neighbours, recall {graph.recall:.3f} | | | | | |", end="")
    print(f" {wall:.0f} | {cpu:.0f} | {peak:,.0f} |", flush=True)
    for method in methods:
        count = len(np.unique(data.labels)) if told else None
        answer, wall, cpu, peak = apart(clustered, method, data.rows, graph, count)
        labels, found = answer
        agreement = against(labels, given)
        figures = (agreement.acc, agreement.nmi, agreement.ari, agreement.noise_share)
        shown = " | ".join(f"{figure:.3f}" for figure in figures)
        print(f"| {data.name} | {method} | {found} | {shown} |", end="")
        print(f" {wall:.0f} | {cpu:.0f} | {peak:,.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, nargs="*", default=[], help="sizes of generated data")
    parser.add_argument("--data", nargs="*", default=[], metavar="NAME=NPZ", help="pictures")
    parser.add_argument("--method", nargs="*", default=method_names(), help="default: all")
    parser.add_argument("--told", action="store_true", help="tell how many clusters there are")
    args = parser.parse_args()
    print("| data | method | clusters | ACC | NMI | ARI | noise | s | CPU s | peak MB |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for n in args.n:
        table(generated(n), args.method, told=args.told)
    for named in args.data:
        table(pictures(named), args.method, told=args.told)


if __name__ == "__main__":
    main()
