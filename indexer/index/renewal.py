"""A library's vectors made anew in the server that answers: beside, and then in place.

Searches go on with the old collections, which are not touched, until every layer of every space is
there and was compared. The library's marks speak of the old ones all the while, and are replaced
when the new ones have taken their places: these hold no less than the old marks say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

from indexer.errors import StoreError, StoreUnavailableError
from indexer.index.mirror import MirrorStore, connect_mirror, sync
from indexer.index.projection import LAYERS, Layer, forget_mark, read_mark, write_mark
from indexer.library import Library, SpaceInfo
from indexer.stores.contract import IndexOptions, SyncMark


@dataclass(frozen=True)
class Renewed:
    """A layer of a space, complete in a store beside the one that answers."""

    space: SpaceInfo
    layer: Layer
    store: MirrorStore


def open_beside(library: Library, space: SpaceInfo, layer: Layer) -> MirrorStore:
    """A store beside the one that answers, empty or as a stopped run left it; close it.

    Raises:
        ConfigError, StoreUnavailableError: as of `connect_mirror`.
    """
    with closing(connect_mirror(library, space, layer)) as answering:
        return answering.beside()


def fill(
    library: Library, space: SpaceInfo, layer: Layer, store: MirrorStore, options: IndexOptions
) -> None:
    """Bring a store of `open_beside` up to the catalog; only a writer should.

    Raises:
        StoreUnavailableError, StoreError, LibraryCorruptError: as of `indexer.index.mirror.sync`.
    """

    def told(done: int, total: int) -> None:
        options.on_progress("filling a collection beside the one that answers", done, total)

    sync(library, space, layer, store, beside=True, on_progress=told)


@contextmanager
def kept_if_sound(store: MirrorStore) -> Iterator[None]:
    """What is in a store beside stays for the next run to go on with, unless it proves wrong."""
    try:
        yield
    except StoreUnavailableError:
        raise
    except StoreError:
        store.drop_beside()
        raise


def take_place(library: Library, renewed: Sequence[Renewed]) -> None:
    """Let searches go to the new collections, one layer after the other; only a writer should.

    Args:
        library: with the store as it shall be from now on.
        renewed: every layer of every space, brought up to the catalog as it is now.

    Raises:
        StoreError: a space that the old collection has is not among them.
    """
    for layer in LAYERS:
        own = [each for each in renewed if each.layer is layer]
        marks = [_mark_of(each.store) for each in own]
        for each, mark in zip(own, marks, strict=True):
            before = read_mark(library, each.space, layer)
            if before is not None and not _within(before, mark):
                forget_mark(library, each.space, layer)
        if own:
            own[0].store.switch()
        for each, mark in zip(own, marks, strict=True):
            write_mark(library, each.space, layer, mark)


def _mark_of(store: MirrorStore) -> SyncMark:
    mark = store.kept_mark()
    assert mark is not None  # noqa: S101 - it was filled to the end
    return mark


def _within(one: SyncMark, other: SyncMark) -> bool:
    """Whether what fulfils ``other`` fulfils ``one`` too; not after an older catalog came back."""
    return one.high_water <= other.high_water and one.revision <= other.revision
