"""What is known of items besides their vectors: a value or None for each, in the items' order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Sized

import numpy as np
from jaxtyping import Int64, Shaped

from clustering.contract import NO_ROW, Neighbours
from indexer.errors import QueryError
from indexer.types import Embeddings

Column = Sequence[str | None]
"""None and "" mean that the value is not known."""
Codes = Int64[np.ndarray, " n"]
NeighbourRows = Shaped[np.ndarray, "n k"]
UNKNOWN = -1
"""The code of a value that is not known."""
_BLOCK = 8_192


def aligned(count: int, **columns: Sized | None) -> None:
    """See that every column that is there has one value for each item.

    Raises:
        QueryError: one has not; the message names it.
    """
    for name, column in columns.items():
        if column is not None and len(column) != count:
            raise QueryError(f"{name}: {len(column):,} values for {count:,} items")


def coded(column: Column) -> tuple[Codes, tuple[str, ...]]:
    """Values as numbers, counted in the order of the sorted names; `UNKNOWN` where there is none.

    Returns:
        int64 ``(n,)`` and the names, so that ``names[code]`` is the value.
    """
    names = tuple(sorted({value for value in column if value}))
    number = {name: code for code, name in enumerate(names)}
    codes = np.fromiter((number.get(v or "", UNKNOWN) for v in column), np.int64, len(column))
    return codes, names


def same(codes: Codes, rows: NeighbourRows) -> np.ndarray:
    """Whether each item and each of its neighbours are known to have the same value.

    Args:
        codes: of all items.
        rows: neighbours of each, see `Neighbours`.

    Returns:
        bool ``(n, k)``; False where there is no neighbour, or a value is not known.
    """
    known = (codes[:, None] != UNKNOWN) & (rows != NO_ROW)
    equal: np.ndarray = (codes[rows] == codes[:, None]) & known
    return equal


def distances(neighbours: Neighbours) -> np.ndarray:
    """Euclidean distances of unit vectors, float64 ``(n, k)``; inf where there is no neighbour."""
    squared = 2 - 2 * neighbours.scores.astype(np.float64)
    found: np.ndarray = np.sqrt(np.maximum(squared, 0))
    return found


def similarities(embeddings: Embeddings, others: np.ndarray) -> Iterable[tuple[slice, np.ndarray]]:
    """Cosines of all rows with others, block by block; a memory map is never read whole.

    Args:
        embeddings: ``(n, dim)`` unit rows.
        others: ``(m, dim)`` unit rows.

    Yields:
        Which rows, and float32 ``(rows, m)``.
    """
    turned = np.asarray(others, np.float32).T
    for start in range(0, len(embeddings), _BLOCK):
        rows = slice(start, min(start + _BLOCK, len(embeddings)))
        yield rows, np.asarray(embeddings[rows], np.float32) @ turned
