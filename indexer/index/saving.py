"""The writer's part of the projection: files and servers are brought up to the catalog."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

from indexer.catalog.database import reading
from indexer.errors import IndexCorruptError
from indexer.index.mirror import connect_mirror, sync
from indexer.index.projection import (
    LAYERS,
    Layer,
    catalog_count,
    catalog_ids,
    forget_mark,
    generation_of,
    identity,
    index_path,
    layers_of,
    newest_seq,
    stored_rows,
)
from indexer.library import Library, SpaceInfo
from indexer.registry import has_files, is_remote, kind_of, store_class
from indexer.stores.contract import Changes, IndexOptions, SyncMark
from indexer.types import Embeddings, ItemIds

_DEFAULTS = IndexOptions()
_OF_LAYERS = re.compile(rf"\.?({'|'.join(layer.name for layer in LAYERS)})-\d+[-.]")
"""Names of files that belong to an index."""


def save_projection(
    library: Library,
    space: SpaceInfo,
    options: IndexOptions = _DEFAULTS,
    *,
    anew: bool = False,
    erase: bool = False,
) -> None:
    """Bring the index of a space up to the catalog; only a writer should.

    Nothing of it is loaded for that: memory stays bounded. Until it is finished readers find what
    was there before.

    Args:
        library: whose.
        space: which.
        options: how the index is built.
        anew: whether what is there counts for nothing.
        erase: whether what was removed may not stay in any file, not even unreachably.

    Raises:
        StorageFullError: it cannot be written.
        StoreUnavailableError: the vectors live in a server that does not answer.
    """
    if is_remote(library.config.store):
        _sync(library, space, options, anew=anew, erase=erase)
    elif has_files(library.config.store):
        for layer in layers_of(library, space):
            _Saving(library, space, layer, options).save(anew=anew, erase=erase)


def save_all(library: Library, options: IndexOptions = _DEFAULTS, *, erase: bool = False) -> None:
    """Bring all spaces up to the catalog, and remove files that are of no use any more."""
    for space in library.spaces():
        save_projection(library, space, options, erase=erase)
    drop_others(library)


def rebuild(library: Library, options: IndexOptions = _DEFAULTS) -> None:
    """Make every index anew, and delete everything else that can be; only a writer should."""
    for space in library.spaces():
        save_projection(library, space, options, anew=True)
    drop_others(library)
    _drop_unknown(library)


def erase_removed(library: Library, options: IndexOptions = _DEFAULTS) -> None:
    """After a removal: nothing of what went stays in any file of the index folder."""
    save_all(library, options, erase=True)
    _drop_unknown(library)


def _sync(
    library: Library, space: SpaceInfo, options: IndexOptions, *, anew: bool, erase: bool
) -> None:
    """Bring a server up to the catalog."""
    for layer in layers_of(library, space):

        def told(done: int, total: int) -> None:
            options.on_progress("bringing vectors to the server", done, total)

        with closing(connect_mirror(library, space, layer)) as store:
            if anew:
                forget_mark(library, space, layer)
                store.drop()
            store.prepare()
            report = sync(library, space, layer, store, on_progress=told)
            if anew or erase or report.removed:
                store.drop_beside()  # a stopped reindex may have left there what went


def drop_others(library: Library) -> None:
    """Remove files of other stores and kinds, and of earlier versions."""
    kept = "|".join(
        re.escape(index_path(library, space, layer).name.removesuffix(".json"))
        for space in library.spaces()
        for layer in LAYERS
    )
    mine = re.compile(rf"\.?({kept})\.|.*\.mark\.json$")
    _drop(library, lambda name: bool(_OF_LAYERS.match(name)) and not mine.match(name))


def _drop_unknown(library: Library) -> None:
    """Remove what others keep in the folder: it may be about what went, and is made anew."""
    _drop(library, lambda name: not _OF_LAYERS.match(name))


def _drop(library: Library, goes: Callable[[str], bool]) -> None:
    for path in library.index_folder.glob("*"):
        if goes(path.name):
            with suppress(OSError):
                path.unlink()


@dataclass(frozen=True)
class _Saving:
    """One layer on its way to the disk."""

    library: Library
    space: SpaceInfo
    layer: Layer
    options: IndexOptions

    def save(self, *, anew: bool, erase: bool) -> None:
        """Add to the files what the catalog has beyond them, or make them anew."""
        chosen: type[Any] = store_class(self.library.config.store)
        found = chosen.read_mark(index_path(self.library, self.space, self.layer))
        mine = found is not None and found[0] == identity(self.library, self.space)
        before = found[1] if mine and found and not anew else None
        if before is not None:
            try:
                self._update(chosen, before, erase=erase)
                return
            except IndexCorruptError:
                pass  # damaged, or of a catalog that was put back: the catalog has all there is
        self._update(chosen, None, erase=erase)

    def _update(self, chosen: type[Any], before: SyncMark | None, *, erase: bool) -> None:
        space, layer = self.space, self.layer
        since = before.high_water if before else 0
        with reading(self.library.engine) as db:
            mark = SyncMark(
                max(since, newest_seq(db, space, layer)),
                generation_of(db, space),
                catalog_count(db, space.id, layer),
            )
            gone = before is not None and before.generation != mark.generation

            def added() -> Iterator[tuple[ItemIds, Embeddings]]:
                for _, ids, vectors in stored_rows(db, space, since, layer):
                    yield ids, vectors

            changes = Changes(
                identity(self.library, space),
                mark,
                added(),
                keep=catalog_ids(db, space.id, layer) if gone else None,
                anew=before is None,
                erase=erase,
            )
            chosen.update(
                index_path(self.library, space, layer),
                space.dim,
                changes,
                self.options,
                kind_of(self.library.config.store),
            )
