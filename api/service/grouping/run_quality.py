"""How good a clustering is by its vectors alone, measured once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sqlalchemy import select

from clustering.contract import Clustering
from clustering.quality import Confidence, Silhouette, confidence_of, sampled, silhouette
from indexer.catalog.columns import columns
from indexer.catalog.database import reading
from indexer.catalog.tables import EmbeddingRow
from indexer.evaluating.labelled import read_vectors
from indexer.groups.runs import StoredRun, assigned
from indexer.kept import Kept
from indexer.library import Library


@dataclass(frozen=True)
class RunQuality:
    """Of the items that are there still.

    Attributes:
        silhouette: mean of a sample of them, None with fewer than two clusters.
        confidence: of the method in its own labels, None without items.
    """

    silhouette: Silhouette | None
    confidence: Confidence | None


def measured(library: Library, run: StoredRun) -> RunQuality:
    """Measure a clustering; of its vectors only those of the sample are read.

    Raises:
        LibraryCorruptError: a vector is damaged.
    """
    space = next(space for space in library.spaces() if space.id == run.space_id)
    with reading(library.engine) as db:
        items = assigned(db, run)
        mine = select(EmbeddingRow.item_id).where(EmbeddingRow.space_id == run.space_id)
        (there,) = columns(db, mine)
        present = np.isin(items.ids, there)
        ids, labels = items.ids[present], items.labels[present]
        rows = sampled(labels)
        vectors, _ = read_vectors(db, space, ids[rows])
    made = Clustering(items.labels, items.confidence, {})
    return RunQuality(
        silhouette(vectors, labels[rows]),
        confidence_of(made) if len(items.ids) else None,
    )


class KeptQualities:
    """Measures each clustering once, and again when items of it were removed.

    It may be used by several threads.

    Args:
        library: whose.
        most: of how many clusterings it is kept.
    """

    def __init__(self, library: Library, most: int = 256) -> None:
        self._library = library
        self._kept: Kept[RunQuality] = Kept(most)

    def of(self, run: StoredRun) -> RunQuality:
        """As `measured`."""
        state = run.name, run.created_at, run.items_sha256, run.left
        return self._kept.get(run.id, state, lambda: measured(self._library, run))
