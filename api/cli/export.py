"""``syntopy export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.cli.options import LibraryOption
from api.cli.output import errors_on_one_line, out, settings_with


def export(
    path: Annotated[
        Path, typer.Argument(help="A .csv, .parquet or .json file; a folder with --fiftyone.")
    ],
    fiftyone: Annotated[
        bool, typer.Option("--fiftyone", help="A folder that FiftyOne opens as CSVDataset.")
    ] = False,
    filter_: Annotated[
        str, typer.Option("--filter", help="Only items that pass.", show_default=False)
    ] = "",
    library: LibraryOption = None,
) -> None:
    """Write the items of a library with their files, fields, labels and clusters.

    [bold]Examples[/]

      syntopy export manifest.csv --library chest --filter "label:tag=pilot"

      syntopy export for-fiftyone --fiftyone
    """
    with errors_on_one_line():
        from api.service import export as service
        from indexer.library import Library

        write = service.write_fiftyone if fiftyone else service.write_manifest
        with Library.open(settings_with(library).library) as opened:
            rows = write(opened, path, filter_)
    out.print(f"{path}: {rows:,} items")
