"""How near is near: cosines of random pairs of other patients, and where a score lies among them.

A cosine says little by itself: in one space strangers have 0.3 on average, in another 0.9. Here is
what strangers have in this space and modality, so that a hit can be called "closer than 99.2 % of
random pairs".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from sqlalchemy import Connection, Row, func, select

from indexer.catalog.tables import EmbeddingRow, Item, Series, Study
from indexer.evidence.kept import keep, read_kept, state_of
from indexer.index.projection import catalog_count, sound_vectors
from indexer.library import Library, SpaceInfo
from indexer.types import Embeddings, Role, Scores

Patients = Int64[np.ndarray, " n"]
Percentiles = Float64[np.ndarray, " n"]

KIND, VERSION = "background", 1
MOST_ITEMS = 5_000
"""Items of a space that are looked at, drawn by the seed."""
MOST_PAIRS = 20_000
"""Pairs of each modality, and over all."""
LEAST_PAIRS = 200
"""A modality with fewer is compared with all; a library with fewer has no percentiles."""
ALL = ""
"""Stands for pairs of any modalities."""
_PART = 500
_DRAWS = 20


class Background:
    """Cosines of random pairs of a space.

    Args:
        cosines: sorted, by modality, and over all under `ALL`.
    """

    def __init__(self, cosines: Mapping[str, Scores]) -> None:
        self.cosines = cosines
        self._curves = {name: _curve(each) for name, each in cosines.items() if len(each)}

    def pairs(self, modality: str) -> int:
        """How many pairs a percentile of this modality rests on."""
        return len(self.cosines.get(modality, self.cosines.get(ALL, ())))

    def percentile(self, modality: str, scores: Scores) -> Percentiles:
        """Share of random pairs that are less alike, 0 to 100; NaN where there are too few.

        Of ``n`` pairs the one of rank ``r`` has ``100 r / (n + 1)``, equal ones their mean rank,
        and between two it is interpolated. So it is never 0 or 100: from ``n`` pairs no more than
        ``100 n / (n + 1)`` can be known.

        Args:
            modality: of both query and hit, or `ALL` if they differ.
            scores: cosines.
        """
        curve = self._curves.get(modality, self._curves.get(ALL))
        if curve is None:
            return np.full(len(scores), np.nan)
        return np.asarray(np.interp(scores, *curve), np.float64)


def _curve(cosines: Scores) -> tuple[Scores, Percentiles]:
    """Different cosines, and the percentile of each."""
    values, counts = np.unique(cosines, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    return values, 100 * ranks / (len(cosines) + 1)


def background_of(
    vectors: Embeddings, modalities: Sequence[str], patients: Patients, *, seed: int = 0
) -> Background:
    """Draw pairs of different patients, within each modality and over all.

    Args:
        vectors: unit rows ``(n, dim)``.
        modalities: of each row; "" where unknown.
        patients: of each row, a number.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    named = np.array(modalities, dtype=object)
    groups = {ALL: np.arange(len(named))}
    groups |= {name: np.flatnonzero(named == name) for name in sorted(set(modalities) - {ALL})}
    cosines = {}
    for name, rows in groups.items():
        first, second = random_pairs(patients[rows], rng)
        if len(first) >= LEAST_PAIRS:
            left, right = vectors[rows[first]], vectors[rows[second]]
            products = np.einsum("ij,ij->i", left, right)
            cosines[name] = np.sort(products.astype(np.float32))
    return Background(cosines)


def random_pairs(
    patients: Patients, rng: np.random.Generator, most: int = MOST_PAIRS
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of different patients in pairs: all of them if there are no more than ``most``."""
    count = len(patients)
    if count * (count - 1) // 2 <= most:
        first, second = np.triu_indices(count, 1)
    else:
        first = rng.integers(0, count, 2 * most)
        second = (first + rng.integers(1, count, 2 * most)) % count
    apart = patients[first] != patients[second]
    return first[apart][:most], second[apart][:most]


def read_background(library: Library, space: SpaceInfo, db: Connection) -> Background:
    """What is kept, if it still holds; else it is drawn anew, in well under a second."""
    stored = read_kept(library, space, KIND, VERSION)
    if stored is not None and stored[0].still_serves(state_of(db, space)):
        return _unpacked(stored[1])
    return draw_background(db, space)


def refresh_background(library: Library, space: SpaceInfo, db: Connection) -> None:
    """Make and keep it, unless what is kept still holds; only a writer should."""
    state, stored = state_of(db, space), read_kept(library, space, KIND, VERSION)
    if stored is None or not stored[0].still_serves(state):
        drawn = _packed(draw_background(db, space))
        keep(library, space, KIND, VERSION, state=state, arrays=drawn)


def draw_background(db: Connection, space: SpaceInfo, *, seed: int = 0) -> Background:
    """Draw from the catalog: primary items of a space, at most `MOST_ITEMS` of them."""
    rows = _sample(db, space, np.random.default_rng(seed))
    if not rows:
        return Background({})
    patients = np.array([row.patient_id for row in rows], np.int64)
    vectors = sound_vectors([row.vector for row in rows], space)
    return background_of(vectors, [row.modality for row in rows], patients, seed=seed)


def _sample(db: Connection, space: SpaceInfo, rng: np.random.Generator) -> list[Row[Any]]:
    """All rows of a small space; of a large one those of random numbers, most of which exist."""
    count = catalog_count(db, space.id)
    if count <= MOST_ITEMS:
        return list(db.execute(_rows(space).order_by(EmbeddingRow.seq)))
    ends = select(func.min(EmbeddingRow.seq), func.max(EmbeddingRow.seq))
    low, high = db.execute(ends.where(EmbeddingRow.space_id == space.id)).one()
    span = high - low + 1
    wanted = min(span, _DRAWS * MOST_ITEMS, int(1.2 * MOST_ITEMS * span / count))
    numbers = np.unique(rng.integers(low, high + 1, wanted)).tolist()
    rng.shuffle(numbers)
    found: list[Row[Any]] = []
    for start in range(0, len(numbers), _PART):
        part = numbers[start : start + _PART]
        found += db.execute(_rows(space).where(EmbeddingRow.seq.in_(part)))
        if len(found) >= MOST_ITEMS:
            break
    return found[:MOST_ITEMS]


def _rows(space: SpaceInfo) -> Any:
    return (
        select(EmbeddingRow.vector, Series.modality, Study.patient_id)
        .select_from(EmbeddingRow)
        .join(Item, Item.id == EmbeddingRow.item_id)
        .join(Series)
        .join(Study)
        .where(EmbeddingRow.space_id == space.id, Item.role == Role.PRIMARY)
    )


def _packed(background: Background) -> dict[str, np.ndarray]:
    names = sorted(background.cosines)
    cosines = [background.cosines[name] for name in names]
    return {
        "names": np.array(names, dtype=np.str_),
        "counts": np.array([len(each) for each in cosines], np.int64),
        "cosines": np.concatenate([np.empty(0, np.float32), *cosines]),
    }


def _unpacked(arrays: Mapping[str, np.ndarray]) -> Background:
    ends = np.cumsum(arrays["counts"])
    parts = np.split(arrays["cosines"], ends[:-1]) if len(ends) else []
    return Background(dict(zip(arrays["names"].tolist(), parts, strict=True)))
