"""How well the number of clusters is estimated: ten generated sets, from 3 to 60 clusters.

    python benchmarks/cluster_count.py

Every other set has clusters of equal size, the others sizes by Zipf's law; a set has one kind for
each five clusters. Printed are the answer with its neighbours, what each criterion says alone, and
the errors of all four, as shares of the truth.
"""

from __future__ import annotations

import argparse
from statistics import median

from vectors import labelled

from clustering.count import estimate_count

DIM = 768
TRUTHS = (3, 4, 6, 8, 12, 16, 22, 30, 43, 60)
CRITERIA = ("coding length", "stability", "density layers")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--n", type=int, default=10_000, help="vectors of each set")
    parser.add_argument("--first", type=int, default=0, help="seed of the first set")
    args = parser.parse_args()
    print(f"| clusters | sizes | estimate | neighbours | {' | '.join(CRITERIA)} |")
    print("|---" * 7 + "|")
    errors: dict[str, list[float]] = {name: [] for name in ("estimate", *CRITERIA)}
    for number, truth in enumerate(TRUTHS):
        zipf = float(number % 2 == 0)
        rows, _ = labelled(args.n, DIM, truth, max(truth // 5, 1), args.first + number, zipf=zipf)
        found = estimate_count(rows, seed=number)
        alone = [found.answers.get(name, 1) for name in CRITERIA]
        for name, answer in zip(errors, (found.n_clusters, *alone), strict=True):
            errors[name].append(abs(answer - truth) / truth)
        cells = [truth, "Zipf" if zipf else "equal", found.n_clusters]
        cells += [f"{found.low} to {found.high}", *alone]
        print(f"| {' | '.join(str(cell) for cell in cells)} |", flush=True)
    for name, its in errors.items():
        print(f"{name}: median error {median(its):.0%}, largest {max(its):.0%}")


if __name__ == "__main__":
    main()
