"""The neighbour graph of a space: taken as kept, topped up, or made, and kept again."""

from __future__ import annotations

import numpy as np

from clustering.contract import NO_ROW, Neighbours, Progress
from clustering.neighbours import extended, neighbour_graph
from indexer.catalog.database import reading
from indexer.errors import LibraryLockedError
from indexer.groups.graph import KeptGraph, keep_graph, read_graph
from indexer.groups.items import Gathered
from indexer.index.projection import generation_of
from indexer.library import Library, SpaceInfo
from indexer.types import ItemIds


def space_neighbours(
    library: Library, space: SpaceInfo, gathered: Gathered, expression: str, progress: Progress
) -> Neighbours:
    """The graph of items of a space.

    That of all of them is kept beside the index, and topped up when items were added. That of a
    filtered part is made anew. Raising in ``progress`` stops it; what was kept stays.

    Args:
        library: whose.
        space: which.
        gathered: the items, with their vectors.
        expression: the filter that they passed, "" for all of them.
        progress: told as `clustering.contract.Progress` says.
    """
    if expression.strip():
        return neighbour_graph(gathered.vectors, progress=progress)
    with reading(library.engine) as db:
        generation = generation_of(db, space)
    kept = read_graph(library, space)
    known = _still(kept, gathered.ids, generation) if kept else None
    if known is not None and len(known.rows) == len(gathered.ids):
        return known
    if known is not None:
        graph = extended(known, gathered.vectors, progress=progress)
    else:
        graph = neighbour_graph(gathered.vectors, progress=progress)
    made = KeptGraph(gathered.ids, graph.rows, graph.scores, graph.recall, generation)
    try:
        with library.writing():
            keep_graph(library, space, made)
    except LibraryLockedError:
        pass  # the next one to need it makes it again
    return graph


def _still(kept: KeptGraph, ids: ItemIds, generation: int) -> Neighbours | None:
    """What is kept, where the items begin with those that it is of; else it has to be made anew.

    Item ids are given in order and never twice, so what was added comes last. After a deletion
    rows would have lost neighbours.
    """
    count = len(kept.ids)
    if kept.generation != generation or not np.array_equal(kept.ids, ids[:count]):
        return None
    if count and kept.rows.max(initial=NO_ROW) >= count:
        return None
    return Neighbours(kept.rows, kept.scores, kept.recall)
