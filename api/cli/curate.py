"""``syntopy curate``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from api.cli.options import JsonOption, LibraryOption
from api.cli.output import (
    errors_on_one_line,
    out,
    print_json,
    print_note,
    settings_with,
)
from api.cli.progress import telling

if TYPE_CHECKING:
    from api.service.curating.curate import Report

app = typer.Typer(
    name="curate",
    help="Look after a library: copies, leaks, odd items, what to label next, suspected labels. "
    "Nothing is changed.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
EncoderOption = Annotated[str, typer.Option(help="Whose space.", show_default=False)]
FilterOption = Annotated[
    str, typer.Option("--filter", help="Only items that pass.", show_default=False)
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", help="Write the table: .csv, .parquet or .json.", show_default=False),
]
SheetOption = Annotated[
    Path | None,
    typer.Option("--sheet", help="Draw the first items as a PNG.", show_default=False),
]
RunOption = Annotated[str, typer.Option("--run", help="A clustering.", show_default=False)]
SeedOption = Annotated[int, typer.Option(help="Of all that is random.")]
_SHOWN = 30


@app.command()
def duplicates(
    threshold: Annotated[
        float | None,
        typer.Option(help="Least cosine; without it the library's own distances tell it."),
    ] = None,
    pixels: Annotated[bool, typer.Option(help="Compare the thumbnails of each pair, too.")] = True,
    library: LibraryOption = None,
    encoder: EncoderOption = "",
    filter_: FilterOption = "",
    path: OutOption = None,
    sheet: SheetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find near-duplicates; those of different patients are a leak or an error of identity."""
    _run(
        library,
        encoder,
        filter_,
        path,
        "duplicates",
        sheet=sheet,
        as_json=as_json,
        threshold=threshold,
        pixels=pixels,
    )


@app.command()
def leakage(
    split: Annotated[str, typer.Option(help="Field or label that says the split.")] = "split",
    library: LibraryOption = None,
    encoder: EncoderOption = "",
    filter_: FilterOption = "",
    path: OutOption = None,
    sheet: SheetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find patients, studies and near-duplicates that are on both sides of a split."""
    _run(library, encoder, filter_, path, "leaks", sheet=sheet, as_json=as_json, split=split)


@app.command()
def outliers(
    count: Annotated[int, typer.Option(help="How many, of each cluster with --run.")] = 50,
    typical: Annotated[
        bool, typer.Option("--typical", help="The most typical items instead.")
    ] = False,
    run: RunOption = "",
    library: LibraryOption = None,
    encoder: EncoderOption = "",
    filter_: FilterOption = "",
    path: OutOption = None,
    sheet: SheetOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the items that are least like any other, or the most typical."""
    _run(
        library,
        encoder,
        filter_,
        path,
        "odd_ones",
        sheet=sheet,
        as_json=as_json,
        count=count,
        typical=typical,
        run=run,
    )


@app.command("next")
def next_(
    budget: Annotated[int, typer.Option(help="How many items can be labelled.")] = 20,
    label: Annotated[
        str, typer.Option(help="Items that carry it are labelled already.", show_default=False)
    ] = "",
    strategy: Annotated[
        str, typer.Option(help="typiclust, probcover, dropquery, or random.")
    ] = "typiclust",
    run: RunOption = "",
    seed: SeedOption = 0,
    library: LibraryOption = None,
    encoder: EncoderOption = "",
    filter_: FilterOption = "",
    path: OutOption = None,
    sheet: SheetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what to label next, and how much every strategy would cover."""
    _run(
        library,
        encoder,
        filter_,
        path,
        "label_next",
        sheet=sheet,
        as_json=as_json,
        budget=budget,
        label=label,
        strategy=strategy,
        run=run,
        seed=seed,
    )


@app.command()
def labels(
    label: Annotated[str, typer.Option(help="To review; also modality, body_part, view …")],
    classifier: Annotated[str, typer.Option(help="linear or knn.")] = "linear",
    seed: SeedOption = 0,
    library: LibraryOption = None,
    encoder: EncoderOption = "",
    filter_: FilterOption = "",
    path: OutOption = None,
    sheet: SheetOption = None,
    as_json: JsonOption = False,
) -> None:
    """List labels that may be wrong, for review; nothing is changed."""
    _run(
        library,
        encoder,
        filter_,
        path,
        "suspects",
        sheet=sheet,
        as_json=as_json,
        label=label,
        classifier=classifier,
        seed=seed,
    )


@app.command()
def batch(
    by: Annotated[
        list[str] | None,
        typer.Option(help="Field or label; without it manufacturer, model and year."),
    ] = None,
    label: Annotated[
        str, typer.Option(help="What the images show, to compare with.", show_default=False)
    ] = "",
    seed: SeedOption = 0,
    library: LibraryOption = None,
    encoder: EncoderOption = "",
    filter_: FilterOption = "",
    path: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether the vectors tell sites, makers or years apart."""
    _run(
        library,
        encoder,
        filter_,
        path,
        "batch",
        as_json=as_json,
        by=tuple(by or ()),
        label=label,
        seed=seed,
    )


@app.command()
def subset(
    size: Annotated[int, typer.Option(help="How many items.")] = 500,
    seed: SeedOption = 0,
    library: LibraryOption = None,
    encoder: EncoderOption = "",
    filter_: FilterOption = "",
    path: OutOption = None,
    sheet: SheetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Choose a part in which frequent kinds do not outnumber rare ones."""
    _run(
        library,
        encoder,
        filter_,
        path,
        "subset",
        sheet=sheet,
        as_json=as_json,
        size=size,
        seed=seed,
    )


def _run(
    library: Path | None,
    encoder: str,
    expression: str,
    path: Path | None,
    name: str,
    *,
    sheet: Path | None = None,
    as_json: bool,
    **options: Any,
) -> None:
    """Make a report, show it, and write its table where that is asked for."""
    with errors_on_one_line(as_json=as_json):
        from api.service.curating import curate as service
        from clustering.tables import check_ending, write_table
        from indexer.library import Library

        if path is not None:
            check_ending(path)
        make: Callable[..., Report] = getattr(service, name)
        scope = service.Scope(encoder, expression)
        with (
            Library.open(settings_with(library).library) as opened,
            telling("reading", "nothing was changed") as show,
        ):
            report = make(opened, scope, progress=show, **options)
            if sheet is not None and report.tiles:
                service.write_sheet(opened, report, report.summary[0], sheet)
        if path is not None:
            write_table(report.rows, path)
    if as_json:
        print_json({name: getattr(report, name) for name in ("summary", "rows", "notes", "about")})
        return
    _print(report)
    if path is not None:
        out.print(f"{path}: {len(report.rows):,} rows")
    if sheet is not None:
        out.print(f"contact sheet: {sheet}" if report.tiles else "no items: no contact sheet")


def _print(report: Report) -> None:
    for line in report.summary:
        out.print(line)
    if report.rows:
        table = Table(*report.rows[0])
        for row in report.rows[:_SHOWN]:
            table.add_row(*(_cell(value) for value in row.values()))
        out.print(table)
    if len(report.rows) > _SHOWN:
        out.print(f"… and {len(report.rows) - _SHOWN:,} more; --out writes all")
    for note in report.notes:
        print_note(note)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return f"{len(value)}"
    return str(value)
