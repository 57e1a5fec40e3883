"""The neighbour graph of a space, kept beside its index; it can be made again from the catalog."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from indexer.evidence.kept import State, keep, read_kept
from indexer.library import Library, SpaceInfo
from indexer.types import ItemIds

_KIND, _VERSION = "graph", 1


@dataclass(frozen=True)
class KeptGraph:
    """A neighbour graph of n items.

    Attributes:
        ids: of the items, ascending.
        rows: int32 ``(n, k)``: of each its nearest, as places among ``ids``; -1 for none.
        scores: float32 ``(n, k)`` cosines.
        recall: share of the true nearest that is in it.
        generation: deletions that the space had seen.
    """

    ids: ItemIds
    rows: np.ndarray
    scores: np.ndarray
    recall: float
    generation: int


def read_graph(library: Library, space: SpaceInfo) -> KeptGraph | None:
    """What is kept; None if there is nothing sound."""
    kept = read_kept(library, space, _KIND, _VERSION)
    if kept is None:
        return None
    state, arrays = kept
    return KeptGraph(
        arrays["ids"],
        arrays["rows"],
        arrays["scores"].astype(np.float32),
        float(arrays["recall"]),
        state.generation,
    )


def keep_graph(library: Library, space: SpaceInfo, graph: KeptGraph) -> None:
    """Keep a graph in place of the one before; only a writer should.

    Raises:
        StorageFullError: it cannot be written.
    """
    arrays = {
        "ids": graph.ids,
        "rows": graph.rows,
        "scores": graph.scores,
        "recall": np.array(graph.recall),
    }
    state = State(graph.generation, len(graph.ids), 0)
    keep(library, space, _KIND, _VERSION, state=state, arrays=arrays)
