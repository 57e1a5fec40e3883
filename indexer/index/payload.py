"""What a server that filters by itself has to know of each vector: the fields of the language."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from indexer.catalog.tables import Item, Label, Patient, Series, SliceRow, Study
from indexer.filters import columns
from indexer.index.projection import SLICES, Layer

Payload = Mapping[str, Any]
_AT_ONCE = 500


def payloads(db: Connection, layer: Layer, ids: Sequence[int]) -> dict[int, Payload]:
    """By id of the layer what a filter can ask of it, as `sql_condition` would see it.

    Text is in lower case, and what is unknown is left out, as `indexer.stores.qdrant_filter`
    has it. No payload holds more of a patient than the pseudonym.
    """
    found: dict[int, Payload] = {}
    for part in _batches(ids):
        if layer is SLICES:
            found |= _of_slices(db, part)
        else:
            found |= _of_items(db, part)
    return found


def _of_slices(db: Connection, rows: Sequence[int]) -> dict[int, Payload]:
    """Those of their items, and which slice it is."""
    query = select(SliceRow.seq, SliceRow.item_id, SliceRow.slice_index)
    places = db.execute(query.where(SliceRow.seq.in_(rows))).all()
    items = _of_items(db, sorted({place.item_id for place in places}))
    return {
        seq: {
            **items[item],
            "uid": slice_uid(items[item]["uid"], index),
            "item": item,
            "slice_index": index,
        }
        for seq, item, index in places
    }


def slice_uid(item_uid: str, index: int) -> str:
    """What names a slice by content, as ``item.uid`` names an item."""
    return f"{item_uid}/{index}"


def _of_items(db: Connection, items: Sequence[int]) -> dict[int, Payload]:
    fields = columns()
    query = (
        select(
            Item.id,
            Item.uid,
            Item.pixel_hash,
            Series.study_id,
            *(column.label(f"field_{name}") for name, column in fields.items()),
        )
        .select_from(Item)
        .join(Series)
        .join(Study)
        .join(Patient)
        .where(Item.id.in_(items))
    )
    rows = db.execute(query).mappings().all()
    labels = _labels(db, sorted({row["study_id"] for row in rows}))
    found: dict[int, Payload] = {}
    for row in rows:
        said = {name: _value(name, row[f"field_{name}"]) for name in fields}
        known = {name: value for name, value in said.items() if value is not None}
        own = [*labels[row["study_id"], None], *labels[row["study_id"], row["id"]]]
        found[row["id"]] = {
            **known,
            "uid": row["uid"],
            "pixel_hash": row["pixel_hash"],
            "labels": own,
        }
    return found


def _value(field: str, value: object) -> object:
    """As it is compared: None where it is unknown."""
    if value in ("", None):
        return None
    if field == "study_date":
        return int(str(value).replace("-", ""))
    return value.lower() if isinstance(value, str) else value


_Labels = defaultdict[tuple[int, int | None], list[dict[str, str]]]


def _labels(db: Connection, studies: Sequence[int]) -> _Labels:
    """By study and item (None: of the whole study) its labels."""
    found: _Labels = defaultdict(list)
    for part in _batches(studies):
        rows = db.execute(
            select(Label.study_id, Label.item_id, Label.name, Label.value)
            .where(Label.study_id.in_(part))
            .order_by(Label.id)
        )
        for study, item, name, value in rows:
            found[study, item].append({"name": name.lower(), "value": value.lower()})
    return found


def _batches(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), _AT_ONCE):
        yield ids[start : start + _AT_ONCE]
