"""``syntopy sets``: the saved sets of a library."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from api.cli.options import JsonOption, LibraryOption
from api.cli.output import errors_on_one_line, out, print_json, settings_with

app = typer.Typer(name="sets", help="Saved sets of items.", no_args_is_help=True)
NameArgument = Annotated[str, typer.Argument(help="Of the set.")]


@app.command("list")
def list_(library: LibraryOption = None, as_json: JsonOption = False) -> None:
    """List all sets."""
    with errors_on_one_line(as_json=as_json):
        from api.service.curating import sets as service
        from indexer.library import Library

        with Library.open(settings_with(library).library) as opened:
            found = service.saved_sets(opened)
    if as_json:
        print_json({"sets": found})
        return
    table = Table("name", "kind", "items", "note", "changed by", "changed")
    for each in found:
        items = "" if each.items is None else f"{each.items:,}"
        texts = escape(each.note), escape(each.changed_by), each.changed_at[:10]
        table.add_row(escape(each.name), each.kind, items, *texts)
    out.print(table)


@app.command()
def show(name: NameArgument, library: LibraryOption = None, as_json: JsonOption = False) -> None:
    """Tell what a set is."""
    with errors_on_one_line(as_json=as_json):
        from api.service.curating import sets as service
        from indexer.library import Library

        with Library.open(settings_with(library).library) as opened:
            found = service.saved_set(opened, name)
    if as_json:
        print_json(found)
        return
    what = found.query or f"{found.items:,} items"
    out.print(f"{found.name}: {what}", markup=False)
    if found.note:
        out.print(found.note, markup=False)
    out.print(
        f"made by {found.made_by} on {found.made_at[:10]}, "
        f"changed by {found.changed_by} on {found.changed_at[:10]}",
        markup=False,
    )


@app.command()
def export(
    name: NameArgument,
    path: Annotated[Path, typer.Argument(help="A file ending in .csv, .parquet or .json.")],
    library: LibraryOption = None,
) -> None:
    """Write the ids of a set's items as a table; of a filter those that pass now."""
    with errors_on_one_line():
        from api.service.curating import sets as service
        from indexer.library import Library

        with Library.open(settings_with(library).library) as opened:
            rows = service.export_set(opened, name, path)
    out.print(f"{path}: {rows:,} items", markup=False)
