"""Patches of usual pictures, and how far those of another are from the nearest of them.

K. Roth, L. Pemula, J. Zepeda, B. Schoelkopf, T. Brox and P. Gehler, Towards total recall in
industrial anomaly detection, CVPR 2022 (arXiv 2106.08265), sections 3.1 to 3.3. Here patches are
whitened before, and where a patch lies counts, too: both were chosen by measuring (docs/ood.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float32

from indexer.errors import ReferenceSetError, VectorError
from ood.principal import moments

Grid = Float32[np.ndarray, "rows columns dim"]
"""Vectors of the places of a picture; those of NaN are left out: the encoder does not look there.
"""
Map = Float32[np.ndarray, "rows columns"]

_POOL = 30_000
"""Patches that the memory is chosen from, drawn from all that come."""
_SHRINKAGE = 0.3
"""Share of the mean spread that is added along every axis before it is divided by."""
_STEP = 0.1
"""How far apart two places next to each other are, in lengths of a usual patch."""
_PROJECTED = 32
"""Dimensions in which the memory is chosen (Roth et al., section 3.2)."""
_BLOCK = 1_024
_TOLD_EVERY = 200


def _nobody(_what: str, _done: int, _total: int) -> None:
    """Nobody is told."""


@dataclass(frozen=True)
class PatchMemory:
    """Patches that stand for those of many pictures.

    Attributes:
        rows: float16 ``(n, dim)``, patches as they came.
        places: int32 ``(n,)``, of each its place in the grid, row by row.
        shape: rows and columns of grids.
        mean: float32 ``(dim,)``, of all patches.
        axes: float32 ``(dim, dim)`` by which they are multiplied; then a usual one has length 1.
        radius: of those that the memory was chosen from the greatest distance to the memory, in
            the projection that it was chosen in; 0 where it holds all of them.
    """

    rows: np.ndarray = field(repr=False)
    places: np.ndarray = field(repr=False)
    shape: tuple[int, int]
    mean: np.ndarray = field(repr=False)
    axes: np.ndarray = field(repr=False)
    radius: float

    @classmethod
    def fit(
        cls,
        grids: Iterable[Grid],
        *,
        most: int = 10_000,
        seed: int = 0,
        progress: Callable[[str, int, int], None] = _nobody,
    ) -> PatchMemory:
        """Choose patches that are near to all others.

        At most 30,000 patches (or ``most``) lie in memory at once, as float16.

        Args:
            grids: of pictures, one after the other, all of one shape.
            most: patches that are kept.
            seed: of the draw.
            progress: told what is being done, how much of it is done, and of how much; what it
                raises stops the fit.

        Raises:
            ReferenceSetError: fewer than two patches, all are equal, or none may be kept.
            VectorError: grids of several shapes, or values that are infinite or beyond float16.
        """
        if most < 1:
            raise ReferenceSetError(f"a memory holds one patch or more, not {most}")
        pool = _Pool(max(_POOL, most), np.random.default_rng([seed, 82]))
        for grid in grids:
            pool.add(grid)
        rows, places = pool.drawn()
        mean, axes = _whitening(rows)
        made = cls(rows, places, pool.shape, mean, axes, 0.0)
        if len(rows) <= most:
            return made
        chosen, radius = _spread_out(made.placed, most, seed, progress)
        return cls(rows[chosen], places[chosen], pool.shape, mean, axes, radius)

    @cached_property
    def placed(self) -> np.ndarray:
        """Float32 ``(n, dim + 2)``: the memory whitened, with row and column of its places."""
        return self._placed(self.rows.astype(np.float32), self.places)

    def scores(self, grid: Grid) -> Map:
        """Distance of each place to the nearest of the memory, in lengths of a usual patch.

        NaN where the encoder does not look.

        Raises:
            VectorError: a grid of another shape, or values that are infinite.
        """
        rows, places = _seen(grid)
        if grid.shape != (*self.shape, len(self.mean)):
            raise VectorError(
                f"patches of shape {grid.shape} are compared with a memory of shape "
                f"{(*self.shape, len(self.mean))}: it was fitted with another encoder"
            )
        found = np.full(self.shape[0] * self.shape[1], np.nan, np.float32)
        found[places] = _to_nearest(self._placed(rows, places), self.placed)
        return found.reshape(self.shape)

    def state(self) -> dict[str, np.ndarray]:
        """Everything, as plain arrays by name."""
        return {
            "rows": self.rows,
            "places": self.places,
            "shape": np.array(self.shape),
            "mean": self.mean,
            "axes": self.axes,
            "radius": np.array(self.radius),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray]) -> PatchMemory:
        """What `state` was taken of.

        Raises:
            ReferenceSetError: an array is missing.
        """
        try:
            rows, columns = state["shape"].tolist()
            parts = (state["rows"], state["places"], (rows, columns), state["mean"], state["axes"])
            return cls(*parts, float(state["radius"]))
        except KeyError as error:
            raise ReferenceSetError(
                f"this is no state of a patch memory: {error} is missing; fit it again"
            ) from error

    def _placed(self, rows: np.ndarray, places: np.ndarray) -> np.ndarray:
        where = np.stack(np.divmod(places, self.shape[1]), axis=1) * np.float32(_STEP)
        return np.concatenate([(rows - self.mean) @ self.axes, where.astype(np.float32)], axis=1)


class _Pool:
    """Patches drawn from all that come, each with the same chance (Vitter, algorithm R, 1985).

    Args:
        size: how many at most.
        random: draws.
    """

    def __init__(self, size: int, random: np.random.Generator) -> None:
        self.size, self.random = size, random
        self.shape, self._dim = (0, 0), 0
        self._come, self._parts = 0, list[tuple[np.ndarray, np.ndarray]]()
        self._rows, self._places = np.empty((0, 0), np.float16), np.empty(0, np.int32)

    def add(self, grid: Grid) -> None:
        """Offer the patches of a picture."""
        rows, places = _seen(grid)
        if not self._dim:
            self.shape, self._dim = (grid.shape[0], grid.shape[1]), grid.shape[2]
            self._rows = np.empty((self.size, self._dim), np.float16)
            self._places = np.empty(self.size, np.int32)
        if grid.shape != (*self.shape, self._dim):
            raise VectorError(
                f"patches of shape {grid.shape} after those of {(*self.shape, self._dim)}: "
                "all pictures are to be embedded by one encoder"
            )
        with np.errstate(over="ignore"):
            short = rows.astype(np.float16)
        if not np.isfinite(short).all():
            raise VectorError("a patch to learn from has values beyond float16")
        number = self._come + np.arange(len(short))
        at = np.where(number < self.size, number, self.random.integers(0, number + 1))
        kept = at < self.size
        self._rows[at[kept]], self._places[at[kept]] = short[kept], places[kept]
        self._come += len(short)

    def drawn(self) -> tuple[np.ndarray, np.ndarray]:
        """Patches, float16 ``(n, dim)``, and their places, int32 ``(n,)``."""
        count = min(self._come, self.size)
        if count < 2:
            raise ReferenceSetError(f"a memory needs two patches or more, not {count}")
        return self._rows[:count], self._places[:count]


def _seen(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Patches where the encoder looks, float32 ``(n, dim)``, and their places."""
    if grid.ndim != 3 or not grid.size:
        raise VectorError(f"patches are of shape (rows, columns, dim), not {grid.shape}")
    flat = np.asarray(grid, np.float32).reshape(-1, grid.shape[2])
    places = np.flatnonzero(~np.isnan(flat).all(axis=1))
    if not np.isfinite(flat[places]).all():
        raise VectorError("a patch has values that are not finite")
    return flat[places], places


def _whitening(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean, and axes divided by their spread: patches share most of their direction."""
    if (rows == rows[0]).all():
        raise ReferenceSetError("all patches of the reference are equal: nothing is unlike them")
    mean, spread, axes = moments(rows, normalise=False)
    damped = spread + _SHRINKAGE * spread.mean()
    usual = np.sqrt(np.sum(spread / damped))
    return mean.astype(np.float32), (axes / np.sqrt(damped) / usual).astype(np.float32)


def _to_nearest(rows: np.ndarray, memory: np.ndarray) -> np.ndarray:
    """Float32 ``(n,)``: the distance of each row to the nearest of the memory."""
    lengths = np.einsum("ij,ij->i", memory, memory)
    away = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        nearest = (lengths - 2 * (block @ memory.T)).argmin(axis=1)
        # Anew from differences: products of near rows leave few digits.
        away[start : start + _BLOCK] = np.linalg.norm(block - memory[nearest], axis=1)
    return away


def _spread_out(
    rows: np.ndarray, most: int, seed: int, progress: Callable[[str, int, int], None]
) -> tuple[np.ndarray, float]:
    """Numbers of rows such that every row is near to one of them, rising; and how near.

    Greedy k-centre (Gonzalez, 1985; Roth et al., algorithm 1): each time the row that is farthest
    from those chosen, in a random projection, which keeps distances roughly.
    """
    random = np.random.default_rng([seed, 83])
    onto = random.standard_normal((rows.shape[1], _PROJECTED)) / np.sqrt(_PROJECTED)
    low = rows @ onto.astype(np.float32)
    lengths = np.einsum("ij,ij->i", low, low)
    away = np.full(len(low), np.inf, np.float32)
    chosen = np.empty(most, np.int64)
    at = int(random.integers(len(low)))
    for number in range(most):
        if number % _TOLD_EVERY == 0:
            progress("choosing patches", number, most)
        chosen[number] = at
        np.minimum(away, lengths + lengths[at] - 2 * (low @ low[at]), out=away)
        away[at] = -np.inf
        at = int(away.argmax())
    return np.sort(chosen), float(np.sqrt(max(float(away.max()), 0.0)))
