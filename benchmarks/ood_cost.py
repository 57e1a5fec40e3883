"""What detectors cost on a large reference: seconds to fit and to score, and memory.

    python benchmarks/ood_cost.py --n 100000

Generated vectors (`vectors.blocks`) of length 768. Each detector runs in a process of its own, so
that its peak of memory is its own, mapped vectors and all libraries included. Printed is wall and
CPU time of the fit; of scoring one row after another, the median and the 95th percentile; and of
1,000 rows at once. Of kNN also how many of the fifth nearest are found exactly. The last line is a
whole reference: all detectors, six random qualities behind each vector, a fifth of the rows held
out to calibrate, and judged with p-values and the nearest cases.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from vectors import gallery, queries

from ood.knn import Knn
from ood.reference import ReferenceSet
from ood.registry import Recipe

DIM, ONE_BY_ONE, BATCH, CHECKED = 768, 300, 1_000, 100
QUALITIES = 6
HEAD = "| detector | fit s (CPU s) | one row ms, median (p95) | 1,000 rows s | peak MB | exact |"


def measured(detector: str, folder: Path, n: int) -> str:
    """A row of the table."""
    rows, asked = gallery(folder, n, DIM), queries(BATCH, DIM)
    wall, cpu = time.perf_counter(), time.process_time()
    fitted = Recipe.named(detector).make().fit(rows)
    fit = f"{time.perf_counter() - wall:.1f} ({time.process_time() - cpu:.1f})"
    taken = []
    for row in asked[:ONE_BY_ONE]:
        start = time.perf_counter()
        fitted.score(row[None])
        taken.append(1e3 * (time.perf_counter() - start))
    start = time.perf_counter()
    scores = fitted.score(asked)
    batch = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    exact = ""
    if isinstance(fitted, Knn):
        known = Knn(exact=True).fit(rows).score(asked[:CHECKED])
        exact = f"{np.isclose(scores[:CHECKED], known, rtol=1e-5).mean():.2f}"
    one = f"{np.median(taken):.2f} ({np.quantile(taken, 0.95):.2f})"
    return f"| {detector} | {fit} | {one} | {batch:.2f} | {peak:,.0f} | {exact} |"


def of_reference(folder: Path, n: int) -> str:
    """The same of a reference with everything that belongs to it."""
    random = np.random.default_rng(3)
    rows, asked = (
        np.concatenate([each, random.normal(size=(len(each), QUALITIES))], axis=1, dtype=np.float32)
        for each in (gallery(folder, n, DIM), queries(BATCH, DIM))
    )
    wall, cpu = time.perf_counter(), time.process_time()
    patients = [str(number) for number in range(n)]
    made = ReferenceSet.fit(rows, [()] * n, patients, qualities=QUALITIES)
    fit = f"{time.perf_counter() - wall:.1f} ({time.process_time() - cpu:.1f})"
    taken = []
    for row in asked[:ONE_BY_ONE]:
        start = time.perf_counter()
        made.judge(row[None], [()])
        taken.append(1e3 * (time.perf_counter() - start))
    start = time.perf_counter()
    made.judge(asked, [()] * len(asked))
    batch = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    one = f"{np.median(taken):.2f} ({np.quantile(taken, 0.95):.2f})"
    return f"| reference | {fit} | {one} | {batch:.2f} | {peak:,.0f} | |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--n", type=int, default=100_000, help="vectors of the reference")
    parser.add_argument("--detectors", nargs="*", default=["knn", "mahalanobis", "residual"])
    where = Path(tempfile.gettempdir()) / "syntopy-vectors"
    parser.add_argument("--folder", type=Path, default=where, help="of vectors")
    asked = parser.parse_args()
    print(HEAD + "\n" + "|---" * 6 + "|")
    for detector in asked.detectors:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            print(pool.apply(measured, (detector, asked.folder, asked.n)), flush=True)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.apply(of_reference, (asked.folder, asked.n)), flush=True)


if __name__ == "__main__":
    main()
