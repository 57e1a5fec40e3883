"""How odd a distance is at its place: measured on usual pictures that were held out.

Some places of a picture are never quite alike (borders, markers, hands), others always. So
distances are told in the spread that they have at their place, as PaDiM does with patches
themselves (Defard et al., ICPR 2020 workshops, arXiv 2011.08785, section 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from scipy import ndimage

from indexer.errors import ReferenceSetError
from ood.patches import Map

LEVELS = (0.5, 0.95, 0.99, 0.999)
"""Shares of places of usual pictures that are less odd; colours mean these."""
_FEWEST = 4
_POINTS = 10_001
"""Quantiles that stand for all places."""
_NEAR = 3
"""Places a side over which a place's mean and spread are taken."""
_LEAST = 1e-4


@dataclass(frozen=True)
class Oddness:
    """What is usual at each place, and in a whole picture.

    Attributes:
        middle, spread: float32 ``(rows, columns)``: mean and standard deviation of distances.
        pooled: float32, quantiles of the oddness of all places, at even steps from 0 to 1.
        highest: float32 ``(n,)``, rising: of each picture the oddness of its oddest place.
    """

    middle: np.ndarray = field(repr=False)
    spread: np.ndarray = field(repr=False)
    pooled: np.ndarray = field(repr=False)
    highest: np.ndarray = field(repr=False)

    @classmethod
    def of(cls, cases: Sequence[Sequence[Map]]) -> Self:
        """Learn it from held-out cases.

        What is usual at a place is measured on one half of the cases for the other, so that none
        looks more usual than a new one will.

        Args:
            cases: of each its maps of distances (`ood.patches.PatchMemory.scores`): one of an
                image, several of a volume; NaN where the encoder does not look.

        Raises:
            ReferenceSetError: fewer than four cases, or one without any place.
        """
        if len(cases) < _FEWEST:
            raise ReferenceSetError(
                f"{len(cases)} held-out pictures do not tell what is usual: {_FEWEST} are the least"
            )
        stacks = [np.stack([*case]) for case in cases]
        if any(np.isnan(stack).all() for stack in stacks):
            raise ReferenceSetError("the encoder looks at no place of a held-out picture")
        halves = stacks[::2], stacks[1::2]
        odd = [
            _told(stack, *usual)
            for half, usual in zip(halves, map(_usual, reversed(halves)), strict=True)
            for stack in half
        ]
        every = np.concatenate([each[~np.isnan(each)] for each in odd])
        pooled = np.quantile(every, np.linspace(0, 1, _POINTS)).astype(np.float32)
        highest = np.sort(np.array([np.nanmax(each) for each in odd], np.float32))
        return cls(*_usual(stacks), pooled, highest)

    def __call__(self, scores: Map) -> Map:
        """Distances in units of the spread at their place, 0 being the mean; NaN stays NaN."""
        return np.asarray(_told(scores, self.middle, self.spread), np.float32)

    @property
    def levels(self) -> tuple[float, ...]:
        """Oddness of places of usual pictures at `LEVELS`."""
        return tuple(self.at(level) for level in LEVELS)

    def at(self, share: float) -> float:
        """The oddness that a share of the places of usual pictures does not reach."""
        return float(np.interp(share, np.linspace(0, 1, len(self.pooled)), self.pooled))

    def p_value(self, highest: float) -> float:
        """The share of usual pictures, this one counted in, whose oddest place is as odd."""
        above = len(self.highest) - int(np.searchsorted(self.highest, np.float32(highest)))
        return (1 + above) / (1 + len(self.highest))

    def state(self) -> dict[str, np.ndarray]:
        """Everything, as plain arrays by name."""
        return {
            "middle": self.middle,
            "spread": self.spread,
            "pooled": self.pooled,
            "highest": self.highest,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray]) -> Self:
        """What `state` was taken of.

        Raises:
            ReferenceSetError: an array is missing.
        """
        try:
            return cls(*(state[name] for name in ("middle", "spread", "pooled", "highest")))
        except KeyError as error:
            raise ReferenceSetError(
                f"this is no state of what is usual: {error} is missing; fit it again"
            ) from error


def _usual(stacks: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation at each place, float32, over it and the places round it."""
    maps = np.concatenate(stacks)
    seen = ~np.isnan(maps)
    filled = np.where(seen, maps, 0).astype(np.float64)
    counts, sums, squares = (
        ndimage.uniform_filter(each.sum(axis=0).astype(np.float64), _NEAR, mode="constant")
        for each in (seen, filled, filled**2)
    )
    # Where no case was looked at, what holds for all places does.
    enough = counts > 1 / _NEAR**2
    counts = np.where(enough, counts, seen.sum())
    middle = np.where(enough, sums, filled.sum()) / counts
    variance = np.where(enough, squares, (filled**2).sum()) / counts - middle**2
    spread = np.sqrt(np.maximum(variance, _LEAST**2))
    return middle.astype(np.float32), spread.astype(np.float32)


def _told(scores: np.ndarray, middle: np.ndarray, spread: np.ndarray) -> np.ndarray:
    return np.asarray((scores - middle) / spread)
