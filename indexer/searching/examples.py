"""One example of a search made ready: who it is, and what each space sees of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from sqlalchemy import Connection, bindparam, select

from indexer.catalog.lookup import ITEMS_UNDER
from indexer.catalog.tables import (
    EmbeddingRow,
    Item,
    Patient,
    Series,
    Study,
)
from indexer.encoders.contract import Encoder
from indexer.errors import ItemNotFoundError, QueryError
from indexer.evidence.matching import picture_of_slice
from indexer.evidence.originals import read_again
from indexer.evidence.regions import patches_from, region_vector
from indexer.index.projection import sound_vectors
from indexer.library import Library, SpaceInfo
from indexer.reading.drafts import ItemDraft, ReadOptions
from indexer.registry import usable_encoder
from indexer.searching.asking import Described, Example, Region
from indexer.searching.slices import SliceSet, slices_of
from indexer.types import Embedding, Embeddings, Hit, Role

IMAGE, REGION = "image", "region"


@dataclass(frozen=True)
class Subject:
    """Who and what an example is, whatever space it is compared in.

    Attributes:
        description: for a person; of what the library has it is completed with the hits.
        middle: row number of its middle item, where the library has it.
        thumbnail: WebP of what the library does not have.
        study: its StudyInstanceUID, "" of words.
        patient: pseudonym of its patient.
        patient_known: whether that stands for one person; of words nobody has to be known.
        roles, pixel_hashes: of its items.
        item_ids: row numbers of its items, where the library has them.
        tags: what its header says, where the library does not have it.
        notes: plain sentences.
    """

    description: Described
    middle: int | None = None
    thumbnail: bytes = b""
    study: str = ""
    patient: str = ""
    patient_known: bool = True
    roles: frozenset[Role] = frozenset()
    pixel_hashes: frozenset[str] = frozenset()
    item_ids: frozenset[int] = frozenset()
    tags: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class View:
    """What one space sees of an example.

    Attributes:
        rows: unit vectors ``(n, dim)``; of images and volumes one each.
        pictures: all single pictures, of volumes the slices; owned by the numbers of the rows.
        series: SeriesInstanceUID of each row, "" of words.
        how: ``image``, ``region``, ``text tower`` or ``bridge``.
        note: what must be said, or "".
    """

    rows: Embeddings
    pictures: SliceSet
    series: tuple[str, ...]
    how: str
    note: str = ""

    @classmethod
    def whole(cls, row: Embedding, how: str, *, series: str = "", note: str = "") -> View:
        """One vector that stands for itself."""
        rows = np.asarray(row, np.float32)[None]
        return cls(rows, SliceSet.whole(rows), (series,), how, note)


class Ready(Protocol):
    """An example that has been looked up or read."""

    example: Example
    subject: Subject

    def view(self, space: SpaceInfo) -> View | str:
        """What a space sees of it, or in a sentence why it sees nothing."""


def no_places(encoder: str) -> str:
    """Why an encoder cannot be asked with a region."""
    return f"'{encoder}' does not tell the places of a picture apart"


def region_view(encoder: Encoder, item: ItemDraft, region: Region, *, series: str) -> View | str:
    """A part of a picture as one vector of the space, where the encoder can give it.

    Raises:
        QueryError: the region lies outside of the picture, or no slice is named.
    """
    name = encoder.spec.name
    if not encoder.spec.has_patches:
        return no_places(name)
    places = patches_from(encoder)
    if not places.patches_share_space:
        return (
            f"'{name}' compares places with places, not with whole pictures: ask with "
            "syntopy regions --region"
        )
    picture = picture_of_slice(places, item, region.number)
    row = region_vector(places, item.tensors[name], region.box, item.frame, picture=picture)
    return View.whole(row, REGION, series=series)


def completed(description: Described, hit: Hit) -> Described:
    """An example with what the library knows of its middle item."""
    return replace(
        description,
        study_instance_uid=hit.study_instance_uid,
        series_instance_uid=hit.series_instance_uid,
        sop_instance_uid=hit.sop_instance_uid,
        modality=hit.modality,
        body_part=hit.body_part,
        description=hit.description,
        labels=hit.labels,
    )


def asked_as(example: Example, items: int, item: str = "") -> Described:
    """An example as it was asked, before anything is known of it."""
    return Described(
        kind=example.kind,
        item=item,
        items=items,
        weight=example.weight,
        region=example.region,
    )


_ITEMS = (
    select(
        Item.id,
        Item.uid,
        Item.kind,
        Item.role,
        Item.frame_index,
        Item.pixel_hash,
        Series.series_instance_uid,
        Study.study_instance_uid,
        Patient.pseudonym,
        Patient.shared,
    )
    .select_from(Item)
    .join(Series)
    .join(Study)
    .join(Patient)
    .where(Item.id.in_(ITEMS_UNDER))
    .order_by(Item.id)
)
_VECTORS = (
    select(EmbeddingRow.item_id, EmbeddingRow.vector)
    .where(
        EmbeddingRow.space_id == bindparam("space"),
        EmbeddingRow.item_id.in_(bindparam("items", expanding=True)),
    )
    .order_by(EmbeddingRow.item_id)
)


class KnownExample:
    """What the library holds under a UID of any level, or an item id.

    Raises:
        ItemNotFoundError: nothing.
    """

    def __init__(
        self, library: Library, db: Connection, example: Example, options: ReadOptions
    ) -> None:
        self.example = example
        self._library, self._db, self._options = library, db, options
        rows = db.execute(_ITEMS, {"uid": example.uid}).all()
        if not rows:
            raise ItemNotFoundError(
                f"there is no study, series, instance or item '{example.uid}' with an image "
                "in the library"
            )
        self._rows = [r for r in rows if r.role == Role.PRIMARY] or list(rows)
        if example.region is not None:
            self._rows = [self._pictured(example.region)]
        best = self._rows[len(self._rows) // 2]
        self.subject = Subject(
            description=asked_as(example, len(self._rows), best.uid),
            middle=best.id,
            study=best.study_instance_uid,
            patient=best.pseudonym,
            patient_known=not best.shared,
            roles=frozenset(Role(r.role) for r in self._rows),
            pixel_hashes=frozenset(r.pixel_hash for r in self._rows),
            item_ids=frozenset(r.id for r in self._rows),
        )

    def view(self, space: SpaceInfo) -> View | str:
        """The stored vectors; of a region one that is made of its pixels, read again."""
        if self.example.region is not None:
            return self._region_view(space, self.example.region)
        ids = [row.id for row in self._rows]
        found = self._db.execute(_VECTORS, {"space": space.id, "items": ids}).all()
        if not found:
            return f"'{space.encoder}' has no vector of '{self.example.name}'"
        volumes = [row.id for row in self._rows if row.kind == "volume"]
        slices = slices_of(self._db, space, volumes) if volumes else {}
        vectors = sound_vectors([row.vector for row in found], space)
        parts = [
            slices.get(row.item_id) or SliceSet.whole(vector[None])
            for row, vector in zip(found, vectors, strict=True)
        ]
        series = {row.id: row.series_instance_uid for row in self._rows}
        return View(
            vectors, SliceSet.joined(parts), tuple(series[row.item_id] for row in found), IMAGE
        )

    def _pictured(self, region: Region) -> Any:
        """The one item that a region is on."""
        if len(self._rows) == 1:
            return self._rows[0]
        framed = [
            row
            for row in self._rows
            if region.number is not None and row.frame_index == region.number - 1
        ]
        if len(framed) != 1:
            raise QueryError(
                f"a region is on one picture, and '{self.example.name}' has {len(self._rows)}; "
                "name the item, or the frame after the box"
            )
        return framed[0]

    def _region_view(self, space: SpaceInfo, region: Region) -> View | str:
        encoder = usable_encoder(self._options.context(space.encoder))
        if not encoder.spec.has_patches:
            return no_places(space.encoder)
        (row,) = self._rows
        item = read_again(self._library, row.uid, space.encoder, self._options)
        return region_view(encoder, item, region, series=row.series_instance_uid)
