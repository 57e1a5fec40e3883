"""Results as a file: CSV, Parquet or JSON, by the name's ending."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from indexer.errors import ConfigError, StorageFullError
from indexer.extras import extra

ENDINGS = (".csv", ".json", ".parquet")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Beginnings of cells that spreadsheets run."""

Row = Mapping[str, Any]


def write_table(rows: Sequence[Any], path: Path, columns: Sequence[str] = ()) -> None:
    """Write rows; a file that is there is replaced once the new one is whole.

    In CSV, text that a spreadsheet would run as a formula gets an apostrophe before it (CWE-1236),
    and several values in a cell are joined by semicolons.

    Args:
        rows: dataclasses, or mappings from a column to a value.
        path: with one of `ENDINGS`.
        columns: their order; those of the rows if there are none given.

    Raises:
        ConfigError: the ending is another.
        MissingExtraError: pyarrow, for Parquet, is not installed.
        StorageFullError: it cannot be written.
    """
    check_ending(path)
    plain = [_plain(row) for row in rows]
    names = list(columns) or list(dict.fromkeys(name for row in plain for name in row))
    whole = [{name: row.get(name) for name in names} for row in plain]
    write = {".csv": _write_csv, ".json": _write_json, ".parquet": _write_parquet}
    temporary = path.with_name(f".{path.name}.writing")
    try:
        write[path.suffix.lower()](whole, names, temporary)
        temporary.replace(path)
    except OSError as error:
        raise StorageFullError(f"{path.name} cannot be written: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def check_ending(path: Path) -> None:
    """See that a table can be written so, before the work that makes it.

    Raises:
        ConfigError: the ending is another.
    """
    if path.suffix.lower() not in ENDINGS:
        raise ConfigError(f"{path.name}: a table ends in {', '.join(ENDINGS)}")


def _write_csv(rows: Sequence[Row], names: Sequence[str], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([table_cell(name) for name in names])
        table.writerows([table_cell(row[name]) for name in names] for row in rows)


def _write_json(rows: Sequence[Row], _names: Sequence[str], path: Path) -> None:
    path.write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _write_parquet(rows: Sequence[Row], names: Sequence[str], path: Path) -> None:
    arrow, parquet = extra("pyarrow"), extra("pyarrow.parquet")
    parquet.write_table(arrow.table({name: [row[name] for row in rows] for name in names}), path)


def table_cell(value: Any) -> Any:
    """What a cell of a CSV table holds: no text that a spreadsheet would run as a formula."""
    if isinstance(value, list):
        value = "; ".join("" if each is None else str(each) for each in value)
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def _plain(value: Any) -> Any:
    """Only what JSON has: dataclasses as mappings, arrays and tuples as lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: _plain(getattr(value, field.name)) for field in fields}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value.value if isinstance(value, Enum) else value
