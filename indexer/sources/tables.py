"""CSV tables that say more about images than the files do: labels, reports, patients."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date
from pathlib import Path
from typing import Any

from indexer.errors import ConfigError, SourceError
from indexer.sources.discover import SourceFile
from indexer.sources.formats import without_suffix
from indexer.types import Attributes

_LARGEST_CELL = 1 << 24
_TABLE_NAMES = ("labels.csv", "metadata.csv")
_LOOKED_AT = 20_000
"""Files below a folder that `find_table` looks at, to see whether a table speaks of them."""

_KEYS: dict[str, tuple[str, ...]] = {
    "path": ("image", "file", "filename", "path", "image_index", "name"),
    "row": ("row", "index"),
    "sop_instance_uid": ("sop_instance_uid", "sop_uid"),
    "series_instance_uid": ("series_instance_uid", "series_uid"),
    "study_instance_uid": ("study_instance_uid", "study_uid"),
}
_FIELDS: dict[str, tuple[str, ...]] = {
    **_KEYS,
    "kind": ("kind",),
    "patient_id": ("patient_id", "patient", "subject", "subject_id"),
    "issuer": ("issuer", "issuer_of_patient_id"),
    "sex": ("sex", "gender", "patient_sex", "patient_gender"),
    "age_years": ("age", "patient_age", "age_years"),
    "view": ("view", "view_position", "projection"),
    "modality": ("modality",),
    "body_part": ("body_part", "region", "anatomy", "body_part_examined"),
    "laterality": ("laterality",),
    "study_date": ("study_date", "date"),
    "study_description": ("study_description",),
    "series_description": ("series_description",),
    "manufacturer": ("manufacturer",),
    "model": ("model", "manufacturer_model_name"),
    "report": ("report", "impression", "findings_text"),
    "split": ("split", "subset", "fold"),
}
"""Our fields, and the column names that stand for them, the most telling first."""

_LABELS = (
    "label",
    "class",
    "finding",
    "diagnosis",
    "target",
    "category",
    "labels",
    "multilabel",
    "finding_labels",
)
_LABEL_MAP_KINDS = ("label", "labelmap", "mask", "segmentation", "seg")
_SEXES = {"m": "M", "male": "M", "f": "F", "female": "F", "o": "O", "other": "O"}
_SIDES = {"left": "L", "right": "R", "bilateral": "B", "both": "B"}
_YEARS = {"d": 1 / 365.25, "w": 7 / 365.25, "m": 1 / 12, "y": 1.0}
_AGE = re.compile(r"(\d+(?:[.,]\d+)?)\s*([dwmy]?)[a-z]*")
_DATES = (
    re.compile(r"(?P<y>\d{4})[-/.]?(?P<m>\d{2})[-/.]?(?P<d>\d{2})(?!\d)"),
    re.compile(r"(?P<d>\d{1,2})\.(?P<m>\d{1,2})\.(?P<y>\d{4})(?!\d)"),
)


@dataclass(frozen=True)
class _Columns:
    """Which column (by position) holds which of our fields, and which hold labels."""

    fields: dict[str, int]
    labels: dict[str, int]
    unused: tuple[str, ...]


@dataclass
class MetadataTable:
    """A table in memory, found by file, by row of a NumPy archive or by UID.

    Attributes:
        folder: where the table lies; its relative paths start there.
        unused_columns: names of columns that nothing is made of.
        duplicates: rows whose key came earlier already; the first one counts.
    """

    folder: str
    unused_columns: tuple[str, ...]
    duplicates: int = 0
    _rows: list[Attributes] = field(default_factory=list)
    _kinds: list[str] = field(default_factory=list)
    _paths: dict[tuple[str, str], int] = field(default_factory=dict)
    _names: dict[tuple[str, str], int | None] = field(default_factory=dict)
    """By bare name; None where several rows have it."""
    _values: list[str] = field(default_factory=list)
    _uids: dict[tuple[str, str], int] = field(default_factory=dict)
    _matched: set[int] = field(default_factory=set)
    _has_paths: bool = False
    _has_rows: bool = False

    @classmethod
    def load(cls, path: Path, mapping: Mapping[str, str] | None = None) -> MetadataTable:
        """Read a CSV file; separator and encoding (UTF-8, UTF-16, else Windows-1252) are found out.

        Args:
            path: the file.
            mapping: our field, or ``label:<name>``, to the table's column, for columns whose names
                are not understood or misunderstood.

        Raises:
            SourceError: the file cannot be read as a table.
            ConfigError: `mapping` is wrong, or no column says which image a row is about.
        """
        header, lines = _read_csv(path)
        columns = _assign(header, mapping or {}, path.name)
        table = cls(os.path.abspath(path.parent), columns.unused)  # noqa: PTH100 - keeps links
        table._has_paths = "path" in columns.fields
        table._has_rows = "row" in columns.fields
        for cells in lines:
            table._add(_Cells(cells, columns))
        return table

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self._rows)

    @property
    def matched(self) -> int:
        """Number of rows that a look-up has found so far."""
        return len(self._matched)

    def lookup(self, source: SourceFile, row: int | None = None) -> Attributes | None:
        """What the table says of a file, or of one row of a NumPy archive.

        A row names a file by its path relative to the table's folder (in an archive also by the
        member's name) or, failing that, by its bare name where only one row has it; with or
        without the extension, in any case.
        """
        return self._said(self._find(source, row))

    def lookup_uid(self, sop_uid: str, series_uid: str, study_uid: str) -> Attributes | None:
        """What the table says of an instance, its series and its study together.

        Where they contradict each other the most specific row wins.
        """
        levels = ("sop_instance_uid", "series_instance_uid", "study_instance_uid")
        found: Attributes | None = None
        for level, uid in zip(levels, (sop_uid, series_uid, study_uid), strict=True):
            said = self._said(self._uids.get((level, uid)))
            found = said if found is None else _filled(found, said)
        return found

    def is_label_map(self, source: SourceFile) -> bool:
        """Whether the table's ``kind`` column calls the file a mask or label map."""
        index = self._find(source, None)
        return index is not None and self._kinds[index] in _LABEL_MAP_KINDS

    def speaks_of(self, root: Path) -> bool:
        """Whether a row names a file below `root`, or numbers the rows of an array there."""
        if self._has_rows and not self._has_paths:
            return any(root.glob("*.npz"))
        if any(_exists(root, value) for value in self._values[:_LOOKED_AT]):
            return True
        mentioned = {name for name, _ in self._names}
        return any(_fold(name) in mentioned for name in _names_below(root))

    def _add(self, cells: _Cells) -> None:
        index = len(self._rows)
        self._rows.append(cells.attributes())
        self._kinds.append(cells.text("kind").lower())
        value, row = _relative(cells.text("path")), _row_text(cells.text("row"))
        if self._has_paths and not value.lower().endswith(".npz"):
            row = ""  # the number of a line in the table, as pandas writes it
        self._values.append(value)
        is_new = True
        if value or row:
            is_new = self._paths.setdefault((_fold(value), row), index) == index
        if value and is_new:
            name = (_fold(_base(value)), row)
            self._names[name] = index if name not in self._names else None
        # A row about one file says nothing of the other files of its study.
        levels = ("sop_instance_uid",) if value else tuple(_KEYS)[2:]
        self.duplicates += not (self._add_uid(cells, levels, index) and is_new)

    def _add_uid(self, cells: _Cells, levels: Iterable[str], index: int) -> bool:
        """Remember a row under its most specific UID; False where that one is taken."""
        for level in levels:
            if uid := cells.text(level):
                return self._uids.setdefault((level, uid), index) == index
        return True

    def _find(self, source: SourceFile, row: int | None) -> int | None:
        if self._has_rows and not self._has_paths:
            return None if row is None else self._paths.get(("", str(row)))
        # What is said of an array's file as a whole holds for each of its rows.
        numbers = ("",) if row is None else (str(row), "")
        return next(filter(_is_found, (self._find_path(source, n) for n in numbers)), None)

    def _find_path(self, source: SourceFile, number: str) -> int | None:
        for candidate in self._candidates(source):
            if (index := self._paths.get((candidate, number))) is not None:
                return index
        for name in (source.name, without_suffix(source.name)):
            index = self._names.get((_fold(name), number))
            if index is not None and not self._is_about_another(index, source):
                return index
        return None

    def _candidates(self, source: SourceFile) -> Iterator[str]:
        """The ways a table may write the path of a file."""
        relative = _from(self.folder, source.path)
        whole = [source.path, relative]
        if source.member is not None:
            whole = [f"{source.path}/{source.member}", f"{relative}/{source.member}", source.member]
        for path in whole:
            yield _fold(_relative(path))
            yield _fold(without_suffix(_relative(path)))

    def _is_about_another(self, index: int, source: SourceFile) -> bool:
        """Whether the row's own file is really there, beside this namesake in the same tree."""
        value = self._values[index]
        if "/" not in value or not source.path.startswith(f"{self.folder}{os.sep}"):
            return False
        place = os.path.join(self.folder, value)  # noqa: PTH118 - hot path
        return place != source.path and os.path.isfile(place)  # noqa: PTH113

    def _said(self, index: int | None) -> Attributes | None:
        if index is None:
            return None
        self._matched.add(index)
        return self._rows[index]


def find_table(root: Path) -> Path | None:
    """The table that belongs to a folder of images, if one is clearly there.

    ``labels.csv`` or ``metadata.csv``, else the only ``.csv`` file right in the folder; provided
    that it loads and speaks of files that exist below the folder.
    """
    try:
        found = sorted(path for path in root.iterdir() if path.suffix.lower() == ".csv")
    except OSError:
        return None
    named = [path for path in found if path.name.lower() in _TABLE_NAMES]
    only = found if len(found) == 1 else []
    return next(filter(_is_table_of_its_folder, named or only), None)


def _is_table_of_its_folder(path: Path) -> bool:
    try:
        return MetadataTable.load(path).speaks_of(path.parent)
    except (ConfigError, SourceError):
        return False


class _Cells:
    """One line of the table, read through the names of our fields."""

    def __init__(self, cells: list[str], columns: _Columns) -> None:
        self._cells = cells
        self._columns = columns

    def text(self, name: str) -> str:
        position = self._columns.fields.get(name)
        return "" if position is None else self._at(position)

    def attributes(self) -> Attributes:
        values: dict[str, Any] = {
            each.name: _CLEANED.get(each.name, str)(self.text(each.name))
            for each in fields(Attributes)
            if each.name in self._columns.fields
        }
        return Attributes(**values, labels=self._labels())

    def _labels(self) -> dict[str, tuple[str, ...]]:
        split = {
            name: tuple(part.strip() for part in self._at(position).split("|") if part.strip())
            for name, position in self._columns.labels.items()
        }
        return {name: values for name, values in split.items() if values}

    def _at(self, position: int) -> str:
        return self._cells[position].strip() if position < len(self._cells) else ""


def _read_csv(path: Path) -> tuple[list[str], Iterator[list[str]]]:
    """Header and lines, empty lines left out."""
    try:
        text = _decoded(path.read_bytes())
    except OSError as error:
        msg = f"{path.name} cannot be read: {error.strerror}"
        raise SourceError(msg) from error
    csv.field_size_limit(max(csv.field_size_limit(), _LARGEST_CELL))  # reports are long
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
    lines = _lines(reader, path.name)
    header = next(lines, None)
    if header is None:
        msg = f"{path.name} is empty; a table needs a line of column names"
        raise SourceError(msg)
    return header, lines


def _lines(reader: Iterator[list[str]], name: str) -> Iterator[list[str]]:
    try:
        yield from (line for line in reader if any(cell.strip() for cell in line))
    except csv.Error as error:
        msg = f"{name} cannot be read as a table: {error}"
        raise SourceError(msg) from error


def _decoded(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _delimiter(text: str) -> str:
    """The separator that is most frequent in the first line, outside quotes."""
    first = text.lstrip().partition("\n")[0]
    bare = re.sub(r'"[^"]*"', "", first)
    return max(",;\t", key=bare.count)


def _squeezed(name: str) -> str:
    """A column name without case, blanks and marks: ``Patient ID`` is ``patient_id``."""
    return re.sub(r"[^0-9a-z]", "", name.lower())


_SYNONYMS = {
    name: tuple(_squeezed(column) for column in columns) for name, columns in _FIELDS.items()
}
_LABEL_COLUMNS = frozenset(map(_squeezed, _LABELS))


def _assign(header: list[str], mapping: Mapping[str, str], table: str) -> _Columns:
    names = [name.strip() for name in header]
    chosen = _mapped(names, mapping)
    positions = {field_name: at for field_name, at in chosen.items() if ":" not in field_name}
    labels = {key.partition(":")[2]: at for key, at in chosen.items() if ":" in key}
    taken = set(chosen.values())
    free = {_squeezed(name): at for at, name in reversed(list(enumerate(names))) if at not in taken}
    for field_name, synonyms in _SYNONYMS.items():
        if field_name not in positions:
            hit = next((free[s] for s in synonyms if s in free), None)
            if hit is not None:
                positions[field_name] = hit
                taken.add(hit)
    for at, name in enumerate(names):
        if at not in taken and _is_label(name):
            labels.setdefault(name.lower(), at)
            taken.add(at)
    if not any(key in positions for key in _KEYS):
        raise ConfigError(_no_key(table, names))
    unused = tuple(name for at, name in enumerate(names) if at not in taken and name)
    return _Columns(positions, labels, unused)


def _is_label(name: str) -> bool:
    return _squeezed(name) in _LABEL_COLUMNS or name.lower().startswith("label_")


def _mapped(names: list[str], mapping: Mapping[str, str]) -> dict[str, int]:
    """The columns that the caller assigned, by our field or ``label:<name>``."""
    by_name = {name.lower(): at for at, name in reversed(list(enumerate(names)))}
    chosen = {}
    for left, right in mapping.items():
        key = _field_name(left)
        if key is None:
            possible = ", ".join([*_FIELDS, "label:<name>"])
            msg = f"unknown field {left!r} in the column map; possible are {possible}"
            raise ConfigError(msg)
        position = by_name.get(right.strip().lower())
        if position is None:
            msg = f"the table has no column {right!r}; it has {', '.join(names)}"
            raise ConfigError(msg)
        chosen[key] = position
    return chosen


def _field_name(left: str) -> str | None:
    prefix, colon, label = left.strip().partition(":")
    if colon:
        return f"label:{label.strip()}" if prefix == "label" and label.strip() else None
    squeezed = _squeezed(prefix)
    exact = {_squeezed(name): name for name in _FIELDS}
    if squeezed in exact:
        return exact[squeezed]
    return next((name for name, known in _SYNONYMS.items() if squeezed in known), None)


def _no_key(table: str, names: list[str]) -> str:
    keys = "; ".join(f"{name}: {', '.join(columns)}" for name, columns in _KEYS.items())
    return (
        f"{table} has no column that says which image a row is about. Its columns are "
        f"{', '.join(names)}. Understood are {keys}. Name yours with a column map (path=<column>)."
    )


def _filled(specific: Attributes, general: Attributes | None) -> Attributes:
    """`specific` with its empty fields taken from `general`."""
    if general is None:
        return specific
    blanks = {
        each.name: getattr(general, each.name)
        for each in fields(Attributes)
        if each.name != "labels" and getattr(specific, each.name) in ("", None)
    }
    return replace(specific, **blanks, labels={**general.labels, **specific.labels})


def _is_found(index: int | None) -> bool:
    return index is not None


def _from(folder: str, path: str) -> str:
    try:
        return os.path.relpath(path, folder)
    except ValueError:  # another drive of a Windows machine
        return path


def _relative(path: str) -> str:
    """A path as tables write it: forward slashes, nothing superfluous."""
    if not path:
        return ""
    return os.path.normpath(path.replace("\\", "/")).replace(os.sep, "/")


def _row_text(text: str) -> str:
    number = text.removesuffix(".0")  # how spreadsheets and pandas write a column with gaps
    return str(int(number)) if number.isascii() and number.isdigit() else ""


def _fold(path: str) -> str:
    return path.casefold()


def _base(path: str) -> str:
    return path.rpartition("/")[2]


def _exists(root: Path, value: str) -> bool:
    try:
        return bool(value) and (root / value).is_file()
    except (OSError, ValueError):
        return False


def _names_below(root: Path) -> Iterator[str]:
    """Names of some files below `root`, with and without extension."""
    left = _LOOKED_AT
    for _, _, files in os.walk(root):
        for name in files[:left]:
            yield name
            yield without_suffix(name)
        left -= len(files)
        if left <= 0:
            return


def _age(text: str) -> float | None:
    match = _AGE.fullmatch(text.lower())
    if match is None:
        return None
    years = float(match[1].replace(",", ".")) * _YEARS[match[2] or "y"]
    return round(years, 2) if years <= 130 else None


def _date(text: str) -> str:
    for pattern in _DATES:
        if match := pattern.match(text):
            try:
                return date(int(match["y"]), int(match["m"]), int(match["d"])).isoformat()
            except ValueError:
                return ""
    return ""


_CLEANED: dict[str, Callable[[str], Any]] = {
    "sex": lambda text: _SEXES.get(text.lower(), ""),
    "age_years": _age,
    "study_date": _date,
    "modality": lambda text: text.upper()[:16],
    "body_part": str.upper,
    "view": str.upper,
    "laterality": lambda text: _SIDES.get(text.lower(), text.upper()),
}
