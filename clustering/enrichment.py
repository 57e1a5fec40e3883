"""Which known values a cluster has more often than the rest: tags, modality, maker, label.

One-sided hypergeometric tests, which is Fisher's exact test of a greater share; the false discovery
rate over all clusters and values is held by Benjamini and Hochberg (J. R. Stat. Soc. B 57 (1995)
289). How far a field goes with the clusters as a whole is Cramer's V without its bias (Bergsma,
J. Korean Stat. Soc. 42 (2013) 323).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import chi2, false_discovery_control, hypergeom

from clustering.columns import UNKNOWN, Codes, Column, aligned, coded
from clustering.contract import NOISE
from indexer.errors import QueryError

DEVICE_FIELDS = ("manufacturer", "model", "station", "site", "institution")
"""Fields that say where an image was made, not what it shows."""
LEVEL = 0.05
"""Share of false ones among those reported."""
_PURE, _ELSEWHERE = 0.9, 0.5
_FEWEST = 10


@dataclass(frozen=True)
class Enriched:
    """A value that a cluster has more often than the rest.

    Attributes:
        cluster: its number.
        field, value: what is known of the items.
        inside, known_inside: members with the value, and members whose value is known.
        share_inside, share_outside: of those whose value is known; noise is outside.
        lift: the share inside divided by the share of all.
        p: of the test, by itself.
        q: the false discovery rate at which it is still reported.
    """

    cluster: int
    field: str
    value: str
    inside: int
    known_inside: int
    share_inside: float
    share_outside: float
    lift: float
    p: float
    q: float


@dataclass(frozen=True)
class Association:
    """How far a field goes with the clusters.

    Attributes:
        field: its name.
        cramers_v: 0 not at all, 1 as far as can be.
        p, q: of the chi-squared test, and corrected for the number of fields.
        known: items that are in a cluster and have a value.
    """

    field: str
    cramers_v: float
    p: float
    q: float
    known: int


def banded(values: Sequence[float | None], *, bands: int = 4) -> list[str | None]:
    """Numbers as bands of about equally many items, named by their first and last number.

    Args:
        values: of each item; None and NaN are not known.
        bands: how many, at most.

    Raises:
        QueryError: fewer than one band.
    """
    if bands < 1:
        raise QueryError(f"bands is 1 or more, not {bands}")
    numbers = np.array([np.nan if value is None else value for value in values], np.float64)
    known = np.isfinite(numbers)
    if not known.any():
        return [None] * len(values)
    edges = np.unique(np.quantile(numbers[known], np.linspace(0, 1, bands + 1)[1:-1]))
    place = np.searchsorted(edges, numbers, side="left")
    names = dict[int, str]()
    for band in np.unique(place[known]):
        own = numbers[known & (place == band)]
        low, high = f"{own.min():g}", f"{own.max():g}"
        names[int(band)] = low if low == high else f"{low} to {high}"
    return [names[int(at)] if yes else None for at, yes in zip(place, known, strict=True)]


def enrichment(
    labels: np.ndarray,
    fields: Mapping[str, Column],
    *,
    patients: Column | None = None,
    level: float = LEVEL,
) -> tuple[Enriched, ...]:
    """The values that clusters have more often than the rest, by cluster, surest first.

    Several images of one patient are no independent cases: with patients given, each counts once
    for each of its values in each cluster. Items whose patient is not known count by themselves.

    Args:
        labels: int64 ``(n,)``.
        fields: name of a field to its value for each item.
        patients: whose each item is.
        level: false discovery rate.

    Raises:
        QueryError: the lengths differ.
    """
    aligned(len(labels), patients=patients, **fields)
    owners = _owners(len(labels), patients)
    found = [
        each for name, column in fields.items() for each in _tested(labels, name, column, owners)
    ]
    if not found:
        return ()
    qs = false_discovery_control([each.p for each in found])
    sure = [
        replace(each, q=float(q))
        for each, q in zip(found, qs, strict=True)
        if q <= level and each.lift > 1
    ]
    return tuple(sorted(sure, key=lambda each: (each.cluster, each.q, -each.lift)))


def associations(
    labels: np.ndarray, fields: Mapping[str, Column], *, patients: Column | None = None
) -> tuple[Association, ...]:
    """Cramer's V of every field with the clusters, the strongest first; arguments as `enrichment`.

    Raises:
        QueryError: the lengths differ.
    """
    aligned(len(labels), patients=patients, **fields)
    owners = _owners(len(labels), patients)
    rows = []
    for name, column in fields.items():
        clusters, codes = _units(labels, coded(column)[0], owners)
        real = clusters != NOISE
        rows.append((name, *_cramers_v(clusters[real], codes[real]), int(real.sum())))
    if not rows:
        return ()
    qs = false_discovery_control([p for _, _, p, _ in rows])
    found = [
        Association(name, v, p, float(q), known)
        for (name, v, p, known), q in zip(rows, qs, strict=True)
    ]
    return tuple(sorted(found, key=lambda each: -each.cramers_v))


def shortcut_warnings(
    enriched: Sequence[Enriched], fields: Sequence[str] = DEVICE_FIELDS
) -> dict[int, tuple[str, ...]]:
    """Sentences on clusters that are nearly all of one device or site while the rest is not.

    Args:
        enriched: from `enrichment`.
        fields: that say where an image was made.

    Returns:
        Clusters that have such, with a sentence for each field.
    """
    told: dict[int, tuple[str, ...]] = {}
    for each in enriched:
        pure = each.share_inside >= _PURE and each.share_outside <= _ELSEWHERE
        if each.field in fields and pure and each.known_inside >= _FEWEST:
            sentence = (
                f"this cluster is one {each.field}: {each.share_inside:.0%} of it is "
                f"'{each.value}', of the rest {each.share_outside:.0%}; it may stand for how the "
                "images were made, not for what they show"
            )
            told[each.cluster] = (*told.get(each.cluster, ()), sentence)
    return told


def _owners(count: int, patients: Column | None) -> Codes:
    """A number for each patient; items without one are patients of their own."""
    alone = np.arange(count)
    if patients is None:
        return alone
    codes, _ = coded(patients)
    return np.where(codes == UNKNOWN, count + alone, codes)


def _units(labels: np.ndarray, codes: Codes, owners: Codes) -> tuple[np.ndarray, np.ndarray]:
    """Cluster and value of what is counted: each patient, cluster and known value once."""
    known = codes != UNKNOWN
    once = np.unique(np.stack([owners, labels, codes])[:, known], axis=1)
    return once[1], once[2]


def _tested(labels: np.ndarray, field: str, column: Column, owners: Codes) -> list[Enriched]:
    """Every value of a field in every cluster that has it, ``q`` still to come."""
    codes, names = coded(column)
    clusters, values = _units(labels, codes, owners)
    numbers, row = np.unique(clusters, return_inverse=True)
    flat = np.bincount(row * len(names) + values, minlength=len(numbers) * len(names))
    table = flat.reshape(len(numbers), len(names))
    sizes, everywhere, total = table.sum(axis=1), table.sum(axis=0), len(values)
    ps = hypergeom.sf(table - 1, total, everywhere[None], sizes[:, None])
    return [
        Enriched(
            cluster=int(numbers[at]),
            field=field,
            value=names[value],
            inside=int(table[at, value]),
            known_inside=int(sizes[at]),
            share_inside=float(table[at, value] / sizes[at]),
            share_outside=float((everywhere[value] - table[at, value]) / max(total - sizes[at], 1)),
            lift=float(table[at, value] / sizes[at] * total / everywhere[value]),
            p=float(ps[at, value]),
            q=1.0,
        )
        for at, value in np.argwhere(table)
        if numbers[at] != NOISE and len(names) > 1
    ]


def _cramers_v(clusters: np.ndarray, codes: np.ndarray) -> tuple[float, float]:
    """Corrected V, and p of the chi-squared test; 0 and 1 where there is nothing to tell apart."""
    rows, row = np.unique(clusters, return_inverse=True)
    columns, column = np.unique(codes, return_inverse=True)
    r, c, n = len(rows), len(columns), len(codes)
    if min(r, c) < 2:
        return 0.0, 1.0
    table = np.bincount(row * c + column, minlength=r * c).reshape(r, c)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
    squared = float(((table - expected) ** 2 / expected).sum())
    excess = max(squared / n - (r - 1) * (c - 1) / (n - 1), 0.0)
    least = min(r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)) - 1
    v = float(np.sqrt(excess / least)) if least > 0 else 0.0
    return min(v, 1.0), float(chi2.sf(squared, (r - 1) * (c - 1)))
