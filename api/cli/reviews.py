"""``syntopy reviews``: queues of work, and what was decided."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from api.cli.options import JsonOption, LibraryOption
from api.cli.output import errors_on_one_line, out, print_json, settings_with

app = typer.Typer(
    name="reviews", help="Queues of work, and what was decided.", no_args_is_help=True
)


@app.command("list")
def list_(library: LibraryOption = None, as_json: JsonOption = False) -> None:
    """List all queues, with how many of their subjects are in each state."""
    with errors_on_one_line(as_json=as_json):
        from api.service.curating import reviews as service
        from indexer.library import Library

        with Library.open(settings_with(library).library) as opened:
            found = service.queues(opened)
    if as_json:
        print_json({"queues": found})
        return
    table = Table("queue", "open", "claimed", "accept", "reject", "skip")
    for each in found:
        counts = (each.open, each.claimed, each.accept, each.reject, each.skip)
        table.add_row(escape(each.queue), *(f"{count:,}" for count in counts))
    out.print(table)


@app.command()
def export(
    queue: Annotated[str, typer.Argument(help="Name of the queue.")],
    path: Annotated[Path, typer.Argument(help="A file ending in .csv, .parquet or .json.")],
    library: LibraryOption = None,
) -> None:
    """Write how the subjects of a queue stand: queue, subject, verdict, comment, by, at."""
    with errors_on_one_line():
        from api.service.curating import reviews as service
        from indexer.library import Library

        with Library.open(settings_with(library).library) as opened:
            rows = service.export_reviews(opened, queue, path)
    out.print(f"{path}: {rows:,} reviews", markup=False)
