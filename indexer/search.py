"""A query in, its neighbours out: embed, search, exclude, group, describe."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, CompoundSelect, Connection, Row, and_, select, union

from indexer.bridges import load_bridge
from indexer.catalog.database import reading
from indexer.catalog.tables import (
    EmbeddingRow,
    Instance,
    Item,
    ItemInstance,
    Label,
    Patient,
    Series,
    Study,
    Thumbnail,
)
from indexer.embedding import embed_each
from indexer.encoders.contract import TextEncoder
from indexer.errors import ConfigError, ItemNotFoundError, QueryError
from indexer.filters import parse_filter, sql_condition
from indexer.library import Library, SpaceInfo
from indexer.projection import open_projection, renormalised
from indexer.reading.drafts import InstanceDraft, ItemDraft, ReadOptions
from indexer.registry import make_encoder
from indexer.stores.contract import VectorStore
from indexer.types import Embeddings, EncoderSpec, Flag, Hit, ItemIds, Role

MAX_K = 10_000


@dataclass(frozen=True)
class SearchRequest:
    """What is asked.

    Attributes:
        image: a file to search with, or
        uid: a study, series, SOP instance UID or item id of the library, or
        text: a phrase; it needs an encoder with a text tower, or a bridge.
        k: neighbours wanted, 1 to 10,000.
        filter: an expression of `indexer.filters`, ``""`` for none.
        own_study, same_patient: whether the query's own study, its patient, may be among the hits.
        roles: item roles to look at; None takes primary images and the query's own role.
        group: ``"study"`` lists each study once by its best item, ``"item"`` lists items.
        encoder: which space; None takes the library's first that can take the query.
    """

    image: Path | None = None
    uid: str | None = None
    text: str | None = None
    k: int = 10
    filter: str = ""
    own_study: bool = False
    same_patient: bool = False
    roles: frozenset[Role] | None = None
    group: str = "study"
    encoder: str | None = None


@dataclass(frozen=True)
class SearchAnswer:
    """What was found, and how far it can be trusted.

    Attributes:
        query: what was searched with: the fields that a hit has, as far as they are known.
        hits: nearest first.
        candidates: items that passed the filter and the exclusions.
        exact: whether every candidate was compared.
        encoder, notice: what made the vectors, and what must be said about it.
        notes: plain sentences: exclusions that could not be made, copies left out, short lists.
        seconds: wall time.
    """

    query: dict[str, object]
    hits: list[Hit]
    candidates: int
    exact: bool
    encoder: str
    notice: str
    notes: list[str]
    seconds: float
    query_thumbnail: bytes = field(default=b"", repr=False)


@dataclass
class _Query:
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


def search(library: Library, request: SearchRequest, options: ReadOptions) -> SearchAnswer:
    """Answer a request.

    Raises:
        QueryError: nothing to search with, a k out of range, an empty library.
        FilterError: the filter cannot be read.
        FileRejectedError: the query file cannot be used.
        ItemNotFoundError: the UID is not in the library.
    """
    start = time.monotonic()
    _check(request)
    condition = sql_condition(parse_filter(request.filter)) if request.filter.strip() else None
    spaces = _spaces(library, request, options)
    if request.uid:
        query = _by_uid(library, spaces, request.uid)
    elif request.text:
        query = _by_text(library, spaces, request.text, options)
    else:
        query = _by_file(library, spaces, request.image or Path(), options)
    space = query.space
    projection = open_projection(library, space)
    if not projection.store.count():
        raise QueryError(f"{library.path} holds no items yet; index something first")
    notes = [note for note in (projection.note, query.note) if note]
    with reading(library.engine) as db:
        excluded = _excluded(db, request, query, notes)
        allowed = None if condition is None else _allowed(db, condition)
        found = _nearest(
            db, projection.store, query.vectors, request, allowed=allowed, excluded=excluded
        )
        hits = _hits(db, found)
    candidates = _count(projection.store, allowed, excluded)
    if len(hits) < request.k:
        notes.append(f"only {len(hits)} found: no more pass the filter and the exclusions")
    return SearchAnswer(
        query=query.description,
        hits=hits,
        candidates=candidates,
        exact=projection.store.stats().recall == 1.0,
        encoder=space.encoder,
        notice=space.notice,
        notes=notes,
        seconds=time.monotonic() - start,
        query_thumbnail=query.thumbnail,
    )


def thumbnails(library: Library, item_uids: Sequence[str]) -> dict[str, bytes]:
    """WebP thumbnails by item id."""
    with reading(library.engine) as db:
        rows = db.execute(
            select(Item.uid, Thumbnail.webp).join(Item).where(Item.uid.in_(item_uids))
        )
        return {row.uid: row.webp for row in rows}


def _check(request: SearchRequest) -> None:
    asked = sum((request.image is not None, bool(request.uid), bool(request.text)))
    if asked != 1:
        raise QueryError("search with either an image file or a UID, or a text; one of them")
    if not 1 <= request.k <= MAX_K:
        raise QueryError(f"k is 1 to {MAX_K}, not {request.k}")
    if request.group not in ("study", "item"):
        raise QueryError(f"group is 'study' or 'item', not '{request.group}'")


def _spaces(library: Library, request: SearchRequest, options: ReadOptions) -> list[SpaceInfo]:
    """The spaces to try, in the order of the library's encoders."""
    names = [request.encoder] if request.encoder else list(library.config.encoders)
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


def _by_uid(library: Library, spaces: Sequence[SpaceInfo], uid: str) -> _Query:
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
        described = _hits(db, [(best.id, 1.0, 0)])[0]
    vectors = np.frombuffer(b"".join(r.vector for r in primary), "<f2").reshape(-1, space.dim)
    return _Query(
        space=space,
        vectors=renormalised(vectors),
        description=_described(described, len(primary)),
        thumbnail=best.webp,
        study=best.study_instance_uid,
        patient=best.pseudonym,
        patient_known=not best.shared,
        roles=frozenset(Role(r.role) for r in primary),
        pixel_hashes=frozenset(r.pixel_hash for r in primary),
        item_ids=frozenset(r.id for r in primary),
    )


def _by_text(
    library: Library, spaces: Sequence[SpaceInfo], text: str, options: ReadOptions
) -> _Query:
    """Words reach images by the encoder's own text tower, else by the library's bridge."""
    for space in spaces:
        encoder = make_encoder(options.context(space.encoder))
        if isinstance(encoder, TextEncoder):
            rows = encoder.embed_text([text])
            note = f"words by the text tower of '{space.encoder}'"
            tokens = encoder.text_tokens([text])[0]
            if tokens > encoder.token_limit:
                note += f"; of {tokens} tokens the first {encoder.token_limit} count"
        else:
            bridge = load_bridge(library, space)
            if bridge is None:
                continue
            rows, quality = bridge.embed([text]), bridge.quality
            note = (
                f"words by a bridge fitted on {quality.pairs} reports of this library: of reports "
                f"not fitted on, {quality.hit_rate_at_10:.0%} find their image among ten (by "
                f"chance {quality.chance_at_10:.0%})"
            )
        return _Query(
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


def _by_file(
    library: Library, spaces: Sequence[SpaceInfo], path: Path, options: ReadOptions
) -> _Query:
    from indexer.reading.tasks import read_query  # noqa: PLC0415 - decoders, not needed for a UID

    draft, items = read_query(path, options)
    space = next((s for s in spaces if any(s.encoder in i.tensors for i in items)), None)
    if space is None:
        names = ", ".join(s.encoder for s in spaces)
        raise QueryError(f"{path.name}: no encoder can take it ({names})")
    usable = [item for item in items if space.encoder in item.tensors]
    encoder = make_encoder(options.context(space.encoder))
    rows = embed_each(encoder, [item.tensors[space.encoder] for item in usable])
    raw = np.stack([row for row in rows if not isinstance(row, str)] or [np.zeros(space.dim)])
    if not raw.any():
        raise QueryError(f"{path.name} cannot be embedded: {rows[0]}")
    query = _Query(
        space=space,
        vectors=(raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32),
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
    if spec.modalities and any(Flag.MODALITY_UNKNOWN in item.flags for item in items):
        made_for = ", ".join(sorted(spec.modalities))
        return f"the modality of the query is not stated; '{spec.name}' was made for {made_for}"
    return ""


def _as_known(library: Library, query: _Query, item_uids: Sequence[str]) -> _Query:
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
        described = _hits(db, [(rows[0].id, 1.0, 0)])[0]
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


def _excluded(
    db: Connection, request: SearchRequest, query: _Query, notes: list[str]
) -> dict[int, str]:
    """Items that may not be hits, with the reason."""
    joined = select(Item.id).select_from(Item).join(Series).join(Study).join(Patient)
    excluded: dict[int, str] = {}
    roles = request.roles or frozenset({Role.PRIMARY}) | query.roles
    other = db.execute(select(Item.id).where(Item.role.not_in([r.value for r in roles]))).scalars()
    excluded |= dict.fromkeys(other, "role")
    if not request.same_patient:
        if query.patient_known:
            same = joined.where(Patient.pseudonym == query.patient)
            if request.own_study:
                same = same.where(Study.study_instance_uid != query.study)
            excluded |= dict.fromkeys(db.execute(same).scalars(), "patient")
        else:
            notes.append(
                "the query's patient id is missing or shared by strangers: other studies of the "
                "same person cannot be told apart and may be among the hits"
            )
    if request.own_study:
        excluded |= dict.fromkeys(query.item_ids, "query")
    else:
        own = joined.where(Study.study_instance_uid == query.study)
        excluded |= dict.fromkeys(db.execute(own).scalars(), "study")
    copies = db.execute(select(Item.id).where(Item.pixel_hash.in_(query.pixel_hashes))).scalars()
    copied = {i for i in copies if i not in excluded}
    if copied:
        notes.append(
            "1 exact copy of the query, under another UID, is not listed"
            if len(copied) == 1
            else f"{len(copied)} exact copies of the query, under other UIDs, are not listed"
        )
    excluded |= dict.fromkeys(copied, "copy")
    left_out = sum(1 for why in excluded.values() if why == "role")
    if left_out:
        notes.append(
            f"{left_out} localizers, captures, derived and test images were not looked at "
            "(--role all looks at them too)"
        )
    return excluded


def _allowed(db: Connection, condition: ColumnElement[bool]) -> ItemIds:
    rows = db.execute(
        select(Item.id).select_from(Item).join(Series).join(Study).join(Patient).where(condition)
    ).scalars()
    return np.array(sorted(rows), np.int64)


def _count(store: VectorStore, allowed: ItemIds | None, excluded: Mapping[int, str]) -> int:
    held = store.ids()
    if allowed is not None:
        held = np.intersect1d(held, allowed)
    return int((~np.isin(held, np.fromiter(excluded, np.int64, len(excluded)))).sum())


def _nearest(
    db: Connection,
    store: VectorStore,
    vectors: Embeddings,
    request: SearchRequest,
    *,
    allowed: ItemIds | None,
    excluded: Mapping[int, str],
) -> list[tuple[int, float, int]]:
    """Best (item id, score, more in its study), looking further until k groups are found.

    Of several query vectors the best one counts for each item.
    """
    total = store.count() if allowed is None else len(allowed)
    look = min(total, 4 * request.k + len(excluded) + 50)
    while True:
        ids, scores = store.search(vectors, look, allowed)
        best: dict[int, float] = {}
        for item, score in zip(ids.ravel().tolist(), scores.ravel().tolist(), strict=True):
            if item >= 0 and item not in excluded and score > best.get(item, -2.0):
                best[item] = score
        # To six digits, as shown: what differs beyond is rounding, and ties go by id.
        ranked = sorted(best.items(), key=lambda pair: (-round(pair[1], 6), pair[0]))
        groups = _grouped(db, ranked, request.group)
        if len(groups) >= request.k or look >= total:
            return groups[: request.k]
        look = min(total, look * 4)


def _grouped(
    db: Connection, ranked: Sequence[tuple[int, float]], group: str
) -> list[tuple[int, float, int]]:
    """The best item of each study, with the number of further ones."""
    if group == "item":
        return [(item, score, 0) for item, score in ranked]
    study_of = _studies(db, [item for item, _ in ranked])
    first: dict[int, tuple[int, float]] = {}
    more: dict[int, int] = defaultdict(int)
    for item, score in ranked:
        study = study_of.get(item)
        if study is None:
            continue  # taken out by a writer since the index was read
        if study in first:
            more[study] += 1
        else:
            first[study] = (item, score)
    return [(item, score, more[study]) for study, (item, score) in first.items()]


def _studies(db: Connection, items: Sequence[int]) -> dict[int, int]:
    found: dict[int, int] = {}
    for start in range(0, len(items), 500):
        part = items[start : start + 500]
        rows = db.execute(select(Item.id, Series.study_id).join(Series).where(Item.id.in_(part)))
        found.update((row.id, row.study_id) for row in rows)
    return found


def _hits(db: Connection, found: Sequence[tuple[int, float, int]]) -> list[Hit]:
    """Describe items for a person."""
    ids = [item for item, _, _ in found]
    first = (
        select(Instance.sop_instance_uid)
        .join(ItemInstance)
        .where(ItemInstance.item_id == Item.id)
        .order_by(ItemInstance.position)
        .limit(1)
        .scalar_subquery()
    )
    query = (
        select(
            Item.id,
            Item.uid,
            Item.kind,
            Item.role,
            Item.frame_index,
            Item.flags,
            first.label("sop_instance_uid"),
            Series.series_instance_uid,
            Series.modality,
            Series.body_part,
            Series.view,
            Series.description.label("series_description"),
            Series.study_id,
            Study.study_instance_uid,
            Study.description.label("study_description"),
            Study.sex,
            Study.age_years,
            Study.study_date,
            Patient.pseudonym,
            Patient.shared,
        )
        .select_from(Item)
        .join(Series)
        .join(Study)
        .join(Patient)
        .where(Item.id.in_(ids))
    )
    rows = {row.id: row for row in db.execute(query)}
    labels = _labels(db, {row.study_id for row in rows.values()})
    return [
        _hit(rows[item], score, more, labels.get(rows[item].study_id, {}))
        for item, score, more in found
        if item in rows
    ]


def _hit(row: Row[Any], score: float, more: int, labels: Mapping[str, tuple[str, ...]]) -> Hit:
    return Hit(
        id=row.uid,
        score=round(float(score), 6),
        study_instance_uid=row.study_instance_uid,
        series_instance_uid=row.series_instance_uid,
        sop_instance_uid=row.sop_instance_uid or "",
        frame_number=None if row.frame_index is None else row.frame_index + 1,
        kind=row.kind,
        modality=row.modality,
        body_part=row.body_part,
        view=row.view,
        description=row.series_description or row.study_description,
        patient="" if row.shared else row.pseudonym,
        sex=row.sex,
        age_years=row.age_years,
        study_date=row.study_date,
        role=row.role,
        flags=tuple(row.flags),
        labels=labels,
        more_in_study=more,
    )


def _labels(db: Connection, studies: set[int]) -> dict[int, dict[str, tuple[str, ...]]]:
    found: dict[int, dict[str, tuple[str, ...]]] = defaultdict(dict)
    rows = db.execute(
        select(Label.study_id, Label.name, Label.value)
        .where(and_(Label.study_id.in_(studies), Label.item_id.is_(None)))
        .order_by(Label.name, Label.value)
    )
    for study, name, value in rows:
        found[study][name] = (*found[study].get(name, ()), value)
    return found
