"""What is in a library as a table for other tools: a plain manifest, or a folder for FiftyOne."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from sqlalchemy import Connection, select

from clustering.tables import write_table
from indexer.catalog.database import reading
from indexer.catalog.tables import Instance, ItemInstance
from indexer.errors import StorageFullError
from indexer.groups.items import Described, describe, gather_ids
from indexer.groups.runs import Assigned, assigned, clusters_of, list_runs
from indexer.library import Library
from indexer.searching.search import thumbnails
from indexer.types import ItemIds

_BATCH = 500


def write_manifest(library: Library, path: Path, expression: str = "") -> int:
    """Write primary items as CSV, Parquet or JSON: where each is, what is known, its clusters.

    Args:
        library: whose.
        path: of the table.
        expression: only items that pass this filter; "" for all.

    Returns:
        How many rows.

    Raises:
        FilterError: the filter cannot be read.
        ConfigError: the ending is another.
        StorageFullError: it cannot be written.
    """
    _, rows = _rows(library, expression)
    write_table(rows, path)
    return len(rows)


def write_fiftyone(library: Library, folder: Path, expression: str = "") -> int:
    """Write a folder that FiftyOne opens as ``fiftyone.types.CSVDataset``.

    ``data`` holds a PNG of each item's thumbnail, ``labels.csv`` the manifest beside it.

    Raises:
        FilterError: the filter cannot be read.
        StorageFullError: it cannot be written.
    """
    uids, rows = _rows(library, expression)
    pictures = folder / "data"
    try:
        pictures.mkdir(parents=True, exist_ok=True)
        for start in range(0, len(uids), _BATCH):
            for uid, webp in thumbnails(library, uids[start : start + _BATCH]).items():
                with Image.open(io.BytesIO(webp)) as picture:
                    picture.convert("RGB").save(pictures / f"{uid}.png")
    except OSError as error:
        raise StorageFullError(f"{folder} cannot be written: {error}") from error
    named = [{"filepath": f"{uid}.png", **row} for uid, row in zip(uids, rows, strict=True)]
    there = [row for row in named if (pictures / row["filepath"]).exists()]
    write_table(there, folder / "labels.csv")
    return len(there)


def _rows(library: Library, expression: str) -> tuple[list[str], list[dict[str, Any]]]:
    runs = list_runs(library)
    with reading(library.engine) as db:
        ids = gather_ids(db, expression)
        known = describe(db, ids)
        sources = _sources(db, ids)
        clusters = {}
        for run in runs:
            items = assigned(db, run)
            names = {each.cluster: each.called for each in clusters_of(db, run)}
            clusters[f"cluster:{run.name}"] = _called(items, ids, names)
    rows = [_row(known, sources, at) for at in range(len(ids))]
    for name, column in clusters.items():
        for row, value in zip(rows, column, strict=True):
            row[name] = value
    return known.uids, rows


def _row(known: Described, sources: list[str], at: int) -> dict[str, Any]:
    return {
        "item": known.uids[at],
        "source": sources[at],
        "study_instance_uid": known.studies[at],
        "patient": known.patients[at],
        **{name: column[at] for name, column in known.fields.items()},
    }


def _called(items: Assigned, ids: ItemIds, names: dict[int, str]) -> Iterator[str | None]:
    """Number and name of the cluster of each item, None where the run does not have it."""
    for label, there in zip(*items.of(ids), strict=True):
        yield f"{label} {names.get(int(label), '')}".strip() if there else None


def _sources(db: Connection, ids: ItemIds) -> list[str]:
    """The file that each item was made of; of a volume that of its first slice."""
    query = (
        select(ItemInstance.item_id, Instance.source)
        .join(Instance, Instance.id == ItemInstance.instance_id)
        .where(ItemInstance.position == 0)
    )
    found = {row.item_id: row.source for row in db.execute(query)}
    return [found.get(number, "") for number in ids.tolist()]
