"""Near-duplicates: pairs of items that are nearer than pairs in this library come by chance.

Embeddings find candidates; pixels confirm them, where a correlation is handed in (embeddings alone
had a specificity of 0.86 in arXiv 2312.07273). Of one patient a near-duplicate is expected; of two
patients it is a leak or an error of identity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Float64, Int64
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from clustering.columns import UNKNOWN, Column, aligned, coded, distances, same
from clustering.contract import NO_ROW, Neighbours
from indexer.errors import QueryError

Correlation = Callable[[int, int], float]
"""From two rows to how far their pixels correlate, in -1..1; `pixel_correlation` for instance."""
LEAST_CORRELATION = 0.95
"""Of two pictures of the same exposure, unless another is given.

Among 1,770 pairs of 60 chest radiographs of different patients (NIH ChestX-ray14 and others) the
highest was 0.93; a copy that has lost 5 % at its edges may be as low as 0.79.
"""
_FEWEST = 50
"""Items that a threshold can be told from."""
_ROUNDS = 20
_SAME = 1e-3
"""A distance that the rounding of stored vectors (float16) can make."""

Ends = Int64[np.ndarray, "pairs 2"]
Distances = Float64[np.ndarray, " items"]


class Kinship(StrEnum):
    """Whose the two items of a pair are."""

    SAME_STUDY = "same study"
    SAME_PATIENT = "same patient"
    DIFFERENT_PATIENTS = "different patients"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Threshold:
    """From which cosine on a pair is nearer than by chance.

    Attributes:
        cosine: the threshold.
        items: that it was told from; 0 if it was given.
        usual: median cosine of an item with its nearest of another patient.
        reason: in a sentence.
    """

    cosine: float
    items: int
    usual: float | None
    reason: str


@dataclass(frozen=True)
class Pair:
    """Two items that are near-duplicates, ``first`` the lower row.

    Attributes:
        group: of all that are joined by pairs, the largest 0; None if the pixels say no.
        correlation: of the pixels, None where they were not looked at.
        confirmed: whether that is high enough; True where they were not looked at.
    """

    first: int
    second: int
    cosine: float
    kinship: Kinship
    correlation: float | None
    confirmed: bool
    group: int | None


@dataclass(frozen=True)
class Duplicates:
    """Near-duplicates of a library.

    Attributes:
        pairs: nearest first; those of different patients before all others.
        groups: rows of the items that confirmed pairs join, the largest group first.
        threshold: from which cosine on.
        notes: what a reader should know, in sentences.
    """

    pairs: tuple[Pair, ...]
    groups: tuple[tuple[int, ...], ...]
    threshold: Threshold
    notes: tuple[str, ...]


def duplicate_threshold(neighbours: Neighbours, patients: Column | None = None) -> Threshold:
    """The cosine that about one item of the whole library would reach by chance.

    Nearest-neighbour distances of independent items follow a Weibull law, the law of minima
    (Coles, An Introduction to Statistical Modeling of Extreme Values, 2001, chapter 3), so their
    logarithms follow a Gumbel law. It is fitted to two quantiles of the upper half, as
    near-duplicates bend the lower one, then to the median and the upper quartile of the items above
    the threshold, which is where one of the n items is expected. Only neighbours of other patients
    count: one patient's images are alike without being copies. Where more than about half of all
    items have a duplicate, it takes duplicates for usual and misses many.

    Args:
        neighbours: of all items.
        patients: whose each item is; None lets every neighbour count.

    Raises:
        QueryError: too few items have a neighbour of another patient, or the lengths differ.
    """
    aligned(len(neighbours.rows), patients=patients)
    apart = distances(neighbours)
    if patients is not None:
        owners, _ = coded(patients)
        apart = np.where(same(owners, neighbours.rows), np.inf, apart)
    nearest = apart.min(axis=1, initial=np.inf)
    nearest = nearest[np.isfinite(nearest)]
    if len(nearest) < _FEWEST:
        raise QueryError(
            f"{len(nearest)} items have a neighbour of another patient; a threshold is told from "
            f"{_FEWEST} or more: give one, 0.98 for instance"
        )
    distance = _one_by_chance(nearest)
    cosine, usual = 1 - distance**2 / 2, 1 - float(np.median(nearest)) ** 2 / 2
    reason = (
        f"of {len(nearest):,} items one is expected to have a neighbour of another patient this "
        f"near by chance; half have one at a cosine of {usual:.4f} or more"
    )
    return Threshold(float(cosine), len(nearest), usual, reason)


def _one_by_chance(nearest: Distances) -> float:
    """Distance below which one item in all is expected, those left out that lie below it."""
    logs = np.log(np.maximum(nearest, _SAME))
    # The first time from the upper half alone, where there are next to no duplicates.
    low = _quantile(logs, (0.75, 0.95), 1 / len(logs))
    for _ in range(_ROUNDS):
        rest = logs[logs > low]
        if len(rest) < _FEWEST:
            break
        before, low = low, max(low, _quantile(rest, (0.5, 0.75), 1 / len(logs)))
        if low == before:
            break
    return max(float(np.exp(low)), _SAME)


def _quantile(logs: Distances, known: tuple[float, float], wanted: float) -> float:
    """A quantile of ``1 - exp(-exp((x - middle) / spread))``, fitted to two others."""
    lower, upper = np.quantile(logs, known)
    place = [np.log(-np.log1p(-share)) for share in (*known, wanted)]
    spread = (upper - lower) / (place[1] - place[0])
    return float(lower + spread * (place[2] - place[0]))


def near_duplicates(
    neighbours: Neighbours,
    *,
    patients: Column | None = None,
    studies: Column | None = None,
    threshold: float | None = None,
    correlation: Correlation | None = None,
    least_correlation: float = LEAST_CORRELATION,
) -> Duplicates:
    """Pairs of the graph that reach a threshold, and the groups they form.

    Args:
        neighbours: of all items.
        patients: whose each item is.
        studies: of each item.
        threshold: cosine in -1..1; told by `duplicate_threshold` if None.
        correlation: looks at the pixels of a pair; pairs below ``least_correlation`` are listed but
            join no group.
        least_correlation: see there.

    Raises:
        QueryError: the lengths differ, a threshold is out of range, or none can be told.
    """
    count = len(neighbours.rows)
    aligned(count, patients=patients, studies=studies)
    chosen = duplicate_threshold(neighbours, patients) if threshold is None else _given(threshold)
    ends, cosines = _pairs(neighbours, chosen.cosine)
    looked = [None if correlation is None else correlation(int(a), int(b)) for a, b in ends]
    sure = [value is None or value >= least_correlation for value in looked]
    groups, of_item = _groups(ends[np.array(sure, bool)], count)
    kin = _kinships(ends, patients, studies)
    pairs = [
        Pair(int(a), int(b), float(cosine), kind, value, yes, of_item.get(int(a)) if yes else None)
        for (a, b), cosine, kind, value, yes in zip(ends, cosines, kin, looked, sure, strict=True)
    ]
    pairs.sort(key=lambda pair: (pair.kinship is not Kinship.DIFFERENT_PATIENTS, -pair.cosine))
    return Duplicates(tuple(pairs), groups, chosen, _notes(neighbours, chosen, correlation))


def _given(cosine: float) -> Threshold:
    if not -1 <= cosine <= 1:
        raise QueryError(f"threshold is a cosine in -1..1, not {cosine:g}")
    return Threshold(cosine, 0, None, "it was given")


def _pairs(neighbours: Neighbours, cosine: float) -> tuple[Ends, np.ndarray]:
    """Each pair once, the lower row first, with its cosine."""
    near = (neighbours.scores >= cosine) & (neighbours.rows != NO_ROW)
    first, place = np.nonzero(near)
    second = neighbours.rows[first, place]
    ends = np.sort(np.stack([first, second], axis=1).astype(np.int64), axis=1)
    once, where = np.unique(ends, axis=0, return_index=True)
    return once, neighbours.scores[first, place][where]


def _groups(ends: Ends, count: int) -> tuple[tuple[tuple[int, ...], ...], dict[int, int]]:
    links = coo_array((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), (count, count))
    _, part = connected_components(links, directed=False)
    members: dict[int, list[int]] = {}
    for row in np.unique(ends):
        members.setdefault(int(part[row]), []).append(int(row))
    groups = sorted(members.values(), key=lambda rows: (-len(rows), rows))
    of_item = {row: number for number, rows in enumerate(groups) for row in rows}
    return tuple(map(tuple, groups)), of_item


def _kinships(ends: Ends, patients: Column | None, studies: Column | None) -> Sequence[Kinship]:
    one_study, _ = _shared(ends, studies)
    one_patient, known = _shared(ends, patients)
    kinds = np.select(
        [one_study, one_patient, known],
        [Kinship.SAME_STUDY, Kinship.SAME_PATIENT, Kinship.DIFFERENT_PATIENTS],
        Kinship.UNKNOWN,
    )
    return [Kinship(kind) for kind in kinds]


def _shared(ends: Ends, column: Column | None) -> tuple[np.ndarray, np.ndarray]:
    """Whether the two items of each pair have the same value, and whether both are known."""
    if column is None:
        return np.zeros(len(ends), bool), np.zeros(len(ends), bool)
    codes, _ = coded(column)
    first, second = codes[ends[:, 0]], codes[ends[:, 1]]
    known = (first != UNKNOWN) & (second != UNKNOWN)
    return known & (first == second), known


def _notes(
    neighbours: Neighbours, threshold: Threshold, correlation: Correlation | None
) -> tuple[str, ...]:
    notes = []
    full = int((neighbours.scores[:, -1:] >= threshold.cosine).sum())
    if full:
        k = neighbours.rows.shape[1]
        notes.append(f"{full:,} items have {k} or more near-duplicates; {k} of each are listed")
    if neighbours.recall < 1:
        notes.append(f"the graph holds {neighbours.recall:.1%} of the true neighbours")
    if correlation is None:
        notes.append("the pixels were not compared: these are candidates")
    return tuple(notes)
