"""Tables as streams of bytes: CSV, JSON lines or Parquet, row by row, in bounded memory."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from clustering.tables import table_cell
from indexer.extras import extra

Row = Mapping[str, Any]
Columns = Mapping[str, type]
"""Names in their order, and what a cell holds: str, int, float or bool, or nothing."""
MEDIA_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}


def encoded(form: str, columns: Columns, batches: Iterable[Sequence[Row]]) -> Iterator[bytes]:
    """The bytes of a table, a few at a time; those of all together are the file.

    In CSV, text that a spreadsheet would run as a formula gets an apostrophe before it (CWE-1236).

    Args:
        form: one of `MEDIA_TYPES`.
        columns: of every row.
        batches: rows with all columns; a batch of Parquet becomes a row group.

    Raises:
        MissingExtraError: pyarrow, for Parquet, is not installed.
    """
    makers: Mapping[str, Callable[..., Iterator[bytes]]] = {
        "csv": _csv,
        "jsonl": _json_lines,
        "parquet": _parquet,
    }
    if form == "parquet":
        extra("pyarrow.parquet")  # now, and not when the first part is asked for
    return makers[form](columns, batches)


def _csv(columns: Columns, batches: Iterable[Sequence[Row]]) -> Iterator[bytes]:
    text = io.StringIO()
    # Both characters: a cell is only put into quotes for those of the line end.
    table = csv.writer(text, lineterminator="\r\n")
    table.writerow([table_cell(name) for name in columns])
    for rows in batches:
        table.writerows([table_cell(row[name]) for name in columns] for row in rows)
        yield text.getvalue().encode("utf-8", "backslashreplace")
        text.seek(0)
        text.truncate()
    yield text.getvalue().encode("utf-8", "backslashreplace")


def _json_lines(columns: Columns, batches: Iterable[Sequence[Row]]) -> Iterator[bytes]:
    for rows in batches:
        lines = (json.dumps({name: row[name] for name in columns}) for row in rows)
        yield "".join(f"{line}\n" for line in lines).encode()


class _Taken(io.RawIOBase):
    """A file that is only written to, and emptied from time to time."""

    def __init__(self) -> None:
        super().__init__()
        self._written = bytearray()

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any) -> int:
        """Take bytes."""
        self._written += bytes(data)
        return len(data)

    def take(self) -> bytes:
        """What was written since the last time."""
        taken, self._written = bytes(self._written), bytearray()
        return taken


def _parquet(columns: Columns, batches: Iterable[Sequence[Row]]) -> Iterator[bytes]:
    arrow, parquet = extra("pyarrow"), extra("pyarrow.parquet")
    types = {str: arrow.string(), int: arrow.int64(), float: arrow.float64(), bool: arrow.bool_()}
    schema = arrow.schema([(name, types[kind]) for name, kind in columns.items()])
    taken = _Taken()
    with parquet.ParquetWriter(taken, schema) as writer:
        for rows in batches:
            made = {name: [row[name] for row in rows] for name in columns}
            writer.write_table(arrow.table(made, schema=schema))
            yield taken.take()
    yield taken.take()
