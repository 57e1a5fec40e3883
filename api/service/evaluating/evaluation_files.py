"""An evaluation as tables, and as files: JSON, Markdown and a picture."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.service.evaluating.evaluate import Evaluation
from indexer.errors import StorageFullError
from indexer.evaluating.chart import BarRow, Panel, bar_chart
from indexer.evaluating.evaluation import Report, Row, Table, compared_measures
from indexer.evaluating.metrics import KS
from indexer.evaluating.resampling import Measure

JSON_FILE, TABLE_FILE, CHART_FILE = "retrieval.json", "retrieval.md", "retrieval.png"
_SHORT = {
    "precision": "P",
    "recall": "recall",
    "hit_rate": "hit",
    "ndcg": "nDCG",
    "graded_ndcg": "graded nDCG",
    "ann_recall": "ANN recall",
    "map": "mAP",
    "r_precision": "R-precision",
    "mrr": "MRR",
    "ap": "AP",
    "knn_accuracy": "kNN",
    "macro_auroc": "macro AUROC",
    "auroc": "AUROC",
}
_CHANCE = ("chance", "majority")
_FEW = 2
"""Rows of the first table that are drawn measure by measure."""
_AT = re.compile(r"(.+)_at_(\d+)")


@dataclass(frozen=True)
class Sheet:
    """A table as text: a heading, names of columns, rows of cells; the first column is a name."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def short(measure: str) -> str:
    """A measure as people write it: ``P@5``, ``mAP``."""
    found = _AT.fullmatch(measure)
    name, k = (found[1], f"@{found[2]}") if found else (measure, "")
    return _SHORT.get(name, name.replace("_", " ")) + k


def sheets(evaluation: Evaluation) -> Iterator[Sheet]:
    """All that was measured: over all queries, then for each encoder by its tables, then gaps."""
    if not evaluation.request.protocol:
        yield _overall(evaluation)
    for name, report in evaluation.encoders.items():
        tables = report.tables if evaluation.request.protocol else report.tables[1:]
        yield from (_sheet(evaluation, name, table) for table in tables if table.rows)
        if report.gaps:
            yield _gaps(name, report)


def _overall(evaluation: Evaluation) -> Sheet:
    """A row for each measure, a column for each encoder."""
    reports = evaluation.encoders
    overall = [report.overall for report in reports.values()]
    measures = dict.fromkeys(m for row in overall for m in row.measures)
    rows = [
        (short(measure), *(_cell(each.overall.measures.get(measure)) for each in reports.values()))
        for measure in measures
        if not _says_nothing_new(measure, overall)
    ]
    for name in ("n_queries", "n_patients"):
        counts = (str(getattr(each.overall, name)) for each in reports.values())
        rows.append((name.removeprefix("n_"), *counts))
    rows.append(("items", *(str(report.n_items) for report in reports.values())))
    return Sheet("all queries", ("measure", *reports), tuple(rows))


def _says_nothing_new(measure: str, rows: Sequence[Row]) -> bool:
    """Whether this is a graded measure that is the plain one in all rows: no item shares two."""
    plain = measure.removeprefix("graded_")
    return plain != measure and all(
        row.measures.get(measure) == row.measures.get(plain) for row in rows
    )


def _sheet(evaluation: Evaluation, encoder: str, table: Table) -> Sheet:
    """A row for each group or value."""
    measures: Sequence[str]
    if evaluation.request.protocol:
        measures = list(dict.fromkeys(m for row in table.rows for m in row.measures))
    else:
        measures = (*compared_measures(evaluation.request.ks or KS), "chance")
    columns = (table.name, *(short(m) for m in measures), "queries", "patients")
    rows = tuple(
        (
            row.name,
            *_cells(row, measures),
            str(row.n_queries),
            str(row.n_patients),
        )
        for row in table.rows
    )
    return Sheet(f"{encoder}: {table.name}", columns, rows)


def _cells(row: Row, measures: Sequence[str]) -> tuple[str, ...]:
    if not row.measures:
        return (row.note, *[""] * (len(measures) - 1))
    return tuple(_cell(row.measures.get(name), interval=name not in _CHANCE) for name in measures)


def _cell(measure: Measure | None, *, interval: bool = True) -> str:
    if measure is None:
        return ""
    digits = 3 if abs(measure.value) <= 1 else 1
    value = f"{measure.value:.{digits}f}"
    if not interval:
        return value
    # Of small ones a digit more, lest the interval be one figure.
    wide = digits if abs(measure.value) < 0.1 else digits - 1
    return f"{value} ({measure.low:.{wide}f} to {measure.high:.{wide}f})"


def _gaps(encoder: str, report: Report) -> Sheet:
    rows = tuple(
        (
            gap.field,
            short(gap.measure),
            gap.best,
            gap.worst,
            _cell(gap.difference),
            f"{gap.by_chance:.3f}",
        )
        for gap in report.gaps
    )
    columns = ("gap between groups of", "measure", "best", "worst", "difference", "by chance below")
    return Sheet(f"{encoder}: gaps", columns, rows)


def said(evaluation: Evaluation) -> list[str]:
    """What was done, then all notes, in sentences."""
    request = evaluation.request
    what = f"label '{request.label}'" if request.label else "its own labels"
    how = f"protocol {request.protocol}" if request.protocol else "own patient left out"
    only = f", only {request.filter}" if request.filter.strip() else ""
    lines = [f"{what}, {how}, {request.through}{only}, seed {request.seed}"]
    lines += evaluation.notes
    for name, report in evaluation.encoders.items():
        lines += [f"{name}: {note}" for note in report.notes]
    return lines


def markdown(evaluation: Evaluation) -> str:
    """All tables as a Markdown page."""
    parts = ["# Retrieval", "\n".join(f"- {_escaped(line)}" for line in said(evaluation))]
    for sheet in sheets(evaluation):
        lines = [f"## {_escaped(sheet.title)}", "", _line(sheet.columns)]
        lines.append("|" + "|".join([" --- "] + [" ---: "] * (len(sheet.columns) - 1)) + "|")
        lines += [_line(row) for row in sheet.rows]
        parts.append("\n".join(lines))
    held = "95 % interval for other queries to this gallery, patients drawn with replacement"
    parts.append(f"In brackets: {held}.")
    return "\n\n".join(parts) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_escaped, cells)) + " |"


def _escaped(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def write_evaluation(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write JSON, a table and a picture into a folder, each by rename.

    Raises:
        StorageFullError: the folder cannot be written.
    """
    text = json.dumps(as_json(evaluation), ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    picture = io.BytesIO()
    _chart(evaluation).save(picture, "PNG")
    files = {
        JSON_FILE: text.encode(),
        TABLE_FILE: markdown(evaluation).encode(),
        CHART_FILE: picture.getvalue(),
    }
    return publish_all(folder, files)


def publish_all(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Write files by name into a folder, made where it is missing; each is whole or not there.

    Raises:
        StorageFullError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            publish(folder / name, content)
    except OSError as error:
        raise StorageFullError(f"{folder} cannot be written: {error.strerror}") from error
    return [folder / name for name in files]


def publish(path: Path, content: bytes) -> None:
    """Write a file so that it is whole or not there at all.

    Raises:
        OSError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def as_json(value: Any) -> Any:
    """Dataclasses and tuples as what JSON knows; a figure that is none as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: as_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: as_json(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(own) for own in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _chart(evaluation: Evaluation) -> Any:
    title = evaluation.request.protocol or f"Retrieval by {evaluation.request.label}"
    panels = list(_panels(evaluation))
    return bar_chart(title, said(evaluation), list(evaluation.encoders), panels)


def _panels(evaluation: Evaluation) -> Iterator[Panel]:
    """All queries by their measures; each further table by its first shares of one."""
    reports = list(evaluation.encoders.values())
    longest = max(reports, key=lambda report: len(report.tables))
    for at, table in enumerate(longest.tables):
        own = [report.tables[at] for report in reports if at < len(report.tables)]
        if at == 0 and len(table.rows) <= _FEW:
            for row in table.rows:
                alike = [_named(each, row.name) for each in own]
                heading = f"{row.name}: {row.n_queries} queries of {row.n_patients} patients"
                yield Panel(heading, tuple(_by_measure(alike)))
        else:
            yield from _by_row(evaluation, table, own)


def _named(table: Table, name: str) -> Row | None:
    return next((row for row in table.rows if row.name == name), None)


def _by_measure(rows: Sequence[Row | None]) -> Iterator[BarRow]:
    known = [row for row in rows if row is not None and row.measures]
    mark = _chance(known[0]) if known else None
    for name in dict.fromkeys(m for row in known for m in row.measures):
        bars = tuple(row.measures.get(name) if row else None for row in rows)
        if _says_nothing_new(name, known):
            continue
        if name in _CHANCE or any(bar is not None and bar.value > 1 for bar in bars):
            continue
        compared = name.startswith("precision") or "majority" in known[0].measures
        yield BarRow(short(name), bars, mark if compared else None)


def _by_row(evaluation: Evaluation, table: Table, own: Sequence[Table]) -> Iterator[Panel]:
    """One panel by the measure that matters most, a row for each group."""
    names = dict.fromkeys(row.name for each in own for row in each.rows)
    measures = dict.fromkeys(m for row in table.rows for m in row.measures)
    most = f"precision_at_{max(evaluation.request.ks or KS)}"
    measure = most if most in measures else next(iter(measures), "")
    rows = []
    for name in names:
        alike = [_named(each, name) for each in own]
        first = next(row for row in alike if row is not None)
        bars = tuple(row.measures.get(measure) if row else None for row in alike)
        note = first.note or f"{first.n_queries} queries, {first.n_patients} patients"
        rows.append(BarRow(name, bars, _chance(first), note))
    if rows:
        yield Panel(f"{table.name}: {short(measure)}" if measure else table.name, tuple(rows))


def _chance(row: Row) -> float | None:
    return next((row.measures[name].value for name in _CHANCE if name in row.measures), None)
