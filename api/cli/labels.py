"""``syntopy labels`` and ``syntopy tag``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.options import JsonOption, LibraryOption
from api.cli.output import errors_on_one_line, out, print_json, print_note, settings_with

if TYPE_CHECKING:
    from indexer.groups.labels import Labelled

app = typer.Typer(
    name="labels",
    help="Labels in and out as tables.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@app.command()
def export(
    path: Annotated[Path, typer.Argument(help="A file ending in .csv, .parquet or .json.")],
    name: Annotated[
        list[str] | None, typer.Option(help="Only labels of this name. May be repeated.")
    ] = None,
    library: LibraryOption = None,
) -> None:
    """Write labels as a table: uid, name, value, study."""
    with errors_on_one_line():
        from api.service.curating import labels as service
        from indexer.library import Library

        with Library.open(settings_with(library).library) as opened:
            rows = service.export_labels(opened, path, tuple(name or ()))
    out.print(f"{path}: {rows:,} labels")


@app.command("import")
def import_(
    path: Annotated[Path, typer.Argument(help="A CSV table.")],
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give the labels of a table: uid, name, value; or uid and a column for each label.

    A uid is a Study Instance UID or the id of an item. Labels that are there stay as they are.
    """
    with errors_on_one_line(as_json=as_json):
        from api.service.curating import labels as service
        from indexer.library import Library

        with Library.open(settings_with(library).library) as opened:
            done = service.import_labels(opened, path)
    _print(done, as_json=as_json)


def tag(
    name: Annotated[str, typer.Argument(help="The tag.")],
    filter_: Annotated[
        str, typer.Option("--filter", help="Items that pass.", show_default=False)
    ] = "",
    cluster: Annotated[
        str, typer.Option(help="Items of a cluster, such as first:3.", show_default=False)
    ] = "",
    remove: Annotated[
        bool, typer.Option("--remove", help="Take the tag away from all that have it.")
    ] = False,
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep a set of items under a name; found again by the filter label:tag=NAME.

    [bold]Examples[/]

      syntopy tag pilot --filter "modality=CT and age>=60"

      syntopy tag odd --cluster first:7
    """
    with errors_on_one_line(as_json=as_json):
        from api.service.curating import labels as service
        from indexer.errors import QueryError
        from indexer.library import Library

        if remove and (filter_ or cluster):
            raise QueryError("--remove takes a tag away from everything: leave out the rest")
        with Library.open(settings_with(library).library) as opened:
            if remove:
                gone = service.untag(opened, name)
                out.print(f"'{name}' was taken away from {gone:,}")
                return
            done = service.tag(opened, name, expression=filter_, cluster=cluster)
    _print(done, as_json=as_json)


def _print(done: Labelled, *, as_json: bool) -> None:
    if as_json:
        print_json(done)
        return
    out.print(f"{done.added:,} labels are new, {done.known:,} were there")
    if done.unknown_count:
        some = ", ".join(done.unknown)
        print_note(f"{done.unknown_count:,} uids are not in the library: {some}")
