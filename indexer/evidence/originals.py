"""An item read again from the files it was made of: pixels are not kept, only where they were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection, select

from indexer.catalog.database import reading
from indexer.catalog.lookup import ITEMS_UNDER
from indexer.catalog.tables import EmbeddingRow, Instance, Item, ItemInstance, Series
from indexer.dicom.classify import Kind
from indexer.errors import FileRejectedError, ItemNotFoundError, OriginalGoneError
from indexer.library import Library, SpaceInfo
from indexer.reading.drafts import (
    EarlierSlice,
    FileTask,
    ItemDraft,
    ReadOptions,
    SeriesTask,
)
from indexer.reading.files import read_file
from indexer.reading.pictures import instance_uid, row_key
from indexer.reading.series import read_series
from indexer.reading.tasks import earlier_slice
from indexer.sources.arrays import describe_npz
from indexer.types import Attributes, Role


def read_again(library: Library, item_uid: str, encoder: str, options: ReadOptions) -> ItemDraft:
    """Read the files of an item again, as when it was indexed.

    Args:
        library: that holds it.
        item_uid: its public id.
        encoder: name of the encoder to prepare it for.
        options: how files are read.

    Raises:
        ItemNotFoundError: no such item.
        OriginalGoneError: a file of it is gone, or is not what it was.
    """
    options = replace(options, encoders=(encoder,))
    with reading(library.engine) as db:
        found = db.execute(
            select(
                Instance.kind,
                Instance.source,
                Instance.file_sha256,
                Instance.sop_instance_uid,
                Series.id.label("series_id"),
                Series.series_instance_uid,
                Series.modality,
                Series.body_part,
            )
            .select_from(Item)
            .join(Series)
            .join(ItemInstance, ItemInstance.item_id == Item.id)
            .join(Instance, Instance.id == ItemInstance.instance_id)
            .where(Item.uid == item_uid)
            .order_by(ItemInstance.position)
            .limit(1)
        ).first()
        if found is None:
            raise ItemNotFoundError(f"there is no item '{item_uid}' in the library")
        if found.kind == Kind.SLICE:
            slices = _slices(db, found.series_id)
        else:
            slices = [earlier_slice(-1, found.source, found.file_sha256)]
    if found.kind == Kind.SLICE:
        task = SeriesTask(found.series_instance_uid, (), earlier=tuple(slices))
        series = read_series(task, options, lambda _step: None)
        items = () if series.rejected else series.items
    else:
        said = Attributes(modality=found.modality, body_part=found.body_part)
        items = _items(slices[0], found.sop_instance_uid, said, options)
    item = next((item for item in items if item.uid == item_uid), None)
    if item is None or encoder not in item.tensors:
        raise OriginalGoneError(
            f"the files of item {item_uid} are gone, or not what they were when they were "
            f"indexed, so that its pixels cannot be shown; syntopy show {item_uid} names them"
        )
    return item


def items_under(db: Connection, uid: str) -> list[str]:
    """Public ids of the items that a UID of any level stands for: primary ones if there are some.

    Raises:
        ItemNotFoundError: there is none.
    """
    query = select(Item.uid, Item.role).where(Item.id.in_(ITEMS_UNDER)).order_by(Item.id)
    rows = db.execute(query, {"uid": uid}).all()
    found = [row.uid for row in rows if row.role == Role.PRIMARY] or [row.uid for row in rows]
    if not found:
        raise ItemNotFoundError(f"there is no study, series, instance or item '{uid}'")
    return found


def held_by(db: Connection, space: SpaceInfo, item_uid: str) -> bool:
    """Whether an item has a vector in a space."""
    query = (
        select(EmbeddingRow.seq)
        .join(Item, Item.id == EmbeddingRow.item_id)
        .where(EmbeddingRow.space_id == space.id, Item.uid == item_uid)
    )
    return db.execute(query).scalar() is not None


def _slices(db: Connection, series_id: int) -> list[EarlierSlice]:
    """All slices of a series: how it falls into volumes depends on all of them."""
    rows = db.execute(
        select(Instance.source, Instance.file_sha256)
        .where(Instance.series_id == series_id, Instance.kind == Kind.SLICE)
        .order_by(Instance.id)
    ).all()
    return [
        earlier_slice(number - len(rows), row.source, row.file_sha256)
        for number, row in enumerate(rows)
    ]


def _items(
    file: EarlierSlice, sop_instance_uid: str, said: Attributes, options: ReadOptions
) -> tuple[ItemDraft, ...]:
    rows = None
    if file.source.member is None and file.source.name.lower().endswith(".npz"):
        rows = _row_of(file, sop_instance_uid)
        if rows is None:
            return ()
    task = FileTask(
        file.source, said, rows=rows, row_attributes=(said,) if rows is not None else ()
    )
    result = read_file(task, options)
    return result.items if result.sha256 == file.sha256 else ()


def _row_of(file: EarlierSlice, sop_instance_uid: str) -> tuple[int, int] | None:
    """Which row of a NumPy archive an instance is."""
    try:
        rows = describe_npz(Path(file.source.path)).rows
    except FileRejectedError:
        return None
    for row in range(rows):
        if instance_uid(row_key(file.sha256, row)) == sop_instance_uid:
            return row, row + 1
    return None
