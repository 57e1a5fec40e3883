"""Move a library's index to another store or kind, or make it anew."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace

import numpy as np

from api.service.options import index_options
from indexer.catalog.database import reading
from indexer.config import Settings
from indexer.errors import ConfigError, IndexCorruptError, StoreError
from indexer.index.mirror import compare, connect_mirror
from indexer.index.projection import (
    ITEMS,
    SLICES,
    Layer,
    catalog_count,
    catalog_ids,
    forget_mark,
    layers_of,
    open_projection,
    stored_rows,
)
from indexer.index.renewal import Renewed, fill, kept_if_sound, open_beside, take_place
from indexer.index.saving import drop_others, save_projection
from indexer.library import Library, SpaceInfo
from indexer.registry import address_of, is_remote, make_store
from indexer.stores.contract import IndexOptions, StoreStats, VectorStore, no_progress, renormalised
from indexer.types import Scores

_SAMPLE, _NEIGHBOURS = 100, 10
_NAMES = {ITEMS.name: "items", SLICES.name: "slices"}
_COMPARED = 50_000
"""Vectors of the catalog that answers are compared with."""
_ROUNDING = 1e-5
_SLACK = 0.1
"""How far the agreement of a sample may be below the recall that was measured."""


@dataclass(frozen=True)
class LayerReport:
    """One index that was made.

    Attributes:
        encoder: of the space.
        of: ``"items"`` or ``"slices"``.
        stats: what the index says of itself.
        agreement: share of the ten nearest of a sample of the library's own vectors that it finds
            among vectors of the catalog, compared one by one with each other.
    """

    encoder: str
    of: str
    stats: StoreStats
    agreement: float


@dataclass(frozen=True)
class ReindexReport:
    """What became of a library's index.

    Attributes:
        before, store: specs of the store that answered, and of the one that answers now.
        layers: each index that was made.
        left: spec of a server that still holds the vectors as well; empty if none does.
        seconds: that it took.
    """

    before: str
    store: str
    layers: list[LayerReport]
    left: str
    seconds: float


def reindex(
    library: Library,
    spec: str | None,
    settings: Settings,
    on_progress: Callable[[str, int, int], None] = no_progress,
    *,
    drop_old: bool = False,
) -> ReindexReport:
    """Make the index anew, or in another store or of another kind.

    The new one is made beside the old, which answers until the new one is complete and has been
    compared with the catalog; then ``library.toml`` is replaced. What was complete when a run was
    stopped is not made again. In a server that has the vectors already, new collections are filled
    beside those that answer, with the options that ``spec`` has now, and take their place.

    Args:
        library: open; its writer lock is taken, and it answers from the new store afterwards.
        spec: such as ``faiss:hnsw`` or ``exact``; None makes the present one anew.
        settings: what recall to aim for.
        on_progress: is told what is done, how much of it, and of how much. What it raises stops
            the run, and leaves the library as it was.
        drop_old: whether to delete what a server held before, once the new index answers. Files
            of an old index always go.

    Raises:
        ConfigError: there is no such store.
        IndexMemoryError, StorageFullError, StoreUnavailableError: the library is as it was.
        IndexCorruptError: the new index does not equal the catalog; the library is as it was.
    """
    start, before = time.monotonic(), library.config.store
    options = replace(index_options(settings), on_progress=on_progress, required=True)
    with library.writing(), _with_store(library, spec or before) as target:
        same = address_of(target.config.store) == address_of(before)
        if same and is_remote(before):
            layers = _renewed(target, options)
        else:
            layers = _made(target, options, anew=same)
        if target.config.store != before:
            library.choose_store(target.config.store)
        left = before if is_remote(before) and not same else ""
        if left:
            with _with_store(library, left) as old:
                _leave(old, drop=drop_old)
            left = "" if drop_old else left
        drop_others(library)
    seconds = time.monotonic() - start
    return ReindexReport(before, library.config.store, layers, left, seconds)


@contextmanager
def _with_store(library: Library, spec: str) -> Iterator[Library]:
    target = library.with_store(spec)
    try:
        yield target
    finally:
        target.close()


def _made(target: Library, options: IndexOptions, *, anew: bool) -> list[LayerReport]:
    """Every index made where none answers yet, or in files that are replaced at the end."""
    reports = list[LayerReport]()
    for space in target.spaces():
        save_projection(target, space, options, anew=anew)
        for layer in layers_of(target, space):
            options.on_progress("comparing with the catalog", 0, 0)
            projection = open_projection(target, space, layer)
            if projection.damaged:
                raise IndexCorruptError(
                    f"'{space.encoder}': {projection.note}; nothing was changed"
                )
            if is_remote(target.config.store):
                with closing(connect_mirror(target, space, layer)) as remote:
                    agreement = compare(target, space, layer, remote).recall
            else:
                agreement = _agreement(target, space, layer, projection.store)
            reports.append(_checked(target, space, layer, projection.store, agreement))
    return reports


def _renewed(target: Library, options: IndexOptions) -> list[LayerReport]:
    """Every index of a server made beside what answers; at the end all take their places."""
    reports, renewed = list[LayerReport](), list[Renewed]()
    with ExitStack() as opened:
        for space in target.spaces():
            for layer in layers_of(target, space):
                store = opened.enter_context(closing(open_beside(target, space, layer)))
                with kept_if_sound(store):
                    fill(target, space, layer, store, options)
                    options.on_progress("comparing with the catalog", 0, 0)
                    agreement = compare(target, space, layer, store).recall
                    reports.append(_checked(target, space, layer, store, agreement))
                renewed.append(Renewed(space, layer, store))
        take_place(target, renewed)
    return reports


def _checked(
    library: Library, space: SpaceInfo, layer: Layer, store: VectorStore, agreement: float
) -> LayerReport:
    """See that a new index has the ids of the catalog, and finds enough of what it should."""
    with reading(library.engine) as db:
        wanted = catalog_count(db, space.id, layer)
        ids = catalog_ids(db, space.id, layer)
    if store.count() != wanted or not np.array_equal(store.ids(), ids):
        raise IndexCorruptError(
            f"the new index of '{space.encoder}' holds {store.count()} vectors, the catalog "
            f"{wanted}; nothing was changed"
        )
    stats = store.stats()
    if agreement < (1.0 if stats.exact or stats.recall is None else stats.recall - _SLACK):
        raise IndexCorruptError(
            f"the new index of '{space.encoder}' finds {agreement:.1%} of what the catalog has; "
            "nothing was changed"
        )
    return LayerReport(space.encoder, _NAMES[layer.name], stats, agreement)


def _leave(library: Library, *, drop: bool) -> None:
    """Delete what a server holds of a library, or only what was begun there and not finished."""
    # It may be down, or let nobody in: that is what a library moves away for.
    with nullcontext() if drop else suppress(StoreError, ConfigError):
        for space in library.spaces():
            for layer in layers_of(library, space):
                with closing(connect_mirror(library, space, layer)) as remote:
                    remote.drop_beside()
                    if drop:
                        forget_mark(library, space, layer)
                        remote.drop()


def _agreement(library: Library, space: SpaceInfo, layer: Layer, store: VectorStore) -> float:
    """Share of the true neighbours of some vectors, among a part of the catalog, that are found."""
    with reading(library.engine) as db:
        part = next((found for _, *found in stored_rows(db, space, layer=layer)), None)
    if part is None:
        return 1.0
    ids, rows = (column[:_COMPARED] for column in part)
    every = max(1, len(ids) // _SAMPLE)
    queries = renormalised(rows[::every][:_SAMPLE])
    reference = make_store("exact", store.dim)
    reference.upsert(ids, rows)
    _, truth = reference.search(queries, _NEIGHBOURS)
    found: Scores = store.search(queries, _NEIGHBOURS)[1]
    # Among all vectors nothing can be further away than among a part of them.
    return float((found[:, : truth.shape[1]] >= truth[:, -1:] - _ROUNDING).mean())
