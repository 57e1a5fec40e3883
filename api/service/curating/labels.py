"""Labels in and out as tables, and tags: names given to sets of items."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from api.service.curating.choosing import Choice, chosen
from clustering.tables import write_table
from indexer.catalog.database import reading, transaction
from indexer.catalog.labels import TAG
from indexer.errors import QueryError, SourceError
from indexer.groups.labels import (
    Labelled,
    LabelLine,
    give_labels,
    label_items,
    read_labels,
    unlabel_items,
)
from indexer.library import Library

_UIDS = ("uid", "item", "study_instance_uid")
"""Columns that say what a line is about; the first that a table has counts."""
_LONGEST = 64


def export_labels(library: Library, path: Path, names: tuple[str, ...] = ()) -> int:
    """Write labels as CSV, Parquet or JSON: uid, name, value and study; returns the lines.

    Raises:
        ConfigError: the ending is another.
        StorageFullError: it cannot be written.
    """
    with reading(library.engine) as db:
        rows = [asdict(line) for line in read_labels(db, names)]
    write_table(rows, path, ("uid", "name", "value", "study"))
    return len(rows)


def import_labels(library: Library, path: Path) -> Labelled:
    """Give the labels of a CSV table; labels that are there already are left as they are.

    A table has a column ``uid`` (or ``item``, or ``study_instance_uid``), and either ``name`` and
    ``value``, or a column for each label. Cells that are empty say nothing.

    Raises:
        SourceError: it cannot be read, or has no such columns.
    """
    lines = list(_lines(path))
    with library.writing(), transaction(library.engine) as db:
        return give_labels(db, lines)


def tag(library: Library, name: str, *, expression: str = "", cluster: str = "") -> Labelled:
    """Tag the primary items that pass a filter, or those of a cluster such as ``first:3``.

    Found again by the filter ``label:tag=name``.

    Raises:
        QueryError: no name, nothing or both are said, or there is no such clustering.
        FilterError: the filter cannot be read.
    """
    if not name.strip() or len(name) > _LONGEST or not name.isprintable():
        raise QueryError(f"a tag has 1 to {_LONGEST} printable characters")
    if bool(expression.strip()) == bool(cluster):
        raise QueryError("say which items: --filter, or --cluster NAME:NUMBER")
    with library.writing(), transaction(library.engine) as db:
        ids = chosen(db, Choice(filter=expression, cluster=cluster), math.inf)
        return label_items(db, ids, TAG, name.strip())


def untag(library: Library, name: str) -> int:
    """Take a tag away from everything that has it; how many items and studies had.

    Raises:
        QueryError: nothing has it.
    """
    with library.writing(), transaction(library.engine) as db:
        gone = unlabel_items(db, TAG, name.strip())
    if not gone:
        raise QueryError(f"nothing is tagged '{name}'")
    return gone


def _lines(path: Path) -> Iterator[LabelLine]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            columns = list(table.fieldnames or ())
            uid = next((name for name in _UIDS if name in columns), None)
            if uid is None:
                raise SourceError(f"{path.name} has no column {' or '.join(_UIDS)}")
            long = "name" in columns and "value" in columns
            names = [name for name in columns if name not in (*_UIDS, "study")]
            if not long and not names:
                raise SourceError(f"{path.name} has no columns name and value, and no label")
            for row in table:
                yield from _of_row(row, uid, names, long=long)
    except OSError as error:
        raise SourceError(f"{path.name} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path.name} is no CSV table in UTF-8") from error


def _of_row(
    row: dict[str, str | None], uid: str, names: list[str], *, long: bool
) -> Iterator[LabelLine]:
    about = (row[uid] or "").strip()
    pairs = [(row["name"], row["value"])] if long else [(name, row[name]) for name in names]
    for name, value in pairs:
        if about and (name or "").strip() and (value or "").strip():
            yield LabelLine(about, _unmarked(str(name).strip()), _unmarked(str(value).strip()))


def _unmarked(cell: str) -> str:
    """Without the apostrophe that a table was written with before what looks like a formula."""
    return cell[1:] if cell[:1] == "'" and cell[1:2] in ("=", "+", "-", "@") else cell
