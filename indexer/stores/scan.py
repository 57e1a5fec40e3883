"""Exact search over rows: scan for candidates, compare these exactly, prove that none is missing.

A scan gives scores in float32 of rows whose length is one but for rounding. Both errors have
bounds. The k-th best exact score is compared with the best that an unseen row can have; where that
is not below, every row that may reach it is brought by a second scan.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import numpy.typing as npt

from indexer.stores.contract import NO_ID, cosines
from indexer.stores.halves import faiss, unit_rows
from indexer.stores.rows import Part, Rows, Selection
from indexer.types import Embeddings, ItemIds, Scores

MARGIN = 22
"""Candidates beyond k: they cost next to nothing, and mostly spare the second scan."""
_BLOCK = 1024
_CANDIDATES = 128
"""Candidates compared at a time: so few that their copies stay in the cache."""
_SPARSE = 1500
"""Where one row in so many is allowed, taking these out is cheaper than passing all by."""
_QUERIES = 1024


def nearest(
    rows: Rows, queries: Embeddings, k: int, chosen: Selection | None
) -> tuple[ItemIds, Scores]:
    """Candidates ``(queries, c)`` among which the k best surely are, and their exact scores.

    Rows by number; NO_ID and -inf where a query has fewer.
    """
    found = [
        _nearest(rows, queries[start : start + _QUERIES], k, chosen)
        for start in range(0, len(queries), _QUERIES)
    ]
    return stacked([each[0] for each in found]), stacked_scores([each[1] for each in found])


def _nearest(
    rows: Rows, queries: Embeddings, k: int, chosen: Selection | None
) -> tuple[ItemIds, Scores]:
    candidates = rows.total if chosen is None else chosen.count
    few = chosen is not None and candidates * _SPARSE < rows.total
    if few or 4 * (k + MARGIN) >= candidates:
        numbers = np.arange(rows.total) if chosen is None else chosen.rows
        return _all_of(rows, queries, numbers)
    scans = scanned(rows.parts, queries, k + MARGIN, chosen)
    numbers, least = _best(scans, k + MARGIN)
    scores = exact_scores(rows, queries, numbers)
    kth = -np.partition(-scores, k - 1, axis=1)[:, k - 1]
    open_parts = [
        (part, _unproven(part, found, kth, least))
        for part, found in zip(rows.parts, scans, strict=True)
    ]
    again = np.flatnonzero(np.any([unproven for _, unproven in open_parts], axis=0))
    if not len(again):
        return numbers, scores
    # The second scan brings what may reach the k-th score, however many copies there are of it.
    wide_numbers, wide_scores = list(numbers), list(scores)
    for query in again:
        more = [numbers[query]]
        more += [
            part.above(queries[query], float(kth[query]), chosen)
            for part, unproven in open_parts
            if unproven[query]
        ]
        wide_numbers[query] = np.setdiff1d(np.concatenate(more), [NO_ID])
        wide_scores[query] = exact_scores(
            rows, queries[query : query + 1], wide_numbers[query][None]
        )[0]
    return (
        stacked([each[None] for each in wide_numbers]),
        stacked_scores([each[None] for each in wide_scores]),
    )


def scanned(
    parts: Sequence[Part], queries: Embeddings, k: int, chosen: Selection | None
) -> list[tuple[Scores, ItemIds, float]]:
    """`Part.scan` of several parts, each in a thread of its own."""
    if len(parts) < 2:
        return [part.scan(queries, k, chosen) for part in parts]
    return list(_threads().map(lambda part: part.scan(queries, k, chosen), parts))


@cache
def _threads() -> ThreadPoolExecutor:
    """Threads that stay. FAISS would begin others in each, which get in each other's way."""
    module = faiss()
    count = len(os.sched_getaffinity(0))
    return ThreadPoolExecutor(count or 1, "scan", initializer=lambda: module.omp_set_num_threads(1))


def _best(
    scans: Sequence[tuple[Scores, ItemIds, float]], count: int
) -> tuple[ItemIds, npt.NDArray[np.float64]]:
    """The best of several parts by scanned scores, and the score above which none was left out."""
    scores = np.concatenate([found for found, _, _ in scans], axis=1)
    numbers = np.concatenate([found for _, found, _ in scans], axis=1)
    if scores.shape[1] <= count:
        return numbers, np.full(len(numbers), -np.inf)
    scores = np.where(numbers == NO_ID, -np.inf, scores)
    order = np.argpartition(-scores, count, axis=1)[:, : count + 1]
    kept = np.take_along_axis(scores, order, 1)
    return np.take_along_axis(numbers, order, 1), kept.min(axis=1).astype(np.float64)


def _unproven(
    part: Part,
    scan: tuple[Scores, ItemIds, float],
    kth: Scores,
    least: npt.NDArray[np.float64],
) -> np.ndarray:
    """For which queries a row of a part that was not compared may be among the k best.

    Not compared are those that the scan did not bring, and of the others those below ``least``.
    """
    scores, numbers, sums = scan
    more = numbers[:, -1] != NO_ID
    last = np.where(more, scores[:, -1], -1).astype(np.float64)
    whole = scores.shape[1] == len(part.rows)
    brought = more & (last + part.error(last, sums) >= kth) & (not whole)
    cut = np.where(np.isfinite(least), least, -1)
    left_out = np.isfinite(least) & (cut + part.error(cut, sums) >= kth)
    unproven: np.ndarray = brought | left_out
    return unproven


def _all_of(rows: Rows, queries: Embeddings, numbers: ItemIds) -> tuple[ItemIds, Scores]:
    scores = np.empty((len(queries), len(numbers)), np.float32)
    for start in range(0, len(numbers), _BLOCK):
        part = slice(start, start + _BLOCK)
        scores[:, part] = cosines(queries, unit_rows(rows.gather(numbers[part])))
    return np.broadcast_to(numbers, scores.shape), scores


def exact_scores(rows: Rows, queries: Embeddings, numbers: ItemIds) -> Scores:
    """Exact scores ``(queries, c)`` of candidates by row number; -inf for NO_ID."""
    scores = np.full(numbers.shape, -np.inf, np.float32)
    wide, width = queries.astype(np.float64), numbers.shape[1]
    several = max(1, _CANDIDATES // max(1, width))
    for first in range(0, len(numbers), several):
        some = slice(first, first + several)
        for start in range(0, width, _CANDIDATES):
            part = (some, slice(start, start + _CANDIDATES))
            asked = numbers[part]
            there = asked != NO_ID
            units = unit_rows(rows.gather(np.where(there, asked, 0).ravel()))
            units = units.astype(np.float64).reshape(*asked.shape, -1)
            found = (units @ wide[some, :, None])[..., 0]
            scores[part] = np.where(there, found, -np.inf)
    return scores


def stacked(blocks: list[ItemIds]) -> ItemIds:
    """Blocks of candidates ``(queries, c)`` of different widths as one."""
    width = max((block.shape[1] for block in blocks), default=0)
    filled = [
        np.pad(block, ((0, 0), (0, width - block.shape[1])), constant_values=NO_ID)
        for block in blocks
    ]
    return np.concatenate(filled) if filled else np.empty((0, 0), np.int64)


def stacked_scores(blocks: list[Scores]) -> Scores:
    """As `stacked`, of scores."""
    width = max((block.shape[1] for block in blocks), default=0)
    filled = [
        np.pad(block, ((0, 0), (0, width - block.shape[1])), constant_values=-np.inf)
        for block in blocks
    ]
    return np.concatenate(filled) if filled else np.empty((0, 0), np.float32)
