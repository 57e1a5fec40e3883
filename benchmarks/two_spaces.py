"""Does a labelling that is easy to learn in two spaces at once beat clustering both as one?

    python benchmarks/two_spaces.py --data mednist=mednist64.npz

TURTLE (A. Gadetsky, Y. Jiang and M. Brbic, Let go of your labels with unsupervised transfer, ICML
2024, arXiv 2406.07236), written from the paper: linear task encoders in both spaces, whose softmax
is averaged, give the labels; linear classifiers in each space learn them by ten steps from where
they were; the encoders follow the classifiers' loss and the entropy of the mean label, weight 10,
both by Adam at 1e-3. Beside it: methods of this project on the two spaces' unit rows put one after
the other. All are told the number of clusters. Data: scikit-learn's digits as pixels and as
histograms of gradients; generated vectors, two draws with the same clusters; pictures of an NPZ
(``images``, ``labels``), as texture and as small pictures.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from pictures import encoded, read
from sklearn.datasets import load_digits
from vectors import Geometry

from clustering.centres import unit
from clustering.quality import against
from clustering.registry import make_method

Spaces = tuple[np.ndarray, np.ndarray]
METHODS = ("kmeans", "graph", "spectral")
INNER, ENTROPY, RATE = 10, 10.0, 1e-3


def digits() -> tuple[Spaces, np.ndarray]:
    pixels, labels = load_digits(return_X_y=True)
    return (pixels, gradients(pixels.reshape(-1, 8, 8), 4)), labels


def gradients(pictures: np.ndarray, cell: int) -> np.ndarray:
    """Histograms of eight directions in cells of ``cell`` pixels a side."""
    down, right = np.gradient(pictures.astype(np.float64), axis=(1, 2))
    strength = np.hypot(down, right)
    direction = ((np.arctan2(down, right) + np.pi) / (2 * np.pi) * 8).astype(int) % 8
    parts = []
    for number in range(8):
        here = np.where(direction == number, strength, 0)
        count, high, wide = here.shape
        cells = here.reshape(count, high // cell, cell, wide // cell, cell)
        parts.append(cells.sum(axis=(2, 4)).reshape(count, -1))
    return np.concatenate(parts, axis=1)


def generated(zipf: float, n: int = 5000) -> tuple[Spaces, np.ndarray]:
    """Two draws whose rows are of the same clusters, in spaces that share nothing."""
    first, second = (Geometry.of(768, seed, 30, 6, zipf) for seed in range(2))
    rows, labels = first.draw(n, np.random.default_rng(9))
    others, _ = second.draw(n, np.random.default_rng(10), cluster=labels)
    return (rows, others), labels


def pictures(path: str) -> tuple[Spaces, np.ndarray]:
    images, labels = read(path)
    rows, labels, kept = encoded(images, labels)
    wide = np.asarray(images)[kept]
    count, high, across = wide.shape
    small = wide.reshape(count, 16, high // 16, 16, across // 16).mean(axis=(2, 4))
    return (rows, small.reshape(count, -1)), labels


def turtle(spaces: Spaces, n_clusters: int, seed: int, steps: int) -> np.ndarray:
    """Labels that linear classifiers of both spaces learn."""
    torch.manual_seed(seed)
    rows = [torch.from_numpy(standardised(each)) for each in spaces]
    encoders = [drawn(each.shape[1], n_clusters) for each in rows]
    learners = [drawn(each.shape[1], n_clusters) for each in rows]
    outer = torch.optim.Adam([each for pair in encoders for each in pair], RATE)
    inner = torch.optim.Adam([each for pair in learners for each in pair], RATE)
    for _ in range(steps):
        labels = labelling(rows, encoders)
        for _ in range(INNER):
            inner.zero_grad()
            learned(rows, learners, labels.detach()).backward()
            inner.step()
        mean = labels.mean(dim=0)
        entropy = -(mean * mean.clamp_min(1e-8).log()).sum()
        outer.zero_grad()
        (learned(rows, frozen(learners), labels) - ENTROPY * entropy).backward()
        outer.step()
    return labelling(rows, encoders).argmax(dim=1).numpy()


Linear = tuple[torch.Tensor, torch.Tensor]


def drawn(dim: int, n_clusters: int) -> Linear:
    weights = torch.randn(dim, n_clusters) / dim**0.5
    return weights.requires_grad_(), torch.zeros(n_clusters, requires_grad=True)


def frozen(learners: list[Linear]) -> list[Linear]:
    return [(weights.detach(), biases.detach()) for weights, biases in learners]


def labelling(rows: list[torch.Tensor], encoders: list[Linear]) -> torch.Tensor:
    pairs = zip(rows, encoders, strict=True)
    return sum((each @ w + b).softmax(dim=1) for each, (w, b) in pairs) / len(rows)


def learned(rows: list[torch.Tensor], learners: list[Linear], labels: torch.Tensor) -> torch.Tensor:
    pairs = zip(rows, learners, strict=True)
    lost = [-(labels * (each @ w + b).log_softmax(dim=1)).sum(dim=1) for each, (w, b) in pairs]
    return torch.stack(lost).sum(dim=0).mean()


def standardised(rows: np.ndarray) -> np.ndarray:
    """Centred, with the same mean square over all numbers."""
    wide = np.asarray(rows, np.float32) - rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    return wide / wide.std()


def line(name: str, what: str, runs: list[np.ndarray], truth: np.ndarray, seconds: float) -> None:
    given = [str(label) for label in truth]
    scores = [(a.acc, a.nmi, a.ari) for a in (against(run, given) for run in runs)]
    both = zip(np.mean(scores, axis=0), np.std(scores, axis=0), strict=True)
    cells = [f"{mean:.3f} ± {spread:.3f}" for mean, spread in both]
    print(f"| {name} | {what} | {' | '.join(cells)} | {seconds:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", nargs="*", default=[], metavar="NAME=NPZ")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2000, help="of the outer loop")
    args = parser.parse_args()
    sets = {
        "digits": digits,
        "generated, equal sizes": lambda: generated(0.0),
        "generated, Zipf": lambda: generated(1.0),
    }
    for named in args.data:
        name, _, path = named.partition("=")
        sets[name] = lambda path=path: pictures(path)
    print("| data | method | ACC | NMI | ARI | CPU s a run |\n|---|---|---|---|---|---|")
    for name, make in sets.items():
        spaces, truth = make()
        k = len(np.unique(truth))
        begin = time.process_time()
        runs = [turtle(spaces, k, seed, args.steps) for seed in range(args.seeds)]
        line(name, "TURTLE", runs, truth, (time.process_time() - begin) / args.seeds)
        both = unit(np.concatenate([unit(spaces[0]), unit(spaces[1])], axis=1))
        for method in METHODS:
            begin = time.process_time()
            runs = [make_method(method).fit(both, k, seed=s).labels for s in range(args.seeds)]
            line(name, method, runs, truth, (time.process_time() - begin) / args.seeds)


if __name__ == "__main__":
    main()
