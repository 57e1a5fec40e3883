"""Generated embeddings for benchmarks of search: structured as those of encoders are, at any size.

Clusters on the sphere in two levels (kinds of image, and what they show) around one common
direction, as contrastive encoders have it; each cluster with a few strong directions of its own,
all with a few in common (site, scanner); sizes by Zipf's law, distances with heavy tails (Student's
t with four degrees of freedom). Block by block, so that ten million fit on a disk but need not fit
into memory; a block depends on its number alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]

BLOCK = 50_000
KINDS, CLUSTERS, RANK, SHARED = 12, 300, 24, 8
COMMON, COARSE, FINE = 1.0, 0.55, 0.25
"""Lengths of the parts of a cluster's centre."""
WITHIN, NUISANCE, NOISE, SHIFT = 0.35, 0.18, 0.55, 0.5
FREEDOM = 4.0


@dataclass(frozen=True)
class Geometry:
    """Where the clusters lie and how they spread; the same for every size."""

    centres: Rows
    spread: npt.NDArray[np.float32]
    shared: Rows
    weights: npt.NDArray[np.float64]
    away: Rows

    @classmethod
    def of(
        cls,
        dim: int,
        seed: int = 0,
        clusters: int = CLUSTERS,
        kinds: int = KINDS,
        zipf: float = 1.0,
    ) -> Geometry:
        rng = np.random.default_rng([seed, 1])
        centres = (
            COMMON * _unit(rng.standard_normal(dim))
            + COARSE * _unit(rng.standard_normal((kinds, dim)))[np.arange(clusters) % kinds]
            + FINE * _unit(rng.standard_normal((clusters, dim)))
        )
        strength = np.arange(1, RANK + 1) ** -0.7
        width = WITHIN * np.exp(0.35 * rng.standard_normal(clusters))
        spread = rng.standard_normal((clusters, RANK, dim)) / np.sqrt(dim)
        spread *= width[:, None, None] * strength[:, None]
        weights = np.arange(1, clusters + 1) ** -zipf
        return cls(
            centres.astype(np.float32),
            spread.astype(np.float32),
            (rng.standard_normal((SHARED, dim)) * NUISANCE / np.sqrt(dim)).astype(np.float32),
            weights / weights.sum(),
            (SHIFT * _unit(rng.standard_normal(dim))).astype(np.float32),
        )

    def draw(
        self,
        n: int,
        rng: np.random.Generator,
        *,
        away: bool = False,
        cluster: Ids | None = None,
    ) -> tuple[Rows, Ids]:
        """Unit rows and their clusters, which may be given.

        ``away``: all moved to one side, as a scanner does.
        """
        clusters, dim = self.centres.shape
        if cluster is None:
            cluster = rng.choice(clusters, n, p=self.weights)
        rows = rng.standard_normal((n, dim), np.float32) * np.float32(NOISE / np.sqrt(dim))
        rows += rng.standard_normal((n, SHARED), np.float32) @ self.shared
        low = rng.standard_normal((n, RANK), np.float32)
        order = np.argsort(cluster, kind="stable")
        bounds = np.searchsorted(cluster[order], np.arange(clusters + 1))
        for number in range(clusters):
            own = order[bounds[number] : bounds[number + 1]]
            rows[own] += low[own] @ self.spread[number]
        rows *= np.sqrt(FREEDOM / rng.chisquare(FREEDOM, n)).astype(np.float32)[:, None]
        rows += self.centres[cluster]
        if away:
            rows += self.away
        unit: Rows = _unit(rows)
        return unit, cluster


def labelled(
    n: int, dim: int, clusters: int, kinds: int, seed: int = 0, *, zipf: float = 1.0
) -> tuple[Rows, Ids]:
    """Rows of a mixture of its own, and the cluster of each; of equal sizes where ``zipf`` is 0."""
    geometry = Geometry.of(dim, seed, clusters, kinds, zipf)
    return geometry.draw(n, np.random.default_rng([seed, 5, n]))


def blocks(n: int, dim: int, seed: int = 0) -> Iterator[Rows]:
    """The gallery, block by block."""
    geometry = Geometry.of(dim, seed)
    for number, start in enumerate(range(0, n, BLOCK)):
        rng = np.random.default_rng([seed, 2, number])
        yield geometry.draw(BLOCK, rng)[0][: n - start]


def labels(n: int, dim: int, seed: int = 0) -> Ids:
    """The clusters of the gallery's rows: `Geometry.draw` draws them first."""
    weights = Geometry.of(dim, seed).weights
    drawn = [
        np.random.default_rng([seed, 2, number]).choice(CLUSTERS, BLOCK, p=weights)
        for number in range(-(-n // BLOCK))
    ]
    return np.concatenate(drawn)[:n]


def queries(n: int, dim: int, seed: int = 0, *, away: bool = False, stream: int = 3) -> Rows:
    """Queries of the gallery's distribution, or off it; each stream has others."""
    rng = np.random.default_rng([seed, 4 if away else stream])
    return Geometry.of(dim, seed).draw(n, rng, away=away)[0]


def gallery(folder: Path, n: int, dim: int, seed: int = 0) -> npt.NDArray[np.float16]:
    """The gallery as float16 on disk, made once and mapped."""
    path = folder / f"gallery-{n}-{dim}-{seed}.f16"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".part").open("wb") as file:
            for number, rows in enumerate(blocks(n, dim, seed)):
                file.write(rows.astype("<f2").tobytes())
                print(f"\rdrawing {min(n, (number + 1) * BLOCK)} of {n}", end="", file=sys.stderr)
        print(file=sys.stderr)
        path.with_suffix(".part").rename(path)
    return np.memmap(path, np.float16, "r", shape=(n, dim))


def truth(
    rows: npt.NDArray[np.float16], asked: Rows, k: int, allowed: Ids | None = None
) -> tuple[Ids, Rows]:
    """The k nearest by float32 products, block by block: ids and scores, nearest first."""
    best = np.full((len(asked), k), -np.inf, np.float32)
    ids = np.full((len(asked), k), -1, np.int64)
    numbers = np.arange(len(rows)) if allowed is None else allowed
    for start in range(0, len(numbers), BLOCK):
        part = numbers[start : start + BLOCK]
        wide = rows[part[0] : part[-1] + 1] if allowed is None else rows[part]
        block = _unit(np.asarray(wide, np.float32))
        scores = np.concatenate([best, asked @ block.T], axis=1)
        names = np.concatenate([ids, np.broadcast_to(part, (len(asked), len(part)))], axis=1)
        order = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        best, ids = np.take_along_axis(scores, order, 1), np.take_along_axis(names, order, 1)
    order = np.argsort(-best, axis=1, kind="stable")
    return np.take_along_axis(ids, order, 1), np.take_along_axis(best, order, 1)


def recall(found: Ids, nearest: Ids) -> float:
    """Share of the true nearest that were found."""
    shared = [len(np.intersect1d(a, b)) for a, b in zip(found, nearest, strict=True)]
    return float(np.sum(shared) / nearest.size)


def _unit(rows: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)
