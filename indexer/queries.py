"""Queries made ready: a file, a UID or a phrase to vectors of one space, and whom to leave out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sqlalchemy import CompoundSelect, select, union

from indexer.bridges import bridge_note, load_bridge
from indexer.catalog.database import reading
from indexer.catalog.tables import (
    EmbeddingRow,
    Instance,
    Item,
    ItemInstance,
    Patient,
    Series,
    Study,
    Thumbnail,
)
from indexer.embedding import Embedded, embed_each
from indexer.encoders.contract import TextEncoder
from indexer.errors import ConfigError, ItemNotFoundError, QueryError
from indexer.hits import describe_items
from indexer.library import Library, SpaceInfo
from indexer.reading.drafts import InstanceDraft, ItemDraft, ReadOptions
from indexer.registry import make_encoder, usable_encoder
from indexer.slices import SliceSet, slices_of, volume_slices
from indexer.stores.contract import renormalised
from indexer.types import Embeddings, EncoderSpec, Flag, Hit, Role


@dataclass
class Query:
    """A query made ready: vectors of one space, and whom to leave out."""

    space: SpaceInfo
    vectors: Embeddings
    description: dict[str, object]
    thumbnail: bytes
    study: str
    patient: str
    patient_known: bool
    roles: frozenset[Role]
    pixel_hashes: frozenset[str]
    item_ids: frozenset[int]
    note: str = ""
    slices: SliceSet | None = None
    """Of volumes their slices; None where the vectors are all there is."""

    @property
    def pictures(self) -> SliceSet:
        """All single pictures of the query; a phrase counts as one."""
        return self.slices or SliceSet.whole(self.vectors)


def spaces_for(library: Library, encoder: str | None, options: ReadOptions) -> list[SpaceInfo]:
    """The spaces to try, in the order of the library's encoders."""
    names = [encoder] if encoder else list(library.config.encoders)
    found = []
    for name in names:
        if name not in library.config.encoders:
            raise ConfigError(
                f"the library has no space of '{name}'; it has {', '.join(library.config.encoders)}"
            )
        space = library.space_for(make_encoder(options.context(name)).spec)
        if space is not None:
            found.append(space)
    if not found:
        raise QueryError(f"{library.path} holds no items yet; index something first")
    return found


def query_by_uid(library: Library, spaces: Sequence[SpaceInfo], uid: str) -> Query:
    """What the library holds under a UID of any level, or an item id.

    Raises:
        ItemNotFoundError: nothing with a vector in these spaces.
    """
    with reading(library.engine) as db:
        found = db.execute(
            select(
                Item.id,
                Item.role,
                Item.pixel_hash,
                Study.study_instance_uid,
                Patient.pseudonym,
                Patient.shared,
                EmbeddingRow.space_id,
                EmbeddingRow.vector,
                Thumbnail.webp,
            )
            .select_from(Item)
            .join(Series)
            .join(Study)
            .join(Patient)
            .join(EmbeddingRow, EmbeddingRow.item_id == Item.id)
            .join(Thumbnail)
            .where(Item.id.in_(_items_of(uid)))
            .order_by(Item.id)
        ).all()
        held = {row.space_id for row in found}
        space = next((s for s in spaces if s.id in held), None)
        if space is None:
            raise ItemNotFoundError(
                f"there is no study, series, instance or item '{uid}' with a vector of "
                f"{' or '.join(s.encoder for s in spaces)} in the library"
            )
        rows = [row for row in found if row.space_id == space.id]
        primary = [r for r in rows if r.role == Role.PRIMARY] or rows
        best = primary[len(primary) // 2]
        described = describe_items(db, [(best.id, 1.0, 0)])[0]
        slices = slices_of(db, space, [row.id for row in primary])
    vectors = renormalised(
        np.frombuffer(b"".join(r.vector for r in primary), "<f2").reshape(-1, space.dim)
    )
    parts = [
        slices.get(row.id) or SliceSet.whole(vector[None])
        for row, vector in zip(primary, vectors, strict=True)
    ]
    return Query(
        space=space,
        vectors=vectors,
        slices=SliceSet.joined(parts),
        description=_described(described, len(primary)),
        thumbnail=best.webp,
        study=best.study_instance_uid,
        patient=best.pseudonym,
        patient_known=not best.shared,
        roles=frozenset(Role(r.role) for r in primary),
        pixel_hashes=frozenset(r.pixel_hash for r in primary),
        item_ids=frozenset(r.id for r in primary),
    )


def query_by_text(
    library: Library, spaces: Sequence[SpaceInfo], text: str, options: ReadOptions
) -> Query:
    """Words reach images by the encoder's own text tower, else by the library's bridge."""
    for space in spaces:
        encoder = usable_encoder(options.context(space.encoder))
        if isinstance(encoder, TextEncoder):
            rows = encoder.embed_text([text])
            note = f"words by the text tower of '{space.encoder}'"
            tokens = encoder.text_tokens([text])[0]
            if tokens > encoder.token_limit:
                note += f"; of {tokens} tokens the first {encoder.token_limit} count"
        else:
            bridge = load_bridge(library, space, options)
            if bridge is None:
                continue
            rows = bridge.embed([text])
            note = "; ".join(filter(None, (bridge_note(bridge), bridge.features.note(text))))
        return Query(
            space=space,
            vectors=rows / np.linalg.norm(rows, axis=1, keepdims=True),
            description=_described_text(text),
            thumbnail=b"",
            study="",
            patient="",
            patient_known=True,
            roles=frozenset(),
            pixel_hashes=frozenset(),
            item_ids=frozenset(),
            note=note,
        )
    names = ", ".join(space.encoder for space in spaces)
    raise QueryError(
        f"{names} cannot be asked in words; fit a bridge from this library's reports with: "
        f"syntopy bridge fit --library {library.path}"
    )


def _described_text(text: str) -> dict[str, object]:
    empty = (
        "study_instance_uid",
        "series_instance_uid",
        "sop_instance_uid",
        "modality",
        "body_part",
    )
    return dict.fromkeys(empty, "") | {"description": text, "labels": {}, "items": 1}


def _items_of(uid: str) -> CompoundSelect[tuple[int]]:
    """Items by their own id or by the UID of any level above; each part goes by an index."""
    return union(
        select(Item.id).where(Item.uid == uid),
        select(ItemInstance.item_id).join(Instance).where(Instance.sop_instance_uid == uid),
        select(Item.id).join(Series).where(Series.series_instance_uid == uid),
        select(Item.id).join(Series).join(Study).where(Study.study_instance_uid == uid),
    )


def _described(hit: Hit, items: int) -> dict[str, object]:
    kept = ("study_instance_uid", "series_instance_uid", "sop_instance_uid", "modality")
    described: dict[str, object] = {name: getattr(hit, name) for name in kept}
    return described | {
        "body_part": hit.body_part,
        "description": hit.description,
        "labels": {name: list(values) for name, values in hit.labels.items()},
        "items": items,
    }


def query_by_file(
    library: Library, spaces: Sequence[SpaceInfo], path: Path, options: ReadOptions
) -> Query:
    """A file, read and embedded as if it were indexed.

    Raises:
        QueryError, FileRejectedError: it cannot be used.
    """
    from indexer.reading.tasks import read_query  # noqa: PLC0415 - decoders, not needed for a UID

    draft, items = read_query(path, options)
    space = next((s for s in spaces if any(s.encoder in i.tensors for i in items)), None)
    if space is None:
        names = ", ".join(s.encoder for s in spaces)
        raise QueryError(f"{path.name}: no encoder can take it ({names})")
    usable = [item for item in items if space.encoder in item.tensors]
    encoder = usable_encoder(options.context(space.encoder))
    found = embed_each(encoder, [item.tensors[space.encoder] for item in usable])
    made = [(i, e) for i, e in zip(usable, found, strict=True) if isinstance(e, Embedded)]
    if not made:
        raise QueryError(f"{path.name} cannot be embedded: {found[0]}")
    query = Query(
        space=space,
        vectors=np.stack([embedded.unit for _, embedded in made]),
        slices=SliceSet.joined(
            [
                volume_slices(encoder, item, embedded) or SliceSet.whole(embedded.unit[None])
                for item, embedded in made
            ]
        ),
        description=_described_file(draft, len(usable)),
        thumbnail=usable[len(usable) // 2].thumbnail,
        study=draft.study_instance_uid,
        patient=draft.patient.pseudonym,
        patient_known=not draft.patient.names_nobody and not _is_shared(library, draft),
        roles=frozenset(item.role for item in usable),
        pixel_hashes=frozenset(item.pixel_hash for item in usable),
        item_ids=frozenset(),
        note=_doubt(encoder.spec, usable),
    )
    return _as_known(library, query, [item.uid for item in usable])


def _doubt(spec: EncoderSpec, items: Sequence[ItemDraft]) -> str:
    """What must be said where an encoder may have got what it was not made for."""
    flags = {flag for item in items for flag in item.flags}
    made_for = ", ".join(sorted(spec.modalities | spec.body_parts))
    if Flag.OUTSIDE_PURPOSE in flags:
        return f"by a rule of the library '{spec.name}' gets this; it was made for {made_for}"
    if spec.modalities and Flag.MODALITY_UNKNOWN in flags:
        made_for = ", ".join(sorted(spec.modalities))
        return f"the modality of the query is not stated; '{spec.name}' was made for {made_for}"
    return ""


def _as_known(library: Library, query: Query, item_uids: Sequence[str]) -> Query:
    """The query with what the library knows of the file, as a table may have named its patient."""
    with reading(library.engine) as db:
        rows = db.execute(
            select(Item.id, Study.study_instance_uid, Patient.pseudonym, Patient.shared)
            .select_from(Item)
            .join(Series)
            .join(Study)
            .join(Patient)
            .where(Item.uid.in_(item_uids))
            .order_by(Item.id)
        ).all()
        if not rows:
            return query
        described = describe_items(db, [(rows[0].id, 1.0, 0)])[0]
    return replace(
        query,
        description=_described(described, len(item_uids)),
        study=rows[0].study_instance_uid,
        patient=rows[0].pseudonym,
        patient_known=not rows[0].shared,
        item_ids=frozenset(row.id for row in rows),
    )


def _described_file(draft: InstanceDraft, items: int) -> dict[str, object]:
    return {
        "study_instance_uid": draft.study_instance_uid,
        "series_instance_uid": draft.series_instance_uid,
        "sop_instance_uid": draft.sop_instance_uid,
        "modality": draft.attributes.modality,
        "body_part": draft.attributes.body_part,
        "description": draft.attributes.series_description or draft.attributes.study_description,
        "labels": {},
        "items": items,
    }


def _is_shared(library: Library, draft: InstanceDraft) -> bool:
    with reading(library.engine) as db:
        found = db.execute(
            select(Patient.shared).where(Patient.pseudonym == draft.patient.pseudonym)
        ).scalar()
    return bool(found)
