"""Examples that are files, folders or archives: read and embedded as if they were indexed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from sqlalchemy import select

from indexer.catalog.database import reading
from indexer.catalog.tables import Item, Patient, Series, Study
from indexer.embedding import Embedded, embed_each
from indexer.encoders.contract import Encoder
from indexer.errors import QueryError
from indexer.evidence.grounds import tags_from
from indexer.library import Library, SpaceInfo
from indexer.reading.drafts import InstanceDraft, ReadOptions
from indexer.reading.study import QueryItem, QueryStudy, read_study
from indexer.registry import usable_encoder
from indexer.searching.asking import Described, Example
from indexer.searching.examples import IMAGE, Subject, View, asked_as, no_places, region_view
from indexer.searching.slices import SliceSet, volume_slices
from indexer.stages import stage
from indexer.types import EncoderSpec, Flag


class ReadExample:
    """A file, a folder or an archive, read for the encoders of some spaces.

    Raises:
        QueryError, FileRejectedError: it cannot be used.
    """

    def __init__(
        self,
        library: Library,
        example: Example,
        spaces: Sequence[SpaceInfo],
        options: ReadOptions,
    ) -> None:
        if example.file is None:
            raise ValueError("an example that is no file")
        self.example, self._options = example, options
        names = tuple(space.encoder for space in spaces)
        self._study = read_study(example.file, replace(options, encoders=names))
        self.subject = _subject(library, example, self._study)

    def view(self, space: SpaceInfo) -> View | str:
        """What its encoder makes of it."""
        name = self.example.name
        usable = [each for each in self._study.items if space.encoder in each.item.tensors]
        if not usable:
            return f"'{space.encoder}' was not made for '{name}'"
        encoder = usable_encoder(self._options.context(space.encoder))
        if self.example.region is not None:
            return self._region_view(encoder, usable)
        with stage("embed"):
            found = embed_each(encoder, [each.item.tensors[space.encoder] for each in usable])
        made = [
            (each, one)
            for each, one in zip(usable, found, strict=True)
            if isinstance(one, Embedded)
        ]
        if not made:
            return f"'{name}' cannot be embedded: {found[0]}"
        parts = [
            volume_slices(encoder, each.item, one) or SliceSet.whole(one.unit[None])
            for each, one in made
        ]
        return View(
            rows=np.stack([one.unit for _, one in made]),
            pictures=SliceSet.joined(parts),
            series=tuple(each.draft.series_instance_uid for each, _ in made),
            how=IMAGE,
            note=_doubt(encoder.spec, usable),
        )

    def _region_view(self, encoder: Encoder, usable: Sequence[QueryItem]) -> View | str:
        region = self.example.region
        if region is None or not encoder.spec.has_patches:
            return no_places(encoder.spec.name)
        framed = [
            each
            for each in usable
            if region.number is not None and each.item.frame_index == region.number - 1
        ]
        chosen = usable if len(usable) == 1 else framed
        if len(chosen) != 1:
            raise QueryError(
                f"a region is on one picture, and '{self.example.name}' has {len(usable)}; name "
                "the frame after the box"
            )
        (one,) = chosen
        return region_view(encoder, one.item, region, series=one.draft.series_instance_uid)


def _subject(library: Library, example: Example, study: QueryStudy) -> Subject:
    """Who it is, with what the library knows, as a table may have named its patient."""
    middle = study.items[len(study.items) // 2]
    items = [each.item for each in study.items]
    said = Subject(
        description=_described(example, middle.draft, len(items)),
        thumbnail=middle.item.thumbnail,
        study=middle.draft.study_instance_uid,
        patient=middle.draft.patient.pseudonym,
        patient_known=not middle.draft.patient.names_nobody,
        roles=frozenset(item.role for item in items),
        pixel_hashes=frozenset(item.pixel_hash for item in items),
        tags=tags_from(middle.draft.attributes, middle.item.kind),
        notes=study.notes,
    )
    with reading(library.engine) as db:
        rows = db.execute(
            select(Item.id, Item.uid, Study.study_instance_uid, Patient.pseudonym, Patient.shared)
            .select_from(Item)
            .join(Series)
            .join(Study)
            .join(Patient)
            .where(Item.uid.in_([item.uid for item in items]))
            .order_by(Item.id)
        ).all()
        if not rows:
            shared = db.execute(
                select(Patient.shared).where(Patient.pseudonym == said.patient)
            ).scalar()
            return replace(said, patient_known=said.patient_known and not shared)
    return replace(
        said,
        description=asked_as(example, len(items), rows[0].uid),
        middle=rows[0].id,
        study=rows[0].study_instance_uid,
        patient=rows[0].pseudonym,
        patient_known=not rows[0].shared,
        item_ids=frozenset(row.id for row in rows),
    )


def _described(example: Example, draft: InstanceDraft, items: int) -> Described:
    said = draft.attributes
    return replace(
        asked_as(example, items),
        study_instance_uid=draft.study_instance_uid,
        series_instance_uid=draft.series_instance_uid,
        sop_instance_uid=draft.sop_instance_uid,
        modality=said.modality,
        body_part=said.body_part,
        description=said.series_description or said.study_description,
    )


def _doubt(spec: EncoderSpec, items: Sequence[QueryItem]) -> str:
    """What must be said where an encoder may have got what it was not made for."""
    flags = {flag for each in items for flag in each.item.flags}
    made_for = ", ".join(sorted(spec.modalities | spec.body_parts))
    if Flag.OUTSIDE_PURPOSE in flags:
        return f"by a rule of the library '{spec.name}' gets this; it was made for {made_for}"
    if spec.modalities and Flag.MODALITY_UNKNOWN in flags:
        made_for = ", ".join(sorted(spec.modalities))
        return f"the modality of the query is not stated; '{spec.name}' was made for {made_for}"
    return ""
