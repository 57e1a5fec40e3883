"""The k best neighbours of many rows, kept while scores come in by blocks."""

from __future__ import annotations

import numpy as np

from clustering.contract import NO_ROW, Neighbours

_NONE = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_LOW = np.uint64(0xFFFF_FFFF)
_SIGN = np.uint32(0x8000_0000)
_SHIFT = np.uint64(32)
_CHUNK = 2048
"""Rows that are merged at a time: rows with like numbers of candidates, to pad little."""


class Nearest:
    """The k nearest others of some rows, of those offered so far.

    A candidate is one number of 64 bits, the falling score above, the row below, so that sorting
    numbers sorts by score and equal scores by row.
    """

    def __init__(self, rows: np.ndarray, k: int) -> None:
        self._rows = rows
        self._keys = np.full((len(rows), k), _NONE)
        self._floor = np.full(len(rows), -np.inf, np.float32)

    @classmethod
    def of(cls, graph: Neighbours, count: int) -> Nearest:
        """What a graph holds, with room for more rows."""
        made = cls(np.arange(count), graph.rows.shape[1])
        keys = _keys(graph.scores, graph.rows)
        keys[graph.rows == NO_ROW] = _NONE
        made._keys[: len(keys)] = keys
        made._floor[: len(keys)] = _scores(keys[:, -1])
        return made

    def offer(
        self,
        places: np.ndarray,
        others: np.ndarray,
        scores: np.ndarray,
        unless: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        """Offer ``others`` to the rows at ``places``; nobody is its own neighbour.

        Args:
            places: ``(m,)`` of the rows, each once.
            others: row numbers ``(c,)``, none of which these rows have been offered before.
            scores: float32 ``(m, c)``.
            unless: bool ``(m, lists)`` and list numbers ``(c,)``: the other is left out where the
                row has its list marked.
        """
        good = np.flatnonzero(scores >= self._floor[places][:, None])
        at, which = np.divmod(good, len(others))
        keep = self._rows[places[at]] != others[which]
        if unless is not None:
            marked, lists = unless
            keep &= ~marked[at, lists[which]]
        at, which = at[keep], which[keep]
        if len(at):
            self._merge(places, at, _keys(scores[at, which], others[which]))

    def graph(self, recall: float = 1.0) -> Neighbours:
        """What has been found."""
        none = self._keys == _NONE
        rows = (self._keys & _LOW).astype(np.uint32).view(np.int32)
        rows[none] = NO_ROW
        return Neighbours(rows, _scores(self._keys), recall)

    def _merge(self, places: np.ndarray, at: np.ndarray, keys: np.ndarray) -> None:
        """Take in candidates; ``at`` rises and says whose they are."""
        counts = np.bincount(at, minlength=len(places))
        begins = np.cumsum(counts) - counts
        touched = np.flatnonzero(counts)
        touched = touched[np.argsort(counts[touched], kind="stable")]
        k = self._keys.shape[1]
        for start in range(0, len(touched), _CHUNK):
            chunk = touched[start : start + _CHUNK]
            columns = np.arange(counts[chunk[-1]])
            there = columns < counts[chunk][:, None]
            taken = np.where(there, begins[chunk][:, None] + columns, 0)
            offered = np.where(there, keys[taken], _NONE)
            target = places[chunk]
            merged = np.sort(np.concatenate([self._keys[target], offered], axis=1), axis=1)[:, :k]
            self._keys[target] = merged
            self._floor[target] = _scores(merged[:, -1])


def _keys(scores: np.ndarray, rows: np.ndarray) -> np.ndarray:
    bits = np.ascontiguousarray(scores, np.float32).view(np.uint32)
    rising = np.where(bits & _SIGN, ~bits, bits | _SIGN)
    return (~rising).astype(np.uint64) << _SHIFT | rows.astype(np.uint64)


def _scores(keys: np.ndarray) -> np.ndarray:
    """Scores of keys; -inf where there is no candidate."""
    rising = ~(keys >> _SHIFT).astype(np.uint32)
    bits = np.where(rising & _SIGN, rising ^ _SIGN, ~rising)
    scores: np.ndarray = bits.astype(np.uint32).view(np.float32)
    scores[keys == _NONE] = -np.inf
    return scores
