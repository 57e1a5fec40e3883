"""Methods that learn, on features that their published code was run on, beside k-means.

    python benchmarks/clustering_reference.py
    python benchmarks/clustering_reference.py --rows X.npy --labels y.npy --methods scan --seeds 2

Without --rows the features are scikit-learn's 1,797 digits, divided by 16, as unit rows. Printed is
a table in Markdown: means over seeds, standard deviations, and seconds of the processor.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits

from clustering.neighbours import neighbour_graph
from clustering.quality import against
from clustering.registry import make_method

Rows = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


def features(rows: Path | None, labels: Path | None) -> tuple[Rows, Labels]:
    """Unit rows and their classes, from files or the digits."""
    if rows is not None and labels is not None:
        wide, classes = np.load(rows).astype(np.float32), np.load(labels)
    else:
        pictures, classes = load_digits(return_X_y=True)
        wide = (pictures / 16).astype(np.float32)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True), classes


def line(name: str, given: dict[str, object], rows: Rows, truth: Labels, seeds: int) -> str:
    """A row of the table: a method over seeds."""
    method, graph = make_method(name, given), neighbour_graph(rows)
    scores, taken = [], []
    for seed in range(seeds):
        start = time.process_time()
        found = method.fit(rows, int(truth.max()) + 1, seed=seed, neighbours=graph).labels
        taken.append(time.process_time() - start)
        agreement = against(found, [str(label) for label in truth])
        scores.append((agreement.acc, agreement.nmi, agreement.ari))
    cells = [
        f"{mean:.3f} ± {spread:.3f}"
        for mean, spread in zip(np.mean(scores, axis=0), np.std(scores, axis=0), strict=True)
    ]
    said = ", ".join(f"{key}={value}" for key, value in given.items())
    return f"| {name} {said} | {seeds} | {' | '.join(cells)} | {np.mean(taken):.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=Path, help="embeddings (n, dim), .npy")
    parser.add_argument("--labels", type=Path, help="their classes, .npy")
    parser.add_argument("--methods", nargs="+", default=["kmeans", "scan", "cpp"])
    parser.add_argument("--options", type=json.loads, default={}, help="parameters, as JSON")
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args()
    rows, truth = features(asked.rows, asked.labels)
    print("| method | seeds | ACC | NMI | ARI | CPU s |\n|---|---|---|---|---|---|")
    for name in asked.methods:
        print(line(name, asked.options, rows, truth, asked.seeds), flush=True)


if __name__ == "__main__":
    main()
