"""``syntopy map``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from api.cli.options import JsonOption, LibraryOption
from api.cli.output import (
    errors_on_one_line,
    out,
    print_json,
    settings_with,
)
from api.cli.progress import telling

app = typer.Typer(
    name="map",
    help="The map of a space in two dimensions.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
EncoderOption = Annotated[str, typer.Option(help="Whose space.", show_default=False)]
VersionOption = Annotated[
    int | None, typer.Option("--map-version", help="Of the map; the newest without it.")
]


@app.command()
def fit(
    library: LibraryOption = None,
    encoder: EncoderOption = "",
    filter_: Annotated[
        str, typer.Option("--filter", help="Only items that pass.", show_default=False)
    ] = "",
    sample: Annotated[int, typer.Option(help="Fit it on so many items at most.")] = 200_000,
    seed: Annotated[int, typer.Option(help="Of the draw and of the layout.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Fit a new version of the map, and place all items on it. Older versions stay.

    Ctrl-C stops it (exit code 130); nothing is stored then.
    """
    with errors_on_one_line(as_json=as_json):
        from api.service.grouping import maps as service
        from indexer.library import Library

        with (
            Library.open(settings_with(library).library) as opened,
            telling("reading", "nothing was stored") as show,
        ):
            made = service.fit(
                opened,
                encoder=encoder,
                expression=filter_,
                sample=sample,
                seed=seed,
                progress=show,
            )
    if as_json:
        print_json(made)
        return
    out.print(
        f"map {made.version} of '{made.encoder}': {made.points:,} items, fitted on {made.fitted:,}"
    )
    if "median" in made.report:
        out.print(
            f"  since version {made.report['since']}: half of the items moved less than "
            f"{made.report['median']:.3f} of the map's spread, 95 % less than "
            f"{made.report['p95']:.3f}, once turned and scaled onto it"
        )


@app.command()
def place(
    library: LibraryOption = None,
    encoder: EncoderOption = "",
    version: VersionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Place items that came later on a map; those that are on it do not move."""
    with errors_on_one_line(as_json=as_json):
        from api.service.grouping import maps as service
        from indexer.library import Library

        with (
            Library.open(settings_with(library).library) as opened,
            telling("reading", "nothing was stored") as show,
        ):
            placed = service.place(opened, encoder=encoder, version=version, progress=show)
    if as_json:
        print_json(placed)
        return
    out.print(
        f"map {placed.map.version} of '{placed.map.encoder}': {placed.added:,} items placed, "
        f"{placed.map.points:,} on it"
    )


@app.command("list")
def list_(
    library: LibraryOption = None, encoder: EncoderOption = "", as_json: JsonOption = False
) -> None:
    """List the versions of a map."""
    with errors_on_one_line(as_json=as_json):
        from api.service.grouping import maps as service
        from indexer.library import Library

        with Library.open(settings_with(library).library) as opened:
            found = service.versions(opened, encoder)
    if as_json:
        print_json({"maps": found})
        return
    if not found:
        out.print("no map yet; make one with: syntopy map fit")
        return
    table = Table("version", "space", "items", "fitted on", "filter", "made")
    for each in found:
        table.add_row(
            f"{each.version}",
            each.encoder,
            f"{each.points:,}",
            f"{each.fitted:,}",
            each.filter,
            each.created_at,
        )
    out.print(table)


@app.command()
def export(
    path: Annotated[
        Path, typer.Argument(help="A table (.csv, .parquet, .json) or a picture (.png).")
    ],
    library: LibraryOption = None,
    encoder: EncoderOption = "",
    version: VersionOption = None,
    run: Annotated[
        str, typer.Option("--run", help="A clustering: its clusters.", show_default=False)
    ] = "",
    colour: Annotated[str, typer.Option(help="Of a picture: field or label.")] = "modality",
) -> None:
    """Write a map as a table, or draw it.

    [bold]Examples[/]

      syntopy map export map.csv --library chest

      syntopy map export map.png --run first
    """
    with errors_on_one_line():
        from api.service.grouping import maps as service
        from indexer.library import Library

        with Library.open(settings_with(library).library) as opened:
            if path.suffix.lower() == ".png":
                service.draw(opened, path, encoder=encoder, version=version, run=run, colour=colour)
                out.print(f"{path}")
                return
            rows = service.export(opened, path, encoder=encoder, version=version, run=run)
    out.print(f"{path}: {rows:,} items")


@app.command()
def remove(
    version: Annotated[int, typer.Argument(help="Of the map.")],
    library: LibraryOption = None,
    encoder: EncoderOption = "",
) -> None:
    """Delete a version of a map."""
    with errors_on_one_line():
        from api.service.grouping import maps as service
        from indexer.library import Library

        with Library.open(settings_with(library).library) as opened:
            service.remove(opened, version, encoder)
    out.print(f"version {version} of the map is gone")
