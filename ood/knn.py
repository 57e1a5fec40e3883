"""Distance to the k-th nearest of the reference.

Y. Sun, Y. Ming, X. Zhu and Y. Li, Out-of-distribution detection with deep nearest neighbors, ICML
2022 (arXiv 2204.06507).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np

from indexer.types import Embeddings, Scores
from ood.contract import Classes
from ood.learned import Learned
from ood.rows import BLOCK, reference_rows, scored_rows, wide

_NO_LISTS = 5_000
"""References up to this size are compared whole."""
_PER_CENTRE, _ROUNDS = 64, 6
_SAMPLE, _ENOUGH = 500, 0.95
"""Rows by which the number of lists is chosen, and of how many all nearest have to be on them."""
_QUERIES = 1024


@dataclass(frozen=True)
class Knn(Learned):
    """Euclidean distance to the k-th nearest row of the reference.

    Above 5,000 rows the reference stands on lists round centres (k-means), and only the lists
    nearest to a row are looked at: so many that of 95 % of a sample of the reference none of the k
    nearest is missed. A row whose nearest are missed scores a little higher than it should, never
    lower; calibration sees the same. Memory: the reference as float32.

    Attributes:
        k: which neighbour; where the reference has fewer rows, the last.
        normalise: whether rows are divided by their lengths, so that only directions count.
        exact: whether all rows are compared, however many there are.
    """

    name: ClassVar[str] = "knn"
    ARRAYS: ClassVar[tuple[str, ...]] = ("reference", "order", "begins", "centres", "probes")

    k: int = 5
    normalise: bool = True
    exact: bool = False

    def fit(self, embeddings: Embeddings, classes: Classes | None = None, *, seed: int = 0) -> Self:  # noqa: ARG002 - of the contract
        """Keep the reference; see `ood.contract.Detector.fit`. Classes are not used."""
        reference_rows(embeddings)
        count = len(embeddings)
        rows = np.concatenate(
            [
                wide(embeddings[start : start + BLOCK], normalise=self.normalise)
                for start in range(0, count, BLOCK)
            ]
        )
        if self.exact or count <= _NO_LISTS:
            order, begins, centres, probes = np.arange(count), np.array([0, count]), rows[:1], 1
        else:
            random = np.random.default_rng([seed, 81])
            centres = _centres(rows, round(2 * math.sqrt(count)), random)
            home = _nearest_centres(rows, centres, 1)[:, 0]
            order = np.argsort(home, kind="stable")
            rows = rows[order]
            begins = np.searchsorted(home[order], np.arange(len(centres) + 1))
            probes = _probes(rows, begins, centres, min(self.k, count - 1), random)
        notes: tuple[str, ...] = ()
        if self.k > count:
            notes = (f"the reference has {count} vectors: the last counts as number {self.k}",)
        learned = {
            "reference": rows,
            "order": order,
            "begins": begins.astype(np.int64),
            "centres": centres,
            "probes": np.array(probes),
        }
        return self.fitted(learned, notes)

    def score(self, embeddings: Embeddings) -> Scores:
        """Distances; see `ood.contract.Detector.score`."""
        reference = self.array("reference")
        scored_rows(embeddings, reference.shape[1])
        k = min(self.k, len(reference))
        scores = np.empty(len(embeddings), np.float32)
        for start in range(0, len(embeddings), _QUERIES):
            scores[start : start + _QUERIES] = self._nearest(
                embeddings[start : start + _QUERIES], k
            )[0][:, -1]
        return scores

    def nearest(self, embeddings: Embeddings, k: int) -> tuple[Scores, np.ndarray]:
        """Distances ``(n, k)`` to the nearest rows of the reference, rising, and their numbers.

        Numbers are those of the rows that were fitted; where there are fewer than k, or on the
        lists looked at, the rest are at an infinite distance and of number -1.

        Args:
            embeddings: ``(n, dim)``.
            k: how many.

        Raises:
            ReferenceSetError, VectorError: as `score`.
        """
        scored_rows(embeddings, self.array("reference").shape[1])
        away, places = self._nearest(embeddings, k)
        return away, np.where(places < 0, -1, self.array("order")[places])

    @cached_property
    def _lengths(self) -> np.ndarray:
        """Squared lengths ``(n,)`` of the reference: to take them anew costs more than products."""
        reference = self.array("reference")
        lengths: np.ndarray = np.einsum("ij,ij->i", reference, reference)
        return lengths

    def _nearest(self, embeddings: Embeddings, k: int) -> tuple[Scores, np.ndarray]:
        """Distances, and places in the array ``reference``."""
        rows = wide(embeddings, normalise=self.normalise)
        reference, begins, centres = (
            self.array(name) for name in ("reference", "begins", "centres")
        )
        best = _Best.of(len(rows), k)
        if len(centres) == 1:
            for start in range(0, len(reference), BLOCK):
                best.offer(np.arange(len(rows)), rows, reference, start, start + BLOCK)
        elif len(rows) == 1:
            looked_at = np.sort(_nearest_centres(rows, centres, int(self.array("probes")))[0])
            parts = [slice(*begins[n : n + 2].tolist()) for n in looked_at]
            best.offer_parts(rows[0], reference, self._lengths, parts)
        else:
            looked_at = _nearest_centres(rows, centres, int(self.array("probes")))
            for number in np.unique(looked_at):
                asking = np.flatnonzero((looked_at == number).any(axis=1))
                start, stop = begins[number : number + 2].tolist()
                best.offer(asking, rows[asking], reference, start, stop)
        return best.exactly(rows, reference)


@dataclass(frozen=True)
class _Best:
    """The nearest so far: squared distances ``(n, k)`` and places ``(n, k)``."""

    squared: np.ndarray
    places: np.ndarray

    @classmethod
    def of(cls, count: int, k: int) -> _Best:
        return cls(np.full((count, k), np.inf, np.float32), np.full((count, k), -1, np.int64))

    def offer(
        self, at: np.ndarray, rows: Embeddings, reference: Embeddings, start: int, stop: int
    ) -> None:
        """Compare rows, which are number ``at``, with a part of the reference."""
        part = reference[start:stop]
        if not len(part):
            return
        squared = _squared(rows, part)
        k = self.squared.shape[1]
        if len(part) > k:
            near = np.argpartition(squared, k - 1, axis=1)[:, :k]
            squared = np.take_along_axis(squared, near, 1)
        else:
            near = np.broadcast_to(np.arange(len(part)), squared.shape)
        both = np.concatenate([self.squared[at], squared], axis=1)
        places = np.concatenate([self.places[at], near + start], axis=1)
        order = np.argpartition(both, k - 1, axis=1)[:, :k]
        self.squared[at] = np.take_along_axis(both, order, 1)
        self.places[at] = np.take_along_axis(places, order, 1)

    def offer_parts(
        self, row: np.ndarray, reference: Embeddings, lengths: np.ndarray, parts: list[slice]
    ) -> None:
        """Compare one row, the first and only one, with parts of the reference, sorted once."""
        # But for the row's own length, which changes no order.
        squared = np.concatenate([lengths[part] - 2 * (reference[part] @ row) for part in parts])
        places = np.concatenate([np.arange(part.start, part.stop) for part in parts])
        k = min(self.squared.shape[1], len(places))
        near = np.argpartition(squared, k - 1)[:k]
        self.squared[0, :k], self.places[0, :k] = squared[near], places[near]

    def exactly(self, rows: Embeddings, reference: Embeddings) -> tuple[Scores, np.ndarray]:
        """Distances anew, from differences: products of near rows leave few digits."""
        away = np.linalg.norm(rows[:, None, :] - reference[self.places], axis=2)
        away[self.places < 0] = np.inf
        order = np.argsort(away, axis=1, kind="stable")
        return np.take_along_axis(away, order, 1), np.take_along_axis(self.places, order, 1)


def _squared(rows: Embeddings, others: Embeddings) -> np.ndarray:
    """Squared distances ``(n, m)``, of which products may have left little."""
    lengths = [np.einsum("ij,ij->i", each, each) for each in (rows, others)]
    squared: np.ndarray = lengths[0][:, None] + lengths[1] - 2 * (rows @ others.T)
    return squared


def _nearest_centres(rows: Embeddings, centres: Embeddings, how_many: int) -> np.ndarray:
    """Numbers ``(n, how_many)`` of the nearest centres, in no order."""
    found = np.empty((len(rows), how_many), np.int64)
    for start in range(0, len(rows), BLOCK):
        squared = _squared(rows[start : start + BLOCK], centres)
        if how_many == 1:
            found[start : start + BLOCK, 0] = squared.argmin(axis=1)
        else:
            near = np.argpartition(squared, how_many - 1, axis=1)[:, :how_many]
            found[start : start + BLOCK] = near
    return found


def _centres(rows: Embeddings, how_many: int, random: np.random.Generator) -> Embeddings:
    """Centres by some rounds of k-means on a sample."""
    wanted = min(len(rows), how_many * _PER_CENTRE)
    sample = rows[np.sort(random.choice(len(rows), wanted, replace=False))]
    centres = sample[random.choice(wanted, how_many, replace=False)]
    for _ in range(_ROUNDS):
        home = _nearest_centres(sample, centres, 1)[:, 0]
        sizes = np.bincount(home, minlength=how_many)
        order = np.argsort(home, kind="stable")
        filled = np.flatnonzero(sizes)
        begins = (np.cumsum(sizes) - sizes)[filled]
        centres = centres.copy()
        centres[filled] = np.add.reduceat(sample[order], begins) / sizes[filled, None]
    return centres


def _probes(
    rows: Embeddings, begins: np.ndarray, centres: Embeddings, k: int, random: np.random.Generator
) -> int:
    """The fewest lists that hold enough of the nearest of a sample, which leave themselves out."""
    sample = np.sort(random.choice(len(rows), min(_SAMPLE, len(rows)), replace=False))
    best = _Best.of(len(sample), k + 1)
    for start in range(0, len(rows), BLOCK):
        best.offer(np.arange(len(sample)), rows[sample], rows, start, start + BLOCK)
    others = np.where(best.places == sample[:, None], -1, best.places)
    lists = np.searchsorted(begins, others, side="right") - 1
    order = np.argsort(_squared(rows[sample], centres), axis=1)
    rank = np.argsort(order, axis=1)
    needed = np.where(others >= 0, np.take_along_axis(rank, np.maximum(lists, 0), 1), 0)
    last = needed.max(axis=1)
    return min(int(np.quantile(last, _ENOUGH, method="higher")) + 1, len(centres))
