"""Heat of items of a library, kept for a while: a picture and its figures are asked for apart."""

from __future__ import annotations

import hashlib
import io
import threading
from collections import OrderedDict
from dataclasses import dataclass, field

from sqlalchemy import select

from api.service.judging.heat import heat_of, patches_of
from indexer.catalog.database import reading
from indexer.catalog.tables import Item
from indexer.config import Settings
from indexer.errors import ItemNotFoundError
from indexer.evidence.heat import HeatMap, overlay
from indexer.groups.references import StoredReference, find_reference
from indexer.kept import Kept
from indexer.library import Library
from ood.heat import HeatReference

_PATCHES = 2
"""References whose patches stay loaded: up to 10,000 of each stratum."""


@dataclass(frozen=True)
class HeatLevel:
    """Of usual pictures this share of places is less odd, and how odd that is."""

    share: float
    oddness: float


@dataclass(frozen=True)
class ItemHeat:
    """Where an item is unlike a reference; see `indexer.evidence.heat.HeatMap`.

    Attributes:
        png: colours alone, transparent where nothing is odd, to be laid over the drawn frame.
        tag: tells it from all others.
    """

    png: bytes = field(repr=False)
    tag: str = field(repr=False)
    item: str
    study_instance_uid: str
    reference: str
    stratum: str
    highest: float
    p_value: float
    usual_pictures: int
    unlike_share: float
    slice_number: int | None
    slices: int
    levels: tuple[HeatLevel, ...]
    encoder: str
    notice: str
    notes: tuple[str, ...]


class KeptHeat:
    """Draws heat, and keeps what was drawn last; safe to share between threads.

    Args:
        library: whose items.
        settings: how their files are read again.
        most: maps that are kept; that which was not asked for longest goes.
    """

    def __init__(self, library: Library, settings: Settings, most: int = 32) -> None:
        self._library, self._settings, self._most = library, settings, most
        self._kept: OrderedDict[str, ItemHeat] = OrderedDict()
        self._lock = threading.Lock()
        self._patches: Kept[HeatReference] = Kept(_PATCHES)

    def of(self, name: str, uid: str) -> ItemHeat:
        """Where an item is unlike a reference.

        Raises:
            ItemNotFoundError: there is no such item.
            QueryError, ReferenceSetError, SourceError: as `api.service.judging.heat.heat_of`.
        """
        tag = self._tag(name, uid)
        with self._lock:
            known = self._kept.get(tag)
            if known is not None:
                self._kept.move_to_end(tag)
                return known
        heat = heat_of(self._library, name, uid, self._settings, self._patches_of)
        made = _made(heat, tag)
        with self._lock:
            self._kept[tag] = made
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return made

    def _patches_of(self, stored: StoredReference) -> HeatReference:
        fitted = (stored.patches or {}).get("sha256", "")
        return self._patches.get(stored.name, fitted, lambda: patches_of(self._library, stored))

    def _tag(self, name: str, uid: str) -> str:
        """Another one for other pixels, and for patches that were fitted anew."""
        patches = (find_reference(self._library, name).patches or {}).get("sha256", "")
        with reading(self._library.engine) as db:
            pixels = db.execute(select(Item.pixel_hash).where(Item.uid == uid)).scalar()
        if pixels is None:
            raise ItemNotFoundError(f"there is no item '{uid}' in the library")
        return hashlib.sha256(f"{uid} {pixels} {patches}".encode()).hexdigest()[:32]


def _made(heat: HeatMap, tag: str) -> ItemHeat:
    out = io.BytesIO()
    overlay(heat).save(out, "PNG", compress_level=3)
    return ItemHeat(
        png=out.getvalue(),
        tag=tag,
        item=heat.item,
        study_instance_uid=heat.study_instance_uid,
        reference=heat.reference,
        stratum=heat.stratum,
        highest=heat.highest,
        p_value=heat.p_value,
        usual_pictures=heat.usual_pictures,
        unlike_share=heat.unlike_share,
        slice_number=heat.slice_number,
        slices=heat.slices,
        levels=tuple(HeatLevel(*each) for each in heat.levels),
        encoder=heat.encoder,
        notice=heat.notice,
        notes=heat.notes,
    )
